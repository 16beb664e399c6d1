use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use metrics::counter;
use opentelemetry_sdk::error::OTelSdkResult;
use outlast_store::telemetry::Metric;
use parking_lot::Mutex;

const SPANS: &str = "outlast_traces_spans_total";

/// The metric of the spans of traces.
pub(in crate::observe) const SPANS_METRIC: Metric = Metric::counter(
    SPANS,
    &["outcome"],
    "Trace spans, by outcome: exported, refused (the collector is down or rejects them), or dropped (the queue was full)",
);

/// From the start, so that an alert on an increase sees the first one.
pub(in crate::observe) fn count_from_start() {
    for outcome in ["exported", "refused", "dropped"] {
        counter!(SPANS, "outcome" => outcome).increment(0);
    }
}

/// The silence after a line that spans are lost; twice as long after each further one.
const SAY_AFTER: Duration = Duration::from_secs(60);

/// And no longer than that: a collector that is never there is a line an hour.
const SAY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// Which spans wait for the collector, and what has become of the others.
#[derive(Debug)]
pub(super) struct SpanCounts {
    waiting: AtomicUsize,
    waiting_max: usize,
    losses: Mutex<Losses>,
}

#[derive(Debug, Default)]
struct Losses {
    /// Since it was last said that there are some.
    spans: usize,
    /// When, and how long nothing more is said.
    said: Option<(Instant, Duration)>,
}

impl Losses {
    /// Returns how many spans have been lost since that was last said, where it is time to say so.
    fn lose(&mut self, spans: usize, now: Instant) -> Option<usize> {
        self.spans += spans;
        let pause = match self.said {
            None => SAY_AFTER,
            Some((said, pause)) if now.duration_since(said) >= pause => {
                SAY_AFTER_MAX.min(2 * pause)
            }
            Some(_) => return None,
        };
        self.said = Some((now, pause));
        Some(std::mem::take(&mut self.spans))
    }

    /// Returns how many more have been lost, where it is time to say that none are any more.
    fn recover(&mut self, now: Instant) -> Option<usize> {
        let (said, _) = self.said?;
        (now.duration_since(said) >= SAY_AFTER).then(|| {
            self.said = None;
            std::mem::take(&mut self.spans)
        })
    }
}

impl SpanCounts {
    pub(super) fn new(waiting_max: usize) -> Self {
        SpanCounts {
            waiting: AtomicUsize::new(0),
            waiting_max,
            losses: Mutex::default(),
        }
    }

    /// True if there is a place for one more span; it is lost where there is none.
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
            tracing::warn!(spans, "exporting the last trace spans failed");
        }
    }

    fn lose(&self, spans: usize, why: &str) {
        let said = self.losses.lock().lose(spans, Instant::now());
        if let Some(spans) = said {
            tracing::warn!(
                spans,
                why,
                "trace collector does not answer; spans are dropped"
            );
        }
    }

    fn recover(&self) {
        let said = self.losses.lock().recover(Instant::now());
        if let Some(spans) = said {
            tracing::info!(spans, "trace collector answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_is_never_there_is_named_once_and_then_seldom() {
        let start = Instant::now();
        let minute = |minute: u64| start + Duration::from_secs(60 * minute);
        let mut losses = Losses::default();
        let lines: Vec<_> = (0..24 * 60)
            .filter_map(|now| Some((now, losses.lose(10, minute(now))?)))
            .collect();
        let first: Vec<_> = lines.iter().map(|(now, _)| *now).take(8).collect();
        assert_eq!(first, [0, 1, 3, 7, 15, 31, 63, 123]);
        assert!(lines.len() < 32, "{lines:?}");
        let told: usize = lines.iter().map(|(_, spans)| spans).sum();
        assert_eq!(told + losses.spans, 24 * 60 * 10);
    }

    #[test]
    fn a_collector_that_is_back_is_told_and_then_a_loss_is_again() {
        let start = Instant::now();
        let second = |second: u64| start + Duration::from_secs(second);
        let mut losses = Losses::default();
        assert_eq!(losses.recover(second(0)), None);
        assert_eq!(losses.lose(1, second(0)), Some(1));
        assert_eq!(losses.lose(2, second(10)), None);
        assert_eq!(losses.recover(second(20)), None);
        assert_eq!(losses.recover(second(60)), Some(2));
        assert_eq!(losses.recover(second(120)), None);
        assert_eq!(losses.lose(4, second(121)), Some(4));
    }
}
