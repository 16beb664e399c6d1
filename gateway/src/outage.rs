use outlast_store::StoreError;

/// Says once that the store does not hear this gateway, and once that it does again.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    lasts: bool,
}

impl Outage {
    pub(crate) fn begins(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.lasts, true) {
            tracing::warn!(%error, "the store does not hear this gateway; sockets are kept");
        }
    }

    pub(crate) fn ends(&mut self) {
        if std::mem::take(&mut self.lasts) {
            tracing::info!("the store hears this gateway again");
        }
    }
}
