/// The settings of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// The time for which a partition stays with a worker that has fallen silent, in milliseconds (W4).
    pub lease_ms: u64,
    /// The number of newest entries that a room's log keeps (E2). It may hold a fifth more.
    pub log_entries: u64,
    /// The age at which an entry may go, in milliseconds (E2).
    pub log_age_ms: u64,
    /// The time for which a room without members stays in the store, in milliseconds (E2).
    pub room_ttl_ms: u64,
    /// The number of inputs that one commit may take up.
    pub batch_max: usize,
    /// The interval at which members who are silent are held against their sessions' records, in milliseconds; never, when
    /// there is none (S10).
    pub audit_ms: Option<u64>,
    /// The longest time that one call into a room's code may take, in milliseconds (W11).
    pub step_ms: u64,
    /// After how many entries a room's state is written down, at the latest.
    pub snapshot_every: u64,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        WorkerSettings {
            lease_ms: 2_000,
            log_entries: 1_000,
            log_age_ms: 600_000,
            room_ttl_ms: 24 * 3_600_000,
            batch_max: 512,
            audit_ms: Some(30_000),
            step_ms: 2_000,
            snapshot_every: 200,
        }
    }
}

/// For how many audits a room may go without being in anybody's memory.
const AUDITS_WITHOUT_ROOM: u64 = 20;

impl WorkerSettings {
    /// Returns the time that a room with members may be in nobody's memory, in milliseconds: only there it is audited (S10).
    pub(crate) fn look_ms(&self) -> Option<u64> {
        self.audit_ms
            .map(|audit_ms| audit_ms.saturating_mul(AUDITS_WITHOUT_ROOM))
    }

    /// Returns the number of entries that may follow a snapshot: few enough that trimming, which happens along with
    /// snapshots, keeps the log near its bound.
    pub(crate) fn snapshot_due(&self) -> u64 {
        self.snapshot_every.min(self.log_entries / 5).max(1)
    }
}
