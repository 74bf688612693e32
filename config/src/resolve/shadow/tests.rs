//! Every pair of services, of other sides and of rules made of both, against what packets they match.

use std::net::IpAddr;

use super::*;
use crate::model::{IcmpType, Name};

fn name(text: &str) -> ScopedName {
    ScopedName::in_default(Name::new(text).unwrap())
}

fn ports(number: u8, ranges: &[(u16, u16)]) -> Service {
    Service::Ports(number, ranges.iter().map(|(a, b)| PortRange::new(*a, *b).unwrap()).collect())
}

const ECHO: IcmpType = IcmpType { v4: Some(8), v6: Some(128) };
const REPLY: IcmpType = IcmpType { v4: Some(0), v6: Some(129) };

/// Each service with those among them that it has all packets of, itself aside.
fn services() -> Vec<(&'static str, Service, &'static [&'static str])> {
    vec![
        (
            "any",
            Service::Any,
            &[
                "tcp",
                "udp",
                "tcp 80",
                "tcp 80 443",
                "tcp 79-81",
                "tcp 80-82",
                "udp 80",
                "gre",
                "icmp",
                "echo",
                "echo reply",
            ],
        ),
        ("tcp", Service::Protocol(6), &["tcp 80", "tcp 80 443", "tcp 79-81", "tcp 80-82"]),
        ("udp", Service::Protocol(17), &["udp 80"]),
        ("tcp 80", ports(6, &[(80, 80)]), &[]),
        ("tcp 80 443", ports(6, &[(80, 80), (443, 443)]), &["tcp 80"]),
        ("tcp 79-81", ports(6, &[(79, 81)]), &["tcp 80"]),
        ("tcp 80-82", ports(6, &[(80, 82)]), &["tcp 80"]),
        ("udp 80", ports(17, &[(80, 80)]), &[]),
        ("gre", Service::Protocol(47), &[]),
        ("icmp", Service::Icmp(None), &["echo", "echo reply"]),
        ("echo", Service::Icmp(Some(vec![ECHO])), &[]),
        ("echo reply", Service::Icmp(Some(vec![REPLY, ECHO])), &["echo"]),
    ]
}

fn of(group: Option<&str>, v4: &[&str], v6: &[&str]) -> Peer {
    fn ranges<A: Family>(of: &[&str]) -> Vec<AddrRange<A>> {
        let address = |text: &str| text.parse::<A>().ok().unwrap();
        let range = |text: &&str| text.split_once('-').map(|(a, b)| AddrRange::new(address(a), address(b)));
        of.iter().map(|text| range(text).unwrap().unwrap()).collect()
    }
    Peer::Of { group: group.map(name), v4: ranges(v4), v6: ranges(v6) }
}

const ALL4: &str = "0.0.0.0-255.255.255.255";
const ALL6: &str = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";

/// The same for other sides. The network `n` is 10.1.0.0/24 and 2001:db8::/64, the group `g` is in it.
fn peers() -> Vec<(&'static str, Peer, &'static [&'static str])> {
    vec![
        (
            "any",
            Peer::Any,
            &["n", "g", "h", "some", "one", "v4", "v6", "all", "g at some", "g at one", "h at some"],
        ),
        (
            "all",
            of(None, &[ALL4], &[ALL6]),
            &["any", "n", "g", "h", "some", "one", "v4", "v6", "g at some", "g at one", "h at some"],
        ),
        ("n", Peer::Network(name("n")), &["some", "one", "v6", "g at some", "g at one", "h at some"]),
        ("g", of(Some("g"), &[], &[]), &["g at some", "g at one"]),
        ("h", of(Some("h"), &[], &[]), &["h at some"]),
        (
            "some",
            of(None, &["10.1.0.1-10.1.0.9"], &["2001:db8::1-2001:db8::9"]),
            &["one", "v6", "g at some", "g at one", "h at some"],
        ),
        ("one", of(None, &["10.1.0.5-10.1.0.5"], &[]), &["g at one"]),
        ("v4", of(None, &["10.0.0.0-10.255.255.255"], &[]), &["one", "g at one"]),
        ("v6", of(None, &[], &["2001:db8::5-2001:db8::5"]), &[]),
        ("g at some", of(Some("g"), &["10.1.0.1-10.1.0.9"], &["2001:db8::1-2001:db8::9"]), &["g at one"]),
        ("g at one", of(Some("g"), &["10.1.0.5-10.1.0.5"], &[]), &[]),
        ("h at some", of(Some("h"), &["10.1.0.1-10.1.0.9"], &["2001:db8::1-2001:db8::9"]), &[]),
    ]
}

fn side(peer: &Peer) -> Side<'_> {
    let Peer::Network(_) = peer else {
        let (group, v4, v6) = match peer {
            Peer::Of { group, v4, v6 } => (group.as_ref(), v4.as_slice(), v6.as_slice()),
            _ => (None, [].as_slice(), [].as_slice()),
        };
        return Side::at(group, v4, v6);
    };
    Side {
        group: None,
        v4: range_of::<Ipv4Addr>("10.1.0.0/24".parse().unwrap()).into_iter().collect(),
        v6: range_of::<Ipv6Addr>("2001:db8::/64".parse().unwrap()).into_iter().collect(),
    }
}

/// What a packet has of its other side and of its service.
#[derive(Clone, Copy)]
struct Packet {
    group: Option<&'static str>,
    address: IpAddr,
    protocol: u8,
    /// Destination port, or type of ICMP.
    port: u16,
}

fn matches(peer: &Peer, service: &Service, packet: Packet) -> bool {
    let peer = match peer {
        Peer::Any => true,
        Peer::Network(_) => match packet.address {
            IpAddr::V4(a) => a.octets().starts_with(&[10, 1, 0]),
            IpAddr::V6(a) => a.segments().starts_with(&[0x2001, 0xdb8, 0, 0]),
        },
        Peer::Of { group, .. } => {
            group.as_ref().is_none_or(|g| packet.group == Some(g.name.as_str()))
                && !peer.excludes(packet.address)
        }
    };
    let icmp = if packet.address.is_ipv4() { 1 } else { 58 };
    let service = match service {
        Service::Any => true,
        Service::Protocol(number) => *number == packet.protocol,
        Service::Ports(number, ranges) => {
            let port = |range: &PortRange| range.first() <= packet.port && packet.port <= range.last();
            *number == packet.protocol && ranges.iter().any(port)
        }
        Service::Icmp(types) => {
            let number = |t: &IcmpType| if packet.address.is_ipv4() { t.v4 } else { t.v6 };
            packet.protocol == icmp
                && types
                    .as_ref()
                    .is_none_or(|t| t.iter().any(|t| number(t).map(u16::from) == Some(packet.port)))
        }
    };
    peer && service
}

fn packets() -> Vec<Packet> {
    let mut packets = Vec::new();
    for group in [None, Some("g"), Some("h"), Some("i")] {
        for address in [
            "10.1.0.5",
            "10.1.0.6",
            "10.1.0.77",
            "10.2.0.1",
            "11.0.0.1",
            "2001:db8::5",
            "2001:db8::6",
            "2001:db8::77",
            "fe80::1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            let v4 = address.is_ipv4();
            let icmp = if v4 { [(1, 8), (1, 0), (1, 3)] } else { [(58, 128), (58, 129), (58, 1)] };
            let others = [
                (6, 79),
                (6, 80),
                (6, 81),
                (6, 82),
                (6, 443),
                (6, 0),
                (17, 80),
                (17, 53),
                (47, 0),
                (132, 80),
            ];
            packets.extend(icmp.into_iter().chain(others).map(|(protocol, port)| Packet {
                group,
                address,
                protocol,
                port,
            }));
        }
    }
    packets
}

#[test]
fn services_cover_themselves_and_what_is_narrower() {
    for (wide, a, narrower) in services() {
        for (narrow, b, _) in services() {
            assert_eq!(covers(&a, &b), wide == narrow || narrower.contains(&narrow), "{wide} over {narrow}");
        }
    }
}

#[test]
fn other_sides_cover_themselves_and_what_is_narrower() {
    for (wide, a, narrower) in peers() {
        for (narrow, b, _) in peers() {
            let expected = wide == narrow || narrower.contains(&narrow);
            assert_eq!(side(&a).covers(&side(&b)), expected, "{wide} over {narrow}");
        }
    }
}

/// The tables above are right: a rule covers another one exactly when it matches each packet that the other one does.
#[test]
fn a_rule_covers_what_it_matches_every_packet_of() {
    let packets = packets();
    for (p, wide_peer, _) in peers() {
        for (s, wide_service, _) in services() {
            for (q, peer, _) in peers() {
                for (t, service, _) in services() {
                    let mut matched =
                        packets.iter().filter(|packet| matches(&peer, &service, **packet)).peekable();
                    assert!(matched.peek().is_some(), "{q} {t} matches nothing");
                    let all = matched.all(|packet| matches(&wide_peer, &wide_service, *packet));
                    let covered = covers(&wide_service, &service) && side(&wide_peer).covers(&side(&peer));
                    assert_eq!(covered, all, "{p} {s} over {q} {t}");
                }
            }
        }
    }
}
