"use strict";
// Maps can be moved and magnified; without this script they stand still and lose nothing.
for (const map of document.querySelectorAll("svg.map")) {
  const whole = map.viewBox.baseVal;
  const home = { x: whole.x, y: whole.y, width: whole.width, height: whole.height };
  let view = { ...home };
  let held = null;
  const show = () => map.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
  const magnify = (factor, x, y) => {
    const width = Math.min(home.width, Math.max(home.width / 40, view.width * factor));
    const share = width / view.width;
    view = { x: x - (x - view.x) * share, y: y - (y - view.y) * share, width, height: view.height * share };
    show();
  };
  const place = (event) => {
    const box = map.getBoundingClientRect();
    return [
      view.x + ((event.clientX - box.left) / box.width) * view.width,
      view.y + ((event.clientY - box.top) / box.height) * view.height,
    ];
  };
  map.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return; // the page goes on scrolling
    event.preventDefault();
    magnify(event.deltaY + event.deltaX > 0 ? 1.2 : 1 / 1.2, ...place(event));
  }, { passive: false });
  map.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") return;
    held = place(event);
    map.setPointerCapture(event.pointerId);
  });
  map.addEventListener("pointermove", (event) => {
    if (!held) return;
    const [x, y] = place(event);
    view.x += held[0] - x;
    view.y += held[1] - y;
    show();
  });
  map.addEventListener("pointerup", () => { held = null; });
  map.addEventListener("dblclick", (event) => magnify(1 / 2, ...place(event)));
  map.addEventListener("keydown", (event) => {
    const step = view.width / 10;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const [x, y] = [view.x + view.width / 2, view.y + view.height / 2];
    if (event.key in moves) { view.x += moves[event.key][0]; view.y += moves[event.key][1]; show(); }
    else if (event.key === "+") magnify(1 / 1.3, x, y);
    else if (event.key === "-") magnify(1.3, x, y);
    else if (event.key === "Escape" || event.key === "0") { view = { ...home }; show(); }
    else return;
    event.preventDefault();
  });
}
