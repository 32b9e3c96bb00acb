// Plays the crops of a tile at the pace at which they were filmed.
//
//   const tile = h("span", {class: "picture"}, picture(cover(id)));
//   play(tile, tracklet); ... stop(tile);
import { crop } from "./dom.js";

const playing = new Map(); // tile -> what ends it
const AHEAD = 4; // crops loaded before they are due
const SHOWN = 120; // crops of one round; of a longer tracklet, evenly spaced ones

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
export const isPlaying = (tile) => playing.has(tile);

let follow = () => {};
/** `follower(seconds | null)` is told where in time the latest tile is. */
export const playheadBy = (follower) => (follow = follower);

async function load(id, index) {
  const image = new Image();
  image.alt = "";
  image.draggable = false;
  image.src = crop(id, index);
  try {
    await image.decode();
  } catch {
    return null; // the server is gone; the next round tries again
  }
  return image;
}

/** Crops in a round, and milliseconds from one to the next. */
function pace({ start, end, crops }) {
  const round = Math.min(crops, SHOWN);
  const seconds = start === null || end === null || end <= start ? crops / 8 : end - start;
  return { round, wait: Math.min(500, Math.max(40, (seconds * 1000) / round)) };
}

export function play(tile, tracklet) {
  if (playing.has(tile) || tracklet.crops < 2) return;
  const still = tile.firstElementChild;
  let ended = false;
  playing.set(tile, () => {
    ended = true;
    playing.delete(tile);
    tile.firstElementChild.replaceWith(still);
    tile.classList.remove("playing");
    tile.style.removeProperty("--played");
    follow(null);
  });
  tile.classList.add("playing");
  run(tile, tracklet, () => ended);
}

async function run(tile, { id, start, end, crops }, ended) {
  const { round, wait } = pace({ start, end, crops });
  const index = (k) => Math.round((k * (crops - 1)) / Math.max(1, round - 1));
  const images = new Map();
  const fetched = (k) => images.get(k) ?? images.set(k, load(id, index(k))).get(k);
  for (let k = 0; !ended(); k = (k + 1) % round) {
    for (let ahead = 1; ahead <= AHEAD; ahead++) fetched((k + ahead) % round);
    const due = performance.now() + wait;
    const image = await fetched(k);
    if (ended()) return;
    if (image) {
      tile.firstElementChild.replaceWith(image);
      tile.style.setProperty("--played", (k + 1) / round);
      if (start !== null && end !== null) follow(start + ((end - start) * k) / Math.max(1, round - 1));
    } else {
      images.delete(k);
    }
    await new Promise((done) => setTimeout(done, Math.max(0, due - performance.now())));
  }
}

export const stop = (tile) => playing.get(tile)?.();

export function stopAll() {
  for (const tile of [...playing.keys()]) stop(tile);
}

/** The element plays its tile under the pointer and in focus; not on its own where less motion is wanted. */
export function playsOnHover(element, tile, tracklet) {
  const begin = () => !calm() && play(tile, tracklet);
  element.addEventListener("pointerenter", begin);
  element.addEventListener("focus", begin);
  element.addEventListener("pointerleave", () => document.activeElement !== element && stop(tile));
  element.addEventListener("blur", () => stop(tile));
}
