import assert from "node:assert/strict";
import test from "node:test";
import { msgpack } from "../msgpack.js";
import { outcome, stage, until } from "./stage.js";

const { encode, decode } = msgpack;
const hex = (bytes) => Buffer.from(bytes).toString("hex");

// Encodings as the specification of MessagePack gives them.
const KNOWN = [
  [null, "c0"],
  [true, "c3"],
  [false, "c2"],
  [0, "00"],
  [127, "7f"],
  [-1, "ff"],
  [-32, "e0"],
  [128, "cd0080"],
  [65_535, "cdffff"],
  [65_536, "ce00010000"],
  [-33, "d3ffffffffffffffdf"],
  [2 ** 53 - 1, "d3001fffffffffffff"],
  [-(2 ** 53 - 1), "d3ffe0000000000001"],
  [1.5, "cb3ff8000000000000"],
  ["", "a0"],
  ["é", "a2c3a9"],
  ["x".repeat(32), `d920${"78".repeat(32)}`],
  [[1, [2]], "92019102"],
  [{ t: "act", n: 1 }, "82a174a3616374a16e01"],
];

test("h1_msgpack_writes_and_reads_what_the_specification_says", () => {
  for (const [value, bytes] of KNOWN) {
    assert.equal(hex(encode(value)), bytes, JSON.stringify(value));
    assert.deepEqual(decode(encode(value)), value);
  }
});

test("h1_msgpack_reads_every_width_of_a_number", () => {
  const read = (text) => decode(Buffer.from(text, "hex"));
  for (const [bytes, value] of [
    ["ccff", 255],
    ["cf0000000100000000", 2 ** 32],
    ["d080", -128],
    ["d18000", -32_768],
    ["d280000000", -(2 ** 31)],
    ["ca3fc00000", 1.5],
  ]) {
    assert.equal(read(bytes), value, bytes);
  }
});

test("h1_msgpack_says_what_json_would_say", () => {
  const values = [
    { gone: undefined, run() {}, kept: null },
    [undefined, NaN, Infinity, -0],
    { when: new Date(0) },
    { deep: [{ list: Array.from({ length: 70_000 }, (_, i) => i) }] },
    Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`key ${i}`, "ü".repeat(i * 3)])),
    { long: "x".repeat(70_000), some: "y".repeat(300) },
    { __proto__: null, t: "bare" },
  ];
  for (const value of values) assert.deepEqual(decode(encode(value)), JSON.parse(JSON.stringify(value)));
  assert.throws(() => encode({ n: 1n }), TypeError);
});

test("h1_msgpack_refuses_what_is_cut_short_or_goes_on", () => {
  const whole = encode({ t: "event", data: { text: "hello", list: [1, 2.5, 300] } });
  for (let length = 0; length < whole.length; length++) assert.throws(() => decode(whole.slice(0, length)), `${length} bytes`);
  assert.throws(() => decode(Buffer.concat([whole, Buffer.of(0)])));
  assert.throws(() => decode(Buffer.of(0xc1)));
  assert.throws(() => decode(Buffer.of(0xa1, 0xff)), "not UTF-8");
});

test("h1_a_session_may_speak_msgpack", async (t) => {
  const scene = await stage(t);
  const { session, peer, room } = await scene.joined({ codec: msgpack });
  assert.equal(peer.socket.protocol, "outlast.v1.msgpack");
  const act = outcome(room.act({ say: "hello", price: 5_000_000_000 }));
  assert.deepEqual(await peer.next("act"), { t: "act", room: "chat/lobby", n: 2, data: { say: "hello", price: 5_000_000_000 } });
  peer.send({ t: "event", room: "chat/lobby", pos: "11-4000000000", by: 7, n: 2, data: { said: "hello" } });
  await until(() => act.value);
  assert.deepEqual(room.state, [{ said: "hello" }]);
  peer.socket.send(Buffer.of(0xc1));
  peer.socket.send("text");
  await peer.heard();
  assert.equal(session.status, "live");
});
