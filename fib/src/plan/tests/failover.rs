//! Shared next hops: fail-over is one operation, and nothing flaps on the way back.

use super::world::{LEAF1, LEAF2, World, ip, link, net, uplinks};
use crate::model::{Key, NextHop, Object, Op, RouteTarget};

/// Two uplinks and `n` routes over both.
fn spread(n: u8) -> World {
    let mut world = World::new();
    world.want_all(uplinks());
    for i in 0..n {
        world.want_route(&format!("20.{i}.0.0/16"), &[LEAF1, LEAF2]);
    }
    world.settle();
    world.assert_settled();
    world.done();
    world
}

fn members(world: &World) -> usize {
    let Some(RouteTarget::NextHop(id)) =
        world.fib.route(net("20.0.0.0/16")).and_then(|r| r.actual).map(|r| r.target)
    else {
        return 0;
    };
    world.fib.gateways(id).len()
}

#[test]
fn a_gateway_lost_is_one_operation_for_all_routes() {
    let mut world = spread(50);
    world.hop(LEAF1.0, LEAF1.1, false);
    world.settle();
    assert_eq!(world.done(), "change nexthop 1885667330 group 1885667329\n");
    assert_eq!(members(&world), 1);
    world.hop(LEAF1.0, LEAF1.1, true);
    world.settle();
    assert_eq!(world.done(), "change nexthop 1885667330 group 1885667328 1885667329\n");
    world.assert_settled();
}

#[test]
fn a_link_lost_is_no_operation_and_its_return_is_two() {
    let mut world = spread(50);
    // The kernel takes the next hop out of the group by itself, without a word.
    world.kernel.plug(&link("eth1"), false);
    world.settle();
    assert_eq!(world.done(), "");
    assert_eq!(members(&world), 1);
    world.kernel.plug(&link("eth1"), true);
    world.settle();
    assert_eq!(
        world.done(),
        "create nexthop 1885667328 via 50.1.1.2 on eth1\n\
         change nexthop 1885667330 group 1885667328 1885667329\n"
    );
    world.assert_settled();
}

#[test]
fn when_the_kernel_drops_a_group_it_comes_back_with_all_that_hung_on_it() {
    let mut world = spread(50);
    world.kernel.plug(&link("eth1"), false);
    world.kernel.plug(&link("eth2"), false);
    world.settle();
    assert_eq!(world.done(), "");
    assert_eq!(world.fib.counters().routes_installed, 0);
    world.kernel.plug(&link("eth2"), true);
    world.settle();
    let done = world.done();
    assert!(
        done.starts_with(
            "create nexthop 1885667329 via 60.1.1.2 on eth2\n\
             create nexthop 1885667330 group 1885667329\n\
             create route 20."
        ),
        "{done}"
    );
    assert_eq!(done.lines().count(), 52);
    world.assert_settled();
}

#[test]
fn a_group_deleted_by_somebody_comes_back_with_its_routes() {
    let mut world = spread(50);
    let group = Key::NextHop(crate::model::NextHopId(1_885_667_330));
    world.kernel.take_away(&group);
    world.settle();
    assert_eq!(world.done().lines().count(), 51);
    world.assert_settled();
}

#[test]
fn the_last_gateway_lost_removes_the_routes_and_its_return_brings_them_back() {
    let mut world = spread(5);
    world.hop(LEAF1.0, LEAF1.1, false);
    world.hop(LEAF2.0, LEAF2.1, false);
    world.settle();
    let done = world.done();
    assert_eq!(done.lines().filter(|l| l.starts_with("delete route")).count(), 5, "{done}");
    assert_eq!(done.lines().last(), Some("delete nexthop 1885667330"));
    world.hop(LEAF2.0, LEAF2.1, true);
    world.settle();
    assert_eq!(world.done().lines().count(), 6);
    world.assert_settled();
}

#[test]
fn routes_that_move_to_the_smaller_set_do_so_without_a_gap() {
    let mut world = spread(50);
    world.slice = 10;
    world.hop(LEAF1.0, LEAF1.1, false);
    world.drive();
    assert_eq!(world.done(), "change nexthop 1885667330 group 1885667329\n");
    for i in 0..50 {
        world.want_route(&format!("20.{i}.0.0/16"), &[LEAF2]);
    }
    world.settle();
    let moves = std::mem::take(&mut world.log);
    // Each route is changed in place, once; then the group goes, and the next hop that nobody needs.
    assert_eq!(moves.iter().filter(|op| matches!(op, Op::Change(Object::Route(..)))).count(), 50);
    assert!(moves.iter().all(|op| !matches!(op, Op::Delete(Key::Route(_)))));
    assert_eq!(moves.len(), 52);
    world.assert_settled();
}

#[test]
fn a_group_takes_a_gateway_back_only_when_no_route_is_left_that_does_not_want_it() {
    let mut world = spread(50);
    world.slice = 10;
    world.hop(LEAF1.0, LEAF1.1, false);
    world.settle();
    world.done();
    // The decision process has taken the gateway out of most sets when it comes back.
    for i in 1..50 {
        world.want_route(&format!("20.{i}.0.0/16"), &[LEAF2]);
    }
    world.hop(LEAF1.0, LEAF1.1, true);
    world.settle();
    let moves = std::mem::take(&mut world.log);
    let grows = |op: &Op| matches!(op, Op::Change(Object::NextHop(_, NextHop::Group(m))) if m.len() == 2);
    let grown = moves.iter().position(grows).expect("the group is filled up in the end");
    let moved = moves.iter().rposition(|op| matches!(op, Op::Change(Object::Route(..)))).unwrap();
    assert!(moved < grown, "{moved} {grown}");
    world.assert_settled();
}

#[test]
fn a_group_is_made_of_the_members_that_are_there() {
    let mut world = World::new();
    world.kernel.plug(&link("eth2"), false);
    world.want_all(uplinks());
    world.want_route("20.0.0.0/8", &[LEAF1, LEAF2]);
    world.settle();
    assert!(world.done().contains("create nexthop 1885667330 group 1885667328\ncreate route 20.0.0.0/8"));
    world.kernel.plug(&link("eth2"), true);
    world.settle();
    assert_eq!(
        world.done(),
        "create nexthop 1885667329 via 60.1.1.2 on eth2\n\
         change nexthop 1885667330 group 1885667328 1885667329\n"
    );
}

#[test]
fn a_gateway_that_is_not_reachable_does_not_hold_up_the_other() {
    let mut world = World::new();
    // No address covers 60.1.1.2: the kernel says ENETUNREACH.
    world.want_all(uplinks().into_iter().filter(|o| !o.to_string().contains("60.1.1.1")));
    world.want_route("20.0.0.0/8", &[LEAF1, LEAF2]);
    world.run_for(std::time::Duration::from_secs(5));
    let failing: Vec<String> = world.fib.failing().map(|(key, ..)| key.to_string()).collect();
    assert_eq!(failing, ["nexthop 1885667329"]);
    assert_eq!(world.fib.counters().routes_installed, 1);
    // As soon as the address is there, so is the next hop: no waiting for the back-off.
    let before = world.now;
    world.want(super::world::address(crate::model::Ns::HOST, "eth2", "60.1.1.1/24"));
    world.settle();
    world.assert_settled();
    assert_eq!(world.now, before);
}

#[test]
fn equal_sets_share_one_group_whatever_the_order() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_route("20.0.0.0/8", &[LEAF1, LEAF2]);
    world.want_route("30.0.0.0/8", &[LEAF2, LEAF1, LEAF1]);
    world.settle();
    assert_eq!(world.done().lines().filter(|l| l.contains("group")).count(), 1);
}

#[test]
fn ipv4_over_ipv6_next_hops_are_routes_like_others() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_route("20.0.0.0/8", &[("2001:db8:1::2", "eth1")]);
    world.want_route("2001:db8:20::/48", &[("2001:db8:1::2", "eth1")]);
    world.settle();
    world.assert_settled();
    world.fib.hop_down(ip("2001:db8:1::2"), &link("eth1"));
    world.settle();
    assert_eq!(world.fib.counters().routes_installed, 0);
}
