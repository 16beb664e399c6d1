//! A process with a store of its own.

use outlast_testkit::{Server, WallClock, outlast::role};
use std::time::Duration;

use crate::{
    HOUR,
    play::{Player, SESSIONS, Watcher},
};

fn start(clock: &WallClock, folder: &tempfile::TempDir) -> Server {
    let store = format!("embedded:{}", folder.path().display());
    let mut command = role("all", &store, &SESSIONS);
    command.envs(clock.environment());
    Server::spawn(command)
}

/// An hour off for three seconds, then right again; and then the process is killed and started again.
async fn off_by(shift_ms: i64) {
    let (clock, folder) = (WallClock::new(), tempfile::tempdir().unwrap());
    let server = start(&clock, &folder);
    let mut player = Player::enter(server.address(), "game/a").await;
    let mut watcher = Watcher::enter(server.address(), "chat/a").await;
    let lost = server.member("chat/a", "Lost").await;
    let member = lost.member;

    watcher.starts();
    lost.cut();
    clock.shift_ms(shift_ms);
    player.sees_ticks(20, Duration::from_secs(10)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    clock.shift_ms(0);
    player.sees_ticks(20, Duration::from_secs(10)).await;
    watcher.sees_it_away_and_over(member).await;
    let log = server.log();
    let jumps = log.matches("clock jumped").count();
    assert_eq!(jumps, 2, "there and back: {log}");

    server.kill();
    let server = start(&clock, &folder);
    let mut player = Player::enter(server.address(), "game/a").await;
    player.sees_ticks(20, Duration::from_secs(10)).await;
    server.kill();
    // Started while the clock is wrong, and set right while it runs.
    clock.shift_ms(shift_ms);
    let server = start(&clock, &folder);
    let mut player = Player::enter(server.address(), "game/a").await;
    clock.shift_ms(0);
    player.sees_ticks(20, Duration::from_secs(10)).await;
    server.kill();
    let server = start(&clock, &folder);
    let mut player = Player::enter(server.address(), "game/a").await;
    player.sees_ticks(20, Duration::from_secs(10)).await;
}

#[tokio::test]
async fn t1_time_goes_on_while_the_clock_is_an_hour_ahead_and_after_a_restart() {
    off_by(HOUR).await;
}

#[tokio::test]
async fn t1_time_goes_on_while_the_clock_is_an_hour_late_and_after_a_restart() {
    off_by(-HOUR).await;
}
