//! A stretch of a log that was read for those who stand before the window. Pure.

use std::sync::Arc;

use outlast_protocol::Pos;
use outlast_store::LogSlice;

use super::encoded::Item;

/// Positions in one segment: all readers in the same segment share one read.
pub(crate) const COVERS: u64 = 64;

/// A stretch: the entries that stand at the positions it covers, and the one after them, so that a
/// reader finds both its place and what comes next.
#[derive(Debug)]
pub(crate) struct Segment {
    items: Vec<Arc<Item>>,
    first_off: u64,
    last: Pos,
    bytes: usize,
}

/// Where a position lies, seen from the stretch that covers it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SegmentPos {
    /// The item with this index is the next; there may be none here.
    Next(usize),
    /// Older than the log.
    Trimmed,
    /// Behind the log's end, or another entry stands there.
    Fork,
}

impl Segment {
    /// The number of the stretch that covers a position.
    pub(crate) fn number(pos: Pos) -> u64 {
        pos.off / COVERS
    }

    /// What to read for a stretch: from which `off`, and how many at most.
    pub(crate) fn range(number: u64) -> (u64, usize) {
        ((number * COVERS).max(1), COVERS as usize + 1)
    }

    pub(crate) fn new(read: LogSlice) -> Self {
        let LogSlice {
            entries,
            first_off,
            last,
        } = read;
        let items: Vec<_> = entries
            .into_iter()
            .map(|entry| Arc::new(Item::new(entry)))
            .collect();
        let bytes = items.iter().map(|item| item.bytes()).sum();
        Segment {
            items,
            first_off,
            last,
            bytes,
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Arc<Item>> {
        self.items.get(index)
    }

    /// All items, the oldest first.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.items.iter()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where a reader stands that has read up to `pos`, which this stretch covers.
    pub(crate) fn locate(&self, pos: Pos) -> SegmentPos {
        if pos == Pos::START && self.first_off <= 1 {
            return SegmentPos::Next(0);
        }
        let here = self
            .items
            .binary_search_by_key(&pos.off, |item| item.entry.pos.off);
        match here {
            Ok(index) if self.items[index].entry.pos == pos => SegmentPos::Next(index + 1),
            Ok(_) => SegmentPos::Fork,
            Err(_) if pos.off < self.first_off && self.last != Pos::START => SegmentPos::Trimmed,
            Err(_) => SegmentPos::Fork,
        }
    }
}
