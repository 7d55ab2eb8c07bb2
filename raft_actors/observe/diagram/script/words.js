// How times and events are put into words.

// A moment, in seconds with as many decimals as a step of that many microseconds needs.
function moment(time, step = 1) {
  const decimals = Math.max(0, Math.min(6, 6 - Math.floor(Math.log10(Math.max(step, 1)) + 1e-9)));
  return `${(time / 1e6).toFixed(decimals)} s`;
}

// How long something takes.
function duration(microseconds) {
  if (Math.abs(microseconds) < 1e3) {
    return `${Math.round(microseconds)} µs`;
  }
  if (Math.abs(microseconds) < 1e6) {
    return `${(microseconds / 1e3).toFixed(2)} ms`;
  }
  return `${(microseconds / 1e6).toFixed(3)} s`;
}

function counted(count, thing, things = `${thing}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? thing : things}`;
}

function shortened(text, length = 160) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function valueText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function span(first, last) {
  return first === last ? `${first}` : `${first}–${last}`;
}

// n2 before n10.
function naturally(one, other) {
  return one.localeCompare(other, "en", {numeric: true});
}

// What happened, in a line. Fields are taken as optional: a trace may come from another version.
const SENTENCES = {
  start: (get) => `started, life ${get("life")}: term ${get("term")}, last index ${get("last_index")}, ` +
    `snapshot ${get("snapshot_index")}`,
  stop: () => "stopped",
  crash: (get) => (get("why") === "power" ? "lost power" : "crashed") + (get("error") ? `: ${get("error")}` : ""),
  disconnect: (get) => `connection with ${get("peer")} ended`,
  pause: () => "paused",
  resume: () => "resumed",
  role: (get) => `${get("role")} of term ${get("term")}`,
  commit: (get) => `committed up to ${get("index")}`,
  apply: (get) => `applied ${span(get("first_index"), get("last_index"))}`,
  append: (get) => `appended ${span(get("first_index"), get("last_index"))} of term ${get("term")}`,
  truncate: (get) => `truncated from ${get("from_index")}`,
  durable: (get) => `durable: term ${get("term")}, vote ${get("voted_for") ?? "none"}, ` +
    `log to ${get("last_index")}`,
  snapshot: (get) => `snapshot ${get("how") ?? ""} up to ${get("index")} of term ${get("term")}`,
  send: (get) => `${get("type")} to ${get("to")}`,
  receive: (get) => `${get("type")} from ${get("sender")} received`,
  lose: (get) => `message lost: ${get("why")}`,
  fault: (get) => `${get("what")}: ${get("text")}`,
  heal: (get) => `healed: ${get("text") ?? get("what") ?? ""}`,
  call: (get) => `${get("client")} calls: ${get("text")}`,
  return: (get) => `returned ${get("outcome")}: ${get("text") ?? ""}`,
  broken: (get) => `BROKEN ${get("invariant")}: ${get("text")}`,
};

function sentence(trace, event) {
  const kind = trace.kind(event);
  const get = (field) => {
    const value = trace.get(event, field);
    return value !== undefined && value !== null && typeof value !== "string" ? valueText(value) : value;
  };
  const sent = kind === "lose" ? trace.sends.get(trace.get(event, "id")) : undefined;
  if (sent !== undefined) {
    return `${trace.get(sent, "node")} ${trace.get(sent, "type")} to ${trace.get(sent, "to")} lost: ${get("why")}`;
  }
  const known = Object.hasOwn(SENTENCES, kind);
  const text = known ? SENTENCES[kind](get) : `${kind} ${get("text") ?? ""}`.trim();
  const node = trace.get(event, "node");
  return node === undefined ? text : `${node} ${text}`;
}
