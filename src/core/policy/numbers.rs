//! Numbers for things: of their content, so that a number means the same after a restart and another configuration, and
//! a change of one thing changes one number.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
};

/// FNV-1a of 32 bits.
struct Fnv(u32);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0.into()
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

/// The number that a thing has if no other one has it. Not 0.
pub(super) fn number(thing: &impl Hash) -> u32 {
    let mut fnv = Fnv(0x811c_9dc5);
    thing.hash(&mut fnv);
    fnv.0.max(1)
}

/// Numbers that have been given out for things of one kind, and to what.
#[derive(Clone, Debug)]
pub(super) struct Numbers<T> {
    by_number: BTreeMap<u32, T>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self { by_number: BTreeMap::new() }
    }
}

impl<T: Hash + Eq + Clone> Numbers<T> {
    /// The thing's number. Two things of one hash, of which there is one pair among some ten thousand, get two numbers by
    /// the order in which they come: that of the configuration.
    pub(super) fn of(&mut self, thing: &T) -> u32 {
        let mut number = number(thing);
        loop {
            match self.by_number.get(&number) {
                Some(other) if other != thing => number = number.wrapping_add(1).max(1),
                Some(_) => return number,
                None => {
                    self.by_number.insert(number, thing.clone());
                    return number;
                }
            }
        }
    }

    /// All of them.
    pub(super) fn into_names(self) -> BTreeMap<u32, T> {
        self.by_number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one hash, whatever they are.
    #[derive(Clone, PartialEq, Eq)]
    struct Same(u8);

    impl Hash for Same {
        fn hash<H: Hasher>(&self, _: &mut H) {}
    }

    #[test]
    fn equal_things_have_one_number_and_others_never_the_same() {
        let mut numbers = Numbers::default();
        let first = numbers.of(&Same(1));
        let second = numbers.of(&Same(2));
        assert_ne!(first, second);
        assert_eq!((numbers.of(&Same(1)), numbers.of(&Same(2))), (first, second));
        assert_eq!(number(&"web"), number(&"web"));
        assert_ne!(number(&"web"), number(&"db"));
    }
}
