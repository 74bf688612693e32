//! Jitter. A small seeded generator (SplitMix64), so that a simulation can be replayed; not for secrets.

use std::time::Duration;

/// A seeded sequence of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// `interval` times a factor between 0.75 and 1.0 (RFC 4271 section 10).
    pub fn jitter(&mut self, interval: Duration) -> Duration {
        let nanos = interval.as_nanos().min(u128::from(u64::MAX)) as u64;
        let quarter = nanos / 4;
        Duration::from_nanos(nanos - self.below(quarter.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_between_three_quarters_and_the_whole() {
        let mut random = Random::new(7);
        let whole = Duration::from_mins(2);
        let (mut low, mut high) = (whole, Duration::ZERO);
        for _ in 0..10_000 {
            let jittered = random.jitter(whole);
            low = low.min(jittered);
            high = high.max(jittered);
        }
        assert!(low >= whole.mul_f64(0.75) && low < whole.mul_f64(0.76), "{low:?}");
        assert!(high <= whole && high > whole.mul_f64(0.99), "{high:?}");
        assert_eq!(random.jitter(Duration::ZERO), Duration::ZERO);
    }
}
