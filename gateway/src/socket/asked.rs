//! What one socket has asked a room and has not been answered yet. Pure.

use std::{collections::VecDeque, time::Duration};

use outlast_broker::Request;
use outlast_protocol::Payload;
use tokio::time::Instant;

/// Actions that a room has not settled yet, in order of their numbers. What it answers with a reply is kept,
/// since a reply may be lost: what waits for too long is asked again, and the room tells repetitions by
/// their numbers. Of acts whose outcomes will stand in the log only the numbers are kept.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    questions: VecDeque<Question>,
    bytes: usize,
    /// When all questions were last put to the room.
    at: Option<Instant>,
    entries: Option<Entries>,
}

#[derive(Debug)]
struct Question {
    n: u64,
    request: Request,
    bytes: usize,
}

/// Acts of a member, whose outcomes come as entries of the log. The store has acknowledged them; whether it
/// has lost some all the same (R4) shows in what the room says it has applied, asked behind them.
#[derive(Debug)]
struct Entries {
    first: u64,
    last: u64,
    /// Since when nothing has been heard of them.
    at: Instant,
    /// The last one before the room was asked what it has applied.
    checked: Option<u64>,
}

/// How long a room may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many questions one room may have open.
const QUESTIONS_MAX: usize = 256;

impl Asked {
    pub(crate) fn is_empty(&self) -> bool {
        self.questions.is_empty() && self.entries.is_none()
    }

    /// Whether the action with this number is asked for.
    pub(crate) fn contains(&self, n: u64) -> bool {
        self.questions.iter().any(|question| question.n == n)
    }

    /// Whether a join or a leave before this action has not been answered.
    pub(crate) fn owes_before(&self, n: u64) -> bool {
        let mut before = self.questions.iter().filter(|question| question.n < n);
        before.any(|question| !question.acts())
    }

    /// Whether the session has asked to leave: no act behind that has its outcome in the log.
    pub(crate) fn leaves(&self) -> bool {
        self.first_leave().is_some()
    }

    /// Whether there is no place for another question.
    pub(crate) fn is_full(&self) -> bool {
        self.questions.len() >= QUESTIONS_MAX
    }

    /// How much memory the open questions take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// An action goes to the room, which will answer it.
    pub(crate) fn ask(&mut self, n: u64, request: Request, now: Instant) {
        let bytes = match &request {
            Request::Join { data, .. } => data.as_ref().map_or(0, bytes),
            Request::Act { data, .. } => bytes(data),
            Request::Leave { .. } => 0,
            Request::Attached { .. }
            | Request::Arrived
            | Request::View
            | Request::Look
            | Request::Post { .. }
            | Request::Report { .. }
            | Request::Detached
            | Request::Over { .. } => {
                return;
            }
        };
        self.drop_from(n);
        self.bytes += bytes;
        self.questions.push_back(Question { n, request, bytes });
        self.at.get_or_insert(now);
    }

    /// An act goes to the room, and its outcome will stand in the log.
    pub(crate) fn expect_entry(&mut self, n: u64, now: Instant) {
        self.drop_from(n);
        match &mut self.entries {
            Some(entries) => entries.last = n,
            None => {
                self.entries = Some(Entries {
                    first: n,
                    last: n,
                    at: now,
                    checked: None,
                });
            }
        }
    }

    /// The log had the outcome of the act with this number, and so of every one before.
    pub(crate) fn found_entry(&mut self, n: u64, now: Instant) {
        if let Some(entries) = &mut self.entries {
            entries.first = entries.first.max(n + 1);
            entries.at = now;
        }
        self.entries.take_if(|entries| entries.first > entries.last);
        // A leave that was refused: the session stays, and with it what came behind.
        if self.first_leave() == Some(n) {
            self.settle(n);
            self.settle_acts(now);
        }
    }

    /// The room says what it has applied. Answers what has to come again, if that was lost on the way.
    pub(crate) fn heard_applied(&mut self, applied: u64) -> Option<u64> {
        let entries = self.entries.as_mut()?;
        let checked = entries.checked.take()?;
        // Less than the log had: that is another history, and the log will tell.
        if applied < checked && applied + 1 >= entries.first {
            self.drop_from(applied + 1);
            return Some(applied + 1);
        }
        if applied >= checked {
            entries.first = entries.first.max(applied + 1);
        }
        self.entries.take_if(|entries| entries.first > entries.last);
        None
    }

    /// The action has its outcome.
    pub(crate) fn settle(&mut self, n: u64) {
        self.retain(|question| question.n != n);
    }

    /// Every action up to this number has its outcome.
    pub(crate) fn settle_to(&mut self, n: u64) {
        self.retain(|question| question.n > n);
        if let Some(entries) = &mut self.entries {
            entries.first = entries.first.max(n + 1);
        }
        self.entries.take_if(|entries| entries.first > entries.last);
    }

    /// The session is in the room: the outcomes of its acts stand in the log, up to where it has asked to
    /// leave.
    pub(crate) fn settle_acts(&mut self, now: Instant) {
        let end = self.first_leave().unwrap_or(u64::MAX);
        let stands = |question: &Question| question.acts() && question.n < end;
        let acts = self.questions.iter().filter(|question| stands(question));
        let numbers: Vec<u64> = acts.map(|question| question.n).collect();
        self.retain(|question| !stands(question));
        if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
            let before = self.entries.take();
            self.entries = Some(Entries {
                first: before.map_or(*first, |entries| entries.first),
                last: *last,
                at: now,
                checked: None,
            });
        }
    }

    /// The session is out of the room: no outcome of its acts will stand in the log.
    pub(crate) fn leave(&mut self) {
        self.entries = None;
    }

    /// The action with this number was not taken, nor anything behind it.
    pub(crate) fn drop_from(&mut self, n: u64) {
        self.retain(|question| question.n < n);
        if let Some(entries) = &mut self.entries {
            entries.last = entries.last.min(n.saturating_sub(1));
        }
        self.entries.take_if(|entries| entries.first > entries.last);
    }

    /// What was lost is asked again at once.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if let Some(due) = now.checked_sub(PATIENCE) {
            self.at = self.at.map(|_| due);
            if let Some(entries) = &mut self.entries {
                entries.at = due;
            }
        }
    }

    /// When to ask again.
    pub(crate) fn next(&self) -> Option<Instant> {
        let at = [self.at, self.entries.as_ref().map(|entries| entries.at)];
        at.into_iter().flatten().min().map(|at| at + PATIENCE)
    }

    /// What to ask again now.
    pub(crate) fn again(&mut self, now: Instant) -> Vec<Request> {
        let is_due = |at: Instant| now >= at + PATIENCE;
        let mut requests = Vec::new();
        if self.at.is_some_and(is_due) {
            self.at = Some(now);
            let questions = self.questions.iter();
            requests.extend(questions.map(|question| question.request.clone()));
        }
        if let Some(entries) = &mut self.entries
            && is_due(entries.at)
        {
            entries.at = now;
            // Of several answers the first is about the first of the checks.
            entries.checked.get_or_insert(entries.last);
            requests.push(Request::Attached { view: false });
        }
        requests
    }

    fn first_leave(&self) -> Option<u64> {
        let leaves = |question: &&Question| matches!(question.request, Request::Leave { .. });
        self.questions
            .iter()
            .find(leaves)
            .map(|question| question.n)
    }

    fn retain(&mut self, mut keep: impl FnMut(&Question) -> bool) {
        let bytes = &mut self.bytes;
        self.questions.retain(|question| {
            let keep = keep(question);
            *bytes -= if keep { 0 } else { question.bytes };
            keep
        });
        if self.questions.is_empty() {
            self.questions = VecDeque::new();
            self.at = None;
        }
    }
}

impl Question {
    fn acts(&self) -> bool {
        matches!(self.request, Request::Act { .. })
    }
}

fn bytes(payload: &Payload) -> usize {
    payload.as_json().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(n: u64) -> Request {
        Request::Act {
            n,
            data: Payload::null(),
        }
    }

    fn join(n: u64) -> Request {
        Request::Join {
            n,
            user: "ada".into(),
            data: None,
        }
    }

    #[test]
    fn a3_what_is_not_answered_in_time_is_asked_again_in_order() {
        let start = Instant::now();
        let mut asked = Asked::default();
        asked.ask(1, join(1), start);
        asked.ask(2, act(2), start + PATIENCE / 2);
        assert!(asked.again(start + PATIENCE / 2).is_empty());
        assert_eq!(asked.again(start + PATIENCE), [join(1), act(2)]);
        assert!(asked.again(start + PATIENCE).is_empty());
        asked.hurry(start + PATIENCE * 3 / 2);
        assert_eq!(asked.again(start + PATIENCE * 3 / 2).len(), 2);
        asked.settle_to(1);
        asked.settle_acts(start + PATIENCE * 2);
        assert!(asked.questions.is_empty());
        asked.found_entry(2, start + PATIENCE * 2);
        assert!(asked.is_empty() && asked.next().is_none());
    }

    #[test]
    fn r4_acts_that_were_lost_show_in_what_the_room_has_applied() {
        let start = Instant::now();
        let check = [Request::Attached { view: false }];
        let mut asked = Asked::default();
        (3..=6).for_each(|n| asked.expect_entry(n, start));
        asked.found_entry(3, start + PATIENCE / 2);
        assert!(asked.again(start + PATIENCE).is_empty());
        assert_eq!(asked.again(start + PATIENCE * 3 / 2), check);
        asked.expect_entry(7, start + PATIENCE * 3 / 2);
        assert_eq!(asked.heard_applied(6), None, "7 was sent behind that");
        asked.hurry(start + PATIENCE * 2);
        assert_eq!(asked.again(start + PATIENCE * 2), check);
        assert_eq!(asked.heard_applied(4), None, "another history");
        asked.hurry(start + PATIENCE * 2);
        assert_eq!(asked.again(start + PATIENCE * 2), check);
        assert_eq!(asked.heard_applied(6), Some(7));
        assert_eq!(asked.heard_applied(6), None, "nobody asked");
        assert!(asked.is_empty());
    }

    #[test]
    fn a2_acts_behind_a_leave_are_answered() {
        let now = Instant::now();
        let mut asked = Asked::default();
        asked.ask(1, join(1), now);
        asked.ask(2, act(2), now);
        asked.ask(3, Request::Leave { n: 3 }, now);
        asked.ask(4, act(4), now);
        asked.settle_to(1);
        asked.settle_acts(now);
        assert!(!asked.contains(2) && asked.contains(4) && asked.leaves());
        asked.settle_to(3);
        assert!(asked.contains(4) && !asked.leaves() && asked.entries.is_none());
    }

    #[test]
    fn w5_behind_a_refused_leave_everything_goes_on() {
        let now = Instant::now();
        let mut asked = Asked::default();
        asked.expect_entry(2, now);
        asked.ask(3, Request::Leave { n: 3 }, now);
        asked.ask(4, act(4), now);
        asked.found_entry(2, now);
        assert!(asked.leaves() && asked.contains(4));
        asked.found_entry(3, now);
        assert!(!asked.leaves() && !asked.contains(4) && !asked.is_empty());
        asked.found_entry(4, now);
        assert!(asked.is_empty());
    }

    #[test]
    fn what_it_remembers_is_counted() {
        let now = Instant::now();
        let mut asked = Asked::default();
        let data = Payload::of(&"x".repeat(998)).unwrap();
        for n in 1.. {
            if asked.is_full() {
                break;
            }
            asked.ask(
                n,
                Request::Act {
                    n,
                    data: data.clone(),
                },
                now,
            );
        }
        assert_eq!(asked.bytes(), 256_000);
        asked.settle(7);
        asked.drop_from(200);
        assert_eq!(asked.bytes(), 198_000);
        asked.settle_acts(now);
        assert_eq!(asked.bytes(), 0);
    }
}
