//! `stats/NAME`: how the processes of the fleet are, for operators (B4). They report to `stats/fleet`.
//!
//! The room calls the roll once a second while anybody watches, and whoever hears the call reports. So
//! reports cost nothing while nobody watches, and a pause of the room itself is nobody's silence.

use std::collections::{BTreeMap, BTreeSet};

use outlast_protocol::RoomName;
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{At, Cx, Input, Member, Refusal, Room};

mod report;

#[cfg(test)]
mod tests;

pub use report::{OfGateway, OfKeeper, OfWorker, Report};

/// The interval at which the roll is called, in milliseconds.
const ROLL_EVERY_MS: u64 = 1_000;
/// The number of calls that a process may leave unanswered before it is lost …
const UNANSWERED_MAX: u32 = 3;
/// … and before it is forgotten.
const LOST_MAX: u32 = UNANSWERED_MAX + 60;
/// The number of processes that are shown.
const PROCESSES_MAX: usize = 64;

/// The members who watch, and what the processes of the fleet said last.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// True if each of those who watch is connected.
    watchers: BTreeMap<Member, bool>,
    processes: BTreeMap<String, Process>,
    /// When the roll was last called.
    at_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Process {
    report: Report,
    /// The number of calls that it has left unanswered.
    unanswered: u32,
}

/// A message of a process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The state of a process.
    Report(Box<Report>),
    /// The process of this id goes.
    Goodbye(String),
}

/// The events of the room.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody watches.
    Entered {
        /// The member that watches.
        member: Member,
    },
    /// Somebody does no longer.
    Left {
        /// The member that is gone.
        member: Member,
        /// `left`, `ended` or `expired`.
        reason: String,
    },
    /// Somebody who watches has lost the connection.
    Away(Member),
    /// And is back.
    Back(Member),
    /// Every process is asked how it is.
    Roll(Roll),
    /// A process has said how it is.
    Report(Box<Report>),
    /// A process has said goodbye, or has made room for another.
    Gone(String),
}

/// A call of the roll.
#[derive(Debug, Serialize, Deserialize)]
pub struct Roll {
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// The processes that have left too many calls unanswered by now.
    pub lost: BTreeSet<String>,
    /// The processes that were lost for too long to be shown any more.
    pub forgotten: BTreeSet<String>,
}

impl Event {
    /// True if this is a call of the roll.
    pub fn is_roll(&self) -> bool {
        matches!(self, Event::Roll(_))
    }
}

#[derive(Serialize)]
struct View<'a> {
    at_ms: u64,
    watchers: usize,
    processes: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a Report,
    lost: bool,
}

impl Room for Stats {
    const KIND: &'static str = RoomName::KIND_FOR_OPERATORS;
    type Join = IgnoredAny;
    type Action = Word;
    type Event = Event;

    fn handle(
        &self,
        input: Input<IgnoredAny, Word>,
        cx: &mut Cx<'_, Event>,
    ) -> Result<(), Refusal> {
        match input {
            Input::Join { member, .. } => cx.emit(Event::Entered { member }),
            Input::Leave { member, reason } => cx.emit(Event::Left { member, reason }),
            Input::Detached { member } => cx.emit(Event::Away(member)),
            Input::Attached { member } => cx.emit(Event::Back(member)),
            Input::Act { .. } => {
                let message = "there is nothing to do in this room but to watch";
                return Err(Refusal::new("no_actions", message));
            }
            Input::Wake => {
                let at = |unanswered| {
                    let reached =
                        move |(_, process): &(&_, &Process)| process.unanswered == unanswered;
                    let ids = self.processes.iter().filter(reached);
                    ids.map(|(id, _)| id.clone()).collect()
                };
                cx.emit(Event::Roll(Roll {
                    at_ms: cx.now_ms(),
                    lost: at(UNANSWERED_MAX - 1),
                    forgotten: at(LOST_MAX - 1),
                }));
            }
        }
        Ok(())
    }

    fn report(&self, word: Word, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
        if !self.is_watched() {
            return Err(Refusal::new("unwatched", "nobody watches"));
        }
        match word {
            Word::Goodbye(id) => {
                if self.processes.contains_key(&id) {
                    cx.emit(Event::Gone(id));
                }
            }
            Word::Report(report) => {
                report.check()?;
                if !self.processes.contains_key(&report.id)
                    && let Some(gone) = self.place()?
                {
                    cx.emit(Event::Gone(gone));
                }
                cx.emit(Event::Report(report));
            }
        }
        Ok(())
    }

    fn apply(&mut self, event: Event, _at: At) {
        match event {
            Event::Entered { member } | Event::Back(member) => {
                self.watchers.insert(member, true);
            }
            Event::Away(member) => {
                self.watchers.insert(member, false);
            }
            Event::Left { member, .. } => {
                self.watchers.remove(&member);
                if self.watchers.is_empty() {
                    // Whoever comes next shall not see what was long ago.
                    self.processes.clear();
                }
            }
            Event::Roll(Roll { at_ms, .. }) => {
                self.at_ms = at_ms;
                self.processes.retain(|_, process| {
                    process.unanswered += 1;
                    process.unanswered < LOST_MAX
                });
            }
            Event::Report(report) => {
                let (id, report) = (report.id.clone(), *report);
                let unanswered = 0;
                self.processes.insert(id, Process { report, unanswered });
            }
            Event::Gone(id) => {
                self.processes.remove(&id);
            }
        }
    }

    fn view(&self, _viewer: Member) -> impl Serialize {
        View {
            at_ms: self.at_ms,
            watchers: self.watchers.len(),
            processes: self.processes.values().map(Process::shown).collect(),
        }
    }

    fn wake_at_ms(&self) -> Option<u64> {
        self.is_watched().then_some(self.at_ms + ROLL_EVERY_MS)
    }
}

impl Process {
    fn shown(&self) -> Shown<'_> {
        Shown {
            report: &self.report,
            lost: self.unanswered >= UNANSWERED_MAX,
        }
    }
}

impl Stats {
    fn is_watched(&self) -> bool {
        self.watchers.values().any(|online| *online)
    }

    /// Returns the process that makes room for another one: none while there is room, then the one that was lost first.
    fn place(&self) -> Result<Option<String>, Refusal> {
        if self.processes.len() < PROCESSES_MAX {
            return Ok(None);
        }
        let lost = self.processes.iter();
        let lost = lost.filter(|(_, process)| process.unanswered >= UNANSWERED_MAX);
        match lost.max_by_key(|(_, process)| process.unanswered) {
            Some((id, _)) => Ok(Some(id.clone())),
            None => {
                let message = format!("{PROCESSES_MAX} processes are shown, and no more");
                Err(Refusal::new("too_many_processes", message))
            }
        }
    }
}
