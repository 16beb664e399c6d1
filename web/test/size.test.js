import assert from "node:assert/strict";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const LIMIT_BYTES = 8 * 1024;

/** Returns the bytes that a browser loads for one entry, bundled, minified and gzipped. */
async function shipped(entry) {
  const { outputFiles, metafile } = await build({
    entryPoints: [fileURLToPath(new URL(`../${entry}`, import.meta.url))],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    metafile: true,
  });
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
  assert.ok(imports.every(({ external }) => !external), "it needs nothing else");
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

test("the_client_is_small_and_stands_alone", async (t) => {
  const [client, msgpack] = await Promise.all(["outlast.js", "msgpack.js"].map(shipped));
  t.diagnostic(`minified and gzipped: outlast.js with all it imports ${client} bytes, msgpack.js for those who ask for it ${msgpack} more`);
  assert.ok(client <= LIMIT_BYTES, `${client} bytes, of at most ${LIMIT_BYTES}`);
});
