//! Sessions with FRR, BIRD 2 and GoBGP as Debian ships them: IPv4 and IPv6 routes in both directions; plain, with
//! TCP-MD5 (RFC 2385) and with GTSM (RFC 5082).
//!
//! The same case is run with FRR in the place of petiole, which shows that the peers are configured as they should be.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

#[path = "interop/case.rs"]
mod case;
mod common;

use std::time::Duration;

use case::{CONTAINER, Case, Local, PEERS, Peer, Protection, Speaker};
use common::{address, contiv::answers, prefix};
use ipnet::IpNet;
use petiole_netns_tests::{
    Kernel, Lab, LabError, Node, Place, Process,
    Requirement::{self, Bird, Frr, GoBgp, Petiole, Root, Tcpdump},
    holds, skip, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(30);
const NEEDS: &[Requirement] = &[Root, Frr, Bird, GoBgp, Tcpdump];
const NEEDS_PETIOLE: &[Requirement] = &[Root, Frr, Bird, GoBgp, Tcpdump, Petiole];

#[test]
fn petiole_exchanges_routes_with_all_peers() -> Result<(), LabError> {
    if skip("petiole_exchanges_routes_with_all_peers", NEEDS_PETIOLE) {
        return Ok(());
    }
    run(Case { local: Local::Petiole, protection: Protection::None })
}

#[test]
fn petiole_exchanges_routes_with_all_peers_under_tcp_md5() -> Result<(), LabError> {
    if skip("petiole_exchanges_routes_with_all_peers_under_tcp_md5", NEEDS_PETIOLE) {
        return Ok(());
    }
    run(Case { local: Local::Petiole, protection: Protection::Md5 })
}

#[test]
fn petiole_exchanges_routes_with_all_peers_under_gtsm() -> Result<(), LabError> {
    if skip("petiole_exchanges_routes_with_all_peers_under_gtsm", NEEDS_PETIOLE) {
        return Ok(());
    }
    run(Case { local: Local::Petiole, protection: Protection::Gtsm })
}

#[test]
fn frr_in_the_place_of_petiole_exchanges_routes_with_all_peers() -> Result<(), LabError> {
    if skip("frr_in_the_place_of_petiole_exchanges_routes_with_all_peers", NEEDS) {
        return Ok(());
    }
    run(Case { local: Local::Frr, protection: Protection::None })
}

#[test]
fn frr_in_the_place_of_petiole_exchanges_routes_with_all_peers_under_tcp_md5() -> Result<(), LabError> {
    if skip("frr_in_the_place_of_petiole_exchanges_routes_with_all_peers_under_tcp_md5", NEEDS) {
        return Ok(());
    }
    run(Case { local: Local::Frr, protection: Protection::Md5 })
}

#[test]
fn frr_in_the_place_of_petiole_exchanges_routes_with_all_peers_under_gtsm() -> Result<(), LabError> {
    if skip("frr_in_the_place_of_petiole_exchanges_routes_with_all_peers_under_gtsm", NEEDS) {
        return Ok(());
    }
    run(Case { local: Local::Frr, protection: Protection::Gtsm })
}

fn run(case: Case) -> Result<(), LabError> {
    let lab = Lab::load(&case.write())?.defer("local").up()?;
    let local = lab.node("local");
    let captures: Vec<Process> =
        PEERS.iter().map(|p| local.capture(&p.interface(), "tcp port 179")).collect::<Result<_, _>>()?;
    local.boot()?;
    for peer in PEERS {
        let node = lab.node(peer.name);
        established(node, peer)?;
        originate(node, peer)?;
        for own in CONTAINER {
            learned(node, peer, prefix(own))?;
        }
        for (to, gateway) in peer.routes() {
            installed(local, peer, to, gateway)?;
        }
    }
    for (peer, capture) in PEERS.iter().zip(captures) {
        let lines: Vec<_> = capture.stop()?.into_iter().map(|line| line.text).collect();
        protected(case, peer, &packets(&lines));
    }
    if case.local == Local::Petiole {
        // What was announced works: the container answers each peer that forwards.
        for peer in PEERS.iter().filter(|p| p.speaker != Speaker::GoBgp) {
            for own in CONTAINER {
                answers(&lab.node(peer.name), prefix(own).addr())?;
            }
        }
    }
    lab.down()
}

/// Both sessions are up, as the peer sees them.
fn established(node: Node<'_>, peer: &Peer) -> Result<(), LabError> {
    for (ipv6, local) in [(false, peer.local4()), (true, peer.local6())] {
        match peer.speaker {
            Speaker::Frr => node.frr().wait_established(&local)?,
            Speaker::Bird => node.bird().wait_established(if ipv6 { "local6" } else { "local4" })?,
            Speaker::GoBgp => node.gobgp().wait_established(&local)?,
        }
    }
    Ok(())
}

/// FRR and BIRD originate by configuration, GoBGP by command.
fn originate(node: Node<'_>, peer: &Peer) -> Result<(), LabError> {
    if peer.speaker == Speaker::GoBgp {
        for (to, next_hop) in peer.routes() {
            node.gobgp().originate(to, next_hop)?;
        }
    }
    Ok(())
}

/// The peer has the local side's route, with the local AS as the whole path.
fn learned(node: Node<'_>, peer: &Peer, route: IpNet) -> Result<(), LabError> {
    wait_until(&format!("{route} on {}", peer.name), PATIENCE, || {
        let path = match peer.speaker {
            Speaker::Frr => {
                let paths = node.frr().paths_to(route).map_err(|e| e.to_string())?;
                paths.first().and_then(|p| p["aspath"]["string"].as_str()).map(str::to_owned)
            }
            Speaker::Bird => {
                let said =
                    node.bird().show(&format!("show route for {route} all")).map_err(|e| e.to_string())?;
                said.lines().find_map(|l| l.trim().strip_prefix("BGP.as_path: ").map(str::to_owned))
            }
            Speaker::GoBgp => {
                let family = if route.addr().is_ipv6() { "ipv6" } else { "ipv4" };
                let rib = node.gobgp().show_json(&format!("global rib {route} -a {family}"));
                let rib = rib.map_err(|e| e.to_string())?;
                let attributes = rib[route.to_string()][0]["attrs"].as_array().cloned().unwrap_or_default();
                let path = attributes.iter().find_map(|a| a["as_paths"].as_array());
                path.map(|p| p.iter().map(|segment| segment["asns"][0].to_string()).collect())
            }
        };
        holds(path.as_deref() == Some("65010"), format!("AS path {path:?}"))
    })
}

/// The local side's kernel has the peer's route over the peer's link.
fn installed(local: Node<'_>, peer: &Peer, to: IpNet, gateway: std::net::IpAddr) -> Result<(), LabError> {
    wait_until(&format!("route to {to} of {} in the kernel", peer.name), PATIENCE, || {
        let route = local.route_to(to).map_err(|e| e.to_string())?;
        let [via] = route.via.as_slice() else { return Err(format!("{route:?}")) };
        // A peer may give its link-local address beside the global one (RFC 2545): then either will do.
        let right =
            via.gateway == Some(gateway) || via.gateway.is_some_and(|g| g.is_ipv6() && to.addr().is_ipv6());
        holds(right && via.interface == Some(peer.interface()), format!("{route:?}"))
    })
}

/// tcpdump prints a packet on a line that begins with the time, and on indented ones.
fn packets(lines: &[String]) -> Vec<String> {
    let mut packets: Vec<String> = Vec::new();
    for line in lines {
        match packets.last_mut() {
            Some(packet) if !line.starts_with(|c: char| c.is_ascii_digit()) => packet.push_str(line),
            _ => packets.push(line.clone()),
        }
    }
    // A reset for a connection that nobody wants is the kernel's, and as bare as can be.
    packets.retain(|packet| packet.contains("Flags [") && !packet.contains("Flags [R"));
    packets
}

/// The protection is not only configured: it is on the wire.
fn protected(case: Case, peer: &Peer, packets: &[String]) {
    assert!(!packets.is_empty(), "no packets with {}", peer.name);
    let bad: Vec<_> = match case.protection {
        Protection::None => packets.iter().filter(|p| p.contains("md5")).collect(),
        Protection::Md5 => packets.iter().filter(|p| !p.contains("md5")).collect(),
        Protection::Gtsm => {
            let ours = |p: &str| {
                [peer.local4(), peer.local6()]
                    .iter()
                    .any(|own| p.contains(&format!(" {own}.")) && !p.contains(&format!("> {own}.")))
            };
            // Peers may answer a SYN before they know whose it is; petiole knows.
            let strict = |p: &str| case.local == Local::Petiole && ours(p) || p.contains("Flags [P");
            packets
                .iter()
                .filter(|p| strict(p) && !p.contains("ttl 255") && !p.contains("hlim 255"))
                .collect()
        }
    };
    assert!(bad.is_empty(), "with {}: {bad:#?}", peer.name);
}

#[test]
fn addresses_of_the_case_are_addresses() {
    for peer in PEERS {
        assert_ne!(address(&peer.local4()), address(&peer.local6()));
        assert_eq!(peer.routes().len(), 2);
    }
}
