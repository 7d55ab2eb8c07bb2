// What the events mean: lives, roles and pauses of nodes, spans of faults and calls, and what belongs together.

const OF_MESSAGES = new Set(["send", "receive", "lose"]);

class Model {
  constructor(trace) {
    this.trace = trace;
    this.end = trace.end;
    this.nodes = nodeNames(trace);
    this.nodeNumbers = new Map(this.nodes.map((name, number) => [name, number]));
    this.nodeOf = Int16Array.from({length: trace.count},
      (_, event) => this.nodeNumbers.get(trace.get(event, "node")) ?? -1);
    this.termOf = this.termsOfEvents();
    this.deliveries = new Deliveries(trace, this.nodeNumbers, this.termOf);
    this.byNode = this.nodes.map(() => new Map());
    for (let event = 0; event < trace.count; event++) {
      if (this.nodeOf[event] >= 0) {
        const kinds = this.byNode[this.nodeOf[event]];
        const kind = trace.kind(event);
        if (!kinds.has(kind)) {
          kinds.set(kind, []);
        }
        kinds.get(kind).push(event);
      }
    }
    this.partners = new Map(); // event to the one that ends, or began, what it tells of
    this.lanes = this.nodes.map((name, number) => this.laneOf(name, number));
    this.faults = this.faultSpans();
    this.calls = this.callSpans();
    this.clients = [...new Set(this.calls.map((call) => call.client))].sort(naturally);
    this.broken = [...trace.events("broken")];
    this.highestTerm = this.termOf.reduce((highest, term) => Math.max(highest, term), 0);
  }

  // The failure to jump to: the first broken invariant.
  get failure() {
    return this.broken[0] ?? -1;
  }

  ofNode(number, kind) {
    return this.byNode[number].get(kind) ?? [];
  }

  // The term of each event: its node's as of then; a message's end has its receiver's.
  termsOfEvents() {
    const {trace} = this;
    const current = new Int32Array(this.nodes.length);
    return Int32Array.from({length: trace.count}, (_, event) => {
      const node = this.nodeOf[event];
      const kind = trace.kind(event);
      if (node < 0) {
        return -1;
      }
      if (kind === "role" || kind === "start") {
        current[node] = trace.get(event, "term") ?? current[node];
      }
      return current[node];
    });
  }

  laneOf(name, number) {
    const lane = {name, number, roles: [], down: [], pauses: []};
    let role = null; // open spans
    let down = null;
    let pause = null;
    let started = NaN;
    const close = (open, list, time, event) => {
      if (open !== null) {
        list.push({...open, end: time});
        if (event !== undefined && list !== lane.roles) {
          this.join(open.event, event);
        }
      }
      return null;
    };
    for (const event of [...this.byNode[number].values()].flat().sort((one, other) => one - other)) {
      const time = this.trace.time[event];
      const get = (field) => this.trace.get(event, field);
      switch (this.trace.kind(event)) {
        case "start":
          down = close(down, lane.down, time, event);
          pause = close(pause, lane.pauses, time);
          role = close(role, lane.roles, time) ?? {start: time, role: "follower", term: get("term") ?? 0, event, fresh: true};
          started = time;
          break;
        case "role":
          role = close(role, lane.roles, time) ??
            {start: time, role: get("role"), term: get("term") ?? 0, event, fresh: time === started};
          break;
        case "stop":
        case "crash":
          role = close(role, lane.roles, time);
          pause = close(pause, lane.pauses, time);
          down ??= {start: time, event, kind: this.trace.kind(event), why: get("why")};
          break;
        case "pause":
          pause ??= {start: time, event};
          break;
        case "resume":
          pause = close(pause, lane.pauses, time, event);
          break;
      }
    }
    close(role, lane.roles, this.end);
    close(down, lane.down, this.end);
    close(pause, lane.pauses, this.end);
    lane.roles = lane.roles.filter((span, position) => // a start's, until its first word of a role
      span.end > span.start || position === lane.roles.length - 1);
    return lane;
  }

  join(one, other) {
    this.partners.set(one, other);
    this.partners.set(other, one);
  }

  // Faults until they are healed, by an event that names what it heals (or else heals all that are open), or until
  // the same is done to the same nodes anew.
  faultSpans() {
    const spans = [];
    let open = [];
    for (const event of mergedEvents(this.trace, ["fault", "heal"])) {
      const get = (field) => this.trace.get(event, field);
      const time = this.trace.time[event];
      if (this.trace.kind(event) === "fault") {
        const span = {start: time, end: this.end, event, what: get("what") ?? "", text: get("text") ?? "",
          nodes: this.numbersOf(get("nodes") ?? get("node")), groups: this.groupsOf(get("groups")), healed: -1};
        for (const before of open.filter((one) => replaces(span, one))) {
          before.end = time;
        }
        open = open.filter((one) => !replaces(span, one));
        spans.push(span);
        if (get("lasts") === false) {
          span.end = time;
        } else {
          open.push(span);
        }
        continue;
      }
      const healed = healedBy(get("what"), this.numbersOf(get("nodes") ?? get("node")), open);
      for (const span of healed) {
        span.end = time;
        span.healed = event;
        this.partners.set(span.event, event);
        this.partners.set(event, span.event);
      }
      open = open.filter((span) => !healed.includes(span));
    }
    return spans;
  }

  numbersOf(names) {
    const list = typeof names === "string" ? names.split(/[\s,]+/) : Array.isArray(names) ? names : [];
    return list.map((name) => this.nodeNumbers.get(name)).filter((number) => number !== undefined)
      .sort((one, other) => one - other);
  }

  groupsOf(groups) {
    return Array.isArray(groups) ? groups.map((group) => this.numbersOf(group)) : [];
  }

  callSpans() {
    const {trace} = this;
    const returns = new Map([...trace.events("return")].map((event) => [trace.get(event, "operation"), event]));
    return [...trace.events("call")].map((event) => {
      const back = returns.get(trace.get(event, "operation"));
      if (back !== undefined) {
        this.join(event, back);
      }
      return {event, back: back ?? -1, start: trace.time[event], end: back === undefined ? this.end : trace.time[back],
        client: String(trace.get(event, "client") ?? "client"), text: trace.get(event, "text") ?? "",
        outcome: back === undefined ? "open" : trace.get(back, "outcome") ?? "unknown"};
    });
  }

  // Events that belong to this one, each with what it is to it.
  related(event) {
    const {deliveries, trace} = this;
    const found = new Map();
    for (const way of deliveries.ofEvent.get(event) ?? []) {
      const ways = deliveries.send[way] < 0 ? [way] : deliveries.ofEvent.get(deliveries.send[way]);
      for (const one of ways) {
        found.set(deliveries.send[one], "sent");
        found.set(deliveries.finish[one], OUTCOME_WORDS[deliveries.outcome[one]]);
      }
    }
    if (this.partners.has(event)) {
      const partner = this.partners.get(event);
      found.set(partner, trace.kind(partner));
    }
    found.delete(event);
    found.delete(-1);
    return [...found].map(([other, words]) => ({event: other, words}));
  }

  // What a node had told of itself up to this event.
  stateOf(number, event) {
    const {trace} = this;
    const latest = (kind) => latestUpTo(this.ofNode(number, kind), event);
    const value = (kind, field) => (latest(kind) < 0 ? undefined : trace.get(latest(kind), field));
    const start = latest("start");
    const since = (kind, field, before) =>
      (latest(kind) > start ? trace.get(latest(kind), field) : before === undefined ? undefined : value("start", before));
    const log = Math.max(latest("append"), latest("truncate"), latest("snapshot"), start);
    const state = {role: value("role", "role") ?? "follower", term: latest("role") > start ? value("role", "term")
      : value("start", "term"), committed: since("commit", "index", "snapshot_index"),
      applied: since("apply", "last_index", "snapshot_index"), last: this.lastIndex(log)};
    const ended = Math.max(latest("crash"), latest("stop"));
    if (ended > start) {
      return {...state, role: trace.kind(ended) === "crash" ? "crashed" : "stopped"};
    }
    if (latest("pause") > Math.max(latest("resume"), start)) {
      return {...state, role: `${state.role}, paused`};
    }
    return state;
  }

  lastIndex(event) {
    if (event < 0) {
      return undefined;
    }
    if (this.trace.kind(event) === "truncate") {
      return this.trace.get(event, "from_index") - 1;
    }
    if (this.trace.kind(event) === "snapshot") { // one that was taken leaves the end of the log alone
      const number = this.nodeOf[event];
      const before = Math.max(...["append", "truncate", "start"].map((kind) =>
        latestUpTo(this.ofNode(number, kind), event)));
      return Math.max(this.trace.get(event, "index"), this.lastIndex(before) ?? 0);
    }
    return this.trace.get(event, "last_index");
  }
}

function replaces(span, before) {
  return span.what === before.what && (span.groups.length > 0 || String(span.nodes) === String(before.nodes));
}

// Those of the open faults that are over: of the named kind, if one is named, on exactly these nodes; or else on any of
// them, as when some nodes of several come back.
function healedBy(what, nodes, open) {
  const kinds = what === undefined || what === null ? null : Array.isArray(what) ? what : [what];
  const candidates = open.filter((span) => kinds === null || kinds.includes(span.what));
  const exact = candidates.filter((span) => String(span.nodes) === String(nodes));
  return nodes.length && exact.length ? exact
    : candidates.filter((span) => !nodes.length || !span.nodes.length || nodes.some((one) => span.nodes.includes(one)));
}

// Every node that any event names, in natural order.
function nodeNames(trace) {
  const names = new Set();
  for (let event = 0; event < trace.count; event++) {
    const node = trace.get(event, "node");
    if (typeof node === "string") {
      names.add(node);
    }
    if (OF_MESSAGES.has(trace.kind(event))) {
      for (const field of ["to", "sender"]) {
        const name = trace.get(event, field);
        if (typeof name === "string") {
          names.add(name);
        }
      }
    }
  }
  return [...names].sort(naturally);
}
