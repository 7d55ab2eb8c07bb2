// The picture: two canvases of one size. One has everything, and is painted anew when view, filter or colours change;
// the other, on top, has only what is pointed at, selected or found.

function sizeCanvas(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
}

function cleared(canvas) {
  const context = canvas.getContext("2d");
  const scale = canvas.width / Math.max(parseFloat(canvas.style.width), 1);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  return context;
}

class Picture {
  constructor(scene, elements) {
    this.scene = scene;
    this.elements = elements;
    this.overview = new Overview(elements.overview, scene);
    this.selected = -1; // events
    this.hovered = -1;
    this.matches = [];
    this.marked = null; // a range of pixels that is being marked
    this.waiting = false;
    this.painted = () => {};
    this.frames = 0;
  }

  resize() {
    const {scene, elements} = this;
    const width = elements.scroller.clientWidth;
    const height = elements.scroller.clientHeight;
    scene.view.place(GUTTER, width - GUTTER);
    this.arrange(height);
    if (scene.layout.height > height && elements.scroller.clientWidth < width) { // a scroll bar came
      scene.view.place(GUTTER, elements.scroller.clientWidth - GUTTER);
      this.arrange(height);
    }
    this.overview.resize(elements.scroller.clientWidth);
    this.repaint();
  }

  arrange(height) {
    const {scene, elements} = this;
    scene.layout = new Layout(scene.model, scene.filter, height);
    for (const canvas of [elements.picture, elements.overlay]) {
      sizeCanvas(canvas, scene.view.left + scene.view.width, scene.layout.height);
    }
  }

  // The filter or the colours have changed.
  renew() {
    this.overview.ground = null;
    this.resize();
  }

  repaint() {
    this.stale = true;
    this.request();
  }

  // Only what is on top.
  touch() {
    this.request();
  }

  request() {
    if (!this.waiting) {
      this.waiting = true;
      requestAnimationFrame(() => this.frame());
    }
  }

  frame() {
    this.waiting = false;
    if (this.stale) {
      this.stale = false;
      this.paint();
      this.overview.paint();
    }
    this.paintOverlay();
    this.frames++;
    this.painted();
  }

  paint() {
    const {scene} = this;
    const context = cleared(this.elements.picture);
    scene.context = context;
    context.fillStyle = scene.palette.get("paper");
    context.fillRect(0, 0, scene.view.left + scene.view.width, scene.layout.height);
    paintLaneGrounds(scene);
    paintAxis(scene);
    this.messages = paintMessages(scene);
    paintBands(scene);
    this.messages.lines.paintWords();
    paintMarks(scene);
    paintCalls(scene);
    paintFaults(scene);
    paintBroken(scene);
    paintGutter(scene, this.selected < 0 ? -1 : scene.model.nodeOf[this.selected]);
  }

  paintOverlay() {
    const {scene} = this;
    const context = cleared(this.elements.overlay);
    const {palette, view, layout} = scene;
    context.save();
    context.beginPath();
    context.rect(view.left, 0, view.width, layout.height);
    context.clip();
    this.paintMatches(context);
    if (this.hovered >= 0) {
      this.paintEvent(context, this.hovered, "hover", 2.5);
    }
    if (this.selected >= 0) {
      const x = view.x(scene.trace.time[this.selected]);
      context.fillStyle = palette.get("selected-line");
      context.fillRect(x - 0.5, AXIS_HEIGHT, 1, layout.height);
      this.paintEvent(context, this.selected, "accent", 3);
    }
    if (this.marked !== null) {
      context.fillStyle = palette.get("selected-line");
      context.fillRect(this.marked[0], 0, this.marked[1] - this.marked[0], layout.height);
    }
    context.restore();
  }

  paintMatches(context) {
    const {scene} = this;
    const {view} = scene;
    const from = lowerBound(this.matches, lowerBound(scene.trace.time, view.start));
    context.strokeStyle = scene.palette.get("accent");
    context.lineWidth = 1.5;
    context.beginPath();
    let last = -Infinity;
    for (let position = from; position < this.matches.length; position++) {
      const event = this.matches[position];
      const x = view.x(scene.trace.time[event]);
      if (x > view.left + view.width) {
        break;
      }
      const {x: ringX, y} = this.eventPlace(event);
      if (x - last >= 1 || this.matches.length < 500) {
        context.moveTo(ringX + 6, y);
        context.arc(ringX, y, 6, 0, 2 * Math.PI);
        last = x;
      }
    }
    context.stroke();
  }

  // An event, all it belongs to, and the message or span between them.
  paintEvent(context, event, colour, width) {
    const {model, view, layout, palette, trace} = this.scene;
    context.strokeStyle = palette.get(colour);
    context.lineWidth = width;
    const lines = new Lines(this.scene);
    for (const way of this.waysOf(event)) {
      if (this.scene.filter.showsWay(way)) {
        lines.add(way);
      }
    }
    context.beginPath();
    for (let position = 0; position < lines.ends.length; position += 4) {
      context.moveTo(lines.ends[position], lines.ends[position + 1]);
      context.lineTo(lines.ends[position + 2], lines.ends[position + 3]);
    }
    const role = trace.kind(event) === "role" && model.lanes[model.nodeOf[event]]?.roles.find((one) => one.event === event);
    if (role && layout.places.has(model.nodeOf[event])) {
      const [left, right] = clipped(view, role.start, role.end);
      context.rect(left, layout.laneY(model.nodeOf[event]) - layout.band / 2 - 1, right - left, layout.band + 2);
    }
    for (const {event: other} of [{event}, ...model.related(event)]) {
      const {x, y} = this.eventPlace(other);
      context.moveTo(x + 8, y);
      context.arc(x, y, 8, 0, 2 * Math.PI);
    }
    context.stroke();
  }

  waysOf(event) {
    const {deliveries} = this.scene.model;
    const ways = deliveries.ofEvent.get(event) ?? [];
    const send = ways.length ? deliveries.send[ways[0]] : -1;
    return send < 0 ? ways : deliveries.ofEvent.get(send);
  }

  // Where an event stands: a loss at the end of its arrow, anything else at its moment.
  eventPlace(event) {
    const {model, trace, view, filter} = this.scene;
    const way = trace.kind(event) === "lose" ? (model.deliveries.ofEvent.get(event) ?? [])[0] : undefined;
    if (way === undefined || !filter.showsWay(way)) {
      return {x: view.x(trace.time[event]), y: this.eventY(event)};
    }
    const lines = new Lines(this.scene);
    lines.add(way);
    return {x: lines.ends[2], y: lines.ends[3]};
  }

  eventY(event) {
    const {model, layout, trace} = this.scene;
    const kind = trace.kind(event);
    const partner = model.partners.get(event) ?? event;
    if (kind === "call" || kind === "return") {
      const call = model.calls.findIndex((one) => one.event === event || one.event === partner);
      return call < 0 || !layout.clientRows.count ? AXIS_HEIGHT : layout.clientY(call) + CLIENT_HEIGHT / 2;
    }
    if (kind === "fault" || kind === "heal") {
      const fault = model.faults.findIndex((one) => one.event === event || one.healed === event);
      return fault < 0 || !layout.faultRows.count ? AXIS_HEIGHT : layout.faultY(fault) + FAULT_HEIGHT / 2;
    }
    const way = (model.deliveries.ofEvent.get(event) ?? [])[0];
    const number = way === undefined ? model.nodeOf[event]
      : kind === "send" ? model.deliveries.from[way] : model.deliveries.to[way];
    if (!layout.places.has(number)) {
      return AXIS_HEIGHT / 2;
    }
    return OF_MESSAGES.has(kind) ? layout.laneY(number) : layout.markY(number, kind === "role" ? 0 : markStyle(kind).row);
  }
}
