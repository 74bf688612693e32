use super::*;
use crate::wire::{AsPath, NextHop, Origin};

fn route(path: &[u32]) -> Attributes {
    Attributes::new(Origin::Igp, AsPath::from_sequence(path), NextHop::V4([10, 0, 0, 1].into()))
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn accept() -> Rule {
    Rule::new(Action::Accept)
}

const LOCAL: Direction = Direction::Export(Source::Local);
const LEARNED: Direction = Direction::Export(Source::Learned);

#[test]
fn a_learned_route_is_exported_only_by_a_rule_that_says_so() {
    // RFC 8212: whatever else a policy says, without `source` it speaks of local routes.
    for policy in [
        Policy::all(),
        Policy::local(),
        Policy::new(vec![accept()], Action::Accept),
        Policy::new(
            vec![Rule { prefixes: vec![PrefixRange::exact(net("10.0.0.0/8"))], ..accept() }],
            Action::Accept,
        ),
        Policy::new(vec![Rule { source: Some(Source::Local), ..accept() }], Action::Accept),
    ] {
        assert_eq!(policy.evaluate(LEARNED, &route(&[1]), net("10.0.0.0/8")), Verdict::Reject, "{policy:?}");
        assert_eq!(policy.evaluate(LOCAL, &route(&[]), net("10.0.0.0/8")), Verdict::Accept, "{policy:?}");
        assert!(!policy.may_export(Source::Learned) && policy.may_export(Source::Local));
    }
    for source in [Source::Learned, Source::Any] {
        let policy = Policy::new(vec![Rule { source: Some(source), ..accept() }], Action::Reject);
        assert_eq!(policy.evaluate(LEARNED, &route(&[1]), net("10.0.0.0/8")), Verdict::Accept);
        assert!(policy.may_export(Source::Learned));
        assert_eq!(policy.may_export(Source::Local), source == Source::Any);
    }
}

#[test]
fn on_import_every_route_is_learned() {
    let local = Policy::new(vec![Rule { source: Some(Source::Local), ..accept() }], Action::Reject);
    assert_eq!(local.evaluate(Direction::Import, &route(&[1]), net("10.0.0.0/8")), Verdict::Reject);
    assert_eq!(Policy::all().evaluate(Direction::Import, &route(&[1]), net("10.0.0.0/8")), Verdict::Accept);
    assert_eq!(Policy::none().evaluate(Direction::Import, &route(&[1]), net("10.0.0.0/8")), Verdict::Reject);
}

#[test]
fn the_default_route_policy_takes_default_routes() {
    let policy = Policy::default_route();
    for (prefix, expected) in
        [("0.0.0.0/0", Verdict::Accept), ("::/0", Verdict::Accept), ("0.0.0.0/1", Verdict::Reject)]
    {
        assert_eq!(policy.evaluate(Direction::Import, &route(&[1]), net(prefix)), expected, "{prefix}");
    }
}

#[test]
fn the_keys_of_a_rule_are_anded_and_their_values_ored() {
    let rule = Rule {
        prefixes: vec![PrefixRange::or_longer(net("10.0.0.0/8")), PrefixRange::or_longer(net("20.0.0.0/8"))],
        communities: vec![Community(1), Community(2)],
        large_communities: vec![LargeCommunity { global: 1, local1: 2, local2: 3 }],
        as_paths: vec!["* 7".parse().unwrap(), "* 8".parse().unwrap()],
        ..accept()
    };
    let policy = Policy::new(vec![rule], Action::Reject);
    let mut all = route(&[1, 8]);
    all.set_communities(vec![Community(2), Community(3)]);
    all.set_large_communities(vec![LargeCommunity { global: 1, local1: 2, local2: 3 }]);
    let accepts = |attributes: &Attributes, prefix| {
        policy.evaluate(Direction::Import, attributes, net(prefix)) == Verdict::Accept
    };
    assert!(accepts(&all, "20.1.0.0/16"));
    assert!(!accepts(&all, "30.0.0.0/8"));
    let mut other = all.clone();
    other.set_communities(vec![Community(3)]);
    assert!(!accepts(&other, "20.1.0.0/16"));
    let mut other = all.clone();
    other.set_large_communities(vec![]);
    assert!(!accepts(&other, "20.1.0.0/16"));
    let mut other = all.clone();
    *other.as_path_mut() = AsPath::from_sequence(&[1, 9]);
    assert!(!accepts(&other, "20.1.0.0/16"));
}

#[test]
fn the_first_rule_that_matches_decides() {
    let set = Set { local_pref: Some(200), ..Set::default() };
    let rules = vec![
        Rule { prefixes: vec![PrefixRange::or_longer(net("10.1.0.0/16"))], ..Rule::new(Action::Reject) },
        Rule { prefixes: vec![PrefixRange::or_longer(net("10.0.0.0/8"))], set: set.clone(), ..accept() },
        Rule { communities: vec![Community(5)], ..accept() },
    ];
    let policy = Policy::new(rules, Action::Reject);
    let mut narrowed = Narrowed::default();
    policy.narrow(Direction::Import, &route(&[1]), &mut narrowed);
    assert_eq!(narrowed.constant(), None, "it depends on the prefix");
    assert_eq!(policy.judge(&narrowed, net("10.1.2.0/24")), Verdict::Reject);
    let Verdict::Change(rule) = policy.judge(&narrowed, net("10.2.0.0/16")) else { panic!("no change") };
    assert_eq!(policy.set(rule), Some(&set));
    assert_eq!(policy.judge(&narrowed, net("20.0.0.0/8")), Verdict::Reject);
    let mut marked = route(&[1]);
    marked.set_communities(vec![Community(5)]);
    assert_eq!(policy.evaluate(Direction::Import, &marked, net("20.0.0.0/8")), Verdict::Accept);
}

#[test]
fn a_policy_that_does_not_look_at_prefixes_has_one_verdict_per_bundle() {
    let policy = Policy::new(vec![Rule { communities: vec![Community(5)], ..accept() }], Action::Reject);
    let mut narrowed = Narrowed::default();
    policy.narrow(Direction::Import, &route(&[1]), &mut narrowed);
    assert_eq!(narrowed.constant(), Some(Verdict::Reject));
}

#[test]
fn set_replaces_then_removes_then_adds() {
    let set = Set {
        local_pref: Some(200),
        med: Some(7),
        replace_communities: Some(vec![Community(1), Community(2)]),
        remove_communities: vec![Community(2), Community(3)],
        add_communities: vec![Community(3), Community(4)],
        remove_large_communities: vec![LargeCommunity { global: 8, local1: 8, local2: 8 }],
        add_large_communities: vec![LargeCommunity { global: 9, local1: 9, local2: 9 }],
        prepend: 2,
    };
    let policy = Policy::new(vec![Rule { set, ..accept() }], Action::Reject);
    let Verdict::Change(rule) = policy.evaluate(Direction::Import, &route(&[1]), net("10.0.0.0/8")) else {
        panic!("no change")
    };
    let mut before = route(&[1]);
    before.set_communities(vec![Community(8)]);
    before.set_large_communities(vec![LargeCommunity { global: 8, local1: 8, local2: 8 }]);
    let after = policy.apply(rule, &before, 65000);
    assert_eq!(after.local_pref(), Some(200));
    assert_eq!(after.med(), Some(7));
    assert_eq!(after.communities(), [Community(1), Community(3), Community(4)]);
    assert_eq!(after.large_communities(), [LargeCommunity { global: 9, local1: 9, local2: 9 }]);
    assert_eq!(after.as_path().to_string(), "65000 65000 1");
}
