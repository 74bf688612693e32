//! Pages of the RIB for people to read.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{PeerId, Reason};
use crate::wire::{Attributes, Family};

/// Where a paged view goes on. Start with [`Cursor::start`]. Pages are in no particular order of prefixes; while the
/// table changes between two pages a route may be missed or seen twice only if it was itself removed and added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) family: Family,
    pub(super) destination: u32,
}

impl Cursor {
    /// The beginning of a family's table.
    pub fn start(family: Family) -> Self {
        Self { family, destination: 0 }
    }
}

/// One page of a view.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// A destination of the Loc-RIB with all its paths, the best one first.
#[derive(Clone, Debug)]
pub struct RouteView {
    /// The destination.
    pub prefix: IpNet,
    /// Its paths. Empty for a destination that is only waiting to be withdrawn somewhere.
    pub paths: Vec<PathView>,
}

/// One path of a destination.
#[derive(Clone, Debug)]
pub struct PathView {
    /// The peer it was learned from; `None`: originated here.
    pub peer: Option<PeerId>,
    /// Its attributes after the import policy.
    pub attributes: Attributes,
    /// Its part in forwarding.
    pub standing: Standing,
    /// For the best path: what made it better than the runner-up. For every other: the step at which it lost to the
    /// best path.
    pub reason: Reason,
    /// Metric of the way to the next hop; `None` while there is none.
    pub metric: Option<u32>,
    /// The peer is being refreshed and has not repeated this path yet.
    pub stale: bool,
}

/// The part of a path in forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The best path.
    Best,
    /// Used beside the best path.
    Multipath,
    /// Usable, but not used.
    Candidate,
    /// Not usable: its next hop cannot be reached.
    Unreachable,
}

/// A route of an Adj-RIB-In or Adj-RIB-Out.
#[derive(Clone, Debug)]
pub struct AdjacentRoute {
    /// The destination.
    pub prefix: IpNet,
    /// Received: as the import policy left them. Advertised: as they were sent.
    pub attributes: Attributes,
}

/// A next hop for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FibNextHop {
    /// Where to send packets. Not necessarily on a connected network.
    pub address: IpAddr,
    /// Index of the interface, for link-local addresses.
    pub scope: Option<u32>,
}
