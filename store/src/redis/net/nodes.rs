//! The Redis servers that hold a store: one, or the nodes of a Cluster.

use std::{sync::Arc, time::Duration};

use redis::{Cmd, FromRedisValue, Pipeline};
use tokio::{sync::watch, time::timeout};

use super::{
    cluster::Cluster,
    dialer::Dialer,
    link::Link,
    resolver::ResolvedAddress,
    script::{Redirect, Request, ScriptCall},
};
use crate::redis::{
    error::{read_value, store_error},
    health::NOT_ONE,
};
use crate::{Health, StoreError};

/// The number of times that a request is sent on to another node before it is given up: slots are not moved that often.
const REDIRECTS_MAX: usize = 4;

/// The Redis servers that hold a store.
#[derive(Debug, Clone)]
pub(in crate::redis) enum Nodes {
    One(Arc<Link>),
    Many(Arc<Cluster>),
}

impl Nodes {
    /// Runs a script.
    pub(in crate::redis) async fn run<T: FromRedisValue>(
        &self,
        call: &ScriptCall<'_>,
    ) -> Result<T, StoreError> {
        self.send(&call.home, Request::Call(call)).await
    }

    /// Runs a command where a key lies.
    pub(in crate::redis) async fn query<T: FromRedisValue>(
        &self,
        key: &str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        self.send(key, Request::Command(command)).await
    }

    /// Runs several commands in one go where a key lies, and all the others, too.
    pub(in crate::redis) async fn query_all<T: FromRedisValue>(
        &self,
        key: &str,
        commands: &Pipeline,
    ) -> Result<T, StoreError> {
        self.send(key, Request::All(commands)).await
    }

    async fn send<T: FromRedisValue>(
        &self,
        key: &str,
        request: Request<'_>,
    ) -> Result<T, StoreError> {
        let mut link = self.link(key)?;
        let mut asking = false;
        for _ in 0..=REDIRECTS_MAX {
            let (mut connection, at) = link.connection()?;
            let error = match request.run(&mut connection, asking).await {
                Ok(value) => return read_value(value),
                Err(error) => error,
            };
            let Some(redirect) = Redirect::of(&error, &at.address) else {
                return Err(store_error(error));
            };
            asking = redirect.ask;
            link = self.follow(redirect).await?;
        }
        Err(StoreError::Unavailable(
            "the nodes of the Cluster do not agree on who has a slot".into(),
        ))
    }

    /// The link to where a key lies.
    pub(in crate::redis) fn link(&self, key: &str) -> Result<Arc<Link>, StoreError> {
        match self {
            Nodes::One(link) => Ok(link.clone()),
            Nodes::Many(cluster) => cluster.link(key),
        }
    }

    /// The link to where a node has sent us.
    pub(in crate::redis) async fn follow(
        &self,
        redirect: Redirect,
    ) -> Result<Arc<Link>, StoreError> {
        let Redirect { to, ask } = redirect;
        let Nodes::Many(cluster) = self else {
            return Err(StoreError::Incompatible(NOT_ONE.into()));
        };
        let link = cluster.link_to(to);
        if !ask {
            cluster.look_again();
        }
        // Nothing has been done yet, so it may wait a little.
        let up = timeout(cluster.command_timeout(), link.answers());
        match up.await {
            Ok(()) => Ok(link),
            Err(_) => Err(StoreError::Unavailable("a node cannot be reached".into())),
        }
    }

    /// Something is not where it was.
    pub(in crate::redis) fn look_again(&self) {
        if let Nodes::Many(cluster) = self {
            cluster.look_again();
        }
    }

    /// Where a key lies now, if that node is there.
    pub(in crate::redis) fn owner(&self, key: &str) -> Option<ResolvedAddress> {
        let link = self.link(key).ok()?;
        let (_, at) = link.connection().ok()?;
        Some(at)
    }

    /// Counts what happens to the nodes and to their slots.
    pub(in crate::redis) fn changes(&self) -> watch::Receiver<u64> {
        match self {
            Nodes::One(link) => link.changes(),
            Nodes::Many(cluster) => cluster.changes(),
        }
    }

    pub(in crate::redis) fn health(&self) -> watch::Receiver<Health> {
        match self {
            Nodes::One(link) => link.health(),
            Nodes::Many(cluster) => cluster.health(),
        }
    }

    pub(in crate::redis) fn dialer(&self) -> Arc<Dialer> {
        match self {
            Nodes::One(link) => link.dialer(),
            Nodes::Many(cluster) => cluster.dialer(),
        }
    }

    pub(in crate::redis) fn command_timeout(&self) -> Duration {
        match self {
            Nodes::One(link) => link.command_timeout(),
            Nodes::Many(cluster) => cluster.command_timeout(),
        }
    }

    pub(in crate::redis) fn probe_every(&self) -> Duration {
        match self {
            Nodes::One(link) => link.probe_every(),
            Nodes::Many(cluster) => cluster.probe_every(),
        }
    }
}
