//! The messages that were heard and not yet asked for.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Messages of one listener, in order. When they grow beyond the bound they are all dropped, and the
/// listener is told that it missed some: it reads the logs then, as after a lost connection.
#[derive(Debug)]
pub(in crate::redis) struct Inbox {
    state: Mutex<State>,
    rung: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    /// The connections that are listened to, and whether what was said before each may have gone unheard,
    /// and nothing says so yet.
    lines: HashMap<u64, bool>,
    /// The number that there has been.
    opened: u64,
    mail: VecDeque<Mail>,
    bytes: usize,
}

/// An item in an inbox.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::redis) enum Mail {
    /// A message, and the channel that it came from.
    Message { channel: Vec<u8>, message: Vec<u8> },
    /// Anything may have been missed before this.
    Missed,
}

impl Inbox {
    pub(in crate::redis) fn new(bytes_max: usize) -> Self {
        Inbox {
            state: Mutex::default(),
            rung: Notify::new(),
            bytes_max,
        }
    }

    /// Takes the next; for one taker at a time. Cancel safe.
    pub(in crate::redis) async fn next(&self) -> Mail {
        loop {
            if let Some(mail) = self.take() {
                return mail;
            }
            self.rung.notified().await;
        }
    }

    /// From now on what the connection of the returned number says is taken in. Where it stands in for one
    /// that was lost, the listener is told that it missed some before this one speaks: what it hears then
    /// may belong to another history (R4).
    pub(in crate::redis) fn open(&self, stands_in: bool) -> u64 {
        let mut state = self.state.lock();
        state.opened += 1;
        let line = state.opened;
        state.lines.insert(line, stands_in);
        line
    }

    /// Takes in nothing more from this connection.
    pub(in crate::redis) fn close(&self, line: u64) {
        self.state.lock().lines.remove(&line);
    }

    pub(in crate::redis) fn push(&self, line: u64, channel: Vec<u8>, message: Vec<u8>) {
        let mut state = self.state.lock();
        let Some(gap) = state.lines.get_mut(&line) else {
            return;
        };
        if std::mem::take(gap) {
            state.mail.push_back(Mail::Missed);
        }
        state.bytes += weight(&channel, &message);
        if state.bytes > self.bytes_max {
            state.mail.clear();
            state.bytes = 0;
            state.mail.push_back(Mail::Missed);
        } else {
            state.mail.push_back(Mail::Message { channel, message });
        }
        drop(state);
        self.rung.notify_one();
    }

    /// From now on nothing that this connection should hear goes unheard any more.
    pub(in crate::redis) fn push_missed(&self, line: u64) {
        let mut state = self.state.lock();
        if let Some(gap) = state.lines.get_mut(&line) {
            *gap = false;
        }
        state.mail.push_back(Mail::Missed);
        drop(state);
        self.rung.notify_one();
    }

    fn take(&self) -> Option<Mail> {
        let mut state = self.state.lock();
        let mail = state.mail.pop_front()?;
        if let Mail::Message { channel, message } = &mail {
            state.bytes -= weight(channel, message);
        }
        Some(mail)
    }
}

/// Returns the bytes that a message costs, with what holds it.
fn weight(channel: &[u8], message: &[u8]) -> usize {
    channel.len() + message.len() + size_of::<Mail>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(inbox: &Inbox, connection: u64, message: &str) {
        inbox.push(connection, b"c".into(), message.into());
    }

    fn message(text: &str) -> Mail {
        Mail::Message {
            channel: b"c".into(),
            message: text.into(),
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_missed_and_what_follows_is_heard() {
        let inbox = Inbox::new(1_000);
        let connection = inbox.open(false);
        push(&inbox, connection, "first");
        push(&inbox, connection, &"x".repeat(1_000));
        push(&inbox, connection, "last");
        assert_eq!(inbox.next().await, Mail::Missed);
        assert_eq!(inbox.next().await, message("last"));
        assert_eq!(inbox.state.lock().bytes, 0);
    }

    #[tokio::test]
    async fn r4_nothing_of_a_next_connection_is_heard_before_missed() {
        let inbox = Inbox::new(1_000);
        let (older, other) = (inbox.open(false), inbox.open(false));
        push(&inbox, older, "first");
        inbox.close(older);
        // One that says nothing leaves nothing behind.
        inbox.close(inbox.open(true));
        let newer = inbox.open(true);
        push(&inbox, other, "elsewhere");
        push(&inbox, older, "late");
        push(&inbox, newer, "news");
        push(&inbox, newer, "more");
        inbox.push_missed(newer);
        push(&inbox, newer, "last");
        let expected = [
            message("first"),
            message("elsewhere"),
            Mail::Missed,
            message("news"),
            message("more"),
            Mail::Missed,
            message("last"),
        ];
        for mail in expected {
            assert_eq!(inbox.next().await, mail);
        }
        assert!(inbox.take().is_none());
    }

    #[tokio::test]
    async fn a_connection_that_speaks_late_is_missed_once() {
        let inbox = Inbox::new(1_000);
        let newer = inbox.open(true);
        inbox.push_missed(newer);
        push(&inbox, newer, "news");
        assert_eq!(inbox.next().await, Mail::Missed);
        assert_eq!(inbox.next().await, message("news"));
    }
}
