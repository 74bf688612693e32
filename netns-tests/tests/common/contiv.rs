//! What must be seen on the contiv-l3 topology, whoever plays the hosts.

use std::{net::IpAddr, time::Duration};

use super::{address, prefix};
use ipnet::IpNet;
use petiole_netns_tests::{Container, Kernel, Lab, LabError, Node, Place, holds, wait_until};

/// How long a step may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The containers' addresses, IPv4 and IPv6.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) web1: [IpAddr; 2],
    pub(crate) web2: [IpAddr; 2],
}

/// The BGP sessions of a leaf, by the neighbour's address.
pub(crate) fn neighbors(leaf: &str) -> [&'static str; 4] {
    match leaf {
        "leaf1" => ["50.1.1.1", "2001:db8:50::1", "60.1.1.4", "2001:db8:60::4"],
        _ => ["60.1.1.3", "2001:db8:60::3", "50.1.1.2", "2001:db8:50::2"],
    }
}

/// S1, as the leafs see it.
pub(crate) fn sessions_on_the_leafs(lab: &Lab) -> Result<(), LabError> {
    for leaf in ["leaf1", "leaf2"] {
        for neighbor in neighbors(leaf) {
            lab.node(leaf).frr().wait_established(neighbor)?;
        }
    }
    Ok(())
}

/// The global addresses of a container's eth0, when it has one of each family.
pub(crate) fn addresses_of(container: &Container<'_>) -> Result<[IpAddr; 2], LabError> {
    wait_until(&format!("addresses of {}", container.name()), PATIENCE, || {
        let all = container.addresses("eth0").map_err(|e| e.to_string())?;
        let v4 = all.iter().copied().find(IpAddr::is_ipv4).ok_or("no IPv4 address")?;
        let v6 = all.iter().copied().find(IpAddr::is_ipv6).ok_or("no IPv6 address")?;
        Ok::<_, String>([v4, v6])
    })
}

/// S3: each leaf has its own host's containers as external routes, the other's as internal ones, all of AS 65002, in
/// FRR's table and in the kernel's; and the other leaf's network by OSPF.
pub(crate) fn tables_of_the_leafs(lab: &Lab, web: &Addresses) -> Result<(), LabError> {
    let (leaf1, leaf2) = (lab.node("leaf1"), lab.node("leaf2"));
    for (leaf, addresses, next_hop, distance, kernel_next_hop) in [
        (leaf1, web.web1, "50.1.1.1", 20, "50.1.1.1"),
        (leaf1, web.web2, "60.1.1.3", 200, "80.1.1.2"),
        (leaf2, web.web2, "60.1.1.3", 20, "60.1.1.3"),
        (leaf2, web.web1, "50.1.1.1", 200, "80.1.1.1"),
    ] {
        for address in addresses {
            route_of_as_65002(leaf, address, distance)?;
        }
        let prefix = IpNet::from(addresses[0]);
        let route = selected(leaf, prefix)?;
        assert_eq!(route["nexthops"][0]["ip"], next_hop, "{} to {prefix}: {route:#}", leaf.name());
        wait_until(&format!("route to {prefix} in the kernel of {}", leaf.name()), PATIENCE, || {
            let route = leaf.route_to(prefix).map_err(|e| e.to_string())?;
            let right = route.protocol == "bgp" && route.gateways() == [address(kernel_next_hop)];
            holds(right, format!("{route:?}"))
        })?;
        wait_until(&format!("route to {} in the kernel of {}", addresses[1], leaf.name()), PATIENCE, || {
            leaf.route_to(IpNet::from(addresses[1]))
        })?;
    }
    // BGP tells of it too, and may be first.
    wait_until("route to the other leaf's network by OSPF on leaf1", PATIENCE, || {
        let route = selected(leaf1, prefix("60.1.1.0/24")).map_err(|e| e.to_string())?;
        holds(route["protocol"] == "ospf" && route["distance"] == 110, format!("{route:#}"))
    })
}

/// S4: web1 reaches web2 and the far side of the fabric, without loss, at the distance that the topology has.
pub(crate) fn everything_is_reachable(lab: &Lab, web: &Addresses) -> Result<(), LabError> {
    let web1 = lab.node("host1").container("web1");
    // host1, leaf1, leaf2, host2 on the way back from web2; leaf1, host1 from the leaf, which starts at 255.
    for (to, ttl) in [(web.web2[0], 60), (web.web2[1], 60), (address("80.1.1.2"), 253)] {
        answers(&web1, to)?;
        let ping = web1.ping(to, 20)?;
        assert!(ping.is_complete() && ping.ttl == Some(ttl), "web1 to {to}: {ping:?}");
    }
    answers(&web1, address("2001:db8:80::2"))
}

/// Waits until a ping is answered: neighbour discovery and a leaf's dataplane come after its table.
pub(crate) fn answers(from: &impl Place, to: IpAddr) -> Result<(), LabError> {
    wait_until(&format!("answer of {to} to {}", from.label()), PATIENCE, || {
        holds(from.ping(to, 1).map_err(|e| e.to_string())?.is_complete(), "lost")
    })
}

/// Waits until the leaf's selected route to a container is of this distance and came from AS 65002.
pub(crate) fn route_of_as_65002(leaf: Node<'_>, address: IpAddr, distance: u64) -> Result<(), LabError> {
    let prefix = IpNet::from(address);
    let what = format!("[{distance}] route to {prefix} on {}", leaf.name());
    wait_until(&what, PATIENCE, || {
        let route = selected(leaf, prefix).map_err(|e| e.to_string())?;
        let right = route["distance"] == distance && route["tag"] == 65002 && route["installed"] == true;
        holds(right, format!("{route}"))?;
        let paths = leaf.frr().paths_to(prefix).map_err(|e| e.to_string())?;
        let best = paths.iter().find(|p| p["bestpath"]["overall"] == true).ok_or("no best path")?;
        let kind = if distance == 20 { "external" } else { "internal" };
        holds(best["peer"]["type"] == kind && best["aspath"]["string"] == "65002", format!("{best}"))
    })
}

/// The route that the leaf's FRR has chosen.
pub(crate) fn selected(leaf: Node<'_>, prefix: IpNet) -> Result<serde_json::Value, LabError> {
    let routes = leaf.frr().routes_to(prefix)?;
    routes
        .into_iter()
        .find(|route| route["selected"] == true)
        .ok_or_else(|| LabError::Missing(format!("{} has selected no route to {prefix}", leaf.name())))
}
