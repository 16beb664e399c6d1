//! One line a second on standard error.

use std::{io::Write, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::watch, task::AbortHandle, time::interval};

use crate::{
    pool::{Latencies, Sample, Timeline},
    report::thousands,
};

/// Reports the state of things until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    phase: watch::Sender<String>,
    task: AbortHandle,
}

impl Progress {
    pub(crate) fn start(timeline: Arc<Mutex<Timeline>>) -> Progress {
        let (phase, current) = watch::channel(String::new());
        let task = tokio::spawn(async move {
            let (mut seconds, mut told) = (interval(Duration::from_secs(1)), Sample::default());
            seconds.tick().await;
            loop {
                seconds.tick().await;
                let (now, line) = {
                    let timeline = timeline.lock();
                    let now = timeline.last();
                    let line = line(&timeline, &told, &now);
                    (now, line)
                };
                let phase = current.borrow().clone();
                say(&format!("{phase:<10} {line}"));
                told = now;
            }
        });
        Progress {
            phase,
            task: task.abort_handle(),
        }
    }

    /// Names what is going on from now on.
    pub(crate) fn phase(&self, phase: &str) {
        self.phase.send(phase.to_owned()).ok();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A line for people. Nobody has to read it.
pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}

fn line(timeline: &Timeline, before: &Sample, now: &Sample) -> String {
    let passed_s = now.at_us.saturating_sub(before.at_us) as f64 / 1e6;
    let per_s =
        |now: u64, before: u64| thousands(now.saturating_sub(before) as f64 / passed_s.max(0.1));
    let mut all = Latencies::default();
    timeline
        .between(before.at_us, now.at_us)
        .for_each(|sample| all.add(&sample.latency));
    let uncut = timeline.uncut(before.at_us, now.at_us);
    let p99 = |latencies: &Latencies| match latencies.quantile_us(0.99) {
        Some(us) => format!("{:.1} ms", us as f64 / 1e3),
        None => "–".into(),
    };
    format!(
        "clients {} · out {} · back {} and caught up {} of {} · moved {} · attaches {}/s · refused {}/s · \
         events {}/s · p99 {}, not cut {}",
        thousands(now.clients as f64),
        thousands(now.out as f64),
        thousands(now.back as f64),
        thousands(now.caught_up as f64),
        thousands(now.cut as f64),
        thousands(now.moved as f64),
        per_s(now.attaches, before.attaches),
        per_s(now.refusals, before.refusals),
        per_s(now.events, before.events),
        p99(&all),
        p99(&uncut),
    )
}
