use outlast_protocol::{ROOMS_MAX, RoomName};

use super::room::Room;
use crate::sequencer::Sequencer;

/// The rooms of one socket, each in a slot of its own: the bit by which it is woken.
#[derive(Default)]
pub(crate) struct Rooms {
    slots: Vec<Option<Box<Room>>>,
}

impl Rooms {
    pub(crate) fn find(&self, name: &RoomName) -> Option<u8> {
        let slot = self
            .slots
            .iter()
            .position(|room| room.as_ref().is_some_and(|room| room.name == *name));
        slot.map(|slot| slot as u8)
    }

    pub(crate) fn get(&mut self, slot: u8) -> Option<&mut Room> {
        self.slots.get_mut(usize::from(slot))?.as_deref_mut()
    }

    /// The room in this slot, unless it has given way to another.
    pub(crate) fn at(&mut self, slot: u8, name: &RoomName) -> Option<&mut Room> {
        self.get(slot).filter(|room| room.name == *name)
    }

    /// The room's slot, or a new one for it. Rooms that the session has left give way; `None` when it is
    /// in as many as it may be (A5).
    pub(crate) fn place(&mut self, name: &RoomName, sequencer: Sequencer) -> Option<u8> {
        if let Some(slot) = self.find(name) {
            return Some(slot);
        }
        let free = self.slots.iter().position(Option::is_none).or_else(|| {
            if self.slots.len() < ROOMS_MAX {
                self.slots.push(None);
                return Some(self.slots.len() - 1);
            }
            self.slots.iter().flatten().position(|room| room.is_idle())
        })?;
        self.slots[free] = Some(Box::new(Room::new(name.clone(), sequencer)));
        Some(free as u8)
    }

    /// True if there is no place for another question of a room: those that are open are kept (F3).
    pub(crate) fn asked_too_much(&mut self) -> bool {
        const BYTES_MAX: usize = 32 * 1024;
        let bytes: usize = self.iter().map(|(_, room)| room.asked.bytes()).sum();
        bytes > BYTES_MAX
    }

    /// True if there is no place for another answer that waits for an earlier one of its room (F3).
    pub(crate) fn hold_too_much(&mut self) -> bool {
        const BYTES_MAX: usize = 32 * 1024;
        let bytes: usize = self.iter().map(|(_, room)| room.held_bytes()).sum();
        bytes > BYTES_MAX
    }

    /// Every room, with its slot.
    pub(crate) fn iter(&mut self) -> impl Iterator<Item = (u8, &mut Room)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter_map(|(slot, room)| Some((slot as u8, room.as_deref_mut()?)))
    }
}
