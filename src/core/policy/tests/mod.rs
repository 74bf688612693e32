//! What a configuration says, three times: by the rules' own words, by the tables, by the kernel.

mod bench;
mod kernel;
mod random;

use std::net::IpAddr;

use petiole_config::model::ScopedName;
use petiole_fib::acl::{AclTable, Flow, Scope, Service};

use super::compile::Compiled;
use crate::core::tests::config;
use petiole_netns_tests::Chance;
use random::World;

/// The table with these members.
fn table_with(compiled: &mut Compiled, members: &[(Scope, IpAddr, Option<ScopedName>)]) -> AclTable {
    let mut table = compiled.table.clone();
    if compiled.needed {
        for (scope, address, group) in members {
            let known = compiled.member(*scope, *address, group.as_ref());
            table.members.insert((*scope, *address), known);
        }
    }
    table
}

/// The tables say what the rules say, over random configurations.
#[test]
fn the_tables_say_what_the_rules_say() {
    let seed: u64 = std::env::var("POLICY_SEED").ok().and_then(|t| t.parse().ok()).unwrap_or(1);
    let rounds: u64 = std::env::var("POLICY_ROUNDS").ok().and_then(|t| t.parse().ok()).unwrap_or(300);
    let (mut judged, mut dropped) = (0, 0);
    for round in seed..seed + rounds {
        let mut chance = Chance(round);
        let world = World::random(&mut chance);
        let mut compiled = Compiled::new(&world.config);
        let table = table_with(&mut compiled, &world.members);
        for _ in 0..200 {
            let flow = World::flow(&mut chance);
            let by_rules = world.judge(&flow);
            let by_table = table.judge(&flow);
            judged += usize::from(by_table.is_some());
            dropped += usize::from(by_rules.drop);
            let name = by_table.and_then(|d| compiled.rules.get(&d.outcome().rule).cloned());
            assert_eq!(
                (by_table.is_some_and(|d| d.drop), name),
                (by_rules.drop, by_rules.rule.clone()),
                "POLICY_SEED={round}: {flow:?} {by_table:?} {by_rules:?}\n{}\n{:#?}\n{table:#?}",
                world.text,
                world.members
            );
        }
    }
    assert!(judged > 10_000 && dropped * 10 > judged, "{judged} judged, {dropped} dropped");
}

const NETWORKS: &str = r#"
    [[network]]
    name = "n"
    subnet = "172.16.0.0/24"
    [[network]]
    name = "apart"
    encap = "vxlan"
    vni = 5
    local = "50.1.1.1"
    vteps = ["50.1.1.2"]
    subnet = "172.16.0.0/24"
    tenant = "blue"
    [[tenant]]
    name = "blue"
"#;

#[test]
fn without_groups_that_say_anything_nothing_is_judged() {
    let quiet = config(&format!("{NETWORKS}[[group]]\nname = \"g\"\nnetwork = \"n\"\n"));
    let compiled = Compiled::new(&quiet);
    assert!(!compiled.needed);
    let denying =
        config(&format!("{NETWORKS}[[group]]\nname = \"g\"\nnetwork = \"n\"\ndefault = \"deny\"\n"));
    assert!(Compiled::new(&denying).needed);
}

#[test]
fn members_of_a_network_whose_identities_ride_in_packets_are_marked_even_without_rules() {
    let text =
        format!("{NETWORKS}[[group]]\nname = \"g\"\nnetwork = \"apart\"\ntenant = \"blue\"\nid = 77\n");
    let compiled = Compiled::new(&config(&text));
    assert!(compiled.needed);
    assert_eq!(compiled.table.marks.into_iter().collect::<Vec<_>>(), [(77, 77)]);
    assert_eq!(compiled.table.carriers.len(), 1);
}

/// Numbers are of contents: what a change does not touch keeps its elements.
#[test]
fn one_more_rule_is_a_few_more_elements() {
    let rule = |n: usize| {
        let port = 80 + n;
        format!("{{ id = \"r{n}\", protocol = \"tcp\", port = \"{port}\", from-group = \"g{n}\" }},\n")
    };
    let rules: String = (0..20).map(rule).collect();
    let group = |(n, more): (usize, &str)| {
        format!(
            "[[group]]\nname = \"g{n}\"\nnetwork = \"n\"\npolicies = [\"p{n}\"]\n\
             [[policy]]\nname = \"p{n}\"\nrules = [\n{rules}{more}]\n"
        )
    };
    let text = |more: &str| {
        let groups = (0..20).map(|n| group((n, if n == 7 { more } else { "" })));
        NETWORKS.to_owned() + &groups.collect::<String>()
    };
    let elements = |text: &str| {
        let compiled = Compiled::new(&config(text));
        petiole_fib::acl::elements(&compiled.table)
    };
    let before = elements(&text(""));
    let after = elements(&text(
        "{ id = \"new\", protocol = \"udp\", port = \"53\", from-group = \"g3\", action = \"deny\" },\n",
    ));
    let new: Vec<_> = after.iter().filter(|object| !before.contains(object)).collect();
    let gone: Vec<_> = before.iter().filter(|object| !after.contains(object)).collect();
    // The rule's sentence; a class for members of g3, of whom two rules are now, with a span for each and for what is
    // between; a class for those who may be members of g3, with one span and what is around it.
    assert_eq!((new.len(), gone.len()), (11, 4), "{new:#?}\n{gone:#?}");
}

#[test]
fn of_an_address_that_nobody_tells_about_the_worst_is_assumed() {
    let text = format!(
        "{NETWORKS}[[group]]\nname = \"a\"\nnetwork = \"n\"\n\
         [[group]]\nname = \"b\"\nnetwork = \"n\"\npolicies = [\"p\"]\ndefault = \"deny\"\n\
         [[policy]]\nname = \"p\"\nrules = [\n\
         {{ id = \"no\", protocol = \"icmp\", from-group = \"a\", action = \"deny\", priority = 9 }},\n\
         {{ id = \"icmp\", protocol = \"icmp\" }},\n\
         {{ id = \"yes\", protocol = \"tcp\", port = \"80\", from-group = \"a\" }},\n]\n"
    );
    let mut compiled = Compiled::new(&config(&text));
    let b = "172.16.0.9".parse().unwrap();
    let members = vec![
        (Scope::ROUTED, b, Some("b".parse().unwrap())),
        (Scope::ROUTED, "172.16.0.7".parse().unwrap(), None),
    ];
    let table = table_with(&mut compiled, &members);
    let drops = |from: &str, service| {
        let flow =
            Flow { scope: Scope::ROUTED, source: from.parse().unwrap(), destination: b, service, mark: 0 };
        table.judge(&flow).unwrap().drop
    };
    let (echo, http) = (Service::icmp(1, 8, 0), Service::port(6, 80));
    assert!(drops("172.16.0.1", echo), "may be one of a");
    assert!(drops("172.16.0.1", http), "may be none of a");
    assert!(!drops("172.16.0.7", echo), "known to be in no group");
    assert!(!drops("10.0.0.1", echo), "not of the network at all");
}
