import assert from "node:assert/strict";
import test from "node:test";
import { Helm } from "../pages/game/helm.js";
import { apply, EMPTY, ranked } from "../pages/game/room.js";
import { Track } from "../pages/game/track.js";

const fold = (events, state = EMPTY) => events.reduce((state, data) => apply(state, { data }), state);
const ada = { member: 1, name: "Ada", x: 500, y: 500 };
const bob = { member: 2, name: "Bob", x: 100, y: 100 };

test("b2_the_fold_knows_every_event", () => {
  let game = fold([{ entered: ada }, { entered: bob }]);
  assert.deepEqual(game.players[1], { ...bob, score: 0, online: true });
  game = fold([{ tick: { players: [[1, 510, 500, 0], [2, 100, 90, 3]], coins: [[7, 1, 2]] } }], game);
  assert.deepEqual(game, {
    players: [{ ...ada, x: 510, score: 0, online: true }, { ...bob, y: 90, score: 3, online: true }],
    coins: [[7, 1, 2]],
  });
  assert.deepEqual(ranked(game).map(({ name }) => name), ["Bob", "Ada"]);
  game = fold([{ away: 2 }], game);
  assert.deepEqual([game.players[1].online, game.players[1].score], [false, 3]);
  game = fold([{ back: 2 }, { left: { member: 1, reason: "left" } }], game);
  assert.deepEqual(game.players.map(({ name, online }) => [name, online]), [["Bob", true]]);
  assert.equal(fold([{ unheard: 1 }], game), game, "what a later version says is left alone");
});

const at = (x) => new Map([[1, { x, y: 0 }]]);

test("a_player_is_drawn_between_ticks_at_an_even_pace_however_unevenly_they_come", () => {
  const track = new Track();
  const jitter = [0, 60, -20, 40, 0, 55, -30, 10, 0, 45, 20, 0];
  const seen = [];
  let next = 0;
  for (let now = 0; now <= 1_150; now += 10) {
    while (next < jitter.length && next * 100 + jitter[next] <= now) track.push(at(next++ * 25), now);
    if (now >= 300) seen.push(track.at(now).get(1).x);
  }
  const steps = seen.slice(1).map((x, i) => x - seen[i]);
  assert.ok(steps.every((step) => step >= 0), "never backwards");
  const even = 2.5;
  assert.ok(steps.filter((step) => Math.abs(step - even) < 0.75).length > 0.8 * steps.length, `${steps.map((step) => step.toFixed(1))}`);
});

test("after_a_pause_nobody_jumps_and_nobody_lags", () => {
  const track = new Track();
  for (let tick = 0; tick < 5; tick++) track.push(at(tick * 25), tick * 100);
  assert.equal(track.at(5_000).get(1).x, 100, "no tick, no step");
  for (let burst = 5; burst < 50; burst++) track.push(at(burst * 25), 5_000);
  assert.ok(track.at(5_001).get(1).x < 49 * 25);
  assert.equal(track.at(5_500).get(1).x, 49 * 25);
  track.clear();
  assert.equal(track.at(5_500).size, 0);
});

const settled = async () => {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
};

function helm(t) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const sent = [];
  const helm = new Helm((way) => new Promise((done, fail) => sent.push({ ...way, done, fail })));
  return { helm, sent, ways: () => sent.map(({ x, y }) => [x, y]) };
}

test("the_newest_way_is_told_one_at_a_time_and_ten_a_second", async (t) => {
  const { helm: it, sent, ways } = helm(t);
  it.steer({ x: 1, y: 0 });
  it.steer({ x: 0.123, y: 1 });
  it.steer({ x: 0, y: 0.456 });
  assert.deepEqual(ways(), [[1, 0]]);
  t.mock.timers.tick(1_000);
  await settled();
  assert.equal(sent.length, 1, "the first has no outcome yet: nothing piles up");
  sent[0].done();
  await settled();
  assert.deepEqual(ways(), [[1, 0], [0, 0.46]]);
  sent[1].done();
  it.steer({ x: 0, y: 0 });
  await settled();
  assert.equal(sent.length, 2, "not before 100 ms");
  t.mock.timers.tick(100);
  await settled();
  assert.deepEqual(ways().at(-1), [0, 0]);
});

test("what_the_server_may_not_know_is_told_again", async (t) => {
  const { helm: it, sent, ways } = helm(t);
  it.steer({ x: 1, y: 0 });
  sent[0].fail(new Error("unknown"));
  await settled();
  t.mock.timers.tick(100);
  await settled();
  assert.deepEqual(ways(), [[1, 0], [1, 0]]);
  sent[1].done();
  t.mock.timers.tick(100);
  await settled();
  it.stopped();
  assert.deepEqual(ways().at(-1), [1, 0]);
  assert.equal(sent.length, 3, "the key is still held when the player is back");
});
