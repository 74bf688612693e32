//! The rules of giving out addresses.

mod bench;
mod model;

use petiole_config::{
    HostConfig,
    model::{DefaultAction, GroupId},
};

use super::*;
use crate::core::tests::config;

/// Seconds that an address rests in these tests.
const QUARANTINE: u32 = 30;

/// Nothing is on another host.
fn nowhere(_: IpAddr) -> bool {
    false
}

fn id(text: &str) -> ScopedName {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn v4(text: &str) -> Assigned {
    Assigned { v4: Some(text.parse().unwrap()), v6: None }
}

fn v6(text: &str) -> Assigned {
    Assigned { v4: None, v6: Some(text.parse().unwrap()) }
}

/// A routed network `n` with these lines.
fn network(lines: &str) -> Network {
    let text = format!("[[network]]\nname = \"n\"\nencap = \"routed\"\n{lines}");
    let HostConfig { networks, .. } = config(&text);
    let mut network = networks.into_iter().next().unwrap();
    network.quarantine = QUARANTINE;
    network
}

fn group(name: &str, v4: &[(&str, &str)]) -> Group {
    let ranges = v4.iter().map(|(a, b)| AddrRange::new(a.parse().unwrap(), b.parse().unwrap()).unwrap());
    Group {
        id: id(name),
        network: id("n"),
        number: GroupId::of_name(&id(name)),
        policies: Vec::new(),
        default: DefaultAction::Allow,
        profile: None,
        all4: Vec::new(),
        all6: Vec::new(),
        v4: ranges.collect(),
        v6: Vec::new(),
    }
}

/// One network and its addresses.
struct World {
    ipam: Ipam,
    network: Network,
    groups: Vec<Group>,
    now: u64,
}

impl World {
    fn new(lines: &str) -> Self {
        Self { ipam: Ipam::default(), network: network(lines), groups: Vec::new(), now: 1_000_000 }
    }

    fn ask(&mut self, endpoint: &str, wish: Assigned, last: Assigned) -> Result<Assigned, AssignError> {
        self.ask_in(None, endpoint, wish, last, &nowhere)
    }

    fn ask_in(
        &mut self,
        group: Option<usize>,
        endpoint: &str,
        wish: Assigned,
        last: Assigned,
        taken: &dyn Fn(IpAddr) -> bool,
    ) -> Result<Assigned, AssignError> {
        let group = group.map(|g| &self.groups[g]);
        let endpoint = &id(endpoint);
        let want = Want { endpoint, network: &self.network, group, groups: &self.groups, wish, last };
        self.ipam.assign(&want, taken, self.now)
    }

    /// Any address.
    fn any(&mut self, endpoint: &str) -> Result<Assigned, AssignError> {
        self.ask(endpoint, Assigned::default(), Assigned::default())
    }

    /// Any IPv4 address, as text.
    fn get(&mut self, endpoint: &str) -> String {
        self.any(endpoint).unwrap().v4.unwrap().to_string()
    }

    fn get_in(&mut self, group: usize, endpoint: &str) -> Result<String, AssignError> {
        let none = Assigned::default();
        Ok(self.ask_in(Some(group), endpoint, none, none, &nowhere)?.v4.unwrap().to_string())
    }

    fn release(&mut self, endpoint: &str, assigned: Assigned) {
        self.ipam.release(&id(endpoint), &id("n"), assigned, Assigned::default(), self.now);
    }
}

const SLASH_24: &str = "subnet = \"192.168.1.0/24\"\ngateway = \"192.168.1.254\"";

const THREE: &str = r#"
    subnet = "192.168.1.0/24"
    gateway = "192.168.1.1"
    pool = ["192.168.1.1-192.168.1.3", "192.168.1.9"]
"#;

#[test]
fn ten_endpoints_in_a_fresh_pool_get_the_first_ten_addresses() {
    let mut w = World::new(SLASH_24);
    let got: Vec<String> = (0..10).map(|n| w.get(&format!("e{n}"))).collect();
    let first_ten: Vec<String> = (1..=10).map(|n| format!("192.168.1.{n}")).collect();
    assert_eq!(got, first_ten);
}

#[test]
fn the_gateway_is_nobodys_and_an_exhausted_pool_says_so_and_takes_nothing() {
    let mut w = World::new(&format!("{THREE}\nsubnet6 = \"2001:db8:1::/64\""));
    assert_eq!([w.get("a"), w.get("b"), w.get("c")], ["192.168.1.2", "192.168.1.3", "192.168.1.9"]);
    let error = w.any("d").unwrap_err();
    assert_eq!(
        error.to_string(),
        "auto allocation failed - address exhaustion in pool of network n: 3 of 3 IPv4 addresses in use"
    );
    assert_eq!(w.ipam.usage(&w.network, w.now), Usage { size: 3, used: 3, quarantined: 0 });
    assert_eq!(w.ipam.owner(&id("n"), ip("2001:db8:1::4")), None);
}

#[test]
fn when_ipv6_is_exhausted_the_ipv4_address_is_not_taken_either() {
    let mut w = World::new(&format!("{SLASH_24}\nsubnet6 = \"2001:db8::/64\"\npool6 = [\"2001:db8::7\"]"));
    w.any("a").unwrap();
    let error = w.any("b").unwrap_err();
    assert!(error.to_string().ends_with("1 of 1 IPv6 addresses in use"), "{error}");
    assert_eq!(w.ipam.owner(&id("n"), ip("192.168.1.2")), None);
}

#[test]
fn an_address_rests_before_it_is_given_out_again_and_the_error_says_for_how_long() {
    let mut w = World::new(THREE);
    for name in ["a", "b", "c"] {
        w.get(name);
    }
    w.release("b", v4("192.168.1.3"));
    w.now += 10;
    w.release("a", v4("192.168.1.2"));
    let error = w.any("d").unwrap_err();
    assert_eq!(
        error.to_string(),
        "auto allocation failed - address exhaustion in pool of network n: 1 of 3 IPv4 addresses in use, \
         2 in quarantine (free in 20 s at the earliest)"
    );
    assert!(matches!(error, AssignError::Exhausted(e) if e.shortage.free_in == Some(20)));
    assert_eq!(w.ipam.usage(&w.network, w.now), Usage { size: 3, used: 1, quarantined: 2 });
    w.now += 19;
    w.any("d").unwrap_err();
    w.now += 1;
    assert_eq!(w.get("d"), "192.168.1.3", "the one that has been free for longer");
    w.any("e").unwrap_err();
    w.now += 10;
    assert_eq!(w.get("e"), "192.168.1.2");
}

#[test]
fn what_was_never_used_comes_before_what_was_given_back() {
    let mut w = World::new(THREE);
    assert_eq!(w.get("a"), "192.168.1.2");
    w.release("a", v4("192.168.1.2"));
    w.now += u64::from(QUARANTINE) * 2;
    assert_eq!([w.get("b"), w.get("c"), w.get("d")], ["192.168.1.3", "192.168.1.9", "192.168.1.2"]);
}

#[test]
fn a_fixed_address_may_be_in_quarantine_but_not_in_use_nor_elsewhere_nor_outside_the_pool() {
    let mut w = World::new(THREE);
    w.ask("a", v4("192.168.1.9"), Assigned::default()).unwrap();
    let refused = w.ask("b", v4("192.168.1.9"), Assigned::default()).unwrap_err();
    assert_eq!(refused.to_string(), "192.168.1.9 is in use by endpoint a");
    w.release("a", v4("192.168.1.9"));
    assert_eq!(w.ask("b", v4("192.168.1.9"), Assigned::default()), Ok(v4("192.168.1.9")));
    for outside in ["192.168.1.1", "192.168.1.4", "10.0.0.1"] {
        let refused = w.ask("c", v4(outside), Assigned::default()).unwrap_err();
        assert_eq!(refused.to_string(), format!("{outside} is not in the pool of network n"));
    }
    let elsewhere = |a| a == ip("192.168.1.2");
    let refused = w.ask_in(None, "c", v4("192.168.1.2"), Assigned::default(), &elsewhere).unwrap_err();
    assert_eq!(refused.to_string(), "192.168.1.2 is in use on another host: the fabric shows a route to it");
}

#[test]
fn what_an_endpoint_had_is_kept_unless_somebody_has_it_or_the_pool_has_it_no_more() {
    let mut w = World::new(THREE);
    let none = Assigned::default();
    assert_eq!(w.ask("a", none, v4("192.168.1.9")), Ok(v4("192.168.1.9")));
    assert_eq!(w.ask("b", none, v4("192.168.1.9")), Ok(v4("192.168.1.2")), "a has it");
    assert_eq!(w.ask("c", none, v4("192.168.1.77")), Ok(v4("192.168.1.3")), "not in the pool");
    assert_eq!(w.ask("a", none, v4("192.168.1.9")), Ok(v4("192.168.1.9")), "asked again");
    w.release("a", v4("192.168.1.9"));
    assert_eq!(w.ask("a", none, v4("192.168.1.9")), Ok(v4("192.168.1.9")), "its own, in quarantine");
    w.release("a", v4("192.168.1.9"));
    w.ask("d", none, v4("192.168.1.9")).unwrap_err();
    w.now += u64::from(QUARANTINE);
    assert_eq!(w.ask("d", none, v4("192.168.1.9")), Ok(v4("192.168.1.9")), "a's, but long ago");
}

#[test]
fn an_address_that_the_fabric_shows_from_another_host_is_passed_over_new_remembered_or_rested() {
    let mut w = World::new(THREE);
    let (none, elsewhere) = (Assigned::default(), |a| a == ip("192.168.1.2") || a == ip("192.168.1.3"));
    let got = w.ask_in(None, "a", none, v4("192.168.1.3"), &elsewhere);
    assert_eq!(got, Ok(v4("192.168.1.9")));
    w.release("a", v4("192.168.1.9"));
    w.now += u64::from(QUARANTINE);
    let error = w.ask_in(None, "b", none, none, &|_| true).unwrap_err();
    assert_eq!(
        error.to_string(),
        "auto allocation failed - address exhaustion in pool of network n: 0 of 3 IPv4 addresses in use, \
         3 shown by the fabric on other hosts"
    );
}

#[test]
fn a_fabric_that_shows_every_address_of_an_ipv6_pool_does_not_make_the_search_endless() {
    let mut w = World::new("subnet6 = \"2001:db8::/64\"");
    let none = Assigned::default();
    let error = w.ask_in(None, "a", none, none, &|_| true).unwrap_err();
    assert!(error.to_string().ends_with(", 65536 shown by the fabric on other hosts"), "{error}");
}

#[test]
fn ipv6_has_the_same_host_number_beside_ipv4_while_that_is_free() {
    let mut w = World::new(&format!("{THREE}\nsubnet6 = \"2001:db8:1::/64\""));
    let got = w.ask("a", v4("192.168.1.9"), Assigned::default()).unwrap();
    assert_eq!(got.v6, v6("2001:db8:1::9").v6);
    w.release("a", v6("2001:db8:1::9"));
    w.release("a", v4("192.168.1.9"));
    let got = w.ask("b", v4("192.168.1.9"), Assigned::default()).unwrap();
    assert_eq!(got.v6, v6("2001:db8:1::1").v6, "the twin rests");
}

#[test]
fn only_its_owner_releases_an_address_and_not_one_that_it_keeps() {
    let mut w = World::new(THREE);
    let got = w.any("a").unwrap();
    w.release("b", got);
    assert_eq!(w.ipam.owner(&id("n"), ip("192.168.1.2")), Some(&id("a")));
    w.ipam.release(&id("a"), &id("n"), got, got, w.now);
    assert_eq!(w.ipam.owner(&id("n"), ip("192.168.1.2")), Some(&id("a")), "kept");
    assert_eq!(w.ipam.take_changes(), []);
    w.release("a", got);
    w.release("a", got);
    let released = Release { network: id("n"), address: ip("192.168.1.2"), at: w.now };
    assert_eq!(w.ipam.take_changes(), [Change::Released(released)], "once");
}

#[test]
fn a_pool_of_one_address_exhausts_and_recovers() {
    let mut w = World::new("subnet = \"192.168.1.0/24\"\npool = [\"192.168.1.7\"]");
    assert_eq!(w.get("a"), "192.168.1.7");
    w.any("b").unwrap_err();
    w.release("a", v4("192.168.1.7"));
    w.any("b").unwrap_err();
    w.now += u64::from(QUARANTINE);
    assert_eq!(w.get("b"), "192.168.1.7");
}

#[test]
fn a_31_gives_out_both_of_its_addresses_and_a_32_its_only_one() {
    let mut w = World::new("subnet = \"192.168.1.4/31\"");
    assert_eq!([w.get("a"), w.get("b")], ["192.168.1.4", "192.168.1.5"]);
    w.any("c").unwrap_err();
    let mut w = World::new("subnet = \"192.168.1.4/31\"");
    let only = Ipv4Addr::new(192, 168, 1, 4);
    let range = AddrRange::new(only, only).unwrap();
    w.network.v4 = Some(Subnet { net: "192.168.1.4/32".parse().unwrap(), gateway: None, pool: vec![range] });
    assert_eq!(w.get("a"), "192.168.1.4");
    w.any("b").unwrap_err();
    let mut w = World::new("subnet6 = \"2001:db8::4/127\"");
    let only = Ipv6Addr::from_segments([0x2001, 0xdb8, 0, 0, 0, 0, 0, 4]);
    let range = AddrRange::new(only, only).unwrap();
    w.network.v6 = Some(Subnet { net: "2001:db8::4/128".parse().unwrap(), gateway: None, pool: vec![range] });
    assert_eq!(w.any("a"), Ok(v6("2001:db8::4")));
    w.any("b").unwrap_err();
}

#[test]
fn a_groups_pool_is_for_its_endpoints_alone() {
    let mut w = World::new(THREE);
    w.groups = vec![group("g", &[("192.168.1.1", "192.168.1.2")]), group("h", &[])];
    assert_eq!(w.get("outside"), "192.168.1.3", ".2 is g's");
    assert_eq!(w.get_in(0, "a").unwrap(), "192.168.1.2", ".1 is the gateway's");
    let error = w.get_in(0, "b").unwrap_err();
    assert_eq!(
        error.to_string(),
        "auto allocation failed - address exhaustion in pool of group g of network n: 1 of 1 IPv4 addresses in use"
    );
    assert_eq!(w.get_in(1, "c").unwrap(), "192.168.1.9", "a group without a pool shares the network's rest");
    assert!(w.any("d").unwrap_err().to_string().contains("pool of network n: 2 of 2 "));
    w.release("a", v4("192.168.1.2"));
    w.now += u64::from(QUARANTINE);
    w.any("d").unwrap_err();
    assert_eq!(w.get_in(0, "b").unwrap(), "192.168.1.2");
}

#[test]
fn two_tenants_may_have_equal_subnets() {
    let mut w = World::new(THREE);
    assert_eq!(w.get("a"), "192.168.1.2");
    w.network.id = id("blue/n");
    assert_eq!(w.get("blue/a"), "192.168.1.2");
    assert_eq!(w.ipam.owner(&id("n"), ip("192.168.1.2")), Some(&id("a")));
    assert_eq!(w.ipam.owner(&id("blue/n"), ip("192.168.1.2")), Some(&id("blue/a")));
}

#[test]
fn addresses_that_a_new_config_leaves_outside_the_pool_stay_owned_and_are_not_given_out_again() {
    let mut w = World::new(THREE);
    assert_eq!([w.get("a"), w.get("b")], ["192.168.1.2", "192.168.1.3"]);
    w.network = network("subnet = \"192.168.1.0/24\"\npool = [\"192.168.1.3-192.168.1.4\"]");
    assert_eq!(w.ipam.owner(&id("n"), ip("192.168.1.2")), Some(&id("a")));
    assert_eq!(w.ipam.usage(&w.network, w.now), Usage { size: 2, used: 1, quarantined: 0 });
    assert_eq!(w.get("c"), "192.168.1.4");
    w.release("a", v4("192.168.1.2"));
    w.now += u64::from(QUARANTINE);
    w.any("d").unwrap_err();
}

#[test]
fn what_the_journal_and_the_kernel_say_is_taken_over_first_come_first_served() {
    let mut w = World::new(THREE);
    let at = w.now - 10;
    let release = |address| Release { network: id("n"), address: ip(address), at };
    w.ipam.restore(release("192.168.1.2"));
    w.ipam.restore(release("192.168.1.3"));
    w.ipam.adopt(&id("a"), &id("n"), v4("192.168.1.3")).unwrap();
    let refused = w.ipam.adopt(&id("b"), &id("n"), v4("192.168.1.3")).unwrap_err();
    assert_eq!(refused.to_string(), "192.168.1.3 is in use by endpoint a");
    w.ipam.adopt(&id("a"), &id("n"), v4("192.168.1.3")).unwrap();
    w.ipam.restore(release("192.168.1.3"));
    let forgotten = Change::Forgotten { network: id("n"), address: ip("192.168.1.3") };
    assert_eq!(w.ipam.take_changes(), [forgotten.clone(), forgotten], "by adopt, and by restore");
    assert_eq!(w.ipam.releases().collect::<Vec<_>>(), [release("192.168.1.2")]);
    assert_eq!(w.get("c"), "192.168.1.9");
    assert!(w.any("d").unwrap_err().to_string().contains("(free in 20 s at the earliest)"));
}

#[test]
fn a_release_of_the_future_counts_from_now() {
    let mut w = World::new("subnet = \"192.168.1.0/24\"\npool = [\"192.168.1.7\"]");
    w.ipam.restore(Release { network: id("n"), address: ip("192.168.1.7"), at: w.now + 1_000_000 });
    assert!(w.any("a").unwrap_err().to_string().contains("(free in 30 s at the earliest)"));
    w.now += u64::from(QUARANTINE);
    assert_eq!(w.get("a"), "192.168.1.7");
}

#[test]
fn records_of_networks_that_are_no_more_go_but_owners_stay() {
    let mut w = World::new(THREE);
    let [_, b] = [w.any("a").unwrap(), w.any("b").unwrap()];
    w.release("b", b);
    w.ipam.take_changes();
    w.ipam.retain(|_| true);
    assert_eq!(w.ipam.take_changes(), []);
    w.ipam.retain(|_| false);
    assert_eq!(w.ipam.take_changes(), [forgotten(&id("n"), ip("192.168.1.3"))]);
    assert_eq!(w.ipam.owner(&id("n"), ip("192.168.1.2")), Some(&id("a")));
    assert_eq!(w.ipam.releases().count(), 0);
}

#[test]
fn release_records_are_bounded_and_the_oldest_go_first_but_none_in_quarantine() {
    let mut w = World::new("subnet = \"10.0.0.0/8\"");
    let release = |n: usize, at: u64| {
        let address = Ipv4Addr::from_bits(0x0a00_0001 + n as u32).into();
        Release { network: id("n"), address, at }
    };
    let surplus = 5;
    for n in 0..ledger::RELEASES_MAX + surplus {
        // The third is the oldest, and the last ones are fresh.
        let age = if n == 2 { 500_000 } else { 400_000 - n as u64 };
        w.ipam.restore(release(n, w.now - age));
    }
    assert_eq!(w.get("a"), "10.0.0.1", "as good as never used");
    let dropped: Vec<Change> = [2, 0, 1, 3, 4].map(|n| forgotten(&id("n"), release(n, 0).address)).into();
    assert_eq!(w.ipam.take_changes(), dropped);
    assert_eq!(w.ipam.releases().count(), ledger::RELEASES_MAX);

    let mut w = World::new("subnet = \"10.0.0.0/8\"");
    for n in 0..ledger::RELEASES_MAX + surplus {
        w.ipam.restore(release(n, w.now - 1));
    }
    w.any("a").unwrap();
    assert_eq!(w.ipam.releases().count(), ledger::RELEASES_MAX + surplus);
}
