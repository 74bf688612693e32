//! Links: veths born inside a container, and settings of links that somebody else made.

use petiole_fib::{
    model::{Concern, Event, Key, Link, LinkKind, LinkState, Mac, Ns, Object, Observed, Op},
    owner::Owner,
};

use crate::lab::{Lab, by, errno, foreign, ip, lab, name, net, rename, shown, text, uplink};

fn veth(lab_ns: Ns, inside: &str, outside: &str) -> (Object, Object) {
    let container = Link {
        kind: LinkKind::Veth { peer_ns: Ns::HOST, peer: name(outside) },
        mac: Some(Mac([2, 2, 192, 168, 1, 1])),
        mtu: Some(1450),
        up: true,
        alias: Some("petiole:web1".into()),
        port: None,
    };
    let host = Link {
        kind: LinkKind::VethPeer,
        mac: None,
        mtu: Some(1450),
        up: true,
        alias: container.alias.clone(),
        port: None,
    };
    (Object::Link(lab_ns, name(inside), container), Object::Link(Ns::HOST, name(outside), host))
}

fn link_event(lab: &Lab, wanted: &str, pick: impl Fn(&LinkState) -> bool) -> LinkState {
    lab.wait(|event| match event {
        Event::Object(Observed::Link(state)) if state.name.as_str() == wanted && pick(state) => {
            Some(state.clone())
        }
        _ => None,
    })
}

#[test]
fn a_veth_is_born_inside_the_container_with_its_other_end_on_the_host() {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        let (inside, outside) = veth(web, "eth0", "vweb");
        lab.must(vec![
            Op::Create(inside.clone()),
            Op::Create(outside.clone()),
            Op::Create(Object::Address(web, name("eth0"), net("192.168.1.1/32"))),
        ]);
        let seen = &shown("-n web link show eth0")[0];
        assert_eq!((seen["address"].as_str(), seen["mtu"].as_u64()), (Some("02:02:c0:a8:01:01"), Some(1450)));
        assert_eq!(
            (seen["ifalias"].as_str(), seen["operstate"].as_str()),
            (Some("petiole:web1"), Some("UP"))
        );
        let seen = &shown("link show vweb")[0];
        assert_eq!((seen["ifalias"].as_str(), seen["mtu"].as_u64()), (Some("petiole:web1"), Some(1450)));

        let state = link_event(lab, "vweb", |state| state.carrier);
        assert_eq!((state.kind.clone(), state.group), (LinkKind::VethPeer, Owner::LINK_GROUP));
        let dumped = lab.dump(web, Concern::Links);
        let state = dumped.iter().find_map(|o| match o {
            Observed::Link(state) if state.name.as_str() == "eth0" => Some(state.clone()),
            _ => None,
        });
        let state = state.unwrap();
        assert_eq!((state.mac, state.group), (Some(Mac([2, 2, 192, 168, 1, 1])), Owner::LINK_GROUP));
        assert!(Owner::default().owns_link(&state));

        lab.must(vec![Op::Delete(inside.key())]);
        lab.wait_gone(&outside.key());
        assert_eq!(errno(&lab.try_one(Op::Delete(inside.key()))), libc::ENODEV);
    });
}

#[test]
fn a_veth_between_two_containers_leaves_the_host_alone() {
    lab(|lab| {
        let (a, b) = (lab.namespace(1, "a"), lab.namespace(2, "b"));
        let link = Link { kind: LinkKind::Veth { peer_ns: b, peer: name("eth0") }, ..foreign(false) };
        lab.must(vec![Op::Create(Object::Link(a, name("eth0"), link))]);
        assert_eq!(shown("-n a link show eth0")[0]["operstate"], "DOWN");
        assert_eq!(shown("-n b link show eth0").len(), 1);
        assert_eq!(shown("link show").len(), 1);
    });
}

#[test]
fn a_name_that_is_taken_is_eexist_and_the_other_link_is_untouched() {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        ip("link add vweb type veth peer name other");
        ip("-n web link add eth0 type bridge");
        let (inside, outside) = veth(web, "eth0", "vnew");
        let result = lab.try_one(Op::Create(inside.clone()));
        assert_eq!((errno(&result), text(&result)), (libc::EEXIST, ""));
        assert_eq!(shown("-n web link show eth0")[0]["mtu"], 1500);
        let (inside, taken) = veth(web, "eth1", "vweb");
        assert_eq!(errno(&lab.try_one(Op::Create(inside))), libc::EEXIST);
        for op in [Op::Change(taken.clone()), Op::Create(taken.clone()), Op::Delete(taken.key())] {
            assert_eq!(errno(&lab.try_one(op)), libc::EPERM);
        }
        assert_eq!(errno(&lab.try_one(Op::Delete(Key::Link(web, name("eth0"))))), libc::EPERM);
        assert_eq!(shown("link show vweb")[0]["mtu"], 1500);
        assert_eq!(errno(&lab.try_one(Op::Change(outside))), libc::ENODEV);
    });
}

#[test]
fn a_veth_that_cannot_be_set_up_leaves_nothing_behind() {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        let link = Link {
            kind: LinkKind::Veth { peer_ns: Ns::HOST, peer: name("vweb") },
            alias: Some("petiole:".repeat(40).into()), // longer than IFALIASZ
            ..foreign(true)
        };
        assert_ne!(lab.try_one(Op::Create(Object::Link(web, name("eth0"), link))), Ok(()));
        assert_eq!(shown("-n web link show").len(), 1);
        assert_eq!(shown("link show").len(), 1);
    });
}

#[test]
fn of_a_foreign_link_only_what_is_asked_for_changes() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        ip("link set eth1 alias uplink mtu 1400");
        let before = shown("link show eth1")[0].clone();
        lab.must(vec![Op::Change(Object::Link(Ns::HOST, name("eth1"), foreign(true)))]);
        assert_eq!(shown("link show eth1")[0], before);
        let wanted = Link { mtu: Some(9000), ..foreign(true) };
        lab.must(vec![Op::Create(Object::Link(Ns::HOST, name("eth1"), wanted))]);
        let after = &shown("link show eth1")[0];
        assert_eq!(
            (&after["mtu"], &after["ifalias"], &after["address"]),
            (&9000.into(), &"uplink".into(), &before["address"])
        );
        link_event(lab, "eth1", |state| state.mtu == 9000);
        lab.must(vec![Op::Change(Object::Link(Ns::HOST, name("eth1"), foreign(false)))]);
        link_event(lab, "eth1", |state| !state.up && !state.carrier);
        assert_eq!(errno(&lab.try_one(Op::Delete(Key::Link(Ns::HOST, name("eth1"))))), libc::EPERM);
    });
}

#[test]
fn every_change_of_a_links_state_is_told_once() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        lab.settle();
        ip("link set eth1p down");
        let state = link_event(lab, "eth1", |state| !state.carrier);
        assert!(state.up);
        rename("eth1", "uplink1");
        lab.wait_gone(&Key::Link(Ns::HOST, name("eth1")));
        link_event(lab, "uplink1", |s| s.index == state.index);
        ip("link set eth1p up");
        link_event(lab, "uplink1", |state| state.carrier);
        ip("link del uplink1");
        lab.wait_gone(&Key::Link(Ns::HOST, name("uplink1")));
        lab.wait_gone(&Key::Link(Ns::HOST, name("eth1p")));
        // a port's leave of a bridge is told by the kernel as the deletion of something of the port's name
        ip("link add br0 type bridge");
        uplink("eth2", "60.1.1.1/24");
        ip("link set eth2 master br0");
        ip("link set eth2 nomaster");
        let gone = Key::Link(Ns::HOST, name("eth2"));
        assert!(!lab.settle().iter().any(|event| matches!(event, Event::Gone(key) if *key == gone)));
    });
}

#[test]
fn news_that_comes_up_during_a_long_run_is_told_before_its_outcome() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        uplink("eth2", "60.1.1.1/24");
        lab.settle();
        let route = |n: u32| Op::Create(by(&format!("10.9.{}.{}/32", n >> 8, n & 255), "eth2", "60.1.1.2"));
        let mut ops: Vec<Op> = (0..300).map(route).collect();
        ops.push(Op::Change(Object::Link(Ns::HOST, name("eth1"), foreign(false))));
        ops.extend((300..2000).map(route));
        lab.must(ops);
        let told = lab.unread();
        let down = |event: &Event| matches!(event, Event::Object(Observed::Link(s)) if s.name.as_str() == "eth1" && !s.up);
        assert!(told.iter().any(down), "{told:#?}");
    });
}
