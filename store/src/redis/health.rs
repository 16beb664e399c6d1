//! True if a Redis is the store it should be, and how it is.

use std::sync::LazyLock;

use redis::{InfoDict, RedisResult, Script, Value, aio::MultiplexedConnection};

use super::{
    error::{is_refused_write, read_value, store_error},
    keys::Keys,
};
use crate::{Health, Layout, StoreError};

/// The version of everything that this backend keeps in Redis.
const FORMAT: &str = "3";

static STORE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/store.lua")));

static WRITABLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/writable.lua")));

/// Format, P, S and id.
type Identity = (String, u16, u16, String);

/// The properties that a Redis must have.
#[derive(Debug, Clone)]
pub(super) struct HealthCheck {
    pub(super) layout: Layout,
    pub(super) keys: Keys,
    /// True if it is a node of a Cluster, where but one of them knows which store this is.
    pub(super) clustered: bool,
    pub(super) intake_memory_percent: u64,
}

/// The health of a Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Findings {
    /// The store's name, where it lies here; another one after it was emptied.
    pub(super) id: Option<String>,
    /// True if its memory is so full that nothing more should be taken in.
    pub(super) crowded: bool,
    /// True if it is still too full to take something in again that has been crowded.
    pub(super) tight: bool,
    /// The error that it gives to whoever would change something, if it refuses that.
    pub(super) refuses: Option<String>,
    /// The policy by which it throws away what we wrote, if it has one.
    pub(super) evicts: Option<String>,
}

impl Findings {
    /// Nothing out of the ordinary.
    pub(super) fn of_a_sound(id: Option<String>) -> Self {
        Findings {
            id,
            crowded: false,
            tight: false,
            refuses: None,
            evicts: None,
        }
    }

    pub(super) fn health(&self) -> Health {
        match (
            self.refuses.is_some() || self.evicts.is_some(),
            self.crowded,
        ) {
            (true, _) => Health::Refusing,
            (false, true) => Health::Full,
            (false, false) => Health::Up,
        }
    }

    /// Returns the next findings: what was crowded is so until there is some room.
    pub(super) fn then(&self, mut found: Findings) -> Findings {
        found.crowded |= self.crowded && found.tight;
        found
    }
}

/// So many percent of its memory must become free in a crowded Redis before it takes something in again.
const SPARE_PERCENT: u64 = 5;

/// The error for a node of a Cluster that was taken for a Redis of its own.
pub(super) const NOT_ONE: &str =
    "this Redis is a node of a Cluster: give --store redis-cluster://…";

/// Why a Redis that evicts is not used.
pub(super) fn evicting(policy: &str) -> StoreError {
    StoreError::Incompatible(format!(
        "this Redis throws keys away at its memory limit (maxmemory-policy {policy}), and with them rooms, sessions and \
         leases: set maxmemory-policy noeviction (CONFIG SET, and in its configuration)"
    ))
}

impl HealthCheck {
    /// Looks at the store, and creates it where there is none.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] where it was made with another format or layout.
    pub(super) async fn run(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Findings, StoreError> {
        let role = role(connection).await?;
        if role != "master" {
            return Err(StoreError::Unavailable(
                "it is a replica, which takes no writes: give its master, or redis-sentinel:// or \
                 redis-cluster://, which find it"
                    .into(),
            ));
        }
        let info: Result<InfoDict, _> = redis::cmd("INFO")
            .arg(&["memory", "cluster"])
            .query_async(connection)
            .await;
        let number = |key| {
            info.as_ref()
                .ok()
                .and_then(|info| info.get::<u64>(key))
                .unwrap_or(0)
        };
        if number("cluster_enabled") == 1 && !self.clustered {
            return Err(StoreError::Incompatible(NOT_ONE.into()));
        }
        let id = self.identify(connection).await?;
        let (used, max) = (number("used_memory"), number("maxmemory"));
        let policy = info
            .as_ref()
            .ok()
            .and_then(|info| info.get::<String>("maxmemory_policy"));
        let fills = |percent: u64| max > 0 && used > max / 100 * percent;
        let refused = refusal(connection).await?;
        Ok(Findings {
            id,
            crowded: fills(self.intake_memory_percent) || matches!(refused, Refusal::Full),
            tight: fills(self.intake_memory_percent.saturating_sub(SPARE_PERCENT)),
            refuses: refused.of_all(),
            evicts: policy.filter(|policy| policy != "noeviction"),
        })
    }

    async fn identify(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Option<String>, StoreError> {
        let found = match self.read(connection).await {
            Ok(Some(found)) => found,
            Ok(None) => self.create(connection).await?,
            // Another node knows.
            Err(error) if self.clustered && error.code() == Some("MOVED") => return Ok(None),
            Err(error) => return Err(store_error(error)),
        };
        let (format, p, s, id) = found;
        let Layout { partitions, shards } = self.layout;
        if format != FORMAT {
            return Err(StoreError::Incompatible(format!(
                "the store has format {format}, and this version of outlast reads format {FORMAT}: use \
                 the version that made the store, or an empty one"
            )));
        }
        if (p, s) != (partitions, shards) {
            return Err(StoreError::Incompatible(format!(
                "the store was made with {p} partitions and {s} shards, not {partitions} and {shards}: \
                 give --partitions {p} --shards {s}, or use an empty store"
            )));
        }
        Ok(Some(id))
    }

    /// Only reads, so that it works where Redis refuses all writes.
    async fn read(&self, connection: &mut MultiplexedConnection) -> RedisResult<Option<Identity>> {
        let mut read = redis::cmd("HMGET");
        read.arg(self.keys.store())
            .arg(&["format", "partitions", "shards", "id"]);
        let (format, p, s, id) = read.query_async(connection).await?;
        let whole = |(((format, p), s), id)| (format, p, s, id);
        Ok(Option::<String>::zip(format, p).zip(s).zip(id).map(whole))
    }

    async fn create(&self, connection: &mut MultiplexedConnection) -> Result<Identity, StoreError> {
        let Layout { partitions, shards } = self.layout;
        let fresh = uuid::Uuid::now_v7().to_string();
        let mut script = STORE.key(self.keys.store());
        script.arg(FORMAT).arg(partitions).arg(shards).arg(fresh);
        script.invoke_async(connection).await.map_err(|error| {
            if error.to_string().contains("near '#'") {
                let message = "this Redis is too old: outlast needs Redis 7.0 or newer";
                return StoreError::Incompatible(message.into());
            }
            store_error(error)
        })
    }
}

/// The writes that Redis refuses.
enum Refusal {
    Nothing,
    /// Those that need more memory.
    Full,
    /// Every change, and what it says to whoever would make one.
    All(String),
}

impl Refusal {
    fn of_all(self) -> Option<String> {
        match self {
            Refusal::All(why) => Some(why),
            Refusal::Nothing | Refusal::Full => None,
        }
    }
}

async fn refusal(connection: &mut MultiplexedConnection) -> Result<Refusal, StoreError> {
    let asked: RedisResult<u8> = WRITABLE.prepare_invoke().invoke_async(connection).await;
    match asked {
        Ok(_) => Ok(Refusal::Nothing),
        Err(error) if error.code() == Some("OOM") => Ok(Refusal::Full),
        Err(error) if is_refused_write(&error) => Ok(Refusal::All(error.to_string())),
        Err(error) => Err(store_error(error)),
    }
}

/// `master` or `slave`.
async fn role(connection: &mut MultiplexedConnection) -> Result<String, StoreError> {
    let role = redis::cmd("ROLE")
        .query_async::<Vec<Value>>(connection)
        .await;
    let role = role.map_err(store_error)?;
    let name = role.into_iter().next().unwrap_or(Value::Nil);
    read_value(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(crowded: bool, tight: bool) -> Findings {
        Findings {
            crowded,
            tight,
            ..Findings::of_a_sound(None)
        }
    }

    #[test]
    fn l6_a_full_store_is_full_until_there_is_some_room() {
        let full = found(true, true);
        assert_eq!(full.health(), Health::Full);
        let less = full.then(found(false, true));
        assert_eq!(less.health(), Health::Full);
        let spare = less.then(found(false, false));
        assert_eq!(spare.health(), Health::Up);
        assert_eq!(spare.then(found(false, true)).health(), Health::Up);
    }
}
