//! Who gets which address, and who does not.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use common::{PETIOLE_LAB, address, contiv::PATIENCE, lone};
use ipnet::IpNet;
use petiole_netns_tests::{
    Kernel, Lab, LabError, Node, Place,
    Requirement::{self, Petiole, Root},
    holds, skip, wait_until,
};
use serde_json::Value;

const LONE_LAB: &[Requirement] = &[Root, Petiole];

/// Makes the namespace and adds the endpoint to `network`, with more words if need be.
fn add(host: Node<'_>, name: &str, network: &str, more: &str) -> Result<Value, LabError> {
    if !host.container(name).exists() {
        host.netns_add(name)?;
    }
    host.petiole().endpoint_add(&format!("{name} --network {network} --netns /run/netns/{name} {more}"))
}

/// Adds the endpoint, which must be refused, and returns the reason.
fn refused(host: Node<'_>, name: &str, network: &str, more: &str) -> Result<String, LabError> {
    if !host.container(name).exists() {
        host.netns_add(name)?;
    }
    let line = format!("petiole endpoint add {name} --network {network} --netns /run/netns/{name} {more}");
    let output = host.output(&line)?;
    assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
    // Nothing is left of it: neither in the container, nor in the list.
    let links = host.container(name).run("ip -br link")?;
    assert!(!links.contains("eth0"), "{line}: {links}");
    let known = host.petiole().rows("endpoints")?;
    assert!(known.iter().all(|row| row["name"] != name), "{line}: {known:?}");
    Ok(output.stderr)
}

/// The addresses of an endpoint, as the daemon tells them.
fn addresses(endpoint: &Value) -> Vec<IpAddr> {
    let all = endpoint["addresses"].as_array().unwrap_or_else(|| panic!("{endpoint}"));
    all.iter().map(|a| a.as_str().unwrap().parse().unwrap()).collect()
}

fn first(endpoint: &Value) -> String {
    addresses(endpoint)[0].to_string()
}

#[test]
fn ten_parallel_creates_in_a_fresh_pool_give_ten_different_addresses() -> Result<(), LabError> {
    if skip("ten_parallel_creates_in_a_fresh_pool_give_ten_different_addresses", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(lone::PUBLIC)?;
    let host = lab.node("host");
    let names: Vec<_> = (0..10).map(|i| format!("c{i}")).collect();
    let given: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> =
            names.iter().map(|name| scope.spawn(move || add(host, name, "public", ""))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Result<_, _>>()
    })?;
    let v4: BTreeSet<_> = given.iter().map(|endpoint| addresses(endpoint)[0]).collect();
    let expected: BTreeSet<_> = (1..=10).map(|i| address(&format!("192.168.1.{i}"))).collect();
    assert_eq!(v4, expected);
    for (name, endpoint) in names.iter().zip(&given) {
        assert_eq!(host.container(name).addresses("eth0")?.len(), 2);
        assert!(host.container(name).addresses("eth0")?.contains(&addresses(endpoint)[0]), "{endpoint}");
    }
    lab.down()
}

#[test]
fn a_pool_that_is_used_up_says_so() -> Result<(), LabError> {
    if skip("a_pool_that_is_used_up_says_so", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(
        "[[network]]\nname = \"one\"\nencap = \"routed\"\nsubnet = \"192.168.1.0/24\"\n\
         pool = [\"192.168.1.9\"]\nquarantine = 0\n",
    )?;
    let host = lab.node("host");
    assert_eq!(first(&add(host, "a", "one", "")?), "192.168.1.9");
    let why = refused(host, "b", "one", "")?;
    assert!(why.contains("address exhaustion") && why.contains("one"), "{why}");
    // The same request as before is not another one.
    assert_eq!(first(&add(host, "a", "one", "")?), "192.168.1.9");
    host.petiole().endpoint_del("a")?;
    assert_eq!(first(&add(host, "b", "one", "")?), "192.168.1.9");
    lab.down()
}

#[test]
fn a_released_address_rests_and_the_longest_rested_comes_first() -> Result<(), LabError> {
    if skip("a_released_address_rests_and_the_longest_rested_comes_first", LONE_LAB) {
        return Ok(());
    }
    let network = |quarantine: u32| {
        format!(
            "[[network]]\nname = \"few\"\nencap = \"routed\"\nsubnet = \"192.168.1.0/24\"\n\
             pool = [\"192.168.1.1-192.168.1.3\"]\nquarantine = {quarantine}\n"
        )
    };
    let lab = lone::up(&network(3600))?;
    let host = lab.node("host");
    assert_eq!(first(&add(host, "a", "few", "")?), "192.168.1.1");
    assert_eq!(first(&add(host, "b", "few", "")?), "192.168.1.2");
    host.petiole().endpoint_del("b")?;
    // Rest is counted in seconds, which begin when the daemon's do.
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let released = second();
    wait_until("a whole second", PATIENCE, || holds(second() > released + 1, "not yet"))?;
    host.petiole().endpoint_del("a")?;
    assert_eq!(first(&add(host, "c", "few", "")?), "192.168.1.3", "never used before comes first");
    let why = refused(host, "d", "few", "")?;
    assert!(why.contains("quarantine"), "{why}");
    // Asked for by its number it is given at once: somebody knows what he is doing.
    assert_eq!(first(&add(host, "e", "few", "--address 192.168.1.1")?), "192.168.1.1");
    host.petiole().endpoint_del("e")?;

    host.petiole().write_config(&format!("{}{}", lone::BASE, network(0)))?;
    host.petiole().reload()?;
    assert_eq!(first(&add(host, "d", "few", "")?), "192.168.1.2", "released before .1");
    lab.down()
}

#[test]
fn an_address_that_is_somebody_elses_is_refused_by_name() -> Result<(), LabError> {
    if skip("an_address_that_is_somebody_elses_is_refused_by_name", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(&lone::PUBLIC.replace(
        "subnet =",
        "gateway = \"192.168.1.254\"\nexclude = [\"192.168.1.5\", \"192.168.1.64/26\"]\nsubnet =",
    ))?;
    let host = lab.node("host");
    add(host, "a", "public", "--address 192.168.1.7")?;
    let why = refused(host, "b", "public", "--address 192.168.1.7")?;
    assert!(why.contains("192.168.1.7") && why.contains('a'), "{why}");
    for (wish, says) in [
        ("192.168.1.254", "gateway"),
        ("192.168.1.5", "192.168.1.5"),
        ("192.168.1.100", "192.168.1.100"),
        ("192.168.1.255", "192.168.1.255"),
        ("10.9.9.9", "192.168.1.0/24"),
    ] {
        let why = refused(host, "b", "public", &format!("--address {wish}"))?;
        assert!(why.contains(says), "{wish}: {why}");
    }
    lab.down()
}

#[test]
fn groups_have_pools_of_their_own() -> Result<(), LabError> {
    if skip("groups_have_pools_of_their_own", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(&format!(
        "{}\n[[group]]\nname = \"web\"\nnetwork = \"public\"\npool = [\"192.168.1.1-192.168.1.2\"]\n\
         [[group]]\nname = \"db\"\nnetwork = \"public\"\npool = [\"192.168.1.32/30\"]\n",
        lone::PUBLIC
    ))?;
    let host = lab.node("host");
    assert_eq!(first(&add(host, "a", "public", "")?), "192.168.1.3", "the first that no group has");
    for (name, group, expected) in
        [("w1", "web", "192.168.1.1"), ("w2", "web", "192.168.1.2"), ("d1", "db", "192.168.1.32")]
    {
        host.netns_add(name)?;
        let words = format!("{name} --group {group} --netns /run/netns/{name}");
        assert_eq!(first(&host.petiole().endpoint_add(&words)?), expected);
    }
    host.netns_add("w3")?;
    let full = host.output("petiole endpoint add w3 --group web --netns /run/netns/w3")?;
    assert_eq!(full.status.code(), Some(1));
    assert!(full.stderr.contains("exhaustion") && full.stderr.contains("web"), "{}", full.stderr);
    lab.down()
}

#[test]
fn the_smallest_subnets_are_used_whole() -> Result<(), LabError> {
    if skip("the_smallest_subnets_are_used_whole", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(
        "[[network]]\nname = \"two\"\nencap = \"routed\"\nsubnet = \"192.168.1.8/31\"\nsubnet6 = \"2001:db8:1::8/127\"\n\
         [[network]]\nname = \"one\"\nencap = \"routed\"\nsubnet = \"192.168.1.20/32\"\nsubnet6 = \"2001:db8:1::20/128\"\n\
         [[network]]\nname = \"six\"\nencap = \"routed\"\nsubnet6 = \"2001:db8:6::/64\"\npool6 = [\"2001:db8:6::a-2001:db8:6::b\"]\n",
    )?;
    let host = lab.node("host");
    for (name, network, expected) in [
        ("a", "two", &["192.168.1.8", "2001:db8:1::8"][..]),
        ("b", "two", &["192.168.1.9", "2001:db8:1::9"]),
        ("c", "one", &["192.168.1.20", "2001:db8:1::20"]),
        ("d", "six", &["2001:db8:6::a"]),
        ("e", "six", &["2001:db8:6::b"]),
    ] {
        let expected: Vec<_> = expected.iter().map(|a| address(a)).collect();
        assert_eq!(addresses(&add(host, name, network, "")?), expected, "{name}");
        assert_eq!(host.container(name).addresses("eth0")?, expected);
    }
    for network in ["two", "one", "six"] {
        assert!(refused(host, "f", network, "")?.contains("exhaustion"), "{network}");
    }
    let bridge = host.container("a").ping(address("192.168.1.9"), 3)?;
    assert!(bridge.is_complete(), "{bridge:?}");
    lab.down()
}

#[test]
fn an_address_that_the_fabric_has_elsewhere_is_not_given_out() -> Result<(), LabError> {
    if skip("an_address_that_the_fabric_has_elsewhere_is_not_given_out", PETIOLE_LAB) {
        return Ok(());
    }
    let pair = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/topologies/pair/pair.clab.yml");
    let lab = Lab::load(pair.as_ref())?.defer("host").up()?;
    let (host, leaf) = (lab.node("host"), lab.node("leaf"));
    host.boot()?;
    host.petiole().wait_established("leaf")?;
    // Another host, with the same pool, has .2 and .3.
    leaf.frr().configure(&["ip route 192.168.1.2/32 Null0", "ip route 192.168.1.3/32 Null0"])?;
    let elsewhere = IpNet::from(address("192.168.1.3"));
    wait_until("the other host's routes", PATIENCE, || host.route_to(elsewhere))?;
    assert_eq!(first(&add(host, "b", "public", "")?), "192.168.1.4");
    let why = refused(host, "c", "public", "--address 192.168.1.2")?;
    assert!(why.contains("192.168.1.2"), "{why}");

    // It appears there when it is in use here: nothing is torn down, and somebody is told.
    leaf.frr().configure(&["ip route 192.168.1.4/32 Null0"])?;
    wait_until("an alarm", PATIENCE, || {
        let log = host.run("cat /run/lab/log/petiole.log").map_err(|e| e.to_string())?;
        holds(log.lines().any(|l| l.contains("ERROR") && l.contains("192.168.1.4")), log)
    })?;
    assert_eq!(host.container("b").addresses("eth0")?, [address("192.168.1.4")]);
    lab.down()
}

#[test]
fn everybody_keeps_the_address_over_a_crash_and_a_stop() -> Result<(), LabError> {
    if skip("everybody_keeps_the_address_over_a_crash_and_a_stop", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(lone::PUBLIC)?;
    let host = lab.node("host");
    for name in ["a", "b", "c"] {
        add(host, name, "public", "")?;
    }
    host.petiole().endpoint_del("b")?;
    let list = || host.petiole().rows("endpoints");
    let before = list()?;
    assert_eq!(before.len(), 2);
    for stop in [End::Kill, End::Stop] {
        match stop {
            End::Kill => host.petiole().kill()?,
            End::Stop => host.petiole().stop()?,
        }
        host.petiole().start()?;
        host.petiole().wait_ready()?;
        wait_until("the same endpoints", PATIENCE, || {
            let after = list().map_err(|e| e.to_string())?;
            holds(after == before, format!("{after:#?}"))
        })?;
    }
    // What rested goes on resting.
    assert_eq!(first(&add(host, "d", "public", "")?), "192.168.1.4");
    lab.down()
}

/// How a daemon ends.
enum End {
    Kill,
    Stop,
}
