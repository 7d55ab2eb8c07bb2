// Wheel, mouse, fingers and keys.

const WHEEL = 0.0018; // share of zoom for each pixel that a wheel turns
const CLICK = 4; // pixels that a click may move

function listenToPicture(picture, actions) {
  const {scene, elements} = picture;
  const canvas = elements.picture;
  const pointers = new Map();
  let drag = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return {x: event.clientX - box.left, y: event.clientY - box.top};
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    const [across, along] = event.shiftKey && !event.deltaX ? [event.deltaY, 0] : [event.deltaX, event.deltaY];
    if (Math.abs(across) > Math.abs(along)) {
      scene.view.pan(across * unit);
    } else {
      scene.view.zoom(Math.exp(along * unit * WHEEL * (event.ctrlKey ? 4 : 1)), place(event).x);
    }
  }, {passive: false});
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) {
      return;
    }
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    drag = {from: place(event), moved: pointers.size > 1, marking: event.shiftKey};
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event);
    const before = pointers.get(event.pointerId);
    if (before === undefined) {
      actions.hover(eventAt(picture, now.x, now.y), now);
      return;
    }
    drag.moved ||= Math.hypot(now.x - drag.from.x, now.y - drag.from.y) > CLICK;
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = (point) => Math.max(Math.abs(point.x - other.x), 20);
      scene.view.zoom(apart(before) / apart(now), (before.x + other.x) / 2);
      scene.view.pan((before.x - now.x) / 2);
    } else if (drag.marking && drag.moved) {
      picture.marked = [Math.min(drag.from.x, now.x), Math.max(drag.from.x, now.x)];
      picture.touch();
    } else if (drag.moved) {
      scene.view.pan(before.x - now.x);
      elements.scroller.scrollTop += before.y - now.y;
    }
    pointers.set(event.pointerId, now);
  });
  const release = (event) => {
    if (!pointers.delete(event.pointerId)) {
      return;
    }
    const {x, y} = place(event);
    if (picture.marked !== null) {
      const [from, to] = picture.marked.map((edge) => scene.view.time(edge));
      picture.marked = null;
      scene.view.show(from, to);
    } else if (!drag.moved && event.type === "pointerup") {
      actions.select(eventAt(picture, x, y));
    }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => actions.hover(-1));
  canvas.addEventListener("dblclick", (event) => scene.view.zoom(0.35, place(event).x));
}

function listenToOverview(picture) {
  const {overview, scene} = picture;
  const {canvas} = overview;
  let grip = null;
  let offset = 0;
  const place = (event) => event.clientX - canvas.getBoundingClientRect().left;
  const move = (x) => {
    const {view} = scene;
    const time = overview.time(x);
    if (grip === "start") {
      view.show(Math.min(time, view.end - SHORTEST), view.end);
    } else if (grip === "end") {
      view.show(view.start, Math.max(time, view.start + SHORTEST));
    } else {
      view.centre(time - offset);
    }
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const {view} = scene;
    const time = overview.time(place(event));
    grip = overview.grip(place(event));
    offset = view.covers(time) ? time - (view.start + view.end) / 2 : 0;
    move(place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (grip === null) {
      canvas.style.cursor = overview.grip(place(event)) === "all" ? "grab" : "ew-resize";
    } else {
      move(place(event));
    }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      grip = null;
    });
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    scene.view.zoom(Math.exp(event.deltaY * WHEEL), scene.view.x(overview.time(place(event))));
  }, {passive: false});
}

// Keys work wherever no text is typed; those that move the view only where nothing else needs them.
function listenToKeys(picture, actions) {
  const {view} = picture.scene;
  const keys = {
    "+": () => view.zoom(0.6),
    "=": () => view.zoom(0.6),
    "-": () => view.zoom(1 / 0.6),
    "0": () => view.fit(),
    "!": () => actions.failure(),
    "n": () => actions.step(1, false),
    "p": () => actions.step(-1, false),
    "N": () => actions.step(1, true),
    "P": () => actions.step(-1, true),
    "o": () => actions.otherEnd(),
    "z": () => actions.approach(),
    "/": () => actions.search(),
    "?": () => actions.help(),
    "Escape": () => actions.select(-1),
  };
  const moves = {
    ArrowLeft: () => view.pan(-view.width / 8),
    ArrowRight: () => view.pan(view.width / 8),
    Home: () => view.centre(view.first),
    End: () => view.centre(view.last),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, dialog");
    const onPicture = event.target === picture.elements.picture || event.target === document.body;
    const action = Object.hasOwn(keys, event.key) ? keys[event.key]
      : onPicture && Object.hasOwn(moves, event.key) ? moves[event.key] : undefined;
    if (action && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      action();
    }
  });
}
