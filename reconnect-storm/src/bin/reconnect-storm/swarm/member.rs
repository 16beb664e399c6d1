use std::{collections::BTreeSet, sync::Arc, time::Instant};

use outlast_protocol::{CatchUp, RoomName, ServerFrame};
use reconnect_storm::{Judge, Seen, Verdict, Witness};

use super::{
    board::{Board, Stand, add},
    order::Journey,
};

/// One client of the swarm: whether it is well, and how long its way back took.
#[derive(Debug)]
pub(super) struct Member {
    judge: Judge,
    board: Arc<Board>,
    stand: Stand,
    /// Rooms that it has not caught up in since it came back.
    behind: BTreeSet<RoomName>,
    silenced_at: Option<Instant>,
}

impl Member {
    pub(super) fn new(judge: Judge, board: Arc<Board>, stand: Stand) -> Self {
        Member {
            judge,
            board,
            stand,
            behind: BTreeSet::new(),
            silenced_at: None,
        }
    }

    /// Whether it is attached, and has caught up with everything.
    pub(super) fn is_whole(&self) -> bool {
        self.stand.is_whole()
    }

    /// Whether it has read its room to the end that anybody knows.
    pub(super) fn has_read_all(&mut self, room: &RoomName) -> bool {
        let (own, last) = self.judge.progress(room);
        own >= last
    }

    /// What became of it.
    pub(super) fn finish(&mut self) -> (Journey, Verdict) {
        self.judge.expect_settled();
        (self.stand.journey, self.judge.finish())
    }

    fn heard(&mut self, at: Instant, frame: &ServerFrame) {
        let (board, stand) = (&self.board, &mut self.stand);
        match frame {
            ServerFrame::Welcome { .. } => {
                stand.attaches(board, at);
                stand.catches_up(board, at);
            }
            ServerFrame::Resumed { rooms, .. } => {
                stand.attaches(board, at);
                let behind = rooms.iter().filter(|(_, how)| **how != CatchUp::Gone);
                self.behind = behind.map(|(room, _)| room.clone()).collect();
                if self.behind.is_empty() {
                    stand.catches_up(board, at);
                }
            }
            ServerFrame::Live { room, .. } => {
                self.behind.remove(room);
                if self.behind.is_empty() {
                    stand.catches_up(board, at);
                }
            }
            ServerFrame::Move { after_ms, .. } => {
                board.touch(stand.client);
                let now_us = board.in_storm_us(at);
                stand.journey.move_at_us = now_us.map(|now_us| now_us + after_ms * 1_000);
            }
            ServerFrame::Busy { .. } => add(&board.refusals),
            ServerFrame::Joined { .. }
            | ServerFrame::Event { .. }
            | ServerFrame::Notice { .. }
            | ServerFrame::Result { .. }
            | ServerFrame::Snapshot { .. }
            | ServerFrame::Signal { .. }
            | ServerFrame::Left { .. }
            | ServerFrame::Gap { .. }
            | ServerFrame::Error { .. }
            | ServerFrame::Ping {}
            | ServerFrame::Bye { .. } => {}
        }
    }
}

impl Witness for Member {
    fn saw(&mut self, at: Instant, seen: Seen) {
        let (board, stand) = (&self.board, &mut self.stand);
        match &seen {
            Seen::Connecting { .. } => {
                stand.dials(board, at);
                if stand.journey.move_at_us.is_some() && stand.journey.move_dialled_us.is_none() {
                    stand.journey.move_dialled_us = board.in_storm_us(at);
                }
            }
            Seen::Lost { .. } => stand.loses(board, at),
            Seen::Silenced => self.silenced_at = Some(at),
            Seen::Moved => {
                add(&board.moved);
                stand.journey.moved_us = board.in_storm_us(at);
                let silenced = self.silenced_at.take();
                stand.journey.silenced_us =
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
        if let Some(mark) = self.judge.saw(&seen) {
            self.board.event(at, self.stand.client, mark);
        }
    }
}
