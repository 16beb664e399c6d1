use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A histogram of latencies: buckets of a sixteenth of a power of two, so 6 % wide.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Latencies {
    /// By bucket.
    counts: BTreeMap<u16, u64>,
}

const PER_DOUBLING_BITS: u32 = 4;

impl Latencies {
    pub(crate) fn record(&mut self, us: u64) {
        self.put(bucket(us), 1);
    }

    pub(crate) fn add(&mut self, other: &Latencies) {
        for (bucket, count) in &other.counts {
            self.put(*bucket, *count);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The latency in microseconds that a share of all did not exceed; `None` where there are none.
    pub(crate) fn quantile_us(&self, share: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut passed = 0;
        for (bucket, count) in &self.counts {
            passed += count;
            if passed >= rank {
                return Some(upper_bound(*bucket));
            }
        }
        None
    }

    fn put(&mut self, bucket: u16, count: u64) {
        *self.counts.entry(bucket).or_default() += count;
    }
}

/// Below 16 each number is a bucket; above, the exponent and the four bits after the highest.
fn bucket(us: u64) -> u16 {
    let exponent = 63 - (us | 1).leading_zeros();
    if exponent < PER_DOUBLING_BITS {
        return us as u16;
    }
    let shift = exponent - PER_DOUBLING_BITS;
    let within = (us >> shift) as u16 & ((1 << PER_DOUBLING_BITS) - 1);
    (((shift + 1) as u16) << PER_DOUBLING_BITS) | within
}

/// The highest number in a bucket.
fn upper_bound(bucket: u16) -> u64 {
    let shift = (bucket >> PER_DOUBLING_BITS).saturating_sub(1);
    if bucket < 1 << PER_DOUBLING_BITS {
        return u64::from(bucket);
    }
    let within = u64::from(bucket & ((1 << PER_DOUBLING_BITS) - 1)) | (1 << PER_DOUBLING_BITS);
    ((within + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_put_into_it_and_is_a_sixteenth_wide() {
        for us in (0..5_000).chain([99_999, 1_000_000, 60_000_000, u64::from(u32::MAX)]) {
            let bound = upper_bound(bucket(us));
            assert!(
                bound >= us && bound <= us + us / 16,
                "{us} lies below {bound}"
            );
            assert_eq!(bucket(bound), bucket(us), "{us}");
            assert_eq!(bucket(bound + 1), bucket(us) + 1, "{us}");
        }
    }

    #[test]
    fn quantiles_of_sums_are_those_of_everything() {
        let (mut low, mut high) = (Latencies::default(), Latencies::default());
        assert_eq!(low.quantile_us(0.99), None);
        (1..=90).for_each(|us| low.record(us));
        (91..=100).for_each(|us| high.record(us * 1_000));
        low.add(&high);
        assert_eq!(low.count(), 100);
        let median = low.quantile_us(0.5).unwrap();
        assert!((50..=53).contains(&median), "{median}");
        let p99 = low.quantile_us(0.99).unwrap();
        assert!((99_000..=105_200).contains(&p99), "{p99}");
        assert_eq!(low.quantile_us(0.0), Some(1));
    }
}
