//! What we do ourselves is not news.

use petiole_fib::model::{Event, Key, Link, LinkKind, Mac, Ns, Object, Observed, Op};

use crate::lab::{addr, by, foreign, group, id, ip, lab, name, net, over, single, uplink};

#[test]
fn our_own_operations_are_never_told_back() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        ip("addr add 2001:db8:1::1/64 dev eth1 nodad");
        lab.settle();
        let all = [
            Object::Address(Ns::HOST, name("eth1"), net("10.0.0.1/32")),
            Object::Address(Ns::HOST, name("eth1"), net("2001:db8::1/128")),
            Object::Address(Ns::HOST, name("lo"), net("2001:db8::2/128")),
            Object::Neighbour(Ns::HOST, name("eth1"), addr("50.1.1.7"), Mac([2, 0, 0, 0, 0, 7])),
            Object::Neighbour(Ns::HOST, name("eth1"), addr("2001:db8:1::7"), Mac([2, 0, 0, 0, 0, 7])),
            single(1, "eth1", "50.1.1.2"),
            group(2, &[1]),
            single(3, "eth1", "2001:db8:1::2"),
            over("192.168.1.1/32", id(2)),
            over("2001:db8:2::/64", id(3)),
            by("192.168.1.2/32", "eth1", "50.1.1.2"),
            by("2001:db8:3::/64", "eth1", "2001:db8:1::2"),
        ];
        lab.must(all.iter().cloned().map(Op::Create).collect());
        lab.must(all.iter().cloned().map(Op::Change).collect());
        lab.must(all.iter().rev().map(|object| Op::Delete(object.key())).collect());
        // The kernel finishes IPv6 addresses on a worker of its own: by the time that a foreign address, made after
        // ours, is told, so would ours have been.
        ip("addr add 2001:db8:9::1/64 dev eth1 nodad");
        lab.wait_object(&Object::Address(Ns::HOST, name("eth1"), net("2001:db8:9::1/64")), 0);
        let ours = |event: &Event| {
            let key = match event {
                Event::Object(Observed::Object { object, .. }) => object.key(),
                Event::Gone(key) => key.clone(),
                _ => return false,
            };
            all.iter().any(|object| object.key() == key)
        };
        let told: Vec<Event> = lab.settle().into_iter().filter(ours).collect();
        assert!(told.is_empty(), "{told:#?}");
    });
}

#[test]
fn the_end_of_a_link_that_we_deleted_is_not_told() {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        let kind = LinkKind::Veth { peer_ns: web, peer: name("eth0") };
        let host_end = Object::Link(Ns::HOST, name("vweb"), Link { kind, ..foreign(true) });
        lab.must(vec![Op::Create(host_end.clone()), Op::Delete(host_end.key())]);
        let gone = Key::Link(Ns::HOST, name("vweb"));
        assert!(!lab.settle().iter().any(|event| matches!(event, Event::Gone(key) if *key == gone)));
    });
}
