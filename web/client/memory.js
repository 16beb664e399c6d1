/**
 * What outlives a page: the session's key, and for each room whether we are in it, the next number
 * and the actions without an outcome. No positions: a state does not outlive its page, so after a
 * reload every room starts from a snapshot.
 * @typedef {{ getItem(name: string): string | null, setItem(name: string, value: string): void, removeItem(name: string): void }} Store
 * @typedef {{ inside: boolean, next: number, list: import("./outbox.js").Saved[] }} SavedRoom
 * @typedef {{ sid: string, key: string, rooms: Record<string, SavedRoom> }} Saved
 */
export class Memory {
  #storage;
  #name;
  #warned = false;

  /** @param {Store | null | undefined} storage @param {string} name */
  constructor(storage, name) {
    this.#storage = storage;
    this.#name = name;
  }

  /** Whether anything is kept at all. */
  get kept() {
    return !!this.#storage;
  }

  /** @returns {Saved | undefined} */
  load() {
    return this.#try((storage) => {
      const saved = JSON.parse(storage.getItem(this.#name) ?? "null");
      return saved?.sid && saved.key && saved.rooms ? saved : undefined;
    });
  }

  /** Actions are left out when they do not fit. @param {Saved} saved */
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

  /** @template T @param {(storage: Store) => T} run */
  #try(run) {
    try {
      return this.#storage ? run(this.#storage) : undefined;
    } catch (error) {
      if (!this.#warned) console.warn("outlast: storage fails", error);
      this.#warned = true;
    }
  }
}
