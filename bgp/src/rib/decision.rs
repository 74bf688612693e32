//! The decision process (RFC 4271 section 9.1.2.2), pure: candidates in, choice and reason out.
//!
//! Knows what RFC 4271, 4456 and 5004 compare. Must not know tables, peers or policies.

use std::fmt;
use std::net::IpAddr;

use crate::wire::Origin;

/// What the decision process looks at in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Originated by this host.
    pub local: bool,
    /// LOCAL_PREF, or 100.
    pub local_pref: u32,
    /// AS_PATH length: an AS_SET counts as 1.
    pub path_length: u32,
    /// ORIGIN.
    pub origin: Origin,
    /// The AS that the route entered from: MEDs are comparable among routes of the same. 0 for our own AS.
    pub neighbor_as: u32,
    /// MULTI_EXIT_DISC; 0 when missing (RFC 4271 section 9.1.2.2 c).
    pub med: u32,
    /// Learned from an external peer.
    pub external: bool,
    /// Metric of the way to the next hop.
    pub metric: u32,
    /// Chosen last time.
    pub current: bool,
    /// BGP identifier of the peer, or ORIGINATOR_ID (RFC 4456 section 9).
    pub router_id: u32,
    /// Length of CLUSTER_LIST (RFC 4456 section 9).
    pub cluster_list_length: u32,
    /// Address of the peer.
    pub address: IpAddr,
}

/// The step that told two paths apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// There is no other path.
    OnlyPath,
    /// The next hop of the other path cannot be reached (RFC 4271 section 9.1.2.1).
    Unreachable,
    /// A route of our own beats a learned one.
    LocalRoute,
    /// Higher LOCAL_PREF.
    LocalPref,
    /// Shorter AS_PATH (step a).
    PathLength,
    /// Lower ORIGIN (step b).
    Origin,
    /// Lower MULTI_EXIT_DISC from the same neighbour AS (step c).
    Med,
    /// External over internal (step d).
    External,
    /// Nearer next hop (step e).
    Metric,
    /// The path chosen before stays (RFC 5004).
    Oldest,
    /// Lower BGP identifier or ORIGINATOR_ID (step f).
    RouterId,
    /// Shorter CLUSTER_LIST (RFC 4456).
    ClusterList,
    /// Lower peer address (step g).
    PeerAddress,
}
