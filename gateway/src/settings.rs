use std::{num::NonZero, time::Duration};

use crate::admission::Limits;

/// Settings of a gateway. All gateways of one store should be given the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// The largest frame that a client may send, in bytes (F2).
    pub frame_bytes: usize,
    /// The longest that the server stays silent, and half of what it bears of a client, in
    /// milliseconds (F1).
    pub heartbeat_ms: u64,
    /// Actions a second that one socket may send; twice that at once (A5).
    pub actions_per_s: u32,
    /// Most sockets of one address; any number when there is none (S8).
    pub sockets_per_address: Option<usize>,
    /// Origins that may connect besides the gateway's own host, such as `https://app.example` (H4).
    pub allow_origin: Vec<String>,
    /// Time from the TCP connection to the first frame, in milliseconds (H2).
    pub first_frame_ms: u64,
    /// The longest that a client may read nothing while there is something for it, in milliseconds (F3).
    pub blocked_ms: u64,
    /// Time for the sockets to move elsewhere when the gateway is told to go, in milliseconds; they
    /// are closed at once when it is 0 (D3).
    pub drain_ms: u64,
    /// Newest entries that a room's log keeps (E2): a client that comes back to an older one is
    /// replayed to from the log alone, and not from what this gateway happens to remember (R1). Who runs
    /// rooms has to be told the same.
    pub log_entries: u64,
    /// Interval at which each session is looked up in its record, in milliseconds: a socket that was taken over goes
    /// within this, also when nobody lived to say so (S5). One read for each.
    pub verify_ms: u64,
    /// Sockets that are given a session, per second (D1).
    pub attach_rate: u32,
    /// Most sockets about to attach at once; the others wait for their turn (D1).
    pub attaches_max: usize,
    /// Most sockets that wait for their turn, unless they would wait for longer than
    /// [`Settings::WAIT_MAX`]; one more is told `busy` (D1).
    pub waiting_max: usize,
    /// Most other connections that have not said yet what they want; one more is
    /// HTTP 503.
    pub silent_max: usize,
}

impl GatewaySettings {
    /// The longest that a socket may wait for its turn.
    pub const WAIT_MAX: Duration = Duration::from_secs(4);

    /// Attaches a second that a gateway with so many cores lets in, unless it is told otherwise: a
    /// bound, and not what it can do. Where the store is slower, [`Settings::attaches_max`] is what counts.
    pub fn attach_rate_of(cores: usize) -> u32 {
        const PER_CORE: u32 = 4_000;
        PER_CORE.saturating_mul(u32::try_from(cores.max(1)).unwrap_or(u32::MAX))
    }

    /// Most sockets about to attach at once at a gateway with so many cores: what those take of a core
    /// is what all the others wait for (F4).
    pub fn attaches_max_of(cores: usize) -> usize {
        const PER_CORE: usize = 48;
        PER_CORE.saturating_mul(cores.max(1))
    }

    pub(crate) fn limits(&self) -> Limits {
        let wait = f64::from(self.attach_rate) * Self::WAIT_MAX.as_secs_f64();
        let waiting_max = self.waiting_max.min(wait.ceil() as usize);
        Limits {
            per_s: self.attach_rate,
            waiting_max,
            waiting_bytes_max: WAITING_BYTES_MAX,
            attaching_max: self.attaches_max,
        }
    }

    /// Most connections without a session: those that wait for their turn, and others that
    /// have not said yet what they want.
    pub(crate) fn guests_max(&self) -> usize {
        self.limits().waiting_max + self.attaches_max + self.silent_max
    }
}

/// The most memory that the frames of those that wait may take, in bytes.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;

impl Default for GatewaySettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        GatewaySettings {
            frame_bytes: 65_536,
            heartbeat_ms: 25_000,
            actions_per_s: 50,
            sockets_per_address: None,
            allow_origin: Vec::new(),
            first_frame_ms: 10_000,
            blocked_ms: 30_000,
            drain_ms: 30_000,
            log_entries: 1_000,
            verify_ms: 30_000,
            attach_rate: GatewaySettings::attach_rate_of(cores),
            attaches_max: GatewaySettings::attaches_max_of(cores),
            waiting_max: 8_192,
            silent_max: 4_096,
        }
    }
}
