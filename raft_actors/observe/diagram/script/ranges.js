// Finding what lies in a range of time without looking at everything.

// First position in sorted values that holds at least this value.
function lowerBound(sorted, value, from = 0, to = sorted.length) {
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (sorted[middle] < value) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from;
}

// First position in sorted values that holds more than this value.
function upperBound(sorted, value) {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (sorted[middle] <= value) {
      from = middle + 1;
    } else {
      to = middle;
    }
  }
  return from;
}

// The last of sorted values that is at most this value; -1 if none is.
function latestUpTo(sorted, value) {
  const position = upperBound(sorted, value) - 1;
  return position < 0 ? -1 : sorted[position];
}

// Intervals ordered by their starts. Which of them reach into a range is found by halving twice: by the starts, and by
// how far any interval up to a position reaches, which only grows.
class Intervals {
  constructor(starts, ends) {
    this.starts = starts;
    this.ends = ends;
    this.reach = new Float64Array(starts.length);
    let furthest = -Infinity;
    for (let position = 0; position < starts.length; position++) {
      furthest = Math.max(furthest, ends[position]);
      this.reach[position] = furthest;
    }
  }

  // Positions [from, to) hold all that touch the range, and perhaps some that end before it.
  touching(start, end) {
    const to = upperBound(this.starts, end);
    return [Math.min(lowerBound(this.reach, start), to), to];
  }
}

// Lays intervals, ordered by start, into as few rows as keep them apart. The row of each, and how many there are.
function rowsFor(intervals, room = 0) {
  const freeFrom = [];
  const rows = intervals.map(({start, end}) => {
    let row = freeFrom.findIndex((time) => time <= start);
    if (row < 0) {
      row = freeFrom.length;
    }
    freeFrom[row] = end + room;
    return row;
  });
  return {rows, count: freeFrom.length};
}
