// What the front page shows beside its charts: each function makes one card, {node, update(now)}.

import { card, count, h, list, mark, number, row, say, table } from "./dom.js";
import { agentLink, bar, code, empty, jobLink, named, setWhen, when } from "./parts.js";
import * as words from "./words.js";

const STATES = [
  // and the rate that belongs to each
  ["waiting", "submitted"],
  ["running", "claimed"],
  ["held", null],
  ["blocked", null],
  ["done", "done"],
  ["failed", "failed"],
  ["cancelled", null],
];
const MIB = 2 ** 20;
const MOST_SAID = 80; // values of one component

/** Jobs by state, in big numbers. */
export function headline() {
  const unpublished = number("unpublished");
  const unclaimed = h("span", { class: "tile-note", hidden: true }, unpublished, " to be published");
  const tiles = STATES.map(([state, rate]) => {
    const big = number(`jobs.${state}`, { class: "tile-number" });
    const pace = rate ? number(`rates.${rate}`) : null;
    const link = h(
      "a",
      { href: `#/jobs/${state}`, class: `tile tile-${state}` },
      h("span", { class: "tile-name" }, state),
      big,
      pace ? h("span", { class: "tile-note" }, pace, ` ${rate}`) : null,
      state === "done" ? unclaimed : null,
    );
    return { state, rate, big, pace, link };
  });
  return {
    node: h(
      "section",
      { "aria-labelledby": "h-states" },
      h("h2", { class: "hidden", id: "h-states" }, "Jobs now"),
      h(
        "ul",
        { class: "tiles" },
        tiles.map(({ link }) => h("li", {}, link)),
      ),
    ),
    update(now) {
      for (const { state, rate, big, pace } of tiles) {
        count(big, now.jobs[state] ?? 0, words.whole);
        if (pace) count(pace, now.rates[rate], words.rate);
      }
      count(unpublished, now.unpublished, words.whole);
      unclaimed.hidden = now.unpublished === 0;
    },
  };
}

export function fleet() {
  const online = number("fleet.online", { class: "big" });
  const kinds = [
    ["busy", "Busy"],
    ["idle", "Idle"],
    ["quarantined", "In quarantine"],
  ];
  const cells = kinds.map(([kind]) => number(`fleet.${kind}`));
  const parts = kinds.map(([kind]) => h("span", { class: `bar-fill part-${kind}` }));
  const [busy, all] = [number("fleet.slots_busy"), number("fleet.slots")];
  const [slots, fill] = bar("thick");
  const used = h("span", { class: "quiet" });
  const some = h(
    "div",
    {},
    h("p", { class: "lead" }, online, h("span", { class: "quiet" }, "online")),
    h("span", { class: "bar thick", "aria-hidden": "true" }, parts),
    h(
      "dl",
      { class: "facts" },
      kinds.map(([kind, label], k) =>
        h(
          "div",
          {},
          h("dt", {}, h("span", { class: `swatch part-${kind}`, "aria-hidden": "true" }), label),
          h("dd", {}, cells[k]),
        ),
      ),
    ),
    h("h3", {}, "Slots"),
    h("p", { class: "lead small" }, h("span", {}, busy, " of ", all, " busy"), used),
    slots,
  );
  const none = empty(
    "No agents yet. Start one: ",
    code("copilot-agent"),
    ", or with the embedded system ",
    code("copilot up"),
    ".",
  );
  return {
    node: card(
      "h-fleet",
      "Agents",
      { cls: "w4", aside: h("a", { href: "#/agents", class: "more" }, "All agents") },
      some,
      none,
    ),
    update({ fleet: now }) {
      some.hidden = now.online === 0 && now.quarantined === 0;
      none.hidden = !some.hidden;
      count(online, now.online, words.whole);
      kinds.forEach(([kind], k) => count(cells[k], now[kind], words.whole));
      const idle = Math.max(0, now.idle - now.quarantined);
      [now.busy, idle, now.quarantined].forEach((part, k) =>
        parts[k].style.setProperty(
          "width",
          `${(100 * words.share(part, now.busy + idle + now.quarantined)).toFixed(2)}%`,
        ),
      );
      count(busy, now.slots_busy, words.whole);
      count(all, now.slots, words.whole);
      say(used, words.percent(words.share(now.slots_busy, now.slots)));
      fill(words.share(now.slots_busy, now.slots));
    },
  };
}

/** A card with a table, or words in its stead where there is nothing. */
function tabled(id, title, heads, none, { cls, aside = null, note = null, stacked = false }) {
  const [wrapper, body] = table(title, heads, { stacked });
  return {
    node: card(id, title, { cls, aside }, wrapper, none, note),
    body,
    some(rows) {
      wrapper.hidden = rows === 0;
      none.hidden = rows > 0;
    },
  };
}

/** How many rows a list has that shows only its first. */
function rest(name, what) {
  const total = number(name);
  const node = h("p", { class: "quiet rest" }, "The first of ", total, ` ${what}`);
  return [
    node,
    (all, shown) => {
      count(total, all, words.whole);
      node.hidden = all <= shown;
    },
  ];
}

export function failures() {
  const total = number("failures.total", { class: "aside-number" });
  const made = tabled(
    "h-failures",
    "Failures by cause",
    [
      ["Cause", ""],
      ["Attempts", "num"],
    ],
    empty("No attempt has ended badly in the last hour."),
    { cls: "w4", aside: h("span", { class: "quiet" }, total, " in the last hour") },
  );
  return {
    node: made.node,
    update(now) {
      const causes = Object.entries(now.failures)
        .filter(([, n]) => n > 0)
        .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
      const most = Math.max(1, ...causes.map(([, n]) => n));
      made.some(causes.length);
      count(
        total,
        causes.reduce((sum, [, n]) => sum + n, 0),
        words.whole,
      );
      list(
        made.body,
        causes,
        ([cause]) => cause,
        ([cause]) => {
          const [strip, fill] = bar(cause.startsWith("infra-") ? "bar-infra" : "bar-bad");
          const value = number(`failures.${cause}`);
          return [
            row({ class: "barred" }, [named(cause), strip], ["Attempts", { class: "num" }, value]),
            ([, n]) => {
              count(value, n, words.whole);
              fill(n / most);
            },
          ];
        },
      );
    },
  };
}

export function groups() {
  const [note, all] = rest("groups.total", "groups of requirements");
  const made = tabled(
    "h-groups",
    "Queue by requirements",
    [
      ["Requirements", ""],
      ["Waiting", "num"],
      ["Oldest", "num"],
    ],
    empty("No job waits. Submit one: ", code("copilot submit"), "."),
    { cls: "w8", note },
  );
  return {
    node: made.node,
    update(now) {
      const most = Math.max(1, ...now.groups.map((one) => one.waiting));
      made.some(now.groups.length);
      all(now.groups_total, now.groups.length);
      list(
        made.body,
        now.groups,
        (one) => one.requirements,
        (first) => {
          const [strip, fill] = bar();
          const value = number("groups.waiting");
          const oldest = number("groups.oldest");
          const what = first.requirements ? named(first.requirements, "mono") : h("span", {}, "Any host");
          return [
            row(
              { class: "barred" },
              [what, strip],
              ["Waiting", { class: "num" }, value],
              ["Oldest", { class: "num" }, oldest],
            ),
            (given) => {
              count(value, given.waiting, words.whole);
              count(oldest, given.oldest, words.span);
              fill(given.waiting / most);
            },
          ];
        },
      );
    },
  };
}

export function owners() {
  const [note, all] = rest("owners.total", "owners");
  const made = tabled(
    "h-owners",
    "Jobs by owner",
    [
      ["Owner", ""],
      ["Waiting", "num"],
      ["Running", "num"],
    ],
    empty("Nobody has a job waiting or running."),
    { cls: "w4", note },
  );
  return {
    node: made.node,
    update(now) {
      made.some(now.owners.length);
      all(now.owners_total, now.owners.length);
      list(
        made.body,
        now.owners,
        (one) => one.owner,
        (first) => {
          const [waiting, running] = [number("owners.waiting"), number("owners.running")];
          return [
            row(
              {},
              first.owner ? named(first.owner) : h("span", { class: "quiet" }, "not named"),
              ["Waiting", { class: "num" }, waiting],
              ["Running", { class: "num" }, running],
            ),
            (given) => {
              count(waiting, given.waiting, words.whole);
              count(running, given.running, words.whole);
            },
          ];
        },
      );
    },
  };
}

export function components() {
  const [note, all] = rest("components.total", "components");
  const made = tabled(
    "h-components",
    "Managers and other components",
    [
      ["Component", ""],
      ["Heard", ""],
      ["Load", "num"],
      ["Memory", ""],
    ],
    empty(
      "No component reports. Set ",
      code("MON_JABBER_ADDRESS"),
      " in the configuration of each to the monitor's Jabber ID.",
    ),
    { cls: "w8", note, stacked: true },
  );
  return {
    node: made.node,
    update(now) {
      made.some(now.components.length);
      all(now.components_total, now.components.length);
      list(made.body, now.components, (one) => one.name, component);
    },
  };
}

function component(first) {
  let given = first;
  const heard = when();
  const silent = h("span", { class: "state state-failed", hidden: true }, "silent");
  const [load, memory] = [number("components.load"), number("components.memory")];
  const [strip, fill] = bar();
  const said = h("dl", { class: "said" });
  const details = h("details", { ontoggle: () => tell() }, h("summary", {}, named(first.name, "mono")), said);
  const node = row(
    {},
    details,
    ["Heard", { class: "nowrap" }, heard, " ", silent],
    ["Load", { class: "num" }, load],
    ["Memory", { class: "metered" }, memory, strip],
  );

  function tell() {
    if (!details.open) return;
    const all = [...Object.entries(given.values), ...Object.entries(given.counts)].sort(([a], [b]) =>
      a < b ? -1 : 1,
    );
    list(
      said,
      all.slice(0, MOST_SAID),
      ([key]) => key,
      ([key]) => {
        const value = h("dd", {});
        return [h("div", {}, h("dt", {}, words.name(key)), value), ([, n]) => say(value, plain(n))];
      },
    );
  }

  return [
    node,
    (now) => {
      given = now;
      setWhen(heard, now.heard);
      silent.hidden = !now.silent;
      mark(node, "class", now.silent ? "is-silent" : null);
      count(load, now.values["system.load.1min"], (n) => n.toFixed(2));
      const [used, free] = [now.values["system.ram.used.mem"], now.values["system.ram.available.mem"]];
      const known = typeof used === "number" && typeof free === "number";
      count(memory, known ? used * MIB : used, (n) =>
        known ? `${words.size(n)} of ${words.size((used + free) * MIB)}` : words.size(n * MIB),
      );
      strip.hidden = !known;
      fill(known ? words.share(used, used + free) : 0);
      tell();
    },
  ];
}

const plain = (n) => (n === null ? "–" : Number.isInteger(n) ? words.whole(n) : words.decimal(n));

export function storage() {
  const rows = h("ul", { class: "volumes" });
  const none = empty("No component has told of its disks yet. They do so every minute.");
  return {
    node: card("h-storage", "Storage", { cls: "w4" }, rows, none),
    update(now) {
      rows.hidden = now.storage.length === 0;
      none.hidden = !rows.hidden;
      list(
        rows,
        now.storage,
        (one) => `${one.of}\n${one.name}`,
        (one) => {
          const [used, part] = [number("storage.used"), h("span", { class: "nowrap" })];
          const [strip, fill] = bar();
          const whole = h("span", {});
          return [
            h(
              "li",
              {},
              h(
                "p",
                { class: "lead small" },
                h(
                  "span",
                  {},
                  named(one.name, "mono"),
                  " ",
                  h("span", { class: "quiet" }, "of ", named(one.of)),
                ),
                part,
              ),
              strip,
              h("p", { class: "quiet" }, used, whole),
            ),
            (given) => {
              const total = given.used + given.available;
              const full = words.share(given.used, total);
              count(used, given.used, words.size);
              say(whole, ` of ${words.size(total)} used`);
              say(part, words.percent(full));
              fill(full);
              mark(strip, "class", `bar ${full > 0.9 ? "bar-bad" : ""}`);
            },
          ];
        },
      );
    },
  };
}

export function newest() {
  const rows = h("ol", { class: "events" });
  const none = empty("Nothing has happened yet.");
  return {
    node: card("h-newest", "Last events", { cls: "w12" }, rows, none),
    update(now) {
      rows.hidden = now.newest.length === 0;
      none.hidden = !rows.hidden;
      list(
        rows,
        now.newest,
        (event) => event.id,
        (event) => [
          h(
            "li",
            { "data-event": event.id },
            when(event.time),
            h("span", { class: `kind kind-${event.kind}` }, event.kind),
            event.job ? jobLink(event.job) : h("span", {}),
            h("span", { class: "event-agent" }, event.agent ? agentLink(event.agent) : ""),
            h(
              "span",
              { class: "event-cause quiet" },
              words.name([event.cause, event.text].filter(Boolean).join(": ")),
            ),
          ),
          () => {},
        ],
      );
    },
  };
}
