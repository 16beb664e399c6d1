//! The machine under every sequence of events, against a model of what has to hold.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

mod world;
use world::{SETTINGS, World, gateway, identity, key, room};

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

/// Returns the world after all this has happened to a session.
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
    let settings = SessionSettings {
        ttl_ms: 1_000,
        ..SETTINGS
    };
    let mut session = Session::open(identity("ada"), key(0), &gateway(0));
    session.detach(1, 10_000).unwrap();
    assert_eq!(session.due_ms(&settings), Some(11_000));
    let step = session.due(11_000, &settings);
    assert_eq!(step.tell, None);
    assert!(matches!(step.then, Effect::Write(session) if session.is_over()));
}
