//! What readers do with a feed: each has a place of its own, and takes what follows it.

use std::sync::Arc;

use outlast_protocol::{Pos, SnapshotReason};

use super::{
    super::{
        encoded::Item,
        segment::{self, Segment},
        window::Lookup,
    },
    Core, Cursor, LogRead, Pulled,
};

impl Core {
    /// Hands `cursor`'s reader one entry after the other, until it wants no more (`take` is false, and
    /// keeps its place before that entry) or there are none.
    pub(crate) fn pull(
        &mut self,
        cursor: &mut Cursor,
        mut take: impl FnMut(&Item) -> bool,
    ) -> Pulled {
        loop {
            match self.window.locate(cursor.pos) {
                Lookup::Next(index) => {
                    // What is said counts until the log was seen to go on from there: later it may be another history (R4).
                    (cursor.doubt, cursor.said) = (None, false);
                    let items = (index..).map_while(|index| self.window.get(index));
                    let all = hand_out(items, cursor, &mut take);
                    return if all { Pulled::End } else { Pulled::More };
                }
                Lookup::After if cursor.said && self.has_looked(cursor) => {
                    // What the log was asked for is gone from it: the room has the last word, and what it says next
                    // stands after that.
                    self.reset(cursor.pos);
                }
                Lookup::After | Lookup::Fork => return self.doubt(cursor),
                Lookup::Before => {
                    if let Some(pulled) = self.pull_past(cursor, &mut take) {
                        return pulled;
                    }
                }
            }
        }
    }

    /// True if what follows the cursor can be replayed (R1): [`Pulled::End`] or [`Pulled::More`] if so.
    /// The log ended at `seated` when it was looked up where the session sits, after the reader had got its place.
    /// What the log need not hold any more has to be found there; the window may remember more.
    pub(crate) fn check(&mut self, cursor: &mut Cursor, seated: Pos) -> Pulled {
        if cursor.pos.off > seated.off {
            return Pulled::Lost(SnapshotReason::Diverged);
        }
        // While the log is asked, and where it is not known to have ended there, the window may show a
        // history that the store has lost (R4).
        let known = matches!(self.window.locate(seated), Lookup::Next(_)) && !self.is_refreshing();
        match cursor.asked {
            None if known => {}
            None => {
                cursor.asked = Some(self.refresh());
                return Pulled::Wait;
            }
            Some(refresh) if refresh > self.refreshes.finished => return Pulled::Wait,
            Some(_) => {}
        }
        if cursor.pos.off + self.log_entries >= self.head().off {
            return self.pull(cursor, |_| false);
        }
        self.pull_past(cursor, &mut |_| false)
            .unwrap_or(Pulled::End)
    }

    /// The same for a reader whose place the window does not tell: from the stretch that covers it.
    /// `None` when the reader has taken everything there.
    fn pull_past(
        &mut self,
        cursor: &mut Cursor,
        take: &mut impl FnMut(&Item) -> bool,
    ) -> Option<Pulled> {
        let (number, start) = (Segment::number(cursor.pos), cursor.pos);
        let Some(past) = self.past.get(&number) else {
            self.want_stretch(number);
            return Some(Pulled::Wait);
        };
        match past.locate(cursor.pos) {
            segment::SegmentPos::Next(index) => {
                let items = (index..).map_while(|index| past.get(index));
                if !hand_out(items, cursor, take) {
                    cursor.doubt = None;
                    return Some(Pulled::More);
                }
                // Where the stretch ends here and the log does not, it was read too early.
                (cursor.pos == start).then(|| self.doubt(cursor))
            }
            segment::SegmentPos::Trimmed => Some(Pulled::Lost(SnapshotReason::Trimmed)),
            segment::SegmentPos::Fork => Some(self.doubt(cursor)),
        }
    }

    /// About how much there is for this member after the cursor, in bytes. What is not known here counts as much as what
    /// is, on an average; `None` where nothing is, or the cursor is on another history.
    pub(crate) fn bytes_ahead(&self, cursor: &Cursor, member: u32) -> Option<usize> {
        let sent = |item: &Arc<Item>| match item.entry.body.is_for(member) {
            true => item.frame_bytes(),
            false => 0,
        };
        let (skip, before) = match self.window.locate(cursor.pos) {
            Lookup::Next(index) => (index, 0),
            Lookup::Before => (0, self.window.before().off - cursor.pos.off),
            Lookup::After | Lookup::Fork => return None,
        };
        let bytes: usize = self.window.items().skip(skip).map(sent).sum();
        if before == 0 {
            return Some(bytes);
        }
        let known = self.past.values().flat_map(Segment::items);
        let known = known.chain(self.window.items());
        let (count, known) = known.fold((0, 0), |(count, bytes), item| {
            (count + 1, bytes + sent(item))
        });
        let unknown = known.checked_mul(before as usize)?.checked_div(count)?;
        Some(bytes + unknown)
    }

    /// What was read contradicts `cursor`, but it may have been read too early.
    fn doubt(&mut self, cursor: &mut Cursor) -> Pulled {
        match cursor.doubt {
            Some(_) if self.has_looked(cursor) => Pulled::Lost(SnapshotReason::Diverged),
            Some(_) => Pulled::Wait,
            None => {
                cursor.doubt = Some(self.refresh());
                Pulled::Wait
            }
        }
    }

    /// True if the log was read since `cursor` was found to contradict it.
    fn has_looked(&self, cursor: &Cursor) -> bool {
        cursor
            .doubt
            .is_some_and(|refresh| refresh <= self.refreshes.finished)
    }

    fn want_stretch(&mut self, number: u64) {
        if self.reading.insert(number) {
            let refreshes = self.refreshes.finished;
            self.wants
                .push_back(LogRead::LogSlice { number, refreshes });
        }
    }
}

impl Cursor {
    pub(crate) fn new(pos: Pos) -> Self {
        Cursor {
            pos,
            doubt: None,
            asked: None,
            said: false,
        }
    }

    /// The place of a reader that was just shown the room: the log goes at least so far, says the room.
    pub(crate) fn said(pos: Pos) -> Self {
        Cursor {
            said: true,
            ..Cursor::new(pos)
        }
    }
}

/// True if all items were taken.
fn hand_out<'a>(
    items: impl Iterator<Item = &'a Arc<Item>>,
    cursor: &mut Cursor,
    take: &mut impl FnMut(&Item) -> bool,
) -> bool {
    for item in items {
        if !take(item) {
            return false;
        }
        *cursor = Cursor::new(item.entry.pos);
    }
    true
}
