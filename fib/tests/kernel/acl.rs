//! The kernel judges packets as [`AclTable::judge`] says, over random tables, each made out of the one before by the
//! tracker; and both say what they are meant to.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use petiole_fib::{
    acl::{self, AclTable, Area, Case, Flow, Known, Outcome, Scope, Sentence, Service, Side},
    model::{Key, Object, TableRef},
};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

use crate::{
    lab::{Lab, ip, lab, name},
    nft::{nft, table},
    tracker::Driver,
    traffic::host,
};

/// Repeatable chance (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// The n-th address of those that the tables are about.
fn address(n: u8, v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into()).into()
    } else {
        Ipv4Addr::new(172, 16, 0, n).into()
    }
}

const ADDRESSES: u8 = 12;
const GROUPS: u32 = 3;

fn services(v6: bool) -> Vec<Service> {
    let icmp = if v6 { 58 } else { 1 };
    let echo = if v6 { 128 } else { 8 };
    vec![
        Service::port(6, 80),
        Service::port(6, 81),
        Service::port(6, 8001),
        Service::port(17, 53),
        Service::port(17, 80),
        Service::port(132, 9),
        Service::icmp(icmp, echo, 0),
        Service::icmp(icmp, 1, 3),
        Service::port(47, 0),
        Service::port(50, 0),
    ]
}

fn random_table(chance: &mut Chance) -> AclTable {
    let mut table = AclTable::default();
    if chance.one_in(3) {
        table.scopes.insert(name("vclient"), Scope(7));
    }
    for scope in [Scope::ROUTED, Scope(7)] {
        for v6 in [false, true] {
            for n in 0..ADDRESSES {
                if chance.one_in(3) {
                    let known =
                        Known { group: 1 + chance.below(3) as u32, identity: 1 + chance.below(5) as u32 };
                    table.members.insert((scope, address(n, v6)), known);
                }
            }
            let mut at = 0;
            while at < ADDRESSES {
                let last = (at + chance.below(4) as u8).min(ADDRESSES);
                if chance.one_in(2) {
                    let area = Area { scope, first: address(at, v6), last: address(last, v6) };
                    let known = Known { group: chance.below(3) as u32, identity: chance.below(6) as u32 };
                    table.areas.insert(area, known);
                }
                at = last + 1;
            }
        }
    }
    for side in Side::BOTH {
        for group in 0..=GROUPS {
            for identity in 0..6 {
                if chance.one_in(2) {
                    table.classes[side.index()].insert((group, identity), 1 + chance.below(2) as u32);
                }
            }
            for class in 0..3 {
                let mut bounds: Vec<u32> = (0..chance.below(6))
                    .map(|_| {
                        let v6 = chance.one_in(2);
                        let service = chance.of(&services(v6)).0;
                        service + chance.below(3) as u32 - 1
                    })
                    .collect();
                bounds.push(0);
                bounds.sort_unstable();
                bounds.dedup();
                for (i, first) in bounds.iter().enumerate() {
                    let last = bounds.get(i + 1).map_or(Service::LAST.0, |next| next - 1);
                    let case = Case { group, class, first: Service(*first), last: Service(last) };
                    let urgency = 1 + chance.below(4) as u32;
                    let said = Outcome { urgency, rule: 1 + chance.below(6) as u32 };
                    let outcome = if chance.one_in(2) { said } else { Outcome::default() };
                    // Now and then one is missing, as it may be for a moment.
                    if !chance.one_in(20) {
                        table.cases[side.index()].insert(case, outcome);
                    }
                }
            }
        }
    }
    for rule in 1..=6 {
        let log = chance.one_in(4).then(|| format!("rule {rule}: ").into());
        table.sentences.insert(rule, Sentence { drop: chance.one_in(2), log });
    }
    table
}

fn objects(table: &AclTable) -> HashMap<Key, Object> {
    let mut all = vec![Object::Table(self::table())];
    all.extend(acl::program(false, [6]));
    all.extend(acl::elements(table));
    all.extend(table.members.iter().map(|((scope, address), known)| acl::member(*scope, *address, *known)));
    all.into_iter().map(|object| (object.key(), object)).collect()
}

/// Sends packets from a container that the host forwards, and sees which of them pass.
struct Probe {
    v4: OwnedFd,
    v6: OwnedFd,
}

impl Probe {
    fn new(lab: &Lab) -> Self {
        // What one processor sends stays in order.
        let mut processor = rustix::thread::CpuSet::new();
        processor.set(0);
        rustix::thread::sched_setaffinity(None, &processor).unwrap();
        host(lab);
        for setting in ["all/rp_filter", "vclient/rp_filter"] {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{setting}"), "0").unwrap();
        }
        ip("link add sink type veth peer name sinkp");
        ip("link set sink arp off up");
        ip("link set sinkp up");
        ip("route add 172.16.0.0/12 dev sink");
        ip("route add fd00::/16 dev sink");
        nft("add table inet probe");
        nft("add set inet probe seen4 { typeof ip id; size 65535; flags dynamic; }");
        nft("add set inet probe seen6 { typeof ip6 flowlabel; size 65535; flags dynamic; }");
        nft("add chain inet probe c { type filter hook forward priority 10; }");
        for seen in [
            "ip saddr 172.16.0.0/12 update @seen4 { ip id } drop",
            "ip6 saddr fd00::/16 update @seen6 { ip6 flowlabel } drop",
        ] {
            nft(&format!("add rule inet probe c iifname vclient {seen}"));
        }
        let file = File::open("/run/netns/client").unwrap();
        let open = move || {
            use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let raw = |family| socket(family, SocketType::RAW, Some(ipproto::RAW)).unwrap();
            Self { v4: raw(AddressFamily::INET), v6: raw(AddressFamily::INET6) }
        };
        std::thread::spawn(open).join().unwrap()
    }

    /// The number must not be 0: the kernel takes another one then.
    fn send(&self, number: u16, flow: &Flow) {
        let (head, socket): (Vec<u8>, _) = match (flow.source, flow.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let [a, b] = number.to_be_bytes();
                let start = [0x45, 0, 0, 40, a, b, 0, 0, 64, flow.service.protocol(), 0, 0];
                ([&start[..], &from.octets(), &to.octets()].concat(), &self.v4)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let [a, b] = number.to_be_bytes();
                let start = [0x60, 0, a, b, 0, 20, flow.service.protocol(), 64];
                ([&start[..], &from.octets(), &to.octets()].concat(), &self.v6)
            }
            _ => panic!("of two families"),
        };
        let [a, b] = flow.service.number().to_be_bytes();
        let mut transport = match flow.service.protocol() {
            1 | 58 => [a, b, 0, 0],
            _ => [0x12, 0x34, a, b],
        }
        .to_vec();
        transport.resize(20, 0);
        let packet = [head, transport].concat();
        sendto(socket, &packet, SendFlags::empty(), &SocketAddr::new(flow.destination, 0)).unwrap();
    }

    /// The numbers of the packets that passed, when the last one, which nobody judges, has.
    fn passed(&self, v6: bool) -> BTreeSet<u16> {
        let last = Flow {
            scope: Scope::ROUTED,
            source: address(100, v6),
            destination: address(101, v6),
            service: Service::port(17, 9),
            mark: 0,
        };
        self.send(u16::MAX, &last);
        let set = if v6 { "seen6" } else { "seen4" };
        let start = Instant::now();
        loop {
            let text = nft(&format!("list set inet probe {set}"));
            let list = text.split_once("elements = {").map_or("", |(_, rest)| rest);
            let numbers: BTreeSet<u16> = list
                .split(|c: char| !c.is_ascii_hexdigit() && c != 'x')
                .filter(|word| !word.is_empty())
                .filter_map(|word| match word.strip_prefix("0x") {
                    Some(hex) => u16::from_str_radix(hex, 16).ok(),
                    None => word.parse().ok(),
                })
                .collect();
            if numbers.contains(&u16::MAX) {
                nft(&format!("flush set inet probe {set}"));
                return numbers;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "the last packet did not come: {text}");
        }
    }
}

#[test]
fn the_kernel_judges_as_the_tables_say() {
    lab(|lab| {
        let probe = Probe::new(lab);
        let driver = Driver::new(lab);
        let seed = std::env::var("ACL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        let rounds: usize = std::env::var("ACL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
        let mut before: HashMap<Key, Object> = HashMap::new();
        let (mut dropped, mut judged) = (0, 0);
        for round in 0..rounds as u64 {
            let mut chance = Chance(seed + round);
            let table = random_table(&mut chance);
            let wanted = objects(&table);
            for key in before.keys().filter(|key| !wanted.contains_key(key)) {
                driver.fib.borrow_mut().unwant(key);
            }
            for object in wanted.values() {
                driver.fib.borrow_mut().want(object.clone());
            }
            before = wanted;
            driver.settle();
            for v6 in [false, true] {
                let mut flows = Vec::new();
                for number in 1..=120 {
                    let flow = Flow {
                        scope: table.scopes.get(&name("vclient")).copied().unwrap_or_default(),
                        source: address(chance.below(ADDRESSES.into()) as u8, v6),
                        destination: address(chance.below(ADDRESSES.into()) as u8, v6),
                        service: chance.of(&services(v6)),
                        mark: 0,
                    };
                    probe.send(number, &flow);
                    flows.push(flow);
                }
                let passed = probe.passed(v6);
                for (number, flow) in flows.iter().enumerate() {
                    let decision = table.judge(flow);
                    let drop = decision.is_some_and(|decision| decision.drop);
                    judged += usize::from(decision.is_some());
                    dropped += usize::from(drop);
                    assert_eq!(
                        passed.contains(&(number as u16 + 1)),
                        !drop,
                        "seed {}: {flow:?} {decision:?}\n{table:#?}\n{}",
                        seed + round,
                        nft("list table inet petiole")
                    );
                }
            }
        }
        println!("{rounds} tables, {judged} packets judged, {dropped} of them dropped");
        assert!(dropped * 5 > judged && dropped * 2 < judged * 2);
    });
}

/// `nft` can show all of it: an operator will want that.
#[test]
fn the_nft_program_can_read_the_table() {
    lab(|lab| {
        let driver = Driver::new(lab);
        for object in objects(&random_table(&mut Chance(7))).into_values() {
            driver.fib.borrow_mut().want(object);
        }
        driver.settle();
        let TableRef { name, .. } = table();
        let text = nft(&format!("list table inet {name}"));
        assert!(text.contains("acl-members4") && text.contains("counter"));
    });
}
