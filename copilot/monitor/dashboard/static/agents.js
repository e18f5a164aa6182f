// All agents, a page at a time: what each runs, who is idle, who is in quarantine.

import { agentButtons } from "./doing.js";
import { count, h, list, mark, number, row, say, table } from "./dom.js";
import { ask, asker, bar, code, empty, fault, jobLink, named, setWhen, when } from "./parts.js";
import { pager } from "./pager.js";
import * as words from "./words.js";

const ROWS = 50;
const TYPED = 250; // ms after the last key

export function agents(parameters, go) {
  let search = parameters.get("search") ?? "";
  let timer = 0;
  const total = number("agents.total");
  const found = h("span", {});
  const [wrapper, body] = table(
    "Agents",
    [
      ["Agent", ""],
      ["State", ""],
      ["Slots", "num"],
      ["Runs", ""],
    ],
    { stacked: true },
  );
  const place = h("div", { class: "instead" });
  const pages = pager(() => asked.now());
  const field = h("input", {
    type: "search",
    id: "search",
    value: search,
    maxlength: 128,
    placeholder: "Part of a name",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        search = field.value.trim();
        go(search ? `#/agents?search=${encodeURIComponent(search)}` : "#/agents");
        pages.first();
      }, TYPED);
    },
  });
  const asked = asker((signal) => ask("/api/agents", { after: pages.after(), search, limit: ROWS }, signal), {
    answered: show,
    failed: (error) => {
      wrapper.hidden = true;
      place.replaceChildren(fault(error));
    },
  });
  asked.due();

  function show(page) {
    count(total, page.total, words.whole);
    say(found, search ? " found" : " in all");
    pages.show(page.next);
    wrapper.hidden = page.rows.length === 0;
    if (page.rows.length) place.replaceChildren();
    else if (search) place.replaceChildren(empty("No agent's name contains ", named(search), "."));
    else
      place.replaceChildren(
        empty(
          "No agents yet. Start one: ",
          code("copilot-agent"),
          ", or with the embedded system ",
          code("copilot up"),
          ".",
        ),
      );
    list(body, page.rows, (one) => one.agent, (one) => agent(one, () => asked.now()));
  }

  return {
    node: h(
      "div",
      { class: "view" },
      h(
        "div",
        { class: "view-head" },
        h("h1", { tabindex: "-1" }, "Agents"),
        h("p", { class: "quiet" }, total, found),
        h("div", { class: "search" }, h("label", { for: "search" }, "Search"), field),
      ),
      h("div", { class: "card" }, wrapper, place, pages.node),
    ),
    title: "Agents",
    update: () => asked.due(),
    close: () => {
      clearTimeout(timer);
      asked.close();
    },
  };
}

function agent(first, done) {
  const [does, can] = agentButtons(first.agent, done);
  const state = h("span", {});
  const since = when();
  const left = h("span", {});
  const [busy, slots] = [number("agent.jobs"), number("agent.slots")];
  const [strip, fill] = bar();
  const held = h("ul", { class: "runs" });
  const more = h("span", { class: "quiet" });
  const node = row(
    { "data-agent": first.agent },
    named(first.agent),
    ["State", {}, state, " ", h("span", { class: "quiet nowrap" }, left, since)],
    ["Slots", { class: "num metered" }, h("span", {}, busy, " of ", slots), strip],
    ["Runs", { class: "wide" }, held, more, does],
  );
  return [
    node,
    (given) => {
      const [word, cls] =
        given.quarantine > 0
          ? ["quarantine", "failed"]
          : given.jobs > 0
            ? ["busy", "running"]
            : ["idle", "held"];
      can(given);
      say(state, word);
      mark(state, "class", `state state-${cls}`);
      setWhen(since, given.jobs > 0 ? null : given.idle_since);
      say(left, given.quarantine > 0 ? `${words.span(given.quarantine)} left` : "");
      since.hidden = given.jobs > 0 || given.quarantine > 0 || given.idle_since === null;
      count(busy, given.jobs, words.whole);
      count(slots, given.slots, words.whole);
      fill(words.share(given.jobs, given.slots));
      say(
        more,
        given.jobs > given.held.length ? `and ${words.whole(given.jobs - given.held.length)} more` : "",
      );
      list(
        held,
        given.held,
        (one) => `${one.job}\n${one.attempt}`,
        (one) => {
          const phase = h("span", { class: "quiet" });
          return [
            h(
              "li",
              {},
              jobLink(one.job),
              " ",
              phase,
              " ",
              h("span", { class: "quiet" }, "· ", when(one.claimed, "age")),
            ),
            (now) => say(phase, now.phase || "handed out"),
          ];
        },
      );
    },
  ];
}
