//! Policies, what groups have of them, and profiles: what is taken, what it becomes, and what is warned of. The words
//! of refusals are in `bad/`.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::fmt::Write as _;

use common::{HOST, check, taken, wrong};
use petiole_config::{
    Kind,
    model::{
        AclAction, AclRule, DefaultAction, Direction, Dscp, GroupId, IcmpType, Limit, Peer, Profile,
        ScopedName, Service,
    },
};

/// Two groups of one network, one of which has a policy with these rules, which begin in line 16.
fn rules(rules: &str) -> String {
    format!(
        "{HOST}[[network]]\nname = \"n\"\nsubnet = \"10.1.1.0/24\"\nsubnet6 = \"2001:db8:1::/64\"\n\
         [[group]]\nname = \"web\"\nnetwork = \"n\"\npolicies = [\"p\"]\n\
         [[group]]\nname = \"db\"\nnetwork = \"n\"\n\
         [[policy]]\nname = \"p\"\nrules = [{rules}]\n"
    )
}

fn rule(keys: &str) -> AclRule {
    let config = taken(&rules(&format!("{{ id = \"1\"{keys} }}")));
    config.policies[0].rules[0].clone()
}

fn service(keys: &str) -> Service {
    rule(keys).service
}

/// As people write it.
fn peer(keys: &str) -> String {
    match rule(keys).peer {
        Peer::Any => "any".into(),
        Peer::Network(id) => format!("network {id}"),
        Peer::Of { group, v4, v6 } => {
            let group = group.map_or_else(|| "anybody".into(), |id| format!("group {id}"));
            format!("{group} at {v4:?} {v6:?}")
        }
    }
}

const NONE: [u64; 0] = [];

/// The lines of what is suspicious about these rules, and nothing else is wrong; each rule is a line, from 1.
fn suspicious(of: &[&str]) -> Vec<u64> {
    let lines: Vec<_> = of.iter().map(|rule| format!("{{ {rule} }},")).collect();
    let wrong = wrong(&rules(&format!("\n{}\n", lines.join("\n"))));
    assert!(wrong.iter().all(|(kind, _)| *kind == Kind::Suspicious), "{wrong:?}");
    wrong.into_iter().map(|(_, line)| line - 16).collect()
}

#[test]
fn a_rule_has_the_documented_defaults() {
    let rule = rule("");
    assert_eq!((rule.id.as_str(), rule.direction, rule.action), ("1", Direction::In, AclAction::Allow));
    assert_eq!((rule.peer, rule.service, rule.priority.get(), rule.log), (Peer::Any, Service::Any, 1, false));
}

#[test]
fn everything_of_a_rule_can_be_said() {
    let rule = rule(
        ", direction = \"out\", action = \"deny\", priority = 100, protocol = \"sctp\", port = \"7\", log = true, \
         to-group = \"db\", to-address = [\"10.1.1.1\"]",
    );
    assert_eq!((rule.direction, rule.action), (Direction::Out, AclAction::Deny));
    assert_eq!((rule.priority.get(), rule.log), (100, true));
    assert!(matches!(rule.service, Service::Ports(132, ports) if ports.len() == 1));
    assert!(matches!(rule.peer, Peer::Of { group: Some(id), .. } if id.to_string() == "db"));
}

#[test]
fn a_protocol_is_a_word_or_a_number_in_quotes_or_without() {
    for (written, number) in
        [("\"tcp\"", 6), ("17", 17), ("\"132\"", 132), ("0", 0), ("\"255\"", 255), ("0x2f", 47)]
    {
        assert_eq!(service(&format!(", protocol = {written}")), Service::Protocol(number), "{written}");
    }
    assert_eq!(service(", protocol = \"icmp\""), Service::Icmp(None));
    for bad in ["256", "\"256\"", "-1", "\"TCP\"", "\"\"", "\"6 \"", "\"+6\""] {
        assert_eq!(
            wrong(&rules(&format!("{{ id = \"1\", protocol = {bad} }}"))),
            [(Kind::BadValue, 16)],
            "{bad}"
        );
    }
}

#[test]
fn the_same_ports_are_the_same_rule_however_they_are_written() {
    let one = service(", protocol = \"tcp\", port = \"80,443,8000-8010\"");
    assert!(matches!(&one, Service::Ports(6, ports) if ports.len() == 3));
    assert_eq!(service(", protocol = 6, port = \"443, 8005-8010, 80, 8000 - 8007\""), one);
    assert_eq!(service(", protocol = \"tcp\", port = 80"), service(", protocol = \"tcp\", port = \"80\""));
    assert_ne!(service(", protocol = \"udp\", port = 80"), service(", protocol = \"tcp\", port = 80"));
}

#[test]
fn port_0_alone_is_every_port_as_in_contiv() {
    for port in ["0", "\"0\""] {
        assert_eq!(service(&format!(", protocol = \"tcp\", port = {port}")), Service::Protocol(6));
        assert_eq!(service(&format!(", port = {port}")), Service::Any);
        assert_eq!(service(&format!(", protocol = \"icmp\", port = {port}")), Service::Icmp(None));
    }
    assert_eq!(wrong(&rules("{ id = \"1\", port = 1 }")), [(Kind::Conflict, 16)]);
}

#[test]
fn types_of_icmp_have_a_number_in_each_family_that_has_them() {
    // RFC 792, RFC 4443.
    for (word, v4, v6) in [
        ("echo-request", Some(8), Some(128)),
        ("echo-reply", Some(0), Some(129)),
        ("destination-unreachable", Some(3), Some(1)),
        ("time-exceeded", Some(11), Some(3)),
        ("parameter-problem", Some(12), Some(4)),
        ("redirect", Some(5), None),
        ("packet-too-big", None, Some(2)),
        ("timestamp-request", Some(13), None),
        ("timestamp-reply", Some(14), None),
    ] {
        let keys = format!(", protocol = \"icmp\", icmp-type = [\"{word}\", \"{word}\"]");
        assert_eq!(service(&keys), Service::Icmp(Some(vec![IcmpType { v4, v6 }])), "{word}");
    }
    let either = |types: &str| service(&format!(", protocol = \"icmp\", icmp-type = [{types}]"));
    assert_eq!(either("\"echo-request\", \"redirect\""), either("\"redirect\", \"echo-request\""));
}

#[test]
fn the_other_side_is_anybody_a_network_a_group_addresses_or_a_group_at_addresses() {
    assert_eq!(peer(""), "any");
    assert_eq!(peer(", from-network = \"n\""), "network n");
    assert_eq!(peer(", direction = \"out\", to-network = \"n\""), "network n");
    assert_eq!(peer(", from-group = \"db\""), "group db at [] []");
    assert_eq!(peer(", from-group = \"web\", from-address = [\"10.1.1.1\"]"), "group web at [10.1.1.1] []");
    assert_eq!(
        peer(", from-address = [\"2001:db8::/32\", \"10.1.1.1-10.1.1.9\", \"10.0.0.0/8\", \"11.0.0.0\"]"),
        "anybody at [10.0.0.0-11.0.0.0] [2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]"
    );
    assert_eq!(peer(", from-address = [\"0.0.0.0/0\"]"), "anybody at [0.0.0.0-255.255.255.255] []");
}

#[test]
fn names_in_a_policy_are_those_of_its_tenant() {
    let text = |tenant: &str| {
        format!(
            "{HOST}[[tenant]]\nname = \"blue\"\n\
             [[network]]\nname = \"n\"\ntenant = \"blue\"\nsubnet = \"10.1.1.0/24\"\n\
             [[group]]\nname = \"g\"\ntenant = \"blue\"\nnetwork = \"n\"\npolicies = [\"p\"]\nprofile = \"p\"\n\
             [[policy]]\nname = \"p\"\n{tenant}\nrules = [{{ id = \"1\", from-group = \"g\" }}, {{ id = \"2\", \
             direction = \"out\", to-network = \"n\" }}]\n\
             [[profile]]\nname = \"p\"\n{tenant}\ndscp = 1\n"
        )
    };
    let config = taken(&text("tenant = \"blue\""));
    let id: ScopedName = "blue/p".parse().unwrap();
    assert_eq!(
        (&config.groups[0].policies, &config.groups[0].profile),
        (&vec![id.clone()], &Some(id.clone()))
    );
    assert_eq!(config.policy(&id).unwrap().rules[1].peer, Peer::Network("blue/n".parse().unwrap()));
    assert!(config.profile(&id).is_some());
    let kinds: Vec<_> = wrong(&text("")).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [Kind::UnknownName; 4]);
}

#[test]
fn a_group_has_defaults_and_a_number_made_of_its_name() {
    let config = taken(&rules(""));
    let [web, db] = config.groups.as_slice() else { panic!() };
    assert_eq!((web.policies.len(), db.policies.len()), (1, 0));
    assert_eq!((db.default, &db.profile, db.number), (DefaultAction::Allow, &None, GroupId::of_name(&db.id)));
    let text = rules("")
        .replace("[[group]]\nname = \"db\"", "[[group]]\nid = 4294967294\ndefault = \"deny\"\nname = \"db\"");
    let config = taken(&text);
    assert_eq!(
        (config.groups[1].default, config.groups[1].number.get()),
        (DefaultAction::Deny, u32::MAX - 1)
    );
}

#[test]
fn numbers_made_of_names_stay_what_they_are() {
    // Other hosts, of other versions too, have to make the same ones.
    let number = |id: &str| GroupId::of_name(&id.parse().unwrap()).get();
    assert_eq!((number("web"), number("g183"), number("g1250")), (1_104_579_003, 137_722_106, 2_098_952_442));
    assert_ne!(number("blue/web"), number("web"));
}

#[test]
fn a_bad_number_is_the_only_mistake() {
    let with = |id: &str| rules("").replace("name = \"db\"", &format!("name = \"db\"\nid = {id}"));
    assert_eq!(wrong(&with("0")), [(Kind::BadValue, 13)]);
    assert_eq!(wrong(&with("4294967296")), [(Kind::BadValue, 13)]);
    let same = with("7").replace("name = \"web\"", "name = \"web\"\nid = 7");
    assert_eq!(wrong(&same), [(Kind::Duplicate, 14)]);
}

#[test]
fn one_mistake_in_a_policy_is_one_error() {
    for (of, right, bad) in [
        ("{ id = \"1\" }", "name = \"p\"", "name = \"p p\""),
        ("{ id = \"1\" }", "name = \"p\"", "name = \"p\"\ntenant = \"blu\""),
        ("{ id = \"1\" }", "name = \"web\"", "name = \"w b\""),
        ("{ id = \"1\" }", "policies = [\"p\"]", "policies = [\"p\", \"p\"]"),
        ("{ id = \"1\" }", "policies = [\"p\"]", "policies = [\"q\"]"),
        ("{ id = \"1\", from-group = \"db\" }", "name = \"db\"", "name = \"d b\""),
        ("{ id = \"1\", from-group = \"db\" }", "from-group = \"db\"", "from-group = \"dc\""),
        ("{ id = \"1\", from-network = \"n\" }", "10.1.1.0/24", "10.1.1.1/24"),
    ] {
        assert_eq!(wrong(&rules(of)), [], "{of}");
        let wrong = wrong(&rules(of).replace(right, bad));
        assert_eq!(wrong.len(), 1, "{bad}: {wrong:?}");
    }
}

#[test]
fn no_mistake_in_a_rule_hides_another() {
    let text = rules(
        "\n{ id = \"a b\",\nprotocol = \"tpc\",\nport = \"65536\",\npriority = 0,\nfrom-group = \"no\",\nto-network = \"no\",\n\
         log = 1 }",
    );
    let lines: Vec<_> = wrong(&text).into_iter().map(|(_, line)| line - 16).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5, 6, 6, 7]);
}

#[test]
fn a_rule_that_a_wider_one_precedes_is_warned_of_whatever_decides_the_order() {
    let all = "id = \"all\", from-network = \"n\"";
    let deny_all = "id = \"all\", from-network = \"n\", action = \"deny\"";
    let high = "id = \"all\", from-network = \"n\", priority = 2";
    let some = "id = \"some\", from-address = [\"10.1.1.7\"]";
    let deny_some = "id = \"some\", from-address = [\"10.1.1.7\"], action = \"deny\"";
    assert_eq!(suspicious(&[all, some]), [2], "the file");
    assert_eq!(suspicious(&[some, all]), NONE, "the narrower one first is an order that may be meant");
    assert_eq!(suspicious(&[some, deny_all]), [1], "deny first");
    assert_eq!(suspicious(&[all, deny_some]), NONE, "deny first");
    assert_eq!(suspicious(&[deny_some, high]), [1], "priority");
    assert_eq!(suspicious(&["id = \"a\", direction = \"out\"", some]), NONE, "each direction is for itself");
}

#[test]
fn a_shadowed_rule_is_warned_of_once_and_with_the_first_that_decides() {
    let rules = ["id = \"a\", action = \"deny\"", "id = \"b\"", "id = \"c\", protocol = \"tcp\""];
    assert_eq!(suspicious(&rules), [2, 3]);
    let text = self::rules(&rules.map(|rule| format!("{{ {rule} }}")).join(",\n"));
    let text =
        text.replace("name = \"db\"\nnetwork = \"n\"", "name = \"db\"\nnetwork = \"n\"\npolicies = [\"p\"]");
    let warnings = check(&text).unwrap().warnings;
    let said: Vec<_> = warnings.iter().map(|d| (d.message.as_str(), d.secondary[0].text.as_str())).collect();
    assert_eq!(
        said,
        [
            ("rule `b` of policy `p` never decides anything", "rule `a` denies all of it first"),
            ("rule `c` of policy `p` never decides anything", "rule `a` denies all of it first"),
        ]
    );
}

#[test]
fn rules_of_two_policies_are_compared_where_one_group_has_both() {
    let text = |first: &str, second: &str, db: &str| {
        let text = rules("{ id = \"1\", priority = 2 }");
        text.replace("policies = [\"p\"]", &format!("policies = [{first}]")).replace(
            "name = \"db\"\nnetwork = \"n\"",
            &format!("name = \"db\"\nnetwork = \"n\"\npolicies = [{db}]"),
        ) + &format!("[[policy]]\nname = \"q\"\nrules = [{{ id = \"2\"{second} }}]\n")
    };
    assert_eq!(wrong(&text("\"p\", \"q\"", "", "")), [(Kind::Suspicious, 20)]);
    assert_eq!(wrong(&text("\"q\", \"p\"", "", "")), [(Kind::Suspicious, 20)]);
    assert_eq!(wrong(&text("\"q\", \"p\"", ", priority = 3, protocol = \"tcp\"", "")), []);
    assert_eq!(wrong(&text("\"p\"", "", "\"q\"")), [], "two groups");
    // Of equal rules the order of the group's policies decides which is told apart.
    let equal = |first: &str| wrong(&text(first, ", priority = 2", ""));
    assert_eq!(equal("\"p\", \"q\""), [(Kind::Suspicious, 20)]);
    assert_eq!(equal("\"q\", \"p\""), [(Kind::Suspicious, 17)]);
}

#[test]
fn thousands_of_rules_are_checked_in_no_time() {
    let mut text = String::new();
    for i in 0..50_000_u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + i);
        let _ = writeln!(text, "{{ id = \"r{i}\", from-address = [\"{address}\"] }},");
    }
    // The first pairs are still seen, what comes late no longer is.
    let (first, last) = ("{ id = \"x\", protocol = \"tcp\" }", "{ id = \"z\", protocol = \"tcp\" }");
    let text = rules(&format!("{first},\n{},\n{text}{last}", first.replace('x', "y")));
    let start = std::time::Instant::now();
    assert_eq!(wrong(&text), [(Kind::Suspicious, 17)]);
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

#[test]
fn policies_and_profiles_that_no_group_has_are_warned_of() {
    let text = format!("{HOST}[[policy]]\nname = \"p\"\n[[profile]]\nname = \"q\"\ndscp = 1\n");
    assert_eq!(wrong(&text), [(Kind::Suspicious, 4), (Kind::Suspicious, 6)]);
    // A name that is wrong may have meant them.
    let group =
        "[[network]]\nname = \"n\"\nsubnet = \"10.1.1.0/24\"\n[[group]]\nname = \"g\"\nnetwork = \"n\"\n";
    assert_eq!(wrong(&format!("{text}{group}policies = [\"r\"]\n")), [(Kind::UnknownName, 14)]);
}

/// The profile of a file whose only one has these lines; they begin at line 5.
fn profile(lines: &str) -> String {
    format!(
        "{HOST}[[profile]]\nname = \"p\"\n{lines}\n[[network]]\nname = \"n\"\nsubnet = \"10.1.1.0/24\"\n\
         [[group]]\nname = \"g\"\nnetwork = \"n\"\nprofile = \"p\"\n"
    )
}

fn limit(limit: Option<Limit>) -> Option<(u64, u32)> {
    limit.map(|limit| (limit.rate.bits(), limit.burst))
}

fn read(lines: &str) -> Profile {
    taken(&profile(lines)).profiles.remove(0)
}

#[test]
fn everything_of_a_profile_can_be_said() {
    let p = read(
        "bandwidth = \"500Kbps\"\nburst = \"80KiB\"\nbandwidth-in = \"1.5Mbps\"\nburst-in = 16\ndscp = 63",
    );
    assert_eq!(limit(p.out), Some((512_000, 81_920)));
    assert_eq!(limit(p.inward), Some((1_572_864, 16_384)));
    assert_eq!(p.dscp.map(Dscp::get), Some(63));
    let p = read("dscp = 1");
    assert_eq!((p.out, p.inward, p.dscp.map(Dscp::get)), (None, None, Some(1)));
    assert_eq!(read("bandwidth = \"1Mbps\"\ndscp = 0").dscp, None);
}

#[test]
fn a_burst_is_what_50_ms_carry_and_a_handful_of_frames() {
    let burst = |rate: &str| read(&format!("bandwidth = \"{rate}\"")).out.unwrap().burst;
    assert_eq!(burst("1bps"), 16_384);
    assert_eq!(burst("500Kbps"), 16_384);
    assert_eq!(burst("2560Kbps"), 16_384);
    assert_eq!(burst("10Mbps"), 65_536);
    assert_eq!(burst("1Gbps"), (1 << 30) / 160);
    assert_eq!(burst("1024Gbps"), 256 << 20);
}

#[test]
fn a_bare_burst_is_kib_as_in_contiv() {
    let burst = |burst: &str| read(&format!("bandwidth = \"1Mbps\"\nburst = {burst}")).out.unwrap().burst;
    assert_eq!((burst("80"), burst("\"80KiB\""), burst("\"81920B\"")), (81_920, 81_920, 81_920));
    assert_eq!((burst("262144"), burst("\"256MiB\""), burst("\"1B\"")), (256 << 20, 256 << 20, 1));
    for bad in ["0", "262145", "-1", "\"0B\"", "\"268435457B\"", "\"80\"", "9223372036854775807"] {
        let text = profile(&format!("bandwidth = \"1Mbps\"\nburst = {bad}"));
        assert_eq!(wrong(&text), [(Kind::BadValue, 6)], "{bad}");
    }
}

#[test]
fn a_burst_needs_its_own_bandwidth() {
    assert_eq!(wrong(&profile("burst = 80")), [(Kind::Conflict, 5)]);
    assert_eq!(wrong(&profile("bandwidth = \"1Mbps\"\nburst-in = 80")), [(Kind::Conflict, 6)]);
    assert_eq!(wrong(&profile("bandwidth = \"1Mpbs\"\nburst = 80")), [(Kind::BadValue, 5)]);
}

#[test]
fn a_profile_with_nothing_in_it_is_warned_of() {
    assert_eq!(wrong(&profile("")), [(Kind::Suspicious, 3)]);
    assert_eq!(wrong(&profile("dscp = 0")), [(Kind::Suspicious, 3)]);
    assert_eq!(wrong(&profile("dscp = 64")), [(Kind::BadValue, 5)]);
}
