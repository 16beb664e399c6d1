use metrics_exporter_prometheus::PrometheusHandle;
use outlast_store::NodeId;
use outlast_worker::rooms::stats::Report;
use tokio::time::Instant;

use super::figures::{Figures, Metrics};
use crate::cli::RoleName;

/// Which process this is.
pub(crate) struct Who {
    id: NodeId,
    role: RoleName,
    host: String,
    since: Instant,
}

/// Makes reports of what the process has counted.
pub(super) struct Reporter {
    who: Who,
    metrics: PrometheusHandle,
    /// The counts of the last report, and when that was.
    last: Option<(Instant, Figures)>,
}

impl Who {
    /// This process, whose gateway is known by `id` if it has one.
    pub(crate) fn this_process(id: NodeId, role: RoleName) -> Who {
        // Linux tells; elsewhere the process does without.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let mut host = host.trim().to_owned();
        host.truncate(host.floor_char_boundary(64));
        Who {
            id,
            role,
            host,
            since: Instant::now(),
        }
    }
}

impl Reporter {
    pub(super) fn new(who: Who, metrics: PrometheusHandle) -> Reporter {
        Reporter {
            who,
            metrics,
            last: None,
        }
    }

    pub(super) fn id(&self) -> String {
        self.who.id.to_string()
    }

    /// The state of the process, and what it has counted since the last report.
    pub(super) fn report(&mut self, partitions: u32, now: Instant) -> Report {
        let text = self.metrics.render();
        let figures = Figures::read(&Metrics::new(&text));
        let before = self.last.replace((now, figures.clone()));
        let over_ms = before.as_ref().map(|(at, _)| millis(*at, now));
        let counted = figures.since(before.map(|(_, figures)| figures));
        let Who {
            id,
            role,
            host,
            since,
        } = &self.who;
        Report {
            id: id.to_string(),
            host: host.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            up_ms: millis(*since, now),
            partitions,
            over_ms,
            gateway: role.has_gateway().then_some(counted.gateway),
            worker: role.has_worker().then_some(counted.worker),
            keeper: role.has_keeper().then_some(counted.keeper),
        }
    }
}

fn millis(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from).as_millis() as u64
}
