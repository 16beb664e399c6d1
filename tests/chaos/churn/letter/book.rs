use std::time::{Duration, Instant};

use outlast_protocol::Pos;
use reconnect_storm::{Outcome, Seen};
use serde_json::{Value, json};

use super::Kind;

/// A client's record of one room: A1 to A5, R1 and R5.
#[derive(Debug, Default)]
pub(super) struct Book {
    last_n: u64,
    pending: Vec<Pending>,
    pos: Option<String>,
    member: Option<u64>,
    /// Everything from `n` on is sent again at that moment (A5).
    held: Option<(u64, Instant)>,
    /// The lowest number that an error gave back, while later ones have no answer yet.
    freed: Option<u64>,
    seen: Vec<Seen>,
}

#[derive(Debug)]
struct Pending {
    id: usize,
    n: u64,
    kind: Kind,
    data: Value,
}

impl Book {
    pub(super) fn is_inside(&self) -> bool {
        self.member.is_some()
    }

    pub(super) fn will_be_inside(&self) -> bool {
        let turn = self.pending.iter().rfind(|asked| asked.kind != Kind::Act);
        turn.map_or(self.is_inside(), |asked| asked.kind == Kind::Join)
    }

    pub(super) fn is_turning(&self) -> bool {
        self.pending.iter().any(|asked| asked.kind != Kind::Act)
    }

    /// True if it belongs into a `resume`.
    pub(super) fn is_open(&self) -> bool {
        self.is_inside() || !self.pending.is_empty()
    }

    /// R1: null while a join has no outcome.
    pub(super) fn resumes_from(&self) -> Option<&str> {
        let joins = self.pending.iter().any(|asked| asked.kind == Kind::Join);
        self.pos.as_deref().filter(|_| !joins)
    }

    pub(super) fn pos(&self) -> Option<&str> {
        self.pos.as_deref()
    }

    pub(super) fn member(&self) -> Option<u64> {
        self.member
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn waiting(&self, room: &str) -> Vec<String> {
        let pending = self.pending.iter();
        pending
            .map(|asked| format!("{room} {:?} {}", asked.kind, asked.n))
            .collect()
    }

    pub(super) fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    pub(super) fn ask(
        &mut self,
        id: usize,
        kind: Kind,
        data: Value,
        room: &str,
        attached: bool,
    ) -> (u64, Option<Value>) {
        self.last_n += 1;
        let asked = Pending {
            id,
            n: self.last_n,
            kind,
            data,
        };
        // What is held is sent with everything in front of it.
        let frame = (attached && self.held.is_none()).then(|| asked.frame(room));
        self.pending.push(asked);
        (self.last_n, frame)
    }

    /// A3: everything without an outcome, in order.
    pub(super) fn resend_all(&mut self, room: &str) -> Vec<Value> {
        self.held = None;
        self.resend(room, 0)
    }

    fn resend(&self, room: &str, from: u64) -> Vec<Value> {
        let due = self.pending.iter().filter(|asked| asked.n >= from);
        due.map(|asked| asked.frame(room)).collect()
    }

    pub(super) fn tick(&mut self, room: &str, now: Instant) -> Vec<Value> {
        match self.held {
            Some((from, at)) if at <= now => {
                self.held = None;
                self.resend(room, from)
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// A9.
    pub(super) fn joined(&mut self, n: u64, member: u64, pos: &str) {
        self.settle(|asked| (asked.n <= n).then_some(unseen(asked.kind)));
        (self.member, self.pos) = (Some(member), Some(pos.to_owned()));
    }

    pub(super) fn event(&mut self, by: Option<u64>, n: Option<u64>, pos: &str) {
        self.pos = Some(pos.to_owned());
        if by.is_some() && by == self.member {
            let own = |asked: &Pending| asked.kind == Kind::Act && Some(asked.n) == n;
            self.settle(|asked| own(asked).then(|| Outcome::Event(parse(pos))));
        }
    }

    pub(super) fn passed(&mut self, pos: &str) {
        self.pos = Some(pos.to_owned());
    }

    /// A2, A4.
    pub(super) fn result(&mut self, n: u64, pos: &str, refused: Option<String>) {
        if self.member.is_some() {
            self.pos = Some(pos.to_owned());
        }
        self.settle(|asked| match &refused {
            None => (asked.kind == Kind::Act && asked.n <= n).then(|| Outcome::Taken(parse(pos))),
            Some(code) if code == "unknown" => (asked.n == n).then_some(Outcome::Unknown),
            Some(code) => (asked.n == n).then(|| Outcome::Refused {
                pos: parse(pos),
                code: code.clone(),
            }),
        });
    }

    /// R5.
    pub(super) fn snapshot(
        &mut self,
        room: &str,
        n: u64,
        member: u64,
        pos: &str,
        diverged: bool,
    ) -> Vec<Value> {
        (self.member, self.pos) = (Some(member), Some(pos.to_owned()));
        self.settle(|asked| (asked.n <= n).then_some(unseen(asked.kind)));
        if diverged {
            return self.renumber(room, n + 1);
        }
        Vec::new()
    }

    /// A9.
    pub(super) fn left(&mut self, n: Option<u64>) {
        let Some(n) = n else {
            let joins = self.pending.iter().find(|asked| asked.kind == Kind::Join);
            let join = joins.map_or(u64::MAX, |asked| asked.n);
            (self.member, self.pos) = (None, None);
            return self.settle(|asked| (asked.n < join).then_some(unseen(asked.kind)));
        };
        if self.pending.iter().all(|asked| asked.n > n) {
            return; // an older socket has told it before
        }
        (self.member, self.pos) = (None, None);
        self.settle(|asked| (asked.n <= n).then_some(unseen(asked.kind)));
    }

    /// It is none of the session's rooms any more; says whether that is news.
    pub(super) fn is_out(&mut self) -> bool {
        self.pos = None;
        self.member.take().is_some()
    }

    /// R1: as a `left` without a number.
    pub(super) fn gone(&mut self) {
        self.left(None);
    }

    /// A1, A10; and A5, where an error gave a number back.
    pub(super) fn gap(&mut self, room: &str, expect: u64) -> Vec<Value> {
        let freed = self.freed.take_if(|freed| *freed <= expect).is_some();
        let forgotten = match self.pending.first() {
            Some(asked) => asked.n > expect,
            None => self.member.is_none(),
        };
        if forgotten || (freed && self.pending.iter().all(|asked| asked.n != expect)) {
            return self.renumber(room, expect);
        }
        if let Some((from, _)) = &mut self.held {
            *from = expect.min(*from);
            return Vec::new();
        }
        self.resend(room, expect)
    }

    /// A5.
    pub(super) fn not_taken(&mut self, n: u64, code: &str, retry: Option<Duration>, now: Instant) {
        if let Some(retry) = retry {
            let (from, at) = self.held.unwrap_or((n, now + retry));
            self.held = Some((from.min(n), at.max(now + retry)));
            return;
        }
        let code = code.to_owned();
        let before = self.pending.len();
        self.settle(|asked| (asked.n == n).then(|| Outcome::NotTaken { code: code.clone() }));
        if self.pending.len() == before {
            return;
        }
        let freed = self.freed.map_or(n, |freed| freed.min(n));
        match self.pending.iter().any(|asked| asked.n > freed) {
            true => self.freed = Some(freed),
            false => (self.freed, self.last_n) = (None, freed - 1),
        }
    }

    fn renumber(&mut self, room: &str, from: u64) -> Vec<Value> {
        (self.freed, self.held) = (None, None);
        self.last_n = from - 1;
        for asked in self.pending.iter_mut().filter(|asked| asked.n >= from) {
            self.last_n += 1;
            asked.n = self.last_n;
            let (id, n) = (asked.id, asked.n);
            self.seen.push(Seen::Renumbered { id, n });
        }
        self.resend(room, from)
    }

    fn settle(&mut self, outcome: impl Fn(&Pending) -> Option<Outcome>) {
        let seen = &mut self.seen;
        self.pending.retain(|asked| {
            let Some(outcome) = outcome(asked) else {
                return true;
            };
            seen.push(Seen::Settled {
                id: asked.id,
                outcome,
            });
            false
        });
    }
}

impl Pending {
    fn frame(&self, room: &str) -> Value {
        let Pending { n, data, .. } = self;
        match self.kind {
            Kind::Join => json!({"t": "join", "room": room, "n": n, "data": data}),
            Kind::Act => json!({"t": "act", "room": room, "n": n, "data": data}),
            Kind::Leave => json!({"t": "leave", "room": room, "n": n}),
        }
    }
}

/// Returns the outcome of an action that was applied without being told.
fn unseen(kind: Kind) -> Outcome {
    match kind {
        Kind::Join => Outcome::Joined,
        Kind::Act => Outcome::Unknown,
        Kind::Leave => Outcome::Left,
    }
}

fn parse(pos: &str) -> Pos {
    pos.parse().unwrap()
}
