// Plays a run. The page holds all that stays the same; this puts in what a moment changes: pictures, texts, shapes.
// Nothing is fetched and nothing is stored. "Moment" is an index from 0; "step" is the number that the words say.

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

const run = JSON.parse(one("#run").textContent);
const main = one("main.player");
const figures = all(".panel");
const pictures = figures.filter((figure) => one(".images", figure));
const asked = new URLSearchParams(location.hash.slice(1) || main.dataset.options || "");

const state = {
  wanted: 0, // the moment asked for
  shown: -1, // the moment whose pictures are painted
  painting: false,
  stale: false, // whether a panel that was hidden may be of another moment
  playing: false,
  way: 1, // −1 while it goes back
  due: 0, // when the next moment is to follow, in milliseconds
  until: null, // the moment to stop at, if a deck has asked for it
  alone: null, // the one image of the batch that is seen
  place: null, // where the pointer is: {image, x, y}, x and y as parts of the image
  particle: null, // the index of the particle nearest to it
};

// Pictures: a few around the moment are decoded.

const decoded = new Map(); // "kind panel/moment" to a promise of its bitmap, the least used first
const parsed = new Promise((done) => {
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", done, { once: true });
  else done();
});

async function source(kind, panel, moment) {
  const find = () => one(`script[data-${kind}="${panel}/${moment}"]`);
  // While the page arrives, its last element may have only a part of its text.
  if (document.readyState === "loading" && !find()?.nextElementSibling) await parsed;
  return find()?.textContent;
}

const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

async function decode(kind, panel, moment) {
  const text = await source(kind, panel, moment);
  if (text === undefined) return null;
  // As stored: values are read from these colours.
  const exactly = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  return createImageBitmap(new Blob([bytes(text)], { type: "image/webp" }), exactly);
}

function bitmap(kind, panel, moment) {
  const key = `${kind} ${panel}/${moment}`;
  const found = decoded.get(key) ?? decode(kind, panel, moment);
  decoded.delete(key);
  decoded.set(key, found);
  for (const [oldest, old] of decoded) {
    if (decoded.size <= 8 * Math.max(pictures.length, 1)) break;
    decoded.delete(oldest);
    old.then((picture) => picture?.close());
  }
  return found;
}

const seen = () => pictures.filter((figure) => !figure.hidden);
const still = (figure, moment) =>
  planeOf(figure) ? layersOf(figure, moment) : bitmap("still", figure.dataset.index, moment);

function origin(figure, image, canvas) {
  const { columns } = run.panels[figure.dataset.index];
  return [(image % columns) * canvas.width, Math.floor(image / columns) * canvas.height];
}

// Moments: all that belongs to one is put in together.

async function show(moment) {
  state.wanted = Math.min(Math.max(moment, 0), run.moments.length - 1);
  main.dataset.step = run.moments[state.wanted].step;
  one("#step").value = state.wanted;
  if (state.painting) return;
  state.painting = true;
  while (state.stale || state.shown !== state.wanted) {
    state.stale = false;
    const next = state.wanted;
    const shown = seen();
    const found = await Promise.all(shown.map((figure) => still(figure, next)));
    shown.forEach((figure, place) => paint(figure, found[place]));
    write(next);
  }
  state.painting = false;
  for (let ahead = 1; ahead <= 3; ahead++) {
    const next = state.shown + ahead * state.way;
    if (run.moments[next]) seen().forEach((figure) => still(figure, next));
  }
}

function paint(figure, picture) {
  if (planeOf(figure)) {
    figure.layers = picture;
    return redraw(figure);
  }
  for (const canvas of all(".image > canvas", figure)) {
    const [x, y] = origin(figure, Number(canvas.dataset.image), canvas);
    const { width, height } = canvas;
    canvas.getContext("2d", { willReadFrequently: true }).drawImage(picture, x, y, width, height, 0, 0, width, height);
  }
}

function write(moment) {
  const now = run.moments[moment];
  state.shown = moment;
  for (const text of all("[data-text]")) text.textContent = now.texts[text.dataset.text];
  for (const shape of all("[data-shape]")) {
    const [number, attribute] = shape.dataset.shape.split(" ");
    shape.setAttribute(attribute, now.shapes[number]);
  }
  for (const trail of all("[data-trail]")) {
    const points = trail.dataset.trail.split(" ").slice(0, now.rows[trail.dataset.run] + 1);
    trail.setAttribute("d", `M${points.join(" ")}`);
  }
  for (const dot of all("[data-dot]")) {
    dot.setAttribute("d", `M${dot.dataset.dot.split(" ")[now.rows[dot.dataset.run]]}h0`);
  }
  for (const said of all("[data-ended]")) {
    said.classList.toggle("off", String(now.ended[said.dataset.run]) !== said.dataset.ended);
  }
  one("#step").setAttribute("aria-valuetext", now.label);
  main.dataset.moment = moment;
  main.dataset.shown = now.step;
  look();
  remember();
}

const momentOf = (step) => {
  const found = run.moments.findIndex((moment) => moment.step >= step);
  return found < 0 ? run.moments.length - 1 : found;
};

let remembering = 0;
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    asked.set("step", run.moments[state.shown].step);
    try {
      history.replaceState(null, "", `#${asked}`);
    } catch {
      // A sandboxed page has no address of its own.
    }
  }, 300);
}

// Time

const last = () => run.moments.length - 1;
const repeat = () => one("#repeat").value;

function play(playing) {
  state.playing = playing;
  one("#play").setAttribute("aria-label", playing ? "Pause" : "Play");
  one("#play path").setAttribute("d", playing ? "M4 2.5h3v11H4zM9.5 2.5h3v11h-3z" : "M4 2.5 13 8 4 13.5Z");
  if (!playing) return;
  if (state.wanted === last() && repeat() !== "bounce") show(0);
  state.due = performance.now() + seconds(state.wanted);
  requestAnimationFrame(tick);
}

function seconds(moment) {
  const held = (moment === last() || (moment === 0 && state.way < 0)) && repeat() !== "once" ? 2000 : 0;
  return held + (1000 * run.moments[moment].seconds) / Number(one("#speed").value);
}

function tick(now) {
  if (!state.playing) return;
  requestAnimationFrame(tick);
  if (state.shown !== state.wanted || now < state.due) return;
  const next = following();
  if (next === null || state.shown === state.until) return stop();
  state.due = Math.max(state.due, now - 50) + seconds(next);
  show(next);
}

function following() {
  if (run.moments[state.wanted + state.way]) return state.wanted + state.way;
  if (repeat() === "loop") return 0;
  if (repeat() !== "bounce" || last() === 0) return null;
  state.way = -state.way;
  return state.wanted + state.way;
}

function stop() {
  play(false);
  if (state.until === null) return;
  state.until = null;
  tell({ at: run.moments[state.shown].step, more: state.shown < last() });
}

function step(by) {
  play(false);
  state.way = 1;
  show(state.wanted + by);
}

// Pointing: the same place in every panel, enlarged, with its values.

function point(event) {
  const image = event.target.closest?.(".image");
  if (!image) return;
  const box = image.getBoundingClientRect();
  const within = (part) => Math.min(Math.max(part, 0), 1 - 1e-9);
  const x = within((event.clientX - box.left) / box.width);
  const y = within((event.clientY - box.top) / box.height);
  state.place = { image: Number(image.dataset.image), x, y };
  const figure = image.closest(".panel");
  if (planeOf(figure)) state.particle = nearest(figure, x, y, NEAR);
  look();
}

function forget() {
  state.place = state.particle = null;
  look();
}

function look() {
  for (const figure of seen()) {
    if (planeOf(figure)) {
      if (figure.marked !== (state.particle ?? planeOf(figure).followed?.particle ?? null)) redraw(figure);
      tellPlace(figure);
      continue;
    }
    const canvas = state.place && one(`canvas[data-image="${state.place.image}"]`, figure);
    one(".lens", figure).style.visibility = canvas ? "visible" : "hidden";
    if (canvas) enlarge(figure, canvas);
    value(figure, canvas);
  }
}

function pixel(canvas) {
  return [Math.floor(state.place.x * canvas.width), Math.floor(state.place.y * canvas.height)];
}

function enlarge(figure, canvas) {
  const lens = one(".lens", figure);
  const button = canvas.parentElement;
  lens.style.left = `${button.offsetLeft + state.place.x * button.clientWidth}px`;
  lens.style.top = `${button.offsetTop + state.place.y * button.clientHeight}px`;
  const size = lens.clientWidth;
  const zoom = Math.min(Math.max((5 * button.clientWidth) / canvas.width, 12), size / 3);
  lens.width = lens.height = Math.round(size * devicePixelRatio);
  const context = lens.getContext("2d");
  context.imageSmoothingEnabled = false;
  const [x, y] = pixel(canvas);
  const across = size / zoom; // in the image's pixels, with the one pointed at in the middle
  const corner = [x + 0.5 - across / 2, y + 0.5 - across / 2];
  context.drawImage(canvas, ...corner, across, across, 0, 0, lens.width, lens.height);
}

const scratch = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

async function value(figure, canvas) {
  const output = one(".value", figure);
  if (!canvas) return void (output.textContent = "");
  const panel = run.panels[figure.dataset.index];
  const [x, y] = pixel(canvas);
  const colour = canvas.getContext("2d").getImageData(x, y, 1, 1).data;
  const [moment, place] = [state.shown, state.place];
  const beyond = panel.range && (await bitmap("excess", figure.dataset.index, moment));
  if (moment !== state.shown || place !== state.place) return;
  let levels = [run.beyond.middle, run.beyond.middle, run.beyond.middle];
  if (beyond) {
    const [left, top] = origin(figure, place.image, canvas);
    scratch.drawImage(beyond, left + x, top + y, 1, 1, 0, 0, 1, 1);
    levels = scratch.getImageData(0, 0, 1, 1).data;
  }
  const letters = panel.range ? [...panel.letters] : [..."RGB"];
  const told = (letters.length ? letters : [""]).map((letter, channel) => {
    const said = panel.range ? spelled(panel, colour[channel], levels[channel]) : String(colour[channel]);
    return letter ? `${letter} ${said}` : said;
  });
  output.textContent = [...told, panel.colours ?? ""].join("  ");
}

function spelled(panel, level, beyond) {
  const [black, white] = panel.range;
  const { middle, most } = run.beyond;
  const off = beyond - middle;
  const number = black + ((white - black) * level) / 255 + off * panel.step;
  const bound = off === most ? "≥" : off === -most ? "≤" : "";
  return bound + signed(number, panel.decimals);
}

function signed(number, decimals) {
  const digits = Math.abs(number).toFixed(decimals);
  return (number < 0 && Number(digits) ? "−" : "+") + digits;
}

function alone(image) {
  state.alone = state.alone === image ? null : image;
  main.classList.toggle("alone", state.alone !== null);
  for (const button of all(".image[aria-pressed]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.image) === state.alone));
  }
  look();
}

// Panels

function toggle(name) {
  const switches = all(".switch");
  const chosen = switches.find((button) => button.dataset.panel === name);
  const on = switches.filter((button) => button.ariaPressed === "true");
  if (!chosen || (on.length === 1 && on[0] === chosen)) return;
  chosen.ariaPressed = String(chosen.ariaPressed !== "true");
  for (const figure of figures) if (figure.dataset.panel === name) figure.hidden = chosen.ariaPressed !== "true";
  const count = switches.filter((button) => button.ariaPressed === "true").length;
  for (const term of all(".term")) term.hidden = count < switches.length; // An equation is whole or none.
  run.arrangements[count - 1].forEach((numbers, page) => {
    ["runs", "panels", "down", "columns", "rows", "runs-down"].forEach((what, place) => {
      main.style.setProperty(`--${["wide", "medium", "narrow"][page]}-${what}`, numbers[place]);
    });
  });
  state.stale = true;
  show(state.wanted);
}

function fill() {
  if (document.fullscreenElement) document.exitFullscreen();
  else main.requestFullscreen?.();
}

// Keys: those that the page has no use for go to the slides around it.

const keys = {
  " ": () => play(!state.playing),
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  ",": () => step(-1),
  ".": () => step(1),
  Home: () => step(-Infinity),
  End: () => step(Infinity),
  f: fill,
};

// With keys=slides in the address, those of a deck are the deck's, wherever one has clicked.
const ofSlides = asked.get("keys") === "slides" ? ["ArrowLeft", "ArrowRight", "Home", "End"] : [];

function press(event) {
  const { key, code, keyCode, shiftKey, ctrlKey, altKey, metaKey, target } = event;
  const handOn = ofSlides.includes(key) && !shiftKey && !target.closest("select");
  const handled = !handOn && use(event);
  if (handOn || handled) event.preventDefault();
  if (handled || parent === window || (!handOn && target.closest("select, input"))) return;
  tell({ key, code, keyCode, shiftKey, ctrlKey, altKey, metaKey });
}

function use({ key, target, ctrlKey, altKey, metaKey, shiftKey }) {
  if (ctrlKey || altKey || metaKey || target.closest("select")) return false;
  if (shiftKey && key.startsWith("Arrow")) return move(key);
  if (key === "Escape" && (state.alone !== null || state.place)) {
    if (state.alone !== null) alone(state.alone);
    forget();
    return true;
  }
  if (/^[1-9]$/.test(key) && all(".switch")[key - 1]) {
    toggle(all(".switch")[key - 1].dataset.panel);
    return true;
  }
  if (!keys[key] || (key === " " && target.closest("button"))) return false;
  keys[key]();
  return true;
}

// With shift, arrows move the place that is enlarged by a pixel, or go to the next particle that way.
function move(key) {
  const image = document.activeElement.closest?.(".image") ?? one(".panel:not([hidden]) .image");
  if (!image) return false;
  const canvas = one("canvas", image);
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  const figure = image.closest(".panel");
  if (planeOf(figure)?.followed) return toParticle(figure, way);
  const { x, y } = state.place ?? { x: 0.5, y: 0.5 };
  const to = (part, by, size) => (Math.min(Math.max(Math.floor(part * size) + by, 0), size - 1) + 0.5) / size;
  const [across, down] = way;
  state.place = {
    image: state.place?.image ?? Number(image.dataset.image),
    x: to(x, across, canvas.width),
    y: to(y, down, canvas.height),
  };
  look();
  return true;
}

// Slides: what is around the page may play it, and is told when it has stopped.

const tell = (message) => parent.postMessage({ source: "diffanim", ...message }, "*");

const orders = {
  play: () => play(true),
  pause: () => play(false),
  go: ({ step: number }) => {
    play(false);
    show(momentOf(Number(number)));
  },
  next: () => {
    state.way = 1;
    state.until = stops().find((moment) => moment > state.wanted) ?? last();
    if (state.wanted < last()) play(true);
    else stop();
  },
  stop: ({ number }) => {
    const moment = [0, ...stops()][number] ?? last();
    play(false);
    state.until = null;
    if (moment <= state.wanted) return show(moment);
    state.way = 1;
    state.until = moment;
    play(true);
  },
};

// Stops are timesteps of the first run, or steps: each is the first moment that reaches it.
function stops() {
  const times = run.moments.map((moment) => moment.t[0]);
  const falls = times[0] >= (times.findLast((t) => t !== null) ?? 0);
  const [, what, list] = /^(?:(t|step)=)?(.*)$/.exec(asked.get("stops") ?? "");
  const reaches = (stop) => ({ step }, moment) =>
    what === "step" ? step >= stop : times[moment] !== null && (falls ? times[moment] <= stop : times[moment] >= stop);
  return list
    .split(",")
    .filter(Boolean)
    .map((stop) => run.moments.findIndex(reaches(Number(stop))))
    .filter((moment) => moment >= 0)
    .sort((a, b) => a - b);
}

function begin() {
  one("#play").addEventListener("click", () => play(!state.playing));
  one("#previous").addEventListener("click", () => step(-1));
  one("#next").addEventListener("click", () => step(1));
  one("#full").addEventListener("click", fill);
  one("#full").hidden = !document.fullscreenEnabled;
  one("#step").addEventListener("input", (event) => {
    play(false);
    show(Number(event.target.value));
  });
  for (const button of all(".switch")) button.addEventListener("click", () => toggle(button.dataset.panel));
  for (const button of all(".image[aria-pressed]")) {
    button.addEventListener("click", () => alone(Number(button.dataset.image)));
  }
  const stage = one(".stage");
  stage.addEventListener("pointerdown", point);
  stage.addEventListener("pointermove", point);
  stage.addEventListener("pointerleave", ({ pointerType }) => {
    if (pointerType !== "touch" || state.particle === null) forget(); // A finger hides what it marks.
  });
  document.addEventListener("keydown", press);
  const again = () => seen().filter(planeOf).forEach(redraw);
  for (const change of [look, again]) addEventListener("resize", change);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("hashchange", () => {
    const given = new URLSearchParams(location.hash.slice(1)).get("step");
    if (given) orders.go({ step: given });
  });
  addEventListener("message", ({ source: sender, data }) => {
    const known = sender === parent && parent !== window && Object.hasOwn(orders, data?.diffanim);
    if (known) orders[data.diffanim](data);
  });
  const start = asked.get("step");
  show(start ? momentOf(Number(start)) : 0).then(() => {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const deck = asked.get("stops") || asked.get("play") === "0";
    if (!start && !calm && !deck) play(true);
  });
  parsed.then(prepareSheet);
}

// The sheet that is printed has its pictures ready.
function prepareSheet() {
  for (const cell of all("[data-print]")) {
    const [panel, moment] = cell.dataset.print.split("/").map(Number);
    if (run.panels[panel].plane) {
      printPlane(cell, figures[panel], moment);
      continue;
    }
    const picture = new Image();
    picture.alt = "";
    picture.src = `data:image/webp;base64,${one(`script[data-still="${cell.dataset.print}"]`).textContent}`;
    cell.append(picture);
  }
}

begin();
