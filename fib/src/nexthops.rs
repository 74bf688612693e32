//! Sets of next hops, as the decision process hands them over.
//!
//! Knows gateways and links. Must not know how the kernel shares them among routes: that is the plan's.

use std::net::IpAddr;

use crate::model::IfName;

/// One next hop: a gateway over a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hop {
    /// The gateway; of either family for IPv4 routes (RFC 8950), IPv6 for IPv6 routes.
    pub via: IpAddr,
    /// The outgoing link, in the host's namespace.
    pub link: IfName,
    /// The gateway is on the link even where no address of the link covers it (`RTNH_F_ONLINK`).
    pub onlink: bool,
}

/// The next hops that a route is spread over: sorted, no duplicates, so that equal sets are equal values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct NextHops(Box<[Hop]>);

impl NextHops {
    /// The hops in order.
    pub fn hops(&self) -> &[Hop] {
        &self.0
    }

    /// Whether there is none. A route over no next hop is not installed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Hop> for NextHops {
    fn from_iter<T: IntoIterator<Item = Hop>>(hops: T) -> Self {
        let mut hops: Vec<Hop> = hops.into_iter().collect();
        hops.sort_unstable();
        hops.dedup();
        Self(hops.into_boxed_slice())
    }
}
