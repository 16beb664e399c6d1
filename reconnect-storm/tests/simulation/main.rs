//! Clients and checker against a small server of SPEC sections 4 to 6 that lives in memory, with a
//! network that cuts connections at any frame: what the client's rules promise must hold on any seed.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod server;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use outlast_protocol::{ClientFrame, Payload, RoomName, ServerFrame, SnapshotReason};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IteratorRandom};
use reconnect_storm::{
    Case, Client, Excuses, Output, Record, Seen, Settings, SocketId, Verdict, Violation, check,
};
use serde_json::json;

use self::server::{Faults, Server};

/// One client, its record, and its sockets.
struct Peer {
    client: Client,
    record: Record,
    wires: BTreeMap<SocketId, Wire>,
}

/// The two directions of a socket.
#[derive(Default)]
struct Wire {
    up: VecDeque<ClientFrame>,
    down: VecDeque<ServerFrame>,
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
    /// The share of steps in which a gateway asks a client to move.
    moves: f64,
    /// The network cuts connections.
    cuts: bool,
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
            Peer {
                client,
                record: Record::default(),
                wires: BTreeMap::new(),
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
            moves: 0.0,
            cuts: true,
        }
    }

    /// One small thing happens somewhere.
    fn step(&mut self, who: usize, calm: bool) {
        self.now += Duration::from_millis(self.rng.random_range(0..20));
        let (now, peer) = (self.now, &mut self.peers[who]);
        let socket = peer.wires.keys().copied().choose(&mut self.rng);
        let moves = !calm && self.rng.random_bool(self.moves);
        if let Some(socket) = socket.filter(|_| moves) {
            let after_ms = self.rng.random_range(0..300);
            self.server.drain((who, socket), after_ms);
        }
        match self.rng.random_range(0..100) {
            0 if !calm
                && self.cuts
                && let Some(socket) = socket =>
            {
                let mut wire = peer.wires.remove(&socket).unwrap();
                // What had been sent may still arrive, up to any point.
                let arrives = self.rng.random_range(0..=wire.up.len());
                for frame in wire.up.drain(..).take(arrives) {
                    self.server.take((who, socket), frame);
                }
                self.server.cut((who, socket));
                peer.client.lost(now, socket, None);
            }
            1..20 if !calm && peer.client.pending() < 6 => {
                let room = &self.rooms[self.rng.random_range(0..self.rooms.len())];
                self.said += 1;
                let kind = self.rng.random_range(u8::from(self.stay)..20);
                let data = match kind {
                    3 => json!({"say": ""}),
                    4..7 => json!({"typing": true}),
                    _ => json!({"say": self.said.to_string()}),
                };
                match kind {
                    0 => peer.client.leave(now, room),
                    1 | 2 => peer.client.join(now, room, None),
                    _ => peer.client.act(now, room, Payload::from(&data)),
                };
            }
            number @ 20..95 => {
                if let Some(socket) = socket {
                    let wire = peer.wires.get_mut(&socket).unwrap();
                    if number >= 60 {
                        if let Some(frame) = wire.down.pop_front() {
                            peer.client.heard(now, socket, frame);
                        }
                    } else if let Some(frame) = wire.up.pop_front() {
                        self.server.take((who, socket), frame);
                    }
                }
            }
            _ => peer.client.tick(now),
        }
        self.carry(who);
        for ((to, socket), frame) in self.server.outbox.drain(..) {
            if let Some(wire) = self.peers[to].wires.get_mut(&socket) {
                wire.down.push_back(frame);
            }
        }
    }

    fn carry(&mut self, who: usize) {
        let peer = &mut self.peers[who];
        while let Some(output) = peer.client.poll() {
            match output {
                Output::Connect { socket, .. } => {
                    peer.wires.insert(socket, Wire::default());
                    peer.client.connected(self.now, socket);
                }
                Output::Send { socket, frame } => {
                    peer.wires.get_mut(&socket).unwrap().up.push_back(frame);
                }
                Output::Disconnect { socket } => {
                    peer.wires.remove(&socket);
                    self.server.cut((who, socket));
                }
                Output::Saw(seen) => peer.record.push(self.now, seen),
            }
        }
    }

    fn is_quiet(&self) -> bool {
        self.peers.iter().all(|Peer { client, wires, .. }| {
            let is_idle = |wire: &Wire| wire.up.is_empty() && wire.down.is_empty();
            let is_settled = client.is_attached() && client.pending() == 0;
            is_settled && wires.len() == 1 && wires.values().all(is_idle)
        })
    }

    fn run(self, seed: u64, excused: &[SnapshotReason]) -> Verdict {
        self.run_to_records(seed, excused).0
    }

    fn run_to_records(mut self, seed: u64, excused: &[SnapshotReason]) -> (Verdict, Vec<Record>) {
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
            if left == 0 {
                let stuck = self.peers.iter().max_by_key(|peer| peer.client.pending());
                let Peer { client, record, .. } = stuck.unwrap();
                let last = record.observations.iter().rev().take(40).rev();
                let story: String = last.map(|seen| format!("{:?}\n", seen.what)).collect();
                panic!("seed {seed}: nothing settles any more\n{story}{client:?}");
            }
        }
        let records: Vec<Record> = self.peers.into_iter().map(|peer| peer.record).collect();
        let logs = self.server.logs();
        let case = Case {
            excuses: Excuses {
                snapshots: excused.to_vec(),
                ..Excuses::default()
            },
            ..Case::new(&records, &logs)
        };
        let verdict = check(&case);
        // Who learns the logs from the clients finds the same, where nothing needs an excuse.
        if excused.is_empty() {
            let learned = check(&Case { logs: None, ..case });
            assert_eq!(learned, verdict, "seed {seed}");
        }
        (verdict, records)
    }
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
        assert_eq!(verdict.actions_open, 0, "seed {seed}: {verdict}");
        let (settled, seen) = (verdict.actions_settled, verdict.entries_seen);
        let is_much = settled > 100 && seen > 200 && verdict.resumed > 5;
        assert!(is_much, "seed {seed}: {verdict}");
    }
}

#[test]
fn d3_a_moving_client_misses_nothing_and_sees_nothing_twice() {
    let (mut moved, mut lost) = (0, 0);
    for seed in 0..60 {
        let mut world = World::new(seed, Faults::default());
        world.moves = 0.01;
        let (verdict, records) = world.run_to_records(seed, &[]);
        assert!(verdict.is_clean(), "seed {seed}: {verdict}");
        assert_eq!(verdict.actions_open, 0, "seed {seed}: {verdict}");
        let count = |seen: fn(&Seen) -> bool| -> usize {
            records.iter().map(|record| record.count(seen)).sum()
        };
        moved += count(|seen| matches!(seen, Seen::Moved));
        lost += count(|seen| matches!(seen, Seen::Lost { .. }));
    }
    println!("{moved} moves, {lost} losses");
    assert!(moved > 1_000, "only {moved} moves were made");
}

#[test]
fn d3_a_client_that_is_asked_to_move_is_never_without_a_socket() {
    for seed in 0..30 {
        let mut world = World::new(seed, Faults::default());
        world.moves = 0.02;
        world.cuts = false;
        let (verdict, records) = world.run_to_records(seed, &[]);
        assert!(verdict.is_clean(), "seed {seed}: {verdict}");
        let lost = |record: &Record| record.count(|seen| matches!(seen, Seen::Lost { .. }));
        let lost: usize = records.iter().map(lost).sum();
        assert_eq!(lost, 0, "seed {seed}");
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
        let is_trimmed = verdict.snapshots.contains_key("trimmed");
        assert!(is_trimmed, "seed {seed}: {verdict}");
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
        let doubled = verdict.count(Violation::Doubled);
        assert_eq!(doubled, 0, "seed {seed}: {verdict}");
        assert_eq!(verdict.actions_open, 0, "seed {seed}: {verdict}");
        diverged += verdict.snapshots.get("diverged").copied().unwrap_or(0);
    }
    assert!(diverged > 20, "only {diverged} snapshots were diverged");
}
