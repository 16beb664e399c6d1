//! What one socket has asked a room and has not been answered yet. Pure.

use std::{collections::VecDeque, time::Duration};

use outlast_broker::Request;
use outlast_protocol::Payload;
use tokio::time::Instant;

/// Actions that a room answers with a reply, in order of their numbers. A reply may be lost: what waits
/// for too long is asked again, and the room tells repetitions by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    questions: VecDeque<Question>,
    bytes: usize,
    /// When all of it was last put to the room.
    at: Option<Instant>,
}

#[derive(Debug)]
struct Question {
    n: u64,
    acts: bool,
    request: Request,
    bytes: usize,
}

/// How long a room may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many questions one room may have open.
const QUESTIONS_MAX: usize = 256;

impl Asked {
    pub(crate) fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// Whether the action with this number is among them.
    pub(crate) fn contains(&self, n: u64) -> bool {
        self.questions.iter().any(|question| question.n == n)
    }

    /// Whether a join or a leave before this action has not been answered.
    pub(crate) fn owes_before(&self, n: u64) -> bool {
        let mut before = self.questions.iter().filter(|question| question.n < n);
        before.any(|question| !question.acts)
    }

    /// Whether there is no place for another question.
    pub(crate) fn is_full(&self) -> bool {
        self.questions.len() >= QUESTIONS_MAX
    }

    /// How much memory the open questions take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// An action goes to the room.
    pub(crate) fn ask(&mut self, n: u64, request: Request, now: Instant) {
        let (acts, bytes) = match &request {
            Request::Join { data, .. } => (false, data.as_ref().map_or(0, bytes)),
            Request::Act { data, .. } => (true, bytes(data)),
            Request::Leave { .. } => (false, 0),
            Request::Attached { .. }
            | Request::View
            | Request::Look
            | Request::Post { .. }
            | Request::Detached
            | Request::Over { .. } => {
                return;
            }
        };
        self.drop_from(n);
        self.bytes += bytes;
        self.questions.push_back(Question {
            n,
            acts,
            request,
            bytes,
        });
        self.at.get_or_insert(now);
    }

    /// The action has its outcome.
    pub(crate) fn settle(&mut self, n: u64) {
        self.retain(|question| question.n != n);
    }

    /// Every action up to this number has its outcome.
    pub(crate) fn settle_to(&mut self, n: u64) {
        self.retain(|question| question.n > n);
    }

    /// The session is in the room: the outcomes of its acts stand in the log. Later joins and leaves are
    /// answered still.
    pub(crate) fn settle_acts(&mut self) {
        self.retain(|question| !question.acts);
    }

    /// The action with this number was not taken, nor anything behind it.
    pub(crate) fn drop_from(&mut self, n: u64) {
        self.retain(|question| question.n < n);
    }

    /// What was lost is asked again at once.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if !self.is_empty() {
            self.at = now.checked_sub(PATIENCE).or(self.at);
        }
    }

    /// When to ask again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.at.map(|at| at + PATIENCE)
    }

    /// What to ask again now.
    pub(crate) fn again(&mut self, now: Instant) -> Vec<Request> {
        if self.next().is_none_or(|next| now < next) {
            return Vec::new();
        }
        self.at = Some(now);
        self.questions
            .iter()
            .map(|question| question.request.clone())
            .collect()
    }

    fn retain(&mut self, mut keep: impl FnMut(&Question) -> bool) {
        let bytes = &mut self.bytes;
        self.questions.retain(|question| {
            let keep = keep(question);
            *bytes -= if keep { 0 } else { question.bytes };
            keep
        });
        if self.questions.is_empty() {
            *self = Asked::default();
        }
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
        asked.settle_acts();
        assert!(asked.is_empty() && asked.next().is_none());
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
        asked.settle_acts();
        assert_eq!(asked.bytes(), 0);
    }
}
