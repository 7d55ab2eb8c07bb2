// Colours and shapes, for the picture and its legend alike. The colours stand in style.css, once for light and once for
// dark; they are told apart by people who are colour-blind too, and none of them means anything without a shape or word.

const MESSAGE_STYLES = {
  RequestVote: {colour: "vote", width: 1.8},
  RequestVoteReply: {colour: "vote", width: 1, open: true},
  AppendEntries: {colour: "append", width: 1.5},
  AppendEntriesAccepted: {colour: "accept", width: 1, open: true},
  AppendEntriesRejected: {colour: "reject", width: 1.5, open: true},
  InstallSnapshot: {colour: "snapshot", width: 1.8},
  InstallSnapshotReply: {colour: "snapshot", width: 1, open: true},
};
const OTHER_MESSAGE_COLOURS = ["other1", "other2", "other3"];

function messageStyle(type, number) {
  return Object.hasOwn(MESSAGE_STYLES, type)
    ? MESSAGE_STYLES[type]
    : {colour: OTHER_MESSAGE_COLOURS[number % OTHER_MESSAGE_COLOURS.length], width: 1.3, open: type.endsWith("Reply")};
}

// Where the marks of a kind stand beside the lane (rows count away from it, up if negative), and their shape.
const MARK_STYLES = {
  append: {row: -1, shape: "plus", colour: "log", words: "append to the log"},
  truncate: {row: -1, shape: "cut", colour: "loss", words: "truncate the log"},
  durable: {row: -2, shape: "square", colour: "disk", words: "write is durable"},
  snapshot: {row: -2, shape: "diamond", colour: "snapshot", words: "snapshot"},
  commit: {row: 1, shape: "triangle", colour: "commit", words: "commit"},
  apply: {row: 2, shape: "disc", colour: "apply", words: "apply"},
  start: {row: 0, shape: "play", colour: "ink", words: "start, restart"},
  stop: {row: 0, shape: "halt", colour: "ink", words: "stop"},
  crash: {row: 0, shape: "cross", colour: "loss", words: "crash"},
  disconnect: {row: 0, shape: "cut", colour: "loss", words: "connection ended"},
  pause: {row: 0, shape: "bars", colour: "ink", words: "pause, resume"},
  resume: {row: 0, shape: "play", colour: "ink", words: "resume"},
  broken: {row: 0, shape: "flag", colour: "broken", words: "broken invariant"},
};
const OTHER_MARK = {row: 2, shape: "ring", colour: "ink", words: ""};

function markStyle(kind) {
  return Object.hasOwn(MARK_STYLES, kind) ? MARK_STYLES[kind] : OTHER_MARK;
}

const ROLES = ["follower", "candidate", "leader"];

// Adds the shape's outline to a path, around (x, y). Returns whether it is to be filled rather than stroked.
function addShape(path, shape, x, y, size) {
  const half = size / 2;
  switch (shape) {
    case "plus":
      path.moveTo(x - half, y);
      path.lineTo(x + half, y);
      path.moveTo(x, y - half);
      path.lineTo(x, y + half);
      return false;
    case "cross":
      path.moveTo(x - half, y - half);
      path.lineTo(x + half, y + half);
      path.moveTo(x - half, y + half);
      path.lineTo(x + half, y - half);
      return false;
    case "cut":
      path.moveTo(x + half, y - half);
      path.lineTo(x - half, y);
      path.lineTo(x + half, y + half);
      return false;
    case "bars":
      path.rect(x - half, y - half, size / 3, size);
      path.rect(x + half - size / 3, y - half, size / 3, size);
      return true;
    case "bolt":
      polygon(path, [[x + half * 0.5, y - half * 1.3], [x - half * 0.8, y + half * 0.2], [x, y + half * 0.2],
        [x - half * 0.5, y + half * 1.3], [x + half * 0.8, y - half * 0.2], [x, y - half * 0.2]]);
      return true;
    case "flag":
      path.rect(x - half, y - half, size / 6, size * 1.2);
      path.rect(x - half, y - half, size, size * 0.6);
      return true;
    case "square":
    case "halt":
      path.rect(x - half * 0.85, y - half * 0.85, size * 0.85, size * 0.85);
      return true;
    case "diamond":
      polygon(path, [[x, y - half * 1.2], [x + half * 1.2, y], [x, y + half * 1.2], [x - half * 1.2, y]]);
      return true;
    case "triangle":
      polygon(path, [[x, y - half], [x + half, y + half], [x - half, y + half]]);
      return true;
    case "play":
      polygon(path, [[x - half * 0.7, y - half], [x + half, y], [x - half * 0.7, y + half]]);
      return true;
    case "disc":
      path.moveTo(x + half * 0.85, y);
      path.arc(x, y, half * 0.85, 0, 2 * Math.PI);
      return true;
    default: // ring
      path.moveTo(x + half * 0.8, y);
      path.arc(x, y, half * 0.8, 0, 2 * Math.PI);
      return false;
  }
}

function polygon(path, corners) {
  corners.forEach(([x, y], position) => (position ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
}

// The colours of the style sheet by name; read anew whenever light turns into dark.
class Palette {
  constructor() {
    this.read();
  }

  read() {
    const style = getComputedStyle(document.documentElement);
    this.colours = new Map();
    this.style = style;
    this.patterns = new Map();
  }

  get(name) {
    let colour = this.colours.get(name);
    if (colour === undefined) {
      colour = this.style.getPropertyValue(`--${name}`).trim() || "gray";
      this.colours.set(name, colour);
    }
    return colour;
  }

  // Slanted lines on nothing, to lay over an area.
  hatch(context, name, gap = 6) {
    const key = `${name} ${gap}`;
    if (!this.patterns.has(key)) {
      const scale = 2;
      const tile = new OffscreenCanvas(gap * scale, gap * scale);
      const inside = tile.getContext("2d");
      inside.scale(scale, scale);
      inside.strokeStyle = this.get(name);
      inside.lineWidth = 1.4;
      inside.beginPath();
      for (const shift of [-gap, 0, gap]) {
        inside.moveTo(shift - 1, gap + 1);
        inside.lineTo(shift + gap + 1, -1);
      }
      inside.stroke();
      const pattern = context.createPattern(tile, "repeat");
      pattern.setTransform(new DOMMatrix().scale(1 / scale));
      this.patterns.set(key, pattern);
    }
    return this.patterns.get(key);
  }
}
