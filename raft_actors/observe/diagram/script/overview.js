// The whole run in a strip: roles, down times and faults, how many messages there were, and the part that is shown.

const OVERVIEW_TRAFFIC = 18; // pixels of height
const OVERVIEW_FAULTS = 5;
const HANDLE = 6;

class Overview {
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.scene = scene;
    this.matches = [];
  }

  resize(width) {
    const {model} = this.scene;
    this.laneHeight = Math.max(4, Math.min(9, 54 / Math.max(model.nodes.length, 1)));
    this.height = OVERVIEW_TRAFFIC + OVERVIEW_FAULTS + this.laneHeight * model.nodes.length + 6;
    this.width = width;
    sizeCanvas(this.canvas, width, this.height);
    this.ground = null;
  }

  x(time) {
    const {view} = this.scene;
    return view.left + ((time - view.first) / (view.last - view.first)) * (this.width - view.left);
  }

  time(x) {
    const {view} = this.scene;
    return view.first + ((x - view.left) / (this.width - view.left)) * (view.last - view.first);
  }

  // What changes with the filter and the size only is painted once, and kept.
  paint() {
    const context = this.canvas.getContext("2d");
    if (this.ground === null) {
      this.ground = new OffscreenCanvas(this.canvas.width, this.canvas.height);
      const inside = this.ground.getContext("2d");
      inside.scale(this.canvas.width / this.width, this.canvas.width / this.width);
      this.paintGround(inside);
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.ground, 0, 0);
    context.scale(this.canvas.width / this.width, this.canvas.width / this.width);
    this.paintFrame(context);
  }

  paintGround(context) {
    const {model, palette, trace, filter, view} = this.scene;
    context.fillStyle = palette.get("stripe");
    context.fillRect(view.left, 0, this.width - view.left, this.height);
    this.paintTraffic(context);
    context.fillStyle = palette.get("fault-edge");
    for (const fault of filter.shows("fault") ? model.faults : []) {
      const x = this.x(fault.start);
      context.fillRect(x, OVERVIEW_TRAFFIC, Math.max(this.x(fault.end) - x, 1.5), OVERVIEW_FAULTS - 2);
    }
    for (const lane of model.lanes) {
      const y = OVERVIEW_TRAFFIC + OVERVIEW_FAULTS + lane.number * this.laneHeight;
      for (const span of lane.roles) {
        context.fillStyle = palette.get(ROLES.includes(span.role) ? span.role : "other-role");
        const x = this.x(span.start);
        context.fillRect(x, y, Math.max(this.x(span.end) - x, 1), this.laneHeight - 1);
      }
      context.fillStyle = palette.get("loss");
      for (const down of lane.down) {
        context.fillRect(this.x(down.start), y + this.laneHeight / 2 - 1, this.x(down.end) - this.x(down.start), 1);
      }
    }
    context.fillStyle = palette.get("broken");
    for (const event of model.broken) {
      context.fillRect(this.x(trace.time[event]) - 1, 0, 3, this.height);
    }
    context.fillStyle = palette.get("accent");
    for (const event of this.matches) {
      context.fillRect(this.x(trace.time[event]), this.height - 5, 1.5, 5);
    }
  }

  paintTraffic(context) {
    const {filter, model, palette, view} = this.scene;
    const bins = Math.max(1, Math.floor((this.width - view.left) / 2));
    const sent = new Uint32Array(bins);
    const lost = new Uint32Array(bins);
    for (const way of filter.ways) {
      const share = (model.deliveries.start[way] - view.first) / (view.last - view.first);
      const bin = Math.min(bins - 1, Math.floor(share * bins));
      sent[bin]++;
      lost[bin] += Number(model.deliveries.outcome[way] === LOST);
    }
    const highest = sent.reduce((most, count) => Math.max(most, count), 1);
    for (const [counts, colour] of [[sent, "traffic"], [lost, "loss"]]) {
      context.fillStyle = palette.get(colour);
      counts.forEach((count, bin) => {
        const height = (count / highest) * (OVERVIEW_TRAFFIC - 2);
        context.fillRect(view.left + bin * 2, OVERVIEW_TRAFFIC - height, 1.6, height);
      });
    }
  }

  paintFrame(context) {
    const {palette, view} = this.scene;
    const left = this.x(view.start);
    const right = Math.max(this.x(view.end), left + 2);
    context.fillStyle = palette.get("veil");
    context.fillRect(view.left, 0, left - view.left, this.height);
    context.fillRect(right, 0, this.width - right, this.height);
    context.strokeStyle = palette.get("accent");
    context.lineWidth = 1.5;
    context.strokeRect(left + 0.75, 0.75, right - left - 1.5, this.height - 1.5);
    context.fillStyle = palette.get("accent");
    for (const x of [left, right]) {
      context.fillRect(x - 2, this.height / 2 - 8, 4, 16);
    }
  }

  // What dragging from here moves: an edge of the frame, or all of it.
  grip(x) {
    const {view} = this.scene;
    const [left, right] = [this.x(view.start), this.x(view.end)];
    if (Math.abs(x - left) <= HANDLE && right - left > 3 * HANDLE) {
      return "start";
    }
    return Math.abs(x - right) <= HANDLE ? "end" : "all";
  }
}
