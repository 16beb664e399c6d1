import { connect } from "/outlast.js";

const at = (id) => document.getElementById(id);

const session = connect(undefined, { storage: sessionStorage });
session.on("status", (status) => (at("status").textContent = status));

const room = await session.join("button/red", {
  apply: (state, event) => ({ pushes: state.pushes + (event.data.pushed?.times ?? 0) }),
});
// What is still on its way counts on the button at once.
const show = () => {
  const waiting = room.pending.reduce((sum, { data }) => sum + (data ?? 0), 0);
  at("pushes").textContent = room.state.pushes + waiting;
};
room.subscribe(show);
show();

at("push").disabled = false;
at("push").onclick = () => room.act(1).catch(({ message }) => (at("status").textContent = message));
