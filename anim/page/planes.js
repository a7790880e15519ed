// Points in the plane: drawn as sharp as the screen is, from the places of all rows up to that of a moment.

const numbers = new Map(); // "kind group/row" to a promise of an array, kept as they are small

function listed(kind, group, row, type) {
  const key = `${kind} ${group}/${row}`;
  if (!numbers.has(key)) numbers.set(key, source(kind, group, row).then((text) => new type(bytes(text).buffer)));
  return numbers.get(key);
}

const planeOf = (figure) => run.panels[figure.dataset.index].plane;

// All that is needed to draw a panel at a moment, whatever its size, its colours, and the particle that is marked.
async function layersOf(figure, moment) {
  const { index, run: number } = figure.dataset;
  const { data, density, field, particles, followed } = planeOf(figure);
  const row = run.moments[moment].rows[number];
  const rows = run.tracks.rows[number].filter((held) => held <= row);
  const places = (track, held) => listed("places", track, held, Float32Array);
  const all = (track, wanted) => (track === null ? [] : Promise.all(wanted.map((held) => places(track, held))));
  const moving = [particles?.track ?? null, followed?.track ?? null, followed?.from ?? null];
  const [still, strength, arrows, ...tracks] = await Promise.all([
    all(data, [0]),
    density ? bitmap("still", index, moment).then(levelsOf) : null,
    field ? listed("arrows", index, moment, Int8Array) : [],
    ...moving.map((track) => all(track, rows)),
  ]);
  return { rows, data: still, strength, arrows, particles: tracks[0], followed: tracks[1], from: tracks[2] };
}

function levelsOf(picture) {
  const { width, height } = picture;
  scratch.drawImage(picture, 0, 0);
  return scratch.getImageData(0, 0, width, height);
}

const inkNames = ["background", "strong", "quiet", "signal", "noise"];

function inksOf(element) {
  const style = getComputedStyle(element);
  const levels = (name) => style.getPropertyValue(`--${name}`).match(/\d+/g).map(Number);
  return Object.fromEntries(inkNames.map((name) => [name, levels(name)]));
}

const between = (from, to, part) => from.map((level, channel) => level + part * (to[channel] - level));
const colour = (levels) => `rgb(${levels.map(Math.round).join(" ")})`;

// Draws a panel; `marked` is the index of the particle that is followed, if there is one.
function drawPlane(canvas, plane, layers, marked, width = canvas.clientWidth, ratio = devicePixelRatio) {
  const { dim, many, arrow, middle, longest } = run.tracks.looks;
  const [across, down] = plane.sides;
  const height = (width * down) / across;
  const pen = canvas.getContext("2d");
  const size = [width, height].map((side) => Math.max(Math.round(side * ratio), 1));
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  pen.setTransform(size[0] / width, 0, 0, size[1] / height, 0, 0);
  pen.lineCap = pen.lineJoin = "round";

  const inks = inksOf(canvas);
  const dimmed = (ink, part) => colour(between(inks.background, inks[ink], part));
  const em = parseFloat(getComputedStyle(canvas).fontSize);
  const unit = height / (2 * down * plane.reach);
  const x = (places, number) => width / 2 + unit * places[2 * number];
  const y = (places, number) => height / 2 - unit * places[2 * number + 1];
  const now = (track) => track[track.length - 1];
  const count = (places) => places.length / 2;
  const shrinking = Math.min(1, Math.sqrt(many / count(now(layers.particles) ?? [0, 0])));
  const radius = Math.max(Math.min(0.12 * em, height / 160) * shrinking, 1.2);
  const thin = Math.max(0.07 * em, 1.1);

  const stroke = (thickness, ink, draw) => {
    pen.beginPath();
    draw();
    pen.lineWidth = thickness;
    pen.strokeStyle = ink;
    pen.stroke();
  };
  const discs = (places, size, ink, first = 0, end = count(places)) => {
    pen.beginPath();
    for (let number = first; number < end; number++) {
      pen.moveTo(x(places, number) + size, y(places, number));
      pen.arc(x(places, number), y(places, number), size, 0, 2 * Math.PI);
    }
    pen.fillStyle = ink;
    pen.fill();
  };
  const line = (track, number, first = 0, last = track.length - 1) => {
    let [left, top] = [x(track[first], number), y(track[first], number)];
    pen.moveTo(left, top);
    for (let at = first + 1; at <= last; at++) {
      const [right, below] = [x(track[at], number), y(track[at], number)];
      if (at < last && Math.abs(right - left) + Math.abs(below - top) < 1) continue; // Nothing that could be seen.
      pen.lineTo(right, below);
      [left, top] = [right, below];
    }
  };

  if (layers.strength) {
    pen.imageSmoothingQuality = "high";
    pen.drawImage(shaded(layers.strength, inks, middle), 0, 0, width, height);
  } else {
    pen.fillStyle = colour(inks.background);
    pen.fillRect(0, 0, width, height);
  }
  for (const places of layers.data) discs(places, Math.max(radius / 2.5, 0.8), dimmed("signal", dim.data));
  if (layers.arrows.length) arrows();
  if (plane.particles) {
    const { ink } = plane.particles;
    if (plane.particles.trail) trails(plane.particles);
    discs(now(layers.particles), radius, colour(inks[ink]));
  }
  if (marked !== null && marked < count(now(layers.followed) ?? [])) follow();

  function arrows() {
    const { columns, rows, inks: names } = plane.field;
    const several = names.length > 1;
    const fine = Math.min(width / columns, height / rows);
    const every = Math.max(Math.round(((several ? 1.3 : 0.9) * em) / fine), 1); // In small panels there are fewer.
    const cell = every * fine;
    const chosen = (total) => {
      const few = Math.max(Math.floor(total / every), 1);
      return Array.from({ length: few }, (_, at) => every * at + Math.floor((total - 1 - every * (few - 1)) / 2));
    };
    const places = chosen(rows).flatMap((row) => chosen(columns).map((column) => [column, row]));
    const wide = Math.min(Math.max(1.3 * thin, 1.7), 0.14 * cell);
    names.forEach((ink, each) => {
      const tips = new Path2D();
      const strength = several ? 1 : dim.field;
      stroke(thin, dimmed(ink, strength), () => {
        for (const [column, row] of places) {
          const at = 2 * ((each * rows + row) * columns + column);
          const way = [layers.arrows[at], -layers.arrows[at + 1]].map((part) => (part * cell * arrow) / longest);
          const length = Math.hypot(...way);
          if (!length) continue;
          const from = [((column + 0.5) * width) / columns, ((row + 0.5) * height) / rows];
          const start = from.map((side, axis) => side - (several ? 0 : way[axis] / 2));
          const head = Math.min(0.38 * length, 0.3 * cell) / length;
          const neck = start.map((side, axis) => side + (1 - head) * way[axis]);
          pen.moveTo(...start);
          pen.lineTo(...neck);
          const [right, below] = [(-way[1] / length) * wide, (way[0] / length) * wide];
          tips.moveTo(neck[0] + right, neck[1] + below);
          tips.lineTo(start[0] + way[0], start[1] + way[1]);
          tips.lineTo(neck[0] - right, neck[1] - below);
        }
      });
      pen.fillStyle = dimmed(ink, strength);
      pen.fill(tips);
    });
  }

  // Whole paths are as strong everywhere; others fade towards where they come from.
  function trails({ ink, trail, fading, lines }) {
    const track = layers.particles;
    const last = layers.rows[track.length - 1];
    const first = Math.max(layers.rows.findIndex((row) => row >= last - trail), 0);
    const end = lines ?? count(now(track));
    const draw = (from, to) => {
      for (let number = 0; number < end; number++) line(track, number, from, to);
    };
    if (!fading) return void stroke(thin, dimmed(ink, dim.path), () => draw(first, track.length - 1));
    for (let at = first; at < track.length - 1; at++) {
      pen.globalAlpha = 1 - (last - layers.rows[at + 1]) / trail;
      stroke(thin, dimmed(ink, dim.trail), () => draw(at, at + 1));
    }
    pen.globalAlpha = 1;
  }

  function follow() {
    const { ink, from_ink: other } = plane.followed;
    const large = Math.max(2.2 * radius, 3);
    const ring = (places, inside, around) => {
      discs(places, large + 0.5, colour(inks[around]), marked, marked + 1);
      discs(places, 0.6 * large, colour(inks[inside]), marked, marked + 1);
    };
    const [at, from] = [now(layers.followed), now(layers.from)];
    stroke(1.5 * thin, colour(inks.strong), () => line(layers.followed, marked));
    if (from) {
      stroke(thin, colour(inks.quiet), () => line([from, at], marked));
      ring(from, "background", other);
    }
    ring(at, "strong", ink);
  }
}

// A density in the colours of the theme, a pixel for each of its cells.
function shaded(levels, { background, noise, strong }, middle) {
  const shades = Array.from({ length: 256 }, (_, level) => {
    const part = level / 255;
    if (part < middle) return between(background, noise, part / middle);
    return between(noise, strong, (part - middle) / (1 - middle));
  });
  const picture = new ImageData(levels.width, levels.height);
  for (let at = 0; at < picture.data.length; at += 4) picture.data.set([...shades[levels.data[at]], 255], at);
  const canvas = new OffscreenCanvas(levels.width, levels.height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

// Pointing at particles

const NEAR = 24; // in the page's pixels

function redraw(figure) {
  if (!figure.layers) return;
  figure.marked = state.particle ?? planeOf(figure).followed?.particle ?? null;
  drawPlane(one("canvas", figure), planeOf(figure), figure.layers, figure.marked);
}

// Where the particles of a panel are now, as [x, y] in parts of it.
function spotsOf(figure) {
  const { sides, reach } = planeOf(figure);
  const places = figure.layers?.followed.at(-1) ?? [];
  return Array.from({ length: places.length / 2 }, (_, number) => [
    0.5 + places[2 * number] / (2 * sides[0] * reach),
    0.5 - places[2 * number + 1] / (2 * sides[1] * reach),
  ]);
}

// The particle nearest to a place; if an arrow key is given, of those further that way, and what is aside counts more.
function nearest(figure, x, y, most, way = null) {
  const canvas = one("canvas", figure);
  let [found, least] = [null, most];
  spotsOf(figure).forEach((spot, number) => {
    const [right, below] = [(spot[0] - x) * canvas.clientWidth, (spot[1] - y) * canvas.clientHeight];
    const ahead = way && right * way[0] + below * way[1];
    const distance = way ? ahead + 2 * Math.abs(right * way[1] - below * way[0]) : Math.hypot(right, below);
    const seen = Math.max(Math.abs(spot[0] - 0.5), Math.abs(spot[1] - 0.5)) <= 0.5;
    if (seen && distance < least && (!way || ahead > 0)) [found, least] = [number, distance];
  });
  return found;
}

function tellPlace(figure) {
  const { sides, reach, followed, sign, decimals } = planeOf(figure);
  const output = one(".value", figure);
  const said = (...place) => place.map((number) => signed(number, decimals)).join(", ");
  if (!state.place) return void (output.textContent = "");
  const places = figure.layers?.followed.at(-1) ?? [];
  const number = state.particle;
  if (number !== null && 2 * number < places.length) {
    const name = run.tracks.classes[figure.dataset.run][number];
    const place = said(places[2 * number], places[2 * number + 1]);
    output.textContent = [`#${number + 1}`, `${sign} ${place}`, ...(name ? [name] : [])].join("  ");
  } else {
    const { x, y } = state.place;
    output.textContent = said((2 * x - 1) * sides[0] * reach, (1 - 2 * y) * sides[1] * reach);
  }
}

function toParticle(figure, way) {
  const spots = spotsOf(figure);
  const from = spots[state.particle ?? planeOf(figure).followed.particle ?? 0];
  const found = nearest(figure, ...from, Infinity, way) ?? state.particle;
  if (found === null) return true;
  state.particle = found;
  state.place = { image: 0, x: spots[found][0], y: spots[found][1] };
  look();
  return true;
}

// On paper, which has small dots, and in its colours.
async function printPlane(cell, figure, moment) {
  const canvas = document.createElement("canvas");
  cell.append(canvas);
  const plane = planeOf(figure);
  drawPlane(canvas, plane, await layersOf(figure, moment), plane.followed?.particle ?? null, 320, 3);
}
