//! Sets of next hops for the kernel.
//!
//! Knows next hop sets and how many destinations use each, so that equal sets are one and a change is a comparison of
//! two numbers. Must not know destinations.

use std::collections::HashMap;

use super::{FibNextHop, NextHops};

/// Interned next hop sets. Number 0 means none.
#[derive(Debug, Default)]
pub(crate) struct NextHopSets {
    by_value: HashMap<NextHops, u32>,
    sets: Vec<Option<(NextHops, u32)>>,
    vacant: Vec<u32>,
}

impl NextHopSets {
    /// The number of a sorted set, with one reference for the caller; 0 for the empty one.
    pub(crate) fn intern(&mut self, next_hops: &[FibNextHop]) -> u32 {
        if next_hops.is_empty() {
            return 0;
        }
        if let Some(number) = self.by_value.get(next_hops) {
            if let Some((_, references)) = &mut self.sets[*number as usize - 1] {
                *references += 1;
            }
            return *number;
        }
        let set: NextHops = next_hops.into();
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.sets.push(None);
            self.sets.len() as u32
        });
        self.sets[number as usize - 1] = Some((set.clone(), 1));
        self.by_value.insert(set, number);
        number
    }

    /// One reference less.
    pub(crate) fn release(&mut self, number: u32) {
        let Some(slot) = number.checked_sub(1).and_then(|at| self.sets.get_mut(at as usize)) else { return };
        if let Some((set, references)) = slot {
            *references -= 1;
            if *references == 0 {
                self.by_value.remove(set);
                *slot = None;
                self.vacant.push(number);
            }
        }
    }

    /// The set of a number; `None` for 0.
    pub(crate) fn get(&self, number: u32) -> Option<NextHops> {
        let (set, _) = self.sets.get(number.checked_sub(1)? as usize)?.as_ref()?;
        Some(set.clone())
    }

    /// How many sets are in use.
    pub(crate) fn len(&self) -> usize {
        self.by_value.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_one_and_go_with_their_last_user() {
        let hop = |host| FibNextHop { address: [10, 0, 0, host].into(), scope: None };
        let mut sets = NextHopSets::default();
        let first = sets.intern(&[hop(1), hop(2)]);
        assert_eq!(sets.intern(&[hop(1), hop(2)]), first);
        let other = sets.intern(&[hop(1)]);
        assert_ne!(first, other);
        assert_eq!(sets.intern(&[]), 0);
        sets.release(first);
        assert_eq!(sets.get(first).as_deref(), Some(&[hop(1), hop(2)][..]));
        sets.release(first);
        assert_eq!(sets.get(first), None);
        assert_eq!(sets.len(), 1);
        assert_eq!(sets.intern(&[hop(3)]), first, "numbers are reused");
    }
}
