//! `game/NAME`: an arena in which players run after coins (B2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::arena::Point;
use super::name::check_name;
use crate::{At, Cx, Input, Member, Refusal, Room};

mod arena;
mod tick;

#[cfg(test)]
mod tests;

/// The number of players that an arena has room for, online or not.
const PLAYERS_MAX: usize = 200;

/// The time from one tick to the next, in milliseconds. All arenas tick at the same moments, so that one
/// commit carries those of a partition.
const TICK_MS: u64 = 100;

/// The players, and where everything is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Game {
    players: BTreeMap<Member, Player>,
    coins: Vec<Coin>,
    /// The id of the next coin.
    next_coin: u64,
    ticked_at_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Player {
    name: String,
    at: Point,
    score: u32,
    online: bool,
    steer: Steer,
}

/// A coin that lies in the arena: `[id, x, y]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Coin(u64, Point);

/// Where a player wants to go, in thousandths of full speed: whole numbers are read back from a snapshot
/// as they were.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Steer {
    x: i16,
    y: i16,
}

/// The data of a join.
#[derive(Debug, Deserialize)]
pub struct Join {
    name: String,
}

/// The actions of a player.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Go this way until told otherwise.
    Steer {
        /// To the right, from -1 to 1.
        x: f64,
        /// Down, from -1 to 1.
        y: f64,
    },
}

/// The events of a game.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody has come to play.
    Entered {
        /// The member that came to play.
        member: Member,
        /// Its name.
        name: String,
        /// Where it starts.
        x: u16,
        /// Where it starts.
        y: u16,
    },
    /// Somebody plays no longer.
    Left {
        /// The member that is gone.
        member: Member,
        /// `left`, `ended` or `expired`.
        reason: String,
    },
    /// A player has lost its connection, and stands still.
    Away(Member),
    /// It is back.
    Back(Member),
    /// Time has passed.
    Tick {
        /// Where everybody is, and the scores: `[member, x, y, score]`.
        players: Vec<(Member, u16, u16, u32)>,
        /// The coins that lie there: `[id, x, y]`.
        coins: Vec<(u64, u16, u16)>,
    },
    /// A player steers, which nobody is told: it shows in the next tick. It must not be forgotten, though,
    /// by a worker that takes over before that, since its player was told that it counts.
    Steered {
        /// To the right, in thousandths.
        x: i16,
        /// Down, in thousandths.
        y: i16,
    },
}

#[derive(Serialize)]
struct View<'a> {
    players: Vec<Shown<'a>>,
    coins: Vec<(u64, u16, u16)>,
}

#[derive(Serialize)]
struct Shown<'a> {
    member: Member,
    name: &'a str,
    x: u16,
    y: u16,
    score: u32,
    online: bool,
}

impl Room for Game {
    const KIND: &'static str = "game";
    type Join = Join;
    type Action = Action;
    type Event = Event;

    fn handle(&self, input: Input<Join, Action>, cx: &mut Cx<'_, Event>) -> Result<(), Refusal> {
        match input {
            Input::Join { member, data, .. } => {
                check_name(&data.name)?;
                if self.players.len() >= PLAYERS_MAX {
                    let message = format!("this arena has room for {PLAYERS_MAX} players");
                    return Err(Refusal::new("full", message));
                }
                let Point { x, y } = Point::anywhere(cx);
                let name = data.name;
                cx.emit(Event::Entered { member, name, x, y });
            }
            Input::Leave { member, reason } => cx.emit(Event::Left { member, reason }),
            Input::Detached { member } => cx.emit(Event::Away(member)),
            Input::Attached { member } => cx.emit(Event::Back(member)),
            Input::Act { member, action } => {
                let Action::Steer { x, y } = action;
                let Steer { x, y } = Steer::checked(x, y)?;
                if self.steer_of(member) != Some(Steer { x, y }) {
                    cx.emit_silent(Event::Steered { x, y });
                }
            }
            Input::Wake => self.tick(cx),
        }
        Ok(())
    }

    fn apply(&mut self, event: Event, at: At) {
        match event {
            Event::Entered { member, name, x, y } => {
                let player = Player {
                    name,
                    at: Point { x, y },
                    score: 0,
                    online: true,
                    steer: Steer::default(),
                };
                self.players.insert(member, player);
            }
            Event::Left { member, .. } => drop(self.players.remove(&member)),
            Event::Away(member) => self.set_online(member, false),
            Event::Back(member) => self.set_online(member, true),
            Event::Tick { players, coins } => {
                for (member, x, y, score) in players {
                    if let Some(player) = self.players.get_mut(&member) {
                        player.at = Point { x, y };
                        player.score = score;
                    }
                }
                let coin = |(id, x, y)| Coin(id, Point { x, y });
                self.coins = coins.into_iter().map(coin).collect();
                let after = self.coins.iter().map(|Coin(id, _)| id + 1).max();
                self.next_coin = self.next_coin.max(after.unwrap_or(0));
                self.ticked_at_ms = at.at_ms;
            }
            Event::Steered { x, y } => {
                if let Some(player) = at.by.and_then(|by| self.players.get_mut(&by)) {
                    player.steer = Steer { x, y };
                }
            }
        }
    }

    fn view(&self, _viewer: Member) -> impl Serialize {
        View {
            players: self.players.iter().map(Shown::of).collect(),
            coins: self.coins.iter().map(Coin::triple).collect(),
        }
    }

    /// While somebody is online.
    fn wake_at_ms(&self) -> Option<u64> {
        let online = self.players.values().any(|player| player.online);
        online.then_some((self.ticked_at_ms / TICK_MS + 1) * TICK_MS)
    }
}

impl Game {
    fn set_online(&mut self, member: Member, online: bool) {
        if let Some(player) = self.players.get_mut(&member) {
            player.online = online;
            player.steer = Steer::default();
        }
    }

    fn steer_of(&self, member: Member) -> Option<Steer> {
        self.players.get(&member).map(|player| player.steer)
    }
}

impl Steer {
    fn checked(x: f64, y: f64) -> Result<Self, Refusal> {
        let range = -1.0..=1.0;
        if !range.contains(&x) || !range.contains(&y) {
            return Err(Refusal::new("bad_steer", "x and y each go from -1 to 1"));
        }
        let thousandths = |part: f64| (part * 1_000.0).round() as i16;
        Ok(Steer {
            x: thousandths(x),
            y: thousandths(y),
        })
    }
}

impl Coin {
    fn triple(&self) -> (u64, u16, u16) {
        let Coin(id, Point { x, y }) = *self;
        (id, x, y)
    }
}

impl<'a> Shown<'a> {
    fn of((member, player): (&Member, &'a Player)) -> Self {
        Shown {
            member: *member,
            name: &player.name,
            x: player.at.x,
            y: player.at.y,
            score: player.score,
            online: player.online,
        }
    }
}
