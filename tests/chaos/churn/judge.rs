//! Judges a round from what was recorded of it. Without IO.

mod claims;
mod ghosts;
mod order;
mod outcomes;
#[cfg(test)]
mod planted;
mod stuck;

use std::{collections::BTreeMap, fmt, time::Duration};

pub(crate) use claims::{Claim, claims};
pub(crate) use ghosts::{Census, Guest, Present, Seat, ghosts};
pub(crate) use order::{app_order, order};
pub(crate) use outcomes::outcomes;
pub(crate) use stuck::{stuck, unsettled};

use super::history::History;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) wrong: Wrong,
    pub(crate) who: String,
    pub(crate) what: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// A fault that the checker of logs found: lost, doubled, out of order.
    Log,
    /// An entry came twice, or not in order.
    Order,
    /// An action has two outcomes.
    Outcomes,
    /// An action has no word within its time.
    Stuck,
    /// A member without a session, or a session without a socket or a deadline.
    Ghost,
    /// A room stands still.
    Stopped,
}

/// Returns the faults that clients saw on their sockets, without regard to the logs.
pub(crate) fn wire(history: &History, within: Duration, end: Duration) -> Vec<Fault> {
    let mut faults = order(history);
    faults.extend(outcomes(history));
    faults.extend(stuck(history, within, end));
    faults
}

/// Everything that was found in a round.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) faults: Vec<Fault>,
    pub(crate) actions: usize,
    pub(crate) events: usize,
}

impl Verdict {
    pub(crate) fn find(&mut self, wrong: Wrong, who: impl Into<String>, what: impl Into<String>) {
        let (who, what) = (who.into(), what.into());
        self.faults.push(Fault { wrong, who, what });
    }
}

const SHOWN_MAX: usize = 40;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<Wrong, usize> = BTreeMap::new();
        for fault in &self.faults {
            *kinds.entry(fault.wrong).or_default() += 1;
        }
        let (actions, events) = (self.actions, self.events);
        write!(f, "{actions} actions, {events} events; wrong: {kinds:?}")?;
        for Fault { wrong, who, what } in self.faults.iter().take(SHOWN_MAX) {
            write!(f, "\n  {wrong:?}: {who}: {what}")?;
        }
        Ok(())
    }
}
