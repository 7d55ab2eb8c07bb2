// Messages: arrows while they can be told apart, and where they can't, how many each node sent.

const LINES_A_PIXEL = 1.5; // of width; more than that is no picture
const MOST_HEADS = 1200;
const MOST_WORDS = 30;
const TRAFFIC_BIN = 3; // pixels
const WORD_PLACES = [0.5, 0.35, 0.65, 0.25, 0.75, 0.15, 0.85, 0.1, 0.9]; // shares of the way
const LOST_SHORT = 0.32; // lane heights before its receiver: where a message ends that was lost on the way

// Paints them; returns what was drawn as arrows, for picking, and how many were not.
function paintMessages(scene) {
  const {filter, model, view} = scene;
  const {deliveries} = model;
  const classCount = deliveries.types.length * 2; // a type's losses are a class of their own
  const counts = new Int32Array(classCount);
  const visible = [];
  const [from, to] = filter.intervals.touching(view.start, view.end);
  for (let position = from; position < to; position++) {
    if (filter.intervals.ends[position] >= view.start) {
      const way = filter.ways[position];
      visible.push(way);
      counts[classOf(deliveries, way)]++;
    }
  }
  const drawn = chosenClasses(counts, view.width * LINES_A_PIXEL);
  const lines = new Lines(scene);
  const dense = [];
  for (const way of visible) {
    if (drawn[classOf(deliveries, way)]) {
      lines.add(way);
    } else {
      dense.push(way);
    }
  }
  paintTraffic(scene, dense);
  lines.paint();
  return {lines, dense: dense.length, all: visible.length};
}

function classOf(deliveries, way) {
  return deliveries.type[way] * 2 + Number(deliveries.outcome[way] === LOST);
}

// Whole classes, the rarest first, as long as there is room: never some of a kind, as that would mislead.
function chosenClasses(counts, room) {
  const drawn = new Uint8Array(counts.length);
  let left = room;
  for (const number of [...counts.keys()].sort((one, other) => counts[one] - counts[other])) {
    left -= counts[number];
    drawn[number] = Number(left >= 0);
  }
  return drawn;
}

class Lines {
  constructor(scene) {
    this.scene = scene;
    this.ways = [];
    this.ends = []; // x, y, x, y of each
    this.styles = new Map();
    this.lost = [];
  }

  add(way) {
    const {model, layout, view} = this.scene;
    const {deliveries} = model;
    const [from, to] = [deliveries.from[way], deliveries.to[way]];
    let x = view.x(deliveries.start[way]);
    let y = layout.edgeY(from, to);
    let endX = view.x(deliveries.end[way]);
    let endY = layout.edgeY(to, from);
    const outcome = deliveries.outcome[way];
    if (outcome === UNDERWAY) {
      [endX, endY] = [x + 10, y + (endY - y) * 0.2];
    } else if (outcome === LOST && deliveries.early[way]) {
      [endX, endY] = [endX + Math.min(8, this.slant()), endY - Math.sign(endY - y) * layout.laneHeight * LOST_SHORT];
    } else if (outcome === LOST) {
      endY -= Math.sign(endY - y) * 5;
    } else if (deliveries.send[way] < 0) {
      [x, y] = [endX - 10, endY - Math.sign(endY - layout.laneY(from)) * 12];
    }
    const key = deliveries.type[way] * 4 + outcome;
    if (!this.styles.has(key)) {
      this.styles.set(key, []);
    }
    this.styles.get(key).push(this.ways.length);
    this.ways.push(way);
    this.ends.push(x, y, endX, endY);
    if (outcome === LOST) {
      this.lost.push(this.ways.length - 1);
    }
  }

  // A slant for losses that happened with no time passed.
  slant() {
    return 2000 / this.scene.view.step;
  }

  paint() {
    const {context, palette} = this.scene;
    const heads = this.ways.length <= MOST_HEADS;
    context.lineJoin = "round";
    for (const [key, members] of this.styles) {
      const number = key >> 2;
      const outcome = key & 3;
      const style = messageStyle(this.scene.model.deliveries.types[number], number);
      context.strokeStyle = palette.get(style.colour);
      context.fillStyle = context.strokeStyle;
      context.lineWidth = style.width;
      context.globalAlpha = style.open ? 0.75 : 1;
      context.setLineDash(outcome === LOST ? [4, 3] : outcome === DUPLICATE ? [1.5, 3] : []);
      context.beginPath();
      for (const line of members) {
        context.moveTo(this.ends[4 * line], this.ends[4 * line + 1]);
        context.lineTo(this.ends[4 * line + 2], this.ends[4 * line + 3]);
      }
      context.stroke();
      context.setLineDash([]);
      if (heads && outcome !== LOST) {
        this.paintHeads(members, style.open, outcome === UNDERWAY);
      }
    }
    context.globalAlpha = 1;
    this.paintLosses();
  }

  paintHeads(members, open, ring) {
    const {context} = this.scene;
    context.beginPath();
    for (const line of members) {
      const [x, y, endX, endY] = this.ends.slice(4 * line, 4 * line + 4);
      if (ring) {
        context.moveTo(endX + 3, endY);
        context.arc(endX, endY, 3, 0, 2 * Math.PI);
        continue;
      }
      const angle = Math.atan2(endY - y, endX - x);
      const wing = open ? 0.5 : 0.4;
      const length = 7;
      context.moveTo(endX - length * Math.cos(angle - wing), endY - length * Math.sin(angle - wing));
      context.lineTo(endX, endY);
      context.lineTo(endX - length * Math.cos(angle + wing), endY - length * Math.sin(angle + wing));
      if (!open) {
        context.closePath();
      }
    }
    if (open || ring) {
      context.stroke();
    } else {
      context.fill();
    }
  }

  paintLosses() {
    const {context, palette} = this.scene;
    context.strokeStyle = palette.get("loss");
    context.lineWidth = 2;
    context.beginPath();
    for (const line of this.lost) {
      addShape(context, "cross", this.ends[4 * line + 2], this.ends[4 * line + 3], 7);
    }
    context.stroke();
  }

  // Types, and why messages were lost, along the arrows. Painted over the lanes, and so between them.
  paintWords() {
    if (this.ways.length > MOST_WORDS) {
      return;
    }
    const {context, model, palette, trace} = this.scene;
    const {deliveries} = model;
    context.font = FONT;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    context.lineWidth = 3;
    const taken = [];
    this.ways.forEach((way, line) => {
      const number = deliveries.type[way];
      const why = deliveries.outcome[way] === LOST ? ` ✕ ${trace.get(deliveries.finish[way], "why")}` : "";
      const text = deliveries.types[number].replace(/^AppendEntries(?=.)/, "") + why;
      const place = this.placeOfWords(line, context.measureText(text).width, taken);
      if (place === null) {
        return;
      }
      context.save();
      context.translate(place.x, place.y);
      context.rotate(place.angle);
      context.strokeStyle = palette.get("paper");
      context.strokeText(text, 0, -2);
      context.fillStyle = palette.get(messageStyle(deliveries.types[number], number).colour);
      context.fillText(text, 0, -2);
      context.restore();
    });
  }

  // A place along the arrow that is in view, on no lane and on no other words; null where there is none.
  placeOfWords(line, width, taken) {
    const {layout, view} = this.scene;
    const [x, y, endX, endY] = this.ends.slice(4 * line, 4 * line + 4);
    const length = Math.hypot(endX - x, endY - y);
    const [right, down] = [(endX - x) / length, (endY - y) / length];
    for (const share of WORD_PLACES) {
      const middle = {x: x + share * (endX - x), y: y + share * (endY - y)};
      const touched = [];
      for (let along = -width / 2; along <= width / 2; along += 8) {
        touched.push([middle.x + along * right, middle.y + along * down]);
      }
      const free = length > width + 20 && share * length > width / 2 && (1 - share) * length > width / 2 &&
        touched.every(([atX, atY]) => atX > view.left && atX < view.left + view.width &&
          layout.nodes.every((number) => Math.abs(layout.laneY(number) - atY) > layout.band / 2 + 4) &&
          taken.every(([otherX, otherY]) => Math.abs(otherX - atX) + Math.abs(otherY - atY) > 15));
      if (free) {
        taken.push(...touched);
        const angle = Math.atan2(down, right);
        return {...middle, angle: Math.abs(angle) > Math.PI / 2 ? angle + Math.PI : angle};
      }
    }
    return null;
  }

  // The way whose arrow is nearest to a point, if one is near.
  nearest(x, y, reach) {
    let best = -1;
    let least = reach * reach;
    for (let line = 0; line < this.ways.length; line++) {
      const position = 4 * line;
      const distance = squaredDistance(x, y, this.ends[position], this.ends[position + 1], this.ends[position + 2],
        this.ends[position + 3]);
      if (distance < least) {
        least = distance;
        best = this.ways[line];
      }
    }
    return best;
  }
}

// From a point to a stretch of line.
function squaredDistance(x, y, x1, y1, x2, y2) {
  const length = (x2 - x1) ** 2 + (y2 - y1) ** 2;
  const share = length ? Math.min(1, Math.max(0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length)) : 0;
  return (x1 + share * (x2 - x1) - x) ** 2 + (y1 + share * (y2 - y1) - y) ** 2;
}

// Bars over each lane: how many messages its node sent, stacked by type, losses on top. One scale for all.
function paintTraffic(scene, dense) {
  if (!dense.length) {
    return;
  }
  const {context, layout, model, palette, view} = scene;
  const {deliveries} = model;
  const bins = Math.ceil(view.width / TRAFFIC_BIN);
  const types = deliveries.types.length;
  const layers = types + 1;
  const counts = new Uint32Array(model.nodes.length * bins * layers);
  const totals = new Uint32Array(model.nodes.length * bins);
  let highest = 1;
  for (const way of dense) {
    const bin = Math.floor((view.x(deliveries.start[way]) - view.left) / TRAFFIC_BIN);
    if (bin >= 0 && bin < bins) {
      const place = deliveries.from[way] * bins + bin;
      counts[place * layers + (deliveries.outcome[way] === LOST ? types : deliveries.type[way])]++;
      highest = Math.max(highest, ++totals[place]);
    }
  }
  const room = layout.laneHeight / 2 - layout.band / 2 - 22;
  for (let layer = 0; layer < layers; layer++) {
    context.fillStyle = palette.get(layer === types ? "loss" : messageStyle(deliveries.types[layer], layer).colour);
    context.globalAlpha = layer === types ? 1 : 0.7;
    context.beginPath();
    for (const number of layout.nodes) {
      const base = layout.laneTop(number) + layout.laneHeight - 1;
      for (let bin = 0; bin < bins; bin++) {
        const place = number * bins + bin;
        const count = counts[place * layers + layer];
        if (count) {
          let below = 0;
          for (let other = 0; other < layer; other++) {
            below += counts[place * layers + other];
          }
          const height = (count / highest) * room;
          context.rect(view.left + bin * TRAFFIC_BIN, base - (below / highest) * room - height, TRAFFIC_BIN - 0.5, height);
        }
      }
    }
    context.fill();
  }
  context.globalAlpha = 1;
}
