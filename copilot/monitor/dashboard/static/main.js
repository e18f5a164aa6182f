// Which view is shown, and what stays on every page: connection, theme, title.

import { agents } from "./agents.js";
import { begin } from "./doing.js";
import { h, mark, say } from "./dom.js";
import { job } from "./job.js";
import { jobs, STATES } from "./jobs.js";
import { connect } from "./live.js";
import { overview } from "./overview.js";
import { clockNow, empty, setClock, tickAll } from "./parts.js";
import * as words from "./words.js";

const byId = (id) => document.getElementById(id);
const main = byId("main");
let view = null;
let now = null; // the newest snapshot
let link = { state: "connecting", since: clockNow(), error: null };
let away = null; // since when the store is away

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [place, ...more] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  if (place === "") return overview();
  if (place === "agents")
    return agents(new URLSearchParams(query ?? ""), (hash) => history.replaceState(null, "", hash));
  if (place === "jobs" && STATES.includes(more[0] ?? "waiting")) return jobs(more[0] ?? "waiting");
  if (place === "job" && more[0]) return job(more[0]);
  return {
    node: h(
      "div",
      { class: "view" },
      h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, "Not here")),
      empty("There is no such page. ", h("a", { href: "#/" }, "Back to the overview"), "."),
    ),
    title: "Not here",
    update: () => {},
    close: () => {},
  };
}

function show() {
  const first = view === null;
  view?.close();
  view = route();
  main.replaceChildren(view.node);
  const place = location.hash.replace(/^#\/?/, "").split(/[/?]/)[0];
  for (const tab of byId("nav").children) {
    const own = tab.hash.replace(/^#\/?/, "").split("/")[0];
    mark(tab, "aria-current", own === place || (own === "jobs" && place === "job") ? "page" : null);
  }
  if (now !== null) view.update(now);
  title();
  if (!first) {
    scrollTo(0, 0);
    view.node.querySelector("h1")?.focus({ preventScroll: true });
  }
}

function title() {
  const jobs =
    now === null
      ? ""
      : `${words.whole(now.jobs.running ?? 0)} running, ${words.whole(now.jobs.waiting ?? 0)} waiting`;
  const text = [view?.title, jobs, "Co-Pilot"].filter(Boolean).join(" · ");
  if (document.title !== text) document.title = text;
}

function shown(given) {
  setClock(given.time);
  const was = now?.store_up ?? true;
  now = given;
  if (!now.store_up) away ??= now.time;
  else away = null;
  if (was !== now.store_up)
    tell(
      now.store_up
        ? "The queue's store is back."
        : "The queue's store is away. The numbers are the last known.",
    );
  view.update(now);
  say(byId("foot"), `Co-Pilot ${words.name(now.version)}`);
  title();
  status();
}

function changed(state, error = null) {
  if (state !== link.state) {
    if (state === "lost") tell("Connection lost. The page tries again by itself.");
    else if (link.state === "lost") {
      tell("Connected again.");
      view.again?.();
    }
    link = { state, since: clockNow(), error };
  }
  link.error = error;
  status();
}

const tell = (text) => say(byId("told"), text);

/** The word at the top, and the line below it where something is wrong. */
function status() {
  const notice = byId("notice");
  let [word, state, line] = ["connecting", "connecting", ""];
  if (link.state === "lost") {
    [word, state] = ["reconnecting", "lost"];
    const since = words.clock(link.since, true);
    line =
      link.error?.status > 0
        ? `${link.error.message} Since ${since}.`
        : `The monitor has not answered since ${since}.${now === null ? "" : " What you see is from then."} This page tries again by itself.`;
  } else if (away !== null) {
    [word, state] = ["store away", "away"];
    line = `The queue's store has not answered since ${words.clock(away, true)}. What you see is what it said last.`;
  } else if (link.state === "polling") {
    [word, state] = ["every few seconds", "polling"];
  } else if (link.state === "live") [word, state] = ["live", "live"];
  mark(byId("link"), "data-state", state);
  say(byId("link-text"), word);
  notice.hidden = line === "";
  say(notice, line);
}

byId("theme").addEventListener("click", () => tell(`The theme is ${globalThis.turnTheme()} now.`));
byId("jump").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = byId("jump-id").value.trim();
  if (id) location.hash = `#/job/${encodeURIComponent(id)}`;
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the view's
  main.focus();
});
addEventListener("hashchange", show);
setInterval(() => {
  if (!document.hidden) tickAll();
}, 1000);
show();
begin(byId("person"));
connect(shown, changed);
