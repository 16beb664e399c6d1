const CLAIM_MS = 1000;

/**
 * What the client needs from its surroundings. Tests bring a clock and a chance of their own.
 * @typedef {typeof platform} Platform
 */
export const platform = {
  now: () => Date.now(),
  random: () => Math.random(),

  /** Runs later; returns its own undo. @param {number} ms @param {() => void} run */
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, 2 ** 31 - 1));
    return () => clearTimeout(timer);
  },

  /** Runs when it is worth trying again at once; returns its own undo. @param {() => void} run */
  onWake(run) {
    const visible = () => document.visibilityState === "visible" && run();
    globalThis.addEventListener?.("online", run);
    globalThis.document?.addEventListener("visibilitychange", visible);
    return () => {
      globalThis.removeEventListener?.("online", run);
      globalThis.document?.removeEventListener("visibilitychange", visible);
    };
  },

  /**
   * Holds a name against the other tabs; resolves to its release, or to nothing when another tab
   * holds it. It waits a little, because a page that reloads meets the lock of its former self.
   * @param {string} name @returns {Promise<(() => void) | undefined>}
   */
  claim(name) {
    const locks = globalThis.navigator?.locks;
    if (!locks) return Promise.resolve(() => {});
    return new Promise((resolve) => {
      const hold = () => new Promise((release) => resolve(() => release(undefined)));
      locks.request(name, { signal: AbortSignal.timeout(CLAIM_MS) }, hold).catch(() => resolve(undefined));
    });
  },

  /** @returns {Storage | undefined} */
  get storage() {
    try {
      return globalThis.sessionStorage;
    } catch {
      return undefined;
    }
  },
};
