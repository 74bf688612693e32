//! Each kind of operation, and what a batch does with failures.

use petiole_fib::model::{
    Concern, Key, Mac, NextHop, Ns, Object, Observed, Op, Route, RouteKey, RouteTarget,
};

use crate::lab::{
    addr, by, errno, group, id, ip, lab, learned, name, net, over, shown, single, text, uplink,
};

#[test]
fn routes_of_every_target_are_made_changed_and_deleted() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        ip("addr add 10.0.0.1/32 dev lo");
        lab.settle();
        let routes = [
            (by("192.168.1.1/32", "eth1", "50.1.1.2"), "192.168.1.1", "unicast"),
            (
                Object::Route(
                    learned("192.168.1.2/32"),
                    Route {
                        target: RouteTarget::Link { link: name("eth1"), via: None },
                        preferred_source: None,
                    },
                ),
                "192.168.1.2",
                "unicast",
            ),
            (
                Object::Route(
                    learned("192.168.2.0/24"),
                    Route { target: RouteTarget::Unreachable, preferred_source: None },
                ),
                "192.168.2.0/24",
                "unreachable",
            ),
            (
                Object::Route(
                    learned("192.168.3.0/24"),
                    Route { target: RouteTarget::Blackhole, preferred_source: None },
                ),
                "192.168.3.0/24",
                "blackhole",
            ),
        ];
        lab.must(routes.iter().map(|(object, ..)| Op::Create(object.clone())).collect());
        for (_, dst, kind) in &routes {
            let seen = shown(&format!("route show {dst}"));
            assert_eq!(seen.len(), 1, "{dst}");
            assert_eq!((seen[0]["metric"].as_u64(), seen[0]["protocol"].as_str()), (Some(52), Some("112")));
            assert_eq!(seen[0]["type"], *kind);
        }
        assert_eq!(shown("route show 192.168.1.2")[0]["scope"], "link");

        let changed = Object::Route(
            learned("192.168.1.1/32"),
            Route {
                target: RouteTarget::Link { link: name("eth1"), via: Some(addr("50.1.1.3")) },
                preferred_source: Some(addr("10.0.0.1")),
            },
        );
        lab.must(vec![Op::Change(changed.clone())]);
        let seen = shown("route show 192.168.1.1");
        assert_eq!(
            (seen.len(), &seen[0]["gateway"], &seen[0]["prefsrc"]),
            (1, &"50.1.1.3".into(), &"10.0.0.1".into())
        );

        let dumped = lab.dump(Ns::HOST, Concern::Routes);
        assert_eq!(dumped.len(), 4);
        assert!(dumped.contains(&Observed::Object { object: changed, protocol: 112 }));

        lab.must(routes.iter().map(|(object, ..)| Op::Delete(object.key())).collect());
        assert_eq!(lab.dump(Ns::HOST, Concern::Routes), []);
        assert_eq!(errno(&lab.try_one(Op::Delete(routes[0].0.key()))), libc::ESRCH);
    });
}

#[test]
fn an_ipv4_route_goes_by_an_ipv6_gateway() {
    lab(|lab| {
        uplink("eth1", "2001:db8::1/64");
        let route = by("192.168.1.1/32", "eth1", "2001:db8::2");
        let next_hop = single(1, "eth1", "2001:db8::3");
        lab.must(vec![
            Op::Create(route.clone()),
            Op::Create(next_hop.clone()),
            Op::Create(over("192.168.1.2/32", id(1))),
        ]);
        let via = &shown("route show 192.168.1.1")[0]["via"];
        assert_eq!((via["family"].as_str(), via["host"].as_str()), (Some("inet6"), Some("2001:db8::2")));
        let dumped = lab.dump(Ns::HOST, Concern::Routes);
        assert!(dumped.contains(&Observed::Object { object: route, protocol: 112 }));
        assert!(dumped.contains(&Observed::Object { object: over("192.168.1.2/32", id(1)), protocol: 112 }));
        let dumped = lab.dump(Ns::HOST, Concern::NextHops);
        assert_eq!(dumped, [Observed::Object { object: next_hop, protocol: 112 }]);
        let refused = lab.try_one(Op::Create(by("2001:db8:1::/64", "eth1", "10.0.0.1")));
        assert_eq!(errno(&refused), libc::EINVAL);
    });
}

#[test]
fn ipv6_routes_and_tables_beyond_255_are_seen_as_made() {
    lab(|lab| {
        uplink("eth1", "2001:db8::1/64");
        let by_gateway = by("2001:db8:1::1/128", "eth1", "2001:db8::2");
        let elsewhere = Object::Route(
            RouteKey { ns: Ns::HOST, table: 1000, prefix: net("2001:db8:2::/48"), metric: 77 },
            Route { target: RouteTarget::Unreachable, preferred_source: None },
        );
        let default = Object::Route(
            RouteKey { ns: Ns::HOST, table: 300, prefix: net("0.0.0.0/0"), metric: 0 },
            Route { target: RouteTarget::Link { link: name("eth1"), via: None }, preferred_source: None },
        );
        let all = [by_gateway, elsewhere, default];
        lab.must(all.iter().cloned().map(Op::Create).collect());
        let dumped = lab.dump(Ns::HOST, Concern::Routes);
        assert_eq!(dumped.len(), 3);
        for object in &all {
            assert!(
                dumped.contains(&Observed::Object { object: object.clone(), protocol: 112 }),
                "{object:?}"
            );
        }
        lab.must(all.iter().map(|object| Op::Delete(object.key())).collect());
        assert_eq!(lab.dump(Ns::HOST, Concern::Routes), []);
        let no_metric = RouteKey { metric: 0, ..learned("2001:db8:1::/64") };
        assert_eq!(errno(&lab.try_one(Op::Delete(Key::Route(no_metric)))), libc::EINVAL);
    });
}

#[test]
fn a_change_of_a_route_that_is_not_there_makes_none() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        for (prefix, via) in [("192.168.1.1/32", "50.1.1.2"), ("2001:db8::/64", "fe80::1")] {
            assert_eq!(errno(&lab.try_one(Op::Change(by(prefix, "eth1", via)))), libc::ENOENT, "{prefix}");
        }
        let Object::Route(key, route) = by("192.168.1.1/32", "eth1", "50.1.1.2") else { unreachable!() };
        let other_metric = Object::Route(RouteKey { metric: 7, ..key }, route);
        assert_eq!(errno(&lab.try_one(Op::Change(other_metric.clone()))), libc::ESRCH);
        assert_eq!(lab.dump(Ns::HOST, Concern::Routes), []);
        lab.must(vec![Op::Create(other_metric.clone()), Op::Change(other_metric)]);
    });
}

#[test]
fn in_a_batch_the_failing_operation_gets_the_error_and_the_kernels_words_and_the_rest_is_done() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        let ops: Vec<Op> = (0..1000u32)
            .map(|n| {
                let via = if n == 500 { "99.9.9.9" } else { "50.1.1.2" };
                let prefix = format!("10.9.{}.{}/32", n >> 8, n & 255);
                Op::Create(by(&prefix, "eth1", via))
            })
            .collect();
        let keys: Vec<Key> = ops.iter().map(Op::key).collect();
        let results = lab.apply(ops);
        assert_eq!(results.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), keys);
        for (n, (_, result)) in results.iter().enumerate() {
            assert_eq!(errno(result), if n == 500 { libc::ENETUNREACH } else { 0 }, "{n}");
        }
        assert_eq!(text(&results[500].1), "Nexthop has invalid gateway");
        assert_eq!(shown("route show proto 112").len(), 999);
    });
}

#[test]
fn a_link_that_does_not_exist_fails_its_operation_alone() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        let results = lab.apply(vec![
            Op::Create(by("192.168.1.1/32", "eth1", "50.1.1.2")),
            Op::Create(by("192.168.1.2/32", "eth9", "50.1.1.2")),
            Op::Create(by("192.168.1.3/32", "eth1", "50.1.1.2")),
        ]);
        assert_eq!(results.iter().map(|(_, r)| errno(r)).collect::<Vec<_>>(), [0, libc::ENODEV, 0]);
        assert_eq!(shown("route show proto 112").len(), 2);
    });
}

#[test]
fn creating_what_is_there_is_eexist_for_every_kind() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        let all = [
            single(1, "eth1", "50.1.1.2"),
            group(2, &[1]),
            over("192.168.1.1/32", id(2)),
            over("2001:db8::/64", id(2)),
            Object::Address(Ns::HOST, name("eth1"), net("10.0.0.1/32")),
            Object::Address(Ns::HOST, name("eth1"), net("2001:db8::1/128")),
            Object::Neighbour(Ns::HOST, name("eth1"), addr("50.1.1.7"), Mac([2, 0, 0, 0, 0, 7])),
        ];
        let mut all = all.to_vec();
        // an IPv4 gateway carries no IPv6 route
        all.remove(3);
        lab.must(all.iter().cloned().map(Op::Create).collect());
        for (key, result) in lab.apply(all.into_iter().map(Op::Create).collect()) {
            assert_eq!(errno(&result), libc::EEXIST, "{key:?}");
        }
    });
}

#[test]
fn replacing_a_group_moves_ten_thousand_routes_with_one_operation() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        uplink("eth2", "60.1.1.1/24");
        lab.must(vec![
            Op::Create(single(1, "eth1", "50.1.1.2")),
            Op::Create(single(2, "eth2", "60.1.1.2")),
            Op::Create(group(3, &[1, 2])),
        ]);
        let routes =
            (0..10_000u32).map(|n| Op::Create(over(&format!("10.9.{}.{}/32", n >> 8, n & 255), id(3))));
        lab.must(routes.collect());
        assert_eq!(shown("route get 10.9.39.15")[0]["dst"], "10.9.39.15");
        lab.must(vec![Op::Change(group(3, &[2]))]);
        for dst in ["10.9.0.0", "10.9.17.200", "10.9.39.15"] {
            assert_eq!(shown(&format!("route get {dst}"))[0]["dev"], "eth2", "{dst}");
        }
        assert_eq!(lab.dump(Ns::HOST, Concern::Routes).len(), 10_000);
        let dumped = lab.dump(Ns::HOST, Concern::NextHops);
        assert!(dumped.contains(&Observed::Object { object: group(3, &[2]), protocol: 112 }));
    });
}

#[test]
fn next_hops_are_made_onlink_changed_in_place_and_deleted() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        let far = Object::NextHop(
            id(1),
            NextHop::Single { via: addr("99.9.9.9"), link: name("eth1"), onlink: true },
        );
        lab.must(vec![Op::Create(far.clone())]);
        assert_eq!(lab.dump(Ns::HOST, Concern::NextHops), [Observed::Object { object: far, protocol: 112 }]);
        lab.must(vec![Op::Change(single(1, "eth1", "50.1.1.9"))]);
        assert_eq!(shown("nexthop show")[0]["gateway"], "50.1.1.9");
        lab.must(vec![Op::Delete(Key::NextHop(id(1)))]);
        assert_eq!(shown("nexthop show"), [] as [serde_json::Value; 0]);
        assert_eq!(errno(&lab.try_one(Op::Change(single(1, "eth1", "50.1.1.9")))), libc::ENOENT);
        assert_eq!(errno(&lab.try_one(Op::Delete(Key::NextHop(id(1))))), libc::ENOENT);
    });
}

#[test]
fn addresses_carry_our_protocol_and_skip_duplicate_address_detection() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        let mine = [
            Object::Address(Ns::HOST, name("lo"), net("10.0.0.1/32")),
            Object::Address(Ns::HOST, name("eth1"), net("50.1.1.5/24")),
            Object::Address(Ns::HOST, name("eth1"), net("2001:db8::1/64")),
        ];
        lab.must(mine.iter().cloned().map(Op::Create).collect());
        let dumped = lab.dump(Ns::HOST, Concern::Addresses);
        for object in &mine {
            assert!(
                dumped.contains(&Observed::Object { object: object.clone(), protocol: 112 }),
                "{object:?}"
            );
        }
        let theirs = Object::Address(Ns::HOST, name("eth1"), net("50.1.1.1/24"));
        assert!(dumped.contains(&Observed::Object { object: theirs, protocol: 0 }));
        let seen = shown("-6 addr show dev eth1 to 2001:db8::1");
        let info = &seen[0]["addr_info"][0];
        assert_eq!((info["nodad"].as_bool(), info["tentative"].as_bool()), (Some(true), None));
        lab.must(mine.iter().map(|object| Op::Delete(object.key())).collect());
        assert_eq!(shown("addr show to 10.0.0.1"), [] as [serde_json::Value; 0]);
        let gone = lab.try_one(Op::Delete(mine[0].key()));
        assert_eq!(errno(&gone), libc::EADDRNOTAVAIL);
    });
}

#[test]
fn neighbours_are_permanent_and_take_the_place_of_the_kernels_own_entries() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        ip("neigh add 50.1.1.8 lladdr 02:00:00:00:00:99 dev eth1 nud stale");
        let mac = |n| Mac([2, 0, 0, 0, 0, n]);
        let entry = |address, n| Object::Neighbour(Ns::HOST, name("eth1"), addr(address), mac(n));
        let mine = [entry("50.1.1.7", 7), entry("50.1.1.8", 8), entry("2001:db8::7", 9)];
        lab.must(mine.iter().cloned().map(Op::Create).collect());
        let dumped = lab.dump(Ns::HOST, Concern::Neighbours);
        assert_eq!(dumped.len(), 3);
        for object in &mine {
            assert!(
                dumped.contains(&Observed::Object { object: object.clone(), protocol: 112 }),
                "{object:?}"
            );
        }
        assert_eq!(shown("neigh show 50.1.1.8 dev eth1")[0]["state"][0], "PERMANENT");
        lab.must(vec![Op::Change(entry("50.1.1.7", 17))]);
        assert_eq!(shown("neigh show 50.1.1.7 dev eth1")[0]["lladdr"], "02:00:00:00:00:11");
        lab.must(mine.iter().map(|object| Op::Delete(object.key())).collect());
        assert_eq!(lab.dump(Ns::HOST, Concern::Neighbours), []);
        assert_eq!(errno(&lab.try_one(Op::Change(entry("50.1.1.7", 17)))), libc::ENOENT);
    });
}

#[test]
fn sysctls_are_written_in_the_namespace_meant() {
    lab(|lab| {
        let web = lab.namespace(7, "web");
        let forward = |ns, value: &str| Object::Sysctl(ns, "net/ipv4/ip_forward".into(), value.into());
        lab.must(vec![Op::Change(forward(web, "1")), Op::Change(forward(Ns::HOST, "0"))]);
        let read = |file: &str| std::fs::read_to_string(file).unwrap();
        let inside = std::process::Command::new("ip")
            .args(["netns", "exec", "web", "cat", "/proc/sys/net/ipv4/ip_forward"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&inside.stdout).trim(), "1");
        assert_eq!(read("/proc/thread-self/net/snmp").lines().nth(1).unwrap().split(' ').nth(1), Some("2"));

        let names = ["net/ipv4/ip_forward".into(), "net/ipv4/no_such_thing".into()];
        lab.send(petiole_fib::model::Command::ReadSysctls(web, names.to_vec()));
        lab.wait_object(&forward(web, "1"), 0);
        lab.wait_gone(&Key::Sysctl(web, names[1].clone()));

        let bad = lab.try_one(Op::Change(forward(web, "many")));
        assert_eq!(errno(&bad), libc::EINVAL);
        let missing = Object::Sysctl(Ns::HOST, "net/ipv4/conf/eth9/rp_filter".into(), "0".into());
        assert_eq!(errno(&lab.try_one(Op::Change(missing))), libc::ENOENT);
    });
}
