//! The order in which attaches are let in, and the times. Pure: `now` is an argument, and so is chance.
//!
//! There are two lanes, one for sessions that come back and one for new ones, each with a share of every
//! bound of its own. A lane has a timetable: the time at which the next one that asks can be let in, and
//! each one that asks moves it on. Who would wait for too long gets that time as a slot to come back at,
//! and it is kept for it. Coming back earlier yields the same slot, and nothing else; so a client that
//! ignores its slot neither gains by it nor takes a place in the timetable twice.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use tokio::time::Instant;

/// Limits on what is let in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Attaches per second.
    pub(crate) per_s: u32,
    /// The most that wait.
    pub(crate) waiting_max: usize,
    /// The most memory that those may take, in bytes.
    pub(crate) waiting_bytes_max: usize,
    /// The most that were let in and are about to attach.
    pub(crate) attaching_max: usize,
}

/// The order in which attaches are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// A session that comes back and has missed nothing: it costs next to nothing.
    Current,
    /// A session that comes back.
    Resume,
    /// A new session.
    Open,
}

/// Somebody who wants in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applied {
    pub(super) rank: Rank,
    /// The name that it gives itself.
    pub(super) name: Option<u64>,
    pub(super) bytes: usize,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It waits for its turn.
    Wait(Ticket),
    /// It comes back after this time.
    Later(Duration),
}

/// One that waits, or was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ticket {
    rank: Rank,
    number: u64,
}

#[derive(Debug)]
pub(super) struct Schedule {
    limits: Limits,
    tokens: f64,
    filled_at: Instant,
    /// The next ticket's number.
    next: u64,
    /// Those who wait, in the order in which they are let in, with the memory that each takes.
    waiting: BTreeMap<(Rank, u64), usize>,
    resumes: Lane,
    opens: Lane,
    /// Resumes that have gone before an open that could have gone.
    overtaken: u32,
    slots: Slots,
}

/// One lane's state; its share of the limits is its own alone.
#[derive(Debug)]
struct Lane {
    /// Of eight that are let in.
    eighths: usize,
    /// When the next one that asks can be let in.
    free_at: Instant,
    waiting: usize,
    waiting_bytes: usize,
    attaching: usize,
}

/// Clients that were told when to come back.
#[derive(Debug, Default)]
struct Slots {
    by_name: HashMap<u64, Instant>,
    /// When those that nobody has come for may be looked for again.
    sweep_from: Option<Instant>,
}

/// What can be saved up is as much as passes in this time.
const BURST: Duration = Duration::from_millis(50);
/// Time ahead for which slots are given. After that the timetable does not grow, and chance says when.
const AHEAD: Duration = Duration::from_secs(60);
/// The time that a slot is kept for its client.
const KEPT: Duration = Duration::from_secs(15);
/// Most slots that are kept. A client with one above that is not known by it.
const SLOTS_MAX: usize = 65_536;
/// Interval at which slots are dropped that nobody has come for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Of so many that are let in, one is an open, when both lanes wait.
const EIGHTHS: usize = 8;
/// A slot's time is spread over this, and an eighth of how far away it is.
const JITTER: Duration = Duration::from_millis(100);

impl Schedule {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        let mut schedule = Schedule {
            limits,
            tokens: 0.0,
            filled_at: now,
            next: 0,
            waiting: BTreeMap::new(),
            resumes: Lane::new(EIGHTHS - 1, now),
            opens: Lane::new(1, now),
            overtaken: 0,
            slots: Slots::default(),
        };
        schedule.tokens = schedule.burst();
        schedule
    }

    /// Somebody wants in. `chance`, from 0 to 1, spreads those who are told to come back.
    pub(super) fn apply(&mut self, now: Instant, applied: &Applied, chance: f64) -> Verdict {
        let later = |slot: Instant| {
            let wait = slot.saturating_duration_since(now);
            Verdict::Later(wait + (JITTER + wait / 8).mul_f64(chance))
        };
        let kept = applied.name.and_then(|name| self.slots.get(name, now));
        if let Some(slot) = kept.filter(|slot| *slot > now) {
            return later(slot);
        }
        let patience = self.patience(applied.rank);
        let has_room = self.has_room(applied);
        let spacing = self.spacing(applied.rank, now);
        let lane = self.lane(applied.rank);
        let turn = lane.free_at.max(now);
        if kept.is_none() && has_room && turn <= now + patience {
            lane.free_at = turn + spacing;
        } else if kept.is_none() || !has_room {
            // Where the lane is full although its timetable is not, it goes slower than that says.
            let mut slot = turn.max(now + patience);
            if slot > now + AHEAD {
                slot = now + AHEAD.mul_f64((1.0 + chance) / 2.0);
            } else {
                lane.free_at = slot + spacing;
            }
            if let Some(name) = applied.name {
                self.slots.keep(name, slot, now);
            }
            return later(slot);
        }
        if let Some(name) = applied.name {
            self.slots.by_name.remove(&name);
        }
        Verdict::Wait(self.queue(applied))
    }

    /// Whom to let in now, if anybody.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Ticket> {
        self.fill(now);
        let (resume, open) = (self.first(Rank::Resume), self.first(Rank::Open));
        let ticket = match (resume, open) {
            (Some(resume), Some(_)) if (self.overtaken as usize) < EIGHTHS - 1 => resume,
            (resume, open) => open.or(resume)?,
        };
        if self.tokens < 1.0 {
            return None;
        }
        self.tokens -= 1.0;
        self.overtaken = match ticket.rank {
            Rank::Open => 0,
            Rank::Current | Rank::Resume => self.overtaken + u32::from(open.is_some()),
        };
        self.unqueue(ticket);
        self.lane(ticket.rank).attaching += 1;
        Some(ticket)
    }

    /// When the next one can be let in; `None` when that is no matter of time.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.first(Rank::Resume).or(self.first(Rank::Open))?;
        let missing = (1.0 - self.tokens).max(0.0);
        Some(now + Duration::from_secs_f64(missing / self.per_s()))
    }

    /// One that waits does not any more, or one that was let in is done.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        if !self.unqueue(ticket) {
            let lane = self.lane(ticket.rank);
            lane.attaching = lane.attaching.saturating_sub(1);
        }
    }

    /// Returns how many wait in a lane.
    pub(super) fn waiting(&self, rank: Rank) -> usize {
        self.lane_of(rank).waiting
    }

    fn queue(&mut self, applied: &Applied) -> Ticket {
        let ticket = Ticket {
            rank: applied.rank,
            number: self.next,
        };
        self.next += 1;
        self.waiting
            .insert((ticket.rank, ticket.number), applied.bytes);
        let lane = self.lane(applied.rank);
        lane.waiting += 1;
        lane.waiting_bytes += applied.bytes;
        ticket
    }

    /// True if it was waiting.
    fn unqueue(&mut self, ticket: Ticket) -> bool {
        let Some(bytes) = self.waiting.remove(&(ticket.rank, ticket.number)) else {
            return false;
        };
        let lane = self.lane(ticket.rank);
        lane.waiting -= 1;
        lane.waiting_bytes -= bytes;
        true
    }

    /// The first in a lane, if the lane may let anybody in.
    fn first(&self, rank: Rank) -> Option<Ticket> {
        let lane = self.lane_of(rank);
        if lane.attaching >= lane.share(self.limits.attaching_max) {
            return None;
        }
        let (first, last) = match rank {
            Rank::Current | Rank::Resume => ((Rank::Current, 0), (Rank::Resume, u64::MAX)),
            Rank::Open => ((Rank::Open, 0), (Rank::Open, u64::MAX)),
        };
        let (&(rank, number), _) = self.waiting.range(first..=last).next()?;
        Some(Ticket { rank, number })
    }

    fn has_room(&self, applied: &Applied) -> bool {
        let lane = self.lane_of(applied.rank);
        lane.waiting < lane.share(self.limits.waiting_max)
            && lane.waiting_bytes + applied.bytes <= lane.share(self.limits.waiting_bytes_max)
    }

    /// The longest that one waits for its turn: as long as its lane takes for all that may wait in it.
    fn patience(&self, rank: Rank) -> Duration {
        let lane = self.lane_of(rank);
        let waiting = lane.share(self.limits.waiting_max) as f64;
        Duration::from_secs_f64(waiting / (self.per_s() * lane.eighths as f64 / EIGHTHS as f64))
    }

    /// What one takes of its lane's time: all of the gateway's, while the other lane is empty.
    fn spacing(&self, rank: Rank, now: Instant) -> Duration {
        let (lane, other) = match rank {
            Rank::Current | Rank::Resume => (&self.resumes, &self.opens),
            Rank::Open => (&self.opens, &self.resumes),
        };
        let eighths = if other.free_at > now {
            lane.eighths
        } else {
            EIGHTHS
        };
        Duration::from_secs_f64(EIGHTHS as f64 / eighths as f64 / self.per_s())
    }

    fn fill(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_s()).min(self.burst());
        self.filled_at = self.filled_at.max(now);
    }

    fn burst(&self) -> f64 {
        (self.per_s() * BURST.as_secs_f64()).max(1.0)
    }

    fn per_s(&self) -> f64 {
        f64::from(self.limits.per_s.max(1))
    }

    fn lane(&mut self, rank: Rank) -> &mut Lane {
        match rank {
            Rank::Current | Rank::Resume => &mut self.resumes,
            Rank::Open => &mut self.opens,
        }
    }

    fn lane_of(&self, rank: Rank) -> &Lane {
        match rank {
            Rank::Current | Rank::Resume => &self.resumes,
            Rank::Open => &self.opens,
        }
    }
}

impl Rank {
    /// The lane's name.
    pub(super) fn lane(self) -> &'static str {
        match self {
            Rank::Current | Rank::Resume => "resume",
            Rank::Open => "open",
        }
    }
}

impl Ticket {
    pub(super) fn rank(self) -> Rank {
        self.rank
    }
}

impl Lane {
    fn new(eighths: usize, now: Instant) -> Self {
        Lane {
            eighths,
            free_at: now,
            waiting: 0,
            waiting_bytes: 0,
            attaching: 0,
        }
    }

    /// This lane's part of a bound, one at least unless the bound is 0.
    fn share(&self, bound: usize) -> usize {
        (bound * self.eighths).div_ceil(EIGHTHS)
    }
}

impl Slots {
    /// The slot that is kept for somebody.
    fn get(&self, name: u64, now: Instant) -> Option<Instant> {
        let slot = self.by_name.get(&name).copied();
        slot.filter(|slot| now <= *slot + KEPT)
    }

    fn keep(&mut self, name: u64, slot: Instant, now: Instant) {
        if self.sweep_from.is_none_or(|from| from <= now) {
            self.by_name.retain(|_, slot| now <= *slot + KEPT);
            self.sweep_from = Some(now + SWEEP_EVERY);
        }
        if self.by_name.len() < SLOTS_MAX {
            self.by_name.insert(name, slot);
        }
    }
}

#[cfg(test)]
mod tests;
