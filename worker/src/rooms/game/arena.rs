use serde::{Deserialize, Serialize};

use super::Steer;
use crate::Cx;

/// The width and height of the arena.
const SIZE: u16 = 1_000;
/// The radius of a player …
const PLAYER_RADIUS: u16 = 20;
/// … and a coin.
const COIN_RADIUS: u16 = 12;
/// The highest speed of a player, per second.
const SPEED: f64 = 260.0;

/// A place in the arena, from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) x: u16,
    pub(super) y: u16,
}

impl Point {
    /// A random place where a player can stand.
    pub(super) fn anywhere<E: Serialize>(cx: &mut Cx<'_, E>) -> Self {
        let free = u64::from(SIZE - 2 * PLAYER_RADIUS) + 1;
        let mut random = || PLAYER_RADIUS + cx.random_below(free) as u16;
        Point {
            x: random(),
            y: random(),
        }
    }

    /// Where somebody gets in this time, at most as far as the wall.
    pub(super) fn moved(self, Steer { x, y }: Steer, ms: u64) -> Self {
        let (x, y) = (f64::from(x) / 1_000.0, f64::from(y) / 1_000.0);
        // Nobody is faster in a diagonal.
        let step = SPEED * ms as f64 / 1_000.0 / x.hypot(y).max(1.0);
        let wall = f64::from(PLAYER_RADIUS)..=f64::from(SIZE - PLAYER_RADIUS);
        let within = |at: u16, by: f64| {
            (f64::from(at) + by)
                .clamp(*wall.start(), *wall.end())
                .round() as u16
        };
        Point {
            x: within(self.x, x * step),
            y: within(self.y, y * step),
        }
    }

    /// Returns the distance to a coin, squared, for a player here that touches it.
    pub(super) fn touches(self, coin: Point) -> Option<u32> {
        let squared = |a: u16, b: u16| u32::from(a.abs_diff(b)).pow(2);
        let distance = squared(self.x, coin.x) + squared(self.y, coin.y);
        let reach = u32::from(PLAYER_RADIUS + COIN_RADIUS).pow(2);
        (distance <= reach).then_some(distance)
    }
}
