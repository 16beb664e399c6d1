//! What a swarm is told and what it tells: in this process over a channel, from another as JSON lines.

use std::path::PathBuf;

use reconnect_storm::Verdict;
use serde::{Deserialize, Serialize};

use super::latency::Latencies;

/// What a swarm is to do. Each is answered by [`Report::Done`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Clients come, and join their rooms.
    Arrive(Crowd),
    /// From now on, so many actions a second, of this many bytes; none for 0.
    Act { per_s: f64, text_bytes: usize },
    /// The storm begins now: what happens to clients counts from here.
    Storm,
    /// Those of a crowd that were meant to lose their sockets abruptly.
    Cut,
    /// A share of the clients reads so many bytes a second; all read freely again for `None`.
    Read {
        every: u32,
        bytes_per_s: Option<u32>,
    },
    /// The run ends: every outcome is waited for, and a last word in each room.
    Settle { within_ms: u64 },
}

/// Clients that come together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Crowd {
    pub(crate) kind: Kind,
    /// The number of the first, over all processes.
    pub(crate) first: u32,
    pub(crate) clients: u32,
    /// The number of the first room, and how many there are for them.
    pub(crate) first_room: u32,
    pub(crate) rooms: u32,
    /// What tells the rooms of this run from those of others.
    pub(crate) run: String,
    pub(crate) gateways: Vec<String>,
    /// Authorities that are believed there, besides the public ones.
    pub(crate) ca_file: Option<PathBuf>,
    /// They all dial the first gateway first, rather than in turn.
    pub(crate) all_at_first: bool,
    pub(crate) token: Option<String>,
    pub(crate) jitter: bool,
    pub(crate) seed: u64,
    /// How many may be on their way in at once.
    pub(crate) at_once: usize,
    /// Every so manieth has a small receive buffer, so that its slow reading is felt at the gateway.
    pub(crate) slow_every: Option<u32>,
    /// The share of them that [`Order::Cut`] means.
    pub(crate) cut_share: f64,
    /// Whether the run explains that the store loses writes.
    pub(crate) may_diverge: bool,
}

/// How clients behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// By the rules of the protocol.
    Polite,
    /// They obey no `retry_ms`, and try again each 100 ms.
    Rude,
    /// They upgrade, and nothing else.
    Bare,
}

/// What a swarm tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Report {
    /// How things stand, ten times a second.
    Sample(Box<Sample>),
    /// An order is done.
    Done(Box<Done>),
    /// An order cannot be done.
    Failed(String),
}

/// What is known once an order is done.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    /// What became of each client in the storm; with `Settle` alone.
    pub(crate) journeys: Vec<Journey>,
    pub(crate) verdict: Verdict,
}

/// What became of one client since the storm began. Times in microseconds since then.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Journey {
    pub(crate) rude: bool,
    pub(crate) out_us: Option<u64>,
    pub(crate) back_us: Option<u64>,
    pub(crate) caught_up_us: Option<u64>,
    /// When it was to move, when it dialled, when the move was done, and how long nothing could arrive.
    pub(crate) move_at_us: Option<u64>,
    pub(crate) move_dialled_us: Option<u64>,
    pub(crate) moved_us: Option<u64>,
    pub(crate) silenced_us: Option<u64>,
    pub(crate) attempts: u32,
}

/// How a swarm stands at a moment. Counters grow from the swarm's begin.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// On the clock of the system, in microseconds.
    pub(crate) at_us: u64,
    pub(crate) clients: u64,
    /// Without a session on a live socket.
    pub(crate) out: u64,
    /// Polite ones that were cut in the storm, have come back, have caught up.
    pub(crate) cut: u64,
    pub(crate) back: u64,
    pub(crate) caught_up: u64,
    pub(crate) moved: u64,
    pub(crate) attempts: u64,
    pub(crate) attaches: u64,
    pub(crate) refusals: u64,
    pub(crate) actions: u64,
    pub(crate) events: u64,
    /// From asking to the event, at everybody; and between those that were not cut. Since the last sample.
    pub(crate) latency: Latencies,
    pub(crate) latency_uncut: Latencies,
    /// The longest that a timer of the swarm was late since the last sample.
    pub(crate) lag_us: u64,
}

impl Sample {
    /// Adds the sample of another process at the same moment.
    pub(crate) fn add(&mut self, other: &Sample) {
        self.clients += other.clients;
        self.out += other.out;
        self.cut += other.cut;
        self.back += other.back;
        self.caught_up += other.caught_up;
        self.moved += other.moved;
        self.attempts += other.attempts;
        self.attaches += other.attaches;
        self.refusals += other.refusals;
        self.actions += other.actions;
        self.events += other.events;
        self.latency.add(&other.latency);
        self.latency_uncut.add(&other.latency_uncut);
        self.lag_us = self.lag_us.max(other.lag_us);
    }
}
