//! A set of addresses as ascending runs of numbers: what a network or a group may give out.
//!
//! Knows nothing of who has what. All of an IPv6 /64 costs as much here as one address.

use petiole_config::model::{AddrRange, Address};

/// The addresses from `first` to `last`, both included, as numbers of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u128,
    pub(super) last: u128,
}

/// Ascending runs that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pool(Vec<Run>);

impl Pool {
    /// The addresses of all `ranges`, in whatever order they come.
    pub(super) fn new<'a, A: Address + 'a>(ranges: impl IntoIterator<Item = &'a AddrRange<A>>) -> Self {
        let run = |r: &AddrRange<A>| Run { first: r.first().to_bits(), last: r.last().to_bits() };
        let mut runs: Vec<Run> = ranges.into_iter().map(run).collect();
        runs.sort_unstable_by_key(|r| r.first);
        let mut merged: Vec<Run> = Vec::with_capacity(runs.len());
        for run in runs {
            match merged.last_mut() {
                Some(previous) if run.first <= previous.last.saturating_add(1) => {
                    previous.last = previous.last.max(run.last);
                }
                _ => merged.push(run),
            }
        }
        Self(merged)
    }

    /// What is left when `others` are taken out.
    pub(super) fn without(&self, others: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        let mut holes = others.0.iter().peekable();
        for run in &self.0 {
            let mut first = Some(run.first);
            while holes.next_if(|hole| hole.last < run.first).is_some() {}
            // A hole may reach into the next run, so it is looked at without being taken.
            let mut inside = holes.clone();
            while let Some(hole) = inside.next_if(|hole| hole.first <= run.last) {
                if let Some(first) = first.filter(|first| *first < hole.first) {
                    left.push(Run { first, last: hole.first - 1 });
                }
                first = hole.last.checked_add(1);
            }
            if let Some(first) = first.filter(|first| *first <= run.last) {
                left.push(Run { first, last: run.last });
            }
        }
        Self(left)
    }

    /// The runs, ascending.
    pub(super) fn runs(&self) -> impl Iterator<Item = Run> {
        self.0.iter().copied()
    }

    /// Whether the address is in it.
    pub(super) fn contains(&self, address: u128) -> bool {
        let after = self.0.partition_point(|run| run.first <= address);
        after.checked_sub(1).and_then(|i| self.0.get(i)).is_some_and(|run| address <= run.last)
    }

    /// How many addresses there are; all of IPv6 counts as one less than it has.
    pub(super) fn size(&self) -> u128 {
        self.0.iter().fold(0, |n, run| n.saturating_add((run.last - run.first).saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn pool(runs: &[(u32, u32)]) -> Pool {
        let ranges: Vec<AddrRange<Ipv4Addr>> =
            runs.iter().map(|(a, b)| AddrRange::new((*a).into(), (*b).into()).unwrap()).collect();
        Pool::new(&ranges)
    }

    #[test]
    fn ranges_that_overlap_or_touch_are_one_run() {
        assert_eq!(pool(&[(7, 9), (1, 3), (4, 5), (2, 2)]), pool(&[(1, 5), (7, 9)]));
        assert_eq!(pool(&[(1, 5), (7, 9)]).size(), 8);
    }

    #[test]
    fn what_is_taken_out_leaves_the_parts_before_between_and_after() {
        let whole = pool(&[(10, 19), (30, 39)]);
        assert_eq!(whole.without(&pool(&[])), whole);
        assert_eq!(whole.without(&pool(&[(0, 9), (20, 29), (40, 50)])), whole);
        assert_eq!(
            whole.without(&pool(&[(12, 13), (15, 15)])),
            pool(&[(10, 11), (14, 14), (16, 19), (30, 39)])
        );
        assert_eq!(whole.without(&pool(&[(15, 34)])), pool(&[(10, 14), (35, 39)]));
        assert_eq!(whole.without(&pool(&[(0, 100)])), pool(&[]));
        assert_eq!(whole.without(&pool(&[(10, 10), (19, 30), (39, 39)])), pool(&[(11, 18), (31, 38)]));
    }

    #[test]
    fn all_of_ipv6_is_one_run() {
        let all = AddrRange::new(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from_bits(u128::MAX)).unwrap();
        let top = AddrRange::new(Ipv6Addr::from_bits(u128::MAX), Ipv6Addr::from_bits(u128::MAX)).unwrap();
        let pool = Pool::new(&[all, top]);
        assert_eq!(pool.size(), u128::MAX);
        assert!(pool.contains(u128::MAX) && pool.contains(0));
        assert_eq!(pool.without(&Pool::new(&[top])).size(), u128::MAX);
        assert_eq!(pool.without(&pool), Pool::default());
    }
}
