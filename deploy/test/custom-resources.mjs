// Checks custom resources against the schemas of their definitions, and, by their types, for fields that do not
// exist: custom-resources.mjs FILE, a JSON list of resources. Ends with 1 and a line for each fault.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const packages = {
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};
const here = dirname(fileURLToPath(import.meta.url));
const resources = JSON.parse(readFileSync(process.argv[2], "utf8"));
const faults = [];

const module = ({ apiVersion, kind }) => `${packages[apiVersion.split("/")[0]]}/${apiVersion}/${kind}`;

for (const resource of resources) {
  const { [resource.kind]: Model } = await import(module(resource));
  try {
    new Model(resource).validate();
  } catch (error) {
    faults.push(`${resource.kind} ${resource.metadata.name}: ${error.message}`);
  }
}

// An object literal with a field that its type does not have is an error to TypeScript.
const lines = resources.map(
  (resource, i) =>
    `import type { I${resource.kind} as T${i} } from "${module(resource)}";\n` +
    `export const resource${i}: T${i} = ${JSON.stringify(resource)};\n`,
);
const folder = mkdtempSync(join(here, "node_modules", ".check-"));
try {
  const file = join(folder, "resources.ts");
  writeFileSync(file, lines.join(""));
  const tsc = join(here, "node_modules", ".bin", "tsc");
  const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"];
  execFileSync(tsc, [...options, "--ignoreConfig", file], { cwd: folder, encoding: "utf8" });
} catch (error) {
  faults.push(error.stdout || error.message);
} finally {
  rmSync(folder, { recursive: true });
}

for (const fault of faults) console.log(fault);
process.exit(faults.length > 0 ? 1 : 0);
