import { guarded } from "./error.js";

/** Event listeners by event type. */
export class Emitter {
  /** @type {Map<string, Set<(value: any) => void>>} */
  #listeners = new Map();

  /** @param {string} type @param {(value: any) => void} listener @returns {() => void} removes the listener */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** @param {string} type @param {unknown} [value] */
  emit(type, value) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) guarded(() => listener(value));
  }
}
