//! The objects that make a container part of its network.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;
use petiole_config::model::{Network, Publish, ScopedName};
use petiole_fib::model::{
    BridgePort, FdbKey, FdbTarget, IfName, Link, LinkKind, Mac, Ns, Object, RouteTarget,
};

use super::{
    HOST_MAC, METRIC_LOCAL, default_of,
    limits::{self, Limits},
    names, netfilter, route, route_with, sysctl,
};
use crate::core::ipam::Assigned;

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
    pub(crate) gateways: Gateways,
    pub(crate) medium: Medium,
    pub(crate) mtu: Option<u32>,
    pub(crate) publish: Vec<Publish>,
    pub(crate) limits: Limits,
}

/// The default gateways of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gateways {
    pub(crate) v4: Option<Ipv4Addr>,
    pub(crate) v6: Option<Ipv6Addr>,
}

impl Gateways {
    pub(crate) fn of(network: &Network) -> Self {
        Self {
            v4: network.v4.as_ref().and_then(|s| s.gateway),
            v6: network.v6.as_ref().and_then(|s| s.gateway),
        }
    }
}

/// What a container's link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// The host, which routes.
    Routed,
    /// A bridge; the container sees its subnet on the link.
    Bridged {
        bridge: IfName,
        /// Lengths of the subnets' prefixes.
        length4: u8,
        length6: u8,
    },
}

impl Medium {
    pub(crate) fn of(network: &Network) -> Self {
        if network.encap.is_bridged() {
            Self::Bridged {
                bridge: names::bridge(&network.id),
                length4: network.v4.as_ref().map_or(32, |s| s.net.prefix_len()),
                length6: network.v6.as_ref().map_or(128, |s| s.net.prefix_len()),
            }
        } else {
            Self::Routed
        }
    }
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

/// The IPv4 address that [`mac`] was made of.
pub(crate) fn address_of_mac(mac: Mac) -> Option<Ipv4Addr> {
    match mac.0 {
        [0x02, 0x02, a, b, c, d] => Some([a, b, c, d].into()),
        _ => None,
    }
}

/// The links of a container: its end, and the host's.
fn links(w: &Wiring) -> [Object; 2] {
    let mark: Arc<str> = names::endpoint_alias(&w.endpoint).into();
    let link = |kind, mac, port| Link { kind, mac, mtu: w.mtu, up: true, alias: Some(mark.clone()), port };
    let veth = LinkKind::Veth { peer_ns: Ns::HOST, peer: w.outer.clone() };
    let (outer_mac, port) = match &w.medium {
        Medium::Routed => (Some(HOST_MAC), None),
        Medium::Bridged { bridge, .. } => {
            let port = BridgePort {
                bridge: bridge.clone(),
                isolated: false,
                hairpin: false,
                neigh_suppress: false,
                // The container's entry is made by us; it cannot draw somebody else's traffic to itself.
                learning: false,
            };
            (None, Some(port))
        }
    };
    [
        Object::Link(w.ns, w.inner.clone(), link(veth, Some(mac(w.addresses)), None)),
        Object::Link(Ns::HOST, w.outer.clone(), link(LinkKind::VethPeer, outer_mac, port)),
    ]
}

/// All objects of a container.
pub(crate) fn container(w: &Wiring) -> Vec<Object> {
    let mut objects = Vec::with_capacity(20);
    objects.extend(links(w));
    match &w.medium {
        Medium::Routed => routed(w, &mut objects),
        Medium::Bridged { bridge, length4, length6 } => {
            bridged(w, bridge, (*length4, *length6), &mut objects);
        }
    }
    objects.extend(netfilter::published(w));
    objects.extend(limits::limits(&w.outer, w.limits, w.mtu));
    objects
}

/// No proxy ARP and no neighbour discovery: both ends have permanent entries for each other (rule 17), and the
/// gateway address stands on the host's end, so that a container can also ping it.
fn routed(w: &Wiring, objects: &mut Vec<Object>) {
    let Wiring { ns, inner, outer, .. } = w;
    let inside = |prefix, target| route_with(metric(inner), *ns, prefix, target);
    objects.extend([
        // A container must not speak from an address that is not its own.
        sysctl(Ns::HOST, &format!("net/ipv4/conf/{outer}/rp_filter"), "1"),
        // The permanent entries answer; anything else that asks is not to be told about other containers.
        sysctl(Ns::HOST, &format!("net/ipv4/conf/{outer}/proxy_arp"), "0"),
    ]);
    if w.addresses.v6.is_some() {
        // A container that sends router advertisements must not become the host's router, nor another one's.
        objects.push(sysctl(Ns::HOST, &format!("net/ipv6/conf/{outer}/accept_ra"), "0"));
        objects.push(sysctl(*ns, &format!("net/ipv6/conf/{inner}/accept_ra"), "0"));
    }
    for (address, gateway) in families(w) {
        let Some(gateway) = gateway else { continue };
        let direct = |link: &IfName| RouteTarget::Link { link: link.clone(), via: None };
        objects.extend([
            Object::Address(Ns::HOST, outer.clone(), IpNet::from(gateway)),
            Object::Neighbour(Ns::HOST, outer.clone(), address, mac(w.addresses)),
            route(Ns::HOST, IpNet::from(address), direct(outer)),
            Object::Address(*ns, inner.clone(), IpNet::from(address)),
            Object::Neighbour(*ns, inner.clone(), gateway, HOST_MAC),
            inside(IpNet::from(gateway), direct(inner)),
            inside(default_of(gateway), RouteTarget::Link { link: inner.clone(), via: Some(gateway) }),
        ]);
    }
}

/// The container has an address in its subnet; the bridge knows its port. With a gateway the host also routes to it.
fn bridged(w: &Wiring, bridge: &IfName, (length4, length6): (u8, u8), objects: &mut Vec<Object>) {
    let Wiring { ns, inner, outer, .. } = w;
    let inside = |prefix, target| route_with(metric(inner), *ns, prefix, target);
    let own_mac = mac(w.addresses);
    objects.extend([
        sysctl(Ns::HOST, &format!("net/ipv6/conf/{outer}/disable_ipv6"), "1"),
        Object::Fdb(FdbKey { link: outer.clone(), mac: own_mac, target: FdbTarget::Port }),
    ]);
    if w.addresses.v6.is_some() {
        objects.push(sysctl(*ns, &format!("net/ipv6/conf/{inner}/accept_ra"), "0"));
    }
    for (address, gateway) in families(w) {
        let length = if address.is_ipv4() { length4 } else { length6 };
        let Ok(in_subnet) = IpNet::new(address, length) else { continue };
        objects.push(Object::Address(*ns, inner.clone(), in_subnet));
        if let Some(gateway) = gateway {
            let out_of_bridge = RouteTarget::Link { link: bridge.clone(), via: None };
            objects.extend([
                Object::Neighbour(*ns, inner.clone(), gateway, HOST_MAC),
                inside(default_of(gateway), RouteTarget::Link { link: inner.clone(), via: Some(gateway) }),
                Object::Neighbour(Ns::HOST, bridge.clone(), address, own_mac),
                route(Ns::HOST, IpNet::from(address), out_of_bridge),
            ]);
        }
    }
}

/// The metric of a container's routes. Containers' links in one namespace may lead to the same gateway, and all of them
/// to everywhere: what one of them has must not be what another one has, or it would go with that one. The lowest
/// number leads, `eth0` before `eth1`.
fn metric(inner: &IfName) -> u32 {
    let number = inner.as_str().strip_prefix("eth").and_then(|n| n.parse::<u16>().ok());
    if let Some(number) = number {
        return METRIC_LOCAL + u32::from(number);
    }
    // After all of those, by FNV-1a: the same after every restart.
    let bytes = inner.as_str().bytes();
    let hash = bytes.fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    METRIC_LOCAL + 0x0001_0000 + (hash >> 8)
}

/// A container's addresses, each with its family's gateway.
fn families(w: &Wiring) -> impl Iterator<Item = (IpAddr, Option<IpAddr>)> {
    let v4 = w.addresses.v4.map(|a| (IpAddr::from(a), w.gateways.v4.map(IpAddr::from)));
    let v6 = w.addresses.v6.map(|a| (IpAddr::from(a), w.gateways.v6.map(IpAddr::from)));
    [v4, v6].into_iter().flatten()
}

impl Wiring {
    /// The addresses that the host routes to the container: of families with a gateway.
    pub(crate) fn routed(&self) -> impl Iterator<Item = IpAddr> {
        families(self).filter_map(|(address, gateway)| gateway.map(|_| address))
    }

    /// The prefixes that can be announced for it.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        self.routed().map(IpNet::from)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use petiole_fib::model::Key;

    use super::*;

    fn wiring(medium: Medium, gateways: Gateways) -> Wiring {
        Wiring {
            ns: Ns(1),
            endpoint: "web1".parse().unwrap(),
            inner: IfName::new("eth0").unwrap(),
            outer: IfName::new("pt-web1").unwrap(),
            addresses: Assigned {
                v4: Some([192, 168, 1, 3].into()),
                v6: Some("2001:db8::7".parse().unwrap()),
            },
            gateways,
            medium,
            mtu: Some(1500),
            publish: Vec::new(),
            limits: Limits::default(),
        }
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
    fn no_two_objects_of_a_container_have_the_same_key() {
        let gateways = Gateways { v4: Some([192, 168, 1, 254].into()), v6: Some("fe80::1".parse().unwrap()) };
        let bridge = IfName::new("pb-net").unwrap();
        let bridged = Medium::Bridged { bridge, length4: 24, length6: 64 };
        for (medium, gateways) in
            [(Medium::Routed, gateways), (bridged.clone(), gateways), (bridged, Gateways::default())]
        {
            let objects = container(&wiring(medium, gateways));
            let keys: BTreeSet<Key> = objects.iter().map(Object::key).collect();
            assert_eq!(keys.len(), objects.len());
        }
    }

    #[test]
    fn without_a_gateway_the_host_has_no_way_to_the_container() {
        let bridge = IfName::new("pb-net").unwrap();
        let bridged = Medium::Bridged { bridge, length4: 24, length6: 64 };
        let objects = container(&wiring(bridged, Gateways::default()));
        let layer3 = |o: &&Object| {
            matches!(o, Object::Address(Ns::HOST, ..) | Object::Neighbour(Ns::HOST, ..))
                || matches!(o, Object::Route(key, _) if key.ns == Ns::HOST)
        };
        assert_eq!(objects.iter().filter(layer3).count(), 0);
    }
}
