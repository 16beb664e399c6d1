//! Traces, by OTLP over HTTP, to the collector that is named.

mod collector;
mod gate;
mod span_counts;

use std::{env, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SdkTracerProvider},
};
use tokio::runtime::Handle;
use tracing::{Level, Subscriber};
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

pub(super) use self::span_counts::{SPANS_METRIC, count_from_start};
use self::{
    collector::Collector,
    gate::{Counted, Gate},
    span_counts::SpanCounts,
};
use crate::cli::RoleName;

/// The longest wait for the collector at the end of the process.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// The number of spans that may wait for the collector, unless `OTEL_BSP_MAX_QUEUE_SIZE` says so.
const QUEUE_SPANS: usize = 2_048;

/// The export of traces.
pub(super) struct Traces {
    provider: SdkTracerProvider,
    ledger: Arc<SpanCounts>,
}

impl Traces {
    /// The export to this endpoint, or to the one for traces alone that the environment names; none where
    /// neither is.
    ///
    /// # Errors
    /// When a setting makes no sense.
    pub(super) fn start(
        endpoint: Option<&str>,
        role: RoleName,
        runtime: &Handle,
    ) -> anyhow::Result<Option<Traces>> {
        let Some(url) = url(endpoint)? else {
            return Ok(None);
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&url)
            .with_http_client(Collector::new(runtime.clone()))
            .build()
            .with_context(|| format!("cannot export traces to {url}"))?;
        let ledger = Arc::new(SpanCounts::new(queue_spans()));
        let batches = BatchSpanProcessor::builder(Counted::new(exporter, ledger.clone())).build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(role))
            .with_span_processor(Gate::new(batches, ledger.clone()))
            .build();
        Ok(Some(Traces { provider, ledger }))
    }

    /// Takes every span of outlast's own, at whatever level lines are logged, and what is said within at
    /// info and above.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("outlast"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|meta| {
                let ours = meta.target().starts_with("outlast");
                ours && (meta.is_span() && *meta.level() <= Level::DEBUG
                    || *meta.level() <= Level::INFO)
            }))
    }

    pub(super) fn finish(self) {
        // What does not get through by then is counted in the ledger, which is what there is to say.
        self.provider.shutdown_with_timeout(FLUSH_WITHIN).ok();
        self.ledger.close();
    }
}

/// Where spans go.
fn url(endpoint: Option<&str>) -> anyhow::Result<Option<String>> {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    if set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let (name, url) = match (set(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT), endpoint) {
        (Some(url), _) => (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, url),
        (None, Some(base)) if !base.is_empty() => (
            "--otlp-endpoint",
            format!("{}/v1/traces", base.trim_end_matches('/')),
        ),
        (None, Some(_) | None) => return Ok(None),
    };
    ensure!(
        url.starts_with("http://") || url.starts_with("https://"),
        "{name} {url:?} is no URL of a collector; give one like http://127.0.0.1:4318"
    );
    for name in [
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
        OTEL_EXPORTER_OTLP_PROTOCOL,
    ] {
        match set(name) {
            Some(protocol) if protocol != "http/protobuf" => bail!(
                "{name} is {protocol:?}, and outlast speaks http/protobuf alone: unset it, and name the collector's port for HTTP, usually 4318"
            ),
            Some(_) | None => {}
        }
    }
    Ok(Some(url))
}

/// As the batch processor reads it.
fn queue_spans() -> usize {
    let set = env::var(opentelemetry_sdk::trace::OTEL_BSP_MAX_QUEUE_SIZE).ok();
    set.and_then(|text| text.parse().ok())
        .unwrap_or(QUEUE_SPANS)
}

/// Returns the process that says it. What the environment says of that (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`) wins.
fn resource(role: RoleName) -> Resource {
    let name = match role {
        RoleName::All => "outlast".to_owned(),
        RoleName::Gateway | RoleName::Worker | RoleName::Sessions => {
            format!("outlast-{}", role.as_str())
        }
    };
    let named = env::var("OTEL_SERVICE_NAME").is_ok_and(|name| !name.is_empty())
        || env::var("OTEL_RESOURCE_ATTRIBUTES").is_ok_and(|all| all.contains("service.name="));
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    match named {
        true => resource.build(),
        false => resource.with_service_name(name).build(),
    }
}
