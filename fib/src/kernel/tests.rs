//! The decoders against garbage: whatever comes, they end, they do not panic, and what they yield is sound.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::{
    address,
    codec::{Message, Writer, messages},
    fdb, link, neighbour, nexthop, port,
    route::{self, Entry},
    uapi::{
        RTM_DELADDR, RTM_DELLINK, RTM_DELNEIGH, RTM_DELNEXTHOP, RTM_DELROUTE, RTM_NEWADDR, RTM_NEWLINK,
        RTM_NEWNEIGH, RTM_NEWNEXTHOP, RTM_NEWROUTE,
    },
};
use crate::model::{
    IfName, Link, LinkKind, Mac, NextHop, NextHopId, Ns, Object, Route, RouteKey, RouteTarget,
};

fn name(text: &str) -> IfName {
    IfName::new(text).unwrap()
}

/// Everything that reads a message reads this one.
fn decode_all(bytes: &[u8]) {
    for message in messages(bytes) {
        let any_name = |_| Some(name("eth1"));
        for kind in [RTM_NEWLINK, RTM_DELLINK] {
            if let Some(seen) = link::decode(Ns::HOST, Message { kind, ..message }) {
                seen.state(any_name);
            }
            port::decode_news(Message { kind, ..message });
        }
        for kind in [RTM_NEWADDR, RTM_DELADDR] {
            address::decode(Message { kind, ..message });
        }
        for kind in [RTM_NEWNEIGH, RTM_DELNEIGH] {
            neighbour::decode(Message { kind, ..message });
            fdb::decode(Message { kind, ..message });
            fdb::decode_holder(Message { kind, ..message });
        }
        for kind in [RTM_NEWNEXTHOP, RTM_DELNEXTHOP] {
            if let Some(seen) = nexthop::decode(Message { kind, ..message }) {
                seen.object(any_name);
                seen.hop();
            }
        }
        for kind in [RTM_NEWROUTE, RTM_DELROUTE] {
            if let Some(seen) = route::decode(Message { kind, ..message }) {
                assert!(seen.prefix.prefix_len() <= seen.prefix.max_prefix_len());
                seen.object(Ns::HOST, any_name);
            }
        }
    }
}

/// One message of each kind, well formed.
fn samples() -> Vec<u8> {
    let mut w = Writer::default();
    let key = RouteKey { ns: Ns::HOST, table: 1000, prefix: "10.0.0.0/8".parse().unwrap(), metric: 7 };
    let via: IpAddr = "fe80::1".parse().unwrap();
    let target = RouteTarget::Link { link: name("eth1"), via: Some(via) };
    let route = Route { target, preferred_source: Some("10.0.0.1".parse().unwrap()) };
    route::put(&mut w, 1, Entry::Exclusive, 112, &key, &route, Some(3));
    let by_id = Route { target: RouteTarget::NextHop(NextHopId(7)), preferred_source: None };
    route::put(&mut w, 2, Entry::Replacing, 112, &key, &by_id, None);
    let single = NextHop::Single { via, link: name("eth1"), onlink: true };
    nexthop::put(&mut w, 3, false, 112, NextHopId(7), &single, Some(3));
    let group = NextHop::Group(vec![NextHopId(7), NextHopId(8)]);
    nexthop::put(&mut w, 4, true, 112, NextHopId(9), &group, None);
    let address: IpNet = "2001:db8::1/64".parse().unwrap();
    address::put(&mut w, 5, false, 112, 3, address);
    neighbour::put(&mut w, 6, false, 112, 3, via, Mac([2; 6]));
    let settings = Link {
        kind: LinkKind::Foreign,
        mac: Some(Mac([2; 6])),
        mtu: Some(9000),
        up: true,
        alias: None,
        port: None,
    };
    let (inside, outside) = (name("eth0"), name("vweb"));
    let device = link::NewDevice::Veth { peer: &outside, peer_ns: None };
    let veth = link::NewLink { name: &inside, link: &settings, group: 1, device };
    link::create(&mut w, 7, 0, &veth);
    w.as_slice().to_vec()
}

#[test]
fn what_is_asked_for_reads_as_what_was_meant() {
    let bytes = samples();
    let all: Vec<_> = messages(&bytes).collect();
    assert_eq!(all.len(), 7);
    let Some(Object::Route(key, route)) =
        route::decode(all[0]).and_then(|s| s.object(Ns::HOST, |_| Some(name("eth1"))))
    else {
        panic!("no route");
    };
    assert_eq!((key.table, key.metric, key.prefix), (1000, 7, "10.0.0.0/8".parse().unwrap()));
    let target = RouteTarget::Link { link: name("eth1"), via: Some("fe80::1".parse().unwrap()) };
    assert_eq!(route, Route { target, preferred_source: Some("10.0.0.1".parse().unwrap()) });
    assert_eq!(route::decode(all[1]).and_then(|seen| seen.next_hop), Some(7));
    let group = nexthop::decode(all[3]).and_then(|seen| seen.object(|_| None));
    assert_eq!(group, Some(Object::NextHop(NextHopId(9), NextHop::Group(vec![NextHopId(7), NextHopId(8)]))));
    assert_eq!(address::decode(all[4]).map(|seen| (seen.link, seen.protocol)), Some((3, 112)));
    assert_eq!(
        neighbour::decode(all[5]).map(|seen| (seen.mac, seen.permanent)),
        Some((Some(Mac([2; 6])), true))
    );
    let link = link::decode(Ns::HOST, all[6]).unwrap().state(|_| None);
    assert_eq!((link.name, link.kind, link.mtu, link.group), (name("eth0"), LinkKind::VethPeer, 9000, 1));
}

#[test]
fn every_truncation_of_every_message_is_survived() {
    let bytes = samples();
    for message in messages(&bytes) {
        for end in 0..message.body.len() {
            let mut cut = vec![0; 16];
            cut[..4].copy_from_slice(&(16 + end as u32).to_ne_bytes());
            cut.extend_from_slice(&message.body[..end]);
            decode_all(&cut);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn bytes_changed_anywhere_are_survived(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = samples();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        decode_all(&bytes);
    }

    #[test]
    fn noise_is_survived(body: Vec<u8>) {
        let mut bytes = vec![0; 16];
        bytes[..4].copy_from_slice(&(16 + body.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(&body);
        decode_all(&bytes);
    }
}
