//! The tracker with a bridged network on top of the real kernel.

use petiole_fib::{
    model::{BridgePort, FdbKey, FdbTarget, Mac, Ns, Object, Route, RouteKey, RouteTarget},
    plan::Scope,
};

use crate::{
    bridges::{as_port, bridge, port, veth, vxlan},
    lab::{addr, ip, lab, name, net, run, shown},
    tracker::Driver,
};

const WEB: Mac = Mac([2, 2, 10, 1, 2, 1]);

fn vtep(to: &str) -> Object {
    Object::Fdb(FdbKey { link: name("px-5"), mac: Mac([0; 6]), target: FdbTarget::Vtep(addr(to)) })
}

/// A VXLAN network with a gateway and one container.
fn network(web: Ns) -> Vec<Object> {
    let (inside, outside) = veth(web, "eth0", "pt-web");
    let isolated = BridgePort { isolated: true, ..port("pb-red") };
    let key = RouteKey { ns: Ns::HOST, table: 254, prefix: net("10.1.2.1/32"), metric: 10 };
    let target = RouteTarget::Link { link: name("pb-red"), via: None };
    vec![
        vtep("60.1.1.1"),
        Object::Route(key, Route { target, preferred_source: None }),
        Object::Neighbour(Ns::HOST, name("pb-red"), addr("10.1.2.1"), WEB),
        Object::Fdb(FdbKey { link: name("pt-web"), mac: WEB, target: FdbTarget::Port }),
        as_port(&outside, Some(isolated)),
        as_port(&vxlan("px-5", 5, "50.1.1.1"), Some(port("pb-red"))),
        inside,
        Object::Address(Ns::HOST, name("pb-red"), net("10.1.2.254/32")),
        bridge("pb-red"),
    ]
}

/// What of the network is not there, by the system's own tools.
fn missing() -> Vec<&'static str> {
    let port = |link: &str| shown("link show").into_iter().find(|seen| seen["ifname"] == link);
    let isolated =
        |link: &str| port(link).map(|port| port["linkinfo"]["info_slave_data"]["isolated"].clone());
    let fdb = |link: &str| {
        let shown = std::process::Command::new("bridge").args(["fdb", "show", "dev", link]).output().unwrap();
        String::from_utf8(shown.stdout).unwrap()
    };
    let on_bridge = |what: &str| port("pb-red").is_some() && shown(what).len() == 1;
    let all = [
        ("container's port", isolated("pt-web") == Some(true.into())),
        ("VXLAN device's port", isolated("px-5") == Some(false.into())),
        ("VTEP", fdb("px-5").contains("00:00:00:00:00:00 dst 60.1.1.1 self permanent")),
        ("static entry", fdb("pt-web").contains("02:02:0a:01:02:01 sticky master pb-red static")),
        ("gateway", on_bridge("addr show dev pb-red to 10.1.2.254")),
        ("neighbour", on_bridge("neigh show 10.1.2.1 dev pb-red nud permanent")),
        ("route", on_bridge("route show 10.1.2.1 dev pb-red")),
    ];
    all.into_iter().filter(|(_, is_there)| !is_there).map(|(what, _)| what).collect()
}

#[test]
fn a_bridged_network_comes_up_survives_what_is_done_to_it_and_goes() {
    lab(|lab| {
        ip("addr add 50.1.1.1/32 dev lo");
        ip("link add br0 type bridge");
        ip("link add foreign type vxlan id 77 local 50.1.1.1 dstport 4789");
        run("bridge fdb append 00:00:00:00:00:00 dev foreign dst 60.1.1.9");
        let web = lab.namespace(1, "web");
        let driver = Driver::new(lab);
        {
            let mut fib = driver.fib.borrow_mut();
            fib.watch_ns(web);
            for object in network(web) {
                fib.want(object);
            }
        }
        let operations = || driver.fib.borrow().counters().operations;
        driver.settle();
        assert_eq!(missing(), [""; 0]);
        assert_eq!(driver.fib.borrow().counters().failures, 0);
        let before = operations();
        driver.settle();
        assert_eq!(operations(), before, "at rest nothing is done");
        driver.fib.borrow_mut().want(vtep("60.1.1.3"));
        driver.settle();
        assert_eq!(operations(), before + 1, "a VTEP is one operation");

        for done in [
            "bridge fdb del 00:00:00:00:00:00 dev px-5 dst 60.1.1.1",
            "bridge fdb del 02:02:0a:01:02:01 dev pt-web master",
            "bridge link set dev pt-web isolated off",
            "ip link set pt-web nomaster",
            "ip link set px-5 down",
            "ip link del px-5",
            "ip link del pb-red",
            "ip -n web link del eth0",
        ] {
            run(done);
            driver.until(|_| missing().is_empty());
        }

        let second = Driver::new(lab);
        second.fib.borrow_mut().watch_ns(web);
        second.settle();
        assert_eq!(second.fib.borrow().counters().operations, 0);
        second.fib.borrow_mut().sweep(Scope::Local);
        second.settle();
        let links: Vec<_> = shown("link show").iter().map(|link| link["ifname"].clone()).collect();
        assert_eq!(links, ["lo", "br0", "foreign"]);
        assert_eq!(shown("-n web link show").len(), 1);
        assert_eq!(shown("route show").len(), 0);
    });
}
