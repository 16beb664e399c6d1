//! The session, and what the world around it knows: the model that the machine is held against.

use std::collections::BTreeMap;

use proptest::sample::Index;

use super::*;
use crate::record_codec;

pub(super) const SETTINGS: SessionSettings = SessionSettings {
    ttl_ms: 120_000,
    grace_ms: 5_000,
    per_user_max: 16,
    audit_ms: 30_000,
    lease_ms: 2_000,
};

pub(super) fn identity(user: &str) -> Identity {
    Identity {
        user: user.into(),
        expires_at: None,
        rooms: None,
        admin: false,
    }
}

pub(super) fn user(stranger: bool) -> Identity {
    identity(if stranger { "somebody-else" } else { "ada" })
}

pub(super) fn gateway(number: u8) -> NodeId {
    format!("gateway{number}").as_str().into()
}

pub(super) fn room(number: u8) -> RoomName {
    format!("chat/{number}").parse().unwrap()
}

pub(super) fn key(number: usize) -> KeyHash {
    KeyHash::of(&number.to_string())
}

/// A session's seat, by what its room is told: as a worker keeps it.
#[derive(Debug, Default)]
pub(super) struct Seat {
    generation: u64,
    member: bool,
    pub(super) away: bool,
    pub(super) over: Option<Reason>,
}

impl Seat {
    /// A socket of this generation joins; who sits here already stays as it is.
    fn join(&mut self, generation: u64) {
        self.generation = self.generation.max(generation);
        self.member = true;
    }

    /// A session that has left is not away any more.
    fn leave(&mut self) {
        self.member = false;
        self.away = false;
    }

    fn hear(&mut self, generation: u64, tell: Notice) {
        if self.over.is_some() || (generation < self.generation && !matches!(tell, Notice::Over(_)))
        {
            return;
        }
        self.generation = self.generation.max(generation);
        match tell {
            Notice::Detached => self.away = self.member,
            Notice::Attached => self.away = false,
            Notice::Over(reason) => self.over = Some(reason),
        }
    }
}

/// The notices that a keeper that was held up has yet to tell.
#[derive(Debug)]
struct Late {
    until_ms: u64,
    generation: u64,
    rooms: BTreeSet<RoomName>,
    tell: Notice,
}

/// The session, and what the world around it knows.
pub(super) struct World {
    pub(super) now_ms: u64,
    /// None once it has been deleted.
    pub(super) session: Option<Session>,
    /// The number of keys that have been drawn, and the two that work.
    keys: usize,
    working: BTreeSet<usize>,
    /// The gateways that got the generations, from 1.
    sockets: Vec<NodeId>,
    /// The rooms that it has joined and not left, as far as it was allowed to.
    pub(super) joined: BTreeSet<RoomName>,
    pub(super) seats: BTreeMap<RoomName, Seat>,
    late: Vec<Late>,
    /// When its socket was lost, while it has none.
    lost_ms: Option<u64>,
}

impl World {
    pub(super) fn new() -> Self {
        World {
            now_ms: 1_000_000,
            session: Some(Session::open(identity("ada"), key(0), &gateway(0))),
            keys: 1,
            working: [0].into(),
            sockets: vec![gateway(0)],
            joined: BTreeSet::new(),
            seats: BTreeMap::new(),
            late: Vec::new(),
            lost_ms: None,
        }
    }

    pub(super) fn happen(&mut self, event: Event) {
        let Some(before) = self.session.clone() else {
            return;
        };
        let mut session = before.clone();
        let refused = match event {
            Event::Attach {
                key: presented,
                stranger,
                gateway: to,
                told,
            } => self.attach(&mut session, presented, user(stranger), to, told),
            Event::Due { killed, late } => {
                self.due(session, killed, late);
                return;
            }
            Event::Wait { ms, deliver } => {
                self.now_ms += ms;
                if deliver {
                    self.deliver();
                }
                None
            }
            Event::AddRoom { socket, room: r } => {
                let generation = self.pick(socket);
                let added = session.add_room(generation, &room(r));
                if added.is_ok() {
                    // Only now is the join appended.
                    self.joined.insert(room(r));
                    self.seats.entry(room(r)).or_default().join(generation);
                }
                added.err()
            }
            Event::RemoveRoom { socket, room: r } => {
                let removed = session.remove_room(self.pick(socket), &room(r));
                if removed.is_ok() {
                    // The room has said before that it has been left.
                    self.joined.remove(&room(r));
                    self.seats.entry(room(r)).or_default().leave();
                }
                removed.err()
            }
            Event::Renew { socket, stranger } => {
                session.renew(self.pick(socket), user(stranger)).err()
            }
            Event::Detach { socket } => session.detach(self.pick(socket), self.now_ms).err(),
            Event::Reclaim { socket, slow_ms } => self.reclaim(&mut session, socket, slow_ms),
            Event::Abandon { key: of } => {
                session.abandon(&key(of.index(self.keys)), self.now_ms);
                None
            }
            Event::Lose {
                gateway: dead,
                ago_ms,
            } => {
                session.lose(&gateway(dead), self.now_ms - ago_ms);
                None
            }
            Event::End { socket } => session.end(socket.map(|socket| self.pick(socket))).err(),
        };
        if refused.is_some() {
            assert_eq!(session, before, "who is refused changes nothing");
        }
        self.write(&before, session);
    }

    /// The generation of a socket; mostly the newest.
    fn pick(&self, socket: Index) -> u64 {
        let sockets = self.sockets.len();
        (1 + socket.index(3 * sockets)).min(sockets) as u64
    }

    fn attach(
        &mut self,
        session: &mut Session,
        presented: Index,
        newer: Identity,
        to: u8,
        told: bool,
    ) -> Option<SessionError> {
        let presented = presented.index(self.keys);
        let (works, over) = (self.working.contains(&presented), session.is_over());
        let owns = newer.user == "ada";
        let next = self.keys;
        let attached = session.attach(key(presented), key(next), Some(newer), &gateway(to));
        assert_eq!(
            attached.is_ok(),
            works && !over && owns,
            "{presented} of {:?}",
            self.working
        );
        if attached.is_ok() {
            self.keys += 1;
            self.working = [presented, next].into();
            self.sockets.push(gateway(to));
            if told {
                self.tell(session, Notice::Attached);
            }
        }
        attached.err()
    }

    fn reclaim(
        &mut self,
        session: &mut Session,
        socket: Index,
        slow_ms: u64,
    ) -> Option<SessionError> {
        let generation = self.pick(socket);
        let holder = self.sockets[generation as usize - 1].clone();
        match session.reclaim(generation, &holder, self.now_ms - slow_ms) {
            Ok(told) => {
                if told {
                    self.tell(session, Notice::Attached);
                }
                None
            }
            Err(error) => Some(error),
        }
    }

    /// A keeper's step: tells, then writes.
    fn due(&mut self, before: Session, killed: bool, late: bool) {
        let step = before.due(self.now_ms, &SETTINGS);
        if let Some(tell) = step.tell {
            if tell == Notice::Detached {
                let lost_ms = self.lost_ms.expect("only who has no socket is away");
                assert!(
                    self.now_ms >= lost_ms + SETTINGS.grace_ms,
                    "told before the grace was over"
                );
            }
            if late {
                self.late.push(Late {
                    until_ms: self.now_ms + TELL_WITHIN_MS,
                    generation: before.generation,
                    rooms: before.rooms.clone(),
                    tell,
                });
            } else {
                self.tell(&before, tell);
            }
        }
        match step.then {
            _ if killed || late => {}
            Effect::Write(next) => self.write(&before, *next),
            Effect::Delete => {
                assert!(before.is_over(), "deleted before it was over");
                self.session = None;
            }
        }
    }

    fn tell(&mut self, session: &Session, tell: Notice) {
        for room in &session.rooms {
            let seat = self.seats.entry(room.clone()).or_default();
            seat.hear(session.generation, tell);
        }
    }

    /// Delivers what was late, after everything else, unless it is too late.
    fn deliver(&mut self) {
        for late in self
            .late
            .drain(..)
            .filter(|late| self.now_ms <= late.until_ms)
        {
            for room in late.rooms {
                self.seats
                    .entry(room)
                    .or_default()
                    .hear(late.generation, late.tell);
            }
        }
    }

    /// The record is written; here is what must hold from each to the next.
    fn write(&mut self, before: &Session, after: Session) {
        let after = record_codec::decode(&record_codec::encode(&after)).unwrap();
        if before.is_over() {
            assert_eq!(
                *before, after,
                "once it is over nothing happens to it any more"
            );
        }
        assert_eq!(
            after.generation,
            self.sockets.len() as u64,
            "one generation a socket"
        );
        assert_eq!(after.identity.user, "ada", "a session never changes hands");
        assert!(
            self.joined.is_subset(&after.rooms),
            "{:?} of {after:?}",
            self.joined
        );
        for drawn in 0..self.keys {
            assert_eq!(
                after.keys.open_to(&key(drawn)),
                self.working.contains(&drawn)
            );
        }
        match &after.life {
            Phase::Attached { gateway, .. } => {
                assert_eq!(
                    self.sockets.last(),
                    Some(gateway),
                    "only the newest socket is attached"
                );
                self.lost_ms = None;
            }
            Phase::Detached { since_ms, told } => {
                if matches!(before.life, Phase::Attached { .. }) {
                    self.lost_ms = Some(*since_ms);
                    assert!(!told);
                }
                assert_eq!(self.lost_ms, Some(*since_ms), "a loss is never dated anew");
                assert!(after.due_ms(&SETTINGS).is_some());
            }
            Phase::Ending { reason } => {
                if *reason == Reason::Expired && !before.is_over() {
                    let lost_ms = self.lost_ms.expect("only who has no socket expires");
                    assert!(
                        self.now_ms >= lost_ms + SETTINGS.ttl_ms,
                        "expired too early"
                    );
                }
                assert_eq!(after.due_ms(&SETTINGS), Some(0));
            }
        }
        self.session = Some(after);
    }

    /// Nobody ever comes back; the keepers work on.
    pub(super) fn run_out(&mut self) {
        self.late.clear();
        for number in 0..3 {
            self.happen(Event::Lose {
                gateway: number,
                ago_ms: 0,
            });
        }
        for _ in 0..5 {
            self.happen(Event::Due {
                killed: false,
                late: false,
            });
            self.now_ms += SETTINGS.ttl_ms;
        }
    }

    /// The socket stays; the keepers work on.
    pub(super) fn settle(&mut self) {
        self.happen(Event::Wait {
            ms: RETELL_AFTER_MS,
            deliver: true,
        });
        self.happen(Event::Due {
            killed: false,
            late: false,
        });
    }
}
