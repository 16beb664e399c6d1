import assert from "node:assert/strict";
import test from "node:test";
import { freeze } from "./freeze.js";
import { number, span } from "../pages/dashboard/format.js";
import { History, path } from "../pages/dashboard/history.js";
import { apply, EMPTY, ordered, partitions, rate, roles, totals } from "../pages/dashboard/room.js";
import { subject } from "../pages/page/token.js";

const fold = (events, state = EMPTY) => events.reduce((state, data) => freeze(apply(state, { data })), freeze(state));

const report = (id, more = {}) => ({ report: { id, host: "h", pid: 1, version: "1", up_ms: 1, partitions: 16, over_ms: 2000, ...more } });
const roll = (at_ms, lost = [], forgotten = []) => ({ roll: { at_ms, lost, forgotten } });
const worker = (more) => ({ worker: { partitions: 8, rooms: 1, actions: 0, events: 0, commits: 0, commit_p50_us: 0, commit_p99_us: 0, ...more } });
const gateway = (more) => ({ gateway: { sockets: 0, waiting: 0, admitted: 0, busy: 0, catching_up: 0, catch_ups: 0, delivered: 0, draining: false, ...more } });

test("b4_a_process_is_shown_as_it_last_reported_until_it_is_gone_or_forgotten", () => {
  const shown = (state) => ordered(state).map(({ id, pid, lost }) => [id, pid, lost]);
  let state = fold([roll(1000), report("b"), report("a"), report("b", { pid: 2 })]);
  assert.deepEqual(shown(state), [["a", 1, false], ["b", 2, false]]);
  state = fold([roll(2000, ["a"])], state);
  assert.deepEqual([state.at_ms, shown(state)], [2000, [["a", 1, true], ["b", 2, false]]]);
  assert.deepEqual(shown(fold([report("a")], state)), [["a", 1, false], ["b", 2, false]]);
  assert.deepEqual(shown(fold([roll(3000, [], ["a"])], state)), [["b", 2, false]]);
  assert.deepEqual(shown(fold([{ gone: "b" }], state)), [["a", 1, true]]);
});

test("b4_processes_stand_together_by_what_they_do", () => {
  const state = fold([report("c", worker()), report("d", gateway()), report("b", gateway()), report("a", worker())]);
  assert.deepEqual(ordered(state).map(({ id }) => id), ["b", "d", "a", "c"]);
});

test("b4_who_watches_is_counted", () => {
  const state = fold([{ entered: { member: 2 } }, { entered: { member: 3 } }, { away: 2 }, { back: 2 }, { left: { member: 3, reason: "left" } }]);
  assert.equal(state.watchers, 1);
});

test("b4_totals_are_of_those_that_are_not_lost_and_of_one_second", () => {
  const state = fold([
    report("g", { ...gateway({ sockets: 5, admitted: 4, delivered: 100 }) }),
    report("v", worker({ actions: 10, commit_p99_us: 2500 })),
    report("w", worker({ actions: 30, commit_p99_us: 1500 })),
    report("dead", worker({ actions: 999 })),
    roll(1000, ["dead"]),
  ]);
  const { sockets, admitted, delivered, actions, p99_ms } = totals(state);
  assert.deepEqual({ sockets, admitted, delivered, actions, p99_ms }, { sockets: 5, admitted: 2, delivered: 50, actions: 20, p99_ms: 2.5 });
  assert.equal(totals(EMPTY).p99_ms, 0);
  assert.equal(rate({ over_ms: undefined }, 7), 0, "a first report counts nothing");
  assert.deepEqual(roles(state.processes[0]), ["gateway"]);
});

test("b4_partitions_that_nobody_holds_are_seen", () => {
  const both = [report("v", worker()), report("w", worker())];
  assert.deepEqual(partitions(fold(both)), { owners: [{ id: "v", held: 8 }, { id: "w", held: 8 }], all: 16, free: 0 });
  assert.deepEqual(partitions(fold([...both, roll(1, ["w"])])), { owners: [{ id: "v", held: 8 }], all: 16, free: 8 });
  assert.deepEqual(partitions(EMPTY), { owners: [], all: 0, free: 0 });
});

test("a_history_is_bounded_in_time_and_number", () => {
  const history = new History();
  for (let s = 0; s < 1000; s++) history.add(s * 1000, { sockets: s });
  let { points, most } = history.line("sockets");
  assert.deepEqual([points.length, most, points.at(-1)], [300, 999, { x: 1, y: 999 }]);
  assert.ok(points[0].x >= 0);
  history.add(10_000_000, { sockets: 1 });
  ({ points, most } = history.line("sockets"));
  assert.deepEqual([points, most], [[{ x: 1, y: 1 }], 1]);
  for (let s = 0; s < 1000; s++) history.add(10_000_000, { sockets: 1 });
  assert.equal(history.line("sockets").points.length, 300);
});

test("a_line_has_holes_where_nothing_is_known", () => {
  const history = new History();
  history.add(0, { n: 0 });
  history.add(30_000, { n: 4 });
  history.add(45_000);
  history.add(60_000, { n: 2 });
  const { points, most } = history.line("n");
  assert.equal(path(points, most), "M0.0 96.0L50.0 4.0M100.0 50.0");
  assert.equal(path([], 0), "");
  assert.equal(path([{ x: 1, y: 0 }], 0), "M100.0 96.0");
});

test("numbers_and_times_are_for_people", () => {
  assert.deepEqual([0, 7, 0.123, 9.87, 1234.5, 1_234_567].map(number), ["0", "7", "0.12", "9.9", "1,235", "1.23M"]);
  assert.deepEqual([-5, 59_400, 61_000, 3_600_000, 200_000_000].map(span), ["0 s", "59 s", "1 min", "1 h 0 min", "2 days"]);
});

test("h5_whom_a_token_names_is_read_or_unknown", () => {
  const token = `x.${Buffer.from(JSON.stringify({ sub: "ada?>" })).toString("base64url")}.x`;
  assert.equal(subject(token), "ada?>");
  for (const bad of [undefined, "", "nonsense", "a.b.c"]) assert.equal(subject(bad), undefined);
});
