// Small things that several views show.

import { h, mark, say } from "./dom.js";
import { age, ago, moment, name } from "./words.js";

const AGAIN = 3000; // ms after which a question that failed is asked again

let skew = 0; // s that the store's clock is before the browser's

/** Take the store's clock for ours. */
export function setClock(time) {
  skew = time - Date.now() / 1000;
}

export const clockNow = () => Date.now() / 1000 + skew;

/** A moment: how long ago (`form` "age": for how long), with the date in its title; null is a dash. `tickAll` keeps
 * it true. */
export function when(time = null, form = "ago") {
  const node = h("time", { "data-form": form });
  setWhen(node, time);
  return node;
}

const sayWhen = (node, time) => say(node, (node.dataset.form === "age" ? age : ago)(time, clockNow()));

export function setWhen(node, time) {
  if (time === null || time === undefined) {
    mark(node, "datetime", null);
    mark(node, "title", null);
    say(node, "–");
    return;
  }
  if (node.dataset.at !== String(time)) {
    node.dataset.at = time;
    const date = new Date(time * 1000);
    mark(node, "datetime", Number.isNaN(date.getTime()) ? null : date.toISOString());
    mark(node, "title", moment(time));
  }
  sayWhen(node, time);
}

/** Bring all times on the page up to date. */
export function tickAll() {
  for (const node of document.querySelectorAll("time[data-at]")) sayWhen(node, Number(node.dataset.at));
}

/** Somebody's name, shortened by the style where there is no room; whole in its title. */
export const named = (text, cls = "") => h("bdi", { class: `name ${cls}`, title: name(text) }, name(text));

export const jobLink = (id, cls = "name") =>
  h("a", { href: `#/job/${encodeURIComponent(id)}`, class: cls, title: name(id) }, h("bdi", {}, name(id)));

export const agentLink = (agent) =>
  agent
    ? h(
        "a",
        { href: `#/agents?search=${encodeURIComponent(agent)}`, class: "name", title: name(agent) },
        h("bdi", {}, name(agent)),
      )
    : "–";

/** A bar that is filled to a share from 0 to 1. It repeats a number beside it, so it is not for the ear. */
export function bar(cls = "") {
  const fill = h("span", { class: "bar-fill" });
  const node = h("span", { class: `bar ${cls}`, "aria-hidden": "true" }, fill);
  return [node, (part) => fill.style.setProperty("width", `${(100 * part).toFixed(2)}%`)];
}

export const stateMark = (state) => h("span", { class: `state state-${state}` }, state);

export const empty = (...children) => h("p", { class: "empty" }, ...children);

export const code = (text) => h("code", {}, text);

/** Why nothing is shown: what the server said, or that it said nothing. */
export const fault = (error) => h("p", { class: "empty fault" }, error.message);

/** Data from the server. Throws an Error whose message is for people, with `status`. */
export async function ask(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== ""));
  let answer;
  try {
    answer = await fetch(`${path}${query.size ? `?${query}` : ""}`, {
      signal,
      headers: { Accept: "application/json" },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Object.assign(new Error("The monitor does not answer. This page goes on asking."), { status: 0 });
  }
  let data = null;
  try {
    data = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (answer.ok && data !== null) return data;
  const text = data?.error ?? `The monitor answered with HTTP status ${answer.status}`;
  throw Object.assign(new Error(`${text.charAt(0).toUpperCase()}${text.slice(1)}.`), {
    status: answer.status,
  });
}

/** Ask again when something may have changed, one question at a time: `due()` asks now or when the last one is
 * answered, at most every `every` ms. */
export function asker(question, { every = 1000, answered, failed }) {
  const stop = new AbortController();
  let busy = false;
  let wanted = false;
  let stale = false; // the question is another one than that under way
  let last = -Infinity;
  let timer = 0;
  async function go() {
    if (stop.signal.aborted) return;
    if (busy) {
      wanted = true;
      return;
    }
    const early = last + every - performance.now();
    if (early > 0) {
      clearTimeout(timer);
      timer = setTimeout(go, early);
      return;
    }
    busy = true;
    wanted = stale = false;
    last = performance.now();
    try {
      const answer = await question(stop.signal);
      if (!stop.signal.aborted && !stale) answered(answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      failed(error);
      clearTimeout(timer);
      timer = setTimeout(go, AGAIN);
    }
    busy = false;
    if (wanted) go();
  }
  return {
    due: go,
    /** Ask at once: somebody has changed the question. */
    now: () => {
      stale = true;
      last = -Infinity;
      go();
    },
    close: () => {
      clearTimeout(timer);
      stop.abort();
    },
  };
}
