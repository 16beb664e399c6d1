use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::StdRng};
use serde_json::json;
use tokio::sync::watch;

use super::{Sightings, without_outcome};
use crate::churn::{
    history::History,
    http,
    judge::{Claim, Present, Verdict, Wrong},
    page::Pages,
    poster::Poster,
    walker::{Phase, Walker},
    world::World,
};

const WALKERS: usize = 14;
const PAGES: usize = 6;
const CHATS: usize = 5;
const POSTERS: usize = 2;
const GAME: &str = "game/arena";

/// Everybody who comes: walkers, pages and posters.
pub(super) struct Crowd {
    pub(super) rooms: Vec<String>,
    walkers: Vec<(Walker, watch::Sender<Phase>)>,
    pages: Option<Pages>,
    posters: Vec<Poster>,
    posting: watch::Sender<Phase>,
    last_pages: Vec<History>,
    ends_pages: bool,
}

impl Crowd {
    pub(super) fn arrive(world: &World, hasty: bool, begun: Instant, rng: &mut StdRng) -> Crowd {
        let chats: Vec<String> = (0..CHATS).map(|room| format!("chat/room-{room}")).collect();
        let mut walkers = Vec::new();
        for number in 0..WALKERS {
            let mut rooms: Vec<String> = (0..=number % 3)
                .map(|more| chats[(number + more) % CHATS].clone())
                .collect();
            if number % 5 == 0 {
                rooms.push(GAME.into());
            }
            let (phase, told) = watch::channel(Phase::Churn);
            let (address, seed) = (world.front.address(), rng.random());
            let walker = Walker::start(number, rooms, address, seed, hasty, begun, told);
            walkers.push((walker, phase));
        }
        let (address, seed) = (world.front.address(), rng.random());
        let pages = Pages::start(PAGES, CHATS, &address, seed, hasty, begun);
        let (posting, phase) = watch::channel(Phase::Churn);
        let mut posters = Vec::new();
        for number in 0..POSTERS {
            let (chats, phase) = (chats.clone(), phase.clone());
            posters.push(Poster::start(
                number,
                chats,
                world.admins(),
                rng.random(),
                phase,
            ));
        }
        let mut rooms = chats;
        rooms.push(GAME.into());
        Crowd {
            rooms,
            walkers,
            pages: Some(pages),
            posters,
            posting,
            last_pages: Vec::new(),
            ends_pages: rng.random(),
        }
    }

    pub(super) fn say(&mut self, phase: Phase) {
        for (_, told) in &self.walkers {
            told.send(phase).ok();
        }
        self.posting.send(phase).ok();
        if let Some(pages) = &mut self.pages {
            pages.calm();
        }
    }

    pub(super) fn is_calm(&self) -> bool {
        let walkers = self.walkers.iter();
        let calm = |walker: &Walker| walker.look(|notes| notes.is_calm(&walker.rooms));
        walkers.map(|(walker, _)| walker).all(calm)
            && self.look_at_pages(|pages| pages.iter().all(|page| page.calm.is_some()))
            && self.posters.iter().all(Poster::is_done)
    }

    pub(super) fn progress(&self) -> String {
        let notes = |count: fn(&mut crate::churn::walker::Notes) -> usize| -> usize {
            let walkers = self.walkers.iter();
            walkers.map(|(walker, _)| walker.look(count)).sum()
        };
        let walked = notes(|notes| notes.actions);
        let waits = notes(|notes| notes.letter.pending());
        let paged: usize = self.look_at_pages(|pages| pages.iter().map(|page| page.outcomes).sum());
        let posted: usize = self
            .posters
            .iter()
            .map(|poster| poster.posted.lock().unwrap().len())
            .sum();
        format!(
            "{walked} actions of walkers, {waits} of them open, {paged} outcomes of pages, {posted} posts;"
        )
    }

    pub(super) fn find_unsettled(&self, verdict: &mut Verdict) {
        for (walker, _) in &self.walkers {
            let (waiting, stopped, calm) = walker.look(|notes| {
                let calm = notes.is_calm(&walker.rooms);
                (notes.letter.waiting(), notes.stopped, calm)
            });
            without_outcome(verdict, &walker.who, &waiting);
            if let Some(code) = stopped {
                verdict.find(
                    Wrong::Stuck,
                    &walker.who,
                    format!("was told to stop: {code}"),
                );
            } else if !calm && waiting.is_empty() {
                let what = format!("does not come to be in {:?}", walker.rooms);
                verdict.find(Wrong::Stuck, &walker.who, what);
            }
        }
        self.look_at_pages(|pages| {
            for page in pages {
                without_outcome(verdict, &page.history.who, &page.waiting());
                if page.calm.is_none() && page.waiting().is_empty() {
                    verdict.find(Wrong::Stuck, &page.history.who, "does not come to rest");
                }
            }
        });
    }

    /// A last word in each room, which everybody there hears: up to where each log is to be judged.
    pub(super) async fn last_words(
        &self,
        world: &World,
        verdict: &mut Verdict,
    ) -> BTreeMap<String, u64> {
        let mut ends = BTreeMap::new();
        for (number, room) in self.rooms.iter().enumerate().take(CHATS) {
            let body = json!({"say": format!("the last word in {room}")}).to_string();
            let path = format!("/v1/rooms/{room}/actions");
            let until = Instant::now() + Duration::from_secs(30);
            while Instant::now() < until {
                let admins = world.admins();
                let key = Some(room.as_str());
                let asked =
                    http::request("POST", &admins[number % admins.len()], &path, key, &body);
                if let Some((200, answer)) = asked.await {
                    let answer: serde_json::Value =
                        serde_json::from_str(&answer).unwrap_or_default();
                    let off = answer["pos"].as_str().and_then(|pos| pos.split('-').next());
                    let off = off.and_then(|off| off.parse().ok()).unwrap_or(0);
                    ends.insert(room.clone(), off);
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            if !ends.contains_key(room) {
                verdict.find(Wrong::Stuck, room, "it takes no post");
            }
        }
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let late = self.late(&ends);
            if late.is_empty() {
                break;
            }
            if Instant::now() > until {
                for (who, room) in late {
                    verdict.find(
                        Wrong::Log,
                        who,
                        format!("did not hear the last word in {room}"),
                    );
                }
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let here = self.walkers.iter().filter_map(|(walker, _)| {
            walker.look(|notes| notes.letter.is_inside(GAME).then(|| notes.letter.off(GAME)))
        });
        ends.insert(GAME.into(), here.min().unwrap_or(0));
        ends
    }

    /// Returns the walkers that are in a room, and have not heard its end.
    fn late(&self, ends: &BTreeMap<String, u64>) -> Vec<(String, String)> {
        let mut late = Vec::new();
        for (room, end) in ends {
            for (walker, _) in &self.walkers {
                let heard = walker
                    .look(|notes| !notes.letter.is_inside(room) || notes.letter.off(room) >= *end);
                if !heard {
                    late.push((walker.who.clone(), room.clone()));
                }
            }
            self.look_at_pages(|pages| {
                for page in pages {
                    let inside = page
                        .calm
                        .as_ref()
                        .is_some_and(|calm| calm.contains_key(room));
                    let heard = page
                        .told
                        .iter()
                        .any(|(there, off, _)| there == room && off >= end);
                    if inside && !heard {
                        late.push((page.history.who.clone(), room.clone()));
                    }
                }
            });
        }
        late
    }

    /// Returns the observations of all clients so far.
    pub(super) fn seen(&self) -> Sightings {
        let mut seen = Sightings::default();
        for (walker, _) in &self.walkers {
            walker.look(|notes| {
                let last = notes.letter.record();
                for record in notes.records.drain(..).chain([last]) {
                    seen.records.push((walker.who.clone(), record));
                }
                seen.actions += notes.actions;
            });
        }
        self.look_at_pages(|pages| {
            for page in pages {
                let who = page.history.who.clone();
                seen.records.push((who.clone(), page.record.clone()));
                seen.told.push((who.clone(), page.told.clone()));
                seen.actions += page.outcomes;
                for (room, text, told) in &page.said {
                    seen.claims.push(Claim {
                        who: who.clone(),
                        room: room.clone(),
                        text: text.clone(),
                        pos: told.clone().ok(),
                    });
                }
            }
        });
        for (number, poster) in self.posters.iter().enumerate() {
            for posted in poster.posted.lock().unwrap().iter() {
                seen.claims.push(Claim {
                    who: format!("poster {number}"),
                    room: posted.room.clone(),
                    text: posted.text.clone(),
                    pos: posted.pos.clone(),
                });
                seen.actions += posted.asked;
            }
        }
        seen
    }

    /// Returns the clients that have a socket.
    pub(super) fn present(&self) -> Vec<Present> {
        let walkers = self.walkers.iter().filter_map(|(walker, _)| {
            walker.look(|notes| {
                Some(Present {
                    who: walker.who.clone(),
                    sid: notes.letter.sid()?.to_owned(),
                    rooms: notes.letter.inside(),
                })
            })
        });
        let mut present: Vec<_> = walkers.collect();
        self.look_at_pages(|pages| {
            for page in pages {
                if let Some((sid, rooms)) = page.sid.clone().zip(page.calm.clone()) {
                    let who = page.history.who.clone();
                    present.push(Present { who, sid, rooms });
                }
            }
        });
        present
    }

    /// Every session that anybody had.
    pub(super) fn sids(&self) -> Vec<String> {
        let mut sids = BTreeSet::new();
        for (walker, _) in &self.walkers {
            walker.look(|notes| sids.extend(notes.sids.iter().cloned()));
        }
        self.look_at_pages(|pages| sids.extend(pages.iter().flat_map(|page| page.sids.clone())));
        sids.into_iter().collect()
    }

    /// Half of them end their sessions, half only vanish.
    pub(super) fn part(&mut self) {
        for (number, (_, told)) in self.walkers.iter().enumerate() {
            let how = if number % 2 == 0 {
                Phase::End
            } else {
                Phase::Vanish
            };
            told.send(how).ok();
        }
        match (&mut self.pages, self.ends_pages) {
            (Some(pages), true) => pages.end(),
            (Some(pages), false) => pages.vanish(),
            (None, _) => {}
        }
    }

    /// Everything that was recorded.
    pub(super) fn leave(mut self, verdict: &mut Verdict) -> Vec<History> {
        if let Some(pages) = self.pages.take() {
            let broken = pages.stderr();
            if !broken.is_empty() {
                verdict.find(Wrong::Stuck, "the pages", broken);
            }
            self.last_pages = pages.stop().into_iter().map(|page| page.history).collect();
        }
        for poster in &self.posters {
            verdict
                .faults
                .extend(poster.faults.lock().unwrap().drain(..));
        }
        let walkers = self.walkers.iter();
        let histories =
            walkers.map(|(walker, _)| walker.look(|notes| std::mem::take(&mut notes.history)));
        histories.chain(self.last_pages.drain(..)).collect()
    }

    fn look_at_pages<T: Default>(&self, look: impl FnOnce(&[crate::churn::page::Page]) -> T) -> T {
        self.pages
            .as_ref()
            .map(|pages| pages.look(look))
            .unwrap_or_default()
    }
}
