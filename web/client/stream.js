import { OutlastError } from "./error.js";

const QUEUE_EVENTS = 1000;

/**
 * A room's events for `for await`, from now until we leave. A loop that falls a thousand events
 * behind ends with the error `too_slow`.
 * @param {import("./room.js").Room<any>} room
 * @returns {AsyncGenerator<import("./codec.js").Frame, void>}
 */
export function stream(room) {
  /** @type {import("./codec.js").Frame[]} */
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
  return (async function* () {
    try {
      for (;;) {
        if (queue.length > QUEUE_EVENTS) throw new OutlastError("too_slow", "this loop fell too far behind");
        const event = queue.shift();
        if (event) yield event;
        else if (over) return;
        else await new Promise((resolve) => (wake = () => resolve(undefined)));
      }
    } finally {
      for (const off of offs) off();
    }
  })();
}
