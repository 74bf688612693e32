//! What nodes are called, and how they are configured unless a test wants it otherwise.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use petiole_bgp::{
    policy::{self, Policy, Rule, Source},
    speaker::{Config, Origination, PeerConfig, RemoteAs},
    wire::Origin,
};

/// The address of a node.
pub(crate) fn address(node: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, node as u8 + 1).into()
}

/// The AS of a node.
pub(crate) fn asn(node: usize) -> u32 {
    65001 + node as u32
}

pub(crate) fn prefix(number: u32) -> IpNet {
    IpNet::new(Ipv4Addr::from(0xc0a8_0000 + number).into(), 32).unwrap()
}

pub(crate) fn origination() -> Origination {
    Origination {
        origin: Origin::Igp,
        med: None,
        local_pref: None,
        communities: Vec::new(),
        large_communities: Vec::new(),
    }
}

/// Everything, learned or not.
pub(crate) fn transit() -> Arc<Policy> {
    let rule = Rule { source: Some(Source::Any), ..Rule::new(policy::Action::Accept) };
    Arc::new(Policy::new(vec![rule], policy::Action::Reject))
}

/// A node without peers. Node 0 has the lowest identifier.
pub(crate) fn config(node: usize) -> Config {
    Config {
        asn: asn(node),
        router_id: Ipv4Addr::new(10, 0, 0, node as u8 + 1),
        host_name: format!("node{node}"),
        max_paths: 1,
        label: 1,
        peers: Vec::new(),
    }
}

/// How a node sees another one: accepts and announces everything.
pub(crate) fn peer(other: usize) -> PeerConfig {
    PeerConfig {
        hold_time: 9,
        connect_retry: Duration::from_secs(5),
        import: Arc::new(Policy::all()),
        export: transit(),
        ..PeerConfig::new(format!("node{other}"), address(other), RemoteAs::Exact(asn(other)))
    }
}
