//! One host with two uplinks: every route has two next hops, losing one is one operation, and nothing transits the host.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use common::{PETIOLE_LAB, address, contiv::answers, prefix, topology};
use ipnet::IpNet;
use petiole_netns_tests::{Kernel, Lab, LabError, Node, Place, holds, skip, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);
const LEAFS: [&str; 2] = ["10.1.1.0", "10.1.2.0"];

/// Everything that the fabric has for the host.
fn fabric(ipv6: bool) -> Vec<IpNet> {
    if ipv6 {
        let far = std::iter::once(prefix("2001:db8:9::/64"));
        return far.chain((0..10).map(|i| prefix(&format!("2001:db8:f{i}::/48")))).collect();
    }
    let far = std::iter::once(prefix("172.16.9.0/24"));
    far.chain((0..10).map(|i| prefix(&format!("203.0.113.{}/28", i * 16)))).collect()
}

/// Brings the lab up, and waits until the host has all routes over both uplinks and the spine has the container.
fn settled() -> Result<(Lab, [IpAddr; 2]), LabError> {
    let lab = Lab::up(&topology("two-leaf-ecmp"))?;
    let host = lab.node("host");
    for neighbor in ["leaf1", "leaf2", "leaf1-v6", "leaf2-v6"] {
        host.petiole().wait_established(neighbor)?;
    }
    for to in fabric(false) {
        has_gateways(host, to, &LEAFS)?;
    }
    for to in fabric(true) {
        has_interfaces(host, to, &["eth1", "eth2"])?;
    }
    let app1 = common::contiv::addresses_of(&host.container("app1"))?;
    has_gateways(lab.node("spine"), IpNet::from(app1[0]), &["10.2.1.0", "10.2.2.0"])?;
    has_interfaces(lab.node("spine"), IpNet::from(app1[1]), &["eth1", "eth2"])?;
    Ok((lab, app1))
}

/// Whether a line of a monitor is about a route to the fabric.
fn is_fabric(line: &str) -> bool {
    line.contains("203.0.113.") || line.contains("2001:db8:f")
}

fn has_gateways(node: Node<'_>, to: IpNet, gateways: &[&str]) -> Result<(), LabError> {
    let wanted: Vec<_> = gateways.iter().map(|g| address(g)).collect();
    wait_until(&format!("route of {} to {to} by {gateways:?}", node.name()), PATIENCE, || {
        let route = node.route_to(to).map_err(|e| e.to_string())?;
        holds(route.gateways() == wanted, format!("{route:?}"))
    })
}

/// The same for IPv6, where the next hop may be the leaf's global or its link-local address.
fn has_interfaces(node: Node<'_>, to: IpNet, interfaces: &[&str]) -> Result<(), LabError> {
    let wanted: BTreeSet<_> = interfaces.iter().copied().collect();
    wait_until(&format!("route of {} to {to} by {interfaces:?}", node.name()), PATIENCE, || {
        let routes = node.routes_to(to).map_err(|e| e.to_string())?;
        let best = routes.first().ok_or("none")?.metric;
        // Without nexthop objects the kernel shows the members of an IPv6 multipath route one by one.
        let members = routes.iter().filter(|r| r.metric == best).flat_map(|r| &r.via);
        let seen: BTreeSet<_> = members.filter_map(|v| v.interface.as_deref()).collect();
        holds(seen == wanted, format!("{routes:?}"))
    })
}

#[test]
fn all_routes_share_one_group_and_prefer_the_loopback_as_source() -> Result<(), LabError> {
    if skip("all_routes_share_one_group_and_prefer_the_loopback_as_source", PETIOLE_LAB) {
        return Ok(());
    }
    let (lab, _) = settled()?;
    let host = lab.node("host");
    let routes: Vec<_> = fabric(false).into_iter().map(|to| host.route_to(to)).collect::<Result<_, _>>()?;
    let groups: BTreeSet<_> = routes.iter().map(|r| r.nexthop).collect();
    assert_eq!(groups.len(), 1, "{routes:#?}");
    assert!(groups.iter().all(Option::is_some), "by a nexthop object: {routes:#?}");
    assert!(routes.iter().all(|r| r.source == Some(address("10.0.0.1"))), "{routes:#?}");
    let route6 = host.route_to(prefix("2001:db8:9::/64"))?;
    assert_eq!(route6.source, Some(address("2001:db8::1")), "{route6:?}");
    // The fabric knows the loopback, so what the host itself sends gets answers.
    has_gateways(lab.node("spine"), prefix("10.0.0.1/32"), &["10.2.1.0", "10.2.2.0"])?;
    answers(&host, address("172.16.9.2"))?;
    lab.down()
}

#[test]
fn flows_use_both_uplinks() -> Result<(), LabError> {
    if skip("flows_use_both_uplinks", PETIOLE_LAB) {
        return Ok(());
    }
    let (lab, app1) = settled()?;
    let container = lab.node("host").container("app1");
    answers(&container, address("172.16.9.2"))?;
    answers(&container, address("2001:db8:9::2"))?;
    answers(&lab.node("far"), app1[0])?;
    answers(&lab.node("far"), app1[1])?;
    let captures = [lab.node("leaf1").capture("eth1", "icmp")?, lab.node("leaf2").capture("eth1", "icmp")?];
    // Nobody answers at these addresses; which way the requests go is what counts.
    container.run("sh -c 'for i in $(seq 0 159); do ping -n -c 1 -W 0.1 203.0.113.$i & done; wait; true'")?;
    for capture in captures {
        let requests = capture.stop()?.iter().filter(|l| l.text.contains("echo request")).count();
        // 160 destinations over two paths by hash: a path with fewer than 30 of them has not one chance in 10^14.
        assert!(requests >= 30, "{requests} of 160");
    }
    lab.down()
}

#[test]
fn an_uplink_that_loses_carrier_is_left_at_once_and_no_route_is_ever_missing() -> Result<(), LabError> {
    if skip("an_uplink_that_loses_carrier_is_left_at_once_and_no_route_is_ever_missing", PETIOLE_LAB) {
        return Ok(());
    }
    let (lab, app1) = settled()?;
    let (host, port) = (lab.node("host"), lab.node("host").port("eth1"));
    let log = host.monitor("route nexthop")?;
    let before = log.0.lines().len();
    lab.pull(&port)?;
    for to in fabric(false) {
        has_gateways(host, to, &[LEAFS[1]])?;
    }
    for to in fabric(true) {
        has_interfaces(host, to, &["eth2"])?;
    }
    answers(&lab.node("far"), app1[0])?;
    answers(&host.container("app1"), address("172.16.9.2"))?;

    // The kernel itself, without a word, takes a dead next hop out of its groups, and all routes with it; afterwards
    // each is rewritten to the smaller set, in place.
    let changes: Vec<_> = log.0.lines().into_iter().skip(before).map(|l| l.text).collect();
    let missing: Vec<_> = changes.iter().filter(|l| l.starts_with("Deleted") && is_fabric(l)).collect();
    assert!(missing.is_empty(), "{changes:#?}");
    drop(log);

    lab.put_back(&port)?;
    for to in fabric(false) {
        has_gateways(host, to, &LEAFS)?;
    }
    has_gateways(lab.node("spine"), IpNet::from(app1[0]), &["10.2.1.0", "10.2.2.0"])?;
    lab.down()
}

#[test]
fn a_silent_uplink_is_left_when_the_hold_timer_ends() -> Result<(), LabError> {
    if skip("a_silent_uplink_is_left_when_the_hold_timer_ends", PETIOLE_LAB) {
        return Ok(());
    }
    let (lab, app1) = settled()?;
    let (host, port) = (lab.node("host"), lab.node("host").port("eth1"));
    let log = host.monitor("route nexthop")?;
    let before = log.0.lines().len();
    lab.silence(&port)?;
    for to in fabric(false) {
        has_gateways(host, to, &[LEAFS[1]])?;
    }
    // One operation on the group takes the traffic off the leaf; the rewriting of the routes one by one comes behind.
    let changes: Vec<_> = log.0.lines().into_iter().skip(before).map(|l| l.text).collect();
    let group = changes.iter().position(|l| l.starts_with("id ") && l.contains(" group "));
    let route = changes.iter().position(|l| is_fabric(l));
    assert!(group.is_some() && group < route, "{changes:#?}");
    drop(log);
    has_gateways(lab.node("spine"), IpNet::from(app1[0]), &["10.2.2.0"])?;
    assert!(host.container("app1").ping(address("172.16.9.2"), 20)?.is_complete());
    assert_eq!(host.petiole().session("leaf2")?, "established");
    lab.unsilence(&port)?;
    host.petiole().wait_established("leaf1")?;
    for to in fabric(false) {
        has_gateways(host, to, &LEAFS)?;
    }
    lab.down()
}

#[test]
fn an_uplink_that_is_switched_off_and_on_again_is_used_again() -> Result<(), LabError> {
    if skip("an_uplink_that_is_switched_off_and_on_again_is_used_again", PETIOLE_LAB) {
        return Ok(());
    }
    let (lab, app1) = settled()?;
    let (host, port) = (lab.node("host"), lab.node("host").port("eth1"));
    // The kernel drops every nexthop on an interface that goes down, and the groups shrink behind the daemon's back.
    lab.switch_off(&port)?;
    for to in fabric(false) {
        has_gateways(host, to, &[LEAFS[1]])?;
    }
    answers(&lab.node("far"), app1[0])?;
    lab.switch_on(&port)?;
    for to in fabric(false) {
        has_gateways(host, to, &LEAFS)?;
    }
    for to in fabric(true) {
        has_interfaces(host, to, &["eth1", "eth2"])?;
    }
    lab.down()
}

#[test]
fn a_host_is_no_transit_even_when_its_export_accepts_everything() -> Result<(), LabError> {
    if skip("a_host_is_no_transit_even_when_its_export_accepts_everything", PETIOLE_LAB) {
        return Ok(());
    }
    let (lab, app1) = settled()?;
    let (host, leaf2) = (lab.node("host"), lab.node("leaf2"));
    let learned = prefix("172.16.9.0/24");
    // How the leaf would see it: the host's AS in front.
    let through_the_host = || -> Result<Vec<String>, LabError> {
        let paths = leaf2.frr().paths_to(learned)?;
        let paths = paths.iter().filter_map(|p| p["aspath"]["string"].as_str());
        Ok(paths.filter(|p| p.starts_with("65101")).map(str::to_owned).collect())
    };
    assert!(through_the_host()?.is_empty());

    // By mistake: the policy accepts whatever comes. It says nothing of learned routes, so they stay where they are.
    let config = host.read_file("/etc/petiole/petiole.toml")?;
    let mistake = "\n[[route-policy]]\nname = \"everything\"\ndefault = \"accept\"\nrules = [{ action = \"accept\", set = { med = 77 } }]\n";
    let exported = config
        .replace("import        = \"fabric\"", "import        = \"fabric\"\nexport        = \"everything\"");
    assert_ne!(exported, config);
    host.petiole().write_config(&format!("{exported}{mistake}"))?;
    host.petiole().reload()?;
    // The container's route with the policy's mark is behind everything that the policy lets pass.
    let marked = |to: IpNet| {
        wait_until(&format!("marked route to {to} on leaf2"), PATIENCE, || {
            let paths = leaf2.frr().paths_to(to).map_err(|e| e.to_string())?;
            holds(
                paths.iter().any(|p| p["aspath"]["string"] == "65101" && p["metric"] == 77),
                format!("{paths:?}"),
            )
        })
    };
    marked(IpNet::from(app1[0]))?;
    assert!(through_the_host()?.is_empty());

    // On purpose: the policy says `learned`. leaf1's paths are now passed to leaf2, and only because of that.
    let purpose = mistake.replace("{ action", "{ source = \"any\", action");
    host.petiole().write_config(&format!("{exported}{purpose}"))?;
    host.petiole().reload()?;
    wait_until("the learned route on leaf2, through the host", PATIENCE, || {
        let paths = through_the_host().map_err(|e| e.to_string())?;
        // leaf2 has it from the host only if the host's best path is the one of leaf1; either leaf will do.
        let at_leaf1 = lab.node("leaf1").frr().paths_to(learned).map_err(|e| e.to_string())?;
        let at_leaf1 =
            at_leaf1.iter().any(|p| p["aspath"]["string"].as_str().is_some_and(|s| s.starts_with("65101")));
        holds(!paths.is_empty() || at_leaf1, "neither leaf has it")
    })?;
    lab.down()
}
