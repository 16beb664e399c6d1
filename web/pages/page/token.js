import { at } from "./dom.js";

const KEY = "my token";

/** The token that was pasted in this tab. */
export function storedToken() {
  try {
    return sessionStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

/**
 * Asks for a token, keeps it for this tab, and reloads the page with it. Forgets a session of another user, which would
 * refuse this token.
 * @param {string} why what is said above the field
 */
export function askForToken(why) {
  if (!at("token")) {
    const template = document.createElement("template");
    template.innerHTML = DIALOG;
    document.body.append(template.content);
    at("token-cancel").onclick = () => (storedToken() ? begin("") : at("token").close());
    at("token-form").onsubmit = () => begin(at("token-text").value.trim());
  }
  const must = document.querySelector("dialog[open]:not(#token)") !== null; // it would lead nowhere
  at("token-why").textContent = why;
  at("token-cancel").hidden = must && !storedToken();
  at("token-cancel").textContent = storedToken() ? "Go on without" : "Not now";
  at("token").oncancel = (/** @type {Event} */ event) => must && event.preventDefault();
  if (!at("token").open) at("token").showModal();
  at("token-text").select();
}

/** @param {string} token empty for none */
function begin(token) {
  try {
    if (subject(token) !== subject(storedToken())) for (const key of Object.keys(sessionStorage)) if (key.startsWith("outlast ")) sessionStorage.removeItem(key);
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Without a storage it is asked for again.
  }
  location.reload();
}

/** Returns the subject of a token, unverified. @param {string | undefined} token */
export function subject(token) {
  try {
    const bytes = atob((token ?? "").split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    return JSON.parse(bytes).sub;
  } catch {
    return undefined;
  }
}

const DIALOG = `
<dialog id="token" class="enter" aria-labelledby="token-title" aria-describedby="token-why">
  <form id="token-form" method="dialog">
    <img src="/favicon.svg" alt="" width="44" height="44" />
    <h2 id="token-title">A token, please</h2>
    <p id="token-why"></p>
    <label for="token-text">Token</label>
    <input id="token-text" required autocomplete="off" autocapitalize="none" spellcheck="false" placeholder="eyJ…" />
    <p>It stays in this tab, and is forgotten when you close it.</p>
    <div class="buttons">
      <button id="token-cancel" class="quiet" type="button">Not now</button>
      <button class="primary" type="submit">Use it</button>
    </div>
  </form>
</dialog>`;
