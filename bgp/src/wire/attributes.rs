//! Path attributes (RFC 4271 section 5 and later RFCs) as one comparable, hashable value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The path attributes of a route, without its NLRI. Two routes with equal `Attributes` share one value.
///
/// The skeleton's shape; the rarely used fields may be boxed together to keep the common case small.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH, 4-octet, AS4_PATH merged (RFC 6793).
    pub as_path: AsPath,
    /// NEXT_HOP, or the next hop of MP_REACH_NLRI.
    pub next_hop: NextHop,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF. Never set by an external peer's UPDATE; an import policy may set it.
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR, AS4_AGGREGATOR merged.
    pub aggregator: Option<Aggregator>,
    /// COMMUNITIES (RFC 1997), sorted, without duplicates.
    pub communities: Box<[Community]>,
    /// EXTENDED COMMUNITIES (RFC 4360), sorted, without duplicates.
    pub extended_communities: Box<[ExtendedCommunity]>,
    /// LARGE_COMMUNITY (RFC 8092), sorted, without duplicates.
    pub large_communities: Box<[LargeCommunity]>,
    /// Unknown optional transitive attributes, by type code, passed on byte for byte with the partial bit.
    pub unknown: Box<[UnknownAttribute]>,
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

/// AS_PATH in canonical 4-octet wire form: segments of type, count, AS numbers. Accessors (`len` for the decision
/// process, `contains`, `neighbor_as`, `segments`, `prepend`) belong to this type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AsPath(pub(super) Box<[u8]>);

/// The next hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NextHop {
    /// IPv4.
    V4(Ipv4Addr),
    /// IPv6, global (or link-local alone, in `global`, as FRR and others send it on unnumbered sessions).
    V6 {
        /// First address of the next hop field.
        global: Ipv6Addr,
        /// Second address (RFC 2545), where there is one.
        link_local: Option<Ipv6Addr>,
    },
}

impl NextHop {
    /// The address that resolution works on: the global one.
    pub fn address(self) -> IpAddr {
        match self {
            Self::V4(a) => a.into(),
            Self::V6 { global, .. } => global.into(),
        }
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

/// A standard community.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Community(pub u32);

/// An extended community, eight octets as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtendedCommunity(pub [u8; 8]);

/// A large community (RFC 8092).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LargeCommunity {
    /// Global administrator.
    pub global: u32,
    /// Local data part 1.
    pub local1: u32,
    /// Local data part 2.
    pub local2: u32,
}

/// An attribute that this speaker does not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownAttribute {
    /// Attribute type code.
    pub code: u8,
    /// Its value.
    pub value: Box<[u8]>,
}
