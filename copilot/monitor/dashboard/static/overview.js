// The front page: everything at a glance.

import { chart } from "./chart.js";
import * as cards from "./cards.js";
import { card, count, h, number } from "./dom.js";
import { ask, asker } from "./parts.js";
import * as words from "./words.js";

const SPANS = [
  [900, "15 min"],
  [3600, "1 h"],
  [21600, "6 h"],
  [86400, "24 h"],
];

const shortCount = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function overview() {
  let length = SPANS[0][0]; // a system that was just started has something to show
  const parts = [
    cards.headline(),
    cards.fleet(),
    cards.failures(),
    cards.groups(),
    cards.owners(),
    cards.components(),
    cards.storage(),
    cards.newest(),
  ];
  const [tiles, agents, failed, queue, people, managers, room, events] = parts;
  const charts = [
    chart({
      id: "chart.jobs",
      title: "Jobs by state",
      stacked: true,
      words: (n) => words.whole(Math.round(n)),
      short: (n) => shortCount.format(n),
      floor: 4,
      series: [
        { key: "running", label: "Running", cls: "c-running" },
        { key: "held", label: "Held", cls: "c-held" },
        { key: "waiting", label: "Waiting", cls: "c-waiting" },
      ],
    }),
    chart({
      id: "chart.rates",
      title: "Throughput",
      words: words.rate,
      short: (n) => words.rate(n).replace(/\.0+(?=\/)/, ""),
      floor: 0.01,
      series: [
        { key: "submitted", label: "Submitted", cls: "c-submitted" },
        { key: "done", label: "Done", cls: "c-done" },
        { key: "failed", label: "Failed", cls: "c-failed" },
      ],
    }),
    chart({
      id: "chart.waits",
      title: "Waiting time",
      words: words.span,
      floor: 1,
      series: [
        { key: "wait_p50", label: "Median", cls: "c-p50" },
        { key: "wait_p90", label: "p90", cls: "c-p90" },
      ],
    }),
  ];
  const [jobs, rates, waits] = charts;
  const waitFacts = facts("waits", [
    ["p99", "p99"],
    ["longest", "Longest"],
    ["oldest", "Oldest in queue"],
  ]);
  const paceFacts = facts(
    "pace",
    [
      ["claimed", "Claimed"],
      ["requeued", "Back in queue"],
    ],
    words.rate,
  );
  const ranges = h(
    "fieldset",
    { class: "ranges" },
    h("legend", { class: "hidden" }, "Time that the charts show"),
    SPANS.map(([seconds, label]) =>
      h(
        "label",
        {},
        h("input", {
          type: "radio",
          name: "span",
          value: seconds,
          checked: seconds === length,
          onchange: () => {
            length = seconds;
            past.now();
          },
        }),
        h("span", {}, label),
      ),
    ),
  );

  const past = asker((signal) => ask("/api/history", { span: length }, signal), {
    every: 1000,
    answered: (history) => {
      for (const one of charts) one.update(history);
      clearTimeout(again);
      again = setTimeout(past.due, 1000 * Math.min(60, Math.max(2, history.step)));
    },
    failed: () => {}, // the charts stay as they are, and the line at the top says what is wrong
  });
  let again = 0;
  past.due();

  const node = h(
    "div",
    { class: "view" },
    h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, "Overview"), ranges),
    tiles.node,
    h(
      "div",
      { class: "cards" },
      card("h-jobs", "Jobs by state", { cls: "w8" }, jobs.node),
      agents.node,
      card("h-rates", "Throughput", { cls: "w4" }, rates.node, paceFacts.node),
      card("h-waits", "Waiting time", { cls: "w4" }, waits.node, waitFacts.node),
      failed.node,
      queue.node,
      people.node,
      managers.node,
      room.node,
      events.node,
    ),
  );

  return {
    node,
    title: "",
    update(now) {
      for (const one of parts) one.update(now);
      for (const [key, value] of jobs.values) count(value, now.jobs[key] ?? 0, words.whole);
      for (const [key, value] of rates.values) count(value, now.rates[key], words.rate);
      count(waits.values.get("wait_p50"), now.waits.p50, words.span);
      count(waits.values.get("wait_p90"), now.waits.p90, words.span);
      waitFacts.update(now.waits);
      paceFacts.update(now.rates);
    },
    again: () => past.now(), // the monitor was away, and may be another one
    close() {
      clearTimeout(again);
      past.close();
      for (const one of charts) one.close();
    },
  };
}

/** A short list of numbers with names. */
function facts(prefix, keys, say_ = words.span) {
  const cells = keys.map(([key]) => number(`${prefix}.${key}`));
  return {
    node: h(
      "dl",
      { class: "facts" },
      keys.map(([, label], k) => h("div", {}, h("dt", {}, label), h("dd", {}, cells[k]))),
    ),
    update: (values) => keys.forEach(([key], k) => count(cells[k], values[key], say_)),
  };
}
