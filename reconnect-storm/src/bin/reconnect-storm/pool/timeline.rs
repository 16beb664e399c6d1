use super::{command::Sample, latency::Latencies};

/// The state of the pool, ten times a second, over all its processes.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    samples: Vec<Sample>,
    /// The newest of each process.
    newest: Vec<Sample>,
}

impl Timeline {
    pub(super) fn new(processes: usize) -> Self {
        Timeline {
            samples: Vec::new(),
            newest: vec![Sample::default(); processes],
        }
    }

    /// Takes a sample of one process. The first one's beat is the beat of all.
    pub(super) fn add(&mut self, process: usize, sample: Sample) {
        let Some(newest) = self.newest.get_mut(process) else {
            return;
        };
        let older = std::mem::replace(newest, sample);
        newest.latency.add(&older.latency);
        newest.latency_uncut.add(&older.latency_uncut);
        newest.lag_us = newest.lag_us.max(older.lag_us);
        if process > 0 {
            return;
        }
        let mut all = Sample {
            at_us: newest.at_us,
            ..Sample::default()
        };
        for newest in &mut self.newest {
            all.add(newest);
            newest.latency = Latencies::default();
            newest.latency_uncut = Latencies::default();
            newest.lag_us = 0;
        }
        self.samples.push(all);
    }

    pub(crate) fn last(&self) -> Sample {
        self.samples.last().cloned().unwrap_or_default()
    }

    /// The samples between two moments on the clock of the system, in microseconds.
    pub(crate) fn between(&self, from_us: u64, to_us: u64) -> impl Iterator<Item = &Sample> {
        let inside = move |sample: &&Sample| sample.at_us > from_us && sample.at_us <= to_us;
        self.samples.iter().filter(inside)
    }

    /// The slowest event of a while.
    pub(crate) fn slowest_us(&self, from_us: u64, to_us: u64) -> Option<u64> {
        let samples = self.between(from_us, to_us);
        samples
            .filter_map(|sample| sample.latency.quantile_us(1.0))
            .max()
    }

    /// Latencies between those that were not cut, over a while.
    pub(crate) fn uncut(&self, from_us: u64, to_us: u64) -> Latencies {
        let mut all = Latencies::default();
        self.between(from_us, to_us)
            .for_each(|sample| all.add(&sample.latency_uncut));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_what_processes_say_and_loses_no_latency() {
        let mut timeline = Timeline::new(2);
        let sample = |at_us, out, latency_us: u64| {
            let mut sample = Sample {
                at_us,
                out,
                ..Sample::default()
            };
            sample.latency_uncut.record(latency_us);
            sample
        };
        timeline.add(1, sample(90, 3, 10));
        timeline.add(1, sample(95, 4, 10));
        timeline.add(0, sample(100, 1, 10));
        timeline.add(1, sample(190, 0, 10));
        timeline.add(0, sample(200, 2, 10));
        let outs: Vec<_> = timeline.samples.iter().map(|sample| sample.out).collect();
        assert_eq!(outs, [5, 2]);
        assert_eq!(timeline.uncut(0, 100).count(), 3);
        assert_eq!(timeline.uncut(100, 200).count(), 2);
    }
}
