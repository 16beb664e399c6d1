//! The metrics of a store, through the `metrics` facade; and how all crates describe what they count.

use metrics::{SharedString, Unit};

/// Something that is counted or measured: one row of docs/metrics.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name at `/metrics`.
    pub name: &'static str,
    /// The kind of number.
    pub kind: Kind,
    /// The labels that tell its series apart.
    pub labels: &'static [&'static str],
    /// The meaning of the number.
    pub help: &'static str,
}

/// The kind of number that a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only rises.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It is a distribution.
    Histogram,
}

impl Metric {
    /// A counter.
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Metric {
            name,
            kind: Kind::Counter,
            labels,
            help,
        }
    }

    /// A gauge.
    pub const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Metric {
            name,
            kind: Kind::Gauge,
            labels,
            help,
        }
    }

    /// A histogram.
    pub const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Metric {
            name,
            kind: Kind::Histogram,
            labels,
            help,
        }
    }

    /// Says what it means to whoever records, and begins to count where nothing tells its series apart.
    pub fn describe(&self) {
        let (name, help) = (self.name, SharedString::const_str(self.help));
        let unit = if name.ends_with("_seconds") {
            Unit::Seconds
        } else {
            Unit::Count
        };
        match self.kind {
            Kind::Counter => {
                metrics::describe_counter!(name, unit, help);
                if self.labels.is_empty() {
                    metrics::counter!(name).increment(0);
                }
            }
            Kind::Gauge => {
                metrics::describe_gauge!(name, unit, help);
                if self.labels.is_empty() {
                    metrics::gauge!(name).increment(0.0);
                }
            }
            Kind::Histogram => metrics::describe_histogram!(name, unit, help),
        }
    }
}

pub(crate) const REQUESTS: &str = "outlast_store_requests_total";
pub(crate) const FAILED: &str = "outlast_store_requests_failed_total";
pub(crate) const SECONDS: &str = "outlast_store_request_seconds";
pub(crate) const LEASES: &str = "outlast_store_lease_changes_total";
pub(crate) const REFUSES: &str = "outlast_store_refuses_writes";
pub(crate) const CLOCK_JUMPS: &str = "outlast_store_clock_jumps_total";

/// The metrics of a store.
pub const METRICS: &[Metric] = &[
    Metric::counter(REQUESTS, &["request"], "Requests to the store"),
    Metric::counter(FAILED, &["request"], "Requests to the store that failed"),
    Metric::histogram(
        SECONDS,
        &["request"],
        "Duration of requests to the store, without reads that wait for something new",
    ),
    Metric::counter(
        LEASES,
        &["lease", "outcome"],
        "Leases of partitions and shards that this process claimed, released or lost, by lease and outcome",
    ),
    Metric::gauge(
        REFUSES,
        &[],
        "1 while the store takes nothing new, because it is at its memory limit or refuses every write, and 0 otherwise",
    ),
    Metric::counter(
        CLOCK_JUMPS,
        &["clock"],
        "Clock jumps that this process detected and compensated, by clock: of the store (Redis), or of its own system",
    ),
];
