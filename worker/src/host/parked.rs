use std::collections::HashMap;

use outlast_protocol::Sid;
use outlast_store::{Input, Request};

/// The number of parked inputs of a room that merely say whose sockets come and go. Beyond it
/// they are dropped: who is away may be shown wrongly until the next such input.
const PRESENCE_MAX: usize = 10_000;

/// The parked inputs of a room that cannot be read here (W6), so that it stays bounded however
/// long that lasts and however often its sessions come and go.
#[derive(Default)]
pub(super) struct Parked {
    newest: HashMap<Sid, What>,
    presence: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Attached,
    Detached,
    Over,
}

impl Parked {
    /// Returns the state where these inputs are parked already.
    pub(super) fn of(inputs: &[Input]) -> Self {
        let mut parked = Parked::default();
        for input in inputs {
            parked.admits(input);
        }
        parked
    }

    /// True if an input is to be parked, after those that are.
    pub(super) fn admits(&mut self, input: &Input) -> bool {
        let what = match input.request {
            Request::Attached { .. } | Request::Arrived => What::Attached,
            Request::Detached => What::Detached,
            Request::Over { .. } => What::Over,
            Request::Join { .. }
            | Request::Act { .. }
            | Request::Leave { .. }
            | Request::View
            | Request::Look
            | Request::Reload
            | Request::Inspect
            | Request::Post { .. }
            | Request::Report { .. } => return false,
        };
        let newest = self.newest.get(&input.sid).copied();
        let told = newest == Some(what) || newest == Some(What::Over);
        if told || (what != What::Over && self.presence == PRESENCE_MAX) {
            return false;
        }
        self.presence += usize::from(what != What::Over);
        self.newest.insert(input.sid, what);
        true
    }
}
