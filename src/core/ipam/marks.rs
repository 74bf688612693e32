//! A set of numbers that knows its gaps: which addresses have ever been used, and the first one that has not.
//!
//! Neighbouring numbers are kept as one run, so a pool that fills from below is one entry however large it is, and
//! the next free address is one look-up away.

use std::collections::BTreeMap;

/// Runs by their first number; they neither overlap nor touch.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks(BTreeMap<u128, u128>);

impl Marks {
    /// The run that the number is in, as first and last.
    fn run_of(&self, n: u128) -> Option<(u128, u128)> {
        let (first, last) = self.0.range(..=n).next_back()?;
        (n <= *last).then_some((*first, *last))
    }

    /// Marks the number.
    pub(super) fn insert(&mut self, n: u128) {
        if self.run_of(n).is_some() {
            return;
        }
        let below = n.checked_sub(1).and_then(|below| self.run_of(below));
        let above = n.checked_add(1).and_then(|above| self.0.remove(&above));
        let first = below.map_or(n, |(first, _)| first);
        self.0.insert(first, above.unwrap_or(n));
    }

    /// Takes the mark away.
    pub(super) fn remove(&mut self, n: u128) {
        let Some((first, last)) = self.run_of(n) else { return };
        if first == n {
            self.0.remove(&first);
        } else {
            self.0.insert(first, n - 1);
        }
        if n < last {
            self.0.insert(n + 1, last);
        }
    }

    /// The first number from `n` on without a mark.
    pub(super) fn next_gap(&self, n: u128) -> Option<u128> {
        match self.run_of(n) {
            Some((_, last)) => last.checked_add(1),
            None => Some(n),
        }
    }

    /// How many runs there are: what the set costs.
    #[cfg(test)]
    pub(super) fn runs(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_the_number_space_are_numbers_like_others() {
        let mut marks = Marks::default();
        marks.insert(u128::MAX);
        assert_eq!(marks.next_gap(u128::MAX), None);
        marks.insert(0);
        assert_eq!(marks.next_gap(0), Some(1));
        marks.remove(u128::MAX);
        assert_eq!(marks.next_gap(u128::MAX), Some(u128::MAX));
        marks.remove(0);
        assert_eq!(marks.runs(), 0);
    }

    proptest! {
        #[test]
        fn the_set_is_a_set_and_its_runs_are_as_few_as_possible(
            steps in proptest::collection::vec((any::<bool>(), 0..24_u128), 0..120)
        ) {
            let mut marks = Marks::default();
            let mut naive = BTreeSet::new();
            for (insert, n) in steps {
                if insert {
                    marks.insert(n);
                    naive.insert(n);
                } else {
                    marks.remove(n);
                    naive.remove(&n);
                }
                for from in 0..26 {
                    let gap = (from..=26).find(|n| !naive.contains(n));
                    prop_assert_eq!(marks.next_gap(from), gap);
                }
                let starts = naive.iter().filter(|n| **n == 0 || !naive.contains(&(**n - 1))).count();
                prop_assert_eq!(marks.runs(), starts);
            }
        }
    }
}
