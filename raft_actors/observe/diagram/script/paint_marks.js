// What happened on a node: marks above its lane (log and disk), on it (life), and below it (commit and apply).

const LEAST_GAP = 9; // pixels between marks of a kind that stand for one event each
const WORDS_GAP = 52; // ... and that have room for their numbers

function paintMarks(scene) {
  const {filter, layout, trace, view} = scene;
  const kinds = [...trace.kinds].sort((one, other) => Math.abs(markStyle(other).row) - Math.abs(markStyle(one).row));
  for (const number of layout.nodes) {
    const rows = new Map(); // how many marks of any kind are in view in each
    const ranges = new Map();
    for (const [kind, {times}] of filter.marks[number]) {
      const {row} = markStyle(kind);
      const range = [lowerBound(times, view.start - 6 * view.step), upperBound(times, view.end + 6 * view.step)];
      ranges.set(kind, range);
      rows.set(row, (rows.get(row) ?? 0) + range[1] - range[0]);
    }
    for (const kind of kinds) {
      if (ranges.has(kind)) {
        const worded = view.width / rows.get(markStyle(kind).row) > WORDS_GAP / 2;
        paintKind(scene, kind, number, filter.marks[number].get(kind), ranges.get(kind), worded);
      }
    }
  }
}

function paintKind(scene, kind, number, {events, times}, [from, to], worded) {
  const {context, layout, palette, view} = scene;
  if (from === to) {
    return;
  }
  const style = markStyle(kind);
  const y = layout.markY(number, style.row);
  const gap = view.width / (to - from);
  context.strokeStyle = palette.get(style.colour);
  context.fillStyle = context.strokeStyle;
  context.lineWidth = style.row === 0 ? 2.5 : 1.8;
  context.beginPath();
  if (style.row !== 0 && gap < LEAST_GAP) {
    paintTicks(context, view, times, from, to, y);
    return;
  }
  if (style.row === 0) { // on the band's colours
    paintBacked(scene, kind, events.slice(from, to), y);
    return;
  }
  let filled = false;
  for (let position = from; position < to; position++) {
    filled = addShape(context, style.shape, view.x(times[position]), y, MARK_SIZE);
  }
  if (filled) {
    context.fill();
  } else {
    context.stroke();
  }
  if (worded) {
    context.font = FONT;
    context.textAlign = "left";
    context.textBaseline = "middle";
    for (let position = from; position < to; position++) {
      const x = view.x(times[position]);
      if (position + 1 === times.length || view.x(times[position + 1]) - x > WORDS_GAP) {
        context.fillText(markWords(scene.trace, events[position]), x + MARK_SIZE, y + 0.5);
      }
    }
  }
}

// Too many to tell apart: a tick for each pixel that has one, and one stroke for those side by side.
function paintTicks(context, view, times, from, to, y) {
  let start = NaN;
  let last = NaN;
  for (let position = from; position < to; position++) {
    const x = Math.round(view.x(times[position]));
    if (x > last + 1) {
      context.rect(start, y - 2, last + 1 - start, 4);
    }
    if (!(x <= last + 1)) {
      start = x;
    }
    last = x;
  }
  context.rect(start, y - 2, last + 1 - start, 4);
  context.globalAlpha = 0.5;
  context.fill();
  context.globalAlpha = 1;
}

// Life and death, each on a ground of its own, as the bands have many colours. Where the end of a pause or of a down
// time is next to its beginning, the beginning speaks for both.
function paintBacked(scene, kind, events, y) {
  const {context, model, palette, trace, view} = scene;
  for (const event of events) {
    const partner = model.partners.get(event) ?? event;
    if (partner < event && view.x(trace.time[event]) - view.x(trace.time[partner]) < 16) {
      continue;
    }
    const style = markStyle(kind);
    const shape = kind === "crash" && trace.get(event, "why") === "power" ? "bolt" : style.shape;
    const x = view.x(trace.time[event]);
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    context.fillStyle = palette.get("paper");
    context.strokeStyle = palette.get(style.colour);
    context.lineWidth = 1.5;
    context.fill();
    context.stroke();
    context.beginPath();
    const filled = addShape(context, shape, x, y, shape === "cross" ? 7 : 8);
    context.fillStyle = context.strokeStyle;
    context.lineWidth = 2.2;
    if (filled) {
      context.fill();
    } else {
      context.stroke();
    }
  }
}

// The numbers that a mark has room for.
function markWords(trace, event) {
  const get = (field) => trace.get(event, field);
  switch (trace.kind(event)) {
    case "append":
    case "apply":
      return span(get("first_index"), get("last_index"));
    case "truncate":
      return `from ${get("from_index")}`;
    case "durable":
      return `t${get("term")} ·${get("last_index")}`;
    case "commit":
    case "snapshot":
      return `${get("index")}`;
    default:
      return trace.kind(event);
  }
}
