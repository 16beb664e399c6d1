//! Redis's clock.

use std::time::{Duration, Instant};

use outlast_testkit::{Client, RedisServer, Server, WallClock, eventually, frames::act};
use serde_json::json;

use crate::{
    HOUR,
    play::{LATE, Player, SESSIONS, Watcher},
};

/// A Redis that goes by this clock.
fn redis_by(clock: &WallClock) -> RedisServer {
    RedisServer::launch()
        .environment(clock.environment())
        .start()
}

/// Returns the number of times that a clock was found to have jumped, by all of them.
fn jumps<'a>(processes: impl IntoIterator<Item = &'a Server>) -> usize {
    let logs = processes.into_iter().map(Server::log);
    logs.map(|log| log.matches("clock jumped").count()).sum()
}

async fn off_by(shift_ms: i64) {
    let clock = WallClock::new();
    let redis = redis_by(&clock);
    let keeper = Server::keeper(&redis, &SESSIONS);
    let (one, two) = (Server::worker(&redis, &[]), Server::worker(&redis, &[]));
    let gateway = Server::gateway(&redis, &SESSIONS);
    eventually("the partitions are shared", async || {
        let shared = |worker: &Server| worker.log().contains("held=8");
        (shared(&one) || shared(&two)).then_some(())
    })
    .await;
    let mut player = Player::enter(gateway.address(), "game/a").await;
    let mut speaker = gateway.member("chat/b", "Speaker").await;
    let mut watcher = Watcher::enter(gateway.address(), "chat/a").await;
    let lost = gateway.member("chat/a", "Lost").await;
    let member = lost.member;
    let losses = || {
        let logs = [one.log(), two.log()];
        logs.map(|log| log.matches("partition lost").count())
    };
    let before = losses();

    watcher.starts();
    lost.cut();
    clock.shift_ms(shift_ms);
    speaker.say("chat/b", 2, "at once").await;
    player.sees_ticks(20, Duration::from_secs(10)).await;
    speaker.say("chat/b", 3, "later").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    clock.shift_ms(0);
    speaker.say("chat/b", 4, "at once").await;
    player.sees_ticks(20, Duration::from_secs(10)).await;
    watcher.sees_it_away_and_over(member).await;
    assert_eq!(losses(), before, "{}\n{}", one.log(), two.log());
    let processes = [&keeper, &one, &two, &gateway];
    assert_eq!(jumps(processes), 2, "once there, and once back");
}

#[tokio::test]
async fn t1_time_goes_on_while_rediss_clock_is_an_hour_ahead() {
    off_by(HOUR).await;
}

#[tokio::test]
async fn t1_time_goes_on_while_rediss_clock_is_an_hour_late() {
    off_by(-HOUR).await;
}

/// Says something in each room until it is an event.
async fn act_in_all(client: &mut Client, rooms: &[String], n: u64) {
    for room in rooms {
        let say = act(room, n, json!({"say": n.to_string()}));
        client.send(say.clone()).await;
        loop {
            let frame = client.next().await;
            if frame["t"] == "event" && frame["room"] == *room && frame["n"] == n {
                break;
            }
            if frame["code"] == "busy" {
                tokio::time::sleep(Duration::from_millis(20)).await;
                client.send(say.clone()).await;
            }
            assert_ne!(frame["t"], "closed", "{frame}");
        }
    }
}

/// A worker and a gateway die while the clock goes back by an hour: by itself, or because another Redis takes over
/// whose clock is late.
async fn dying_while_it_goes_back(another: bool) {
    let clock = WallClock::new();
    let mut redis = redis_by(&clock);
    let _keeper = Server::keeper(&redis, &SESSIONS);
    let one = Server::worker(&redis, &[]);
    let gateway = Server::gateway(&redis, &SESSIONS);
    let doomed = Server::gateway(&redis, &SESSIONS);
    let rooms: Vec<_> = (0..12)
        .map(|number| format!("chat/room-{number}"))
        .collect();
    let mut client = gateway.open().await;
    for room in &rooms {
        client.join(room, 1, "Ada").await;
    }
    let two = Server::worker(&redis, &[]);
    let mut watcher = Watcher::enter(gateway.address(), "chat/a").await;
    let lost = doomed.member("chat/a", "Lost").await;
    let member = lost.member;
    act_in_all(&mut client, &rooms, 2).await;

    one.kill();
    doomed.kill();
    if another {
        redis.kill();
        clock.shift_ms(-HOUR);
        redis.restart();
    } else {
        clock.shift_ms(-HOUR);
    }
    watcher.starts();
    let start = Instant::now();
    act_in_all(&mut client, &rooms, 3).await;
    let took = start.elapsed();
    println!("the rooms of the dead worker went on after {took:?}");
    assert!(took <= LATE, "{took:?}");
    watcher.sees_it_away_and_over(member).await;
    drop(lost);

    // What has been settled stays so.
    let moves = |log: String| {
        log.matches("partitions acquired").count() + log.matches("partition handed over").count()
    };
    let before = moves(two.log());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(moves(two.log()), before, "{}", two.log());
    act_in_all(&mut client, &rooms, 4).await;
}

#[tokio::test]
async fn t5_who_dies_when_the_clock_goes_back_an_hour_is_followed_and_told() {
    dying_while_it_goes_back(false).await;
}

#[tokio::test]
async fn t5_who_dies_when_a_redis_takes_over_that_is_an_hour_late_is_followed_and_told() {
    dying_while_it_goes_back(true).await;
}

#[tokio::test]
async fn t4_a_fleet_that_comes_back_finds_the_time_where_it_was() {
    let clock = WallClock::new();
    let mut redis = redis_by(&clock);
    for shift_ms in [HOUR, 0, -HOUR] {
        let worker = Server::worker(&redis, &[]);
        let gateway = Server::gateway(&redis, &SESSIONS);
        let mut player = Player::enter(gateway.address(), "game/a").await;
        player.sees_ticks(20, Duration::from_secs(10)).await;
        worker.kill();
        gateway.kill();
        redis.kill();
        clock.shift_ms(shift_ms);
        redis.restart();
    }
    let _worker = Server::worker(&redis, &[]);
    let gateway = Server::gateway(&redis, &SESSIONS);
    let mut player = Player::enter(gateway.address(), "game/a").await;
    player.sees_ticks(20, Duration::from_secs(10)).await;
}
