//! Builds the parts that a role consists of, runs them, and lets them go in order.

use std::{io::Write, time::Duration};

use anyhow::{Context, ensure};
use axum::Router;
use outlast_gateway::{Gateway, Keys};
use outlast_sessions::Sessions;
use outlast_store::{NodeId, SharedStore};
use outlast_worker::Registry;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, Admin},
    api::{AccessPolicy, Api},
    cli::RoleName,
    config::Config,
    observe, pages, signals,
    stats::{self, Publisher},
    store, tokens,
    waiting::Early,
};

/// The longest time that the parts may take to end, once their sockets have moved.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Serves until the process is told to stop, then drains: the gateway first, since its clients still
/// need rooms; rooms and sessions after it.
pub(crate) async fn serve(config: Config, registry: Registry) -> anyhow::Result<()> {
    let metrics = Admin::record_metrics()?;
    observe::describe();
    let keys = tokens::keys(&config)?;
    let gateway = Front::prepare(&config, keys.clone())?;
    let admin = admin::bind(config.admin_listen).await?;
    let told = signals::on_stop()?;
    let early = Early {
        admin: admin.as_ref().zip(Some(&metrics)),
        clients: gateway.as_ref().map(|front| &front.listener),
    };
    let Some(store) = early.until_store(&config, &told).await? else {
        return Ok(());
    };
    let store = outlast_store::metered(store);
    tracing::info!(
        role = config.role.as_str(),
        version = env!("CARGO_PKG_VERSION"),
        store = store::without_password(&config.store),
        "starting"
    );
    let sessions = Sessions::new(store.clone(), session_settings(&config));
    agree_on_terms(&config, &sessions).await;
    let grace = sessions.grace();
    let api = Api::new(store.clone(), sessions);
    if let Some(listener) = admin {
        let callers = AccessPolicy::at(listener.local_addr()?, keys.as_ref());
        Admin::new(metrics.clone(), store.health(), told.clone())
            .spawn(listener, api.router(callers));
    }
    let mut pages = pages::router(config.flags.pages.clone());
    if let Some(callers) = AccessPolicy::beside_clients(&config, keys.as_ref()) {
        pages = pages.merge(api.router(callers));
    }

    let stop_rear = CancellationToken::new();
    let rear = spawn_rear(&config, &store, registry, grace, &stop_rear);
    let mut front = JoinSet::new();
    let (address, id) = gateway
        .map(|gateway| gateway.spawn(&config, &store, pages, &told, &mut front))
        .transpose()?
        .unzip();
    let who = stats::Who::this_process(id.unwrap_or_else(NodeId::random), config.role);
    let running = Running {
        front,
        rear,
        stop_rear,
        publisher: Publisher::start(store.clone(), metrics, who),
    };
    announce(config.role, address)?;
    running.until(&told, &config).await
}

/// Agrees with the rest of the fleet on how long sessions live, before a gateway in this process looks. Where that fails
/// the keeper does it when the store answers.
async fn agree_on_terms(config: &Config, sessions: &Sessions) {
    let terms = match config.role.has_keeper() {
        true => sessions.decree().await,
        false => sessions.agree().await,
    };
    if let Err(error) = terms {
        tracing::debug!(%error, "agreeing on session ttl and grace failed; retrying");
    }
}

/// The parts of a process at work.
struct Running {
    front: Parts,
    /// Rooms and sessions, which the clients of the front still need while it drains.
    rear: Parts,
    stop_rear: CancellationToken,
    publisher: Publisher,
}

impl Running {
    /// Runs until the process is told to stop, and then drains.
    async fn until(mut self, told: &CancellationToken, config: &Config) -> anyhow::Result<()> {
        tokio::select! {
            // First: a part that was told to end may have ended by now.
            biased;
            () = told.cancelled() => tracing::info!("shutdown signal received; draining"),
            ended = first_to_end(&mut self.front, &mut self.rear) => return ended,
        }
        let window = Duration::from_millis(config.drain_ms);
        match tokio::time::timeout(window + END_WITHIN, self.drain()).await {
            Ok(drained) => {
                tracing::info!("shut down cleanly");
                drained
            }
            Err(_) => {
                tracing::warn!("drain timed out; shutting down anyway");
                Ok(())
            }
        }
    }

    async fn drain(mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.front.join_next().await {
            ended??;
        }
        self.stop_rear.cancel();
        while let Some(ended) = self.rear.join_next().await {
            ended??;
        }
        self.publisher.say_goodbye().await;
        Ok(())
    }
}

type Parts = JoinSet<anyhow::Result<()>>;

/// The part that faces clients: what can go wrong with it is found out before the store is asked.
struct Front {
    listener: TcpListener,
    auth: outlast_gateway::Auth,
}

impl Front {
    fn prepare(config: &Config, keys: Option<Keys>) -> anyhow::Result<Option<Front>> {
        if !config.role.has_gateway() {
            return Ok(None);
        }
        let auth = tokens::auth(keys, config)?;
        if let Some(folder) = &config.flags.pages {
            let found = folder.join("index.html").is_file();
            ensure!(
                found,
                "--pages {}: there is no index.html in it",
                folder.display()
            );
        }
        let listener = outlast_gateway::bind(config.listen).with_context(|| {
            format!(
                "cannot listen on {}; stop what listens there, or give another --listen (port 0 picks \
                 a free one)",
                config.listen
            )
        })?;
        Ok(Some(Front { listener, auth }))
    }

    fn spawn(
        self,
        config: &Config,
        store: &SharedStore,
        pages: Router,
        told: &CancellationToken,
        parts: &mut Parts,
    ) -> anyhow::Result<(std::net::SocketAddr, NodeId)> {
        let address = self.listener.local_addr()?;
        let sessions = Sessions::new(store.clone(), session_settings(config));
        let gateway = Gateway::new(store.clone(), sessions, self.auth, gateway_settings(config));
        let (told, id) = (told.clone(), gateway.id().clone());
        parts.spawn(async move {
            gateway
                .serve(self.listener, pages, told)
                .await
                .context("the gateway stopped")
        });
        Ok((address, id))
    }
}

/// The time after the grace by which a room has heard of it (S7).
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// Starts rooms and sessions.
fn spawn_rear(
    config: &Config,
    store: &SharedStore,
    registry: Registry,
    grace: Duration,
    stop: &CancellationToken,
) -> Parts {
    let mut parts = Parts::new();
    if config.role.has_worker() {
        let mut settings = worker_settings(config);
        // Longer than it takes until rooms are told that somebody is away, so that this is no finding (S7).
        let told_ms = (grace + TOLD_WITHIN).as_millis() as u64;
        settings.audit_ms = settings.audit_ms.map(|audit_ms| audit_ms.max(told_ms));
        let run = outlast_worker::run(store.clone(), registry, settings, stop.clone());
        parts.spawn(async move { stopped("the worker", run.await) });
    }
    if config.role.has_keeper() {
        let keep =
            outlast_sessions::run_keeper(store.clone(), session_settings(config), stop.clone());
        parts.spawn(async move { stopped("the session keeper", keep.await) });
    }
    parts
}

fn stopped<E>(what: &'static str, ended: Result<(), E>) -> anyhow::Result<()>
where
    Result<(), E>: Context<(), E>,
{
    ended.with_context(|| format!("{what} stopped"))
}

/// Nothing ends before it is told to, unless it fails.
async fn first_to_end(front: &mut Parts, rear: &mut Parts) -> anyhow::Result<()> {
    let ended = tokio::select! {
        Some(ended) = front.join_next() => ended,
        Some(ended) = rear.join_next() => ended,
        else => std::future::pending().await,
    };
    ended.context("a part of the process panicked")??;
    anyhow::bail!("a part of the process ended by itself")
}

/// The one line on standard output that says it serves (L4).
fn announce(role: RoleName, address: Option<std::net::SocketAddr>) -> anyhow::Result<()> {
    let on = address
        .map(|address| format!(" on http://{address}"))
        .unwrap_or_default();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "outlast {} ready{on}", role.as_str())
        .and_then(|()| stdout.flush())
        .context("cannot write to standard output")
}

fn session_settings(config: &Config) -> outlast_sessions::SessionSettings {
    let defaults = outlast_sessions::SessionSettings::default();
    let flags = &config.flags;
    outlast_sessions::SessionSettings {
        ttl_ms: flags.session_ttl_ms.unwrap_or(defaults.ttl_ms),
        grace_ms: flags.detach_grace_ms.unwrap_or(defaults.grace_ms),
        per_user_max: flags.sessions_per_user.unwrap_or(defaults.per_user_max),
        lease_ms: flags.lease_ms.unwrap_or(defaults.lease_ms),
        audit_ms: flags.audit_ms.unwrap_or(defaults.audit_ms),
    }
}

fn worker_settings(config: &Config) -> outlast_worker::WorkerSettings {
    let defaults = outlast_worker::WorkerSettings::default();
    let flags = &config.flags;
    outlast_worker::WorkerSettings {
        log_entries: flags.log_entries.unwrap_or(defaults.log_entries),
        lease_ms: flags.lease_ms.unwrap_or(defaults.lease_ms),
        log_age_ms: flags.log_age_ms.unwrap_or(defaults.log_age_ms),
        room_ttl_ms: flags.room_ttl_ms.unwrap_or(defaults.room_ttl_ms),
        audit_ms: Some(session_settings(config).audit_ms),
        step_ms: flags.room_step_ms.unwrap_or(defaults.step_ms),
        ..defaults
    }
}

fn gateway_settings(config: &Config) -> outlast_gateway::GatewaySettings {
    let defaults = outlast_gateway::GatewaySettings::default();
    let flags = &config.flags;
    outlast_gateway::GatewaySettings {
        heartbeat_ms: flags.heartbeat_ms.unwrap_or(defaults.heartbeat_ms),
        frame_bytes: flags
            .frame_bytes
            .map_or(defaults.frame_bytes, |bytes| bytes as usize),
        actions_per_s: flags.actions_per_s.unwrap_or(defaults.actions_per_s),
        sockets_per_address: flags.sockets_per_address,
        allow_origin: flags.allow_origin.clone().unwrap_or_default(),
        log_entries: worker_settings(config).log_entries,
        drain_ms: config.drain_ms,
        attach_rate: flags.attach_rate.unwrap_or(defaults.attach_rate),
        ..defaults
    }
}
