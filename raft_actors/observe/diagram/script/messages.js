// Every way that a message took: from its send to a receive or a loss. A message that was duplicated took several.

const RECEIVED = 0;
const DUPLICATE = 1;
const LOST = 2;
const UNDERWAY = 3; // the trace ends before the message does
const OUTCOME_WORDS = ["received", "received again", "lost", "under way at the end"];
const LOST_ON_THE_WAY = ["drop", "cut"]; // other losses happen at the receiver

class Deliveries {
  constructor(trace, nodeNumbers, termOfEvent) {
    const ways = waysOf(trace);
    this.count = ways.length;
    this.types = [...new Set([...trace.events("send"), ...trace.events("receive")]
      .map((event) => trace.get(event, "type") ?? "?"))].sort();
    const typeNumbers = new Map(this.types.map((type, number) => [type, number]));
    this.send = Int32Array.from(ways, (way) => way.send); // events; -1 where the trace lacks them
    this.finish = Int32Array.from(ways, (way) => way.finish);
    this.outcome = Uint8Array.from(ways, (way) => way.outcome);
    this.start = Float64Array.from(ways, (way) => trace.time[way.send < 0 ? way.finish : way.send]);
    this.end = Float64Array.from(ways, (way) => trace.time[way.finish < 0 ? way.send : way.finish]);
    this.from = new Int16Array(this.count);
    this.to = new Int16Array(this.count);
    this.type = new Uint8Array(this.count);
    this.term = new Int32Array(this.count);
    this.early = new Uint8Array(this.count); // lost before it came to the receiver
    this.ofEvent = new Map(); // a send or its end, to the ways it belongs to
    ways.forEach(({send, finish, outcome}, way) => {
      const first = send < 0 ? finish : send;
      const sender = send < 0 ? trace.get(finish, "sender") : trace.get(send, "node");
      const receiver = send < 0 ? trace.get(finish, "node") : trace.get(send, "to");
      this.from[way] = nodeNumbers.get(sender) ?? -1;
      this.to[way] = nodeNumbers.get(receiver) ?? -1;
      this.type[way] = typeNumbers.get(trace.get(first, "type") ?? "?") ?? 0;
      this.term[way] = termWritten(trace.get(first, "text")) ?? termOfEvent[first];
      this.early[way] = Number(outcome === LOST && LOST_ON_THE_WAY.includes(trace.get(finish, "why")));
      for (const event of [send, finish]) {
        if (event >= 0) {
          this.ofEvent.set(event, [...(this.ofEvent.get(event) ?? []), way]);
        }
      }
    });
  }
}

// {send, finish, outcome} of each way, in order of time.
function waysOf(trace) {
  const ways = new Map([...trace.events("send")].map((send) => [send, []]));
  const strays = [];
  for (const finish of mergedEvents(trace, ["receive", "lose"])) {
    const send = trace.sends.get(trace.get(finish, "id")) ?? -1;
    const found = ways.get(send) ?? strays;
    const lost = trace.kind(finish) === "lose";
    const again = send >= 0 && found.some((way) => way.outcome !== LOST);
    if (!lost || send >= 0) {
      found.push({send, finish, outcome: lost ? LOST : again ? DUPLICATE : RECEIVED});
    }
  }
  const all = strays;
  for (const [send, found] of ways) {
    all.push(...(found.length ? found : [{send, finish: -1, outcome: UNDERWAY}]));
  }
  const first = ({send, finish}) => (send < 0 ? finish : send);
  return all.sort((one, other) => first(one) - first(other) || one.finish - other.finish);
}

function mergedEvents(trace, kinds) {
  return kinds.flatMap((kind) => [...trace.events(kind)]).sort((one, other) => one - other);
}

// Messages say their term in their text; those that do not are taken to be of their sender's.
function termWritten(text) {
  const match = /\bterm\s*[=:]?\s*(\d+)/.exec(text ?? "");
  return match ? Number(match[1]) : undefined;
}
