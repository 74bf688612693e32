//! VXLAN networks: scenarios S5 and S9, what fits through, what a network without gateway keeps apart, and how few
//! operations a change costs.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fmt::Write as _, net::IpAddr};

use common::{
    PETIOLE_LAB, address,
    contiv::{PATIENCE, addresses_of, answers},
    lone, topology,
};
use ipnet::IpNet;
use petiole_netns_tests::{
    Container, Fit, Kernel, Lab, LabError, Node, Place, Requirement, holds, skip, wait_until,
};

/// Labs with petiole alone.
const LONE_LAB: &[Requirement] = &[Requirement::Root, Requirement::Petiole];
/// The same, with captures.
const CAPTURE_LAB: &[Requirement] =
    &[Requirement::Root, Requirement::Frr, Requirement::Petiole, Requirement::Tcpdump];

/// The addresses of the containers of one network on both hosts.
type Pair = [[IpAddr; 2]; 2];

/// vxlan-two-hosts, with both hosts' sessions up.
fn up() -> Result<Lab, LabError> {
    let lab = Lab::up(&topology("vxlan-two-hosts"))?;
    for (host, leaf) in [("host1", "leaf1"), ("host2", "leaf2")] {
        lab.node(host).petiole().wait_established(leaf)?;
        lab.node(host).petiole().wait_established(&format!("{leaf}-v6"))?;
    }
    common::contiv::sessions_on_the_leafs(&lab)?;
    Ok(lab)
}

/// `<name>1` on host1 and `<name>2` on host2.
fn containers<'a>(lab: &'a Lab, name: &str) -> [Container<'a>; 2] {
    ["1", "2"].map(|n| lab.node(&format!("host{n}")).container(&format!("{name}{n}")))
}

fn pair(containers: &[Container<'_>; 2]) -> Result<Pair, LabError> {
    Ok([addresses_of(&containers[0])?, addresses_of(&containers[1])?])
}

#[test]
fn s5_containers_of_two_hosts_share_a_segment() -> Result<(), LabError> {
    if skip("s5_containers_of_two_hosts_share_a_segment", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let both = containers(&lab, "c");
    let addresses = pair(&both)?;
    assert_eq!(addresses[0], [address("10.1.2.1"), address("2001:db8:2::1:1")]);
    assert_eq!(addresses[1], [address("10.1.2.101"), address("2001:db8:2::2:1")]);
    for (from, to) in [(0, 1), (1, 0)] {
        for to in addresses[to] {
            answers(&both[from], to)?;
            let ping = both[from].ping(to, 20)?;
            assert!(ping.is_complete() && ping.ttl == Some(64), "to {to}: {ping:?}");
        }
    }
    for (container, mac) in both.iter().zip(["02:02:0a:01:02:01", "02:02:0a:01:02:65"]) {
        let link = container.json("ip -j link show dev eth0")?;
        assert_eq!((&link[0]["mtu"], &link[0]["address"]), (&1450.into(), &mac.into()));
    }
    lab.down()
}

#[test]
fn what_fits_passes_whole_and_one_byte_more_is_refused_with_the_reason() -> Result<(), LabError> {
    if skip("what_fits_passes_whole_and_one_byte_more_is_refused_with_the_reason", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    // On the segment the sender's own kernel knows the limit.
    let both = containers(&lab, "c");
    let to = pair(&both)?[1];
    for to in to {
        answers(&both[0], to)?;
        for size in [100, 576, 1280, 1400, 1449, 1450] {
            assert_eq!(both[0].fits(to, size)?, Fit::Passed, "{size} bytes to {to}");
        }
        assert_eq!(both[0].fits(to, 1451)?, Fit::TooBig { mtu: 1450, by: None }, "to {to}");
    }
    // From a routed network, whose MTU is the uplink's, the host with the bridge has to say it.
    let [web1, _] = containers(&lab, "web");
    let apps = pair(&containers(&lab, "app"))?;
    for to in apps[1] {
        answers(&web1, to)?;
        assert_eq!(web1.fits(to, 1450)?, Fit::Passed, "to {to}");
        let fit = web1.fits(to, 1451)?;
        assert!(matches!(fit, Fit::TooBig { mtu: 1450, by: Some(_) }), "to {to}: {fit:?}");
    }
    lab.down()
}

#[test]
fn a_bridged_network_with_a_gateway_is_reached_from_everywhere() -> Result<(), LabError> {
    if skip("a_bridged_network_with_a_gateway_is_reached_from_everywhere", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let (apps, webs) = (containers(&lab, "app"), containers(&lab, "web"));
    let (app, web) = (pair(&apps)?, pair(&webs)?);
    for family in 0..2 {
        // On the segment; through the own host; through both hosts; from the fabric, to the fabric.
        for (from, to, ttl) in [
            (&apps[0] as &dyn PingTtl, app[1][family], Some(64)),
            (&webs[0], app[0][family], Some(63)),
            (&apps[0], web[0][family], Some(63)),
            (&webs[0], app[1][family], Some(60)),
            (&apps[0], web[1][family], Some(60)),
            (&lab.node("leaf2"), app[0][family], None),
        ] {
            from.answered(to, ttl)?;
        }
    }
    apps[0].answered(address("80.1.1.2"), Some(62))?;
    apps[0].answered(address("2001:db8:80::2"), None)?;

    // Each leaf knows each container of it; nobody outside knows of the network that has no gateway.
    let unreachable = pair(&containers(&lab, "c"))?;
    for leaf in ["leaf1", "leaf2"].map(|leaf| lab.node(leaf)) {
        for known in app.iter().flatten() {
            wait_until(&format!("{known} on {}", leaf.name()), PATIENCE, || {
                leaf.route_to(IpNet::from(*known))
            })?;
        }
        for unknown in unreachable.iter().flatten() {
            assert!(leaf.routes_to(IpNet::from(*unknown))?.is_empty(), "{unknown} on {}", leaf.name());
        }
    }
    lab.down()
}

/// Places of several kinds in one table of a test.
trait PingTtl {
    /// Every ping is answered, and answers have this TTL left.
    fn answered(&self, to: IpAddr, ttl: Option<u8>) -> Result<(), LabError>;
}

impl<P: Place> PingTtl for P {
    fn answered(&self, to: IpAddr, ttl: Option<u8>) -> Result<(), LabError> {
        answers(self, to)?;
        let ping = self.ping(to, 5)?;
        let as_expected = ping.is_complete() && ttl.is_none_or(|ttl| ping.ttl == Some(ttl));
        assert!(as_expected, "{} to {to}: {ping:?}, expected TTL {ttl:?}", self.label());
        Ok(())
    }
}

#[test]
fn a_network_without_gateway_has_no_way_through_the_host() -> Result<(), LabError> {
    if skip("a_network_without_gateway_has_no_way_through_the_host", CAPTURE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let host = lab.node("host1");
    let ([c1, _], [web1, _]) = (containers(&lab, "c"), containers(&lab, "web"));
    addresses_of(&c1)?;
    let web = addresses_of(&web1)?;
    assert!(host.addresses("pb-contiv-net")?.is_empty());
    let any = host.run("ip address show dev pb-contiv-net")?;
    assert!(!any.contains("inet"), "not even a link-local address: {any}");

    // A container that knows the bridge's hardware address can hand it packets; they must end there.
    let link = host.json("ip -j link show dev pb-contiv-net")?;
    let bridge = link[0]["address"].as_str().unwrap();
    for (family, gateway, address) in [("-4", "10.1.2.254", web[0]), ("-6", "2001:db8:2::fffe", web[1])] {
        c1.run(&format!("ip {family} neigh replace {gateway} lladdr {bridge} dev eth0 nud permanent"))?;
        c1.run(&format!("ip {family} route add {address} via {gateway} dev eth0"))?;
    }
    let seen = web1.capture("eth0", "icmp or icmp6")?;
    let targets = [web[0], web[1], address("50.1.1.1"), address("2001:db8:50::1")];
    for (gateway, target) in [("10.1.2.254", targets[2]), ("2001:db8:2::fffe", targets[3])] {
        c1.run(&format!("ip route add {target} via {gateway} dev eth0"))?;
    }
    for target in targets {
        assert_eq!(c1.ping(target, 3)?.received, 0, "c1 reaches {target}");
    }
    // What comes after is seen: so would have been what came before.
    for target in [web[0], web[1]] {
        answers(&host, target)?;
    }
    let requests = |lines: &[petiole_netns_tests::Line]| {
        lines.iter().filter(|l| l.text.contains("echo request")).map(|l| l.text.clone()).collect::<Vec<_>>()
    };
    wait_until("the host's own requests", PATIENCE, || {
        holds(requests(&seen.lines()).len() >= 2, "not all are captured yet")
    })?;
    let lines = requests(&seen.stop()?);
    assert!(!lines.iter().any(|l| l.contains("10.1.2.") || l.contains("2001:db8:2:")), "{lines:#?}");
    // Nor the other way round: the host has no route into the network.
    for inside in ["10.1.2.1", "10.1.2.101", "2001:db8:2::1:1"] {
        let route = host.output(&format!("ip route get {inside}"))?;
        assert!(!route.stdout.contains("pb-contiv-net"), "{}", route.stdout);
    }
    lab.down()
}

#[test]
fn the_gateway_is_never_asked_for_nor_heard_of_on_the_segment() -> Result<(), LabError> {
    if skip("the_gateway_is_never_asked_for_nor_heard_of_on_the_segment", CAPTURE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let apps = containers(&lab, "app");
    let app = pair(&apps)?;
    // Two hosts with the same address and hardware address: on the segment they would fight for it.
    let segment = lab.node("host2").capture("px-5004", "arp or icmp6")?;
    for (i, host) in ["host1", "host2"].map(|host| lab.node(host)).into_iter().enumerate() {
        for gateway in ["10.1.4.254", "2001:db8:4::fffe"] {
            answers(&apps[i], address(gateway))?;
        }
        for own in app[i] {
            answers(&host, own)?;
        }
    }
    answers(&apps[0], app[1][0])?;
    segment.wait_for_line(PATIENCE, |line| line.contains("who-has 10.1.4.101 tell 10.1.4.1"))?;
    let lines: Vec<_> = segment.stop()?.into_iter().map(|line| line.text).collect();
    let about: Vec<_> = lines
        .iter()
        .filter(|l| {
            l.contains("10.1.4.254") || l.contains("2001:db8:4::fffe") || l.contains("02:02:ff:ff:ff:ff")
        })
        .collect();
    assert!(about.is_empty(), "{about:#?}");
    lab.down()
}

/// 100 VXLAN networks whose other hosts are `vteps`.
fn hundred(vteps: &[&str]) -> String {
    let vteps = vteps.iter().map(|v| format!("\"{v}\"")).collect::<Vec<_>>().join(", ");
    (0..100).fold(String::new(), |mut text, i| {
        let _ = writeln!(
            text,
            "[[network]]\nname = \"net{i}\"\nencap = \"vxlan\"\nvni = {}\nsubnet = \"10.2.{i}.0/24\"\nvteps = [{vteps}]\n",
            7000 + i
        );
        text
    })
}

/// Reloads with these networks, and returns how many operations that took.
fn operations_of_reload(host: Node<'_>, networks: &str) -> Result<u64, LabError> {
    let done = || host.petiole().metric(lone::metrics(), "petiole_fib_operations_total");
    let before = done()?;
    host.petiole().write_config(&format!("{}{networks}", lone::BASE))?;
    host.petiole().reload()?;
    lone::settled(host)?;
    Ok(done()? - before)
}

#[test]
fn one_more_vtep_on_a_hundred_networks_is_a_hundred_operations() -> Result<(), LabError> {
    if skip("one_more_vtep_on_a_hundred_networks_is_a_hundred_operations", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(&hundred(&["203.0.113.10", "203.0.113.11"]))?;
    let host = lab.node("host");
    let floods = |to: &str| -> Result<usize, LabError> {
        let all = host.run("bridge fdb show")?;
        let to = format!("dst {to} ");
        Ok(all
            .lines()
            .filter(|l| l.starts_with("00:00:00:00:00:00") && format!("{l} ").contains(&to))
            .count())
    };
    wait_until("100 networks", PATIENCE, || {
        let count = floods("203.0.113.11").map_err(|e| e.to_string())?;
        holds(count == 100, format!("{count} flood entries"))
    })?;
    lone::settled(host)?;
    let nothing = operations_of_reload(host, &hundred(&["203.0.113.10", "203.0.113.11"]))?;
    assert_eq!(nothing, 0, "operations of a reload without a change");

    let more = ["203.0.113.10", "203.0.113.11", "203.0.113.12"];
    let added = operations_of_reload(host, &hundred(&more))?;
    assert_eq!(added, 100);
    assert_eq!((floods("203.0.113.11")?, floods("203.0.113.12")?), (100, 100));

    let removed = operations_of_reload(host, &hundred(&["203.0.113.10", "203.0.113.11"]))?;
    assert_eq!(removed, 100);
    assert_eq!((floods("203.0.113.11")?, floods("203.0.113.12")?), (100, 0));
    lab.down()
}

/// Somebody else's VXLAN on the port of ours, as Docker makes it: without marks, so that the kernel cannot share the socket.
const FOREIGN_VXLAN: &str = "ip link add foreign type vxlan id 9 dstport 4789";

#[test]
fn s9_after_a_flush_the_vxlan_port_is_free() -> Result<(), LabError> {
    if skip("s9_after_a_flush_the_vxlan_port_is_free", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(&hundred(&["203.0.113.11"]))?;
    let host = lab.node("host");
    wait_until("the VXLAN devices", PATIENCE, || {
        let links = host.run("ip -br link show type vxlan up").map_err(|e| e.to_string())?;
        holds(links.lines().count() == 100, links)
    })?;
    host.run(FOREIGN_VXLAN)?;
    let taken = host.output("ip link set foreign up")?;
    assert!(taken.stderr.contains("in use"), "{taken:?}");

    host.petiole().stop_by_command(true)?;
    host.run("ip link set foreign up")?;
    let left = host.run("ip -br link")?;
    assert!(!left.contains("pb-") && !left.contains("px-"), "{left}");
    lab.down()
}
