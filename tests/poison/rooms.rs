use std::{hint::black_box, path::Path, time::Duration};

use outlast::{At, Cx, Input, Member, Refusal, Room};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Names the file that makes rooms harmful when they are loaded or woken, for as long as it is there.
pub(crate) const FILE: &str = "POISON_FILE";

/// A room that harms whoever runs it.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Poison {
    said: u64,
    waking: Option<(u64, Evil)>,
    armed: Armed,
    #[serde(default)]
    written: Written,
}

/// The evil that it does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Evil {
    Abort,
    Overflow,
    Loop,
    Sleep(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Say(String),
    /// Does it at once.
    Do(Evil),
    /// Does it whenever the room is loaded from now on.
    Arm(Evil),
    /// Does it when it is woken, which is soon.
    Wake(Evil),
    /// Does it whenever the room is written down from now on.
    Write(Evil),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    Entered(Member),
    Left(Member),
    Said(String),
    Armed(Armed),
    Waking(Option<(u64, Evil)>),
    Written(Evil),
}

/// The evil that happens when it is read.
#[derive(Default, Serialize)]
pub(crate) struct Armed(Option<Evil>);

/// The evil that happens when it is written.
#[derive(Default, Deserialize)]
pub(crate) struct Written(Option<Evil>);

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(evil) = self.0.filter(|_| is_harmful()) {
            evil.happen();
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Armed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let armed = Option::<Evil>::deserialize(deserializer)?;
        if let Some(evil) = armed.filter(|_| is_harmful()) {
            evil.happen();
        }
        Ok(Armed(armed))
    }
}

fn is_harmful() -> bool {
    std::env::var_os(FILE).is_some_and(|file| Path::new(&file).exists())
}

impl Evil {
    fn happen(self) {
        match self {
            Evil::Abort => std::process::abort(),
            Evil::Overflow => {
                black_box(deeper(&[1; 1_000]));
            }
            Evil::Loop => loop {
                black_box(());
            },
            Evil::Sleep(ms) => std::thread::sleep(Duration::from_millis(ms)),
        }
    }
}

#[allow(unconditional_recursion, reason = "that is what it is for")]
fn deeper(before: &[u64; 1_000]) -> u64 {
    let mut here = *before;
    here[0] += black_box(1);
    deeper(&here) + here[999]
}

impl Room for Poison {
    const KIND: &'static str = "poison";
    type Join = Value;
    type Action = Action;
    type Event = Event;

    fn handle(&self, input: Input<Value, Action>, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
        match input {
            Input::Join { member, .. } => cx.emit(Event::Entered(member)),
            Input::Leave { member, .. } => cx.emit(Event::Left(member)),
            Input::Detached { .. } | Input::Attached { .. } => {}
            Input::Act { action, .. } => act(action, cx),
            Input::Wake => {
                if let Some((_, evil)) = self.waking.filter(|_| is_harmful()) {
                    evil.happen();
                }
                cx.emit(Event::Waking(None));
            }
        }
        Ok(())
    }

    fn post(&self, _: String, action: Action, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
        act(action, cx);
        Ok(())
    }

    fn apply(&mut self, event: Event, _: At) {
        match event {
            Event::Entered(_) | Event::Left(_) => {}
            Event::Said(_) => self.said += 1,
            Event::Armed(armed) => self.armed = armed,
            Event::Waking(waking) => self.waking = waking,
            Event::Written(evil) => self.written = Written(Some(evil)),
        }
    }

    fn view(&self, _: Member) -> impl Serialize {
        self.said
    }

    fn wake_at_ms(&self) -> Option<u64> {
        self.waking.map(|(at_ms, _)| at_ms)
    }
}

fn act(action: Action, cx: &mut Cx<'_, Event>) {
    match action {
        Action::Say(text) => cx.emit(Event::Said(text)),
        Action::Do(evil) => evil.happen(),
        Action::Arm(evil) => cx.emit(Event::Armed(Armed(Some(evil)))),
        Action::Write(evil) => cx.emit(Event::Written(evil)),
        Action::Wake(evil) => {
            let at_ms = cx.now_ms() + 100;
            cx.emit(Event::Waking(Some((at_ms, evil))));
        }
    }
}
