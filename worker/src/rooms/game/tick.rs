use std::collections::BTreeMap;

use super::{Coin, Event, Game, Player, arena::Point};
use crate::{Cx, Member};

/// The longest time that one tick makes up for, in milliseconds: after a pause nobody has jumped.
const ELAPSED_MAX_MS: u64 = 200;
/// The largest number of coins …
const COINS_MAX: usize = 30;
/// … and how many besides one for each player online.
const COINS_SPARE: usize = 3;
/// The probability that a missing coin appears in a tick.
const COIN_CHANCE: f64 = 0.05;

impl Game {
    /// Moves everybody on to this moment.
    pub(super) fn tick(&self, cx: &mut Cx<'_, Event>) {
        let now_ms = cx.now_ms();
        let elapsed_ms = now_ms.saturating_sub(self.ticked_at_ms).min(ELAPSED_MAX_MS);
        let places = self.players.iter().map(|(member, player)| {
            // Who is offline does not steer.
            (*member, player.at.moved(player.steer, elapsed_ms))
        });
        let places: BTreeMap<Member, Point> = places.collect();
        let mut scores: BTreeMap<Member, u32> = BTreeMap::new();
        let mut coins = Vec::new();
        for coin in &self.coins {
            match self.finder(coin, &places) {
                Some(member) => *scores.entry(member).or_default() += 1,
                None => coins.push(coin.triple()),
            }
        }
        self.scatter(&mut coins, cx);
        let player = |(member, player): (&Member, &Player)| {
            let Point { x, y } = places.get(member).copied().unwrap_or(player.at);
            let found = scores.get(member).copied().unwrap_or(0);
            (*member, x, y, player.score.saturating_add(found))
        };
        let players = self.players.iter().map(player).collect();
        cx.emit(Event::Tick { players, coins });
    }

    /// Returns the player who is closest to a coin, of those who are online and touch it.
    fn finder(&self, Coin(_, coin): &Coin, places: &BTreeMap<Member, Point>) -> Option<Member> {
        let online = places
            .iter()
            .filter(|(member, _)| self.players.get(member).is_some_and(|player| player.online));
        let touching = online.filter_map(|(member, at)| Some((at.touches(*coin)?, *member)));
        touching.min().map(|(_, member)| member)
    }

    /// Lets coins appear.
    fn scatter(&self, coins: &mut Vec<(u64, u16, u16)>, cx: &mut Cx<'_, Event>) {
        let online = self.players.values().filter(|player| player.online).count();
        let wanted = (online + COINS_SPARE).min(COINS_MAX);
        let mut id = self.next_coin;
        for _ in coins.len()..wanted {
            if cx.random() < COIN_CHANCE {
                let Point { x, y } = Point::anywhere(cx);
                coins.push((id, x, y));
                id += 1;
            }
        }
    }
}
