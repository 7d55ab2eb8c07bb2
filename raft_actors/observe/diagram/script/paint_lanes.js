// The lanes: who was up, in which role and term, and what was done to it.

const FONT = "11px system-ui, sans-serif";
const BOLD = "600 12px system-ui, sans-serif";

function paintLaneGrounds(scene) {
  const {context, layout, palette, view} = scene;
  layout.nodes.forEach((number, place) => {
    if (place % 2) {
      context.fillStyle = palette.get("stripe");
      context.fillRect(view.left, layout.laneTop(number), view.width, layout.laneHeight);
    }
  });
  if (scene.filter.shows("fault")) {
    for (const fault of scene.model.faults) {
      if (fault.end >= view.start && fault.start <= view.end && fault.end > fault.start) {
        paintFaultGround(scene, fault);
      }
    }
  }
}

// Shades the lanes that a fault is about; a partition's groups by the letter and colour of each.
function paintFaultGround(scene, fault) {
  const {context, layout, palette, view} = scene;
  const [left, right] = clipped(view, fault.start, fault.end);
  const shade = (number, paint) => {
    if (layout.places.has(number)) {
      paint(layout.laneTop(number));
    }
  };
  fault.groups.forEach((group, position) => group.forEach((number) => shade(number, (top) => {
    context.fillStyle = palette.get(`group${position % 4}`);
    context.fillRect(left, top, right - left, layout.laneHeight);
    if (right - left > 14) {
      context.fillStyle = palette.get("faint");
      context.font = BOLD;
      context.textAlign = "left";
      context.textBaseline = "top";
      context.fillText(String.fromCharCode(65 + position), left + 4, top + 3);
    }
  })));
  if (!fault.groups.length) {
    fault.nodes.forEach((number) => shade(number, (top) => {
      context.fillStyle = palette.hatch(context, "fault-hatch", 8);
      context.fillRect(left, top, right - left, layout.laneHeight);
    }));
  }
}

function clipped(view, start, end) {
  const left = Math.max(view.x(start), view.left - 2);
  return [left, Math.max(Math.min(view.x(end), view.left + view.width + 2), left + 1)];
}

function paintBands(scene) {
  const {model, layout, view} = scene;
  for (const number of layout.nodes) {
    const lane = model.lanes[number];
    const top = layout.laneY(number) - layout.band / 2;
    for (const down of lane.down) {
      if (down.end >= view.start && down.start <= view.end) {
        paintDown(scene, number, down);
      }
    }
    for (const span of lane.roles) {
      if (span.end >= view.start && span.start <= view.end) {
        paintRole(scene, span, top);
      }
    }
    if (scene.filter.shows("pause")) {
      for (const pause of lane.pauses) {
        if (pause.end >= view.start && pause.start <= view.end) {
          paintPause(scene, pause, top);
        }
      }
    }
  }
}

function paintRole(scene, span, top) {
  const {context, layout, palette, view} = scene;
  const [left, right] = clipped(view, span.start, span.end);
  const role = ROLES.includes(span.role) ? span.role : "other-role";
  const gap = right - left > 4 ? 1 : 0; // so that a new term shows
  context.globalAlpha = scene.filter.inTerms(span.term) ? 1 : 0.25;
  context.fillStyle = palette.get(role);
  context.fillRect(left, top, right - left - gap, layout.band);
  if (role === "candidate") {
    context.fillStyle = palette.hatch(context, "candidate-hatch");
    context.fillRect(left, top, right - left - gap, layout.band);
  }
  const words = [`${span.role} · term ${span.term}`, `${span.role[0].toUpperCase()} · ${span.term}`, `${span.term}`];
  context.font = FONT;
  const inset = span.fresh && left >= view.left ? 14 : 5; // beside the mark of a start
  const fitting = right - left < 10 ? undefined
    : words.find((text) => context.measureText(text).width < right - left - inset - 5);
  if (fitting !== undefined) {
    context.fillStyle = palette.get(`${role}-text`);
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(fitting, Math.max(left, view.left) + inset, top + layout.band / 2 + 0.5);
  }
  context.globalAlpha = 1;
}

// No band, but a dashed line until the node is back.
function paintDown(scene, number, down) {
  const {context, layout, palette, view} = scene;
  const [left, right] = clipped(view, down.start, down.end);
  const y = layout.laneY(number);
  context.fillStyle = palette.hatch(context, "down-hatch", 7);
  context.fillRect(left, layout.laneTop(number), right - left, layout.laneHeight);
  context.strokeStyle = palette.get("loss");
  context.setLineDash([3, 4]);
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(left, y);
  context.lineTo(right, y);
  context.stroke();
  context.setLineDash([]);
  const words = {power: "power lost", error: "stopped by an error"}[down.why] ?? (down.kind === "stop" ? "stopped" : "down");
  label(scene, words, Math.max(left, view.left) + 12, y, right - left - 20, "loss");
}

function paintPause(scene, pause, top) {
  const {context, layout, palette, view} = scene;
  const [left, right] = clipped(view, pause.start, pause.end);
  context.fillStyle = palette.get("pause-veil");
  context.fillRect(left, top - 3, right - left, layout.band + 6);
  context.fillStyle = palette.hatch(context, "pause-hatch", 5);
  context.fillRect(left, top - 3, right - left, layout.band + 6);
  context.strokeStyle = palette.get("ink");
  context.lineWidth = 1;
  context.strokeRect(left + 0.5, top - 2.5, right - left - 1, layout.band + 5);
  label(scene, "paused", Math.max(left, view.left) + 14, top + layout.band / 2, right - left - 20, "ink");
}

// Text on a ground of its own, where it fits.
function label(scene, text, x, y, room, colour) {
  const {context, palette} = scene;
  context.font = FONT;
  const width = context.measureText(text).width;
  if (width > room) {
    return false;
  }
  context.fillStyle = palette.get("paper");
  context.fillRect(x - 3, y - 7, width + 6, 14);
  context.fillStyle = palette.get(colour);
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillText(text, x, y + 0.5);
  return true;
}

// Names at the left, over whatever reached there.
function paintGutter(scene, focused) {
  const {context, layout, model, palette, view} = scene;
  context.fillStyle = palette.get("paper");
  context.fillRect(0, 0, view.left, layout.height);
  context.textBaseline = "middle";
  for (const number of layout.nodes) {
    const y = layout.laneY(number);
    context.font = BOLD;
    context.textAlign = "right";
    context.fillStyle = palette.get("ink");
    context.fillText(fittedText(context, model.nodes[number], view.left - 18), view.left - 10, y);
    if (number === focused) {
      context.fillStyle = palette.get("accent");
      context.fillRect(view.left - 4, layout.laneTop(number), 3, layout.laneHeight);
    }
  }
  context.font = FONT;
  context.fillStyle = palette.get("faint");
  layout.clientRows.owners.forEach((client, row) => {
    const text = fittedText(context, client, view.left - 12);
    context.fillText(text, view.left - 10, layout.clientTop + (row + 0.5) * CLIENT_HEIGHT);
  });
  if (layout.faultRows.count) {
    context.fillText("faults", view.left - 10, layout.faultTop + FAULT_HEIGHT / 2);
  }
  context.fillStyle = palette.get("line");
  context.fillRect(view.left - 1, AXIS_HEIGHT, 1, layout.height - AXIS_HEIGHT);
}

function fittedText(context, text, room) {
  if (context.measureText(text).width <= room) {
    return text;
  }
  let length = text.length;
  while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > room) {
    length--;
  }
  return length ? `${text.slice(0, length)}…` : "";
}
