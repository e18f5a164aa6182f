// The connection to the monitor: the stream of changes, or, where the monitor has no place for one more viewer,
// questions every few seconds.

import { ask } from "./parts.js";

const SOON = 1000; // ms until the first new try
const LATEST = 10000; // ms between two tries at most
const POLL = 5000; // ms between two questions without a stream
const DOUBT = 20000; // ms of silence after which we ask whether anybody is there

/** Calls `shown(now)` with each snapshot, and `changed(state, error)`: live, polling, or lost. */
export function connect(shown, changed) {
  let stream = null;
  let timer = 0;
  let failures = 0;
  let heard = 0;

  function take(now) {
    heard = performance.now();
    shown(now);
  }

  function open() {
    clearTimeout(timer);
    stream?.close();
    stream = new EventSource("/live");
    stream.addEventListener("open", () => {
      failures = 0;
      heard = performance.now();
      changed("live");
    });
    stream.addEventListener("now", (event) => take(JSON.parse(event.data)));
    stream.addEventListener("error", broken);
  }

  async function broken() {
    stream.close();
    failures += 1;
    let wait = Math.min(LATEST, SOON * 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
    try {
      take(await ask("/api/now"));
      changed("polling");
      wait = failures === 1 ? SOON : POLL;
    } catch (error) {
      changed("lost", error);
    }
    clearTimeout(timer);
    timer = setTimeout(open, wait);
  }

  // A connection that died without a word (a laptop that slept) looks like one on which nothing happens.
  setInterval(async () => {
    if (stream?.readyState !== EventSource.OPEN || performance.now() - heard < DOUBT) return;
    heard = performance.now();
    try {
      await fetch("/healthz", { signal: AbortSignal.timeout(5000) });
    } catch {
      broken();
    }
  }, 5000);
  addEventListener("online", open);
  open();
}
