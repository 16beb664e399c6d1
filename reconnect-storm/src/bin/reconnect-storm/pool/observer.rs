use std::{collections::BTreeSet, sync::Arc, time::Instant};

use outlast_protocol::{CatchUp, RoomName, ServerFrame};
use reconnect_storm::{Judge, Observer, Seen, Verdict};

use super::{
    command::Recovery,
    scoreboard::{ClientState, Scoreboard},
};

/// Observes one client of the pool: its faults, and its way back.
#[derive(Debug)]
pub(super) struct ClientObserver {
    judge: Judge,
    board: Arc<Scoreboard>,
    state: ClientState,
    /// Rooms that it has not caught up in since it came back.
    catching_up: BTreeSet<RoomName>,
    silenced_at: Option<Instant>,
}

impl ClientObserver {
    pub(super) fn new(judge: Judge, board: Arc<Scoreboard>, state: ClientState) -> Self {
        ClientObserver {
            judge,
            board,
            state,
            catching_up: BTreeSet::new(),
            silenced_at: None,
        }
    }

    /// It is attached, and has caught up with everything.
    pub(super) fn is_whole(&self) -> bool {
        self.state.is_whole()
    }

    /// It has read its room to the end that anybody knows.
    pub(super) fn has_read_all(&mut self, room: &RoomName) -> bool {
        let (own, last) = self.judge.progress(room);
        own >= last
    }

    /// Its outcome.
    pub(super) fn finish(&mut self) -> (Recovery, Verdict) {
        self.judge.expect_settled();
        (self.state.recovery, self.judge.finish())
    }

    fn heard(&mut self, at: Instant, frame: &ServerFrame) {
        let (board, state) = (&self.board, &mut self.state);
        if let ServerFrame::Welcome { .. } = frame {
            state.attaches(board, at);
            self.catching_up.clear();
        } else if let ServerFrame::Resumed { rooms, .. } = frame {
            state.attaches(board, at);
            let here = rooms.iter().filter(|(_, how)| **how != CatchUp::Gone);
            self.catching_up = here.map(|(room, _)| room.clone()).collect();
        } else if let ServerFrame::Live { room, .. } = frame {
            self.catching_up.remove(room);
        } else if let ServerFrame::Move { after_ms, .. } = frame {
            board.touch(state.client);
            let now_us = board.in_storm_us(at);
            state.recovery.move_at_us = now_us.map(|now_us| now_us + after_ms * 1_000);
        } else if let ServerFrame::Busy { .. } = frame {
            board.count(|counts| counts.refusals += 1);
        }
        if self.catching_up.is_empty() {
            state.catches_up(board, at);
        }
    }
}

impl Observer for ClientObserver {
    fn saw(&mut self, at: Instant, seen: Seen) {
        let (board, state) = (&self.board, &mut self.state);
        match &seen {
            Seen::Connecting { .. } => {
                state.dials(board, at);
                if state.recovery.move_at_us.is_some() && state.recovery.move_dialled_us.is_none() {
                    state.recovery.move_dialled_us = board.in_storm_us(at);
                }
            }
            Seen::Lost { .. } => state.loses(board, at),
            Seen::Silenced => self.silenced_at = Some(at),
            Seen::Moved => {
                board.count(|counts| counts.moved += 1);
                state.recovery.moved_us = board.in_storm_us(at);
                let silenced = self.silenced_at.take();
                state.recovery.silenced_us =
                    silenced.map(|since| at.duration_since(since).as_micros() as u64);
            }
            Seen::Heard(frame) => self.heard(at, frame),
            Seen::Resuming { .. }
            | Seen::Asked { .. }
            | Seen::Renumbered { .. }
            | Seen::Settled { .. }
            | Seen::Garbled(_)
            | Seen::SessionGone
            | Seen::Stopped { .. } => {}
        }
        if let Some(stamp) = self.judge.saw(&seen) {
            self.board.event(at, self.state.client, stamp);
        }
    }
}
