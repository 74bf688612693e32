//! Sets of next hops for the kernel, each with the label of the routes that use it.
//!
//! Knows next hop sets and how many destinations use each, so that equal sets are one and a change is a comparison of
//! two numbers. Must not know destinations.

use std::collections::HashMap;

use super::{FibNextHop, NextHops};

/// Interned next hop sets. Number 0 means none, and no label.
#[derive(Debug, Default)]
pub(crate) struct NextHopSets {
    /// By label: there are few of them for each set.
    by_value: HashMap<NextHops, Vec<(u32, u32)>>,
    sets: Vec<Option<Counted>>,
    vacant: Vec<u32>,
}

/// A set, and how many use it.
#[derive(Debug)]
struct Counted {
    next_hops: NextHops,
    label: u32,
    references: u32,
}

impl NextHopSets {
    /// The number of a sorted set with a label, with one reference for the caller; 0 for none without one.
    pub(crate) fn intern(&mut self, next_hops: &[FibNextHop], label: u32) -> u32 {
        if next_hops.is_empty() && label == 0 {
            return 0;
        }
        let known = self.by_value.get(next_hops);
        if let Some((_, number)) = known.and_then(|labels| labels.iter().find(|(of, _)| *of == label)) {
            if let Some(set) = &mut self.sets[*number as usize - 1] {
                set.references += 1;
            }
            return *number;
        }
        let next_hops: NextHops = next_hops.into();
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.sets.push(None);
            self.sets.len() as u32
        });
        self.sets[number as usize - 1] = Some(Counted { next_hops: next_hops.clone(), label, references: 1 });
        self.by_value.entry(next_hops).or_default().push((label, number));
        number
    }

    /// One reference less.
    pub(crate) fn release(&mut self, number: u32) {
        let Some(slot) = number.checked_sub(1).and_then(|at| self.sets.get_mut(at as usize)) else { return };
        let Some(set) = slot else { return };
        set.references -= 1;
        if set.references > 0 {
            return;
        }
        if let Some(labels) = self.by_value.get_mut(&set.next_hops) {
            labels.retain(|(_, of)| *of != number);
            if labels.is_empty() {
                self.by_value.remove(&set.next_hops);
            }
        }
        *slot = None;
        self.vacant.push(number);
    }

    /// The set of a number, if it is not empty, and its label.
    pub(crate) fn get(&self, number: u32) -> (Option<NextHops>, u32) {
        let set = number.checked_sub(1).and_then(|at| self.sets.get(at as usize)?.as_ref());
        let next_hops = set.map(|set| set.next_hops.clone()).filter(|next_hops| !next_hops.is_empty());
        (next_hops, set.map_or(0, |set| set.label))
    }

    /// How many sets are in use.
    pub(crate) fn len(&self) -> usize {
        self.sets.len() - self.vacant.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_one_and_go_with_their_last_user() {
        let hop = |host| FibNextHop { address: [10, 0, 0, host].into(), scope: None };
        let mut sets = NextHopSets::default();
        let first = sets.intern(&[hop(1), hop(2)], 0);
        assert_eq!(sets.intern(&[hop(1), hop(2)], 0), first);
        let other = sets.intern(&[hop(1)], 0);
        assert_ne!(first, other);
        assert_eq!(sets.intern(&[], 0), 0);
        sets.release(first);
        assert_eq!(sets.get(first).0.as_deref(), Some(&[hop(1), hop(2)][..]));
        sets.release(first);
        assert_eq!(sets.get(first), (None, 0));
        assert_eq!(sets.len(), 1);
        assert_eq!(sets.intern(&[hop(3)], 0), first, "numbers are reused");
    }

    #[test]
    fn a_set_with_another_label_is_another_one() {
        let hop = FibNextHop { address: [10, 0, 0, 1].into(), scope: None };
        let mut sets = NextHopSets::default();
        let (plain, labelled) = (sets.intern(&[hop], 0), sets.intern(&[hop], 7));
        assert_ne!(plain, labelled);
        sets.release(plain);
        assert_eq!(sets.get(labelled).1, 7);
        assert_eq!(sets.intern(&[hop], 7), labelled);
        let alone = sets.intern(&[], 7);
        assert_eq!((alone != 0, sets.get(alone)), (true, (None, 7)));
    }
}
