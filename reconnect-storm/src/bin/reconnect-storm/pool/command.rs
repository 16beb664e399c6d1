//! Commands to a pool and its messages: in this process over a channel, from another as JSON lines.

use std::path::PathBuf;

use reconnect_storm::Verdict;
use serde::{Deserialize, Serialize};

use super::latency::Latencies;
use crate::options::{Jitter, Options};

/// A command to a pool. Each is answered by [`Message::Done`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Clients come, and join their rooms.
    Arrive(Cohort),
    /// From now on, so many actions a second, of this many bytes; none for 0.
    Act { per_s: f64, text_bytes: usize },
    /// The storm begins now: what happens to clients counts from here.
    Storm,
    /// Those of a cohort that were meant to lose their sockets abruptly.
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
pub(crate) struct Cohort {
    pub(crate) kind: Kind,
    /// The number of the first, over all processes.
    pub(crate) first: u32,
    pub(crate) clients: u32,
    /// The number of the first room, and how many there are for them.
    pub(crate) first_room: u32,
    pub(crate) rooms: u32,
    /// Tells the rooms of this run from those of others.
    pub(crate) run: String,
    pub(crate) gateways: Vec<String>,
    /// Authorities that are believed there, besides the public ones.
    pub(crate) ca_file: Option<PathBuf>,
    /// They all dial the first gateway first, rather than in turn.
    pub(crate) all_at_first: bool,
    pub(crate) token: Option<String>,
    pub(crate) jitter: bool,
    pub(crate) seed: u64,
    /// The number of clients that may be on their way in at once.
    pub(crate) at_once: usize,
    /// One client in this many has a small receive buffer, so that its slow reading is felt at the gateway.
    pub(crate) slow_every: Option<u32>,
    /// The share of them that [`Command::Cut`] means.
    pub(crate) cut_share: f64,
    /// The run explains that the store loses writes.
    pub(crate) may_diverge: bool,
}

/// The number of clients that may be on their way in at once.
const AT_ONCE: usize = 200;

impl Cohort {
    /// The clients that the options ask for, at these gateways.
    pub(crate) fn new(options: &Options, gateways: Vec<String>) -> Cohort {
        Cohort {
            kind: Kind::Polite,
            first: 0,
            clients: options.clients(),
            first_room: 0,
            rooms: options.rooms(),
            run: String::new(),
            gateways,
            ca_file: options.ca_file.clone(),
            all_at_first: false,
            token: options.token.clone(),
            jitter: options.jitter == Jitter::Sdk,
            seed: options.seed,
            at_once: AT_ONCE,
            slow_every: None,
            cut_share: 0.0,
            may_diverge: false,
        }
    }
}

/// The behaviour of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// By the rules of the protocol.
    Polite,
    /// They obey no `retry_ms`, and try again each 100 ms.
    Rude,
    /// They upgrade, and nothing else.
    Bare,
}

/// A message of a pool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The present counts, ten times a second.
    Sample(Box<Sample>),
    /// The command is done.
    Done(Box<Results>),
    /// The command cannot be done.
    Failed(String),
}

/// The answer to a command that is done.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The return of each client in the storm; with `Settle` alone.
    pub(crate) recoveries: Vec<Recovery>,
    pub(crate) verdict: Verdict,
}

/// The return of one client since the storm began. Times in microseconds since then.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Recovery {
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

/// The state of a pool at a moment. Counters grow from the pool's begin.
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
    /// The longest that a timer of the pool was late since the last sample.
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
