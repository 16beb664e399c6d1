use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use super::{
    command::{Kind, Recovery, Sample},
    stamp,
};

/// Where all clients of a pool keep their count.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    begin: Instant,
    begin_us: u64,
    /// When the storm began, on the pool's clock; 0 while it has not.
    storm_us: AtomicU64,
    first: u32,
    /// Clients that were cut, or asked to move, since the storm began.
    touched: Vec<AtomicBool>,
    /// The newest time that anybody spoke at, on the pool's clock.
    spoken_us: AtomicU64,
    counts: Mutex<Sample>,
}

impl Scoreboard {
    pub(super) fn new(first: u32, clients_max: u32) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Scoreboard {
            begin: Instant::now(),
            begin_us: since.map_or(0, |since| since.as_micros() as u64),
            storm_us: AtomicU64::new(0),
            first,
            touched: (0..clients_max).map(|_| AtomicBool::new(false)).collect(),
            spoken_us: AtomicU64::default(),
            counts: Mutex::default(),
        }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Sample)) {
        count(&mut self.counts.lock());
    }

    /// The time on the pool's clock.
    pub(super) fn us(&self, at: Instant) -> u64 {
        at.duration_since(self.begin).as_micros() as u64
    }

    /// The time of somebody who speaks, on the pool's clock: nobody else's, so that no two stamps are the same.
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

    /// The age of the storm at a time; `None` before it.
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
    pub(super) fn event(&self, at: Instant, client: u32, stamp: u64) {
        let us = self.us(at).saturating_sub(stamp::at_us(stamp));
        let uncut = !self.is_touched(client) && !self.is_touched(stamp::author(stamp));
        self.count(|counts| {
            counts.events += 1;
            counts.latency.record(us);
            if uncut {
                counts.latency_uncut.record(us);
            }
        });
    }

    /// The present counts; latencies are counted anew from here.
    pub(super) fn sample(&self, lag: Duration) -> Sample {
        let mut counts = self.counts.lock();
        Sample {
            at_us: self.begin_us + self.us(Instant::now()),
            lag_us: lag.as_micros() as u64,
            latency: std::mem::take(&mut counts.latency),
            latency_uncut: std::mem::take(&mut counts.latency_uncut),
            ..counts.clone()
        }
    }
}

/// The state of a client, counted for itself and, with the others, on the board.
#[derive(Debug)]
pub(super) struct ClientState {
    pub(super) client: u32,
    pub(super) kind: Kind,
    pub(super) recovery: Recovery,
    is_up: bool,
    has_been_up: bool,
    is_back: bool,
    is_caught_up: bool,
}

impl ClientState {
    pub(super) fn new(client: u32, kind: Kind) -> Self {
        let recovery = Recovery {
            rude: kind == Kind::Rude,
            ..Default::default()
        };
        ClientState {
            client,
            kind,
            recovery,
            is_up: false,
            has_been_up: false,
            is_back: false,
            is_caught_up: false,
        }
    }

    pub(super) fn dials(&mut self, board: &Scoreboard, at: Instant) {
        board.count(|counts| counts.attempts += 1);
        if board.in_storm_us(at).is_some() {
            self.recovery.attempts += 1;
        }
    }

    pub(super) fn attaches(&mut self, board: &Scoreboard, at: Instant) {
        let is_first = !std::mem::replace(&mut self.has_been_up, true);
        let was_out = !std::mem::replace(&mut self.is_up, true) && !is_first;
        let is_back = self.recovery.out_us.is_some() && !self.is_back;
        if is_back {
            self.recovery.back_us = board.in_storm_us(at);
            self.is_back = true;
        }
        board.count(|counts| {
            counts.attaches += 1;
            counts.clients += u64::from(is_first);
            counts.out -= u64::from(was_out);
            counts.back += u64::from(is_back && self.kind != Kind::Rude);
        });
    }

    pub(super) fn catches_up(&mut self, board: &Scoreboard, at: Instant) {
        if self.is_back && !self.is_caught_up {
            self.recovery.caught_up_us = board.in_storm_us(at);
            self.is_caught_up = true;
            board.count(|counts| counts.caught_up += u64::from(self.kind != Kind::Rude));
        }
    }

    pub(super) fn loses(&mut self, board: &Scoreboard, at: Instant) {
        if !std::mem::replace(&mut self.is_up, false) {
            return;
        }
        board.count(|counts| counts.out += 1);
        let Some(storm_us) = board.in_storm_us(at) else {
            return;
        };
        board.touch(self.client);
        let is_first = self.recovery.out_us.is_none();
        self.recovery.out_us.get_or_insert(storm_us);
        // Cut once more, it counts as out until it has come back for good.
        let was_back = std::mem::replace(&mut self.is_back, false);
        let was_caught_up = std::mem::replace(&mut self.is_caught_up, false);
        if self.kind != Kind::Rude {
            board.count(|counts| {
                counts.cut += u64::from(is_first);
                counts.back -= u64::from(was_back);
                counts.caught_up -= u64::from(was_caught_up);
            });
        }
    }

    /// The client is where it was before the storm.
    pub(super) fn is_whole(&self) -> bool {
        self.is_up && (self.recovery.out_us.is_none() || self.is_caught_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_speaks_at_the_time_of_another() {
        let board = Scoreboard::new(0, 1);
        let at = Instant::now();
        let times: Vec<u64> = (0..3).map(|_| board.speaks_us(at)).collect();
        assert!(times[0] < times[1] && times[1] < times[2], "{times:?}");
        let later = at + Duration::from_secs(1);
        assert_eq!(board.speaks_us(later), board.us(later));
    }
}
