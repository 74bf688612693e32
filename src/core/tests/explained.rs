//! What is said of traffic between two addresses, against what the table says.

use petiole_fib::acl::{Flow, Scope, Service};

use super::*;
use crate::control::explain::{Explanation, Part, Question, Service as Asked};

const THEIRS: Option<[u8; 4]> = Some([60, 1, 1, 3]);

/// Two tenants with a routed network each, and a VXLAN without a gateway in each, of the same subnet.
const TENANTS: &str = r#"
    [[tenant]]
    name = "blue"

    [[network]]
    name = "shop"
    encap = "routed"
    subnet = "192.168.5.0/24"

    [[network]]
    name = "shop"
    tenant = "blue"
    encap = "routed"
    subnet = "192.168.6.0/24"

    [[network]]
    name = "vx"
    encap = "vxlan"
    vni = 5001
    subnet = "10.1.2.0/24"
    local = "50.1.1.1"
    vteps = ["60.1.1.3"]

    [[network]]
    name = "vx"
    tenant = "blue"
    encap = "vxlan"
    vni = 5002
    subnet = "10.1.2.0/24"
    local = "50.1.1.1"
    vteps = ["60.1.1.3"]

    [[group]]
    name = "web"
    network = "shop"
    policies = ["web"]
    id = 100

    [[group]]
    name = "db"
    network = "shop"
    policies = ["db"]
    default = "deny"
    id = 200

    [[group]]
    name = "left"
    network = "vx"
    id = 300

    [[group]]
    name = "right"
    network = "vx"
    policies = ["right"]
    id = 400

    [[policy]]
    name = "web"
    rules = [
      { id = "no-sql", direction = "out", protocol = "tcp", port = "5432", to-group = "db", action = "deny", priority = 2 },
      { id = "telnet", direction = "out", protocol = "tcp", port = "23", action = "deny", priority = 20 },
    ]

    [[policy]]
    name = "db"
    rules = [
      { id = "sql", protocol = "tcp", port = "5432", from-group = "web", priority = 10 },
      { id = "telnet", protocol = "tcp", port = "23", priority = 20 },
      { id = "ping", protocol = "icmp", icmp-type = ["echo-request"] },
    ]

    [[policy]]
    name = "right"
    rules = [ { id = "no-left", from-group = "left", action = "deny" } ]

    [[endpoint]]
    name = "web1"
    group = "web"
    netns = "/run/netns/web1"
    address = "192.168.5.1"
    publish = ["8080:80/tcp"]

    [[endpoint]]
    name = "db1"
    group = "db"
    netns = "/run/netns/db1"
    address = "192.168.5.2"

    [[endpoint]]
    name = "web1"
    tenant = "blue"
    network = "shop"
    netns = "/run/netns/blue1"
    address = "192.168.6.1"

    [[endpoint]]
    name = "left1"
    group = "left"
    netns = "/run/netns/left1"
    address = "10.1.2.1"

    [[endpoint]]
    name = "right1"
    group = "right"
    netns = "/run/netns/right1"
    address = "10.1.2.2"

    [[endpoint]]
    name = "blue-left"
    tenant = "blue"
    network = "vx"
    netns = "/run/netns/blue2"
    address = "10.1.2.1"

    [[endpoint]]
    name = "late"
    group = "web"
    netns = "/run/netns/late"
    address = "192.168.5.3"
"#;

fn started() -> Host {
    let mut host = policies::joined(TENANTS);
    for name in ["web1", "db1", "blue1", "left1", "right1", "blue2"] {
        host.appear(name);
    }
    host.leaf().announce_member("192.168.5.70/32", THEIRS, Some(200));
    host.leaf().announce("192.168.5.72/32", THEIRS);
    host.settle();
    host
}

fn port(protocol: u8, port: u16) -> Asked {
    Asked::Port { protocol, port }
}

impl Host {
    fn explain(
        &self,
        from: &str,
        to: &str,
        service: impl Into<Option<Asked>>,
    ) -> Result<Explanation, String> {
        self.core.explain(&Question { from: from.into(), to: Some(to.into()), service: service.into() })
    }

    /// The one part of an explanation.
    fn part(&self, from: &str, to: &str, service: impl Into<Option<Asked>>) -> Part {
        let mut parts = self.explain(from, to, service).unwrap().parts;
        assert_eq!(parts.len(), 1, "{parts:?}");
        parts.remove(0)
    }

    /// The verdict, which side decides, and by which rule.
    fn verdict(&self, from: &str, to: &str, service: impl Into<Option<Asked>>) -> String {
        let verdict = self.part(from, to, service).verdict.unwrap();
        let [decision] = &*verdict.decisions else { return verdict.result };
        let said = match decision.by.as_deref() {
            Some("in") => decision.inward.as_ref(),
            Some(_) => decision.outward.as_ref(),
            None => return verdict.result,
        };
        let said = said.unwrap();
        let by = decision.by.clone().unwrap();
        format!("{} {by} {} {}", verdict.result, said.policy.as_deref().unwrap_or("-"), said.rule)
    }
}

#[test]
fn the_rule_that_decides_is_named_with_its_side_and_the_reason() {
    let host = started();
    assert_eq!(host.verdict("web1", "db1", port(6, 5432)), "allow in db sql");
    let decision = &host.part("web1", "db1", port(6, 5432)).verdict.unwrap().decisions[0];
    assert_eq!(decision.why, "priority 10 goes before priority 2");
    assert_eq!(decision.outward.as_ref().unwrap().rule, "no-sql");
    assert_eq!(host.verdict("web1", "db1", port(6, 23)), "deny out web telnet");
    let decision = &host.part("web1", "db1", port(6, 23)).verdict.unwrap().decisions[0];
    assert_eq!(decision.why, "at the same priority deny goes before allow");
    assert_eq!(host.verdict("web1", "db1", port(17, 53)), "deny in - default");
    assert_eq!(host.verdict("db1", "web1", port(17, 53)), "deny out - default");
    assert_eq!(host.verdict("8.8.8.8", "web1", port(6, 80)), "allow");
    assert_eq!(host.verdict("8.8.8.8", "db1", Asked::Icmp(Some("echo-request".into()))), "allow in db ping");
    assert_eq!(host.verdict("8.8.8.8", "db1", Asked::Icmp(Some("echo-reply".into()))), "deny in - default");
    assert_eq!(host.verdict("8.8.8.8", "db1", Asked::Protocol(47)), "deny in - default");
}

#[test]
fn without_a_service_what_rules_tell_apart_is_listed() {
    let verdict = started().part("web1", "db1", None).verdict.unwrap();
    assert_eq!(verdict.result, "depends");
    let mut listed: Vec<String> =
        verdict.decisions.iter().map(|d| format!("{} {}", d.services.join(", "), d.verdict)).collect();
    assert_eq!(listed.pop().unwrap(), "anything else deny");
    listed.sort();
    assert_eq!(listed, ["icmp echo-request allow", "tcp 23 deny", "tcp 5432 allow"]);
    let icmp = started().part("web1", "db1", Asked::Icmp(None)).verdict.unwrap();
    let listed: Vec<String> =
        icmp.decisions.iter().map(|d| format!("{} {}", d.services.join(", "), d.verdict)).collect();
    assert_eq!(listed, ["icmp echo-request allow", "anything else deny"]);
}

#[test]
fn what_is_said_is_what_the_table_says() {
    let host = started();
    let addresses = ["192.168.5.1", "192.168.5.2", "192.168.5.70", "192.168.5.72", "8.8.8.8"];
    let services = [(6, 5432), (6, 5431), (6, 23), (6, 24), (17, 5432), (17, 1)];
    let mut judged = 0;
    for from in addresses {
        for to in addresses {
            let whole = host.explain(from, to, None).unwrap();
            for (protocol, number) in services {
                let flow = Flow {
                    scope: Scope::ROUTED,
                    source: from.parse().unwrap(),
                    destination: to.parse().unwrap(),
                    service: Service::port(protocol, number),
                    mark: 0,
                };
                let table = host.core.members.table.judge(&flow);
                let said = host.part(from, to, port(protocol, number)).verdict.unwrap();
                let Some(decision) = table else {
                    assert_eq!((&*said.result, said.decisions.len()), ("allow", 0), "{flow:?}");
                    continue;
                };
                judged += 1;
                assert_eq!(said.result == "deny", decision.drop, "{flow:?}");
                let name = format!("{} {number}", if protocol == 6 { "tcp" } else { "udp" });
                let all = &whole.parts[0].verdict.as_ref().unwrap().decisions;
                let listed = all.iter().find(|d| d.services.contains(&name)).or(all.last()).unwrap();
                assert_eq!(listed.verdict, said.result, "{flow:?}");
            }
        }
    }
    assert!(judged > 100);
}

#[test]
fn each_side_is_said_with_its_group_and_where_that_is_known_from() {
    let host = started();
    let part = host.part("web1", "192.168.5.70", port(6, 5432));
    let (from, to) = (&part.from, part.to.as_ref().unwrap());
    assert_eq!((&*from.place, from.group.as_ref().map(|g| &*g.name)), ("endpoint", Some("web")));
    assert_eq!((from.network.as_deref(), from.tenant.as_deref()), (Some("shop"), Some("default")));
    assert_eq!(from.sessions[0].neighbor, "leaf1");
    assert_eq!((&*to.place, to.group.as_ref().map(|g| &*g.name)), ("elsewhere", Some("db")));
    assert_eq!(to.known_from, "its route's large community 65002:1735554416:200");
    let route = to.route.as_ref().unwrap();
    assert_eq!((&*route.prefix.to_string(), &*route.session.neighbor), ("192.168.5.70/32", "leaf1"));
    assert_eq!(route.host, Some([60, 1, 1, 3].into()));
    let verdict = part.verdict.unwrap();
    // As this host sees it: that the other one's file allows is not known here.
    assert_eq!(verdict.result, "allow");
    assert_eq!(
        verdict.enforced,
        ["on this host, as the source's", "on the destination's host (60.1.1.3), by its own file"]
    );
    assert!(verdict.notes.iter().any(|note| note.starts_with("answers belong to")), "{:?}", verdict.notes);
    // Whom nobody told of.
    let silent = host.part("192.168.5.72", "web1", port(6, 80)).from;
    assert!(silent.group.is_none() && silent.known_from.contains("strip"), "{}", silent.known_from);
    // Somebody alone.
    let alone = host.core.explain(&Question { from: "web1".into(), to: None, service: None }).unwrap();
    assert_eq!((&alone.parts[0].from, &alone.parts[0].verdict), (from, &None));
}

#[test]
fn tenants_never_meet_and_what_is_not_routed_is_not_reached() {
    let host = started();
    let part = host.part("web1", "blue/web1", port(6, 80)).verdict.unwrap();
    assert_eq!((&*part.result, part.decisions.len()), ("deny", 0));
    assert!(part.notes[0].starts_with("tenants default and blue never meet"), "{:?}", part.notes);
    let note = |from: &str, to: &str| {
        let verdict = host.part(from, to, port(6, 80)).verdict.unwrap();
        assert_eq!(verdict.result, "unreachable", "{:?}", verdict.notes);
        verdict.notes[0].clone()
    };
    assert!(note("web1", "left1").contains("network vx has no gateway for IPv4"));
    assert!(note("web1", "192.168.5.99").contains("no route to 192.168.5.99"));
    assert!(note("late", "db1").contains("endpoint late is not attached (waiting)"));
    assert!(note("left1", "blue/blue-left").contains("no gateway"));
}

#[test]
fn on_a_bridge_its_own_addresses_are_meant() {
    let host = started();
    assert_eq!(host.verdict("left1", "right1", port(6, 80)), "deny in right no-left");
    let verdict = host.part("left1", "right1", port(6, 80)).verdict.unwrap();
    assert!(verdict.notes[0].contains("bridge pb-vx, between hosts by VXLAN 5001"), "{:?}", verdict.notes);
    // The other tenant's network has the same subnet, and no groups.
    assert_eq!(host.verdict("blue/blue-left", "10.1.2.2", port(6, 80)), "allow");
    let to = host.part("blue/blue-left", "10.1.2.2", port(6, 80)).to.unwrap();
    assert_eq!(to.network.as_deref(), Some("blue/vx"));
    let error = host.explain("10.1.2.50", "10.1.2.51", None).unwrap_err();
    assert!(error.contains("name an endpoint"), "{error}");
}

#[test]
fn what_only_the_packets_say_is_listed_by_what_they_may_say() {
    let host = started();
    let verdict = host.part("10.1.2.77", "right1", port(6, 80)).verdict.unwrap();
    assert_eq!(verdict.result, "depends");
    let listed: Vec<String> =
        verdict.decisions.iter().map(|d| format!("{}: {}", d.when.as_deref().unwrap(), d.verdict)).collect();
    let wanted = [
        "its packets name group left: deny",
        "its packets name group right: allow",
        "its packets name no group: allow",
    ];
    assert_eq!(listed, wanted);
    // Where it makes no difference there is nothing to list.
    assert_eq!(host.verdict("10.1.2.77", "left1", port(6, 80)), "allow");
}

#[test]
fn a_published_port_is_followed_to_its_container() {
    let host = started();
    let part = host.part("8.8.8.8", "50.1.1.1", port(6, 8080));
    assert_eq!(part.to.unwrap().endpoint.unwrap().name, "web1");
    let notes = part.verdict.unwrap().notes;
    assert_eq!(notes[0], "port 8080:80/tcp of this host leads to endpoint web1, 192.168.5.1");
    let to = host.part("8.8.8.8", "50.1.1.1", port(6, 8081)).to.unwrap();
    assert_eq!(&*to.place, "host");
}

#[test]
fn who_is_not_there_is_asked_about_in_vain() {
    let host = started();
    let error = |from: &str, to: &str| host.explain(from, to, None).unwrap_err();
    assert!(error("web9", "web1").contains("no endpoint web9 on this host"));
    assert!(error("a b", "web1").contains("neither an address nor a name"));
    assert!(error("web1", "2001:db8::1").contains("no addresses of one family"));
}
