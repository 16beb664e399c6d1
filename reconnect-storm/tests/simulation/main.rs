//! Clients and checker against a small server of SPEC sections 4 to 6 that lives in memory, with a
//! network that cuts connections at any frame: what the client's rules promise must hold on any seed.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod server;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use outlast_protocol::{ClientFrame, Payload, RoomName, ServerFrame, SnapshotReason};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reconnect_storm::{Case, Client, Finding, Marks, Output, Record, Settings, Verdict, check};
use serde_json::json;

use self::server::{Faults, Server};

/// One client, its record, and the two directions of its socket.
struct Peer {
    client: Client,
    record: Record,
    up: VecDeque<ClientFrame>,
    down: VecDeque<ServerFrame>,
    socket: bool,
}

struct World {
    rng: StdRng,
    now: Instant,
    peers: Vec<Peer>,
    server: Server,
    rooms: Vec<RoomName>,
    said: u64,
    /// Nobody leaves.
    stay: bool,
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let now = Instant::now();
        let rooms: Vec<RoomName> = (0..2)
            .map(|i| format!("chat/{i}").parse().unwrap())
            .collect();
        let peers = (0..4).map(|i| {
            let mut client = Client::new(
                Settings {
                    seed: seed + i,
                    ..Settings::new(["a", "b"])
                },
                now,
            );
            for room in &rooms {
                client.join(now, room, None);
            }
            let (up, down) = (VecDeque::new(), VecDeque::new());
            Peer {
                client,
                record: Record::default(),
                up,
                down,
                socket: false,
            }
        });
        World {
            rng: StdRng::seed_from_u64(seed),
            now,
            peers: peers.collect(),
            server: Server::new(seed, faults),
            stay: faults.rollback > 0.0,
            rooms: rooms.clone(),
            said: 0,
        }
    }

    /// One small thing happens somewhere.
    fn step(&mut self, who: usize, calm: bool) {
        self.now += Duration::from_millis(self.rng.random_range(0..20));
        let (now, peer) = (self.now, &mut self.peers[who]);
        match self.rng.random_range(0..100) {
            0 if !calm && peer.socket => {
                (peer.socket, peer.down) = (false, VecDeque::new());
                // What had been sent may still arrive, up to any point.
                let arrives = self.rng.random_range(0..=peer.up.len());
                for frame in peer.up.drain(..).take(arrives) {
                    self.server.take(who, frame);
                }
                self.server.cut(who);
                peer.client.lost(now, None);
            }
            1..20 if !calm && peer.client.pending() < 6 => {
                let room = &self.rooms[self.rng.random_range(0..self.rooms.len())];
                self.said += 1;
                match self.rng.random_range(if self.stay { 1 } else { 0 }..20) {
                    0 => drop(peer.client.leave(now, room)),
                    1 | 2 => drop(peer.client.join(now, room, None)),
                    3 => drop(peer.client.act(now, room, data(json!({"say": ""})))),
                    4..7 => drop(peer.client.act(now, room, data(json!({"typing": true})))),
                    _ => drop(peer.client.act(
                        now,
                        room,
                        data(json!({"say": self.said.to_string()})),
                    )),
                }
            }
            20..60 => {
                if let Some(frame) = peer.up.pop_front() {
                    self.server.take(who, frame);
                }
            }
            60..95 => {
                if let Some(frame) = peer.down.pop_front() {
                    peer.client.heard(now, frame);
                }
            }
            _ => peer.client.tick(now),
        }
        self.carry(who);
        for (to, frame) in self.server.outbox.drain(..) {
            if self.peers[to].socket {
                self.peers[to].down.push_back(frame);
            }
        }
    }

    fn carry(&mut self, who: usize) {
        let peer = &mut self.peers[who];
        while let Some(output) = peer.client.poll() {
            match output {
                Output::Connect { .. } => {
                    self.server.cut(who);
                    peer.socket = true;
                    (peer.up, peer.down) = (VecDeque::new(), VecDeque::new());
                    peer.client.connected(self.now);
                }
                Output::Send(frame) => peer.up.push_back(frame),
                Output::Disconnect => {
                    peer.socket = false;
                    self.server.cut(who);
                }
                Output::Saw(seen) => peer.record.push(self.now, seen),
            }
        }
    }

    fn is_quiet(&self) -> bool {
        self.peers.iter().all(|peer| {
            peer.client.is_attached()
                && peer.client.pending() == 0
                && peer.up.is_empty()
                && peer.down.is_empty()
        })
    }

    fn run(mut self, seed: u64, excused: &[SnapshotReason]) -> Verdict {
        for _ in 0..6000 {
            let who = self.rng.random_range(0..self.peers.len());
            self.step(who, false);
        }
        self.server.calm();
        let mut left = 100_000;
        while !self.is_quiet() {
            let who = self.rng.random_range(0..self.peers.len());
            self.step(who, true);
            left -= 1;
            let open: Vec<_> = self
                .peers
                .iter()
                .map(|peer| peer.client.pending())
                .collect();
            if left == 0 {
                let stuck = open.iter().position(|open| *open > 0).unwrap_or(0);
                let peer = &self.peers[stuck];
                let last = peer.record.sightings.iter().rev().take(40).rev();
                let story: String = last.map(|seen| format!("{:?}\n", seen.what)).collect();
                panic!(
                    "seed {seed}: nothing settles any more; open actions {open:?}\n{story}{:?}",
                    peer.client
                );
            }
        }
        let records: Vec<Record> = self.peers.into_iter().map(|peer| peer.record).collect();
        check(&Case {
            clients: &records,
            logs: &self.server.logs(),
            marks: Marks::CHAT,
            complete: true,
            excused,
            sessions_may_go: false,
        })
    }
}

fn data(value: serde_json::Value) -> Payload {
    Payload::from(&value)
}

#[test]
fn a3_each_action_has_its_effect_once_whatever_the_network_does() {
    for seed in 0..60 {
        let faults = Faults {
            busy: 0.02,
            ..Faults::default()
        };
        let verdict = World::new(seed, faults).run(seed, &[]);
        assert!(verdict.is_clean(), "seed {seed}: {verdict}");
        assert!(
            verdict.actions_open == 0 && verdict.actions_settled > 100,
            "seed {seed}: {verdict}"
        );
        assert!(
            verdict.resumed > 5 && verdict.entries_seen > 200,
            "seed {seed}: {verdict}"
        );
    }
}

#[test]
fn r5_a_snapshot_settles_what_it_covers_and_the_rest_is_sent_again() {
    for seed in 0..60 {
        let faults = Faults {
            busy: 0.01,
            window: Some(3),
            ..Faults::default()
        };
        let verdict = World::new(seed, faults).run(seed, &[SnapshotReason::Trimmed]);
        assert!(verdict.is_clean(), "seed {seed}: {verdict}");
        assert!(
            verdict.snapshots.contains_key("trimmed"),
            "seed {seed}: {verdict}"
        );
    }
}

#[test]
fn r5_a_client_numbers_on_after_the_store_lost_writes() {
    let mut diverged = 0;
    for seed in 0..60 {
        let faults = Faults {
            rollback: 0.002,
            ..Faults::default()
        };
        let excused = [SnapshotReason::Diverged, SnapshotReason::Requested];
        let verdict = World::new(seed, faults).run(seed, &excused);
        // What was acknowledged may be gone, but nothing may stand there twice, and all goes on.
        let twice = |finding: &&Finding| finding.what.contains("was applied 2 times");
        assert_eq!(
            verdict.findings.iter().find(twice),
            None,
            "seed {seed}: {verdict}"
        );
        assert_eq!(verdict.actions_open, 0, "seed {seed}: {verdict}");
        diverged += verdict.snapshots.get("diverged").copied().unwrap_or(0);
    }
    assert!(diverged > 20, "only {diverged} snapshots were diverged");
}
