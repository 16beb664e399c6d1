//! What was heard and not yet asked for.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Messages of one listener, in order. When they grow beyond the bound they are all dropped, and the
/// listener is told that it missed some: it reads the logs then, as after a lost connection.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    rung: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Which connection is listened to; late messages of those before are not.
    connection: u64,
    /// Whether what was said before this connection may have gone unheard, and nothing says so yet.
    gap: bool,
    mail: VecDeque<Mail>,
    bytes: usize,
}

/// What lies in an inbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mail {
    /// A message, and the channel that it came from.
    Message { channel: Vec<u8>, message: Vec<u8> },
    /// Anything may have been missed before this.
    Missed,
}

impl Inbox {
    pub(super) fn new(bytes_max: usize) -> Self {
        Inbox {
            state: Mutex::default(),
            rung: Notify::new(),
            bytes_max,
        }
    }

    /// Takes the next; for one taker at a time. Cancel safe.
    pub(super) async fn next(&self) -> Mail {
        loop {
            if let Some(mail) = self.take() {
                return mail;
            }
            self.rung.notified().await;
        }
    }

    /// From now on only what the connection of the returned number says is taken in. Before it speaks,
    /// the listener is told that it missed some: what it hears then may belong to another history (R4).
    pub(super) fn next_connection(&self) -> u64 {
        let mut state = self.state.lock();
        state.connection += 1;
        state.gap = state.connection > 1;
        state.connection
    }

    pub(super) fn push(&self, connection: u64, channel: Vec<u8>, message: Vec<u8>) {
        let mut state = self.state.lock();
        if state.connection != connection {
            return;
        }
        if std::mem::take(&mut state.gap) {
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

    /// From now on nothing goes unheard any more.
    pub(super) fn push_missed(&self) {
        let mut state = self.state.lock();
        state.gap = false;
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

/// What a message costs, with what holds it.
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
        let connection = inbox.next_connection();
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
        let older = inbox.next_connection();
        push(&inbox, older, "first");
        // One that says nothing leaves nothing behind.
        inbox.next_connection();
        let newer = inbox.next_connection();
        push(&inbox, older, "late");
        push(&inbox, newer, "news");
        push(&inbox, newer, "more");
        inbox.push_missed();
        push(&inbox, newer, "last");
        let expected = [
            message("first"),
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
        inbox.next_connection();
        let newer = inbox.next_connection();
        inbox.push_missed();
        push(&inbox, newer, "news");
        assert_eq!(inbox.next().await, Mail::Missed);
        assert_eq!(inbox.next().await, message("news"));
    }
}
