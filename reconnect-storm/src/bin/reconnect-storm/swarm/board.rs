use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use super::{
    latency::Latencies,
    mark,
    order::{Kind, Sample},
};

/// Where all clients of a swarm keep their count.
#[derive(Debug)]
pub(crate) struct Board {
    begin: Instant,
    begin_us: u64,
    /// When the storm began, on the swarm's clock; 0 while it has not.
    storm_us: AtomicU64,
    first: u32,
    /// Who was cut, or asked to move, since the storm began.
    touched: Vec<AtomicBool>,
    pub(super) clients: AtomicU64,
    pub(super) out: AtomicU64,
    pub(super) cut: AtomicU64,
    pub(super) back: AtomicU64,
    pub(super) caught_up: AtomicU64,
    pub(super) moved: AtomicU64,
    pub(super) attempts: AtomicU64,
    pub(super) attaches: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) actions: AtomicU64,
    events: AtomicU64,
    /// The newest time that anybody spoke at, on the swarm's clock.
    spoken_us: AtomicU64,
    latencies: Mutex<(Latencies, Latencies)>,
}

impl Board {
    pub(super) fn new(first: u32, clients_max: u32) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Board {
            begin: Instant::now(),
            begin_us: since.map_or(0, |since| since.as_micros() as u64),
            storm_us: AtomicU64::new(0),
            first,
            touched: (0..clients_max).map(|_| AtomicBool::new(false)).collect(),
            clients: AtomicU64::default(),
            out: AtomicU64::default(),
            cut: AtomicU64::default(),
            back: AtomicU64::default(),
            caught_up: AtomicU64::default(),
            moved: AtomicU64::default(),
            attempts: AtomicU64::default(),
            attaches: AtomicU64::default(),
            refusals: AtomicU64::default(),
            actions: AtomicU64::default(),
            events: AtomicU64::default(),
            spoken_us: AtomicU64::default(),
            latencies: Mutex::default(),
        }
    }

    /// The time on the swarm's clock.
    pub(super) fn us(&self, at: Instant) -> u64 {
        at.duration_since(self.begin).as_micros() as u64
    }

    /// The time of somebody who speaks, on the swarm's clock: nobody else's, so that no two marks are the same.
    pub(super) fn speaks_us(&self, at: Instant) -> u64 {
        let later = |before: u64| self.us(at).max(before + 1);
        let before = self
            .spoken_us
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
                Some(later(before))
            });
        before.map_or_else(later, later)
    }

    pub(super) fn storm_begins(&self, at: Instant) {
        self.storm_us.store(self.us(at).max(1), Ordering::Relaxed);
    }

    /// How long the storm has lasted at a time; `None` before it.
    pub(super) fn in_storm_us(&self, at: Instant) -> Option<u64> {
        let storm_us = self.storm_us.load(Ordering::Relaxed);
        (storm_us > 0).then(|| self.us(at).saturating_sub(storm_us))
    }

    pub(super) fn touch(&self, client: u32) {
        if let Some(touched) = self.touched.get((client - self.first) as usize) {
            touched.store(true, Ordering::Relaxed);
        }
    }

    fn is_touched(&self, client: u32) -> bool {
        let index = client.checked_sub(self.first).map(|index| index as usize);
        let touched = index.and_then(|index| self.touched.get(index));
        touched.is_none_or(|touched| touched.load(Ordering::Relaxed))
    }

    /// An act's event came to a client.
    pub(super) fn event(&self, at: Instant, client: u32, mark: u64) {
        self.events.fetch_add(1, Ordering::Relaxed);
        let us = self.us(at).saturating_sub(mark::at_us(mark));
        let uncut = !self.is_touched(client) && !self.is_touched(mark::author(mark));
        let latencies = &mut *self.latencies.lock();
        latencies.0.record(us);
        if uncut {
            latencies.1.record(us);
        }
    }

    /// How things stand; latencies are counted anew from here.
    pub(super) fn sample(&self, lag_us: u64) -> Sample {
        let (latency, latency_uncut) = std::mem::take(&mut *self.latencies.lock());
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Sample {
            at_us: self.begin_us + self.us(Instant::now()),
            clients: read(&self.clients),
            out: read(&self.out),
            cut: read(&self.cut),
            back: read(&self.back),
            caught_up: read(&self.caught_up),
            moved: read(&self.moved),
            attempts: read(&self.attempts),
            attaches: read(&self.attaches),
            refusals: read(&self.refusals),
            actions: read(&self.actions),
            events: read(&self.events),
            latency,
            latency_uncut,
            lag_us,
        }
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn sub(counter: &AtomicU64) {
    counter.fetch_sub(1, Ordering::Relaxed);
}

/// What a client counts for itself, and with the others on the board.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) client: u32,
    pub(super) kind: Kind,
    pub(super) journey: super::order::Journey,
    is_up: bool,
    has_been_up: bool,
    is_back: bool,
    is_caught_up: bool,
}

impl Stand {
    pub(super) fn new(client: u32, kind: Kind) -> Self {
        let journey = super::order::Journey {
            rude: kind == Kind::Rude,
            ..Default::default()
        };
        Stand {
            client,
            kind,
            journey,
            is_up: false,
            has_been_up: false,
            is_back: false,
            is_caught_up: false,
        }
    }

    pub(super) fn dials(&mut self, board: &Board, at: Instant) {
        add(&board.attempts);
        if board.in_storm_us(at).is_some() {
            self.journey.attempts += 1;
        }
    }

    pub(super) fn attaches(&mut self, board: &Board, at: Instant) {
        add(&board.attaches);
        if !self.has_been_up {
            self.has_been_up = true;
            add(&board.clients);
        } else if !self.is_up {
            sub(&board.out);
        }
        self.is_up = true;
        if self.journey.out_us.is_some() && !self.is_back {
            self.journey.back_us = board.in_storm_us(at);
            self.is_back = true;
            if self.kind != Kind::Rude {
                add(&board.back);
            }
        }
    }

    pub(super) fn catches_up(&mut self, board: &Board, at: Instant) {
        if self.is_back && !self.is_caught_up {
            self.journey.caught_up_us = board.in_storm_us(at);
            self.is_caught_up = true;
            if self.kind != Kind::Rude {
                add(&board.caught_up);
            }
        }
    }

    pub(super) fn loses(&mut self, board: &Board, at: Instant) {
        if !std::mem::replace(&mut self.is_up, false) {
            return;
        }
        add(&board.out);
        let Some(storm_us) = board.in_storm_us(at) else {
            return;
        };
        board.touch(self.client);
        if self.journey.out_us.is_none() {
            self.journey.out_us = Some(storm_us);
            if self.kind != Kind::Rude {
                add(&board.cut);
            }
            return;
        }
        // Cut once more: it counts as out until it has come back for good.
        if self.kind != Kind::Rude {
            if self.is_back {
                sub(&board.back);
            }
            if self.is_caught_up {
                sub(&board.caught_up);
            }
        }
        (self.is_back, self.is_caught_up) = (false, false);
    }

    /// Whether the client is where it was before the storm.
    pub(super) fn is_whole(&self) -> bool {
        self.is_up && (self.journey.out_us.is_none() || self.is_caught_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_speaks_at_the_time_of_another() {
        let board = Board::new(0, 1);
        let at = Instant::now();
        let times: Vec<u64> = (0..3).map(|_| board.speaks_us(at)).collect();
        assert!(times[0] < times[1] && times[1] < times[2], "{times:?}");
        let later = at + std::time::Duration::from_secs(1);
        assert_eq!(board.speaks_us(later), board.us(later));
    }
}
