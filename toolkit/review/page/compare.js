// The nearest other identities at the right, and one of them side by side with the shown one, camera by camera.
import { $, addresses, called, clock, cover, fill, h, percent, picture } from "./dom.js";
import { compareWith, identity, model, on, show } from "./model.js";
import { playsOnHover } from "./player.js";

const MOST = 6; // tracklets of a side in one camera
const NARROW = 1280; // pixels, as in review.css

const nearest = () => model.shown?.nearest ?? [];

/** The identity that stands at that place of the nearest, from 0. */
export const nearestAt = (index) => nearest()[index]?.identity ?? null;

function tileOf(one, index) {
  const chosen = model.other?.identity === one.identity;
  const elsewhere = one.events.every((event) => !model.shown.events.includes(event));
  const words = [called(one), percent(one.probability), one.conflict, elsewhere && `in ${one.events.join(", ")}`].filter(Boolean);
  return h("button", {
    class: `near${one.conflict ? " conflict" : ""}`, role: "option", "aria-selected": chosen ? "true" : "false", tabindex: chosen || (!index && !model.other) ? "0" : "-1",
    "aria-label": words.join(", "), title: `${words.join("\n")}${index < 9 ? `\nKey ${index + 1}` : ""}`,
    onclick: () => compareWith(one.identity),
  },
  h("span", { class: "picture" }, picture(cover(one.cover))),
  h("span", { class: "near-name" }, one.name || String(one.identity)),
  h("span", { class: "near-figure" }, one.conflict ? "can't be" : percent(one.probability)),
  elsewhere && h("span", { class: "elsewhere" }, one.events[0]));
}

function strip() {
  const box = $("nearest");
  const focused = box.contains(document.activeElement);
  fill(box, ...nearest().map(tileOf));
  if (focused) box.querySelector("[aria-selected=true], button")?.focus();
}

/** One side in one camera: a picture of each tracklet, or several where there are few. */
function side(tracklets, name) {
  const room = innerWidth < NARROW ? 2 : 3;
  const many = Math.max(1, Math.floor(room / Math.max(1, tracklets.length)));
  const pictures = tracklets.slice(0, MOST).flatMap((tracklet) => {
    const words = `${clock(tracklet.start)} to ${clock(tracklet.end)}`;
    return addresses(tracklet, Math.min(many, tracklet.crops)).map((address, at) => {
      const tile = h("span", { class: "picture" }, picture(address));
      const element = h("span", { class: "pair-tile", title: words, role: "img", "aria-label": at ? null : `${name}, ${tracklet.camera}, ${words}`, "aria-hidden": at ? "true" : null }, tile);
      playsOnHover(element, tile, tracklet);
      return element;
    });
  });
  const more = tracklets.length - MOST;
  return h("div", { class: "side" }, ...pictures, more > 0 && h("span", { class: "faint more" }, `+ ${more}`));
}

const caption = (one) => {
  const text = one.tracklets.flatMap((tracklet) => tracklet.captions)[0]?.text;
  return h("p", { class: "caption" }, text ?? "");
};

function beside() {
  const [mine, other] = [model.shown, model.other];
  const box = $("beside");
  if (!other || !mine || mine.identity === other.identity) {
    fill(box, h("p", { class: "nothing" }, model.state?.identities.length > 1 ? "Nobody is compared." : ""));
    return;
  }
  const near = nearest().find((one) => one.identity === other.identity);
  const cameras = [...new Set([...mine.tracklets, ...other.tracklets].map((tracklet) => tracklet.camera))].sort();
  const of = (one, camera) => one.tracklets.filter((tracklet) => tracklet.camera === camera);
  const left = mine.nobody ? (mine.nobody === "junk" ? "Junk" : "Distractors") : called(mine);
  const words = [...mine.tracklets, ...other.tracklets].some((tracklet) => tracklet.captions.length);
  const top = box.scrollTop;
  fill(box, 
    h("div", { class: "pair-head" },
      h("h3", { class: "mine" }, left),
      h("h3", { class: "other" }, h("button", { class: "plain", title: "Open this identity", onclick: () => show({ identity: other.identity }, mine.identity) }, called(other)))),
    near?.conflict && h("p", { class: "why" }, near.conflict),
    words && h("div", { class: "pair" }, caption(mine), caption(other)),
    ...cameras.flatMap((camera) => [
      h("h4", {}, camera),
      h("div", { class: "pair" }, side(of(mine, camera), left), side(of(other, camera), called(other))),
    ]));
  box.scrollTop = top;
}

export function startCompare() {
  $("nearest").addEventListener("keydown", (event) => {
    const at = nearest().findIndex((one) => one.identity === model.other?.identity);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const next = nearest()[at + step];
    if (next) compareWith(next.identity);
    event.preventDefault();
    event.stopPropagation();
  });
  on("other", () => {
    strip();
    beside();
  });
}

/** Whether the shown identity and the one beside it can be merged. */
export const mergeable = () => Boolean(model.shown?.identity !== undefined && model.other && model.other.identity !== model.shown.identity && identity(model.other.identity));
