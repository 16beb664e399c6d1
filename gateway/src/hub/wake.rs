use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    task::{Poll, Waker},
};

use futures_util::task::AtomicWaker;
use outlast_store::Reply;
use parking_lot::Mutex;

use crate::{bye::Bye, drain::Moving, telemetry};

/// The mailbox of a socket's task: which of its rooms have news, replies
/// of rooms, and that it has to go. One task waits, anybody tells.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    waker: AtomicWaker,
    /// A bit for each of the socket's rooms.
    rooms: [AtomicU64; 2],
    /// True if there is mail.
    mail: AtomicBool,
    letters: Mutex<Mailbox>,
}

#[derive(Debug, Default)]
struct Mailbox {
    replies: VecDeque<Reply>,
    bytes: usize,
    bye: Option<Bye>,
    moving: Option<Moving>,
    missed: bool,
}

/// What a socket is told that is not about one room.
#[derive(Debug)]
pub(crate) enum Command {
    /// Replies may have been lost: what has not been answered is asked again.
    AskAgain,
    /// The socket has to go.
    Leave(Bye),
}

/// Most replies that may lie here, and most bytes of them, unless it is one alone. What is above is
/// dropped: the socket does not read, and asks again for what it misses.
const REPLIES_MAX: usize = 128;
const BYTES_MAX: usize = 32 * 1024;

impl Wake {
    /// There is news in the room with this number, from 0 to 127.
    pub(crate) fn mark(&self, slot: u8) {
        let bit = 1 << (slot % 64);
        let before = self.rooms[usize::from(slot / 64)].fetch_or(bit, Ordering::AcqRel);
        if before & bit == 0 {
            self.waker.wake();
        }
    }

    /// A room answers.
    pub(crate) fn post(&self, reply: Reply) {
        let mut letters = self.letters.lock();
        let bytes = reply.answer.bytes();
        let full = letters.replies.len() >= REPLIES_MAX || letters.bytes + bytes > BYTES_MAX;
        if full && !letters.replies.is_empty() {
            metrics::counter!(telemetry::REPLIES_DROPPED).increment(1);
            return;
        }
        letters.bytes += bytes;
        letters.replies.push_back(reply);
        drop(letters);
        self.ring();
    }

    /// Replies may have been lost.
    pub(crate) fn missed(&self) {
        self.letters.lock().missed = true;
        self.ring();
    }

    /// The socket has to go. The first reason counts.
    pub(crate) fn close(&self, bye: Bye) {
        self.letters.lock().bye.get_or_insert(bye);
        self.ring();
    }

    /// The client shall go on at another gateway (D3).
    pub(crate) fn move_on(&self, moving: Moving) {
        self.letters.lock().moving = Some(moving);
        self.ring();
    }

    /// From now on this waker is woken.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Takes the rooms that have news, a bit for each.
    pub(crate) fn take_rooms(&self) -> u128 {
        let [low, high] = &self.rooms;
        let take = |half: &AtomicU64| match half.load(Ordering::Acquire) {
            0 => 0,
            _ => u128::from(half.swap(0, Ordering::AcqRel)),
        };
        take(low) | take(high) << 64
    }

    /// Takes what cannot wait.
    pub(crate) fn take_order(&self) -> Option<Command> {
        if !self.has_mail() {
            return None;
        }
        let mut letters = self.letters.lock();
        if let Some(bye) = letters.bye.take() {
            return Some(Command::Leave(bye));
        }
        std::mem::take(&mut letters.missed).then_some(Command::AskAgain)
    }

    /// Waits until the socket has to go; whatever else there is to say is not heard any more.
    pub(crate) async fn bye(&self) -> Bye {
        poll_fn(|cx| {
            self.register(cx.waker());
            match self.take_order() {
                Some(Command::Leave(bye)) => Poll::Ready(bye),
                Some(Command::AskAgain) | None => Poll::Pending,
            }
        })
        .await
    }

    /// Takes when the client shall move, once it has its session.
    pub(crate) fn take_move(&self) -> Option<Moving> {
        if !self.has_mail() {
            return None;
        }
        self.letters.lock().moving.take()
    }

    /// Takes the next reply.
    pub(crate) fn take_reply(&self) -> Option<Reply> {
        if !self.has_mail() {
            return None;
        }
        let mut letters = self.letters.lock();
        let reply = letters.replies.pop_front();
        match &reply {
            Some(reply) => letters.bytes -= reply.answer.bytes(),
            None => {
                letters.replies = VecDeque::new();
                let empty = letters.bye.is_none() && letters.moving.is_none() && !letters.missed;
                self.mail.store(!empty, Ordering::Release);
            }
        }
        reply
    }

    /// True if there may be mail.
    pub(crate) fn has_mail(&self) -> bool {
        self.mail.load(Ordering::Acquire)
    }

    fn ring(&self) {
        self.mail.store(true, Ordering::Release);
        self.waker.wake();
    }
}
