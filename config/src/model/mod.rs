//! The typed host configuration: what the file means, with every default filled in.
//!
//! Knows value types of the standard library and `ipnet`; does not know TOML, spans, BGP messages or the kernel.
//! A value of these types has passed every check: what must not occur cannot be written, or can only be made by
//! a constructor that refuses it. Two configurations are equal exactly when nothing has to be done to go from one
//! to the other, so the daemon diffs these types and never text.

mod address;
mod name;
mod neighbor;
mod network;
mod policy;
mod secret;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use serde::Serialize;

pub use address::{AddrRange, Address};
pub use name::{IfName, IfNameError, Name, NameError};
pub use neighbor::{Distance, Export, Families, Import, Neighbor, RemoteAs};
pub use network::{Advertise, Encap, Endpoint, Network, Subnet};
pub use policy::{
    Action, AsPathMask, AsPathToken, Community, LargeCommunity, Match, PrefixRange, RoutePolicy, Rule, Set,
    Source,
};
pub use secret::Secret;

/// Everything that this host should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostConfig {
    /// `[host]`.
    pub host: Host,
    /// `[[uplink]]`, in the order of the file; interfaces are unique.
    pub uplinks: Vec<Uplink>,
    /// `[[neighbor]]`, in the order of the file; names are unique, and so are addresses (with their interface).
    pub neighbors: Vec<Neighbor>,
    /// `[[route-policy]]`, in the order of the file; names are unique.
    pub policies: Vec<RoutePolicy>,
    /// `[[network]]`, in the order of the file; names are unique, subnets do not overlap.
    pub networks: Vec<Network>,
    /// `[[endpoint]]`, in the order of the file; names are unique, and so are addresses and (netns, interface).
    pub endpoints: Vec<Endpoint>,
    /// `[api]`.
    pub api: Api,
}

impl HostConfig {
    /// The route policy of that name. Every [`Import::Policy`] and [`Export::Policy`] of this configuration is found.
    pub fn policy(&self, name: &str) -> Option<&RoutePolicy> {
        self.policies.iter().find(|p| p.name.as_str() == name)
    }

    /// The network of that name. Every [`Endpoint::network`] of this configuration is found.
    pub fn network(&self, name: &str) -> Option<&Network> {
        self.networks.iter().find(|n| n.name.as_str() == name)
    }
}

/// `[host]`: this host as a BGP speaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Host {
    /// `None`: the kernel's host name, which the daemon asks for.
    pub name: Option<Name>,
    /// Autonomous system number; a usable one (not 0, 23456, 65535 or 4294967295).
    pub asn: u32,
    /// BGP identifier, not zero. As written, else the first IPv4 loopback, else the lowest IPv4 address of an uplink;
    /// `None` when the file has none of these, and the daemon has to choose.
    pub router_id: Option<Ipv4Addr>,
    /// Addresses of the host itself, advertised as /32 and /128; the first of each family is the preferred source
    /// of installed routes. Unique.
    pub loopback: Vec<IpAddr>,
}

/// `[[uplink]]`: an interface towards the fabric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Uplink {
    /// Interface in the host's network namespace; it need not exist yet.
    pub interface: IfName,
    /// Addresses with the length of the subnet that they are in (`50.1.1.1/24`: host bits are kept).
    /// Empty: addresses are somebody else's business.
    pub addresses: Vec<IpNet>,
}

/// `[api]`: how programs talk to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Api {
    /// Unix socket, absolute, short enough for `sun_path`.
    pub socket: PathBuf,
    /// Where Prometheus finds the metrics. `None`: nowhere.
    pub metrics: Option<SocketAddr>,
}
