const CLAIM_MS = 1000;
const ASK_MS = 200;

/**
 * What the client needs from its surroundings. Tests bring a clock and a chance of their own.
 * @typedef {typeof platform} Platform
 */
export const platform = {
  now: Date.now,
  random: Math.random,

  /** Runs later; returns its own undo. @param {number} ms @param {() => void} run */
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, 2 ** 31 - 1));
    return () => clearTimeout(timer);
  },

  /**
   * Tells when it is worth trying again at once, and when there is no network any more; returns its
   * own undo.
   * @param {() => void} wake @param {() => void} offline
   */
  watch(wake, offline) {
    const undo = new AbortController();
    /** @type {(target: EventTarget | undefined, type: string, run: () => void) => void} */
    const on = (target, type, run) => target?.addEventListener?.(type, run, undo);
    on(globalThis, "online", wake);
    on(globalThis, "offline", offline);
    on(globalThis.document, "visibilitychange", () => document.hidden || wake());
    return () => undo.abort();
  },

  /**
   * Holds a name against the other tabs; resolves to its release, or to nothing when another tab
   * holds it. It waits a little, because a page that reloads meets the lock of its former self. A page
   * that is not served securely has no locks: it asks the others.
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

  /** @returns {import("./memory.js").Store | undefined} */
  get storage() {
    try {
      return globalThis.sessionStorage;
    } catch {
      return undefined;
    }
  },
};
