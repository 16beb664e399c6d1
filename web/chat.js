/** The chat page: one session, one room at a time. */
import { nameOfThisTab, rememberName, roomName, suggestedName } from "./chat-name.js";
import { apply, EMPTY } from "./chat-room.js";
import { Typing } from "./chat-typing.js";
import { at, Log, showFailed, showMembers, showTyping } from "./chat-view.js";
import { connect } from "./outlast.js";

/** @typedef {import("./outlast.js").Room<import("./chat-room.js").Chat>} ChatRoom */

const STATUS = {
  connecting: "Connecting",
  live: "Live",
  "catching-up": "Catching up",
  offline: "Reconnecting",
  ended: "Ended",
};

const session = connect();
const log = new Log();
/** @type {ChatRoom | undefined} */
let room;
/** Undoes what the room before was listened to with. @type {(() => void)[]} */
let offs = [];
/** @type {import("./chat-view.js").Failed[]} */
let failed = [];
/** The notice shown is that we are away from the server. */
let away = false;
/** What to tell once we are back. */
let news = "";

const typing = new Typing(
  () => showTyping(room?.state ?? EMPTY, typing.others),
  (on) => {
    if (session.status === "live") room?.act({ typing: on }).catch(() => {});
  },
);

/** @param {string} name @param {string} wanted */
async function enter(name, wanted) {
  rememberName(name);
  location.hash = wanted;
  at("room-name").textContent = wanted;
  document.title = `#${wanted} · outlast`;
  for (const off of offs.splice(0)) off();
  room = undefined;
  failed = [];
  showFailures();
  log.clear();
  typing.clear();
  show();
  const others = session.rooms;
  try {
    const joined = await session.join(`chat/${wanted}`, { data: { name }, apply: (state, event) => apply(state, event) });
    if (location.hash !== `#${wanted}`) return;
    follow(joined);
  } catch (error) {
    tell(`You could not come in: ${/** @type {Error} */ (error).message}`, "Try again", ask);
  }
  for (const other of [...others, ...session.rooms]) if (other !== room && room) other.leave().catch(() => {});
}

/** @param {ChatRoom} joined */
function follow(joined) {
  room = joined;
  offs = [
    room.subscribe(show),
    room.on("signal", ({ data }) => data.typing !== room?.member && typing.heard(data.typing, data.on)),
    room.on("event", ({ by, data }) => {
      if (by !== undefined && data.said !== undefined) typing.heard(by, false);
    }),
    room.on("left", ({ reason }) => {
      if (session.status !== "ended") tell(`You are no longer in this room (${reason}).`, "Come in again", ask);
    }),
  ];
  show();
  log.down();
}

function show() {
  const state = room?.state ?? EMPTY;
  log.show(state, room?.pending ?? [], room?.member);
  showMembers(state, room?.member);
  showTyping(state, typing.others);
  at("send").disabled = !room || !at("draft").value.trim();
}

/** @param {string} text */
async function say(text) {
  try {
    await room?.act({ say: text });
  } catch (error) {
    const { code, message } = /** @type {import("./outlast.js").OutlastError} */ (error);
    if (code === "unknown" && saidLately(text)) return;
    const why = code === "unknown" ? "Nobody knows whether this arrived." : `Not sent: ${message}`;
    failed = [...failed, { text, why }];
    showFailures();
  }
}

/** Whether a snapshot shows what the outcome would have told. @param {string} text */
const saidLately = (text) => room?.state.messages.some((message) => message.member === room?.member && message.text === text);

function showFailures() {
  /** @param {import("./chat-view.js").Failed} one */
  const discard = (one) => {
    failed = failed.filter((other) => other !== one);
    showFailures();
    at("draft").focus();
  };
  showFailed(failed, (one) => (discard(one), void say(one.text)), discard);
  log.down();
}

/** @param {string} text @param {string} [button] @param {() => void} [pressed] */
function tell(text, button, pressed) {
  away = false;
  at("notice").hidden = !text;
  at("notice-text").textContent = text;
  at("notice-button").hidden = !button;
  at("notice-button").textContent = button ?? "";
  at("notice-button").onclick = () => {
    tell("");
    pressed?.();
  };
}

function ask() {
  at("enter-name").value = nameOfThisTab() ?? suggestedName();
  at("enter-room").value = roomName(location.hash) || "lobby";
  at("enter-cancel").hidden = !room;
  if (!at("enter").open) at("enter").showModal();
  at("enter-name").select();
}

/** @param {import("./link.js").Status} status */
function showStatus(status) {
  at("status").dataset.status = status;
  const text = STATUS[status === "connecting" && room ? "offline" : status];
  if (at("status-text").textContent !== text) at("status-text").textContent = text; // a change is read aloud
  if (status !== "live") typing.clear();
  if (status === "live" && away) tell(news, news && "Fine");
  if (status === "live") news = "";
  if (status === "offline" && room) {
    tell("Away from the server. What you write waits here and is sent when it is back.");
    away = true;
  }
}

session.on("status", showStatus);
session.on("reset", () => (news = "The server had lost this session. You are in again, with a new one."));
session.on("error", ({ message }) => tell(message, "Fine"));
session.on("end", ({ code, reason }) => {
  const elsewhere = code === 4002;
  tell(elsewhere ? "This conversation goes on in another window." : `The connection has ended: ${reason || code}.`, elsewhere ? "Use it here" : "Connect again", () => location.reload());
});

at("composer").onsubmit = (/** @type {Event} */ event) => {
  event.preventDefault();
  const text = at("draft").value.trim();
  if (!text || !room) return;
  at("draft").value = "";
  fit();
  typing.stopped();
  void say(text);
  log.down();
  at("draft").focus();
};

at("draft").oninput = () => {
  fit();
  if (at("draft").value.trim()) typing.writing();
  else typing.stopped();
};

at("draft").onblur = () => typing.stopped();

at("draft").onkeydown = (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("composer").requestSubmit();
};

/** As high as what is written, within what the style allows. */
function fit() {
  at("draft").style.height = "auto";
  at("draft").style.height = `${at("draft").scrollHeight}px`;
  at("send").disabled = !room || !at("draft").value.trim();
}

at("room").onclick = ask;
at("enter-cancel").onclick = () => at("enter").close();
at("enter").oncancel = (/** @type {Event} */ event) => room || event.preventDefault();

at("enter-room").oninput = () => {
  const { value } = at("enter-room");
  if (value !== roomName(value)) at("enter-room").value = roomName(value);
};

at("enter-form").onsubmit = async () => {
  const name = at("enter-name").value.trim() || suggestedName();
  const renamed = room && room.state.members.find(({ member }) => member === room?.member)?.name !== name;
  if (renamed && room?.name === `chat/${at("enter-room").value}`) void room.leave().catch(() => {});
  await enter(name, at("enter-room").value);
  at("draft").focus();
};

/** @param {boolean} open */
function showPeople(open) {
  at("members").classList.toggle("open", open);
  at("people").ariaExpanded = String(open);
}

at("people").onclick = () => showPeople(!at("members").classList.contains("open"));
document.addEventListener("click", ({ target }) => {
  if (!(/** @type {Element} */ (target).closest("#people, #members"))) showPeople(false);
});
document.addEventListener("keydown", ({ key }) => key === "Escape" && showPeople(false));

addEventListener("hashchange", () => {
  const wanted = roomName(location.hash);
  const name = nameOfThisTab();
  if (name && wanted && `chat/${wanted}` !== room?.name && wanted !== at("room-name").textContent) void enter(name, wanted);
});

showStatus(session.status);
const wanted = roomName(location.hash) || "lobby";
at("room-name").textContent = wanted;
const name = nameOfThisTab();
if (name) void enter(name, wanted);
else ask();
fit();
