//! The notes on holders that died of their last commit (W12). Pure; what it says is noted in the store before it
//! counts.

use outlast_store::NoteChange;

use super::quarantine::{Retry, written};

const NOTE: &str = "hand_over";

/// The last commits of holders that were begun and not heard of again.
#[derive(Default)]
pub(super) struct HandOver(Option<Retry>);

impl HandOver {
    /// Takes a note in, if it is this one and this version can read it.
    pub(super) fn learn(&mut self, name: &str, text: &str) -> Option<()> {
        if name != NOTE {
            return None;
        }
        self.0 = Some(serde_json::from_str(text).ok()?);
        Some(())
    }

    /// Returns what has to be noted before a last commit; `None` if one was begun a while ago and did not end.
    pub(super) fn begin(&mut self, now_ms: u64) -> Option<NoteChange> {
        let count = match self.0 {
            Some(last) if now_ms < last.at_ms.saturating_add(last.wait_ms()) => return None,
            Some(last) => last.count.saturating_add(1),
            None => 0,
        };
        let begun = Retry {
            at_ms: now_ms,
            count,
        };
        self.0 = Some(begun);
        Some((NOTE.to_owned(), Some(written(&begun))))
    }

    /// The room code is done: the commit takes the note away.
    pub(super) fn end(&mut self) -> Option<String> {
        self.0.take().map(|_| NOTE.to_owned())
    }
}
