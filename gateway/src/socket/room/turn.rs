//! What a room's log has for a member, given in turns.

use outlast_protocol::{ServerFrame, SnapshotReason};
use tokio::time::Instant;

use super::{Due, Room, Stand, TURN_BYTES};
use crate::{hub::Pulled, telemetry, wire::Wire};

/// What is left to do after a room was given its turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing, until it is woken.
    Done,
    /// More, as soon as the client has read this.
    More,
}

impl Room {
    /// Writes what the log has for this member, until the socket's turn is over.
    pub(crate) fn pull(&mut self, wire: &mut Wire, now: Instant) -> Turn {
        let (Stand::In(follow), Some(seat)) = (&mut self.stand, &self.seat) else {
            return Turn::Done;
        };
        let (codec, member) = (wire.codec(), follow.member);
        let (gate, asked) = (&mut self.gate, &mut self.asked);
        let end = follow.due.as_ref().map_or(u64::MAX, Due::off);
        let mut sent = 0;
        let pulled = seat.pull(&mut follow.cursor, |item| {
            if wire.unsent() >= TURN_BYTES || item.entry.pos.off > end {
                return false;
            }
            if item.entry.body.is_for(member) {
                if let Some(n) = item.entry.body.settles(member) {
                    gate.tell(n);
                    asked.found_entry(n, now);
                }
                wire.send_encoded(item.frame(&self.name, codec));
                sent += 1;
            }
            true
        });
        if sent > 0 {
            metrics::counter!(telemetry::ENTRIES).increment(sent);
            if follow.live.is_some() {
                metrics::counter!(telemetry::REPLAYED).increment(sent);
            }
        }
        let lost = match pulled {
            Pulled::Lost(reason) => Some(reason),
            Pulled::End | Pulled::More | Pulled::Wait => None,
        };
        if lost.is_some() || follow.cursor.pos.off >= end {
            match follow.due.take() {
                Some(Due::Left { n, reason, .. }) => {
                    self.leave();
                    wire.send(&ServerFrame::Left {
                        room: self.name.clone(),
                        n: Some(n),
                        reason,
                    });
                    return Turn::Done;
                }
                Some(Due::Joined(joined)) => {
                    let frame = match lost {
                        Some(reason) => self.rejoin(joined, reason, now),
                        None if self.asked.owes_before(joined.n) => {
                            self.rejoin(joined, SnapshotReason::Requested, now)
                        }
                        None => {
                            self.gate.reach(joined.n);
                            self.asked.settle_to(joined.n);
                            joined.frame(self.name.clone())
                        }
                    };
                    wire.send(&frame);
                    return Turn::More;
                }
                None => {}
            }
        }
        match pulled {
            Pulled::End => {
                follow.behind = false;
                if let Some((off, _)) = &follow.live
                    && follow.cursor.pos.off >= *off
                {
                    follow.live = None;
                    let pos = follow.cursor.pos;
                    wire.send(&ServerFrame::Live {
                        room: self.name.clone(),
                        pos,
                    });
                }
                if follow.live.is_none() {
                    seat.signals(&mut follow.signals, codec, |frame| wire.send_encoded(frame));
                }
                Turn::Done
            }
            Pulled::More => Turn::More,
            Pulled::Wait => {
                if follow.live.is_none() && !std::mem::replace(&mut follow.behind, true) {
                    metrics::counter!(telemetry::FELL_BEHIND).increment(1);
                }
                Turn::Done
            }
            Pulled::Lost(reason) => {
                self.lose(reason, None);
                Turn::Done
            }
        }
    }
}
