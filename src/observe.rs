//! The telemetry of the process besides its metrics: lines on standard error (L4), and traces to a
//! collector where one is named.

mod log;
mod traces;

use outlast_store::telemetry::Metric;
use tokio::runtime::Handle;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

use self::traces::Traces;
use crate::config::Config;

/// The metrics of the process itself.
pub const METRICS: &[Metric] = &[traces::SPANS_METRIC];

/// The telemetry that has to be flushed before the process ends; see [`Observer::finish`].
pub(crate) struct Observer {
    traces: Option<Traces>,
}

impl Observer {
    /// Starts to log, and to export traces where a collector is named. Once in a process.
    ///
    /// # Errors
    /// When a setting makes no sense. A collector that is away is no error.
    pub(crate) fn start(config: &Config, runtime: &Handle) -> anyhow::Result<Observer> {
        let lines = log::lines(&config.log, config.log_format)?;
        let traces = Traces::start(config.otlp_endpoint.as_deref(), config.role, runtime)?;
        let spans = traces.as_ref().map(Traces::layer);
        tracing_subscriber::registry()
            .with(lines)
            .with(spans)
            .init();
        std::panic::set_hook(Box::new(log::panicked));
        Ok(Observer { traces })
    }

    /// Hands over what was not exported yet. Waits for the collector, but not for long.
    pub(crate) fn finish(self) {
        if let Some(traces) = self.traces {
            traces.finish();
        }
    }
}

/// Says what each number means. Called once, when numbers are recorded.
pub(crate) fn describe() {
    METRICS.iter().for_each(Metric::describe);
    traces::count_from_start();
}
