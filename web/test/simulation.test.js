/** The client against a model of the server, with everything that can go wrong drawn by a seed. */
import assert from "node:assert/strict";
import test from "node:test";
import { connect } from "../outlast.js";
import { Model, ROOM } from "./model.js";
import { Clock, Store } from "./stage.js";

const SEEDS = Number(process.env.SEEDS ?? 200);
const STEPS = 250;

/** Small, seeded, and good enough. */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let x = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Simulation {
  clock = new Clock();
  model = new Model();
  storage = new Store();
  said = [];
  count = 0;

  constructor(seed, { reloads = false, losses = false } = {}) {
    this.random = random(seed);
    this.reloads = reloads;
    this.losses = losses;
    this.model.refuses = () => (this.calm || this.random() > 0.05 ? undefined : 1 + Math.floor(this.random() * 500));
    this.load();
  }

  load() {
    const { now, after } = this.clock;
    const platform = { now, after, random: this.random, claim: async () => () => {}, watch: (wake, offline) => ((this.wake = wake), (this.offline = offline), () => {}), storage: undefined };
    this.session = connect("http://model", { WebSocket: this.model.socketClass(), platform, storage: this.storage });
    this.room = undefined;
    this.join();
  }

  async join() {
    if (this.joining) return;
    this.joining = true;
    const { session } = this;
    const apply = (state, { data }) => [...state, data];
    await session.join(ROOM, { apply }).then((room) => session === this.session && (this.room = room), () => {});
    this.joining = false;
  }

  /** The page is gone without a word, and comes again. */
  reload() {
    for (const socket of [...this.model.sockets]) {
      socket.onclose = socket.onmessage = socket.onopen = undefined;
      this.model.cut(socket);
    }
    this.clock.timers.clear();
    for (const one of this.said) if (!one.outcome) one.outcome = "reloaded";
    this.joining = false;
    this.load();
  }

  act() {
    const one = { say: `say ${++this.count}`, bad: this.random() < 0.1, quiet: this.random() < 0.2, outcome: undefined };
    this.said.push(one);
    this.room.act({ say: one.say, bad: one.bad, quiet: one.quiet }).then(
      () => (one.outcome ??= "done"),
      ({ code }) => (one.outcome ??= code),
    );
  }

  /** Something that is under way goes on. False when nothing is. */
  progress() {
    const { model } = this;
    const moves = [];
    for (const socket of model.sockets) {
      if (socket.readyState === 0) moves.push(() => model.accept(socket));
      if (socket.toServer.length) moves.push(() => model.hear(socket));
      if (socket.toClient.length) moves.push(() => socket.onmessage({ data: JSON.stringify(socket.toClient.shift()) }));
    }
    if (model.topic.length) moves.push(() => model.apply());
    if (moves.length) moves[Math.floor(this.random() * moves.length)]();
    return moves.length > 0;
  }

  async tick() {
    const timers = [...this.clock.timers].map(({ at_ms }) => at_ms);
    if (timers.length) await this.clock.advance(Math.max(0, Math.min(...timers) - this.clock.now()));
  }

  async step() {
    const draw = this.random();
    const { model, room } = this;
    const sockets = [...model.sockets];
    if (draw < 0.55) this.progress();
    else if (draw < 0.75 && room?.joined) this.act();
    else if (draw < 0.8) model.chatter(`chatter ${++this.count}`);
    else if (draw < 0.83 && sockets.length) model.cut(sockets[Math.floor(this.random() * sockets.length)]);
    else if (draw < 0.85 && room?.joined) room.leave().catch(() => {});
    else if (draw < 0.88) this.join();
    else if (draw < 0.885) this.wake();
    else if (draw < 0.89) this.offline();
    else if (draw < 0.9) this.clock.now_ms += this.random() * 60_000; // asleep: no timer runs
    else if (draw < 0.93) for (const { session, toClient } of sockets) session && toClient.push({ t: "move", after_ms: 10, by_ms: 1000 });
    else if (draw < 0.94 && this.reloads) this.reload();
    else if (draw < 0.945 && this.losses) model.lose(Math.floor(this.random() * 4));
    else await this.tick();
    await new Promise(setImmediate);
  }

  /** No more faults: everything comes to its end. */
  async settle() {
    this.calm = true;
    for (let i = 0; i < 5000; i++) {
      if (this.progress()) {
        await new Promise(setImmediate);
        continue;
      }
      const { room, session } = this;
      if (room && room.joined && !room.unsettled && session.status === "live" && !this.joining) return;
      if (!room?.joined) this.join();
      await this.tick();
      await new Promise(setImmediate);
    }
    assert.fail(`never settles: ${this.session.status}, ${JSON.stringify(this.room?.toJSON())}, ${this.model.log.length} entries`);
  }

  check() {
    const { model, room, said } = this;
    assert.deepEqual(model.faults, []);
    assert.deepEqual(room.state, model.room.state, "every event once, in order");
    const order = model.room.state.filter((text) => text.startsWith("say "));
    assert.deepEqual(order, [...new Set(order)], "no act twice");
    if (!this.losses) assert.deepEqual(order, [...order].sort((a, b) => a.slice(4) - b.slice(4)), "in the order they were asked");
    for (const { say, bad, quiet, outcome } of said) {
      const applied = order.includes(say);
      if (outcome === "done" && !this.losses) assert.equal(applied, !quiet, `${say} is done`);
      if (outcome === "done") assert.ok(!bad, `${say} was bad`);
      if (outcome === "bad") assert.ok(bad && !applied, `${say} was refused`);
      assert.ok(["done", "bad", "unknown", "gone", "left", "not_joined", "reloaded"].includes(outcome), `${say}: ${outcome}`);
    }
    return said.filter(({ outcome }) => outcome === "done").length;
  }
}

for (const [name, options] of [
  ["a3_each_act_counts_once_across_cuts_moves_and_refusals", {}],
  ["s3_each_act_counts_at_most_once_across_reloads", { reloads: true }],
  ["r4_the_client_agrees_with_a_store_that_lost_its_tail", { losses: true }],
]) {
  test(name, async (t) => {
    let done = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const simulation = new Simulation(seed, options);
      try {
        for (let i = 0; i < STEPS; i++) await simulation.step();
        await simulation.settle();
        done += simulation.check();
      } catch (error) {
        error.message = `seed ${seed}: ${error.message}`;
        throw error;
      } finally {
        simulation.session.end();
      }
    }
    t.diagnostic(`${SEEDS} seeds, ${done} acts done`);
    assert.ok(done > SEEDS);
  });
}
