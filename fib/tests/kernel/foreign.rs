//! What others made stays as it is, whatever we do.

use petiole_fib::model::{Event, Key, Mac, Ns, Object, Observed, Op, RouteKey};

use crate::lab::{addr, by, errno, id, ip, lab, learned, name, net, over, shown, single, uplink};

#[test]
fn a_foreign_route_of_the_same_prefix_and_another_metric_lives_beside_ours() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        ip("route add 192.168.1.1 via 50.1.1.9 proto static metric 20");
        ip("route add 192.168.1.1 via 50.1.1.9 proto static metric 100");
        let ours = by("192.168.1.1/32", "eth1", "50.1.1.2");
        lab.must(vec![
            Op::Create(ours.clone()),
            Op::Change(by("192.168.1.1/32", "eth1", "50.1.1.3")),
            Op::Delete(ours.key()),
        ]);
        assert_eq!(errno(&lab.try_one(Op::Delete(ours.key()))), libc::ESRCH);
        assert_eq!(shown("route show 192.168.1.1 proto static").len(), 2);
    });
}

#[test]
fn a_foreign_route_with_our_very_key_is_neither_replaced_nor_deleted() {
    for (link, via, foreign, prefix) in [
        ("eth1", "50.1.1.2", "50.1.1.9", "192.168.1.1/32"),
        ("eth1", "fe80::2", "fe80::9", "2001:db8:1::/64"),
    ] {
        lab(move |lab| {
            uplink("eth1", "50.1.1.1/24");
            let ours = by(prefix, link, via);
            let Key::Route(RouteKey { metric, .. }) = ours.key() else { panic!("a route") };
            ip(&format!("route add {prefix} via {foreign} dev eth1 proto static metric {metric}"));
            assert_eq!(errno(&lab.try_one(Op::Create(ours.clone()))), libc::EEXIST);
            assert_eq!(errno(&lab.try_one(Op::Change(ours.clone()))), libc::EEXIST);
            assert_eq!(errno(&lab.try_one(Op::Delete(ours.key()))), libc::ESRCH);
            let family = if prefix.contains(':') { "-6" } else { "-4" };
            let seen = shown(&format!("{family} route show {prefix}"));
            assert_eq!((seen.len(), &seen[0]["gateway"]), (1, &foreign.into()));
            ip(&format!("route del {prefix} proto static"));
            lab.must(vec![Op::Create(ours)]);
        });
    }
}

#[test]
fn a_foreign_route_prepended_to_ours_is_not_hit_by_our_change_and_can_be_waited_out() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        let ours = by("192.168.1.1/32", "eth1", "50.1.1.2");
        lab.must(vec![Op::Create(ours.clone())]);
        ip("route prepend 192.168.1.1 via 50.1.1.9 proto static metric 52");
        let changed = by("192.168.1.1/32", "eth1", "50.1.1.3");
        assert_eq!(errno(&lab.try_one(Op::Change(changed.clone()))), libc::EEXIST);
        assert_eq!(shown("route show 192.168.1.1").len(), 2);
        ip("route del 192.168.1.1 proto static");
        lab.must(vec![Op::Change(changed)]);
        assert_eq!(shown("route show 192.168.1.1")[0]["gateway"], "50.1.1.3");
        assert!(!lab.settle().iter().any(|event| matches!(event, Event::Gone(Key::Route(_)))));
    });
}

#[test]
fn a_foreign_replacement_of_our_route_is_told_and_left_alone_until_it_goes() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        let ours = by("192.168.1.1/32", "eth1", "50.1.1.2");
        lab.must(vec![Op::Create(ours.clone())]);
        ip("route replace 192.168.1.1 via 50.1.1.9 proto static metric 52");
        lab.wait_object(&by("192.168.1.1/32", "eth1", "50.1.1.9"), 4);
        assert_eq!(errno(&lab.try_one(Op::Change(ours.clone()))), libc::EEXIST);
        ip("route del 192.168.1.1 proto static");
        lab.wait_gone(&ours.key());
        lab.must(vec![Op::Create(ours)]);
    });
}

#[test]
fn a_foreign_route_made_before_the_engine_started_is_known() {
    crate::lab::private(|| {
        uplink("eth1", "50.1.1.1/24");
        ip("route add 192.168.1.1 via 50.1.1.9 proto static metric 52");
        ip("nexthop add id 1885667329 via 50.1.1.9 dev eth1 proto static"); // the second of our range
        let lab = crate::lab::Lab::start(petiole_fib::kernel::Options::default());
        assert_eq!(errno(&lab.try_one(Op::Change(by("192.168.1.1/32", "eth1", "50.1.1.2")))), libc::EEXIST);
        assert_eq!(errno(&lab.try_one(Op::Create(single(1, "eth1", "50.1.1.2")))), libc::EEXIST);
        assert_eq!(errno(&lab.try_one(Op::Change(single(1, "eth1", "50.1.1.2")))), libc::EPERM);
        assert_eq!(errno(&lab.try_one(Op::Delete(Key::NextHop(id(1))))), libc::EPERM);
        assert_eq!(shown("nexthop show")[0]["gateway"], "50.1.1.9");
        ip("nexthop del id 1885667329");
        lab.must(vec![Op::Create(single(1, "eth1", "50.1.1.2")), Op::Change(single(1, "eth1", "50.1.1.3"))]);
    });
}

#[test]
fn foreign_objects_that_went_away_without_a_word_do_not_stand_in_the_way_for_ever() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        uplink("eth2", "60.1.1.1/24");
        lab.must(vec![Op::Create(by("192.168.1.1/32", "eth1", "50.1.1.2"))]);
        ip("route prepend 192.168.1.1 via 60.1.1.9 proto static metric 52");
        ip("nexthop add id 1885667329 via 60.1.1.9 dev eth2 proto static");
        let changed = by("192.168.1.1/32", "eth1", "50.1.1.3");
        assert_eq!(errno(&lab.try_one(Op::Change(changed.clone()))), libc::EEXIST);
        assert_eq!(errno(&lab.try_one(Op::Delete(Key::NextHop(id(1))))), libc::EPERM);
        ip("link del eth2");
        lab.must(vec![Op::Change(changed)]);
        assert_eq!(errno(&lab.try_one(Op::Delete(Key::NextHop(id(1))))), libc::ENOENT);
    });
}

#[test]
fn in_other_tables_and_containers_a_change_never_replaces_a_foreign_route() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        ip("route add table 1000 192.168.1.1 via 50.1.1.9 proto static metric 7");
        let Object::Route(key, route) = by("192.168.1.1/32", "eth1", "50.1.1.2") else { unreachable!() };
        let ours = Object::Route(RouteKey { table: 1000, metric: 7, ..key }, route);
        assert_eq!(errno(&lab.try_one(Op::Change(ours))), libc::ESRCH);
        assert_eq!(shown("route show table 1000")[0]["gateway"], "50.1.1.9");
    });
}

#[test]
fn foreign_addresses_and_neighbours_are_not_deleted() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        ip("addr add 2001:db8::1/64 dev eth1");
        ip("neigh add 50.1.1.7 lladdr 02:00:00:00:00:07 dev eth1 nud permanent");
        let neighbour = Object::Neighbour(Ns::HOST, name("eth1"), addr("50.1.1.7"), Mac([9; 6]));
        lab.settle();
        for key in [
            Key::Address(Ns::HOST, name("eth1"), net("50.1.1.1/24")),
            Key::Address(Ns::HOST, name("eth1"), net("2001:db8::1/64")),
            neighbour.key(),
        ] {
            assert_eq!(errno(&lab.try_one(Op::Delete(key.clone()))), libc::EPERM, "{key:?}");
        }
        assert_eq!(errno(&lab.try_one(Op::Create(neighbour.clone()))), libc::EEXIST);
        assert_eq!(errno(&lab.try_one(Op::Change(neighbour))), libc::EPERM);
        assert_eq!(shown("addr show dev eth1 to 50.1.1.1").len(), 1);
        assert_eq!(shown("neigh show 50.1.1.7 dev eth1")[0]["lladdr"], "02:00:00:00:00:07");
    });
}

#[test]
fn changes_by_others_are_told() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        lab.wait_object(&Object::Address(Ns::HOST, name("eth1"), net("50.1.1.1/24")), 0);
        let mine = [single(1, "eth1", "50.1.1.2"), over("192.168.1.1/32", id(1))];
        lab.must(mine.iter().cloned().map(Op::Create).collect());

        ip("route del 192.168.1.1");
        lab.wait_gone(&Key::Route(learned("192.168.1.1/32")));
        ip("route add 192.168.1.9 via 50.1.1.2 proto 112 metric 52");
        lab.wait_object(&by("192.168.1.9/32", "eth1", "50.1.1.2"), 112);
        ip("nexthop replace id 1885667329 via 50.1.1.5 dev eth1 proto 112");
        lab.wait_object(&single(1, "eth1", "50.1.1.5"), 112);
        ip("nexthop replace id 1885667329 blackhole proto 112");
        lab.wait_gone(&Key::NextHop(id(1)));
        ip("neigh add 50.1.1.7 lladdr 02:00:00:00:00:07 dev eth1 nud permanent");
        let neighbour = Object::Neighbour(Ns::HOST, name("eth1"), addr("50.1.1.7"), Mac([2, 0, 0, 0, 0, 7]));
        lab.wait_object(&neighbour, 0);
        ip("neigh del 50.1.1.7 dev eth1");
        lab.wait_gone(&neighbour.key());
        ip("addr add 2001:db8::1/64 dev eth1");
        lab.wait_object(&Object::Address(Ns::HOST, name("eth1"), net("2001:db8::1/64")), 0);
        ip("addr del 2001:db8::1/64 dev eth1");
        lab.wait_gone(&Key::Address(Ns::HOST, name("eth1"), net("2001:db8::1/64")));
        ip("addr del 50.1.1.1/24 dev eth1");
        lab.wait_gone(&Key::Address(Ns::HOST, name("eth1"), net("50.1.1.1/24")));
        let odd = |e: &Event| matches!(e, Event::Object(Observed::Object { object: Object::Route(..), .. }));
        assert!(!lab.settle().iter().any(odd), "foreign routes are nobody's business");
    });
}
