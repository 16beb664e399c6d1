/** Freezes a value with all that it holds, so that a fold that changes it throws. @param {any} value */
export function freeze(value) {
  if (value && typeof value === "object" && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}
