//! The seed's topology with petiole on both hosts: scenarios S1 to S4, and what an operator then does to it.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::IpAddr;

use common::{
    PETIOLE_LAB, address,
    contiv::{self, Addresses, PATIENCE},
    prefix, topology,
};
use ipnet::IpNet;
use petiole_netns_tests::{Kernel, Lab, LabError, Place, holds, skip, wait_until};

const HOSTS: [(&str, &str, &str); 2] = [("host1", "leaf1", "web1"), ("host2", "leaf2", "web2")];

fn up() -> Result<Lab, LabError> {
    Lab::up(&topology("contiv-l3"))
}

/// S1 from both sides, and the containers' addresses.
fn settled(lab: &Lab) -> Result<Addresses, LabError> {
    for (host, leaf, _) in HOSTS {
        lab.node(host).petiole().wait_established(leaf)?;
        lab.node(host).petiole().wait_established(&format!("{leaf}-v6"))?;
    }
    contiv::sessions_on_the_leafs(lab)?;
    let of = |host: &str, name: &str| contiv::addresses_of(&lab.node(host).container(name));
    Ok(Addresses { web1: of("host1", "web1")?, web2: of("host2", "web2")? })
}

#[test]
fn s1_to_s4_containers_of_two_hosts_reach_each_other_and_the_fabric() -> Result<(), LabError> {
    if skip("s1_to_s4_containers_of_two_hosts_reach_each_other_and_the_fabric", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let web = settled(&lab)?;

    // S2: from the host's share of the network, and the hardware address follows from it.
    for (host, name, addresses, pool, pool6) in [
        ("host1", "web1", web.web1, 1..=100, "2001:db8:1::1:0/112"),
        ("host2", "web2", web.web2, 101..=200, "2001:db8:1::2:0/112"),
    ] {
        let IpAddr::V4(v4) = addresses[0] else { panic!("{addresses:?}") };
        let [a, b, c, last] = v4.octets();
        assert!([a, b, c] == [192, 168, 1] && pool.contains(&last), "{name} has {v4}");
        assert!(prefix(pool6).contains(&addresses[1]), "{name} has {}", addresses[1]);
        let container = lab.node(host).container(name);
        let link = container.json("ip -j link show dev eth0")?;
        assert_eq!(link[0]["address"], format!("02:02:{a:02x}:{b:02x}:{c:02x}:{last:02x}"));
        assert_eq!(link[0]["mtu"], 1500, "the uplink's");
    }

    contiv::tables_of_the_leafs(&lab, &web)?;
    contiv::everything_is_reachable(&lab, &web)?;
    lab.down()
}

#[test]
fn an_identical_reload_changes_nothing_anywhere() -> Result<(), LabError> {
    if skip("an_identical_reload_changes_nothing_anywhere", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let web = settled(&lab)?;
    contiv::tables_of_the_leafs(&lab, &web)?;
    let (host, leaf) = (lab.node("host1"), lab.node("leaf1"));
    let kernel = host.monitor("route nexthop link neigh")?;
    let before = kernel.0.lines().len();
    let wire = leaf.capture("eth1", "'tcp port 179 and (tcp[((tcp[12] & 0xf0) >> 2) + 18] != 4)'")?;

    host.petiole().reload()?;
    host.petiole().hang_up()?;
    host.petiole().reload()?;
    // Reloads are done one after the other: what the third has not caused, the second will not either. And a route
    // that is added now is the last thing that the monitor can have seen.
    host.run("ip route add 198.51.100.77/32 dev lo")?;
    kernel.0.wait_for_line(PATIENCE, |line| line.contains("198.51.100.77"))?;
    let changes: Vec<_> = kernel.0.lines().into_iter().skip(before).map(|l| l.text).collect();
    // Entries of neighbours age by themselves.
    let ours: Vec<_> = changes
        .iter()
        .filter(|l| {
            !l.contains("198.51.100.77")
                && !l.contains("REACHABLE")
                && !l.contains("STALE")
                && !l.contains("DELAY")
                && !l.contains("PROBE")
        })
        .collect();
    assert!(ours.is_empty(), "{ours:#?}");
    let messages: Vec<_> = wire.stop()?.into_iter().map(|l| l.text).filter(|l| l.contains("BGP")).collect();
    assert!(messages.is_empty(), "something else than keepalives: {messages:#?}");
    lab.down()
}

#[test]
fn a_wrong_neighbor_corrected_by_reload_comes_up() -> Result<(), LabError> {
    if skip("a_wrong_neighbor_corrected_by_reload_comes_up", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = Lab::load(&topology("contiv-l3"))?.defer("host1").up()?;
    let (host, leaf) = (lab.node("host1"), lab.node("leaf1"));
    host.petiole().edit_config(&[("\"50.1.1.2\"", "\"50.1.1.9\"")])?;
    host.boot()?;
    // The other session of the same host shows that it works in all other respects.
    host.petiole().wait_established("leaf1-v6")?;
    let web1 = contiv::addresses_of(&host.container("web1"))?;
    contiv::route_of_as_65002(leaf, web1[1], 20)?;
    assert_ne!(host.petiole().session("leaf1")?, "established");
    assert!(leaf.routes_to(IpNet::from(web1[0]))?.is_empty());
    let up_before =
        leaf.frr().show_json("show bgp neighbors")?["2001:db8:50::1"]["connectionsEstablished"].clone();

    host.petiole().edit_config(&[("\"50.1.1.9\"", "\"50.1.1.2\"")])?;
    host.petiole().reload()?;
    host.petiole().wait_established("leaf1")?;
    contiv::route_of_as_65002(leaf, web1[0], 20)?;
    leaf.route_to(IpNet::from(web1[0]))?;
    let up_after =
        leaf.frr().show_json("show bgp neighbors")?["2001:db8:50::1"]["connectionsEstablished"].clone();
    assert_eq!(up_before, up_after, "the session that was right is untouched");
    lab.down()
}

#[test]
fn a_leaf_that_is_killed_and_started_comes_back_with_all_routes() -> Result<(), LabError> {
    if skip("a_leaf_that_is_killed_and_started_comes_back_with_all_routes", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let web = settled(&lab)?;
    contiv::tables_of_the_leafs(&lab, &web)?;
    let (host, leaf) = (lab.node("host1"), lab.node("leaf1"));
    let to_web2 = IpNet::from(web.web2[0]);
    wait_until("route of host1 to web2", PATIENCE, || host.route_to(to_web2))?;

    leaf.frr().kill()?;
    // A killed process' sockets are closed by the kernel: the host need not wait for its hold timer.
    wait_until("end of the session", PATIENCE, || {
        let state = host.petiole().session("leaf1").map_err(|e| e.to_string())?;
        holds(state != "established", state)
    })?;
    wait_until("flush of what the leaf had told", PATIENCE, || {
        let routes = host.routes_to(to_web2).map_err(|e| e.to_string())?;
        holds(routes.is_empty(), format!("{routes:?}"))
    })?;
    assert_eq!(contiv::addresses_of(&host.container("web1"))?, web.web1, "the container is untouched");

    leaf.frr().start()?;
    contiv::sessions_on_the_leafs(&lab)?;
    contiv::tables_of_the_leafs(&lab, &web)?;
    contiv::everything_is_reachable(&lab, &web)?;
    lab.down()
}

#[test]
fn a_host_has_the_fabric_and_not_its_own_routes_from_the_leaf() -> Result<(), LabError> {
    if skip("a_host_has_the_fabric_and_not_its_own_routes_from_the_leaf", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let web = settled(&lab)?;
    let host = lab.node("host1");
    for (to, via) in [
        (IpNet::from(web.web2[0]), Some("50.1.1.2")),
        (prefix("60.1.1.0/24"), Some("50.1.1.2")),
        (prefix("80.1.1.0/24"), Some("50.1.1.2")),
        (IpNet::from(web.web2[1]), None),
        (prefix("2001:db8:80::/64"), None),
    ] {
        let route = wait_until(&format!("route of host1 to {to}"), PATIENCE, || host.route_to(to))?;
        if let Some(via) = via {
            assert_eq!(route.gateways(), [address(via)], "{route:?}");
        }
        assert_eq!(route.via.len(), 1);
        assert_eq!(route.via[0].interface.as_deref(), Some("eth1"), "{route:?}");
    }
    // What the host originates is on its own interface, however often the leafs tell it back (allow-own-as).
    for own in web.web1 {
        let routes = host.routes_to(IpNet::from(own))?;
        assert!(routes.iter().all(|r| r.via.iter().all(|v| v.gateway.is_none())), "{routes:?}");
    }
    lab.down()
}
