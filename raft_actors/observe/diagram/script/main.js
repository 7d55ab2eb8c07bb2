// Puts the parts together.

const APPROACHED = 60; // widths of what is shown around an event that was jumped to: milliseconds

class Diagram {
  constructor(trace) {
    const find = (id) => document.getElementById(id);
    const model = new Model(trace);
    this.trace = trace;
    this.model = model;
    this.filter = new Filter(model);
    this.view = new View(trace.start, trace.end);
    this.preference = matchMedia("(prefers-color-scheme: dark)");
    document.documentElement.dataset.theme = this.preference.matches ? "dark" : "light";
    this.palette = new Palette();
    this.scene = {trace, model, filter: this.filter, view: this.view, palette: this.palette, layout: null, context: null};
    this.elements = Object.fromEntries(["picture", "overlay", "overview", "scroller", "tip", "range", "density", "query",
      "found", "announcer", "help", "details", "events"].map((id) => [id, find(id)]));
    this.picture = new Picture(this.scene, this.elements);
    this.matches = null; // of the search; null where nothing is searched for
    this.details = new Details(this.elements.details, this.scene, (event) => this.select(event, true));
    this.list = new EventList(this.elements.events, this.scene, (event) => this.select(event, true));
    this.legend = new FilterPanel(find("filters"), this.scene, () => this.filtered());
    this.view.changed = () => this.picture.repaint();
    this.picture.painted = () => this.painted();
    this.listen(find);
    this.tellSummary(find);
    this.picture.resize();
    this.followAddress();
  }

  get selected() {
    return this.picture.selected;
  }

  listen(find) {
    const {view} = this;
    const actions = {
      select: (event) => this.select(event),
      hover: (event, place) => this.hover(event, place),
      step: (direction, sameNode) => this.step(direction, sameNode),
      failure: () => this.showFailure(),
      otherEnd: () => this.otherEnd(),
      approach: () => this.approach(),
      search: () => this.elements.query.focus(),
      help: () => this.elements.help.showModal(),
    };
    listenToPicture(this.picture, actions);
    listenToOverview(this.picture);
    listenToKeys(this.picture, actions);
    find("zoom-in").addEventListener("click", () => view.zoom(0.6));
    find("zoom-out").addEventListener("click", () => view.zoom(1 / 0.6));
    find("fit").addEventListener("click", () => view.fit());
    find("failure").addEventListener("click", actions.failure);
    find("verdict").addEventListener("click", actions.failure);
    find("help-button").addEventListener("click", actions.help);
    find("theme").addEventListener("click", () => this.turnTheme(document.documentElement.dataset.theme !== "dark"));
    find("found-before").addEventListener("click", () => this.stepMatch(-1));
    find("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.stepMatch(1);
    });
    this.elements.query.addEventListener("input", () => this.search());
    this.elements.query.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.shiftKey) {
        event.preventDefault();
        this.stepMatch(-1);
      } else if (event.key === "Escape") {
        this.elements.picture.focus();
      }
    });
    this.listenToTabs([find("tab-details"), find("tab-events")]);
    this.preference.addEventListener("change", () => this.turnTheme(this.preference.matches));
    new ResizeObserver(() => this.picture.resize()).observe(this.elements.scroller);
    window.addEventListener("hashchange", () => this.followAddress());
  }

  listenToTabs(tabs) {
    const open = (chosen) => {
      for (const tab of tabs) {
        tab.setAttribute("aria-selected", String(tab === chosen));
        tab.tabIndex = tab === chosen ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
      }
      this.list.show(this.matches, this.selected);
    };
    tabs.forEach((tab, position) => {
      tab.addEventListener("click", () => open(tab));
      tab.addEventListener("keydown", (event) => {
        if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
          const next = tabs[(position + 1) % tabs.length];
          open(next);
          next.focus();
        }
      });
    });
  }

  tellSummary(find) {
    const {trace, model} = this;
    const lost = countWhere(model.deliveries.outcome, LOST);
    find("summary").textContent = [counted(model.nodes.length, "node"), duration(trace.end - trace.start),
      counted(trace.events("send").length, "message") + (lost ? ` (${lost.toLocaleString("en")} lost)` : ""),
      counted(model.calls.length, "call"), counted(trace.count, "event")].join(" · ");
    const verdict = find("verdict");
    find("failure").disabled = model.failure < 0;
    if (model.failure >= 0) {
      verdict.hidden = false;
      verdict.textContent = `✖ ${trace.get(model.failure, "invariant") ?? "broken"} at ${moment(trace.time[model.failure], 1e3)}`;
      verdict.title = `Jump to the failure (!): ${trace.get(model.failure, "text") ?? ""}`;
    }
  }

  // Selects an event (none for -1), and moves the view there if asked to.
  select(event, reveal = false) {
    this.picture.selected = event;
    this.details.show(event);
    this.elements.announcer.textContent = event < 0 ? "nothing selected"
      : `${moment(this.trace.time[event])}: ${sentence(this.trace, event)}`;
    if (reveal && event >= 0 && !this.view.covers(this.trace.time[event])) {
      this.view.centre(this.trace.time[event]);
    }
    this.list.show(this.matches, event);
    this.picture.repaint();
    const address = event < 0 ? " " : `#n=${this.trace.serial[event]}`;
    try {
      history.replaceState(null, "", event < 0 ? location.pathname : address);
    } catch {
      // A page without an address of its own does without.
    }
  }

  hover(event, place) {
    if (event !== this.picture.hovered) {
      this.picture.hovered = event;
      this.picture.touch();
    }
    const {tip, picture, scroller} = this.elements;
    tip.hidden = event < 0;
    picture.style.cursor = event < 0 ? "grab" : "pointer";
    if (event >= 0) {
      const text = this.trace.get(event, "text");
      tip.replaceChildren(element("b", {}, moment(this.trace.time[event])), " ", shortened(sentence(this.trace, event)));
      if (this.trace.kind(event) === "send" && text) {
        tip.append(element("br"), shortened(String(text)));
      }
      const left = Math.min(place.x + 14, scroller.clientWidth - tip.offsetWidth - 6);
      const below = place.y + 18 + tip.offsetHeight < scroller.scrollTop + scroller.clientHeight;
      tip.style.left = `${Math.max(left, 4)}px`;
      tip.style.top = `${below ? place.y + 18 : place.y - tip.offsetHeight - 10}px`;
    }
  }

  // To the next event that the filter shows, or the one before.
  step(direction, sameNode) {
    const {trace, model, selected} = this;
    let event = selected;
    if (event < 0) {
      event = lowerBound(trace.time, this.view.start) - Number(direction > 0);
    }
    const node = selected < 0 ? -1 : model.nodeOf[selected];
    do {
      event += direction;
    } while (event >= 0 && event < trace.count &&
      !(this.filter.passes(event) && (!sameNode || model.nodeOf[event] === node)));
    if (event >= 0 && event < trace.count) {
      this.select(event, true);
    }
  }

  otherEnd() {
    const [first] = this.selected < 0 ? [] : this.model.related(this.selected);
    if (first) {
      this.select(first.event, true);
    }
  }

  approach() {
    if (this.selected >= 0) {
      const times = [this.selected, ...this.model.related(this.selected).map(({event}) => event)]
        .map((event) => this.trace.time[event]);
      const [from, to] = [Math.min(...times), Math.max(...times)];
      this.view.centre((from + to) / 2, Math.max((to - from) * 3, APPROACHED * 1e3));
    }
  }

  showFailure() {
    if (this.model.failure >= 0) {
      this.view.centre(this.trace.time[this.model.failure], Math.min(this.view.span, APPROACHED * 10e3));
      this.select(this.model.failure);
    }
  }

  search() {
    const query = this.elements.query.value;
    const found = searched(this.trace, query, (event) => this.filter.passes(event));
    this.matches = query.trim() ? found : null;
    this.picture.matches = found;
    this.picture.overview.matches = found;
    this.picture.overview.ground = null;
    this.tellMatches();
    this.list.show(this.matches, this.selected);
    this.picture.repaint();
  }

  tellMatches() {
    const {matches, selected} = this;
    const place = matches && contains(matches, selected) ? `${lowerBound(matches, selected) + 1} of ` : "";
    this.elements.found.textContent = matches === null ? "" : `${place}${matches.length.toLocaleString("en")}`;
  }

  stepMatch(direction) {
    const {matches, selected} = this;
    if (!matches?.length) {
      return;
    }
    const place = direction > 0 ? upperBound(matches, selected) : lowerBound(matches, selected) - 1;
    this.select(matches[(place + matches.length) % matches.length], true);
    this.tellMatches();
  }

  filtered() {
    if (this.selected >= 0 && !this.filter.passes(this.selected)) {
      this.select(-1);
    }
    this.picture.hovered = -1;
    this.list.show(this.matches, this.selected);
    this.picture.renew();
    if (this.matches !== null) {
      this.search();
    }
  }

  turnTheme(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    this.palette.read();
    this.legend.paintSamples();
    this.picture.renew();
  }

  painted() {
    const {view, picture, elements} = this;
    const step = view.step;
    elements.range.textContent = `${moment(Math.max(view.start, 0), step)} to ${moment(view.end, step)} ` +
      `(${duration(view.span)})`;
    const {dense, all} = picture.messages;
    elements.density.textContent = dense
      ? `${dense.toLocaleString("en")} of ${counted(all, "message")} too close together for arrows: ` +
        "bars show how many each node sent; zoom in for arrows"
      : `${counted(all, "message")} in view`;
    if (this.listed !== `${view.start} ${view.end}`) {
      this.listed = `${view.start} ${view.end}`;
      this.list.show(this.matches, this.selected);
    }
  }

  // `#n=17` at the end of the address selects the event of that serial number.
  followAddress() {
    const match = /^#n=(-?\d+)$/.exec(location.hash);
    const event = match ? this.trace.serial.indexOf(Number(match[1])) : -1;
    if (event >= 0) {
      this.view.centre(this.trace.time[event], Math.min(this.view.span, APPROACHED * 10e3));
      this.select(event);
    }
  }
}

unpackedTrace(document.getElementById("trace").textContent).then(
  (trace) => {
    window.diagram = new Diagram(trace); // for those who look into it from the browser's console
    document.documentElement.dataset.ready = "yes";
  },
  (error) => {
    document.getElementById("summary").textContent = `The trace can't be read: ${error}`;
    throw error;
  });
