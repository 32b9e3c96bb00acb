// The contact sheet in the middle: the tracklets of an identity, a row of each camera, in time. Chosen by clicks, a
// frame drawn around them, or keys.
import { $, addresses, bars, called, clock, count, fill, h, icon, percent, picture, set } from "./dom.js";
import { askedIsShown, choose, model, on, strays, tracklets } from "./model.js";
import { isPlaying, play, playsOnHover, stop, stopAll } from "./player.js";

const AT_ONCE = 240; // cards drawn before the first paint; the others follow
const MOST = 12; // pictures of one tracklet
const NAMES = 120; // pixels beside the pictures: the camera's name and the margins
const cards = new Map(); // id -> {element, key}
let order = []; // ids in the document's order
let current = null; // the id of the card that takes the focus

const elementOf = (id) => cards.get(id)?.element;
const tileOf = (id) => elementOf(id).querySelector(".picture");

/** The tracklets that a decision is about: those chosen, else the one in focus. */
export function picked() {
  if (model.chosen.size) return order.filter((id) => model.chosen.has(id));
  const id = document.activeElement?.dataset?.tracklet;
  return id && cards.has(id) ? [id] : [];
}

export const focusSheet = () => elementOf(current ?? order[0])?.focus();

function describe(tracklet, doubtful) {
  const sure = tracklet.confidence === null ? "" : `, confidence ${percent(tracklet.confidence)}`;
  const doubts = tracklet.captions.some((caption) => caption.doubts.length) ? ", caption in doubt" : "";
  return `${tracklet.camera}, ${clock(tracklet.start)} to ${clock(tracklet.end)}, ${count(tracklet.crops, "crop")}${sure}${doubts}${doubtful ? ", may be somebody else" : ""}`;
}

const strip = (tracklet, many) =>
  h("span", { class: "strip-of" }, ...addresses(tracklet, many).map((address) => h("span", { class: "picture" }, picture(address))));

function makeCard(tracklet, doubtful, many) {
  const pictures = strip(tracklet, many);
  const length = tracklet.end - tracklet.start;
  const element = h("div", { role: "option", tabindex: "-1", "aria-label": describe(tracklet, doubtful) },
    pictures,
    h("span", { class: "marks" },
      doubtful && h("span", { class: "mark doubt", title: "May be somebody else" }, "?"),
      tracklet.captions.some((caption) => caption.doubts.length) && h("span", { class: "mark words", title: "Caption in doubt" }, "“")),
    h("span", { class: "tick" }, icon("check")),
    h("span", { class: "when" }, h("span", {}, clock(tracklet.start)), h("span", { class: "faint" }, `${length < 9.95 ? length.toFixed(1) : Math.round(length)} s`)),
    tracklet.confidence !== null && h("span", { class: "sureness", title: `Confidence ${percent(tracklet.confidence)}` }, sureness(tracklet.confidence)));
  element.dataset.tracklet = tracklet.id;
  playsOnHover(element, pictures.firstElementChild, tracklet);
  return element;
}

function sureness(confidence) {
  const fill = h("i", confidence < 0.5 ? { class: "low" } : {});
  fill.style.inlineSize = `${confidence * 100}%`;
  return fill;
}

/** The card of a tracklet: the one that is there already, where nothing about it changed. */
function cardOf(tracklet, doubtful, many) {
  const key = JSON.stringify([tracklet, doubtful, many]);
  const known = cards.get(tracklet.id);
  if (known?.key === key) return known.element;
  const element = makeCard(tracklet, doubtful, many);
  element.classList.add("card");
  element.classList.toggle("doubtful", doubtful);
  cards.set(tracklet.id, { element, key });
  return element;
}

/** What the sheet shows: the strays that a question is about, and the tracklets of each camera. */
function groups() {
  const out = new Map(strays().length ? [["strays", strays()]] : []);
  for (const tracklet of tracklets()) {
    const key = JSON.stringify([tracklet.event, tracklet.camera]);
    if (!out.has(key)) out.set(key, []);
    out.get(key).push(tracklet);
  }
  return [...out.values()];
}

const SIZES = [52, 72, 104, 150]; // pixels that a picture may be wide
const tileWidth = () => Number(localStorage.getItem("tile") ?? SIZES[1]);

/** How many pictures of each tracklet fit where a camera has that many tracklets. */
function roomFor(many) {
  const wide = $("sheet").clientWidth - NAMES;
  return Math.max(1, Math.min(MOST, Math.floor((wide / many - 8) / (tileWidth() + 1))));
}

/** The tracklets that the question on show says may be somebody else's, or somebody's. */
const inQuestion = () => new Set(["pure", "stray"].includes(model.asked?.kind) && askedIsShown() ? model.asked.tracklets : []);

let drawing = 0;

function draw() {
  const focused = document.activeElement?.dataset?.tracklet;
  const doubtful = inQuestion();
  const sections = groups();
  order = sections.flat().map((tracklet) => tracklet.id);
  const there = new Set(order);
  for (const [id, { element }] of cards) {
    if (there.has(id)) continue;
    stop(element.querySelector(".picture"));
    cards.delete(id);
  }
  if (!there.has(current)) current = order[0] ?? null;
  const events = new Set(tracklets().map((tracklet) => tracklet.event));
  const later = [];
  let drawn = 0;
  const elements = sections.map((section) => {
    const event = section[0].event;
    const camera = [...new Set(section.map((tracklet) => tracklet.camera))].join(", ");
    const room = Math.max(0, AT_ONCE - drawn);
    drawn += section.length;
    const make = (one) => cardOf(one, doubtful.has(one.id), Math.min(one.crops, roomFor(section.length)));
    const box = h("div", { class: "cards", role: "presentation" }, ...section.slice(0, room).map(make));
    if (section.length > room) later.push([box, section.slice(room), make]);
    const stray = section === sections[0] && strays().length > 0;
    return h("div", { class: `camera${stray ? " stray" : ""}`, role: "group", "aria-label": `${stray ? "In question: " : ""}${camera}, ${event}, ${count(section.length, "tracklet")}` },
      h("div", { class: "camera-name", "aria-hidden": "true" },
        stray && h("b", { class: "asked" }, "Theirs?"), h("b", {}, camera), events.size > 1 && h("span", { class: "faint" }, event), h("span", { class: "faint" }, count(section.length, "tracklet"))),
      box);
  });
  fill($("sheet"), ...(elements.length ? elements : [h("p", { class: "nothing" }, "Nothing here.")]));
  const ticket = ++drawing;
  const goOn = () => {
    if (ticket !== drawing || !later.length) return;
    const [box, rest, make] = later[0];
    box.append(...rest.splice(0, AT_ONCE).map(make));
    if (!rest.length) later.shift();
    mark();
    setTimeout(goOn);
  };
  setTimeout(goOn);
  mark();
  if (focused) (elementOf(focused) ?? elementOf(current))?.focus({ preventScroll: true });
}

function mark() {
  for (const [id, { element }] of cards) {
    const chosen = model.chosen.has(id) ? "true" : "false";
    if (element.getAttribute("aria-selected") !== chosen) element.setAttribute("aria-selected", chosen);
    const tab = id === current ? "0" : "-1";
    if (element.getAttribute("tabindex") !== tab) element.setAttribute("tabindex", tab);
  }
}

function title() {
  const { shown } = model;
  if (!shown) return;
  const box = $("title");
  if (shown.nobody) {
    const words = shown.nobody === "junk" ? ["Junk", "nobody, or no whole person"] : ["Distractors", "people who don't belong to the event"];
    fill(box, h("h2", {}, words[0]), h("span", { class: "faint" }, `${words[1]} · ${count(shown.tracklets.length, "tracklet")}`));
    return;
  }
  const crops = shown.tracklets.reduce((sum, tracklet) => sum + tracklet.crops, 0);
  fill(box, 
    h("h2", {}, called(shown)),
    shown.confirmed && h("span", { class: "badge sure" }, icon("check"), "Confirmed"),
    h("span", { class: "faint" }, `${shown.name ? `number ${shown.identity} · ` : ""}${shown.events.join(", ")} · ${count(shown.tracklets.length, "tracklet")} · ${count(crops, "crop")}`),
    bars(shown));
}

// Choosing.

function range(from, to) {
  const [a, b] = [order.indexOf(from), order.indexOf(to)].sort((x, y) => x - y);
  return a < 0 ? [to] : order.slice(a, b + 1);
}

function toggled(id) {
  const chosen = new Set(model.chosen);
  if (!chosen.delete(id)) chosen.add(id);
  return chosen;
}

function click(id, event) {
  current = id;
  if (event.shiftKey) choose(range(model.anchor ?? id, id));
  else choose(toggled(id), id);
}

/** The card in the next row up or down that lies nearest to this one. */
function vertical(id, down) {
  const here = elementOf(id).getBoundingClientRect();
  let best = null;
  for (const other of order) {
    const box = elementOf(other)?.getBoundingClientRect();
    if (!box) continue;
    const away = down ? box.top - here.top : here.top - box.top;
    if (away < here.height / 2) continue;
    const cost = away * 4 + Math.abs(box.left - here.left);
    if (best === null || cost < best.cost) best = { other, cost };
  }
  return best?.other ?? id;
}

function go(to, event) {
  if (event.shiftKey) choose(range(model.anchor ?? current, to), model.anchor ?? current);
  current = to;
  mark();
  elementOf(to)?.focus();
}

function keys(event) {
  const at = order.indexOf(current);
  if (at < 0 || event.altKey) return;
  const moves = {
    ArrowRight: () => order[Math.min(order.length - 1, at + 1)],
    ArrowLeft: () => order[Math.max(0, at - 1)],
    ArrowDown: () => vertical(current, true),
    ArrowUp: () => vertical(current, false),
    Home: () => order[0],
    End: () => order.at(-1),
  };
  if (event.key in moves) go(moves[event.key](), event);
  else if (event.key === " ") choose(event.shiftKey ? range(model.anchor ?? current, current) : toggled(current), event.shiftKey ? undefined : current);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

export const chooseAll = () => choose(model.chosen.size === tracklets().length ? [] : tracklets().map((tracklet) => tracklet.id));

/** Drawing a frame around cards chooses them; with shift or control beside those chosen before. */
function frames() {
  const sheet = $("sheet");
  let from = null;
  let frame = null;
  let before = new Set();
  const point = (event) => {
    const box = sheet.getBoundingClientRect();
    return { x: event.clientX - box.left + sheet.scrollLeft, y: event.clientY - box.top + sheet.scrollTop };
  };
  sheet.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch" || event.offsetX > sheet.clientWidth) return;
    from = point(event);
    before = event.shiftKey || event.ctrlKey || event.metaKey ? new Set(model.chosen) : new Set();
  });
  sheet.addEventListener("pointermove", (event) => {
    if (!from) return;
    const to = point(event);
    if (!frame) {
      if (Math.hypot(to.x - from.x, to.y - from.y) < 6) return;
      sheet.setPointerCapture(event.pointerId);
      stopAll();
      frame = h("div", { class: "frame" });
      sheet.append(frame);
    }
    const [left, top] = [Math.min(from.x, to.x), Math.min(from.y, to.y)];
    const [right, bottom] = [Math.max(from.x, to.x), Math.max(from.y, to.y)];
    Object.assign(frame.style, { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` });
    const area = frame.getBoundingClientRect();
    const inside = order.filter((id) => {
      const box = elementOf(id)?.getBoundingClientRect();
      return box && box.left < area.right && box.right > area.left && box.top < area.bottom && box.bottom > area.top;
    });
    choose([...before, ...inside], inside[0] ?? model.anchor);
    sheet.scrollBy(0, event.clientY > sheet.getBoundingClientRect().bottom - 24 ? 12 : event.clientY < sheet.getBoundingClientRect().top + 24 ? -12 : 0);
  });
  const swallow = (event) => event.stopPropagation();
  const end = () => {
    if (frame) {
      // The click that ends a drag chooses nothing; where none follows, the next one is not to be lost.
      addEventListener("click", swallow, true);
      setTimeout(() => removeEventListener("click", swallow, true));
      frame.remove();
    }
    from = frame = null;
  };
  sheet.addEventListener("pointerup", end);
  sheet.addEventListener("pointercancel", end);
}

/** Plays what is chosen, else all cards in view; a second call ends it. */
export function playAll() {
  if (order.some((id) => elementOf(id) && isPlaying(tileOf(id)))) return stopAll();
  const area = $("sheet").getBoundingClientRect();
  const seen = order.filter((id) => {
    const box = elementOf(id)?.getBoundingClientRect();
    return box && box.top < area.bottom && box.bottom > area.top;
  });
  const wanted = model.chosen.size ? seen.filter((id) => model.chosen.has(id)) : seen;
  const byId = new Map(groups().flat().map((tracklet) => [tracklet.id, tracklet]));
  for (const id of wanted.slice(0, 24)) play(tileOf(id), byId.get(id));
}

/** Larger or smaller pictures. */
export function resize(step) {
  const size = SIZES[Math.min(SIZES.length - 1, Math.max(0, SIZES.indexOf(tileWidth()) + step))];
  localStorage.setItem("tile", size);
  document.documentElement.style.setProperty("--tile", `${size}px`);
  draw();
}

/** Shows one tracklet of the sheet, as a click on the timeline asks for. */
export function reveal(id) {
  if (!cards.has(id)) return;
  current = id;
  mark();
  elementOf(id).scrollIntoView({ block: "nearest" });
  elementOf(id).focus({ preventScroll: true });
}

export function startSheet() {
  resize(0);
  let wide = 0;
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === wide) return;
    wide = contentRect.width;
    draw();
  }).observe($("sheet"));
  const sheet = $("sheet");
  sheet.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card) click(card.dataset.tracklet, event);
    else if (event.target === sheet || event.target.closest(".cards, .camera-name")) choose([]);
  });
  sheet.addEventListener("focusin", (event) => {
    const card = event.target.closest(".card");
    if (!card || card.dataset.tracklet === current) return;
    current = card.dataset.tracklet;
    mark();
  });
  sheet.addEventListener("keydown", keys);
  frames();
  let [last, lastOdd] = [null, null];
  on("shown", () => {
    title();
    draw();
    const now = model.shown?.identity ?? model.shown?.nobody;
    const [odd] = inQuestion();
    if (now !== last) sheet.scrollTop = 0;
    if (odd && (now !== last || odd !== lastOdd)) elementOf(odd)?.scrollIntoView({ block: "nearest" });
    [last, lastOdd] = [now, odd];
  });
  on("chosen", mark);
}
