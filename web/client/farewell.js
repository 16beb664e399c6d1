import { backoff_ms } from "./backoff.js";
import { CLOSES } from "./close.js";

const TRIES_MAX = 6;

/**
 * Ends a session that has no socket: attaches once more, only to say so. After six tries in vain the session is left to
 * expire.
 * @param {{ sid: string, key: string }} id
 * @param {(on: import("./connection.js").Listeners) => unknown} dial
 * @param {import("./platform.js").Platform} platform
 */
export function farewell(id, dial, platform) {
  let tries = 0;
  const attempt = () => {
    tries++;
    dial({
      open(connection) {
        connection.send({ t: "resume", ...id, rooms: {} });
        connection.send({ t: "end" });
      },
      frame(frame, connection) {
        if (frame.t === "bye") connection.lose(frame);
      },
      lost({ code }) {
        if (!CLOSES[code] && tries < TRIES_MAX) platform.after(backoff_ms(tries, platform.random), attempt);
      },
    });
  };
  attempt();
}
