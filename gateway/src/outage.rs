use outlast_store::StoreError;

/// Says once that the store does not hear this gateway, and once that it does again.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    lasts: bool,
}

impl Outage {
    pub(crate) fn begins(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.lasts, true) {
            tracing::warn!(%error, "heartbeats to the store fail; keeping sockets open");
        }
    }

    pub(crate) fn ends(&mut self) {
        if std::mem::take(&mut self.lasts) {
            tracing::info!("heartbeats to the store succeed again");
        }
    }
}
