/**
 * The rows of a list or a table. A row keeps its element as long as it has its key, so that the focus
 * stays where it is and only what is new appears.
 * @template T
 */
export class Rows {
  /** @type {Map<string | number, HTMLElement>} */
  #rows = new Map();
  #list;
  #key;
  #make;
  #fill;

  /**
   * @param {HTMLElement} list
   * @param {object} how
   * @param {(item: T) => string | number} how.key
   * @param {() => HTMLElement} how.make
   * @param {(row: HTMLElement, item: T) => void} how.fill
   */
  constructor(list, { key, make, fill }) {
    this.#list = list;
    this.#key = key;
    this.#make = make;
    this.#fill = fill;
  }

  /** @param {readonly T[]} items */
  show(items) {
    const rows = new Map();
    for (const item of items) {
      const key = this.#key(item);
      const row = this.#rows.get(key) ?? this.#make();
      this.#fill(row, item);
      rows.set(key, row);
    }
    for (const [key, row] of this.#rows) if (!rows.has(key)) row.remove();
    this.#rows = rows;
    let next = this.#list.firstElementChild;
    for (const row of rows.values()) {
      if (row === next) next = row.nextElementSibling;
      else this.#list.insertBefore(row, next);
    }
  }
}

/** Changes what an element says, if it says something else. @param {Element} element @param {string | number} text */
export function say(element, text) {
  if (element.textContent !== String(text)) element.textContent = String(text);
}
