//! The way back into its rooms of a session that resumes (R1).
//!
//! Every room is told of the new socket before the client is: older sockets have no say from then on (S5). Where the
//! session stands is what the room last committed, or what the room answers, which comes after all that the session's
//! older sockets had appended. What lies between a client's position and the end of a log is replayed; where that cannot
//! be, the room shows itself.

use std::{collections::BTreeMap, future::poll_fn, task::Poll, time::Duration};

use outlast_protocol::{CatchUp, Pos, RoomName, ServerFrame, Welcome};
use outlast_store::Reply;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use self::resumed_room::ResumedRoom;
use crate::{
    attach::busy,
    bye::Bye,
    gateway::{AttachId, Shared},
    hub::{Command, Wake},
    sequencer::Sequencer,
    socket::Socket,
    telemetry,
};

mod reach;
mod resumed_room;

/// Time for the rooms to answer. One that takes longer, also because its worker has just died (W4), does not
/// keep the client from the others: it shows itself when it answers (R6).
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// Time for their logs to be read; a room whose log takes longer shows itself, too.
const LOOKED_UP_WITHIN: Duration = Duration::from_secs(3);

/// Brings a session back into its rooms, and tells the client the kind of catch-up in each.
pub(crate) async fn catch_up(
    socket: &mut Socket,
    welcome: Welcome,
    names: Vec<RoomName>,
    positions: &BTreeMap<RoomName, Option<Pos>>,
) -> Result<(), Bye> {
    let (shared, who) = (socket.shared.clone(), socket.who);
    let mut rooms = resumed_rooms(socket, names, positions);
    reach::enter(socket, &mut rooms).await;
    reach::arrive(&shared, who, &mut rooms)
        .instrument(tracing::debug_span!("attach.rooms"))
        .await;
    let deadline = Instant::now() + LOOKED_UP_WITHIN;
    look_up(socket, &mut rooms, deadline).await?;
    // Any other room has to show itself. Then it says where the session stands, too, after all that older sockets said.
    if !rooms.iter().all(ResumedRoom::is_found) {
        let shown = rooms.iter_mut().filter(|room| !room.is_found());
        shown.for_each(ResumedRoom::has_to_answer);
        ask(&shared, who, &socket.wake, &mut rooms)
            .instrument(tracing::debug_span!("attach.rooms"))
            .await?;
        look_up(socket, &mut rooms, deadline).await?;
    }
    tell(socket, welcome, rooms, positions);
    Ok(())
}

fn resumed_rooms(
    socket: &mut Socket,
    names: Vec<RoomName>,
    positions: &BTreeMap<RoomName, Option<Pos>>,
) -> Vec<ResumedRoom> {
    // One room brings what it shows along with its answer. All at once would take much memory: the others show it one
    // after the other.
    let mut viewed = false;
    let rooms = names.into_iter().filter_map(|name| {
        let slot = socket.rooms.place(&name, Sequencer::known())?;
        socket.rooms.get(slot)?.recorded = true;
        let pos = positions.get(&name).copied().flatten();
        let view = pos.is_none() && !viewed;
        viewed |= view;
        Some(ResumedRoom::new(name, slot, pos, view))
    });
    rooms.collect()
}

/// Looks the client's positions up in the logs, until the deadline.
async fn look_up(
    socket: &mut Socket,
    rooms: &mut [ResumedRoom],
    deadline: Instant,
) -> Result<(), Bye> {
    let look_up = async {
        let mut cursors: Vec<_> = rooms.iter_mut().map(ResumedRoom::begin_lookup).collect();
        loop {
            let mut waits = false;
            for (room, cursor) in rooms.iter_mut().zip(&mut cursors) {
                let entered = socket.rooms.get(room.slot);
                if let Some(seat) = entered.and_then(|entered| entered.seat.as_ref())
                    && let Some(cursor) = cursor
                {
                    waits |= !room.look_up(cursor, |cursor, end| seat.check(cursor, end));
                }
            }
            if !waits {
                return Ok(());
            }
            match timeout_at(deadline, wakeup(&socket.wake)).await {
                Ok(Wakeup::Command(Command::Leave(bye))) => return Err(bye),
                Ok(Wakeup::Reply(reply)) => hear(rooms, reply, socket.who.generation),
                Ok(Wakeup::Command(Command::AskAgain) | Wakeup::Log) => {}
                Err(_) => return Ok(()),
            }
        }
    };
    look_up.instrument(tracing::debug_span!("attach.log")).await
}

/// Asks the rooms where the session stands, and waits for their answers. Whatever else they say now, they say again
/// when the client sends its actions again.
async fn ask(
    shared: &Shared,
    who: AttachId,
    wake: &Wake,
    rooms: &mut [ResumedRoom],
) -> Result<(), Bye> {
    reach::ask(shared, who, rooms).await;
    if !rooms.iter().any(|room| room.reached) {
        return Err(busy());
    }
    let deadline = Instant::now() + ANSWERED_WITHIN;
    while rooms.iter().any(ResumedRoom::is_awaited) {
        match timeout_at(deadline, wakeup(wake)).await {
            Ok(Wakeup::Reply(reply)) => hear(rooms, reply, who.generation),
            Ok(Wakeup::Command(Command::Leave(bye))) => return Err(bye),
            Ok(Wakeup::Command(Command::AskAgain)) => reach::ask(shared, who, rooms).await,
            Ok(Wakeup::Log) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

fn hear(rooms: &mut [ResumedRoom], reply: Reply, generation: u64) {
    if let Some(room) = rooms.iter_mut().find(|room| room.name == reply.room) {
        room.hear(reply.answer, generation);
    }
}

/// Puts the session into its rooms as it stands there, and tells the client.
fn tell(
    socket: &mut Socket,
    welcome: Welcome,
    rooms: Vec<ResumedRoom>,
    positions: &BTreeMap<RoomName, Option<Pos>>,
) {
    let now = Instant::now();
    let mut kinds = BTreeMap::new();
    for resumed in &rooms {
        let room = socket.rooms.get(resumed.slot);
        let kind = room.map_or(CatchUp::Gone, |room| resumed.restore(room, now));
        metrics::counter!(telemetry::CATCH_UPS, "kind" => label(kind)).increment(1);
        tracing::debug!(sid = %socket.who.sid, room = %resumed.name, how = label(kind), "session resumed a room");
        if kind != CatchUp::Gone {
            kinds.insert(resumed.name.clone(), kind);
        }
    }
    for name in positions.keys() {
        if !kinds.contains_key(name) {
            // It asked to join this room once: what it sends again is the room's to judge.
            socket.rooms.place(name, Sequencer::known());
            kinds.insert(name.clone(), CatchUp::Gone);
        }
    }
    socket.wire.send(&ServerFrame::Resumed {
        welcome,
        rooms: kinds,
    });
    for ResumedRoom { slot, seat, .. } in rooms {
        if let Some(answer) = seat.and_then(|seat| seat.answer)
            && let Some(room) = socket.rooms.get(slot)
            && let Some(frame) = room.receive(answer, now)
        {
            socket.wire.send(&frame);
        }
    }
    socket.ready = u128::MAX;
}

fn label(kind: CatchUp) -> &'static str {
    match kind {
        CatchUp::Replay => "replay",
        CatchUp::Snapshot => "snapshot",
        CatchUp::Gone => "gone",
    }
}

/// What a socket wakes up for while it waits.
enum Wakeup {
    Reply(Reply),
    Command(Command),
    /// There may be more of a log.
    Log,
}

async fn wakeup(wake: &Wake) -> Wakeup {
    poll_fn(|cx| {
        wake.register(cx.waker());
        if let Some(command) = wake.take_order() {
            return Poll::Ready(Wakeup::Command(command));
        }
        if let Some(reply) = wake.take_reply() {
            return Poll::Ready(Wakeup::Reply(reply));
        }
        if wake.take_rooms() != 0 {
            return Poll::Ready(Wakeup::Log);
        }
        Poll::Pending
    })
    .await
}
