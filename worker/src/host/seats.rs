use std::collections::{BTreeSet, HashMap};

use outlast_protocol::Sid;
use outlast_store::Seat;

/// The time for which a room remembers that a session is over, in milliseconds: longer than the 30 s that a
/// gateway's append can be late, by far (S6).
pub(crate) const TOMBSTONE_MS: u64 = 600_000;

/// The seats of a room, and those that have changed since the last commit.
#[derive(Default)]
pub(crate) struct Seats {
    places: HashMap<Sid, SeatSlot>,
    members: usize,
    dirty: BTreeSet<Sid>,
}

#[derive(Default)]
struct SeatSlot {
    seat: Seat,
    /// True if the session was told of the gap that it has left, since it last did what was expected.
    gap_told: bool,
    /// True if it did something since the last commit.
    acted: bool,
}

impl Seats {
    pub(crate) fn new(seats: Vec<(Sid, Seat)>) -> Self {
        let members = seats
            .iter()
            .filter(|(_, seat)| seat.joined.is_some())
            .count();
        let place = |seat| SeatSlot {
            seat,
            gap_told: false,
            acted: false,
        };
        Seats {
            places: seats
                .into_iter()
                .map(|(sid, seat)| (sid, place(seat)))
                .collect(),
            members,
            dirty: BTreeSet::new(),
        }
    }

    pub(crate) fn get(&self, sid: &Sid) -> Option<&Seat> {
        self.places.get(sid).map(|place| &place.seat)
    }

    /// Every session that is known.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Sid, &Seat)> {
        self.places.iter().map(|(sid, place)| (sid, &place.seat))
    }

    /// Returns the number of sessions that are members now.
    pub(crate) fn members(&self) -> usize {
        self.members
    }

    /// Changes a session's seat, which is made for it when it has none.
    pub(crate) fn change(&mut self, sid: Sid, now_ms: u64, change: impl FnOnce(&mut Seat)) {
        let seat = &mut self.places.entry(sid).or_default().seat;
        let before = usize::from(seat.joined.is_some());
        change(seat);
        seat.at = now_ms;
        self.members = self.members + usize::from(seat.joined.is_some()) - before;
        self.dirty.insert(sid);
    }

    /// Notes the last action that was applied.
    pub(crate) fn acts(&mut self, sid: Sid, now_ms: u64, n: u64) {
        self.change(sid, now_ms, |seat| seat.n = n);
        if let Some(place) = self.places.get_mut(&sid) {
            place.acted = true;
        }
    }

    /// Notes that a socket of this generation speaks; false when a newer one has spoken (S5).
    pub(crate) fn meet(&mut self, sid: Sid, generation: u64, now_ms: u64) -> bool {
        let known = self.get(&sid).map(|seat| seat.generation);
        if known != Some(generation) && known <= Some(generation) {
            self.change(sid, now_ms, |seat| seat.generation = generation);
            self.gap_closed(&sid);
        }
        known <= Some(generation)
    }

    /// True if the session is to be told that an action is missing: once, until that comes (A1).
    pub(crate) fn gap_opens(&mut self, sid: &Sid) -> bool {
        self.places
            .get_mut(sid)
            .is_some_and(|place| !std::mem::replace(&mut place.gap_told, true))
    }

    /// The expected action has come, or a new socket that knows of no gap.
    pub(crate) fn gap_closed(&mut self, sid: &Sid) {
        if let Some(place) = self.places.get_mut(sid) {
            place.gap_told = false;
        }
    }

    /// Forgets sessions that are over for long enough, and those that left `away_ms` ago.
    pub(crate) fn prune(&mut self, now_ms: u64, away_ms: u64) {
        let dirty = &mut self.dirty;
        self.places.retain(|sid, SeatSlot { seat, .. }| {
            let keep = match seat.over_at {
                // Who has not left yet is told to again.
                Some(over_at) => seat.joined.is_some() || now_ms <= over_at,
                None => seat.joined.is_some() || now_ms < seat.at.saturating_add(away_ms),
            };
            if !keep {
                dirty.insert(*sid);
            }
            keep
        });
    }

    /// Until when some session that is over must be remembered.
    pub(crate) fn remember_until_ms(&self) -> Option<u64> {
        let places = self.places.values();
        places.filter_map(|place| place.seat.over_at).max()
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Returns the seats changed since the last call; `None` for one that was forgotten. The log ends at `last_off`,
    /// after the outcomes of all that was done.
    pub(crate) fn take_changes(&mut self, last_off: u64) -> Vec<(Sid, Option<Seat>)> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut now = |sid: Sid| {
            let place = self.places.get_mut(&sid);
            let seat = place.map(|place| {
                if std::mem::take(&mut place.acted) {
                    place.seat.settled_off = Some(last_off);
                }
                place.seat.clone()
            });
            (sid, seat)
        };
        dirty.into_iter().map(&mut now).collect()
    }
}
