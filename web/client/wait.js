/**
 * A promise with its functions. A rejection that nobody awaits is not reported.
 * @template T
 * @typedef {{ promise: Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void }} Deferred
 */

/** @template T @returns {Deferred<T>} */
export function deferred() {
  /** @type {any} */
  const handles = {};
  handles.promise = new Promise((resolve, reject) => Object.assign(handles, { resolve, reject }));
  handles.promise.catch(() => {});
  return handles;
}

/**
 * Returns `promise`, or its rejection with the reason of `signal` if that aborts first.
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
