// The jobs in one state, a page at a time.

import { jobButtons } from "./doing.js";
import { count, h, list, number, row, say, table } from "./dom.js";
import { agentLink, ask, asker, code, empty, fault, jobLink, named, setWhen, when } from "./parts.js";
import { pager } from "./pager.js";
import * as words from "./words.js";

const ROWS = 50;
export const STATES = ["waiting", "running", "held", "blocked", "done", "failed", "cancelled"];
const NONE = {
  waiting: ["No job waits. Submit one: ", code("copilot submit"), "."],
  running: ["No job runs. Jobs run as soon as an agent takes them."],
  held: ["No job is held."],
  blocked: ["No job waits for others."],
  done: ["No job is done yet."],
  failed: ["No job has failed."],
  cancelled: ["No job was cancelled."],
};

export function jobs(state) {
  const ended = state === "done" || state === "failed" || state === "cancelled";
  const tabs = STATES.map((one) => {
    const value = number(`tab.${one}`);
    return [
      one,
      value,
      h("a", { href: `#/jobs/${one}`, "aria-current": one === state ? "page" : null }, one, " ", value),
    ];
  });
  const heads = [
    ["Job", ""],
    ["Owner", ""],
    [ended ? "Ended" : "Since", ""],
    ["Attempt", "num"],
    ["Agent", ""],
  ];
  if (ended) heads.push(["Cause", ""]);
  const [wrapper, body] = table(`Jobs that are ${state}`, heads, { stacked: true });
  const place = h("div", { class: "instead" });
  const total = number("page.total");
  const pages = pager(() => asked.now());
  const asked = asker((signal) => ask("/api/jobs", { state, after: pages.after(), limit: ROWS }, signal), {
    answered(page) {
      count(total, page.total, words.whole);
      pages.show(page.next);
      wrapper.hidden = page.rows.length === 0;
      if (page.rows.length) place.replaceChildren();
      else place.replaceChildren(empty(...NONE[state].map((part) => part.cloneNode?.(true) ?? part)));
      list(body, page.rows, (one) => one.job, made);
    },
    failed(error) {
      wrapper.hidden = true;
      place.replaceChildren(fault(error));
    },
  });
  asked.due();

  function made(first) {
    const since = when();
    const attempt = number("job.attempt");
    const agent = h("span", {});
    const cause = h("span", {});
    let told = null;
    const [does, can] = jobButtons(first.job, () => asked.now());
    return [
      row(
        { "data-job": first.job },
        jobLink(first.job),
        ["Owner", {}, first.owner ? named(first.owner) : h("span", { class: "quiet" }, "–")],
        [ended ? "Ended" : "Since", { class: "nowrap" }, since],
        ["Attempt", { class: "num" }, attempt],
        ["Agent", {}, agent, does],
        ended && ["Cause", {}, cause],
      ),
      (given) => {
        can(state);
        setWhen(since, given.since);
        count(attempt, given.attempt, words.whole);
        say(cause, words.name(given.cause));
        if (told !== given.agent) agent.replaceChildren(agentLink(given.agent));
        told = given.agent;
      },
    ];
  }

  return {
    node: h(
      "div",
      { class: "view" },
      h(
        "div",
        { class: "view-head" },
        h("h1", { tabindex: "-1" }, "Jobs"),
        h("p", { class: "quiet" }, total, ` ${state}`),
      ),
      h(
        "nav",
        { class: "states", "aria-label": "States" },
        tabs.map(([, , link]) => link),
      ),
      h("div", { class: "card" }, wrapper, place, pages.node),
    ),
    title: `Jobs ${state}`,
    update(now) {
      for (const [one, value] of tabs) count(value, now.jobs[one] ?? 0, words.whole);
      asked.due();
    },
    close: () => asked.close(),
  };
}
