/** The package as npm would publish it, used by somebody else. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { fileURLToPath } from "node:url";

const WEB = fileURLToPath(new URL("../", import.meta.url));
const MODULES = join(WEB, "node_modules");
const TSC = join(MODULES, ".bin/tsc");
const TSC_5 = join(MODULES, "typescript-5/bin/tsc");

/** A program of somebody who uses the package. */
const USE = `
type Counter = { pushes: number };
const session = connect("wss://chat.example", { token: async () => "token", storage: sessionStorage, codec: msgpack, WebSocket });
const off: () => void = session.on("status", (status: Status) => console.log(status));
session.on("reset", ({ reason, away_ms }) => console.log(reason.length, away_ms.toFixed()));
session.on("end", ({ code }) => console.log(code.toFixed()));
async function use() {
  const room = await session.join("button/red", {
    data: { name: "Ada" },
    signal: AbortSignal.timeout(1000),
    apply: (state: Counter, event): Counter => ({ pushes: state.pushes + event.data.pushed.times }),
  });
  const pushes: number = room.state.pushes;
  const undo: () => void = room.subscribe(() => {});
  room.on("event", (event: RoomEvents["event"]) => console.log(event.pos, event.by));
  for await (const event of room) console.log(event.data);
  try {
    const { n, data } = await room.act(3, { signal: AbortSignal.timeout(1000) });
    console.log(n.toFixed(), data);
  } catch (error) {
    if (error instanceof OutlastError && error.code === "unknown") console.log(pushes, off, undo);
  }
  // @ts-expect-error there is no such event
  session.on("statsu", () => {});
  // @ts-expect-error a state has its type
  const wrong: string = room.state;
  // @ts-expect-error what is the session's own is not offered
  room.receive({});
}
use();
`;
const IMPORTS = `
import { connect, OutlastError, type Status, type RoomEvents } from "outlast";
import { msgpack } from "outlast/msgpack";
`;
const STRICT = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"];

let home;
const run = (command, ...args) => {
  try {
    return execFileSync(command, args, { cwd: home, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    return assert.fail(`${command} ${args.join(" ")}: ${error.stdout}${error.stderr}`);
  }
};
const write = (file, text) => writeFileSync(join(home, file), text);

before(() => {
  home = mkdtempSync(join(tmpdir(), "outlast-package-"));
  run("npm", "pack", WEB, "--silent", "--pack-destination", home);
  mkdirSync(join(home, "node_modules/outlast"), { recursive: true });
  run("tar", "xzf", "outlast-0.1.0.tgz", "--strip-components=1", "-C", "node_modules/outlast");
});
after(() => rmSync(home, { recursive: true, force: true }));

test("the_package_holds_the_client_and_a_licence_and_no_page", () => {
  const files = run("find", "node_modules/outlast", "-type", "f").trim().split("\n");
  const named = (name) => files.includes(`node_modules/outlast/${name}`);
  for (const file of ["LICENSE", "README.md", "outlast.js", "cjs/outlast.js", "types/outlast.d.ts"]) assert.ok(named(file), file);
  const strange = files.filter((file) => /test|chat|page|node_modules.*node_modules/.test(file.replace("package.json", "")));
  assert.deepEqual(strange, []);
});

test("the_package_runs_as_modules_and_as_commonjs", () => {
  const print = `console.log(typeof connect, msgpack.protocol);`;
  write("run.mjs", `import { connect } from "outlast"; import { msgpack } from "outlast/msgpack"; ${print}`);
  write("run.cjs", `const { connect } = require("outlast"); const { msgpack } = require("outlast/msgpack"); ${print}`);
  for (const file of ["run.mjs", "run.cjs"]) assert.equal(run(process.execPath, file), "function outlast.v1.msgpack\n", file);
});

test("the_package_has_types_for_every_way_to_resolve_it", () => {
  write("consumer.mts", IMPORTS + USE);
  write("consumer.cts", IMPORTS + USE);
  write("consumer.ts", IMPORTS + USE);
  run(TSC, "consumer.mts", "consumer.cts", ...STRICT, "--module", "nodenext");
  run(TSC, "consumer.mts", ...STRICT, "--module", "esnext", "--moduleResolution", "bundler");
  // As many a project is still set up.
  run(process.execPath, TSC_5, "consumer.ts", ...STRICT, "--module", "commonjs", "--moduleResolution", "node");
});

test("jest_29_takes_the_package_with_its_defaults", () => {
  write("package.json", `{ "name": "consumer" }`);
  write("client.test.js", `
    const { connect, OutlastError } = require("outlast");
    const { msgpack } = require("outlast/msgpack");
    test("it is there", () => {
      expect(typeof connect).toBe("function");
      expect(new OutlastError("unknown", "text").code).toBe("unknown");
      expect(msgpack.protocol).toBe("outlast.v1.msgpack");
    });
  `);
  symlinkSync(join(MODULES, "jest"), join(home, "node_modules/jest"));
  run(process.execPath, join(MODULES, "jest/bin/jest.js"), "--rootDir", home, "--no-cache");
});
