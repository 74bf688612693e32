//! The objects of a bridged network: a bridge, and the VLAN or VXLAN device that joins it to the other hosts.
//!
//! The gateway's address and Ethernet address are the same on every host, so nothing may ever be sent from them over
//! the VLAN or VXLAN: the bridges would take each other's frames for their own. Hence no subnet route out of the
//! bridge, which would make the kernel ask by ARP, but one route and one permanent neighbour entry for each container
//! of this host (`container`); containers elsewhere are reached by the host routes that their hosts announce.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use petiole_config::model::{Encap, Network};
use petiole_fib::model::{BridgePort, FdbKey, FdbTarget, IfName, Link, LinkKind, Mac, Ns, Object};

use super::{HOST_MAC, if_name, names, sysctl};

/// Octets that VXLAN adds to a frame's payload: inner Ethernet 14, VXLAN 8, UDP 8, IPv4 20 (RFC 7348 section 5).
const VXLAN_OVERHEAD_V4: u32 = 50;
/// The same with IPv6 outside.
const VXLAN_OVERHEAD_V6: u32 = 70;

/// Octets that the encapsulation takes from what the underlay carries.
pub(crate) fn overhead(encap: &Encap) -> u32 {
    match encap {
        // The tag is not counted in a VLAN link's MTU.
        Encap::Routed | Encap::Vlan { .. } => 0,
        Encap::Vxlan { local: IpAddr::V4(_), .. } => VXLAN_OVERHEAD_V4,
        Encap::Vxlan { local: IpAddr::V6(_), .. } => VXLAN_OVERHEAD_V6,
    }
}

/// The device that joins the bridge to the other hosts.
pub(crate) fn device(encap: &Encap) -> Option<IfName> {
    match encap {
        Encap::Routed => None,
        Encap::Vlan { tag, .. } => Some(names::vlan(*tag)),
        Encap::Vxlan { vni, .. } => Some(names::vxlan(*vni)),
    }
}

/// The objects of a bridged network; none of a routed one, whose containers stand for themselves. `judged`: policies
/// hold on it.
pub(crate) fn network(n: &Network, mtu: Option<u32>, judged: bool) -> Vec<Object> {
    let Some(device) = device(&n.encap) else { return Vec::new() };
    let bridge = names::bridge(&n.id);
    let mark: Arc<str> = names::network_alias(&n.id).into();
    let link = |kind, mac, port| Link { kind, mac, mtu, up: true, alias: Some(mark.clone()), port };
    let gateway4 = n.v4.as_ref().and_then(|s| s.gateway);
    let gateway6 = n.v6.as_ref().and_then(|s| s.gateway);
    let has_gateway = gateway4.is_some() || gateway6.is_some();

    let port = BridgePort {
        bridge: bridge.clone(),
        isolated: false,
        hairpin: false,
        // Suppression would also keep gratuitous ARP from the other hosts, and there is no control plane that tells
        // them instead.
        neigh_suppress: false,
        learning: true,
    };
    let kind = match &n.encap {
        Encap::Routed => return Vec::new(),
        Encap::Vlan { tag, uplink } => LinkKind::Vlan { parent: if_name(uplink), tag: *tag },
        Encap::Vxlan { vni, local, port, .. } => LinkKind::Vxlan { vni: *vni, local: *local, port: *port },
    };
    let mut objects = vec![
        Object::Link(
            Ns::HOST,
            bridge.clone(),
            link(LinkKind::Bridge { netfilter: judged }, has_gateway.then_some(HOST_MAC), None),
        ),
        Object::Link(Ns::HOST, device.clone(), link(kind, None, Some(port))),
        // Frames on a port are the bridge's business, never the host's own.
        sysctl(Ns::HOST, &format!("net/ipv6/conf/{device}/disable_ipv6"), "1"),
        // A container must not speak from an address that is not of its network.
        sysctl(Ns::HOST, &format!("net/ipv4/conf/{bridge}/rp_filter"), "1"),
    ];
    match gateway4 {
        Some(gateway) => {
            objects.push(Object::Address(Ns::HOST, bridge.clone(), IpNet::from(IpAddr::from(gateway))));
        }
        // Without a gateway there is no way through the host: it answers for none of its addresses, and forwards
        // nothing that comes from there.
        None => objects.extend([
            sysctl(Ns::HOST, &format!("net/ipv4/conf/{bridge}/arp_ignore"), "8"),
            sysctl(Ns::HOST, &format!("net/ipv4/conf/{bridge}/forwarding"), "0"),
        ]),
    }
    match gateway6 {
        Some(gateway) => objects.extend([
            // No router advertisement from a container makes itself the host's router.
            sysctl(Ns::HOST, &format!("net/ipv6/conf/{bridge}/accept_ra"), "0"),
            Object::Address(Ns::HOST, bridge, IpNet::from(IpAddr::from(gateway))),
        ]),
        None => objects.push(sysctl(Ns::HOST, &format!("net/ipv6/conf/{bridge}/disable_ipv6"), "1")),
    }
    if let Encap::Vxlan { vteps, .. } = &n.encap {
        objects.extend(vteps.iter().map(|vtep| Object::Fdb(flood(&device, *vtep))));
    }
    objects
}

/// The entry by which frames for everybody, and for nobody known, reach another host.
pub(crate) fn flood(device: &IfName, vtep: IpAddr) -> FdbKey {
    FdbKey { link: device.clone(), mac: Mac([0; 6]), target: FdbTarget::Vtep(vtep) }
}

/// The links of a bridged network.
pub(crate) fn links(n: &Network) -> impl Iterator<Item = IfName> {
    let bridge = device(&n.encap).map(|device| [device, names::bridge(&n.id)]);
    bridge.into_iter().flatten()
}
