//! One room's feed as a state machine: what is announced and read goes in, and readers that each have a
//! place of their own pull from it. Pure: it says what has to be read and who has to be woken.
//!
//! There is one sequence, the room's log, and everybody stands somewhere in it. Who stands in the window
//! is live; who stands before it is given stretches of the log. Announcements only make the window grow;
//! whatever contradicts it is settled by a [`Read::Refresh`], because the log is the truth.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use outlast_protocol::{Payload, Pos, SnapshotReason};
use outlast_store::{Entry, LogSlice};

use super::{
    encoded::Signal,
    segment::Segment,
    window::{Lookup, Offered, Window},
};

mod reading;

/// A room's feed.
#[derive(Debug)]
pub(crate) struct Core {
    /// Newest entries that the log holds for certain (E2).
    log_entries: u64,
    /// True if it is known where the log ends; until then the rest is empty.
    seeded: bool,
    /// The highest `off` that was announced before that.
    early: u64,
    window: Window,
    past: BTreeMap<u64, Segment>,
    /// Stretches that are being read.
    reading: BTreeSet<u64>,
    refreshes: Refreshes,
    /// Everybody has been woken for entries up to here; after it only addressees have.
    woken_to: u64,
    /// The window's head at each of the last times that it was aged.
    aged: VecDeque<u64>,
    signals: VecDeque<Arc<Signal>>,
    /// The number of signals so far.
    signals_end: u64,
    wants: VecDeque<LogRead>,
}

/// Requests for the continuation of the log. One at a time.
#[derive(Debug, Default)]
struct Refreshes {
    started: u64,
    finished: u64,
    /// Somebody asked while one was under way: that one may have read too early.
    again: bool,
}

/// Something that has to be read from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogRead {
    /// The continuation of the log after the window; goes to [`Core::absorb`].
    Refresh,
    /// A stretch for those before the window; goes to [`Core::insert`].
    LogSlice {
        /// Which one.
        number: u64,
        /// When it was asked for: a stretch that was read before a refresh is worth nothing after it.
        refreshes: u64,
    },
}

/// A reader's place: it has read everything up to `pos`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) pos: Pos,
    /// The refresh that has to finish before `pos` may be said to be of another history.
    doubt: Option<u64>,
    /// The refresh that has to finish before the window tells where `pos` lies.
    asked: Option<u64>,
    /// True if the room itself says that its log goes at least so far.
    said: bool,
}

/// The result of a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// To the end of what there is.
    End,
    /// It wanted no more.
    More,
    /// To where the log has to be read: it comes again when it is woken.
    Wait,
    /// Nowhere: its place is gone.
    Lost(SnapshotReason),
}

/// The readers that have to be woken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wakes {
    /// Every reader.
    Everybody,
    /// These members alone.
    Members(Vec<u32>),
}

/// The result of a refresh.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absorbed {
    /// There is more to read.
    More,
    /// To the log's end.
    Done,
}

/// The most that a window holds. A reader before it reads the log.
const ITEMS_MAX: usize = 1024;
const BYTES_MAX: usize = 1024 * 1024;
/// An entry stays in the window for so many times that it is aged: whoever lost its socket is back by then,
/// and finds what it missed here (D4).
const AGES: usize = 3;
/// The most that the head may run ahead of readers that were not woken.
const UNWOKEN_MAX: u64 = 256;
/// The most that is held of the past.
const PAST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Signals that wait for slow readers; the newest win.
const SIGNALS_MAX: usize = 16;
/// Entries that a refresh reads at once.
pub(crate) const REFRESH_MAX: usize = 256;

impl Core {
    /// A feed that does not know yet where the log ends. The log keeps `log_entries` of its newest.
    pub(crate) fn new(log_entries: u64) -> Self {
        Core {
            log_entries,
            seeded: false,
            early: 0,
            window: Window::new(Pos::START),
            past: BTreeMap::new(),
            reading: BTreeSet::new(),
            refreshes: Refreshes::default(),
            woken_to: 0,
            aged: VecDeque::new(),
            signals: VecDeque::new(),
            signals_end: 0,
            wants: VecDeque::new(),
        }
    }

    /// The log ends at `end`, and from before that was read everything is announced.
    #[cfg(test)]
    pub(crate) fn seed(&mut self, end: Pos) {
        self.seed_tail(LogSlice {
            entries: Vec::new(),
            first_off: end.off,
            last: end,
        });
    }

    /// The log ends with this, and from before that was read everything is announced. Those who come back find
    /// what they missed here, if it is not much.
    pub(crate) fn seed_tail(&mut self, tail: LogSlice) {
        let mut entries = tail.entries.into_iter();
        let first = entries.next().map_or(tail.last, |entry| entry.pos);
        self.seeded = true;
        self.reset(first);
        let all = entries.all(|entry| self.offer(entry) == Offered::Added);
        if !all || self.head() != tail.last {
            self.reset(tail.last);
        }
        self.woken_to = tail.last.off;
        if self.early > tail.last.off {
            self.refresh();
        }
    }

    /// The newest position known.
    pub(crate) fn head(&self) -> Pos {
        self.window.head()
    }

    /// The number of signals so far: where a new reader begins.
    pub(crate) fn signals_end(&self) -> u64 {
        self.signals_end
    }

    /// What has to be read next, until there is nothing.
    pub(crate) fn poll_read(&mut self) -> Option<LogRead> {
        self.wants.pop_front()
    }

    /// Takes a commit's news in. The log ended at `prev` before them: entries are believed only where
    /// that is known to be so, for those that merely bear the next number may belong to another history.
    pub(crate) fn announce(
        &mut self,
        prev: Pos,
        entries: Vec<Entry>,
        signals: Vec<Payload>,
    ) -> Wakes {
        if !self.seeded {
            let end = entries.last().map_or(prev, |entry| entry.pos);
            self.early = self.early.max(end.off);
            return Wakes::Members(Vec::new());
        }
        let mut everybody = !signals.is_empty();
        let mut members = Vec::new();
        let entries = match self.window.locate(prev) {
            Lookup::Next(_) => entries,
            Lookup::Before | Lookup::After | Lookup::Fork => {
                self.refresh();
                Vec::new()
            }
        };
        for entry in entries {
            let addressee = entry.body.addressee();
            match self.offer(entry) {
                Offered::Added => match addressee {
                    Some(member) => members.push(member),
                    None => everybody = true,
                },
                Offered::Known => {}
                Offered::Jump | Offered::Fork => {
                    self.refresh();
                    break;
                }
            }
        }
        for data in signals {
            if self.signals.len() == SIGNALS_MAX {
                self.signals.pop_front();
            }
            self.signals.push_back(Arc::new(Signal::new(data)));
            self.signals_end += 1;
        }
        let head = self.head().off;
        if everybody
            || head - self.woken_to >= UNWOKEN_MAX
            || (head > self.woken_to && self.window.bytes() > BYTES_MAX / 2)
        {
            self.woken_to = head;
            return Wakes::Everybody;
        }
        Wakes::Members(members)
    }

    /// Hands out the signals after `seen`.
    pub(crate) fn signals(&self, seen: &mut u64, mut take: impl FnMut(&Signal)) {
        let first = self.signals_end - self.signals.len() as u64;
        let skip = seen.saturating_sub(first) as usize;
        self.signals
            .iter()
            .skip(skip)
            .for_each(|signal| take(signal));
        *seen = self.signals_end;
    }

    /// Asks the log how it continues. Answers the number of the refresh that will have begun after now.
    pub(crate) fn refresh(&mut self) -> u64 {
        if !self.seeded {
            // Asked before it is known from where on, it would be overtaken by that.
            self.early = u64::MAX;
            return self.refreshes.started + 1;
        }
        let Refreshes {
            started,
            finished,
            again,
        } = &mut self.refreshes;
        if started == finished {
            *started += 1;
            self.wants.push_back(LogRead::Refresh);
            return *started;
        }
        *again = true;
        *started + 1
    }

    /// The log was read from `from` (the head at that time) on, up to [`REFRESH_MAX`] entries.
    pub(crate) fn absorb(&mut self, from: Pos, read: LogSlice) -> Absorbed {
        let continues = match read.entries.first() {
            _ if from == Pos::START => read.first_off <= 1,
            Some(entry) => entry.pos == from,
            None => false,
        };
        let near = read.last.off.saturating_sub(from.off) <= ITEMS_MAX as u64;
        // What was announced since may be newer than what was read, and is not to be lost for good.
        let grown = self.head() != from;
        if !continues || !near {
            self.reset(read.last);
            return self.finish(grown);
        }
        let end = read.entries.last().map_or(read.last, |entry| entry.pos);
        for entry in read.entries {
            match self.offer(entry) {
                Offered::Added | Offered::Known => {}
                Offered::Jump | Offered::Fork => {
                    self.reset(read.last);
                    return self.finish(grown);
                }
            }
        }
        if end.off < read.last.off {
            Absorbed::More
        } else {
            self.finish(false)
        }
    }

    /// A stretch was read.
    pub(crate) fn insert(&mut self, number: u64, refreshes: u64, read: LogSlice) {
        if refreshes != self.refreshes.finished {
            return;
        }
        self.reading.remove(&number);
        let held: usize = self.past.values().map(Segment::bytes).sum();
        if held > PAST_BYTES_MAX {
            self.past.clear();
        }
        self.past.insert(number, Segment::new(read));
    }

    /// Lets go of what has been here since the last time. Called every few seconds.
    pub(crate) fn age(&mut self) -> Wakes {
        self.past.clear();
        let head = self.head().off;
        self.aged.push_back(head);
        if self.aged.len() > AGES
            && let Some(old) = self.aged.pop_front()
        {
            while self.window.len() > 0 && self.window.before().off < old {
                self.window.drop_first();
            }
        }
        if self.woken_to < head {
            self.woken_to = head;
            return Wakes::Everybody;
        }
        Wakes::Members(Vec::new())
    }

    fn is_refreshing(&self) -> bool {
        self.refreshes.started != self.refreshes.finished
    }

    fn offer(&mut self, entry: Entry) -> Offered {
        let offered = self.window.offer(entry);
        while self.window.len() > ITEMS_MAX
            || (self.window.bytes() > BYTES_MAX && self.window.len() > 1)
        {
            self.window.drop_first();
        }
        offered
    }

    fn reset(&mut self, end: Pos) {
        self.window = Window::new(end);
        self.woken_to = end.off;
        self.aged.clear();
    }

    fn finish(&mut self, again: bool) -> Absorbed {
        self.past.clear();
        self.reading.clear();
        self.woken_to = self.head().off;
        self.refreshes.finished = self.refreshes.started;
        if std::mem::take(&mut self.refreshes.again) || again {
            self.refresh();
        }
        Absorbed::Done
    }
}

#[cfg(test)]
mod tests;
