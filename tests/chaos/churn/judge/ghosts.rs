use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, Wrong};

/// The clients and members that are there, as the clients know it, and as the server says.
#[derive(Debug, Default, Clone)]
pub(crate) struct Census {
    /// Clients that have a socket.
    pub(crate) present: Vec<Present>,
    /// The members of each room, as it says.
    pub(crate) rooms: BTreeMap<String, Vec<Guest>>,
    /// The state of each session that clients had, as the server says.
    pub(crate) sessions: BTreeMap<String, Option<Seat>>,
    /// The rest of the store's sessions, which no client has: records and entries of indexes.
    pub(crate) strays: Vec<String>,
}

/// A client with a socket.
#[derive(Debug, Clone)]
pub(crate) struct Present {
    pub(crate) who: String,
    pub(crate) sid: String,
    /// Its rooms, and as which member.
    pub(crate) rooms: BTreeMap<String, u64>,
}

/// A member, as its room shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Guest {
    pub(crate) member: u64,
    pub(crate) name: String,
    pub(crate) online: bool,
}

/// A session, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) attached: bool,
    pub(crate) rooms: BTreeMap<String, u64>,
}

/// Every member of every room has a session with a socket, and every session of a client is where it thinks.
/// To be asked when nothing is under way any more, and again until it is so: the grace and the expiry take time.
pub(crate) fn ghosts(census: &Census) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut find = |who: &str, what: String| {
        faults.push(Fault {
            wrong: Wrong::Ghost,
            who: who.to_owned(),
            what,
        });
    };
    for (room, guests) in &census.rooms {
        let holders = census.present.iter();
        let holders: BTreeMap<u64, &str> = holders
            .filter_map(|present| Some((*present.rooms.get(room)?, present.who.as_str())))
            .collect();
        for guest in guests {
            match holders.get(&guest.member) {
                None => find(room, format!("{guest:?} is nobody who is here")),
                Some(who) if !guest.online => {
                    find(who, format!("is away in {room}, and has a socket"))
                }
                Some(_) => {}
            }
        }
        let shown: BTreeSet<u64> = guests.iter().map(|guest| guest.member).collect();
        for (member, who) in holders.iter().filter(|(member, _)| !shown.contains(member)) {
            find(
                who,
                format!("is member {member} of {room}, and {room} does not know"),
            );
        }
    }
    let present: BTreeMap<_, _> = census
        .present
        .iter()
        .map(|one| (one.sid.as_str(), one))
        .collect();
    for (sid, seat) in &census.sessions {
        match (present.get(sid.as_str()), seat) {
            (None, None) => {}
            (None, Some(seat)) => find(
                sid,
                format!("nobody has it any more, and there is {seat:?}"),
            ),
            (Some(one), None) => find(&one.who, format!("its session {sid} is gone")),
            (Some(one), Some(seat)) => {
                if !seat.attached {
                    find(
                        &one.who,
                        format!("its session {sid} has no socket, it says"),
                    );
                }
                if seat.rooms != one.rooms {
                    let what =
                        format!("is in {:?}, and its session in {:?}", one.rooms, seat.rooms);
                    find(&one.who, what);
                }
            }
        }
    }
    for stray in &census.strays {
        find("the store", stray.clone());
    }
    faults
}
