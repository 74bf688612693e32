//! Traffic control: how fast a link sends.

use std::{fmt, sync::Arc};

/// The root qdisc of a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Qdisc {
    /// A token bucket with our handle.
    Bucket(TokenBucket),
    /// Anything else, by its kind; never wanted. What every link has from the kernel (handle 0) counts as none.
    Foreign(Arc<str>),
}

/// A token bucket (`tc-tbf(8)`) in the kernel's own units, so that what was asked for is what is shown.
///
/// What does not fit into the queue is dropped. A packet that leaves it has its Ethernet header counted too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenBucket {
    /// Octets per second.
    pub rate: u64,
    /// The bucket: for how long it lets more through than the rate, as the time that its octets take at that rate, in
    /// [`TICK`](Self::TICK)s.
    pub burst: u32,
    /// Larger packets (of many segments: GSO) are cut into their segments, as the time that such a packet takes at
    /// [`PEAK`](Self::PEAK), in ticks; 0: none are, but those that the bucket has no room for.
    pub whole: u32,
    /// Octets that may wait.
    pub queue: u32,
}

impl TokenBucket {
    /// Nanoseconds of the unit in which the kernel keeps times (`PSCHED_SHIFT` in net/pkt_sched.h).
    pub const TICK: u64 = 64;

    /// The peak rate that a bucket of ours has, octets per second. It holds nothing up; that there is one makes the
    /// kernel cut what is larger than its bucket (`max_size` in net/sched/sch_tbf.c).
    pub const PEAK: u32 = u32::MAX;

    /// What a frame has beyond the MTU: an Ethernet header and a VLAN tag (`__is_skb_forwardable` in the kernel lets
    /// that much through).
    const HEADER: u64 = 18;

    /// The largest packet of many segments (`GSO_LEGACY_MAX_SIZE`) with its header.
    const GSO_MAX: u64 = 65_536 + Self::HEADER;

    /// A bucket for a link of that MTU, that lets `rate` octets per second through and `burst` octets at once.
    ///
    /// - The bucket has room for one frame, and for what the rate gives in a millisecond: with less, timers that come
    ///   late cost a fifth of the rate at 100 Mbit/s (82 Mbit/s of TCP with one frame, 100 with this).
    /// - 25 ms of the rate may wait, and at least five frames (0.12 s at 512 kbit/s): what exceeds the rate is dropped, not
    ///   queued for seconds, and TCP still gets all of the rate.
    /// - Packets of many segments pass whole if they take less than a millisecond. The queue of a slow link has no room
    ///   for one of 64 KiB: uncut it would never get through. To cut all at 1 Gbit/s costs two thirds of that.
    /// - The kernel gives a bucket 2³² ns at most: at a rate that does not bring a frame in that time nothing would
    ///   ever pass, so the rate is raised to that (2.8 kbit/s for an MTU of 1500).
    pub fn new(rate: u64, burst: u32, mtu: u32) -> Self {
        let frame = u64::from(mtu) + Self::HEADER;
        let rate = rate.max(frame * 1_000_000_000 / u64::from(u32::MAX) + 1);
        let millisecond = rate / 1000;
        let whole = millisecond.max(frame);
        Self {
            rate,
            burst: ticks(u64::from(burst).max(whole), rate),
            whole: if whole < Self::GSO_MAX { ticks(whole, u64::from(Self::PEAK)) } else { 0 },
            queue: clamped((rate / 40).max(5 * frame)),
        }
    }

    /// Octets that the bucket has room for.
    pub fn burst_octets(&self) -> u64 {
        let octets = u128::from(self.burst) * u128::from(Self::TICK) * u128::from(self.rate) / 1_000_000_000;
        octets.try_into().unwrap_or(u64::MAX)
    }
}

/// The time of so many octets at a rate, in ticks, rounded up.
fn ticks(octets: u64, rate: u64) -> u32 {
    let ticks =
        (u128::from(octets) * 1_000_000_000).div_ceil(u128::from(rate) * u128::from(TokenBucket::TICK));
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

fn clamped(octets: u64) -> u32 {
    u32::try_from(octets).unwrap_or(u32::MAX)
}

impl fmt::Display for Qdisc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(bucket) => bucket.fmt(f),
            Self::Foreign(kind) => f.write_str(kind),
        }
    }
}

impl fmt::Display for TokenBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rate {} burst {} queue {}", self.rate, self.burst_octets(), self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `max_size` as `tbf_change` in net/sched/sch_tbf.c computes it.
    fn largest(bucket: &TokenBucket) -> u64 {
        let octets = |ticks: u32, rate: u64| {
            let ns = (u128::from(ticks) * 64).min(u128::from(u32::MAX));
            (ns * u128::from(rate) / 1_000_000_000) as u64
        };
        let by_burst = octets(bucket.burst, bucket.rate);
        if bucket.whole == 0 {
            by_burst
        } else {
            by_burst.min(octets(bucket.whole, TokenBucket::PEAK.into()))
        }
    }

    #[test]
    fn a_frame_always_fits_and_what_is_not_cut_fits_into_the_queue() {
        for rate in [1, 100, 1000, 64_000, 1_179_648, 13_107_200, 134_217_728, 10 << 30, 1 << 38, u64::MAX] {
            for burst in [0, 1, 10_240, 81_920, u32::MAX] {
                for mtu in [68, 1500, 9000, 65_535] {
                    let bucket = TokenBucket::new(rate, burst, mtu);
                    let largest = largest(&bucket);
                    assert!(largest >= u64::from(mtu) + 14, "{rate} {burst} {mtu}: {bucket:?}");
                    let passes = largest.min(TokenBucket::GSO_MAX + u64::from(mtu));
                    assert!(u64::from(bucket.queue) >= passes, "{rate} {burst} {mtu}: {bucket:?} {largest}");
                    assert!(bucket.whole == 0 || bucket.rate < TokenBucket::PEAK.into());
                }
            }
        }
    }

    #[test]
    fn the_burst_is_what_was_asked_for_where_that_is_enough() {
        let slow = TokenBucket::new(64_000, 81_920, 1500);
        assert_eq!((slow.rate, slow.burst_octets(), slow.queue), (64_000, 81_920, 5 * 1518));
        assert_eq!(TokenBucket::new(64_000, 1, 1500).burst_octets(), 1518);
        let fast = TokenBucket::new(134_217_728, 81_920, 1500);
        assert_eq!((fast.burst_octets() / 1000, fast.whole, fast.queue), (134, 0, 3_355_443));
    }

    #[test]
    fn a_rate_that_no_frame_would_pass_by_is_raised() {
        assert_eq!(TokenBucket::new(1, 0, 1500).rate, 354);
    }
}
