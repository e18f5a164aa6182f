// A chart over time as SVG: stacked areas or lines, a legend of buttons that hide a series, the values under the
// pointer, and the same numbers as a table for those who do not see the picture (decision 0014).

import { h, list, mark, s, say } from "./dom.js";
import { clock, moment, span } from "./words.js";

const HEIGHT = 208; // px
const EDGE = { top: 10, right: 8, bottom: 22 };
const LETTER = 7; // px, of the text at the axis at most
const TICKS = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600]; // s
const ROWS = 12; // of the table
const LABEL = 76; // px that a time needs below the axis

/** `series`: [{key, label, cls}], lowest area first. `words(value)` says a value, `short(value)` one at the axis. */
export function chart({ id, title, stacked = false, series, words, short = words, floor = 1 }) {
  const hidden = new Set();
  let history = null;
  let width = 0;
  let left = 0; // where the plot begins, px: right of the values at the axis

  const svg = s("svg", { role: "img", class: "plot", height: HEIGHT });
  const tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  const plot = h("div", { class: "plot-box" }, svg, tip);
  const values = new Map();
  const legend = h(
    "ul",
    { class: "legend" },
    series.map((one) => {
      const value = h("data", { class: "legend-value", "data-number": `${id}.${one.key}` });
      values.set(one.key, value);
      const button = h(
        "button",
        {
          type: "button",
          "aria-pressed": "true",
          title: "Show or hide",
          onclick: () => {
            if (!hidden.delete(one.key)) hidden.add(one.key);
            mark(button, "aria-pressed", String(!hidden.has(one.key)));
            draw();
          },
        },
        h("span", { class: `swatch ${one.cls}`, "aria-hidden": "true" }),
        one.label,
      );
      return h("li", {}, button, value);
    }),
  );
  const rows = h("tbody");
  const details = h(
    "details",
    { class: "as-table", ontoggle: () => fillTable() },
    h("summary", {}, "As a table"),
    h(
      "div",
      { class: "scroll", role: "group", "aria-label": `${title}, as a table`, tabindex: "0" },
      h(
        "table",
        {},
        h("caption", { class: "hidden" }, `${title}, newest first`),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, "Time"),
            series.map((one) => h("th", { scope: "col", class: "num" }, one.label)),
          ),
        ),
        rows,
      ),
    ),
  );
  const node = h("div", { class: "chart" }, legend, plot, details);

  const watcher = new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now !== width) {
      width = now;
      draw();
    }
  });
  watcher.observe(plot);

  const shown = () => series.filter((one) => !hidden.has(one.key));
  const column = (one) => history.series[one.key] ?? [];

  /** For each shown series the [low, high] at each time, null where nothing is known. */
  function bands() {
    const base = history.times.map(() => 0);
    return shown().map((one) =>
      history.times.map((_, i) => {
        const value = column(one)[i];
        if (value === null || value === undefined) return null;
        if (!stacked) return [0, value];
        const low = base[i];
        base[i] += value;
        return [low, base[i]];
      }),
    );
  }

  function draw() {
    if (history === null || width < 40) return;
    const { times } = history;
    mark(svg, "viewBox", `0 0 ${width} ${HEIGHT}`);
    mark(svg, "width", width);
    mark(svg, "aria-label", summary());
    if (times.length < 2) {
      svg.replaceChildren(
        s(
          "text",
          { class: "axis-text", x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" },
          "Nothing yet: the line begins in a few seconds.",
        ),
      );
      return;
    }
    const drawn = bands();
    const top = nice(Math.max(floor, ...drawn.flat().map((band) => band?.[1] ?? 0)));
    left = 12 + LETTER * Math.max(short(top).length, short(top / 2).length);
    const x = (i) => left + ((width - left - EDGE.right) * (times[i] - times[0])) / (times.at(-1) - times[0]);
    const y = (value) => HEIGHT - EDGE.bottom - ((HEIGHT - EDGE.top - EDGE.bottom) * value) / top;
    svg.replaceChildren(
      ...grid(top, y),
      ...timeAxis(x),
      ...shown()
        .flatMap((one, k) =>
          pathsOf(drawn[k], x, y).flatMap(({ area, line }) => [
            stacked ? s("path", { class: `area ${one.cls}`, d: area }) : null,
            s("path", { class: `line ${one.cls}`, d: line }),
          ]),
        )
        .filter(Boolean),
      s("line", { class: "cursor", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" }),
    );
    plot.onpointermove = (event) => point(event, x);
    plot.onpointerleave = () => {
      tip.hidden = true;
      mark(svg.querySelector(".cursor"), "visibility", "hidden");
    };
  }

  function grid(top, y) {
    return [0, 0.5, 1].flatMap((part) => [
      s("line", {
        class: part ? "grid" : "base",
        x1: left,
        x2: width - EDGE.right,
        y1: y(top * part),
        y2: y(top * part),
      }),
      s(
        "text",
        { class: "axis-text", x: left - 8, y: y(top * part) + 4, "text-anchor": "end" },
        part ? short(top * part) : "0",
      ),
    ]);
  }

  function timeAxis(x) {
    const { times } = history;
    const length = times.at(-1) - times[0];
    const most = Math.max(1, Math.floor(width / LABEL));
    const step = TICKS.find((one) => length / one <= most) ?? 43200;
    const zone = new Date(times[0] * 1000).getTimezoneOffset() * 60;
    const made = [];
    for (let at = Math.ceil((times[0] - zone) / step) * step + zone; at <= times.at(-1); at += step) {
      const place = x(0) + ((x(times.length - 1) - x(0)) * (at - times[0])) / length;
      if (place < left || place > width - 20) continue;
      made.push(
        s(
          "text",
          { class: "axis-text", x: place, y: HEIGHT - 6, "text-anchor": "middle" },
          clock(at, step < 60),
        ),
      );
    }
    return made;
  }

  function point(event, x) {
    const { times } = history;
    const box = plot.getBoundingClientRect();
    const part = (event.clientX - box.left - left) / (width - left - EDGE.right);
    const i = Math.min(times.length - 1, Math.max(0, Math.round(part * (times.length - 1))));
    const line = svg.querySelector(".cursor");
    mark(line, "x1", x(i));
    mark(line, "x2", x(i));
    mark(line, "visibility", "visible");
    tip.replaceChildren(
      h("p", { class: "tip-time" }, clock(times[i], true)),
      ...shown()
        .toReversed()
        .map((one) =>
          h("p", {}, h("span", { class: `swatch ${one.cls}` }), one.label, h("b", {}, said(column(one)[i]))),
        ),
    );
    tip.hidden = false;
    const side = x(i) + 12 + tip.offsetWidth > width ? x(i) - 12 - tip.offsetWidth : x(i) + 12;
    tip.style.setProperty("transform", `translate(${Math.max(0, side)}px, 12px)`);
  }

  const said = (value) => (value === null || value === undefined ? "–" : words(value));

  function summary() {
    const { times } = history;
    if (times.length < 2) return `${title}. Nothing is known yet.`;
    const parts = series.map((one) => {
      const known = column(one)
        .map((value, i) => [value, times[i]])
        .filter(([value]) => value !== null);
      if (!known.length) return `${one.label}: not known`;
      const most = known.reduce((a, b) => (b[0] > a[0] ? b : a));
      return `${one.label}: last ${words(known.at(-1)[0])}, highest ${words(most[0])} at ${clock(most[1])}`;
    });
    return `${title}, over ${span(times.at(-1) - times[0])}. ${parts.join(". ")}.`;
  }

  function fillTable() {
    if (!details.open || history === null) return;
    const { times } = history;
    const every = Math.max(1, Math.floor(times.length / ROWS));
    const picked = [];
    for (let i = times.length - 1; i >= 0 && picked.length < ROWS; i -= every) picked.push(i);
    list(
      rows,
      picked,
      (i) => String(times[i]),
      () => {
        const cells = series.map(() => h("td", { class: "num" }));
        const time = h("th", { scope: "row" });
        return [
          h("tr", {}, time, cells),
          (i) => {
            say(time, clock(times[i], true));
            mark(time, "title", moment(times[i]));
            series.forEach((one, k) => say(cells[k], said(column(one)[i])));
          },
        ];
      },
    );
  }

  return {
    node,
    values,
    update(given) {
      history = given;
      draw();
      fillTable();
    },
    close: () => watcher.disconnect(),
  };
}

/** The outlines of one series, one for each stretch in which it is known. */
function pathsOf(bands, x, y) {
  const made = [];
  let [up, down] = [[], []];
  const end = () => {
    if (up.length)
      made.push({
        line: `M${up.join("L")}${up.length === 1 ? "h1" : ""}`,
        area: `M${up.join("L")}L${down.reverse().join("L")}Z`,
      });
    [up, down] = [[], []];
  };
  bands.forEach((band, i) => {
    if (band === null) return end();
    const place = x(i).toFixed(1);
    up.push(`${place} ${y(band[1]).toFixed(1)}`);
    down.push(`${place} ${y(band[0]).toFixed(1)}`);
  });
  end();
  return made;
}

/** The smallest of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten that is not below `value`. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((one) => one * power >= value * 0.999999);
}
