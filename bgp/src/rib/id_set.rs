//! A set of small integers that is cheap to mark, to walk in order and to fill.

/// Ids as bits, with a second layer of bits saying which words are not empty, so that a walk over a large and almost
/// empty set touches little. One bit per id of the table: 128 KiB for a million.
#[derive(Debug, Default, Clone)]
pub(crate) struct IdSet {
    words: Vec<u64>,
    summary: Vec<u64>,
    len: u32,
}

impl IdSet {
    /// Adds an id; returns whether it was new.
    pub(crate) fn insert(&mut self, id: u32) -> bool {
        let word = (id / 64) as usize;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
            self.summary.resize(word / 64 + 1, 0);
        }
        let bit = 1 << (id % 64);
        let new = self.words[word] & bit == 0;
        if new {
            self.words[word] |= bit;
            self.summary[word / 64] |= 1 << (word % 64);
            self.len += 1;
        }
        new
    }

    /// Takes an id away; returns whether it was there.
    pub(crate) fn remove(&mut self, id: u32) -> bool {
        let word = (id / 64) as usize;
        let bit = 1 << (id % 64);
        let Some(bits) = self.words.get_mut(word).filter(|bits| **bits & bit != 0) else { return false };
        *bits &= !bit;
        if *bits == 0 {
            self.summary[word / 64] &= !(1 << (word % 64));
        }
        self.len -= 1;
        if self.len == 0 {
            // What grew with a large table must not outlive it.
            if self.words.len() > 4096 {
                *self = Self::default();
            }
        }
        true
    }

    /// Adds the ids `from..to`.
    pub(crate) fn insert_range(&mut self, from: u32, to: u32) {
        for id in from..to.min(from.next_multiple_of(64)) {
            self.insert(id);
        }
        let mut id = from.next_multiple_of(64);
        while id < to && to - id >= 64 {
            self.insert(id);
            let bits = &mut self.words[(id / 64) as usize];
            self.len += 64 - bits.count_ones();
            *bits = u64::MAX;
            id += 64;
        }
        for id in id..to {
            self.insert(id);
        }
    }

    /// Is it in the set?
    pub(crate) fn contains(&self, id: u32) -> bool {
        self.words.get((id / 64) as usize).is_some_and(|bits| bits & (1 << (id % 64)) != 0)
    }

    /// The lowest id.
    pub(crate) fn first(&self) -> Option<u32> {
        self.next_from(0)
    }

    /// The lowest id that is not below `from`.
    pub(crate) fn next_from(&self, from: u32) -> Option<u32> {
        let word = (from / 64) as usize;
        let bits = self.words.get(word)? & (u64::MAX << (from % 64));
        if bits != 0 {
            return Some(word as u32 * 64 + bits.trailing_zeros());
        }
        let after = word + 1;
        let mut block = after / 64;
        let mut bits = self.summary.get(block)? & (u64::MAX << (after % 64));
        while bits == 0 {
            block += 1;
            bits = *self.summary.get(block)?;
        }
        let word = block * 64 + bits.trailing_zeros() as usize;
        Some(word as u32 * 64 + self.words[word].trailing_zeros())
    }

    /// Number of ids.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// No id at all?
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(operations in prop::collection::vec((0u8..4, 0u32..20_000, 0u32..300), 1..200)) {
            let mut set = IdSet::default();
            let mut model = BTreeSet::new();
            for (operation, id, length) in operations {
                match operation {
                    0 => prop_assert_eq!(set.insert(id), model.insert(id)),
                    1 => prop_assert_eq!(set.remove(id), model.remove(&id)),
                    2 => {
                        set.insert_range(id, id + length);
                        model.extend(id..id + length);
                    }
                    _ => prop_assert_eq!(set.next_from(id), model.range(id..).next().copied()),
                }
                prop_assert_eq!(set.len() as usize, model.len());
                prop_assert_eq!(set.contains(id), model.contains(&id));
            }
            let mut walked = Vec::new();
            let mut from = 0;
            while let Some(id) = set.next_from(from) {
                walked.push(id);
                from = id + 1;
            }
            prop_assert_eq!(walked, model.into_iter().collect::<Vec<_>>());
        }
    }
}
