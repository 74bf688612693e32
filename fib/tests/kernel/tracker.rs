//! The tracker on top of the real kernel: what it was written against a kernel in memory for holds here too.

use std::{cell::RefCell, time::Instant};

use petiole_fib::{
    model::{Command, Concern, Event, Link, LinkKind, Mac, Ns, Object, Route, RouteKey, RouteTarget},
    nexthops::{Hop, NextHops},
    owner::Owner,
    plan::{Fib, Notice, Scope},
};

use crate::lab::{Lab, addr, ip, lab, name, net, shown, uplink};

/// The daemon's loop, run until the tracker has nothing left to do.
pub(crate) struct Driver<'a> {
    lab: &'a Lab,
    pub(crate) fib: RefCell<Fib>,
    batch: RefCell<u64>,
    /// Dumps of the host's namespace that were asked for.
    dumps: RefCell<Vec<Concern>>,
}

impl Driver<'_> {
    pub(crate) fn new(lab: &Lab) -> Driver<'_> {
        Driver {
            lab,
            fib: RefCell::new(Fib::new(Owner::default())),
            batch: RefCell::new(0),
            dumps: RefCell::default(),
        }
    }

    pub(crate) fn until(&self, reached: impl Fn(&Fib) -> bool) {
        let mut fib = self.fib.borrow_mut();
        loop {
            let now = Instant::now();
            loop {
                let ops = fib.plan(4096, now);
                for request in fib.take_requests() {
                    if let Command::Dump(Ns::HOST, concern) = &request {
                        self.dumps.borrow_mut().push(*concern);
                    }
                    self.lab.send(request);
                }
                if ops.is_empty() {
                    break;
                }
                *self.batch.borrow_mut() += 1;
                self.lab.send(Command::Apply { batch: *self.batch.borrow(), ops });
            }
            if fib.idle() && reached(&fib) {
                return;
            }
            let event = self.lab.wait(|event| Some(event.clone()));
            if let Event::NamespaceLost(ns, why) = &event {
                panic!("{ns:?}: {why}");
            }
            for notice in fib.observe(event, Instant::now()) {
                if let Notice::Failed { key, error, .. } = notice {
                    println!("refused: {key}: {error}");
                }
            }
        }
    }

    /// Until the tracker is at rest, with all that the kernel has to say at this moment taken in.
    pub(crate) fn settle(&self) {
        self.until(|_| true);
        for event in self.lab.settle() {
            self.fib.borrow_mut().observe(event, Instant::now());
        }
        self.until(|_| true);
    }
}

fn hops(all: &[(&str, &str)]) -> NextHops {
    all.iter().map(|(via, link)| Hop { via: addr(via), link: name(link), onlink: false }).collect()
}

fn want_endpoint(fib: &mut Fib, web: Ns) {
    let alias: std::sync::Arc<str> = "petiole:web1".into();
    let inside = Link {
        kind: LinkKind::Veth { peer_ns: Ns::HOST, peer: name("vweb") },
        mac: Some(Mac([2, 2, 192, 168, 1, 1])),
        mtu: Some(1500),
        up: true,
        alias: Some(alias.clone()),
        port: None,
    };
    let outside = Link { kind: LinkKind::VethPeer, mac: Some(Mac([2, 2, 0, 0, 0, 1])), ..inside.clone() };
    let to_container = RouteTarget::Link { link: name("vweb"), via: None };
    let out = RouteTarget::Link { link: name("eth0"), via: Some(addr("192.168.1.254")) };
    let gateway = RouteTarget::Link { link: name("eth0"), via: None };
    let route = |ns, prefix: &str, target| {
        let key = RouteKey { ns, table: 254, prefix: net(prefix), metric: 10 };
        Object::Route(key, Route { target, preferred_source: None })
    };
    for object in [
        Object::Link(web, name("eth0"), inside),
        Object::Link(Ns::HOST, name("vweb"), outside),
        Object::Address(web, name("eth0"), net("192.168.1.1/32")),
        Object::Address(web, name("eth0"), net("2001:db8:1::1/128")),
        Object::Neighbour(web, name("eth0"), addr("192.168.1.254"), Mac([2, 2, 0, 0, 0, 1])),
        Object::Neighbour(Ns::HOST, name("vweb"), addr("192.168.1.1"), Mac([2, 2, 192, 168, 1, 1])),
        Object::Sysctl(Ns::HOST, "net/ipv4/conf/vweb/rp_filter".into(), "1".into()),
        route(web, "192.168.1.254/32", gateway),
        route(web, "0.0.0.0/0", out),
        route(Ns::HOST, "192.168.1.1/32", to_container.clone()),
        route(Ns::HOST, "2001:db8:1::1/128", to_container),
    ] {
        fib.want(object);
    }
}

/// A dump of the host takes the longer the more containers there are.
#[test]
fn an_endpoint_comes_up_without_a_question_about_the_whole_host() {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        let driver = Driver::new(lab);
        driver.settle();
        driver.dumps.borrow_mut().clear();
        {
            let mut fib = driver.fib.borrow_mut();
            fib.watch_ns(web);
            want_endpoint(&mut fib, web);
        }
        driver.settle();
        assert_eq!(shown("route show proto 112").len(), 1);
        assert_eq!(*driver.dumps.borrow(), []);
    });
}

#[test]
fn an_endpoint_and_ten_thousand_routes_come_up_survive_what_is_done_to_them_and_go() {
    lab(|lab| {
        uplink("eth1", "50.1.1.1/24");
        uplink("eth2", "60.1.1.1/24");
        let web = lab.namespace(1, "web");
        let driver = Driver::new(lab);
        let both = hops(&[("50.1.1.2", "eth1"), ("60.1.1.2", "eth2")]);
        let prefix = |n: u32| net(&format!("10.9.{}.{}/32", n >> 8, n & 255));
        {
            let mut fib = driver.fib.borrow_mut();
            fib.watch_ns(web);
            want_endpoint(&mut fib, web);
            (0..10_000).for_each(|n| fib.want_route(prefix(n), &both, None));
        }
        driver.settle();
        let counters = driver.fib.borrow().counters();
        assert_eq!((counters.routes_installed, counters.failures), (10_000, 0), "{counters:?}");
        assert_eq!(shown("route show proto 112").len(), 10_001);
        let ping = std::process::Command::new("ip")
            .args("netns exec web ping -c1 -W5 50.1.1.1".split(' '))
            .output()
            .unwrap();
        assert!(ping.status.success(), "{}", String::from_utf8_lossy(&ping.stdout));

        let before = driver.fib.borrow().counters().operations;
        driver.settle();
        assert_eq!(driver.fib.borrow().counters().operations, before, "at rest nothing is done");

        // Others take things away. The kernel takes more with the link than it says.
        ip("route del 10.9.1.7");
        ip("neigh del 192.168.1.1 dev vweb");
        ip("link set eth1p down");
        driver.until(|_| shown("route get 10.9.39.15")[0]["dev"] == "eth2");
        ip("link set eth1p up");
        driver.settle();
        driver.until(|fib| fib.counters().routes_installed == 10_000 && shown("nexthop show").len() == 3);
        assert_eq!(shown("route show proto 112").len(), 10_001);
        assert_eq!(shown("neigh show 192.168.1.1 dev vweb")[0]["state"][0], "PERMANENT");

        // A new tracker finds all of it, and sweeps it when told that nobody wants it.
        let second = Driver::new(lab);
        second.fib.borrow_mut().watch_ns(web);
        second.settle();
        assert_eq!(second.fib.borrow().counters().operations, 0);
        second.fib.borrow_mut().sweep(Scope::Learned);
        second.fib.borrow_mut().sweep(Scope::Local);
        second.settle();
        assert_eq!(shown("route show proto 112").len(), 0);
        assert_eq!(shown("nexthop show").len(), 0);
        assert_eq!(shown("-n web link show").len(), 1);
    });
}
