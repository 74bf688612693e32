//! Bridged networks' links: bridges, VXLAN devices, VLANs, and links as ports.

use petiole_fib::{
    model::{BridgePort, Concern, Event, Key, Link, LinkKind, LinkState, Mac, Ns, Object, Observed, Op},
    owner::Owner,
};
use serde_json::{Value, json};

use crate::lab::{
    Lab, addr, errno, foreign, ip, lab, name, net, rename, run, run_until_done, shown, text, uplink,
};

const GATEWAY: Mac = Mac([2, 2, 0xff, 0xff, 0xff, 0xff]);

/// A link of ours in the host's namespace.
pub(crate) fn ours(link_name: &str, kind: LinkKind) -> (Object, Link) {
    let link = Link {
        kind,
        mac: None,
        mtu: Some(1450),
        up: true,
        alias: Some(format!("petiole:{link_name}").into()),
        port: None,
    };
    (Object::Link(Ns::HOST, name(link_name), link.clone()), link)
}

pub(crate) fn bridge(link_name: &str) -> Object {
    let (_, link) = ours(link_name, LinkKind::Bridge { netfilter: false });
    Object::Link(Ns::HOST, name(link_name), Link { mac: Some(GATEWAY), ..link })
}

pub(crate) fn vxlan(link_name: &str, vni: u32, local: &str) -> Object {
    ours(link_name, LinkKind::Vxlan { vni, local: addr(local), port: 4789 }).0
}

pub(crate) fn port(bridge: &str) -> BridgePort {
    BridgePort {
        bridge: name(bridge),
        isolated: false,
        hairpin: false,
        neigh_suppress: false,
        learning: true,
    }
}

/// The same link, as a port or not.
pub(crate) fn as_port(link: &Object, port: Option<BridgePort>) -> Object {
    let Object::Link(ns, name, link) = link.clone() else { panic!("no link: {link:?}") };
    Object::Link(ns, name, Link { port, ..link })
}

/// A veth of ours: the container's end, and the host's.
pub(crate) fn veth(web: Ns, inside: &str, outside: &str) -> (Object, Object) {
    let kind = LinkKind::Veth { peer_ns: Ns::HOST, peer: name(outside) };
    let (_, link) = ours(outside, kind);
    let host = Link { kind: LinkKind::VethPeer, ..link.clone() };
    (Object::Link(web, name(inside), link), Object::Link(Ns::HOST, name(outside), host))
}

fn state(lab: &Lab, link_name: &str) -> LinkState {
    let dumped = lab.dump(Ns::HOST, Concern::Links);
    let state = dumped.into_iter().find_map(|seen| match seen {
        Observed::Link(state) if state.name.as_str() == link_name => Some(state),
        _ => None,
    });
    state.unwrap_or_else(|| panic!("no {link_name}"))
}

fn told(lab: &Lab, link_name: &str, pick: impl Fn(&LinkState) -> bool) -> LinkState {
    lab.wait(|event| match event {
        Event::Object(Observed::Link(state)) if state.name.as_str() == link_name && pick(state) => {
            Some(state.clone())
        }
        _ => None,
    })
}

fn port_of(shown: &Value) -> [&Value; 5] {
    let data = &shown["linkinfo"]["info_slave_data"];
    [&shown["master"], &data["isolated"], &data["hairpin"], &data["neigh_suppress"], &data["learning"]]
}

#[test]
fn a_bridge_is_made_with_all_its_settings() {
    lab(|lab| {
        lab.must(vec![Op::Create(bridge("pb-red"))]);
        let seen = &shown("link show pb-red")[0];
        assert_eq!(
            (&seen["address"], &seen["mtu"], &seen["ifalias"]),
            (&json!("02:02:ff:ff:ff:ff"), &json!(1450), &json!("petiole:pb-red"))
        );
        let data = &seen["linkinfo"]["info_data"];
        assert_eq!((&data["stp_state"], &data["mcast_snooping"]), (&json!(0), &json!(0)));
        let state = state(lab, "pb-red");
        assert_eq!(
            (state.kind, state.mac, state.mtu, state.up, state.group),
            (LinkKind::Bridge { netfilter: false }, Some(GATEWAY), 1450, true, Owner::LINK_GROUP)
        );
        told(lab, "pb-red", |state| state.kind == LinkKind::Bridge { netfilter: false } && state.up);

        lab.must(vec![Op::Delete(bridge("pb-red").key())]);
        assert_eq!(shown("link show").len(), 1);
        let gone = bridge("pb-red").key();
        assert!(!lab.settle().iter().any(|event| matches!(event, Event::Gone(key) if *key == gone)));
    });
}

#[test]
fn a_bridges_mtu_and_address_stay_whatever_its_ports_have() {
    lab(|lab| {
        lab.must(vec![Op::Create(bridge("pb-red"))]);
        ip("link add small mtu 1280 type veth peer name smallp");
        ip("link set small master pb-red");
        ip("link add large mtu 9000 type veth peer name largep");
        ip("link set large master pb-red");
        ip("link set small nomaster");
        let seen = &shown("link show pb-red")[0];
        assert_eq!((&seen["mtu"], &seen["address"]), (&json!(1450), &json!("02:02:ff:ff:ff:ff")));
    });
}

#[test]
fn a_vxlan_device_is_made_over_either_family_and_read_back_as_what_was_wanted() {
    lab(|lab| {
        ip("addr add 50.1.1.1/32 dev lo");
        ip("addr add 2001:db8::1/128 dev lo nodad");
        let devices = [vxlan("px-5", 5, "50.1.1.1"), vxlan("px-16777215", 0x00ff_ffff, "2001:db8::1")];
        lab.must(devices.iter().cloned().map(Op::Create).collect());
        for object in &devices {
            let Object::Link(_, name, wanted) = object else { unreachable!() };
            let state = state(lab, name.as_str());
            assert_eq!(
                (&state.kind, state.mtu, state.up, &state.alias),
                (&wanted.kind, 1450, true, &wanted.alias)
            );
            assert!(Owner::default().owns_link(&state));
        }
        let v4 = &shown("link show px-5")[0]["linkinfo"]["info_data"];
        assert_eq!(
            [&v4["id"], &v4["local"], &v4["port"], &v4["learning"], &v4["udp_csum"], &v4["group"]],
            [&json!(5), &json!("50.1.1.1"), &json!(4789), &json!(true), &json!(true), &Value::Null]
        );
        let v6 = &shown("link show px-16777215")[0]["linkinfo"]["info_data"];
        assert_eq!(
            [&v6["local6"], &v6["udp_zero_csum6_rx"], &v6["udp_zero_csum6_tx"]],
            [&json!("2001:db8::1"), &json!(true), &json!(false)]
        );
        lab.must(vec![Op::Change(devices[0].clone())]);
        lab.must(devices.iter().map(|device| Op::Delete(device.key())).collect());
    });
}

#[test]
fn a_vxlan_device_that_forwards_by_other_rules_is_none_of_the_kind() {
    lab(|lab| {
        ip("link add ok type vxlan id 1 local 50.1.1.1 dstport 4789 gbp");
        for (n, (how, wanted)) in [
            ("local 50.1.1.1 dstport 4789 gbp", true),
            ("local 50.1.1.1 dstport 4789 nolearning gbp", false),
            ("local 50.1.1.1 dstport 4789 remote 50.1.1.2 gbp", false),
            ("local 50.1.1.1 dstport 4789 dev lo gbp", false),
            ("local 50.1.1.1 dstport 4790 gpe external", false),
            ("local 50.1.1.1 dstport 4789 l2miss gbp", false),
            ("dstport 4789 gbp", false),
            ("local 50.1.1.1 dstport 4791", false),
        ]
        .into_iter()
        .enumerate()
        {
            let id = if how.contains("external") { String::new() } else { format!("id {}", n + 10) };
            ip(&format!("link add vx{n} type vxlan {id} {how}"));
            let kind = state(lab, &format!("vx{n}")).kind;
            assert_eq!(matches!(kind, LinkKind::Vxlan { .. }), wanted, "{how}: {kind:?}");
            if !wanted {
                assert_eq!(kind, LinkKind::Foreign);
            }
        }
    });
}

#[test]
fn a_udp_port_that_is_taken_fails_the_vxlan_device_says_by_whom_and_leaves_nothing_behind() {
    lab(|lab| {
        let holder = std::net::UdpSocket::bind("0.0.0.0:4789").unwrap();
        let device = vxlan("px-5", 5, "50.1.1.1");
        let result = lab.try_one(Op::Create(device.clone()));
        assert_eq!(errno(&result), libc::EADDRINUSE, "{result:?}");
        let me = format!("UDP port 4789 is taken by process {} (", std::process::id());
        assert!(text(&result).starts_with(&me), "{result:?}");
        assert_eq!(shown("link show").len(), 1);
        drop(holder);

        ip("link add cilium type vxlan external dstport 4789");
        // a process that another test is just starting may have the socket for a moment longer
        run_until_done("ip link set cilium up");
        let result = lab.try_one(Op::Create(device.clone()));
        let wanted = "UDP port 4789 is taken by VXLAN device cilium, which has other settings";
        assert_eq!((errno(&result), text(&result)), (libc::EADDRINUSE, wanted));
        ip("link set cilium down");
        // one of the same settings shares it
        ip("link add flannel type vxlan id 9 local 50.1.1.1 dstport 4789 gbp");
        ip("link set flannel up");
        lab.must(vec![Op::Create(device.clone())]);
        let same = ours("px-9", LinkKind::Vxlan { vni: 9, local: addr("50.1.1.1"), port: 4789 }).0;
        assert_eq!(errno(&lab.try_one(Op::Create(same))), libc::EEXIST);
        // taken while it is down
        ip("link del flannel");
        ip("link set px-5 down");
        ip("link set cilium up");
        let result = lab.try_one(Op::Change(device));
        assert_eq!((errno(&result), text(&result)), (libc::EADDRINUSE, wanted));
    });
}

#[test]
fn a_kernel_without_vlans_says_so_and_one_with_them_makes_one() {
    lab(|lab| {
        uplink("eth2", "60.1.1.1/24");
        lab.settle();
        let (wanted, link) = ours("pv-112", LinkKind::Vlan { parent: name("eth2"), tag: 112 });
        let result = lab.try_one(Op::Create(wanted.clone()));
        if errno(&result) == libc::EOPNOTSUPP {
            assert_eq!(text(&result), "the kernel has no 802.1Q support (module 8021q)");
            assert_eq!(shown("link show").len(), 3);
            return;
        }
        assert_eq!(result, Ok(()));
        assert_eq!(state(lab, "pv-112").kind, link.kind);
        let data = &shown("link show pv-112")[0];
        assert_eq!(
            (&data["linkinfo"]["info_data"]["id"], &data["link"], &data["mtu"]),
            (&json!(112), &json!("eth2"), &json!(1450))
        );
        let large = Link { mtu: Some(9000), kind: LinkKind::Vlan { parent: name("eth2"), tag: 113 }, ..link };
        let result = lab.try_one(Op::Create(Object::Link(Ns::HOST, name("pv-113"), large)));
        assert_eq!(text(&result), "MTU 9000 is more than that of eth2, 1500");
        rename("eth2", "trunk");
        told(lab, "pv-112", |state| state.kind == LinkKind::Vlan { parent: name("trunk"), tag: 112 });
        ip("link del trunk");
        lab.wait_gone(&wanted.key());
    });
}

#[test]
fn a_vlan_of_a_link_that_is_not_there_waits_for_it() {
    lab(|lab| {
        let (wanted, _) = ours("pv-112", LinkKind::Vlan { parent: name("eth2"), tag: 112 });
        let result = lab.try_one(Op::Create(wanted));
        assert_eq!((errno(&result), text(&result)), (libc::ENODEV, "no link eth2"));
    });
}

#[test]
fn a_link_is_made_as_a_port_with_its_settings_before_it_is_up() {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        ip("addr add 50.1.1.1/32 dev lo");
        let (inside, outside) = veth(web, "eth0", "pt-web");
        let isolated = BridgePort { isolated: true, neigh_suppress: true, ..port("pb-red") };
        let host = as_port(&outside, Some(isolated.clone()));
        let hairpin = BridgePort { hairpin: true, learning: false, ..port("pb-red") };
        let device = as_port(&vxlan("px-5", 5, "50.1.1.1"), Some(hairpin.clone()));
        lab.must(vec![
            Op::Create(bridge("pb-red")),
            Op::Create(device),
            Op::Create(inside),
            Op::Create(host.clone()),
        ]);
        let red = json!("pb-red");
        let (on, off) = (json!(true), json!(false));
        assert_eq!(port_of(&shown("link show pt-web")[0]), [&red, &on, &off, &on, &on]);
        assert_eq!(port_of(&shown("link show px-5")[0]), [&red, &off, &on, &off, &off]);
        assert_eq!(state(lab, "pt-web").port, Some(isolated.clone()));
        assert_eq!(state(lab, "px-5").port, Some(hairpin));
        assert!(state(lab, "pt-web").up);
        told(lab, "pt-web", |state| state.port.as_ref() == Some(&isolated));
        // never up as a port that is not isolated
        let leaky = |event: &Event| {
            matches!(event, Event::Object(Observed::Link(s)) if s.name.as_str() == "pt-web" && s.up
                && s.port.as_ref().is_some_and(|port| !port.isolated))
        };
        assert!(!lab.settle().iter().any(leaky));

        lab.must(vec![Op::Change(as_port(&outside, Some(port("pb-red"))))]);
        assert_eq!(port_of(&shown("link show pt-web")[0]), [&red, &off, &off, &off, &on]);
        let blue = BridgePort { isolated: true, ..port("pb-blue") };
        lab.must(vec![Op::Create(bridge("pb-blue")), Op::Change(as_port(&outside, Some(blue.clone())))]);
        assert_eq!(state(lab, "pt-web").port, Some(blue.clone()));
        // a move to another bridge begins with the kernel's settings, not with those before
        lab.must(vec![Op::Change(as_port(&outside, Some(port("pb-red"))))]);
        assert_eq!(state(lab, "pt-web").port, Some(port("pb-red")));
        lab.must(vec![Op::Change(outside)]);
        assert_eq!(state(lab, "pt-web").port, None);
        lab.must(vec![Op::Change(host), Op::Delete(bridge("pb-red").key())]);
        assert_eq!(state(lab, "pt-web").port, None);
    });
}

#[test]
fn what_others_do_to_a_port_is_told() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        lab.must(vec![Op::Create(bridge("pb-red"))]);
        ip("link set eth1 master pb-red");
        told(lab, "eth1", |state| state.port == Some(port("pb-red")));
        run("bridge link set dev eth1 isolated on");
        told(lab, "eth1", |state| state.port.as_ref().is_some_and(|port| port.isolated));
        ip("link set eth1 type bridge_slave hairpin on neigh_suppress on learning off");
        let all = BridgePort {
            isolated: true,
            hairpin: true,
            neigh_suppress: true,
            learning: false,
            ..port("pb-red")
        };
        told(lab, "eth1", |state| state.port.as_ref() == Some(&all));
        rename("pb-red", "other");
        lab.wait_gone(&Key::Link(Ns::HOST, name("pb-red")));
        told(lab, "eth1", |state| state.port.as_ref().is_some_and(|port| port.bridge.as_str() == "other"));
        ip("link set eth1 nomaster");
        told(lab, "eth1", |state| state.port.is_none());
        ip("link set eth1 master other");
        told(lab, "eth1", |state| state.port.is_some());
        ip("link del other");
        told(lab, "eth1", |state| state.port.is_none());
        lab.wait_gone(&Key::Link(Ns::HOST, name("other")));
        let gone =
            |event: &Event| matches!(event, Event::Gone(Key::Link(_, link)) if link.as_str() == "eth1");
        assert!(!lab.settle().iter().any(gone), "a port that leaves is not a link that goes");
    });
}

#[test]
fn a_link_that_somebody_else_put_into_a_bridge_stays_there() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        ip("link add br0 type bridge");
        ip("link set eth1 master br0");
        lab.settle();
        lab.must(vec![Op::Change(Object::Link(Ns::HOST, name("eth1"), foreign(true)))]);
        assert_eq!(shown("link show eth1")[0]["master"], "br0");
    });
}

#[test]
fn foreign_bridges_and_devices_are_neither_changed_nor_joined() {
    lab(|lab| {
        ip("addr add 50.1.1.1/32 dev lo");
        ip("link add br0 type bridge stp_state 1");
        ip("link add px-5 type vxlan id 5 local 50.1.1.1 dstport 4790");
        let web = lab.namespace(1, "web");
        let (inside, outside) = veth(web, "eth0", "pt-web");
        lab.must(vec![Op::Create(inside)]);
        lab.settle();
        let looks = || [shown("link show br0"), shown("link show px-5")];
        let before = looks();
        let joined = lab.try_one(Op::Create(as_port(&outside, Some(port("br0")))));
        assert_eq!(errno(&joined), libc::EPERM, "{joined:?}");
        let device = vxlan("px-5", 5, "50.1.1.1");
        assert_eq!(errno(&lab.try_one(Op::Create(device.clone()))), libc::EEXIST);
        assert_eq!(errno(&lab.try_one(Op::Change(device.clone()))), libc::EPERM);
        assert_eq!(errno(&lab.try_one(Op::Delete(device.key()))), libc::EPERM);
        assert_eq!(errno(&lab.try_one(Op::Create(bridge("br0")))), libc::EEXIST);
        assert_eq!(errno(&lab.try_one(Op::Change(bridge("br0")))), libc::EPERM);
        assert_eq!(errno(&lab.try_one(Op::Delete(bridge("br0").key()))), libc::EPERM);
        assert_eq!(looks(), before);
        let nowhere = lab.try_one(Op::Create(as_port(&outside, Some(port("nobridge")))));
        assert_eq!((errno(&nowhere), text(&nowhere)), (libc::ENODEV, "no link nobridge"));
        assert_eq!(shown("link show pt-web")[0]["operstate"], "DOWN");
    });
}

#[test]
fn the_hosts_address_stands_on_the_bridge_and_survives_the_ports() {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        let (inside, outside) = veth(web, "eth0", "pt-web");
        lab.must(vec![
            Op::Create(bridge("pb-red")),
            Op::Create(Object::Address(Ns::HOST, name("pb-red"), net("10.1.2.254/32"))),
            Op::Create(inside.clone()),
            Op::Create(as_port(&outside, Some(port("pb-red")))),
            Op::Create(Object::Neighbour(Ns::HOST, name("pb-red"), addr("10.1.2.1"), Mac([2; 6]))),
        ]);
        lab.must(vec![Op::Delete(inside.key())]);
        assert_eq!(shown("addr show dev pb-red to 10.1.2.254").len(), 1);
        assert_eq!(shown("neigh show 10.1.2.1 dev pb-red").len(), 1);
    });
}
