//! What one client was sent in each room, beside the room's log.

use std::collections::{BTreeSet, HashMap};

use outlast_protocol::{CatchUp, Member, Payload, Pos, RoomName, ServerFrame, SnapshotReason};

use super::{Case, LoggedBody, RoomLog, Verdict, Wrong};
use crate::{ActionId, Ask, Record, Seen};

/// Walks through one client's record.
pub(super) fn check(case: &Case<'_>, client: usize, record: &Record, verdict: &mut Verdict) {
    let empty = RoomLog::default();
    let mut walk = Walk {
        client,
        verdict,
        asked: HashMap::new(),
        joins: HashMap::new(),
        rooms: HashMap::new(),
        case,
    };
    for sighting in &record.sightings {
        match &sighting.what {
            Seen::Asked {
                id,
                room,
                ask: Ask::Join(_),
                ..
            } => {
                walk.joins.insert(*id, room.clone());
            }
            Seen::Settled { id, .. } => {
                walk.joins.remove(id);
            }
            Seen::Resuming { rooms } => {
                // Behind a join whose outcome was lost, a position from before it is worth nothing.
                let rejoined = |room: &&RoomName| walk.joins.values().any(|joined| joined == *room);
                walk.asked = rooms
                    .iter()
                    .filter(|(room, _)| !rejoined(room))
                    .map(|(room, pos)| (room.clone(), *pos))
                    .collect();
            }
            Seen::Heard(frame) => {
                let log = frame_room(frame)
                    .and_then(|room| case.logs.get(room))
                    .unwrap_or(&empty);
                walk.heard(frame, log);
            }
            Seen::Garbled(text) => walk.verdict.find(Wrong::Garbled, Some(client), None, text),
            Seen::SessionGone => {
                if !case.sessions_may_go {
                    walk.verdict
                        .find(Wrong::Gone, Some(client), None, "the session is gone");
                }
                walk.rooms.clear();
            }
            Seen::Connecting { .. }
            | Seen::Asked { .. }
            | Seen::Renumbered { .. }
            | Seen::Lost { .. }
            | Seen::Silenced
            | Seen::Moved
            | Seen::Stopped { .. } => {}
        }
    }
    walk.finish();
}

/// Two clients never saw different things at one position.
pub(super) fn check_agreement(case: &Case<'_>, verdict: &mut Verdict) {
    if case.excused.contains(&SnapshotReason::Diverged) {
        return; // The same `off` may then stand for two histories.
    }
    let mut events: HashMap<(&RoomName, u64), (Pos, &Payload, usize)> = HashMap::new();
    for (client, record) in case.clients.iter().enumerate() {
        for (_, frame) in record.frames() {
            let ServerFrame::Event {
                room, pos, data, ..
            } = frame
            else {
                continue;
            };
            let (other_pos, other_data, other) = events
                .entry((room, pos.off))
                .or_insert((*pos, data, client));
            if other_pos != pos || *other_data != data {
                let what =
                    format!("saw {pos} {data:?}, client {other} saw {other_pos} {other_data:?}");
                verdict.find(Wrong::Differing, Some(client), Some(room), what);
            }
        }
    }
}

struct Walk<'a> {
    client: usize,
    case: &'a Case<'a>,
    verdict: &'a mut Verdict,
    /// Joins without an outcome.
    joins: HashMap<ActionId, RoomName>,
    /// From where the client asked to go on when it resumed last.
    asked: HashMap<RoomName, Option<Pos>>,
    rooms: HashMap<RoomName, Place>,
}

/// Where a member stands in a room.
struct Place {
    member: Member,
    off: u64,
    /// What came as an entry since the client joined.
    seen: BTreeSet<u64>,
    /// What should have come before `off`, and has not.
    missing: BTreeSet<u64>,
    /// A snapshot is to come, and has not yet.
    is_promised: bool,
}

impl Walk<'_> {
    fn heard(&mut self, frame: &ServerFrame, log: &RoomLog) {
        match frame {
            ServerFrame::Resumed { rooms, .. } => {
                self.verdict.resumed += 1;
                for (room, _) in rooms.iter().filter(|(_, how)| **how == CatchUp::Gone) {
                    self.leave(room);
                }
                for (room, how) in rooms {
                    if let Some(place) = self.rooms.get_mut(room) {
                        place.is_promised = *how == CatchUp::Snapshot;
                    }
                }
            }
            ServerFrame::Joined {
                room, member, pos, ..
            } => self.stand(room, *member, *pos, log),
            ServerFrame::Snapshot {
                room,
                member,
                pos,
                reason,
                ..
            } => {
                self.verdict.saw_snapshot(*reason);
                // A join whose answer was lost may be answered so (R5).
                let joins = self.joins.values().any(|joined| joined == room);
                let requested = !matches!(self.asked.get(room), Some(Some(_)))
                    || (joins && *reason == SnapshotReason::Requested);
                let explained = requested || *reason == SnapshotReason::Shorter;
                if !explained && !self.case.excused.contains(reason) {
                    self.find(Wrong::Snapshot, room, format!("{reason:?} at {pos}"));
                }
                if *reason == SnapshotReason::Diverged {
                    self.rooms.remove(room);
                }
                self.stand(room, *member, *pos, log);
            }
            ServerFrame::Event {
                room, pos, data, ..
            } => {
                let same = |logged: &LoggedBody| matches!(logged, LoggedBody::Event { data: d, .. } if d == data);
                self.entry(room, *pos, log, same);
            }
            ServerFrame::Notice { room, pos, data } => {
                let same = |logged: &LoggedBody| matches!(logged, LoggedBody::Notice { data: d, .. } if d == data);
                self.entry(room, *pos, log, same);
            }
            ServerFrame::Result {
                room, pos, n, ok, ..
            } => {
                // To who is no member, an outcome comes as an answer and not in the order of the log. Whether
                // somebody is one, a promised snapshot tells.
                let place = self.rooms.get(room);
                if place.is_some_and(|place| !place.is_promised) {
                    let same = |logged: &LoggedBody| matches!(logged, LoggedBody::Result { n: m, ok: o, .. } if m == n && o == ok);
                    self.entry(room, *pos, log, same);
                }
            }
            ServerFrame::Live { room, pos } => {
                self.same_history(room, *pos, log);
                if let Some(place) = self.rooms.get_mut(room) {
                    place.pass(pos.off + 1, log);
                    place.off = place.off.max(pos.off);
                }
            }
            ServerFrame::Left { room, .. } => self.leave(room),
            ServerFrame::Welcome { .. }
            | ServerFrame::Signal { .. }
            | ServerFrame::Gap { .. }
            | ServerFrame::Error { .. }
            | ServerFrame::Ping {}
            | ServerFrame::Move { .. }
            | ServerFrame::Busy { .. }
            | ServerFrame::Bye { .. } => {}
        }
    }

    /// A state of the room: from here on, everything behind `pos` is to come.
    fn stand(&mut self, room: &RoomName, member: Member, pos: Pos, log: &RoomLog) {
        self.same_history(room, pos, log);
        if let Some(place) = self.rooms.get_mut(room) {
            place.is_promised = false;
            if pos.off < place.off {
                let what = format!(
                    "a state of {pos} came to a client that stood at {}",
                    place.off
                );
                self.find(Wrong::OutOfOrder, room, what);
            } else {
                place.off = pos.off;
            }
            return;
        }
        let place = Place {
            member,
            off: pos.off,
            seen: BTreeSet::new(),
            missing: BTreeSet::new(),
            is_promised: false,
        };
        self.rooms.insert(room.clone(), place);
    }

    fn entry(
        &mut self,
        room: &RoomName,
        pos: Pos,
        log: &RoomLog,
        same: impl Fn(&LoggedBody) -> bool,
    ) {
        self.verdict.entries_seen += 1;
        self.same_history(room, pos, log);
        if log.at(pos.off).is_some_and(|logged| !same(&logged.body)) {
            self.find(
                Wrong::Differing,
                room,
                format!("{pos} is not what the log has there"),
            );
        }
        let Some(place) = self.rooms.get_mut(room) else {
            self.find(
                Wrong::Gone,
                room,
                format!("{pos} came to a client that is no member"),
            );
            return;
        };
        let (fresh, late) = (place.seen.insert(pos.off), place.missing.remove(&pos.off));
        if pos.off > place.off {
            place.pass(pos.off, log);
            place.off = pos.off;
        } else if !fresh {
            self.find(Wrong::Doubled, room, format!("{pos} came twice"));
        } else {
            let how = if late {
                "came late"
            } else {
                "is older than the state that was sent"
            };
            let what = format!("{pos} {how}: the client stood at {}", place.off);
            self.find(Wrong::OutOfOrder, room, what);
        }
    }

    /// Every position that a client is told stands in the log.
    fn same_history(&mut self, room: &RoomName, pos: Pos, log: &RoomLog) {
        let trimmed = pos.off < log.first_off();
        if !trimmed && log.at(pos.off).is_none_or(|logged| logged.pos != pos) {
            self.find(
                Wrong::Differing,
                room,
                format!("{pos} does not stand in the log"),
            );
        }
    }

    fn leave(&mut self, room: &RoomName) {
        if let Some(place) = self.rooms.remove(room) {
            self.lost(room, &place);
        }
    }

    fn lost(&mut self, room: &RoomName, place: &Place) {
        for off in &place.missing {
            self.find(Wrong::Lost, room, format!("entry {off} never came"));
        }
    }

    fn finish(mut self) {
        for (room, mut place) in std::mem::take(&mut self.rooms) {
            if let Some(log) = self.case.logs.get(&room).filter(|_| self.case.complete) {
                place.pass(log.last_off() + 1, log);
            }
            self.lost(&room, &place);
        }
    }

    fn find(&mut self, wrong: Wrong, room: &RoomName, what: String) {
        self.verdict
            .find(wrong, Some(self.client), Some(room), what);
    }
}

impl Place {
    /// Something at `off` came: what is for this member, stands before it and has not come is missing.
    fn pass(&mut self, off: u64, log: &RoomLog) {
        let between = log
            .between(self.off, off, self.member)
            .map(|logged| logged.pos.off);
        self.missing.extend(between);
    }
}

fn frame_room(frame: &ServerFrame) -> Option<&RoomName> {
    match frame {
        ServerFrame::Joined { room, .. }
        | ServerFrame::Event { room, .. }
        | ServerFrame::Notice { room, .. }
        | ServerFrame::Result { room, .. }
        | ServerFrame::Snapshot { room, .. }
        | ServerFrame::Live { room, .. }
        | ServerFrame::Signal { room, .. }
        | ServerFrame::Left { room, .. }
        | ServerFrame::Gap { room, .. } => Some(room),
        ServerFrame::Error { .. }
        | ServerFrame::Welcome { .. }
        | ServerFrame::Resumed { .. }
        | ServerFrame::Ping {}
        | ServerFrame::Move { .. }
        | ServerFrame::Busy { .. }
        | ServerFrame::Bye { .. } => None,
    }
}
