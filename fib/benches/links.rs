//! What a container on a bridged network costs in the kernel, operation by operation, and how many forwarding entries
//! a second the engine brings in.
//!
//! Works in network namespaces of its own; needs root. `cargo bench -p petiole-fib --bench links [containers]`.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command as Process,
    sync::mpsc,
    time::{Duration, Instant},
};

use petiole_fib::{
    kernel::{Handle, spawn},
    model::{
        BridgePort, Command, Event, FdbKey, FdbTarget, IfName, Link, LinkKind, Mac, Ns, Object, Op, Route,
        RouteKey, RouteTarget,
    },
    owner::Owner,
};

fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to make network namespaces");
        return;
    }
    let containers = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(200);
    private();
    let mut engine = Engine::start();
    engine.must(vec![Op::Create(link("pb-red", LinkKind::Bridge { netfilter: false }, None))]);
    engine.must(vec![Op::Create(link("px-5", vxlan(5), Some(port(false))))]);
    attach(&mut engine, containers);
    entries(&mut engine);
    one_vtep_more(&mut engine, 100);
}

fn private() {
    use rustix::{
        mount::{MountFlags, MountPropagationFlags, mount, mount_change},
        thread::UnshareFlags,
    };
    #[allow(deprecated, reason = "its replacement is unsafe for flags that are not used here")]
    rustix::thread::unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS).expect("namespaces");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("private mounts");
    std::fs::create_dir_all("/run/netns").expect("/run/netns");
    mount("tmpfs", "/run/netns", "tmpfs", MountFlags::empty(), None).expect("a tmpfs");
    ip("link set lo up");
    ip("addr add 50.1.1.1/32 dev lo");
}

fn ip(arguments: &str) {
    let done = Process::new("ip").args(arguments.split_whitespace()).status();
    assert!(done.is_ok_and(|status| status.success()), "{arguments}");
}

fn name(text: &str) -> IfName {
    IfName::new(text).expect("a name")
}

fn vxlan(vni: u32) -> LinkKind {
    LinkKind::Vxlan { vni, local: IpAddr::from([50, 1, 1, 1]), port: 4789 }
}

fn port(isolated: bool) -> BridgePort {
    BridgePort { bridge: name("pb-red"), isolated, hairpin: false, neigh_suppress: isolated, learning: true }
}

fn settings(of: &str, kind: LinkKind, port: Option<BridgePort>) -> Link {
    Link { kind, mac: None, mtu: Some(1450), up: true, alias: Some(format!("petiole:{of}").into()), port }
}

fn link(of: &str, kind: LinkKind, port: Option<BridgePort>) -> Object {
    Object::Link(Ns::HOST, name(of), settings(of, kind, port))
}

/// The engine, and a clock around each command.
struct Engine {
    handle: Handle,
    events: mpsc::Receiver<Event>,
}

impl Engine {
    fn start() -> Self {
        let (sender, events) = mpsc::channel();
        let handle = spawn(Owner::default(), move |event| drop(sender.send(event))).expect("an engine");
        Self { handle, events }
    }

    fn must(&mut self, ops: Vec<Op>) -> Duration {
        let start = Instant::now();
        self.handle.send(Command::Apply { batch: 0, ops }).expect("a running engine");
        loop {
            if let Event::Applied { results, .. } = self.events.recv().expect("a running engine") {
                let took = start.elapsed();
                let failed = results.iter().find(|(_, result)| result.is_err());
                assert!(failed.is_none(), "{failed:?}");
                return took;
            }
        }
    }
}

/// Attaches and detaches containers one after the other.
fn attach(engine: &mut Engine, containers: u32) {
    const STEPS: [&str; 9] = [
        "veth inside the namespace",
        "its other end: port, up",
        "forwarding entry",
        "neighbour",
        "route on the host",
        "address, neighbour inside",
        "all creations, one command",
        "veth deleted",
        "other deletions",
    ];
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); STEPS.len()];
    for n in 0..containers {
        let path = format!("/run/netns/c{n}");
        ip(&format!("netns add c{n}"));
        let ns = Ns(n + 1);
        engine.handle.send(Command::Namespace { ns, path: path.into() }).expect("a running engine");
        let [a, b] = (n as u16).to_be_bytes();
        let mac = Mac([2, 0, 0, 0, a, b]);
        let address = IpAddr::from(Ipv4Addr::new(10, 9, a, b));
        let outside = format!("pt-c{n}");
        let kind = LinkKind::Veth { peer_ns: Ns::HOST, peer: name(&outside) };
        let inside = Link { mac: Some(mac), ..settings(&outside, kind, None) };
        let key = RouteKey { ns: Ns::HOST, table: 254, prefix: address.into(), metric: 0 };
        let target = RouteTarget::Link { link: name("pb-red"), via: None };
        let veth = Object::Link(ns, name("eth0"), inside);
        let steps: Vec<Vec<Object>> = vec![
            vec![veth.clone()],
            vec![link(&outside, LinkKind::VethPeer, Some(port(true)))],
            vec![Object::Fdb(FdbKey { link: name(&outside), mac, target: FdbTarget::Port })],
            vec![Object::Neighbour(Ns::HOST, name("pb-red"), address, mac)],
            vec![Object::Route(key, Route { target, preferred_source: None })],
            vec![
                Object::Address(ns, name("eth0"), address.into()),
                Object::Neighbour(ns, name("eth0"), IpAddr::from([10, 9, 255, 254]), Mac([2; 6])),
            ],
        ];
        let mut rest: Vec<Op> = steps[2..5].iter().flatten().map(|object| Op::Delete(object.key())).collect();
        let mut took = vec![Duration::ZERO; STEPS.len()];
        if n % 2 == 0 {
            for (took, step) in took.iter_mut().zip(&steps) {
                *took = engine.must(step.iter().cloned().map(Op::Create).collect());
            }
        } else {
            took[6] = engine.must(steps.into_iter().flatten().map(Op::Create).collect());
        }
        rest.rotate_left(1);
        took[8] = engine.must(rest);
        took[7] = engine.must(vec![Op::Delete(veth.key())]);
        for (all, took) in times.iter_mut().zip(took) {
            all.extend(Some(took).filter(|took| !took.is_zero()));
        }
        engine.handle.send(Command::Forget(ns)).expect("a running engine");
        ip(&format!("netns del c{n}"));
    }
    println!("{:<28} {:>9} {:>9}   ({containers} containers, µs)", "", "p50", "p99");
    for (step, mut times) in STEPS.iter().zip(times) {
        times.sort();
        let at = |part: usize| times.get(times.len() * part / 100).map_or(0, Duration::as_micros);
        println!("{step:<28} {:>9} {:>9}", at(50), at(99));
    }
}

/// Many entries of one VXLAN device in one command.
fn entries(engine: &mut Engine) {
    const COUNT: u16 = 10_000;
    let entry = |n: u16| {
        let [a, b] = n.to_be_bytes();
        let target = FdbTarget::Vtep(IpAddr::from([60, 1, a, b]));
        Object::Fdb(FdbKey { link: name("px-5"), mac: Mac([2, 0, 0, 1, a, b]), target })
    };
    let rate = |took: Duration| f64::from(COUNT) / took.as_secs_f64() / 1000.0;
    println!();
    for _ in 0..3 {
        let put = engine.must((0..COUNT).map(|n| Op::Create(entry(n))).collect());
        let deleted = engine.must((0..COUNT).map(|n| Op::Delete(entry(n).key())).collect());
        println!("{COUNT} VTEP entries: {:.0} k/s in, {:.0} k/s out", rate(put), rate(deleted));
    }
}

/// One VTEP more on each of many networks.
fn one_vtep_more(engine: &mut Engine, networks: u32) {
    let device = |n: u32| format!("px-{}", 1000 + n);
    engine.must((0..networks).map(|n| Op::Create(link(&device(n), vxlan(1000 + n), None))).collect());
    let vtep = |n: u32| {
        let target = FdbTarget::Vtep(IpAddr::from([60, 1, 1, 9]));
        Object::Fdb(FdbKey { link: name(&device(n)), mac: Mac([0; 6]), target })
    };
    let took = engine.must((0..networks).map(|n| Op::Create(vtep(n))).collect());
    println!("one VTEP more on {networks} networks: {} µs", took.as_micros());
}
