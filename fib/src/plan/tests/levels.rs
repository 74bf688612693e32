//! Refusals that are no surprises, refusals that are, things that come and go.

use std::time::Duration;

use super::world::{
    LEAF1, LEAF2, WEB, World, address, container, failures, ip, link, neighbour, net, next_hops, route_key,
    sysctl, uplinks,
};
use crate::{
    fake::Fault,
    model::{Key, Mac, Ns, Object, Route, RouteTarget},
    owner::Owner,
    plan::Notice,
};

#[test]
fn an_object_on_a_link_that_does_not_exist_waits_and_does_not_fail() {
    let mut world = World::new();
    world.kernel.delete_link(Ns::HOST, &link("eth1"));
    world.want_all(uplinks());
    world.want_route("20.0.0.0/8", &[LEAF1]);
    world.settle();
    assert_eq!(failures(&mut world), Vec::<String>::new());
    assert!(!world.fib.settled(&Key::Address(Ns::HOST, link("eth1"), net("50.1.1.1/24"))));
    assert!(world.fib.idle());
    world.done();
    world.kernel.add_link(Ns::HOST, &link("eth1"));
    world.settle();
    world.assert_settled();
    assert!(world.done().ends_with("create route 20.0.0.0/8 metric 52 nexthop 1885667328\n"));
}

#[test]
fn a_link_deleted_takes_all_with_it_and_all_comes_back() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_all(container(WEB, "web1", 3));
    world.want_route("20.0.0.0/8", &[LEAF1]);
    world.settle();
    let expected = world.kernel.text_of(&Owner::default());
    for (ns, name) in [(Ns::HOST, "vweb1"), (WEB, "eth0")] {
        world.kernel.delete_link(ns, &link(name));
        world.settle();
        world.assert_settled();
        assert_eq!(world.kernel.text_of(&Owner::default()), expected);
    }
}

#[test]
fn a_link_deleted_and_made_again_unseen_is_another_link() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_route("20.0.0.0/8", &[LEAF1]);
    world.settle();
    world.kernel.delete_link(Ns::HOST, &link("eth1"));
    world.kernel.add_link(Ns::HOST, &link("eth1"));
    world.kernel.set_link_up(Ns::HOST, &link("eth1"), true);
    world.kernel.lose_announcements();
    world.settle();
    world.assert_settled();
}

#[test]
fn a_link_set_down_loses_what_the_kernel_flushes_and_gets_it_back() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_all(container(WEB, "web1", 3));
    world.want_route_from("20.0.0.0/8", &[LEAF1], Some("10.0.0.1"));
    world.settle();
    let expected = world.kernel.text_of(&Owner::default());
    world.done();
    for name in ["eth1", "vweb1"] {
        world.kernel.set_link_up(Ns::HOST, &link(name), false);
        world.settle();
        world.assert_settled();
        assert_eq!(world.kernel.text_of(&Owner::default()), expected, "{}", world.done());
    }
}

#[test]
fn losing_a_settled_object_is_told_and_so_is_its_return() {
    let mut world = World::new();
    world.want_all(container(WEB, "web1", 3));
    world.settle();
    let route = Key::Route(route_key(Ns::HOST, "192.168.1.3/32", Owner::METRIC));
    assert!(world.notices.contains(&Notice::Settled(route.clone())));
    world.notices.clear();
    world.kernel.take_away(&route);
    world.settle();
    assert_eq!(world.notices, [Notice::Lost(route.clone()), Notice::Settled(route)]);
}

#[test]
fn what_is_there_already_and_ours_is_adopted_without_a_word() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.settle();
    // Made between our dump and our operation, as by the daemon's predecessor on its way out.
    let key = route_key(Ns::HOST, "20.0.0.0/8", Owner::METRIC);
    let old = Route { target: RouteTarget::Blackhole, preferred_source: None };
    world.kernel.set_route(key, old, Owner::PROTOCOL);
    while world.kernel.event().is_some() {}
    world.want_route("20.0.0.0/8", &[LEAF1]);
    world.settle();
    world.assert_settled();
    assert_eq!(failures(&mut world), Vec::<String>::new());
}

#[test]
fn a_foreign_route_with_our_key_is_left_alone_and_reported() {
    let mut world = World::new();
    world.want_all(uplinks());
    let key = route_key(Ns::HOST, "20.0.0.0/8", Owner::METRIC);
    let theirs = Route { target: RouteTarget::Blackhole, preferred_source: None };
    world.kernel.set_route(key, theirs, 4);
    let others = world.kernel.text_of_others(&Owner::default());
    world.want_route("20.0.0.0/8", &[LEAF1]);
    world.want_route("30.0.0.0/8", &[LEAF1]);
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.kernel.text_of_others(&Owner::default()), others);
    let told = failures(&mut world);
    assert!(told[0].starts_with("route 20.0.0.0/8 metric 52: File exists"), "{told:?}");
    // The other one is in.
    assert_eq!(world.fib.counters().routes_installed, 1);
    // When it goes, ours comes in.
    world.kernel.take_away(&Key::Route(key));
    world.settle();
    world.assert_settled();
}

#[test]
fn a_foreign_link_under_the_name_of_ours_is_left_alone() {
    for (ns, name) in [(WEB, "eth0"), (Ns::HOST, "vweb1")] {
        let mut world = World::new();
        world.kernel.add_link(ns, &link(name));
        let others = world.kernel.text_of_others(&Owner::default());
        world.want_all(container(WEB, "web1", 3));
        world.run_for(Duration::from_secs(3));
        assert_eq!(world.kernel.text_of_others(&Owner::default()), others);
        let told = failures(&mut world);
        assert!(told.iter().any(|f| f.contains("foreign link")), "{told:?}");
        world.kernel.delete_link(ns, &link(name));
        world.fib.audit_ns(WEB);
        world.settle();
        world.assert_settled();
    }
}

#[test]
fn a_foreign_link_that_slips_in_before_ours_gets_nothing_of_ours() {
    let mut world = World::new();
    world.settle();
    world.kernel.add_link(WEB, &link("eth0"));
    let others = world.kernel.text_of_others(&Owner::default());
    world.want_all(container(WEB, "web1", 3));
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.kernel.text_of_others(&Owner::default()), others);
    assert_eq!(world.kernel.text_of(&Owner::default()), "");
}

#[test]
fn a_foreign_address_that_is_wanted_will_do_and_is_replaced_when_it_goes() {
    let mut world = World::new();
    world.kernel.add_address(Ns::HOST, &link("eth1"), net("50.1.1.1/24"), 0);
    world.want_all(uplinks());
    world.settle();
    world.assert_settled();
    assert!(!world.done().contains("50.1.1.1"));
    let key = Key::Address(Ns::HOST, link("eth1"), net("50.1.1.1/24"));
    world.kernel.take_away(&key);
    world.settle();
    assert_eq!(world.done(), "create address 50.1.1.1/24 on eth1\n");
    // Ours now; the foreign one would have stayed.
    world.unwant(&key);
    world.settle();
    assert_eq!(world.done(), "delete address 50.1.1.1/24 on eth1\n");
}

#[test]
fn a_foreign_address_is_not_removed_when_it_is_not_wanted_any_more() {
    let mut world = World::new();
    world.kernel.add_address(Ns::HOST, &link("eth1"), net("50.1.1.1/24"), 0);
    world.want_all(uplinks());
    world.settle();
    world.done();
    world.unwant(&Key::Address(Ns::HOST, link("eth1"), net("50.1.1.1/24")));
    world.sweep();
    world.settle();
    assert_eq!(world.done(), "");
}

#[test]
fn one_that_fails_does_not_hold_up_the_others_and_is_tried_again() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_route("20.0.0.0/8", &[LEAF1]);
    world.want_route("30.0.0.0/8", &[LEAF1]);
    // The first route: after 2 sysctls, 4 addresses, 1 next hop.
    for attempt in [7, 9, 10] {
        world.kernel.fail_at(attempt, Fault::Refuse(libc::ENOBUFS));
    }
    world.settle();
    world.assert_settled();
    let told = failures(&mut world);
    let ours: Vec<&str> = told.iter().map(|t| t.rsplit(", ").next().unwrap()).collect();
    assert_eq!(ours, ["1", "2", "3"], "{told:?}");
    assert!(told.iter().all(|t| t.starts_with("route 20.0.0.0/8")), "{told:?}");
    assert_eq!(world.fib.counters().failing, 0);
}

#[test]
fn the_wait_doubles_up_to_half_a_minute() {
    let mut world = World::new();
    world.want(sysctl(Ns::HOST, "net/ipv4/no_such_thing", "1"));
    let mut tries = Vec::new();
    for _ in 0..15 {
        while world.drive() || world.hear() {}
        let at = world.fib.next_retry().unwrap();
        tries.push((at - world.now).as_millis());
        world.now = at;
    }
    assert_eq!(tries[..4], [20, 40, 80, 160]);
    assert_eq!(tries[14], 30_000);
}

#[test]
fn a_wish_that_changes_while_the_operation_is_on_its_way_wins() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.settle();
    world.want_route("20.0.0.0/8", &[LEAF1]);
    world.drive();
    world.want_route("20.0.0.0/8", &[LEAF2]);
    world.drive();
    let done = world.done();
    assert_eq!(done.lines().filter(|l| l.contains(" route ")).count(), 1, "one at a time: {done}");
    world.unwant_route("20.0.0.0/8");
    world.settle();
    world.assert_settled();
    assert_eq!(world.fib.counters().routes_installed, 0);
    assert_eq!(world.kernel.keys_of(&Owner::default()).len(), 4);
}

#[test]
fn a_neighbour_entry_with_another_address_is_set_right() {
    let mut world = World::new();
    world.want_all(container(WEB, "web1", 3));
    world.settle();
    world.done();
    let wrong = Mac([2, 9, 9, 9, 9, 9]);
    world.kernel.set_neighbour(Ns::HOST, &link("vweb1"), ip("192.168.1.3"), wrong, Owner::PROTOCOL);
    world.settle();
    assert_eq!(world.done(), "change neighbour 192.168.1.3 on vweb1 at 02:02:00:00:00:03\n");
}

#[test]
fn a_source_that_moves_is_given_up_only_when_no_route_has_it_any_more() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_route_from("20.0.0.0/8", &[LEAF1], Some("10.0.0.1"));
    world.want_route_from("2001:db8:20::/48", &[("2001:db8:1::2", "eth1")], None);
    world.settle();
    world.done();
    world.unwant(&Key::Address(Ns::HOST, link("lo"), net("10.0.0.1/32")));
    world.want(address(Ns::HOST, "lo", "10.0.0.2/32"));
    world.want_route_from("20.0.0.0/8", &[LEAF1], Some("10.0.0.2"));
    world.settle();
    assert_eq!(
        world.done(),
        "create address 10.0.0.2/32 on lo\n\
         change route 20.0.0.0/8 metric 52 nexthop 1885667328 source 10.0.0.2\n\
         delete address 10.0.0.1/32 on lo\n"
    );
}

#[test]
fn a_source_that_is_gone_is_waited_for() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.settle();
    world.unwant(&Key::Address(Ns::HOST, link("lo"), net("10.0.0.1/32")));
    world.settle();
    world.done();
    world.want_route_from("20.0.0.0/8", &[LEAF1], Some("10.0.0.1"));
    world.settle();
    assert_eq!(world.done(), "create nexthop 1885667328 via 50.1.1.2 on eth1\n");
    assert_eq!(failures(&mut world), Vec::<String>::new());
    assert!(world.fib.idle());
}

#[test]
fn a_source_that_somebody_removes_takes_the_routes_and_all_comes_back() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_route_from("20.0.0.0/8", &[LEAF1], Some("10.0.0.1"));
    world.settle();
    world.done();
    world.kernel.take_away(&Key::Address(Ns::HOST, link("lo"), net("10.0.0.1/32")));
    world.settle();
    assert_eq!(
        world.done(),
        "create address 10.0.0.1/32 on lo\n\
         create route 20.0.0.0/8 metric 52 nexthop 1885667328 source 10.0.0.1\n"
    );
}

#[test]
fn secondary_addresses_that_go_with_the_primary_come_back() {
    let mut world = World::new();
    world.want(address(Ns::HOST, "eth1", "50.1.1.1/24"));
    world.want(address(Ns::HOST, "eth1", "50.1.1.7/24"));
    world.settle();
    world.unwant(&Key::Address(Ns::HOST, link("eth1"), net("50.1.1.1/24")));
    world.settle();
    world.assert_settled();
    let text = world.kernel.text_of(&Owner::default());
    assert!(text.contains("50.1.1.7/24") && !text.contains("50.1.1.1/24"), "{text}");
}

#[test]
fn sysctls_that_are_right_are_not_written() {
    let mut world = World::new();
    world.want(sysctl(Ns::HOST, "net/ipv4/ip_forward", "0"));
    world.want(sysctl(Ns::HOST, "net/ipv4/conf/eth1/rp_filter", "2"));
    world.settle();
    assert_eq!(world.done(), "");
    world.assert_settled();
    // A link that comes later is read too.
    world.want(sysctl(Ns::HOST, "net/ipv4/conf/eth3/rp_filter", "2"));
    world.want(sysctl(Ns::HOST, "net/ipv6/conf/eth3/accept_ra", "0"));
    world.settle();
    world.kernel.add_link(Ns::HOST, &link("eth3"));
    world.settle();
    assert_eq!(world.done(), "change sysctl net/ipv6/conf/eth3/accept_ra = 0\n");
    world.assert_settled();
}

#[test]
fn a_namespace_that_goes_and_comes_back_is_built_again() {
    let mut world = World::new();
    world.want_all(container(WEB, "web1", 3));
    world.settle();
    let expected = world.kernel.text_of(&Owner::default());
    world.kernel.remove_ns(WEB);
    world.fib.forget_ns(WEB);
    world.settle();
    assert!(!world.fib.settled(&Key::Route(route_key(Ns::HOST, "192.168.1.3/32", Owner::METRIC))));
    world.kernel.add_ns(WEB);
    world.fib.watch_ns(WEB);
    world.settle();
    world.assert_settled();
    assert_eq!(world.kernel.text_of(&Owner::default()), expected);
}

#[test]
fn a_namespace_replaced_while_the_old_one_lives_on_gives_up_its_other_end() {
    let mut world = World::new();
    world.want_all(container(WEB, "web1", 3));
    world.settle();
    // The file now names another namespace; a process keeps the old one, and the host's end, alive.
    world.kernel.replace_ns(WEB, Ns(99));
    world.fib.forget_ns(WEB);
    world.fib.watch_ns(WEB);
    world.settle();
    world.assert_settled();
}

#[test]
fn answers_for_a_namespace_that_is_gone_mean_nothing() {
    let mut world = World::new();
    world.want_all(container(WEB, "web1", 3));
    world.drive();
    while world.hear() {}
    world.drive();
    // On their way: the creation of the link.
    world.fib.forget_ns(WEB);
    world.kernel.remove_ns(WEB);
    world.kernel.add_ns(WEB);
    world.fib.watch_ns(WEB);
    world.settle();
    world.assert_settled();
}

#[test]
fn an_operation_done_but_reported_as_failed_is_found_out() {
    for at in 0..25 {
        for errno in [libc::EINTR, libc::EEXIST, libc::ENOBUFS] {
            let mut world = World::new();
            world.want_all(uplinks());
            world.want_all(container(WEB, "web1", 3));
            world.want_route_from("20.0.0.0/8", &[LEAF1, LEAF2], Some("10.0.0.1"));
            world.kernel.fail_at(at, Fault::DoneBut(errno));
            world.settle();
            world.assert_settled();
        }
    }
}

#[test]
fn an_empty_set_is_no_route() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_route("20.0.0.0/8", &[LEAF1]);
    world.settle();
    world.fib.want_route(net("20.0.0.0/8"), &next_hops(&[]), None);
    world.settle();
    assert!(world.done().contains("delete route 20.0.0.0/8"));
}

#[test]
fn a_page_of_routes_follows_the_other() {
    let mut world = World::new();
    world.want_all(uplinks());
    for i in 0..25 {
        world.want_route(&format!("20.{i}.0.0/16"), &[LEAF1]);
        world.want_route(&format!("2001:db8:{i}::/48"), &[("2001:db8:1::2", "eth1")]);
    }
    world.settle();
    let (mut cursor, mut seen) = (Some(0), Vec::new());
    while let Some(at) = cursor {
        let (page, next) = world.fib.routes(at, 7);
        assert!(page.len() <= 7);
        seen.extend(page.into_iter().map(|view| view.prefix));
        cursor = next;
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 50);
}

#[test]
fn a_preferred_source_of_an_ipv6_route_out_of_a_link_is_put_back() {
    let mut world = World::new();
    world.want(address(Ns::HOST, "lo", "fd00::9/128"));
    let key = route_key(Ns::HOST, "2001:db8:ab::/64", Owner::METRIC);
    let target = RouteTarget::Link { link: link("eth1"), via: None };
    world.want(Object::Route(key, Route { target, preferred_source: Some(ip("fd00::9")) }));
    world.want(neighbour(Ns::HOST, "eth1", "2001:db8:ab::1", 9));
    world.settle();
    world.done();
    world.kernel.take_away(&Key::Address(Ns::HOST, link("lo"), net("fd00::9/128")));
    world.settle();
    assert_eq!(
        world.done(),
        "create address fd00::9/128 on lo\n\
         change route 2001:db8:ab::/64 metric 52 out of eth1 source fd00::9\n"
    );
}

#[test]
fn two_that_fail_at_once_are_both_tried_again() {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_route("2001:db8:20::/48", &[("2001:db8:1::2", "eth1")]);
    // The address that makes the gateway reachable.
    world.kernel.fail_at(3, Fault::Refuse(libc::EINTR));
    world.settle();
    world.assert_settled();
}
