//! Restart: what is there is adopted, what nobody wants is kept until swept, and then goes.

use super::world::{LEAF1, LEAF2, WEB, World, container, uplinks};
use crate::{owner::Owner, plan::Scope};

fn running() -> World {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_all(container(WEB, "web1", 3));
    world.want_route_from("20.0.0.0/8", &[LEAF1, LEAF2], Some("10.0.0.1"));
    world.want_route("30.0.0.0/8", &[LEAF1]);
    world.settle();
    world.assert_settled();
    world.done();
    world
}

#[test]
fn the_same_wishes_after_a_restart_cause_no_operation() {
    let mut world = running();
    world.crash();
    world.settle();
    assert_eq!(world.done(), "");
    world.sweep();
    world.settle();
    assert_eq!(world.done(), "");
    world.assert_settled();
}

#[test]
fn wishes_that_come_after_the_dumps_find_their_next_hops_too() {
    let mut world = running();
    let wishes = std::mem::take(&mut world.wishes);
    world.crash();
    world.fib.watch_ns(WEB);
    world.settle();
    assert_eq!(world.done(), "");
    // Another order than before: ids are found by content.
    world.want_route("30.0.0.0/8", &[LEAF1]);
    world.want_route_from("20.0.0.0/8", &[LEAF2, LEAF1], Some("10.0.0.1"));
    world.want_all(wishes.objects);
    world.settle();
    assert_eq!(world.done(), "");
    world.sweep();
    world.settle();
    assert_eq!(world.done(), "");
}

#[test]
fn an_id_given_before_the_dump_gives_way_to_what_is_there() {
    let mut world = running();
    world.wishes.routes.clear();
    world.crash();
    // Told before the tracker has seen anything: ids are guessed, and guessed wrong.
    world.want_route("30.0.0.0/8", &[LEAF2]);
    world.want_route("20.0.0.0/8", &[LEAF1]);
    world.settle();
    assert_eq!(
        world.done(),
        "change route 20.0.0.0/8 metric 52 nexthop 1885667328\n\
         change route 30.0.0.0/8 metric 52 nexthop 1885667329\n"
    );
    world.sweep();
    world.settle();
    assert_eq!(world.done(), "delete nexthop 1885667330\n");
    world.assert_settled();
}

#[test]
fn what_nobody_wants_stays_until_the_sweep_of_its_kind() {
    let mut world = running();
    world.wishes.routes.clear();
    world.wishes.objects = uplinks();
    world.crash();
    world.settle();
    assert_eq!(world.done(), "");
    assert_eq!(world.fib.counters().routes_installed, 3);
    assert!(world.fib.counters().stale > 5);
    world.fib.sweep(Scope::Learned);
    world.settle();
    let done = world.done();
    assert!(done.contains("delete route 20.0.0.0/8") && done.contains("delete nexthop"), "{done}");
    assert!(!done.contains("link") && !done.contains("192.168.1.3/32"), "{done}");
    world.fib.sweep(Scope::Local);
    world.settle();
    let done = world.done();
    assert!(done.contains("delete route 192.168.1.3/32") && done.contains("delete link"), "{done}");
    assert_eq!(world.fib.counters().stale, 0);
    world.assert_settled();
    // Two addresses on each of two uplinks and `lo`, nothing else of ours.
    assert_eq!(world.kernel.keys_of(&Owner::default()).len(), 4);
}

#[test]
fn what_is_explicitly_unwanted_does_not_wait_for_the_sweep() {
    let mut world = running();
    world.wishes.routes.clear();
    world.crash();
    world.settle();
    world.unwant_route("30.0.0.0/8");
    world.settle();
    assert_eq!(world.done(), "delete route 30.0.0.0/8 metric 52\n");
}

#[test]
fn a_crash_between_any_two_operations_heals() {
    let whole = running();
    let expected = whole.kernel.text_of(&Owner::default());
    let total = whole.kernel.operations();
    for until in 0..=total {
        let mut world = World::new();
        world.want_all(uplinks());
        world.want_all(container(WEB, "web1", 3));
        world.want_route_from("20.0.0.0/8", &[LEAF1, LEAF2], Some("10.0.0.1"));
        world.want_route("30.0.0.0/8", &[LEAF1]);
        world.slice = 1;
        while world.kernel.operations() < until {
            world.drive();
            while world.hear() {}
        }
        world.crash();
        world.slice = 1000;
        world.settle();
        world.assert_settled();
        assert_eq!(world.kernel.text_of(&Owner::default()), expected, "after {until} operations");
    }
}

#[test]
fn nothing_is_done_in_a_namespace_that_was_not_looked_into() {
    let mut world = World::new();
    world.want_all(container(WEB, "web1", 3));
    assert!(world.fib.plan(1000, world.now).is_empty());
    // Only the host answers.
    world.fib.forget_ns(WEB);
    world.settle();
    assert_eq!(world.done(), "");
    world.fib.watch_ns(WEB);
    world.settle();
    world.assert_settled();
}

#[test]
fn the_host_end_of_a_container_not_yet_looked_into_stays() {
    let mut world = running();
    world.wishes.namespaces.clear();
    world.crash();
    world.settle();
    world.sweep();
    world.settle();
    // Its other end may be alive in there.
    assert!(!world.done().contains("delete link"));
    world.watch(WEB);
    world.settle();
    world.assert_settled();
}
