//! A gateway is killed with SIGKILL, or the operator's command does whatever it does.

use crate::{field::Field, report::Fact};

pub(super) async fn storm(field: &mut Field) -> anyhow::Result<Vec<Fact>> {
    if field.options.storm_command.is_some() {
        field.run_storm_command().await?;
        return Ok(Vec::new());
    }
    if let Some(gateway) = field.stage()?.gateways.first_mut() {
        gateway.kill().await?;
    }
    Ok(Vec::new())
}
