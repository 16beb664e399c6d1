use std::marker::PhantomData;

use outlast_protocol::{Member, NotJson, Payload};
use rand::{RngExt, rngs::StdRng};
use serde::Serialize;

/// The means of a room while it handles an input: the time, chance, and ways to be heard.
///
/// Emissions count only if [`Room::handle`](crate::Room::handle) does not refuse.
pub struct Cx<'a, E> {
    now_ms: u64,
    rng: &'a mut StdRng,
    effects: Effects,
    events: PhantomData<fn(E)>,
}

impl<'a, E: Serialize> Cx<'a, E> {
    pub(crate) fn new(now_ms: u64, rng: &'a mut StdRng) -> Self {
        Cx {
            now_ms,
            rng,
            effects: Effects::default(),
            events: PhantomData,
        }
    }

    pub(crate) fn into_effects(self) -> Effects {
        self.effects
    }

    /// Lets something happen: it is logged, applied, and sent to every member. Events of one input are
    /// applied in order, after `handle` has returned.
    pub fn emit(&mut self, event: E) {
        if let Some(data) = self.written(&event) {
            self.effects.entries.push(Emitted::Event(data));
        }
    }

    /// Logs something for one member alone. It does not change the room.
    pub fn notice(&mut self, to: Member, data: impl Serialize) {
        if let Some(data) = self.written(&data) {
            self.effects.entries.push(Emitted::Notice(to, data));
        }
    }

    /// Tells whoever is connected something volatile: not logged, and a newer one may replace it.
    pub fn signal(&mut self, data: impl Serialize) {
        if let Some(data) = self.written(&data) {
            self.effects.signals.push(data);
        }
    }

    /// Returns the member that acts with data of its own. An accepted act without answer or event is
    /// still answered, with a plain `ok`.
    pub fn answer(&mut self, data: impl Serialize) {
        self.effects.answer = self.written(&data);
    }

    /// Changes the room without telling the others: the event is applied after those that were emitted,
    /// and logged as part of the act's own `result`. For what comes often and shows in a later event, as
    /// a player's steering shows in where the player is next. The last one counts.
    ///
    /// Only an act can do so; with any other input it counts as a panic.
    pub fn emit_silent(&mut self, event: E) {
        self.effects.kept = self.written(&event);
    }

    /// The room's clock, in milliseconds since the epoch; it never goes back.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// A random number from 0 up to, not including, 1. Record what it led to in an event: it is not
    /// drawn again when the room is folded from its log.
    pub fn random(&mut self) -> f64 {
        self.rng.random()
    }

    /// A random whole number from 0 up to, not including, `bound`; 0 where that is 0.
    pub fn random_below(&mut self, bound: u64) -> u64 {
        self.rng.random_range(0..bound.max(1))
    }

    fn written(&mut self, data: &impl Serialize) -> Option<Payload> {
        let written = Payload::of(data);
        written
            .map_err(|error| self.effects.unwritable = Some(error))
            .ok()
    }
}

/// The entry that settles an act that the room took (A2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// A result bears its number.
    ByResult,
    /// Its first event does.
    ByEvent,
    /// Nothing does so far: a result is owed.
    NotYet,
}

/// The effects of handling an input.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// In the order of their emission.
    pub(crate) entries: Vec<Emitted>,
    pub(crate) signals: Vec<Payload>,
    pub(crate) answer: Option<Payload>,
    /// An event that only the room is to know.
    pub(crate) kept: Option<Payload>,
    /// Something that the room emitted cannot be written down: it counts as a panic would.
    pub(crate) unwritable: Option<NotJson>,
}

impl Effects {
    /// Returns what settles the act that they are of.
    pub(crate) fn outcome(&self) -> Settled {
        let is_event = |emitted: &Emitted| matches!(emitted, Emitted::Event(_));
        if self.has_result() {
            Settled::ByResult
        } else if self.entries.iter().any(is_event) {
            Settled::ByEvent
        } else {
            Settled::NotYet
        }
    }

    /// True if the act has a result of its own.
    pub(crate) fn has_result(&self) -> bool {
        self.answer.is_some() || self.kept.is_some()
    }
}

#[derive(Debug)]
pub(crate) enum Emitted {
    Event(Payload),
    Notice(Member, Payload),
}
