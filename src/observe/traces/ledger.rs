use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use metrics::counter;
use opentelemetry_sdk::error::OTelSdkResult;
use outlast_broker::telemetry::Metric;
use parking_lot::Mutex;

const SPANS: &str = "outlast_traces_spans_total";

/// What is counted of traces.
pub(in crate::observe) const SPANS_METRIC: Metric = Metric::counter(
    SPANS,
    &["outcome"],
    "Spans of traces, by outcome: exported, refused (the collector is away or does not take them), or dropped (too many wait for it)",
);

/// From the start, so that an alert on an increase sees the first one.
pub(in crate::observe) fn count_from_start() {
    for outcome in ["exported", "refused", "dropped"] {
        counter!(SPANS, "outcome" => outcome).increment(0);
    }
}

/// How often at most it is said that spans are lost.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Which spans wait for the collector, and what has become of the others. However many are lost, that is
/// a line a minute.
#[derive(Debug)]
pub(super) struct Ledger {
    waiting: AtomicUsize,
    waiting_max: usize,
    losses: Mutex<Losses>,
}

#[derive(Debug, Default)]
struct Losses {
    /// Since it was last said that there are some.
    spans: usize,
    said: Option<Instant>,
}

impl Ledger {
    pub(super) fn new(waiting_max: usize) -> Self {
        Ledger {
            waiting: AtomicUsize::new(0),
            waiting_max,
            losses: Mutex::default(),
        }
    }

    /// Whether there is a place for one more span; it is lost where there is none.
    pub(super) fn enter(&self) -> bool {
        let entered = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < self.waiting_max).then_some(waiting + 1)
            });
        if entered.is_err() {
            counter!(SPANS, "outcome" => "dropped").increment(1);
            self.lose(1, "too many wait for the collector");
        }
        entered.is_ok()
    }

    /// Spans that waited were exported, or not.
    pub(super) fn leave(&self, spans: usize, exported: &OTelSdkResult) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let outcome = match exported {
            Ok(()) => "exported",
            Err(_) => "refused",
        };
        counter!(SPANS, "outcome" => outcome).increment(spans as u64);
        match exported {
            Ok(()) => self.recover(),
            Err(error) => self.lose(spans, &error.to_string()),
        }
    }

    /// Nothing is exported any more.
    pub(super) fn close(&self) {
        let spans = self.waiting.load(Ordering::Relaxed) + self.losses.lock().spans;
        if spans > 0 {
            tracing::warn!(
                spans,
                "the last spans of traces did not reach the collector"
            );
        }
    }

    fn lose(&self, spans: usize, why: &str) {
        let mut losses = self.losses.lock();
        losses.spans += spans;
        if losses.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            let spans = std::mem::take(&mut losses.spans);
            losses.said = Some(Instant::now());
            drop(losses);
            tracing::warn!(spans, why, "spans of traces are lost, and nothing else is");
        }
    }

    fn recover(&self) {
        let mut losses = self.losses.lock();
        if losses.said.is_some_and(|said| said.elapsed() >= SAY_EVERY) {
            let spans = std::mem::take(&mut losses.spans);
            losses.said = None;
            drop(losses);
            tracing::info!(spans, "spans of traces reach the collector again");
        }
    }
}
