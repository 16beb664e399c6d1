//! A share of the sockets is cut abruptly, as a network does; both gateways live on.

use crate::{field::Field, report::Fact, swarm::Order};

pub(super) async fn storm(field: &mut Field) -> anyhow::Result<Vec<Fact>> {
    field.swarm.all(Order::Cut).await?;
    Ok(Vec::new())
}
