//! nftables: what the engine makes, as the `nft` program shows it, and what that program makes, as the engine sees it.

use std::{process::Command as Process, sync::Arc};

use petiole_fib::model::{
    Chain, ChainType, Concern, Condition, Data, ElementKey, Event, Expr, Field, Hook, HookPoint, Key,
    NftFamily, Ns, Object, Observed, Op, Rule, Set, SetKind, TableItem, TableRef, Verdict,
};

use crate::lab::{Lab, addr, errno, lab, text};

/// Runs `nft`, which must succeed, and gives what it prints.
fn nft(arguments: &str) -> String {
    let output = Process::new("nft").arg(arguments).output().unwrap();
    assert!(output.status.success(), "nft {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What `nft` shows, without the space that it begins lines with.
fn listed(what: &str) -> Vec<String> {
    nft(&format!("list {what}")).lines().map(|line| line.trim().to_owned()).collect()
}

fn table() -> TableRef {
    TableRef { family: NftFamily::Inet, name: "petiole".into() }
}

fn item(name: &str) -> TableItem {
    TableItem { table: table(), name: name.into() }
}

fn chain(name: &str, rules: &[&[Expr]]) -> Object {
    let rules = rules.iter().map(|exprs| Rule(exprs.to_vec())).collect();
    Object::Chain(item(name), Chain { hook: None, rules })
}

fn base(name: &str, kind: ChainType, point: HookPoint, priority: i32, rules: &[&[Expr]]) -> Object {
    let rules = rules.iter().map(|exprs| Rule(exprs.to_vec())).collect();
    Object::Chain(item(name), Chain { hook: Some(Hook { kind, point, priority }), rules })
}

fn forward(rules: &[&[Expr]]) -> Object {
    base("forward", ChainType::Filter, HookPoint::Forward, 0, rules)
}

fn set(name: &str, key: &[Field], interval: bool, kind: SetKind) -> Object {
    Object::Set(item(name), Set { key: key.to_vec(), interval, kind })
}

fn at(octets: &[u8]) -> ElementKey {
    ElementKey { first: octets.into(), last: None }
}

fn between(first: &[u8], last: &[u8]) -> ElementKey {
    ElementKey { first: first.into(), last: Some(last.into()) }
}

fn element(set: &str, key: ElementKey) -> Object {
    Object::Element(item(set), key, None)
}

fn leads(set: &str, key: ElementKey, data: Data) -> Object {
    Object::Element(item(set), key, Some(data))
}

fn jump(chain: &str) -> Data {
    Data::Verdict(Verdict::Jump(chain.into()))
}

fn create(objects: &[Object]) -> Vec<Op> {
    objects.iter().cloned().map(Op::Create).collect()
}

fn ifname(name: &str) -> Vec<u8> {
    let mut octets = name.as_bytes().to_vec();
    octets.resize(16, 0);
    octets
}

const ACCEPT: Expr = Expr::Verdict(Verdict::Accept);
const DROP: Expr = Expr::Verdict(Verdict::Drop);

/// One of everything.
fn everything() -> Vec<Object> {
    let names = |names: &[&str]| names.iter().map(|n| Arc::from(*n)).collect::<Vec<Arc<str>>>();
    let n = names(&["tenants", "locals", "publish4", "publish6", "ranges", "ports", "blue"]);
    let matched = |condition| Expr::Match(condition);
    vec![
        Object::Table(table()),
        set("tenants", &[Field::Ip4Source], true, SetKind::Verdicts),
        set("locals", &[Field::IifName], false, SetKind::Set),
        set("publish4", &[Field::L4Proto, Field::DestinationPort], false, SetKind::Destinations4),
        set(
            "publish6",
            &[Field::Ip6Destination, Field::L4Proto, Field::DestinationPort],
            false,
            SetKind::Destinations6,
        ),
        set("ranges", &[Field::Ip4Source, Field::Ip4Destination], true, SetKind::Set),
        set("ports", &[Field::L4Proto, Field::SourcePort], true, SetKind::Set),
        set("nine", &[Field::Ip6Source], true, SetKind::Set),
        chain(
            "blue",
            &[
                &[
                    matched(Condition::In(vec![Field::Ip4Source, Field::Ip4Destination], n[4].clone())),
                    Expr::Verdict(Verdict::Return),
                ],
                &[matched(Condition::NotIn(vec![Field::IifName], n[1].clone())), Expr::Counter, DROP],
            ],
        ),
        forward(&[
            &[matched(Condition::AnyBit(Field::CtState, 6)), ACCEPT],
            &[Expr::VerdictMap { fields: vec![Field::Ip4Source], map: n[0].clone() }],
            &[matched(Condition::Equal(Field::ReversePath, vec![0; 4])), DROP],
            &[
                matched(Condition::NotEqual(Field::OifName, ifname("eth0"))),
                matched(Condition::Equal(Field::L4Proto, vec![6])),
                matched(Condition::Equal(Field::DestinationPort, vec![0, 80])),
                Expr::Verdict(Verdict::Goto(n[6].clone())),
            ],
            &[
                matched(Condition::Equal(Field::NfProto, vec![10])),
                matched(Condition::Equal(Field::Ip6Source, addr_octets("2001:db8::1"))),
                DROP,
            ],
            &[matched(Condition::In(vec![Field::L4Proto, Field::SourcePort], n[5].clone())), ACCEPT],
        ]),
        base(
            "dnat",
            ChainType::Nat,
            HookPoint::Prerouting,
            -100,
            &[
                &[
                    matched(Condition::Equal(Field::DestinationType, 2u32.to_ne_bytes().to_vec())),
                    Expr::DestinationMap {
                        fields: vec![Field::L4Proto, Field::DestinationPort],
                        map: n[2].clone(),
                        ipv6: false,
                    },
                ],
                &[Expr::DestinationMap {
                    fields: vec![Field::Ip6Destination, Field::L4Proto, Field::DestinationPort],
                    map: n[3].clone(),
                    ipv6: true,
                }],
            ],
        ),
        base(
            "snat",
            ChainType::Nat,
            HookPoint::Postrouting,
            100,
            &[
                &[matched(Condition::AnyBit(Field::CtStatus, 0x20)), Expr::Masquerade],
                &[matched(Condition::Equal(Field::Ip4Source, vec![10, 0, 0, 1])), Expr::Masquerade],
            ],
        ),
        leads("tenants", between(&[10, 1, 0, 0], &[10, 1, 0, 255]), jump("blue")),
        leads("tenants", between(&[10, 1, 1, 0], &[10, 1, 1, 255]), Data::Verdict(Verdict::Drop)),
        leads("tenants", between(&[10, 9, 0, 0], &[255, 255, 255, 255]), Data::Verdict(Verdict::Return)),
        leads("tenants", between(&[0, 0, 0, 0], &[0, 0, 0, 0]), Data::Verdict(Verdict::Accept)),
        element("locals", at(&ifname("eth1"))),
        leads("publish4", at(&[6, 0, 80]), Data::Destination(addr("10.1.0.3"), 8080)),
        leads(
            "publish6",
            at(&[&addr_octets("2001:db8::1")[..], &[17, 0, 53]].concat()),
            Data::Destination(addr("2001:db8:1::3"), 5353),
        ),
        element("ranges", between(&[10, 1, 0, 0, 10, 1, 0, 0], &[10, 1, 0, 255, 10, 1, 3, 255])),
        element("ranges", between(&[10, 1, 9, 9, 10, 1, 0, 0], &[10, 1, 9, 9, 10, 1, 0, 0])),
        element("ports", between(&[6, 4, 0], &[17, 7, 255])),
        element(
            "nine",
            between(&addr_octets("2001:db8::"), &addr_octets("2001:db8:0:ffff:ffff:ffff:ffff:ffff")),
        ),
    ]
}

fn addr_octets(text: &str) -> Vec<u8> {
    match addr(text) {
        std::net::IpAddr::V4(a) => a.octets().to_vec(),
        std::net::IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// A dump in the form of what was wanted: chains by hook and fingerprints.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Chain(TableItem, Option<Hook>, Vec<Option<u64>>),
    Object(Object),
}

fn told(lab: &Lab) -> Vec<Told> {
    let told = lab.dump(Ns::HOST, Concern::Nft).into_iter().map(|observed| match observed {
        Observed::Chain { chain, hook, rules } => Told::Chain(chain, hook, rules),
        Observed::Object { object, .. } => Told::Object(object),
        Observed::Link(link) => panic!("{link:?}"),
    });
    sorted(told.collect())
}

fn wanted(objects: &[Object]) -> Vec<Told> {
    let told = objects.iter().cloned().map(|object| match object {
        Object::Chain(item, chain) => {
            Told::Chain(item, chain.hook, chain.rules.iter().map(|rule| Some(rule.fingerprint())).collect())
        }
        other => Told::Object(other),
    });
    sorted(told.collect())
}

fn sorted(mut told: Vec<Told>) -> Vec<Told> {
    told.sort_by_key(|told| match told {
        Told::Chain(item, ..) => Key::Chain(item.clone()),
        Told::Object(object) => object.key(),
    });
    told
}

fn wait_overrun(lab: &Lab) {
    lab.wait(|event| matches!(event, Event::Overrun(Concern::Nft)).then_some(()));
}

#[test]
fn everything_is_made_read_back_and_shown_by_nft() {
    lab(|lab| {
        let all = everything();
        lab.must(create(&all));
        println!("{}", nft("list ruleset"));
        assert_eq!(told(lab), wanted(&all));
    });
}
