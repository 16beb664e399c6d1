use std::{cell::Cell, collections::BTreeMap};

use serde::{Deserialize, Serialize, Serializer, ser::Error as _};

use crate::{At, Cx, Input, Member, Refusal, Room};

/// A room that does whatever a test asks of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Lab {
    pub(super) total: u64,
    pub(super) online: BTreeMap<Member, bool>,
    pub(super) last_at_ms: u64,
    pub(super) woken: u64,
    pub(super) wake_at_ms: Option<u64>,
    pub(super) blind: bool,
    pub(super) deaf: bool,
    pub(super) sleep: Sleep,
    #[serde(default, skip_serializing_if = "Torn::is_whole")]
    pub(super) torn: Torn,
}

/// True if the lab's state can be written down.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
pub(super) struct Torn(bool);

thread_local! {
    /// The number of times that somebody tried to write down one that cannot be.
    pub(super) static TRIED: Cell<u32> = const { Cell::new(0) };
}

impl Torn {
    fn is_whole(&self) -> bool {
        !self.0
    }
}

impl Serialize for Torn {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        TRIED.set(TRIED.get() + 1);
        Err(S::Error::custom("torn"))
    }
}

/// A lab's conduct when it is woken.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sleep {
    /// It wants no more.
    #[default]
    Sound,
    /// It wants to be woken again at once.
    Light,
    /// It panics.
    Nightmares,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// Emits one event.
    Add(u64),
    /// Emits two.
    AddTwice(u64),
    /// Emits one, and answers.
    AddAndAnswer(u64),
    Answer(u64),
    /// Changes the room without an event.
    Keep(u64),
    /// Emits one event, keeps another, and answers.
    AddAndKeep(u64),
    Nothing,
    Refuse,
    Whisper(Member),
    Signal(u64),
    Roll,
    WakeAt(u64),
    Sleep(Sleep),
    Panic,
    PanicInApply,
    /// From now on, or no longer, it panics when somebody leaves or is away.
    Deafen(bool),
    /// From now on, showing the room panics.
    Blind,
    /// From now on, or no longer, its state cannot be written down.
    Tear(bool),
    /// Emits an event that cannot be read back.
    Garbage,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    Entered(Member),
    Left(Member, String),
    Online(Member, bool),
    Added(u64),
    Rolled(u64),
    Woken,
    WakeAt(Option<u64>),
    Bomb,
    Blind,
    Deaf(bool),
    Torn(bool),
    Sleep(Sleep),
    #[serde(skip_deserializing)]
    Garbage,
}

impl Room for Lab {
    const KIND: &'static str = "lab";
    const VERSION: u32 = 2;
    /// `no` is refused, `panic` panics, `silent` enters without an event, `keep` keeps one to itself.
    type Join = Option<String>;
    type Action = Action;
    type Event = Event;

    fn handle(
        &self,
        input: Input<Option<String>, Action>,
        cx: &mut Cx<'_, Event>,
    ) -> Result<(), Refusal> {
        let news = matches!(
            input,
            Input::Leave { .. } | Input::Detached { .. } | Input::Attached { .. }
        );
        assert!(!(news && self.deaf), "as you wish");
        match input {
            Input::Join { member, data, .. } => match data.as_deref() {
                Some("no") => return Err(Refusal::new("not_you", "not you")),
                Some("panic") => panic!("as you wish"),
                Some("silent") => {}
                Some("keep") => cx.emit_silent(Event::Entered(member)),
                Some(_) | None => cx.emit(Event::Entered(member)),
            },
            Input::Leave { member, reason } => cx.emit(Event::Left(member, reason)),
            Input::Detached { member } => cx.emit(Event::Online(member, false)),
            Input::Attached { member } => cx.emit(Event::Online(member, true)),
            Input::Wake => {
                assert_ne!(self.sleep, Sleep::Nightmares, "as you wish");
                cx.emit(Event::Woken);
                if self.sleep == Sleep::Sound {
                    cx.emit(Event::WakeAt(None));
                }
            }
            Input::Act { action, .. } => act(action, cx)?,
        }
        Ok(())
    }

    fn post(&self, _user: String, action: Action, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
        act(action, cx)
    }

    fn report(&self, action: Action, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
        act(action, cx)
    }

    fn apply(&mut self, event: Event, at: At) {
        assert!(at.at_ms >= self.last_at_ms, "the room's clock went back");
        self.last_at_ms = at.at_ms;
        match event {
            Event::Entered(member) => drop(self.online.insert(member, true)),
            Event::Left(member, _) => drop(self.online.remove(&member)),
            Event::Online(member, on) => drop(self.online.insert(member, on)),
            Event::Added(by) => self.total += by,
            Event::Rolled(rolled) => self.total = rolled,
            Event::Woken => self.woken += 1,
            Event::WakeAt(at_ms) => self.wake_at_ms = at_ms,
            Event::Bomb => panic!("in apply, as you wish"),
            Event::Blind => self.blind = true,
            Event::Deaf(deaf) => self.deaf = deaf,
            Event::Torn(torn) => self.torn = Torn(torn),
            Event::Sleep(sleep) => self.sleep = sleep,
            Event::Garbage => {}
        }
    }

    fn view(&self, _viewer: Member) -> impl Serialize {
        assert!(!self.blind, "not to be seen");
        self
    }

    fn wake_at_ms(&self) -> Option<u64> {
        self.wake_at_ms
    }
}

fn act(action: Action, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
    match action {
        Action::Add(by) => cx.emit(Event::Added(by)),
        Action::AddTwice(by) => {
            cx.emit(Event::Added(by));
            cx.emit(Event::Added(by));
        }
        Action::AddAndAnswer(by) => {
            cx.emit(Event::Added(by));
            cx.answer(by);
        }
        Action::Keep(by) => cx.emit_silent(Event::Added(by)),
        Action::AddAndKeep(by) => {
            cx.emit(Event::Added(by));
            cx.emit_silent(Event::Added(by));
            cx.answer(by);
        }
        Action::Answer(with) => cx.answer(with),
        Action::Nothing => {}
        Action::Refuse => return Err(Refusal::new("no", "not like this")),
        Action::Whisper(to) => cx.notice(to, "psst"),
        Action::Signal(data) => cx.signal(data),
        Action::Roll => {
            let rolled = cx.random_below(1_000_000);
            cx.emit(Event::Rolled(rolled));
        }
        Action::WakeAt(at_ms) => cx.emit(Event::WakeAt(Some(at_ms))),
        Action::Sleep(sleep) => cx.emit(Event::Sleep(sleep)),
        Action::Panic => panic!("as you wish"),
        Action::PanicInApply => {
            cx.emit(Event::Added(1));
            cx.emit(Event::Bomb);
        }
        Action::Blind => cx.emit(Event::Blind),
        Action::Deafen(deaf) => cx.emit(Event::Deaf(deaf)),
        Action::Tear(torn) => cx.emit(Event::Torn(torn)),
        Action::Garbage => cx.emit(Event::Garbage),
    }
    Ok(())
}
