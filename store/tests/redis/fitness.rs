//! A Redis that answers and is not fit to hold a store.

use outlast_store::{
    Committed, Health, NodeId, Rooms, Store, StoreError,
    redis::{Redis, RedisSettings},
};
use outlast_testkit::{
    PATIENCE, RedisServer,
    redis::{Cluster, Site},
};
use tokio::time::timeout;

use crate::scene::{LAYOUT, TTL, append, claim, connect, next_commit};

/// Looks often.
fn closely() -> RedisSettings {
    RedisSettings {
        probe_ms: 20,
        ..crate::scene::patient()
    }
}

#[tokio::test]
async fn l6_a_redis_that_evicts_is_refused_with_the_remedy() {
    let limits: [&[&str]; 2] = [&[], &["--maxmemory", "1gb"]];
    for limit in limits {
        for policy in ["allkeys-lru", "volatile-ttl"] {
            let options = [limit, &["--maxmemory-policy", policy]].concat();
            let server = RedisServer::start_with(&options);
            let Err(StoreError::Incompatible(message)) = connect(&server, LAYOUT).await else {
                panic!("{policy} is refused");
            };
            let told = message.contains(policy) && message.contains("maxmemory-policy noeviction");
            assert!(told, "{message}");
        }
    }
}

#[tokio::test]
async fn l6_a_cluster_that_evicts_is_refused_with_the_remedy() {
    let cluster = Cluster::start();
    for master in cluster.masters() {
        master.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    }
    let refused = Redis::connect(&cluster.url(), LAYOUT, closely()).await;
    let Err(StoreError::Incompatible(message)) = refused else {
        panic!("it is refused: {refused:?}");
    };
    assert!(message.contains("maxmemory-policy noeviction"), "{message}");
}

async fn becomes(store: &Redis, health: Health) {
    let mut now = store.health();
    let change = timeout(PATIENCE, now.wait_for(|now| *now == health)).await;
    drop(
        change
            .unwrap_or_else(|_| panic!("it becomes {health:?}"))
            .unwrap(),
    );
}

#[tokio::test]
async fn l6_a_redis_that_refuses_writes_or_begins_to_evict_is_not_fit_while_it_does() {
    let server = RedisServer::start_with(&["--dbfilename", "blocked.rdb"]);
    let store = Redis::connect(&server.url(), LAYOUT, closely())
        .await
        .unwrap();
    let me = NodeId::from("gateway");
    let epoch = claim(&*store, TTL).await;
    becomes(&store, Health::Up).await;
    let troubles = [
        (
            "maxmemory-policy",
            "allkeys-lru",
            "noeviction",
            Health::Refusing,
        ),
        ("maxmemory", "1", "0", Health::Full),
        ("min-replicas-to-write", "1", "0", Health::Refusing),
    ];
    for (setting, bad, good, health) in troubles {
        server.run::<()>(&["CONFIG", "SET", setting, bad]);
        becomes(&store, health).await;
        assert!(
            store.load(&crate::scene::room()).await.is_ok(),
            "{setting}: it is read"
        );
        server.run::<()>(&["CONFIG", "SET", setting, good]);
        becomes(&store, Health::Up).await;
        append(&*store).await.unwrap();
        let commit = next_commit(&*store, epoch, &me).await;
        assert_eq!(store.commit(&commit).await, Ok(Committed::Now));
    }

    // Close to the limit nothing more is taken in.
    server.run::<()>(&["SET", "ballast", &"x".repeat(16 << 20)]);
    let info: String = server.run(&["INFO", "memory"]);
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.unwrap().trim().parse().unwrap();
    let limit = (used + used / 20).to_string();
    server.run::<()>(&["CONFIG", "SET", "maxmemory", &limit]);
    becomes(&store, Health::Full).await;
    server.run::<()>(&["DEL", "ballast"]);
    server.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    becomes(&store, Health::Up).await;

    // A save that fails: MISCONF, until one succeeds.
    server.run::<()>(&["CONFIG", "SET", "save", "3600 1000000"]);
    let folder: Vec<String> = server.run(&["CONFIG", "GET", "dir"]);
    let blocked = std::path::Path::new(&folder[1]).join("blocked.rdb");
    std::fs::create_dir_all(blocked.join("x")).unwrap();
    server.run::<()>(&["BGSAVE"]);
    becomes(&store, Health::Refusing).await;
    std::fs::remove_dir_all(&blocked).unwrap();
    server.run::<()>(&["BGSAVE"]);
    becomes(&store, Health::Up).await;
    append(&*store).await.unwrap();
}
