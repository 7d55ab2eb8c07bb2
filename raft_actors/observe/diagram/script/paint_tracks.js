// What belongs to no single lane: the time axis, faults, client calls, and the line of a broken invariant.

const TICK_ROOM = 110; // pixels between two labels of the axis

function tickStep(view) {
  const rough = view.step * TICK_ROOM;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

function paintAxis(scene) {
  const {context, layout, palette, view} = scene;
  const step = tickStep(view);
  context.font = FONT;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const first = Math.max(view.start, Math.min(scene.trace.start, 0)); // no time before the beginning
  for (let tick = Math.ceil(first / step); tick * step <= view.end; tick++) {
    const x = Math.round(view.x(tick * step));
    context.fillStyle = palette.get("grid");
    context.fillRect(x, AXIS_HEIGHT - 4, 1, layout.height - AXIS_HEIGHT + 4);
    context.fillStyle = palette.get("faint");
    context.fillText(moment(tick * step, step), x, AXIS_HEIGHT / 2);
  }
  context.fillStyle = palette.get("line");
  context.fillRect(view.left, AXIS_HEIGHT - 1, view.width, 1);
}

function paintFaults(scene) {
  const {context, layout, model, palette, view} = scene;
  if (!layout.faultRows.count) {
    return;
  }
  model.faults.forEach((fault, position) => {
    if (fault.end < view.start || fault.start > view.end || !scene.filter.inTerms(-1)) {
      return;
    }
    const [left, right] = clipped(view, fault.start, fault.end);
    const y = layout.faultY(position);
    const width = Math.max(right - left, 3);
    context.fillStyle = palette.get("fault");
    context.fillRect(left, y + 2, width, FAULT_HEIGHT - 3);
    context.fillStyle = palette.get("fault-edge");
    context.fillRect(left, y + 2, Math.min(3, width), FAULT_HEIGHT - 3);
    if (width > 24) {
      context.font = FONT;
      context.textAlign = "left";
      context.textBaseline = "middle";
      context.fillStyle = palette.get("fault-text");
      const words = fittedText(context, fault.text ? `${fault.what}: ${fault.text}` : fault.what,
        width - 10 - Math.max(view.left - left, 0));
      context.fillText(words, Math.max(left, view.left) + 6, y + FAULT_HEIGHT / 2 + 1);
    }
  });
}

function paintCalls(scene) {
  const {context, layout, model, palette, view} = scene;
  if (!layout.clientRows.count) {
    return;
  }
  context.fillStyle = palette.get("line");
  context.fillRect(view.left, layout.lanesEnd + 3, view.width, 1);
  model.calls.forEach((call, position) => {
    if (call.end < view.start || call.start > view.end) {
      return;
    }
    const [left, right] = clipped(view, call.start, call.end);
    const width = Math.max(right - left, 2);
    const y = layout.clientY(position) + 2;
    const height = CLIENT_HEIGHT - 4;
    const outcome = ["ok", "error", "unknown"].includes(call.outcome) ? call.outcome : "unknown";
    context.fillStyle = palette.get(`call-${outcome}`);
    context.fillRect(left, y, width, height);
    if (outcome !== "ok") {
      context.fillStyle = palette.hatch(context, "paper", outcome === "error" ? 4 : 8);
      context.fillRect(left, y, width, height);
    }
    if (width > 44 && !layout.clientRows.shared) {
      const words = `${call.text}${outcome === "ok" ? "" : ` → ${call.outcome}`}`;
      context.font = "10px system-ui, sans-serif";
      const fitted = fittedText(context, words, width - 10 - Math.max(view.left - left, 0));
      const x = Math.max(left, view.left) + 4;
      context.fillStyle = palette.get("call-ground");
      context.fillRect(x - 2, y, context.measureText(fitted).width + 4, height);
      context.fillStyle = palette.get("ink");
      context.textAlign = "left";
      context.textBaseline = "middle";
      context.fillText(fitted, x, y + height / 2 + 0.5);
    }
  });
}

// A line through everything and a flag that says what it is: nobody shall miss it.
function paintBroken(scene) {
  const {context, layout, model, palette, trace, view} = scene;
  if (!scene.filter.shows("broken")) {
    return;
  }
  for (const event of model.broken) {
    const x = view.x(trace.time[event]);
    if (x < view.left || x > view.left + view.width) {
      continue;
    }
    context.fillStyle = palette.get("broken-glow");
    context.fillRect(x - 6, AXIS_HEIGHT, 12, layout.height);
    context.fillStyle = palette.get("broken");
    context.fillRect(x - 1.5, 2, 3, layout.height);
    context.font = BOLD;
    const words = `✖ ${trace.get(event, "invariant") ?? "broken"}`;
    const width = context.measureText(words).width + 12;
    const left = x + width > view.left + view.width ? x - width : x;
    context.fillRect(left, 2, width, AXIS_HEIGHT - 4);
    context.fillStyle = palette.get("broken-text");
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(words, left + 6, AXIS_HEIGHT / 2 + 0.5);
    const lane = layout.places.has(model.nodeOf[event]) ? layout.laneY(model.nodeOf[event]) : null;
    if (lane !== null) {
      context.strokeStyle = palette.get("broken");
      context.lineWidth = 3;
      context.beginPath();
      context.arc(x, lane, 13, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}
