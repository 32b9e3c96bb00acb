// The review page: starts its parts. Everything that is decided goes through model.js to the server; see docs/review.md.
import { startActions } from "./actions.js";
import { startCompare } from "./compare.js";
import { startDialogs } from "./dialogs.js";
import { $, h } from "./dom.js";
import { model, on, show, start, tellBy } from "./model.js";
import { startPeople } from "./people.js";
import { startSheet } from "./sheet.js";
import { applyTheme } from "./theme.js";
import { startTimeline } from "./timeline.js";
import { startTop } from "./top.js";

const LINES = 3; // that stand at a time
const STAY = 7000; // milliseconds

applyTheme();
tellBy((text, bad) => {
  const line = h("span", { class: bad ? "line bad" : "line" }, text);
  $("said").append(line);
  while ($("said").children.length > LINES) $("said").firstElementChild.remove();
  setTimeout(() => line.remove(), STAY);
  if (bad) $("alert").textContent = text;
});

const address = () => {
  const word = decodeURIComponent(location.hash.slice(1));
  if (/^\d+$/.test(word)) return { identity: Number(word) };
  return ["junk", "distractor"].includes(word) ? { nobody: word } : null;
};
const current = () => String(model.shown?.identity ?? model.shown?.nobody ?? "");

on("shown", () => {
  if (address() === null || decodeURIComponent(location.hash.slice(1)) !== current()) history.pushState(null, "", `#${current()}`);
});
addEventListener("popstate", () => {
  const at = address();
  if (at && location.hash.slice(1) !== current()) show(at);
});

for (const begin of [startTop, startPeople, startSheet, startCompare, startTimeline, startActions, startDialogs]) begin();
start(address());
