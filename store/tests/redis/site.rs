//! What Sentinel and Cluster have in common.

use outlast_store::redis::Access;

use crate::server::{Server, wait};

/// Nobody is taken for dead here, however busy the machine; what fails over does so when it is told to.
pub(crate) const LOOSELY_MS: u64 = 600_000;

/// Whoever is gone is soon found out.
pub(crate) const CLOSELY_MS: u64 = 1_000;

/// A store that is more than one Redis.
pub(crate) trait Site: Send + Sync + 'static {
    fn url(&self) -> String;

    /// Who we are there.
    fn access(&self) -> Access {
        Access::default()
    }

    /// Who is master at first.
    fn masters(&self) -> Vec<&Server>;

    /// In the order of their masters.
    fn replicas(&self) -> Vec<&Server>;

    /// From now on a master that is silent for so long is taken for dead.
    fn watch(&self, silence_ms: u64);

    /// The master that has a key, and its replica.
    fn owner(&mut self, key: &str) -> (&mut Server, &Server);

    /// From now on nothing reaches a replica any more, though its master goes on: what it takes in is lost
    /// when the replica takes its place.
    fn cut_off(&mut self, key: &str) {
        let (master, replica) = self.owner(key);
        replica.run::<()>(&["CONFIG", "SET", "masterauth", "wrong"]);
        master.run::<()>(&["CLIENT", "KILL", "TYPE", "replica"]);
        wait("the replica is cut off", || {
            let info: String = replica.run(&["INFO", "replication"]);
            info.contains("master_link_status:down")
        });
    }

    /// Until the replica has all that its master has.
    fn catch_up(&mut self, key: &str) {
        let (master, _) = self.owner(key);
        let reached: u16 = master.run(&["WAIT", "1", "60000"]);
        assert_eq!(reached, 1, "the replica follows");
    }
}
