//! How many routes a second the engine brings into the kernel, beside what the kernel takes from a program that does
//! nothing else: messages encoded beforehand, in batches of the same size, in the same run. And how long it takes to
//! move 200k routes off a lost next hop.
//!
//! Works in a network namespace of its own; needs root. `cargo bench -p petiole-fib --bench routes`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command as Process,
    sync::mpsc,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use petiole_fib::{
    kernel::{Handle, spawn},
    model::{Command, Event, IfName, NextHop, NextHopId, Ns, Object, Op, Route, RouteTarget},
    owner::Owner,
};

/// As in the engine.
const BATCH: usize = 256;
/// Operations handed over at a time, as the tracker does.
const APPLY: usize = 4096;
const ROUNDS: usize = 5;
const FIRST_ID: u32 = Owner::NEXT_HOP_IDS.start;

fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to make a network namespace");
        return;
    }
    #[allow(deprecated, reason = "its replacement is unsafe for flags that are not used here")]
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).expect("a network namespace");
    for (link, v4, v6) in
        [("eth1", "50.1.1.1/24", "2001:db8:1::1/64"), ("eth2", "60.1.1.1/24", "2001:db8:2::1/64")]
    {
        ip(&format!("link add {link} type veth peer name {link}p"));
        ip(&format!("link set {link}p up"));
        ip(&format!("link set {link} up"));
        ip(&format!("addr add {v4} dev {link}"));
        ip(&format!("addr add {v6} dev {link} nodad"));
    }
    ip("link set lo up");

    println!("Best of {ROUNDS} rounds; batches of {BATCH}, acknowledgement on the last.");
    println!("{:<28} {:^25}  {:^25}", "", "k routes/s", "processor µs a route");
    println!(
        "{:<28} {:>8} {:>8} {:>7}  {:>8} {:>8} {:>7}",
        "", "raw", "engine", "ratio", "raw", "engine", "ratio"
    );
    for count in [100_000, 200_000] {
        for v6 in [false, true] {
            for by_id in [false, true] {
                compare(count, v6, by_id);
            }
        }
    }
    println!();
    for compat in ["1", "0"] {
        fail_over(200_000, compat);
    }
}

fn ip(arguments: &str) {
    assert!(
        Process::new("ip").args(arguments.split_whitespace()).status().is_ok_and(|s| s.success()),
        "{arguments}"
    );
}

fn prefix(n: u32, v6: bool) -> IpNet {
    if v6 {
        IpNet::from(IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0x9999, 0, 0, 0, (n >> 16) as u16, n as u16)))
    } else {
        IpNet::from(IpAddr::from(Ipv4Addr::from((10 << 24) + n)))
    }
}

fn gateway(v6: bool) -> IpAddr {
    if v6 { "2001:db8:1::2".parse() } else { "50.1.1.2".parse() }.expect("an address")
}

fn compare(count: u32, v6: bool, by_id: bool) {
    let (mut raw, mut engine) = (Cost::WORST, Cost::WORST);
    ip(&format!("nexthop add id {FIRST_ID} via {} dev eth1 proto 112", gateway(v6)));
    for _ in 0..ROUNDS {
        let mut kernel = Raw::open();
        let batches = Raw::routes(count, v6, by_id, true);
        raw.take_better(measure("thread-self", || kernel.send(&batches)));
        kernel.send(&Raw::routes(count, v6, by_id, false));

        let (handle, applied) = start();
        let ops = creations(count, v6, by_id);
        engine.take_better(measure(&engine_thread(), || apply(&handle, &applied, ops)));
        drop(handle);
        kernel.send(&Raw::routes(count, v6, by_id, false));
    }
    ip(&format!("nexthop del id {FIRST_ID}"));
    let label = format!(
        "{}k IPv{} by {}",
        count / 1000,
        if v6 { 6 } else { 4 },
        if by_id { "next hop id" } else { "gateway" }
    );
    let rate = |cost: &Cost| f64::from(count) / cost.wall / 1000.0;
    let each = |cost: &Cost| cost.cpu / f64::from(count) * 1e6;
    println!(
        "{label:<28} {:>8.0} {:>8.0} {:>6.0}%  {:>8.2} {:>8.2} {:>6.0}%",
        rate(&raw),
        rate(&engine),
        100.0 * raw.wall / engine.wall,
        each(&raw),
        each(&engine),
        100.0 * raw.cpu / engine.cpu,
    );
}

/// Seconds. The kernel does its part on the thread that sends, so that a thread's processor time tells the cost even
/// where other programs want the processors too.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

impl Cost {
    const WORST: Self = Self { wall: f64::MAX, cpu: f64::MAX };

    fn take_better(&mut self, other: Self) {
        self.wall = self.wall.min(other.wall);
        self.cpu = self.cpu.min(other.cpu);
    }
}

/// What `work` costs: time that it says, and processor time of the thread at that place below `/proc`.
fn measure(thread: &str, work: impl FnOnce() -> Duration) -> Cost {
    let before = processor_time(thread);
    let wall = work().as_secs_f64();
    Cost { wall, cpu: processor_time(thread) - before }
}

/// proc(5), `schedstat`: nanoseconds on a processor come first.
fn processor_time(thread: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{thread}/schedstat")).expect("schedstat");
    text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).expect("a number") / 1e9
}

fn engine_thread() -> String {
    std::fs::read_dir("/proc/self/task")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .map(|task| format!("self/task/{task}"))
        .find(|task| {
            std::fs::read_to_string(format!("/proc/{task}/comm")).is_ok_and(|name| name == "kernel\n")
        })
        .expect("the engine's thread")
}

fn creations(count: u32, v6: bool, by_id: bool) -> Vec<Op> {
    let owner = Owner::default();
    let link = IfName::new("eth1").expect("a name");
    let target = if by_id {
        RouteTarget::NextHop(NextHopId(FIRST_ID))
    } else {
        RouteTarget::Link { link, via: Some(gateway(v6)) }
    };
    let route = Route { target, preferred_source: None };
    (0..count).map(|n| Op::Create(Object::Route(owner.route_key(prefix(n, v6)), route.clone()))).collect()
}

/// The engine, and where its answers come out: the number of operations and of failures.
fn start() -> (Handle, mpsc::Receiver<(usize, usize)>) {
    let (sender, applied) = mpsc::channel();
    let handle = spawn(Owner::default(), move |event| {
        if let Event::Applied { results, .. } = event {
            let failures = results.iter().filter(|(_, result)| result.is_err()).count();
            // nobody listens any more at the end
            let _ = sender.send((results.len(), failures));
        }
    })
    .expect("the engine");
    (handle, applied)
}

/// From the first command to the last answer.
fn apply(handle: &Handle, applied: &mpsc::Receiver<(usize, usize)>, mut ops: Vec<Op>) -> Duration {
    let count = ops.len();
    let mut parts = Vec::new();
    while !ops.is_empty() {
        let rest = ops.split_off(ops.len().min(APPLY));
        parts.push(std::mem::replace(&mut ops, rest));
    }
    let begin = Instant::now();
    for (batch, ops) in parts.into_iter().enumerate() {
        handle.send(Command::Apply { batch: batch as u64, ops }).expect("the engine runs");
    }
    let mut done = 0;
    while done < count {
        let (operations, failures) = applied.recv().expect("the engine runs");
        assert_eq!(failures, 0);
        done += operations;
    }
    begin.elapsed()
}

fn fail_over(count: u32, compat: &str) {
    let (handle, applied) = start();
    let mode = Object::Sysctl(Ns::HOST, "net/ipv4/nexthop_compat_mode".into(), compat.into());
    let single = |n: u32, link: &str, via: &str| {
        let link = IfName::new(link).expect("a name");
        let via = via.parse().expect("an address");
        Object::NextHop(NextHopId(FIRST_ID + n), NextHop::Single { via, link, onlink: false })
    };
    let group = |members: &[u32]| {
        let members = members.iter().map(|n| NextHopId(FIRST_ID + n)).collect();
        Object::NextHop(NextHopId(FIRST_ID), NextHop::Group(members))
    };
    let mut ops = vec![
        Op::Change(mode),
        Op::Create(single(1, "eth1", "50.1.1.2")),
        Op::Create(single(2, "eth2", "60.1.1.2")),
        Op::Create(group(&[1, 2])),
    ];
    ops.extend(creations(count, false, true));
    apply(&handle, &applied, ops);
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        best = best.min(apply(&handle, &applied, vec![Op::Change(group(&[2]))]).as_secs_f64());
        apply(&handle, &applied, vec![Op::Change(group(&[1, 2]))]);
    }
    println!(
        "fail-over of {}k routes by one group, nexthop_compat_mode {compat}: {:.2} ms",
        count / 1000,
        best * 1e3
    );
    drop(handle);
    for n in 0..3 {
        ip(&format!("nexthop del id {}", FIRST_ID + n));
    }
}

/// The limit: a socket and nothing else.
struct Raw {
    socket: Socket,
    answer: Vec<u8>,
}

impl Raw {
    fn open() -> Self {
        let mut socket = Socket::new(NETLINK_ROUTE).expect("a socket");
        socket.bind_auto().expect("an address");
        Self { socket, answer: Vec::with_capacity(1 << 16) }
    }

    /// Batches that create or delete what [`creations`] creates.
    fn routes(count: u32, v6: bool, by_id: bool, create: bool) -> Vec<Vec<u8>> {
        let index: u32 = std::fs::read_to_string("/proc/thread-self/net/dev_mcast")
            .expect("/proc")
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some("eth1"))
            .and_then(|line| line.split_whitespace().next()?.parse().ok())
            .expect("eth1");
        let numbers: Vec<u32> = (0..count).collect();
        let batch = |chunk: &[u32]| {
            let mut bytes = Vec::new();
            for (at, n) in chunk.iter().enumerate() {
                let start = bytes.len();
                let acknowledge = if at + 1 == chunk.len() { 4 } else { 0 };
                let (kind, flags) = if create { (24u16, 0x601u16) } else { (25, 1) };
                bytes.extend_from_slice(&[0; 4]);
                bytes.extend_from_slice(&kind.to_ne_bytes());
                bytes.extend_from_slice(&(flags | acknowledge).to_ne_bytes());
                bytes.extend_from_slice(&[0; 8]);
                let (family, length) = if v6 { (10, 128) } else { (2, 32) };
                bytes.extend_from_slice(&[family, length, 0, 0, 254, 112, 0, 1, 0, 0, 0, 0]);
                let mut attribute = |kind: u16, payload: &[u8]| {
                    bytes.extend_from_slice(&(payload.len() as u16 + 4).to_ne_bytes());
                    bytes.extend_from_slice(&kind.to_ne_bytes());
                    bytes.extend_from_slice(payload);
                };
                let octets = |address| match address {
                    IpAddr::V4(a) => a.octets().to_vec(),
                    IpAddr::V6(a) => a.octets().to_vec(),
                };
                attribute(1, &octets(prefix(*n, v6).addr()));
                attribute(6, &(if v6 { Owner::METRIC6 } else { Owner::METRIC }).to_ne_bytes());
                if create && by_id {
                    attribute(30, &FIRST_ID.to_ne_bytes());
                } else if create {
                    attribute(4, &index.to_ne_bytes());
                    attribute(5, &octets(gateway(v6)));
                }
                let length = (bytes.len() - start) as u32;
                bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
            }
            bytes
        };
        numbers.chunks(BATCH).map(batch).collect()
    }

    fn send(&mut self, batches: &[Vec<u8>]) -> Duration {
        let begin = Instant::now();
        for batch in batches {
            self.socket.send(batch, 0).expect("sent");
            self.answer.clear();
            self.socket.recv(&mut self.answer, 0).expect("an answer");
            assert_eq!(self.answer.get(16..20), Some(&[0; 4][..]), "refused");
        }
        begin.elapsed()
    }
}
