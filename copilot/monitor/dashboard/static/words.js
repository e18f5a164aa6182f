// Numbers, times and names in words.

const GROUPED = new Intl.NumberFormat("en");
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const CLOCK_SECONDS = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const COLOURS = /\u001b\[[0-9;]*m/g;

export const whole = (n) => GROUPED.format(n);
export const decimal = (n) =>
  n >= 100 ? GROUPED.format(Math.round(n)) : n >= 10 ? n.toFixed(1) : n.toFixed(2);

/** Events a second; a minute or an hour where that reads better. */
export function rate(n) {
  if (n === 0) return "0/s";
  if (n >= 0.1) return `${decimal(n)}/s`;
  if (n * 60 >= 0.1) return `${decimal(n * 60)}/min`;
  return `${decimal(n * 3600)}/h`;
}

/** Seconds: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function span(seconds) {
  const t = Math.max(0, seconds);
  if (t < 9.95) return t < 0.05 ? "0 s" : `${t.toFixed(1).replace(/\.0$/, "")} s`;
  if (t < 59.5) return `${Math.round(t)} s`;
  const [big, small, high, low] =
    t < 3570 ? [60, 1, "min", "s"] : t < 86370 ? [3600, 60, "h", "min"] : [86400, 3600, "d", "h"];
  const parts = Math.round(t / small);
  const whole = Math.floor(parts / (big / small));
  const rest = parts % (big / small);
  return rest ? `${whole} ${high} ${rest} ${low}` : `${whole} ${high}`;
}

/** Bytes. */
export function size(bytes) {
  let [n, unit] = [bytes, 0];
  while (n >= 1023.5 && unit < UNITS.length - 1) [n, unit] = [n / 1024, unit + 1];
  return `${unit === 0 || n >= 99.5 ? Math.round(n) : n.toFixed(1)} ${UNITS[unit]}`;
}

export const share = (part, all) => (all > 0 ? Math.min(1, Math.max(0, part / all)) : 0);
export const percent = (n) => (n > 0 && n < 0.01 ? "<1 %" : `${Math.round(n * 100)} %`);
export const moment = (time) => MOMENT.format(time * 1000);
export const clock = (time, seconds = false) => (seconds ? CLOCK_SECONDS : CLOCK).format(time * 1000);

/** How long since then, in one unit: it changes seldom. */
export function age(time, now) {
  const t = Math.max(0, now - time);
  if (t < 90) return `${Math.round(t)} s`;
  if (t < 5400) return `${Math.round(t / 60)} min`;
  if (t < 129600) return `${Math.round(t / 3600)} h`;
  return `${Math.round(t / 86400)} d`;
}

export const ago = (time, now) => (now - time < 1.5 ? "now" : `${age(time, now)} ago`);

/** A name as it is safe to look at: nothing in it hides or turns other text. */
export const name = (text) =>
  text.replace(HIDDEN, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Lines that a program wrote: colours go, other controls are shown. */
export const lines = (text) =>
  text
    .replace(COLOURS, "")
    .replace(/\r\n?/g, "\n")
    .split("\n")
    .map((line) => line.split("\t").map(name).join("\t"))
    .join("\n");
