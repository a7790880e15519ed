// Frames the page of a run, and frames it again whenever steps have come: with each of them the scales, the texts and
// the curves of all the others may change. The new page is loaded behind the one that is seen.

const status = document.querySelector("[role=status]");
const events = new EventSource("events");
let known = { rows: 0 }; // What the server has said last.
let frame = null; // What is seen,
let rows = 0; // and how many rows of the run it shows.
let coming = null; // What is being loaded,
let begun = 0; // since when,
let rest = 0; // and until when nothing else is, as the recording may need the processor: in milliseconds.

function follow({ data }) {
  known = JSON.parse(data);
  status.textContent = known.words;
  renew();
}

// Whoever looks at an earlier step stays with it; from the newest, one goes on to the next.
function isAtTheNewest() {
  const slider = frame?.contentDocument?.querySelector("#step");
  return !slider || slider.value === slider.max;
}

function renew() {
  if (coming || known.rows === rows || performance.now() < rest || !isAtTheNewest()) return;
  const wanted = known.rows;
  begun = performance.now();
  coming = document.createElement("iframe");
  coming.className = "next";
  coming.title = document.title;
  coming.allow = "fullscreen";
  coming.src = `page?${wanted}#step=last&play=0`;
  coming.addEventListener("load", () => show(wanted), { once: true });
  document.body.append(coming);
}

function show(wanted) {
  const hadFocus = document.activeElement === frame;
  rest = 2 * performance.now() - begun;
  if (frame) keep(frame.contentDocument, coming.contentDocument);
  frame?.remove();
  [frame, coming, rows] = [coming, null, wanted];
  frame.className = "";
  if (hadFocus) frame.focus();
  renew();
}

// What one has chosen stays chosen.
function keep(before, after) {
  for (const id of ["speed", "repeat"]) {
    const [old, now] = [before, after].map((page) => page.getElementById(id));
    if (old && now) now.value = old.value;
  }
  for (const off of before.querySelectorAll('.switch[aria-pressed="false"]')) {
    after.querySelector(`.switch[data-panel="${off.dataset.panel}"]`)?.click();
  }
}

events.addEventListener("step", follow);
events.addEventListener("end", (event) => {
  events.close();
  follow(event);
});
events.addEventListener("error", () => {
  status.textContent = "diffanim watch has ended; what it has shown stays here.";
});
setInterval(renew, 300); // One may have come back to the newest step, or the rest may be over.
