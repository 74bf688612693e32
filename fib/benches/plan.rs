//! What the tracker itself costs, without a kernel: a million learned routes wanted, planned, answered, moved and
//! removed. Processor time. `cargo bench -p petiole-fib --bench plan`.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use ipnet::{IpNet, Ipv4Net};
use petiole_fib::{
    model::{Command, Concern, Event, IfName, LinkKind, LinkState, Mac, Ns, Object, Observed},
    nexthops::{Hop, NextHops},
    owner::Owner,
    plan::Fib,
};

const ROUTES: u32 = 1_000_000;
/// Operations handed over at a time.
const SLICE: usize = 4096;

fn main() {
    let mut fib = Fib::new(Owner::default());
    let now = Instant::now();
    get_to_know(&mut fib, now);
    let (both, one, other) = (set(&[LEAF1, LEAF2]), set(&[LEAF1]), set(&[LEAF2]));

    println!("{ROUTES} IPv4 routes, slices of {SLICE}");
    let before = resident();
    report("want", ROUTES, || {
        (0..ROUTES).for_each(|n| fib.want_route(prefix(n), &both, None));
    });
    report("plan and answer", ROUTES, || drain(&mut fib, now));
    assert_eq!(fib.counters().routes_installed, ROUTES as usize);
    println!("{:<34} {:>9.1} MiB resident", "", resident() - before);
    report("want the same again", ROUTES, || {
        (0..ROUTES).for_each(|n| fib.want_route(prefix(n), &both, None));
    });
    report("plan of nothing", 1, || assert!(fib.plan(SLICE, now).is_empty()));

    report("a gateway down, one operation", 1, || {
        fib.hop_down(LEAF1.0, &link(LEAF1.1));
        let ops = fib.plan(SLICE, now);
        assert_eq!(ops.len(), 1);
        fib.applied(ops.iter().map(|op| (op.key(), Ok(()))).collect(), now);
    });
    report("move all to the smaller set", ROUTES, || {
        (0..ROUTES).for_each(|n| fib.want_route(prefix(n), &other, None));
        drain(&mut fib, now);
    });
    fib.hop_up(LEAF1.0, &link(LEAF1.1));
    report("move all to another gateway", ROUTES, || {
        (0..ROUTES).for_each(|n| fib.want_route(prefix(n), &one, None));
        drain(&mut fib, now);
    });
    report("the kernel drops a next hop", 1, || {
        fib.observe(Event::Object(Observed::Link(state(LEAF1.1, 2, false))), now);
    });
    assert_eq!(fib.counters().routes_installed, 0);
    fib.observe(Event::Object(Observed::Link(state(LEAF1.1, 2, true))), now);
    report("all of them back", ROUTES, || drain(&mut fib, now));
    report("remove", ROUTES, || {
        (0..ROUTES).for_each(|n| fib.unwant_route(prefix(n)));
        drain(&mut fib, now);
    });
    assert!(fib.idle(), "{:?}", fib.counters());
}

const LEAF1: (IpAddr, &str) = (IpAddr::V4(Ipv4Addr::new(50, 1, 1, 2)), "eth1");
const LEAF2: (IpAddr, &str) = (IpAddr::V4(Ipv4Addr::new(60, 1, 1, 2)), "eth2");

fn set(hops: &[(IpAddr, &str)]) -> NextHops {
    hops.iter().map(|(via, over)| Hop { via: *via, link: link(over), onlink: false }).collect()
}

fn link(name: &str) -> IfName {
    IfName::new(name).expect("a name")
}

fn prefix(n: u32) -> IpNet {
    let address = Ipv4Addr::from(0x1400_0000 + (n << 8));
    IpNet::V4(Ipv4Net::new_assert(address, 24))
}

fn state(name: &str, index: u32, carrier: bool) -> LinkState {
    LinkState {
        ns: Ns::HOST,
        index,
        name: link(name),
        kind: LinkKind::Foreign,
        mac: Some(Mac([6, 0, 0, 0, 0, 1])),
        mtu: 1500,
        up: true,
        carrier,
        alias: None,
        port: None,
        group: 0,
    }
}

/// Answers the first dumps: two uplinks with their addresses, no routes.
fn get_to_know(fib: &mut Fib, now: Instant) {
    for request in fib.take_requests() {
        let Command::Dump(ns, concern) = request else { continue };
        let objects = match concern {
            Concern::Links => ["eth1", "eth2"]
                .iter()
                .zip(2..)
                .map(|(name, index)| Observed::Link(state(name, index, true)))
                .collect(),
            Concern::Addresses => [("eth1", "50.1.1.1/24"), ("eth2", "60.1.1.1/24")]
                .map(|(name, net)| Observed::Object {
                    object: Object::Address(Ns::HOST, link(name), net.parse().expect("an address")),
                    protocol: 0,
                })
                .to_vec(),
            _ => Vec::new(),
        };
        fib.observe(Event::Dump { ns, concern, objects, last: true }, now);
    }
}

/// Plans and answers until nothing is left.
fn drain(fib: &mut Fib, now: Instant) {
    loop {
        let ops = fib.plan(SLICE, now);
        if ops.is_empty() {
            return;
        }
        fib.applied(ops.iter().map(|op| (op.key(), Ok(()))).collect(), now);
    }
}

fn report(what: &str, count: u32, run: impl FnOnce()) {
    let (start, wall) = (processor_time(), Instant::now());
    run();
    let took = processor_time() - start;
    if count == 1 {
        // Too short for the scheduler's account.
        println!("{what:<34} {:>9.3} ms", wall.elapsed().as_secs_f64() * 1e3);
    } else {
        println!("{what:<34} {:>9.1} ms  {:>6.0} ns each", took / 1e6, took / f64::from(count));
    }
}

/// proc(5), `schedstat`: nanoseconds on a processor come first. Not the time that passes: other programs may want the
/// processor too.
fn processor_time() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// MiB, from `/proc/self/statm`.
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / 1024.0 / 1024.0
}
