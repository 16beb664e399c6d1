import { OutlastError } from "./error.js";

const QUEUE_EVENTS = 1000;

/**
 * Returns the room's events for `for await`, from now until this client leaves. The loop throws `too_slow` when more than
 * 1,000 events wait for it, and the reason of `signal` when that aborts.
 * @param {import("./room.js").Room<any>} room @param {AbortSignal} [signal]
 * @returns {AsyncGenerator<import("./room.js").RoomEvents["event"], void>}
 */
export function stream(room, signal) {
  /** @type {import("./room.js").RoomEvents["event"][]} */
  const queue = [];
  let over = false;
  let wake = () => {};
  const offs = [
    room.on("event", (event) => {
      if (queue.length <= QUEUE_EVENTS) queue.push(event);
      wake();
    }),
    room.on("left", () => {
      over = true;
      wake();
    }),
  ];
  const aborted = () => wake();
  signal?.addEventListener("abort", aborted);
  return (async function* () {
    try {
      for (;;) {
        signal?.throwIfAborted();
        if (queue.length > QUEUE_EVENTS) throw new OutlastError("too_slow");
        const event = queue.shift();
        if (event) yield event;
        else if (over) return;
        else await new Promise((resolve) => (wake = () => resolve(undefined)));
      }
    } finally {
      for (const off of offs) off();
      signal?.removeEventListener("abort", aborted);
    }
  })();
}
