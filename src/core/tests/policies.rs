//! Policies: who is known to the kernel to be in which group, and what an operator sees of it.

use petiole_fib::acl::Scope;

use super::{leaf::NEIGHBOR, *};

const THEIRS: Option<[u8; 4]> = Some([60, 1, 1, 3]);

/// A routed network with two groups.
const GROUPS: &str = r#"
    [[network]]
    name = "shop"
    encap = "routed"
    subnet = "192.168.5.0/24"

    [[group]]
    name = "web"
    network = "shop"
    id = 100

    [[group]]
    name = "db"
    network = "shop"
    id = 200

    [[endpoint]]
    name = "web1"
    group = "web"
    netns = "/run/netns/web1"

    [[endpoint]]
    name = "db1"
    group = "db"
    netns = "/run/netns/db1"
"#;

/// The same where `db` has policies.
fn guarded() -> String {
    let policy = r#"
        [[policy]]
        name = "db"
        rules = [
          { id = "sql", protocol = "tcp", port = "5432", from-group = "web", priority = 10 },
          { id = "web", from-group = "web", action = "deny", log = true },
        ]
    "#;
    GROUPS.replace("id = 200", "id = 200\n    policies = [\"db\"]") + policy
}

fn started(rest: &str) -> Host {
    let mut host = Host::start(&config(rest));
    host.appear("web1");
    host.appear("db1");
    host.settle();
    host
}

/// What the kernel has counted for rules, by the names that they have in the log.
fn counted(host: &Host, counts: &[(&str, u64)]) -> HashMap<u32, Count> {
    let number = |name: &str| {
        let mut rules = host.core.members.rules();
        let found = rules.find(|(_, known)| known == name).map(|(number, _)| number);
        found.unwrap_or_else(|| panic!("no {name}"))
    };
    counts.iter().map(|(name, n)| (number(name), Count { packets: *n, octets: n * 60 })).collect()
}

/// A host with a session to a leaf that can be reached.
pub(super) fn joined(rest: &str) -> Host {
    let mut host = Host::joined(&config(&format!("{BARE}{NEIGHBOR}{rest}")));
    host.ways = true;
    host
}

impl Host {
    /// Asks for the rules.
    fn ask_for_policies(&mut self) -> Ticket {
        let ticket = self.ticket();
        self.core.show_policies(ticket, self.now);
        ticket
    }

    /// The answer, as far as it is there: rule and packets.
    fn policies(&self, ticket: Ticket) -> Option<Vec<(String, Option<u64>)>> {
        let Reply::Rows(Rows::Policies(rows)) = self.answers.get(&ticket)? else { panic!("no rules") };
        Some(rows.iter().map(|r| (r.rule.clone(), r.packets)).collect())
    }

    fn groups(&self, members: bool) -> Vec<rows::Group> {
        let (mut all, mut cursor) = (Vec::new(), show::Cursor::Start);
        loop {
            match self.core.show(&Show::Groups { members }, cursor, self.now).unwrap() {
                (Rows::Groups(rows), next) => {
                    all.extend(rows);
                    let Some(next) = next else { return all };
                    cursor = next;
                }
                (other, _) => panic!("{other:?}"),
            }
        }
    }

    /// The number of an address's group, as the kernel has it.
    fn group_of(&self, address: &str) -> Option<u32> {
        let members = &self.core.members.table.members;
        members.get(&(Scope::ROUTED, address.parse().unwrap())).map(|known| known.group)
    }
}

#[test]
fn containers_are_attached_when_the_kernel_knows_their_groups() {
    let host = started(&guarded());
    assert_eq!((host.state("web1"), host.state("db1")), ("attached".into(), "attached".into()));
    let of = |name: &str| host.group_of(&host.row(name).addresses[0].to_string());
    assert_eq!((of("web1"), of("db1")), (Some(100), Some(200)));
}

#[test]
fn a_first_policy_holds_for_containers_that_are_there_already() {
    let mut host = started(GROUPS);
    let (web, db) = (host.row("web1").addresses[0].to_string(), host.row("db1").addresses[0].to_string());
    assert_eq!((host.group_of(&web), host.group_of(&db)), (None, None), "nobody asks");
    host.reload(&config(&guarded())).unwrap();
    assert_eq!((host.group_of(&web), host.group_of(&db)), (Some(100), Some(200)));
    assert_eq!(host.text(), started(&guarded()).text());
    host.reload(&config(GROUPS)).unwrap();
    assert_eq!(host.text(), started(GROUPS).text());
}

#[test]
fn nothing_is_left_of_a_container_that_went_before_it_was_attached() {
    let mut host = started(&guarded());
    let before = host.text();
    host.appear("late");
    // The kernel has not confirmed that the group is known.
    host.ask(&EndpointRequest { network: None, group: Some("db".into()), ..request("late", "") });
    assert!(!host.core.members.guarded.is_empty());
    host.ask_to_remove("late");
    host.settle();
    assert!(host.core.members.guarded.is_empty());
    assert_eq!(host.text(), before);
}

#[test]
fn routes_that_say_no_group_are_known_also_when_groups_come_later() {
    let mut host = joined(GROUPS);
    host.leaf().announce("192.168.5.70/32", THEIRS);
    host.leaf().announce_member("192.168.5.71/32", THEIRS, Some(100));
    host.leaf().announce("172.16.0.1/32", THEIRS);
    host.settle();
    let silent = |host: &Host| host.core.members.silent.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(silent(&host).is_empty(), "no policy, no question");
    host.reload(&config(&format!("{BARE}{NEIGHBOR}{}", guarded()))).unwrap();
    assert_eq!(silent(&host), ["192.168.5.70"]);
    assert_eq!((host.group_of("192.168.5.70"), host.group_of("192.168.5.71")), (None, Some(100)));
    host.reload(&config(&format!("{BARE}{NEIGHBOR}{GROUPS}"))).unwrap();
    assert!(silent(&host).is_empty());
}

#[test]
fn an_endpoint_that_waits_for_its_group_to_be_known_says_so() {
    let mut host = started(&guarded());
    host.appear("late");
    host.ask(&EndpointRequest { network: None, group: Some("db".into()), ..request("late", "") });
    let row = host.row("late");
    assert_eq!(
        (&*row.state, row.error.as_deref()),
        ("attaching", Some("waits for the kernel to know its group"))
    );
    host.settle();
    let row = host.row("late");
    assert_eq!((&*row.state, row.error, row.group.as_deref()), ("attached", None, Some("db")));
}

#[test]
fn rules_are_shown_in_the_order_in_which_they_decide_with_fresh_counters() {
    let text = guarded().replace(
        "network = \"shop\"\n    id = 200",
        "network = \"shop\"\n    default = \"deny\"\n    id = 200",
    );
    let mut host = started(&format!("{text}{UNUSED}"));
    host.counters.counts =
        counted(&host, &[("policy db rule sql", 3), ("policy db rule web", 2), ("default of group db", 1)]);
    let ticket = host.ask_for_policies();
    assert_eq!(host.policies(ticket), None, "the kernel is asked first");
    host.run();
    let row = |rule: &str, packets| (rule.to_owned(), packets);
    let wanted = [
        row("sql", Some(3)),
        row("web", Some(2)),
        row("deny", None),
        row("allow", None),
        row("default", Some(1)),
    ];
    assert_eq!(host.policies(ticket).unwrap(), wanted);
    let Some(Reply::Rows(Rows::Policies(rows))) = host.answers.get(&ticket) else { panic!() };
    let sql = &rows[0];
    assert_eq!((&*sql.peer, &*sql.service, &*sql.action), ("group web", "tcp 5432", "allow"));
    assert_eq!((sql.priority, sql.log, &*sql.direction, sql.octets), (Some(10), false, "in", Some(180)));
    assert_eq!(sql.groups, ["db"]);
    assert!(rows[1].log && rows[2].groups.is_empty());
    let default = &rows[4];
    assert_eq!((&default.policy, default.priority, &*default.direction), (&None, None, "both"));
    assert_eq!(default.groups, ["db"]);
}

#[test]
fn those_who_ask_together_share_a_count_and_those_who_come_meanwhile_the_next_one() {
    let mut host = started(&guarded());
    host.counters.mute = true;
    let first = host.ask_for_policies();
    host.run();
    let (second, third) = (host.ask_for_policies(), host.ask_for_policies());
    host.run();
    assert_eq!(host.counters.asked, 1);
    host.counters.counts = counted(&host, &[("policy db rule sql", 7)]);
    host.counters.mute = false;
    host.run();
    assert_eq!(host.counters.asked, 2);
    for ticket in [first, second, third] {
        assert_eq!(host.policies(ticket).unwrap()[0], ("sql".into(), Some(7)));
    }
}

#[test]
fn a_kernel_that_does_not_answer_keeps_nobody_waiting_for_more_than_a_second() {
    let mut host = started(&guarded());
    host.counters.counts = counted(&host, &[("policy db rule sql", 7)]);
    host.ask_for_policies();
    host.run();
    host.counters.mute = true;
    let first = host.ask_for_policies();
    host.run();
    let second = host.ask_for_policies();
    assert_eq!((host.policies(first), host.policies(second)), (None, None));
    assert!(host.core.next_timeout().unwrap() <= host.now + Duration::from_secs(1));
    host.pass(1);
    assert_eq!(host.policies(first).unwrap()[0], ("sql".into(), Some(7)), "what is known");
    assert_eq!(host.policies(second), host.policies(first));
    assert_eq!(host.counters.asked, 2, "it is not asked twice");
    host.counters.mute = false;
    host.counters.counts = counted(&host, &[("policy db rule sql", 9)]);
    let third = host.ask_for_policies();
    host.run();
    assert_eq!(host.policies(third).unwrap()[0], ("sql".into(), Some(9)));
}

#[test]
fn where_no_group_has_a_policy_nobody_is_asked() {
    let mut host = started(&format!("{GROUPS}{UNUSED}"));
    let ticket = host.ask_for_policies();
    host.run();
    assert_eq!(host.policies(ticket).unwrap(), [("deny".into(), None), ("allow".into(), None)]);
    assert_eq!(host.counters.asked, 0);
}

/// A policy that no group has.
const UNUSED: &str = r#"
    [[policy]]
    name = "unused"
    rules = [
      { id = "allow", protocol = "udp", port = "53" },
      { id = "deny", action = "deny", from-address = ["10.0.0.0/8"] },
    ]
"#;

#[test]
fn groups_show_who_is_known_to_be_a_member_and_whom_nobody_told_of() {
    let pool = guarded().replace("id = 100", "id = 100\n    pool = [\"192.168.5.128/25\"]");
    let mut host = joined(&pool);
    host.appear("web1");
    host.appear("db1");
    for (address, group) in [(70, Some(200)), (71, Some(4711)), (72, None), (73, None), (200, None)] {
        host.leaf().announce_member(&format!("192.168.5.{address}/32"), THEIRS, group);
    }
    host.settle();
    let groups = host.groups(true);
    let [web, db] = &*groups else { panic!("{groups:?}") };
    assert_eq!((&*web.name, web.number, &*web.identity, web.local, web.remote), ("web", 100, "routes", 1, 0));
    assert_eq!((&*db.name, db.number, &*db.identity, db.local, db.remote), ("db", 200, "routes", 1, 1));
    let members = |g: &rows::Group| {
        let text =
            |m: &rows::Member| format!("{} {} {}", m.address, m.from, m.endpoint.as_deref().unwrap_or("-"));
        g.members.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(members(web), ["192.168.5.128 endpoint web1", "192.168.5.128-192.168.5.255 pool -"]);
    assert_eq!(members(db), ["192.168.5.1 endpoint db1", "192.168.5.70 route -"]);
    let [silent, strange] = &*db.warnings else { panic!("{:?}", db.warnings) };
    assert!(
        silent.starts_with("2 routes into network shop say no group (192.168.5.72, 192.168.5.73)"),
        "{silent}"
    );
    assert!(
        strange.starts_with("1 route into network shop names the group 4711 (192.168.5.71)"),
        "{strange}"
    );
    assert_eq!(web.warnings, db.warnings);
    assert!(host.groups(false).iter().all(|g| g.members.is_empty()));
}

#[test]
fn after_a_restart_members_elsewhere_are_those_of_the_run_before() {
    let text = guarded();
    let mut host = joined(&text);
    host.appear("web1");
    host.appear("db1");
    host.leaf().announce_member("192.168.5.70/32", THEIRS, Some(200));
    host.settle();
    // Nobody is there to say it again.
    let mut host = host.again(&config(&format!("{BARE}{text}")));
    let of = |group: &rows::Group| {
        let from = group.members.iter().map(|m| format!("{} {}", m.address, m.from));
        (group.remote, from.collect::<Vec<_>>())
    };
    let groups = host.groups(true);
    assert_eq!(of(&groups[0]), (0, vec!["192.168.5.1 endpoint".to_owned()]));
    let wanted = vec!["192.168.5.2 endpoint".to_owned(), "192.168.5.70 earlier-run".into()];
    assert_eq!(of(&groups[1]), (1, wanted));
    host.pass(61);
    assert_eq!(host.groups(false)[1].remote, 0);
}

#[test]
fn many_groups_come_in_pages() {
    let group = |n: usize| format!("[[group]]\nname = \"g{n}\"\nnetwork = \"shop\"\n");
    let groups: String = (0..1100).map(group).collect();
    let network = "[[network]]\nname = \"shop\"\nencap = \"routed\"\nsubnet = \"192.168.5.0/24\"\n";
    let host = Host::start(&config(&format!("{network}{groups}")));
    let (rows, next) =
        host.core.show(&Show::Groups { members: true }, show::Cursor::Start, host.now).unwrap();
    assert!(matches!(rows, Rows::Groups(rows) if rows.len() == 500) && next.is_some());
    let names: Vec<String> = host.groups(true).into_iter().map(|g| g.name).collect();
    assert_eq!(names, (0..1100).map(|n| format!("g{n}")).collect::<Vec<_>>());
}

#[test]
fn profiles_show_their_limits_and_whom_they_hold_for() {
    let profile = "[[profile]]\nname = \"slow\"\nbandwidth = \"500Kbps\"\nburst = \"80KiB\"\ndscp = 6\n";
    let text = GROUPS.replace("id = 100", "id = 100\n    profile = \"slow\"") + profile;
    let host = started(&text);
    let (Rows::Profiles(rows), None) =
        host.core.show(&Show::Profiles, show::Cursor::Start, host.now).unwrap()
    else {
        panic!()
    };
    let wanted = rows::Profile {
        name: "slow".into(),
        bandwidth: Some(512_000),
        burst: Some(81_920),
        bandwidth_in: None,
        burst_in: None,
        dscp: Some(6),
        groups: vec!["web".into()],
        endpoints: 1,
    };
    assert_eq!(rows, [wanted]);
}

#[test]
fn metrics_have_what_was_counted_for_the_scrape_before() {
    let mut host = joined(&guarded());
    host.leaf().announce_member("192.168.5.70/32", THEIRS, Some(200));
    host.leaf().announce("192.168.5.72/32", THEIRS);
    host.settle();
    host.counters.counts = counted(&host, &[("policy db rule sql", 3)]);
    host.core.metrics(host.now);
    host.core.metrics(host.now);
    host.run();
    assert_eq!(host.counters.asked, 1);
    let text = host.core.metrics(host.now);
    for line in [
        "petiole_policy_packets_total{policy=\"db\",rule=\"sql\",group=\"\",action=\"allow\"} 3",
        "petiole_policy_octets_total{policy=\"db\",rule=\"sql\",group=\"\",action=\"allow\"} 180",
        "petiole_group_members{group=\"db\",tenant=\"default\",source=\"endpoint\"} 1",
        "petiole_group_members{group=\"db\",tenant=\"default\",source=\"route\"} 1",
        "petiole_group_silent_routes 1",
        "petiole_policy_connections_ended_total 0",
        "petiole_policy_rules 2",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}
