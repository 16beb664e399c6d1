//! The common part of Sentinel and Cluster.

use super::server::RedisServer;
use crate::patience::eventually_blocking;

/// Nobody is declared dead within this time, however busy the machine; what fails over does so when it is told to.
pub const LOOSELY_MS: u64 = 600_000;

/// Whoever is gone is soon found out.
pub const CLOSELY_MS: u64 = 1_000;

/// The users that one has to be at servers and at sentinels; `None` where nobody asks.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Login {
    pub user: Option<&'static str>,
    pub password: Option<&'static str>,
    pub sentinel_user: Option<&'static str>,
    pub sentinel_password: Option<&'static str>,
}

/// A store that is more than one Redis.
pub trait Site: Send + Sync + 'static {
    /// Where it is, as `--store` takes it.
    fn url(&self) -> String;

    /// The users to be there.
    fn login(&self) -> Login {
        Login::default()
    }

    /// The masters at first.
    fn masters(&self) -> Vec<&RedisServer>;

    /// The replicas, in the order of their masters.
    fn replicas(&self) -> Vec<&RedisServer>;

    /// From now on a master that is silent for so long is declared dead.
    fn watch(&self, silence_ms: u64);

    /// The master that has a key, and its replica.
    fn owner(&mut self, key: &str) -> (&mut RedisServer, &RedisServer);

    /// From now on nothing reaches a replica any more, though its master goes on: what it takes in is lost
    /// when the replica takes its place.
    fn cut_off(&mut self, key: &str) {
        let (master, replica) = self.owner(key);
        replica.run::<()>(&["CONFIG", "SET", "masterauth", "wrong"]);
        master.run::<()>(&["CLIENT", "KILL", "TYPE", "replica"]);
        eventually_blocking("the replica is cut off", || {
            let info: String = replica.run(&["INFO", "replication"]);
            info.contains("master_link_status:down").then_some(())
        });
    }

    /// Until the replica has all that its master has.
    fn catch_up(&mut self, key: &str) {
        let (master, _) = self.owner(key);
        let reached: u16 = master.run(&["WAIT", "1", "60000"]);
        assert_eq!(reached, 1, "the replica follows");
    }
}
