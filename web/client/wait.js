/**
 * A promise and its handles. It may fail with nobody waiting.
 * @template T
 * @typedef {{ promise: Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void }} Wait
 */

/** @template T @returns {Wait<T>} */
export function wait() {
  /** @type {any} */
  const handles = {};
  handles.promise = new Promise((resolve, reject) => Object.assign(handles, { resolve, reject }));
  handles.promise.catch(() => {});
  return handles;
}

/**
 * Waits for `promise` until `signal` says otherwise.
 * @template T @param {Promise<T>} promise @param {AbortSignal | undefined} signal @param {() => void} [aborted]
 * @returns {Promise<T>}
 */
export function abortable(promise, signal, aborted) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => {
      aborted?.();
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
