//! Trying a room out: given what has happened, when somebody asks, then this happens.
//!
//! A [`Stage`] runs a room as a worker would, by way of what is written down, but without a store.
//!
//! ```
//! use outlast_worker::{rooms::Chat, testing::Stage};
//! use serde_json::json;
//!
//! let mut stage = Stage::<Chat>::new();
//! stage.join(1, json!({"name": "ada"})).happens([json!({"entered": {"member": 1, "name": "ada"}})]);
//! stage.act(1, json!({"say": "hello"})).happens([json!({"said": "hello"})]);
//! stage.act(1, json!({"say": ""})).is_refused("bad_text");
//! assert_eq!(stage.view(1)["messages"][0]["text"], "hello");
//! ```

use std::marker::PhantomData;

use outlast_protocol::{Member, Payload, Pos};
use outlast_store::{Body, Entry};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::{
    Input, Refusal, Room,
    cx::{Effects, Emitted},
    live::Kind,
    live::{Ask, Failure, LiveRoom},
};

/// A room on its own, with a clock and a log that the test holds in its hands.
///
/// Whatever would stop a room in production (a panic, an event that cannot be read back) is a panic
/// here.
pub struct Stage<R> {
    room: LiveRoom,
    log: Vec<Entry>,
    now_ms: u64,
    rng: StdRng,
    kind: PhantomData<R>,
}

/// The effects of an input.
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use]
pub struct Outcome {
    /// The events, in order.
    pub events: Vec<Value>,
    /// Notices, and whom they are for.
    pub notices: Vec<(Member, Value)>,
    /// Signals.
    pub signals: Vec<Value>,
    /// The room's answer.
    pub answer: Option<Value>,
    /// The change that the room made without an event.
    pub kept: Option<Value>,
    /// Why the room refused, if it did.
    pub refusal: Option<Refusal>,
}

impl<R: Room> Default for Stage<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Room> Stage<R> {
    /// A room that nothing has happened in.
    pub fn new() -> Self {
        Stage {
            room: LiveRoom::fold(Kind::of::<R>(), None, []).expect("a room starts empty"),
            log: Vec::new(),
            now_ms: 0,
            rng: StdRng::seed_from_u64(0),
            kind: PhantomData,
        }
    }

    /// Given: this has happened, caused by this member.
    pub fn given(&mut self, by: Option<Member>, event: &R::Event) {
        let data = Payload::of(event).expect("an event can be written down");
        self.push(by, data);
    }

    /// Given: it is this late, in milliseconds since the epoch.
    pub fn at_ms(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// When: somebody asks to join.
    pub fn join(&mut self, member: Member, data: Value) -> Outcome {
        let user = format!("user-{member}");
        let data = Payload::from(&data);
        self.when(Some(member), Input::Join { member, user, data })
    }

    /// When: a member acts.
    pub fn act(&mut self, member: Member, action: Value) -> Outcome {
        let action = Payload::from(&action);
        self.when(Some(member), Input::Act { member, action })
    }

    /// When: a backend posts something.
    pub fn post(&mut self, user: &str, action: Value) -> Outcome {
        let (user, action) = (user.to_owned(), Payload::from(&action));
        self.when(None, Ask::Post { user, action })
    }

    /// When: a process of the fleet reports.
    pub fn report(&mut self, report: Value) -> Outcome {
        let report = Payload::from(&report);
        self.when(None, Ask::Report { report })
    }

    /// When: a member leaves.
    pub fn leave(&mut self, member: Member, reason: &str) -> Outcome {
        let reason = reason.to_owned();
        self.when(Some(member), Input::Leave { member, reason })
    }

    /// When: a member loses its connection.
    pub fn detach(&mut self, member: Member) -> Outcome {
        self.when(None, Input::Detached { member })
    }

    /// When: it is back.
    pub fn attach(&mut self, member: Member) -> Outcome {
        self.when(None, Input::Attached { member })
    }

    /// When: the time comes that the room has asked to be woken at. A room that has not is not.
    pub fn wake(&mut self) -> Outcome {
        match self.wake_at_ms() {
            Some(at_ms) => {
                self.now_ms = self.now_ms.max(at_ms);
                self.when(None, Input::Wake)
            }
            None => Outcome::default(),
        }
    }

    /// When the room wants to be woken.
    pub fn wake_at_ms(&self) -> Option<u64> {
        self.room.wake_at_ms().expect("a room knows when to wake")
    }

    /// Returns the view that the room shows to a member.
    pub fn view(&self, viewer: Member) -> Value {
        let view = self.room.view(viewer).expect("a room can be shown");
        value(&view)
    }

    /// The room's state, as a snapshot holds it.
    pub fn state(&self) -> R {
        let (_, state) = self.room.state().expect("a room can be written down");
        state.read().expect("and read again")
    }

    /// Starts the room again from its log, as another worker would.
    pub fn restart(&mut self) {
        self.room = LiveRoom::fold(Kind::of::<R>(), None, &self.log).expect("a log can be folded");
    }

    fn when(&mut self, by: Option<Member>, ask: impl Into<Ask>) -> Outcome {
        let effects = match self.room.handle(ask.into(), self.now_ms, &mut self.rng) {
            Ok(effects) => effects,
            Err(Failure::Refused(refusal)) => {
                return Outcome {
                    refusal: Some(refusal),
                    ..Outcome::default()
                };
            }
            Err(Failure::Fault(fault)) => panic!("the room failed: {fault}"),
        };
        let outcome = Outcome::of(&effects);
        let emitted = effects.entries.into_iter();
        let events = emitted.filter_map(|emitted| match emitted {
            Emitted::Event(data) => Some(data),
            Emitted::Notice(..) => None,
        });
        for data in events.chain(effects.kept) {
            self.push(by, data);
        }
        outcome
    }

    fn push(&mut self, by: Option<Member>, data: Payload) {
        let entry = Entry {
            pos: Pos {
                off: self.log.len() as u64 + 1,
                tag: 7,
            },
            at: self.now_ms,
            body: Body::Event {
                by,
                n: None,
                quiet: false,
                data,
            },
        };
        self.room.apply(&entry).expect("an event can be applied");
        self.log.push(entry);
    }
}

impl Outcome {
    fn of(effects: &Effects) -> Self {
        let mut outcome = Outcome {
            signals: effects.signals.iter().map(value).collect(),
            answer: effects.answer.as_ref().map(value),
            kept: effects.kept.as_ref().map(value),
            ..Outcome::default()
        };
        for emitted in &effects.entries {
            match emitted {
                Emitted::Event(data) => outcome.events.push(value(data)),
                Emitted::Notice(to, data) => outcome.notices.push((*to, value(data))),
            }
        }
        outcome
    }

    /// Then: exactly these events happen.
    #[track_caller]
    pub fn happens(self, events: impl IntoIterator<Item = Value>) {
        assert_eq!(self.refusal, None, "the room refused");
        assert_eq!(self.events, events.into_iter().collect::<Vec<_>>());
    }

    /// Then: the room takes it, and nothing happens.
    #[track_caller]
    pub fn is_taken(self) {
        self.happens([]);
    }

    /// Then: the room changes as by this event, and tells nobody.
    #[track_caller]
    pub fn keeps(self, event: Value) {
        assert_eq!(self.kept, Some(event));
        self.is_taken();
    }

    /// Then: the room refuses, with this code.
    #[track_caller]
    pub fn is_refused(self, code: &str) {
        let refusal = self.refusal.map(|refusal| refusal.code.into_owned());
        assert_eq!(refusal.as_deref(), Some(code));
    }
}

fn value(payload: &Payload) -> Value {
    payload.read().expect("a payload is JSON")
}
