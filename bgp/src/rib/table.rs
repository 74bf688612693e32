//! Storage of one family: destinations and their paths.
//!
//! Knows how they are kept: an index of ids, a slab of destinations, a slab of paths in linked lists, best path first.
//! No allocation per route. Must not know which path is the best, nor what attributes mean.
//!
//! The one structure is Adj-RIB-In and Loc-RIB both: the paths of a destination are what the peers announced and the
//! import policies accepted, the head of the list is what the decision process chose.
//!
//! A destination's id is what the Adj-RIBs-Out and the FIB feed know it by, so it lives as long as any of them has
//! something to withdraw: [`Destination::pins`] and [`Destination::fib`].

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::{BuildHasher, RandomState};

use super::attribute_store::AttributesId;
use super::prefix::FamilyPrefix;
use super::slab::{Slab, SlabItem};

/// No path.
pub(crate) const NONE: u32 = u32::MAX;

/// A peer's session, by its slot in [`super::peers::Peers`].
pub(crate) type Slot = u16;

/// A prefix and what hangs on it.
#[derive(Debug)]
pub(crate) struct Destination<P> {
    pub(crate) prefix: P,
    choice: Choice,
    /// Adj-RIBs-Out that hold a route for it.
    pub(crate) pins: u16,
    /// First path.
    pub(crate) head: u32,
    /// The next hops that the FIB feed last reported, by their number; 0: none.
    pub(crate) fib: u32,
}

/// The outcome of the decision process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// The head of the list.
    Head,
    /// No path is usable.
    NoPath,
    /// The slot holds no destination.
    Vacant,
}

impl<P> Destination<P> {
    /// The path that the decision process chose last.
    pub(crate) fn best(&self) -> Option<u32> {
        (self.choice == Choice::Head).then_some(self.head)
    }

    /// Is the head the best path?
    pub(crate) fn choice_is_head(&self) -> bool {
        self.choice == Choice::Head
    }

    /// Notes whether the head is the best path.
    pub(crate) fn set_best(&mut self, head_is_best: bool) {
        self.choice = if head_is_best { Choice::Head } else { Choice::NoPath };
    }
}

impl<P: FamilyPrefix> SlabItem for Destination<P> {
    fn vacant(link: u32) -> Self {
        Self { prefix: P::default(), choice: Choice::Vacant, pins: 0, head: link, fib: 0 }
    }

    fn link(&self) -> Option<u32> {
        (self.choice == Choice::Vacant).then_some(self.head)
    }
}

/// A route from one peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) attributes: AttributesId,
    pub(crate) next: u32,
    pub(crate) slot: Slot,
    /// The peer's round in which it was last announced (see [`super::adj_rib_in`]).
    pub(crate) round: u8,
    kind: Kind,
}

/// What a path depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Its next hop is on the link to the peer.
    OnLink,
    /// Its next hop is tracked.
    Tracked,
    Vacant,
}

impl Path {
    /// Does it depend on the resolution of its next hop?
    pub(crate) fn is_tracked(&self) -> bool {
        self.kind == Kind::Tracked
    }
}

impl SlabItem for Path {
    fn vacant(link: u32) -> Self {
        Self { attributes: AttributesId(0), next: link, slot: 0, round: 0, kind: Kind::Vacant }
    }

    fn link(&self) -> Option<u32> {
        (self.kind == Kind::Vacant).then_some(self.next)
    }
}

const _: () = assert!(size_of::<Path>() == 12 && size_of::<Destination<ipnet::Ipv4Net>>() == 16);

/// A route for [`Table::put`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewPath {
    pub(crate) slot: Slot,
    pub(crate) attributes: AttributesId,
    pub(crate) round: u8,
    pub(crate) tracked: bool,
}

/// What [`Table::put`] found in place of the path.
pub(crate) enum Put {
    /// Nothing: the path is new.
    New,
    /// This path of the same peer; was it the head?
    Replaced(Path, bool),
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Table<P> {
    index: HashTable<u32>,
    seed: u64,
    destinations: Slab<Destination<P>>,
    paths: Slab<Path>,
}

impl<P: FamilyPrefix> Default for Table<P> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            seed: RandomState::new().hash_one(P::MAX_LEN),
            destinations: Slab::default(),
            paths: Slab::default(),
        }
    }
}

impl<P: FamilyPrefix> Table<P> {
    /// The id of a prefix, if it has one.
    pub(crate) fn find(&self, prefix: P) -> Option<u32> {
        let destinations = &self.destinations;
        self.index.find(prefix.hash(self.seed), |id| destinations[*id].prefix == prefix).copied()
    }

    /// The id of a prefix, new if need be.
    pub(crate) fn find_or_add(&mut self, prefix: P) -> u32 {
        let (destinations, seed) = (&mut self.destinations, self.seed);
        let same = |id: &u32| destinations[*id].prefix == prefix;
        match self.index.entry(prefix.hash(seed), same, |id| destinations[*id].prefix.hash(seed)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => {
                let id = destinations.insert(Destination {
                    prefix,
                    choice: Choice::NoPath,
                    pins: 0,
                    head: NONE,
                    fib: 0,
                });
                place.insert(id);
                id
            }
        }
    }

    /// Gives a destination's slot back when nothing hangs on it any more.
    pub(crate) fn drop_unused(&mut self, id: u32) {
        let destination = &self.destinations[id];
        if destination.head != NONE || destination.pins > 0 || destination.fib != 0 {
            return;
        }
        let prefix = destination.prefix;
        if let Ok(entry) = self.index.find_entry(prefix.hash(self.seed), |other| *other == id) {
            entry.remove();
        }
        self.destinations.remove(id);
        if self.index.capacity() > 1024 && self.index.len() < self.index.capacity() / 8 {
            let (destinations, seed) = (&self.destinations, self.seed);
            self.index.shrink_to(self.index.len() * 2, |id| destinations[*id].prefix.hash(seed));
        }
    }

    /// A destination that may be gone.
    pub(crate) fn get(&self, id: u32) -> Option<&Destination<P>> {
        self.destinations.get(id)
    }

    /// A destination whose id is known to live.
    pub(crate) fn destination(&self, id: u32) -> &Destination<P> {
        &self.destinations[id]
    }

    /// The same, to change.
    pub(crate) fn destination_mut(&mut self, id: u32) -> &mut Destination<P> {
        &mut self.destinations[id]
    }

    /// All ids are below this.
    pub(crate) fn bound(&self) -> u32 {
        self.destinations.bound()
    }

    /// Number of destinations.
    pub(crate) fn len(&self) -> usize {
        self.destinations.len()
    }

    /// A path.
    pub(crate) fn path(&self, id: u32) -> &Path {
        &self.paths[id]
    }

    /// The paths of a destination, the best one first.
    pub(crate) fn paths(&self, destination: u32) -> Paths<'_> {
        Paths { paths: &self.paths, next: self.destinations[destination].head }
    }

    /// Puts the path of a peer in place. A new one goes behind the head, which stays the chosen one.
    pub(crate) fn put(&mut self, destination: u32, new: NewPath) -> Put {
        let NewPath { slot, attributes, round, tracked } = new;
        let kind = if tracked { Kind::Tracked } else { Kind::OnLink };
        let head = self.destinations[destination].head;
        let mut at = head;
        while at != NONE {
            let path = &mut self.paths[at];
            if path.slot == slot {
                let before = *path;
                *path = Path { attributes, round, kind, ..before };
                return Put::Replaced(before, at == head);
            }
            at = path.next;
        }
        let next = if head == NONE { NONE } else { self.paths[head].next };
        let id = self.paths.insert(Path { attributes, next, slot, round, kind });
        if head == NONE {
            self.destinations[destination].head = id;
        } else {
            self.paths[head].next = id;
        }
        Put::New
    }

    /// Takes the path of a peer away; with it, whether it was the head.
    pub(crate) fn take(&mut self, destination: u32, slot: Slot) -> Option<(Path, bool)> {
        let mut before = NONE;
        let mut at = self.destinations[destination].head;
        while at != NONE {
            let Path { slot: owner, next, .. } = self.paths[at];
            if owner == slot {
                self.relink(destination, before, next);
                return Some((self.paths.remove(at), before == NONE));
            }
            (before, at) = (at, next);
        }
        None
    }

    fn relink(&mut self, destination: u32, before: u32, next: u32) {
        if before == NONE {
            self.destinations[destination].head = next;
        } else {
            self.paths[before].next = next;
        }
    }

    /// Makes a path of the destination the head of its list.
    pub(crate) fn bring_forward(&mut self, destination: u32, path: u32) {
        let head = self.destinations[destination].head;
        if head == path {
            return;
        }
        let mut before = head;
        while self.paths[before].next != path {
            before = self.paths[before].next;
        }
        self.paths[before].next = self.paths[path].next;
        self.paths[path].next = head;
        self.destinations[destination].head = path;
    }

    /// Paths of all destinations.
    pub(crate) fn path_count(&self) -> usize {
        self.paths.len()
    }
}

/// The paths of one destination with their ids.
#[derive(Debug)]
pub(crate) struct Paths<'a> {
    paths: &'a Slab<Path>,
    next: u32,
}

impl<'a> Iterator for Paths<'a> {
    type Item = (u32, &'a Path);

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.next;
        if id == NONE {
            return None;
        }
        let path = &self.paths[id];
        self.next = path.next;
        Some((id, path))
    }
}
