//! Tenants: scenario S6, and that nothing passes from one to another by way of the host.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::IpAddr;

use common::{
    address,
    contiv::{PATIENCE, addresses_of, answers},
    lone, topology,
};
use petiole_netns_tests::{
    Container, Lab, LabError, Place, Protocol,
    Requirement::{self, Frr, Petiole, Root, Tcpdump},
    Talk, holds, skip,
    speaker::petiole::CONFIG,
    wait_until,
};

const TENANTS_LAB: &[Requirement] = &[Root, Frr, Petiole, Tcpdump];

fn up() -> Result<Lab, LabError> {
    let lab = Lab::up(&topology("tenants"))?;
    for (host, leaf) in [("host1", "leaf1"), ("host2", "leaf2")] {
        lab.node(host).petiole().wait_established(leaf)?;
        lab.node(host).petiole().wait_established(&format!("{leaf}-v6"))?;
    }
    common::contiv::sessions_on_the_leafs(&lab)?;
    Ok(lab)
}

/// The requests that a capture has seen, when it has seen one from `last`.
fn requests_until(capture: petiole_netns_tests::Process, last: IpAddr) -> Result<Vec<String>, LabError> {
    let from = format!("{last} > ");
    let is_request = |line: &str| line.contains("echo request");
    capture.wait_for_line(PATIENCE, |line| is_request(line) && line.contains(&from))?;
    Ok(capture.stop()?.into_iter().map(|l| l.text).filter(|l| is_request(l)).collect())
}

#[test]
fn s6_two_tenants_have_the_same_network_and_do_not_meet() -> Result<(), LabError> {
    if skip("s6_two_tenants_have_the_same_network_and_do_not_meet", TENANTS_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let (host1, host2) = (lab.node("host1"), lab.node("host2"));
    let [d1, c1] = ["d1", "c1"].map(|name| host1.container(name));
    let [d2, c2, c3] = ["d2", "c2", "c3"].map(|name| host2.container(name));
    // Both tenants use the network from its beginning.
    assert_eq!(addresses_of(&d1)?, addresses_of(&c1)?);
    let (d, blue) = (addresses_of(&d2)?, addresses_of(&c2)?);
    let mut of_host2 = [blue[0], addresses_of(&c3)?[0]];
    of_host2.sort_unstable();
    assert_eq!(of_host2, ["10.1.2.101", "10.1.2.102"].map(address));
    assert_eq!(d[0], address("10.1.2.101"));

    // Inside of the tenant, over both hosts; and it is the tenant's own 10.1.2.1 that answers.
    let at_d1 = d1.capture("eth0", "icmp or icmp6")?;
    let at_c1 = c1.capture("eth0", "icmp or icmp6")?;
    for from in [&c2, &c3] {
        for to in addresses_of(&c1)? {
            answers(from, to)?;
            let ping = from.ping(to, 5)?;
            assert!(ping.is_complete() && ping.ttl == Some(64), "{ping:?}");
        }
    }
    for to in addresses_of(&c3)? {
        answers(&c2, to)?;
    }
    // Whoever is in blue only reaches blue: nobody of the other tenant has this address.
    let only_in_default: IpAddr = address("10.1.2.77");
    d1.run(&format!("ip address add {only_in_default}/24 dev eth0"))?;
    assert_eq!(c1.ping(only_in_default, 3)?.received, 0);
    assert_eq!(c3.ping(only_in_default, 3)?.received, 0);
    answers(&d2, only_in_default)?;
    answers(&d2, address("10.1.2.1"))?;
    let last = d[0];
    let (seen, foreign) = (requests_until(at_d1, last)?, at_c1.stop()?);
    assert!(seen.iter().all(|l| l.contains(&format!("{last} > "))), "{seen:#?}");
    assert!(foreign.iter().any(|l| l.text.contains("echo request")));
    let networks = host1.petiole().show_text("networks")?;
    assert!(networks.contains("blue/contiv-net"), "{networks}");
    lab.down()
}

#[test]
fn routed_networks_of_two_tenants_do_not_reach_each_other_through_hosts() -> Result<(), LabError> {
    if skip("routed_networks_of_two_tenants_do_not_reach_each_other_through_hosts", TENANTS_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let (host1, host2) = (lab.node("host1"), lab.node("host2"));
    let [web1, shop1] = ["web1", "shop1"].map(|name| host1.container(name));
    let [web2, shop2] = ["web2", "shop2"].map(|name| host2.container(name));
    let of = |c: &Container<'_>| addresses_of(c);
    let (w1, w2, s1, s2) = (of(&web1)?, of(&web2)?, of(&shop1)?, of(&shop2)?);
    // Each tenant within itself and to the fabric.
    for family in 0..2 {
        answers(&web1, w2[family])?;
        answers(&shop1, s2[family])?;
        for fabric in ["80.1.1.2", "2001:db8:80::2"] {
            answers(&shop1, address(fabric))?;
        }
    }
    let captures = [("web1", &web1), ("web2", &web2)];
    let captures = captures.map(|(_, place)| place.capture("eth0", "icmp or icmp6"));
    let listeners = [w1, w2].map(|a| a.map(|a| (a, 8000)));
    let _listening =
        [web1.answer(Protocol::Tcp, ([0; 16], 8000))?, web2.answer(Protocol::Tcp, ([0; 16], 8000))?];
    for family in 0..2 {
        for to in [w1[family], w2[family]] {
            assert_eq!(shop1.ping(to, 3)?.received, 0, "shop1 reaches {to}");
            assert_eq!(shop2.ping(to, 3)?.received, 0, "shop2 reaches {to}");
        }
        for listener in listeners {
            assert!(shop1.ask(Protocol::Tcp, listener[family]).is_err(), "shop1 talks to {listener:?}");
        }
        for to in [s1[family], s2[family]] {
            assert_eq!(web1.ping(to, 3)?.received, 0, "web1 reaches {to}");
        }
        web2.ask(Protocol::Tcp, (w1[family], 8000))?;
    }
    // What somebody else's container claims to be does not help it either.
    for (forged, to) in [("192.168.1.77", w1[0]), ("192.168.1.77", w2[0])] {
        let _ = shop1.run(&format!("ip address add {forged}/32 dev eth0"));
        let sent = shop1.output(&format!("ping -n -i 0.01 -W 1 -c 3 -I {forged} {to}"))?;
        assert!(sent.stdout.contains(" 0 received"), "{sent:?}");
    }
    for (capture, (peer, own)) in captures.into_iter().zip([(&web2, w1[0]), (&web1, w2[0])]) {
        let capture = capture?;
        let last = addresses_of(peer)?[0];
        answers(peer, own)?;
        let requests = requests_until(capture, last)?;
        let foreign: Vec<_> =
            s1.iter().chain(&s2).map(ToString::to_string).chain(["192.168.1.77".to_owned()]).collect();
        let stray: Vec<_> = requests
            .iter()
            .filter(|l| foreign.iter().any(|from| l.contains(&format!("{from} > "))))
            .collect();
        assert!(stray.is_empty(), "{stray:#?}");
    }
    lab.down()
}

#[test]
fn one_tenant_alone_is_not_judged() -> Result<(), LabError> {
    if skip("one_tenant_alone_is_not_judged", &[Root, Petiole, Requirement::Nft]) {
        return Ok(());
    }
    let lab = lone::up(lone::PUBLIC)?;
    let host = lab.node("host");
    host.netns_add("web1")?;
    host.petiole().endpoint_add("web1 --network public --netns /run/netns/web1")?;
    let rules = host.run("nft list ruleset")?;
    assert!(!rules.contains("tenant") && !rules.contains("hook input"), "{rules}");
    lab.down()
}

/// Two tenants with the same routed subnet, and with the same subnet behind a gateway.
const OVERLAPPING: &str = r#"
[[tenant]]
name = "blue"

[[network]]
name = "public"
tenant = "blue"
encap = "routed"
subnet = "192.168.1.128/25"
"#;

#[test]
fn routes_that_two_tenants_would_both_need_are_refused_with_the_reason() -> Result<(), LabError> {
    if skip("routes_that_two_tenants_would_both_need_are_refused_with_the_reason", &[Root, Petiole]) {
        return Ok(());
    }
    let lab = lone::up(lone::PUBLIC)?;
    let host = lab.node("host");
    host.netns_add("web1")?;
    host.petiole().endpoint_add("web1 --network public --netns /run/netns/web1")?;
    let good = host.read_file(CONFIG)?;
    for networks in [
        OVERLAPPING.to_owned(),
        OVERLAPPING.replace(
            "encap = \"routed\"",
            "encap = \"vxlan\"\nvni = 7\nlocal = \"203.0.113.10\"\nvteps = []\ngateway = \"192.168.1.254\"",
        ),
    ] {
        host.petiole().write_config(&format!("{good}{networks}"))?;
        for output in [host.petiole().check()?, host.output("petiole reload")?] {
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            for part in ["192.168.1.128/25", "192.168.1.0/24", "tenant"] {
                assert!(output.stderr.contains(part), "`{part}` is not in\n{}", output.stderr);
            }
        }
    }
    // A segment of its own that the host has no route to is nobody's business but the tenant's.
    let apart = OVERLAPPING
        .replace("encap = \"routed\"", "encap = \"vxlan\"\nvni = 7\nlocal = \"203.0.113.10\"\nvteps = []");
    host.petiole().write_config(&format!("{good}{apart}"))?;
    host.petiole().reload()?;
    wait_until("the network of blue", PATIENCE, || {
        let networks = host.petiole().show_text("networks").map_err(|e| e.to_string())?;
        holds(networks.contains("blue/public"), networks)
    })?;
    lab.down()
}
