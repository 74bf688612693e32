//! Bridged networks: the order of operations, and what goes with what.

use std::time::Duration;

use super::{
    bridged_world::{
        BRIDGE, bridge, bridged_container, fdb_out_of, keys, port_of, vlan, vtep, vxlan, vxlan_network,
    },
    world::{WEB, World, assert_done, failures, link, uplinks},
};
use crate::{
    fake::Fault,
    model::{Key, Link, LinkKind, Mac, Ns, Object, Op},
    owner::Owner,
};

fn with_network() -> World {
    let mut world = World::new();
    world.want_all(uplinks());
    world.want_all(vxlan_network(5001, &["60.1.1.3"]));
    world.want_all(bridged_container(WEB, "web1", 3, BRIDGE));
    world.settle();
    world.assert_settled();
    world.done();
    world
}

#[test]
fn a_network_comes_bridge_first_and_is_up_last() {
    let mut world = World::new();
    world.want_all(vxlan_network(5001, &["60.1.1.3", "70.1.1.3"]));
    world.settle();
    assert_done(
        &mut world,
        "create link pb-blue: bridge mtu 1400 alias petiole:network=pb-blue down
         create link px-5001: vxlan 5001 from 50.1.1.1 port 4789 mtu 1400 alias petiole:network=px-5001 down
         change link px-5001: vxlan 5001 from 50.1.1.1 port 4789 mtu 1400 alias petiole:network=px-5001 port of pb-blue down
         change sysctl net/ipv4/conf/pb-blue/rp_filter = 1
         create address 10.1.2.254/32 on pb-blue
         create fdb flood on px-5001 to 60.1.1.3
         create fdb flood on px-5001 to 70.1.1.3
         change link pb-blue: bridge mtu 1400 alias petiole:network=pb-blue up
         change link px-5001: vxlan 5001 from 50.1.1.1 port 4789 mtu 1400 alias petiole:network=px-5001 port of pb-blue up",
    );
    world.assert_settled();
}

#[test]
fn a_container_on_a_bridge_has_its_forwarding_entry_before_it_is_up() {
    let mut world = World::new();
    world.want(bridge(BRIDGE));
    world.settle();
    world.done();
    world.want_all(bridged_container(WEB, "web1", 3, BRIDGE));
    world.settle();
    assert_done(
        &mut world,
        "create link eth0 in ns 7: veth with vweb1 mac 02:02:00:00:00:03 mtu 1400 alias petiole:web1 down
         create neighbour 10.1.2.3 on pb-blue at 02:02:00:00:00:03
         create route 10.1.2.3/32 metric 52 out of pb-blue
         change link vweb1: mac 06:02:00:00:00:03 mtu 1400 alias petiole:web1 port of pb-blue down
         create address 10.1.2.3/24 on eth0 in ns 7
         create fdb 02:02:00:00:00:03 out of vweb1
         change link eth0 in ns 7: veth with vweb1 mac 02:02:00:00:00:03 mtu 1400 alias petiole:web1 up
         change link vweb1: mac 06:02:00:00:00:03 mtu 1400 alias petiole:web1 port of pb-blue up",
    );
    world.assert_settled();
}

#[test]
fn a_network_leaves_from_its_entries_back() {
    let mut world = with_network();
    for key in keys(&bridged_container(WEB, "web1", 3, BRIDGE)) {
        world.unwant(&key);
    }
    for key in keys(&vxlan_network(5001, &["60.1.1.3"])) {
        world.unwant(&key);
    }
    world.settle();
    assert_done(
        &mut world,
        "delete route 10.1.2.3/32 metric 52
         delete fdb 02:02:00:00:00:03 out of vweb1
         delete neighbour 10.1.2.3 on pb-blue
         delete fdb flood on px-5001 to 60.1.1.3
         delete address 10.1.2.3/24 on eth0 in ns 7
         delete address 10.1.2.254/32 on pb-blue
         delete link eth0 in ns 7
         delete link pb-blue
         delete link px-5001",
    );
    world.assert_settled();
}

#[test]
fn another_vtep_is_one_operation_and_one_less_too() {
    let mut world = with_network();
    world.want(vtep("px-5001", "80.1.1.3"));
    world.settle();
    assert_done(&mut world, "create fdb flood on px-5001 to 80.1.1.3");
    world.unwant(&vtep("px-5001", "60.1.1.3").key());
    world.settle();
    assert_done(&mut world, "delete fdb flood on px-5001 to 60.1.1.3");
    world.assert_settled();
}

#[test]
fn a_vtep_more_on_a_hundred_networks_is_a_hundred_operations() {
    let mut world = World::new();
    for n in 0..100 {
        let name = format!("pb-{n}");
        let device = format!("px-{n}");
        world.want_all([bridge(&name), vxlan(n, &name), vtep(&device, "60.1.1.3")]);
    }
    world.settle();
    world.assert_settled();
    world.done();
    let before = world.fib.counters().operations;
    for n in 0..100 {
        world.want(vtep(&format!("px-{n}"), "60.1.1.3"));
        world.want(vtep(&format!("px-{n}"), "70.1.1.3"));
    }
    world.settle();
    assert_eq!(world.fib.counters().operations - before, 100);
    assert!(world.log.iter().all(|op| matches!(op, Op::Create(Object::Fdb(_)))));
    world.assert_settled();
}

#[test]
fn a_vni_cannot_change_in_place_and_all_that_was_on_the_device_comes_back() {
    let mut world = with_network();
    let Object::Link(ns, name, before) = vxlan(5001, BRIDGE) else { panic!() };
    let LinkKind::Vxlan { local, port, .. } = before.kind else { panic!() };
    world.want(Object::Link(ns, name, Link { kind: LinkKind::Vxlan { vni: 7, local, port }, ..before }));
    world.settle();
    assert_done(
        &mut world,
        "delete link px-5001
         create link px-5001: vxlan 7 from 50.1.1.1 port 4789 mtu 1400 alias petiole:network=px-5001 down
         change link px-5001: vxlan 7 from 50.1.1.1 port 4789 mtu 1400 alias petiole:network=px-5001 port of pb-blue down
         create fdb flood on px-5001 to 60.1.1.3
         change link px-5001: vxlan 7 from 50.1.1.1 port 4789 mtu 1400 alias petiole:network=px-5001 port of pb-blue up",
    );
    world.assert_settled();
}

#[test]
fn a_port_that_somebody_takes_off_its_bridge_is_put_back_with_its_entry() {
    let mut world = with_network();
    world.kernel.enslave(Ns::HOST, &link("vweb1"), None);
    world.settle();
    assert_done(
        &mut world,
        "change link vweb1: mac 06:02:00:00:00:03 mtu 1400 alias petiole:web1 port of pb-blue up
         create fdb 02:02:00:00:00:03 out of vweb1",
    );
    world.assert_settled();
}

#[test]
fn a_port_moves_to_another_bridge_in_place() {
    let mut world = with_network();
    world.want(bridge("pb-red"));
    world.want(vxlan(5001, "pb-red"));
    world.settle();
    world.assert_settled();
    let done = world.done();
    assert!(!done.contains("delete"), "{done}");
    assert!(done.contains("port of pb-red up"), "{done}");
}

#[test]
fn a_link_that_is_to_be_no_port_any_more_leaves_its_bridge() {
    let mut world = with_network();
    let Object::Link(ns, name, settings) = vxlan(5001, BRIDGE) else { panic!() };
    world.want(Object::Link(ns, name, Link { port: None, ..settings }));
    world.settle();
    assert_done(
        &mut world,
        "change link px-5001: vxlan 5001 from 50.1.1.1 port 4789 mtu 1400 alias petiole:network=px-5001 up",
    );
    world.assert_settled();
}

#[test]
fn a_port_setting_alone_is_changed_in_place() {
    let mut world = with_network();
    let Object::Link(ns, name, settings) = vxlan(5001, BRIDGE) else { panic!() };
    let port = crate::model::BridgePort { learning: false, neigh_suppress: true, ..port_of(BRIDGE) };
    world.want(Object::Link(ns, name, Link { port: Some(port), ..settings }));
    world.settle();
    assert_eq!(world.log.len(), 1, "{}", world.done());
    world.assert_settled();
}

#[test]
fn a_bridge_that_somebody_deletes_comes_back_with_its_ports() {
    let mut world = with_network();
    let expected = world.kernel.text_of(&Owner::default());
    for lost in [false, true] {
        world.kernel.delete_link(Ns::HOST, &link(BRIDGE));
        if lost {
            world.kernel.lose_announcements();
        }
        world.settle();
        world.assert_settled();
        assert_eq!(world.kernel.text_of(&Owner::default()), expected);
        // Its ports were only released.
        assert!(!world.done().contains("create link eth0"));
    }
}

#[test]
fn a_vlan_waits_for_its_uplink_and_goes_and_comes_with_it() {
    let mut world = World::new();
    world.kernel.delete_link(Ns::HOST, &link("eth2"));
    world.want_all([bridge(BRIDGE), vlan(112, "eth2", BRIDGE)]);
    world.settle();
    assert!(world.fib.idle() && !world.fib.settled(&vlan(112, "eth2", BRIDGE).key()));
    world.kernel.add_link(Ns::HOST, &link("eth2"));
    world.settle();
    // Made, but not up: the kernel refuses that while the uplink is down.
    assert!(world.done().contains("create link pv-112: vlan 112 of eth2"));
    assert_eq!(failures(&mut world), Vec::<String>::new());
    world.kernel.set_link_up(Ns::HOST, &link("eth2"), true);
    world.settle();
    world.assert_settled();
    let expected = world.kernel.text_of(&Owner::default());
    for lost in [false, true] {
        world.kernel.delete_link(Ns::HOST, &link("eth2"));
        world.kernel.add_link(Ns::HOST, &link("eth2"));
        world.kernel.set_link_up(Ns::HOST, &link("eth2"), true);
        if lost {
            world.kernel.lose_announcements();
        }
        world.settle();
        world.assert_settled();
        assert_eq!(world.kernel.text_of(&Owner::default()), expected);
    }
}

#[test]
fn a_vlan_with_another_tag_or_parent_is_another_one() {
    let mut world = World::new();
    world.want_all([bridge(BRIDGE), vlan(112, "eth2", BRIDGE)]);
    world.settle();
    world.done();
    let Object::Link(ns, name, before) = vlan(112, "eth1", BRIDGE) else { panic!() };
    world.want(Object::Link(ns, name, before));
    world.settle();
    let done = world.done();
    assert!(done.starts_with("delete link pv-112\ncreate link pv-112: vlan 112 of eth1"), "{done}");
    world.assert_settled();
}

#[test]
fn a_foreign_link_under_the_name_of_a_device_is_left_alone_and_gets_nothing() {
    for name in [BRIDGE, "px-5001"] {
        let mut world = World::new();
        world.kernel.add_bridge(Ns::HOST, &link(name));
        world.kernel.add_fdb(match vtep(name, "9.9.9.9") {
            Object::Fdb(entry) => entry,
            _ => panic!(),
        });
        let others = world.kernel.text_of_others(&Owner::default());
        world.want_all(vxlan_network(5001, &["60.1.1.3"]));
        world.run_for(Duration::from_secs(3));
        world.sweep();
        world.run_for(Duration::from_secs(3));
        assert_eq!(world.kernel.text_of_others(&Owner::default()), others);
        let told = failures(&mut world);
        assert!(told.iter().any(|f| f.contains("taken by a foreign link")), "{told:?}");
        assert!(!world.done().contains(&format!(" on {name}")));
        world.kernel.delete_link(Ns::HOST, &link(name));
        world.settle();
        world.assert_settled();
    }
}

#[test]
fn a_tag_that_a_foreign_device_has_is_a_failure_with_the_kernels_reason() {
    let mut world = World::new();
    let mut theirs = world.kernel.clone();
    let Object::Link(ns, _, settings) = vlan(112, "eth2", BRIDGE) else { panic!() };
    let made = Link { port: None, alias: None, up: false, ..settings };
    theirs.apply(&[Op::Create(Object::Link(ns, link("eth2.112"), made))]);
    theirs.unmark_link(Ns::HOST, &link("eth2.112"));
    world.kernel = theirs;
    world.want_all([bridge(BRIDGE), vlan(112, "eth2", BRIDGE)]);
    world.run_for(Duration::from_secs(3));
    let told = failures(&mut world);
    assert!(told.iter().any(|f| f.contains("VLAN device already exists")), "{told:?}");
    world.kernel.delete_link(Ns::HOST, &link("eth2.112"));
    world.settle();
    world.assert_settled();
}

#[test]
fn entries_of_somebody_else_on_our_device_go_with_the_sweep() {
    let mut world = with_network();
    let Object::Fdb(stray) = vtep("px-5001", "9.9.9.9") else { panic!() };
    world.kernel.add_fdb(stray);
    world.settle();
    assert_done(&mut world, "");
    world.sweep();
    world.settle();
    assert_done(&mut world, "delete fdb flood on px-5001 to 9.9.9.9");
}

#[test]
fn the_same_network_after_a_restart_causes_no_operation() {
    let mut world = with_network();
    world.crash();
    world.settle();
    world.sweep();
    world.settle();
    assert_done(&mut world, "");
    world.assert_settled();
}

#[test]
fn a_forwarding_entry_out_of_a_port_waits_until_the_link_is_one() {
    let mut world = World::new();
    let mac = Mac([2, 2, 0, 0, 0, 3]);
    world.want_all(super::world::container(WEB, "web1", 3));
    world.want(fdb_out_of("vweb1", mac));
    world.settle();
    assert!(world.fib.idle() && !world.fib.settled(&fdb_out_of("vweb1", mac).key()));
    assert_eq!(failures(&mut world), Vec::<String>::new());
}

#[test]
fn an_mtu_above_the_uplinks_fails_until_the_uplink_can_carry_it() {
    let mut world = World::new();
    let Object::Link(ns, name, settings) = vlan(112, "eth2", BRIDGE) else { panic!() };
    world.want(bridge(BRIDGE));
    world.want(Object::Link(ns, name.clone(), Link { mtu: Some(9000), ..settings }));
    world.run_for(Duration::from_secs(1));
    let key = Key::Link(ns, name);
    assert!(world.fib.failing().any(|(failing, ..)| failing == key));
    world.kernel.meddle_with_link(Ns::HOST, &link("eth2"), 9000, Mac([6, 7, 7, 7, 7, 7]));
    world.settle();
    world.assert_settled();
}

#[test]
fn a_crash_between_any_two_operations_of_a_network_heals() {
    let whole = with_network();
    let expected = whole.kernel.text_of(&Owner::default());
    for until in 0..=whole.kernel.operations() {
        let mut world = World::new();
        world.want_all(uplinks());
        world.want_all(vxlan_network(5001, &["60.1.1.3"]));
        world.want_all(bridged_container(WEB, "web1", 3, BRIDGE));
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
fn a_refused_enslavement_is_tried_again() {
    let mut world = World::new();
    // Bridge, device, then the device's settings.
    world.kernel.fail_at(2, Fault::Refuse(libc::ENOMEM));
    world.want_all(vxlan_network(5001, &["60.1.1.3"]));
    world.settle();
    world.assert_settled();
    let told = failures(&mut world);
    assert!(told.iter().any(|f| f.starts_with("link px-5001")), "{told:?}");
}
