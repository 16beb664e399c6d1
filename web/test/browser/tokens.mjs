/** Tokens for tests, and the secret that they are signed with. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { folder } from "./stage.mjs";

const SECRET = "a secret for tests, 32 bytes or more of it";

/** A token with these claims (HS256). */
export function token(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** The flags of a server that knows such tokens. */
export function secretFlags(t) {
  const file = join(folder(t), "secret");
  writeFileSync(file, SECRET);
  return ["--token-secret-file", file];
}

/** A page of a tab that has a token. */
export async function withToken(page, url, path, text) {
  const one = await page(`${url}favicon.svg`); // begins no session
  await one.evaluate((text) => sessionStorage.setItem("my token", text), text);
  await one.goto(url + path);
  return one;
}

/** Pastes a token into the dialog that asks for one. The page begins anew with it. */
export async function paste(page, text) {
  await page.waitForSelector("#token[open]");
  await page.fill("#token-text", text);
  await Promise.all([page.waitForEvent("load"), page.click("text=Use it")]);
}

/** Waits until a dialog asks for a token and says why. */
export async function asked(page, why) {
  await page.waitForSelector("#token[open]");
  assert.match(await page.innerText("#token-why"), why);
}
