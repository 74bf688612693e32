//! The outside world: scenario S7. Masquerade, published ports, and who may not have one.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::{IpAddr, SocketAddr};

use common::{
    address,
    contiv::{PATIENCE, addresses_of},
    lone::{self, HOST, WORLD},
};
use petiole_netns_tests::{
    Lab, LabError, Node, Place, Protocol,
    Requirement::{self, Nft, Petiole, Root},
    Talk, holds, skip, wait_until,
};

const NAT_LAB: &[Requirement] = &[Root, Petiole, Nft];

/// A network that the world has no route to, behind this host's addresses; one beside it that is not.
const NETWORKS: &str = r#"
[[network]]
name = "inside"
encap = "routed"
subnet = "192.168.1.0/24"
subnet6 = "2001:db8:1::/64"
masquerade = true
quarantine = 0

[[network]]
name = "bare"
encap = "routed"
subnet = "192.168.2.0/24"
subnet6 = "2001:db8:2::/64"
"#;

/// Every address on both families, TCP and UDP.
const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

fn at(address: IpAddr, port: u16) -> SocketAddr {
    (address, port).into()
}

fn any(port: u16) -> SocketAddr {
    ([0; 16], port).into()
}

fn up() -> Result<Lab, LabError> {
    lone::up(NETWORKS)
}

fn add(host: Node<'_>, name: &str, network: &str, more: &str) -> Result<[IpAddr; 2], LabError> {
    host.netns_add(name)?;
    host.petiole().endpoint_add(&format!("{name} --network {network} --netns /run/netns/{name} {more}"))?;
    addresses_of(&host.container(name))
}

#[test]
fn s7_containers_reach_the_outside_world_as_their_host() -> Result<(), LabError> {
    if skip("s7_containers_reach_the_outside_world_as_their_host", NAT_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let (host, world) = (lab.node("host"), lab.node("world"));
    let web = add(host, "web1", "inside", "")?;
    let bare = add(host, "bare1", "bare", "")?;
    let (web1, bare1) = (host.container("web1"), host.container("bare1"));
    let _outside = [world.answer(Protocol::Tcp, any(80))?, world.answer(Protocol::Udp, any(53))?];
    for family in 0..2 {
        let (there, here) = (address(WORLD[family]), address(HOST[family]));
        assert!(web1.ping(there, 3)?.is_complete(), "to {there}");
        assert_eq!(web1.ask(Protocol::Tcp, at(there, 80))?, here, "it is the host that the world sees");
        assert_eq!(web1.ask(Protocol::Udp, at(there, 53))?, here);
        assert!(bare1.ask(Protocol::Tcp, at(there, 80)).is_err(), "no way back to {}", bare[family]);

        // Between containers, and between a container and its host, everybody is who he is.
        let _inside =
            [bare1.answer(Protocol::Tcp, at(bare[family], 81))?, host.answer(Protocol::Tcp, at(here, 82))?];
        assert_eq!(web1.ask(Protocol::Tcp, at(bare[family], 81))?, web[family]);
        assert_eq!(web1.ask(Protocol::Tcp, at(here, 82))?, web[family]);
    }
    lab.down()
}

#[test]
fn s7_a_published_port_is_refused_first_and_open_then() -> Result<(), LabError> {
    if skip("s7_a_published_port_is_refused_first_and_open_then", NAT_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let (host, world) = (lab.node("host"), lab.node("world"));
    let web = add(host, "web1", "inside", "")?;
    let client = add(host, "client", "bare", "")?;
    let web1 = host.container("web1");
    let _server = PROTOCOLS.map(|protocol| web1.answer(protocol, any(80)));
    let asks = |from: &dyn Asks, family: usize| {
        PROTOCOLS.map(|protocol| from.asks(protocol, at(address(HOST[family]), 9099)))
    };
    for family in 0..2 {
        assert!(asks(&world, family).iter().all(Result::is_err), "nothing is published yet");
    }

    // The same endpoint again with a port: not a change of the endpoint that is there, so del and add.
    host.petiole().endpoint_del("web1")?;
    let words = format!(
        "web1 --network inside --netns /run/netns/web1 --address {} --publish 9099:80/tcp --publish 9099:80/udp",
        web[0]
    );
    host.petiole().endpoint_add(&words)?;
    let web = addresses_of(&web1)?;
    for family in 0..2 {
        let there = address(WORLD[family]);
        for seen in asks(&world, family) {
            assert_eq!(seen?, there, "the container sees who really asks");
        }
        // Hairpin: another container, the container itself, and the host, by the host's address.
        for seen in asks(&host.container("client"), family) {
            let seen = seen?;
            assert!(seen == client[family] || seen == address(HOST[family]), "{seen}");
        }
        for seen in asks(&web1, family).into_iter().chain(asks(&host, family)) {
            seen?;
        }
        // By its own address and port it is as before.
        host.container("client").ask(Protocol::Tcp, at(web[family], 80))?;
    }

    host.petiole().endpoint_del("web1")?;
    for family in 0..2 {
        assert!(asks(&world, family).iter().all(Result::is_err), "no longer published");
    }
    lab.down()
}

/// Places of several kinds in one list of a test.
trait Asks {
    fn asks(&self, protocol: Protocol, to: SocketAddr) -> Result<IpAddr, LabError>;
}

impl<P: Place> Asks for P {
    fn asks(&self, protocol: Protocol, to: SocketAddr) -> Result<IpAddr, LabError> {
        self.ask(protocol, to)
    }
}

#[test]
fn ranges_and_single_addresses_are_published_as_they_are_written() -> Result<(), LabError> {
    if skip("ranges_and_single_addresses_are_published_as_they_are_written", NAT_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let (host, world) = (lab.node("host"), lab.node("world"));
    host.run("ip address add 203.0.113.20/24 dev eth1")?;
    add(
        host,
        "web1",
        "inside",
        "--publish 9000-9003:8000-8003 --publish 203.0.113.20:443:8003 --publish 0.0.0.0:81:8000 \
         --publish [::]:82:8000/tcp",
    )?;
    let web1 = host.container("web1");
    let _servers: Vec<_> =
        (8000..8004).map(|port| web1.answer(Protocol::Tcp, any(port))).collect::<Result<_, _>>()?;
    let [v4, v6] = HOST.map(address);
    let other = address("203.0.113.20");
    let open = |to: IpAddr, port: u16| world.ask(Protocol::Tcp, at(to, port)).is_ok();
    for (to, port, expected) in [
        (v4, 9000, true),
        (v4, 9003, true),
        (v6, 9003, true),
        (other, 9001, true),
        (v4, 9004, false),
        (v4, 8999, false),
        (other, 443, true),
        (v4, 443, false),
        (v6, 443, false),
        (v4, 81, true),
        (v6, 81, false),
        (v6, 82, true),
        (v4, 82, false),
    ] {
        assert_eq!(open(to, port), expected, "{to} port {port}");
    }
    lab.down()
}

#[test]
fn a_published_port_that_somebody_has_is_refused_by_name() -> Result<(), LabError> {
    if skip("a_published_port_that_somebody_has_is_refused_by_name", NAT_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let host = lab.node("host");
    add(host, "web1", "inside", "--publish 9099:80/tcp")?;
    let process = host.answer(Protocol::Tcp, any(9100))?;
    host.netns_add("web2")?;
    let refused = |publish: &str| -> Result<String, LabError> {
        let line =
            format!("petiole endpoint add web2 --network inside --netns /run/netns/web2 --publish {publish}");
        let output = host.output(&line)?;
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        assert!(!host.container("web2").run("ip -br link")?.contains("eth0"), "{line}");
        Ok(output.stderr)
    };
    let rules = host.run("nft list table inet petiole")?;
    // Another endpoint has it; a process of the host listens there.
    for publish in ["9099:80/tcp", "9090-9099:90-99/tcp", "203.0.113.10:9099:80"] {
        let why = refused(publish)?;
        assert!(why.contains("9099") && why.contains("web1"), "{publish}: {why}");
    }
    let why = refused("9100:80/tcp")?;
    assert!(why.contains("9100") && why.contains("lab"), "{why}");
    assert_eq!(host.run("nft list table inet petiole")?, rules, "nothing has changed");
    // The same port of the other protocol is another port, and so is one that is free again.
    drop(process);
    host.petiole().endpoint_add(
        "web2 --network inside --netns /run/netns/web2 --publish 9099:80/udp --publish 9100:80/tcp",
    )?;
    lab.down()
}

#[test]
fn somebody_who_flushes_all_rules_does_not_stop_a_published_port_for_long() -> Result<(), LabError> {
    if skip("somebody_who_flushes_all_rules_does_not_stop_a_published_port_for_long", NAT_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let (host, world) = (lab.node("host"), lab.node("world"));
    add(host, "web1", "inside", "--publish 9099:80/tcp")?;
    let _server = host.container("web1").answer(Protocol::Tcp, any(80))?;
    let before = host.run("nft list ruleset")?;
    for damage in ["flush ruleset", "delete table inet petiole", "flush table inet petiole"] {
        host.run(&format!("nft {damage}"))?;
        wait_until(&format!("repair after {damage}"), PATIENCE, || {
            let now = host.run("nft list ruleset").map_err(|e| e.to_string())?;
            holds(now == before, now)
        })?;
        world.ask(Protocol::Tcp, at(address(HOST[0]), 9099))?;
    }
    lab.down()
}
