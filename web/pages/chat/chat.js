/** The chat page: one session, one room at a time. */
import { at, start, Visit } from "../page.js";
import { apply, EMPTY } from "./room.js";
import { Typing } from "./typing.js";
import { Log, showFailed, showMembers, showTyping } from "./view.js";

const session = start({ away: "Away from the server. What you write waits here and is sent when it is back." });
const log = new Log();
/** @type {import("./view.js").Failed[]} */
let failed = [];

/** @type {Visit<import("./room.js").Chat>} */
const visit = new Visit(session, {
  kind: "chat",
  about: "This conversation outlives its connection: close the lid, lose the network, restart the server. It goes on where it was.",
  apply: (state, event) => apply(state, event),
  nameOf: (state) => state.members.find(({ member }) => member === visit.room?.member)?.name,
  entering() {
    failed = [];
    showFailures();
    log.clear();
    typing.clear();
    show();
  },
  entered(room) {
    const offs = [
      room.subscribe(show),
      room.on("signal", ({ data }) => data.typing !== room.member && typing.heard(data.typing, data.on)),
      room.on("event", ({ by, data }) => {
        if (by !== undefined && data.said !== undefined) typing.heard(by, false);
      }),
    ];
    show();
    log.down();
    if (matchMedia("(hover: hover)").matches) at("draft").focus(); // elsewhere that opens a keyboard over the page
    return () => offs.forEach((off) => off());
  },
});

const typing = new Typing(
  () => showTyping(visit.room?.state ?? EMPTY, typing.others),
  (on) => {
    if (session.status === "live") visit.room?.act({ typing: on }).catch(() => {});
  },
);

function show() {
  const state = visit.room?.state ?? EMPTY;
  log.show(state, visit.room?.pending ?? [], visit.room?.member);
  showMembers(state, visit.room?.member);
  showTyping(state, typing.others);
  at("send").disabled = !visit.room || !at("draft").value.trim();
}

/** @param {string} text */
async function say(text) {
  try {
    await visit.room?.act({ say: text });
  } catch (error) {
    const { code, message } = /** @type {import("../../outlast.js").OutlastError} */ (error);
    if (code === "unknown" && saidLately(text)) return;
    const why = code === "unknown" ? "Nobody knows whether this arrived." : `Not sent: ${message}`;
    failed = [...failed, { text, why }];
    showFailures();
  }
}

/** True when the state shows our message although its outcome is lost. @param {string} text */
const saidLately = (text) => visit.room?.state.messages.some((message) => message.member === visit.room?.member && message.text === text);

function showFailures() {
  /** @param {import("./view.js").Failed} one */
  const discard = (one) => {
    failed = failed.filter((other) => other !== one);
    showFailures();
    at("draft").focus();
  };
  showFailed(failed, (one) => (discard(one), void say(one.text)), discard);
  log.down();
}

session.on("status", (/** @type {string} */ status) => status !== "live" && typing.clear());

at("composer").onsubmit = (/** @type {Event} */ event) => {
  event.preventDefault();
  const text = at("draft").value.trim();
  if (!text || !visit.room) return;
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
  at("send").disabled = !visit.room || !at("draft").value.trim();
}

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

fit();
visit.start();
