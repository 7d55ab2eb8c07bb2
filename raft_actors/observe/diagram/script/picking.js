// Which event is at a point of the picture; -1 where there is none.

const REACH = 7; // pixels

function eventAt(picture, x, y) {
  const {scene} = picture;
  const {view, layout} = scene;
  if (x < view.left || x > view.left + view.width) {
    return -1;
  }
  const tries = [brokenAt, faultAt, callAt, markAt, messageAt, spanAt, shadedAt];
  for (const attempt of tries) {
    const event = attempt(picture, x, y, scene, view, layout);
    if (event >= 0) {
      return event;
    }
  }
  return -1;
}

function brokenAt(picture, x, y, scene, view) {
  if (!scene.filter.shows("broken")) {
    return -1;
  }
  return scene.model.broken.find((event) => {
    const distance = x - view.x(scene.trace.time[event]);
    return Math.abs(distance) < 4 || (y < AXIS_HEIGHT && distance > 0 && distance < 150);
  }) ?? -1;
}

// Positions of spans that a point in time touches; the shortest first, as the longer ones show around it.
function spansAt(spans, view, x) {
  return [...spans.keys()]
    .filter((position) => x >= view.x(spans[position].start) - 2 && x <= view.x(spans[position].end) + 2)
    .sort((one, other) => (spans[one].end - spans[one].start) - (spans[other].end - spans[other].start));
}

function faultAt(picture, x, y, scene, view, layout) {
  if (!layout.faultRows.count || y < layout.faultTop || y > layout.lanesTop) {
    return -1;
  }
  const found = spansAt(scene.model.faults, view, x)
    .find((fault) => y >= layout.faultY(fault) && y < layout.faultY(fault) + FAULT_HEIGHT);
  return found === undefined ? -1 : scene.model.faults[found].event;
}

function callAt(picture, x, y, scene, view, layout) {
  if (!layout.clientRows.count || y < layout.clientTop) {
    return -1;
  }
  const found = spansAt(scene.model.calls, view, x)
    .find((call) => y >= layout.clientY(call) && y < layout.clientY(call) + CLIENT_HEIGHT);
  return found === undefined ? -1 : scene.model.calls[found].event;
}

function markAt(picture, x, y, scene, view, layout) {
  const number = layout.nodeAt(y);
  if (number === undefined) {
    return -1;
  }
  let best = -1;
  let least = Infinity;
  for (const [kind, {events, times}] of scene.filter.marks[number]) {
    const apart = Math.abs(layout.markY(number, markStyle(kind).row) - y);
    if (apart <= (markStyle(kind).row === 0 ? 10 : 5)) {
      const next = lowerBound(times, view.time(x));
      for (const position of [next - 1, next]) {
        const distance = Math.abs(view.x(times[position]) - x) + apart;
        if (distance < least && Math.abs(view.x(times[position]) - x) <= REACH) {
          least = distance;
          best = events[position];
        }
      }
    }
  }
  return best;
}

function messageAt(picture, x, y, scene) {
  const way = picture.messages.lines.nearest(x, y, REACH);
  if (way < 0) {
    return -1;
  }
  const {deliveries} = scene.model;
  return deliveries.send[way] < 0 ? deliveries.finish[way] : deliveries.send[way];
}

// A pause, a down time or a role, on a band.
function spanAt(picture, x, y, scene, view, layout) {
  const number = layout.nodeAt(y);
  if (number === undefined || Math.abs(y - layout.laneY(number)) > layout.band / 2 + 2) {
    return -1;
  }
  const lane = scene.model.lanes[number];
  for (const spans of [lane.pauses, lane.down, lane.roles]) {
    const [found] = spansAt(spans, view, x);
    if (found !== undefined) {
      return spans[found].event;
    }
  }
  return -1;
}

// What shades a lane.
function shadedAt(picture, x, y, scene, view, layout) {
  const number = layout.nodeAt(y);
  if (number === undefined) {
    return -1;
  }
  const down = scene.model.lanes[number].down;
  const [found] = spansAt(down, view, x);
  if (found !== undefined) {
    return down[found].event;
  }
  const fault = spansAt(scene.filter.shows("fault") ? scene.model.faults : [], view, x)
    .find((position) => scene.model.faults[position].nodes.includes(number) ||
      scene.model.faults[position].groups.some((group) => group.includes(number)));
  return fault === undefined ? -1 : scene.model.faults[fault].event;
}
