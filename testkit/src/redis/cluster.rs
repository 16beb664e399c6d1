//! Three masters with a third of the slots each, each with a replica.

use std::ops::RangeInclusive;

use super::{
    server::RedisServer,
    site::{CLOSELY_MS, LOOSELY_MS, Site},
};
use crate::{patience::eventually_blocking, ports::free_port};

/// A Redis Cluster, killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// Each master with its slots and its replica.
    thirds: Vec<(RangeInclusive<u16>, RedisServer, RedisServer)>,
}

impl Cluster {
    /// Starts six servers, and makes them one Cluster.
    pub fn start() -> Self {
        // The nodes get to know each other fast where they are watched closely, and one that stood still
        // meanwhile may have lost its place: then everything begins anew.
        (0..20)
            .map(|_| Cluster::joined())
            .find(Cluster::is_as_it_was_made)
            .expect("masters stay masters")
    }

    fn joined() -> Self {
        let slots = [0..=5460, 5461..=10922, 10923..=16383];
        let thirds = slots.map(|slots| (slots, start_node(), start_node()));
        let cluster = Cluster {
            thirds: thirds.into(),
        };
        cluster.join();
        cluster.watch(LOOSELY_MS);
        cluster
    }

    fn is_as_it_was_made(&self) -> bool {
        let is = |server: &RedisServer, role: &str| {
            let info: String = server.run(&["INFO", "replication"]);
            info.contains(role)
        };
        let mut thirds = self.thirds.iter();
        thirds.all(|(_, master, replica)| is(master, "role:master") && is(replica, "role:slave"))
            && self.is_whole()
    }

    fn join(&self) {
        let bus = |server: &RedisServer| {
            let nodes: String = server.run(&["CLUSTER", "NODES"]);
            let after = nodes.split_once('@').expect("a node names its bus").1;
            after.split([' ', ',']).next().unwrap().to_owned()
        };
        let (_, first, _) = &self.thirds[0];
        for (number, (slots, master, replica)) in self.thirds.iter().enumerate() {
            let (from, to) = (slots.start().to_string(), slots.end().to_string());
            master.run::<()>(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]);
            master.run::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            for node in [master, replica] {
                if node.port() != first.port() {
                    let port = first.port().to_string();
                    node.run::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus(first)]);
                }
            }
        }
        for (_, master, replica) in &self.thirds {
            let id: String = master.run(&["CLUSTER", "MYID"]);
            eventually_blocking("the replica knows its master", || {
                replica.try_run::<()>(&["CLUSTER", "REPLICATE", &id]).ok()
            });
        }
        eventually_blocking("the Cluster is whole", || self.is_whole().then_some(()));
    }

    fn is_whole(&self) -> bool {
        let nodes = self.thirds.iter().flat_map(|(_, m, r)| [m, r]);
        let agreed = nodes.into_iter().all(|node| {
            let info: String = node.run(&["CLUSTER", "INFO"]);
            let known: String = node.run(&["CLUSTER", "NODES"]);
            info.contains("cluster_state:ok")
                && known.lines().count() == 6
                && known.matches("slave ").count() == 3
        });
        let linked = |(_, one, other): &(_, RedisServer, RedisServer)| {
            [one, other].iter().any(|server| {
                let info: String = server.run(&["INFO", "replication"]);
                info.contains("master_link_status:up")
            })
        };
        agreed && self.thirds.iter().all(linked)
    }

    /// Moves a slot to another master, as an operator does.
    pub fn move_slot(&self, slot: u16) {
        let moving = self.begin_to_move(slot);
        while moving.next_key().is_some() {}
        moving.finish();
    }

    /// Begins to move a slot: what it holds is where it was, and what is new comes to its next master.
    pub fn begin_to_move(&self, slot: u16) -> MovingSlot<'_> {
        let from = self.thirds.iter().position(|(s, _, _)| s.contains(&slot));
        let from = from.unwrap();
        let (source, target) = (&self.thirds[from].1, &self.thirds[(from + 1) % 3].1);
        let [from, to]: [String; 2] = [source, target].map(|node| node.run(&["CLUSTER", "MYID"]));
        let number = slot.to_string();
        target.run::<()>(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &from]);
        source.run::<()>(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &to]);
        MovingSlot {
            slot: number,
            source,
            target,
            to,
        }
    }

    /// The slot of a key.
    pub fn slot(&self, key: &str) -> u16 {
        self.thirds[0].1.run(&["CLUSTER", "KEYSLOT", key])
    }
}

/// A slot on its way from one master to another.
#[derive(Debug)]
pub struct MovingSlot<'a> {
    slot: String,
    source: &'a RedisServer,
    target: &'a RedisServer,
    /// The target's name.
    to: String,
}

impl MovingSlot<'_> {
    /// Moves a key, and names it; `None` when all have been.
    pub fn next_key(&self) -> Option<String> {
        let ask = ["CLUSTER", "GETKEYSINSLOT", &self.slot, "1"];
        let key = self.source.run::<Vec<String>>(&ask).pop()?;
        let port = self.target.port().to_string();
        let go = ["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"];
        self.source.run::<()>(&go);
        Some(key)
    }

    /// Both masters know that it has moved.
    pub fn finish(self) {
        for node in [self.target, self.source] {
            node.run::<()>(&["CLUSTER", "SETSLOT", &self.slot, "NODE", &self.to]);
        }
    }
}

fn start_node() -> RedisServer {
    let (bus, silence_ms) = (free_port().to_string(), CLOSELY_MS.to_string());
    let options = [
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--cluster-node-timeout",
        &silence_ms,
        "--cluster-replica-validity-factor",
        "0",
        "--cluster-require-full-coverage",
        "no",
        "--repl-diskless-sync-delay",
        "0",
    ];
    RedisServer::start_for_users(&options)
}

impl Site for Cluster {
    fn url(&self) -> String {
        let hosts = self.masters().into_iter();
        let hosts: Vec<_> = hosts
            .map(|server| format!("127.0.0.1:{}", server.port()))
            .collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    fn masters(&self) -> Vec<&RedisServer> {
        self.thirds.iter().map(|(_, master, _)| master).collect()
    }

    fn replicas(&self) -> Vec<&RedisServer> {
        self.thirds.iter().map(|(_, _, replica)| replica).collect()
    }

    fn watch(&self, silence_ms: u64) {
        let silence_ms = silence_ms.to_string();
        let set = ["CONFIG", "SET", "cluster-node-timeout", &silence_ms];
        for node in self.thirds.iter().flat_map(|(_, m, r)| [m, r]) {
            // Those that were killed do not answer.
            node.try_run::<()>(&set).ok();
        }
    }

    fn owner(&mut self, key: &str) -> (&mut RedisServer, &RedisServer) {
        let slot: u16 = self.thirds[0].1.run(&["CLUSTER", "KEYSLOT", key]);
        let third = self.thirds.iter_mut().find(|(s, _, _)| s.contains(&slot));
        let (_, master, replica) = third.expect("every slot has a master");
        (master, replica)
    }
}
