//! Figures out of samples.

use serde::Serialize;

/// One figure, measured in several rounds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `rounds` holds at least one figure.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Self {
        let mut all: Vec<f64> = rounds.into_iter().collect();
        all.sort_by(f64::total_cmp);
        Spread {
            median: at(&all, 0.5),
            min: at(&all, 0.0),
            max: at(&all, 1.0),
        }
    }
}

/// The values that half of a round's samples stay below, and 99 of 100.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Percentiles {
    /// `samples` holds at least one.
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Percentiles {
            p50: at(&samples, 0.5),
            p99: at(&samples, 0.99),
        }
    }
}

/// Between the two neighbours where there is no sample in the very place.
fn at(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let (low, high) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    low + (high - low) * place.fract()
}
