//! What one socket has asked a room and has not been answered yet. Pure.

use std::{collections::VecDeque, time::Duration};

use outlast_protocol::Payload;
use outlast_store::Request;
use tokio::time::Instant;

use super::patience::Patience;

/// Actions that a room has not settled yet, in order of their numbers. What it answers with a reply is kept,
/// since a reply may be lost: what waits for too long is asked again, and the room tells repetitions by
/// their numbers. Of acts whose outcomes will stand in the log only the numbers are kept.
#[derive(Debug, Default)]
pub(crate) struct PendingActions {
    questions: VecDeque<PendingAction>,
    bytes: usize,
    /// For the answers to all questions that were sent.
    patience: Option<Patience>,
    entries: Option<Entries>,
    /// The leave that the room has answered, while acts before it have no outcome yet (A9).
    left: Option<u64>,
    /// True if the room is to be asked what it has applied.
    probe: bool,
    /// True if it was, after the questions.
    probed: bool,
    /// For each time that the room was asked, and has not answered, the last act of a member before that; 0 for none.
    /// Where answers were lost an older one stands for a newer one, which is asked too little of.
    checks: VecDeque<u64>,
}

#[derive(Debug)]
struct PendingAction {
    n: u64,
    request: Request,
    bytes: usize,
    /// When the client asked it.
    since: Instant,
    /// True if it went to the room.
    sent: bool,
}

/// Acts of a member, whose outcomes come as entries of the log. The store has acknowledged them; whether it
/// has lost some all the same (R4) shows in what the room says it has applied, asked after them.
#[derive(Debug)]
struct Entries {
    first: u64,
    last: u64,
    patience: Patience,
    /// When anything was last heard of them.
    heard: Instant,
}

/// Time for a room to answer, at first.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// The longest that an action may go without a word: then the client is told that it was not taken for now (A8).
pub(crate) const WORD_WITHIN: Duration = Duration::from_secs(30);
/// Most answers to what it has applied that one room may owe.
const CHECKS_MAX: usize = 8;
/// Most open questions to one room.
const QUESTIONS_MAX: usize = 256;

impl PendingActions {
    pub(crate) fn is_empty(&self) -> bool {
        self.questions.is_empty() && self.entries.is_none()
    }

    /// True if the action with this number is asked for.
    pub(crate) fn contains(&self, n: u64) -> bool {
        self.questions.iter().any(|question| question.n == n)
    }

    /// True if something is asked for, all of it before this number.
    pub(crate) fn ends_before(&self, n: u64) -> bool {
        self.questions.back().is_some_and(|last| last.n < n)
    }

    /// True if a join or a leave before this action has not been answered.
    pub(crate) fn owes_before(&self, n: u64) -> bool {
        let mut before = self.questions.iter().filter(|question| question.n < n);
        before.any(|question| !question.acts())
    }

    /// True if the session has asked to join or to leave, and was not answered.
    pub(crate) fn turns(&self) -> bool {
        self.questions.iter().any(|question| !question.acts())
    }

    /// The leave that the session has asked for: no act after that has its outcome in the log.
    pub(crate) fn first_leave(&self) -> Option<u64> {
        let leaves = |question: &&PendingAction| matches!(question.request, Request::Leave { .. });
        let mut questions = self.questions.iter();
        questions.find(leaves).map(|question| question.n)
    }

    /// True if the session has asked to leave and to come back: what the log says after the join belongs to that.
    pub(crate) fn returns(&self) -> bool {
        let joins = |question: &PendingAction| matches!(question.request, Request::Join { .. });
        self.first_leave().is_some_and(|leave| {
            let mut later = self.questions.iter().filter(|question| question.n > leave);
            later.any(joins)
        })
    }

    /// True if there is no place for another question.
    pub(crate) fn is_full(&self) -> bool {
        self.questions.len() >= QUESTIONS_MAX
    }

    /// The memory that the open questions take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// An action goes to the room, which will answer it.
    pub(crate) fn ask(&mut self, n: u64, request: Request, now: Instant) {
        self.push(n, request, now, true);
        self.patience.get_or_insert_with(|| Patience::new(now));
    }

    /// An action waits until the room has shown itself: [`PendingActions::release`] has it sent.
    pub(crate) fn hold(&mut self, n: u64, request: Request, now: Instant) {
        self.push(n, request, now, false);
    }

    /// True if an action waits until the room has shown itself.
    pub(crate) fn holds(&self) -> bool {
        self.questions.back().is_some_and(|question| !question.sent)
    }

    /// What goes to the room now that it has shown itself.
    pub(crate) fn release(&mut self, now: Instant) -> Vec<Request> {
        self.patience.get_or_insert_with(|| Patience::new(now));
        let held = self.questions.iter_mut().filter(|question| !question.sent);
        let release = |question: &mut PendingAction| {
            question.sent = true;
            question.request.clone()
        };
        held.map(release).collect()
    }

    fn push(&mut self, n: u64, request: Request, now: Instant, sent: bool) {
        let bytes = match &request {
            Request::Join { data, .. } => data.as_ref().map_or(0, bytes),
            Request::Act { data, .. } => bytes(data),
            Request::Leave { .. } => 0,
            Request::Attached { .. }
            | Request::Arrived
            | Request::View
            | Request::Look
            | Request::Reload
            | Request::Inspect
            | Request::Post { .. }
            | Request::Report { .. }
            | Request::Detached
            | Request::Over { .. } => {
                return;
            }
        };
        self.drop_from(n);
        self.bytes += bytes;
        self.questions.push_back(PendingAction {
            n,
            request,
            bytes,
            since: now,
            sent,
        });
    }

    /// An act goes to the room, and its outcome will stand in the log.
    pub(crate) fn expect_entry(&mut self, n: u64, now: Instant) {
        self.drop_from(n);
        match &mut self.entries {
            Some(entries) => entries.last = n,
            None => self.entries = Some(Entries::new(n, n, now)),
        }
    }

    /// True if all of these are acts whose outcomes will stand in the log: one result may be that of several (A2).
    pub(crate) fn expects_entries(&self, first: u64, last: u64) -> bool {
        let entries = self.entries.as_ref();
        entries.is_some_and(|entries| entries.first <= first && last <= entries.last)
    }

    /// The log had the outcome of the act with this number, and so of every one before (A7).
    pub(crate) fn found_entry(&mut self, n: u64, now: Instant) {
        if let Some(entries) = &mut self.entries {
            entries.first = entries.first.max(n + 1);
            entries.heard(now);
        }
        self.entries.take_if(|entries| entries.first > entries.last);
        self.retain(|question| !(question.acts() && question.n <= n));
        // A leave that was refused: the session stays, and with it what came after.
        if self.first_leave() == Some(n) {
            self.settle(n);
            self.settle_acts(now);
        }
    }

    /// The room says what it has applied. Answers what has to come again, if that was lost on the way.
    pub(crate) fn heard_applied(&mut self, applied: u64, now: Instant) -> Option<u64> {
        let checked = self.checks.pop_front()?;
        let entries = self.entries.as_mut()?;
        entries.heard = now;
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

    /// The room is asked what it has applied, after acts up to this one.
    fn asks(&mut self, last: u64) {
        if self.checks.len() == CHECKS_MAX {
            self.checks.pop_front();
        }
        self.checks.push_back(last);
    }

    /// The room was asked before anything went to it on this socket, and may still answer.
    pub(crate) fn awaits_answer(&mut self) {
        self.asks(0);
    }

    /// That question did not go to the room.
    pub(crate) fn awaits_no_answer(&mut self) {
        self.checks.pop_back();
    }

    /// The same for questions: what the room expects, where it cannot take any of them. It says so once, and that may
    /// have been lost.
    pub(crate) fn expected_instead(&mut self, applied: u64) -> Option<u64> {
        if !std::mem::take(&mut self.probed) || self.entries.is_some() {
            return None;
        }
        let first = self.questions.front().filter(|question| question.sent)?;
        (first.n > applied + 1).then_some(applied + 1)
    }

    /// The room has to be asked what it has applied, and whether the session is a member.
    pub(crate) fn doubt(&mut self) {
        self.probe = true;
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
        let stands =
            |question: &PendingAction| question.acts() && question.sent && question.n < end;
        let acts = self.questions.iter().filter(|question| stands(question));
        let numbers: Vec<u64> = acts.map(|question| question.n).collect();
        self.retain(|question| !stands(question));
        if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
            let before = self.entries.take();
            let first = before.map_or(*first, |entries| entries.first);
            self.entries = Some(Entries::new(first, *last, now));
        }
    }

    /// The client was told that the session is out: whatever it asked before a join is over for it (A9).
    pub(crate) fn give_up(&mut self) {
        let joins = |question: &&PendingAction| matches!(question.request, Request::Join { .. });
        let join = self.questions.iter().find(joins);
        let end = join.map_or(u64::MAX, |question| question.n);
        self.retain(|question| question.n >= end);
        self.entries = None;
    }

    /// The session is out of the room: no outcome of its acts will stand in the log.
    pub(crate) fn leave(&mut self) {
        self.entries = None;
    }

    /// The room says that the session has left with this action. Answers whether its client may be told so: not before
    /// the acts ahead of it have had the time to get their outcomes, which are asked for once more (A9).
    pub(crate) fn left(&mut self, n: u64, now: Instant) -> bool {
        let again = self.left.replace(n) == Some(n);
        // That a session has left settles its joins and leaves before.
        self.retain(|question| question.acts() || question.n >= n);
        if !again && self.questions.iter().any(|question| question.n < n) {
            self.hurry(now);
            return false;
        }
        self.left = None;
        self.settle_to(n);
        true
    }

    /// The action with this number was not taken, nor anything after it.
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
            if let Some(patience) = &mut self.patience {
                *patience = Patience::new(due);
            }
            if let Some(entries) = &mut self.entries {
                entries.patience = Patience::new(due);
            }
        }
    }

    /// When to ask again, or to say that nobody answers.
    pub(crate) fn next(&self) -> Option<Instant> {
        let first = self.questions.front();
        let times = [
            self.patience.map(|patience| patience.ends(PATIENCE)),
            first.map(|question| question.since + WORD_WITHIN),
            self.entries.as_ref().map(Entries::next),
        ];
        times.into_iter().flatten().min()
    }

    /// The first action that has gone without a word for too long (A8).
    pub(crate) fn overdue(&self, now: Instant) -> Option<u64> {
        let question = self.questions.front();
        let question = question.filter(|question| now >= question.since + WORD_WITHIN);
        let entries = self.entries.as_ref();
        let entries = entries.filter(|entries| now >= entries.heard + WORD_WITHIN);
        let overdue = [
            question.map(|question| question.n),
            entries.map(|entries| entries.first),
        ];
        overdue.into_iter().flatten().min()
    }

    /// A snapshot will be the word for whatever has waited so long.
    pub(crate) fn excuse(&mut self, now: Instant) {
        let late = |question: &&mut PendingAction| now >= question.since + WORD_WITHIN;
        let questions = self.questions.iter_mut().filter(late);
        questions.for_each(|question| question.since = now);
        if let Some(entries) = &mut self.entries {
            entries.heard = now;
        }
    }

    /// What to ask again now.
    pub(crate) fn again(&mut self, now: Instant) -> Vec<Request> {
        let mut requests = Vec::new();
        let mut probe = std::mem::take(&mut self.probe);
        if let Some(patience) = &mut self.patience
            && now >= patience.ends(PATIENCE)
        {
            patience.again(now);
            let sent = self.questions.iter().filter(|question| question.sent);
            requests.extend(sent.map(|question| question.request.clone()));
            // Behind them, what the room expects: it tells of a gap once, and that may have been lost.
            self.probed = true;
            probe = true;
        }
        if let Some(entries) = &mut self.entries
            && now >= entries.patience.ends(PATIENCE)
        {
            entries.patience.again(now);
            probe = true;
        }
        if probe {
            let last = self.entries.as_ref().map_or(0, |entries| entries.last);
            self.asks(last);
            requests.push(Request::Attached { view: false });
        }
        requests
    }

    fn retain(&mut self, mut keep: impl FnMut(&PendingAction) -> bool) {
        let bytes = &mut self.bytes;
        self.questions.retain(|question| {
            let keep = keep(question);
            *bytes -= if keep { 0 } else { question.bytes };
            keep
        });
        if self.questions.is_empty() {
            self.questions = VecDeque::new();
            self.patience = None;
            self.left = None;
            self.probed = false;
        }
    }
}

impl Entries {
    fn new(first: u64, last: u64, now: Instant) -> Self {
        Entries {
            first,
            last,
            patience: Patience::new(now),
            heard: now,
        }
    }

    fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.patience = Patience::new(now);
    }

    fn next(&self) -> Instant {
        self.patience.ends(PATIENCE).min(self.heard + WORD_WITHIN)
    }
}

impl PendingAction {
    fn acts(&self) -> bool {
        matches!(self.request, Request::Act { .. })
    }
}

fn bytes(payload: &Payload) -> usize {
    payload.as_json().len()
}

#[cfg(test)]
mod tests;
