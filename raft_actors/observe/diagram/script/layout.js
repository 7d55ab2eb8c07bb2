// Where things stand from top to bottom: time axis, faults, lanes, clients.

const AXIS_HEIGHT = 24;
const FAULT_HEIGHT = 17;
const MOST_FAULT_ROWS = 6;
const CLIENT_HEIGHT = 13;
const MOST_CLIENT_ROWS = 8;
const LANE_HEIGHTS = [64, 150];
const GUTTER = 76;
const MARK_SIZE = 8;

class Layout {
  constructor(model, filter, height) {
    this.faultRows = filter.shows("fault") ? rowsFor(model.faults) : {rows: [], count: 0};
    const faults = Math.min(this.faultRows.count, MOST_FAULT_ROWS);
    this.faultTop = AXIS_HEIGHT;
    this.lanesTop = this.faultTop + (faults ? faults * FAULT_HEIGHT + 4 : 0);
    this.clientRows = filter.shows("call") ? clientRows(model) : {rows: [], count: 0, owners: []};
    const clients = this.clientRows.count * CLIENT_HEIGHT;
    const left = height - this.lanesTop - (clients ? clients + 12 : 0);
    this.nodes = filter.nodes;
    this.laneHeight = Math.max(LANE_HEIGHTS[0],
      Math.min(LANE_HEIGHTS[1], left / Math.max(this.nodes.length, 1)));
    this.band = Math.round(Math.min(20, this.laneHeight * 0.22));
    this.lanesEnd = this.lanesTop + this.laneHeight * this.nodes.length;
    this.clientTop = this.lanesEnd + 8;
    this.height = Math.max(height, clients ? this.clientTop + clients + 4 : this.lanesEnd);
    this.places = new Map(this.nodes.map((number, place) => [number, place]));
  }

  faultY(fault) {
    return this.faultTop + (this.faultRows.rows[fault] % MOST_FAULT_ROWS) * FAULT_HEIGHT;
  }

  // The middle of a node's band.
  laneY(number) {
    return Math.round(this.lanesTop + (this.places.get(number) + 0.5) * this.laneHeight);
  }

  laneTop(number) {
    return Math.round(this.lanesTop + this.places.get(number) * this.laneHeight);
  }

  // The edge of a node's band that faces another's.
  edgeY(number, other) {
    const y = this.laneY(number);
    return this.places.get(other) > this.places.get(number) ? y + this.band / 2 : y - this.band / 2;
  }

  markY(number, row) {
    return this.laneY(number) + (row === 0 ? 0 : Math.sign(row) * (this.band / 2 + 7 + (Math.abs(row) - 1) * 10));
  }

  // The node whose lane is at this height.
  nodeAt(y) {
    return this.nodes[Math.floor((y - this.lanesTop) / this.laneHeight)];
  }

  clientY(call) {
    return this.clientTop + this.clientRows.rows[call] * CLIENT_HEIGHT;
  }
}

// A row for each client, or more where its calls overlap; where that is too many, clients share rows.
function clientRows(model) {
  const rows = new Array(model.calls.length);
  const owners = [];
  for (const client of model.clients) {
    const calls = [...model.calls.keys()].filter((call) => model.calls[call].client === client);
    const own = rowsFor(calls.map((call) => model.calls[call]));
    calls.forEach((call, position) => {
      rows[call] = owners.length + own.rows[position];
    });
    for (let row = 0; row < own.count; row++) {
      owners.push(row ? "" : client);
    }
  }
  if (owners.length <= MOST_CLIENT_ROWS) {
    return {rows, count: owners.length, owners};
  }
  const packed = rowsFor(model.calls);
  const count = Math.min(packed.count, MOST_CLIENT_ROWS);
  return {rows: packed.rows.map((row) => row % count), count, owners: ["clients"], shared: packed.count > count};
}
