//! A slab with an index by key: stable small numbers for queues and lists, and each key stored once.
//!
//! Knows nothing of what the cells mean.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Keys of type `K`, each with a cell `C`, addressed by a slot number that stays the same while the key is there.
#[derive(Clone, Debug)]
pub(super) struct Table<K, C> {
    slots: Vec<Option<(K, C)>>,
    index: HashTable<u32>,
    free: Vec<u32>,
    hasher: DefaultHashBuilder,
}

impl<K, C> Default for Table<K, C> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            index: HashTable::new(),
            free: Vec::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl<K: Hash + Eq, C> Table<K, C> {
    /// The slot of a key.
    pub(super) fn find(&self, key: &K) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |&slot| self.holds(slot, key)).copied()
    }

    /// The slot of a key, made with `cell` if it is not there; and whether it was made.
    pub(super) fn insert(&mut self, key: K, cell: impl FnOnce() -> C) -> (u32, bool) {
        if let Some(slot) = self.find(&key) {
            return (slot, false);
        }
        let hash = self.hasher.hash_one(&key);
        let entry = Some((key, cell()));
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = entry;
            slot
        } else {
            self.slots.push(entry);
            (self.slots.len() - 1) as u32
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash, slot, |&s| {
            slots[s as usize].as_ref().map_or(0, |(key, _)| hasher.hash_one(key))
        });
        (slot, true)
    }

    /// Takes a key out; its slot may be given to another one.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some((key, _)) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        let hash = self.hasher.hash_one(&key);
        if let Ok(entry) = self.index.find_entry(hash, |&s| s == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }

    /// Key and cell of a slot.
    pub(super) fn get(&self, slot: u32) -> Option<(&K, &C)> {
        self.slots.get(slot as usize)?.as_ref().map(|(key, cell)| (key, cell))
    }

    /// The cell of a slot.
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut C> {
        self.slots.get_mut(slot as usize)?.as_mut().map(|(_, cell)| cell)
    }

    /// Everything, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &K, &C)> {
        self.iter_from(0)
    }

    /// Everything from a slot on.
    pub(super) fn iter_from(&self, slot: usize) -> impl Iterator<Item = (u32, &K, &C)> {
        let rest = self.slots.get(slot..).unwrap_or_default();
        rest.iter()
            .enumerate()
            .filter_map(move |(i, entry)| entry.as_ref().map(|(key, cell)| ((slot + i) as u32, key, cell)))
    }

    /// All cells.
    pub(super) fn cells_mut(&mut self) -> impl Iterator<Item = (u32, &mut C)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(i, entry)| entry.as_mut().map(|(_, cell)| (i as u32, cell)))
    }

    fn holds(&self, slot: u32, key: &K) -> bool {
        self.slots[slot as usize].as_ref().is_some_and(|(held, _)| held == key)
    }
}
