// What is shown: kinds, types, outcomes, nodes and terms that the reader chose.

class Filter {
  constructor(model) {
    this.model = model;
    this.hidden = {type: new Set(), outcome: new Set(), kind: new Set(), node: new Set()};
    this.terms = [0, Infinity];
    this.apply();
  }

  toggle(group, value, shown) {
    if (shown) {
      this.hidden[group].delete(value);
    } else {
      this.hidden[group].add(value);
    }
    this.apply();
  }

  showTerms(from, to) {
    this.terms = [from, to];
    this.apply();
  }

  showAll() {
    Object.values(this.hidden).forEach((group) => group.clear());
    this.terms = [0, Infinity];
    this.apply();
  }

  get everything() {
    return Object.values(this.hidden).every((group) => !group.size) && !this.termsChosen;
  }

  get termsChosen() {
    return this.terms[0] > 0 || this.terms[1] < Infinity;
  }

  inTerms(term) {
    return term < 0 || (term >= this.terms[0] && term <= this.terms[1]);
  }

  // Works out what is left: the ways of messages, and the marks of each kind on each lane.
  apply() {
    const {model} = this;
    this.nodes = model.nodes.map((_, number) => number).filter((number) => !this.hidden.node.has(number));
    const ways = [];
    for (let way = 0; way < model.deliveries.count; way++) {
      if (this.showsWay(way)) {
        ways.push(way);
      }
    }
    this.ways = Int32Array.from(ways);
    this.intervals = new Intervals(
      Float64Array.from(ways, (way) => model.deliveries.start[way]),
      Float64Array.from(ways, (way) => model.deliveries.end[way]));
    this.marks = model.nodes.map((_, number) => {
      const lists = new Map();
      for (const [kind, events] of this.hidden.node.has(number) ? [] : model.byNode[number]) {
        if (!OF_MESSAGES.has(kind) && !["role", "fault", "heal", "call", "return", "broken"].includes(kind)) {
          const left = this.hidden.kind.has(kindGroup(kind)) ? []
            : events.filter((event) => this.inTerms(model.termOf[event]));
          lists.set(kind, {events: left, times: Float64Array.from(left, (event) => model.trace.time[event])});
        }
      }
      return lists;
    });
  }

  showsWay(way) {
    const {deliveries} = this.model;
    const {hidden} = this;
    return deliveries.from[way] >= 0 && deliveries.to[way] >= 0 && !hidden.type.has(deliveries.type[way]) &&
      !hidden.outcome.has(deliveries.outcome[way]) && !hidden.node.has(deliveries.from[way]) &&
      !hidden.node.has(deliveries.to[way]) && this.inTerms(deliveries.term[way]);
  }

  shows(kind) {
    return !this.hidden.kind.has(kindGroup(kind));
  }

  // Whether an event is to be listed, found and stepped to.
  passes(event) {
    const {model} = this;
    const kind = model.trace.kind(event);
    if (OF_MESSAGES.has(kind)) {
      return (model.deliveries.ofEvent.get(event) ?? []).some((way) => this.showsWay(way));
    }
    return this.shows(kind) && !this.hidden.node.has(model.nodeOf[event]) && this.inTerms(model.termOf[event]);
  }
}

// Kinds that are shown and hidden together.
const GROUPS = {resume: "pause", stop: "start", heal: "fault", return: "call"};

function kindGroup(kind) {
  return Object.hasOwn(GROUPS, kind) ? GROUPS[kind] : kind;
}
