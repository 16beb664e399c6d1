/**
 * @typedef {{ sockets: number, waiting: number, admitted: number, busy: number, catching_up: number,
 *   catch_ups: number, delivered: number, draining: boolean }} OfGateway
 * @typedef {{ partitions: number, rooms: number, actions: number, events: number, commits: number,
 *   commit_p50_us: number, commit_p99_us: number }} OfWorker
 * @typedef {{ detached: number, expired: number }} OfKeeper
 * @typedef {{ id: string, host: string, pid: number, version: string, up_ms: number, partitions: number,
 *   over_ms?: number, gateway?: OfGateway, worker?: OfWorker, keeper?: OfKeeper, lost: boolean }} Process
 * @typedef {{ at_ms: number, watchers: number, processes: readonly Process[] }} Fleet
 *
 * @typedef {object} Totals of all processes that are not lost; a second's worth of what is counted
 * @property {number} sockets
 * @property {number} detached
 * @property {number} waiting
 * @property {number} admitted
 * @property {number} busy
 * @property {number} catching_up
 * @property {number} catch_ups
 * @property {number} actions
 * @property {number} events
 * @property {number} delivered
 * @property {number} p50_ms of the slowest worker, as is `p99_ms`
 * @property {number} p99_ms
 */

/** @type {Fleet} */
export const EMPTY = { at_ms: 0, watchers: 0, processes: [] };

/**
 * The fold of the room that shows the fleet (SPEC B4).
 * @param {Fleet} state @param {{ data: any }} event @returns {Fleet}
 */
export function apply(state, { data }) {
  if (data.report) return reported(state, { ...data.report, lost: false });
  if (data.roll) {
    const { at_ms, lost, forgotten } = data.roll;
    const processes = state.processes
      .filter(({ id }) => !forgotten.includes(id))
      .map((process) => (lost.includes(process.id) ? { ...process, lost: true } : process));
    return { ...state, at_ms, processes };
  }
  if (data.gone) return { ...state, processes: state.processes.filter(({ id }) => id !== data.gone) };
  if (data.entered) return { ...state, watchers: state.watchers + 1 };
  if (data.left) return { ...state, watchers: state.watchers - 1 };
  return state;
}

/** @param {Fleet} state @param {Process} process @returns {Fleet} */
function reported(state, process) {
  const known = state.processes.some(({ id }) => id === process.id);
  const processes = known ? state.processes.map((one) => (one.id === process.id ? process : one)) : [...state.processes, process];
  return { ...state, processes };
}

/** Processes by what they do, and then by name. @param {Fleet} state */
export function ordered({ processes }) {
  const place = (/** @type {Process} */ process) => `${roles(process)} ${process.id}`;
  return [...processes].sort((a, b) => (place(a) < place(b) ? -1 : 1));
}

/** Returns the roles of a process. @param {Process} process */
export const roles = ({ gateway, worker, keeper }) => [gateway && "gateway", worker && "worker", keeper && "keeper"].filter((role) => role !== undefined);

/** Returns a count per second. @param {Process} process @param {number | undefined} count */
export const rate = ({ over_ms }, count = 0) => (over_ms ? (1000 * count) / over_ms : 0);

/** @param {Fleet} state @returns {Totals} */
export function totals({ processes }) {
  const alive = processes.filter(({ lost }) => !lost);
  /** @param {(process: Process) => number | undefined} of */
  const sum = (of) => alive.reduce((sum, process) => sum + (of(process) ?? 0), 0);
  /** @param {(process: Process) => number | undefined} of */
  const most = (of) => Math.max(0, ...alive.map((process) => of(process) ?? 0));
  return {
    sockets: sum(({ gateway }) => gateway?.sockets),
    detached: sum(({ keeper }) => keeper?.detached),
    waiting: sum(({ gateway }) => gateway?.waiting),
    admitted: sum((process) => rate(process, process.gateway?.admitted)),
    busy: sum((process) => rate(process, process.gateway?.busy)),
    catching_up: sum(({ gateway }) => gateway?.catching_up),
    catch_ups: sum((process) => rate(process, process.gateway?.catch_ups)),
    actions: sum((process) => rate(process, process.worker?.actions)),
    events: sum((process) => rate(process, process.worker?.events)),
    delivered: sum((process) => rate(process, process.gateway?.delivered)),
    p50_ms: most(({ worker }) => worker?.commit_p50_us) / 1000,
    p99_ms: most(({ worker }) => worker?.commit_p99_us) / 1000,
  };
}

/** Returns the partitions by owner, and how many have none. @param {Fleet} state */
export function partitions(state) {
  const processes = ordered(state);
  const owners = processes.filter(({ lost, worker }) => !lost && worker?.partitions).map(({ id, worker }) => ({ id, held: worker?.partitions ?? 0 }));
  const all = Math.max(0, ...processes.map(({ partitions }) => partitions));
  const held = owners.reduce((sum, { held }) => sum + held, 0);
  return { owners, all, free: Math.max(0, all - held) };
}
