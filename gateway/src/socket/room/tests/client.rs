use std::collections::{BTreeSet, VecDeque};

use outlast_protocol::{Pos, ServerFrame, SnapshotReason};

use super::ME;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Join,
    Act,
    Leave,
}

/// A client that knows SPEC, and nothing else.
#[derive(Default)]
pub(super) struct Client {
    pub(super) next: u64,
    /// What has no outcome, with the number that each bears.
    pub(super) unsettled: VecDeque<(u64, Kind)>,
    pub(super) inside: bool,
    pub(super) pos: Option<Pos>,
    /// Actions to be sent from this number on.
    pub(super) send_from: Option<u64>,
    /// Entries that it was given since it was last shown the room.
    pub(super) given: BTreeSet<u64>,
    /// The actions that it was told the outcome of.
    pub(super) told: BTreeSet<u64>,
    /// The number of times that it was shown the room in place of its log.
    pub(super) shortcuts: u32,
}

impl Client {
    pub(super) fn bound(&self) -> bool {
        let turn = self.unsettled.iter().rfind(|(_, kind)| *kind != Kind::Act);
        turn.map_or(self.inside, |(_, kind)| *kind == Kind::Join)
    }

    pub(super) fn ask(&mut self, kind: Kind) {
        self.unsettled.push_back((self.next, kind));
        self.resend(self.next);
        self.next += 1;
    }

    fn resend(&mut self, n: u64) {
        self.send_from = Some(self.send_from.map_or(n, |from| from.min(n)));
    }

    fn settle_to(&mut self, n: u64) {
        self.unsettled.retain(|(m, _)| *m > n);
    }

    /// What was given up as unknown may still have one.
    fn outcome(&mut self, n: u64) {
        assert!(self.told.insert(n), "the outcome of {n} twice");
        self.unsettled.retain(|(m, _)| *m != n);
    }

    fn renumber(&mut self, from: u64) {
        self.told.retain(|n| *n < from);
        self.next = from;
        for (n, _) in self.unsettled.iter_mut().filter(|(n, _)| *n >= from) {
            *n = self.next;
            self.next += 1;
        }
        self.resend(from);
    }

    fn stand(&mut self, pos: Pos, anew: bool) {
        let older = self.pos.is_some_and(|before| before.off > pos.off);
        assert!(anew || !older, "{pos} is shown after {:?}", self.pos);
        (self.inside, self.pos) = (true, Some(pos));
        self.given.clear();
    }

    fn advance(&mut self, pos: Pos) {
        assert!(self.inside, "{pos} is given to who is out");
        assert!(
            self.pos.is_some_and(|before| before.off < pos.off),
            "{pos} after {:?}",
            self.pos
        );
        assert!(self.given.insert(pos.off), "{pos} twice");
        self.pos = Some(pos);
    }

    pub(super) fn hear(&mut self, frame: ServerFrame) {
        match frame {
            ServerFrame::Joined { n, pos, .. } => {
                self.outcome(n);
                self.settle_to(n);
                self.stand(pos, false);
            }
            ServerFrame::Snapshot { n, pos, reason, .. } => {
                let diverged = reason == SnapshotReason::Diverged;
                if reason == SnapshotReason::Shorter {
                    self.shortcuts += 1;
                    let lost = self.unsettled.iter().find(|(m, _)| *m <= n);
                    assert_eq!(lost, None, "its outcome stood in the log");
                }
                self.settle_to(n);
                self.stand(pos, diverged);
                if diverged {
                    self.renumber(n + 1);
                } else {
                    self.next = self.next.max(n + 1);
                    self.resend(n + 1);
                }
            }
            ServerFrame::Event { pos, by, n, .. } => {
                self.advance(pos);
                if let Some(n) = n.filter(|_| by == Some(ME)) {
                    self.outcome(n);
                }
            }
            ServerFrame::Result { n, .. } => {
                self.outcome(n);
            }
            ServerFrame::Left { n: Some(n), .. } => {
                if !self.unsettled.iter().any(|(m, _)| *m <= n) {
                    return;
                }
                self.settle_to(n);
                self.next = self.next.max(n + 1);
                (self.inside, self.pos) = (false, None);
            }
            ServerFrame::Left { .. } => {
                let join = self.unsettled.iter().find(|(_, kind)| *kind == Kind::Join);
                let end = join.map_or(u64::MAX, |(n, _)| *n);
                self.unsettled.retain(|(n, _)| *n >= end);
                (self.inside, self.pos) = (false, None);
            }
            ServerFrame::Gap { expect, .. } => {
                let any = self.unsettled.iter().any(|(n, _)| *n >= expect);
                if any || (self.unsettled.is_empty() && !self.inside) {
                    self.renumber(expect);
                }
            }
            ServerFrame::Error {
                code,
                n: Some(n),
                retry_ms: Some(_),
                ..
            } => {
                assert_eq!(code, "busy");
                self.resend(n);
            }
            ServerFrame::Live { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}
