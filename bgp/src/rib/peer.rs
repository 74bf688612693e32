//! What the RIB is told of a peer, and what it counts for it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::policy::Policy;
use crate::wire::{FamilySet, NextHop};

/// A peer, by the number that the speaker gave it. Stable over sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

/// All that the RIB needs to know of an established session.
#[derive(Clone, Debug)]
pub struct PeerRib {
    /// The peer is in another AS.
    pub external: bool,
    /// The peer's AS number.
    pub asn: u32,
    /// The AS number that we show this peer and prepend when we advertise to it (our own, or a `local-asn`).
    pub local_asn: u32,
    /// The peer's BGP identifier, from its OPEN.
    pub router_id: Ipv4Addr,
    /// The peer's address.
    pub address: IpAddr,
    /// The families of the session. Others are neither accepted nor advertised.
    pub families: FamilySet,
    /// What we write as next hop when it is us.
    pub next_hop_self: NextHopSelf,
    /// Index of the interface that the peer is directly connected to, if it is: link-local next hops from this peer
    /// are reachable through it, and it is their scope. `None`: routes with only a link-local next hop are unusable.
    pub scope: Option<u32>,
    /// Import policy.
    pub import: Arc<Policy>,
    /// Export policy.
    pub export: Arc<Policy>,
    /// How often our own AS number may stand in the AS path of an accepted route.
    pub allow_own_as: u8,
    /// Routes from this peer may be given to the kernel.
    pub install: bool,
    /// At most this many prefixes per family are advertised. What exceeds it waits for room.
    pub max_prefixes_out: Option<u32>,
}

/// Our own next hop towards a peer, per family. A family without one is not advertised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextHopSelf {
    /// For IPv4 routes: our IPv4 address on the session, or an IPv6 one where RFC 8950 was negotiated.
    pub ipv4: Option<NextHop>,
    /// For IPv6 routes.
    pub ipv6: Option<NextHop>,
}

/// What was counted for one family of one session. All but `accepted` and `advertised` only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyCounters {
    /// Prefixes announced by the peer.
    pub received: u64,
    /// Prefixes withdrawn by the peer.
    pub withdrawn: u64,
    /// Announced prefixes that the import policy rejected.
    pub rejected: u64,
    /// Announced prefixes refused because of a loop (our AS number, our router id) or our own next hop.
    pub looped: u64,
    /// Announced prefixes that an error turned into withdrawals (RFC 7606).
    pub treated_as_withdraw: u64,
    /// Routes of the peer in the Adj-RIB-In now: those that the import policy accepted.
    pub accepted: u32,
    /// Routes in the Adj-RIB-Out now: what the peer has been sent and not withdrawn.
    pub advertised: u32,
    /// Routes that wait because of `max_prefixes_out`.
    pub held_back: u32,
}

/// What an UPDATE did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateOutcome {
    /// Routes of the peer in the Adj-RIB-In after the UPDATE, IPv4: the number that a prefix limit looks at.
    ///
    /// It counts what the import policy accepted, as FRR's `maximum-prefix` and BIRD's `import limit` do by default:
    /// rejected routes are not stored, so they cost nothing that a limit would have to protect.
    pub ipv4_accepted: u32,
    /// The same for IPv6.
    pub ipv6_accepted: u32,
}
