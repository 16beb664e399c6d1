//! The answers while the store is waited for (L12): the listeners are there before it, and are handed on when it
//! has come.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::IntoResponse,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use metrics_exporter_prometheus::PrometheusHandle;
use outlast_store::SharedStore;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{admin, config::Config, store};

/// The time for which clients wait in the backlog before they are turned away: mostly the store is there by then.
const SILENT_FOR: Duration = Duration::from_secs(1);

/// The number of connections that are looked at at once; the others wait in the backlog.
const CONNECTIONS_MAX: usize = 256;

/// The longest time that one of them may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The wait when the system has no more sockets to give.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// The listeners that are there before the store is (L12).
pub(crate) struct Early<'a> {
    /// The admin listener, and what it tells.
    pub(crate) admin: Option<(&'a TcpListener, &'a PrometheusHandle)>,
    /// Where clients connect.
    pub(crate) clients: Option<&'a TcpListener>,
}

impl Early<'_> {
    /// Returns the store as soon as it is there; none where the process is told to go before.
    pub(crate) async fn until_store(
        &self,
        config: &Config,
        told: &CancellationToken,
    ) -> anyhow::Result<Option<SharedStore>> {
        let tell = async {
            match self.admin {
                Some((listener, metrics)) => {
                    answer(listener, admin::waiting(metrics.clone())).await
                }
                None => std::future::pending().await,
            }
        };
        let turn_away = async {
            match self.clients {
                Some(listener) => turn_away(listener).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            store = store::open(config) => Ok(Some(store?)),
            () = told.cancelled() => {
                tracing::info!("shutdown signal received while waiting for the store");
                Ok(None)
            }
            never = tell => match never {},
            never = turn_away => match never {},
        }
    }
}

/// Turns clients away, to come back in a moment.
async fn turn_away(listener: &TcpListener) -> Infallible {
    sleep(SILENT_FOR).await;
    let not_yet = async || {
        let retry = [(RETRY_AFTER, HeaderValue::from_static("1"))];
        let text = "the gateway waits for its store\n";
        (StatusCode::SERVICE_UNAVAILABLE, retry, text).into_response()
    };
    answer(listener, Router::new().fallback(not_yet)).await
}

/// Returns one request on each connection. Who has been accepted when this is dropped still gets an answer.
async fn answer(listener: &TcpListener, router: Router) -> Infallible {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // It fails only where the places are closed, which nobody does.
        let place = places.clone().acquire_owned().await.ok();
        match listener.accept().await {
            Ok((tcp, _)) => drop(tokio::spawn(answer_one(tcp, router.clone(), place))),
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn answer_one(tcp: TcpStream, router: Router, _place: Option<OwnedSemaphorePermit>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(tcp), TowerToHyperService::new(router));
    match timeout(ANSWER_WITHIN, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "connection closed"),
    }
}
