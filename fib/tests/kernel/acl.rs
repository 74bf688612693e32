//! The kernel judges packets as [`AclTable::judge`] says, over random tables, each made out of the one before by the
//! tracker; and both say what they are meant to.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use petiole_fib::{
    acl::{self, AclTable, Area, Case, Flow, Known, Outcome, Scope, Sentence, Service, Side},
    model::{Key, Object, TableRef},
};
use petiole_netns_tests::{
    Chance,
    inject::{Injector, Packet},
};

use crate::{
    lab::{Lab, ip, lab, name},
    nft::{nft, table},
    tracker::Driver,
    traffic::host,
};

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
    all.extend(acl::program(table, [6]));
    all.extend(acl::elements(table));
    all.extend(table.members.iter().map(|((scope, address), known)| acl::member(*scope, *address, *known)));
    all.into_iter().map(|object| (object.key(), object)).collect()
}

/// Makes the lab a host that forwards what the container `client` sends to any of the addresses.
fn probe(lab: &Lab) -> Injector {
    host(lab);
    for setting in ["all/rp_filter", "vclient/rp_filter"] {
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{setting}"), "0").unwrap();
    }
    ip("link add sink type veth peer name sinkp");
    ip("link set sink arp off up");
    ip("link set sinkp up");
    ip("route add 172.16.0.0/12 dev sink");
    ip("route add fd00::/16 dev sink");
    let strangers = [false, true].map(|v6| [address(100, v6), address(101, v6)]);
    Injector::new(Path::new("/run/netns/client"), "vclient", strangers).unwrap()
}

fn packet(flow: &Flow) -> Packet {
    let Flow { source, destination, service, .. } = *flow;
    Packet { source, destination, protocol: service.protocol(), detail: service.number().to_be_bytes() }
}

#[test]
fn the_kernel_judges_as_the_tables_say() {
    lab(|lab| {
        let probe = probe(lab);
        let driver = Driver::new(lab);
        let seed = std::env::var("ACL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        let rounds: usize = std::env::var("ACL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
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
                        service: *chance.of(&services(v6)),
                        mark: 0,
                    };
                    probe.send(number, &packet(&flow)).unwrap();
                    flows.push(flow);
                }
                let passed = probe.passed(v6).unwrap();
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
