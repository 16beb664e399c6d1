const LEAD_MS = 60_000;

/** The application's token: asked for before each attach, and again before it expires. */
export class Token {
  #ask;
  #platform;
  #cancel = () => {};

  /**
   * @param {(() => string | undefined | Promise<string | undefined>) | undefined} ask
   * @param {import("./platform.js").Platform} platform
   */
  constructor(ask, platform) {
    this.#ask = ask;
    this.#platform = platform;
  }

  async ask() {
    return this.#ask?.();
  }

  /** Renews `token` ahead of its expiry, for as long as it has one. @param {string | undefined} token @param {(token: string) => void} renewed @param {(error: unknown) => void} failed */
  keep(token, renewed, failed) {
    this.stop();
    const left_ms = expiry_ms(token) - this.#platform.now();
    if (!(left_ms > 1000)) return;
    this.#cancel = this.#platform.after(left_ms - Math.min(LEAD_MS, left_ms / 2), async () => {
      const kept = this.#cancel;
      const fresh = await this.ask().catch(failed);
      if (kept !== this.#cancel) return;
      if (fresh) renewed(fresh);
      this.keep(fresh ?? token, renewed, failed);
    });
  }

  stop() {
    this.#cancel();
    this.#cancel = () => {};
  }
}

/** When a JWT expires; never, where it does not say. @param {string | undefined} token */
function expiry_ms(token) {
  try {
    const payload = token?.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    return JSON.parse(atob(payload ?? "")).exp * 1000;
  } catch {
    return NaN;
  }
}
