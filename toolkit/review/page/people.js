// The identities at the left: filtered, sorted, and only the rows in view are in the document.
import { $, bars, called, count, cover, fill, h, hundredths, icon, picture, set } from "./dom.js";
import { identity, model, on, show } from "./model.js";

const ROW = 68; // pixels, as in review.css
const SPARE = 6; // rows above and below those in view

let found = []; // the identities that pass the filters, in order
let cursor = null; // the number of the row that keys are at
const rows = new Map(); // number -> {element, key}

const ORDERS = {
  doubt: (a, b) => b.doubt - a.doubt,
  pure: (a, b) => a.pure - b.pure,
  whole: (a, b) => a.whole - b.whole,
  tracklets: (a, b) => b.tracklets - a.tracklets,
  identity: (a, b) => a.identity - b.identity,
  name: (a, b) => Number(!a.name) - Number(!b.name) || a.name.localeCompare(b.name, undefined, { numeric: true }),
};
const WHICH = {
  all: () => true,
  open: (one) => !one.confirmed,
  confirmed: (one) => one.confirmed,
  captions: (one) => one.caption_doubts > 0,
};

function passes(one) {
  const text = $("find").value.trim().toLowerCase();
  const [kind, place] = JSON.parse($("where").value || '["",""]');
  const words = `${one.identity} ${one.name} ${one.events.join(" ")}`.toLowerCase();
  return words.includes(text) && WHICH[$("which").value](one) && (!kind || one[kind].includes(place));
}

function filter() {
  if (!model.state) return;
  const order = ORDERS[$("order").value];
  found = model.state.identities.filter(passes).sort((a, b) => order(a, b) || a.identity - b.identity);
  $("rows").style.blockSize = `${found.length * ROW}px`;
  set($("list"), { "aria-label": `Identities, ${found.length} of ${model.state.identities.length}` });
  if (!found.some((one) => one.identity === cursor)) cursor = model.shown?.identity ?? null;
  draw();
}

function places() {
  const choose = $("where");
  const events = model.state.events.map((event) => ["events", event.name]);
  const cameras = [...new Set(model.state.events.flatMap((event) => event.cameras))].map((camera) => ["cameras", camera]);
  const entries = [["", ""], ...(events.length > 1 ? events : []), ...cameras].map((entry) => JSON.stringify(entry));
  if ([...choose.options].map((option) => option.value).join() === entries.join()) return;
  const option = (value) => h("option", { value }, JSON.parse(value)[1] || "Everywhere");
  fill(choose, ...entries.map(option));
}

function rowOf(one) {
  return h("div", { class: "row", role: "option", id: `row-${one.identity}` },
    picture(cover(one.cover), { class: "face" }),
    h("span", { class: "what" },
      h("span", { class: "name" }, called(one), one.confirmed && h("span", { class: "sure", title: "Confirmed" }, icon("check"))),
      h("span", { class: "faint" }, `${one.name ? `${one.identity} · ` : ""}${one.events.join(", ")} · ${count(one.cameras.length, "camera")} · ${one.tracklets}`),
      bars(one)));
}

function draw() {
  const list = $("list");
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
  const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE);
  const wanted = new Set(found.slice(first, last).map((one) => one.identity));
  for (const [number, { element }] of rows) {
    if (!wanted.has(number)) {
      element.remove();
      rows.delete(number);
    }
  }
  for (let at = first; at < last; at++) {
    const one = found[at];
    const key = JSON.stringify(one);
    let row = rows.get(one.identity);
    if (row?.key !== key) {
      const element = rowOf(one);
      if (row) row.element.replaceWith(element);
      else $("rows").append(element);
      row = { element, key };
      rows.set(one.identity, row);
    }
    row.element.style.insetBlockStart = `${at * ROW}px`;
    const other = model.other?.identity === one.identity;
    set(row.element, {
      "aria-selected": model.shown?.identity === one.identity ? "true" : "false",
      "aria-setsize": found.length,
      "aria-posinset": at + 1,
      "aria-label": `${called(one)}, ${one.events.join(", ")}, pure ${hundredths(one.pure)}, whole ${hundredths(one.whole)} percent, ${count(one.tracklets, "tracklet")} in ${count(one.cameras.length, "camera")}${one.confirmed ? ", confirmed" : ""}`,
      class: `row${other ? " other" : ""}${cursor === one.identity ? " cursor" : ""}`,
    });
  }
  set(list, { "aria-activedescendant": rows.has(cursor) ? `row-${cursor}` : null });
}

function reveal(number) {
  const at = found.findIndex((one) => one.identity === number);
  const list = $("list");
  if (at < 0) return;
  if (at * ROW < list.scrollTop) list.scrollTop = at * ROW;
  else if ((at + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (at + 1) * ROW - list.clientHeight;
}

/** The identity some rows after the shown one, as the list is filtered and sorted. */
export function neighbour(step) {
  const at = found.findIndex((one) => one.identity === model.shown?.identity);
  return found[Math.min(found.length - 1, Math.max(0, at < 0 ? 0 : at + step))] ?? null;
}

function nobody() {
  const { junk, distractor } = model.state.nobody;
  const button = (kind, text, n) => h("button", {
    id: `nobody-${kind}`, "aria-pressed": model.shown?.nobody === kind ? "true" : "false",
    onclick: () => show({ nobody: kind }),
  }, text, h("span", { class: "figure" }, String(n)));
  const focus = document.activeElement?.id;
  fill($("nobody"), button("junk", "Junk", junk), button("distractor", "Distractors", distractor));
  if (focus?.startsWith("nobody-")) $(focus).focus();
}

export function startPeople() {
  for (const id of ["find", "which", "where", "order"]) {
    $(id).addEventListener("input", () => {
      $("list").scrollTop = 0;
      filter();
    });
  }
  $("filters").addEventListener("submit", (event) => {
    event.preventDefault();
    if (found.length) show({ identity: found[0].identity });
    $("list").focus();
  });
  const list = $("list");
  list.addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(draw).observe(list);
  list.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (!row) return;
    cursor = Number(row.id.slice(4));
    show({ identity: cursor });
  });
  list.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -found.length, End: found.length };
    if (event.key === "Enter" && cursor !== null && identity(cursor)) {
      show({ identity: cursor });
    } else if (event.key in steps && found.length) {
      const at = found.findIndex((one) => one.identity === cursor);
      cursor = found[Math.min(found.length - 1, Math.max(0, at + steps[event.key]))].identity;
      reveal(cursor);
      draw();
      show({ identity: cursor });
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  });
  let last = null;
  on("state shown other", () => {
    if (!model.state) return;
    places();
    filter();
    nobody();
    if (model.shown?.identity !== last) {
      last = model.shown?.identity;
      cursor = last ?? cursor;
      reveal(last);
      draw();
    }
  });
}
