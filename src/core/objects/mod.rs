//! Which kernel objects the config asks for. Pure.
//!
//! Knows how a host, a network and a container are wired; must not know what exists, in which order things are done,
//! or BGP.

mod container;
mod limits;
mod names;
mod netfilter;
mod network;

use std::net::IpAddr;

use ipnet::IpNet;
use petiole_config::model::{Advertise, HostConfig, Network};
use petiole_fib::model::{IfName, Key, Link, LinkKind, Mac, Ns, Object, Route, RouteKey, RouteTarget};

pub(crate) use container::{Gateways, Medium, Wiring, address_of_mac, container, mac};
pub(crate) use limits::{Limits, is_limit};
pub(crate) use names::{bridge, endpoint_of_alias, ifb, outer};
pub(crate) use netfilter::{netfilter, nft_item, nft_table};
pub(crate) use network::{device, flood, links as network_links, network, overhead};

/// The kernel's main table.
pub(crate) const TABLE_MAIN: u32 = 254;

/// Metric of routes to our own containers: before everything learned, after nothing but what an operator sets by hand.
pub(crate) const METRIC_LOCAL: u32 = 10;

/// The Ethernet address of the host towards its containers: on the host's end of their links, and on bridges with a
/// gateway. The containers' neighbour entries for their gateway need to know it before the link exists, and a
/// container that is moved finds the same gateway.
/// Locally administered, and no container's: those are 02:02 and an IPv4 address, and 255.255.255.255 is none.
pub(crate) const HOST_MAC: Mac = Mac([0x02, 0x02, 0xff, 0xff, 0xff, 0xff]);

/// The objects of the host itself: loopback and uplink addresses, sysctls, routes of announced subnets.
pub(crate) fn host(config: &HostConfig) -> Vec<Object> {
    let has_v6 =
        config.neighbors.iter().any(|n| n.families.ipv6()) || config.networks.iter().any(|n| n.v6.is_some());
    let mut objects = vec![
        sysctl(Ns::HOST, "net/ipv4/ip_forward", "1"),
        // Equal paths are chosen by ports too: else all flows between two hosts share one uplink.
        sysctl(Ns::HOST, "net/ipv4/fib_multipath_hash_policy", "1"),
        // Replacing a nexthop group does not walk its routes (rule 25).
        sysctl(Ns::HOST, "net/ipv4/nexthop_compat_mode", "0"),
    ];
    if has_v6 {
        objects.push(sysctl(Ns::HOST, "net/ipv6/conf/all/forwarding", "1"));
        objects.push(sysctl(Ns::HOST, "net/ipv6/fib_multipath_hash_policy", "1"));
    }
    for uplink in &config.uplinks {
        let name = if_name(&uplink.interface);
        // Loose: with several uplinks the answer may leave by another one (rule 19). The kernel uses the larger of
        // this and `all`, so a distribution's strict default does not bite.
        objects.push(sysctl(Ns::HOST, &format!("net/ipv4/conf/{name}/rp_filter"), "2"));
        // A link without carrier is no way out, even before the session notices.
        objects.push(sysctl(Ns::HOST, &format!("net/ipv4/conf/{name}/ignore_routes_with_linkdown"), "1"));
        if has_v6 {
            // With forwarding on, the kernel takes router advertisements only with 2.
            objects.push(sysctl(Ns::HOST, &format!("net/ipv6/conf/{name}/accept_ra"), "2"));
            objects.push(sysctl(Ns::HOST, &format!("net/ipv6/conf/{name}/ignore_routes_with_linkdown"), "1"));
            // IPv6 addresses given to the uplink survive a link that goes down and up.
            objects.push(sysctl(Ns::HOST, &format!("net/ipv6/conf/{name}/keep_addr_on_down"), "1"));
        }
        objects.extend(uplink.addresses.iter().map(|a| Object::Address(Ns::HOST, name.clone(), *a)));
    }
    if let Some(lo) = IfName::new("lo") {
        let loopback = config.host.loopback.iter();
        objects.extend(loopback.map(|a| Object::Address(Ns::HOST, lo.clone(), IpNet::from(*a))));
    }
    // What an announced subnet attracts and no container takes must not go back to the leaf by its default route.
    for subnet in config.networks.iter().flat_map(announced_subnets) {
        objects.push(route(Ns::HOST, subnet, RouteTarget::Unreachable));
    }
    objects
}

/// The prefixes that the host announces whether or not a container runs: loopbacks, and subnets of networks with
/// `advertise = "subnet"`.
/// Each with the object that must stand first.
pub(crate) fn announced(config: &HostConfig) -> impl Iterator<Item = (IpNet, Key)> {
    let lo = IfName::new("lo").expect("a valid name");
    let loopbacks = config.host.loopback.iter().map(move |a| {
        let prefix = IpNet::from(*a);
        (prefix, Key::Address(Ns::HOST, lo.clone(), prefix))
    });
    let subnets = config.networks.iter().flat_map(announced_subnets);
    loopbacks.chain(subnets.map(|prefix| (prefix, Key::Route(local_route(Ns::HOST, prefix)))))
}

/// Brings an uplink up.
pub(crate) fn uplink_up(name: &IfName) -> Object {
    let settings = Link { kind: LinkKind::Foreign, mac: None, mtu: None, up: true, alias: None, port: None };
    Object::Link(Ns::HOST, name.clone(), settings)
}

fn announced_subnets(network: &Network) -> impl Iterator<Item = IpNet> + use<> {
    let wanted = network.advertise == Advertise::Subnet;
    // Only where the host has routes to its containers.
    let v4 = network.v4.as_ref().filter(|s| s.gateway.is_some()).map(|s| IpNet::V4(s.net));
    let v6 = network.v6.as_ref().filter(|s| s.gateway.is_some()).map(|s| IpNet::V6(s.net));
    let nets = [v4, v6];
    nets.into_iter().flatten().filter(move |_| wanted)
}

/// A config name as the kernel model's. Both check what the kernel checks, so this cannot fail.
pub(crate) fn if_name(name: &petiole_config::model::IfName) -> IfName {
    IfName::new(name.as_str()).expect("checked by the config")
}

fn default_of(gateway: IpAddr) -> IpNet {
    match gateway {
        IpAddr::V4(_) => IpNet::V4(ipnet::Ipv4Net::default()),
        IpAddr::V6(_) => IpNet::V6(ipnet::Ipv6Net::default()),
    }
}

pub(super) fn sysctl(ns: Ns, path: &str, value: &str) -> Object {
    Object::Sysctl(ns, path.into(), value.into())
}

fn local_route(ns: Ns, prefix: IpNet) -> RouteKey {
    RouteKey { ns, table: TABLE_MAIN, prefix, metric: METRIC_LOCAL }
}

fn route(ns: Ns, prefix: IpNet, target: RouteTarget) -> Object {
    route_with(METRIC_LOCAL, ns, prefix, target)
}

fn route_with(metric: u32, ns: Ns, prefix: IpNet, target: RouteTarget) -> Object {
    let key = RouteKey { ns, table: TABLE_MAIN, prefix, metric };
    Object::Route(key, Route { target, preferred_source: None })
}
