//! Policies: who may talk to whom, and profiles: how fast.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Serialize, Serializer};

use super::{AddrRange, Name, PortRange, ScopedName};

/// `[[policy]]`: rules that groups of its tenant refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    /// Unique among policies.
    pub id: ScopedName,
    /// The rules, in the order of the file; their ids are unique in the policy.
    pub rules: Vec<AclRule>,
}

/// One rule of a policy. For a group P that has the policy, `in` is about traffic to members of P and `out` about
/// traffic from members of P; replies to what was allowed need no rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AclRule {
    /// Identifier, not an order.
    pub id: Name,
    /// Which way the first packet goes.
    pub direction: Direction,
    /// The other side: where `in` comes from, where `out` goes to.
    pub peer: Peer,
    /// What is spoken.
    pub service: Service,
    /// What becomes of it.
    pub action: AclAction,
    /// The highest decides, over all policies of both groups.
    pub priority: Priority,
    /// Whether the kernel logs what the rule decides.
    pub log: bool,
}

/// Which way the first packet of a connection goes, seen from the group that has the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To the group's members.
    In,
    /// From the group's members.
    Out,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AclAction {
    /// Lets it pass.
    Allow,
    /// Drops it.
    Deny,
}

/// The other side of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// Anybody.
    Any,
    /// An address in a subnet of the [`Network`](super::Network) of that name, which this configuration has.
    Network(ScopedName),
    /// Members of the group, if there is one, at one of the addresses, if there are any: one of the two is there.
    Of {
        /// Name of a [`Group`](super::Group) of this configuration.
        group: Option<ScopedName>,
        /// IPv4 addresses, ascending, apart from each other. With both families empty: any address.
        v4: Vec<AddrRange<Ipv4Addr>>,
        /// IPv6 addresses, likewise. A rule that has addresses of one family only does not match the other one.
        v6: Vec<AddrRange<Ipv6Addr>>,
    },
}

impl Peer {
    /// Whether there are addresses, and the address is none of them.
    pub fn excludes(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Any | Self::Network(_), _) => false,
            (Self::Of { v4, v6, .. }, _) if v4.is_empty() && v6.is_empty() => false,
            (Self::Of { v4, .. }, IpAddr::V4(a)) => !v4.iter().any(|range| range.contains(a)),
            (Self::Of { v6, .. }, IpAddr::V6(a)) => !v6.iter().any(|range| range.contains(a)),
        }
    }
}

/// What a rule is about, above IP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Everything.
    Any,
    /// A protocol by its number in IANA's registry "Protocol Numbers" (one with ports: all of them).
    Protocol(u8),
    /// Destination ports of a protocol that has some (6 TCP, 17 UDP, 132 SCTP), ascending, apart from each other, not
    /// empty.
    Ports(u8, Vec<PortRange>),
    /// `protocol = "icmp"`: ICMP in IPv4 and ICMPv6 in IPv6, of every type that is not neighbour discovery or multicast
    /// listener discovery, which no rule is about; or of these types, not empty.
    Icmp(Option<Vec<IcmpType>>),
}

/// A type of message that ICMP (RFC 792) and ICMPv6 (RFC 4443) have under different numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IcmpType {
    /// Type in IPv4; `None`: there is none.
    pub v4: Option<u8>,
    /// Type in IPv6; `None`: there is none.
    pub v6: Option<u8>,
}

/// A rule's priority, 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Priority(u8);

impl Priority {
    /// The lowest, and what a rule has that does not say.
    pub const MIN: Self = Self(1);
    /// The highest.
    pub const MAX: Self = Self(100);

    /// `None` outside 1 to 100.
    pub fn new(priority: u8) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&priority).then_some(Self(priority))
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What becomes of traffic to and from a group's members that no rule is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultAction {
    /// It passes.
    #[default]
    Allow,
    /// It is dropped.
    Deny,
}

/// A group's number on the wire: on routes (RFC 8092) and, its lower 16 bits, in VXLAN packets. Not 0, and not the
/// highest, which says on routes that a container is in no group. The same on all hosts, because it is in the file or made of the group's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct GroupId(u32);

impl GroupId {
    /// The highest.
    pub const MAX: Self = Self(u32::MAX - 1);

    /// `None` for 0 and above [`GroupId::MAX`].
    pub fn new(id: u32) -> Option<Self> {
        (1..=Self::MAX.0).contains(&id).then_some(Self(id))
    }

    /// What a group has that says nothing else: FNV-1a over `tenant/name`; the lower 16 bits are
    /// not 0.
    pub fn of_name(name: &ScopedName) -> Self {
        let fnv = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let bytes = name.tenant.as_str().bytes().chain([b'/']).chain(name.name.as_str().bytes());
        let hash = bytes.fold(0x811c_9dc5, fnv);
        Self(if hash as u16 == 0 { hash | 1 } else { hash.min(Self::MAX.0) })
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number in VXLAN packets (draft-smith-vxlan-group-policy); 0: it has none there.
    pub fn in_packets(self) -> u16 {
        self.0 as u16
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `[[profile]]`: limits for each member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Profile {
    /// Unique among profiles.
    pub id: ScopedName,
    /// Of what leaves the container; `None`: no limit.
    pub out: Option<Limit>,
    /// Of what comes to the container.
    pub inward: Option<Limit>,
    /// Code point (RFC 2474) of what leaves the container, 1 to 63; `None`: as the container sets it.
    pub dscp: Option<Dscp>,
}

/// A limit: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limit {
    /// Bits per second, counting Ethernet frames. Not 0.
    pub rate: Bandwidth,
    /// Octets that may be sent at once after a pause; at least one frame of the network's MTU is always let through.
    pub burst: u32,
}

/// Bits per second, not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bandwidth(u64);

impl Bandwidth {
    /// `None` for 0.
    pub fn new(bits_per_second: u64) -> Option<Self> {
        (bits_per_second != 0).then_some(Self(bits_per_second))
    }

    /// Bits per second.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Octets per second, as the kernel counts: at least 1.
    pub fn octets(self) -> u64 {
        (self.0 / 8).max(1)
    }
}

impl fmt::Display for Bandwidth {
    /// `500Kbps`: the largest unit of 1024 bit/s that it is a whole number of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "Gbps"), (1 << 20, "Mbps"), (1 << 10, "Kbps")];
        match units.iter().find(|(unit, _)| self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}bps", self.0),
        }
    }
}

impl Serialize for Bandwidth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A differentiated services code point other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Dscp(u8);

impl Dscp {
    /// `None` for 0, which changes nothing, and above 63.
    pub fn new(value: u8) -> Option<Self> {
        (1..=63).contains(&value).then_some(Self(value))
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}
