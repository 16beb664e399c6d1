//! The play in rooms while clocks jump.

use std::time::{Duration, Instant};

use outlast_testkit::{Client, PATIENCE};
use serde_json::Value;

/// The grace and the ttl of the sessions of these tests.
pub(crate) const GRACE: Duration = Duration::from_millis(1_000);
pub(crate) const TTL: Duration = Duration::from_millis(5_000);

pub(crate) const SESSIONS: [&str; 4] = ["--session-ttl-ms", "5000", "--detach-grace-ms", "1000"];

/// Somebody in an arena, who sees it tick.
pub(crate) struct Player {
    client: Client,
}

impl Player {
    pub(crate) async fn enter(address: &str, room: &str) -> Player {
        let mut client = Client::connect(address).await;
        client.open().await;
        client.join(room, 1, "Ada").await;
        let mut player = Player { client };
        player.sees_ticks(5, PATIENCE).await;
        player
    }

    /// Sees so many ticks within this time, which pass on the room's clock as they should.
    pub(crate) async fn sees_ticks(&mut self, wanted: usize, within: Duration) {
        let start = Instant::now();
        let mut seen = 0;
        while seen < wanted {
            let left = within.saturating_sub(start.elapsed());
            let Some(frame) = self.client.next_within(left).await else {
                panic!("{seen} ticks of {wanted} in {within:?}");
            };
            assert_ne!(frame["t"], "closed", "{frame}");
            seen += usize::from(frame["data"].get("tick").is_some());
        }
    }
}

/// Somebody in a chat room who sees what becomes of the others.
pub(crate) struct Watcher {
    client: Client,
    start: Instant,
}

impl Watcher {
    pub(crate) async fn enter(address: &str, room: &str) -> Watcher {
        let mut client = Client::connect(address).await;
        client.open().await;
        client.join(room, 1, "Watcher").await;
        let start = Instant::now();
        Watcher { client, start }
    }

    /// Whom the next waits count from loses the connection now.
    pub(crate) fn starts(&mut self) {
        self.start = Instant::now();
    }

    /// When the member was told away, or over, since the start.
    pub(crate) async fn sees(&mut self, what: &str, member: u64) -> Duration {
        let is_it = |frame: &Value| {
            let told = &frame["data"][what];
            *told == member || told["member"] == member
        };
        self.client.until("event", is_it).await;
        self.start.elapsed()
    }

    /// Sees a member away after the grace and over after the ttl, by elapsed time: never early, and never much later.
    pub(crate) async fn sees_it_away_and_over(&mut self, member: u64) {
        let away = self.sees("away", member).await;
        let over = self.sees("left", member).await;
        println!("away after {away:?}, over after {over:?}");
        // The time may go slower or faster by a fiftieth.
        assert!(away >= GRACE.mul_f64(0.97), "away after {away:?}");
        assert!(away <= GRACE + LATE, "away after {away:?}");
        assert!(over >= TTL.mul_f64(0.97), "over after {over:?}");
        assert!(over <= TTL + LATE, "over after {over:?}");
    }
}

/// The longest delay of anything that a keeper or another worker is to see to, on a machine that is busy.
pub(crate) const LATE: Duration = Duration::from_secs(20);
