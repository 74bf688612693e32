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

impl Host {
    /// The number of an address's group, as the kernel has it.
    fn group_of(&self, address: &str) -> Option<u32> {
        let members = &self.core.members.table().members;
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
    let mut host = Host::joined(&config(&format!("{BARE}{NEIGHBOR}{GROUPS}")));
    host.leaf().announce("192.168.5.70/32", THEIRS);
    host.leaf().announce_member("192.168.5.71/32", THEIRS, Some(100));
    host.leaf().announce("172.16.0.1/32", THEIRS);
    host.settle();
    let silent = |host: &Host| host.core.members.silent().map(|a| a.to_string()).collect::<Vec<_>>();
    assert!(silent(&host).is_empty(), "no policy, no question");
    host.reload(&config(&format!("{BARE}{NEIGHBOR}{}", guarded()))).unwrap();
    assert_eq!(silent(&host), ["192.168.5.70"]);
    assert_eq!((host.group_of("192.168.5.70"), host.group_of("192.168.5.71")), (None, Some(100)));
    host.reload(&config(&format!("{BARE}{NEIGHBOR}{GROUPS}"))).unwrap();
    assert!(silent(&host).is_empty());
}
