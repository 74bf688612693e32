//! What policies cost: ten thousand rules over two hundred groups and a thousand members. How long the kernel takes to
//! load them, to take one rule more, and for each packet; the last beside no rules, and beside the same rules one after
//! the other, as iptables would have them.
//!
//! Works in a network namespace of its own; needs root, `ip` and `nft`. `cargo bench -p petiole-fib --bench acl`.

use std::{
    fmt::Write as _,
    fs::File,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    process::{Command as Process, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use petiole_fib::{
    acl::{self, AclTable, Case, Known, Outcome, Scope, Sentence, Service, Side},
    kernel::{Handle, spawn},
    model::{Command, Concern, Event, Key, NftFamily, Ns, Object, Op, TableRef},
    owner::Owner,
};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket},
    thread::{CpuSet, LinkNameSpaceType, UnshareFlags, move_into_link_name_space, sched_setaffinity},
};

const GROUPS: u32 = 200;
const RULES_EACH: u32 = 50;
const MEMBERS: u32 = 1000;
const PACKETS: u32 = 100_000;
const ROUNDS: usize = 1000;

struct Engine {
    handle: Handle,
    events: Receiver<Event>,
}

fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to make a network namespace");
        return;
    }
    #[allow(deprecated, reason = "its replacement is unsafe for flags that are not used here")]
    rustix::thread::unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS).expect("a network namespace");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("private mounts");
    std::fs::create_dir_all("/run/netns").expect("/run/netns");
    mount("tmpfs", "/run/netns", "tmpfs", MountFlags::empty(), None).expect("a file system for namespaces");
    let sender = host();

    let (tell, events) = mpsc::channel();
    let handle = spawn(Owner::default(), move |event| drop(tell.send(event))).expect("the engine");
    let engine = Engine { handle, events };
    engine.dump();

    let (rules, one_more) = (table(), extra_rule());
    let mut objects =
        vec![Object::Table(TableRef { family: NftFamily::Inet, name: Owner::NFT_TABLE.into() })];
    let program = order(acl::program(&rules, []));
    let elements = order(acl::elements(&rules));
    let members: Vec<Object> =
        rules.members.iter().map(|((scope, address), known)| acl::member(*scope, *address, *known)).collect();
    println!(
        "{} rules in {GROUPS} groups: {} elements; {MEMBERS} members",
        GROUPS * RULES_EACH,
        elements.len()
    );

    // Connections that are not answered are new with every packet: all of them are judged.
    let nothing = per_packet(&sender, flow(&rules, 7));
    println!("\nforwarded packet without conntrack and rules    {nothing:8.0} ns");
    nft("table inet track { chain c { type filter hook forward priority -10; ct state invalid counter; }; }");
    let tracked = per_packet(&sender, flow(&rules, 7));
    println!("with connection tracking alone                  {tracked:8.0} ns");

    objects.extend(program);
    let empty = engine.must(objects.into_iter().map(Op::Create).collect());
    let idle = per_packet(&sender, flow(&rules, 7));
    println!("with the program, without members               {idle:8.0} ns  {:+8.0}", idle - tracked);
    let load = engine.must(elements.into_iter().chain(members).map(Op::Create).collect());
    for (what, source) in
        [("members of two groups, a rule decides", 7), ("an outsider and a member", u32::MAX)]
    {
        let cost = per_packet(&sender, flow(&rules, source));
        println!("{what:<47} {cost:8.0} ns  {:+8.0}", cost - tracked);
    }
    let established = per_packet_established(&sender, &rules);
    println!(
        "part of a connection that was let through       {established:8.0} ns  {:+8.0}",
        established - tracked
    );

    println!("\nprogram loaded in {:.1} ms, elements in {:.1} ms", ms(empty), ms(load));
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        times.push(engine.must(one_more.iter().cloned().map(Op::Create).collect()));
        engine.must(one_more.iter().rev().map(|object| Op::Delete(object.key())).collect());
    }
    println!(
        "one rule more ({} elements): p50 {:.0} µs, p99 {:.0} µs",
        one_more.len(),
        us(&mut times, 50),
        us(&mut times, 99)
    );
    let address = IpAddr::from(Ipv4Addr::new(172, 16, 200, 1));
    let member = acl::member(Scope::ROUTED, address, Known { group: 3, identity: 1003 });
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..ROUNDS {
        times.push(engine.must(vec![Op::Create(member.clone())]));
        engine.must(vec![Op::Delete(member.key())]);
    }
    println!("one member more: p50 {:.0} µs, p99 {:.0} µs", us(&mut times, 50), us(&mut times, 99));

    engine.must(vec![Op::Delete(Key::Table(TableRef {
        family: NftFamily::Inet,
        name: Owner::NFT_TABLE.into(),
    }))]);
    for count in [100, 1000, 10_000] {
        let load = linear(count);
        let cost = per_packet(&sender, flow(&rules, 7));
        println!(
            "{count:>6} rules one after the other, loaded by nft in {:.0} ms: {cost:8.0} ns  {:+8.0}",
            ms(load),
            cost - tracked
        );
        nft("delete table inet linear");
    }
}

impl Engine {
    fn must(&self, ops: Vec<Op>) -> Duration {
        let start = Instant::now();
        self.handle.send(Command::Apply { batch: 0, ops }).expect("the engine");
        loop {
            if let Event::Applied { results, .. } = self.events.recv().expect("an answer") {
                let took = start.elapsed();
                for (key, result) in results {
                    assert!(result.is_ok(), "{key:?}: {result:?}");
                }
                return took;
            }
        }
    }

    fn dump(&self) {
        self.handle.send(Command::Dump(Ns::HOST, Concern::Nft)).expect("the engine");
        while !matches!(self.events.recv().expect("an answer"), Event::Dump { last: true, .. }) {}
    }
}

/// What is looked up and jumped to comes first.
fn order(objects: Vec<Object>) -> Vec<Object> {
    let jumped = |object: &Object| matches!(object, Object::Chain(_, chain) if chain.hook.is_none());
    let (sets, rest): (Vec<_>, Vec<_>) = objects.into_iter().partition(|o| matches!(o, Object::Set(..)));
    let (inner, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(jumped);
    sets.into_iter().chain(inner).chain(rest).collect()
}

fn member(n: u32) -> IpAddr {
    Ipv4Addr::from(0xac10_0000 + 1 + n).into()
}

/// The rule `m` of a group is about TCP and UDP from a group to one port.
fn port(m: u32) -> u16 {
    8000 + m as u16
}

fn peer(group: u32, m: u32) -> u32 {
    1 + (group * 7 + m * 3) % GROUPS
}

fn table() -> AclTable {
    let mut table = AclTable::default();
    for n in 0..MEMBERS {
        let group = 1 + n % GROUPS;
        table.members.insert((Scope::ROUTED, member(n)), Known { group, identity: 1000 + group });
    }
    for group in 1..=GROUPS {
        (0..RULES_EACH).for_each(|m| rule(group, m, &mut table));
    }
    table
}

/// Adds a rule to the table, as classes and cases of its own.
fn rule(group: u32, m: u32, table: &mut AclTable) {
    let number = group * 1000 + m + 1;
    let class = m + 1;
    table.classes[Side::In.index()].insert((group, 1000 + peer(group, m)), class);
    let service = Service::port(17, port(m));
    let outcome = Outcome { urgency: 2 + m % 5, rule: number };
    table.cases[Side::In.index()].insert(Case { group, class, first: service, last: service }, outcome);
    table.sentences.insert(number, Sentence { drop: m % 2 == 1, log: None });
}

/// The elements that one rule more is.
fn extra_rule() -> Vec<Object> {
    let mut table = AclTable::default();
    rule(9, 900, &mut table);
    order(acl::elements(&table))
}

/// From a member, or somebody unknown, to a member.
fn flow(table: &AclTable, source: u32) -> (IpAddr, IpAddr, u16) {
    let destination = member(8);
    let Known { group, .. } = table.members[&(Scope::ROUTED, destination)];
    let from =
        if source == u32::MAX { Ipv4Addr::new(172, 30, 0, 1).into() } else { member(peer(group, 0) - 1) };
    (from, destination, port(0))
}

/// Makes this namespace a host that forwards what the namespace `client` sends, and a raw socket in there.
fn host() -> OwnedFd {
    for line in [
        "link set lo up",
        "netns add client",
        "netns add server",
        "link add vclient type veth peer name eth0 netns client",
        "link add vserver type veth peer name eth0 netns server",
        "link set vclient up",
        "link set vserver arp off up",
        "addr add 10.1.0.1/24 dev vclient",
        "-n client link set eth0 up",
        "-n client addr add 10.1.0.2/24 dev eth0",
        "-n client route add default via 10.1.0.1",
        "-n server link set eth0 up",
        "route add 172.16.0.0/12 dev vserver",
    ] {
        assert!(Process::new("ip").args(line.split(' ')).status().expect("ip").success(), "ip {line}");
    }
    for (path, value) in [("ip_forward", "1"), ("conf/all/rp_filter", "0"), ("conf/vclient/rp_filter", "0")] {
        std::fs::write(format!("/proc/sys/net/ipv4/{path}"), value).expect("a sysctl");
    }
    let file = File::open("/run/netns/client").expect("a namespace");
    let open = move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("to get in");
        socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW)).expect("a raw socket")
    };
    let socket = std::thread::spawn(open).join().expect("a socket");
    let mut processor = CpuSet::new();
    processor.set(0);
    sched_setaffinity(None, &processor).expect("to stay on a processor");
    socket
}

/// Nanoseconds until a packet has been sent, forwarded and received: all of it happens in the call that sends it, on one
/// processor. The least of several rounds.
fn per_packet(sender: &OwnedFd, (from, to, port): (IpAddr, IpAddr, u16)) -> f64 {
    let round = |first: u32| {
        let start = Instant::now();
        for n in first..first + PACKETS / 10 {
            send(sender, from, to, 1024 + (n % 60_000) as u16, port);
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(PACKETS / 10)
    };
    (0..20).map(|n| round(n * PACKETS / 10)).fold(f64::INFINITY, f64::min)
}

/// The same for one connection, to which there has been an answer.
fn per_packet_established(sender: &OwnedFd, table: &AclTable) -> f64 {
    let (from, to, port) = flow(table, 7);
    send(sender, from, to, 999, port);
    send(sender, to, from, port, 999);
    let round = || {
        let start = Instant::now();
        for _ in 0..PACKETS / 10 {
            send(sender, from, to, 999, port);
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(PACKETS / 10)
    };
    (0..20).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn send(socket: &OwnedFd, from: IpAddr, to: IpAddr, source: u16, port: u16) {
    let (IpAddr::V4(a), IpAddr::V4(b)) = (from, to) else { return };
    let mut packet = [0; 40];
    packet[..12].copy_from_slice(&[0x45, 0, 0, 40, 0, 1, 0, 0, 64, 17, 0, 0]);
    packet[12..16].copy_from_slice(&a.octets());
    packet[16..20].copy_from_slice(&b.octets());
    packet[20..22].copy_from_slice(&source.to_be_bytes());
    packet[22..24].copy_from_slice(&port.to_be_bytes());
    packet[24..26].copy_from_slice(&20_u16.to_be_bytes());
    sendto(socket, &packet, SendFlags::empty(), &SocketAddr::new(to, 0)).expect("to send");
}

/// So many rules of which the last one is about the packet.
fn linear(count: u32) -> Duration {
    let mut text = String::from("table inet linear { chain c { type filter hook forward priority 1;\n");
    let _ = writeln!(text, "ct state established,related accept");
    for n in 0..count {
        let (group, m) = (1 + n / RULES_EACH, n % RULES_EACH);
        let (from, to) = (member(peer(group, m) - 1 + 1000), member(group + 2000));
        let _ = writeln!(text, "ip saddr {from} ip daddr {to} udp dport {} counter drop", port(m));
    }
    text += "}\n}\n";
    let start = Instant::now();
    let mut child = Process::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("to write");
    assert!(child.wait().expect("nft").success());
    start.elapsed()
}

fn nft(line: &str) {
    assert!(Process::new("nft").arg(line).status().expect("nft").success(), "nft {line}");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn us(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[times.len() * percent / 100].as_secs_f64() * 1e6
}
