//! Containers.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use serde::Serialize;

use super::{IfName, Publish, ScopedName};

/// A container, of the file (`[[endpoint]]`) or added at run time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Endpoint {
    /// Unique among endpoints.
    pub id: ScopedName,
    /// Name of a [`Network`](super::Network) of this configuration; the group's, where there is one.
    pub network: ScopedName,
    /// Name of a [`Group`](super::Group) of this configuration.
    pub group: Option<ScopedName>,
    /// Network namespace of the container, absolute; it need not exist yet.
    pub netns: PathBuf,
    /// Name of the container's interface.
    pub interface: IfName,
    /// Fixed address out of the pool of the group or network; `None`: any of it, if the network has IPv4.
    pub address: Option<Ipv4Addr>,
    /// Fixed address out of the pool of the group or network; `None`: any of it, if the network has IPv6.
    pub address6: Option<Ipv6Addr>,
    /// Ports of this host that lead to the container, in the order of the file; none clashes with another one. Only
    /// in networks with [`host routes`](super::Network::has_host_routes).
    pub publish: Vec<Publish>,
}
