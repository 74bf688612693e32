//! nftables: what the engine makes, as the `nft` program shows it, and what that program makes, as the engine sees it.

use std::{process::Command as Process, sync::Arc};

use petiole_fib::model::{
    Chain, ChainType, Concern, Condition, Data, ElementKey, Elements, Expr, Field, Hook, HookPoint, Key,
    NftFamily, Ns, Object, Observed, Op, Rule, Set, SetKind, TableItem, TableRef, Verdict,
};

use crate::lab::{Lab, addr, errno, lab, text};

/// Runs `nft`, which must succeed, and gives what it prints.
pub(crate) fn nft(arguments: &str) -> String {
    let output = Process::new("nft").arg(arguments).output().unwrap();
    assert!(output.status.success(), "nft {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What `nft` shows, without the space that it begins lines with.
fn listed(what: &str) -> Vec<String> {
    nft(&format!("list {what}")).lines().map(|line| line.trim().to_owned()).collect()
}

pub(crate) fn table() -> TableRef {
    TableRef { family: NftFamily::Inet, name: "petiole".into() }
}

pub(crate) fn item(name: &str) -> TableItem {
    TableItem { table: table(), name: name.into() }
}

pub(crate) fn chain(name: &str, rules: &[&[Expr]]) -> Object {
    let rules = rules.iter().map(|exprs| Rule(exprs.to_vec())).collect();
    Object::Chain(item(name), Chain { hook: None, rules })
}

fn base(name: &str, kind: ChainType, point: HookPoint, priority: i32, rules: &[&[Expr]]) -> Object {
    let rules = rules.iter().map(|exprs| Rule(exprs.to_vec())).collect();
    Object::Chain(item(name), Chain { hook: Some(Hook { kind, point, priority }), rules })
}

pub(crate) fn forward(rules: &[&[Expr]]) -> Object {
    base("forward", ChainType::Filter, HookPoint::Forward, 0, rules)
}

pub(crate) fn set(name: &str, key: &[Field], interval: bool, kind: SetKind) -> Object {
    Object::Set(
        item(name),
        Set {
            key: key.to_vec(),
            elements: if interval { Elements::Ranges } else { Elements::Values },
            kind,
            counted: false,
        },
    )
}

pub(crate) fn at(octets: &[u8]) -> ElementKey {
    ElementKey { first: octets.into(), last: None }
}

fn between(first: &[u8], last: &[u8]) -> ElementKey {
    ElementKey { first: first.into(), last: Some(last.into()) }
}

pub(crate) fn element(set: &str, key: ElementKey) -> Object {
    Object::Element(item(set), key, None)
}

pub(crate) fn leads(set: &str, key: ElementKey, data: Data) -> Object {
    Object::Element(item(set), key, Some(data))
}

fn jump(chain: &str) -> Data {
    Data::Verdict(Verdict::Jump(chain.into()))
}

pub(crate) fn create(objects: &[Object]) -> Vec<Op> {
    objects.iter().cloned().map(Op::Create).collect()
}

fn ifname(name: &str) -> Vec<u8> {
    let mut octets = name.as_bytes().to_vec();
    octets.resize(16, 0);
    octets
}

pub(crate) const ACCEPT: Expr = Expr::Verdict(Verdict::Accept);
pub(crate) const DROP: Expr = Expr::Verdict(Verdict::Drop);

/// One of everything.
pub(crate) fn everything() -> Vec<Object> {
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
                    matched(Condition::In(
                        vec![Field::Ip4Source.into(), Field::Ip4Destination.into()],
                        n[4].clone(),
                    )),
                    Expr::Verdict(Verdict::Return),
                ],
                &[matched(Condition::NotIn(vec![Field::IifName.into()], n[1].clone())), Expr::Counter, DROP],
            ],
        ),
        forward(&[
            &[matched(Condition::AnyBit(Field::CtState, 6)), ACCEPT],
            &[Expr::VerdictMap { key: vec![Field::Ip4Source.into()], map: n[0].clone() }],
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
            &[
                matched(Condition::In(vec![Field::L4Proto.into(), Field::SourcePort.into()], n[5].clone())),
                ACCEPT,
            ],
        ]),
        base(
            "nat_in",
            ChainType::Nat,
            HookPoint::Prerouting,
            -100,
            &[
                &[
                    matched(Condition::Equal(Field::DestinationType, 2u32.to_ne_bytes().to_vec())),
                    Expr::DestinationMap {
                        key: vec![Field::L4Proto.into(), Field::DestinationPort.into()],
                        map: n[2].clone(),
                        ipv6: false,
                    },
                ],
                &[Expr::DestinationMap {
                    key: vec![
                        Field::Ip6Destination.into(),
                        Field::L4Proto.into(),
                        Field::DestinationPort.into(),
                    ],
                    map: n[3].clone(),
                    ipv6: true,
                }],
            ],
        ),
        base(
            "nat_out",
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
pub(crate) enum Told {
    Chain(TableItem, Option<Hook>, Vec<Option<u64>>),
    Object(Object),
}

pub(crate) fn told(lab: &Lab) -> Vec<Told> {
    let told = lab.dump(Ns::HOST, Concern::Nft).into_iter().map(|observed| match observed {
        Observed::Chain { chain, hook, rules } => Told::Chain(chain, hook, rules),
        Observed::Object { object, .. } => Told::Object(object),
        Observed::Link(link) => panic!("{link:?}"),
    });
    sorted(told.collect())
}

pub(crate) fn wanted(objects: &[Object]) -> Vec<Told> {
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

#[test]
fn everything_is_made_read_back_and_shown_by_nft() {
    lab(|lab| {
        let all = everything();
        lab.must(create(&all));
        println!("{}", nft("list ruleset"));
        assert_eq!(told(lab), wanted(&all));
    });
}

#[test]
fn what_nft_shows_of_ours_it_reads_as_the_same() {
    lab(|lab| {
        lab.must(create(&everything()));
        let shown = nft("list table inet petiole");
        let copy = shown.replace("table inet petiole", "table inet oracle");
        nft(&copy);
        assert_eq!(nft("list table inet oracle"), copy);
    });
}

#[test]
fn all_is_deleted_one_by_one_in_one_transaction() {
    lab(|lab| {
        let all = everything();
        lab.must(create(&all));
        // What is looked up or jumped to goes after what does so.
        let (chains, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|object| matches!(object, Object::Chain(..)));
        let (elements, rest): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|object| matches!(object, Object::Element(..)));
        let order = elements.iter().chain(chains.iter().rev()).chain(rest.iter().rev());
        lab.must(order.map(|object| Op::Delete(object.key())).collect());
        assert_eq!(nft("list ruleset"), "");
        assert!(told(lab).is_empty());
    });
}

#[test]
fn a_chain_gets_other_rules_and_an_element_leads_elsewhere() {
    lab(|lab| {
        let tenants = set("tenants", &[Field::Ip4Source], true, SetKind::Verdicts);
        let range = between(&[10, 1, 0, 0], &[10, 1, 0, 255]);
        let before = [
            Object::Table(table()),
            chain("a", &[&[DROP]]),
            chain("b", &[]),
            forward(&[&[Expr::Counter, DROP], &[ACCEPT]]),
            tenants.clone(),
            leads("tenants", range.clone(), jump("a")),
        ];
        lab.must(create(&before));
        let after = [
            Object::Table(table()),
            chain("a", &[]),
            chain("b", &[&[DROP]]),
            forward(&[&[Expr::VerdictMap { key: vec![Field::Ip4Source.into()], map: "tenants".into() }]]),
            tenants,
            leads("tenants", range, jump("b")),
        ];
        lab.must(
            after
                .iter()
                .filter(|object| !matches!(object, Object::Table(_) | Object::Set(..)))
                .cloned()
                .map(Op::Change)
                .collect(),
        );
        assert_eq!(told(lab), wanted(&after));
        let shown = listed("map inet petiole tenants");
        assert!(shown.iter().any(|line| line == "elements = { 10.1.0.0/24 : jump b }"), "{shown:#?}");
    });
}

#[test]
fn values_of_hash_sets_lead_elsewhere_too() {
    lab(|lab| {
        let publish =
            set("publish", &[Field::L4Proto, Field::DestinationPort], false, SetKind::Destinations4);
        let to = |port| leads("publish", at(&[6, 0, 80]), Data::Destination(addr("10.1.0.3"), port));
        lab.must(create(&[Object::Table(table()), publish, to(1)]));
        lab.must(vec![Op::Change(to(2))]);
        let shown = nft("list map inet petiole publish");
        assert!(shown.contains("tcp . 80 : 10.1.0.3 . 2"), "{shown}");
    });
}

#[test]
fn what_fails_in_a_transaction_is_named_and_the_rest_is_done() {
    lab(|lab| {
        let addresses = set("addresses", &[Field::Ip4Source], false, SetKind::Set);
        lab.must(create(&[
            Object::Table(table()),
            addresses.clone(),
            element("addresses", at(&[10, 0, 0, 1])),
        ]));
        let in_missing = Condition::In(vec![Field::Ip4Source.into()], "missing".into());
        let results = lab.apply(vec![
            Op::Create(element("addresses", at(&[10, 0, 0, 2]))),
            Op::Create(element("addresses", at(&[10, 0, 0, 1]))),
            Op::Delete(Key::Element(item("addresses"), at(&[10, 0, 0, 9]))),
            Op::Create(addresses),
            Op::Create(chain("bad", &[&[Expr::Counter, DROP], &[Expr::Match(in_missing), DROP]])),
            Op::Create(chain("worse", &[&[Expr::Verdict(Verdict::Jump("nowhere".into()))]])),
            Op::Create(chain("good", &[&[DROP]])),
            Op::Create(element("unknown", at(&[10, 0, 0, 1]))),
            Op::Delete(Key::Chain(item("none"))),
            Op::Change(chain("none", &[])),
        ]);
        let errors: Vec<_> = results.iter().map(|(_, result)| errno(result)).collect();
        let (exists, none) = (libc::EEXIST, libc::ENOENT);
        assert_eq!(errors, [0, exists, none, exists, none, none, 0, none, none, none], "{results:#?}");
        assert_eq!(text(&results[4].1), "rule 2: there is no such set or map");
        assert_eq!(text(&results[5].1), "rule 1: there is no such chain");
        assert_eq!(text(&results[7].1), "no set inet petiole unknown");
        let shown = nft("list ruleset");
        assert!(
            shown.contains("elements = { 10.0.0.1, 10.0.0.2 }")
                || shown.contains("elements = { 10.0.0.2, 10.0.0.1 }"),
            "{shown}"
        );
        assert!(
            shown.contains("chain good") && !shown.contains("chain bad") && !shown.contains("chain none"),
            "{shown}"
        );
    });
}

#[test]
fn what_is_in_use_cannot_be_deleted_and_nothing_else_suffers() {
    lab(|lab| {
        let lookup = Condition::In(vec![Field::Ip4Source.into()], "addresses".into());
        lab.must(create(&[
            Object::Table(table()),
            set("addresses", &[Field::Ip4Source], false, SetKind::Set),
            chain("target", &[]),
            forward(&[&[Expr::Match(lookup), Expr::Verdict(Verdict::Jump("target".into()))]]),
        ]));
        let results = lab.apply(vec![
            Op::Delete(Key::Set(item("addresses"))),
            Op::Delete(Key::Chain(item("target"))),
            Op::Create(chain("other", &[])),
        ]);
        let errors: Vec<_> = results.iter().map(|(_, result)| errno(result)).collect();
        assert_eq!(errors, [libc::EBUSY, libc::EBUSY, 0], "{results:#?}");
        assert!(nft("list ruleset").contains("chain other"));
    });
}

#[test]
fn a_transaction_that_fails_changes_nothing_in_between() {
    lab(|lab| {
        let rules: &[&[Expr]] = &[&[Expr::Counter, ACCEPT]];
        lab.must(create(&[Object::Table(table()), chain("a", rules)]));
        // A change flushes first: refused, the old rules are there as before.
        let astray = chain("a", &[&[DROP], &[Expr::Verdict(Verdict::Jump("nowhere".into()))]]);
        assert_eq!(errno(&lab.try_one(Op::Change(astray))), libc::ENOENT);
        assert_eq!(told(lab), wanted(&[Object::Table(table()), chain("a", rules)]));
    });
}

#[test]
fn a_chain_cannot_move_to_another_hook_in_place() {
    lab(|lab| {
        let input = base("forward", ChainType::Filter, HookPoint::Input, 0, &[]);
        lab.must(create(&[Object::Table(table()), forward(&[&[DROP]])]));
        // EEXIST, or newer kernels' EOPNOTSUPP
        assert_ne!(errno(&lab.try_one(Op::Change(input.clone()))), 0);
        lab.must(vec![Op::Delete(input.key()), Op::Create(input.clone())]);
        assert_eq!(told(lab), wanted(&[Object::Table(table()), input]));
    });
}

#[test]
fn what_can_never_be_is_refused_with_its_reason_before_the_kernel_is_asked() {
    lab(|lab| {
        lab.must(create(&[
            Object::Table(table()),
            set("values", &[Field::Ip4Source], false, SetKind::Set),
            set("ranges", &[Field::Ip4Source], true, SetKind::Verdicts),
        ]));
        let port = Expr::Match(Condition::Equal(Field::DestinationPort, vec![0, 80]));
        let source4 = Expr::Match(Condition::Equal(Field::Ip4Source, vec![10, 0, 0, 1]));
        let source6 = Expr::Match(Condition::Equal(Field::Ip6Source, vec![0; 16]));
        let short = Expr::Match(Condition::Equal(Field::Ip4Source, vec![10]));
        for (op, reason) in [
            (Op::Create(chain("c", &[&[DROP], &[port, DROP]])), "rule 2: a port says nothing"),
            (Op::Create(chain("c", &[&[source4, source6, DROP]])), "rule 1: no packet is both"),
            (Op::Create(chain("c", &[&[short, DROP]])), "rule 1: ip saddr has 4 octets, not 1"),
            (Op::Create(chain("c", &[&[DROP, Expr::Counter]])), "rule 1: what stands behind"),
            (Op::Create(chain("", &[])), "cannot be a name"),
            (Op::Create(element("values", at(&[10, 0]))), "a key of this set has 4 octets, not 2"),
            (Op::Create(element("values", between(&[10, 0, 0, 1], &[10, 0, 0, 2]))), "a range where"),
            (Op::Create(leads("ranges", at(&[10, 0, 0, 1]), jump("c"))), "a value where"),
            (Op::Create(leads("ranges", between(&[9; 4], &[8; 4]), jump("c"))), "ends before it begins"),
            (Op::Create(element("ranges", between(&[8; 4], &[9; 4]))), "not what elements of this map"),
            (Op::Create(set("s", &[Field::CtState], true, SetKind::Set)), "ct state has no ranges"),
            (Op::Create(set("s", &[], false, SetKind::Set)), "a key has one to 5 fields"),
        ] {
            let result = lab.try_one(op);
            assert!(text(&result).contains(reason), "{reason}: {result:?}");
        }
    });
}

#[test]
fn overlapping_ranges_are_refused_and_adjacent_ones_stay_two() {
    lab(|lab| {
        let ranges = set("ranges", &[Field::Ip4Source], true, SetKind::Verdicts);
        let low = leads("ranges", between(&[10, 0, 0, 0], &[10, 0, 0, 9]), Data::Verdict(Verdict::Drop));
        let high = leads("ranges", between(&[10, 0, 0, 10], &[10, 0, 0, 19]), Data::Verdict(Verdict::Drop));
        let across = leads("ranges", between(&[10, 0, 0, 5], &[10, 0, 0, 15]), Data::Verdict(Verdict::Drop));
        // The one behind first: its beginning must not be taken for the end of the other.
        lab.must(create(&[Object::Table(table()), ranges.clone(), high.clone()]));
        lab.must(vec![Op::Create(low.clone())]);
        assert_ne!(errno(&lab.try_one(Op::Create(across))), 0);
        assert_eq!(told(lab), wanted(&[Object::Table(table()), ranges.clone(), low.clone(), high.clone()]));
        lab.must(vec![Op::Delete(low.key())]);
        assert_eq!(told(lab), wanted(&[Object::Table(table()), ranges, high]));
    });
}

#[test]
fn a_bridge_table_stands_beside_the_inet_table_of_the_same_name() {
    lab(|lab| {
        let table = TableRef { family: NftFamily::Bridge, name: "petiole".into() };
        let chain = TableItem { table: table.clone(), name: "forward".into() };
        let hook = Hook { kind: ChainType::Filter, point: HookPoint::Forward, priority: -200 };
        let rules = vec![
            Rule(vec![Expr::Match(Condition::Equal(Field::Ip4Source, vec![10, 0, 0, 1])), DROP]),
            Rule(vec![Expr::Match(Condition::Equal(Field::Ip6Destination, addr_octets("fe80::1"))), DROP]),
        ];
        let bridge = [Object::Table(table), Object::Chain(chain, Chain { hook: Some(hook), rules })];
        lab.must(create(&bridge));
        let shown = listed("chain bridge petiole forward");
        assert!(shown[3].starts_with("ip saddr 10.0.0.1 drop"), "{shown:#?}");
        assert!(shown[4].starts_with("ip6 daddr fe80::1 drop"), "{shown:#?}");
        lab.must(create(&everything()));
        assert_eq!(told(lab), wanted(&[&bridge[..], &everything()].concat()));
        lab.must(vec![Op::Delete(Key::Table(self::table()))]);
        assert_eq!(told(lab), wanted(&bridge));
    });
}

#[test]
fn ten_thousand_elements_come_go_and_are_read_in_one_piece() {
    lab(|lab| {
        let mut all = vec![
            Object::Table(table()),
            set("publish", &[Field::L4Proto, Field::DestinationPort], false, SetKind::Destinations4),
            set("ranges", &[Field::Ip4Source], true, SetKind::Verdicts),
        ];
        for n in 0..10_000u16 {
            let [a, b] = n.to_be_bytes();
            let to = Data::Destination(addr("10.1.0.3"), n);
            all.push(leads("publish", at(&[6, a, b]), to));
            let range = between(&[10, a, b, 0], &[10, a, b, 255]);
            all.push(leads("ranges", range, Data::Verdict(Verdict::Drop)));
        }
        lab.must(create(&all));
        assert!(told(lab) == wanted(&all));
        lab.must(all.iter().skip(3).map(|object| Op::Delete(object.key())).collect());
        assert_eq!(told(lab), wanted(&all[..3]));
    });
}

#[test]
fn a_container_has_no_nftables_of_ours() {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        lab.must(create(&[Object::Table(table())]));
        assert!(lab.dump(web, Concern::Nft).is_empty());
    });
}
