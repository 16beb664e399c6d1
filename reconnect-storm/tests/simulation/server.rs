//! A server of one process and no durability, written to be obviously right rather than fast.

use std::collections::{BTreeMap, BTreeSet};

use outlast_protocol::{
    CatchUp, ClientFrame, CloseCode, Limits, Payload, Pos, RoomName, ServerFrame, Sid,
    SnapshotReason, Welcome,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reconnect_storm::{Logged, LoggedBody, RoomLog, SocketId};
use serde_json::{Value, json};

/// What the server does to its clients.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// How often an action is answered with `busy`.
    pub(crate) busy: f64,
    /// How many entries a client may be behind and still get a replay.
    pub(crate) window: Option<u64>,
    /// How often a room loses its newest writes.
    pub(crate) rollback: f64,
}

/// A socket: whose, and what the client calls it.
pub(crate) type Line = (usize, SocketId);

pub(crate) struct Server {
    /// What is to be delivered, to whom.
    pub(crate) outbox: Vec<(Line, ServerFrame)>,
    rng: StdRng,
    faults: Faults,
    sessions: BTreeMap<Sid, Session>,
    sockets: BTreeMap<Line, Sid>,
    rooms: BTreeMap<RoomName, Room>,
}

#[derive(Default)]
struct Session {
    generation: u64,
    keys: Vec<String>,
    rooms: BTreeSet<RoomName>,
}

#[derive(Clone, Default)]
struct Room {
    log: Vec<Logged>,
    seats: BTreeMap<Sid, Seat>,
    before: Option<Box<Room>>,
}

#[derive(Clone, Default)]
struct Seat {
    member: u32,
    n: u64,
    joined: Option<Pos>,
    kept: Vec<(u64, ServerFrame)>,
    gap_told: bool,
}

impl Server {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        Server {
            outbox: Vec::new(),
            rng: StdRng::seed_from_u64(seed ^ 0x5eed),
            faults,
            sessions: BTreeMap::new(),
            sockets: BTreeMap::new(),
            rooms: BTreeMap::new(),
        }
    }

    pub(crate) fn calm(&mut self) {
        self.faults = Faults {
            window: self.faults.window,
            ..Faults::default()
        };
    }

    pub(crate) fn cut(&mut self, socket: Line) {
        self.sockets.remove(&socket);
    }

    /// D3: asks a client to move.
    pub(crate) fn drain(&mut self, socket: Line, after_ms: u64) {
        if self.sockets.contains_key(&socket) {
            let by_ms = after_ms + 500;
            self.outbox
                .push((socket, ServerFrame::Move { after_ms, by_ms }));
        }
    }

    pub(crate) fn logs(&self) -> BTreeMap<RoomName, RoomLog> {
        let log = |(name, room): (&RoomName, &Room)| {
            (
                name.clone(),
                RoomLog {
                    entries: room.log.clone(),
                },
            )
        };
        self.rooms.iter().map(log).collect()
    }

    pub(crate) fn take(&mut self, socket: Line, frame: ClientFrame) {
        match frame {
            ClientFrame::Open { .. } => {
                let sid = Sid::now_v7();
                self.sessions.insert(sid, Session::default());
                let welcome = self.attach(socket, sid);
                self.outbox.push((socket, ServerFrame::Welcome { welcome }));
            }
            ClientFrame::Resume {
                sid, key, rooms, ..
            } => {
                let known = sid.parse().ok().filter(|sid| {
                    self.sessions
                        .get(sid)
                        .is_some_and(|session| session.keys.contains(&key))
                });
                match known {
                    Some(sid) => self.resume(socket, sid, &rooms),
                    None => self.outbox.push((
                        socket,
                        ServerFrame::Bye {
                            code: CloseCode::SessionGone,
                            reason: "unknown".into(),
                            resume: false,
                            retry_ms: None,
                        },
                    )),
                }
            }
            ClientFrame::Join { ref room, n, .. }
            | ClientFrame::Act { ref room, n, .. }
            | ClientFrame::Leave { ref room, n } => {
                let Some(sid) = self.sockets.get(&socket).copied() else {
                    return;
                };
                if self.rng.random_bool(self.faults.busy) {
                    let room = Some(room.to_string());
                    let (code, message) = ("busy".into(), "later".into());
                    let error = ServerFrame::Error {
                        code,
                        message,
                        room,
                        n: Some(n),
                        retry_ms: Some(30),
                    };
                    self.outbox.push((socket, error));
                    return;
                }
                if matches!(frame, ClientFrame::Join { .. }) {
                    self.sessions
                        .get_mut(&sid)
                        .unwrap()
                        .rooms
                        .insert(room.clone());
                }
                let name = room.clone();
                self.apply(socket, sid, n, frame.clone());
                if self.rng.random_bool(self.faults.rollback) {
                    self.roll_back(&name);
                }
            }
            ClientFrame::Token { .. } | ClientFrame::Pong {} | ClientFrame::End {} => {}
        }
    }

    fn attach(&mut self, socket: Line, sid: Sid) -> Welcome {
        let older = self.sockets.extract_if(.., |_, attached| *attached == sid);
        self.outbox.extend(older.map(|(older, _)| {
            let bye = ServerFrame::Bye {
                code: CloseCode::TakenOver,
                reason: "a newer socket".into(),
                resume: false,
                retry_ms: None,
            };
            (older, bye)
        }));
        self.sockets.insert(socket, sid);
        let session = self.sessions.get_mut(&sid).unwrap();
        session.generation += 1;
        let key = format!("key {}", session.generation);
        session.keys.push(key.clone());
        Welcome {
            sid,
            key,
            generation: session.generation,
            ttl_ms: 120_000,
            heartbeat_ms: 25_000_000,
            limits: Limits {
                frame_bytes: 65536,
                actions_per_s: 50,
            },
        }
    }

    fn resume(&mut self, socket: Line, sid: Sid, asked: &BTreeMap<RoomName, Option<Pos>>) {
        let welcome = self.attach(socket, sid);
        let (mut rooms, mut frames) = (BTreeMap::new(), Vec::new());
        let concerned: BTreeSet<RoomName> = asked
            .keys()
            .chain(&self.sessions[&sid].rooms)
            .cloned()
            .collect();
        for name in concerned {
            let room = self.rooms.entry(name.clone()).or_default();
            let seat = room.seats.entry(sid).or_default();
            seat.gap_told = false;
            let Some(joined) = seat.joined else {
                rooms.insert(name, CatchUp::Gone);
                continue;
            };
            let last = room.log.last().map_or(Pos::START, |entry| entry.pos);
            let replay = match asked.get(&name).copied().flatten() {
                None => Err(SnapshotReason::Requested),
                Some(pos)
                    if room
                        .log
                        .get(pos.off as usize - 1)
                        .is_none_or(|entry| entry.pos != pos) =>
                {
                    Err(SnapshotReason::Diverged)
                }
                Some(pos) if pos.off < joined.off => Err(SnapshotReason::Trimmed),
                Some(pos)
                    if self
                        .faults
                        .window
                        .is_some_and(|window| pos.off + window < last.off) =>
                {
                    Err(SnapshotReason::Trimmed)
                }
                Some(pos) => Ok(pos),
            };
            match replay {
                Ok(pos) => {
                    rooms.insert(name.clone(), CatchUp::Replay);
                    let behind = room.log[pos.off as usize..].iter();
                    frames.extend(behind.filter_map(|entry| shown(&name, entry, seat.member)));
                }
                Err(reason) => {
                    rooms.insert(name.clone(), CatchUp::Snapshot);
                    frames.push(snapshot(&name, last, seat, reason));
                }
            }
            frames.push(ServerFrame::Live {
                room: name,
                pos: last,
            });
        }
        self.outbox
            .push((socket, ServerFrame::Resumed { welcome, rooms }));
        self.outbox
            .extend(frames.into_iter().map(|frame| (socket, frame)));
    }

    fn apply(&mut self, socket: Line, sid: Sid, n: u64, frame: ClientFrame) {
        let (ClientFrame::Join { room: name, .. }
        | ClientFrame::Act { room: name, .. }
        | ClientFrame::Leave { room: name, .. }) = &frame
        else {
            return;
        };
        let room = self.rooms.entry(name.clone()).or_default();
        if self.faults.rollback > 0.0 && room.log.len().is_multiple_of(4) {
            room.before = Some(Box::new(Room {
                before: None,
                ..room.clone()
            }));
        }
        let members = room
            .seats
            .values()
            .map(|seat| seat.member)
            .max()
            .unwrap_or(0);
        let seat = room.seats.entry(sid).or_default();
        if seat.member == 0 {
            seat.member = members + 1;
        }
        let last = room.log.last().map_or(Pos::START, |entry| entry.pos);
        let joined = |n, seat: &Seat, pos| {
            let (room, state) = (name.clone(), Payload::null());
            ServerFrame::Joined {
                room,
                n,
                member: seat.member,
                pos,
                state,
            }
        };
        if n > seat.n + 1 {
            if !std::mem::replace(&mut seat.gap_told, true) {
                let gap = ServerFrame::Gap {
                    room: name.clone(),
                    expect: seat.n + 1,
                };
                self.outbox.push((socket, gap));
            }
            return;
        }
        if n <= seat.n {
            if let Some((_, kept)) = seat.kept.iter().find(|(of, _)| *of == n) {
                self.outbox.push((socket, kept.clone()));
            } else if seat.joined.is_some() && matches!(frame, ClientFrame::Join { .. }) {
                self.outbox.push((socket, joined(n, seat, last)));
            }
            return;
        }
        (seat.n, seat.gap_told) = (n, false);
        let (by, to) = (Some(seat.member), seat.member);
        let event = |quiet, data: Value| LoggedBody::Event {
            by,
            n: Some(n),
            quiet,
            data: Payload::from(&data),
        };
        let body = match &frame {
            ClientFrame::Join { .. } if seat.joined.is_some() => {
                self.outbox.push((socket, joined(n, seat, last)));
                return;
            }
            ClientFrame::Join { .. } => event(true, json!({"entered": to})),
            _ if seat.joined.is_none() => LoggedBody::Result { to, n, ok: false },
            ClientFrame::Leave { .. } => event(true, json!({"left": to})),
            ClientFrame::Act { data, .. } => match data.read::<Value>().unwrap() {
                data if data["say"] == "" => LoggedBody::Result { to, n, ok: false },
                data if data.get("say").is_some() => event(false, json!({"said": data["say"]})),
                _ => LoggedBody::Result { to, n, ok: true },
            },
            _ => return,
        };
        let pos = Pos {
            off: last.off + 1,
            tag: self.rng.random_range(0..1 << 32),
        };
        let entry = Logged { pos, body };
        for (other, other_sid) in &self.sockets {
            let seat = &room.seats.get(other_sid);
            if let Some(seat) = seat.filter(|seat| seat.joined.is_some()) {
                self.outbox
                    .extend(shown(name, &entry, seat.member).map(|frame| (*other, frame)));
            }
        }
        let seat = room.seats.get_mut(&sid).unwrap();
        match frame {
            ClientFrame::Join { .. } => {
                (seat.joined, seat.kept) = (Some(pos), Vec::new());
                self.outbox.push((socket, joined(n, seat, pos)));
            }
            ClientFrame::Leave { .. } if seat.joined.take().is_some() => {
                let left = ServerFrame::Left {
                    room: name.clone(),
                    n: Some(n),
                    reason: "left".into(),
                };
                seat.kept.push((n, left.clone()));
                self.outbox.push((socket, left));
            }
            _ if seat.joined.is_none() => {
                let refused = shown(name, &entry, to).unwrap();
                seat.kept.push((n, refused.clone()));
                self.outbox.push((socket, refused));
            }
            _ => {}
        }
        room.log.push(entry);
    }

    /// R4: the room is as it was some entries ago; who is attached is told.
    fn roll_back(&mut self, name: &RoomName) {
        let Some(room) = self.rooms.get_mut(name) else {
            return;
        };
        let Some(before) = room.before.take() else {
            return;
        };
        // Who is no member is not told, and has nothing to go by.
        let members = |room: &Room| {
            room.seats
                .values()
                .filter(|seat| seat.joined.is_some())
                .count()
        };
        if members(&before) != room.seats.len() {
            return;
        }
        *room = *before;
        let last = room.log.last().map_or(Pos::START, |entry| entry.pos);
        for (socket, sid) in &self.sockets {
            let frame = match room.seats.get(sid) {
                Some(seat) if seat.joined.is_some() => {
                    snapshot(name, last, seat, SnapshotReason::Diverged)
                }
                _ => ServerFrame::Left {
                    room: name.clone(),
                    n: None,
                    reason: "gone".into(),
                },
            };
            self.outbox.push((*socket, frame));
        }
    }
}

fn snapshot(room: &RoomName, pos: Pos, seat: &Seat, reason: SnapshotReason) -> ServerFrame {
    let (room, state) = (room.clone(), Payload::null());
    ServerFrame::Snapshot {
        room,
        pos,
        state,
        member: seat.member,
        n: seat.n,
        reason,
    }
}

fn shown(room: &RoomName, entry: &Logged, member: u32) -> Option<ServerFrame> {
    let (room, pos) = (room.clone(), entry.pos);
    match &entry.body {
        LoggedBody::Event {
            by, quiet: true, ..
        } if *by == Some(member) => None,
        LoggedBody::Event { by, n, data, .. } => Some(ServerFrame::Event {
            room,
            pos,
            by: *by,
            n: *n,
            data: data.clone(),
        }),
        LoggedBody::Result { to, n, ok } if *to == member => {
            let code = (!ok).then(|| "no".to_owned());
            Some(ServerFrame::Result {
                room,
                n: *n,
                pos,
                ok: *ok,
                data: None,
                code,
                message: None,
            })
        }
        LoggedBody::Result { .. } | LoggedBody::Notice { .. } => None,
    }
}
