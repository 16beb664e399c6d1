//! `/healthz`, `/readyz`, `/metrics` and the API, on a listener of their own (L4).

use std::{io, net::SocketAddr};

use anyhow::Context;
use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use outlast_store::Health;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::{api, config::AdminListen};

/// The state that the admin listener serves.
#[derive(Clone)]
pub(crate) struct Admin {
    metrics: PrometheusHandle,
    store: watch::Receiver<Health>,
    draining: CancellationToken,
}

impl Admin {
    /// Installs the recorder of metrics; before anything counts.
    pub(crate) fn record_metrics() -> anyhow::Result<PrometheusHandle> {
        PrometheusBuilder::new()
            .install_recorder()
            .context("cannot record metrics")
    }

    pub(crate) fn new(
        metrics: PrometheusHandle,
        store: watch::Receiver<Health>,
        draining: CancellationToken,
    ) -> Admin {
        Admin {
            metrics,
            store,
            draining,
        }
    }

    /// Serves on its listener until the process ends; `api` is what is served beside.
    pub(crate) fn spawn(self, listener: TcpListener, api: Router) {
        let upkeep = self.metrics.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(std::time::Duration::from_secs(5)).await;
                upkeep.run_upkeep();
            }
        });
        let router = alive(self.metrics.clone())
            .merge(Router::new().route("/readyz", get(ready)).with_state(self))
            .merge(api);
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "admin listener stopped");
            }
        });
    }
}

/// Returns the routes that are served while there is no store yet (L12).
pub(crate) fn waiting(metrics: PrometheusHandle) -> Router {
    let unready = (StatusCode::SERVICE_UNAVAILABLE, "waits for the store\n");
    alive(metrics)
        .route("/readyz", get(async move || unready))
        .fallback(api::not_yet)
}

/// Returns the routes that are served in any case.
fn alive(metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(async move || metrics.render()))
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    match *admin.store.borrow() {
        Health::Up => (StatusCode::OK, "ready\n"),
        // All gateways have the same store: without any, nobody could resume, which still works.
        Health::Full => (
            StatusCode::OK,
            "ready, and refusing writes: the store is at its memory limit or close to it\n",
        ),
        Health::Refusing => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the store refuses writes or throws keys away\n",
        ),
        Health::Down => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the store does not answer\n",
        ),
    }
}

/// Its listener, if it is to have one.
pub(crate) async fn bind(listen: AdminListen) -> anyhow::Result<Option<TcpListener>> {
    let bind = async |address: SocketAddr| TcpListener::bind(address).await;
    let listener = match listen {
        AdminListen::Off => return Ok(None),
        AdminListen::At(address) => bind(address).await.with_context(|| {
            format!("cannot listen on --admin-listen {address}; give another address, or `off`")
        })?,
        AdminListen::Prefer(address) => match bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                bind(SocketAddr::new(address.ip(), 0)).await?
            }
            bound => bound.with_context(|| {
                format!("cannot listen on {address}; give --admin-listen ADDRESS, or `off`")
            })?,
        },
    };
    tracing::info!("admin on http://{}", listener.local_addr()?);
    Ok(Some(listener))
}
