//! The store's time, between Redis's answers: see `clock.lua`.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use parking_lot::Mutex;
use redis::{Pipeline, Script};

use super::{
    clock_ms,
    net::{nodes::Nodes, script::ScriptCall},
};
use crate::{
    StoreError,
    clock::{JUMP_MS, Jump, Timeline, Which, Witness, elapsed, time_of_day_ms},
};

static CLOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/clock.lua")));

/// The number and the interval of the looks of a process that has just come, which waits for one that was there before
/// and knows how long ago that was.
const LOOKS: usize = 4;
const LOOKS_EVERY: Duration = Duration::from_millis(250);

/// The store's time as this process knows it. It goes on as elapsed time does from Redis's last answer, so that
/// nothing is decided by a clock that has just jumped.
#[derive(Debug)]
pub(super) struct Clock {
    nodes: Nodes,
    /// The key that the offset lies under.
    store: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    timeline: Option<Timeline>,
    newest_ms: u64,
    offset_ms: i64,
    /// The milliseconds that have to be added for topics whose node's clock was found to differ.
    elsewhere_ms: HashMap<String, i64>,
    witness: Witness,
}

/// The reply of `clock.lua`.
#[derive(Debug, Clone)]
struct Told {
    now_ms: u64,
    offset_ms: i64,
    /// The time that a jump would have shown for which the offset was moved now; 0 if there was none, or one of
    /// these.
    showed_ms: i64,
    /// When somebody had looked last, as Redis writes it.
    seen: String,
}

/// It cannot be known yet whether there was a jump.
const UNKNOWN: i64 = -1;

/// The time differs from what was reckoned when it was asked for.
const SUSPECTED: i64 = -2;

/// The verdict on a suspected jump.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// None: the answer came late, or the call did.
    Delayed,
    /// The answer took too long to tell; the next one will.
    Unclear,
    /// The clock has jumped, and by this offset (ms) the time goes on.
    Jumped { offset_ms: i64 },
}

/// The change that a look makes.
#[derive(Debug, Clone, Copy)]
struct Move<'a> {
    /// When somebody had looked last, in the look before.
    seen: &'a str,
    /// The offset to move to, in milliseconds.
    offset_ms: i64,
}

impl Clock {
    pub(super) fn new(nodes: Nodes, store: String) -> Self {
        Clock {
            nodes,
            store,
            known: Mutex::default(),
        }
    }

    /// Returns the time; by this machine's time of day as long as nobody could be asked.
    pub(super) fn now_ms(&self) -> u64 {
        self.known
            .lock()
            .now_ms(elapsed())
            .unwrap_or_else(time_of_day_ms)
    }

    /// By how much the time is ahead of the clock of the Redis that has this key, in milliseconds.
    pub(super) fn offset_ms_at(&self, key: &str) -> i64 {
        let known = self.known.lock();
        known.offset_ms + known.elsewhere_ms.get(key).copied().unwrap_or(0)
    }

    /// Learns what the clock of the node shows that has this key; on a Cluster each has its own.
    pub(super) async fn learn(&self, key: &str) -> Result<(), StoreError> {
        let Nodes::Many(_) = &self.nodes else {
            return Ok(());
        };
        let time = self.nodes.query(key, &redis::cmd("TIME")).await?;
        let ahead_ms = i128::from(self.now_ms()) - i128::from(clock_ms(time));
        let mut known = self.known.lock();
        let elsewhere_ms = i64::try_from(ahead_ms).unwrap_or(0) - known.offset_ms;
        known.elsewhere_ms.insert(key.to_owned(), elsewhere_ms);
        Ok(())
    }

    /// Asks for the first time.
    pub(super) async fn start(&self) -> Result<(), StoreError> {
        for look in 0..=LOOKS {
            let asked = elapsed();
            match self.look(None, look == LOOKS, None).await {
                Ok(told) if told.showed_ms != UNKNOWN => {
                    self.take(&told, asked);
                    break;
                }
                Ok(_) => tokio::time::sleep(LOOKS_EVERY).await,
                // It takes no writes.
                Err(_) => return self.read().await,
            }
        }
        Ok(())
    }

    /// Asks again, which is to happen every second or so. Returns the time.
    pub(super) async fn sync(&self) -> Result<u64, StoreError> {
        let asked = elapsed();
        let told = self.look(self.reckoned_ms(asked), true, None).await?;
        if told.showed_ms != SUSPECTED {
            self.take(&told, asked);
            return Ok(self.now_ms());
        }
        let answered = elapsed();
        match self.verdict(&told, asked, answered) {
            Verdict::Delayed => self.take(&told, asked),
            Verdict::Unclear => {}
            Verdict::Jumped { offset_ms } => {
                let seen = &told.seen;
                let moved = Some(Move { seen, offset_ms });
                let told = self.look(self.reckoned_ms(answered), true, moved).await?;
                if told.showed_ms != SUSPECTED {
                    self.take(&told, answered);
                }
            }
        }
        Ok(self.now_ms())
    }

    /// Asks again, and where nobody answers goes on by what is reckoned. Returns the time.
    pub(super) async fn sync_or_reckon(&self) -> u64 {
        self.sync().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "reading the store's time failed; using the estimate");
            self.now_ms()
        })
    }

    /// Judges an answer that differs from what was reckoned when it was asked for.
    fn verdict(&self, told: &Told, asked: Duration, answered: Duration) -> Verdict {
        let (Some(from_ms), Some(to_ms)) = (self.reckoned_ms(asked), self.reckoned_ms(answered))
        else {
            return Verdict::Unclear;
        };
        if told.now_ms + JUMP_MS >= from_ms && told.now_ms <= to_ms + JUMP_MS {
            return Verdict::Delayed;
        }
        // The offset would be wrong by as much.
        if to_ms - from_ms > JUMP_MS {
            return Verdict::Unclear;
        }
        let ahead_ms = i128::from(to_ms) - i128::from(told.now_ms);
        i64::try_from(ahead_ms).map_or(Verdict::Unclear, |ahead_ms| Verdict::Jumped {
            offset_ms: told.offset_ms.saturating_add(ahead_ms),
        })
    }

    fn reckoned_ms(&self, elapsed: Duration) -> Option<u64> {
        self.known.lock().reckoned_ms(elapsed)
    }

    async fn look(
        &self,
        reckoned: Option<u64>,
        alone: bool,
        moved: Option<Move<'_>>,
    ) -> Result<Told, StoreError> {
        let mut call = ScriptCall::new(&CLOCK, &[&self.store]);
        call.arg(reckoned.map_or(String::new(), |ms| ms.to_string()));
        call.arg(u8::from(alone));
        call.arg(moved.map_or("", |moved| moved.seen));
        call.arg(moved.map_or(String::new(), |moved| moved.offset_ms.to_string()));
        let (now_ms, offset_ms, showed_ms, seen) = self.nodes.run(&call).await?;
        Ok(Told {
            now_ms,
            offset_ms,
            showed_ms,
            seen,
        })
    }

    async fn read(&self) -> Result<(), StoreError> {
        let mut all = Pipeline::new();
        all.cmd("TIME");
        all.cmd("HGET").arg(&self.store).arg("clock_offset_ms");
        let asked = elapsed();
        let (time, offset): ((u64, u64), Option<i64>) =
            self.nodes.query_all(&self.store, &all).await?;
        let offset_ms = offset.unwrap_or(0);
        let told = Told {
            now_ms: clock_ms(time).saturating_add_signed(offset_ms),
            offset_ms,
            showed_ms: 0,
            seen: String::new(),
        };
        self.take(&told, asked);
        Ok(())
    }

    fn take(&self, told: &Told, asked: Duration) {
        let (elapsed, day_ms) = (elapsed(), time_of_day_ms());
        let (corrected, jump) = {
            let mut known = self.known.lock();
            let jump = known.witness.sees(elapsed, day_ms);
            (known.take(told, asked, elapsed), jump)
        };
        if let Some(jump) = jump {
            jump.report(Which::System);
        }
        if let Ok(to_ms @ 1..) = u64::try_from(told.showed_ms) {
            let from_ms = told.now_ms;
            Jump { from_ms, to_ms }.report(Which::Store);
        } else if let Some(Jump { from_ms, to_ms }) = corrected {
            tracing::warn!(
                from_ms,
                to_ms,
                "store time differs from the estimate; adopted"
            );
        }
    }
}

impl Known {
    /// Returns the time, never less than before.
    fn now_ms(&mut self, elapsed: Duration) -> Option<u64> {
        let now_ms = self.reckoned_ms(elapsed)?;
        self.newest_ms = self.newest_ms.max(now_ms);
        Some(self.newest_ms)
    }

    fn reckoned_ms(&self, elapsed: Duration) -> Option<u64> {
        Some(self.timeline?.now_ms(elapsed))
    }

    /// Takes an answer to what was asked then; it is of some moment in between. Returns by how much this differs from
    /// what was reckoned, where that is much.
    fn take(&mut self, told: &Told, asked: Duration, elapsed: Duration) -> Option<Jump> {
        let took_ms = elapsed.saturating_sub(asked).as_millis() as u64;
        let reckoned_ms = self.reckoned_ms(elapsed).unwrap_or(0);
        let now_ms = reckoned_ms.clamp(told.now_ms, told.now_ms + took_ms);
        let corrected = Jump::of(reckoned_ms, now_ms).filter(|_| self.timeline.is_some());
        if corrected.is_some() {
            // Otherwise it stands still for a moment, where it was ahead. For longer would stop what it drives.
            self.newest_ms = now_ms;
        }
        self.timeline = Some(Timeline::at(now_ms, elapsed));
        self.offset_ms = told.offset_ms;
        corrected
    }
}
