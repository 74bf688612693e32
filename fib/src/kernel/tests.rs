//! The decoders against garbage: whatever comes, they end, they do not panic, and what they yield is sound.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::{
    address,
    codec::{Message, Writer, messages},
    fdb, link, neighbour, nexthop, port,
    route::{self, Entry},
    tc,
    uapi::{
        NLM_F_ACK, RTM_DELADDR, RTM_DELLINK, RTM_DELNEIGH, RTM_DELNEXTHOP, RTM_DELROUTE, RTM_NEWADDR,
        RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWNEXTHOP, RTM_NEWQDISC, RTM_NEWROUTE, RTM_NEWTFILTER,
    },
};
use crate::model::{
    FdbTarget, IfName, Link, LinkKind, Mac, NextHop, NextHopId, Ns, Object, Route, RouteKey, RouteTarget,
    TokenBucket,
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
        tc::decode_qdisc(Message { kind: RTM_NEWQDISC, ..message });
        tc::decode_filter(Message { kind: RTM_NEWTFILTER, ..message });
        tc::link_of(message);
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
    let vtep = FdbTarget::Vtep("2001:db8::9".parse().unwrap());
    for (seq, target) in [(8, vtep), (9, FdbTarget::Port)] {
        fdb::put(&mut w, seq, fdb::Entry::New, &fdb::Seen { link: 4, mac: Mac([2; 6]), target });
    }
    let local = "50.1.1.1".parse().unwrap();
    let devices = [
        link::NewDevice::Bridge { netfilter: true },
        link::NewDevice::Vlan { parent: 3, tag: 112 },
        link::NewDevice::Vxlan { vni: 5001, local, port: 4789 },
    ];
    for (seq, device) in (10..).zip(devices) {
        let new = link::NewLink { name: &inside, link: &settings, group: 1, device };
        link::create(&mut w, seq, 0, &new);
    }
    tc::put_bucket(&mut w, 13, 0, tc::Entry::New, (4, 0x7065), &TokenBucket::new(1 << 33, 1 << 20, 1500));
    tc::put_redirect(&mut w, 14, 0, 4, 0x7065, 9);
    w.as_slice().to_vec()
}

#[test]
fn what_is_asked_for_reads_as_what_was_meant() {
    let bytes = samples();
    let all: Vec<_> = messages(&bytes).collect();
    assert_eq!(all.len(), 14);
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
fn forwarding_entries_and_devices_read_as_what_was_meant() {
    let bytes = samples();
    let all: Vec<_> = messages(&bytes).collect();
    let vtep =
        fdb::Seen { link: 4, mac: Mac([2; 6]), target: FdbTarget::Vtep("2001:db8::9".parse().unwrap()) };
    assert_eq!(fdb::decode(all[7]), Some(vtep));
    // in the kernel's announcement there is the bridge, too
    assert_eq!(fdb::decode(all[8]), None);
    let kind = |n: usize| {
        link::decode(Ns::HOST, all[n]).unwrap().state(|index| (index == 3).then(|| name("eth2"))).kind
    };
    assert_eq!(kind(9), LinkKind::Bridge { netfilter: true });
    assert_eq!(kind(10), LinkKind::Vlan { parent: name("eth2"), tag: 112 });
    assert_eq!(kind(11), LinkKind::Vxlan { vni: 5001, local: "50.1.1.1".parse().unwrap(), port: 4789 });
    let nameless = link::decode(Ns::HOST, all[10]).unwrap().state(|_| None);
    assert_eq!(nameless.kind, LinkKind::Foreign, "a VLAN of what we cannot name");
}

#[test]
fn buckets_and_redirections_read_as_what_was_meant() {
    let bytes = samples();
    let all: Vec<_> = messages(&bytes).collect();
    let seen = tc::decode_qdisc(all[12]).unwrap();
    assert_eq!(
        (seen.link, seen.handle, seen.kind.as_str(), seen.place),
        (4, 0x7065_0000, "tbf", tc::Place::Root)
    );
    assert_eq!(tc::decode_filter(all[13]), Some(tc::Filter::Redirect(9)));
    assert_eq!((tc::link_of(all[12]), tc::link_of(all[13])), (Some(4), Some(4)));
}

/// By linux/if_link.h, octet for octet: not every kernel that this is built on can make one.
#[test]
fn a_vlan_is_asked_for_in_these_octets() {
    let settings =
        Link { kind: LinkKind::Foreign, mac: None, mtu: Some(1496), up: true, alias: None, port: None };
    let vlan = name("pv-112");
    let device = link::NewDevice::Vlan { parent: 3, tag: 112 };
    let new = link::NewLink { name: &vlan, link: &settings, group: 0x7065, device };
    let mut w = Writer::default();
    link::create(&mut w, 7, NLM_F_ACK, &new);
    let number = |n: u32| n.to_ne_bytes().to_vec();
    let short = |n: u16| n.to_ne_bytes().to_vec();
    let attribute = |kind: u16, payload: &[u8]| {
        let mut bytes = [short(4 + payload.len() as u16), short(kind), payload.to_vec()].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let data = [
        attribute(1, &short(112)),   // IFLA_VLAN_ID, host order
        attribute(5, &[0x81, 0x00]), // IFLA_VLAN_PROTOCOL: ETH_P_8021Q, network order
    ]
    .concat();
    let info = [attribute(1, b"vlan"), attribute(0x8002, &data)].concat(); // IFLA_INFO_KIND, IFLA_INFO_DATA nested
    let body = [
        vec![0; 16],                    // struct ifinfomsg
        attribute(3, b"pv-112\0"),      // IFLA_IFNAME
        attribute(27, &number(0x7065)), // IFLA_GROUP
        attribute(4, &number(1496)),    // IFLA_MTU
        attribute(5, &number(3)),       // IFLA_LINK
        attribute(0x8012, &info),       // IFLA_LINKINFO, nested
    ]
    .concat();
    // RTM_NEWLINK; NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE
    let header = [number(16 + body.len() as u32), short(16), short(0x605), number(7), number(0)].concat();
    assert_eq!(w.as_slice(), [header, body].concat());
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
