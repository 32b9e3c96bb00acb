// The event's timeline: everybody's tracks in every camera, drawn on a canvas. The wheel zooms, dragging moves.
import { $, called, clock, cover, fill, h, icon, picture } from "./dom.js";
import { get, Lost } from "./api.js";
import { identity, model, on, say, show } from "./model.js";
import { playheadBy } from "./player.js";
import { reveal } from "./sheet.js";

const GUTTER = 84; // pixels for the cameras' names
const AXIS = 18; // pixels for the times
const GAP = 5; // pixels between cameras

let data = null; // what the server says of the event
let lanes = []; // {name, tracks: [{…, lane}], count, top}
let view = { from: 0, to: 1 }; // seconds
let event = null; // name of the event on show
let hovered = null;
let cursor = null; // id of the track that keys are at
let playhead = null;
let due = null;
let loaded = null; // the revision at which the event on show was asked for, once its answer is there

/** Puts tracks that overlap in time below each other. */
function packed({ name, tracks }) {
  const ends = [];
  const placed = [...tracks].sort((a, b) => a.start - b.start || a.end - b.end).map((track) => {
    let lane = ends.findIndex((end) => end <= track.start);
    if (lane < 0) lane = ends.length;
    ends[lane] = track.end;
    return { ...track, lane };
  });
  return { name, tracks: placed, count: Math.max(1, ends.length) };
}

async function load(name) {
  const { revision } = model.state;
  let answer;
  try {
    answer = await get(`/api/timeline/${encodeURIComponent(name)}`);
  } catch (error) {
    if (!(error instanceof Lost)) say(error.message, true);
    return; // it is loaded anew with the next state
  }
  if (name !== event || revision < loaded) return;
  loaded = revision;
  const fresh = data?.event !== answer.event;
  data = answer;
  lanes = data.cameras.map(packed);
  if (fresh) view = { from: data.start, to: Math.max(data.end, data.start + 0.1) };
  tools();
  draw();
}

function tools() {
  const zoom = (factor) => () => zoomAt((view.from + view.to) / 2, factor);
  const select = h("select", { "aria-label": "Event of the timeline", oninput: (input) => pick(input.target.value) },
    ...model.state.events.map((one) => h("option", { value: one.name, selected: one.name === event }, one.name)));
  const button = (name, text, onclick) => h("button", { class: "square", title: text, "aria-label": text, onclick }, icon(name));
  fill($("time-tools"), 
    select, h("span", { id: "time-tracks", class: "faint" }, `${data.cameras.reduce((n, camera) => n + camera.tracks.length, 0)} tracks`),
    button("in", "Zoom in", zoom(0.5)), button("out", "Zoom out", zoom(2)), button("fit", "Whole event", () => look(data.start, data.end)));
}

function pick(name) {
  event = name;
  loaded = null;
  load(name);
}

function look(from, to) {
  const length = Math.min(Math.max(0.5, to - from), data.end - data.start || 1);
  const begin = Math.min(Math.max(data.start, from), data.end - length);
  view = { from: begin, to: begin + length };
  draw();
}

function zoomAt(time, factor) {
  look(time - (time - view.from) * factor, time + (view.to - time) * factor);
}

let width = 1; // pixels that the view is wide, as it was last painted
const toX = (time) => GUTTER + ((time - view.from) / (view.to - view.from)) * width;
const toTime = (x) => view.from + ((x - GUTTER) / width) * (view.to - view.from);

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name);
  const scheme = style.colorScheme;
  const dark = scheme === "dark" || (scheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  return { ink: of("--ink"), faint: of("--faint"), line: of("--line"), soft: of("--soft"), mine: of("--mine"), other: of("--other"), dark };
}

// Neighbouring numbers get distant hues.
const hue = (number) => (number * 137.508) % 360;

function draw() {
  if (due) return;
  due = requestAnimationFrame(() => {
    due = null;
    paint();
  });
}

function paint() {
  const canvas = $("tracks");
  const room = $("time-area").clientHeight;
  if (!data || !room) return;
  const all = lanes.reduce((sum, camera) => sum + camera.count, 0);
  const height = Math.max(3, Math.min(11, Math.floor((room - AXIS - GAP * lanes.length) / Math.max(1, all))));
  let top = AXIS;
  for (const camera of lanes) {
    camera.top = top;
    camera.height = height;
    top += Math.max(camera.count * height, 12) + GAP;
  }
  const [wide, high] = [$("time-area").clientWidth, Math.max(room, top)];
  width = wide - GUTTER - 8;
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(wide * scale) || canvas.height !== Math.round(high * scale)) {
    canvas.style.width = `${wide}px`;
    canvas.style.height = `${high}px`;
    canvas.width = Math.round(wide * scale);
    canvas.height = Math.round(high * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, wide, high);
  const colour = colours();
  pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
  axis(pen, wide, high, colour);
  for (const camera of lanes) {
    pen.fillStyle = colour.soft;
    pen.fillRect(GUTTER, camera.top - 1, wide - GUTTER, Math.max(camera.count * height, 12) + 1);
  }
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER, 0, wide - GUTTER, high);
  pen.clip();
  for (const camera of lanes) bandOf(pen, camera, colour);
  if (playhead !== null) {
    pen.fillStyle = colour.ink;
    pen.fillRect(toX(playhead) - 0.5, AXIS - 4, 1, high);
  }
  pen.restore();
  names(pen, colour);
}

function axis(pen, wide, high, colour) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600];
  const step = steps.find((one) => (one / (view.to - view.from)) * width > 62) ?? 7200;
  pen.fillStyle = colour.faint;
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  for (let n = Math.ceil(view.from / step); n * step <= view.to; n++) {
    const x = toX(n * step);
    pen.fillStyle = colour.line;
    pen.fillRect(Math.round(x), 2, 1, high);
    pen.fillStyle = colour.faint;
    if (x < wide - 48) pen.fillText(clock(n * step, step < 1), x + 4, 8);
  }
}

function bandOf(pen, camera, colour) {
  const tall = Math.max(1, camera.height - 1);
  const late = [];
  for (const track of camera.tracks) {
    if (track.end < view.from || track.start > view.to) continue;
    const mine = model.shown?.nobody ? track.kind === model.shown.nobody : track.kind === "person" && track.identity === model.shown?.identity;
    if (mine || (track.kind === "person" && track.identity === model.other?.identity) || track.id === hovered || track.id === cursor) {
      late.push([track, mine]);
      continue;
    }
    if (track.kind === "person") pen.fillStyle = `hsl(${hue(track.identity)} ${colour.dark ? "38% 66% / .62" : "46% 50% / .48"})`;
    else pen.fillStyle = colour.line;
    pen.fillRect(toX(track.start), camera.top + track.lane * camera.height, Math.max(1.5, toX(track.end) - toX(track.start)), tall);
  }
  for (const [track, mine] of late) {
    const [x, y, w] = [toX(track.start), camera.top + track.lane * camera.height, Math.max(3, toX(track.end) - toX(track.start))];
    const other = track.kind === "person" && track.identity === model.other?.identity;
    pen.fillStyle = mine ? colour.mine : other ? colour.other : colour.faint;
    pen.fillRect(x, y, w, tall);
    if (model.chosen.has(track.id) || track.id === hovered || track.id === cursor) {
      pen.strokeStyle = colour.ink;
      pen.lineWidth = 1;
      pen.strokeRect(x - 0.75, y - 0.75, w + 1.5, tall + 1.5);
    }
  }
}

function names(pen, colour) {
  pen.textBaseline = "top";
  pen.textAlign = "left";
  pen.fillStyle = colour.ink;
  for (const camera of lanes) {
    let text = camera.name;
    while (text.length > 1 && pen.measureText(text).width > GUTTER - 20) text = text.slice(0, -1);
    pen.fillText(text === camera.name ? text : `${text}…`, 12, camera.top);
  }
}

function trackAt(pointer) {
  const box = $("tracks").getBoundingClientRect();
  const [x, y] = [pointer.clientX - box.left, pointer.clientY - box.top];
  if (x < GUTTER) return null;
  for (const camera of lanes) {
    const lane = Math.floor((y - camera.top) / camera.height);
    if (lane < 0 || lane >= camera.count) continue;
    const near = camera.tracks.filter((track) => track.lane === lane && x >= toX(track.start) - 2 && x <= Math.max(toX(track.end), toX(track.start) + 3) + 2);
    return near[0] ?? null;
  }
  return null;
}

const whose = (track) => (track.kind === "person" ? called(identity(track.identity) ?? { identity: track.identity }) : track.kind);

function tip(track, pointer) {
  const box = $("time-tip");
  box.hidden = !track;
  if (!track) return;
  fill(box, h("span", { class: "picture" }, picture(cover(track.id), { loading: "eager" })),
    h("span", {}, h("b", {}, whose(track)), h("br"), h("span", { class: "faint" }, `${clock(track.start, true)} – ${clock(track.end, true)}`)));
  const area = $("time").getBoundingClientRect();
  box.style.insetInlineStart = `${Math.min(area.width - 190, Math.max(4, pointer.clientX - area.left + 12))}px`;
  box.style.insetBlockEnd = `${area.bottom - pointer.clientY + 12}px`;
}

async function open(track) {
  if (track.kind === "person") {
    if (track.identity !== model.shown?.identity) await show({ identity: track.identity });
  } else if (model.shown?.nobody !== track.kind) {
    await show({ nobody: track.kind });
  }
  reveal(track.id);
}

function keys(key) {
  const tracks = lanes.flatMap((camera) => camera.tracks.map((track) => ({ ...track, camera: camera.name })));
  if (!tracks.length) return;
  const here = tracks.find((track) => track.id === cursor);
  const inCamera = (name) => tracks.filter((track) => track.camera === name).sort((a, b) => a.start - b.start);
  const go = (track) => {
    cursor = track.id;
    if (track.end < view.from || track.start > view.to) look(track.start - (view.to - view.from) / 2, track.start + (view.to - view.from) / 2);
    say(`${track.camera}, ${whose(track)}, ${clock(track.start)} to ${clock(track.end)}`);
    draw();
  };
  const step = { ArrowRight: 1, ArrowLeft: -1 }[key.key];
  const up = { ArrowDown: 1, ArrowUp: -1 }[key.key];
  if (!here && (step || up)) {
    go(tracks.find((track) => track.identity === model.shown?.identity) ?? tracks[0]);
  } else if (step) {
    const row = inCamera(here.camera);
    go(row[Math.min(row.length - 1, Math.max(0, row.findIndex((track) => track.id === cursor) + step))]);
  } else if (up) {
    const at = lanes.findIndex((camera) => camera.name === here.camera) + up;
    const row = lanes[at] ? inCamera(lanes[at].name) : [];
    if (row.length) go(row.reduce((best, track) => (Math.abs(track.start - here.start) < Math.abs(best.start - here.start) ? track : best)));
  } else if (key.key === "Enter" && here) {
    open(here);
  } else if (key.key === "+" || key.key === "-") {
    zoomAt(here ? here.start : (view.from + view.to) / 2, key.key === "+" ? 0.5 : 2);
  } else {
    return;
  }
  key.preventDefault();
  key.stopPropagation();
}

/** The timeline's upper edge, dragged or moved by arrow keys, says how high it is. */
function edge() {
  const handle = $("time-edge");
  const tall = (height) => {
    const pixels = Math.round(Math.min(innerHeight * 0.6, Math.max(80, height)));
    document.documentElement.style.setProperty("--time", `${pixels}px`);
    localStorage.setItem("timeline", pixels);
    handle.setAttribute("aria-valuenow", pixels);
  };
  if (localStorage.getItem("timeline")) tall(Number(localStorage.getItem("timeline")));
  handle.addEventListener("pointerdown", (pointer) => handle.setPointerCapture(pointer.pointerId));
  handle.addEventListener("pointermove", (pointer) => handle.hasPointerCapture(pointer.pointerId) && tall(innerHeight - pointer.clientY));
  handle.addEventListener("keydown", (key) => {
    const step = { ArrowUp: 24, ArrowDown: -24 }[key.key];
    if (!step) return;
    tall($("time").clientHeight + step);
    key.preventDefault();
  });
}

export function startTimeline() {
  edge();
  const canvas = $("tracks");
  let drag = null;
  canvas.addEventListener("pointerdown", (pointer) => {
    if (data) drag = { x: pointer.clientX, from: view.from, to: view.to, moved: false };
  });
  canvas.addEventListener("pointermove", (pointer) => {
    if (drag && (drag.moved || Math.abs(pointer.clientX - drag.x) > 4)) {
      drag.moved = true;
      canvas.setPointerCapture(pointer.pointerId);
      const by = ((drag.x - pointer.clientX) / width) * (drag.to - drag.from);
      look(drag.from + by, drag.to + by);
      return;
    }
    const track = trackAt(pointer);
    if ((track?.id ?? null) !== hovered) {
      hovered = track?.id ?? null;
      tip(track, pointer);
      draw();
    }
    canvas.classList.toggle("on-track", Boolean(track));
  });
  canvas.addEventListener("pointerleave", () => {
    hovered = null;
    tip(null);
    draw();
  });
  canvas.addEventListener("pointerup", (pointer) => {
    const track = drag && !drag.moved ? trackAt(pointer) : null;
    drag = null;
    if (track) open(track);
  });
  canvas.addEventListener("wheel", (wheel) => {
    if (!data) return;
    wheel.preventDefault();
    const sideways = wheel.shiftKey ? wheel.deltaY : wheel.deltaX;
    const by = (sideways / width) * (view.to - view.from);
    if (Math.abs(sideways) > Math.abs(wheel.shiftKey ? 0 : wheel.deltaY)) look(view.from + by, view.to + by);
    else zoomAt(toTime(wheel.clientX - canvas.getBoundingClientRect().left), 1.0015 ** wheel.deltaY);
  }, { passive: false });
  canvas.addEventListener("keydown", keys);
  canvas.addEventListener("blur", () => {
    cursor = null;
    draw();
  });
  new ResizeObserver(draw).observe($("time-area"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  playheadBy((time) => {
    playhead = time;
    draw();
  });
  /** What the page knows already of who is who; the rest comes when nothing was decided for a while. */
  const patch = () => {
    const who = new Map([model.shown, model.other].filter((one) => one?.identity !== undefined).flatMap((one) => one.tracklets.map((tracklet) => [tracklet.id, one.identity])));
    for (const track of lanes.flatMap((camera) => camera.tracks)) {
      if (who.has(track.id)) Object.assign(track, { identity: who.get(track.id), kind: "person" });
    }
  };
  let timer = null;
  on("state shown", () => {
    if (!model.state?.events.length) return;
    const here = model.shown?.events ?? [event ?? model.state.events[0].name];
    if (!here.includes(event)) pick(here[0] ?? model.state.events[0].name);
    else if (loaded !== model.state.revision) {
      clearTimeout(timer);
      timer = setTimeout(() => loaded !== model.state.revision && load(event), 400);
      patch();
    }
    draw();
  });
  on("chosen other", draw);
}
