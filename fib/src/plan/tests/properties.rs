//! Whatever happens, in whatever order: in the end the kernel is what it should be, and nobody else's objects were
//! touched. A failing case is shrunk and printed, and its seed is kept under `proptest-regressions`.

use proptest::prelude::*;

use super::bridged_world::{
    bridge, bridged_container, chain, item, keys, port_of, published, ruleset, set, vlan, vtep, vxlan,
};
use super::limits::{FAST, SLOW, limits};
use super::world::{
    LEAF1, LEAF2, World, address, container, ip, link, net, next_hops, route_key, sysctl, uplinks,
};
use crate::{
    fake::{FakeKernel, Fault},
    model::{
        Expr, Field, Key, Mac, NextHop, NextHopId, NftFamily, Ns, Object, Qdisc, Route, RouteKey,
        RouteTarget, Rule, SetKind, TableRef, Verdict,
    },
    owner::Owner,
};

const SETS: [&[(&str, &str)]; 5] = [
    &[LEAF1],
    &[LEAF2],
    &[LEAF1, LEAF2],
    &[LEAF1, LEAF2, ("50.1.1.3", "eth1")],
    &[("2001:db8:1::2", "eth1")],
];
const SOURCES: [Option<&str>; 3] = [None, Some("10.0.0.1"), Some("10.0.0.2")];
const NETWORKS: usize = 3;
const BRIDGES: [&str; NETWORKS] = ["pb-vlan", "pb-blue", "pb-red"];
/// The networks' devices, and a container's link.
const PORTS: [&str; 4] = ["pv-112", "px-5001", "px-5002", "vweb1"];
const TENANTS: [(&str, &str); 2] = [("blue", "10.1.2.0/24"), ("red", "10.1.3.0/24")];
const CHAINS: [&str; 3] = ["forward", "blue", "dnat"];
const UPLINKS: [&str; 2] = ["eth1", "eth2"];
const CONTAINERS: [(Ns, &str, u8); 2] = [(Ns(7), "web1", 3), (Ns(8), "web2", 4)];
const FOREIGN: u8 = 4;

/// One thing that happens. Numbers choose from what there is.
#[derive(Clone, Debug)]
enum Act {
    // The daemon.
    Route { to: u8, set: usize, source: usize },
    NoRoute(u8),
    Container(usize),
    NoContainer(usize),
    Wish(usize),
    NoWish(usize),
    Hop { leaf: bool, up: bool },
    Sweep,
    Slice(usize),
    Crash,
    // Time passes.
    Drive,
    Hear,
    Later,
    // The world.
    Plug(usize, bool),
    SetUp(usize, bool),
    DeleteUplink(usize),
    AddUplink(usize),
    TakeAway(usize),
    Meddle(usize),
    NamespaceGoes(usize),
    NamespaceComes(usize),
    Lose,
    Fault { after: u64, done: bool, errno: i32 },
    ForeignRoute { to: u8, ours: bool },
    NoForeignRoute { to: u8, ours: bool },
    ForeignAddress(u8),
    ForeignNeighbour(u8),
    ForeignNextHop(u32),
    // Limits.
    Limit { container: usize, into: Option<u64>, out: Option<u64> },
    ForeignQdisc(usize),
    NoIfb(usize),
    IfbDown(usize),
    // Bridged networks and nftables.
    Network(usize),
    NoNetwork(usize),
    Moved(usize, usize),
    Bridged(usize),
    Vtep { network: usize, vtep: u8, there: bool },
    Rules { tenants: usize, with_address: bool },
    NoRules,
    Publish { port: u16, to: u8, there: bool },
    ForeignEntry(u8),
    Enslave { port: usize, bridge: Option<usize> },
    Flush,
    ForeignRule(usize),
    ForeignInTable(usize),
}

/// All but `ESRCH`: a kernel that says of a route that it is gone is believed, as a dump of all routes costs too much.
fn acts() -> impl Strategy<Value = Vec<Act>> {
    let errno = prop::sample::select(vec![
        libc::EEXIST,
        libc::ENODEV,
        libc::EINTR,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::EINVAL,
        libc::ENOENT,
        libc::EPERM,
    ]);
    // What may be said of something that was done: the answer got lost; it was done twice.
    let lost = prop::sample::select(vec![libc::EINTR, libc::ENOBUFS, libc::ENOMEM, libc::EEXIST]);
    let up = any::<bool>;
    let rate = || prop::sample::select(vec![None, Some(SLOW), Some(FAST)]);
    let act = prop_oneof![
        6 => (0..6_u8, 0..SETS.len(), 0..SOURCES.len())
            .prop_map(|(to, set, source)| Act::Route { to, set, source }),
        3 => (0..6_u8).prop_map(Act::NoRoute),
        3 => (0..2_usize).prop_map(Act::Container),
        2 => (0..2_usize).prop_map(Act::NoContainer),
        2 => (0..20_usize).prop_map(Act::Wish),
        2 => (0..20_usize).prop_map(Act::NoWish),
        3 => (up(), up()).prop_map(|(leaf, up)| Act::Hop { leaf, up }),
        1 => Just(Act::Sweep),
        1 => prop::sample::select(vec![1, 2, 5, 100]).prop_map(Act::Slice),
        1 => Just(Act::Crash),
        10 => Just(Act::Drive),
        20 => Just(Act::Hear),
        2 => Just(Act::Later),
        2 => (0..2_usize, up()).prop_map(|(i, on)| Act::Plug(i, on)),
        2 => (0..2_usize, up()).prop_map(|(i, on)| Act::SetUp(i, on)),
        1 => (0..2_usize).prop_map(Act::DeleteUplink),
        1 => (0..2_usize).prop_map(Act::AddUplink),
        3 => (0..40_usize).prop_map(Act::TakeAway),
        1 => (0..2_usize).prop_map(Act::Meddle),
        1 => (0..2_usize).prop_map(Act::NamespaceGoes),
        1 => (0..2_usize).prop_map(Act::NamespaceComes),
        1 => Just(Act::Lose),
        2 => (0..6_u64, errno).prop_map(|(after, errno)| Act::Fault { after, done: false, errno }),
        2 => (0..6_u64, lost).prop_map(|(after, errno)| Act::Fault { after, done: true, errno }),
        1 => (0..6_u8, up()).prop_map(|(to, ours)| Act::ForeignRoute { to, ours }),
        1 => (0..6_u8, up()).prop_map(|(to, ours)| Act::NoForeignRoute { to, ours }),
        1 => (1..6_u8).prop_map(Act::ForeignAddress),
        1 => (1..6_u8).prop_map(Act::ForeignNeighbour),
        1 => (0..3_u32).prop_map(Act::ForeignNextHop),
        4 => (0..2_usize, rate(), rate()).prop_map(|(container, into, out)| Act::Limit { container, into, out }),
        1 => (0..3_usize).prop_map(Act::ForeignQdisc),
        1 => (0..2_usize).prop_map(Act::NoIfb),
        1 => (0..2_usize).prop_map(Act::IfbDown),
        4 => (0..NETWORKS).prop_map(Act::Network),
        2 => (0..NETWORKS).prop_map(Act::NoNetwork),
        1 => (0..NETWORKS, 0..NETWORKS).prop_map(|(n, on)| Act::Moved(n, on)),
        3 => (0..2_usize).prop_map(Act::Bridged),
        3 => (0..NETWORKS, 0..3_u8, up()).prop_map(|(network, vtep, there)| Act::Vtep { network, vtep, there }),
        4 => (0..4_usize, up()).prop_map(|(tenants, with_address)| Act::Rules { tenants, with_address }),
        1 => Just(Act::NoRules),
        4 => (0..3_u16, 0..3_u8, up()).prop_map(|(port, to, there)| Act::Publish { port, to, there }),
        1 => (0..3_u8).prop_map(Act::ForeignEntry),
        1 => (0..PORTS.len(), prop::option::of(0..3_usize)).prop_map(|(port, bridge)| Act::Enslave { port, bridge }),
        1 => Just(Act::Flush),
        1 => (0..CHAINS.len()).prop_map(Act::ForeignRule),
        1 => (0..4_usize).prop_map(Act::ForeignInTable),
    ];
    prop::collection::vec(act, 1..120)
}

fn prefix(to: u8) -> String {
    if to < 4 { format!("20.{to}.0.0/16") } else { format!("2001:db8:{to}::/48") }
}

/// A foreign route's key: the very one of ours, or beside it.
fn foreign_key(to: u8, ours: bool) -> RouteKey {
    let to = prefix(to);
    if ours { Owner::default().route_key(net(&to)) } else { route_key(Ns::HOST, &to, 100) }
}

/// The route prefers a source of its own family, and IPv6 routes go by IPv6 next hops: others are the daemon's fault.
fn fits(to: u8, set: usize, source: usize) -> (usize, usize) {
    if to < 4 { (set, source) } else { (4, 0) }
}

fn wishes() -> Vec<Object> {
    let mut wishes = uplinks();
    wishes.extend([
        address(Ns::HOST, "lo", "10.0.0.2/32"),
        address(Ns::HOST, "eth2", "60.1.1.7/24"),
        sysctl(Ns::HOST, "net/ipv6/conf/eth2/accept_ra", "0"),
        sysctl(Ns::HOST, "net/ipv6/conf/all/forwarding", "1"),
    ]);
    wishes
}

/// A network's bridge and its device, the second and third over VXLAN.
fn network(n: usize, on: usize) -> Vec<Object> {
    let device = if n == 0 { vlan(112, "eth2", BRIDGES[on]) } else { vxlan(5000 + n as u32, BRIDGES[on]) };
    let bridge = bridge(BRIDGES[n]);
    let gateway = address(Ns::HOST, BRIDGES[n], &format!("10.1.{n}.254/32"));
    vec![bridge, device, gateway, sysctl(Ns::HOST, &format!("net/ipv4/conf/{}/rp_filter", BRIDGES[n]), "1")]
}

fn some_vtep(network: usize, n: u8) -> Object {
    vtep(PORTS[network], &format!("70.1.1.{n}"))
}

struct Play {
    world: World,
    /// Which shape the map of published ports has.
    with_address: bool,
    /// The same kernel without petiole: what others do is done to it too.
    shadow: FakeKernel,
}

impl Play {
    fn new() -> Self {
        let mut world = World::new();
        let mut shadow = world.kernel.clone();
        for kernel in [&mut world.kernel, &mut shadow] {
            kernel.add_link(Ns::HOST, &link("mgmt0"));
            kernel.set_link_up(Ns::HOST, &link("mgmt0"), true);
            kernel.add_ns(Ns(8));
            kernel.add_bridge(Ns::HOST, &link("br-theirs"));
            kernel.add_table(TableRef { family: NftFamily::Inet, name: "theirs".into() });
        }
        world.watch(Ns(8));
        world.want_all(wishes());
        Self { world, with_address: false, shadow }
    }

    fn both(&mut self, act: impl Fn(&mut FakeKernel)) {
        act(&mut self.world.kernel);
        act(&mut self.shadow);
    }

    fn act(&mut self, act: &Act) {
        let world = &mut self.world;
        match *act {
            Act::Route { to, set, source } => {
                let (set, source) = fits(to, set, source);
                world.want_route_from(&prefix(to), SETS[set], SOURCES[source]);
            }
            Act::NoRoute(to) => world.unwant_route(&prefix(to)),
            Act::Container(i) => {
                let (ns, name, host) = CONTAINERS[i];
                world.want_all(container(ns, name, host));
            }
            Act::NoContainer(i) => {
                let (ns, name, host) = CONTAINERS[i];
                let bridged = bridged_container(ns, name, host, BRIDGES[i]);
                let limits = limits(name, Some(SLOW), Some(SLOW));
                for object in container(ns, name, host).into_iter().chain(bridged).chain(limits) {
                    world.unwant(&object.key());
                }
            }
            Act::Wish(i) => {
                let all = wishes();
                world.want(all[i % all.len()].clone());
            }
            Act::NoWish(i) => {
                let all = wishes();
                world.unwant(&all[i % all.len()].key());
            }
            Act::Hop { leaf, up } => {
                let (via, over) = if leaf { LEAF1 } else { LEAF2 };
                world.hop(via, over, up);
            }
            Act::Sweep => world.sweep(),
            Act::Slice(size) => world.slice = size,
            Act::Crash => world.crash(),
            Act::Drive => {
                world.drive();
            }
            Act::Hear => {
                world.hear();
            }
            Act::Later => world.now += std::time::Duration::from_millis(100),
            Act::Plug(i, on) => self.both(|kernel| kernel.plug(&link(UPLINKS[i]), on)),
            Act::SetUp(i, up) => self.both(|kernel| kernel.set_link_up(Ns::HOST, &link(UPLINKS[i]), up)),
            Act::DeleteUplink(i) => self.both(|kernel| kernel.delete_link(Ns::HOST, &link(UPLINKS[i]))),
            Act::AddUplink(i) => self.both(|kernel| kernel.add_link(Ns::HOST, &link(UPLINKS[i]))),
            Act::TakeAway(i) => {
                let keys = world.kernel.keys_of(&Owner::default());
                // The kernel thread hears nothing of containers, so the daemon has to be told to look.
                if let Some(key) = keys.get(i) {
                    world.kernel.take_away(key);
                }
            }
            Act::Meddle(i) => {
                let name = link(&format!("v{}", CONTAINERS[i].1));
                world.kernel.meddle_with_link(Ns::HOST, &name, 1300, Mac([2, 7, 7, 7, 7, 7]));
            }
            Act::NamespaceGoes(i) => {
                let ns = CONTAINERS[i].0;
                self.both(|kernel| kernel.remove_ns(ns));
                self.world.fib.forget_ns(ns);
                self.world.wishes.namespaces.remove(&ns);
            }
            Act::NamespaceComes(i) => self.namespace_comes(i),
            Act::Lose => world.kernel.lose_announcements(),
            Act::Fault { after, done, errno } => {
                let at = world.kernel.operations() + after;
                world.kernel.fail_at(at, if done { Fault::DoneBut(errno) } else { Fault::Refuse(errno) });
            }
            Act::ForeignRoute { to, ours } => {
                let key = foreign_key(to, ours);
                let route = Route { target: RouteTarget::Blackhole, preferred_source: None };
                self.both(|kernel| kernel.set_route(key, route.clone(), FOREIGN));
            }
            Act::NoForeignRoute { to, ours } => self.no_foreign_route(to, ours),
            Act::ForeignAddress(n) => {
                let address = net(&format!("10.5.{n}.1/24"));
                self.both(|kernel| kernel.add_address(Ns::HOST, &link("mgmt0"), address, 0));
            }
            Act::ForeignNeighbour(n) => {
                let (to, mac) = (ip(&format!("10.5.{n}.9")), Mac([2, 5, 5, 5, 5, n]));
                self.both(|kernel| kernel.set_neighbour(Ns::HOST, &link("mgmt0"), to, mac, FOREIGN));
            }
            Act::Limit { .. } | Act::ForeignQdisc(_) | Act::NoIfb(_) | Act::IfbDown(_) => {
                self.act_on_limits(act);
            }
            Act::Network(..)
            | Act::NoNetwork(_)
            | Act::Moved(..)
            | Act::Bridged(_)
            | Act::Vtep { .. }
            | Act::ForeignEntry(_)
            | Act::Enslave { .. } => self.act_on_bridges(act),
            Act::Rules { .. }
            | Act::NoRules
            | Act::Publish { .. }
            | Act::Flush
            | Act::ForeignRule(_)
            | Act::ForeignInTable(_) => self.act_on_nft(act),
            Act::ForeignNextHop(n) => {
                let via = NextHop::Single { via: ip("10.5.1.2"), link: link("mgmt0"), onlink: true };
                // In the middle of our range.
                let id = NextHopId(Owner::NEXT_HOP_IDS.start + 6 + n);
                let free =
                    self.world.kernel.keys_of(&Owner::default()).iter().all(|k| *k != Key::NextHop(id));
                if free {
                    self.both(|kernel| kernel.set_next_hop(id, via.clone(), FOREIGN));
                }
            }
        }
    }

    fn act_on_limits(&mut self, act: &Act) {
        let world = &mut self.world;
        match *act {
            Act::Limit { container, into, out } => {
                let name = CONTAINERS[container].1;
                let wanted = limits(name, into, out);
                let stay = keys(&wanted);
                for key in keys(&limits(name, Some(SLOW), Some(SLOW))) {
                    if !stay.contains(&key) {
                        world.unwant(&key);
                    }
                }
                world.want_all(wanted);
            }
            Act::ForeignQdisc(on) => {
                let foreign = Qdisc::Foreign("netem".into());
                match ["vweb1", "iweb1", "mgmt0"][on] {
                    "mgmt0" => self.both(|kernel| kernel.set_qdisc(&link("mgmt0"), Some(foreign.clone()))),
                    ours => world.kernel.set_qdisc(&link(ours), Some(foreign)),
                }
            }
            Act::NoIfb(i) => world.kernel.delete_link(Ns::HOST, &link(&format!("i{}", CONTAINERS[i].1))),
            Act::IfbDown(i) => {
                world.kernel.set_link_up(Ns::HOST, &link(&format!("i{}", CONTAINERS[i].1)), false);
            }
            _ => {}
        }
    }

    fn act_on_bridges(&mut self, act: &Act) {
        let world = &mut self.world;
        match *act {
            Act::Network(n) => world.want_all(network(n, n)),
            Act::NoNetwork(n) => keys(&network(n, n)).iter().for_each(|key| world.unwant(key)),
            Act::Moved(n, on) => world.want(network(n, on).swap_remove(1)),
            Act::Bridged(i) => {
                let (ns, name, host) = CONTAINERS[i];
                world.want_all(bridged_container(ns, name, host, BRIDGES[i]));
            }
            Act::Vtep { network, vtep, there: true } => world.want(some_vtep(network.max(1), vtep)),
            Act::Vtep { network, vtep, there: false } => {
                world.unwant(&some_vtep(network.max(1), vtep).key());
            }
            Act::ForeignEntry(n) => {
                let Object::Fdb(entry) = some_vtep(1, 100 + n) else { return };
                let ours = self.world.kernel.keys_of(&Owner::default());
                if ours.contains(&Key::Link(Ns::HOST, entry.link.clone())) {
                    self.world.kernel.add_fdb(entry);
                }
            }
            Act::Enslave { port, bridge } => {
                let bridge = bridge.map(|b| port_of(["br-theirs", BRIDGES[0], BRIDGES[1]][b]));
                world.kernel.enslave(Ns::HOST, &link(PORTS[port]), bridge);
            }
            _ => {}
        }
    }

    fn act_on_nft(&mut self, act: &Act) {
        let world = &mut self.world;
        match *act {
            Act::Rules { tenants, with_address } => {
                let tenants: Vec<_> =
                    TENANTS.iter().enumerate().filter(|(i, _)| tenants & (1 << i) != 0).collect();
                let tenants: Vec<(&str, &str)> = tenants.into_iter().map(|(_, tenant)| *tenant).collect();
                if self.with_address != with_address {
                    self.with_address = with_address;
                    world.unwant_where(
                        |object| matches!(object, Object::Element(set, ..) if *set == item("published")),
                    );
                }
                let wanted = ruleset(&tenants, with_address);
                let stay = keys(&wanted);
                world.unwant_where(|object| {
                    let key = object.key();
                    let port = matches!(&key, Key::Element(set, _) if *set == item("published"));
                    key.is_nft() && !port && !stay.contains(&key)
                });
                world.want_all(wanted);
            }
            Act::NoRules => world.unwant_where(|object| object.key().is_nft()),
            Act::Publish { port, to, there } => {
                let port = published(port, &format!("10.1.2.{to}"), self.with_address);
                if there && world.wishes.objects.iter().any(|o| o.key() == Key::Set(item("published"))) {
                    world.want(port);
                } else {
                    world.unwant(&port.key());
                }
            }
            // In the shadow too there is somebody's table.
            Act::Flush => self.both(FakeKernel::flush_ruleset),
            Act::ForeignRule(n) => {
                let rule = Rule(vec![Expr::Counter, Expr::Verdict(Verdict::Drop)]);
                world.kernel.add_rule(&item(CHAINS[n]), rule);
            }
            Act::ForeignInTable(n) => {
                let jump = Expr::Verdict(Verdict::Jump("blue".into()));
                let objects = [
                    set("theirs", &[Field::Ip4Source], false, SetKind::Set),
                    set("published", &[Field::Ip4Source], false, SetKind::Set),
                    chain("theirs", None, vec![vec![Expr::Counter, jump]]),
                    chain("forward", None, vec![vec![Expr::Counter]]),
                ];
                world.kernel.add_nft(&objects[n]);
            }
            _ => {}
        }
    }

    fn no_foreign_route(&mut self, to: u8, ours: bool) {
        let key = foreign_key(to, ours);
        let held_by_us = self.world.kernel.keys_of(&Owner::default()).contains(&Key::Route(key));
        self.shadow.take_away(&Key::Route(key));
        if !held_by_us {
            self.world.kernel.take_away(&Key::Route(key));
        }
    }

    fn namespace_comes(&mut self, i: usize) {
        let ns = CONTAINERS[i].0;
        if self.world.wishes.namespaces.contains(&ns) {
            return;
        }
        self.both(|kernel| kernel.add_ns(ns));
        self.world.watch(ns);
    }

    /// Everything is put in order that is not ours to put in order, and the tracker comes to rest.
    fn calm_down(&mut self) {
        self.world.kernel.forget_faults();
        self.namespace_comes(0);
        self.namespace_comes(1);
        for uplink in UPLINKS.map(link) {
            self.both(|kernel| {
                kernel.add_link(Ns::HOST, &uplink);
                kernel.set_link_up(Ns::HOST, &uplink, true);
                kernel.plug(&uplink, true);
            });
        }
        for to in 0..6 {
            self.no_foreign_route(to, true);
        }
        // Without addresses, gateways are not reachable, and routes over them fail for good.
        self.world.want_all(wishes());
        self.world.settle();
        self.world.sweep();
        for (ns, ..) in CONTAINERS {
            self.world.fib.audit_ns(ns);
        }
        self.world.settle();
    }

    fn assert_right(&mut self) {
        let world = &mut self.world;
        let owner = Owner::default();
        assert_eq!(world.kernel.text_of_others(&owner), self.shadow.text_of_others(&owner));
        assert_eq!(world.kernel.cut_off(), []);
        assert!(world.fib.idle(), "{:?} {:?}", world.fib.counters(), world.fib.failing().collect::<Vec<_>>());

        // A kernel without a past, told the same.
        let mut fresh = Play::new();
        for (ns, ..) in CONTAINERS {
            assert!(world.wishes.namespaces.contains(&ns));
        }
        fresh.world.wishes = world.wishes.clone();
        fresh.world.crash();
        fresh.world.settle();
        assert_eq!(world.kernel.meaning_of(&owner), fresh.world.kernel.meaning_of(&owner));

        // It stays so over a restart. A set is found again by its members: not if one of them is down.
        world.done();
        world.crash();
        world.settle();
        world.sweep();
        world.settle();
        if world.wishes.down.is_empty() {
            assert_eq!(world.done(), "", "after a restart with the same wishes");
        }
        assert_eq!(world.kernel.meaning_of(&owner), fresh.world.kernel.meaning_of(&owner));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(256), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn in_the_end_the_kernel_is_what_it_should_be(acts in acts()) {
        let mut play = Play::new();
        for act in &acts {
            play.act(act);
        }
        play.calm_down();
        play.assert_right();
    }

    #[test]
    fn one_failure_anywhere_heals(at in 0..60_u64, errno in 1..120_i32, done in any::<bool>()) {
        let mut play = Play::new();
        let fault = if done { Fault::DoneBut(libc::EINTR) } else { Fault::Refuse(errno) };
        play.world.kernel.fail_at(at, fault);
        for (ns, name, host) in CONTAINERS {
            play.world.want_all(container(ns, name, host));
        }
        for to in 0..6 {
            let (set, source) = fits(to, usize::from(to) % 4, usize::from(to) % 3);
            play.world.want_route_from(&prefix(to), SETS[set], SOURCES[source]);
        }
        play.world.settle();
        play.world.assert_settled();
        play.assert_right();
    }

    #[test]
    fn everything_is_taken_away_again(acts in acts()) {
        let mut play = Play::new();
        for act in &acts {
            play.act(act);
        }
        play.calm_down();
        for object in play.world.wishes.objects.clone() {
            play.world.unwant(&object.key());
        }
        for to in 0..6 {
            play.world.unwant_route(&prefix(to));
        }
        play.world.settle();
        prop_assert_eq!(play.world.kernel.text_of(&Owner::default()), "");
        prop_assert_eq!(
            play.world.kernel.text_of_others(&Owner::default()),
            play.shadow.text_of_others(&Owner::default())
        );
    }

    #[test]
    fn sets_are_values(hops in prop::collection::vec((0..4_usize, 0..2_usize), 0..8)) {
        let hops: Vec<(&str, &str)> =
            hops.iter().map(|(via, over)| (["1.1.1.1", "2.2.2.2", "3.3.3.3", "::1"][*via], UPLINKS[*over])).collect();
        let backwards: Vec<(&str, &str)> = hops.iter().rev().copied().collect();
        prop_assert_eq!(next_hops(&hops), next_hops(&backwards));
    }
}

/// `PROPTEST_CASES` asks for more.
fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}
