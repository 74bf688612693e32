//! Limits of a container's bandwidth: the order of operations, and that no moment of them cuts it off.

use super::world::{WEB, World, assert_done, container, failures, link, sysctl, uplinks};
use crate::{
    fake::Fault,
    model::{IfName, Key, Link, LinkKind, Ns, Object, Qdisc, TokenBucket},
    owner::Owner,
};

/// Octets per second of 500Kbps and of 9Mbps.
pub(super) const SLOW: u64 = 64_000;
pub(super) const FAST: u64 = 1_179_648;

fn bucket(on: &str, rate: u64) -> Object {
    Object::Qdisc(link(on), Qdisc::Bucket(TokenBucket::new(rate, 80 << 10, 1400)))
}

/// The limits of what goes into and comes out of the container behind `v<name>`.
pub(super) fn limits(name: &str, into: Option<u64>, out: Option<u64>) -> Vec<Object> {
    let (outer, ifb) = (format!("v{name}"), format!("i{name}"));
    let mut all: Vec<Object> = into.map(|rate| bucket(&outer, rate)).into_iter().collect();
    if let Some(rate) = out {
        let alias = Some(format!("petiole:{name}").into());
        let settings = Link { kind: LinkKind::Ifb, mac: None, mtu: Some(1400), up: true, alias, port: None };
        all.extend([
            Object::Link(Ns::HOST, link(&ifb), settings),
            sysctl(Ns::HOST, &format!("net/ipv6/conf/{ifb}/disable_ipv6"), "1"),
            bucket(&ifb, rate),
            Object::Redirect(link(&outer), Some(link(&ifb))),
        ]);
    }
    all
}

fn both(rate: u64) -> Vec<Object> {
    limits("web1", Some(rate), Some(rate))
}

/// A container without limits, at rest.
fn unlimited() -> World {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_all(container(WEB, "web1", 3));
    world.settle();
    world.done();
    world
}

fn limited() -> World {
    let mut world = unlimited();
    world.want_all(both(SLOW));
    world.settle();
    world.assert_settled();
    world.done();
    world
}

fn unwant(world: &mut World, objects: &[Object]) {
    for object in objects {
        world.unwant(&object.key());
    }
}

const NOBODY: &[IfName] = &[];

#[test]
fn what_comes_in_is_redirected_when_the_other_link_is_up_and_has_its_qdisc() {
    let mut world = unlimited();
    world.want_all(both(SLOW));
    world.settle();
    assert_done(
        &mut world,
        "create link iweb1: ifb mtu 1400 alias petiole:web1 down
         create qdisc of vweb1 rate 64000 burst 81920 queue 7090
         change sysctl net/ipv6/conf/iweb1/disable_ipv6 = 1
         create qdisc of iweb1 rate 64000 burst 81920 queue 7090
         change link iweb1: ifb mtu 1400 alias petiole:web1 up
         create redirect of vweb1 to iweb1",
    );
    world.assert_settled();
}

#[test]
fn another_rate_is_a_change_in_place() {
    let mut world = limited();
    world.want_all(both(FAST));
    world.settle();
    assert_done(
        &mut world,
        "change qdisc of vweb1 rate 1179648 burst 81920 queue 29491
         change qdisc of iweb1 rate 1179648 burst 81920 queue 29491",
    );
    world.assert_settled();
}

#[test]
fn the_link_goes_when_nothing_is_redirected_to_it_any_more() {
    let mut world = limited();
    unwant(&mut world, &both(SLOW));
    let ops = world.fib.plan(100, world.now);
    // ... and not in the same batch: the kernel has not said yes.
    assert!(ops.iter().all(|op| op.key() != Key::Link(Ns::HOST, link("iweb1"))), "{ops:?}");
    let mut world = limited();
    unwant(&mut world, &both(SLOW));
    world.settle();
    assert_done(
        &mut world,
        "delete qdisc of vweb1
         delete qdisc of iweb1
         delete redirect of vweb1
         delete link iweb1",
    );
    world.assert_settled();
    let clean = unlimited();
    assert_eq!(world.kernel.text_of(&Owner::default()), clean.kernel.text_of(&Owner::default()));
}

#[test]
fn a_container_goes_with_its_limits() {
    let mut world = limited();
    let all: Vec<Object> = container(WEB, "web1", 3).into_iter().chain(both(SLOW)).collect();
    unwant(&mut world, &all);
    world.settle();
    world.assert_settled();
    let expected = {
        let mut world = World::new();
        world.want_all(uplinks());
        world.settle();
        world.kernel.text_of(&Owner::default())
    };
    assert_eq!(world.kernel.text_of(&Owner::default()), expected);
}

/// Runs one operation at a time; after each, the container must be reachable.
fn step_by_step(world: &mut World) {
    world.slice = 1;
    for _ in 0..200 {
        let busy = world.drive();
        assert_eq!(world.kernel.cut_off(), NOBODY, "{:?}", world.log.last());
        let mut heard = false;
        while world.hear() {
            heard = true;
        }
        if !busy && !heard {
            match world.fib.next_retry() {
                None => return,
                Some(at) => world.now = world.now.max(at),
            }
        }
    }
    panic!("no end");
}

#[test]
fn no_operation_cuts_the_container_off_whichever_fails() {
    for fails in 0..16 {
        for fault in [Fault::Refuse(libc::ENOMEM), Fault::DoneBut(libc::EINTR), Fault::Refuse(libc::ENOENT)] {
            let mut world = unlimited();
            let at = world.kernel.operations();
            world.kernel.fail_at(at + fails, fault);
            world.want_all(both(SLOW));
            step_by_step(&mut world);
            world.assert_settled();
            world.want_all(both(FAST));
            step_by_step(&mut world);
            unwant(&mut world, &both(FAST));
            step_by_step(&mut world);
            world.assert_settled();
        }
    }
}

#[test]
fn a_redirection_to_a_link_that_somebody_deleted_goes_at_once() {
    for lost in [false, true] {
        let mut world = limited();
        let expected = world.kernel.text_of(&Owner::default());
        world.kernel.delete_link(Ns::HOST, &link("iweb1"));
        assert_eq!(world.kernel.cut_off(), [link("vweb1")]);
        if lost {
            world.kernel.lose_announcements();
        }
        while world.hear() {}
        world.drive();
        while world.hear() {}
        world.drive();
        assert_eq!(world.kernel.cut_off(), NOBODY);
        world.settle();
        world.assert_settled();
        assert_eq!(world.kernel.text_of(&Owner::default()), expected);
    }
}

#[test]
fn what_somebody_takes_away_or_changes_is_repaired() {
    let mut world = limited();
    let expected = world.kernel.text_of(&Owner::default());
    let foreign = || Some(Qdisc::Foreign("netem".into()));
    let doings: [&dyn Fn(&mut World); 7] = [
        &|w| w.kernel.take_away(&Key::Qdisc(link("vweb1"))),
        &|w| w.kernel.take_away(&Key::Qdisc(link("iweb1"))),
        &|w| w.kernel.take_away(&Key::Redirect(link("vweb1"))),
        &|w| w.kernel.set_qdisc(&link("vweb1"), foreign()),
        &|w| w.kernel.mislead(&link("vweb1")),
        &|w| w.kernel.set_link_up(Ns::HOST, &link("iweb1"), false),
        &|w| w.kernel.delete_link(Ns::HOST, &link("vweb1")),
    ];
    for (n, doing) in doings.iter().enumerate() {
        doing(&mut world);
        // Nobody hears what happens in the container.
        world.fib.audit_ns(WEB);
        world.settle();
        world.assert_settled();
        assert_eq!(world.kernel.text_of(&Owner::default()), expected, "{n}");
        assert_eq!(failures(&mut world), Vec::<String>::new(), "{n}");
    }
}

#[test]
fn a_qdisc_of_somebody_elses_stays_where_none_is_wanted() {
    let mut world = unlimited();
    let foreign = Qdisc::Foreign("netem".into());
    for on in ["vweb1", "eth1"] {
        world.kernel.set_qdisc(&link(on), Some(foreign.clone()));
    }
    world.settle();
    world.sweep();
    world.settle();
    world.want(bucket("vweb1", SLOW));
    world.unwant(&Key::Qdisc(link("vweb1")));
    world.settle();
    assert_eq!(world.done(), "");
    let there = |on: &str| {
        world.kernel.observed().iter().any(|o| format!("{o:?}").contains(&format!("Qdisc({on:?}")))
    };
    assert!(there("vweb1") && there("eth1"));
}

#[test]
fn on_somebody_elses_link_nothing_is_done() {
    let mut world = unlimited();
    world.kernel.set_qdisc(&link("eth1"), Some(Qdisc::Foreign("netem".into())));
    let before = world.kernel.text_of_others(&Owner::default());
    world.want(bucket("eth1", SLOW));
    world.run_for(std::time::Duration::from_secs(1));
    assert!(!world.fib.settled(&Key::Qdisc(link("eth1"))));
    assert!(failures(&mut world)[0].contains("somebody else's link"));
    world.unwant(&Key::Qdisc(link("eth1")));
    world.settle();
    assert_eq!(world.kernel.text_of_others(&Owner::default()), before);
}

#[test]
fn a_foreign_link_of_the_others_name_is_in_the_way_and_nothing_is_redirected() {
    let mut world = unlimited();
    world.kernel.add_link(Ns::HOST, &link("iweb1"));
    world.want_all(both(SLOW));
    world.run_for(std::time::Duration::from_secs(1));
    assert!(failures(&mut world)[0].contains("taken by a foreign link"));
    assert!(!world.done().contains("redirect"));
    world.kernel.delete_link(Ns::HOST, &link("iweb1"));
    world.settle();
    world.assert_settled();
}

#[test]
fn after_a_crash_nothing_is_done_for_what_is_as_wanted() {
    let mut world = limited();
    world.crash();
    world.settle();
    world.sweep();
    world.settle();
    assert_eq!(world.done(), "");
    world.assert_settled();
    unwant(&mut world, &both(SLOW));
    world.crash();
    world.settle();
    assert_eq!(world.done(), "", "kept until the sweep");
    world.sweep();
    world.settle();
    assert!(world.done().ends_with("delete link iweb1\n"));
    world.assert_settled();
}
