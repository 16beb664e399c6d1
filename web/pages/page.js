/**
 * The parts that every page shares: one session, whose status is always shown, and the way into a room.
 * README.md beside this file describes how to add a page.
 */
import { connect } from "../outlast.js";
import { at } from "./page/dom.js";
import { tell } from "./page/notice.js";
import { askForToken, storedToken } from "./page/token.js";

export { at, make } from "./page/dom.js";
export { tell } from "./page/notice.js";
export { askForToken } from "./page/token.js";
export { Visit } from "./page/visit.js";

/**
 * @typedef {import("../outlast.js").Session} Session
 * @typedef {import("../outlast.js").Status} Status
 */

/** @type {Record<Status, string>} */
const STATUS = {
  connecting: "Connecting",
  live: "Live",
  "catching-up": "Catching up",
  offline: "Reconnecting",
  ended: "Ended",
};

/**
 * The page's session, shown in its `#status` and told of in its `#notice`. It lasts from page to page
 * in one tab.
 * @param {import("../outlast.js").Options & { away?: string }} [options] those of `connect`, and what
 *   to say while the server is away
 */
export function start({ away = "Away from the server. This page goes on by itself when it is back.", ...options } = {}) {
  const session = connect(undefined, { token: storedToken, ...options });
  let known = false;
  let telling = false;
  let news = "";

  /** @param {Status} status */
  const show = (status) => {
    const text = STATUS[status === "connecting" && known ? "offline" : status];
    at("status").dataset.status = status;
    if (at("status-text").textContent !== text) at("status-text").textContent = text; // a change is read aloud
    if (status === "live") {
      if (telling || news) tell(news, news && "Fine");
      known = true;
      telling = false;
      news = "";
    }
    if (status === "offline" && known) {
      tell(away);
      telling = true;
    }
  };
  session.on("status", show);
  session.on("reset", ({ reason, away_ms }) => {
    const why = reason === "expired" ? `You were away for ${span(away_ms)}, longer than a session is kept.` : "The server had lost this session.";
    news = `${why} You are in again, with a new one.`;
  });
  session.on("error", ({ message }) => tell(message, "Fine"));
  session.on("end", ({ code, reason }) => {
    telling = false;
    if (code === 4002) tell("This session goes on in another window.", "Use it here", () => location.reload());
    else if (code === 4003) {
      const why = storedToken() ? `The one that this tab has was refused: ${reason}.` : "This server lets in whoever has one. Ask who runs it, and paste it here.";
      tell("This server asks for a token.", "Enter a token", () => askForToken(why));
      askForToken(why);
    } else tell(`The connection has ended: ${reason || code}.`, "Connect again", () => location.reload());
  });
  show(session.status);
  return session;
}

/** A length of time, for people. @param {number} ms */
function span(ms) {
  const minutes = Math.round(ms / 60_000);
  const [count, unit] = minutes < 1 ? [Math.round(ms / 1000), "second"] : minutes < 90 ? [minutes, "minute"] : [Math.round(minutes / 60), "hour"];
  return new Intl.NumberFormat("en", { style: "unit", unit, unitDisplay: "long" }).format(count);
}
