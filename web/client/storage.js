/**
 * The part of the Web Storage API that the client uses.
 * @typedef {{ getItem(name: string): string | null, setItem(name: string, value: string): void, removeItem(name: string): void }} WebStorage
 *
 * @typedef {{ inside: boolean, next: number, list: import("./outbox.js").Saved[] }} SavedRoom
 * @typedef {{ sid: string, key: string, rooms: Record<string, SavedRoom> }} Saved
 */

/**
 * The session as it outlives its page: its id and key, and for each room whether the session is in it, the next action
 * number and the actions without an outcome. Positions are not saved: a state does not outlive its page, so after a
 * reload every room starts from a snapshot.
 */
export class StoredSession {
  #storage;
  #name;
  #warned = false;

  /** @param {WebStorage | null | undefined} storage none: nothing is saved @param {string} name the storage key */
  constructor(storage, name) {
    this.#storage = storage;
    this.#name = name;
  }

  /** True when there is a storage. */
  get enabled() {
    return !!this.#storage;
  }

  /** @returns {Saved | undefined} */
  load() {
    return this.#try((storage) => {
      const saved = JSON.parse(storage.getItem(this.#name) ?? "null");
      return saved?.sid && saved.key && saved.rooms ? saved : undefined;
    });
  }

  /** Saves the session, without its actions if they do not fit. @param {Saved} saved */
  save(saved) {
    this.#try((storage) => {
      try {
        storage.setItem(this.#name, JSON.stringify(saved));
      } catch {
        storage.setItem(this.#name, JSON.stringify(saved, (key, value) => (key === "list" ? [] : value)));
      }
    });
  }

  clear() {
    this.#try((storage) => storage.removeItem(this.#name));
  }

  /** @template T @param {(storage: WebStorage) => T} run */
  #try(run) {
    try {
      return this.#storage ? run(this.#storage) : undefined;
    } catch (error) {
      if (!this.#warned) console.warn("outlast: storage fails", error);
      this.#warned = true;
    }
  }
}
