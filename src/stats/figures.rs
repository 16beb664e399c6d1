//! The counters of `/metrics`, as figures of a report: there is one set of counters, and this reads it.

use outlast_worker::rooms::stats::{OfGateway, OfKeeper, OfWorker};

/// Everything that a report may hold, with counts from the start of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) gateway: OfGateway,
    pub(super) worker: OfWorker,
    pub(super) keeper: OfKeeper,
}

/// A page of metrics in Prometheus's text format.
pub(super) struct Metrics<'a> {
    /// Names, labels as they are written, and values.
    series: Vec<(&'a str, &'a str, f64)>,
}

impl<'a> Metrics<'a> {
    pub(super) fn new(text: &'a str) -> Metrics<'a> {
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let series = series.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name, labels, value.parse().ok()?))
        });
        Metrics {
            series: series.collect(),
        }
    }

    /// The sum of all series of this name.
    fn all(&self, name: &str) -> u64 {
        whole(self.find(name, "").sum())
    }

    /// The sum of those with this label.
    fn with(&self, name: &str, label: &str) -> u64 {
        whole(self.find(name, label).sum())
    }

    /// A quantile of a histogram of seconds, in microseconds.
    fn quantile_us(&self, name: &str, quantile: &str) -> u64 {
        let seconds: f64 = self.find(name, quantile).sum();
        whole(seconds * 1e6)
    }

    fn find(&self, name: &str, label: &str) -> impl Iterator<Item = f64> {
        let found = self.series.iter();
        let found = found.filter(move |(of, labels, _)| *of == name && labels.contains(label));
        found.map(|(_, _, value)| *value)
    }
}

impl Figures {
    pub(super) fn read(metrics: &Metrics) -> Figures {
        const COMMIT: &str = "outlast_worker_commit_seconds";
        const ATTACHES: &str = "outlast_gateway_attaches_total";
        Figures {
            gateway: OfGateway {
                sockets: metrics.all("outlast_gateway_sockets"),
                waiting: metrics.all("outlast_gateway_admission_waiting"),
                admitted: metrics.with(ATTACHES, "outcome=\"attached\""),
                busy: metrics.with(ATTACHES, "outcome=\"busy\""),
                catching_up: metrics.all("outlast_gateway_catching_up"),
                catch_ups: metrics.all("outlast_gateway_catch_ups_total"),
                delivered: metrics.all("outlast_gateway_entries_sent_total"),
                draining: metrics.all("outlast_gateway_draining") > 0,
            },
            worker: OfWorker {
                partitions: metrics.all("outlast_worker_partitions_held") as u32,
                rooms: metrics.all("outlast_worker_rooms_in_memory"),
                actions: metrics.all("outlast_worker_inputs_total"),
                events: metrics.all("outlast_worker_commit_entries_sum"),
                commits: metrics.all("outlast_worker_commits_total"),
                commit_p50_us: metrics.quantile_us(COMMIT, "quantile=\"0.5\""),
                commit_p99_us: metrics.quantile_us(COMMIT, "quantile=\"0.99\""),
            },
            keeper: OfKeeper {
                detached: metrics.all("outlast_sessions_detached"),
                expired: metrics.all("outlast_sessions_expired_total"),
            },
        }
    }

    /// The same, with what was counted since `before`; nothing, where there is no before.
    pub(super) fn since(self, before: Option<Figures>) -> Figures {
        let Figures {
            mut gateway,
            mut worker,
            mut keeper,
        } = self;
        let before = before.as_ref();
        for (count, was) in [
            (&mut gateway.admitted, before.map(|b| b.gateway.admitted)),
            (&mut gateway.busy, before.map(|b| b.gateway.busy)),
            (&mut gateway.catch_ups, before.map(|b| b.gateway.catch_ups)),
            (&mut gateway.delivered, before.map(|b| b.gateway.delivered)),
            (&mut worker.actions, before.map(|b| b.worker.actions)),
            (&mut worker.events, before.map(|b| b.worker.events)),
            (&mut worker.commits, before.map(|b| b.worker.commits)),
            (&mut keeper.expired, before.map(|b| b.keeper.expired)),
        ] {
            *count = count.saturating_sub(was.unwrap_or(*count));
        }
        Figures {
            gateway,
            worker,
            keeper,
        }
    }
}

/// A value of a metric as a whole number; 0 where there is none yet.
fn whole(value: f64) -> u64 {
    // What is negative or no number becomes 0.
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# HELP outlast_gateway_sockets Sockets with a session
# TYPE outlast_gateway_sockets gauge
outlast_gateway_sockets 3
outlast_gateway_admission_waiting{lane=\"resume\"} 4
outlast_gateway_admission_waiting{lane=\"open\"} 1
outlast_gateway_attaches_total{outcome=\"attached\"} 20
outlast_gateway_attaches_total{outcome=\"busy\"} 7
outlast_worker_commit_seconds{quantile=\"0\"} 0.0001
outlast_worker_commit_seconds{quantile=\"0.5\"} 0.00041
outlast_worker_commit_seconds{quantile=\"0.99\"} 0.0025
outlast_worker_commit_seconds{quantile=\"0.999\"} 0.9
outlast_worker_commit_seconds_sum 1.5
outlast_worker_commit_entries{quantile=\"0.5\"} NaN
outlast_worker_commit_entries_sum 120
outlast_worker_rooms_in_memory{partition=\"0\"} 2
outlast_worker_rooms_in_memory{partition=\"9\"} 1
outlast_worker_partitions_held 16
";

    #[test]
    fn figures_are_what_the_page_says() {
        let Figures {
            gateway,
            worker,
            keeper,
        } = Figures::read(&Metrics::new(PAGE));
        assert_eq!((gateway.sockets, gateway.waiting), (3, 5));
        assert_eq!((gateway.admitted, gateway.busy), (20, 7));
        assert_eq!((worker.commit_p50_us, worker.commit_p99_us), (410, 2_500));
        assert_eq!(
            (worker.events, worker.rooms, worker.partitions),
            (120, 3, 16)
        );
        assert_eq!((keeper.detached, gateway.draining), (0, false));
    }

    #[test]
    fn what_counts_up_is_what_was_counted_since() {
        let first = Figures::read(&Metrics::new(PAGE));
        let nothing = first.clone().since(None);
        assert_eq!((nothing.gateway.admitted, nothing.worker.events), (0, 0));
        assert_eq!(nothing.gateway.sockets, 3);
        let page = PAGE.replace("entries_sum 120", "entries_sum 150");
        let later = Figures::read(&Metrics::new(&page)).since(Some(first));
        assert_eq!((later.worker.events, later.gateway.admitted), (30, 0));
    }

    /// A name that is misspelt here would show nothing for ever.
    #[test]
    fn every_metric_that_is_read_is_one_that_is_counted() {
        let tables = [
            outlast_gateway::METRICS,
            outlast_worker::METRICS,
            outlast_sessions::METRICS,
        ];
        let counted: Vec<_> = tables
            .into_iter()
            .flatten()
            .map(|metric| metric.name)
            .collect();
        let source = include_str!("figures.rs");
        let source = source.split("#[cfg(test)]").next().unwrap();
        let read: Vec<_> = source
            .split('"')
            .filter(|text| text.starts_with("outlast_"))
            .collect();
        assert_eq!(read.len(), 15, "{read:?}");
        for name in read {
            let name = name.trim_end_matches("_sum");
            assert!(counted.contains(&name), "{name}");
        }
    }
}
