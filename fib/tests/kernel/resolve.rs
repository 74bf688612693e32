//! Where packets for an address would go.

use std::net::IpAddr;

use petiole_fib::model::{Command, Event, Ns, Object, Op, Resolution};

use crate::lab::{Lab, addr, by, foreign, id, ip, lab, name, net, over, single, uplink};

fn track(lab: &Lab, addresses: &[&str]) {
    lab.send(Command::Resolve(addresses.iter().map(|a| addr(a)).collect()));
}

fn resolved(lab: &Lab, address: &str) -> Option<Resolution> {
    let wanted: IpAddr = addr(address);
    lab.wait(|event| match event {
        Event::Resolved(of, resolution) if *of == wanted => Some(resolution.clone()),
        _ => None,
    })
}

/// Link and gateway.
fn hop(resolution: Option<Resolution>) -> Option<(String, Option<String>)> {
    resolution.map(|r| (r.link.to_string(), r.via.map(|via| via.to_string())))
}

/// On that link itself.
fn direct(link: &str) -> (String, Option<String>) {
    (link.into(), None)
}

#[test]
fn a_connected_next_hop_follows_its_link_and_its_address() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        ip("addr add 2001:db8::1/64 dev eth1 nodad");
        for leaf in ["50.1.1.2", "2001:db8::2"] {
            track(lab, &[leaf]);
            assert_eq!(hop(resolved(lab, leaf)), Some(direct("eth1")));
            ip("link set eth1p down");
            assert_eq!(resolved(lab, leaf), None);
            ip("link set eth1p up");
            assert_eq!(hop(resolved(lab, leaf)), Some(direct("eth1")));
        }
        track(lab, &["50.1.1.2"]);
        assert_eq!(hop(resolved(lab, "50.1.1.2")), Some(direct("eth1")));
        ip("addr del 50.1.1.1/24 dev eth1");
        assert_eq!(resolved(lab, "50.1.1.2"), None);
        // by ourselves too, though that is no news
        lab.must(vec![Op::Create(Object::Address(Ns::HOST, name("eth1"), net("50.1.1.1/24")))]);
        let resolution = resolved(lab, "50.1.1.2").unwrap();
        assert_eq!((resolution.source, resolution.metric), (Some(addr("50.1.1.1")), 0));
        lab.must(vec![Op::Change(Object::Link(Ns::HOST, name("eth1"), foreign(false)))]);
        assert_eq!(resolved(lab, "50.1.1.2"), None);
    });
}

#[test]
fn a_next_hop_is_resolved_through_foreign_routes_but_not_through_a_default_route() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        ip("route add default via 50.1.1.9");
        track(lab, &["80.1.1.2"]);
        assert_eq!(resolved(lab, "80.1.1.2"), None);
        ip("route add 80.1.1.0/24 via 50.1.1.2 metric 20 proto ospf");
        let resolution = resolved(lab, "80.1.1.2").unwrap();
        assert_eq!((resolution.via, resolution.metric), (Some(addr("50.1.1.2")), 20));
        ip("route del 80.1.1.0/24");
        assert_eq!(resolved(lab, "80.1.1.2"), None);
    });
}

#[test]
fn a_next_hop_is_never_resolved_through_our_own_routes() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        uplink("eth2", "60.1.1.1/24");
        ip("addr add 2001:db8::1/64 dev eth1 nodad");
        // more specific than what is connected, and over the other link
        lab.must(vec![
            Op::Create(single(1, "eth2", "60.1.1.2")),
            Op::Create(over("50.1.1.2/32", id(1))),
            Op::Create(by("90.0.0.0/8", "eth2", "60.1.1.2")),
            Op::Create(by("2001:db8::2/128", "eth2", "fe80::1")),
        ]);
        track(lab, &["50.1.1.2", "90.1.1.1", "2001:db8::2"]);
        assert_eq!(hop(resolved(lab, "50.1.1.2")), Some(direct("eth1")));
        assert_eq!(hop(resolved(lab, "2001:db8::2")), Some(direct("eth1")));
        assert_eq!(resolved(lab, "90.1.1.1"), None);
        // foreign next hop objects, groups and several hops are understood there too
        ip("nexthop add id 5 via 50.1.1.7 dev eth1");
        ip("nexthop add id 6 group 5");
        ip("route add 90.0.0.0/8 nhid 6 metric 100");
        assert_eq!(hop(resolved(lab, "90.1.1.1")), Some(("eth1".into(), Some("50.1.1.7".into()))));
        ip("route replace 90.0.0.0/8 metric 100 nexthop via 60.1.1.7 nexthop via 50.1.1.7");
        assert_eq!(hop(resolved(lab, "90.1.1.1")), Some(("eth2".into(), Some("60.1.1.7".into()))));
    });
}

#[test]
fn answers_are_told_once_and_only_of_what_is_tracked() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        track(lab, &["50.1.1.2", "50.1.1.3"]);
        resolved(lab, "50.1.1.2");
        resolved(lab, "50.1.1.3");
        track(lab, &["50.1.1.2", "50.1.1.1", "fe80::1", "224.0.0.5"]);
        for local in ["50.1.1.1", "fe80::1", "224.0.0.5"] {
            assert_eq!(resolved(lab, local), None, "{local}");
        }
        ip("link set eth1p down");
        assert_eq!(resolved(lab, "50.1.1.2"), None);
        ip("addr add 70.1.1.1/24 dev eth1");
        lab.wait_object(&Object::Address(Ns::HOST, name("eth1"), net("70.1.1.1/24")), 0);
        let told = lab.settle();
        assert!(!told.iter().any(|event| matches!(event, Event::Resolved(..))), "{told:#?}");
    });
}
