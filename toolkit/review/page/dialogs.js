// The dialogs: each is a native <dialog>, which keeps the focus inside and gives it back.
import { called, clock, count, cover, crop, fill, h, percent, picture } from "./dom.js";
import { get } from "./api.js";
import { choose, conflictsBy, decide, identity, model, say, show, tracklets } from "./model.js";
import { calm, play, playsOnHover, stop } from "./player.js";
import { reveal } from "./sheet.js";

/** Opens a dialog with a title; `content(close)` gives what is in it. */
function modal(title, content, { wide = false } = {}) {
  const dialog = h("dialog", { class: wide ? "wide" : "", "aria-label": title });
  const close = () => dialog.close();
  dialog.addEventListener("close", () => {
    for (const tile of dialog.querySelectorAll(".picture")) stop(tile);
    dialog.remove();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && close());
  dialog.append(h("header", {}, h("h2", {}, title), h("button", { class: "close", "aria-label": "Close", title: "Close (Esc)", onclick: close }, "×")), ...content(close));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** All keys: `actions` as in actions.js, `keyInWords` how a key is said. */
export function openHelp(actions, keyInWords) {
  const groups = Map.groupBy(Object.values(actions).filter((action) => action.key), (action) => action.group);
  const row = ({ key, hint }) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, keyInWords(key))), h("td", {}, hint));
  const table = ([group, actions]) => h("table", {}, h("caption", {}, group), h("tbody", {}, ...actions.map(row), group === "Looking" && row({ key: "1 – 9", hint: "Compare with the nearest, second nearest, …" })));
  modal("Keys", () => [
    h("p", {}, "A click chooses a tracklet, a second click lets go of it; Shift chooses all between, a frame drawn with the pointer all in it. What you decide is on disk when the page says so."),
    h("div", { class: "keys" }, ...[...groups].map(table)),
  ], { wide: true });
}

export function openChanges() {
  const line = (change) => h("li", {}, h("span", { class: "faint" }, change.by || "somebody"), " ", change.text);
  modal("What was changed", () => [
    model.changes.length ? h("ol", { class: "log", tabindex: "0" }, ...model.changes.map(line)) : h("p", {}, "Nothing since this window was opened."),
  ]);
}

/** A form with one field; `done(value)` gets what was typed. */
function form(field, verb, done, close) {
  return h("form", { onsubmit: (event) => { event.preventDefault(); close(); done(field.value.trim()); } },
    field, h("div", { class: "buttons" }, h("button", { class: "action", type: "button", onclick: close }, "Cancel"), h("button", { class: "action primary" }, verb)));
}

export function askYou() {
  modal("Who decides", (close) => [
    h("p", {}, "Your name stands beside each of your decisions in the log."),
    form(h("input", { "aria-label": "Your name", maxlength: "200", value: model.by, autofocus: true }), "Save", (name) => {
      model.by = name;
      localStorage.setItem("reviewer", name);
      say(name ? `You decide as ${name}.` : "You decide without a name.");
    }, close),
  ]);
}

export function askName() {
  const { identity: number, name } = model.shown;
  const ids = tracklets().map((tracklet) => tracklet.id);
  modal(`Name of identity ${number}`, (close) => [
    form(h("input", { "aria-label": "Name or shirt number", placeholder: "Name or shirt number", maxlength: "200", value: name, autofocus: true, required: true }), "Save",
      (typed) => typed && decide([{ do: "identity", tracklets: ids, identity: number, name: typed }], `Identity ${number} is ${typed}.`), close),
  ]);
}

export function askElsewhere() {
  const mine = model.shown;
  const likely = new Map(mine.nearest.map((one) => [one.identity, one.probability]));
  const others = model.state.identities.filter((one) => one.events.some((event) => !mine.events.includes(event)))
    .sort((a, b) => (likely.get(b.identity) ?? -1) - (likely.get(a.identity) ?? -1) || a.identity - b.identity);
  modal(`${called(mine)} in another event`, (close) => {
    const merge = (one) => {
      close();
      decide([{ do: "merge", tracklets: [mine.cover, one.cover] }], `${called(mine)} and ${called(one)} are one person.`);
    };
    const button = (one) => h("button", { class: "pick", onclick: () => merge(one), title: `The same person: merge (${one.events.join(", ")})` },
      h("span", { class: "picture" }, picture(cover(one.cover))), h("span", {}, called(one)),
      h("span", { class: "faint" }, one.events.join(", ")), likely.has(one.identity) && h("span", { class: "faint" }, percent(likely.get(one.identity))));
    const grid = h("div", { class: "picks" });
    const filter = (text) => fill(grid, ...others.filter((one) => `${one.identity} ${one.name} ${one.events.join(" ")}`.toLowerCase().includes(text)).slice(0, 300).map(button));
    filter("");
    return [
      h("div", { class: "beside-mine" }, h("span", { class: "picture mine" }, picture(cover(mine.cover))),
        h("p", {}, others.length ? "Who of the other events is this? Likeliest first." : "There is nobody in other events.")),
      h("input", { type: "search", "aria-label": "Find by name, number or event", placeholder: "Name, number, event", autofocus: true, oninput: (event) => filter(event.target.value.trim().toLowerCase()) }),
      grid,
    ];
  }, { wide: true });
}

export function askCaption(picked) {
  const wanted = new Set(picked);
  const all = tracklets().filter((tracklet) => tracklet.captions.length);
  const those = all.filter((tracklet) => wanted.has(tracklet.id));
  // Of an identity with nothing chosen, the captions in doubt come first.
  const shown = those.length ? those : [...all].sort((a, b) => Number(b.captions.some((c) => c.doubts.length)) - Number(a.captions.some((c) => c.doubts.length)));
  modal("Captions", (close) => shown.slice(0, 40).flatMap((tracklet) => tracklet.captions.map((caption, at) => {
    const field = h("textarea", { rows: "3", "aria-label": `Caption of the tracklet in ${tracklet.camera} at ${clock(tracklet.start)}`, autofocus: at === 0 && tracklet === shown[0] });
    field.value = caption.text;
    const save = () => {
      const text = field.value.trim();
      if (!text) return field.focus();
      close();
      decide([{ do: "caption", tracklets: [tracklet.id], text }], text === caption.text ? "The caption is accepted." : "The caption is changed.");
    };
    const button = h("button", { class: "action primary", type: "button", onclick: save }, caption.doubts.length ? "Accept" : "Keep only this one");
    field.addEventListener("input", () => button.replaceChildren(field.value.trim() === caption.text ? (caption.doubts.length ? "Accept" : "Keep only this one") : "Save the change"));
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
    });
    return h("div", { class: "caption-row" }, h("span", { class: "picture" }, picture(cover(tracklet.id))),
      h("div", {}, caption.doubts.length > 0 && h("p", { class: "why" }, `In doubt: ${caption.doubts.join("; ")}`), field,
        h("div", { class: "buttons" }, h("span", { class: "faint" }, `${caption.captioner}${caption.model ? ` · ${caption.model}` : ""}`), button)));
  })), { wide: true });
}

/** The scrubber: which crop of a tracklet is the first of somebody else. */
export async function askSplit(picked) {
  if (picked.length !== 1) return say("Choose the one tracklet that is to be split.", true);
  const tracklet = tracklets().find((one) => one.id === picked[0]);
  let frames;
  try {
    ({ frames } = await get(`/api/frames/${encodeURIComponent(tracklet.id)}`));
  } catch (error) {
    return say(error.message, true);
  }
  const last = frames.length - 1;
  if (last < 1) return say("A tracklet of one crop can't be split.", true);
  let at = Math.ceil(frames.length / 2);
  modal("Split at a frame", (close) => {
    const pictures = frames.map((_, index) => h("button", { type: "button", tabindex: "-1", class: "film", "aria-hidden": "true", onclick: () => go(index) }, picture(crop(tracklet.id, index))));
    const [before, after] = [h("figure", { class: "before" }), h("figure", { class: "after" })];
    const slider = h("input", { type: "range", min: "1", max: String(last), step: "1", "aria-label": "First crop of the later part", autofocus: true, oninput: () => go(Number(slider.value)) });
    const strip = h("div", { class: "strip" }, ...pictures);
    const words = h("p", { class: "split-words", "aria-live": "polite" });
    const side = (figure, index, text) => fill(figure, h("span", { class: "picture" }, picture(crop(tracklet.id, index), { loading: "eager" })), h("figcaption", {}, text));
    const go = (index) => {
      at = Math.min(last, Math.max(1, index));
      slider.value = String(at);
      side(before, at - 1, "the last that stays");
      side(after, at, "the first that leaves");
      pictures.forEach((element, k) => element.classList.toggle("later", k >= at));
      words.textContent = `Frame ${frames[at]}: ${count(at, "crop")} stay, ${count(frames.length - at, "crop")} leave for a new identity.`;
      pictures[at].scrollIntoView({ block: "nearest", inline: "center", behavior: calm() ? "auto" : "smooth" });
    };
    const done = () => {
      close();
      decide([{ do: "split", tracklets: [tracklet.id], frame: frames[at] }], `Split at frame ${frames[at]}.`);
    };
    slider.addEventListener("keydown", (event) => event.key === "Enter" && done());
    requestAnimationFrame(() => go(at));
    return [h("div", { class: "halves" }, before, after), strip, slider, words,
      h("div", { class: "buttons" }, h("span", { class: "faint" }, "Arrow keys move, Enter splits."), h("button", { class: "action", onclick: close }, "Cancel"), h("button", { class: "action primary", onclick: done }, "Split here"))];
  }, { wide: true });
}

/** Two tracklets that can't be one person: the reason, and both. */
async function conflict({ error, conflict: { tracklets: ids } }) {
  const found = await Promise.all(ids.map(whereIs));
  modal("They can't be one person", (close) => [
    h("p", { class: "why" }, error),
    h("div", { class: "halves" }, ...found.map(({ id, tracklet, who }) => {
      const tile = h("span", { class: "picture" }, picture(cover(id), { loading: "eager" }));
      const words = tracklet ? `${tracklet.camera}, ${clock(tracklet.start, true)} – ${clock(tracklet.end, true)}` : id;
      const figure = h("figure", { tabindex: "0", "aria-label": words }, tile, h("figcaption", {}, who ? called(who) : "", h("br"), words));
      if (tracklet) playsOnHover(figure, tile, tracklet);
      if (tracklet && !calm()) play(tile, tracklet);
      if (who) {
        figure.append(h("button", { class: "action", onclick: async () => {
          close();
          await show({ identity: who.identity });
          choose([id], id);
          reveal(id);
        } }, "Open and choose it"));
      }
      return figure;
    })),
    h("p", { class: "faint" }, "Nothing was changed. Where one of the two shows somebody else, split it off first."),
    h("div", { class: "buttons" }, h("button", { class: "action primary", autofocus: true, onclick: close }, "Close")),
  ], { wide: true });
}

async function whereIs(id) {
  const known = [model.shown, model.other].filter((one) => one?.tracklets?.some((tracklet) => tracklet.id === id))[0];
  if (known) return { id, tracklet: known.tracklets.find((tracklet) => tracklet.id === id), who: known.identity === undefined ? null : known };
  // Elsewhere only where an answer merged identities that aren't on show.
  for (const event of model.state.events) {
    const { cameras } = await get(`/api/timeline/${encodeURIComponent(event.name)}`);
    for (const camera of cameras) {
      const track = camera.tracks.find((one) => one.id === id);
      if (!track) continue;
      const { frames } = await get(`/api/frames/${encodeURIComponent(id)}`);
      return { id, tracklet: { ...track, camera: camera.name, crops: frames.length }, who: identity(track.identity) };
    }
  }
  return { id, tracklet: null, who: null };
}

export function startDialogs() {
  conflictsBy(conflict);
}
