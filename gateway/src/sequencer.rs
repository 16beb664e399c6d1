//! Which actions of a client go on to their room (A5). Pure.

/// What one socket knows of the numbers in one room.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    /// True if this session ever asked to join.
    asked: bool,
    /// Up to here everything went to the room, without a hole, and the room has not asked for it again.
    forwarded: u64,
    /// What the room has applied, as far as it said so when the session came back or an entry shows it: the
    /// outcomes of acts up to here stand in the log.
    applied: u64,
    /// Up to here the client has, or is being given, the outcomes: it sends none of these again.
    settled: u64,
    /// The number that has to come, or come again, before any higher one.
    awaited: Option<u64>,
    /// True if some of what was forwarded is to come again: a later act says nothing of it.
    reopened: bool,
}

/// What becomes of an action.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes to the room.
    Forward,
    /// It is on its way already: nothing is done, and nothing is said.
    Duplicate,
    /// It was sent before its sender heard of an error, and comes again after that: nothing is said.
    Early,
    /// The session never asked to join this room.
    NotJoined,
}

impl Sequencer {
    /// The gate of a room that the session has been in, or asked to be.
    pub(crate) fn known() -> Self {
        Sequencer {
            asked: true,
            ..Sequencer::default()
        }
    }

    /// Judges an act.
    pub(crate) fn act(&self, n: u64) -> Verdict {
        let verdict = self.any(n);
        if verdict != Verdict::Forward {
            return verdict;
        }
        match (n <= self.applied, self.asked) {
            (true, _) => Verdict::Duplicate,
            (false, true) => Verdict::Forward,
            (false, false) => Verdict::NotJoined,
        }
    }

    /// Judges a join or a leave. A leave passes although no join is known of: it may be sent again, for
    /// a room that the session has left, and the room has kept its outcome (A3).
    pub(crate) fn any(&self, n: u64) -> Verdict {
        if self.awaited.is_some_and(|awaited| n > awaited) {
            Verdict::Early
        } else if n <= self.forwarded {
            Verdict::Duplicate
        } else {
            Verdict::Forward
        }
    }

    /// A join is on its way.
    pub(crate) fn ask(&mut self) {
        self.asked = true;
    }

    /// The room says that the session is a member, and what it has applied.
    pub(crate) fn applied(&mut self, n: u64) {
        self.applied = n;
    }

    /// The room says what it has applied of a member, who is given the log.
    pub(crate) fn has_applied(&mut self, n: u64) {
        self.applied = self.applied.max(n);
    }

    /// The first number whose outcome is not known of.
    pub(crate) fn next_outcome(&self) -> u64 {
        self.settled.max(self.applied) + 1
    }

    /// The action goes to the room.
    pub(crate) fn forward(&mut self, n: u64) {
        let known = if self.reopened { 0 } else { self.applied };
        if n == self.forwarded.max(known) + 1 {
            self.forwarded = n;
        }
        self.awaited = self.awaited.filter(|awaited| *awaited > n);
    }

    /// What has to come before any higher number, if anything has.
    pub(crate) fn awaited(&self) -> Option<u64> {
        self.awaited
    }

    /// True if the client has, or is being given, the outcome of the action with this number.
    pub(crate) fn has_told(&self, n: u64) -> bool {
        n <= self.settled
    }

    /// The room has applied everything up to here, and the client is told so.
    pub(crate) fn reach(&mut self, n: u64) {
        self.reopened &= n < self.applied;
        self.forwarded = self.forwarded.max(n);
        self.settled = self.settled.max(n);
        self.awaited = self.awaited.filter(|awaited| *awaited > n);
    }

    /// The client is sent the entry that is the outcome of the act with this number. Acts before it have
    /// entries, too, which came before; a leave and a join before it have none, and may come again (A3).
    pub(crate) fn tell(&mut self, n: u64) {
        self.applied = self.applied.max(n);
        self.settled = self.settled.max(n);
        self.awaited = self.awaited.filter(|awaited| *awaited > n);
    }

    /// The action cannot be taken now. Answers whether the client has to be told so, to send it again later
    /// with everything after it; not if its outcome was faster.
    pub(crate) fn refuse(&mut self, n: u64) -> bool {
        if n <= self.settled {
            return false;
        }
        self.reopen(n);
        self.awaited = Some(self.awaited.map_or(n, |awaited| awaited.min(n)));
        true
    }

    /// The action may come again, and goes to the room then, though a later one has its outcome.
    pub(crate) fn reopen(&mut self, n: u64) {
        self.forwarded = self.forwarded.min(n - 1);
        self.reopened = true;
    }

    /// The client was reminded of what is awaited: whatever it sends from there on goes to the room, which tells
    /// repetitions.
    pub(crate) fn let_pass(&mut self, n: u64) {
        self.reopen(n);
        self.awaited = None;
    }

    /// The client was told that the action is not taken at all: the next one bears its number. What it
    /// has sent after it is judged by itself.
    pub(crate) fn free(&mut self, n: u64) {
        self.reopen(n);
        self.awaited = self.awaited.filter(|awaited| *awaited < n);
    }

    /// The client was told that the room knows of no member: what it has sent is over, and which number the room
    /// expects next is the room's to say (A10).
    pub(crate) fn lost(&mut self) {
        *self = Sequencer {
            // Nobody reads the log any more for what was not told.
            applied: self.settled,
            settled: self.settled,
            ..Sequencer::known()
        };
    }

    /// The client was told of a gap. What it had sent before it heard of that comes again, after what is
    /// missing; unless that followed on its own meanwhile.
    pub(crate) fn gap(&mut self, expect: u64) {
        let followed = self.forwarded >= expect;
        self.expect(expect);
        self.awaited = self.awaited.filter(|_| !followed);
    }

    /// The client was told to go on from here, by a snapshot of another history. What it had sent before it
    /// heard of that comes again under another number.
    pub(crate) fn expect(&mut self, n: u64) {
        let before = n.saturating_sub(1);
        // What lies below and did not get through may come again, too.
        self.forwarded = self.forwarded.min(before);
        self.reopened = true;
        self.applied = self.applied.min(before);
        self.settled = self.settled.min(before);
        self.awaited = Some(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_acts_need_a_join_that_was_asked_for() {
        let mut gate = Sequencer::default();
        assert_eq!(gate.act(1), Verdict::NotJoined);
        assert_eq!(gate.any(1), Verdict::Forward);
        gate.ask();
        assert_eq!(gate.act(1), Verdict::Forward);
        assert_eq!(Sequencer::known().act(7), Verdict::Forward);
    }

    #[test]
    fn a5_after_an_error_everything_waits_for_its_number() {
        let mut gate = Sequencer::known();
        gate.forward(1);
        assert!(gate.refuse(2));
        assert_eq!(gate.act(3), Verdict::Early);
        assert_eq!(gate.act(1), Verdict::Duplicate);
        assert_eq!(gate.act(2), Verdict::Forward);
        gate.forward(2);
        assert_eq!(gate.act(3), Verdict::Forward);
    }

    #[test]
    fn a1_what_was_sent_before_a_gap_was_heard_of_does_not_hide_what_fills_it() {
        let mut gate = Sequencer::known();
        gate.forward(5);
        gate.gap(3);
        assert_eq!(gate.act(6), Verdict::Early);
        for n in 3..=6 {
            assert_eq!(gate.act(n), Verdict::Forward);
            gate.forward(n);
        }
    }

    #[test]
    fn a8_a_gap_does_not_hide_what_was_refused_below_it() {
        let mut gate = Sequencer::known();
        gate.reach(2);
        gate.forward(3);
        assert!(gate.refuse(3));
        gate.gap(5);
        assert_eq!(gate.any(3), Verdict::Forward);
        assert_eq!(gate.any(2), Verdict::Duplicate);
    }

    #[test]
    fn a1_what_follows_a_higher_number_on_its_own_goes_on() {
        let mut gate = Sequencer::known();
        gate.reach(6);
        for n in [8, 7] {
            assert_eq!(gate.act(n), Verdict::Forward);
            gate.forward(n);
        }
        gate.gap(7);
        assert_eq!(gate.act(8), Verdict::Forward);
        assert_eq!(gate.act(7), Verdict::Forward, "it may be sent again");
    }

    #[test]
    fn a5_what_was_refused_and_taken_all_the_same_holds_nothing_up() {
        let mut gate = Sequencer::known();
        gate.forward(1);
        assert!(gate.refuse(1));
        gate.reach(1);
        assert_eq!(gate.act(1), Verdict::Duplicate);
        assert_eq!(gate.act(2), Verdict::Forward);
    }

    #[test]
    fn a5_what_has_its_outcome_is_not_refused_later() {
        let mut gate = Sequencer::known();
        gate.forward(1);
        gate.reach(1);
        assert!(!gate.refuse(1));
        assert_eq!(gate.act(2), Verdict::Forward);
        gate.expect(1);
        assert!(gate.refuse(1), "another history");
    }

    #[test]
    fn a5_what_is_not_taken_at_all_holds_nothing_up() {
        let mut gate = Sequencer::default();
        gate.free(1);
        assert_eq!(gate.act(2), Verdict::NotJoined);
        assert_eq!(gate.any(1), Verdict::Forward);
    }

    #[test]
    fn a5_an_error_of_the_room_frees_what_was_appended() {
        let mut gate = Sequencer::known();
        (1..=5).for_each(|n| gate.forward(n));
        assert!(gate.refuse(3));
        assert_eq!(gate.act(5), Verdict::Early);
        assert_eq!(gate.act(3), Verdict::Forward);
    }

    #[test]
    fn a3_acts_that_were_applied_are_not_sent_again_but_joins_are() {
        let mut gate = Sequencer::known();
        gate.applied(3);
        assert_eq!(gate.act(3), Verdict::Duplicate);
        assert_eq!(gate.any(3), Verdict::Forward);
        assert_eq!(gate.act(4), Verdict::Forward);
        gate.expect(2);
        assert_eq!(gate.act(2), Verdict::Forward);
    }

    #[test]
    fn a3_a_join_comes_again_though_a_later_act_has_its_outcome() {
        let mut gate = Sequencer::known();
        gate.tell(5);
        assert_eq!(gate.act(5), Verdict::Duplicate);
        assert_eq!(gate.any(3), Verdict::Forward);
        gate.forward(3);
        assert_eq!(gate.any(6), Verdict::Forward);
        gate.forward(6);
        assert_eq!(gate.any(6), Verdict::Duplicate);
    }

    #[test]
    fn a8_a_later_act_does_not_hide_a_leave_that_has_to_come_again() {
        let mut gate = Sequencer::known();
        (1..=5).for_each(|n| gate.forward(n));
        gate.gap(3);
        gate.tell(5);
        assert_eq!(gate.act(6), Verdict::Forward);
        gate.forward(6);
        assert_eq!(gate.any(3), Verdict::Forward);
    }

    #[test]
    fn a5_the_first_that_was_refused_comes_first() {
        let mut gate = Sequencer::known();
        (1..=5).for_each(|n| gate.forward(n));
        assert!(gate.refuse(3));
        assert!(gate.refuse(4));
        assert_eq!(gate.awaited(), Some(3));
    }

    #[test]
    fn a8_nothing_is_awaited_of_who_was_told_to_be_out() {
        let mut gate = Sequencer::known();
        (1..=5).for_each(|n| gate.forward(n));
        gate.reach(5);
        assert!(gate.refuse(6));
        assert_eq!(gate.any(7), Verdict::Early);
        gate.lost();
        for n in [1, 6, 7] {
            assert_eq!(
                gate.any(n),
                Verdict::Forward,
                "the room says which it expects"
            );
        }
    }

    #[test]
    fn a1_a_gap_opens_the_gate_for_what_the_room_expects() {
        let mut gate = Sequencer::known();
        (1..=5).for_each(|n| gate.forward(n));
        assert!(gate.refuse(6));
        gate.expect(4);
        assert_eq!(gate.act(3), Verdict::Duplicate);
        assert_eq!(gate.act(5), Verdict::Early);
        for n in 4..9 {
            assert_eq!(gate.act(n), Verdict::Forward);
            gate.forward(n);
        }
    }
}
