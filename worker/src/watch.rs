//! The time that a room's code takes, seen from a thread of its own: what does not come back cannot tell (W11).
//!
//! Time is counted in the watchdog's own ticks, so that a process that was stopped, or a machine that slept, is not taken
//! for a room that loops; nor is one whose thread gets no processor, since what it waits for that hardly counts.

mod processor;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
    },
    time::Duration,
};

use outlast_protocol::RoomName;
use outlast_store::PartitionId;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
};

use self::processor::{Thread, Usage};
use crate::suspect::Suspect;

/// The number of ticks of the longest step.
pub(crate) const TICKS_PER_STEP: u64 = 20;

/// After how many ticks of one step a process ends.
pub(crate) const TICKS_UNTIL_LOST: u64 = 5 * TICKS_PER_STEP;

/// Of so many ticks in which a step's thread mostly waited for a processor one counts.
const TICKS_WAITED: u64 = 4;

/// The number of further ticks that a process has to hand over what it holds.
const TICKS_TO_HAND_OVER: u64 = 3 * TICKS_PER_STEP;

/// The current work of one partition's rooms.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) partition: PartitionId,
    pub(crate) epoch: u64,
    /// Odd while a room's code runs; rises with each beginning and each end.
    step: AtomicU64,
    doing: Mutex<Option<Doing>>,
    /// The watchdog's ticks.
    ticks: Arc<AtomicU64>,
    /// True if it holds the right to try something (W12).
    trying: AtomicBool,
    /// True if somebody has heard that the step does not come back.
    heard: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Clone)]
struct Doing {
    suspect: Suspect,
    room: RoomName,
    thread: Thread,
}

/// The watchdog's last look at a step.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    step: u64,
    /// For how many ticks it has been under way, as far as they count.
    ticks: u64,
    /// Ticks in a row that did not count.
    uncounted: u64,
    /// The processor time that its thread had used.
    usage: Usage,
}

impl Seen {
    /// The same step, a tick later. Of a thread that waits most of the time only one tick in a few counts.
    fn next(self, usage: Usage, tick: Duration) -> Seen {
        let waits = usage.waits_since(self.usage, tick);
        match waits && self.uncounted + 1 < TICKS_WAITED {
            true => Seen {
                uncounted: self.uncounted + 1,
                usage,
                ..self
            },
            false => Seen {
                ticks: self.ticks + 1,
                uncounted: 0,
                usage,
                ..self
            },
        }
    }

    /// True if the last tick counted.
    fn counts(self) -> bool {
        self.uncounted == 0
    }
}

impl Watch {
    fn new(partition: PartitionId, epoch: u64, ticks: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Watch {
            partition,
            epoch,
            step: AtomicU64::new(0),
            doing: Mutex::default(),
            ticks,
            trying: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            seen: Mutex::default(),
        })
    }

    /// One that nobody looks at.
    #[cfg(test)]
    pub(crate) fn unwatched() -> Arc<Self> {
        Watch::new(PartitionId(0), 1, Arc::default())
    }

    /// One that nobody looks at, with a clock of its own.
    #[cfg(test)]
    pub(crate) fn with_clock(
        partition: PartitionId,
        epoch: u64,
        ticks: Arc<AtomicU64>,
    ) -> Arc<Self> {
        Watch::new(partition, epoch, ticks)
    }

    /// Passes a tick, in which the step's thread had a processor or waited for one.
    #[cfg(test)]
    pub(crate) fn pass_tick(&self, waits: bool) {
        const TICK: Duration = Duration::from_millis(100);
        let ticks = self.ticks.fetch_add(1, SeqCst) as u32 + 2;
        let ran = if waits { TICK } else { ticks * TICK };
        self.see(self.steps(), Usage::example(ran, Duration::ZERO), TICK);
    }

    /// A room's code runs until what this returns is dropped.
    pub(crate) fn step(self: &Arc<Self>, suspect: Suspect, room: &RoomName) -> Step {
        *self.doing.lock() = Some(Doing {
            suspect,
            room: room.clone(),
            thread: Thread::this(),
        });
        self.step.fetch_add(1, SeqCst);
        Step(self.clone())
    }

    /// The watchdog's clock.
    pub(crate) fn ticks(&self) -> u64 {
        self.ticks.load(Relaxed)
    }

    /// The ticks for which a step has been under way, as far as they count.
    pub(crate) fn counted(&self, step: u64) -> u64 {
        let seen = *self.seen.lock();
        if seen.step == step { seen.ticks } else { 0 }
    }

    /// Returns the number of times that something has begun or ended.
    pub(crate) fn steps(&self) -> u64 {
        self.step.load(SeqCst)
    }

    /// Returns the work of this step; `None` where it has come to its end.
    fn doing_in(&self, step: u64) -> Option<(Suspect, RoomName)> {
        let doing = self.doing.lock().clone();
        // The next step may have begun meanwhile, and then this is what it does.
        let doing = doing.filter(|_| self.steps() == step)?;
        Some((doing.suspect, doing.room))
    }

    /// The overrun has been heard of.
    pub(crate) fn hear(&self) {
        self.heard.store(true, SeqCst);
    }

    /// The right to try something is held by this partition.
    pub(crate) fn begin_trial(&self) {
        self.trying.store(true, SeqCst);
    }

    /// Gives the right to try something back, if it is held.
    pub(crate) fn end_trial(&self, right: &Semaphore) {
        if self.trying.swap(false, SeqCst) {
            right.add_permits(1);
        }
    }

    /// Looks at what is being done, a tick after the last look.
    fn look(&self, tick: Duration) -> Seen {
        let step = self.steps();
        let doing = self.doing.lock().clone().filter(|_| is_under_way(step));
        let usage = doing.map(|doing| doing.thread.usage());
        self.see(step, usage.unwrap_or_default(), tick)
    }

    fn see(&self, step: u64, usage: Usage, tick: Duration) -> Seen {
        let mut seen = self.seen.lock();
        *seen = match is_under_way(step) && seen.step == step {
            true => seen.next(usage, tick),
            false => Seen {
                step,
                usage,
                ..Seen::default()
            },
        };
        *seen
    }
}

fn is_under_way(step: u64) -> bool {
    step % 2 == 1
}

/// A step that is under way.
pub(crate) struct Step(Arc<Watch>);

impl Drop for Step {
    fn drop(&mut self) {
        self.0.step.fetch_add(1, SeqCst);
    }
}

/// A step that does not come back.
pub(crate) struct Overrun {
    pub(crate) watch: Arc<Watch>,
    pub(crate) step: u64,
    /// The watchdog's tick at which it was under way already.
    pub(crate) since: u64,
    pub(crate) suspect: Suspect,
    pub(crate) room: RoomName,
}

/// Looks at all partitions of a worker, in a thread of its own. Dropping it ends that.
pub(crate) struct Watchdog {
    kennel: Arc<WatchdogState>,
    overruns: mpsc::UnboundedReceiver<Overrun>,
}

#[derive(Default)]
struct WatchdogState {
    watches: Mutex<Vec<Weak<Watch>>>,
    ticks: Arc<AtomicU64>,
    over: AtomicBool,
}

impl Watchdog {
    /// Starts to look. A step may take so long.
    pub(crate) fn start(step: Duration) -> Self {
        let kennel = Arc::new(WatchdogState::default());
        let runtime = Handle::current();
        // One for each partition that is held at most.
        let (tell, overruns) = mpsc::unbounded_channel();
        let tick = (step / TICKS_PER_STEP as u32).max(Duration::from_millis(1));
        let looks = kennel.clone();
        std::thread::Builder::new()
            .name("room-watchdog".into())
            .spawn(move || {
                while !looks.over.load(Relaxed) {
                    std::thread::sleep(tick);
                    looks.ticks.fetch_add(1, Relaxed);
                    looks.look(tick, &runtime, &tell);
                }
            })
            .expect("the system can start a thread");
        Watchdog { kennel, overruns }
    }

    /// Begins to watch a partition.
    pub(crate) fn watch(&self, partition: PartitionId, epoch: u64) -> Arc<Watch> {
        let watch = Watch::new(partition, epoch, self.kennel.ticks.clone());
        self.kennel.watches.lock().push(Arc::downgrade(&watch));
        watch
    }

    /// Waits for a step that does not come back. It is cancel safe.
    pub(crate) async fn next_overrun(&mut self) -> Overrun {
        match self.overruns.recv().await {
            Some(overrun) => overrun,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.kennel.over.store(true, Relaxed);
    }
}

impl WatchdogState {
    fn look(&self, tick: Duration, runtime: &Handle, tell: &mpsc::UnboundedSender<Overrun>) {
        let mut watches = self.watches.lock();
        watches.retain(|watch| watch.strong_count() > 0);
        for watch in watches.iter().filter_map(Weak::upgrade) {
            let seen = watch.look(tick);
            let Seen { step, ticks, .. } = seen;
            if ticks > 0 {
                // Its thread may have been the one that looks after sockets and timers for all. Something to do wakes
                // another, which then does that.
                runtime.spawn(async {});
            }
            let due = Due::after(ticks, watch.heard.load(SeqCst));
            if due == Due::Nothing || !seen.counts() {
                continue;
            }
            let Some((suspect, room)) = watch.doing_in(step) else {
                continue;
            };
            if due == Due::GiveUp {
                give_up(&room);
            }
            let overrun = Overrun {
                since: watch.ticks().saturating_sub(ticks),
                watch: watch.clone(),
                step,
                suspect,
                room,
            };
            // Nobody listens where the worker has come to its end.
            tell.send(overrun).ok();
        }
    }
}

/// The action that is due for a step that is under way.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Tell,
    GiveUp,
}

impl Due {
    /// After so many ticks; `heard` where somebody knows that the step does not come back, and hands over in time.
    fn after(ticks: u64, heard: bool) -> Due {
        let patience = match heard {
            true => TICKS_UNTIL_LOST + TICKS_TO_HAND_OVER,
            false => TICKS_UNTIL_LOST,
        };
        match ticks {
            TICKS_PER_STEP => Due::Tell,
            ticks if ticks >= patience => Due::GiveUp,
            _ => Due::Nothing,
        }
    }
}

/// The last resort, where nothing else in the process runs any more that could hand its partitions over: their leases
/// expire, and others find that nothing was committed.
fn give_up(room: &RoomName) -> ! {
    tracing::error!(%room, "exiting: room code does not return and blocks everything else");
    std::process::exit(1)
}

#[cfg(test)]
mod tests {
    use outlast_store::TopicId;

    use super::*;

    #[test]
    fn w11_only_what_is_being_done_in_a_late_step_is_blamed() {
        let watch = Watch::unwatched();
        let room: RoomName = "chat/late".parse().unwrap();
        let other: RoomName = "chat/innocent".parse().unwrap();
        let late = Suspect::Input(TopicId::default());
        let first = watch.step(late.clone(), &room);
        let step = watch.steps();
        assert_eq!(watch.doing_in(step), Some((late, room)));
        drop(first);
        assert_eq!(watch.doing_in(step), None);
        let _second = watch.step(Suspect::Room(other.clone()), &other);
        assert_eq!(watch.doing_in(step), None);
        assert!(watch.doing_in(watch.steps()).is_some());
    }

    #[test]
    fn w11_a_thread_that_gets_no_processor_is_given_four_times_as_long() {
        let tick = Duration::from_millis(100);
        let used = |n, waits| Usage::example(n * tick, n * waits);
        let after = |ticks: u32, waits: Duration| {
            (1..=ticks).fold(Seen::default(), |seen, n| seen.next(used(n, waits), tick))
        };
        assert_eq!(after(20, tick / 4).ticks, 20);
        assert_eq!(after(79, tick).ticks, 19);
        let seen = after(80, tick);
        assert_eq!((seen.ticks, seen.counts()), (20, true));
        assert!(!seen.next(used(81, tick), tick).counts());
    }

    #[test]
    fn w11_a_process_waits_five_steps_also_where_nobody_hears_of_it() {
        let step = TICKS_PER_STEP;
        assert_eq!(Due::after(step - 1, false), Due::Nothing);
        assert_eq!(Due::after(step, false), Due::Tell);
        assert_eq!(Due::after(5 * step - 1, false), Due::Nothing);
        assert_eq!(Due::after(5 * step, false), Due::GiveUp);
        assert_eq!(Due::after(5 * step, true), Due::Nothing);
        assert_eq!(Due::after(8 * step, true), Due::GiveUp);
    }
}
