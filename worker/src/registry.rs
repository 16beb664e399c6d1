use std::{collections::BTreeMap, fmt};

use outlast_protocol::RoomName;

use crate::{
    Room,
    live::Kind,
    rooms::{Chat, Exchange, Game, Stats},
};

/// The kinds of rooms that a worker runs.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Kind>,
}

impl Registry {
    /// None at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those that come with outlast.
    pub fn bundled() -> Self {
        Self::new()
            .with::<Chat>()
            .with::<Exchange>()
            .with::<Game>()
            .with::<Stats>()
    }

    /// Adds a kind.
    ///
    /// # Panics
    /// Where the kind's name could not stand in a room's name, or is taken.
    pub fn with<R: Room>(mut self) -> Self {
        let named = format!("{}/x", R::KIND).parse::<RoomName>();
        assert!(named.is_ok(), "no room can be called {:?}/…", R::KIND);
        let before = self.kinds.insert(R::KIND, Kind::of::<R>());
        assert!(before.is_none(), "two kinds of rooms called {:?}", R::KIND);
        self
    }

    /// The kind that a room is of, by its name.
    pub(crate) fn kind_of(&self, room: &RoomName) -> Option<Kind> {
        self.kinds.get(room.kind()).copied()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds.keys()).finish()
    }
}
