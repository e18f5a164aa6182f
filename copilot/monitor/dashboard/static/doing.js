// What somebody who has logged in can do: who that is, and buttons that say what became of a wish.

import { h, say } from "./dom.js";
import { name } from "./words.js";

let person = null; // {person, standing, token}; null: nobody, or nothing can be done here
const waiting = [];
let known = false;

/** Call `then` when it is known who is logged in: with null if nobody is. */
export function whoever(then) {
  if (known) then(person);
  else waiting.push(then);
}

const isOperator = () => person !== null && person.standing !== "submitter";

/** Ask who is logged in, and show it at the top. */
export async function begin(place) {
  try {
    const answer = await fetch("/api/session", { headers: { Accept: "application/json" } });
    const said = await answer.json();
    person = said.person ? said : null;
    if (said.actions !== false) place.replaceChildren(...(person ? [shown(), leave()] : [enter()]));
    place.hidden = said.actions === false;
  } catch {
    person = null; // the page says by itself that the monitor is away
  }
  known = true;
  for (const then of waiting.splice(0)) then(person);
}

const enter = () => h("a", { href: "/login" }, "Log in");
const shown = () => h("bdi", { class: "name", title: `${name(person.person)}, ${person.standing}` }, name(person.person));
const leave = () =>
  h(
    "button",
    {
      type: "button",
      onclick: async () => {
        try {
          await post("/logout", {});
        } finally {
          location.reload();
        }
      },
    },
    "Log out",
  );

async function post(path, data) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Copilot-Token": person.token },
      body: JSON.stringify(data),
    });
  } catch {
    throw new Error("The monitor does not answer: nobody knows whether it was done. Look, then try again.");
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) throw new Error("You are not logged in any more: log in again.");
  if (!answer.ok) throw new Error(said.error ?? `HTTP status ${answer.status}`);
  return said;
}

const OF_JOBS = [
  ["cancel", "Cancel", ["waiting", "running", "held", "blocked"]],
  ["hold", "Hold", ["waiting"]],
  ["release", "Release", ["held", "blocked"]],
  ["retry", "Retry", ["failed", "cancelled"]],
];
const OF_AGENTS = [
  ["drain", "Drain", (agent) => agent.quarantine !== -1],
  ["quarantine", "Quarantine", (agent) => !(agent.quarantine > 0)],
  ["release-agent", "Release", (agent) => agent.quarantine > 0],
];
const ASKS = {
  cancel: (what) => `Cancel ${what}? It ends, and what it has done is lost.`,
  drain: (what) => `Have ${what} leave? What it runs goes back to the queue.`,
};

/** Buttons for a job in `state`, and what came of the last wish. Returns [node, update(state)]. */
export function jobButtons(id, done) {
  return buttons(`job ${name(id)}`, id, OF_JOBS, (states, state) => states.includes(state), () => true, done);
}

/** The same for an agent: update({quarantine}). */
export function agentButtons(agent, done) {
  return buttons(`agent ${name(agent)}`, agent, OF_AGENTS, (may, now) => may(now), isOperator, done);
}

function buttons(what, target, table, fits, may, done) {
  const told = h("span", { class: "done-told", role: "status" });
  let busy = false;
  const made = table.map(([verb, text, when]) => [
    when,
    h("button", { type: "button", class: `do do-${verb}`, "data-do": verb, "aria-label": `${text} ${what}`, onclick: () => go(verb) }, text),
  ]);
  const node = h("div", { class: "doing", role: "group", "aria-label": `What to do with ${what}` }, made.map(([, one]) => one), told);
  node.hidden = true;

  async function go(verb) {
    if (busy || (ASKS[verb] && !(await sure(ASKS[verb](what), verb)))) return;
    busy = true;
    say(told, "…");
    try {
      const said = await post("/api/do", { verb, targets: [target], reason: "" });
      say(told, said.done.map((one) => name(one.text)).join("; "));
    } catch (error) {
      say(told, error.message);
    }
    busy = false;
    done?.();
  }

  return [
    node,
    (now) =>
      whoever((somebody) => {
        node.hidden = somebody === null || !may();
        for (const [when, one] of made) one.hidden = !fits(when, now);
      }),
  ];
}

/** Ask before what cannot be undone. */
function sure(question, verb) {
  return new Promise((resolve) => {
    const no = h("button", { type: "button", autofocus: true, onclick: () => dialog.close("") }, "No, keep it");
    const yes = h("button", { type: "button", class: `do do-${verb}`, "data-sure": "", onclick: () => dialog.close("yes") }, "Yes");
    const dialog = h("dialog", { class: "sure", "aria-label": "Are you sure?" }, h("p", {}, question), h("p", { class: "doing" }, no, yes));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
