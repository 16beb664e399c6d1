//! Both ends of the queue to the collector, where what goes in and comes out is counted.

use std::{sync::Arc, time::Duration};

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{self, BatchSpanProcessor, Span, SpanData, SpanProcessor},
};

use super::span_counts::SpanCounts;

/// Lets no more spans in than may wait.
#[derive(Debug)]
pub(super) struct Gate {
    batches: BatchSpanProcessor,
    ledger: Arc<SpanCounts>,
}

impl Gate {
    pub(super) fn new(batches: BatchSpanProcessor, ledger: Arc<SpanCounts>) -> Self {
        Gate { batches, ledger }
    }
}

impl SpanProcessor for Gate {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.ledger.enter() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Exports, and notes what came of it.
#[derive(Debug)]
pub(super) struct Counted {
    exporter: SpanExporter,
    ledger: Arc<SpanCounts>,
}

impl Counted {
    pub(super) fn new(exporter: SpanExporter, ledger: Arc<SpanCounts>) -> Self {
        Counted { exporter, ledger }
    }
}

impl trace::SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.exporter.export(batch).await;
        self.ledger.leave(spans, &exported);
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
