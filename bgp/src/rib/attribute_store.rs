//! Interned path attributes.
//!
//! Knows attribute sets, how often each is referred to, and what the decision process wants to know of each without
//! opening it. Must not know tables or peers.
//!
//! A set is named by a 32-bit [`AttributesId`] and counted by hand: half the size of an `Arc` in the millions of
//! places that hold one, no atomic operations, and freed with its last reference, so that there is nothing to sweep.
//! An id may be kept only together with a reference ([`AttributeStore::retain`]).

use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::next_hops::NextHopTracker;
use super::slab::{Slab, SlabItem};
use crate::wire::{Attributes, Community, NextHop, Origin};

/// Names an attribute set in the [`AttributeStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AttributesId(pub(crate) u32);

/// LOCAL_PREF of a route that has none (RFC 4271 leaves it to us; everybody uses 100).
pub(crate) const DEFAULT_LOCAL_PREF: u32 = 100;

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct AttributeStore {
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Same ids as `values`: both see the same insertions and removals. Apart, because a comparison of two paths
    /// needs 32 octets of the one and none of the other.
    digests: Slab<Digest>,
    values: Slab<Value>,
    /// The second part of large communities that label a route.
    label: u32,
}

/// What the decision process and the export rules ask of an attribute set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest {
    references: u32,
    hash: u32,
    /// LOCAL_PREF, or the default.
    pub(crate) local_pref: u32,
    /// MULTI_EXIT_DISC; 0 when missing.
    pub(crate) med: u32,
    /// The AS that the route entered from; 0 for our own.
    pub(crate) neighbor_as: u32,
    /// The label; 0: none.
    pub(crate) label: u32,
    /// The next hop's number in the [`NextHopTracker`].
    pub(crate) next_hop: u32,
    /// AS_PATH length.
    pub(crate) path_length: u16,
    /// ORIGIN.
    pub(crate) origin: Origin,
    flags: u8,
}

const NO_ADVERTISE: u8 = 1;
const NO_EXPORT: u8 = 2;
const LINK_LOCAL: u8 = 4;
const HAS_MED: u8 = 8;
const REFLECTED: u8 = 16;
const VACANT: u8 = 128;

impl Digest {
    fn of(attributes: &Attributes, hash: u32, next_hop: u32, label: u32) -> Self {
        let labels = attributes.large_communities().iter().filter(|community| community.local1 == label);
        let has = |community| attributes.communities().contains(&community);
        let mut flags = 0;
        if has(Community::NO_ADVERTISE) {
            flags |= NO_ADVERTISE;
        }
        if has(Community::NO_EXPORT) || has(Community::NO_EXPORT_SUBCONFED) {
            flags |= NO_EXPORT;
        }
        if link_local(attributes.next_hop()).is_some() {
            flags |= LINK_LOCAL;
        }
        if attributes.med().is_some() {
            flags |= HAS_MED;
        }
        if attributes.originator_id().is_some() || !attributes.cluster_list().is_empty() {
            flags |= REFLECTED;
        }
        Self {
            references: 1,
            hash,
            local_pref: attributes.local_pref().unwrap_or(DEFAULT_LOCAL_PREF),
            med: attributes.med().unwrap_or(0),
            neighbor_as: attributes.as_path().neighbor_as().unwrap_or(0),
            label: labels.map(|community| community.local2).min().unwrap_or(0),
            next_hop,
            path_length: attributes.as_path().len().try_into().unwrap_or(u16::MAX),
            origin: attributes.origin(),
            flags,
        }
    }

    /// NO_ADVERTISE (RFC 1997).
    pub(crate) fn no_advertise(&self) -> bool {
        self.flags & NO_ADVERTISE != 0
    }

    /// NO_EXPORT or NO_EXPORT_SUBCONFED (RFC 1997).
    pub(crate) fn no_export(&self) -> bool {
        self.flags & NO_EXPORT != 0
    }

    /// The next hop has a link-local address.
    pub(crate) fn link_local(&self) -> bool {
        self.flags & LINK_LOCAL != 0
    }

    /// ORIGINATOR_ID or CLUSTER_LIST is there (RFC 4456).
    pub(crate) fn reflected(&self) -> bool {
        self.flags & REFLECTED != 0
    }

    /// MULTI_EXIT_DISC is there.
    pub(crate) fn has_med(&self) -> bool {
        self.flags & HAS_MED != 0
    }
}

/// The link-local address of a next hop, if it has one.
pub(crate) fn link_local(next_hop: NextHop) -> Option<std::net::Ipv6Addr> {
    match next_hop {
        NextHop::V6 { link_local: Some(address), .. } => Some(address),
        NextHop::V6 { global, .. } if global.is_unicast_link_local() => Some(global),
        _ => None,
    }
}

impl SlabItem for Digest {
    fn vacant(link: u32) -> Self {
        Self {
            references: 0,
            hash: link,
            local_pref: 0,
            med: 0,
            neighbor_as: 0,
            label: 0,
            next_hop: 0,
            path_length: 0,
            origin: Origin::Igp,
            flags: VACANT,
        }
    }

    fn link(&self) -> Option<u32> {
        (self.flags == VACANT).then_some(self.hash)
    }
}

#[derive(Debug)]
enum Value {
    Used(Attributes),
    Vacant(u32),
}

impl SlabItem for Value {
    fn vacant(link: u32) -> Self {
        Self::Vacant(link)
    }

    fn link(&self) -> Option<u32> {
        match self {
            Self::Used(_) => None,
            Self::Vacant(link) => Some(*link),
        }
    }
}

/// The table takes 64 bits and looks at both ends of them; the digest keeps 32.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl AttributeStore {
    /// An empty one, for routes that are labelled by large communities with this as their second part.
    pub(crate) fn new(label: u32) -> Self {
        Self { label, ..Self::default() }
    }

    /// The id of these attributes, with one reference for the caller.
    pub(crate) fn intern(&mut self, attributes: Attributes, next_hops: &mut NextHopTracker) -> AttributesId {
        let hash = (self.hasher.hash_one(&attributes) >> 32) as u32;
        let (digests, values) = (&mut self.digests, &mut self.values);
        let same = |id: &u32| {
            digests[*id].hash == hash && matches!(&values[*id], Value::Used(value) if *value == attributes)
        };
        match self.index.entry(spread(hash), same, |id| spread(digests[*id].hash)) {
            Entry::Occupied(known) => {
                let id = *known.get();
                digests[id].references += 1;
                AttributesId(id)
            }
            Entry::Vacant(place) => {
                let next_hop = next_hops.name(attributes.next_hop().address());
                let id = digests.insert(Digest::of(&attributes, hash, next_hop, self.label));
                let twin = values.insert(Value::Used(attributes));
                debug_assert_eq!(id, twin, "the two slabs see the same insertions and removals");
                place.insert(id);
                AttributesId(id)
            }
        }
    }

    /// One more reference.
    pub(crate) fn retain(&mut self, id: AttributesId) {
        self.digests[id.0].references += 1;
    }

    /// One reference less; with the last one the set is gone and its id may come to mean another.
    pub(crate) fn release(&mut self, id: AttributesId, next_hops: &mut NextHopTracker) {
        let digest = &mut self.digests[id.0];
        digest.references -= 1;
        if digest.references > 0 {
            return;
        }
        let digest = self.digests.remove(id.0);
        self.values.remove(id.0);
        next_hops.forget(digest.next_hop);
        if let Ok(entry) = self.index.find_entry(spread(digest.hash), |other| *other == id.0) {
            entry.remove();
        }
        if self.index.capacity() > 1024 && self.index.len() < self.index.capacity() / 8 {
            let digests = &self.digests;
            self.index.shrink_to(self.index.len() * 2, |id| spread(digests[*id].hash));
        }
    }

    /// The attributes of an id.
    pub(crate) fn get(&self, id: AttributesId) -> &Attributes {
        match &self.values[id.0] {
            Value::Used(attributes) => attributes,
            Value::Vacant(_) => unreachable!("an id without a reference"),
        }
    }

    /// The digest of an id.
    pub(crate) fn digest(&self, id: AttributesId) -> &Digest {
        &self.digests[id.0]
    }

    /// How many sets there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}
