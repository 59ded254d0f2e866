"use strict";
// The stage: two pictures side by side, under a slider or flickering, which zoom and move as one.
const staged = (stage, slider, buttons) => {
  const panes = [...stage.querySelectorAll(".pane")];
  const view = { zoom: 1, x: 0, y: 0 };
  const mode = (name) => {
    stage.dataset.mode = name;
    stage.classList.remove("other");
    for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.mode === name);
    slider.hidden = name !== "slider";
  };
  const place = () => {
    for (const pane of panes) pane.querySelector("img").style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
  };
  const zoom = (by, x = 0, y = 0) => {
    const to = Math.min(40, Math.max(1, view.zoom * by));
    const factor = to / view.zoom;
    view.x = to === 1 ? 0 : x - (x - view.x) * factor;
    view.y = to === 1 ? 0 : y - (y - view.y) * factor;
    view.zoom = to;
    place();
  };
  const fit = () => { Object.assign(view, { zoom: 1, x: 0, y: 0 }); place(); };
  const split = (percent) => {
    const x = Math.min(100, Math.max(0, percent));
    stage.style.setProperty("--split", `${x}%`);
    slider.value = x;
  };
  // Where a pointer is, in percent of the width, and from the centre of the picture under it.
  const across = (event) => 100 * (event.clientX - stage.getBoundingClientRect().left) / stage.clientWidth;
  const fromCentre = (event) => {
    const right = stage.dataset.mode === "side" && across(event) > 50;
    const frame = panes[right ? 1 : 0].querySelector(".frame").getBoundingClientRect();
    return [event.clientX - frame.left - frame.width / 2, event.clientY - frame.top - frame.height / 2];
  };
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), ...fromCentre(event));
  }, { passive: false });
  const fingers = new Map();
  let moved = 0;
  stage.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button")) return;
    if (fingers.size === 0) moved = 0;
    fingers.set(event.pointerId, event);
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    fingers.set(event.pointerId, event);
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    moved += Math.abs(dx) + Math.abs(dy);
    if (fingers.size === 2) {
      const other = [...fingers.entries()].find(([id]) => id !== event.pointerId)[1];
      const distance = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      zoom(distance(event) / Math.max(1, distance(before)), ...fromCentre(event));
    } else if (stage.dataset.mode === "slider" && view.zoom === 1) {
      split(across(event));
    } else if (view.zoom > 1) {
      view.x += dx;
      view.y += dy;
      place();
    }
  });
  const lift = (event) => {
    if (fingers.delete(event.pointerId) && moved < 5 && event.type === "pointerup") {
      if (stage.dataset.mode === "flicker") stage.classList.toggle("other");
      if (stage.dataset.mode === "slider") split(across(event));
    }
  };
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);
  slider.addEventListener("input", () => split(Number(slider.value)));
  for (const button of buttons) button.addEventListener("click", () => mode(button.dataset.mode));
  const flicker = (other) => {
    if (stage.dataset.mode !== "flicker") mode("flicker");
    stage.classList.toggle("other", other);
  };
  return { mode, zoom, fit, flicker };
};
