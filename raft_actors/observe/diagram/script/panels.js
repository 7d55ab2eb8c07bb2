// The legend, which is the filter too, and the list of events.

const MOST_LISTED = 300;

// A checkbox with its sample of what it shows.
class FilterPanel {
  constructor(section, scene, changed) {
    this.section = section;
    this.scene = scene;
    this.changed = changed;
    this.build();
  }

  build() {
    const {filter, model, trace} = this.scene;
    const all = element("button", {type: "button", id: "show-all"}, "Show all");
    all.addEventListener("click", () => {
      filter.showAll();
      this.build();
      this.changed();
    });
    const parts = [this.roleLegend(), this.group("Messages", "type", model.deliveries.types.map((type, number) =>
      ({value: number, words: type, count: countWhere(model.deliveries.type, number), sample: messageSample(type, number)})))];
    parts.push(this.group("Outcome of messages", "outcome", OUTCOME_WORDS.map((words, outcome) =>
      ({value: outcome, words, count: countWhere(model.deliveries.outcome, outcome), sample: outcomeSample(outcome)}))
      .filter(({count}) => count)));
    const kinds = new Map();
    for (const kind of trace.kinds.filter((one) => !OF_MESSAGES.has(one) && one !== "role")) {
      const counts = kindGroup(kind) === kind || kind === "stop"; // an end is no event of its own
      kinds.set(kindGroup(kind), (kinds.get(kindGroup(kind)) ?? 0) + (counts ? trace.events(kind).length : 0));
    }
    parts.push(this.group("Events", "kind", [...kinds].sort(byLegend).map(([kind, count]) =>
      ({value: kind, words: kindWords(kind), count, sample: kindSample(kind)}))));
    if (model.calls.length) {
      parts.push(callLegend());
    }
    parts.push(this.group("Nodes", "node", model.nodes.map((name, number) => ({value: number, words: name}))));
    parts.push(this.termGroup(), all);
    this.section.replaceChildren(...parts);
    this.paintSamples();
  }

  group(title, name, choices) {
    const {filter} = this.scene;
    const set = element("fieldset", {}, element("legend", {}, title));
    for (const {value, words, count, sample} of choices) {
      const box = element("input", {type: "checkbox", checked: !filter.hidden[name].has(value)});
      box.dataset.filter = `${name}:${words}`;
      box.addEventListener("change", () => {
        filter.toggle(name, value, box.checked);
        this.changed();
      });
      const line = element("label", {title: words}, box);
      if (sample) {
        line.append(sampleCanvas(sample));
      }
      line.append(element("span", {className: "words"}, words));
      if (count !== undefined) {
        line.append(element("span", {className: "count"}, count.toLocaleString("en")));
      }
      set.append(line);
    }
    return set;
  }

  roleLegend() {
    const set = element("fieldset", {}, element("legend", {}, "Roles"));
    for (const role of ROLES) {
      set.append(element("div", {className: "line"}, sampleCanvas((scene) => {
        const {context, palette} = scene;
        context.fillStyle = palette.get(role);
        context.fillRect(1, 3, 28, 10);
        if (role === "candidate") {
          context.fillStyle = palette.hatch(context, "candidate-hatch");
          context.fillRect(1, 3, 28, 10);
        }
      }), element("span", {className: "words"}, role)));
    }
    return set;
  }

  termGroup() {
    const {filter, model} = this.scene;
    const set = element("fieldset", {className: "terms"}, element("legend", {}, "Terms"));
    const boxes = ["from", "to"].map((words, side) => {
      const chosen = filter.terms[side];
      const box = element("input", {type: "number", min: 0, max: model.highestTerm, id: `term-${words}`,
        value: Number.isFinite(chosen) ? chosen : model.highestTerm});
      set.append(element("label", {}, `${words} `, box));
      return box;
    });
    boxes.forEach((box) => box.addEventListener("input", () => {
      const [from, to] = boxes.map((one) => one.value === "" ? NaN : Number(one.value));
      filter.showTerms(from || 0, Number.isNaN(to) || to >= model.highestTerm ? Infinity : to);
      this.changed();
    }));
    return set;
  }

  // The samples are small pictures, painted like the large one.
  paintSamples() {
    for (const canvas of this.section.querySelectorAll("canvas")) {
      sizeCanvas(canvas, 30, 16);
      canvas.paintSample({context: cleared(canvas), palette: this.scene.palette});
    }
  }
}

function countWhere(numbers, wanted) {
  return numbers.reduce((count, number) => count + Number(number === wanted), 0);
}

function byLegend([one], [other]) {
  const order = Object.keys(MARK_STYLES);
  const place = (kind) => (order.indexOf(kind) + order.length + 1) % (order.length + 1); // unknown ones last
  return place(one) - place(other);
}

function kindWords(kind) {
  const words = {start: "start, stop", fault: "faults", call: "client calls"};
  return (Object.hasOwn(words, kind) ? words[kind] : markStyle(kind).words) || kind;
}

function sampleCanvas(paint) {
  const canvas = element("canvas", {className: "sample"});
  canvas.setAttribute("aria-hidden", "true");
  canvas.paintSample = paint;
  return canvas;
}

function messageSample(type, number) {
  return ({context, palette}) => {
    const style = messageStyle(type, number);
    context.strokeStyle = palette.get(style.colour);
    context.fillStyle = context.strokeStyle;
    context.lineWidth = style.width;
    context.beginPath();
    context.moveTo(1, 8);
    context.lineTo(27, 8);
    context.stroke();
    context.beginPath();
    context.moveTo(21, 4);
    context.lineTo(28, 8);
    context.lineTo(21, 12);
    if (style.open) {
      context.stroke();
    } else {
      context.fill();
    }
  };
}

function outcomeSample(outcome) {
  return ({context, palette}) => {
    context.strokeStyle = palette.get("ink");
    context.lineWidth = 1.3;
    context.setLineDash(outcome === LOST ? [4, 3] : outcome === DUPLICATE ? [1.5, 3] : []);
    context.beginPath();
    context.moveTo(1, 8);
    context.lineTo(outcome === RECEIVED || outcome === DUPLICATE ? 28 : 19, 8);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    if (outcome === LOST) {
      context.strokeStyle = palette.get("loss");
      context.lineWidth = 2;
      addShape(context, "cross", 23, 8, 7);
    } else if (outcome === UNDERWAY) {
      addShape(context, "ring", 22, 8, 8);
    } else {
      context.moveTo(22, 4);
      context.lineTo(28, 8);
      context.lineTo(22, 12);
    }
    context.stroke();
  };
}

function kindSample(kind) {
  return ({context, palette}) => {
    const style = markStyle(kind);
    if (kind === "fault" || kind === "call") {
      context.fillStyle = palette.get(kind === "fault" ? "fault" : "call-ok");
      context.fillRect(1, 3, 28, 10);
      context.fillStyle = palette.get(kind === "fault" ? "fault-edge" : "call-ok");
      context.fillRect(1, 3, 3, 10);
      return;
    }
    context.strokeStyle = palette.get(style.colour);
    context.fillStyle = context.strokeStyle;
    context.lineWidth = 2;
    const shapes = kind === "crash" ? ["cross", "bolt"] : [style.shape];
    shapes.forEach((shape, position) => {
      context.beginPath();
      if (addShape(context, shape, shapes.length > 1 ? 9 + 13 * position : 15, 8, 9)) {
        context.fill();
      } else {
        context.stroke();
      }
    });
  };
}

function callLegend() {
  const set = element("fieldset", {}, element("legend", {}, "Outcome of calls"));
  for (const outcome of ["ok", "error", "unknown"]) {
    set.append(element("div", {className: "line"}, sampleCanvas(({context, palette}) => {
      context.fillStyle = palette.get(`call-${outcome}`);
      context.fillRect(1, 3, 28, 10);
      if (outcome !== "ok") {
        context.fillStyle = palette.hatch(context, "paper", outcome === "error" ? 4 : 8);
        context.fillRect(1, 3, 28, 10);
      }
    }), element("span", {className: "words"}, outcome === "unknown" ? "unknown, or open" : outcome)));
  }
  return set;
}

// The events in view as text: also for those who don't see the picture.
class EventList {
  constructor(panel, scene, choose) {
    this.panel = panel;
    this.scene = scene;
    this.choose = choose;
  }

  // Those in view, or else the given ones (what a search found).
  show(matches, selected) {
    if (this.panel.hidden) {
      return;
    }
    const {trace, filter, view} = this.scene;
    const events = [];
    let count = 0;
    const from = lowerBound(trace.time, view.start);
    const to = upperBound(trace.time, view.end);
    for (let event = from; event < to && count <= MOST_LISTED; event++) {
      if ((matches === null || contains(matches, event)) && filter.passes(event)) {
        count++;
        events.push(event);
      }
    }
    const what = matches === null ? "events in view" : "matches in view";
    const note = count > MOST_LISTED ? `The first ${MOST_LISTED} ${what}: zoom in for the others.` : `${count} ${what}.`;
    const list = element("ol", {className: "events"});
    for (const event of events.slice(0, MOST_LISTED)) {
      const button = element("button", {type: "button", className: `link kind-${trace.kind(event)}`},
        element("time", {}, moment(trace.time[event])), " ", shortened(sentence(trace, event)));
      button.dataset.event = event;
      if (event === selected) {
        button.setAttribute("aria-current", "true");
      }
      button.addEventListener("click", () => this.choose(event));
      list.append(element("li", {}, button));
    }
    this.panel.replaceChildren(element("p", {className: "hint"}, note), list);
  }
}

function contains(sorted, value) {
  return sorted[lowerBound(sorted, value)] === value;
}
