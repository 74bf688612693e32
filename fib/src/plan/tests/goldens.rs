//! The order of operations, written out.

use std::{sync::Arc, time::Instant};

use super::world::{LEAF1, LEAF2, WEB, World, address, assert_done, container, link, uplink, uplinks};
use crate::{
    model::{Key, Link, LinkKind, LinkState, Mac, Ns, Object, Observed, Op},
    owner::Owner,
    plan::plan,
};

#[test]
fn a_container_is_built_from_the_link_up() {
    let mut world = World::new();
    world.want_all(container(WEB, "web1", 3));
    world.settle();
    assert_done(
        &mut world,
        "create link eth0 in ns 7: veth with vweb1 mac 02:02:00:00:00:03 mtu 1400 alias petiole:web1 down
         change link vweb1: mac 06:02:00:00:00:03 mtu 1400 alias petiole:web1 down
         change sysctl net/ipv4/conf/vweb1/rp_filter = 1
         create address 192.168.1.3/32 on eth0 in ns 7
         create address 192.168.1.254/32 on vweb1
         create neighbour 192.168.1.254 on eth0 in ns 7 at 02:02:00:00:00:03
         create neighbour 192.168.1.3 on vweb1 at 02:02:00:00:00:03
         change link eth0 in ns 7: veth with vweb1 mac 02:02:00:00:00:03 mtu 1400 alias petiole:web1 up
         change link vweb1: mac 06:02:00:00:00:03 mtu 1400 alias petiole:web1 up
         create route 0.0.0.0/0 metric 0 in ns 7 out of eth0
         create route 192.168.1.3/32 metric 52 out of vweb1",
    );
    world.assert_settled();
}

#[test]
fn a_container_is_taken_down_from_the_route_back() {
    let mut world = World::new();
    world.want_all(container(WEB, "web1", 3));
    world.settle();
    world.done();
    for object in container(WEB, "web1", 3) {
        world.unwant(&object.key());
    }
    world.settle();
    // The other end of the veth goes with this one.
    assert_done(
        &mut world,
        "delete route 0.0.0.0/0 metric 0 in ns 7
         delete route 192.168.1.3/32 metric 52
         delete neighbour 192.168.1.254 on eth0 in ns 7
         delete neighbour 192.168.1.3 on vweb1
         delete address 192.168.1.3/32 on eth0 in ns 7
         delete address 192.168.1.254/32 on vweb1
         delete link eth0 in ns 7",
    );
    world.assert_settled();
}

#[test]
fn a_learned_route_comes_after_its_next_hops() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_route_from("20.0.0.0/8", &[LEAF1, LEAF2], Some("10.0.0.1"));
    world.want_route("30.0.0.0/8", &[LEAF1]);
    world.settle();
    assert_done(
        &mut world,
        "change sysctl net/ipv4/ip_forward = 1
         change sysctl net/ipv4/conf/eth1/rp_filter = 0
         create address 50.1.1.1/24 on eth1
         create address 2001:db8:1::1/64 on eth1
         create address 60.1.1.1/24 on eth2
         create address 10.0.0.1/32 on lo
         create nexthop 1885667328 via 50.1.1.2 on eth1
         create nexthop 1885667329 via 60.1.1.2 on eth2
         create nexthop 1885667330 group 1885667328 1885667329
         create route 20.0.0.0/8 metric 52 nexthop 1885667330 source 10.0.0.1
         create route 30.0.0.0/8 metric 52 nexthop 1885667328",
    );
    world.assert_settled();
}

#[test]
fn everything_learned_leaves_from_the_routes_back() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_route_from("20.0.0.0/8", &[LEAF1, LEAF2], Some("10.0.0.1"));
    world.want_route("30.0.0.0/8", &[LEAF1]);
    world.settle();
    world.done();
    for object in uplinks() {
        world.unwant(&object.key());
    }
    world.unwant_route("20.0.0.0/8");
    world.unwant_route("30.0.0.0/8");
    world.settle();
    // The source address waits for its route, the group for its route, a single next hop for its group.
    assert_done(
        &mut world,
        "delete address 50.1.1.1/24 on eth1
         delete address 60.1.1.1/24 on eth2
         delete address 2001:db8:1::1/64 on eth1
         delete route 20.0.0.0/8 metric 52
         delete nexthop 1885667330
         delete nexthop 1885667329
         delete address 10.0.0.1/32 on lo
         delete route 30.0.0.0/8 metric 52
         delete nexthop 1885667328",
    );
    world.assert_settled();
}

#[test]
fn a_route_moves_before_its_old_next_hops_go() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_route("20.0.0.0/8", &[LEAF1]);
    world.settle();
    world.done();
    world.want_route("20.0.0.0/8", &[LEAF2]);
    world.settle();
    assert_done(
        &mut world,
        "create nexthop 1885667329 via 60.1.1.2 on eth2
         change route 20.0.0.0/8 metric 52 nexthop 1885667329
         delete nexthop 1885667328",
    );
}

#[test]
fn a_link_that_is_no_veth_is_replaced_by_one() {
    let mut world = World::new();
    world.want_all(container(WEB, "web1", 3));
    world.settle();
    // Somebody put another link in its place that bears our mark.
    world.kernel.delete_link(WEB, &link("eth0"));
    world.kernel.add_link(WEB, &link("eth0"));
    world.kernel.mark_link(WEB, &link("eth0"));
    world.fib.audit_ns(WEB);
    world.done();
    world.settle();
    let done = world.done();
    assert!(done.contains("delete link eth0 in ns 7\n"), "{done}");
    assert!(done.contains("create link eth0 in ns 7: veth"), "{done}");
    world.assert_settled();
}

#[test]
fn a_plan_needs_no_tracker() {
    let owner = Owner::default();
    let seen = |name: &str, index, up| {
        Observed::Link(LinkState {
            ns: Ns::HOST,
            index,
            name: link(name),
            kind: LinkKind::Foreign,
            mac: Some(Mac([6, 0, 0, 0, 0, 1])),
            mtu: 1500,
            up,
            carrier: up,
            alias: None,
            port: None,
            group: 0,
        })
    };
    let left_over =
        Observed::Object { object: address(Ns::HOST, "lo", "10.9.9.9/32"), protocol: owner.protocol };
    let foreign = Observed::Object { object: address(Ns::HOST, "lo", "10.8.8.8/32"), protocol: 0 };
    let there =
        Observed::Object { object: address(Ns::HOST, "eth1", "50.1.1.1/24"), protocol: owner.protocol };
    let actual = [seen("lo", 1, true), seen("eth1", 2, false), left_over, foreign, there];
    let mtu = Link { kind: LinkKind::Foreign, mac: None, mtu: Some(9000), up: true, alias: None, port: None };
    let desired = [
        Object::Link(Ns::HOST, link("eth1"), mtu),
        uplink("eth2"),
        address(Ns::HOST, "eth1", "50.1.1.1/24"),
        address(Ns::HOST, "lo", "10.0.0.1/32"),
        Object::Sysctl(Ns::HOST, Arc::from("net/ipv4/ip_forward"), Arc::from("1")),
    ];
    let ops = plan(desired, actual, &owner, Instant::now());
    let lines: Vec<String> = ops.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines.join("\n") + "\n",
        "delete address 10.9.9.9/32 on lo\n\
         change sysctl net/ipv4/ip_forward = 1\n\
         change link eth1: mtu 9000 down\n\
         create address 10.0.0.1/32 on lo\n\
         change link eth1: mtu 9000 up\n"
    );
}

#[test]
fn a_preview_is_what_then_happens() {
    let mut world = World::new();
    world.settle();
    world.want_all(uplinks());
    world.want_route("20.0.0.0/8", &[LEAF1, LEAF2]);
    let preview = world.fib.preview(usize::MAX, world.now);
    let sorted = |ops: Vec<Op>| {
        let mut lines: Vec<String> = ops.iter().map(ToString::to_string).collect();
        lines.sort();
        lines
    };
    world.settle();
    assert_eq!(sorted(preview), sorted(std::mem::take(&mut world.log)));
    assert!(world.fib.settled(&Key::Link(Ns::HOST, link("eth1"))));
}
