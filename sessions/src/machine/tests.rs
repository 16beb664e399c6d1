//! The machine under every sequence of events, against a model of what has to hold.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::record;

const SETTINGS: Settings = Settings {
    ttl_ms: 120_000,
    grace_ms: 5_000,
    per_user_max: 16,
    lease_ms: 2_000,
};

/// Something that happens. Numbers pick from what there is at that moment.
#[derive(Debug, Clone)]
enum Event {
    /// A client resumes with one of the keys that were ever handed out.
    Attach {
        key: Index,
        stranger: bool,
        gateway: u8,
        told: bool,
    },
    /// A gateway speaks for one of the sockets that there ever were.
    AddRoom {
        socket: Index,
        room: u8,
    },
    RemoveRoom {
        socket: Index,
        room: u8,
    },
    Renew {
        socket: Index,
        stranger: bool,
    },
    Detach {
        socket: Index,
    },
    /// The gateway may take its time between reading the record and writing it.
    Reclaim {
        socket: Index,
        slow_ms: u64,
    },
    Abandon {
        key: Index,
    },
    Lose {
        gateway: u8,
        ago_ms: u64,
    },
    End {
        socket: Option<Index>,
    },
    /// A keeper does what is due; or it is killed when it has told the rooms; or it is held up when it
    /// has decided, and tells them when nobody expects it any more.
    Due {
        killed: bool,
        late: bool,
    },
    /// Time passes; perhaps what was late arrives then.
    Wait {
        ms: u64,
        deliver: bool,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let socket = any::<Index>;
    prop_oneof![
        3 => (any::<Index>(), prop::bool::weighted(0.1), 0..3u8, prop::bool::weighted(0.9)).prop_map(
            |(key, stranger, gateway, told)| Event::Attach { key, stranger, gateway, told }
        ),
        3 => (socket(), 0..4u8).prop_map(|(socket, room)| Event::AddRoom { socket, room }),
        1 => (socket(), 0..4u8).prop_map(|(socket, room)| Event::RemoveRoom { socket, room }),
        1 => (socket(), any::<bool>()).prop_map(|(socket, stranger)| Event::Renew { socket, stranger }),
        2 => socket().prop_map(|socket| Event::Detach { socket }),
        2 => (socket(), 0..TELL_WITHIN_MS)
            .prop_map(|(socket, slow_ms)| Event::Reclaim { socket, slow_ms }),
        1 => any::<Index>().prop_map(|key| Event::Abandon { key }),
        2 => (0..3u8, 0..3_000u64).prop_map(|(gateway, ago_ms)| Event::Lose { gateway, ago_ms }),
        1 => prop::option::of(socket()).prop_map(|socket| Event::End { socket }),
        4 => (prop::bool::weighted(0.2), prop::bool::weighted(0.2))
            .prop_map(|(killed, late)| Event::Due { killed, late }),
        3 => (prop_oneof![0..2_000u64, 4_000..6_000u64, Just(30_000)], any::<bool>())
            .prop_map(|(ms, deliver)| Event::Wait { ms, deliver }),
    ]
}

fn identity(user: &str) -> Identity {
    Identity {
        user: user.into(),
        expires_at: None,
        rooms: None,
    }
}

fn user(stranger: bool) -> Identity {
    identity(if stranger { "mallory" } else { "ada" })
}

fn gateway(number: u8) -> NodeId {
    format!("gateway{number}").as_str().into()
}

fn room(number: u8) -> RoomName {
    format!("chat/{number}").parse().unwrap()
}

fn key(number: usize) -> KeyHash {
    KeyHash::of(&number.to_string())
}

/// What a room makes of what it is told: as a worker does.
#[derive(Debug, Default)]
struct Seat {
    generation: u64,
    away: bool,
    over: Option<Reason>,
}

impl Seat {
    fn hear(&mut self, generation: u64, tell: Tell) {
        if self.over.is_some() || (generation < self.generation && !matches!(tell, Tell::Over(_))) {
            return;
        }
        self.generation = self.generation.max(generation);
        match tell {
            Tell::Detached => self.away = true,
            Tell::Attached => self.away = false,
            Tell::Over(reason) => self.over = Some(reason),
        }
    }
}

/// What a keeper that was held up has yet to tell.
#[derive(Debug)]
struct Late {
    until_ms: u64,
    generation: u64,
    rooms: BTreeSet<RoomName>,
    tell: Tell,
}

/// The session, and what the world around it knows.
struct World {
    now_ms: u64,
    /// None once it has been deleted.
    session: Option<Session>,
    /// How many keys have been drawn, and the two that work.
    keys: usize,
    working: BTreeSet<usize>,
    /// Who got which generation, from 1.
    sockets: Vec<NodeId>,
    /// The rooms that it has joined and not left, as far as it was allowed to.
    joined: BTreeSet<RoomName>,
    seats: BTreeMap<RoomName, Seat>,
    late: Vec<Late>,
    /// When its socket was lost, while it has none.
    lost_ms: Option<u64>,
}

impl World {
    fn new() -> Self {
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

    fn happen(&mut self, event: Event) {
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
                let added = session.add_room(self.pick(socket), &room(r));
                if added.is_ok() {
                    // Only now is the join appended.
                    self.joined.insert(room(r));
                    self.seats.entry(room(r)).or_default();
                }
                added.err()
            }
            Event::RemoveRoom { socket, room: r } => {
                let removed = session.remove_room(self.pick(socket), &room(r));
                if removed.is_ok() {
                    self.joined.remove(&room(r));
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
                self.tell(session, Tell::Attached);
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
                    self.tell(session, Tell::Attached);
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
            if tell == Tell::Detached {
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
            Next::Write(next) => self.write(&before, next),
            Next::Delete => {
                assert!(before.is_over(), "deleted before it was over");
                self.session = None;
            }
        }
    }

    fn tell(&mut self, session: &Session, tell: Tell) {
        for room in &session.rooms {
            let seat = self.seats.entry(room.clone()).or_default();
            seat.hear(session.generation, tell);
        }
    }

    /// What was late arrives, behind everything else, unless it is too late.
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
        let after = record::decode(&record::encode(&after)).unwrap();
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
            Life::Attached { gateway, .. } => {
                assert_eq!(
                    self.sockets.last(),
                    Some(gateway),
                    "only the newest socket is attached"
                );
                self.lost_ms = None;
            }
            Life::Detached { since_ms, told } => {
                if matches!(before.life, Life::Attached { .. }) {
                    self.lost_ms = Some(*since_ms);
                    assert!(!told);
                }
                assert_eq!(self.lost_ms, Some(*since_ms), "a loss is never dated anew");
                assert!(after.due_ms(&SETTINGS).is_some());
            }
            Life::Ending { reason } => {
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
    fn run_out(&mut self) {
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
    fn settle(&mut self) {
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

fn world(events: Vec<Event>) -> World {
    let mut world = World::new();
    for event in events {
        world.happen(event);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Beside what [`World::write`] checks at every step: whatever has happened, a session that nobody
    /// comes back to is deleted, and each of its rooms knows that it is over.
    #[test]
    fn s6_whatever_happens_every_room_is_told_in_the_end(events in vec(event(), 0..60)) {
        let mut world = world(events);
        world.run_out();
        prop_assert!(world.session.is_none(), "{:?}", world.session);
        for room in &world.joined {
            prop_assert!(world.seats[room].over.is_some(), "{room} still has a member");
        }
    }

    /// However late a keeper's words come: where the socket is still there, no room thinks otherwise for
    /// long. Here a gateway always tells the rooms of an attach, as it does before it answers.
    #[test]
    fn s7_who_is_attached_is_not_taken_for_away(events in vec(event(), 0..60)) {
        let mut events = events;
        for event in &mut events {
            if let Event::Attach { told, .. } = event {
                *told = true;
            }
        }
        let mut world = world(events);
        world.settle();
        if world.session.as_ref().is_some_and(|session| session.gateway().is_some()) {
            for room in &world.joined {
                prop_assert!(!world.seats[room].away, "{room} takes it for away");
            }
        }
    }

    /// A socket that has been taken over has no say any more.
    #[test]
    fn s5_an_older_generation_changes_nothing(
        events in vec(event(), 0..30),
        older in any::<Index>(),
        room_number in 0..4u8,
    ) {
        let world = world(events);
        let Some(session) = world.session.filter(|session| session.generation > 1) else {
            return Ok(());
        };
        let older = 1 + older.index(session.generation as usize - 1) as u64;
        let refusal = if session.is_over() { SessionError::Gone } else { SessionError::Superseded };
        let room = room(room_number);
        let mut touched = session.clone();
        let refused = [
            touched.add_room(older, &room),
            touched.remove_room(older, &room),
            touched.renew(older, identity("ada")),
            touched.detach(older, world.now_ms),
            touched.reclaim(older, &gateway(0), world.now_ms).map(drop),
            touched.end(Some(older)),
        ];
        prop_assert!(refused.into_iter().all(|refused| refused == Err(refusal.clone())));
        prop_assert_eq!(touched, session);
    }
}

#[test]
fn a5_a_session_is_in_128_rooms_at_most() {
    let mut session = Session::open(identity("ada"), key(0), &gateway(0));
    for number in 0..128 {
        session.add_room(1, &room(number)).unwrap();
    }
    let too_many = Err(SessionError::TooManyRooms { max: 128 });
    assert_eq!(session.add_room(1, &room(128)), too_many);
    assert_eq!(
        session.add_room(1, &room(5)),
        Ok(()),
        "it is in that one already"
    );
    session.remove_room(1, &room(5)).unwrap();
    assert_eq!(session.add_room(1, &room(128)), Ok(()));
}

#[test]
fn r4_a_generation_that_the_store_has_lost_is_gone() {
    let mut session = Session::open(identity("ada"), key(0), &gateway(0));
    assert_eq!(session.detach(2, 5), Err(SessionError::Gone));
}

#[test]
fn s7_who_expires_within_the_grace_is_not_told_away_first() {
    let settings = Settings {
        ttl_ms: 1_000,
        ..SETTINGS
    };
    let mut session = Session::open(identity("ada"), key(0), &gateway(0));
    session.detach(1, 10_000).unwrap();
    assert_eq!(session.due_ms(&settings), Some(11_000));
    let step = session.due(11_000, &settings);
    assert_eq!(step.tell, None);
    assert!(matches!(step.then, Next::Write(session) if session.is_over()));
}
