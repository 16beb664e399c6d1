use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Letter, Then, book::Book, left};

impl Letter {
    /// Takes a frame in, by SPEC section 3.
    pub(super) fn take(&mut self, now: Instant, frame: &Value) -> Vec<Then> {
        let text = |field: &str| frame[field].as_str().unwrap_or_default();
        let number = |field: &str| frame[field].as_u64();
        match text("t") {
            "welcome" => self.attached(frame, now),
            "resumed" => {
                let then = self.attached(frame, now);
                let rooms = frame["rooms"].as_object().into_iter().flatten();
                for (room, _) in rooms.filter(|(_, how)| *how == "gone") {
                    self.rooms.entry(room.clone()).or_default().gone();
                }
                // A room of the session that was left out counts as null: what is not named here is none of them.
                let named = |room: &String| frame["rooms"].get(room).is_some();
                let others = self.rooms.iter_mut().filter(|(room, _)| !named(room));
                let out: Vec<_> = others
                    .filter_map(|(room, book)| book.is_out().then(|| room.clone()))
                    .collect();
                for room in out {
                    self.record.push(now, left(&room));
                }
                then
            }
            "ping" => vec![Then::Send(json!({"t": "pong"}))],
            "move" => vec![Then::Move(ms(number("after_ms").unwrap_or(0)))],
            "busy" => vec![Then::Resume(number("retry_ms").map(ms))],
            "bye" => match number("code").unwrap_or(0) {
                4001 => vec![Then::Gone],
                code @ (4002 | 4003 | 4004 | 4009 | 4010 | 1009) => vec![Then::Stop(code)],
                _ => vec![Then::Resume(number("retry_ms").map(ms))],
            },
            // Unknown types are ignored, and signals are not kept.
            _ => {
                let room = text("room");
                let book = self.rooms.get_mut(room);
                let frames = book.map(|book| in_room(book, room, frame, now));
                let frames = frames.unwrap_or_default();
                frames.into_iter().map(Then::Send).collect()
            }
        }
    }

    fn attached(&mut self, frame: &Value, now: Instant) -> Vec<Then> {
        let text = |field: &str| frame[field].as_str().unwrap_or_default().to_owned();
        let first = self.session.is_none();
        self.session = Some((text("sid"), text("key")));
        self.heartbeat = frame["heartbeat_ms"].as_u64().map(ms);
        self.attached = true;
        if !first {
            return self.tick(now).into_iter().map(Then::Send).collect();
        }
        let books = self.rooms.iter_mut();
        let frames = books.flat_map(|(room, book)| book.resend_all(room));
        frames.map(Then::Send).collect()
    }
}

fn in_room(book: &mut Book, room: &str, frame: &Value, now: Instant) -> Vec<Value> {
    let text = |field: &str| frame[field].as_str().unwrap_or_default();
    let number = |field: &str| frame[field].as_u64();
    let (pos, member) = (text("pos"), number("member").unwrap_or(0));
    match (text("t"), number("n")) {
        ("joined", Some(n)) => book.joined(n, member, pos),
        ("snapshot", Some(n)) => {
            return book.snapshot(room, n, member, pos, text("reason") == "diverged");
        }
        ("result", Some(n)) => {
            let refused = (frame["ok"] != true).then(|| text("code").to_owned());
            book.result(n, pos, refused);
        }
        ("error", Some(n)) => book.not_taken(n, text("code"), number("retry_ms").map(ms), now),
        ("event", n) => book.event(number("by"), n, pos),
        ("notice" | "live", _) => book.passed(pos),
        ("left", n) => book.left(n),
        ("gap", _) => return book.gap(room, number("expect").unwrap_or(1)),
        _ => {}
    }
    Vec::new()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
