use std::time::Duration;

use async_trait::async_trait;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, hyper::HyperClient};
use tokio::runtime::Handle;

/// The longest time that one request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The way to the collector. Batches are put together on a thread of their own, which has no part in the
/// runtime that connections live in: here the one goes over to the other.
#[derive(Debug)]
pub(super) struct Collector {
    client: HyperClient<HttpsConnector<HttpConnector>>,
    runtime: Handle,
}

type HttpConnector = hyper_util::client::legacy::connect::HttpConnector;

impl Collector {
    pub(super) fn new(runtime: Handle) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        Collector {
            client: HyperClient::new(connector, ANSWER_WITHIN, None),
            runtime,
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = async move { client.send_bytes(request).await };
        self.runtime.spawn(sending).await?
    }
}
