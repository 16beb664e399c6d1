use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use metrics::{Gauge, Histogram, counter, gauge, histogram};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

use super::schedule::{Applied, Limits, Rank, Schedule, Ticket, Verdict};
use crate::telemetry;

/// The queue before an [`Admission`](super::Admission): a [`Schedule`], and those who wait for it.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// Rung when somebody waits whom nobody else will let in.
    changed: Notify,
    /// Nobody can choose a name that hashes like another's.
    names: RandomState,
    waited: Lanes<Histogram>,
}

struct Inner {
    schedule: Schedule,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
    closed: bool,
    counted: Lanes<Gauge>,
}

/// One of something for each lane.
struct Lanes<T> {
    resume: T,
    open: T,
}

/// What became of somebody who wants in.
pub(super) enum Entry {
    /// It has a place.
    Place(AdmissionPermit),
    /// It has none, and may come again.
    Busy { retry_ms: u64 },
    /// Nobody is let in any more.
    Closed,
}

/// A place in the queue, and after that among those who attach: dropping it gives it up, and makes room for the next.
pub(super) struct AdmissionPermit {
    queue: Arc<Queue>,
    ticket: Ticket,
    /// `None` once it has come.
    turn: Option<oneshot::Receiver<()>>,
    since: Instant,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Queue {
            inner: Mutex::new(Inner {
                schedule: Schedule::new(limits, Instant::now()),
                waiting: HashMap::new(),
                closed: false,
                counted: Lanes::new(|lane| gauge!(telemetry::ADMISSION_WAITING, "lane" => lane)),
            }),
            changed: Notify::new(),
            names: RandomState::new(),
            waited: Lanes::new(|lane| histogram!(telemetry::ADMISSION_WAIT, "lane" => lane)),
        })
    }

    /// Lets in who waits, for as long as it is polled.
    pub(crate) async fn run(&self) {
        loop {
            let next = self.inner.lock().let_in();
            match next {
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// From now on nobody is let in, and nobody waits any more.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.waiting = HashMap::new();
    }

    pub(super) fn enter(self: &Arc<Self>, rank: Rank, name: Option<&str>, bytes: usize) -> Entry {
        let since = Instant::now();
        let applied = Applied {
            rank,
            name: name.map(|name| self.names.hash_one(name)),
            bytes,
        };
        let mut inner = self.inner.lock();
        if inner.closed {
            return Entry::Closed;
        }
        match inner.schedule.apply(since, &applied, rand::random()) {
            Verdict::Later(wait) => {
                drop(inner);
                counter!(telemetry::ADMISSION_REFUSED, "lane" => rank.lane()).increment(1);
                Entry::Busy {
                    retry_ms: wait.as_millis() as u64 + 1,
                }
            }
            Verdict::Wait(ticket) => {
                let (tell, turn) = oneshot::channel();
                inner.waiting.insert(ticket, tell);
                self.go_on(&mut inner);
                drop(inner);
                Entry::Place(AdmissionPermit {
                    queue: self.clone(),
                    ticket,
                    turn: Some(turn),
                    since,
                })
            }
        }
    }

    /// Lets in whom there is room for now; the rest is a matter of time.
    fn go_on(&self, inner: &mut Inner) {
        if inner.let_in().is_some() {
            self.changed.notify_one();
        }
    }
}

impl<T> Lanes<T> {
    fn new(of_lane: impl Fn(&'static str) -> T) -> Self {
        Lanes {
            resume: of_lane(Rank::Resume.lane()),
            open: of_lane(Rank::Open.lane()),
        }
    }

    fn of(&self, rank: Rank) -> &T {
        match rank {
            Rank::Current | Rank::Resume => &self.resume,
            Rank::Open => &self.open,
        }
    }
}

impl Inner {
    /// Lets in those for whom there is room; returns when there will be room for the next.
    fn let_in(&mut self) -> Option<Instant> {
        let now = Instant::now();
        while let Some(ticket) = self.schedule.admit(now) {
            // Whoever does not listen any more is about to give its place up.
            let _ = self.waiting.remove(&ticket).map(|turn| turn.send(()));
        }
        self.count();
        self.schedule.next(now)
    }

    fn count(&self) {
        for rank in [Rank::Resume, Rank::Open] {
            let waiting = self.schedule.waiting(rank) as f64;
            self.counted.of(rank).set(waiting);
        }
    }
}

impl AdmissionPermit {
    /// Ready when its turn has come, or never will: whether it is let in.
    pub(super) fn poll_admitted(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(turn) = &mut self.turn else {
            return Poll::Ready(true);
        };
        let turn = ready!(Pin::new(turn).poll(cx));
        self.turn = None;
        let waited = self.queue.waited.of(self.ticket.rank());
        waited.record(self.since.elapsed());
        Poll::Ready(turn.is_ok())
    }
}

impl Drop for AdmissionPermit {
    fn drop(&mut self) {
        let mut inner = self.queue.inner.lock();
        inner.waiting.remove(&self.ticket);
        inner.schedule.leave(self.ticket);
        self.queue.go_on(&mut inner);
    }
}
