import { at } from "./dom.js";

/**
 * One line about the connection or the room, read aloud; an empty one takes it away.
 * @param {string} text @param {string} [button] @param {() => void} [pressed]
 */
export function tell(text, button, pressed) {
  at("notice").hidden = !text;
  at("notice-text").textContent = text;
  at("notice-button").hidden = !button;
  at("notice-button").textContent = button ?? "";
  at("notice-button").onclick = () => {
    tell("");
    pressed?.();
  };
}
