// The events, taken apart from the columns that columns.py packed them into. An event is known by its position here.

class Trace {
  constructor(packed) {
    this.kinds = packed.kinds;
    this.strings = packed.strings;
    this.count = packed.kind.length;
    this.time = summed(packed.time); // microseconds
    this.serial = summed(packed.serial);
    this.kindNumber = Uint16Array.from(packed.kind);
    this.row = new Uint32Array(this.count);
    const rows = new Uint32Array(this.kinds.length);
    for (let event = 0; event < this.count; event++) {
      this.row[event] = rows[this.kindNumber[event]]++;
    }
    this.tables = this.kinds.map((kind) => new Map(Object.entries(packed.tables[kind]).map(
      ([name, column]) => [name, columnReader(column, this.strings)])));
    this.ofKind = new Map(this.kinds.map((kind, number) => [kind, new Uint32Array(rows[number])]));
    for (let event = 0; event < this.count; event++) {
      this.ofKind.get(this.kind(event))[this.row[event]] = event;
    }
  }

  // The send of each message by its id.
  get sends() {
    this.sendOfId ??= new Map([...this.events("send")].map((event) => [this.get(event, "id"), event]));
    return this.sendOfId;
  }

  get start() {
    return this.count ? this.time[0] : 0;
  }

  get end() {
    return this.count ? this.time[this.count - 1] : 0;
  }

  kind(event) {
    return this.kinds[this.kindNumber[event]];
  }

  // The events of this kind, in order of time.
  events(kind) {
    return this.ofKind.get(kind) ?? new Uint32Array(0);
  }

  // The value of a field, undefined where the event has none of that name.
  get(event, field) {
    return this.tables[this.kindNumber[event]].get(field)?.(this.row[event]);
  }

  // Name and value of each field that the event has, besides time, serial number and kind.
  fields(event) {
    return [...this.tables[this.kindNumber[event]]]
      .map(([name, read]) => [name, read(this.row[event])])
      .filter(([, value]) => value !== undefined);
  }

  // As it stood in the trace.
  toObject(event) {
    const head = [["t", this.time[event] / 1e6], ["n", this.serial[event]], ["kind", this.kind(event)]];
    return Object.fromEntries([...head, ...this.fields(event)]);
  }
}

function summed(differences) {
  const sums = new Float64Array(differences.length);
  let sum = 0;
  differences.forEach((difference, position) => {
    sum += difference;
    sums[position] = sum;
  });
  return sums;
}

// A function from row to value.
function columnReader(column, strings) {
  if (column.text) {
    const positions = Int32Array.from(column.text);
    return (row) => (positions[row] < 0 ? undefined : strings[positions[row]]);
  }
  if (column.int) {
    let sum = 0;
    const values = column.int.map((difference) => (difference === null ? undefined : (sum += difference)));
    return (row) => values[row];
  }
  return (row) => (column.other[row] === 0 ? undefined : column.other[row][0]);
}

// From base64 over zlib over JSON.
async function unpackedTrace(base64) {
  const bytes = Uint8Array.from(atob(base64.trim()), (letter) => letter.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Trace(await new Response(inflated).json());
}
