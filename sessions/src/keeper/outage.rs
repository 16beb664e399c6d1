use outlast_store::StoreError;

/// Says once that the store is away, and once that it is back.
#[derive(Debug, Default)]
pub(super) struct Outage {
    away: bool,
}

impl Outage {
    /// Takes note of what became of a round.
    pub(super) fn note<T>(&mut self, round: &Result<T, StoreError>) {
        match round {
            Ok(_) if self.away => tracing::info!("store answers again; session keeping resumed"),
            Err(error) if !self.away => {
                tracing::warn!(%error, "store does not answer; session keeping paused");
            }
            Ok(_) | Err(_) => {}
        }
        self.away = round.is_err();
    }
}
