/** The exchange page on real processes: who trades, whose worker dies, and what must never change. */
import assert from "node:assert/strict";
import test from "node:test";
import { fleet } from "./fleet.mjs";
import { PATIENCE_MS, binary, browser, chat, folder, proxy, start } from "./stage.mjs";

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

/** Steps of a user on the exchange page. */
const market = {
  async enter(page, name) {
    await page.fill("#enter-name", name);
    await page.click("text=Join");
    await chat.status(page, "live");
    await page.waitForFunction((name) => document.querySelector("#accounts .mine")?.textContent.includes(name), name);
    await page.evaluate(() => {
      window.unbalanced = [];
      const sum = document.querySelector("#sum");
      const look = () => sum.dataset.holds === "true" || window.unbalanced.push(sum.innerText);
      new MutationObserver(look).observe(sum, { subtree: true, childList: true, characterData: true, attributes: true });
    });
  },

  async order(page, side, price, quantity) {
    await page.fill("#price", `${price}`);
    await page.fill("#quantity", `${quantity}`);
    await page.click(`#${side}`);
  },

  /** Everything that is the same for everybody. */
  shown: (page) =>
    page.evaluate(() => {
      const rows = (id, cells) => [...document.querySelectorAll(`#${id} tr`)].map((row) => [...row.children].slice(0, cells).map((cell) => cell.textContent));
      const accounts = rows("accounts", 3).map(([who, ...has]) => [who.replace(" (you)", ""), ...has]);
      return { asks: rows("asks", 2), bids: rows("bids", 2), trades: rows("trades", 3), accounts: accounts.sort() };
    }),

  holds: (page, cash, goods) =>
    page.waitForFunction(
      ([cash, goods]) => document.querySelector("#my-cash").textContent === cash && document.querySelector("#my-goods").textContent === goods,
      [cash, goods],
      { timeout: PATIENCE_MS },
    ),

  offers: (page, count) =>
    page.waitForFunction(
      (count) => document.querySelectorAll("#offers li:not(.waits)").length === count && !document.querySelector("#offers .waits"),
      count,
      { timeout: PATIENCE_MS },
    ),
};

async function alone(t) {
  const server = start(t, binary(), ["--listen", "127.0.0.1:0", "--admin-listen", "off", "--allow-anonymous", "--store", "memory:"], { cwd: folder(t) });
  const [, url] = await server.printed(/outlast all ready on (http:\/\/\S+)\s/);
  return { ...server, url: `${url}/exchange/`, ...(await browser(t)) };
}

test("b3_two_pages_trade_while_every_worker_is_killed", async (t) => {
  const { gateways, workers, worker } = await fleet(t);
  const { page } = await browser(t);
  const { url } = await proxy(t, gateways.map(({ port }) => port));
  const [ada, bob] = [await page(`${url}exchange/`), await page(`${url}exchange/`, PHONE)];
  await market.enter(ada, "Ada");
  await market.enter(bob, "Bob");
  await market.order(ada, "sell", 120, 7);
  await market.offers(ada, 1);
  for (let i = 0; i < 15; i++) {
    if (i === 5) await workers[0].kill();
    if (i === 8) await workers[1].kill();
    if (i === 10) await worker();
    await Promise.all([market.order(ada, "sell", 100, 2), market.order(bob, "buy", 100, 2)]);
  }
  await market.holds(ada, "13,000", "70");
  await market.holds(bob, "7,000", "130");
  await market.offers(ada, 1);
  await market.offers(bob, 0);

  const seen = await market.shown(ada);
  assert.deepEqual(seen.trades.map(([trade]) => Number(trade)), Array.from({ length: 15 }, (_, i) => 15 - i), "each exactly once");
  assert.deepEqual(seen.accounts, [["Ada", "13,000", "70"], ["Bob", "7,000", "130"]]);
  assert.deepEqual([seen.asks, seen.bids], [[["120", "7"]], []]);
  assert.deepEqual(await market.shown(bob), seen);
  for (const one of [ada, bob]) {
    assert.equal(await one.textContent("#sum-cash"), "20,000");
    assert.equal(await one.textContent("#must-cash"), "20,000");
    assert.equal(await one.textContent("#sum-goods"), "200");
    assert.deepEqual(await one.evaluate(() => window.unbalanced), []);
  }
  await bob.reload();
  await market.holds(bob, "7,000", "130");
  assert.deepEqual(await market.shown(bob), seen, "what the room itself shows");
  for (const one of [ada, bob]) assert.deepEqual(one.mistakes, []);
});

test("b3_offers_are_met_and_cancelled_by_keyboard_and_heard", async (t) => {
  const { url, page } = await alone(t);
  const [ada, bob] = [await page(url), await page(url)];
  await market.enter(ada, "Ada");
  await market.enter(bob, "Bob");
  await market.order(bob, "sell", 90, 10);
  await ada.waitForSelector("#asks button");

  await ada.focus("#asks button");
  await ada.keyboard.press("Enter");
  assert.equal(await ada.evaluate(() => document.activeElement.id), "buy");
  assert.deepEqual([await ada.inputValue("#price"), await ada.inputValue("#quantity")], ["90", "10"]);
  await ada.focus("#quantity");
  await ada.keyboard.press("ControlOrMeta+A");
  await ada.keyboard.type("4");
  assert.equal(await ada.textContent("#buy-hint"), "costs up to 360 of 10,000 free");
  await ada.keyboard.press("Enter");
  await market.holds(ada, "9,640", "104");
  await ada.waitForFunction(() => document.querySelector("#news").textContent === "You bought 4 at 90. ");
  await bob.waitForFunction(() => document.querySelector("#news").textContent === "You sold 4 at 90. ");

  await market.order(ada, "buy", 50, 3);
  // On its way, an offer has nothing to press yet.
  await market.offers(ada, 1);
  await ada.focus("#offers .cancel");
  await ada.keyboard.press("Enter");
  await market.offers(ada, 0);
  assert.equal(await ada.evaluate(() => document.activeElement.id), "offers-title");

  const nameless = await ada.$$eval("button:not([hidden]), input", (all) =>
    all.filter((one) => !(one.labels?.length || one.textContent.trim() || one.ariaLabel)).map((one) => one.outerHTML),
  );
  assert.deepEqual(nameless, []);
  assert.deepEqual(ada.mistakes, []);
});

test("b3_a_refused_order_says_why", async (t) => {
  const { url, page } = await alone(t);
  const ada = await page(url);
  await market.enter(ada, "Ada");
  await market.order(ada, "buy", 5000, 3);
  await ada.waitForFunction(() => document.querySelector("#refused").innerText.includes("10000 of your cash is free"));
  await ada.click("text=Dismiss");
  assert.equal(await ada.locator("#refused li").count(), 0);
  assert.equal(await ada.evaluate(() => document.activeElement.id), "price");
});

test("an_order_waits_while_the_server_is_away", async (t) => {
  const { url, page, kill } = await alone(t);
  const ada = await page(url);
  await market.enter(ada, "Ada");
  await kill();
  await ada.waitForSelector('#status[data-status="offline"]');
  await market.order(ada, "buy", 50, 3);
  await ada.waitForFunction(() => document.querySelector("#offers .waits")?.textContent.includes("3 at 50 · on its way"));
  await ada.evaluate(() => scrollTo(0, document.body.scrollHeight));
  assert.ok(await ada.locator("#status").isVisible());
  const { y } = await ada.locator("#status").boundingBox();
  assert.ok(y >= 0 && y < 60, `the connection's state is in view, at ${y}`);
});

for (const width of [320, PHONE.viewport.width, 820, 1280]) {
  test(`nothing_of_the_market_is_wider_than_a_screen_of_${width}`, async (t) => {
    const { url, page } = await alone(t);
    const ada = await page(url, { viewport: { width, height: 800 } });
    await market.enter(ada, "A name of quite exactly forty characters");
    assert.ok(await ada.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "without a trade");
    await market.order(ada, "sell", 1_000_000, 50);
    await market.order(ada, "sell", 100, 50);
    await market.order(ada, "buy", 100, 20);
    await ada.waitForSelector("#trades tr");
    assert.ok(await ada.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    for (const id of ["#status", "#buy", "#sell", "#sum-text"]) {
      const { x, width: wide } = await ada.locator(id).boundingBox();
      assert.ok(x >= 0 && x + wide <= width, `${id} from ${x} to ${x + wide}`);
    }
  });
}
