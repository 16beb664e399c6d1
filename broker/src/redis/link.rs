//! The one connection that all commands share, and who looks after it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use redis::{Cmd, FromRedisValue, Pipeline, ScriptInvocation, aio::MultiplexedConnection};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    checkup::{Checkup, Findings},
    dialer::{DialError, Dialer, Wire, backoff},
    fault::broker_error,
    url::Address,
};
use crate::{BrokerError, Health};

/// How long a store may be away when a process starts, so that both may be started together.
const FIRST_WAIT: Duration = Duration::from_secs(3);

/// How long the attempts of that time may take in all (L5).
const FIRST_WAIT_MAX: Duration = Duration::from_millis(4_300);

/// A connection that is replaced when it breaks. Commands of all tasks are pipelined over it; while it
/// is broken they fail at once rather than queue up.
#[derive(Debug)]
pub(super) struct Link {
    address: Address,
    dialer: Dialer,
    checkup: Checkup,
    command_timeout: Duration,
    probe_every: Duration,
    /// The connection, or why there is none.
    current: RwLock<Result<MultiplexedConnection, BrokerError>>,
    health: watch::Sender<Health>,
    crowded: AtomicBool,
}

impl Link {
    /// Connects for the first time. The task that looks after the connection ends with the set.
    pub(super) async fn connect(
        address: Address,
        dialer: Dialer,
        checkup: Checkup,
        command_timeout: Duration,
        probe_every: Duration,
    ) -> Result<(Arc<Self>, JoinSet<()>), BrokerError> {
        let link = Link {
            address,
            dialer,
            checkup,
            command_timeout,
            probe_every,
            current: RwLock::new(Err(BrokerError::Unavailable("not yet connected".into()))),
            health: watch::Sender::new(Health::Down),
            crowded: AtomicBool::new(false),
        };
        let first = timeout(FIRST_WAIT_MAX, link.first()).await;
        let (wire, findings) = first.unwrap_or_else(|_| {
            let address = &link.address;
            let message = format!("Redis at {address} takes connections and does not answer");
            Err(BrokerError::Unavailable(message))
        })?;
        let link = Arc::new(link);
        link.rise(&wire, &findings);
        let mut tasks = JoinSet::new();
        tasks.spawn(link.clone().look_after(wire, findings));
        Ok((link, tasks))
    }

    /// Runs a script.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, BrokerError> {
        script
            .invoke_async(&mut self.connection()?)
            .await
            .map_err(broker_error)
    }

    /// Runs a command.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, BrokerError> {
        command
            .query_async(&mut self.connection()?)
            .await
            .map_err(broker_error)
    }

    /// Runs several commands in one go.
    pub(super) async fn query_all<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, BrokerError> {
        commands
            .query_async(&mut self.connection()?)
            .await
            .map_err(broker_error)
    }

    /// The connection, or why there is none.
    pub(super) fn connection(&self) -> Result<MultiplexedConnection, BrokerError> {
        self.current.read().clone()
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn command_timeout(&self) -> Duration {
        self.command_timeout
    }

    pub(super) fn probe_every(&self) -> Duration {
        self.probe_every
    }

    /// Whether the store's memory is so full that nothing more should be taken in.
    pub(super) fn crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Waits until the store is there, or is not.
    pub(super) async fn becomes(&self, health: Health) {
        // It ends only where the sender is gone, and `self` has it.
        let _ = self.health().wait_for(|now| *now == health).await;
    }

    async fn first(&self) -> Result<(Wire, Findings), BrokerError> {
        let started = Instant::now();
        for attempt in 0.. {
            match self.attempt().await {
                Ok(connected) => return Ok(connected),
                Err(DialError::Away(_)) if started.elapsed() < FIRST_WAIT => {
                    sleep(backoff(attempt)).await;
                }
                Err(DialError::Away(error) | DialError::Refused(error)) => return Err(error),
            }
        }
        unreachable!("there are more attempts than anybody waits for")
    }

    async fn look_after(self: Arc<Self>, mut wire: Wire, mut findings: Findings) {
        let address = &self.address;
        loop {
            let why = self.until_broken(&wire, &mut findings).await;
            tracing::warn!("Redis at {address} is gone: {why}");
            self.fall(why);
            let since = Instant::now();
            (wire, findings) = self.again(findings).await;
            self.rise(&wire, &findings);
            tracing::info!(
                "Redis at {address} is back after {} ms",
                since.elapsed().as_millis()
            );
        }
    }

    /// Looks at the connection until it is of no more use, and says why.
    async fn until_broken(&self, wire: &Wire, findings: &mut Findings) -> BrokerError {
        let mut connection = wire.connection.clone();
        loop {
            tokio::select! {
                () = wire.closed() => {
                    return BrokerError::Unavailable("the connection was closed".into());
                }
                () = sleep(self.probe_every) => {}
            }
            match self.checkup.run(&mut connection).await {
                Ok(found) => self.note(findings, found),
                Err(error @ BrokerError::Incompatible(_)) => return error,
                Err(error) => return BrokerError::Unavailable(error.to_string()),
            }
        }
    }

    /// Tries until there is a connection again.
    async fn again(&self, mut findings: Findings) -> (Wire, Findings) {
        let mut said = None;
        for attempt in 0.. {
            sleep(backoff(attempt)).await;
            match self.attempt().await {
                Ok((wire, found)) => {
                    self.note(&mut findings, found);
                    return (wire, findings);
                }
                Err(DialError::Away(_)) => {}
                Err(DialError::Refused(error)) => {
                    if said.as_ref() != Some(&error) {
                        tracing::error!("{error}");
                        self.fall(error.clone());
                        said = Some(error);
                    }
                }
            }
        }
        unreachable!("there are more attempts than anybody waits for")
    }

    async fn attempt(&self) -> Result<(Wire, Findings), DialError> {
        let mut wire = self
            .dialer
            .dial(&self.address, Some(self.command_timeout))
            .await?;
        match self.checkup.run(&mut wire.connection).await {
            Ok(findings) => Ok((wire, findings)),
            Err(error @ BrokerError::Incompatible(_)) => Err(DialError::Refused(error)),
            Err(error) => Err(DialError::Away(error)),
        }
    }

    fn note(&self, known: &mut Findings, found: Findings) {
        let address = &self.address;
        if found.id != known.id {
            tracing::warn!(
                "Redis at {address} holds another store now: it was emptied or replaced"
            );
        }
        if found.crowded && !known.crowded {
            tracing::warn!("Redis at {address} is close to its memory limit: no more is taken in");
        }
        if !found.crowded && known.crowded {
            tracing::info!("Redis at {address} has memory to spare again");
        }
        self.crowded.store(found.crowded, Ordering::Relaxed);
        *known = found;
    }

    fn rise(&self, wire: &Wire, findings: &Findings) {
        if let Some(policy) = &findings.evicts {
            tracing::warn!(
                "Redis at {} throws keys away at its memory limit ({policy}), and with them sessions \
                 and rooms: set maxmemory-policy noeviction",
                self.address
            );
        }
        self.crowded.store(findings.crowded, Ordering::Relaxed);
        *self.current.write() = Ok(wire.connection.clone());
        self.health.send_replace(Health::Up);
    }

    fn fall(&self, why: BrokerError) {
        *self.current.write() = Err(why);
        self.health.send_replace(Health::Down);
    }
}
