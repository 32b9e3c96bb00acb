// The top of the page: the next question, how far the review is, and whether the server is there.
import { $, called, count, cover, fill, h, percent, picture } from "./dom.js";
import { askedIsShown, identity, model, nextQuestion, on } from "./model.js";
import { buttonOf } from "./actions.js";

function faces(question) {
  const covers = [
    ...question.identities.map((number, at) => [identity(number)?.cover, at ? "other" : "mine"]),
    ...question.tracklets.slice(0, 2).map((id) => [id, "doubt"]),
  ];
  return h("span", { class: "faces" }, ...covers.filter(([id]) => id).map(([id, role]) => h("span", { class: `picture ${role}` }, picture(cover(id), { loading: "eager" }))));
}

/** The question with names in it, where the identities have some. */
function wording({ kind, identities, text }) {
  const names = identities.map((number) => identity(number)?.name || number);
  if (!identities.some((number) => identity(number)?.name)) return text;
  if (kind === "same") return `Are ${names[0]} and ${names[1]} one person?`;
  return kind === "pure" ? `Is all of this ${names[0]}, and complete?` : `Is this ${names[0]}?`;
}

function whatNoDoes({ kind, identities, tracklets }) {
  if (kind === "same") return "";
  if (kind === "stray") return tracklets.length > 1 ? "Answer for all marked ?, or for those you chose." : "No leaves it out.";
  return identity(identities[0])?.tracklets > tracklets.length ? "No takes out those marked ?, or those you chose." : "No asks where it goes on as somebody else.";
}

/** Fetches the pictures that the next question begins with. */
function lookAhead() {
  const next = nextQuestion();
  if (!next) return;
  for (const id of [...next.identities.map((number) => identity(number)?.cover), ...next.tracklets.slice(0, 2)]) {
    if (id) new Image().src = cover(id);
  }
}

function question() {
  const box = $("question");
  if (!model.state) return;
  const { asked } = model;
  if (!asked) {
    const skipped = model.state.questions.length;
    const { confirmed, identities } = model.state.progress;
    const rest = confirmed < identities ? ` ${count(identities - confirmed, "identity", "identities")} not confirmed yet.` : " All are confirmed.";
    fill(box, h("div", { class: "ask" }, h("p", { class: "wording" }, skipped ? `You skipped ${skipped}. Nothing else is left to ask.` : `Nothing is left to ask.${rest}`)),
      h("div", { class: "answers" }, skipped > 0 && buttonOf("again")));
    return;
  }
  const why = `${percent(asked.probability)} likely. ${whatNoDoes(asked)}`;
  fill(box, 
    faces(asked),
    h("div", { class: "ask" }, h("p", { class: "wording" }, wording(asked)), h("p", { class: "faint" }, why)),
    h("div", { class: "answers" }, ...(askedIsShown() ? ["yes", "no", "skip"] : ["follow"]).map((id) => buttonOf(id))));
}

const span = (seconds) => {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
};

function progress() {
  if (!model.state) return;
  const { doubt, decisions, per_minute: pace, seconds_left: left, confirmed, identities, thinking } = model.state.progress;
  const meter = h("i");
  meter.style.inlineSize = `${(100 * confirmed) / Math.max(1, identities)}%`;
  fill($("progress"), 
    h("p", { class: "doubt", title: "Expected number of wrong figures: the sum of what is doubtful of each identity" }, h("b", {}, doubt.toFixed(1)), h("span", {}, "still doubtful")),
    h("div", { class: "pace" },
      h("p", {}, h("b", {}, `${confirmed} of ${identities}`), " confirmed"),
      h("div", { class: "meter", role: "progressbar", "aria-label": "Confirmed", "aria-valuemin": "0", "aria-valuemax": identities, "aria-valuenow": confirmed }, meter),
      h("p", { class: "faint" }, thinking && h("span", { class: "thinking", title: "The machine links again, with what you decided" }), [`${decisions} ${decisions === 1 ? "decision" : "decisions"}`, pace !== null && `${pace.toFixed(1)} a minute`, left !== null && confirmed < identities && `${span(left)} left`].filter(Boolean).join(" · "))));
}

function banner() {
  const box = $("banner");
  box.hidden = model.online;
  document.body.classList.toggle("offline", !model.online);
  const text = model.fault || "No connection to the server. What you decide is not saved until it is back; it is tried again and again.";
  if (!model.online && box.textContent !== text) box.textContent = text;
  if (model.online) box.textContent = "";
}

const TOOLS = ["undo", "redo", "theme", "changes", "you", "help"];

export function startTop() {
  on("state shown online busy theme", () => {
    if (model.state) {
      $("dataset").textContent = model.state.dataset;
      document.title = `${model.state.progress.doubt.toFixed(1)} doubtful · ${model.state.dataset}`;
    }
    const focus = document.activeElement?.dataset?.action;
    question();
    fill($("tools"), ...TOOLS.map((id) => buttonOf(id, true)));
    if (focus) document.querySelector(`#top [data-action="${focus}"]`)?.focus();
  });
  on("state", () => {
    progress();
    lookAhead();
  });
  on("online", banner);
}
