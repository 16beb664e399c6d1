import { at } from "./dom.js";
import { nameOfThisTab, roomName, suggestedName } from "./name.js";

/** The dialog that asks for a name and a room, made once for each page. */
export class Enter {
  #entered;

  /** @param {string} text what awaits inside @param {(name: string, room: string) => void} entered */
  constructor(text, entered) {
    this.#entered = entered;
    const template = document.createElement("template");
    template.innerHTML = DIALOG;
    document.body.append(template.content);
    at("enter-about").textContent = text;
    at("enter-cancel").onclick = () => at("enter").close();
    at("enter-room").oninput = () => {
      const { value } = at("enter-room");
      if (value !== roomName(value)) at("enter-room").value = roomName(value);
    };
    at("enter-form").onsubmit = () => this.#entered(at("enter-name").value.trim() || suggestedName(), at("enter-room").value);
  }

  /** @param {string} room the one proposed @param {boolean} must whether there is no way back */
  open(room, must) {
    at("enter-name").value = nameOfThisTab() ?? suggestedName();
    at("enter-room").value = room;
    at("enter-cancel").hidden = must;
    at("enter").oncancel = (/** @type {Event} */ event) => must && event.preventDefault();
    if (!at("enter").open) at("enter").showModal();
    at("enter-name").select();
  }
}

const DIALOG = `
<dialog id="enter" class="enter" aria-labelledby="enter-title" aria-describedby="enter-about">
  <form id="enter-form" method="dialog">
    <img src="/favicon.svg" alt="" width="44" height="44" />
    <h2 id="enter-title">Come in</h2>
    <p id="enter-about"></p>
    <label for="enter-name">Your name</label>
    <input id="enter-name" required maxlength="40" autocomplete="nickname" spellcheck="false" />
    <label for="enter-room">Room</label>
    <div class="prefixed">
      <span aria-hidden="true">#</span>
      <input id="enter-room" required maxlength="60" pattern="[a-z0-9._\\-]+" title="Small letters, digits, and . _ -" autocapitalize="none" autocomplete="off" spellcheck="false" />
    </div>
    <div class="buttons">
      <button id="enter-cancel" class="quiet" type="button" hidden>Cancel</button>
      <button class="primary" type="submit">Join</button>
    </div>
  </form>
</dialog>`;
