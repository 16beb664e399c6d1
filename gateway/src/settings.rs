/// How a gateway behaves. All gateways of one store should be given the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The largest frame that a client may send, in bytes (F2).
    pub frame_bytes: usize,
    /// The longest that the server stays silent, and half of what it bears of a client, in
    /// milliseconds (F1).
    pub heartbeat_ms: u64,
    /// Actions a second that one socket may send; twice that at once (A5).
    pub actions_per_s: u32,
    /// How long a session outlives its socket, in milliseconds: what `welcome` says (S2). Who keeps
    /// sessions has to be told the same.
    pub ttl_ms: u64,
    /// How many sockets one address may have; any number when there is none (S8).
    pub sockets_per_address: Option<usize>,
    /// Origins that may connect besides the gateway's own host, such as `https://app.example` (H4).
    pub allow_origin: Vec<String>,
    /// How long after the TCP connection the first frame has to be there, in milliseconds (H2).
    pub first_frame_ms: u64,
    /// How long a client may read nothing while there is something for it, in milliseconds (F3).
    pub blocked_ms: u64,
    /// How long the sockets have to move elsewhere when the gateway is told to go, in milliseconds; they
    /// are closed at once when it is 0 (D3).
    pub drain_ms: u64,
    /// How many of its newest entries a room's log keeps (E2): a client that comes back to an older one is
    /// replayed to from the log alone, and not from what this gateway happens to remember (R1). Who runs
    /// rooms has to be told the same.
    pub log_entries: u64,
    /// How often each session is looked up in its record, in milliseconds: a socket that was taken over goes
    /// within this, also when nobody lived to say so (S5). One read for each.
    pub verify_ms: u64,
    /// How many sockets may be about to attach at once; one more is told `busy` (D1).
    pub attaches_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            frame_bytes: 65_536,
            heartbeat_ms: 25_000,
            actions_per_s: 50,
            ttl_ms: 120_000,
            sockets_per_address: None,
            allow_origin: Vec::new(),
            first_frame_ms: 10_000,
            blocked_ms: 30_000,
            drain_ms: 30_000,
            log_entries: 1_000,
            verify_ms: 30_000,
            attaches_max: 512,
        }
    }
}
