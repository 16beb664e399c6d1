import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import test from "node:test";
import { gzipSync } from "node:zlib";

const LIMIT_BYTES = 8 * 1024;

test("the_client_is_small_and_stands_alone", (t) => {
  const web = new URL("../", import.meta.url);
  const names = ["outlast.js", ...readdirSync(new URL("client", web)).map((name) => `client/${name}`)];
  const served = names.map((name) => readFileSync(new URL(name, web), "utf8"));
  for (const [, from] of served.join("\n").matchAll(/^(?:import|export) .*from "(.*)";$/gm)) {
    assert.ok(names.includes(`client/${from.replace("./client/", "./").slice(2)}`), `${from} is not a file of the client`);
  }
  const code = served.map((text) => text.replace(/\/\*\*[^]*?\*\/|^\s*\/\/.*$| \/\/ .*$/gm, "").replace(/\n\s*/g, "\n")).join("");
  const [whole_bytes, code_bytes] = [served.join(""), code].map((text) => gzipSync(text, { level: 9 }).length);
  t.diagnostic(`${names.length} files: ${code_bytes} bytes gzipped without comments, ${whole_bytes} with them, nothing minified`);
  assert.ok(code_bytes <= LIMIT_BYTES, `${code_bytes} bytes`);
});
