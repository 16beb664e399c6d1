//! Redis dies and returns with what it had written. Clients keep their sockets (L5).

use std::time::Duration;

use super::worker::stalled;
use crate::{field::Field, report::Fact};

const AWAY: Duration = Duration::from_secs(1);

pub(super) async fn storm(field: &mut Field) -> anyhow::Result<Vec<Fact>> {
    if field.options.storm_command.is_some() {
        field.run_storm_command().await?;
        return Ok(Vec::new());
    }
    field.stage()?.redis.die_and_return(AWAY).await?;
    let (name, pid) = {
        let redis = &field.stage()?.redis.process;
        (format!("{} again", redis.name), redis.pid())
    };
    if let Some(pid) = pid {
        field.probe.watch(name, pid);
    }
    stalled(field, "1 s away, and little more").await
}
