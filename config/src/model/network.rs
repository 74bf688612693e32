//! Networks of containers, and the containers that the file owns.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use serde::Serialize;

use super::{AddrRange, Address, IfName, Name};

/// `[[network]]`: where containers get their addresses from. Has `v4`, `v6` or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Network {
    /// Unique among networks.
    pub name: Name,
    /// How its traffic travels.
    pub encap: Encap,
    /// `subnet`, `gateway`, `pool`.
    pub v4: Option<Subnet<Ipv4Addr>>,
    /// `subnet6`, `gateway6`, `pool6`.
    pub v6: Option<Subnet<Ipv6Addr>>,
    /// What BGP says about it.
    pub advertise: Advertise,
}

/// How the traffic of a network travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encap {
    /// Each container is a /32 or /128 that the host routes.
    Routed,
}

/// What BGP says about a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advertise {
    /// A /32 or /128 for each attached container.
    Endpoints,
    /// The subnet, whether or not it has containers.
    Subnet,
    /// Nothing.
    None,
}

/// The addresses of a network in one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Subnet<A: Address> {
    /// The prefix, without host bits.
    #[serde(rename = "subnet")]
    pub net: A::Net,
    /// The containers' default gateway: in the subnet (and then in no pool), or link-local: 169.254.1.1 and fe80::1
    /// unless the file says otherwise. The host answers for it on each container's link.
    pub gateway: A,
    /// The addresses that this host may give out: inside the subnet, ascending, apart from each other, not empty;
    /// the gateway, an IPv4 network or broadcast address and IPv6's subnet-router anycast address are not among them.
    pub pool: Vec<AddrRange<A>>,
}

impl<A: Address> Subnet<A> {
    /// Whether this host may give out the address.
    pub fn may_assign(&self, address: A) -> bool {
        self.pool.iter().any(|range| range.contains(address))
    }
}

/// `[[endpoint]]`: a container that the file owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Endpoint {
    /// Unique among endpoints.
    pub name: Name,
    /// Name of a [`Network`] of this configuration.
    pub network: Name,
    /// Network namespace of the container, absolute; it need not exist yet.
    pub netns: PathBuf,
    /// Name of the container's interface.
    pub interface: IfName,
    /// Fixed address out of the network's pool; `None`: any of the pool, if the network has IPv4.
    pub address: Option<Ipv4Addr>,
    /// Fixed address out of the network's pool; `None`: any of the pool, if the network has IPv6.
    pub address6: Option<Ipv6Addr>,
}
