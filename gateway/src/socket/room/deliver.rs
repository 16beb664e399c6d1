//! What a room's log has for a member, given in turns.

use bytes::Bytes;
use outlast_protocol::{Codec, RoomName, ServerFrame, SnapshotReason};
use outlast_store::Body;
use tokio::time::Instant;

use super::{Follow, Membership, Patience, PendingOutcome, Room, TURN_BYTES};
use crate::{
    hub::{LogReader, Pulled},
    telemetry,
    wire::Wire,
};

/// What is left to do after a room was given its turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing, until it is woken.
    Done,
    /// More, as soon as the client has read this.
    More,
}

/// Where frames for one client are put.
pub(crate) trait Desk {
    fn codec(&self) -> Codec;
    /// What waits to be read by the client, in bytes.
    fn unsent(&self) -> usize;
    fn send(&mut self, frame: &ServerFrame);
    fn send_encoded(&mut self, frame: Bytes);
}

impl Desk for Wire {
    fn codec(&self) -> Codec {
        Wire::codec(self)
    }

    fn unsent(&self) -> usize {
        Wire::unsent(self)
    }

    fn send(&mut self, frame: &ServerFrame) {
        Wire::send(self, frame);
    }

    fn send_encoded(&mut self, frame: Bytes) {
        Wire::send_encoded(self, frame);
    }
}

impl<S: LogReader> Room<S> {
    /// Writes what the room has for this member, until the socket's turn is over.
    pub(crate) fn pull(&mut self, desk: &mut impl Desk, now: Instant) -> Turn {
        while desk.unsent() < TURN_BYTES && self.has_held() {
            let frame = self.held.pop().and_then(|held| self.apply(held, now));
            frame.iter().for_each(|frame| desk.send(frame));
        }
        let turn = self.give(desk, now);
        if self.has_held() { Turn::More } else { turn }
    }

    /// Writes what the log has, and what was pending after that.
    fn give(&mut self, desk: &mut impl Desk, now: Instant) -> Turn {
        let Membership::In(follow) = &self.membership else {
            return Turn::Done;
        };
        // What stands after its leave and the next join is given after `joined`, and only there (E3).
        let rejoins = follow.pending.is_none() && self.asked.returns();
        if rejoins || self.takes_shortcut(now) {
            return Turn::Done;
        }
        let Some((pulled, parts)) = self.write_entries(desk, now) else {
            return Turn::Done;
        };
        let lost = match pulled {
            Pulled::Lost(reason) => Some(reason),
            Pulled::End | Pulled::More | Pulled::Wait => None,
        };
        if let Membership::In(follow) = &mut self.membership
            && (lost.is_some() || parts || follow.cursor.pos.off >= follow.end())
            && let Some(pending) = follow.pending.take()
        {
            return self.tell(pending, lost, parts, desk, now);
        }
        self.rest(pulled, parts, desk, now)
    }

    /// Writes entries until the turn is over. Returns how far that went, and true if the member stands before its own leave.
    fn write_entries(&mut self, desk: &mut impl Desk, now: Instant) -> Option<(Pulled, bool)> {
        let (Membership::In(follow), Some(seat)) = (&mut self.membership, &self.seat) else {
            return None;
        };
        let (codec, member, end) = (desk.codec(), follow.member, follow.end());
        let (sequencer, asked) = (&mut self.sequencer, &mut self.asked);
        let mut sent = 0;
        let (mut parts, mut skips) = (false, false);
        let pulled = seat.pull(&mut follow.cursor, |item| {
            let (pos, body) = (item.entry.pos, &item.entry.body);
            if desk.unsent() >= TURN_BYTES || pos.off > end {
                return false;
            }
            if !body.is_for(member) {
                // Its own join lies before everything that it is given.
                parts = matches!(body, Body::Event { .. });
                return !parts;
            }
            if let Some(n) = body.settles(member) {
                let next = sequencer.next_outcome();
                parts = asked.first_leave().is_some_and(|leave| n > leave);
                // What the numbers before it did is not known here: it may have left and come back, without a trace.
                skips = n > next && !asked.expects_entries(next, n);
                if parts || skips {
                    return false;
                }
                sequencer.tell(n);
                asked.found_entry(n, now);
            }
            desk.send_encoded(item.frame(&self.name, codec));
            sent += 1;
            true
        });
        if sent > 0 {
            self.failed_snapshots = 0;
            metrics::counter!(telemetry::ENTRIES).increment(sent);
            if follow.live.is_some() {
                metrics::counter!(telemetry::REPLAYED).increment(sent);
            }
        }
        if skips && follow.at_leave.is_none() {
            asked.doubt();
        }
        parts |= skips;
        if parts {
            follow.at_leave.get_or_insert_with(|| Patience::new(now));
        }
        Some((pulled, parts))
    }

    /// Goes by how far the entries went, where nothing was pending after them.
    fn rest(&mut self, pulled: Pulled, parts: bool, desk: &mut impl Desk, now: Instant) -> Turn {
        let (Membership::In(follow), Some(seat)) = (&mut self.membership, &self.seat) else {
            return Turn::Done;
        };
        match pulled {
            Pulled::End => {
                self.failed_snapshots = 0;
                follow.at_end(&self.name, seat, desk);
            }
            // It stands before its own leave, and waits for what the room says of that.
            Pulled::More if parts => {}
            Pulled::More => return Turn::More,
            Pulled::Wait => {
                if follow.live.is_none() && !std::mem::replace(&mut follow.lags, true) {
                    metrics::counter!(telemetry::SLOW_READERS).increment(1);
                }
            }
            Pulled::Lost(reason) => self.lose_again(reason, now),
        }
        Turn::Done
    }

    /// Tells what was pending, now that everything before it was given.
    fn tell(
        &mut self,
        pending: PendingOutcome,
        lost: Option<SnapshotReason>,
        parts: bool,
        desk: &mut impl Desk,
        now: Instant,
    ) -> Turn {
        let frame = match pending {
            PendingOutcome::Left { n, reason, .. } => {
                if let Some(frame) = self.depart(n, reason, now) {
                    desk.send(&frame);
                }
                return Turn::Done;
            }
            PendingOutcome::Lost { n, .. } => {
                let frame = self.lost_member(n, now);
                desk.send(&frame);
                return Turn::Done;
            }
            PendingOutcome::Joined(joined) => match lost {
                Some(reason) => self.rejoin(joined, reason, now),
                // It left and came back, and the answer to the leave was lost.
                None if parts || self.asked.owes_before(joined.n) => {
                    self.rejoin(joined, SnapshotReason::Requested, now)
                }
                None => {
                    self.sequencer.reach(joined.n);
                    self.asked.settle_to(joined.n);
                    joined.frame(self.name.clone())
                }
            },
        };
        desk.send(&frame);
        Turn::More
    }
}

impl Follow {
    /// Nothing beyond this `off` is given before what is pending.
    fn end(&self) -> u64 {
        let pending = self.pending.as_ref();
        pending.map_or(u64::MAX, PendingOutcome::off)
    }

    /// Everything that there is was given.
    fn at_end(&mut self, room: &RoomName, seat: &impl LogReader, desk: &mut impl Desk) {
        self.lags = false;
        if let Some((off, _)) = &self.live
            && self.cursor.pos.off >= *off
        {
            self.live = None;
            desk.send(&ServerFrame::Live {
                room: room.clone(),
                pos: self.cursor.pos,
            });
        }
        if self.live.is_none() {
            let codec = desk.codec();
            seat.signals(&mut self.signals, codec, |frame| desk.send_encoded(frame));
        }
    }
}
