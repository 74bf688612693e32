//! The typed host configuration: what the file means, with every default filled in.
//!
//! Knows value types of the standard library and `ipnet`; does not know TOML, spans, BGP messages or the kernel.
//! A value of these types has passed every check: what must not occur cannot be written, or can only be made by
//! a constructor that refuses it. Two configurations are equal exactly when nothing has to be done to go from one
//! to the other, so the daemon diffs these types and never text.

mod acl;
mod address;
mod endpoint;
mod name;
mod neighbor;
mod network;
mod publish;
mod route_policy;
mod secret;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use serde::Serialize;

pub use acl::{
    AclAction, AclRule, Bandwidth, DefaultAction, Direction, Dscp, GroupId, IcmpType, Limit, Peer, Policy,
    Priority, Profile, Service,
};
pub use address::{AddrRange, Address};
pub use endpoint::Endpoint;
pub use name::{IfName, IfNameError, Name, NameError, ScopedName};
pub use neighbor::{Distance, Export, Families, Import, Neighbor, RemoteAs};
pub use network::{Advertise, Encap, Group, Network, Subnet, Tenant};
pub use publish::{PortRange, Protocol, Publish, PublishError};
pub use route_policy::{
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
    pub route_policies: Vec<RoutePolicy>,
    /// `default` first, then `[[tenant]]` in the order of the file; names are unique.
    pub tenants: Vec<Tenant>,
    /// `[[network]]`, in the order of the file. Inside a tenant subnets do not overlap, and neither do those that this
    /// host has routes to, whatever their tenants; VLAN tags are unique on their uplink, VNIs on the host.
    pub networks: Vec<Network>,
    /// `[[group]]`, in the order of the file; names are unique, and so are numbers ([`Group::number`]).
    pub groups: Vec<Group>,
    /// `[[policy]]`, in the order of the file; names are unique.
    pub policies: Vec<Policy>,
    /// `[[profile]]`, in the order of the file; names are unique.
    pub profiles: Vec<Profile>,
    /// `[[endpoint]]`, in the order of the file; addresses are unique in their network, (netns, interface) everywhere.
    pub endpoints: Vec<Endpoint>,
    /// `[api]`.
    pub api: Api,
    /// `[state]`.
    pub state: State,
}

impl HostConfig {
    /// The route policy of that name. Every [`Import::Policy`] and [`Export::Policy`] of this configuration is found.
    pub fn route_policy(&self, name: &str) -> Option<&RoutePolicy> {
        self.route_policies.iter().find(|p| p.name.as_str() == name)
    }

    /// The network of that name. Every [`Endpoint::network`] and [`Group::network`] of this configuration is found.
    pub fn network(&self, id: &ScopedName) -> Option<&Network> {
        self.networks.iter().find(|n| n.id == *id)
    }

    /// The group of that name. Every [`Endpoint::group`] of this configuration is found.
    pub fn group(&self, id: &ScopedName) -> Option<&Group> {
        self.groups.iter().find(|g| g.id == *id)
    }

    /// The policy of that name. Every one of [`Group::policies`] of this configuration is found.
    pub fn policy(&self, id: &ScopedName) -> Option<&Policy> {
        self.policies.iter().find(|p| p.id == *id)
    }

    /// The profile of that name. Every [`Group::profile`] of this configuration is found.
    pub fn profile(&self, id: &ScopedName) -> Option<&Profile> {
        self.profiles.iter().find(|p| p.id == *id)
    }

    /// The endpoint of that name, if it is the file's.
    pub fn endpoint(&self, id: &ScopedName) -> Option<&Endpoint> {
        self.endpoints.iter().find(|e| e.id == *id)
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

/// `[state]`: what outlives the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// Directory of the journal of run-time endpoints, absolute.
    pub dir: PathBuf,
}
