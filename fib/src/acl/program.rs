//! The chains that judge packets. They are always the same.
//!
//! One rule looks everything up, because what a rule keeps ends with it (since Linux 6.4 the kernel insists on that). What
//! differs between packets therefore makes chains: the IP version, and what tells services apart. And a look-up that
//! finds nothing ends a rule: so there is a rule for each way in which the two addresses can be known, and for each side
//! that may decide.

use std::sync::Arc;

use super::{
    Outcome, Side,
    judge::{ICMPV6, UNJUDGED},
};
use crate::{
    model::{
        Chain, ChainType, Condition, Data, ElementKey, Elements, Expr, Field, Hook, HookPoint, NftFamily,
        Object, Operand, Rule, Set, SetKind, TableItem, TableRef, Verdict, Word,
    },
    owner::Owner,
};

/// The map of what becomes of packets, by rule; its elements count.
pub const VERDICTS: &str = "acl-verdicts";
pub(super) const SCOPES: &str = "acl-scopes";
pub(super) const ZONES: &str = "acl-zones";
pub(super) const AREAS: [&str; 2] = ["acl-areas4", "acl-areas6"];
pub(super) const MEMBERS: [&str; 2] = ["acl-members4", "acl-members6"];
pub(super) const MARKED: &str = "acl-marked";
pub(super) const CLASSES: [&str; 2] = ["acl-classes-in", "acl-classes-out"];
pub(super) const CASES: [&str; 2] = ["acl-cases-in", "acl-cases-out"];
pub(super) const CARRIERS: &str = "acl-carriers";
pub(super) const MARKS: &str = "acl-marks";
pub(super) const DSCP: [&str; 2] = ["acl-dscp4", "acl-dscp6"];
const IN_DECIDES: &str = "acl-in-decides";
const CHAINS: &str = "acl-chains";
const UNJUDGED_TYPES: &str = "acl-unjudged";

/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const VERSION: [u8; 2] = [2, 10];
const SOURCE: [Field; 2] = [Field::Ip4Source, Field::Ip6Source];
const DESTINATION: [Field; 2] = [Field::Ip4Destination, Field::Ip6Destination];
/// Protocols whose header begins with two ports: TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];
/// ICMP in each family.
const ICMP: [u8; 2] = [1, ICMPV6];
/// `NF_CT_STATE_BIT(IP_CT_ESTABLISHED)`, `NF_CT_STATE_BIT(IP_CT_RELATED)` of linux/netfilter/nf_conntrack_common.h.
const GOING_ON: u32 = 1 << 1 | 1 << 2;
/// `IPS_FIXED_TIMEOUT` of the same file, which nothing else sets: a connection that is not to go on. It is not prolonged by
/// its packets, and they are dropped.
pub(crate) const CONDEMNED: u32 = 1 << 10;
/// After what drops packets for other reasons (`NF_IP_PRI_FILTER` is 0).
const PRIORITY: i32 = 1;
/// `NF_IP_PRI_RAW`: before connection tracking.
const PRIORITY_ZONE: i32 = -300;
/// `NF_IP_PRI_MANGLE`: where others set code points too.
const PRIORITY_DSCP: i32 = -150;
/// `NF_IP_PRI_LAST` is `INT_MAX`; this is behind all that have a name before it.
const PRIORITY_MARK: i32 = 400;

/// What a rule keeps where. The word before each of these is lost when it is looked up.
const SCOPE: Word = Word::new(0);
/// Group and identity.
const TO: [Word; 2] = [Word::new(2), Word::new(3)];
const FROM: [Word; 2] = [Word::new(5), Word::new(6)];
/// Urgency and rule; the class on the way there.
const SAYS_IN: [Word; 2] = [Word::new(8), Word::new(9)];
/// When all else about the source has been looked up.
const SAYS_OUT: [Word; 2] = FROM;
/// When the scope is of no use any more.
const CLASS_OUT: Word = SCOPE;

/// What tells services apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ports,
    Icmp,
    Other,
}

/// What a source is known by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Mark,
    Member,
    Area,
}

/// The ways to know both sides, in order. One of them is a member: else nobody has a say.
const WAYS: [(By, By); 4] =
    [(By::Mark, By::Member), (By::Member, By::Member), (By::Area, By::Member), (By::Member, By::Area)];

pub(super) fn table() -> TableRef {
    TableRef { family: NftFamily::Inet, name: Owner::NFT_TABLE.into() }
}

pub(super) fn item(name: &str) -> TableItem {
    TableItem { table: table(), name: name.into() }
}

pub(super) fn element(set: &str, key: ElementKey, data: Option<Data>) -> Object {
    Object::Element(item(set), key, data)
}

/// The rule whose element of [`VERDICTS`] has this key, 0 for packets that no rule is about; `None`: the element of those that
/// nothing is known of, for a moment.
pub fn rule_of(key: &ElementKey) -> Option<u32> {
    key.first.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}

/// The chains, sets and maps, and the elements that are always the same. The table itself is the caller's.
/// `zones`: there are such (not every kernel has them); `dscps`: the code points that are set.
pub fn program(zones: bool, dscps: impl IntoIterator<Item = u8>) -> Vec<Object> {
    let mut objects = shapes();
    for urgency in 0..=Outcome::MOST_URGENT {
        let [first, last] = [urgency, u32::MAX].map(|other| octets(&[urgency, other]));
        objects.push(element(IN_DECIDES, ElementKey { first, last: Some(last) }, None));
    }
    for kind in UNJUDGED {
        objects.push(element(
            UNJUDGED_TYPES,
            ElementKey { first: Arc::from([kind, 0]), last: Some(Arc::from([kind, 255])) },
            None,
        ));
    }
    for family in [0, 1] {
        for kind in [Kind::Ports, Kind::Icmp, Kind::Other] {
            objects.push(chain(&judging(family, kind), None, judge(family, kind)));
        }
        let to = |protocol: u8, kind| {
            let key = ElementKey { first: Arc::from([VERSION[family], protocol]), last: None };
            element(CHAINS, key, Some(Data::Verdict(Verdict::Goto(judging(family, kind).into()))))
        };
        objects.extend(WITH_PORTS.map(|protocol| to(protocol, Kind::Ports)));
        objects.push(to(ICMP[family], Kind::Icmp));
    }
    let filter = |point, priority| Some(Hook { kind: ChainType::Filter, point, priority });
    for (name, point) in [
        ("acl-forward", HookPoint::Forward),
        ("acl-input", HookPoint::Input),
        ("acl-output", HookPoint::Output),
    ] {
        objects.push(chain(name, filter(point, PRIORITY), entry()));
    }
    if zones {
        let zone = vec![look(vec![Field::IifName.into()], ZONES, SCOPE), Expr::SetZone(SCOPE)];
        objects.push(chain("acl-zone", filter(HookPoint::Prerouting, PRIORITY_ZONE), vec![zone]));
        objects.push(set(ZONES, &[Field::IifName], Elements::Values, SetKind::Numbers(1)));
    }
    objects.push(chain("acl-mark", filter(HookPoint::Postrouting, PRIORITY_MARK), marking()));
    dscp(dscps, &mut objects);
    objects
}

fn shapes() -> Vec<Object> {
    use Elements::{Spans, Values};
    let number = Field::Number;
    let known = SetKind::Numbers(2);
    let mut objects = vec![
        set(SCOPES, &[Field::IifName], Values, SetKind::Numbers(1)),
        set(CARRIERS, &[Field::OifName], Values, SetKind::Numbers(1)),
        set(MARKS, &[number], Values, SetKind::Numbers(1)),
        set(MARKED, &[Field::Mark, number], Values, known),
        set(IN_DECIDES, &[number, number], Spans, SetKind::Set),
        set(VERDICTS, &[number], Values, SetKind::Verdicts),
        set(CHAINS, &[Field::NfProto, Field::L4Proto], Values, SetKind::Verdicts),
        set(UNJUDGED_TYPES, &[Field::IcmpTypeCode], Elements::Ranges, SetKind::Set),
    ];
    for family in [0, 1] {
        objects.push(set(AREAS[family], &[number, SOURCE[family]], Spans, known));
        objects.push(set(MEMBERS[family], &[number, SOURCE[family]], Values, known));
        objects.push(set(DSCP[family], &[number, SOURCE[family]], Values, SetKind::Verdicts));
    }
    for side in [0, 1] {
        let case = [number, number, Field::L4Proto, Field::DestinationPort];
        objects.push(set(CLASSES[side], &[number, number], Values, SetKind::Numbers(1)));
        objects.push(set(CASES[side], &case, Spans, known));
    }
    // What is not listed is all the same known to be nothing.
    let nothing = |name: &str, count: usize| {
        element(name, ElementKey::any_other(), Some(Data::Numbers(vec![[0; 4]; count].into())))
    };
    objects.extend([nothing(SCOPES, 1), nothing(AREAS[0], 2), nothing(AREAS[1], 2)]);
    objects.extend(CLASSES.map(|name| nothing(name, 1)));
    // While tables change, a packet may see the new one of one kind and the old one of another: what they do not know
    // together, is dropped.
    let unknown =
        || Data::Numbers([Outcome::UNKNOWN.urgency, Outcome::UNKNOWN.rule].map(u32::to_be_bytes).into());
    objects.extend(CASES.map(|name| element(name, ElementKey::any_other(), Some(unknown()))));
    let verdict = |key, verdict| element(VERDICTS, key, Some(Data::Verdict(verdict)));
    objects.push(verdict(ElementKey { first: octets(&[0]), last: None }, Verdict::Accept));
    objects.push(verdict(ElementKey::any_other(), Verdict::Drop));
    objects
}

fn set(name: &str, key: &[Field], elements: Elements, kind: SetKind) -> Object {
    Object::Set(item(name), Set { key: key.to_vec(), elements, kind, counted: name == VERDICTS })
}

/// Numbers as octets of a key.
pub(super) fn octets(numbers: &[u32]) -> Arc<[u8]> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn chain(name: &str, hook: Option<Hook>, rules: Vec<Vec<Expr>>) -> Object {
    Object::Chain(item(name), Chain { hook, rules: rules.into_iter().map(Rule).collect() })
}

fn look(key: Vec<Operand>, map: &str, into: Word) -> Expr {
    Expr::Lookup { key, map: map.into(), into }
}

fn is_version(family: usize) -> Expr {
    Expr::Match(Condition::Equal(Field::NfProto, vec![VERSION[family]]))
}

/// The name of the chain that judges.
fn judging(family: usize, kind: Kind) -> String {
    let kind = match kind {
        Kind::Ports => "ports",
        Kind::Icmp => "icmp",
        Kind::Other => "other",
    };
    format!("acl-{kind}{}", [4, 6][family])
}

/// What connections have been judged for is not judged again.
fn entry() -> Vec<Vec<Expr>> {
    let other =
        |family| vec![is_version(family), Expr::Verdict(Verdict::Goto(judging(family, Kind::Other).into()))];
    vec![
        vec![
            Expr::Match(Condition::AnyBit(Field::CtStatus, CONDEMNED)),
            Expr::Counter,
            Expr::Verdict(Verdict::Drop),
        ],
        vec![Expr::Match(Condition::AnyBit(Field::CtState, GOING_ON)), Expr::Verdict(Verdict::Accept)],
        // For whoever asks later what the connection was judged by. Nobody else marks connections on such a bridge.
        vec![
            Expr::Match(Condition::NotEqual(Field::Mark, vec![0; 4])),
            look(vec![Field::IifName.into()], CARRIERS, SCOPE),
            Expr::KeepMark,
        ],
        vec![Expr::VerdictMap {
            key: vec![Field::NfProto.into(), Field::L4Proto.into()],
            map: CHAINS.into(),
        }],
        other(0),
        other(1),
    ]
}

fn judge(family: usize, kind: Kind) -> Vec<Vec<Expr>> {
    // The chain is only for one protocol or for several with ports; the engine wants to see that.
    let begin = || {
        let mut rule = vec![is_version(family)];
        if kind == Kind::Icmp {
            rule.push(Expr::Match(Condition::Equal(Field::L4Proto, vec![ICMP[family]])));
        }
        rule
    };
    let with = |more: Vec<Expr>| begin().into_iter().chain(more).collect::<Vec<_>>();
    let mut rules = Vec::new();
    if kind == Kind::Icmp && family == 1 {
        let unjudged = Condition::In(vec![Field::IcmpTypeCode.into()], UNJUDGED_TYPES.into());
        rules.push(with(vec![Expr::Match(unjudged), Expr::Verdict(Verdict::Accept)]));
    }
    for (from, to) in WAYS {
        let known = || with(both(family, from, to));
        let mut by_in = known();
        by_in.extend(says(kind, Side::In));
        by_in.extend(says(kind, Side::Out));
        let urgencies = vec![Operand::Word(SAYS_OUT[0]), Operand::Word(SAYS_IN[0])];
        by_in.push(Expr::Match(Condition::In(urgencies, IN_DECIDES.into())));
        by_in.push(sentence(SAYS_IN[1]));
        let mut by_out = known();
        by_out.extend(says(kind, Side::Out));
        by_out.push(sentence(SAYS_OUT[1]));
        rules.extend([by_in, by_out]);
    }
    if kind != Kind::Other {
        // Whose port or type could not be read has not been judged.
        for end in [SOURCE[family], DESTINATION[family]] {
            let mut rule = vec![is_version(family), scope()];
            rule.push(look(vec![Operand::Word(SCOPE), end.into()], MEMBERS[family], FROM[0]));
            rule.extend([Expr::Counter, Expr::Verdict(Verdict::Drop)]);
            rules.push(rule);
        }
    }
    rules
}

fn scope() -> Expr {
    look(vec![Field::IifName.into()], SCOPES, SCOPE)
}

/// Looks both sides up.
fn both(family: usize, from: By, to: By) -> Vec<Expr> {
    let address = |field: Field, by, into: [Word; 2]| {
        let map = if by == By::Member { MEMBERS[family] } else { AREAS[family] };
        look(vec![Operand::Word(SCOPE), field.into()], map, into[0])
    };
    let mut rule = Vec::new();
    if from == By::Mark {
        rule.push(Expr::Match(Condition::NotEqual(Field::Mark, vec![0; 4])));
    }
    rule.push(scope());
    // The destination first: most packets that nobody judges have none that is known.
    rule.push(address(DESTINATION[family], to, TO));
    rule.push(address(SOURCE[family], from, FROM));
    if from == By::Mark {
        rule.push(look(vec![Field::Mark.into(), Operand::Word(FROM[1])], MARKED, FROM[0]));
    }
    rule
}

/// Looks up what one side says. That of the source comes last: it takes the place of what is known of the source.
fn says(kind: Kind, side: Side) -> Vec<Expr> {
    let (own, other, class, says) = match side {
        Side::In => (TO[0], FROM[1], SAYS_IN[0], SAYS_IN[0]),
        Side::Out => (FROM[0], TO[1], CLASS_OUT, SAYS_OUT[0]),
    };
    let number = match kind {
        Kind::Ports => Operand::Field(Field::DestinationPort),
        Kind::Icmp => Operand::Field(Field::IcmpTypeCode),
        Kind::Other => Operand::Value(Field::DestinationPort, vec![0; 2]),
    };
    let case = vec![Operand::Word(own), Operand::Word(class), Field::L4Proto.into(), number];
    vec![
        look(vec![Operand::Word(own), Operand::Word(other)], CLASSES[side.index()], class),
        look(case, CASES[side.index()], says),
    ]
}

fn sentence(rule: Word) -> Expr {
    Expr::VerdictMap { key: vec![Operand::Word(rule)], map: VERDICTS.into() }
}

/// Packets that leave by a bridge which carries marks to other hosts have the mark of their source's group, and no
/// mark of anybody else's.
fn marking() -> Vec<Vec<Expr>> {
    let carrier = || look(vec![Field::OifName.into()], CARRIERS, SCOPE);
    let by_group = |family: usize| {
        vec![
            is_version(family),
            carrier(),
            look(vec![Operand::Word(SCOPE), SOURCE[family].into()], MEMBERS[family], FROM[0]),
            look(vec![Operand::Word(FROM[0])], MARKS, TO[0]),
            Expr::SetMark(TO[0]),
            Expr::Verdict(Verdict::Accept),
        ]
    };
    vec![by_group(0), by_group(1), vec![carrier(), Expr::ClearMark]]
}

/// Code points of what members send, and a chain for each of them.
fn dscp(values: impl IntoIterator<Item = u8>, objects: &mut Vec<Object>) {
    let mut any = false;
    for value in values {
        any = true;
        let rules = [0, 1].map(|family| vec![is_version(family), Expr::SetDscp(value)]);
        objects.push(chain(&dscp_chain(value), None, rules.into()));
    }
    if any {
        let by_source = |family: usize| {
            let key = vec![Operand::Word(SCOPE), SOURCE[family].into()];
            vec![is_version(family), scope(), Expr::VerdictMap { key, map: DSCP[family].into() }]
        };
        let hook = Hook { kind: ChainType::Filter, point: HookPoint::Forward, priority: PRIORITY_DSCP };
        objects.push(chain("acl-dscp", Some(hook), vec![by_source(0), by_source(1)]));
    }
}

/// The chain that sets a code point.
pub(super) fn dscp_chain(value: u8) -> String {
    format!("acl-dscp-{value}")
}
