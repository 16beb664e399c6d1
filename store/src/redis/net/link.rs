//! The one connection to a Redis that all commands share, and who looks after it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout_at},
};

use super::{
    dialer::{DialError, DialErrors, Dialer, Wire, backoff},
    endpoint::Endpoint,
    patience::Patience,
    resolver::ResolvedAddress,
};
use crate::redis::{
    health::{Findings, HealthCheck, evicting},
    replay,
};
use crate::{Health, StoreError};

/// A connection that is replaced when it breaks. Commands of all tasks are pipelined over it; while it
/// is broken they fail at once rather than queue up.
#[derive(Debug)]
pub(in crate::redis) struct Link {
    place: Endpoint,
    dialer: Arc<Dialer>,
    checkup: HealthCheck,
    command_timeout: Duration,
    probe_every: Duration,
    /// The connection, or why there is none.
    current: RwLock<Result<LinkState, StoreError>>,
    health: watch::Sender<Health>,
    /// The number of times that there was another connection, or none any more.
    changes: watch::Sender<u64>,
    crowded: AtomicBool,
    /// The policy by which it throws away what we wrote, if it has one.
    evicts: RwLock<Option<String>>,
}

/// A connection that stands.
#[derive(Debug, Clone)]
struct LinkState {
    connection: MultiplexedConnection,
    at: ResolvedAddress,
}

/// The settings of a link.
#[derive(Debug, Clone)]
pub(in crate::redis) struct LinkConfig {
    pub(in crate::redis) dialer: Arc<Dialer>,
    pub(in crate::redis) checkup: HealthCheck,
    pub(in crate::redis) command_timeout: Duration,
    pub(in crate::redis) probe_every: Duration,
    /// The wait at the start for one that is away.
    pub(in crate::redis) start_wait: Duration,
}

impl Link {
    /// Connects to a Redis that has to be there, or has to come in time. The task that looks after the connection ends with the
    /// set.
    pub(in crate::redis) async fn connect(
        place: Endpoint,
        manner: &LinkConfig,
    ) -> Result<(Arc<Self>, JoinSet<()>), StoreError> {
        let link = Arc::new(Link::new(place, manner));
        let patience = Patience::new(manner.start_wait);
        let first = timeout_at(patience.end(), link.first(patience)).await;
        let (wire, findings) = first.unwrap_or_else(|_| {
            let message = format!("{} takes connections and does not answer", link.place);
            Err(StoreError::Unavailable(message))
        })?;
        if let Some(policy) = &findings.evicts {
            return Err(evicting(policy));
        }
        link.note(&mut Findings::of_a_sound(None), findings.clone());
        link.mark_up(&wire, &findings);
        let mut tasks = JoinSet::new();
        tasks.spawn(link.clone().look_after(Some((wire, findings))));
        Ok((link, tasks))
    }

    /// Begins to connect.
    pub(in crate::redis) fn start(
        place: Endpoint,
        manner: &LinkConfig,
    ) -> (Arc<Self>, JoinSet<()>) {
        let link = Arc::new(Link::new(place, manner));
        let mut tasks = JoinSet::new();
        tasks.spawn(link.clone().look_after(None));
        (link, tasks)
    }

    fn new(place: Endpoint, manner: &LinkConfig) -> Self {
        let why = StoreError::Unavailable(format!("{place} cannot be reached so far"));
        Link {
            place,
            dialer: manner.dialer.clone(),
            checkup: manner.checkup.clone(),
            command_timeout: manner.command_timeout,
            probe_every: manner.probe_every,
            current: RwLock::new(Err(why)),
            health: watch::Sender::new(Health::Down),
            changes: watch::Sender::new(0),
            crowded: AtomicBool::new(false),
            evicts: RwLock::new(None),
        }
    }

    /// The connection and where it leads, or why there is none.
    pub(in crate::redis) fn connection(
        &self,
    ) -> Result<(MultiplexedConnection, ResolvedAddress), StoreError> {
        let current = self.current.read();
        let standing = current.as_ref().map_err(Clone::clone)?;
        Ok((standing.connection.clone(), standing.at.clone()))
    }

    /// Returns the number of times that there was another connection, or none any more.
    pub(in crate::redis) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(in crate::redis) fn dialer(&self) -> Arc<Dialer> {
        self.dialer.clone()
    }

    pub(in crate::redis) fn command_timeout(&self) -> Duration {
        self.command_timeout
    }

    pub(in crate::redis) fn probe_every(&self) -> Duration {
        self.probe_every
    }

    /// True if the store's memory is so full that nothing more should be taken in.
    pub(in crate::redis) fn crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    pub(in crate::redis) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// The policy by which it throws away what we wrote, if it has one.
    pub(in crate::redis) fn evicts(&self) -> Option<String> {
        self.evicts.read().clone()
    }

    /// Waits until the store answers.
    pub(in crate::redis) async fn answers(&self) {
        // It ends only where the sender is gone, and `self` has it.
        let _ = self.health().wait_for(|now| *now != Health::Down).await;
    }

    async fn first(&self, mut patience: Patience) -> Result<(Wire, Findings), StoreError> {
        for attempt in 0.. {
            match self.attempt().await {
                Ok(connected) => return Ok(connected),
                Err(DialError::Away(error)) if patience.goes_on(&error) => {
                    sleep(backoff(attempt)).await;
                }
                Err(DialError::Away(error) | DialError::Refused(error)) => return Err(error),
            }
        }
        unreachable!("there are more attempts than anybody waits for")
    }

    /// Says so where Redis would drop at a restart what it acknowledges (L8).
    async fn look_at_replay(&self, wire: &Wire) {
        if let Some(why) = replay::dropped(&mut wire.connection.clone(), &self.checkup.keys).await {
            tracing::error!(
                "{} will lose acknowledged writes when it restarts: {why}",
                self.place
            );
        }
    }

    async fn look_after(self: Arc<Self>, connected: Option<(Wire, Findings)>) {
        let (mut wire, mut findings) = match connected {
            Some(connected) => connected,
            None => {
                let connected = self.again(None).await;
                self.mark_up(&connected.0, &connected.1);
                connected
            }
        };
        loop {
            self.look_at_replay(&wire).await;
            let why = self.until_broken(&wire, &mut findings).await;
            tracing::warn!("lost the connection to {}: {why}", self.place);
            self.mark_down(why);
            let since = Instant::now();
            (wire, findings) = self.again(Some(findings)).await;
            self.mark_up(&wire, &findings);
            tracing::info!(
                "reconnected to {}, at {}, after {} ms",
                self.place,
                wire.at,
                since.elapsed().as_millis()
            );
        }
    }

    /// Looks at the connection until it is of no more use, and says why.
    async fn until_broken(&self, wire: &Wire, findings: &mut Findings) -> StoreError {
        let mut connection = wire.connection.clone();
        loop {
            tokio::select! {
                () = wire.closed() => {
                    return StoreError::Unavailable("the connection was closed".into());
                }
                () = sleep(self.probe_every) => {}
            }
            match self.checkup.run(&mut connection).await {
                Ok(found) => {
                    self.note(findings, found);
                    self.take_up(findings);
                }
                Err(error @ StoreError::Incompatible(_)) => return error,
                Err(error) => return StoreError::Unavailable(error.to_string()),
            }
            if let Some(there) = self.place.elsewhere(&wire.at.address).await {
                let message = format!("it is at {there} now, and no longer at {}", wire.at);
                return StoreError::Unavailable(message);
            }
        }
    }

    /// Tries until there is a connection again.
    async fn again(&self, known: Option<Findings>) -> (Wire, Findings) {
        let mut said = None;
        for attempt in 0.. {
            sleep(backoff(attempt)).await;
            match self.attempt().await {
                Ok((wire, found)) => {
                    let mut findings = known.unwrap_or_else(|| Findings::of_a_sound(None));
                    self.note(&mut findings, found);
                    return (wire, findings);
                }
                Err(DialError::Away(error)) => tracing::debug!("{error}"),
                Err(DialError::Refused(error)) => {
                    if said.as_ref() != Some(&error) {
                        tracing::error!("{error}");
                        self.mark_down(error.clone());
                        said = Some(error);
                    }
                }
            }
        }
        unreachable!("there are more attempts than anybody waits for")
    }

    async fn attempt(&self) -> Result<(Wire, Findings), DialError> {
        let at = self.place.find().await?;
        let mut dialed = self
            .dialer
            .dial_all(&at, Some(self.command_timeout))
            .await?;
        let mut why = DialErrors::default();
        while let Some(wire) = dialed.next().await {
            match self.check(wire).await {
                Ok(sound) => return Ok(sound),
                Err(error) => why.add(error),
            }
        }
        Err(why.into_one(&at))
    }

    async fn check(&self, wire: Result<Wire, DialError>) -> Result<(Wire, Findings), DialError> {
        let mut wire = wire?;
        match self.checkup.run(&mut wire.connection).await {
            Ok(findings) => Ok((wire, findings)),
            Err(error @ StoreError::Incompatible(_)) => Err(DialError::Refused(error)),
            Err(error) => Err(DialError::Away(error)),
        }
    }

    fn note(&self, known: &mut Findings, found: Findings) {
        let place = &self.place;
        let found = known.then(found);
        if found.id != known.id && found.id.is_some() && known.id.is_some() {
            tracing::warn!("{place} has another store id now: it was emptied or replaced");
        }
        if found.crowded && !known.crowded {
            tracing::warn!(
                "{place} is close to its memory limit and refuses writes of anything new: sessions resume, and actions are answered \
                 busy; raise maxmemory"
            );
        }
        if !found.crowded && known.crowded {
            tracing::info!("{place} is below its memory limit again");
        }
        if let Some(why) = found.refuses.as_ref().filter(|_| known.refuses.is_none()) {
            tracing::error!("{place} refuses writes: {why}");
        }
        if known.refuses.is_some() && found.refuses.is_none() {
            tracing::info!("{place} accepts writes again");
        }
        if let Some(policy) = found
            .evicts
            .as_ref()
            .filter(|_| found.evicts != known.evicts)
        {
            tracing::error!("{place}: {}", evicting(policy));
        }
        if known.evicts.is_some() && found.evicts.is_none() {
            tracing::info!("{place} has maxmemory-policy noeviction again");
        }
        *known = found;
    }

    /// Takes over the findings about an open connection.
    fn take_up(&self, findings: &Findings) {
        self.crowded.store(findings.crowded, Ordering::Relaxed);
        self.evicts.write().clone_from(&findings.evicts);
        let health = findings.health();
        let changed = self.health.send_if_modified(|before| {
            let changed = *before != health;
            *before = health;
            changed
        });
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    fn mark_up(&self, wire: &Wire, findings: &Findings) {
        let standing = LinkState {
            connection: wire.connection.clone(),
            at: wire.at.clone(),
        };
        *self.current.write() = Ok(standing);
        self.take_up(findings);
    }

    /// From now on there is no connection.
    pub(in crate::redis) fn mark_down(&self, why: StoreError) {
        *self.current.write() = Err(why);
        self.health.send_replace(Health::Down);
        self.changes.send_modify(|count| *count += 1);
    }
}
