/** Builds the rest of the npm package: the types, and the modules as CommonJS. */
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = fileURLToPath(new URL("./", import.meta.url));
const types = (outDir) =>
  execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.package.json", "--outDir", outDir], { cwd: here, stdio: "inherit" });

for (const folder of ["types", "cjs"]) rmSync(`${here}${folder}`, { recursive: true, force: true });
types("types");
// The same declarations, in a folder whose package.json makes them those of CommonJS.
types("cjs");
writeFileSync(`${here}cjs/package.json`, '{ "type": "commonjs" }\n');
await build({
  absWorkingDir: here,
  entryPoints: ["outlast.js", "msgpack.js"],
  bundle: true,
  format: "cjs",
  platform: "neutral",
  target: "es2022",
  outdir: "cjs",
  logLevel: "warning",
});
