//! A server of one process and no durability, written to be obviously right rather than fast.

use std::collections::{BTreeMap, BTreeSet};

use outlast_protocol::{
    CatchUp, ClientFrame, CloseCode, Codec, Limits, Payload, Pos, RoomName, ServerFrame, Sid,
    SnapshotReason, Welcome,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reconnect_storm::{Logged, LoggedBody, RoomLog, SocketId};
use serde_json::{Value, json};

/// The faults of the server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// The share of actions that are answered with `busy`.
    pub(crate) busy: f64,
    /// The number of entries that a client may have missed and still get a replay.
    pub(crate) window: Option<u64>,
    /// The share of actions after which a room loses its newest writes.
    pub(crate) rollback: f64,
}

/// A socket: whose, and what the client calls it.
pub(crate) type SocketRef = (usize, SocketId);

pub(crate) struct Server {
    /// Frames to be delivered, each with its receiver.
    pub(crate) outbox: Vec<(SocketRef, ServerFrame)>,
    rng: StdRng,
    faults: Faults,
    sessions: BTreeMap<Sid, Session>,
    sockets: BTreeMap<SocketRef, Sid>,
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

    pub(crate) fn cut(&mut self, socket: SocketRef) {
        self.sockets.remove(&socket);
    }

    /// D3: asks a client to move.
    pub(crate) fn drain(&mut self, socket: SocketRef, after_ms: u64) {
        if self.sockets.contains_key(&socket) {
            let by_ms = after_ms + 500;
            self.outbox
                .push((socket, ServerFrame::Move { after_ms, by_ms }));
        }
    }

    pub(crate) fn logs(&self) -> BTreeMap<RoomName, RoomLog> {
        let rooms = self.rooms.iter();
        let logs = rooms.map(|(name, room)| {
            let entries = room.log.clone();
            (name.clone(), RoomLog { entries })
        });
        logs.collect()
    }

    pub(crate) fn take(&mut self, socket: SocketRef, frame: ClientFrame) {
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
                let session = sid.parse().ok().and_then(|sid| self.sessions.get(&sid));
                if session.is_some_and(|session| session.keys.contains(&key)) {
                    self.resume(socket, sid.parse().unwrap(), &rooms);
                } else {
                    self.outbox.push((socket, bye(CloseCode::SessionGone)));
                }
            }
            ClientFrame::Join { ref room, n, .. }
            | ClientFrame::Act { ref room, n, .. }
            | ClientFrame::Leave { ref room, n } => {
                let Some(sid) = self.sockets.get(&socket).copied() else {
                    return;
                };
                if self.rng.random_bool(self.faults.busy) {
                    self.outbox.push((socket, busy(room, n)));
                    return;
                }
                if matches!(frame, ClientFrame::Join { .. }) {
                    let session = self.sessions.get_mut(&sid).unwrap();
                    session.rooms.insert(room.clone());
                }
                let name = room.clone();
                self.apply(socket, sid, n, &frame);
                if self.rng.random_bool(self.faults.rollback) {
                    self.roll_back(&name);
                }
            }
            ClientFrame::Token { .. } | ClientFrame::Pong {} | ClientFrame::End {} => {}
        }
    }

    fn attach(&mut self, socket: SocketRef, sid: Sid) -> Welcome {
        let older = self.sockets.extract_if(.., |_, attached| *attached == sid);
        self.outbox
            .extend(older.map(|(older, _)| (older, bye(CloseCode::TakenOver))));
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

    fn resume(&mut self, socket: SocketRef, sid: Sid, asked: &BTreeMap<RoomName, Option<Pos>>) {
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
            let is_late = |pos: Pos| {
                let window = self.faults.window;
                pos.off < joined.off || window.is_some_and(|window| pos.off + window < last.off)
            };
            let stands = |pos: Pos| {
                let entry = room.log.get(pos.off as usize - 1);
                entry.is_some_and(|entry| entry.pos == pos)
            };
            let replay = match asked.get(&name).copied().flatten() {
                None => Err(SnapshotReason::Requested),
                Some(pos) if !stands(pos) => Err(SnapshotReason::Diverged),
                Some(pos) if is_late(pos) => Err(SnapshotReason::Trimmed),
                Some(pos) => Ok(pos),
            };
            match replay {
                Ok(pos) => {
                    rooms.insert(name.clone(), CatchUp::Replay);
                    let newer = room.log[pos.off as usize..].iter();
                    frames.extend(newer.filter_map(|entry| shown(&name, entry, seat.member)));
                }
                Err(reason) => {
                    rooms.insert(name.clone(), CatchUp::Snapshot);
                    frames.push(snapshot(&name, last, seat, reason));
                }
            }
            let (room, pos) = (name, last);
            frames.push(ServerFrame::Live { room, pos });
        }
        frames.insert(0, ServerFrame::Resumed { welcome, rooms });
        let frames = frames.into_iter().map(|frame| (socket, frame));
        self.outbox.extend(frames);
    }

    fn apply(&mut self, socket: SocketRef, sid: Sid, n: u64, frame: &ClientFrame) {
        let (ClientFrame::Join { room: name, .. }
        | ClientFrame::Act { room: name, .. }
        | ClientFrame::Leave { room: name, .. }) = frame
        else {
            return;
        };
        let room = self.rooms.entry(name.clone()).or_default();
        if self.faults.rollback > 0.0 && room.log.len().is_multiple_of(4) {
            room.before = None;
            room.before = Some(Box::new(room.clone()));
        }
        let members = room.seats.values().map(|seat| seat.member).max();
        let seat = room.seats.entry(sid).or_default();
        if seat.member == 0 {
            seat.member = members.unwrap_or(0) + 1;
        }
        let last = room.log.last().map_or(Pos::START, |entry| entry.pos);
        if n != seat.n + 1 {
            let answer = out_of_turn(frame, n, name, seat, last);
            self.outbox.extend(answer.map(|answer| (socket, answer)));
            return;
        }
        (seat.n, seat.gap_told) = (n, false);
        let Some(body) = effect(frame, n, seat) else {
            self.outbox.push((socket, joined(name, n, seat, last)));
            return;
        };
        let pos = Pos {
            off: last.off + 1,
            tag: self.rng.random_range(0..1 << 32),
        };
        let entry = Logged { pos, body };
        for (other, other_sid) in &self.sockets {
            let seat = room.seats.get(other_sid);
            let seat = seat.filter(|seat| seat.joined.is_some());
            let frame = seat.and_then(|seat| shown(name, &entry, seat.member));
            self.outbox.extend(frame.map(|frame| (*other, frame)));
        }
        let seat = room.seats.get_mut(&sid).unwrap();
        match frame {
            ClientFrame::Join { .. } => {
                (seat.joined, seat.kept) = (Some(pos), Vec::new());
                self.outbox.push((socket, joined(name, n, seat, pos)));
            }
            ClientFrame::Leave { .. } if seat.joined.take().is_some() => {
                let left = left(name, Some(n));
                seat.kept.push((n, left.clone()));
                self.outbox.push((socket, left));
            }
            _ if seat.joined.is_none() => {
                let refused = shown(name, &entry, seat.member).unwrap();
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
        let joined = before.seats.values().filter(|seat| seat.joined.is_some());
        if joined.count() != room.seats.len() {
            return;
        }
        *room = *before;
        let last = room.log.last().map_or(Pos::START, |entry| entry.pos);
        for (socket, sid) in &self.sockets {
            let frame = match room.seats.get(sid) {
                Some(seat) if seat.joined.is_some() => {
                    snapshot(name, last, seat, SnapshotReason::Diverged)
                }
                _ => left(name, None),
            };
            self.outbox.push((*socket, frame));
        }
    }
}

/// The answer to an action that is not the next.
fn out_of_turn(
    frame: &ClientFrame,
    n: u64,
    name: &RoomName,
    seat: &mut Seat,
    last: Pos,
) -> Option<ServerFrame> {
    if n > seat.n {
        let was_told = std::mem::replace(&mut seat.gap_told, true);
        let (room, expect) = (name.clone(), seat.n + 1);
        return (!was_told).then_some(ServerFrame::Gap { room, expect });
    }
    if let Some((_, kept)) = seat.kept.iter().find(|(of, _)| *of == n) {
        return Some(kept.clone());
    }
    let joins = matches!(frame, ClientFrame::Join { .. }) && seat.joined.is_some();
    joins.then(|| joined(name, n, seat, last))
}

/// The entry that an action causes; `None` for a join of a member.
fn effect(frame: &ClientFrame, n: u64, seat: &Seat) -> Option<LoggedBody> {
    let (to, is_member) = (seat.member, seat.joined.is_some());
    let event = |quiet, data: Value| LoggedBody::Event {
        by: Some(to),
        n: Some(n),
        quiet,
        data: Payload::from(&data),
    };
    let result = |ok| LoggedBody::Result { to, n, ok };
    Some(match frame {
        ClientFrame::Join { .. } if is_member => return None,
        ClientFrame::Join { .. } => event(true, json!({"entered": to})),
        _ if !is_member => result(false),
        ClientFrame::Act { data, .. } => match data.read::<Value>().unwrap() {
            data if data["say"] == "" => result(false),
            data if data.get("say").is_some() => event(false, json!({"said": data["say"]})),
            _ => result(true),
        },
        _ => event(true, json!({"left": to})),
    })
}

/// A frame, as it is written in JSON.
fn frame(json: Value) -> ServerFrame {
    let json = json.to_string();
    Codec::Json.decode_server(json.as_bytes()).unwrap()
}

fn bye(code: CloseCode) -> ServerFrame {
    frame(json!({"t": "bye", "code": code, "reason": "", "resume": false}))
}

fn busy(room: &RoomName, n: u64) -> ServerFrame {
    frame(
        json!({"t": "error", "code": "busy", "message": "later", "room": room, "n": n, "retry_ms": 30}),
    )
}

fn left(room: &RoomName, n: Option<u64>) -> ServerFrame {
    frame(json!({"t": "left", "room": room, "n": n, "reason": "left"}))
}

fn joined(room: &RoomName, n: u64, seat: &Seat, pos: Pos) -> ServerFrame {
    let member = seat.member;
    frame(json!({"t": "joined", "room": room, "n": n, "member": member, "pos": pos, "state": null}))
}

fn snapshot(room: &RoomName, pos: Pos, seat: &Seat, reason: SnapshotReason) -> ServerFrame {
    let Seat { member, n, .. } = seat;
    frame(
        json!({"t": "snapshot", "room": room, "pos": pos, "state": null, "member": member, "n": n, "reason": reason}),
    )
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
