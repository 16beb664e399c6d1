use std::time::Instant;

use rand::RngExt;
use serde_json::{Value, json};

use super::{Notes, PENDING_MAX, Phase, Run, What};
use crate::churn::letter::Kind;

impl Run {
    /// Does something.
    pub(super) async fn whim(&mut self, phase: Phase) {
        match phase {
            Phase::Churn => self.churn().await,
            Phase::Calm => self.enter_all().await,
            Phase::End | Phase::Vanish => {}
        }
    }

    async fn churn(&mut self) {
        let room = self.rooms[self.rng.random_range(0..self.rooms.len())].clone();
        let (pending, inside) = self.look(|notes| {
            let inside = notes.letter.will_be_inside(&room);
            (notes.letter.pending(), inside)
        });
        let dice = self.rng.random_range(0..1000);
        // What ends sockets and sessions.
        match dice {
            0..25 => {
                self.drop_current("a whim");
                return self.dial().await;
            }
            25..40 => {
                if self.look(|notes| notes.letter.is_attached()) {
                    // A second socket, while the first one delivers.
                    self.dial().await;
                }
                return;
            }
            40..44 => {
                if self.look(|notes| notes.letter.is_attached()) && self.has_ended().await {
                    self.drop_current("ended");
                    self.dial_at = Instant::now();
                }
                return;
            }
            _ => {}
        }
        if pending >= PENDING_MAX {
            return;
        }
        if !self.hasty && self.look(|notes| notes.letter.is_turning(&room)) {
            return;
        }
        if !inside {
            if dice < 200 && self.hasty {
                // In no room: refused, or not taken.
                self.act(&room).await;
            }
            return self.ask(&room, Kind::Join, self.name(&room)).await;
        }
        match dice {
            44..600 => self.act(&room).await,
            600..720 => {
                let on = self.rng.random_range(0..2) == 0;
                let data = self.plain(&room, json!({"typing": on}));
                self.ask(&room, Kind::Act, data).await;
                self.act(&room).await;
            }
            720..750 => {
                let data = self.plain(&room, json!({"say": ""}));
                self.ask(&room, Kind::Act, data).await;
            }
            750..900 => {
                // Everything at once.
                if self.rng.random_range(0..2) == 0 {
                    self.act(&room).await;
                }
                self.ask(&room, Kind::Leave, Value::Null).await;
                if !self.hasty {
                    return;
                }
                if self.rng.random_range(0..4) == 0 {
                    self.act(&room).await;
                }
                self.ask(&room, Kind::Join, self.name(&room)).await;
                self.act(&room).await;
            }
            900..930 => self.ask(&room, Kind::Leave, Value::Null).await,
            _ => {}
        }
    }

    async fn enter_all(&mut self) {
        if self.look(|notes| notes.letter.pending() > 0) {
            return;
        }
        for room in self.rooms.clone() {
            if !self.look(|notes| notes.letter.will_be_inside(&room)) {
                self.ask(&room, Kind::Join, self.name(&room)).await;
            }
        }
    }

    /// Says something that nobody ever said, or steers.
    async fn act(&mut self, room: &str) {
        let said = self.look(|notes: &mut Notes| notes.actions);
        let socket = self.sockets;
        let drawn: u32 = self.rng.random();
        let mark = format!("{} says {socket}-{said}-{drawn:x}", self.who);
        let data = self.plain(room, json!({"say": mark}));
        self.ask(room, Kind::Act, data).await;
    }

    /// Returns an act that fits the kind of room.
    fn plain(&mut self, room: &str, chat: Value) -> Value {
        match room.starts_with("game/") {
            true => {
                let [x, y] = [(); 2].map(|()| f64::from(self.rng.random_range(-10..=10)) / 10.0);
                json!({"steer": {"x": x, "y": y}})
            }
            false => chat,
        }
    }

    fn name(&self, _room: &str) -> Value {
        json!({"name": self.who})
    }

    async fn ask(&mut self, room: &str, kind: Kind, data: Value) {
        let frames = self.look(|notes| notes.letter.ask(Instant::now(), room, kind, data));
        if frames.is_empty() {
            let socket = self.current.as_ref().map_or(0, |socket| socket.number);
            self.note(socket, What::Note(format!("{kind:?} of {room} waits")));
        }
        self.send(frames).await;
    }
}
