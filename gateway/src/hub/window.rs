//! The newest entries of a room's log, without a hole. Pure.

use std::{collections::VecDeque, sync::Arc};

use outlast_protocol::Pos;
use outlast_store::Entry;

use super::encoded::Item;

/// A contiguous stretch at the end of a log, as far as is known.
#[derive(Debug)]
pub(crate) struct Window {
    /// The position before the first item.
    before: Pos,
    items: VecDeque<Arc<Item>>,
    bytes: usize,
}

/// Where a position lies, seen from a window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// The item with this index is the next; there may be none yet.
    Next(usize),
    /// Before the window: the log has to be asked.
    Before,
    /// After the window's end.
    After,
    /// Another entry stands there.
    Fork,
}

/// What became of an entry that was offered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is the new end.
    Added,
    /// It was there, or lies before the window.
    Known,
    /// There are others between the window's end and it.
    Jump,
    /// Another entry stands in its place.
    Fork,
}

impl Window {
    /// An empty window that begins after `before`.
    pub(crate) fn new(before: Pos) -> Self {
        Window {
            before,
            items: VecDeque::new(),
            bytes: 0,
        }
    }

    /// The newest position known.
    pub(crate) fn head(&self) -> Pos {
        self.items.back().map_or(self.before, |item| item.entry.pos)
    }

    /// The position before the first item.
    pub(crate) fn before(&self) -> Pos {
        self.before
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The item with this index.
    pub(crate) fn get(&self, index: usize) -> Option<&Arc<Item>> {
        self.items.get(index)
    }

    /// All items, the oldest first.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.items.iter()
    }

    /// Where a reader stands that has read up to `pos`.
    pub(crate) fn locate(&self, pos: Pos) -> Lookup {
        if pos.off < self.before.off {
            return Lookup::Before;
        }
        if pos.off > self.head().off {
            return Lookup::After;
        }
        let next = (pos.off - self.before.off) as usize;
        let here = match next.checked_sub(1) {
            Some(index) => self.items[index].entry.pos,
            None => self.before,
        };
        if here == pos {
            Lookup::Next(next)
        } else {
            Lookup::Fork
        }
    }

    /// Takes an entry in, if it is the next.
    pub(crate) fn offer(&mut self, entry: Entry) -> Offered {
        if entry.pos.off == self.head().off + 1 {
            let item = Item::new(entry);
            self.bytes += item.bytes();
            self.items.push_back(Arc::new(item));
            return Offered::Added;
        }
        match self.locate(entry.pos) {
            Lookup::Next(_) | Lookup::Before => Offered::Known,
            Lookup::After => Offered::Jump,
            Lookup::Fork => Offered::Fork,
        }
    }

    /// Drops the first item.
    pub(crate) fn drop_first(&mut self) {
        if let Some(item) = self.items.pop_front() {
            self.bytes -= item.bytes();
            self.before = item.entry.pos;
        }
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
    }
}
