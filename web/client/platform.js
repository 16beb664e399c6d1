const CLAIM_MS = 1000;
const ASK_MS = 200;

/**
 * The client's clock, timers, randomness, locks and storage. Tests bring their own.
 * @typedef {typeof platform} Platform
 */
export const platform = {
  now: Date.now,
  random: Math.random,

  /** Calls `run` after `ms` milliseconds. Returns a function that cancels it. @param {number} ms @param {() => void} run */
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, 2 ** 31 - 1));
    return () => clearTimeout(timer);
  },

  /**
   * Watches the network and the page. Returns a function that stops it.
   * @param {() => void} wake the network is back or the page is visible: retry now
   * @param {() => void} offline the network is gone
   */
  watch(wake, offline) {
    const controller = new AbortController();
    /** @type {(target: EventTarget | undefined, type: string, run: () => void) => void} */
    const on = (target, type, run) => target?.addEventListener?.(type, run, controller);
    on(globalThis, "online", wake);
    on(globalThis, "offline", offline);
    on(globalThis.document, "visibilitychange", () => document.hidden || wake());
    return () => controller.abort();
  },

  /**
   * Locks a name among the browser's tabs. Resolves to a function that releases it, or to nothing when another tab holds
   * it. It waits for 1 s, because a page that reloads meets its own old lock. Without Web Locks (a page not served
   * securely) it asks the other tabs, and waits 200 ms for an answer.
   * @param {string} name @returns {Promise<(() => void) | undefined>}
   */
  claim: (name) =>
    new Promise((resolve) => {
      const locks = globalThis.navigator?.locks;
      if (locks) {
        const hold = () => new Promise((release) => resolve(() => release(undefined)));
        locks.request(name, { signal: AbortSignal.timeout(CLAIM_MS) }, hold).catch(() => resolve(undefined));
        return;
      }
      let held = false;
      const others = new BroadcastChannel(name);
      const release = () => others.close();
      others.onmessage = ({ data: asks }) => {
        if (!asks) held || resolve(/** @type {undefined} */ (release())); // another tab has answered
        else if (held) others.postMessage(false);
      };
      others.postMessage(true);
      platform.after(ASK_MS, () => {
        held = true;
        resolve(release);
      });
    }),

  /** `sessionStorage`, if the browser allows it. @returns {import("./storage.js").WebStorage | undefined} */
  get storage() {
    try {
      return globalThis.sessionStorage;
    } catch {
      return undefined;
    }
  },
};
