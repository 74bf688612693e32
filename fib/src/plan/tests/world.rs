//! A host to test with: a kernel in memory, the tracker that drives it, a clock, and what is wanted.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::IpNet;

use crate::{
    fake::FakeKernel,
    model::{Command, IfName, Key, Link, LinkKind, Mac, Ns, Object, Op, Route, RouteKey, RouteTarget},
    nexthops::{Hop, NextHops},
    owner::Owner,
    plan::{Fib, Notice, Scope},
};

/// The namespace of the container that most tests have.
pub(super) const WEB: Ns = Ns(7);

/// What is wanted, to be told again to a tracker after a crash.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub(super) objects: Vec<Object>,
    pub(super) routes: BTreeMap<IpNet, (NextHops, Option<IpAddr>)>,
    pub(super) down: BTreeSet<(IpAddr, IfName)>,
    pub(super) namespaces: BTreeSet<Ns>,
}

/// All of it together.
pub(super) struct World {
    pub(super) kernel: FakeKernel,
    pub(super) fib: Fib,
    pub(super) now: Instant,
    pub(super) wishes: Wishes,
    /// Everything that was applied.
    pub(super) log: Vec<Op>,
    /// The same since the last look, call by call.
    pub(super) batches: Vec<Vec<Op>>,
    pub(super) notices: Vec<Notice>,
    /// Operations per call of `plan`.
    pub(super) slice: usize,
    batch: u64,
}

impl World {
    /// A host with two uplinks, up, and a namespace for a container. The tracker has not seen it yet.
    pub(super) fn new() -> Self {
        let owner = Owner::default();
        let mut kernel = FakeKernel::new(owner.clone());
        for uplink in ["eth1", "eth2"] {
            kernel.add_link(Ns::HOST, &link(uplink));
            kernel.set_link_up(Ns::HOST, &link(uplink), true);
        }
        kernel.add_ns(WEB);
        while kernel.event().is_some() {}
        let mut world = Self {
            kernel,
            fib: Fib::new(owner),
            now: Instant::now(),
            wishes: Wishes::default(),
            log: Vec::new(),
            batches: Vec::new(),
            notices: Vec::new(),
            slice: 1000,
            batch: 0,
        };
        world.watch(WEB);
        world
    }

    pub(super) fn watch(&mut self, ns: Ns) {
        self.wishes.namespaces.insert(ns);
        self.fib.watch_ns(ns);
    }

    pub(super) fn want(&mut self, object: Object) {
        self.wishes.objects.retain(|o| o.key() != object.key());
        self.wishes.objects.push(object.clone());
        self.fib.want(object);
    }

    pub(super) fn want_all(&mut self, objects: impl IntoIterator<Item = Object>) {
        objects.into_iter().for_each(|object| self.want(object));
    }

    pub(super) fn unwant(&mut self, key: &Key) {
        self.wishes.objects.retain(|o| o.key() != *key);
        self.fib.unwant(key);
    }

    pub(super) fn unwant_where(&mut self, which: impl Fn(&Object) -> bool) {
        for object in self.wishes.objects.clone().into_iter().filter(|object| which(object)) {
            self.unwant(&object.key());
        }
    }

    pub(super) fn want_route(&mut self, to: &str, hops: &[(&str, &str)]) {
        self.want_route_from(to, hops, None);
    }

    pub(super) fn want_route_from(&mut self, to: &str, hops: &[(&str, &str)], source: Option<&str>) {
        let (to, hops, source) = (net(to), next_hops(hops), source.map(ip));
        self.fib.want_route(to, &hops, source);
        if hops.is_empty() {
            self.wishes.routes.remove(&to);
        } else {
            self.wishes.routes.insert(to, (hops, source));
        }
    }

    pub(super) fn unwant_route(&mut self, to: &str) {
        self.wishes.routes.remove(&net(to));
        self.fib.unwant_route(net(to));
    }

    pub(super) fn hop(&mut self, via: &str, over: &str, up: bool) {
        let hop = (ip(via), link(over));
        if up {
            self.fib.hop_up(hop.0, &hop.1);
            self.wishes.down.remove(&hop);
        } else {
            self.fib.hop_down(hop.0, &hop.1);
            self.wishes.down.insert(hop);
        }
    }

    /// The daemon dies, with what was on its way and not read yet, and a new one is told the same.
    pub(super) fn crash(&mut self) {
        while self.kernel.event().is_some() {}
        self.fib = Fib::new(Owner::default());
        for ns in &self.wishes.namespaces {
            self.fib.watch_ns(*ns);
        }
        for object in &self.wishes.objects {
            self.fib.want(object.clone());
        }
        for (to, (hops, source)) in &self.wishes.routes {
            self.fib.want_route(*to, hops, *source);
        }
        for (via, link) in &self.wishes.down {
            self.fib.hop_down(*via, link);
        }
    }

    /// What the tracker asks and does now, given to the kernel; whether there was anything.
    pub(super) fn drive(&mut self) -> bool {
        let ops = self.fib.plan(self.slice, self.now);
        let requests = self.fib.take_requests();
        self.notices.extend(self.fib.take_notices());
        let busy = !requests.is_empty() || !ops.is_empty();
        if !ops.is_empty() {
            self.log.extend(ops.iter().cloned());
            self.batches.push(ops.clone());
            self.batch += 1;
            self.kernel.handle(Command::Apply { batch: self.batch, ops });
        }
        for request in requests {
            self.kernel.handle(request);
        }
        busy
    }

    /// One word of the kernel's is read; whether there was one.
    pub(super) fn hear(&mut self) -> bool {
        let Some(event) = self.kernel.event() else { return false };
        let notices = self.fib.observe(event, self.now);
        self.notices.extend(notices);
        true
    }

    /// Runs until nothing happens any more, retries included.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut busy = self.drive();
            while self.hear() {
                busy = true;
            }
            if !busy {
                match self.fib.next_retry() {
                    None => return,
                    Some(at) => self.now = self.now.max(at),
                }
            }
        }
        panic!("no end: {:?}", self.fib.failing().collect::<Vec<_>>());
    }

    /// Runs for a while: for those who never come to an end because something stays wrong.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let mut busy = self.drive();
            while self.hear() {
                busy = true;
            }
            if !busy {
                self.now = self.fib.next_retry().map_or(end, |at| at.min(end)).max(self.now);
            }
        }
    }

    /// What was done since the last call, one operation per line.
    pub(super) fn done(&mut self) -> String {
        let log = std::mem::take(&mut self.log);
        self.batches.clear();
        let lines: Vec<String> = log.iter().map(ToString::to_string).collect();
        if lines.is_empty() { String::new() } else { lines.join("\n") + "\n" }
    }

    /// Everything wanted is there.
    pub(super) fn assert_settled(&self) {
        for object in &self.wishes.objects {
            assert!(self.fib.settled(&object.key()), "{object} is not settled");
        }
        for to in self.wishes.routes.keys() {
            let key = Key::Route(self.fib.owner().route_key(*to));
            assert!(self.fib.settled(&key), "{key} is not settled");
        }
        assert!(self.fib.idle(), "{:?} {:?}", self.fib.counters(), self.fib.failing().collect::<Vec<_>>());
    }

    pub(super) fn sweep(&mut self) {
        self.fib.sweep(Scope::Learned);
        self.fib.sweep(Scope::Local);
    }
}

pub(super) fn link(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(super) fn next_hops(hops: &[(&str, &str)]) -> NextHops {
    hops.iter().map(|(via, over)| Hop { via: ip(via), link: link(over), onlink: false }).collect()
}

pub(super) fn address(ns: Ns, on: &str, address: &str) -> Object {
    Object::Address(ns, link(on), net(address))
}

pub(super) fn neighbour(ns: Ns, on: &str, address: &str, last: u8) -> Object {
    Object::Neighbour(ns, link(on), ip(address), Mac([2, 2, 0, 0, 0, last]))
}

pub(super) fn sysctl(ns: Ns, path: &str, value: &str) -> Object {
    Object::Sysctl(ns, Arc::from(path), Arc::from(value))
}

pub(super) fn uplink(name: &str) -> Object {
    let settings = Link { kind: LinkKind::Foreign, mac: None, mtu: None, up: true, alias: None, port: None };
    Object::Link(Ns::HOST, link(name), settings)
}

pub(super) fn route_key(ns: Ns, to: &str, metric: u32) -> RouteKey {
    RouteKey { ns, table: 254, prefix: net(to), metric }
}

pub(super) fn route_out_of(ns: Ns, to: &str, metric: u32, out_of: &str) -> Object {
    let target = RouteTarget::Link { link: link(out_of), via: None };
    Object::Route(route_key(ns, to, metric), Route { target, preferred_source: None })
}

/// The two uplinks with their addresses, and the loopback's.
pub(super) fn uplinks() -> Vec<Object> {
    vec![
        uplink("eth1"),
        uplink("eth2"),
        address(Ns::HOST, "lo", "10.0.0.1/32"),
        address(Ns::HOST, "eth1", "50.1.1.1/24"),
        address(Ns::HOST, "eth2", "60.1.1.1/24"),
        address(Ns::HOST, "eth1", "2001:db8:1::1/64"),
        sysctl(Ns::HOST, "net/ipv4/ip_forward", "1"),
        sysctl(Ns::HOST, "net/ipv4/conf/eth1/rp_filter", "0"),
    ]
}

/// A container with 192.168.1.`host` behind `v<name>`.
pub(super) fn container(ns: Ns, name: &str, host: u8) -> Vec<Object> {
    let outside = format!("v{name}");
    let here = format!("192.168.1.{host}");
    let veth = LinkKind::Veth { peer_ns: Ns::HOST, peer: link(&outside) };
    let alias = Some(Arc::from(format!("petiole:{name}")));
    let mac = |first| Some(Mac([first, 2, 0, 0, 0, host]));
    vec![
        Object::Link(
            ns,
            link("eth0"),
            Link { kind: veth, mac: mac(2), mtu: Some(1400), up: true, alias: alias.clone(), port: None },
        ),
        Object::Link(
            Ns::HOST,
            link(&outside),
            Link { kind: LinkKind::VethPeer, mac: mac(6), mtu: Some(1400), up: true, alias, port: None },
        ),
        sysctl(Ns::HOST, &format!("net/ipv4/conf/{outside}/rp_filter"), "1"),
        address(ns, "eth0", &format!("{here}/32")),
        address(Ns::HOST, &outside, "192.168.1.254/32"),
        neighbour(ns, "eth0", "192.168.1.254", host),
        neighbour(Ns::HOST, &outside, &here, host),
        route_out_of(ns, "0.0.0.0/0", 0, "eth0"),
        route_out_of(Ns::HOST, &format!("{here}/32"), Owner::METRIC, &outside),
    ]
}

pub(super) const LEAF1: (&str, &str) = ("50.1.1.2", "eth1");
pub(super) const LEAF2: (&str, &str) = ("60.1.1.2", "eth2");

#[track_caller]
pub(super) fn assert_done(world: &mut World, expected: &str) {
    let done = world.done();
    let lines: Vec<&str> = expected.trim_start().lines().map(str::trim).collect();
    assert_eq!(done.trim_end(), lines.join("\n"), "\n--- done:\n{done}");
}

/// The failures told since the last call.
pub(super) fn failures(world: &mut World) -> Vec<String> {
    let notices = std::mem::take(&mut world.notices);
    let text = |n: Notice| match n {
        Notice::Failed { key, error, attempts } => Some(format!("{key}: {error}, {attempts}")),
        _ => None,
    };
    notices.into_iter().filter_map(text).collect()
}
