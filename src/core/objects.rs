//! Which kernel objects the config asks for. Pure.
//!
//! Knows how a host and a container are wired; must not know what exists, in which order things are done, or BGP.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;
use petiole_config::model::{Advertise, HostConfig, Network, ScopedName};
use petiole_fib::model::{IfName, Key, Link, LinkKind, Mac, Ns, Object, Route, RouteKey, RouteTarget};

use super::addresses::Assigned;

/// The kernel's main table.
pub(crate) const TABLE_MAIN: u32 = 254;

/// Metric of routes to our own containers: before everything learned, after nothing but what an operator sets by hand.
pub(crate) const METRIC_LOCAL: u32 = 10;

/// The Ethernet address of every container link's end on the host. The containers' neighbour entries for their
/// gateway need to know it before the link exists, and a container that is moved finds the same gateway.
/// Locally administered, and no container's: those are 02:02 and an IPv4 address, and 255.255.255.255 is none.
pub(crate) const HOST_MAC: Mac = Mac([0x02, 0x02, 0xff, 0xff, 0xff, 0xff]);

/// How one container is wired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wiring {
    /// The container's namespace.
    pub(crate) ns: Ns,
    pub(crate) endpoint: ScopedName,
    /// The link inside the container.
    pub(crate) inner: IfName,
    /// Its other end, on the host.
    pub(crate) outer: IfName,
    pub(crate) addresses: Assigned,
    pub(crate) gateway4: Ipv4Addr,
    pub(crate) gateway6: Ipv6Addr,
    pub(crate) mtu: Option<u32>,
}

/// The mark of a container's link (`IFLA_IFALIAS`), readable after a crash.
pub(crate) fn alias(endpoint: &ScopedName) -> String {
    format!("petiole:endpoint={endpoint}")
}

/// The endpoint that a link's mark names.
pub(crate) fn endpoint_of_alias(alias: &str) -> Option<ScopedName> {
    alias.strip_prefix("petiole:endpoint=")?.parse().ok()
}

/// The Ethernet address of a container: `02:02` and its IPv4 address (or the end of its IPv6 address).
pub(crate) fn mac(addresses: Assigned) -> Mac {
    let [a, b, c, d] = match (addresses.v4, addresses.v6) {
        (Some(v4), _) => v4.octets(),
        (None, Some(v6)) => {
            let [.., a, b, c, d] = v6.octets();
            [a, b, c, d]
        }
        (None, None) => [0; 4],
    };
    Mac([0x02, 0x02, a, b, c, d])
}

/// The name of a container's link on the host: `pt-NAME` where that fits and is a valid name, else the beginning of
/// the name and a hash of all of it, so that it is the same after every restart.
pub(crate) fn outer_name(endpoint: &ScopedName) -> IfName {
    let plain = format!("pt-{endpoint}");
    if let Some(name) = IfName::new(&plain) {
        return name;
    }
    // FNV-1a: stable over versions, and a clash is only a refused endpoint, not a security matter.
    let hash = endpoint
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let start: String = endpoint.name.as_str().chars().take(4).collect();
    IfName::new(&format!("pt-{start}-{:07x}", hash & 0x0fff_ffff)).expect("15 ASCII characters")
}

/// The objects that make a container part of a routed network.
///
/// No proxy ARP and no neighbour discovery: both ends have permanent entries for each other (rule 17), and the
/// gateway address stands on the host's end, so that a container can also ping it.
pub(crate) fn container(w: &Wiring) -> Vec<Object> {
    let Wiring { ns, inner, outer, .. } = w;
    let (ns, inner_mac) = (*ns, mac(w.addresses));
    let mark: Arc<str> = alias(&w.endpoint).into();
    let link = |kind, mac| Link { kind, mac: Some(mac), mtu: w.mtu, up: true, alias: Some(mark.clone()) };
    let veth = LinkKind::Veth { peer_ns: Ns::HOST, peer: outer.clone() };
    let mut objects = vec![
        Object::Link(ns, inner.clone(), link(veth, inner_mac)),
        Object::Link(Ns::HOST, outer.clone(), link(LinkKind::VethPeer, HOST_MAC)),
        // A container must not speak from an address that is not its own.
        sysctl(Ns::HOST, &format!("net/ipv4/conf/{outer}/rp_filter"), "1"),
        // The permanent entries answer; anything else that asks is not to be told about other containers.
        sysctl(Ns::HOST, &format!("net/ipv4/conf/{outer}/proxy_arp"), "0"),
    ];
    if w.addresses.v6.is_some() {
        // A container that sends router advertisements must not become the host's router, nor another one's.
        objects.push(sysctl(Ns::HOST, &format!("net/ipv6/conf/{outer}/accept_ra"), "0"));
        objects.push(sysctl(ns, &format!("net/ipv6/conf/{inner}/accept_ra"), "0"));
    }
    let families = [
        w.addresses.v4.map(|a| (IpAddr::from(a), IpAddr::from(w.gateway4))),
        w.addresses.v6.map(|a| (IpAddr::from(a), IpAddr::from(w.gateway6))),
    ];
    for (address, gateway) in families.into_iter().flatten() {
        let direct = |link: &IfName| RouteTarget::Link { link: link.clone(), via: None };
        let default = RouteTarget::Link { link: inner.clone(), via: Some(gateway) };
        objects.extend([
            Object::Address(Ns::HOST, outer.clone(), IpNet::from(gateway)),
            Object::Neighbour(Ns::HOST, outer.clone(), address, inner_mac),
            route(Ns::HOST, IpNet::from(address), direct(outer)),
            Object::Address(ns, inner.clone(), IpNet::from(address)),
            Object::Neighbour(ns, inner.clone(), gateway, HOST_MAC),
            route(ns, IpNet::from(gateway), direct(inner)),
            route(ns, default_of(gateway), default),
        ]);
    }
    objects
}

/// The prefixes of a container.
pub(crate) fn prefixes(addresses: Assigned) -> impl Iterator<Item = IpNet> {
    [addresses.v4.map(IpAddr::from), addresses.v6.map(IpAddr::from)].into_iter().flatten().map(IpNet::from)
}

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
    let settings = Link { kind: LinkKind::Foreign, mac: None, mtu: None, up: true, alias: None };
    Object::Link(Ns::HOST, name.clone(), settings)
}

fn announced_subnets(network: &Network) -> impl Iterator<Item = IpNet> + use<> {
    let wanted = network.advertise == Advertise::Subnet;
    let nets = [network.v4.as_ref().map(|s| IpNet::V4(s.net)), network.v6.as_ref().map(|s| IpNet::V6(s.net))];
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

fn sysctl(ns: Ns, path: &str, value: &str) -> Object {
    Object::Sysctl(ns, path.into(), value.into())
}

fn local_route(ns: Ns, prefix: IpNet) -> RouteKey {
    RouteKey { ns, table: TABLE_MAIN, prefix, metric: METRIC_LOCAL }
}

fn route(ns: Ns, prefix: IpNet, target: RouteTarget) -> Object {
    Object::Route(local_route(ns, prefix), Route { target, preferred_source: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_named_after_its_container_where_that_fits_and_always_the_same() {
        let outer = |n: &str| outer_name(&n.parse().unwrap()).to_string();
        assert_eq!(outer("web1"), "pt-web1");
        assert_eq!(outer("twelve-chars"), "pt-twelve-chars");
        let long = outer("a-name-that-is-longer-than-a-link-can-be");
        assert_eq!(long.len(), IfName::MAX);
        assert_eq!(long, outer("a-name-that-is-longer-than-a-link-can-be"));
        assert_ne!(
            long,
            outer(
                "a-name-that-is-longer-than-a-link-can-be-"
                    .trim_end_matches('-')
                    .replace("can", "may")
                    .as_str()
            )
        );
    }

    #[test]
    fn a_container_has_02_02_and_its_ipv4_address_as_ethernet_address() {
        let assigned =
            Assigned { v4: Some([192, 168, 1, 3].into()), v6: Some("2001:db8::7".parse().unwrap()) };
        assert_eq!(mac(assigned).to_string(), "02:02:c0:a8:01:03");
        let v6_only = Assigned { v4: None, ..assigned };
        assert_eq!(mac(v6_only).to_string(), "02:02:00:00:00:07");
    }

    #[test]
    fn an_alias_names_its_endpoint() {
        let name = "web1".parse::<ScopedName>().unwrap();
        assert_eq!(endpoint_of_alias(&alias(&name)), Some(name));
        assert_eq!(endpoint_of_alias("petiole:network=web1"), None);
    }

    #[test]
    fn no_two_objects_of_a_container_have_the_same_key() {
        let wiring = Wiring {
            ns: Ns(1),
            endpoint: "web1".parse::<ScopedName>().unwrap(),
            inner: IfName::new("eth0").unwrap(),
            outer: IfName::new("pt-web1").unwrap(),
            addresses: Assigned {
                v4: Some([192, 168, 1, 3].into()),
                v6: Some("2001:db8::7".parse().unwrap()),
            },
            gateway4: [192, 168, 1, 254].into(),
            gateway6: "fe80::1".parse().unwrap(),
            mtu: Some(1500),
        };
        let objects = container(&wiring);
        let keys: std::collections::BTreeSet<Key> = objects.iter().map(Object::key).collect();
        assert_eq!(keys.len(), objects.len());
    }
}
