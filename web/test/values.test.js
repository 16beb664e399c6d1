import assert from "node:assert/strict";
import test from "node:test";
import { endpoint } from "../client/codec.js";
import { msgpack } from "../msgpack.js";
import { outcome, stage } from "./stage.js";

const deep = (levels) => JSON.parse("[".repeat(levels) + "]".repeat(levels));
const circle = {};
circle.again = circle;

const BAD = [
  [undefined, "data: a value of type undefined"],
  [() => 1, "data: a value of type function"],
  [{ user: { run() {} } }, "data.user.run: a value of type function"],
  [{ id: 10n }, "data.id: a value of type bigint"],
  [[1, NaN], "data[1]: NaN"],
  [[-Infinity], "data[0]: -Infinity"],
  [[, 1], "data[0]: a value of type undefined"],
  [{ text: "a cat 🐈".slice(0, 7) }, "data.text: text with half of a character"],
  [{ "\udc08": 1 }, "data: text with half of a character"],
  [Symbol("x"), "data: a value of type symbol"],
  [deep(64), "more than 63 levels"],
  [circle, "or a circle"],
];

for (const codec of [undefined, msgpack]) {
  test(`a5_a_value_that_json_cannot_carry_costs_itself_alone_${codec ? "msgpack" : "json"}`, async (t) => {
    const { session, peer, room } = await (await stage(t)).joined({ codec });
    for (const [value, says] of BAD) {
      await assert.rejects(room.act(value), (error) => error.code === "bad_data" && error.message.includes(says));
      if (value !== undefined) await assert.rejects(session.join("game/a", { data: value }), { code: "bad_data" });
    }
    assert.deepEqual(session.rooms, [room], "nothing was joined");
    outcome(room.act(deep(63)));
    outcome(room.act({ said: "🐈", at: new Date(0), gone: undefined, none: null }));
    const [nested, said] = await peer.heard();
    assert.deepEqual(nested.data, deep(63));
    assert.deepEqual(said.data, { said: "🐈", at: "1970-01-01T00:00:00.000Z", none: null });
    assert.equal(said.n, nested.n + 1);
  });
}

test("a3_an_action_is_sent_again_as_it_was_given", async (t) => {
  const { peer, room } = await (await stage(t)).joined();
  const data = { list: [1] };
  outcome(room.act(data));
  data.list.push(2);
  await peer.heard();
  assert.deepEqual(room.pending[0].data, { list: [1] });
});

test("a5_a_name_that_is_none_of_a_room_costs_nothing", async (t) => {
  const { session, peer } = await (await stage(t)).joined();
  for (const name of ["", "chat", "/a", "chat/", "chat/a/b", "Chat/a", "chat/ä", "chat/a b", `chat/${"a".repeat(124)}`, undefined, 7]) {
    await assert.rejects(session.join(name), { code: "bad_room" });
  }
  assert.deepEqual(await peer.heard(), []);
  outcome(session.join(`chat/${"a".repeat(123)}`));
  assert.equal((await peer.heard()).length, 1);
});

test("h1_an_address_without_a_scheme_is_an_error_that_says_how_to_write_it", () => {
  for (const address of ["localhost:8080", "127.0.0.1:8080", "example.org", "ftp://example.org", "", undefined]) {
    assert.throws(() => endpoint(address), { name: "TypeError", message: /"http:\/\/localhost:8080"/ });
  }
  assert.equal(endpoint("http://localhost:8080"), "ws://localhost:8080/v1/connect");
  assert.equal(endpoint("wss://example.org/chat?x#y"), "wss://example.org/chat");
});
