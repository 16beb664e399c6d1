use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use outlast_protocol::{Codec, Pos, RoomName};
use outlast_store::{Announcement, LogSlice, SharedStore, StoreError, Subscriptions};
use parking_lot::Mutex;
use tokio::{
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    core::{Absorbed, Core, Cursor, LogRead, Pulled, REFRESH_MAX, Wakes},
    encoded::Item,
    segment::Segment,
    wake::Wake,
};
use crate::telemetry;

/// What one room says, for all of this gateway's sockets in it: [`Core`], with the reads that it asks
/// for and the sockets that it wakes.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) room: RoomName,
    core: Mutex<Core>,
    readers: Mutex<Readers>,
    ready: OnceCell<()>,
    /// The size of what the room showed last; 0 where it has not.
    shown_bytes: AtomicUsize,
    shortcuts: Arc<Semaphore>,
}

/// Most members of a room that may have it show itself in place of its log at once (R3): each costs its worker a state.
const SHORTCUTS_MAX: usize = 8;

/// What a feed reads with.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) store: SharedStore,
    /// Permits to read, over all rooms (D4).
    pub(crate) permits: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Readers {
    next: u64,
    all: HashMap<u64, Reader>,
    /// By the number that the room gave it; a session has one socket, so the newest counts.
    members: HashMap<u32, u64>,
    /// Readers that wait for something that is being read.
    waiting: HashSet<u64>,
}

#[derive(Debug)]
struct Reader {
    wake: Arc<Wake>,
    slot: u8,
    member: Option<u32>,
}

/// Entries of a room's log that are read when the first socket enters it: one read for all who come back.
const TAIL_MAX: usize = 64;
/// Time for the store to answer one that enters. Where it answers none of many, each asks it after the one before.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// Pause before the log is asked again, when the store did not answer; twice as long each time, up to a bound.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(4);

impl Feed {
    pub(crate) fn new(room: RoomName, log_entries: u64) -> Self {
        Feed {
            room,
            core: Mutex::new(Core::new(log_entries)),
            readers: Mutex::default(),
            ready: OnceCell::new(),
            shown_bytes: AtomicUsize::new(0),
            shortcuts: Arc::new(Semaphore::new(SHORTCUTS_MAX)),
        }
    }

    /// Returns once nothing of this room goes unheard any more.
    pub(crate) async fn ready(
        self: &Arc<Self>,
        source: &Source,
        subscriptions: &dyn Subscriptions,
    ) -> Result<(), StoreError> {
        let subscribe = || async {
            subscriptions.subscribe(&self.room).await?;
            let tail = source.store.read_tail(&self.room, TAIL_MAX).await?;
            metrics::counter!(telemetry::LOG_READS, "reason" => "tail").increment(1);
            self.core.lock().seed_tail(tail);
            Ok::<_, StoreError>(())
        };
        timeout(READY_WITHIN, self.ready.get_or_try_init(subscribe))
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())))?;
        self.read(source);
        Ok(())
    }

    /// Adds a socket, which is woken at its `slot`; returns its key.
    pub(crate) fn add(&self, wake: Arc<Wake>, slot: u8) -> u64 {
        let mut readers = self.readers.lock();
        readers.next += 1;
        let key = readers.next;
        readers.all.insert(
            key,
            Reader {
                wake,
                slot,
                member: None,
            },
        );
        key
    }

    /// Notes what the room calls a socket's session: from now on it is woken for what is addressed to it.
    pub(crate) fn set_member(&self, key: u64, member: u32) {
        let mut readers = self.readers.lock();
        if let Some(reader) = readers.all.get_mut(&key) {
            reader.member = Some(member);
            readers.members.insert(member, key);
        }
    }

    /// Removes a socket; returns true if it was the last.
    pub(crate) fn remove(&self, key: u64) -> bool {
        let mut readers = self.readers.lock();
        let member = readers.all.remove(&key).and_then(|reader| reader.member);
        if let Some(member) = member
            && readers.members.get(&member) == Some(&key)
        {
            readers.members.remove(&member);
        }
        readers.all.is_empty()
    }

    /// Takes a commit's news in.
    pub(crate) fn announce(self: &Arc<Self>, source: &Source, news: Announcement) {
        let wakes = self
            .core
            .lock()
            .announce(news.prev, news.entries, news.signals);
        self.wake(wakes);
        self.read(source);
    }

    /// Announcements may have been lost.
    pub(crate) fn missed(self: &Arc<Self>, source: &Source) {
        self.core.lock().refresh();
        self.read(source);
    }

    /// Lets go of what is not needed any more. Called every few seconds.
    pub(crate) fn age(&self) {
        let wakes = self.core.lock().age();
        self.wake(wakes);
    }

    /// Hands entries to one socket; see [`Core::pull`].
    pub(crate) fn pull(
        self: &Arc<Self>,
        source: &Source,
        key: u64,
        cursor: &mut Cursor,
        mut take: impl FnMut(&Item) -> bool,
    ) -> Pulled {
        self.or_wait(source, key, |core| core.pull(cursor, &mut take))
    }

    /// Looks a socket's place up; see [`Core::check`].
    pub(crate) fn check(
        self: &Arc<Self>,
        source: &Source,
        key: u64,
        cursor: &mut Cursor,
        seated: Pos,
    ) -> Pulled {
        self.or_wait(source, key, |core| core.check(cursor, seated))
    }

    /// Hands signals to one socket, as frames; see [`Core::signals`].
    pub(crate) fn signals(&self, seen: &mut u64, codec: Codec, mut take: impl FnMut(bytes::Bytes)) {
        let core = self.core.lock();
        if *seen < core.signals_end() {
            core.signals(seen, |signal| take(signal.frame(&self.room, codec)));
        }
    }

    /// About how much there is for this member after the cursor; see [`Core::bytes_ahead`].
    pub(crate) fn bytes_ahead(&self, cursor: &Cursor, member: u32) -> Option<usize> {
        self.core.lock().bytes_ahead(cursor, member)
    }

    /// The size of what the room showed last, in bytes.
    pub(crate) fn shown_bytes(&self) -> Option<usize> {
        Some(self.shown_bytes.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// Notes the size of what the room shows.
    pub(crate) fn set_shown_bytes(&self, bytes: usize) {
        self.shown_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Permission to have the room show itself in place of its log; none where enough do.
    pub(crate) fn shortcut_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.shortcuts.clone().try_acquire_owned().ok()
    }

    /// The number of signals so far.
    pub(crate) fn signals_end(&self) -> u64 {
        self.core.lock().signals_end()
    }

    /// The newest position known.
    pub(crate) fn head(&self) -> Pos {
        self.core.lock().head()
    }

    fn wake(&self, wakes: Wakes) {
        let readers = self.readers.lock();
        match wakes {
            Wakes::Everybody => readers.all.values().for_each(Reader::wake),
            Wakes::Members(members) => members
                .iter()
                .filter_map(|member| readers.all.get(readers.members.get(member)?))
                .for_each(Reader::wake),
        }
    }

    /// Has a reader wait for what it lacks. It looks twice: what it lacked may have come before it was noted
    /// down, and nobody would wake it for that.
    fn or_wait(
        self: &Arc<Self>,
        source: &Source,
        key: u64,
        mut look: impl FnMut(&mut Core) -> Pulled,
    ) -> Pulled {
        let mut pulled = look(&mut self.core.lock());
        if pulled == Pulled::Wait {
            self.readers.lock().waiting.insert(key);
            pulled = look(&mut self.core.lock());
            self.read(source);
        }
        pulled
    }

    fn wake_waiting(&self) {
        let mut readers = self.readers.lock();
        let waiting = std::mem::take(&mut readers.waiting);
        waiting
            .iter()
            .filter_map(|key| readers.all.get(key))
            .for_each(Reader::wake);
    }

    /// Starts what the core wants to have read.
    fn read(self: &Arc<Self>, source: &Source) {
        while let Some(read) = self.read_next() {
            let (feed, source) = (self.clone(), source.clone());
            tokio::spawn(async move {
                match read {
                    LogRead::Refresh => feed.refresh(&source).await,
                    LogRead::LogSlice { number, refreshes } => {
                        feed.read_stretch(&source, number, refreshes).await;
                    }
                }
                feed.read(&source);
            });
        }
    }

    fn read_next(&self) -> Option<LogRead> {
        self.core.lock().poll_read()
    }

    async fn refresh(&self, source: &Source) {
        loop {
            let from = self.core.lock().head();
            let read = self.read_log(source, from.off.max(1), REFRESH_MAX, "refresh");
            let Some(read) = read.await else {
                return;
            };
            let absorbed = self.core.lock().absorb(from, read);
            self.wake(Wakes::Everybody);
            match absorbed {
                Absorbed::More => {}
                Absorbed::Done => return self.wake_waiting(),
            }
        }
    }

    async fn read_stretch(&self, source: &Source, number: u64, refreshes: u64) {
        let (from, max) = Segment::range(number);
        let Some(read) = self.read_log(source, from, max, "slice").await else {
            return;
        };
        self.core.lock().insert(number, refreshes, read);
        let sharers = self.readers.lock().waiting.len();
        metrics::histogram!(telemetry::LOG_READ_SHARERS).record(sharers as f64);
        self.wake_waiting();
    }

    /// Reads until the store answers, or nobody is interested any more.
    async fn read_log(
        &self,
        source: &Source,
        from: u64,
        max: usize,
        reason: &'static str,
    ) -> Option<LogSlice> {
        let mut pause = RETRY;
        loop {
            let permit = source.permits.acquire().await.ok()?;
            let read = source.store.read_log(&self.room, from, max).await;
            drop(permit);
            metrics::counter!(telemetry::LOG_READS, "reason" => reason).increment(1);
            match read {
                Ok(read) => return Some(read),
                // A line for each room would hide the one for the store.
                Err(error @ StoreError::Unavailable(_)) => {
                    tracing::debug!(room = %self.room, %error, "reading a room log failed; retrying");
                }
                Err(error) => {
                    tracing::warn!(room = %self.room, %error, "reading a room log failed")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(RETRY_MAX);
            if self.readers.lock().all.is_empty() {
                return None;
            }
        }
    }
}

impl Reader {
    fn wake(&self) {
        self.wake.mark(self.slot);
    }
}
