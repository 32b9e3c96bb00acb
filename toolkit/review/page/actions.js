// All that a reviewer can do: each action's key, its button, and what it sends. The help dialog lists them.
import { mergeable, nearestAt } from "./compare.js";
import { askCaption, askElsewhere, askName, askSplit, askYou, openChanges, openHelp } from "./dialogs.js";
import { $, called, count, fill, h, icon, set } from "./dom.js";
import {
  askSkipped, askedIsShown, choose, compareWith, decide, emit, follow, identity, model, on, redo, say, show, skip, tracklets, undo,
} from "./model.js";
import { neighbour } from "./people.js";
import { chooseAll, focusSheet, picked, playAll, resize } from "./sheet.js";
import { nextTheme, theme, themeInWords } from "./theme.js";

const asked = () => Boolean(model.asked) && askedIsShown();
const person = () => model.shown?.identity !== undefined;
const ids = () => tracklets().map((tracklet) => tracklet.id);
const captions = () => tracklets().filter((tracklet) => tracklet.captions.length);

/** Those of a question's tracklets that were chosen; all of them where none was. */
function meant(odd) {
  const chosen = odd.filter((id) => model.chosen.has(id));
  return chosen.length ? chosen : odd;
}

function answer(yes) {
  if (!asked()) return follow();
  const { kind, identities, tracklets: odd, about } = model.asked;
  const who = identities.map((number) => called(identity(number)));
  const covers = identities.map((number) => identity(number).cover);
  if (kind === "same" && yes) return decide([{ do: "merge", tracklets: covers }], `${who[0]} and ${who[1]} are one person.`);
  if (kind === "same") return decide([{ do: "different", tracklets: covers }], `${who[0]} and ${who[1]} are different people.`);
  if (kind === "stray") {
    const those = meant(odd);
    const many = count(those.length, "tracklet");
    const kindOf = about.find((tracklet) => tracklet.id === those[0]).kind; // it stays nobody's, and isn't asked for again
    if (yes) return decide([{ do: "identity", tracklets: those, identity: identities[0] }], `${many} went to ${who[0]}.`);
    return decide([{ do: kindOf, tracklets: those }], `${many} left out of ${who[0]}.`);
  }
  if (yes) return decide([{ do: "confirm", tracklets: ids() }], `${who[0]} is confirmed.`);
  const those = model.chosen.size ? picked() : odd;
  if (those.length === tracklets().length) return askSplit(odd); // it is these alone that aren't one person
  return decide([{ do: "split", tracklets: those }], `${count(those.length, "tracklet")} left ${who[0]}.`);
}

const pair = () => [model.shown.cover, model.other.cover];
const names = () => [called(model.shown), called(model.other)];

async function withPicked(make, said) {
  const chosen = picked();
  if (!chosen.length) return say("Choose tracklets first: with a click, or with Space on the one in focus.", true);
  const done = await decide([make(chosen)], said(count(chosen.length, "tracklet")));
  if (done && (document.activeElement === document.body || !document.activeElement)) focusSheet();
}

async function confirmAndGoOn() {
  const wasAsked = asked();
  const next = neighbour(1);
  const done = await decide([{ do: "confirm", tracklets: ids() }], `${called(model.shown)} is confirmed.`);
  if (done && !wasAsked && next && next.identity !== model.shown.identity) await show({ identity: next.identity });
}

const goTo = (step) => {
  const next = neighbour(step);
  if (next) show({ identity: next.identity });
};

/**
 * id -> key (as `KeyboardEvent.key`, "mod+" for Ctrl or ⌘), label, what it does in words, whether it can be done now,
 * and what does it.
 */
const ACTIONS = {
  yes: { group: "The question", key: "y", label: "Yes", hint: "Yes: they are one person, it is one person and complete, or it belongs to it", can: asked, run: () => answer(true) },
  no: { group: "The question", key: "n", label: "No", hint: "No: they are never linked, those marked ? are taken out, or it is left out", can: asked, run: () => answer(false) },
  skip: { group: "The question", key: "s", label: "Skip", hint: "Ask the next one", can: () => Boolean(model.asked), run: skip },
  follow: { group: "The question", key: "q", label: "Show the question", hint: "Go to the question, and on to the next ones", can: () => Boolean(model.asked), run: follow },
  again: { group: "The question", key: null, label: "Ask them again", hint: "Ask what was skipped", can: () => true, run: askSkipped },

  confirm: { group: "The identity", key: "c", label: "Confirm", hint: "All of it is one person, and all of that person", can: person, run: confirmAndGoOn },
  merge: { group: "The identity", key: "m", label: "Merge", hint: "Merge with the identity beside it", can: mergeable, run: () => decide([{ do: "merge", tracklets: pair() }], `${names()[0]} and ${names()[1]} are one person.`) },
  different: { group: "The identity", key: "d", label: "Different", hint: "It and the one beside it are different people", can: mergeable, run: () => decide([{ do: "different", tracklets: pair() }], `${names()[0]} and ${names()[1]} are different people.`) },
  name: { group: "The identity", key: "r", label: "Name", hint: "Name or shirt number", can: person, run: askName },
  elsewhere: { group: "The identity", key: "e", label: "In another event", hint: "The same person as somebody in another event", can: () => person() && model.state.events.length > 1, run: askElsewhere },

  split: { group: "Chosen tracklets", key: "x", label: "Split off", hint: "They leave, together, for a new identity; out of junk, too", can: () => true, run: () => withPicked((chosen) => ({ do: "split", tracklets: chosen }), (n) => `${n} split off.`) },
  move: { group: "Chosen tracklets", key: "v", label: "Move", hint: "They go to the identity beside it", can: () => Boolean(model.other), run: () => withPicked((chosen) => ({ do: "identity", tracklets: chosen, identity: model.other.identity }), (n) => `${n} moved to ${called(model.other)}.`) },
  cut: { group: "Chosen tracklets", key: "f", label: "Split at a frame", hint: "Split one tracklet where it goes on as somebody else", can: () => true, run: () => askSplit(picked()) },
  junk: { group: "Chosen tracklets", key: "j", label: "Junk", hint: "Nobody, or no whole person", can: () => model.shown?.nobody !== "junk", run: () => withPicked((chosen) => ({ do: "junk", tracklets: chosen }), (n) => `${n} put to junk.`) },
  distractor: { group: "Chosen tracklets", key: "o", label: "Distractor", hint: "An onlooker: a person who doesn't belong to the event", can: () => model.shown?.nobody !== "distractor", run: () => withPicked((chosen) => ({ do: "distractor", tracklets: chosen }), (n) => `${n} put to distractors.`) },
  caption: { group: "Chosen tracklets", key: "t", label: "Caption", hint: "Edit a caption, or accept it in spite of its doubts", can: () => captions().length > 0, run: () => askCaption(picked()) },

  undo: { group: "Whatever was decided", key: "mod+z", label: "Undo", icon: "undo", hint: "Undo, without limit", can: () => Boolean(model.state?.progress.can_undo), run: undo },
  redo: { group: "Whatever was decided", key: "mod+shift+z", label: "Redo", icon: "redo", hint: "Do again what was undone", can: () => Boolean(model.state?.progress.can_redo), run: redo },
  changes: { group: "Whatever was decided", key: "h", label: "What was changed", icon: "changes", hint: "What was changed, by whom", can: () => true, run: openChanges },
  you: { group: "Whatever was decided", key: null, label: "Who decides", icon: "you", hint: "Your name, as it stands in the log", can: () => true, run: askYou },

  play: { group: "Looking", key: "p", label: "Play", hint: "Play all in view, or those chosen; the same key stops it", can: () => true, run: playAll },
  all: { group: "Looking", key: "mod+a", label: "Choose all", hint: "Choose all tracklets, or none", can: () => true, run: chooseAll },
  clear: { group: "Looking", key: "Escape", label: "Choose none", hint: "Choose none", can: () => model.chosen.size > 0, run: () => choose([]) },
  previous: { group: "Looking", key: "[", label: "Previous", hint: "The identity before it in the list", can: () => true, run: () => goTo(-1) },
  next: { group: "Looking", key: "]", label: "Next", hint: "The identity after it in the list", can: () => true, run: () => goTo(1) },
  open: { group: "Looking", key: "w", label: "Swap", hint: "Swap the identity and the one beside it", can: () => Boolean(model.other), run: () => show({ identity: model.other.identity }, model.shown.identity) },
  larger: { group: "Looking", key: "+", label: "Larger", hint: "Larger pictures", can: () => true, run: () => resize(1) },
  smaller: { group: "Looking", key: "-", label: "Smaller", hint: "Smaller pictures", can: () => true, run: () => resize(-1) },
  find: { group: "Going", key: "/", label: "Find", hint: "Find an identity", can: () => true, run: () => $("find").focus() },
  sheet: { group: "Going", key: "g", label: "Contact sheet", hint: "To the contact sheet; arrow keys, Space chooses, Shift widens", can: () => true, run: focusSheet },
  people: { group: "Going", key: "i", label: "Identities", hint: "To the list of identities", can: () => true, run: () => $("list").focus() },
  timeline: { group: "Going", key: "l", label: "Timeline", hint: "To the timeline; arrow keys, Enter opens", can: () => true, run: () => $("tracks").focus() },
  theme: { group: "Going", key: null, label: "Colours", icon: "theme", hint: "Colours as the system, light, dark", can: () => true, run: () => (nextTheme(), emit("theme")) },
  help: { group: "Going", key: "?", label: "Help", icon: "help", hint: "This help", can: () => true, run: () => openHelp(ACTIONS, keyInWords) },
};

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const KEYS = { Escape: "Esc", "mod+z": MAC ? "⌘Z" : "Ctrl+Z", "mod+shift+z": MAC ? "⇧⌘Z" : "Ctrl+Shift+Z", "mod+a": MAC ? "⌘A" : "Ctrl+A" };

/** A key as one says it. */
const keyInWords = (key) => KEYS[key] ?? key.toUpperCase();

/** A new button of an action; `bare`: its icon alone. */
export function buttonOf(id, bare = false) {
  const { key, label, hint, can, run, icon: drawn } = ACTIONS[id];
  const words = id === "theme" ? themeInWords() : hint;
  const tip = key ? `${words} (${keyInWords(key)})` : words;
  const button = h("button", {
    class: bare ? "square" : "action", title: tip, "aria-keyshortcuts": key?.replace("mod", MAC ? "Meta" : "Control"),
    "aria-label": bare ? (id === "theme" ? words : label) : null, "aria-disabled": can() && !model.busy ? null : "true",
    onclick: () => perform(id),
  }, bare ? icon(id === "theme" ? theme() : drawn) : h("span", {}, label), !bare && key && h("kbd", { "aria-hidden": "true" }, keyInWords(key)));
  button.dataset.action = id;
  return button;
}

function perform(id) {
  if (model.busy) return;
  if (ACTIONS[id].can()) ACTIONS[id].run();
  else if (model.state) say(`${ACTIONS[id].label}: not now.`);
}

const BAR = ["confirm", "merge", "different", "name", "elsewhere", "split", "move", "cut", "junk", "distractor", "caption"];

function bar() {
  const focus = document.activeElement?.dataset?.action;
  const chosen = model.chosen.size;
  const tags = h("span", { class: "chosen-count", "aria-live": "polite" }, chosen ? `${chosen} chosen` : "");
  fill($("actions"), ...BAR.map((id) => buttonOf(id)), tags);
  const label = (id, text) => $("actions").querySelector(`[data-action=${id}] span`).replaceChildren(text);
  const other = model.other && (model.other.name || model.other.identity);
  if (mergeable()) label("merge", `Merge with ${other}`);
  if (model.other) label("move", `Move to ${other}`);
  if (focus && BAR.includes(focus)) $("actions").querySelector(`[data-action=${focus}]`).focus();
}

function keyOfEvent(event) {
  const mod = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  return mod ? `mod+${event.shiftKey ? "shift+" : ""}${key}` : key;
}

export function startActions() {
  const byKey = new Map(Object.entries(ACTIONS).filter(([, action]) => action.key).map(([id, { key }]) => [key, id]));
  byKey.set("mod+y", "redo").set("=", "larger");
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    const typing = event.target.closest("input, textarea, select");
    if (typing && event.key === "Escape") return focusSheet();
    if (typing) return;
    const key = keyOfEvent(event);
    const near = /^[1-9]$/.test(key) && !event.shiftKey ? nearestAt(Number(key) - 1) : null;
    const id = byKey.get(key);
    if (near === null && !id) return;
    event.preventDefault();
    if (event.repeat && !["larger", "smaller", "previous", "next"].includes(id)) return; // a key held down decides once
    if (near !== null) compareWith(near);
    else perform(id);
  });
  on("shown other chosen busy state", bar);
  bar();
  set($("actions"), { "aria-label": "Decisions" });
}
