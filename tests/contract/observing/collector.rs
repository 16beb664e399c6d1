use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use outlast_testkit::eventually;
use parking_lot::Mutex;
use prost::Message;

/// A collector of traces: takes what OTLP over HTTP brings, and keeps it.
pub(crate) struct Collector {
    url: String,
    kept: Kept,
}

/// Spans, each with the name of the service that it came from.
type Kept = Arc<Mutex<Vec<(String, Span)>>>;

impl Collector {
    pub(crate) async fn start() -> Collector {
        let kept = Kept::default();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(kept.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Collector { url, kept }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits for a span of a service, by its name and what else must hold.
    pub(crate) async fn span(
        &self,
        service: &str,
        name: &str,
        holds: impl Fn(&Span) -> bool,
    ) -> Span {
        eventually(&format!("{service} exports a span {name}"), async || {
            let kept = self.kept.lock();
            let mut spans = kept.iter().filter(|(by, _)| by == service);
            let found = spans.find(|(_, span)| span.name == name && holds(span));
            found.map(|(_, span)| span.clone())
        })
        .await
    }

    /// True if there is such a span by now.
    pub(crate) fn has(&self, service: &str, name: &str) -> bool {
        let kept = self.kept.lock();
        kept.iter()
            .any(|(by, span)| by == service && span.name == name)
    }
}

/// A span's attribute, as text.
pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    find(&span.attributes, key)
}

fn find(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    let value = found.value.as_ref()?.value.as_ref()?;
    if let Value::StringValue(text) = value {
        return Some(text.clone());
    }
    let Value::IntValue(number) = value else {
        panic!("an attribute of another type: {value:?}");
    };
    Some(number.to_string())
}

async fn take(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans {
        let service = find(&resource.resource.unwrap().attributes, "service.name").unwrap();
        for scope in resource.scope_spans {
            let spans = scope.spans.into_iter();
            kept.lock()
                .extend(spans.map(|span| (service.clone(), span)));
        }
    }
    StatusCode::OK
}
