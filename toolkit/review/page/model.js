// What the page knows, and all that changes it. The views listen: `on("shown chosen", draw)`.
//
//   state    the server's state: identities, progress, questions
//   shown    another identity (or junk) is in the middle, or it has changed
//   other    another identity is compared with it
//   chosen   the tracklets chosen in the sheet
//   online   whether the server answers
//   busy     whether a decision is on its way
import * as api from "./api.js";

export const model = {
  state: null,
  shown: null, // {identity} or {nobody: "junk"}, with what the server says of it: tracklets, nearest
  other: null, // the identity beside it, in full
  chosen: new Set(), // ids of tracklets
  anchor: null, // where a range of chosen tracklets begins
  asked: null, // the question that the page asks
  following: true, // whether the page goes from question to question
  skipped: new Set(),
  online: true,
  busy: false,
  changes: [],
  by: localStorage.getItem("reviewer") ?? "",
  fault: "", // why the server can't be asked at all
};

const listeners = new Map();

export function on(topics, listener) {
  for (const topic of topics.split(" ")) listeners.set(topic, [...(listeners.get(topic) ?? []), listener]);
}

export function emit(...topics) {
  for (const listener of new Set(topics.flatMap((topic) => listeners.get(topic) ?? []))) listener();
}

/** Tells the reviewer, in a line that goes by and to screen readers; `bad` at once. */
let teller = () => {};
export const say = (text, bad = false) => teller(text, bad);
export const tellBy = (how) => (teller = how);

/** Shows what a refused decision was about. */
let showConflict = () => {};
export const conflictsBy = (how) => (showConflict = how);

export const identity = (number) => model.state?.identities.find((one) => one.identity === number) ?? null;

/** The revision of the state. */
const revision = () => model.state?.revision ?? 0;

/** The tracklets in the middle, in the sheet's order. */
export const tracklets = () => model.shown?.tracklets ?? [];

const keyOf = ({ kind, identities, tracklets: about }) => JSON.stringify([kind, [...identities].sort((a, b) => a - b), kind === "stray" ? about : []]);

/** The tracklets of nobody that the question on show would give to the shown identity. */
export const strays = () => (model.asked?.kind === "stray" && askedIsShown() ? model.asked.about : []);

/** Whether the middle shows what the question is about. */
export const askedIsShown = () =>
  model.asked !== null && model.shown !== null && model.following &&
  model.asked.identities.includes(model.shown.identity);

// Of several loads under way only the latest that is about a place is shown there. The state is no such place: whatever
// is clicked meanwhile, one that isn't older than what the page knows is taken.
let begun = 0;
const latest = { middle: 0, beside: 0 };

function begin(...places) {
  begun += 1;
  for (const where of places) latest[where] = begun;
  return begun;
}

let heard = 0; // the latest revision that was heard of; what is asked for from now on isn't older

/** What the server says of an identity or of nobody, and `seen`: the revision at which it stood so, or a later one did. */
async function fetched(address) {
  const seen = heard;
  return { ...(await api.get(address)), seen };
}

const addressOf = ({ identity: number, nobody }) => (nobody ? `/api/nobody/${nobody}` : `/api/identity/${number}`);

/** Loads what is to be in the middle and beside it, and shows both at once. */
async function load(target, other, ticket) {
  const [shown, beside] = await Promise.all([
    fetched(addressOf(target)),
    other === undefined ? null : fetched(`/api/identity/${other}`).catch(missing),
  ]);
  if (ticket !== latest.middle) return;
  const before = model.shown;
  model.shown = { ...target, ...shown };
  const same = before && before.identity === model.shown.identity && before.nobody === model.shown.nobody;
  const there = new Set(model.shown.tracklets.map((tracklet) => tracklet.id));
  model.chosen = new Set(same ? [...model.chosen].filter((id) => there.has(id)) : []);
  if (!same) model.anchor = null;
  const overtaken = ticket !== latest.beside;
  if (!overtaken && (!target.nobody || beside)) model.other = beside;
  if (overtaken || beside || target.nobody || !shown.nearest.length) {
    emit("state", "shown", "chosen", "other");
    return;
  }
  emit("state", "shown", "chosen"); // what stood beside the last one stays until the nearest is there
  const nearest = shown.nearest.find((one) => !one.conflict) ?? shown.nearest[0];
  const loaded = await fetched(`/api/identity/${nearest.identity}`).catch(missing);
  if (ticket !== latest.beside) return;
  model.other = loaded;
  emit("other");
}

function missing(error) {
  if (error instanceof api.Refused && error.status === 404) return null;
  throw error;
}

/** Shows an identity, or junk. */
export async function show(target, other) {
  model.following = false;
  await guarded(() => load(target, other, begin("middle", "beside")), () => refresh());
}

/** Compares the shown identity with another. */
export async function compareWith(number) {
  const ticket = begin("beside");
  await guarded(async () => {
    const other = await fetched(`/api/identity/${number}`);
    if (ticket !== latest.beside) return;
    model.other = other;
    emit("other");
  }, () => refresh());
}

async function guarded(work, gone) {
  try {
    return await work();
  } catch (error) {
    if (error instanceof api.Lost) lost();
    else if (error instanceof api.Refused && error.status === 404 && gone) await gone();
    else if (error instanceof api.Refused) refused(error);
    else throw error;
    return false;
  }
}

/** The question due: the one that is asked as long as it stands, else the first that wasn't skipped. */
function due() {
  const open = model.state.questions.filter((question) => !model.skipped.has(keyOf(question)));
  const asked = model.asked && open.find((question) => keyOf(question) === keyOf(model.asked));
  return asked ?? open[0] ?? null;
}

/** The question after the one that is asked. */
export const nextQuestion = () =>
  model.state.questions.find((question) => question !== model.asked && !model.skipped.has(keyOf(question))) ?? null;

let newest = 0; // which load the state came with

/** Takes a state, unless the page knows a later one: two of one revision differ by what the machine has judged. */
function take(state, ticket) {
  if (state.revision < revision() || (state.revision === revision() && ticket < newest)) return;
  newest = ticket;
  heard = Math.max(heard, state.revision);
  model.state = state;
  model.asked = due();
}

/** Fetches everything anew, and shows what is left of what was shown; `near`: where it may have gone. */
async function refresh(near = []) {
  const ticket = begin("middle", "beside");
  await guarded(async () => {
    take(await api.get("/api/state"), ticket);
    if (ticket !== latest.middle) return emit("state");
    await load(...place(near), ticket);
  }, () => refresh());
}

function place(near) {
  const { shown, other, asked } = model;
  if (model.following && asked) return [{ identity: asked.identities[0] }, asked.identities[1]];
  const still = (number) => (identity(number) ? number : undefined);
  const beside = still(other?.identity);
  if (shown?.nobody) return [{ nobody: shown.nobody }, beside];
  const first = [shown?.identity, ...near, model.state.identities[0]?.identity].find((n) => n !== undefined && identity(n));
  if (first === undefined) return [{ nobody: "junk" }, undefined];
  return [{ identity: first }, beside === first ? undefined : beside];
}

export function choose(ids, anchor = model.anchor) {
  model.chosen = new Set(ids);
  model.anchor = anchor;
  emit("chosen");
}

/** Goes to the question that is due and from there to the next ones. */
export async function follow() {
  model.following = true;
  await refresh();
}

export async function skip() {
  if (!model.asked) return;
  model.skipped.add(keyOf(model.asked));
  model.asked = null;
  await follow();
}

export async function askSkipped() {
  model.skipped.clear();
  await follow();
}

/** The revision that all on show rests on: the state may be there before what it says has changed is. */
const rested = () => Math.min(revision(), ...[model.shown, model.other].map((one) => one?.seen ?? Infinity));

/**
 * Sends decisions. Only when the server has them on disk, and the page shows what came of them, `said` is said.
 * @returns whether they were taken
 */
export const decide = (decisions, said) =>
  send("/api/decide", { revision: rested(), by: model.by, decisions }, said);

export const undo = () => send("/api/undo", { by: model.by }, "Undone.");
export const redo = () => send("/api/redo", { by: model.by }, "Done again.");

async function send(address, body, said) {
  if (model.busy) return false;
  if (!model.online) {
    say("Not saved: there is no connection to the server.", true);
    return false;
  }
  model.busy = true;
  const began = performance.now();
  emit("busy");
  try {
    const taken = await guarded(async () => {
      const answer = await api.post(address, body);
      own.add(answer.revision);
      heard = Math.max(heard, answer.revision);
      await refresh(answer.changed);
      return true;
    });
    if (taken) {
      say(said);
      afterPaint(() => performance.measure("decision", { start: began }));
    }
    return taken;
  } finally {
    model.busy = false;
    emit("busy");
    catchUp();
  }
}

/** Runs when the browser has painted what was just changed. */
function afterPaint(work) {
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = work;
    channel.port2.postMessage(null);
  });
}

function refused(error) {
  const { status, body } = error;
  if (status === 403) {
    lost(STRANGER);
  } else if (body.conflict) {
    showConflict(body);
  } else if (body.stale) {
    say(`${body.error} Not saved: this is how it stands now. Decide again.`, true);
    refresh();
  } else {
    say(error.message, true);
  }
}

// Changes by others and by the machine.

const STRANGER = "The server doesn't know this window any more. Open the address that `reidkit review` printed last.";
const own = new Set(); // revisions of what this window decided
let waiting = []; // changes that came while a decision was on its way
let catching = null; // the timer of the refresh that shows them
let retrying = null; // the timer of the next try to connect
let stop = () => {};
let pause = 0; // milliseconds until the next try

function changed(change) {
  if (change.text) model.changes = [change, ...model.changes].slice(0, 200);
  heard = Math.max(heard, change.revision);
  waiting.push(change);
  if (!model.busy) catchUp();
}

function catchUp() {
  const others = waiting.filter((change) => !own.has(change.revision) || !change.text);
  // Without words: the machine has judged anew, or this window was away for long.
  const behind = waiting.some((change) => !change.text || change.revision > revision());
  waiting = [];
  for (const { by, text } of others) if (text) say(by && by !== "machine" ? `${by}: ${text}` : text);
  if (!behind) return;
  clearTimeout(catching);
  catching = setTimeout(() => refresh(others.flatMap((change) => change.identities)), 20);
}

function connect() {
  stop();
  stop = api.listen(revision(), {
    onChange: changed,
    onOpen: found,
    onLost: () => lost(),
  });
}

function found() {
  pause = 0;
  if (model.online) return;
  model.online = true;
  model.fault = "";
  emit("online");
  say("Connected again.");
  refresh();
}

function lost(fault = "") {
  stop();
  model.online = false;
  model.fault = fault;
  emit("online");
  if (document.hidden) return;
  clearTimeout(retrying);
  pause = Math.min(5000, pause * 2 || 250);
  retrying = setTimeout(retry, pause);
}

async function retry() {
  // An EventSource doesn't say why it fails; a call does.
  try {
    await api.get("/api/state");
  } catch (error) {
    return lost(error.status === 403 ? STRANGER : "");
  }
  connect();
}

/** Loads the first sheet and listens from then on. `at`: what the address asks for. */
export async function start(at) {
  await guarded(async () => {
    const ticket = begin("middle", "beside");
    take(await api.get("/api/state"), ticket);
    if (at && (at.nobody || identity(at.identity))) {
      model.following = model.asked?.identities[0] === at.identity;
      model.shown = at;
    }
    await load(...place([]), ticket);
  });
  connect();
  // A hidden window holds no connection, of which a browser has six to one server.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stop();
    else connect();
  });
}
