/** The game on many processes: who plays, who drops out, and whose worker dies. */
import assert from "node:assert/strict";
import test from "node:test";
import { fleet } from "./fleet.mjs";
import { PATIENCE_MS, browser, chat } from "./stage.mjs";

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

/** Steps of a user on the game page. */
const game = {
  async enter(page, name) {
    await page.fill("#enter-name", name);
    await page.click("text=Join");
    await chat.status(page, "live");
    await page.waitForFunction((name) => document.querySelector("#score-list .mine")?.textContent.includes(name), name);
  },

  /** Notes every tick from now on, and what would be wrong with it. */
  watch: (page) =>
    page.evaluate(async () => {
      const { visit } = await import("/game/game.js");
      const score = () => Object.fromEntries(visit.room.state.players.map(({ member, score }) => [member, score]));
      const watch = { ticks: 0, wrong: [], found: 0, before: score(), coins: new Map(visit.room.state.coins.map((coin) => [coin[0], coin])) };
      window.watch = watch;
      window.scored = () => Object.values(score()).reduce((a, b) => a + b, 0) - Object.values(watch.before).reduce((a, b) => a + b, 0);
      visit.room.on("reset", () => watch.wrong.push("a snapshot"));
      visit.room.on("event", ({ data: { tick } }) => {
        if (!tick) return;
        watch.ticks++;
        for (const [member, , , score] of tick.players) {
          if (score < (watch.scores?.get(member) ?? 0)) watch.wrong.push(`${member} fell to ${score}`);
        }
        watch.scores = new Map(tick.players.map(([member, , , score]) => [member, score]));
        const lying = new Map(tick.coins.map((coin) => [coin[0], coin]));
        watch.found += [...watch.coins.keys()].filter((id) => !lying.has(id)).length;
        watch.coins = lying;
      });
    }),

  /** Runs after coins with the keyboard until so many more were found by this player. */
  async find(page, count) {
    const me = () =>
      page.evaluate(async () => {
        const { visit } = await import("/game/game.js");
        const { players, coins } = visit.room.state;
        return { ...players.find(({ member }) => member === visit.room.member), coins };
      });
    const { score: before } = await me();
    const deadline = performance.now() + PATIENCE_MS;
    let held = [];
    for (;;) {
      const { x, y, score, coins } = await me();
      if (score >= before + count) break;
      assert.ok(performance.now() < deadline, `${score} and no more`);
      const [coin] = [...coins].sort((a, b) => Math.hypot(a[1] - x, a[2] - y) - Math.hypot(b[1] - x, b[2] - y));
      const keys = coin ? [way(coin[1] - x, "ArrowLeft", "ArrowRight"), way(coin[2] - y, "KeyW", "KeyS")].filter(Boolean) : [];
      for (const key of held.filter((key) => !keys.includes(key))) await page.keyboard.up(key);
      for (const key of keys.filter((key) => !held.includes(key))) await page.keyboard.down(key);
      held = keys;
      await page.waitForTimeout(60);
    }
    for (const key of held) await page.keyboard.up(key);
  },

  ticks: (page, count) => page.waitForFunction((until) => window.watch.ticks >= until, count, { timeout: PATIENCE_MS }),
  ticked: (page) => page.evaluate(() => window.watch.ticks),
  player: (page, name) =>
    page.evaluate(async (name) => (await import("/game/game.js")).visit.room.state.players.find((one) => one.name === name), name),
};

const way = (by, less, more) => (Math.abs(by) < 15 ? "" : by < 0 ? less : more);

test("b2_a_game_goes_on_when_its_worker_is_killed_and_the_scores_are_kept", async (t) => {
  const { gateways, workers, worker } = await fleet(t);
  const { page } = await browser(t);
  const [ada, bob] = [await page(`http://127.0.0.1:${gateways[0].port}/game/`), await page(`http://127.0.0.1:${gateways[1].port}/game/`)];
  await game.enter(ada, "Ada");
  await game.enter(bob, "Bob");
  await ada.waitForFunction(() => document.querySelectorAll("#score-list li").length === 2);
  for (const one of [ada, bob]) await game.watch(one);
  await Promise.all([game.find(ada, 2), game.find(bob, 1)]);

  // whoever runs the arena is among them
  for (const victim of workers) {
    await worker();
    const before = await game.ticked(ada);
    const playing = Promise.all([game.find(ada, 1), game.find(bob, 1)]);
    await game.ticks(ada, before + 5);
    await victim.kill();
    await playing;
    await game.ticks(ada, (await game.ticked(ada)) + 10);
  }
  for (const one of [ada, bob]) {
    const { found, scored, wrong } = await one.evaluate(() => ({ found: window.watch.found, scored: window.scored(), wrong: window.watch.wrong }));
    assert.deepEqual(wrong, [], "no score ever falls, and no tick is missing");
    assert.equal(scored, found, "each coin counts once");
    assert.ok(found >= 7);
    await chat.status(one, "live");
    assert.deepEqual(one.mistakes, []);
  }
});

test("b2_who_drops_out_stands_still_and_returns_with_the_score", async (t) => {
  const { gateways } = await fleet(t);
  const { page } = await browser(t);
  const [here, there] = gateways.map(({ port }) => `http://127.0.0.1:${port}/game/`);
  const [ada, bob] = [await page(here), await page(there, PHONE)];
  await game.enter(ada, "Ada");
  await game.enter(bob, "Bob");
  await game.watch(ada);
  await game.find(bob, 1);
  // a finger drawn to the right, and never lifted
  const finger = await bob.context().newCDPSession(bob);
  const touch = (type, x) => finger.send("Input.dispatchTouchEvent", { type, touchPoints: [{ x, y: 400 }] });
  await touch("touchStart", 150);
  await touch("touchMove", 250);
  const { x } = await game.player(ada, "Bob");
  if (x < 900) await ada.waitForFunction(async (x) => (await import("/game/game.js")).visit.room.state.players.find(({ name }) => name === "Bob").x > x + 20, x);
  await bob.goto("about:blank");
  await ada.waitForSelector("#score-list .away", { timeout: PATIENCE_MS });
  const still = await game.player(ada, "Bob");
  assert.equal(still.online, false);
  await game.ticks(ada, (await game.ticked(ada)) + 10);
  assert.deepEqual(await game.player(ada, "Bob"), still);
  assert.match(await ada.locator("#told").textContent(), /Away: Bob/);
  await bob.goto(there);
  await ada.waitForFunction(() => !document.querySelector("#score-list .away"), undefined, { timeout: PATIENCE_MS });
  const back = await game.player(ada, "Bob");
  assert.deepEqual({ ...still, online: true }, back, "the same place, and the same score");
  await game.find(bob, 1);
  assert.equal((await game.player(bob, "Bob")).score, still.score + 1);
  for (const one of [ada, bob]) assert.deepEqual(one.mistakes, []);
});
