//! The life of a container, as the leaf's kernel table sees it.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use common::{
    PETIOLE_LAB, address,
    contiv::{PATIENCE, addresses_of, answers, route_of_as_65002},
    topology,
};
use ipnet::IpNet;
use petiole_netns_tests::{Kernel, Lab, LabError, Node, Place, holds, skip, wait_until};

/// A second container of host1, with addresses that the file fixes.
const WEB3: &str = r#"
[[endpoint]]
name     = "web3"
network  = "public"
netns    = "/run/netns/web3"
address  = "192.168.1.33"
address6 = "2001:db8:1::1:33"
"#;

const WEB3_ADDRESSES: [&str; 2] = ["192.168.1.33", "2001:db8:1::1:33"];

/// contiv-l3 whose host1 knows of web3, which does not exist yet.
fn up_with_web3() -> Result<Lab, LabError> {
    let lab = Lab::load(&topology("contiv-l3"))?.defer("host1").up()?;
    let host = lab.node("host1");
    let config = host.read_file("/etc/petiole/petiole.toml")?;
    host.petiole().write_config(&(config + WEB3))?;
    host.boot()?;
    host.petiole().wait_established("leaf1")?;
    host.petiole().wait_established("leaf1-v6")?;
    Ok(lab)
}

fn gone(node: Node<'_>, address: IpAddr) -> Result<(), LabError> {
    wait_until(&format!("withdrawal of {address} on {}", node.name()), PATIENCE, || {
        let routes = node.routes_to(IpNet::from(address)).map_err(|e| e.to_string())?;
        holds(routes.is_empty(), format!("{routes:?}"))
    })
}

#[test]
fn a_container_is_on_the_leaf_when_its_namespace_appears_and_works_by_then() -> Result<(), LabError> {
    if skip("a_container_is_on_the_leaf_when_its_namespace_appears_and_works_by_then", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = up_with_web3()?;
    let (host, leaf) = (lab.node("host1"), lab.node("leaf1"));
    for text in WEB3_ADDRESSES {
        assert!(leaf.routes_to(IpNet::from(address(text)))?.is_empty(), "it does not exist yet");
    }
    let log = leaf.monitor("route")?;
    let container = host.netns_add("web3")?;
    log.0.wait_for_line(PATIENCE, |line| line.starts_with("192.168.1.33 "))?;
    // Announced only after the kernel has everything: the first packet must come through.
    let ping = leaf.ping(address("192.168.1.33"), 1)?;
    assert!(ping.is_complete(), "{ping:?}");
    route_of_as_65002(leaf, address("2001:db8:1::1:33"), 20)?;
    answers(&leaf, address("2001:db8:1::1:33"))?;
    assert_eq!(addresses_of(&container)?, WEB3_ADDRESSES.map(address));
    let link = container.json("ip -j link show dev eth0")?;
    assert_eq!(link[0]["address"], "02:02:c0:a8:01:21");
    lab.down()
}

#[test]
fn a_container_is_off_the_leaf_within_100_ms_of_its_removal_and_can_come_back() -> Result<(), LabError> {
    if skip("a_container_is_off_the_leaf_within_100_ms_of_its_removal_and_can_come_back", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = up_with_web3()?;
    let (host, leaf) = (lab.node("host1"), lab.node("leaf1"));
    let mut taken = Vec::new();
    for _ in 0..7 {
        let container = host.netns_add("web3")?;
        for text in WEB3_ADDRESSES {
            wait_until(&format!("{text} on leaf1"), PATIENCE, || leaf.route_to(IpNet::from(address(text))))?;
        }
        assert_eq!(addresses_of(&container)?, WEB3_ADDRESSES.map(address));
        let log = leaf.monitor("route")?;
        let removal = Instant::now();
        host.netns_del("web3")?;
        let withdrawal = log.0.wait_for_line(PATIENCE, |line| line.starts_with("Deleted 192.168.1.33 "))?;
        taken.push(withdrawal.at.saturating_duration_since(removal));
        for text in WEB3_ADDRESSES {
            gone(leaf, address(text))?;
        }
    }
    taken.sort_unstable();
    let median = taken[taken.len() / 2];
    println!("removal until the leaf's kernel has no route: {taken:.1?}, median {median:.1?}");
    // Including the start of `ip netns delete`. The median, because the machine has other things to do too.
    assert!(median < Duration::from_millis(100), "{taken:?}");
    lab.down()
}

#[test]
fn containers_that_exist_before_the_daemon_and_the_session_are_announced_when_it_comes_up()
-> Result<(), LabError> {
    if skip(
        "containers_that_exist_before_the_daemon_and_the_session_are_announced_when_it_comes_up",
        PETIOLE_LAB,
    ) {
        return Ok(());
    }
    let lab = Lab::load(&topology("contiv-l3"))?.defer("host1").up()?;
    let (host, leaf) = (lab.node("host1"), lab.node("leaf1"));
    leaf.frr().kill_daemon("bgpd")?;
    let web1 = host.netns_add("web1")?;
    host.petiole().start()?;
    host.petiole().wait_ready()?;
    let addresses = addresses_of(&web1)?;
    assert_ne!(host.petiole().session("leaf1")?, "established");

    leaf.frr().start_daemon("bgpd")?;
    host.petiole().wait_established("leaf1")?;
    for address in addresses {
        route_of_as_65002(leaf, address, 20)?;
        wait_until("route in the kernel", PATIENCE, || leaf.route_to(IpNet::from(address)))?;
    }
    lab.down()
}

#[test]
fn an_endpoint_added_and_removed_by_reload_is_announced_and_withdrawn() -> Result<(), LabError> {
    if skip("an_endpoint_added_and_removed_by_reload_is_announced_and_withdrawn", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = Lab::up(&topology("contiv-l3"))?;
    let (host, leaf) = (lab.node("host1"), lab.node("leaf1"));
    host.petiole().wait_established("leaf1")?;
    let container = host.netns_add("web3")?;
    let config = host.read_file("/etc/petiole/petiole.toml")?;
    host.petiole().write_config(&format!("{config}{WEB3}"))?;
    host.petiole().reload()?;
    route_of_as_65002(leaf, address(WEB3_ADDRESSES[0]), 20)?;

    host.petiole().write_config(&config)?;
    host.petiole().reload()?;
    gone(leaf, address(WEB3_ADDRESSES[0]))?;
    assert!(container.exists(), "the namespace belongs to somebody else");
    wait_until("removal of the interface", PATIENCE, || {
        let left = container.output("ip link show dev eth0").map_err(|e| e.to_string())?;
        holds(!left.status.success(), left.stdout)
    })?;
    lab.down()
}

#[test]
fn a_container_has_a_gateway_that_answers_without_proxy_arp() -> Result<(), LabError> {
    if skip("a_container_has_a_gateway_that_answers_without_proxy_arp", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = Lab::up(&topology("contiv-l3"))?;
    let host = lab.node("host1");
    let web1 = host.container("web1");
    addresses_of(&web1)?;
    let default = wait_until("default route", PATIENCE, || web1.route_to("0.0.0.0/0".parse().unwrap()))?;
    assert_eq!(default.gateways(), [address("192.168.1.254")]);
    wait_until("default route of IPv6", PATIENCE, || web1.route_to("::/0".parse().unwrap()))?;
    answers(&web1, address("192.168.1.254"))?;
    let proxies = host.run("sh -c 'grep -l 1 /proc/sys/net/ipv4/conf/*/proxy_arp || true'")?;
    assert_eq!(proxies, "", "proxy ARP is on");
    lab.down()
}

#[test]
fn a_daemon_that_is_killed_finds_its_containers_again_as_they_were() -> Result<(), LabError> {
    if skip("a_daemon_that_is_killed_finds_its_containers_again_as_they_were", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = Lab::up(&topology("contiv-l3"))?;
    let (host, leaf) = (lab.node("host1"), lab.node("leaf1"));
    let web1 = host.container("web1");
    let addresses = addresses_of(&web1)?;
    let link =
        || web1.json("ip -j link show dev eth0").map(|l| (l[0]["ifindex"].clone(), l[0]["address"].clone()));
    route_of_as_65002(leaf, addresses[0], 20)?;
    let before = link()?;

    host.petiole().kill()?;
    assert_eq!(link()?, before, "a container outlives the daemon");
    host.petiole().start()?;
    host.petiole().wait_established("leaf1")?;
    host.petiole().wait_established("leaf1-v6")?;
    for address in addresses {
        route_of_as_65002(leaf, address, 20)?;
    }
    assert_eq!(addresses_of(&web1)?, addresses);
    assert_eq!(link()?, before, "adopted, not made anew");
    answers(&web1, address("80.1.1.1"))?;
    lab.down()
}

#[test]
fn a_container_deleted_while_the_daemon_was_down_is_not_announced_again() -> Result<(), LabError> {
    if skip("a_container_deleted_while_the_daemon_was_down_is_not_announced_again", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = up_with_web3()?;
    let (host, leaf) = (lab.node("host1"), lab.node("leaf1"));
    host.netns_add("web3")?;
    route_of_as_65002(leaf, address(WEB3_ADDRESSES[0]), 20)?;
    host.petiole().kill()?;
    host.netns_del("web3")?;
    host.petiole().start()?;
    host.petiole().wait_established("leaf1")?;
    // web1 is announced in the same breath as everything else that exists.
    route_of_as_65002(leaf, addresses_of(&host.container("web1"))?[0], 20)?;
    gone(leaf, address(WEB3_ADDRESSES[0]))?;
    lab.down()
}
