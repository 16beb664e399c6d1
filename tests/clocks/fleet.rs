//! The clocks of the processes that share a store.

use outlast_testkit::{RedisServer, Server, WallClock, outlast::role};
use std::time::Duration;

use crate::{
    HOUR,
    play::{Player, SESSIONS, Watcher},
};

fn start(clock: &WallClock, redis: &RedisServer, name: &str, flags: &[&str]) -> Server {
    let mut command = role(name, &redis.url(), flags);
    command.envs(clock.environment());
    Server::spawn(command)
}

#[tokio::test]
async fn t1_the_clocks_of_gateways_workers_and_keepers_do_not_matter() {
    let redis = RedisServer::start();
    let clocks = [(); 3].map(|()| WallClock::new());
    let [of_gateway, of_worker, of_keeper] = &clocks;
    let _keeper = start(of_keeper, &redis, "sessions", &SESSIONS);
    let worker = start(of_worker, &redis, "worker", &[]);
    let gateway = start(of_gateway, &redis, "gateway", &SESSIONS);
    let mut player = Player::enter(gateway.address(), "game/a").await;
    let mut speaker = gateway.member("chat/b", "Speaker").await;
    let mut watcher = Watcher::enter(gateway.address(), "chat/a").await;
    let shifts = [[HOUR, -HOUR, HOUR], [-HOUR, HOUR, -HOUR], [0, 0, 0]];
    for (n, shifts) in (2..).zip(shifts) {
        let lost = gateway.member("chat/a", "Lost").await;
        let member = lost.member;
        watcher.starts();
        lost.cut();
        for (clock, shift_ms) in clocks.iter().zip(shifts) {
            clock.shift_ms(shift_ms);
        }
        speaker.say("chat/b", n, "on").await;
        player.sees_ticks(20, Duration::from_secs(10)).await;
        watcher.sees_it_away_and_over(member).await;
    }
    assert!(!worker.log().contains("partition lost"), "{}", worker.log());
    // Its own clock is wrong, which is worth knowing; the store's never was.
    assert!(
        !worker.log().contains("clock=\"store\""),
        "{}",
        worker.log()
    );
    assert!(worker.log().contains("clock jumped"), "{}", worker.log());
}
