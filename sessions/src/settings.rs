/// The settings of sessions. All keepers and gateways of one store should be given the same; of `ttl_ms` and
/// `grace_ms` what the store says counts (L10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// The time for which a session outlives its socket, in milliseconds (S2).
    pub ttl_ms: u64,
    /// The time that a session may be without a socket before its rooms are told, in milliseconds (S7).
    pub grace_ms: u64,
    /// The number of sessions that one user may have (S8).
    pub per_user_max: usize,
    /// The time that a keeper's lease of a shard lasts without being renewed, in milliseconds.
    pub lease_ms: u64,
    /// The interval at which records are held against what else is known of them, in milliseconds (S9).
    pub audit_ms: u64,
}

impl Default for SessionSettings {
    fn default() -> Self {
        SessionSettings {
            ttl_ms: 120_000,
            grace_ms: 5_000,
            per_user_max: 16,
            lease_ms: 2_000,
            audit_ms: 30_000,
        }
    }
}
