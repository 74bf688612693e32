//! Who is no container: the world outside, by a published port and else, and the host itself.

use std::{collections::BTreeMap, net::IpAddr};

use petiole_netns_tests::{
    LabError, Node, Place, Probe, Question,
    Requirement::{self, Nft, Petiole, Root},
    Service, skip,
    speaker::petiole::CONFIG,
};

use crate::common::{
    address,
    contiv::{addresses_of, answers},
    lone::{self, HOST, WORLD, settled},
};

const LONE_LAB: &[Requirement] = &[Root, Petiole, Nft];

/// What the world has beside its own addresses.
const OTHER: [&str; 2] = ["203.0.113.2", "2001:db8:cafe::2"];

const NETWORK: &str = r#"
[[network]]
name = "inside"
encap = "routed"
subnet = "192.168.1.0/24"
subnet6 = "2001:db8:1::/64"

[[group]]
name = "shop"
network = "inside"
default = "deny"
policies = ["customers"]
"#;

fn policy(rules: &str) -> String {
    format!("{NETWORK}\n[[policy]]\nname = \"customers\"\nrules = [{rules}]\n")
}

fn reload(host: Node<'_>, rules: &str) -> Result<(), LabError> {
    host.petiole().write_config(&format!("{}{}", lone::BASE, policy(rules)))?;
    host.petiole().reload()?;
    settled(host)
}

/// Whether a place reaches these addresses for a service, from its own address of the same place in the list; all or none.
fn reaches(
    place: &impl Place,
    from: Option<[&str; 2]>,
    service: Service,
    to: [IpAddr; 2],
    expected: bool,
) -> Result<(), LabError> {
    for family in 0..2 {
        let from = from.map(|from| address(from[family]));
        let question = BTreeMap::from([(Question { service, to: to[family] }, expected)]);
        let seen = place.probe_from(from, &question)?;
        assert_eq!(seen, question, "{} from {from:?}", place.label());
    }
    Ok(())
}

#[test]
fn a_published_port_of_a_protected_container_is_open_to_whom_a_rule_allows() -> Result<(), LabError> {
    if skip("outside::a_published_port_of_a_protected_container_is_open_to_whom_a_rule_allows", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(&policy(""))?;
    let (host, world) = (lab.node("host"), lab.node("world"));
    for (address, length) in OTHER.into_iter().zip([24, 64]) {
        world.run(&format!("ip address add {address}/{length} dev eth1"))?;
    }
    let web = host.netns_add("web1")?;
    host.petiole().endpoint_add(
        "web1 --group shop --netns /run/netns/web1 --publish 9099:8000/tcp --publish 9053:8000/udp",
    )?;
    let inside = addresses_of(&web)?;
    let _responder = web.respond(&[Service::Tcp(8000), Service::Udp(8000)])?;
    for (to, by) in [("192.168.1.0/24", HOST[0]), ("2001:db8:1::/64", HOST[1])] {
        world.run(&format!("ip route add {to} via {by}"))?;
    }
    let (tcp, udp) = (Service::Tcp(9099), Service::Udp(9053));
    let here = HOST.map(address);
    let seen = |who: [&str; 2], published: [bool; 2], direct: bool| -> Result<(), LabError> {
        reaches(&world, Some(who), tcp, here, published[0])?;
        reaches(&world, Some(who), udp, here, published[1])?;
        reaches(&world, Some(who), Service::Tcp(8000), inside, direct)
    };
    seen(WORLD, [false, false], false)?;
    // A rule is about the port that the container listens on.
    let from = format!("from-address = [\"{}\", \"{}\"]", WORLD[0], WORLD[1]);
    reload(host, &format!("{{ id = \"1\", protocol = \"tcp\", port = 8000, {from} }}"))?;
    seen(WORLD, [true, false], true)?;
    seen(OTHER, [false, false], false)?;
    reload(host, &format!("{{ id = \"1\", protocol = \"tcp\", port = 9099, {from} }}"))?;
    seen(WORLD, [false, false], false)?;
    reload(host, &format!("{{ id = \"1\", {from} }}"))?;
    seen(WORLD, [true, true], true)?;
    seen(OTHER, [false, false], false)?;
    reload(host, "{ id = \"1\", protocol = \"udp\" }")?;
    seen(OTHER, [false, true], false)?;
    lab.down()
}

#[test]
fn a_container_that_denies_denies_its_host_too_and_is_held_back_from_it() -> Result<(), LabError> {
    if skip("outside::a_container_that_denies_denies_its_host_too_and_is_held_back_from_it", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(&policy(""))?;
    let host = lab.node("host");
    let web = host.netns_add("web1")?;
    host.petiole().endpoint_add("web1 --group shop --netns /run/netns/web1")?;
    let inside = addresses_of(&web)?;
    let _responders = [web.respond(&[Service::Tcp(8000)])?, host.respond(&[Service::Tcp(8000)])?];
    let here = HOST.map(address);
    let (ping, tcp) = (Service::Icmp, Service::Tcp(8000));
    let seen = |to: [bool; 2], from: [bool; 2]| -> Result<(), LabError> {
        for (i, service) in [ping, tcp].into_iter().enumerate() {
            reaches(&host, None, service, inside, to[i])?;
            reaches(&web, None, service, here, from[i])?;
        }
        Ok(())
    };
    seen([false, false], [false, false])?;
    // Who the host is to its containers, its routes say.
    let source = |to: IpAddr| -> Result<String, LabError> {
        let route = host.json(&format!("ip -j route get {to}"))?;
        Ok(route[0]["prefsrc"].as_str().unwrap_or_default().to_owned())
    };
    let sources = format!("[\"{}\", \"{}\"]", source(inside[0])?, source(inside[1])?);
    println!("the host's own: {sources}");
    let addresses = format!("[\"{}\", \"{}\"]", HOST[0], HOST[1]);
    reload(host, &format!("{{ id = \"1\", protocol = \"icmp\", from-address = {sources} }}"))?;
    seen([true, false], [false, false])?;
    reload(
        host,
        &format!(
            "{{ id = \"1\", direction = \"out\", protocol = \"tcp\", port = 8000, to-address = {addresses} }}"
        ),
    )?;
    seen([false, false], [false, true])?;
    reload(host, "")?;
    seen([false, false], [false, false])?;
    // A group without rules that denies nothing is as open as ever.
    let config = host.read_file(CONFIG)?.replace("default = \"deny\"", "default = \"allow\"");
    host.petiole().write_config(&config)?;
    host.petiole().reload()?;
    settled(host)?;
    for to in inside {
        answers(&host, to)?;
    }
    seen([true, true], [true, true])?;
    lab.down()
}

/// A host that has nothing else to judge: no IPv6, no tenants, no masquerade.
const ALONE: &str = r#"
[[network]]
name = "inside"
subnet = "192.168.1.0/24"

[[group]]
name = "shop"
network = "inside"
default = "deny"
policies = ["customers"]

[[policy]]
name = "customers"
rules = []
"#;

#[test]
fn policies_hold_where_they_are_all_that_is_judged() -> Result<(), LabError> {
    if skip("outside::policies_hold_where_they_are_all_that_is_judged", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(ALONE)?;
    let host = lab.node("host");
    let web = host.netns_add("web1")?;
    host.petiole().endpoint_add("web1 --group shop --netns /run/netns/web1")?;
    let to = web.addresses("eth0")?[0];
    let question = |expected| BTreeMap::from([(Question { service: Service::Icmp, to }, expected)]);
    assert_eq!(host.probe(&question(false))?, question(false));
    host.petiole().write_config(&format!("{}{}", lone::BASE, ALONE.replace("\"deny\"", "\"allow\"")))?;
    host.petiole().reload()?;
    settled(host)?;
    assert_eq!(host.probe(&question(true))?, question(true));
    lab.down()
}
