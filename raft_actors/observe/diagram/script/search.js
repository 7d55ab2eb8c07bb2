// Finds events by words, which must all occur somewhere in the event, and by field=value, which must be so exactly.

function searched(trace, query, passes) {
  const words = query.trim().split(/\s+/).filter((word) => word);
  if (!words.length) {
    return [];
  }
  const tests = words.map((word) => {
    const equals = word.indexOf("=");
    return equals > 0 ? fieldTest(trace, word.slice(0, equals), word.slice(equals + 1)) : wordTest(trace, word);
  });
  const found = [];
  for (let event = 0; event < trace.count; event++) {
    if (tests.every((test) => test(event)) && passes(event)) {
      found.push(event);
    }
  }
  return found;
}

function fieldTest(trace, name, value) {
  const wanted = value.toLowerCase();
  const same = (found) => found !== undefined && valueText(found).toLowerCase() === wanted;
  switch (name) {
    case "t":
      return (event) => same(trace.time[event] / 1e6);
    case "n":
      return (event) => same(trace.serial[event]);
    case "kind":
      return (event) => same(trace.kind(event));
    default:
      return (event) => same(trace.get(event, name));
  }
}

// Every text of the trace is looked at once, however many events have it.
function wordTest(trace, word) {
  const wanted = word.toLowerCase();
  const matching = new Set(trace.strings.filter((text) => text.toLowerCase().includes(wanted)));
  const kinds = new Set(trace.kinds.filter((kind) => kind.toLowerCase().includes(wanted)));
  const readers = trace.kinds.map((_, number) => [...trace.tables[number].values()]);
  return (event) => kinds.has(trace.kind(event)) || readers[trace.kindNumber[event]].some((read) => {
    const value = read(trace.row[event]);
    return typeof value === "string" ? matching.has(value) : typeof value === "object" && value !== null &&
      JSON.stringify(value).toLowerCase().includes(wanted);
  });
}
