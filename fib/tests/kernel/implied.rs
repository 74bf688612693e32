//! What goes away with something else: which of it the kernel announces. The table in the documentation of
//! `petiole_fib::kernel` is held by these tests.

use petiole_fib::model::{Concern, Event, Key, Observed, Op};

use crate::lab::{Lab, by, group, id, ip, lab, learned, over, single, uplink};

/// Routes that `announced` says so of have been told as gone, the others not; none of either is there any more.
fn routes_gone(lab: &Lab, told: &[Event], announced: &[&str], silent: &[&str]) {
    let left = lab.dump(petiole_fib::model::Ns::HOST, Concern::Routes);
    for (prefixes, expected) in [(announced, true), (silent, false)] {
        for prefix in prefixes {
            let key = Key::Route(learned(prefix));
            let gone = told.iter().any(|event| matches!(event, Event::Gone(k) if *k == key));
            assert_eq!(gone, expected, "{prefix} announced; {told:#?}");
            let is = |o: &Observed| matches!(o, Observed::Object { object, .. } if object.key() == key);
            assert!(!left.iter().any(is), "{prefix} is still there");
        }
    }
}

fn setup(lab: &Lab) {
    uplink("eth1", "50.1.1.1/24");
    uplink("eth2", "60.1.1.1/24");
    ip("addr add 2001:db8::1/64 dev eth1 nodad");
    lab.must(vec![
        Op::Create(single(1, "eth1", "50.1.1.2")),
        Op::Create(single(2, "eth2", "60.1.1.2")),
        Op::Create(single(3, "eth1", "2001:db8::2")),
        Op::Create(group(11, &[1])),
        Op::Create(group(12, &[1, 2])),
        Op::Create(over("192.168.1.1/32", id(1))),
        Op::Create(over("192.168.1.2/32", id(11))),
        Op::Create(over("192.168.1.3/32", id(12))),
        Op::Create(over("2001:db8:1::/64", id(3))),
        Op::Create(by("192.168.2.1/32", "eth1", "50.1.1.2")),
        Op::Create(by("2001:db8:2::/64", "eth1", "2001:db8::2")),
    ]);
    lab.settle();
}

fn next_hops_gone(lab: &Lab) {
    for n in [1, 3, 11] {
        lab.wait_gone(&Key::NextHop(id(n)));
    }
    lab.wait_object(&group(12, &[2]), 112);
}

#[test]
fn implied_by_a_link_that_is_set_down() {
    lab(|lab| {
        setup(lab);
        ip("link set eth1 down");
        next_hops_gone(lab);
        let silent = ["192.168.1.1/32", "192.168.1.2/32", "192.168.2.1/32"];
        routes_gone(lab, &lab.settle(), &["2001:db8:1::/64", "2001:db8:2::/64"], &silent);
    });
}

#[test]
fn implied_by_a_lost_carrier() {
    lab(|lab| {
        setup(lab);
        ip("link set eth1p down");
        next_hops_gone(lab);
        routes_gone(lab, &lab.settle(), &["2001:db8:1::/64"], &["192.168.1.1/32", "192.168.1.2/32"]);
        // routes by device stay
        let left = lab.dump(petiole_fib::model::Ns::HOST, Concern::Routes);
        assert_eq!(left.len(), 3, "{left:#?}");
    });
}

#[test]
fn implied_by_a_link_that_is_deleted() {
    lab(|lab| {
        setup(lab);
        ip("link del eth1");
        next_hops_gone(lab);
        let silent = ["192.168.1.1/32", "192.168.1.2/32", "192.168.2.1/32"];
        routes_gone(lab, &lab.settle(), &["2001:db8:1::/64", "2001:db8:2::/64"], &silent);
    });
}

#[test]
fn implied_by_a_next_hop_that_is_deleted() {
    lab(|lab| {
        setup(lab);
        ip(&format!("nexthop del id {}", id(1).0));
        ip(&format!("nexthop del id {}", id(3).0));
        next_hops_gone(lab);
        routes_gone(lab, &lab.settle(), &["2001:db8:1::/64"], &["192.168.1.1/32", "192.168.1.2/32"]);
    });
}
