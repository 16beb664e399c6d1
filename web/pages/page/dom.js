/** The element of that id; a page has what its script asks for. @param {string} id @returns {any} */
export const at = (id) => document.getElementById(id);

/** @param {string} tag @param {string} [className] @param {string} [text] */
export function make(tag, className = "", text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
