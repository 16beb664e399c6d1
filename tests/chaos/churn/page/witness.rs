use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use outlast_protocol::{Codec, Payload, RoomName};
use reconnect_storm::{Ask, Outcome, Record, Seen};
use serde_json::{Value, json};

use crate::churn::{
    history::{History, What},
    letter::left,
    world::TTL,
};

/// The record of what one application did and was told.
#[derive(Debug, Default, Clone)]
pub(crate) struct Page {
    pub(crate) history: History,
    /// The frames of its sockets, each thing once, as the checker of logs takes it.
    pub(crate) record: Record,
    /// Rooms, positions, and whether the state diverged there.
    pub(crate) told: Vec<(String, u64, bool)>,
    /// The texts that it said, and the position of the outcome, or a code.
    pub(crate) said: Vec<(String, String, Result<String, String>)>,
    pub(crate) outcomes: usize,
    pub(crate) sids: BTreeSet<String>,
    pub(crate) sid: Option<String>,
    /// Its rooms, and as which member, once it is calm.
    pub(crate) calm: Option<BTreeMap<String, u64>>,
    open: HashMap<u64, (String, String, String)>,
    rooms: HashMap<String, Stand>,
}

/// Where the client stands in a room, by what its sockets said.
#[derive(Debug, Default, Clone)]
struct Stand {
    off: u64,
    inside: bool,
}

impl Page {
    pub(super) fn new(number: usize) -> Page {
        Page {
            history: History::of(format!("page {number}")),
            ..Page::default()
        }
    }

    /// Returns the actions that have no outcome.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let open = self.open.values();
        open.map(|(kind, room, mark)| format!("{room} {kind} {mark}"))
            .collect()
    }

    pub(super) fn heard(&mut self, begun: Instant, at: Duration, line: &Value) {
        let now = begun + at;
        let socket = line["socket"].as_u64().unwrap_or(0);
        let has = |field: &str| line.get(field);
        if let Some(frame) = has("out") {
            self.history.push(at, socket, What::Out(frame.clone()));
            if frame["t"] == "resume" {
                self.resuming(now, &frame["rooms"]);
            }
        } else if let Some(frame) = has("in") {
            self.history.push(at, socket, What::In(frame.clone()));
            self.wire(now, frame);
        } else if let Some(why) = has("closed") {
            self.history
                .push(at, socket, What::Closed(why.as_str().unwrap_or("").into()));
        } else {
            let note = |line: &Value| {
                let mut line = line.clone();
                line.as_object_mut().unwrap().retain(|name, _| name != "at");
                What::Note(line.to_string())
            };
            if has("told").is_none_or(|told| told != "event") {
                self.history.push(at, socket, note(line));
            }
            self.application(now, line);
        }
    }

    fn application(&mut self, now: Instant, line: &Value) {
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        if let Some(id) = line["asked"].as_u64() {
            let (kind, room) = (text("kind"), text("room"));
            let ask = match kind.as_str() {
                "join" => Ask::Join(None),
                "leave" => Ask::Leave,
                _ => Ask::Act(Payload::of(&json!({"say": text("mark")})).unwrap()),
            };
            if kind != "typing" && kind != "refused" {
                let (id, n) = (id as usize, 0);
                let room = name(&room);
                self.record.push(now, Seen::Asked { id, room, n, ask });
            }
            self.open.insert(id, (kind, room, text("mark")));
        } else if let Some(id) = line["settled"].as_u64() {
            let Some((kind, room, mark)) = self.open.remove(&id) else {
                return;
            };
            self.outcomes += 1;
            if kind == "join" || kind == "leave" {
                let outcome = Outcome::Unknown;
                let id = id as usize;
                self.record.push(now, Seen::Settled { id, outcome });
            } else if kind == "say" {
                let said = if line["ok"] == true {
                    Ok(text("pos"))
                } else {
                    Err(text("code"))
                };
                self.said.push((room, mark, said));
            }
        } else if let Some(told) = line["told"].as_str() {
            self.is_told(told, &line["frame"]);
        } else if let Some(reset) = line.get("reset") {
            // Who was away for longer than a session lives has nothing to wonder at.
            let away = reset["away_ms"].as_f64().unwrap_or(f64::MAX);
            if away < TTL.as_secs_f64() * 1000.0 {
                self.record.push(now, Seen::SessionGone);
            }
            for room in self.rooms.keys() {
                self.record.push(now, left(room));
            }
            self.rooms.clear();
            self.told.clear();
        } else if line.get("calm").is_some() {
            let inside = line["inside"].as_array().into_iter().flatten();
            let seat =
                |pair: &Value| Some((pair[0].as_str()?.to_owned(), pair[1].as_u64().unwrap_or(0)));
            self.calm = Some(inside.filter_map(seat).collect());
        }
    }

    fn is_told(&mut self, told: &str, frame: &Value) {
        let room = frame["room"].as_str().unwrap_or_default().to_owned();
        let off = off(&frame["pos"]);
        match told {
            "event" | "notice" => {
                self.told.push((room, off, false));
            }
            "reset" if frame["reason"] == "diverged" => self.told.push((room, off, true)),
            _ => {}
        }
    }

    fn resuming(&mut self, now: Instant, rooms: &Value) {
        let rooms = rooms.as_object().into_iter().flatten();
        let from = |(room, pos): (&String, &Value)| {
            (name(room), pos.as_str().and_then(|pos| pos.parse().ok()))
        };
        let rooms = rooms.map(from).collect();
        self.record.push(now, Seen::Resuming { rooms });
    }

    /// Takes a socket's frame, as far as the client takes it: another may have said it before.
    fn wire(&mut self, now: Instant, frame: &Value) {
        let room = frame["room"].as_str().unwrap_or_default().to_owned();
        let (off, t) = (off(&frame["pos"]), frame["t"].as_str().unwrap_or_default());
        if matches!(t, "welcome" | "resumed") {
            self.sid = frame["sid"].as_str().map(str::to_owned);
            self.sids.extend(self.sid.clone());
            for (room, how) in frame["rooms"].as_object().into_iter().flatten() {
                if how == "gone" {
                    self.rooms.entry(room.clone()).or_default().inside = false;
                }
            }
            return self.heard_frame(now, frame);
        }
        if room.is_empty() {
            return;
        }
        let stand = self.rooms.entry(room).or_default();
        let taken = match t {
            "joined" | "snapshot" => {
                frame["reason"] == "diverged" || off >= stand.off || !stand.inside
            }
            "live" => stand.inside && off >= stand.off,
            "result" | "event" | "notice" => stand.inside && off > stand.off,
            "left" => std::mem::take(&mut stand.inside),
            _ => false,
        };
        if !taken {
            return;
        }
        if t == "joined" || t == "snapshot" {
            stand.inside = true;
            stand.off = off;
        }
        stand.off = stand.off.max(off);
        self.heard_frame(now, frame);
    }

    fn heard_frame(&mut self, now: Instant, frame: &Value) {
        let text = frame.to_string();
        let seen = match Codec::Json.decode_server(text.as_bytes()) {
            Ok(heard) => Seen::Heard(heard),
            Err(_) => Seen::Garbled(text),
        };
        self.record.push(now, seen);
    }
}

fn name(room: &str) -> RoomName {
    room.parse().unwrap()
}

fn off(pos: &Value) -> u64 {
    let number = pos.as_str().and_then(|pos| pos.split('-').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
