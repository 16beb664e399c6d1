use serde::{Deserialize, Serialize};

/// What the host keeps of a room besides its log and its seats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The version of this record.
    v: u32,
    /// How many member numbers were given out.
    members: u32,
    /// The room's clock, in milliseconds since the epoch.
    now_ms: u64,
}

/// A head that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("its head cannot be read: {0:?}")]
pub(crate) struct UnreadableHead(String);

impl Head {
    const VERSION: u32 = 1;

    pub(crate) fn new() -> Self {
        Head {
            v: Self::VERSION,
            members: 0,
            now_ms: 0,
        }
    }

    pub(crate) fn read(text: &str) -> Result<Self, UnreadableHead> {
        let head = serde_json::from_str::<Head>(text).ok();
        head.filter(|head| head.v == Self::VERSION)
            .ok_or_else(|| UnreadableHead(text.into()))
    }

    pub(crate) fn write(&self) -> String {
        serde_json::to_string(self).expect("three numbers can be written down")
    }

    /// The next member number: 1, 2, 3 …, never given out again.
    pub(crate) fn next_member(&mut self) -> u32 {
        self.members += 1;
        self.members
    }

    /// Moves the room's clock; it never goes back, whoever runs the room.
    pub(crate) fn advance(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// The room's clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }
}
