// One job: what it is, how its attempts ended, what happened when, and the last that it wrote.

import { jobButtons } from "./doing.js";
import { card, h, row, table } from "./dom.js";
import { agentLink, ask, asker, empty, fault, named, stateMark, when } from "./parts.js";
import * as words from "./words.js";

const MOST_EVENTS = 500; // shown, the newest
const MOST_ATTEMPTS = 200;

export function job(id) {
  const body = h("div", {}, h("p", { class: "empty" }, "Asking …"));
  let told = "";
  const [does, can] = jobButtons(id, () => asked.now());
  const asked = asker((signal) => ask(`/api/job/${encodeURIComponent(id)}`, {}, signal), {
    answered(view) {
      can(view.state);
      const now = JSON.stringify(view);
      if (now === told) return; // what is read or selected here stays
      told = now;
      const scrolled = body.querySelector("pre")?.scrollTop;
      body.replaceChildren(...shown(view));
      if (scrolled) body.querySelector("pre")?.scrollTo(0, scrolled);
    },
    failed(error) {
      told = "";
      body.replaceChildren(
        h(
          "div",
          { class: "card" },
          fault(error),
          error.status === 404
            ? empty("Finished jobs stay until ", h("code", {}, "copilot clean"), " removes them.")
            : null,
        ),
      );
    },
  });
  asked.due();
  return {
    node: h(
      "div",
      { class: "view" },
      h(
        "div",
        { class: "view-head" },
        h(
          "h1",
          { tabindex: "-1", class: "job-title" },
          h("span", { class: "quiet" }, "Job "),
          h("bdi", {}, words.name(id)),
        ),
      ),
      does,
      body,
    ),
    title: `Job ${words.name(id)}`,
    update: () => asked.due(),
    close: () => asked.close(),
  };
}

function shown(view) {
  return [
    h(
      "p",
      { class: "job-state" },
      stateMark(view.state),
      view.cancelling ? h("span", { class: "state state-failed" }, "to be cancelled") : null,
      h("span", {}, story(view)),
    ),
    ...(view.why ? [why(view.why)] : []),
    h(
      "div",
      { class: "cards" },
      verdict(view),
      description(view),
      attempts(view),
      timeline(view),
      output(view),
    ),
  ];
}

/** Why it is where it is, and what to do next: the same sentences as `copilot jobs explain` has. */
function why(reason) {
  return h(
    "p",
    { class: "job-why" },
    reason.text.startsWith(reason.code) ? null : h("strong", {}, `${reason.code}: `), // "failed: failed at …"
    h("span", {}, `${reason.text}. `),
    h("span", { class: "quiet" }, `Next: ${reason.next}`),
  );
}

/** One sentence that tells where the job stands. */
function story(view) {
  const since = (time) => when(time);
  if (view.state === "waiting")
    return h(
      "span",
      {},
      "submitted ",
      since(view.submitted),
      view.attempt ? `, attempt ${view.attempt} went back to the queue` : "",
    );
  if (view.state === "running")
    return h(
      "span",
      {},
      "attempt ",
      String(view.attempt),
      " claimed ",
      since(view.claimed),
      " by ",
      agentLink(view.agent),
    );
  if (view.state === "held") return h("span", {}, "until somebody releases it");
  if (view.state === "blocked") return h("span", {}, "until the jobs that it waits for are over");
  return h("span", {}, since(view.finished));
}

function facts(rows) {
  return h(
    "dl",
    { class: "sheet" },
    rows.filter(Boolean).map(([label, ...value]) => h("div", {}, h("dt", {}, label), h("dd", {}, ...value))),
  );
}

function verdict(view) {
  const outcome = view.outcome;
  const rows = [
    ["Submitted", when(view.submitted)],
    view.claimed !== null && ["Claimed", when(view.claimed)],
    view.claimed !== null && view.attempt === 1 && ["Waited", words.span(view.claimed - view.submitted)],
    view.finished !== null && ["Ended", when(view.finished)],
    view.finished !== null &&
      view.claimed !== null && ["Last attempt took", words.span(view.finished - view.claimed)],
    outcome && ["Cause", h("span", { class: outcome.cause === "ok" ? "" : "bad" }, outcome.cause)],
    outcome && ["Exit code", exitWords(outcome.exit_code)],
    outcome?.validate_exit_code !== null &&
      outcome?.validate_exit_code !== undefined && [
        "Exit code of the validation",
        exitWords(outcome.validate_exit_code),
      ],
    outcome?.reason && ["Reason", h("bdi", {}, words.name(outcome.reason))],
    outcome?.host && ["Host", named(outcome.host)],
    view.agent && ["Agent", agentLink(view.agent)],
    outcome && [
      "Output",
      outcome.output_size === null
        ? "none"
        : `${words.size(outcome.output_size)}${view.published ? ", published" : ", not yet published"}`,
    ],
    ["Attempts used", `${words.whole(view.attempts_used)} of ${words.whole(view.max_attempts)}`],
  ];
  return card("h-facts", "Facts", { cls: "w6" }, facts(rows));
}

const exitWords = (code) => (code > 128 && code < 193 ? `${code} (signal ${code - 128})` : String(code));

function description(view) {
  return card(
    "h-spec",
    "What was submitted",
    { cls: "w6" },
    facts([
      ["Owner", view.owner ? named(view.owner, "long") : "–"],
      ["Command", h("code", {}, words.name([view.command, view.arguments].filter(Boolean).join(" ")))],
      ["Requirements", view.requirements ? h("code", {}, words.name(view.requirements)) : "any host"],
      view.rank && ["Rank", h("code", {}, words.name(view.rank))],
      ["Priority", words.whole(view.priority)],
      [
        "Inputs",
        view.inputs
          ? `${words.whole(view.inputs)} ${view.inputs === 1 ? "file" : "files"}, ${words.size(view.inputs_size)}`
          : "none",
      ],
      view.packages.length > 0 && ["Packages", words.name(view.packages.join(" "))],
      view.exclusive && ["Exclusive", "never two attempts at once"],
      view.max_run_time !== null && ["Longest run", words.span(view.max_run_time)],
    ]),
  );
}

function attempts(view) {
  if (!view.attempts.length)
    return card("h-attempts", "Attempts", { cls: "w12" }, empty("No attempt has ended yet."));
  const [wrapper, body] = table(
    "Attempts, newest first",
    [
      ["Attempt", ""],
      ["Agent", ""],
      ["Claimed", ""],
      ["Took", "num"],
      ["Ended as", ""],
      ["Cause", ""],
      ["Exit code", "num"],
      ["Reason", ""],
    ],
    { stacked: true },
  );
  for (const one of view.attempts.toReversed().slice(0, MOST_ATTEMPTS)) {
    body.append(
      row(
        {},
        [h("span", { class: "narrow" }, "Attempt "), String(one.attempt)],
        ["Agent", {}, agentLink(one.agent)],
        ["Claimed", { class: "nowrap" }, when(one.claimed)],
        ["Took", { class: "num" }, words.span(one.ended - one.claimed)],
        ["Ended as", { class: "nowrap" }, one.kind],
        ["Cause", { class: "nowrap" }, one.cause],
        ["Exit code", { class: "num" }, one.outcome ? exitWords(one.outcome.exit_code) : "–"],
        ["Reason", { class: "reason" }, one.outcome ? words.name(one.outcome.reason) : "–"],
      ),
    );
  }
  return card("h-attempts", "Attempts", { cls: "w12" }, wrapper);
}

function timeline(view) {
  const newest = view.events.slice(-MOST_EVENTS);
  if (!newest.length)
    return card("h-timeline", "Timeline", { cls: "w5" }, empty("The event stream does not go back so far."));
  return card(
    "h-timeline",
    "Timeline",
    { cls: "w5" },
    h(
      "div",
      { class: "far", role: "group", "aria-label": "Timeline", tabindex: "0" },
      h(
        "ol",
        { class: "timeline" },
        newest.map((event) =>
          h(
            "li",
            { class: `at-${event.kind}` },
            h(
              "p",
              {},
              h("b", {}, event.kind),
              event.attempt ? ` · attempt ${event.attempt}` : "",
              " ",
              h("span", { class: "quiet" }, when(event.time)),
            ),
            h(
              "p",
              { class: "quiet" },
              words.moment(event.time),
              event.agent ? [" · ", h("bdi", {}, words.name(event.agent))] : "",
            ),
            event.cause || event.text
              ? h("p", { class: "quiet" }, words.name([event.cause, event.text].filter(Boolean).join(": ")))
              : null,
          ),
        ),
      ),
    ),
  );
}

function output(view) {
  const last = [view.outcome, ...view.attempts.toReversed().map((one) => one.outcome)].find(
    (outcome) => outcome?.tail,
  );
  return card(
    "h-tail",
    "Last output",
    { cls: "w7", aside: h("span", { class: "quiet" }, "the end of stderr") },
    last
      ? h("pre", { tabindex: "0", role: "group", "aria-label": "The end of stderr" }, words.lines(last.tail))
      : empty(view.outcome ? "The job wrote nothing to stderr." : "It is known when an attempt has ended."),
  );
}
