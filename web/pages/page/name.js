const ADJECTIVES = ["Amber", "Brave", "Calm", "Clever", "Gentle", "Lucky", "Merry", "Quiet", "Quick", "Sunny", "Warm", "Witty"];
const ANIMALS = ["Badger", "Crane", "Dolphin", "Fox", "Hare", "Heron", "Lynx", "Otter", "Owl", "Robin", "Seal", "Wren"];

/** @template T @param {readonly T[]} list */
const any = (list) => list[Math.floor(Math.random() * list.length)];

/** The name used last, or a friendly one. */
export const suggestedName = () => read("localStorage") ?? `${any(ADJECTIVES)} ${any(ANIMALS)}`;

/** The name under which this very tab is in already. */
export const nameOfThisTab = () => read("sessionStorage");

/** @param {string} name */
export function rememberName(name) {
  for (const kind of /** @type {const} */ (["localStorage", "sessionStorage"])) {
    try {
      globalThis[kind].setItem("my name", name);
    } catch {
      return; // then it is asked for again
    }
  }
}

/** @param {"localStorage" | "sessionStorage"} kind */
function read(kind) {
  try {
    return globalThis[kind].getItem("my name") ?? undefined;
  } catch {
    return undefined;
  }
}

/** A room's name as the protocol takes it. @param {string} text */
export const roomName = (text) =>
  text
    .trim()
    .toLowerCase()
    .replace(/[\s/]+/g, "-")
    .replace(/[^a-z0-9._-]/g, "")
    .slice(0, 60);
