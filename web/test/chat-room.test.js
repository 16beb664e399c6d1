import assert from "node:assert/strict";
import test from "node:test";
import { freeze } from "./freeze.js";
import { apply, EMPTY, nameOf } from "../pages/chat/room.js";

const fold = (events, state = EMPTY) =>
  events.reduce((state, event, i) => freeze(apply(state, { pos: `${i + 1}-1`, ...event }, () => 1000 + i)), freeze(state));

const ada = { data: { entered: { member: 1, name: "Ada" } } };
const bob = { data: { entered: { member: 2, name: "Bob" } } };

test("b1_members_enter_and_leave", () => {
  assert.deepEqual(fold([ada, bob]).members, [
    { member: 1, name: "Ada", online: true },
    { member: 2, name: "Bob", online: true },
  ]);
  for (const reason of ["left", "ended", "expired"]) {
    const { members } = fold([ada, bob, { data: { left: { member: 1, reason } } }]);
    assert.deepEqual(members.map(({ name }) => name), ["Bob"]);
  }
});

test("b1_a_member_who_enters_again_is_one_member", () => {
  assert.deepEqual(fold([ada, { data: { entered: { member: 1, name: "Ada Lovelace" } } }]).members, [
    { member: 1, name: "Ada Lovelace", online: true },
  ]);
});

test("b1_members_go_away_and_come_back", () => {
  const away = fold([ada, bob, { data: { away: 2 } }]);
  assert.deepEqual(away.members.map(({ online }) => online), [true, false]);
  assert.deepEqual(fold([{ data: { back: 2 } }], away).members.map(({ online }) => online), [true, true]);
  assert.deepEqual(fold([{ data: { away: 9 } }], away).members, away.members);
});

test("b1_what_is_said_bears_its_position_its_name_and_the_time_it_came", () => {
  assert.deepEqual(fold([ada, { by: 1, n: 2, data: { said: "hello" } }]).messages, [
    { pos: "2-1", member: 1, name: "Ada", text: "hello", at_ms: 1001 },
  ]);
});

test("b1_a_message_keeps_its_name_when_its_member_leaves", () => {
  const state = fold([ada, { by: 1, data: { said: "bye" } }, { data: { left: { member: 1, reason: "left" } } }]);
  assert.equal(state.messages[0].name, "Ada");
  assert.equal(nameOf(state, 1), "somebody");
});

test("b1_a_backend_speaks_under_its_own_name", () => {
  assert.deepEqual(fold([{ data: { posted: { name: "billing", text: "paid" } } }]).messages, [
    { pos: "1-1", member: 0, name: "billing", text: "paid", at_ms: 1000 },
  ]);
});

test("b1_old_messages_go", () => {
  const state = fold([ada, ...Array.from({ length: 250 }, (_, i) => ({ by: 1, data: { said: `${i}` } }))]);
  assert.equal(state.messages.length, 200);
  assert.equal(state.messages.at(-1).text, "249");
});

test("b1_an_unknown_event_changes_nothing", () => {
  const state = fold([ada]);
  assert.equal(apply(state, { pos: "2-1", data: { danced: 1 } }), state);
});
