//! Addresses that the fabric shows from another host: not handed out, and an alarm where we have them too.

use super::{leaf::NEIGHBOR, *};

/// Router ids of this host and of another one.
const OURS: Option<[u8; 4]> = Some([50, 1, 1, 1]);
const THEIRS: Option<[u8; 4]> = Some([60, 1, 1, 1]);

const A: &str = "192.168.1.1/32";

/// A host with a session to a leaf.
fn joined() -> Host {
    let mut host = Host::joined(&config(&format!("{BARE}{NEIGHBOR}")));
    host.appear("a");
    host.appear("b");
    host.settle();
    host
}

impl Host {
    /// The leaf tells of a prefix that a host has announced to it.
    fn hear(&mut self, prefix: &str, host: Option<[u8; 4]>) {
        self.leaf().announce(prefix, host);
        self.settle();
    }

    fn alarms(&self) -> usize {
        self.core.duplicates.alarms.len()
    }
}

#[test]
fn a_container_is_announced_to_the_leaf_and_withdrawn_before_its_objects_go() {
    let mut host = joined();
    host.add(&request("a", "public")).unwrap();
    assert!(host.leaf().has(A));
    let whole = host.text();
    host.ask_to_remove("a");
    while host.leaf().has(A) {
        assert_eq!(host.text(), whole);
        assert!(host.step());
    }
    assert_eq!(host.text(), whole, "the leaf knows before anything is taken away");
    host.settle();
    assert!(!host.text().contains("pt-a"));
}

#[test]
fn a_network_that_goes_is_torn_down_when_the_leaf_knows_that_its_containers_went() {
    let endpoint = "[[endpoint]]\nname = \"web1\"\nnetwork = \"vx\"\nnetns = \"/run/netns/a\"\n";
    let mut host = joined();
    host.reload(&config(&format!("{BARE}{NEIGHBOR}{}{endpoint}", networks::BRIDGED))).unwrap();
    assert!(host.leaf().has("10.1.2.1/32"));
    let whole = host.text();
    host.core.reconfigure(config(&format!("{BARE}{NEIGHBOR}")), host.now).unwrap();
    while host.leaf().has("10.1.2.1/32") {
        let now = host.text();
        for line in
            whole.lines().filter(|line| ["pb-vx", "px-5001", "pt-web1"].iter().any(|l| line.contains(l)))
        {
            assert!(now.contains(line), "{line}");
        }
        assert!(host.step());
    }
    host.settle();
    assert_eq!(host.text(), joined().text());
}

#[test]
fn an_address_that_another_host_announces_is_not_handed_out() {
    let mut host = joined();
    host.hear(A, THEIRS);
    let row = host.add(&request("a", "public")).unwrap();
    assert_eq!(row.addresses[0].to_string(), "192.168.1.2");
    let fixed = EndpointRequest { address: Some("192.168.1.1".into()), ..request("b", "public") };
    let whole = host.whole();
    let text = host.add(&fixed).unwrap_err();
    assert!(text.contains("192.168.1.1"), "{text}");
    assert_eq!(host.whole(), whole);
    // Until it is not announced any more.
    host.leaf().withdraw(A);
    host.settle();
    assert_eq!(host.add(&fixed).unwrap().addresses[0].to_string(), "192.168.1.1");
}

#[test]
fn a_route_of_unknown_origin_to_an_address_that_is_not_ours_keeps_it_from_being_handed_out() {
    let mut host = joined();
    host.hear(A, None);
    assert_eq!(host.add(&request("a", "public")).unwrap().addresses[0].to_string(), "192.168.1.2");
}

#[test]
fn routes_to_whole_networks_are_in_nobodys_way() {
    let mut host = joined();
    host.hear("192.168.1.0/24", THEIRS);
    host.hear("0.0.0.0/0", None);
    assert_eq!(host.add(&request("a", "public")).unwrap().addresses[0].to_string(), "192.168.1.1");
}

#[test]
fn our_own_announcement_that_comes_back_is_no_alarm_and_its_address_is_ours_to_give() {
    let mut host = joined();
    host.add(&request("a", "public")).unwrap();
    host.hear(A, OURS);
    host.pass(6);
    assert_eq!(host.alarms(), 0);
    // What an earlier run announced, and the fabric still has.
    host.hear("192.168.1.2/32", OURS);
    assert_eq!(host.add(&request("b", "public")).unwrap().addresses[0].to_string(), "192.168.1.2");
}

#[test]
fn an_address_of_ours_that_another_host_announces_is_an_alarm_until_it_does_not() {
    let mut host = joined();
    host.add(&request("a", "public")).unwrap();
    host.hear(A, THEIRS);
    host.pass(6);
    assert_eq!(host.alarms(), 1);
    let error = host.row("a").error.unwrap();
    assert!(error.contains("another host") && error.contains("192.168.1.1"), "{error}");
    assert_eq!(host.row("a").state, "attached", "it goes on working");
    assert!(host.leaf().has(A));
    host.pass(5);
    assert_eq!(host.core.duplicates.total, 1, "counted once");

    host.leaf().withdraw(A);
    host.settle();
    host.pass(6);
    assert_eq!(host.alarms(), 0);
    assert_eq!(host.row("a").error, None);
}

#[test]
fn an_alarm_goes_with_its_container_and_with_its_address() {
    let mut host = joined();
    host.add(&request("a", "public")).unwrap();
    host.hear(A, THEIRS);
    host.pass(6);
    assert_eq!(host.alarms(), 1);
    // The same name, but another address, before anybody has looked.
    host.remove("a").unwrap();
    let row = host.add(&request("a", "public")).unwrap();
    assert_ne!(row.addresses[0].to_string(), "192.168.1.1");
    host.pass(6);
    assert_eq!(host.alarms(), 0, "{:?}", host.core.duplicates.alarms);
}

#[test]
fn a_container_that_waited_for_an_address_has_it_when_the_other_host_gives_it_up() {
    let only = BARE.replace("gateway =", "pool = [\"192.168.1.1-192.168.1.1\"]\n gateway =");
    let endpoint = "[[endpoint]]\nname = \"web1\"\nnetwork = \"public\"\nnetns = \"/run/netns/web1\"\n";
    let mut host = Host::start(&config(&format!("{only}{NEIGHBOR}")));
    while !host.core.all_up() {
        host.pass(1);
    }
    host.hear(A, THEIRS);
    host.appear("web1");
    host.reload(&config(&format!("{only}{NEIGHBOR}{endpoint}"))).unwrap();
    let row = host.row("web1");
    assert!(row.addresses.is_empty() && row.error.is_some(), "{row:?}");
    host.leaf().withdraw(A);
    host.settle();
    host.pass(6);
    assert_eq!(host.state("web1"), "attached");
    assert!(host.leaf().has(A));
}
