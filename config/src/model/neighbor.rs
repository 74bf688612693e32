//! BGP neighbours.

use std::net::IpAddr;

use serde::Serialize;

use super::{IfName, Name, Secret};

/// `[[neighbor]]`: one BGP session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Neighbor {
    /// Unique among neighbours.
    pub name: Name,
    /// The peer's address: unicast, none of the host's own.
    pub address: IpAddr,
    /// The interface that a link-local `address` is on; `Some` exactly when the address is link-local.
    pub interface: Option<IfName>,
    /// The AS that the peer must name in its OPEN.
    pub remote_as: RemoteAs,
    /// The AS that we name in ours: `[host] asn` unless `local-asn` says otherwise.
    pub local_asn: u32,
    /// What is taken from the peer.
    pub import: Import,
    /// What is told to the peer.
    pub export: Export,
    /// Proposed hold time in seconds; 0 (never) or 3 and more (RFC 4271 section 4.2).
    pub hold_time: u16,
    /// Seconds between KEEPALIVEs when the hold time is negotiated as proposed; below it. 0 exactly when it is 0.
    /// With a shorter negotiated hold time the speaker takes at most a third of that.
    pub keepalive: u16,
    /// Seconds before a failed connection is tried again (RFC 4271 section 8, ConnectRetryTime); at least 1.
    pub connect_retry: u16,
    /// Wait for the peer's connection, never dial.
    pub passive: bool,
    /// How far away the peer may be.
    pub distance: Distance,
    /// Shared key of RFC 2385, read from `password-file`.
    pub password: Option<Secret>,
    /// TCP port that we dial; not 0.
    pub port: u16,
    /// Address that we dial from and expect the peer to dial; of the same family as `address`.
    pub local_address: Option<IpAddr>,
    /// How often `local_asn` may stand in a received AS_PATH; 0 as RFC 4271 section 9.1.2 has it, at most 10.
    pub allow_own_as: u8,
    /// Address families that are offered to the peer.
    pub families: Families,
    /// More prefixes than this in one family end the session; not 0.
    pub max_prefixes: Option<u32>,
    /// No more prefixes than this are advertised in one family; not 0.
    pub max_prefixes_out: Option<u32>,
    /// Whether what is learned goes into the kernel's table.
    pub install: bool,
    /// For people.
    pub description: Option<String>,
    /// `Some`: the session is administratively down, and this is told to the peer (RFC 9003); at most 255 bytes,
    /// empty for no reason given.
    pub shutdown: Option<String>,
}

/// The peer's AS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemoteAs {
    /// This one; when it is also `local_asn`, the session is internal.
    Exact(u32),
    /// Any but ours.
    External,
}

/// What is taken from a neighbour. There is no default (RFC 8212).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Import {
    /// `"all"`: every route.
    All,
    /// `"default-route"`: 0.0.0.0/0 and ::/0.
    DefaultRoute,
    /// `"none"`.
    None,
    /// What this route policy accepts.
    Policy(Name),
}

/// What is told to a neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Export {
    /// `"local"`: what this host originates, nothing that it learned.
    Local,
    /// What this route policy accepts.
    Policy(Name),
}

/// How far away a peer may be: decides the TTL that is sent and demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// On a link of this host: TTL 1.
    Connected,
    /// Up to this many hops, 2 to 255: that TTL is sent.
    Multihop(u8),
    /// On a link of this host, and packets with a TTL below 255 are dropped (RFC 5082).
    TtlSecurity,
}

/// Address families of a session; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Families {
    ipv4: bool,
    ipv6: bool,
}

impl Families {
    /// IPv4 unicast and IPv6 unicast.
    pub const BOTH: Self = Self { ipv4: true, ipv6: true };

    /// `None` when there would be no family.
    pub fn new(ipv4: bool, ipv6: bool) -> Option<Self> {
        (ipv4 || ipv6).then_some(Self { ipv4, ipv6 })
    }

    /// Whether IPv4 unicast is among them.
    pub fn ipv4(self) -> bool {
        self.ipv4
    }

    /// Whether IPv6 unicast is among them.
    pub fn ipv6(self) -> bool {
        self.ipv6
    }
}
