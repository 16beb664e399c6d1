use outlast_protocol::{Pos, RoomName};
use outlast_store::{Entry, Input, RoomLoad};

use super::{Draft, Host, Life, LogEnd, Parked, RoomMeta, Seats};
use crate::{
    live::Kind,
    live::{Fault, LiveRoom},
};

/// The result of loading a room.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// This is what the store holds of it.
    Room(RoomLoad),
    /// The store holds something of it that cannot be read.
    Unreadable {
        /// Where its log ends.
        last: Pos,
        /// Its parked inputs.
        parked: Vec<Input>,
        /// The part that cannot be read, and why.
        reason: String,
    },
}

impl Host {
    /// Brings a room into memory, with its parked inputs. `kind` is what its name
    /// says it is, if that is known here.
    pub(crate) fn load(
        name: RoomName,
        kind: Option<Kind>,
        loaded: Loaded,
        wake_ms: Option<u64>,
    ) -> (Self, Vec<Input>) {
        let host = |life, load: RoomLoad, head| Host {
            life,
            log: LogEnd::of(&load),
            draft: Draft::after(load.last),
            seats: Seats::new(load.seats),
            name: name.clone(),
            head,
            wake_ms,
            look_ms: wake_ms,
            barred: false,
        };
        let stopped = |parked: &[Input], reason| Life::Stopped {
            parked: Parked::of(parked),
            reason,
        };
        let load = match loaded {
            Loaded::Room(load) if kind.is_none() && load == RoomLoad::default() => {
                return (host(Life::Unknown, load, RoomMeta::new()), Vec::new());
            }
            Loaded::Room(load) => load,
            Loaded::Unreadable {
                last,
                parked,
                reason,
            } => {
                let load = RoomLoad {
                    last,
                    ..RoomLoad::default()
                };
                let life = stopped(&parked, reason);
                return (host(life, load, RoomMeta::new()), Vec::new());
            }
        };
        match read(kind, &load, &[]) {
            Ok((room, head)) => {
                let mut load = load;
                let parked = std::mem::take(&mut load.parked);
                let mut host = host(Life::Running(room), load, head);
                host.draft.unpark = !parked.is_empty();
                (host, parked)
            }
            Err(reason) => {
                let life = stopped(&load.parked, reason);
                (host(life, load, RoomMeta::new()), Vec::new())
            }
        }
    }

    /// Folds the room anew after it has failed: what is committed, and then what has been drafted (W5).
    pub(crate) fn reload(&mut self, kind: Option<Kind>, loaded: Loaded) {
        let (folded, parked) = match loaded {
            Loaded::Room(load) => (read(kind, &load, &self.draft.entries), load.parked),
            Loaded::Unreadable { reason, parked, .. } => (Err(reason), parked),
        };
        self.life = match folded {
            Ok((room, _)) => Life::Running(room),
            Err(reason) => Life::Stopped {
                parked: Parked::of(&parked),
                reason,
            },
        };
    }

    /// True if a stopped room can be loaded anew: what has been drafted but for parked inputs, which it can
    /// take up itself, has to be committed first.
    pub(crate) fn can_revive(&self) -> bool {
        let draft = &self.draft;
        draft.entries.is_empty() && draft.owed.is_empty() && !self.seats.is_dirty()
    }

    /// Tries to bring a stopped room back. Returns its parked inputs, if it runs again.
    pub(crate) fn revive(&mut self, kind: Option<Kind>, loaded: Loaded) -> Vec<Input> {
        let (host, mut inputs) = Host::load(self.name.clone(), kind, loaded, self.wake_ms);
        match host.life {
            Life::Stopped { reason: still, .. } => {
                if let Life::Stopped { reason, .. } = &mut self.life {
                    *reason = still;
                }
                Vec::new()
            }
            Life::Running(_) | Life::Spoilt | Life::Unknown => {
                let drafted = std::mem::replace(self, host).draft;
                inputs.extend(drafted.park);
                inputs
            }
        }
    }
}

fn read(
    kind: Option<Kind>,
    load: &RoomLoad,
    drafted: &[Entry],
) -> Result<(LiveRoom, RoomMeta), String> {
    let kind = kind.ok_or("rooms of its kind are unknown here")?;
    let head = load
        .head
        .as_deref()
        .map_or(Ok(RoomMeta::new()), RoomMeta::read);
    let head = head.map_err(|error| error.to_string())?;
    let entries = load.entries.iter().chain(drafted);
    let fold = || {
        let room = LiveRoom::fold(kind, load.snapshot.as_ref(), entries)?;
        let ends = load.entries.last().map(|entry| entry.pos);
        let ends = ends.or(load.snapshot.as_ref().map(|snapshot| snapshot.pos));
        let found = ends.unwrap_or(Pos::START).off;
        let expected = load.last.off;
        let whole = found == expected;
        whole.then_some(room).ok_or(Fault::Lost { expected, found })
    };
    fold()
        .map(|room| (room, head))
        .map_err(|fault| fault.to_string())
}
