// The part of the run that is shown, and how its time is laid along the picture.

const SHORTEST = 50; // microseconds across the whole picture
const MARGIN = 0.015; // of the run, before and behind it

class View {
  constructor(start, end) {
    const room = Math.max((end - start) * MARGIN, SHORTEST);
    this.first = start - room;
    this.last = end + room;
    this.left = 0; // pixels: where the lanes begin, and how far they go
    this.width = 1;
    this.changed = () => {};
    this.start = this.first;
    this.end = this.last;
  }

  get span() {
    return this.end - this.start;
  }

  // Microseconds a pixel.
  get step() {
    return this.span / this.width;
  }

  x(time) {
    return this.left + (time - this.start) / this.step;
  }

  time(x) {
    return this.start + (x - this.left) * this.step;
  }

  place(left, width) {
    this.left = left;
    this.width = Math.max(width, 1);
  }

  show(start, end) {
    const span = Math.max(end - start, SHORTEST);
    const middle = (start + end) / 2;
    const whole = span >= this.last - this.first;
    this.start = whole ? this.first : Math.min(Math.max(middle - span / 2, this.first), this.last - span);
    this.end = whole ? this.last : this.start + span;
    this.changed();
  }

  fit() {
    this.show(this.first, this.last);
  }

  // Factor below 1 shows less; the moment at `x` stays there.
  zoom(factor, x = this.left + this.width / 2) {
    const span = Math.min(Math.max(this.span * factor, SHORTEST), this.last - this.first);
    const share = (x - this.left) / this.width;
    const start = this.time(x) - share * span;
    this.show(start, start + span);
  }

  pan(pixels) {
    const shift = pixels * this.step;
    this.show(this.start + shift, this.end + shift);
  }

  // Around a moment, no wider than given.
  centre(time, span = this.span) {
    this.show(time - span / 2, time + span / 2);
  }

  covers(time) {
    return time >= this.start && time <= this.end;
  }
}
