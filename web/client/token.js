import { OutlastError } from "./error.js";
import { deferred } from "./wait.js";

const RENEW_AHEAD_MS = 60_000;
const FETCH_MS = 20_000;

/** The application's token: fetched before each attach, and again before it expires. */
export class Token {
  #fetch;
  #platform;
  #cancel = () => {};

  /**
   * @param {(() => string | undefined | Promise<string | undefined>) | undefined} fetch the application's callback
   * @param {import("./platform.js").Platform} platform
   */
  constructor(fetch, platform) {
    this.#fetch = fetch;
    this.#platform = platform;
  }

  /** Asks the application. It may take 20 s: a request that hangs must not keep the session away. @returns {Promise<string | undefined>} */
  async fetch() {
    const late = deferred();
    const cancel = this.#platform.after(FETCH_MS, () =>
      late.reject(new OutlastError("token_timeout", `the token callback took longer than ${FETCH_MS / 1000} s`)),
    );
    return Promise.race([this.#fetch?.(), late.promise]).finally(cancel);
  }

  /**
   * Fetches a new token one minute before `token` expires, or halfway if it lives shorter, and so on.
   * @param {string | undefined} token
   * @param {(token: string) => void} renewed
   * @param {(error: unknown) => void} failed
   */
  renew(token, renewed, failed) {
    this.stop();
    const left_ms = expiry_ms(token) - this.#platform.now();
    if (!(left_ms > 1000)) return;
    this.#cancel = this.#platform.after(left_ms - Math.min(RENEW_AHEAD_MS, left_ms / 2), async () => {
      const scheduled = this.#cancel;
      const fresh = await this.fetch().catch(failed);
      if (scheduled !== this.#cancel) return;
      if (fresh) renewed(fresh);
      this.renew(fresh ?? token, renewed, failed);
    });
  }

  stop() {
    this.#cancel();
    this.#cancel = () => {};
  }
}

/** Returns the time at which a JWT expires, NaN if it does not say. @param {string | undefined} token */
function expiry_ms(token) {
  try {
    const payload = token?.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    return JSON.parse(atob(payload ?? "")).exp * 1000;
  } catch {
    return NaN;
  }
}
