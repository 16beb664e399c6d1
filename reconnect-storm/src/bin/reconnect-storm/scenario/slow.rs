//! A share of the clients reads little of a room that says much. The others are not to
//! notice, and the slow ones are to end complete (F3, F4).

use crate::{
    experiment::Experiment,
    pool::{Cohort, Command},
};

const BYTES_PER_S: u32 = 1_024;
/// So much is said that it does not fit.
const TEXT_BYTES: usize = 1_024;

pub(super) fn prepare(experiment: &mut Experiment, cohort: &mut Cohort) {
    experiment.text_bytes = TEXT_BYTES;
    cohort.slow_every = Some(every(experiment));
}

pub(super) async fn storm(experiment: &mut Experiment) -> anyhow::Result<()> {
    read(experiment, Some(BYTES_PER_S)).await
}

/// The slow ones may read as fast as they can again.
pub(super) async fn end(experiment: &mut Experiment) -> anyhow::Result<()> {
    read(experiment, None).await
}

async fn read(experiment: &mut Experiment, bytes_per_s: Option<u32>) -> anyhow::Result<()> {
    let every = every(experiment);
    experiment
        .pool
        .all(Command::Read { every, bytes_per_s })
        .await
        .map(drop)
}

/// One client in this many is slow.
fn every(experiment: &Experiment) -> u32 {
    (1.0 / experiment.options.slow_share().max(0.001)).round() as u32
}
