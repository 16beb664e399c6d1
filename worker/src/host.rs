//! One room as its partition runs it: the room's state, its seats, and what the next commit will say.
//!
//! Pure: inputs come in with the time, and what they lead to is drafted. Whatever is drafted counts from
//! its commit on; a commit that fails takes the whole partition's memory with it (W1).

mod actions;
mod commit;
mod draft;
mod load;
mod log;
mod parked;
mod posts;
mod presence;
mod repeats;
mod room_meta;
mod run;
mod seats;
mod silent;

use std::time::Duration;

use outlast_protocol::{Member, Payload, RoomName};
use outlast_store::{Answer, Body, Entry, Input, Request, Throttle};

pub(crate) use self::{commit::Snapshots, load::Loaded};

use self::{
    actions::Action, draft::Draft, log::LogEnd, parked::Parked, posts::POST_N, room_meta::RoomMeta,
    seats::Seats,
};
use crate::{
    batch::{Batch, Requester},
    live::{Fault, LiveRoom},
};

/// When an action that a stopped room cannot take is worth another try, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// The number of what has none.
const NO_N: u64 = 0;

/// Whoever finds an action at which a room fails can repeat it. How often it does is counted.
static FAULTS: Throttle = Throttle::every(Duration::from_secs(1));

/// A room in memory.
pub(crate) struct Host {
    name: RoomName,
    life: Life,
    seats: Seats,
    head: RoomMeta,
    log: LogEnd,
    draft: Draft,
    /// When the store believes that the room wants to be woken, in the store's time.
    wake_ms: Option<u64>,
    /// When it has to be in somebody's memory at the latest, while there are members (S10).
    look_ms: Option<u64>,
    /// True if its code is not asked at the moment.
    barred: bool,
}

/// The state of a room in memory.
enum Life {
    /// It runs.
    Running(LiveRoom),
    /// Its code failed, and its state in memory is not to be trusted: it is folded anew before anything
    /// else happens in it (W5).
    Spoilt,
    /// It cannot be read here, and what must not be lost is parked (W6).
    Stopped { parked: Parked, reason: String },
    /// There is no such kind of room, and nothing in the store that bears its name.
    Unknown,
}

impl Host {
    /// True if the room must be loaded again before it takes anything.
    pub(crate) fn is_spoilt(&self) -> bool {
        matches!(self.life, Life::Spoilt)
    }

    /// True if the room cannot be read here (W6).
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.life, Life::Stopped { .. })
    }

    /// True if its code is at work.
    pub(crate) fn runs(&self) -> bool {
        matches!(self.life, Life::Running(_))
    }

    /// Returns the room's name.
    pub(crate) fn name(&self) -> &RoomName {
        &self.name
    }

    /// Stops a room that runs.
    pub(crate) fn stop(&mut self, reason: &str) {
        self.life = Life::Stopped {
            parked: Parked::default(),
            reason: reason.to_owned(),
        };
    }

    /// Takes an input as if the room's code failed at it, without asking it (W11).
    pub(crate) fn set_aside(
        &mut self,
        input: Input,
        now_ms: u64,
        log: &[Entry],
        batch: &mut Batch,
    ) {
        self.barred = true;
        self.take(input, now_ms, log, batch);
        self.barred = false;
    }

    /// Why the room stands still here, if it does.
    pub(crate) fn stopped(&self) -> Option<&str> {
        match &self.life {
            Life::Stopped { reason, .. } => Some(reason),
            Life::Running(_) | Life::Spoilt | Life::Unknown => None,
        }
    }

    /// True if an input counts that comes much later than it was sent. A session that the room does not
    /// know may have been over for so long that the room has forgotten it (S6): what it asked for would
    /// make a member that nothing ever ends. That a session is over is always worth hearing.
    pub(crate) fn takes_late(&self, input: &Input) -> bool {
        matches!(input.request, Request::Over { .. }) || self.seats.get(&input.sid).is_some()
    }

    /// Takes an input. `log` holds what [`Host::must_look_up`] asked for.
    pub(crate) fn take(&mut self, input: Input, now_ms: u64, log: &[Entry], batch: &mut Batch) {
        match &mut self.life {
            Life::Running(_) => self.admit(input, now_ms, log, batch),
            Life::Stopped { parked, .. } => {
                let kept = parked.admits(&input).then(|| input.clone());
                self.put_off(input, batch);
                self.draft.park.extend(kept);
            }
            Life::Unknown => self.disown(input, batch),
            Life::Spoilt => {
                debug_assert!(false, "a spoilt room is loaded before it takes anything")
            }
        }
    }

    fn admit(&mut self, input: Input, now_ms: u64, log: &[Entry], batch: &mut Batch) {
        self.head.advance(now_ms);
        let (asker, request) = split(input);
        if self.is_over(&asker, &request) {
            return;
        }
        match request {
            Request::Over { reason } => self.over(&asker, reason, batch),
            Request::View => self.show(&asker, true, batch),
            Request::Attached { view } => {
                if self.attached(&asker, batch) {
                    self.show(&asker, view, batch);
                }
            }
            Request::Arrived => {
                if self.attached(&asker, batch) && self.sitting(&asker).is_none() {
                    self.show(&asker, false, batch);
                }
            }
            Request::Detached => self.detached(&asker, batch),
            Request::Join { n, user, data } => {
                let data = data.unwrap_or_else(Payload::null);
                self.act(&asker, n, Action::Join { user, data }, log, batch);
            }
            Request::Act { n, data } => self.act(&asker, n, Action::Act { data }, log, batch),
            Request::Leave { n } => self.act(&asker, n, Action::Leave, log, batch),
            Request::Post { user, data } => self.post(&asker, user, data, batch),
            Request::Report { data } => self.report(data, batch),
            Request::Look => self.look(&asker, batch),
            // It was answered before.
            Request::Inspect => {}
            Request::Reload => {
                let answer = self.seated(&asker, None);
                batch.reply(&asker, &self.name, answer);
            }
        }
    }

    /// The room stands still here: actions are not taken (W6, A5), and who asks something else is told at once
    /// that it stands still.
    fn put_off(&self, input: Input, batch: &mut Batch) {
        let message = match (&input.request, self.stopped()) {
            (Request::Reload, Some(reason)) => reason.to_owned(),
            _ => "this room stands still at the moment".to_owned(),
        };
        let n = match input.request {
            Request::Attached { .. } | Request::View | Request::Look | Request::Reload => NO_N,
            Request::Join { n, .. } | Request::Act { n, .. } | Request::Leave { n } => n,
            Request::Post { .. } => POST_N,
            Request::Arrived
            | Request::Inspect
            | Request::Report { .. }
            | Request::Detached
            | Request::Over { .. } => return,
        };
        let answer = Answer::NotTaken {
            n,
            code: "busy".into(),
            message,
            retry_ms: Some(RETRY_MS),
        };
        batch.reply(&split(input).0, &self.name, answer);
    }

    /// There is no such room, and there will be none.
    fn disown(&mut self, input: Input, batch: &mut Batch) {
        let reload = matches!(input.request, Request::Reload).then_some(NO_N);
        if let Some(n) = number(&input.request).or(reload) {
            let answer = Answer::NotTaken {
                n,
                code: "unknown_room_kind".into(),
                message: format!("there are no rooms of kind {:?} here", self.name.kind()),
                retry_ms: None,
            };
            batch.reply(&split(input).0, &self.name, answer);
        } else if matches!(
            input.request,
            Request::Attached { .. } | Request::Arrived | Request::View | Request::Look
        ) {
            let (asker, _) = split(input);
            let answer = self.seated(&asker, None);
            batch.reply(&asker, &self.name, answer);
        }
    }

    /// Drafts an entry that does not change the room.
    fn push(&mut self, body: Body, batch: &mut Batch) {
        let pos = self.log.push(batch.tag, self.head.now_ms());
        let at = self.head.now_ms();
        batch.bytes += size(&body);
        self.draft.entries.push(Entry { pos, at, body });
    }

    /// Settles what a member is owed, so that it stands before whatever the member is told next: outcomes come in
    /// the order of their numbers (A2).
    fn settle(&mut self, member: Member, batch: &mut Batch) {
        if let Some(n) = self.draft.owed.remove(&member) {
            let body = accepted(member, n, None, None);
            self.push(body, batch);
        }
    }

    /// The room's code has failed: its state in memory is dropped.
    fn spoil(&mut self, fault: &Fault) {
        if FAULTS.passes() {
            tracing::error!(room = %self.name, %fault, "room failed; reloading it");
        }
        metrics::counter!(crate::telemetry::FAULTS).increment(1);
        self.life = Life::Spoilt;
    }
}

/// The number of what was asked, where somebody waits for its outcome.
fn number(request: &Request) -> Option<u64> {
    match request {
        Request::Join { n, .. } | Request::Act { n, .. } | Request::Leave { n } => Some(*n),
        Request::Post { .. } => Some(POST_N),
        Request::Attached { .. }
        | Request::Arrived
        | Request::View
        | Request::Look
        | Request::Reload
        | Request::Inspect
        | Request::Report { .. }
        | Request::Detached
        | Request::Over { .. } => None,
    }
}

fn split(input: Input) -> (Requester, Request) {
    let asker = Requester {
        sid: input.sid,
        generation: input.generation,
        gateway: input.gateway,
    };
    (asker, input.request)
}

/// The outcome of an act that the room took: what it answers, and what it keeps to itself.
fn accepted(to: Member, n: u64, data: Option<Payload>, kept: Option<Payload>) -> Body {
    Body::Result {
        to,
        n,
        ok: true,
        data,
        code: None,
        message: None,
        kept,
    }
}

fn size(body: &Body) -> usize {
    const ENVELOPE_BYTES: usize = 64;
    ENVELOPE_BYTES + body.payload_bytes()
}
