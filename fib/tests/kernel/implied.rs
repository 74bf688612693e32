//! What goes away with something else: which of it the kernel announces. The table in the documentation of
//! `petiole_fib::kernel` is held by these tests.

use petiole_fib::model::{Concern, Event, Ns, Object, Observed, Op};

use crate::lab::{Lab, by, group, id, ip, lab, over, single, uplink};

/// What a cause takes away, by the kernel's announcement or without. Nothing of it may be left, and nothing else may
/// be missing.
struct Taken {
    announced: &'static [&'static str],
    silent: &'static [&'static str],
}

fn check(compat: &str, cause: &str, expected: &Taken) {
    let (compat, cause) = (compat.to_owned(), cause.to_owned());
    let (announced, silent) = (expected.announced, expected.silent);
    lab(move |lab| {
        let mode = Object::Sysctl(Ns::HOST, "net/ipv4/nexthop_compat_mode".into(), compat.as_str().into());
        lab.must(vec![Op::Change(mode)]);
        let made = setup(lab);
        ip(&cause);
        // The carrier of the other end goes by a worker of the kernel's: wait for what is taken last.
        if cause == "link set eth1p down" {
            lab.wait(|event| match event {
                Event::Object(Observed::Link(s)) if s.name.as_str() == "eth1" && !s.carrier => Some(()),
                _ => None,
            });
        }
        let told = lab.settle();
        let left: Vec<Observed> = [Concern::Routes, Concern::NextHops]
            .into_iter()
            .flat_map(|concern| lab.dump(Ns::HOST, concern))
            .collect();
        for (label, object) in made {
            let gone = Event::Gone(object.key());
            let was_told = told.iter().any(|event| format!("{event:?}") == format!("{gone:?}"));
            let is_left = left
                .iter()
                .any(|o| matches!(o, Observed::Object { object: o, .. } if o.key() == object.key()));
            let expected =
                (announced.contains(&label), !announced.contains(&label) && !silent.contains(&label));
            assert_eq!((was_told, is_left), expected, "{cause}, mode {compat}: {label} (told, left)");
        }
    });
}

/// One of each kind, with a name.
fn setup(lab: &Lab) -> Vec<(&'static str, Object)> {
    uplink("eth1", "50.1.1.1/24");
    uplink("eth2", "60.1.1.1/24");
    ip("addr add 2001:db8::1/64 dev eth1 nodad");
    ip("addr add 10.0.0.1/32 dev lo");
    let Object::Route(key, mut route) = by("192.168.2.2/32", "eth2", "60.1.1.2") else { unreachable!() };
    route.preferred_source = Some("10.0.0.1".parse().unwrap());
    let made = vec![
        ("next hop", single(1, "eth1", "50.1.1.2")),
        ("other next hop", single(2, "eth2", "60.1.1.2")),
        ("next hop 6", single(3, "eth1", "2001:db8::2")),
        ("group of one", group(11, &[1])),
        ("group of two", group(12, &[1, 2])),
        ("route by next hop", over("192.168.1.1/32", id(1))),
        ("route by group of one", over("192.168.1.2/32", id(11))),
        ("route by group of two", over("192.168.1.3/32", id(12))),
        ("route 6 by next hop", over("2001:db8:1::/64", id(3))),
        ("route by gateway", by("192.168.2.1/32", "eth1", "50.1.1.2")),
        ("route 6 by gateway", by("2001:db8:2::/64", "eth1", "2001:db8::2")),
        ("route with source", Object::Route(key, route)),
    ];
    lab.must(made.iter().map(|(_, object)| Op::Create(object.clone())).collect());
    lab.settle();
    made
}

const BY_NEXT_HOP: [&str; 2] = ["route by next hop", "route by group of one"];

#[test]
fn implied_by_a_link_that_is_set_down_or_deleted() {
    for cause in ["link set eth1 down", "link del eth1"] {
        let next_hops =
            ["next hop", "next hop 6", "group of one", BY_NEXT_HOP[0], BY_NEXT_HOP[1], "route by gateway"];
        let announced: &'static [_] = &["route 6 by gateway", "route 6 by next hop"];
        check("1", cause, &Taken { announced, silent: Box::leak(Box::new(next_hops)) });
        let silent: Vec<_> = next_hops.into_iter().chain(["route 6 by next hop"]).collect();
        check("0", cause, &Taken { announced: &["route 6 by gateway"], silent: silent.leak() });
    }
}

#[test]
fn implied_by_a_lost_carrier() {
    const SILENT: [&str; 6] =
        ["next hop", "next hop 6", "group of one", BY_NEXT_HOP[0], BY_NEXT_HOP[1], "route 6 by next hop"];
    check("1", "link set eth1p down", &Taken { announced: &SILENT[5..], silent: &SILENT[..5] });
    check("0", "link set eth1p down", &Taken { announced: &[], silent: &SILENT });
}

#[test]
fn implied_by_a_next_hop_that_is_deleted() {
    for mode in ["0", "1"] {
        let cause = format!("nexthop del id {}", id(1).0);
        check(mode, &cause, &Taken { announced: &["next hop", "group of one"], silent: &BY_NEXT_HOP });
    }
    let cause = format!("nexthop del id {}", id(3).0);
    check("1", &cause, &Taken { announced: &["next hop 6", "route 6 by next hop"], silent: &[] });
    check("0", &cause, &Taken { announced: &["next hop 6"], silent: &["route 6 by next hop"] });
}

#[test]
fn implied_by_an_address_that_is_deleted() {
    for mode in ["0", "1"] {
        let taken = Taken { announced: &[], silent: &["route by gateway"] };
        check(mode, "addr del 50.1.1.1/24 dev eth1", &taken);
        check(mode, "addr del 2001:db8::1/64 dev eth1", &Taken { announced: &[], silent: &[] });
        check(mode, "addr del 10.0.0.1/32 dev lo", &Taken { announced: &["route with source"], silent: &[] });
    }
}
