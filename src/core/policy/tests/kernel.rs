//! The kernel does what `explain` says, packet by packet.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    process::Command as Process,
    sync::mpsc,
    time::{Duration, Instant},
};

use petiole_fib::{
    acl::{self, Flow},
    kernel::spawn,
    model::{Command, Event, Key, NftFamily, Object, TableRef},
    owner::Owner,
    plan::{Fib, Notice},
};
use petiole_netns_tests::{
    Chance, Requirement,
    inject::{Injector, Packet},
    skip,
};

use super::{super::compile::Compiled, random::World, table_with};

const NAME: &str = "the_kernel_does_what_the_rules_say";
/// Packets for each configuration and family.
const PACKETS: u16 = 40;

#[test]
fn the_kernel_does_what_the_rules_say() {
    if skip(NAME, &[Requirement::Root, Requirement::Nft]) {
        return;
    }
    let outcome = std::thread::spawn(|| {
        use rustix::{
            mount::{MountFlags, MountPropagationFlags, mount, mount_change},
            thread::UnshareFlags,
        };
        #[allow(deprecated, reason = "its replacement is unsafe for flags that are not used here")]
        rustix::thread::unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS).unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        std::fs::create_dir_all("/run/netns").unwrap();
        mount("tmpfs", "/run/netns", "tmpfs", MountFlags::empty(), None).unwrap();
        compare();
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn compare() {
    let probe = host();
    let mut kernel = Kernel::new();
    let (seed, rounds) = (number("POLICY_SEED", 1), number("POLICY_ROUNDS", 1000));
    let (mut sent, mut dropped) = (0, 0);
    for round in seed..seed + rounds {
        let mut chance = Chance(round);
        let world = World::random(&mut chance);
        let mut compiled = Compiled::new(&world.config);
        let table = table_with(&mut compiled, &world.members);
        let mut objects = Vec::new();
        if compiled.needed {
            objects.push(Object::Table(TableRef { family: NftFamily::Inet, name: Owner::NFT_TABLE.into() }));
            objects.extend(acl::program(&table, []));
            objects.extend(acl::elements(&table));
            objects.extend(table.members.iter().map(|((scope, a), known)| acl::member(*scope, *a, *known)));
        }
        kernel.make(objects);
        let flows: Vec<Flow> = (0..2 * PACKETS).map(|_| World::flow(&mut chance)).collect();
        for v6 in [false, true] {
            let flows: Vec<&Flow> = flows.iter().filter(|flow| flow.source.is_ipv6() == v6).collect();
            for (number, flow) in (1..).zip(&flows) {
                probe.send(number, &packet(flow)).unwrap();
            }
            let passed = probe.passed(v6).unwrap();
            for (number, flow) in (1..).zip(&flows) {
                let judgement = world.judge(flow);
                sent += 1;
                dropped += usize::from(judgement.drop);
                assert_eq!(
                    passed.contains(&number),
                    !judgement.drop,
                    "POLICY_SEED={round}: {flow:?} {judgement:?} {:?}\n{}\n{:#?}",
                    table.judge(flow),
                    world.text,
                    world.members
                );
            }
        }
    }
    println!("{rounds} configurations, {sent} packets, {dropped} dropped");
    assert!(dropped > sent / 10, "{dropped} of {sent}");
}

fn packet(flow: &Flow) -> Packet {
    let Flow { source, destination, service, .. } = *flow;
    Packet { source, destination, protocol: service.protocol(), detail: service.number().to_be_bytes() }
}

/// Makes this namespace a host that forwards everything that the namespace `client` sends.
fn host() -> Injector {
    for line in [
        "link set lo up",
        "netns add client",
        "link add vclient type veth peer name eth0 netns client",
        "link set vclient up",
        "addr add 10.1.0.1/24 dev vclient",
        "addr add fdff::1/64 dev vclient nodad",
        "-n client link set eth0 up",
        "-n client addr add 10.1.0.2/24 dev eth0",
        "-n client addr add fdff::2/64 dev eth0 nodad",
        "-n client route add default via 10.1.0.1",
        "-n client route add default via fdff::1",
        "link add sink type veth peer name sinkp",
        "link set sink arp off up",
        "link set sinkp up",
        "route add 172.16.0.0/12 dev sink",
        "route add fd00::/16 dev sink",
    ] {
        let status = Process::new("ip").args(line.split(' ')).status().unwrap();
        assert!(status.success(), "ip {line}");
    }
    for (path, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/vclient/rp_filter", "0"),
    ] {
        std::fs::write(format!("/proc/sys/net/{path}"), value).unwrap();
    }
    let v4 = [1, 2].map(|n| IpAddr::from(Ipv4Addr::new(172, 31, 0, n)));
    let v6 = [1, 2].map(|n| IpAddr::from(Ipv6Addr::new(0xfd00, 99, 0, 0, 0, 0, 0, n)));
    Injector::new(Path::new("/run/netns/client"), "vclient", [v4, v6]).unwrap()
}

/// The kernel, and what is wanted there.
struct Kernel {
    handle: petiole_fib::kernel::Handle,
    events: mpsc::Receiver<Event>,
    fib: Fib,
    wanted: HashMap<Key, Object>,
    /// Batches that have not been answered.
    waiting: u64,
}

impl Kernel {
    fn new() -> Self {
        let (sender, events) = mpsc::channel();
        let handle = spawn(Owner::default(), move |event| drop(sender.send(event))).unwrap();
        let fib = Fib::new(Owner::default());
        Self { handle, events, fib, wanted: HashMap::new(), waiting: 0 }
    }

    /// Makes the kernel hold these objects, and no others, by what differs.
    fn make(&mut self, objects: Vec<Object>) {
        let wanted: HashMap<Key, Object> = objects.into_iter().map(|o| (o.key(), o)).collect();
        for key in self.wanted.keys().filter(|key| !wanted.contains_key(key)) {
            self.fib.unwant(key);
        }
        for object in wanted.values() {
            self.fib.want(object.clone());
        }
        self.wanted = wanted;
        loop {
            let now = Instant::now();
            loop {
                let ops = self.fib.plan(4096, now);
                for request in self.fib.take_requests() {
                    self.handle.send(request).unwrap();
                }
                if ops.is_empty() {
                    break;
                }
                self.waiting += 1;
                self.handle.send(Command::Apply { batch: self.waiting, ops }).unwrap();
            }
            if self.fib.idle() && self.wanted.keys().all(|key| self.fib.settled(key)) {
                return;
            }
            let event = self.events.recv_timeout(Duration::from_secs(20)).unwrap();
            for notice in self.fib.observe(event, Instant::now()) {
                if let Notice::Failed { key, error, .. } = notice {
                    panic!("{key}: {error}");
                }
            }
        }
    }
}
