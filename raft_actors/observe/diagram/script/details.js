// The panel that tells all about one event. Everything from the trace is set as text, never as HTML.

// A new element: tag, properties, children (elements or text).
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const STATE_COLUMNS = [["role", "role"], ["term", "term"], ["last", "last"], ["committed", "commit"],
  ["applied", "applied"]];

class Details {
  constructor(panel, scene, choose) {
    this.panel = panel;
    this.scene = scene;
    this.choose = choose;
    this.show(-1);
  }

  show(event) {
    const {trace, model} = this.scene;
    if (event < 0) {
      this.panel.replaceChildren(element("p", {className: "hint"},
        "Click on anything in the diagram, or focus it and press n, for all about it."));
      return;
    }
    const kind = trace.kind(event);
    const title = element("h2", {className: kind === "broken" ? "loud" : ""}, sentence(trace, event));
    const parts = [title, element("p", {className: "when"},
      `${moment(trace.time[event])} · event ${trace.serial[event]} · ${kind}`)];
    parts.push(this.fieldTable(event), ...this.relatedList(event));
    if (model.nodes.length) {
      parts.push(element("h3", {}, "The cluster then"), this.stateTable(event));
    }
    parts.push(element("details", {}, element("summary", {}, "As in the trace"),
      element("pre", {}, JSON.stringify(trace.toObject(event), null, 1))));
    this.panel.replaceChildren(...parts);
    this.panel.scrollTop = 0;
  }

  fieldTable(event) {
    const list = element("dl", {className: "fields"});
    for (const [name, value] of this.scene.trace.fields(event)) {
      list.append(element("dt", {}, name), element("dd", {}, valueText(value)));
    }
    return list;
  }

  relatedList(event) {
    const {trace, model} = this.scene;
    const related = model.related(event);
    if (!related.length) {
      return [];
    }
    const list = element("ul", {className: "links"});
    for (const {event: other, words} of related) {
      const apart = trace.time[other] - trace.time[event];
      const when = apart ? `${duration(Math.abs(apart))} ${apart < 0 ? "before" : "later"}` : "at once";
      const text = `${words} ${when}: ${sentence(trace, other)}`;
      list.append(element("li", {}, this.link(other, text)));
    }
    return [element("h3", {}, "Belongs to it"), list];
  }

  link(event, text) {
    const button = element("button", {type: "button", className: "link"}, text);
    button.dataset.event = event;
    button.addEventListener("click", () => this.choose(event));
    return button;
  }

  stateTable(event) {
    const {model} = this.scene;
    const table = element("table", {}, element("caption", {className: "unseen"}, "What each node had told of itself"));
    const head = element("tr", {}, element("th", {scope: "col"}, "node"));
    STATE_COLUMNS.forEach(([, words]) => head.append(element("th", {scope: "col"}, words)));
    const body = element("tbody");
    model.nodes.forEach((name, number) => {
      const state = model.stateOf(number, event);
      const row = element("tr", {className: number === model.nodeOf[event] ? "own" : ""},
        element("th", {scope: "row"}, name));
      for (const [field] of STATE_COLUMNS) {
        row.append(element("td", {className: field === "role" ? `role-${state.role.split(",")[0]}` : ""},
          state[field] === undefined || state[field] === null ? "–" : String(state[field])));
      }
      body.append(row);
    });
    table.append(element("thead", {}, head), body);
    return table;
  }
}
