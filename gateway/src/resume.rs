//! How a session that came back stands in its rooms (R1).
//!
//! Every room is told of the new socket before the client is: older sockets have no say from then on (S5). Where the
//! session stands is what the room last committed, or what the room answers, which is behind all that the session's
//! older sockets had appended.

use std::{collections::BTreeMap, future::poll_fn, task::Poll, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use outlast_protocol::{CatchUp, Pos, RoomName, ServerFrame, SnapshotReason, Welcome};
use outlast_store::{Answer, PartitionId, Reply, Request, SeatRead, StoreError};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::{
    attach::busy,
    bye::Bye,
    gateway::{AttachId, Shared},
    hub::{Command, Cursor, Pulled, Wake},
    sequencer::Sequencer,
    socket::{Socket, room::Settled},
    telemetry,
};

/// One of the session's rooms.
struct Returning {
    name: RoomName,
    slot: u8,
    /// How far the client has read, if it knows.
    pos: Option<Pos>,
    /// True if the room shows itself along with its answer.
    view: bool,
    seated: Option<Seated>,
    /// True if the store reaches the room, as far as was tried.
    reached: bool,
    /// True if the room stands still, as its worker said (W10).
    stands_still: bool,
    /// Why the client cannot go on from its position, as far as the log has told.
    gone: Option<SnapshotReason>,
}

impl Returning {
    /// True if the room's own word may still come in time.
    fn is_awaited(&self) -> bool {
        self.reached && self.seated.is_none() && !self.stands_still
    }
}

/// Where the session sits, as the room answered, or as its last commit says.
struct Seated {
    member: Option<u32>,
    n: u64,
    pos: Pos,
    joined: Option<Pos>,
    /// Up to where its actions are settled, where that is known.
    settled: Option<Settled>,
    /// What it said itself, if it was asked.
    answer: Option<Answer>,
}

/// How long the rooms may take to answer. One that takes longer, also because its worker has just died (W4), does not
/// keep the client from the others: it shows itself when it answers (R6).
const SEATED_WITHIN: Duration = Duration::from_secs(1);
/// How long their logs may take to be read; a room whose log takes longer shows itself, too.
const CHECKED_WITHIN: Duration = Duration::from_secs(3);
/// How long the store may take for one partition after it has answered for another.
const REACHED_WITHIN: Duration = Duration::from_secs(1);

/// Where the client's position lies in the room's log.
enum ResumePoint {
    /// What follows can be replayed.
    Here(Cursor),
    /// Nowhere.
    Gone(SnapshotReason),
}

/// Finds out how the client catches up in each of its rooms, and says so.
pub(crate) async fn resume(
    socket: &mut Socket,
    welcome: Welcome,
    rooms: Vec<RoomName>,
    positions: &BTreeMap<RoomName, Option<Pos>>,
) -> Result<(), Bye> {
    let mut returning = places(socket, rooms, positions);
    enter(socket, &mut returning).await;
    let places = find(socket, &mut returning).await?;

    let who = socket.who;
    let mut catch_up = BTreeMap::new();
    for (returning, place) in returning.iter().zip(places) {
        let how = stand(socket, returning, place);
        metrics::counter!(telemetry::CATCH_UPS, "kind" => label(how)).increment(1);
        tracing::debug!(sid = %who.sid, room = %returning.name, how = label(how), "session resumed a room");
        if how != CatchUp::Gone {
            catch_up.insert(returning.name.clone(), how);
        }
    }
    for name in positions.keys() {
        if !catch_up.contains_key(name) {
            // It asked to join this room once: what it sends again is the room's to judge.
            socket.rooms.place(name, Sequencer::known());
            catch_up.insert(name.clone(), CatchUp::Gone);
        }
    }
    socket.wire.send(&ServerFrame::Resumed {
        welcome,
        rooms: catch_up,
    });
    for Returning { slot, seated, .. } in returning {
        if let Some(answer) = seated.and_then(|seated| seated.answer)
            && let Some(room) = socket.rooms.get(slot)
            && let Some(frame) = room.hear(answer, Instant::now())
        {
            socket.wire.send(&frame);
        }
    }
    socket.news = u128::MAX;
    Ok(())
}

/// Finds the session's place in each room, and the client's in its log.
async fn find(
    socket: &mut Socket,
    returning: &mut [Returning],
) -> Result<Vec<Option<ResumePoint>>, Bye> {
    let (shared, who) = (socket.shared.clone(), socket.who);
    arrive(&shared, who, returning)
        .instrument(tracing::debug_span!("attach.rooms"))
        .await;
    let deadline = Instant::now() + CHECKED_WITHIN;
    let places = check(socket, returning, deadline)
        .instrument(tracing::debug_span!("attach.log"))
        .await?;
    let mut all_here = true;
    for (room, place) in returning.iter_mut().zip(&places) {
        if !matches!(place, Some(ResumePoint::Here(_))) {
            // It has to be shown anew, which is the room's to do: then the room says where the session stands, too,
            // behind all that older sockets had said.
            room.seated = None;
            if let Some(ResumePoint::Gone(reason)) = place {
                room.gone = Some(*reason);
            }
            all_here = false;
        }
    }
    if all_here {
        return Ok(places);
    }
    let asked = async {
        ask(&shared, who, returning).await;
        if !returning.is_empty() && !returning.iter().any(|room| room.reached) {
            return Err(busy());
        }
        wait(&shared, who, &socket.wake, returning).await
    };
    asked
        .instrument(tracing::debug_span!("attach.rooms"))
        .await?;
    check(socket, returning, deadline)
        .instrument(tracing::debug_span!("attach.log"))
        .await
}

fn places(
    socket: &mut Socket,
    rooms: Vec<RoomName>,
    positions: &BTreeMap<RoomName, Option<Pos>>,
) -> Vec<Returning> {
    // One room brings what it shows along with its answer. All at once would take much memory: the
    // others show it one after the other.
    let mut viewed = false;
    let returning = rooms.into_iter().filter_map(|name| {
        let slot = socket.rooms.place(&name, Sequencer::known())?;
        socket.rooms.get(slot)?.recorded = true;
        let pos = positions.get(&name).copied().flatten();
        let view = pos.is_none() && !viewed;
        viewed |= view;
        Some(Returning {
            name,
            slot,
            pos,
            view,
            seated: None,
            reached: false,
            stands_still: false,
            gone: None,
        })
    });
    returning.collect()
}

/// Listens to the rooms, so that nothing behind their answers goes unheard.
async fn enter(socket: &mut Socket, returning: &mut [Returning]) {
    let (hub, wake) = (&socket.shared.hub, &socket.wake);
    let entering = returning.iter_mut().map(|room| async move {
        let seat = hub.enter(&room.name, wake.clone(), room.slot).await?;
        room.reached = true;
        Ok::<_, StoreError>((room.slot, seat))
    });
    for (slot, seat) in in_reach(entering).await {
        if let Some(room) = socket.rooms.get(slot) {
            room.subscribe(seat);
        }
    }
}

/// Tells the rooms of the new socket that the client knows its place in, and looks where the session sits there: as of
/// the room's last commit, which is behind all that the client has seen. From here on older sockets have no say; what
/// they had said before is the room's to apply, and comes with the log. Nobody waits for the room, which speaks only if
/// the session has left by then.
async fn arrive(shared: &Shared, who: AttachId, returning: &mut [Returning]) {
    let known = by_partition(shared, returning, |room| room.pos.is_some());
    let arrivals = known.into_iter().map(|(partition, mut rooms)| async move {
        let arrived = |room: &&mut Returning| shared.input(who, &room.name, Request::Arrived);
        let inputs = rooms.iter().map(arrived).collect();
        let found = shared.arrive(partition, inputs).await?;
        for (room, standing) in rooms.iter_mut().zip(found) {
            room.reached = true;
            room.seated = standing.and_then(|standing| Seated::at(standing, who.generation));
        }
        Ok::<_, StoreError>(())
    });
    in_reach(arrivals).await;
}

/// Asks the rooms that the session does not sit in yet, and tells them of the new socket.
async fn ask(shared: &Shared, who: AttachId, returning: &mut [Returning]) {
    let unseated = by_partition(shared, returning, |room| room.seated.is_none());
    let asking = unseated
        .into_iter()
        .map(|(partition, mut rooms)| async move {
            let attached = |room: &&mut Returning| {
                shared.input(who, &room.name, Request::Attached { view: room.view })
            };
            shared
                .append(partition, rooms.iter().map(attached).collect())
                .await?;
            rooms.iter_mut().for_each(|room| room.reached = true);
            Ok::<_, StoreError>(())
        });
    in_reach(asking).await;
}

/// Some of the rooms that the store has reached so far, by partition. None of them counts as reached until the store
/// has answered again.
fn by_partition<'a>(
    shared: &Shared,
    returning: &'a mut [Returning],
    some: impl Fn(&Returning) -> bool,
) -> BTreeMap<PartitionId, Vec<&'a mut Returning>> {
    let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for room in returning
        .iter_mut()
        .filter(|room| room.reached && some(room))
    {
        room.reached = false;
        partitions
            .entry(shared.store.layout().partition(&room.name))
            .or_default()
            .push(room);
    }
    partitions
}

/// Does all of it at once, and returns what was done. Where the store answers for some, the rest does not wait for long.
async fn in_reach<T>(
    doing: impl Iterator<Item = impl Future<Output = Result<T, StoreError>>>,
) -> Vec<T> {
    let mut doing: FuturesUnordered<_> = doing.collect();
    let mut done = Vec::new();
    let mut deadline = None;
    loop {
        let next = match deadline {
            None => doing.next().await,
            Some(deadline) => timeout_at(deadline, doing.next()).await.unwrap_or(None),
        };
        match next {
            Some(Ok(one)) => {
                deadline.get_or_insert_with(|| Instant::now() + REACHED_WITHIN);
                done.push(one);
            }
            Some(Err(error)) => tracing::debug!(%error, "store did not reach a resumed room"),
            None => return done,
        }
    }
}

/// Waits for the rooms' answers. Whatever else they say now, they say again when the client sends its
/// actions again.
async fn wait(
    shared: &Shared,
    who: AttachId,
    wake: &Wake,
    returning: &mut [Returning],
) -> Result<(), Bye> {
    let deadline = Instant::now() + SEATED_WITHIN;
    while returning.iter().any(Returning::is_awaited) {
        match timeout_at(deadline, letter(wake)).await {
            Ok(Letter::Reply(reply)) => hear(returning, reply, who),
            Ok(Letter::Order(Command::Leave(bye))) => return Err(bye),
            Ok(Letter::Order(Command::AskAgain)) => {
                ask(shared, who, returning).await;
            }
            Ok(Letter::News) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// A room's own word counts more than what was seen of it before.
fn hear(returning: &mut [Returning], reply: Reply, who: AttachId) {
    let Some(room) = returning.iter_mut().find(|room| room.name == reply.room) else {
        return;
    };
    room.stands_still |= matches!(reply.answer, Answer::NotTaken { n: 0, .. });
    if let Some(seated) = Seated::of(reply, who.generation) {
        room.seated = Some(seated);
    }
}

/// Looks the client's positions up in the logs, until the deadline.
async fn check(
    socket: &mut Socket,
    returning: &mut [Returning],
    deadline: Instant,
) -> Result<Vec<Option<ResumePoint>>, Bye> {
    let mut cursors: Vec<_> = returning
        .iter()
        .map(|room| room.pos.map(Cursor::new))
        .collect();
    let mut places: Vec<Option<ResumePoint>> = returning.iter().map(|_| None).collect();
    loop {
        let mut waiting = false;
        for ((room, cursor), place) in returning.iter().zip(&mut cursors).zip(&mut places) {
            let (Some(cursor), None, Some(seated)) = (cursor, &place, &room.seated) else {
                continue;
            };
            let seat = socket
                .rooms
                .get(room.slot)
                .and_then(|room| room.seat.as_ref());
            let Some(seat) = seat.filter(|_| seated.member.is_some()) else {
                continue;
            };
            *place = match seat.check(cursor, seated.pos) {
                // A state from before the newest join is another visit's.
                _ if seated
                    .joined
                    .is_some_and(|joined| cursor.pos.off < joined.off) =>
                {
                    Some(ResumePoint::Gone(SnapshotReason::Trimmed))
                }
                Pulled::End | Pulled::More => Some(ResumePoint::Here(*cursor)),
                Pulled::Lost(reason) => Some(ResumePoint::Gone(reason)),
                Pulled::Wait => None,
            };
            waiting |= place.is_none();
        }
        if !waiting {
            return Ok(places);
        }
        match timeout_at(deadline, letter(&socket.wake)).await {
            Ok(Letter::Order(Command::Leave(bye))) => return Err(bye),
            Ok(Letter::Reply(reply)) => hear(returning, reply, socket.who),
            Ok(Letter::Order(Command::AskAgain) | Letter::News) => {}
            Err(_) => return Ok(places),
        }
    }
}

/// Puts the session into the room as it stands there.
fn stand(socket: &mut Socket, returning: &Returning, place: Option<ResumePoint>) -> CatchUp {
    let Some(room) = socket.rooms.get(returning.slot) else {
        return CatchUp::Gone;
    };
    let Some(seated) = returning.seated.as_ref().filter(|_| returning.reached) else {
        // What it was asked brings what it shows, where that was asked for.
        let reason = returning.gone.unwrap_or(SnapshotReason::Requested);
        let asked = returning.view && returning.reached;
        room.ask_for(reason, returning.pos, asked.then(Instant::now));
        if !returning.reached {
            room.asked.awaits_no_answer();
            room.unreached(Instant::now());
        }
        return CatchUp::Snapshot;
    };
    let Some(member) = seated.member else {
        return CatchUp::Gone;
    };
    room.gate.applied(seated.n);
    match place {
        Some(ResumePoint::Here(cursor)) => {
            room.replay(member, cursor, seated.pos, seated.settled);
            CatchUp::Replay
        }
        Some(ResumePoint::Gone(reason)) => {
            room.lose(reason, None);
            CatchUp::Snapshot
        }
        None => {
            let answered = seated.answer.is_some();
            room.lose(
                SnapshotReason::Requested,
                (returning.view && answered).then(Instant::now),
            );
            CatchUp::Snapshot
        }
    }
}

fn label(how: CatchUp) -> &'static str {
    match how {
        CatchUp::Replay => "replay",
        CatchUp::Snapshot => "snapshot",
        CatchUp::Gone => "gone",
    }
}

/// What a socket is told while it waits.
enum Letter {
    Reply(Reply),
    Order(Command),
    News,
}

async fn letter(wake: &Wake) -> Letter {
    poll_fn(|cx| {
        wake.register(cx.waker());
        if let Some(order) = wake.take_order() {
            return Poll::Ready(Letter::Order(order));
        }
        if let Some(reply) = wake.take_reply() {
            return Poll::Ready(Letter::Reply(reply));
        }
        if wake.take_rooms() != 0 {
            return Poll::Ready(Letter::News);
        }
        Poll::Pending
    })
    .await
}

impl Seated {
    /// The place of a member, unless a newer socket has it.
    fn at(SeatRead { seat, last }: SeatRead, generation: u64) -> Option<Self> {
        let stays = seat.joined.is_some() && seat.generation <= generation;
        stays.then_some(Seated {
            member: seat.member,
            n: seat.n,
            pos: last,
            joined: seat.joined,
            settled: seat.settled_off.map(|off| Settled { n: seat.n, off }),
            answer: None,
        })
    }

    fn of(reply: Reply, asked: u64) -> Option<Self> {
        match reply.answer {
            Answer::Seated {
                generation,
                member,
                n,
                pos,
                joined,
                ..
            } if generation == asked => Some(Seated {
                member,
                n,
                pos,
                joined,
                settled: None,
                answer: Some(reply.answer),
            }),
            Answer::Seated { .. }
            | Answer::Joined { .. }
            | Answer::Outcome(_)
            | Answer::Gap { .. }
            | Answer::NotTaken { .. }
            | Answer::Superseded { .. } => None,
        }
    }
}
