//! A share of the clients reads a trickle of a room that says more than that. The others are not to
//! notice, and the slow ones are to end complete (F3, F4).

use crate::{
    field::Field,
    report::Fact,
    swarm::{Crowd, Order},
};

const BYTES_PER_S: u32 = 1_024;
/// So much is said that it does not fit.
const TEXT_BYTES: usize = 1_024;

pub(super) fn prepare(field: &mut Field, crowd: &mut Crowd) {
    field.text_bytes = TEXT_BYTES;
    crowd.slow_every = Some(every(field));
}

pub(super) async fn storm(field: &mut Field) -> anyhow::Result<Vec<Fact>> {
    read(field, Some(BYTES_PER_S)).await?;
    Ok(Vec::new())
}

/// The slow ones may read as fast as they can again.
pub(super) async fn end(field: &mut Field) -> anyhow::Result<()> {
    read(field, None).await
}

async fn read(field: &mut Field, bytes_per_s: Option<u32>) -> anyhow::Result<()> {
    let every = every(field);
    field
        .swarm
        .all(Order::Read { every, bytes_per_s })
        .await
        .map(drop)
}

/// Every so manieth client is slow.
fn every(field: &Field) -> u32 {
    let share = field.options.share.unwrap_or(0.1);
    (1.0 / share.max(0.001)).round() as u32
}
