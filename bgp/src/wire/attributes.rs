//! Path attributes (RFC 4271 section 5 and later RFCs) as one comparable, hashable value.
//!
//! Knows what a route's attributes are. Must not know their octets, nor who sent them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::community::CommunityList;
use super::{AsPath, Community, ExtendedCommunity, LargeCommunity, NextHop};

/// The path attributes of a route, without its NLRI. Two routes with equal `Attributes` share one value.
///
/// A speaker holds hundreds of thousands of these: 88 octets, and no allocation for a path of up to five AS numbers
/// with up to five communities. What few routes have lies in one box.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    as_path: AsPath,
    communities: CommunityList,
    rare: Option<Box<Rare>>,
    /// 0 when absent, so that equal routes are equal.
    med: u32,
    /// 0 when absent.
    local_pref: u32,
    next_hop: IpAddr,
    origin: Origin,
    flags: Flags,
}

const _: () = assert!(size_of::<Attributes>() <= 88);

/// What few routes have. Never kept when nothing in it is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Rare {
    link_local: Option<Ipv6Addr>,
    aggregator: Option<Aggregator>,
    originator_id: Option<Ipv4Addr>,
    cluster_list: Box<[Ipv4Addr]>,
    extended_communities: Box<[ExtendedCommunity]>,
    large_communities: Box<[LargeCommunity]>,
    unknown: Box<[UnknownAttribute]>,
}

/// One-bit facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Flags(u8);

impl Flags {
    const MED: u8 = 1;
    const LOCAL_PREF: u8 = 2;
    const ATOMIC_AGGREGATE: u8 = 4;

    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    fn set(&mut self, flag: u8, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
    }
}

/// The optional transitive attributes that a speaker before us may have passed on without knowing them: their partial
/// bit, once set, must stay (RFC 4271 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum PartialBit {
    Aggregator = 0x10,
    Communities = 0x20,
    ExtendedCommunities = 0x40,
    LargeCommunities = 0x80,
}

impl Attributes {
    /// Attributes with what is mandatory, and nothing else.
    #[inline]
    pub fn new(origin: Origin, as_path: AsPath, next_hop: NextHop) -> Self {
        let mut attributes = Self {
            as_path,
            communities: CommunityList::default(),
            rare: None,
            med: 0,
            local_pref: 0,
            next_hop: next_hop.address(),
            origin,
            flags: Flags::default(),
        };
        if let NextHop::V6 { link_local: Some(_), .. } = next_hop {
            attributes.set_next_hop(next_hop);
        }
        attributes
    }

    /// A list of what is rare.
    fn rare<T>(&self, list: impl FnOnce(&Rare) -> &Box<[T]>) -> &[T] {
        self.rare.as_deref().map_or(&[], |rare| list(rare))
    }

    /// Changes what is rare, and drops the box when nothing is left in it.
    fn edit_rare(&mut self, edit: impl FnOnce(&mut Rare)) {
        edit(self.rare.get_or_insert_default());
        if self.rare.as_deref() == Some(&Rare::default()) {
            self.rare = None;
        }
    }

    /// ORIGIN.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Sets ORIGIN.
    pub fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// AS_PATH, four-octet, AS4_PATH merged (RFC 6793).
    pub fn as_path(&self) -> &AsPath {
        &self.as_path
    }

    /// AS_PATH, for change.
    pub fn as_path_mut(&mut self) -> &mut AsPath {
        &mut self.as_path
    }

    /// NEXT_HOP, or the next hop of MP_REACH_NLRI.
    pub fn next_hop(&self) -> NextHop {
        match self.next_hop {
            IpAddr::V4(a) => NextHop::V4(a),
            IpAddr::V6(global) => {
                NextHop::V6 { global, link_local: self.rare.as_deref().and_then(|rare| rare.link_local) }
            }
        }
    }

    /// Sets the next hop.
    pub fn set_next_hop(&mut self, next_hop: NextHop) {
        self.next_hop = next_hop.address();
        let link_local = match next_hop {
            NextHop::V4(_) => None,
            NextHop::V6 { link_local, .. } => link_local,
        };
        if link_local.is_some() || self.rare.is_some() {
            self.edit_rare(|rare| rare.link_local = link_local);
        }
    }

    /// MULTI_EXIT_DISC.
    pub fn med(&self) -> Option<u32> {
        self.flags.has(Flags::MED).then_some(self.med)
    }

    /// Sets or removes MULTI_EXIT_DISC.
    pub fn set_med(&mut self, med: Option<u32>) {
        self.flags.set(Flags::MED, med.is_some());
        self.med = med.unwrap_or_default();
    }

    /// LOCAL_PREF. Never set by an external peer's UPDATE; an import policy may set it.
    pub fn local_pref(&self) -> Option<u32> {
        self.flags.has(Flags::LOCAL_PREF).then_some(self.local_pref)
    }

    /// Sets or removes LOCAL_PREF.
    pub fn set_local_pref(&mut self, local_pref: Option<u32>) {
        self.flags.set(Flags::LOCAL_PREF, local_pref.is_some());
        self.local_pref = local_pref.unwrap_or_default();
    }

    /// ATOMIC_AGGREGATE.
    pub fn atomic_aggregate(&self) -> bool {
        self.flags.has(Flags::ATOMIC_AGGREGATE)
    }

    /// Sets or removes ATOMIC_AGGREGATE.
    pub fn set_atomic_aggregate(&mut self, on: bool) {
        self.flags.set(Flags::ATOMIC_AGGREGATE, on);
    }

    /// AGGREGATOR, AS4_AGGREGATOR merged (RFC 6793).
    pub fn aggregator(&self) -> Option<Aggregator> {
        self.rare.as_deref()?.aggregator
    }

    /// Sets or removes AGGREGATOR.
    pub fn set_aggregator(&mut self, aggregator: Option<Aggregator>) {
        self.forget_partial(PartialBit::Aggregator, aggregator.is_none());
        self.edit_rare(|rare| rare.aggregator = aggregator);
    }

    /// COMMUNITIES (RFC 1997), sorted, without duplicates.
    pub fn communities(&self) -> &[Community] {
        &self.communities
    }

    /// Replaces COMMUNITIES.
    pub fn set_communities(&mut self, communities: Vec<Community>) {
        let sorted = sorted(communities);
        self.forget_partial(PartialBit::Communities, sorted.is_empty());
        self.communities = CommunityList::from_slice(&sorted);
    }

    /// Replaces COMMUNITIES by a list that is sorted and has no duplicates.
    #[inline]
    pub(super) fn set_community_list(&mut self, communities: CommunityList) {
        debug_assert!(communities.is_sorted_by(|a, b| a < b));
        self.communities = communities;
    }

    /// EXTENDED COMMUNITIES (RFC 4360), sorted, without duplicates.
    pub fn extended_communities(&self) -> &[ExtendedCommunity] {
        self.rare(|rare| &rare.extended_communities)
    }

    /// Replaces EXTENDED COMMUNITIES.
    pub fn set_extended_communities(&mut self, communities: Vec<ExtendedCommunity>) {
        let sorted = sorted(communities);
        self.forget_partial(PartialBit::ExtendedCommunities, sorted.is_empty());
        self.edit_rare(|rare| rare.extended_communities = sorted.into());
    }

    /// LARGE_COMMUNITY (RFC 8092), sorted, without duplicates.
    pub fn large_communities(&self) -> &[LargeCommunity] {
        self.rare(|rare| &rare.large_communities)
    }

    /// Replaces LARGE_COMMUNITY.
    pub fn set_large_communities(&mut self, communities: Vec<LargeCommunity>) {
        let sorted = sorted(communities);
        self.forget_partial(PartialBit::LargeCommunities, sorted.is_empty());
        self.edit_rare(|rare| rare.large_communities = sorted.into());
    }

    /// ORIGINATOR_ID (RFC 4456). Never set by an external peer's UPDATE.
    pub fn originator_id(&self) -> Option<Ipv4Addr> {
        self.rare.as_deref()?.originator_id
    }

    /// Sets or removes ORIGINATOR_ID.
    pub fn set_originator_id(&mut self, originator_id: Option<Ipv4Addr>) {
        self.edit_rare(|rare| rare.originator_id = originator_id);
    }

    /// CLUSTER_LIST (RFC 4456), nearest first. Never set by an external peer's UPDATE.
    pub fn cluster_list(&self) -> &[Ipv4Addr] {
        self.rare(|rare| &rare.cluster_list)
    }

    /// Replaces CLUSTER_LIST.
    pub fn set_cluster_list(&mut self, cluster_list: Vec<Ipv4Addr>) {
        self.edit_rare(|rare| rare.cluster_list = cluster_list.into());
    }

    /// Unknown optional transitive attributes, by type code, passed on octet for octet with the partial bit.
    pub fn unknown(&self) -> &[UnknownAttribute] {
        self.rare(|rare| &rare.unknown)
    }

    /// Replaces the unknown attributes; of several with one type code the first stays.
    pub fn set_unknown(&mut self, mut unknown: Vec<UnknownAttribute>) {
        unknown.sort_by_key(|attribute| attribute.code);
        unknown.dedup_by_key(|attribute| attribute.code);
        self.edit_rare(|rare| rare.unknown = unknown.into());
    }

    pub(super) fn is_partial(&self, attribute: PartialBit) -> bool {
        self.flags.has(attribute as u8)
    }

    pub(super) fn set_partial(&mut self, attribute: PartialBit) {
        self.flags.set(attribute as u8, true);
    }

    fn forget_partial(&mut self, attribute: PartialBit, gone: bool) {
        if gone {
            self.flags.set(attribute as u8, false);
        }
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}

/// ORIGIN, in the order the decision process prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// IGP.
    Igp = 0,
    /// EGP.
    Egp = 1,
    /// INCOMPLETE.
    Incomplete = 2,
}

/// `igp`, `egp`, `incomplete`.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Igp => "igp",
            Self::Egp => "egp",
            Self::Incomplete => "incomplete",
        })
    }
}

/// AGGREGATOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aggregator {
    /// AS that aggregated.
    pub asn: u32,
    /// Its identifier.
    pub router_id: Ipv4Addr,
}

/// An attribute that this speaker does not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownAttribute {
    /// Attribute type code.
    pub code: u8,
    /// Its value.
    pub value: Box<[u8]>,
}

#[cfg(test)]
mod tests;
