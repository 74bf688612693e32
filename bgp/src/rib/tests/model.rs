//! The RIB against a model of it: maps, walks through all routes, and no memory of what was done before but which path
//! was chosen last.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::*;
use super::world::*;
use crate::policy::{Action, Direction, PrefixRange, Rule, Set, Source, Verdict};
use crate::wire::NextHop;

/// This host, as the origin of a route.
const HOST: u8 = 0;
/// A peer that only keeps every next hop in use, so that what is known of them does not depend on history.
const KEEPER: u8 = 9;

#[derive(Clone, Debug)]
enum Step {
    Up(u8, usize),
    Down(u8),
    Restart(u8),
    Announce(u8, Vec<usize>, Box<Kind>),
    Withdraw(u8, Vec<usize>),
    BeginRefresh(u8, Family),
    EndRefresh(u8, Family),
    RefreshOut(u8, Family, bool),
    Metric(usize, Option<u32>),
    Import(u8, usize),
    Export(u8, usize),
    Originate(usize, Option<u32>, usize),
    WithdrawOwn(usize),
    // Without effect on the outcome:
    Work,
    Pack(u8, usize),
    DrainFib,
}

/// Variety of attributes: close together, so that ties are common.
#[derive(Clone, Debug)]
struct Kind {
    path: usize,
    next_hop: usize,
    med: Option<u32>,
    local_pref: Option<u32>,
    community: usize,
    origin: bool,
    reflected: bool,
}

fn prefixes() -> Vec<IpNet> {
    ["10.1.0.0/16", "10.1.1.0/24", "10.1.1.1/32", "10.2.0.0/16", "0.0.0.0/0", "2001:db8:a::/48", "::/0"]
        .map(net)
        .to_vec()
}

const NEXT_HOPS: [&str; 3] = ["10.9.0.1", "10.9.0.2", "10.9.0.3"];
const NEXT_HOPS_6: [&str; 3] = ["2001:db8:9::1", "2001:db8:9::2", "fe80::9"];

fn communities(which: usize) -> Vec<Community> {
    match which {
        1 => vec![Community(7)],
        2 => vec![Community::NO_EXPORT],
        3 => vec![Community::NO_ADVERTISE],
        _ => Vec::new(),
    }
}

impl Kind {
    fn attributes(&self, config: &PeerRib, ipv6: bool) -> Attributes {
        let mut path = if config.external { vec![config.asn] } else { Vec::new() };
        path.extend_from_slice(match self.path {
            0 => &[7][..],
            1 => &[8],
            2 => &[7, 8],
            _ => &[7, OUR_AS],
        });
        let next_hop = if ipv6 { NEXT_HOPS_6 } else { NEXT_HOPS }[self.next_hop];
        let mut attributes = route(&path, next_hop);
        if ipv6 && self.next_hop == 0 {
            let link_local = Some("fe80::8".parse().unwrap());
            attributes.set_next_hop(NextHop::v6(next_hop.parse().unwrap(), link_local));
        }
        attributes.set_med(self.med);
        attributes.set_communities(communities(self.community));
        attributes.set_origin(if self.origin { Origin::Igp } else { Origin::Incomplete });
        if !config.external {
            attributes.set_local_pref(Some(self.local_pref.unwrap_or(100)));
            if self.reflected {
                attributes.set_originator_id(Some(Ipv4Addr::new(10, 0, 0, 1)));
                attributes.set_cluster_list(vec![Ipv4Addr::new(1, 1, 1, 1)]);
            }
        }
        attributes
    }
}

fn config(n: u8, import: usize) -> PeerRib {
    let config = match n {
        1 | 2 => external(n),
        3 => PeerRib { scope: Some(33), ..external(n) },
        // In the AS of peer 1, so that MEDs can be compared.
        4 => PeerRib { asn: OUR_AS + 1, install: false, allow_own_as: 1, ..external(n) },
        _ => internal(n),
    };
    PeerRib { import: import_policy(import), ..config }
}

fn import_policy(which: usize) -> Arc<Policy> {
    let inside = |text| vec![PrefixRange::or_longer(net(text))];
    let set = Set { local_pref: Some(200), prepend: 1, ..Set::default() };
    Arc::new(match which {
        0 => Policy::all(),
        1 => Policy::new(
            vec![Rule { communities: vec![Community(7)], ..Rule::new(Action::Reject) }],
            Action::Accept,
        ),
        2 => Policy::new(
            vec![Rule { prefixes: inside("10.1.1.0/24"), ..Rule::new(Action::Accept) }],
            Action::Reject,
        ),
        _ => Policy::new(
            vec![Rule { prefixes: inside("10.1.0.0/16"), set, ..Rule::new(Action::Accept) }],
            Action::Accept,
        ),
    })
}

fn export_policy(which: usize) -> Arc<Policy> {
    let any = |set| Rule { source: Some(Source::Any), set, ..Rule::new(Action::Accept) };
    let med = Set { med: Some(5), ..Set::default() };
    let tag = Set { add_communities: vec![Community(9)], prepend: 2, ..Set::default() };
    Arc::new(match which {
        0 => transit(),
        1 => Policy::local(),
        2 => Policy::none(),
        3 => Policy::new(vec![any(med)], Action::Reject),
        _ => {
            let prefixes = vec![PrefixRange::or_longer(net("10.1.0.0/16"))];
            Policy::new(vec![Rule { prefixes, ..any(tag) }, any(Set::default())], Action::Reject)
        }
    })
}

#[derive(Default)]
struct Model {
    peers: BTreeMap<u8, ModelPeer>,
    own: BTreeMap<IpNet, Attributes>,
    chosen: BTreeMap<IpNet, u8>,
}

struct ModelPeer {
    config: PeerRib,
    up: bool,
    routes: BTreeMap<IpNet, (Attributes, bool)>,
}

/// A path as the naive decision process sees it.
#[derive(Clone)]
struct ModelPath<'a> {
    from: u8,
    attributes: &'a Attributes,
    metric: u32,
    on_link: bool,
}

impl Model {
    fn usable(&self, world: &World, prefix: IpNet) -> Vec<ModelPath<'_>> {
        let own = self.own.get(&prefix).map(|attributes| ModelPath {
            from: HOST,
            attributes,
            metric: 0,
            on_link: false,
        });
        let learned = self.peers.iter().filter_map(|(from, peer)| {
            let (attributes, _) = peer.routes.get(&prefix)?;
            let link_local = match attributes.next_hop() {
                NextHop::V6 { global, link_local } => link_local.is_some() || global.is_unicast_link_local(),
                NextHop::V4(_) => false,
            };
            let on_link = link_local && peer.config.scope.is_some();
            let address = attributes.next_hop().address();
            let metric = match address {
                _ if on_link => Some(0),
                IpAddr::V6(address) if address.is_unicast_link_local() => None,
                _ => world.metrics.get(&address).copied().unwrap_or(Some(0)),
            };
            Some(ModelPath { from: *from, attributes, metric: metric?, on_link })
        });
        own.into_iter().chain(learned).collect()
    }

    /// RFC 4271 section 9.1.2.2 word for word; returns the equals (up to e) and the best.
    fn decide<'a>(
        &self,
        mut paths: Vec<ModelPath<'a>>,
        current: Option<u8>,
    ) -> (Vec<ModelPath<'a>>, Option<u8>) {
        fn keep<'a, K: Ord>(paths: &mut Vec<ModelPath<'a>>, key: impl Fn(&ModelPath<'a>) -> K) {
            if let Some(lowest) = paths.iter().map(&key).min() {
                paths.retain(|path| key(path) == lowest);
            }
        }
        let external = |path: &ModelPath<'_>| path.from != HOST && self.peers[&path.from].config.external;
        let router_id = |path: &ModelPath<'_>| {
            path.attributes.originator_id().or_else(|| Some(self.peers.get(&path.from)?.config.router_id))
        };
        keep(&mut paths, |path| path.from != HOST);
        keep(&mut paths, |path| -i64::from(path.attributes.local_pref().unwrap_or(100)));
        keep(&mut paths, |path| path.attributes.as_path().len());
        keep(&mut paths, |path| path.attributes.origin());
        let before = paths.clone();
        paths.retain(|path| {
            let (neighbor, med) =
                (path.attributes.as_path().neighbor_as(), path.attributes.med().unwrap_or(0));
            !before.iter().any(|other| {
                other.attributes.as_path().neighbor_as() == neighbor
                    && other.attributes.med().unwrap_or(0) < med
            })
        });
        keep(&mut paths, |path| !external(path));
        keep(&mut paths, |path| path.metric);
        let equals = paths.clone();
        if let Some(current) = paths.iter().find(|path| Some(path.from) == current).cloned()
            && external(&current)
        {
            paths.retain(|path| path.from == current.from || router_id(path) == router_id(&current));
        }
        keep(&mut paths, router_id);
        keep(&mut paths, |path| path.attributes.cluster_list().len());
        keep(&mut paths, |path| self.peers.get(&path.from).map(|peer| peer.config.address));
        assert!(paths.len() <= 1);
        (equals, paths.first().map(|path| path.from))
    }

    /// What a peer is to have, as it decodes it.
    fn exported(&self, to: u8, prefix: IpNet, from: u8) -> Option<Attributes> {
        let config = &self.peers[&to].config;
        let (source, attributes) = match from {
            HOST => (Source::Local, &self.own[&prefix]),
            _ => (Source::Learned, &self.peers[&from].routes[&prefix].0),
        };
        let has = |community| attributes.communities().contains(&community);
        if from == to
            || (from != HOST && !config.external && !self.peers[&from].config.external)
            || has(Community::NO_ADVERTISE)
            || (config.external && has(Community::NO_EXPORT))
        {
            return None;
        }
        let mut own_med = source == Source::Local;
        let mut sent = match config.export.evaluate(Direction::Export(source), attributes, prefix) {
            Verdict::Reject => return None,
            Verdict::Accept => attributes.clone(),
            Verdict::Change(rule) => {
                own_med |= config.export.set(rule).unwrap().med.is_some();
                config.export.apply(rule, attributes, OUR_AS)
            }
        };
        let own = if prefix.addr().is_ipv4() { config.next_hop_self.ipv4 } else { config.next_hop_self.ipv6 };
        if config.external {
            sent.as_path_mut().prepend(OUR_AS, 1);
            sent.set_next_hop(own.unwrap());
            sent.set_local_pref(None);
            sent.set_originator_id(None);
            sent.set_cluster_list(Vec::new());
            if !own_med {
                sent.set_med(None);
            }
        } else {
            sent.set_local_pref(Some(sent.local_pref().unwrap_or(100)));
            match sent.next_hop() {
                NextHop::V6 { global, .. } if global.is_unicast_link_local() => {
                    sent.set_next_hop(own.unwrap());
                }
                NextHop::V6 { global, .. } => sent.set_next_hop(NextHop::V6 { global, link_local: None }),
                NextHop::V4(_) => {}
            }
            if from == HOST {
                sent.set_next_hop(own.unwrap());
            }
        }
        Some(sent)
    }

    /// Compares everything. `exact`: every step was carried through before the next, so that the history is the same
    /// and with it the choice among equals.
    fn check(&mut self, world: &World, exact: bool) -> Result<(), TestCaseError> {
        let mut fib = BTreeMap::new();
        let mut sent: BTreeMap<u8, BTreeMap<IpNet, Attributes>> = BTreeMap::new();
        for prefix in prefixes() {
            let chosen = world.best(prefix);
            let history = if exact { self.chosen.get(&prefix).copied() } else { chosen };
            let (mut equals, best) = self.decide(self.usable(world, prefix), history);
            prop_assert_eq!(chosen, best, "best path of {}", prefix);
            let Some(best) = best else {
                self.chosen.remove(&prefix);
                continue;
            };
            equals.sort_by_key(|path| {
                let config = self.peers.get(&path.from).map(|peer| &peer.config);
                let router_id = path.attributes.originator_id().or(config.map(|config| config.router_id));
                (path.from != best, router_id, config.map(|config| config.address))
            });
            let mut hops = Vec::new();
            for path in equals.iter().take(usize::from(world.rib.shared.config.max_paths)) {
                let Some(config) = self.peers.get(&path.from).map(|peer| &peer.config) else { continue };
                if config.install {
                    let next_hop = path.attributes.next_hop();
                    let scope = config.scope.filter(|_| path.on_link);
                    let address =
                        if path.on_link { next_hop.forwarding_address() } else { next_hop.address() };
                    hops.push(FibNextHop { address, scope });
                }
            }
            hops.sort_unstable();
            hops.dedup();
            if !hops.is_empty() {
                fib.insert(prefix, hops);
            }
            for to in self.peers.iter().filter(|(_, peer)| peer.up).map(|(to, _)| *to) {
                if let Some(attributes) = self.exported(to, prefix, best) {
                    sent.entry(to).or_default().insert(prefix, attributes);
                }
            }
            self.chosen.insert(prefix, best);
        }
        let actual: BTreeMap<_, _> =
            world.fib.iter().map(|(prefix, hops)| (*prefix, hops.to_vec())).collect();
        prop_assert_eq!(actual, fib);
        for (n, peer) in &self.peers {
            if *n == KEEPER {
                continue;
            }
            if peer.up {
                let expected = sent.remove(n).unwrap_or_default();
                prop_assert_eq!(world.routes(*n), &expected, "Adj-RIB-Out of peer {}", n);
            }
            let received: BTreeMap<_, _> = [Family::Ipv4, Family::Ipv6]
                .into_iter()
                .flat_map(|family| world.rib.received(id(*n), Cursor::start(family), 100).rows)
                .map(|row| (row.prefix, row.attributes))
                .collect();
            let expected: BTreeMap<_, _> =
                peer.routes.iter().map(|(prefix, (attributes, _))| (*prefix, attributes.clone())).collect();
            prop_assert_eq!(received, expected, "Adj-RIB-In of peer {}", n);
        }
        Ok(())
    }
}

/// Both at once.
struct Pair {
    world: World,
    model: Model,
}

impl Pair {
    fn new(max_paths: u16) -> Self {
        let mut pair = Self { world: World::new(max_paths), model: Model::default() };
        pair.world.up(KEEPER, PeerRib { export: export_policy(2), install: false, ..internal(KEEPER) });
        let ipv4 = (0u8..).zip(NEXT_HOPS).map(|(at, next_hop)| (format!("10.77.{at}.0/24"), next_hop));
        let ipv6 =
            (0u8..).zip(NEXT_HOPS_6).map(|(at, next_hop)| (format!("2001:db8:77:{at}::/64"), next_hop));
        for (prefix, next_hop) in ipv4.chain(ipv6) {
            let mut attributes = route(&[7], next_hop);
            attributes.set_communities(vec![Community::NO_ADVERTISE]);
            pair.world.announce(KEEPER, &[net(&prefix)], &attributes);
        }
        pair.world.settle();
        pair
    }

    fn is_up(&self, n: u8) -> bool {
        self.model.peers.get(&n).is_some_and(|peer| peer.up)
    }

    fn apply(&mut self, step: &Step) {
        let Self { world, model } = self;
        match step {
            Step::Up(n, import) => {
                let config = config(*n, *import);
                world.up(*n, config.clone());
                let before = model.peers.remove(n);
                let routes = match before {
                    Some(peer) if !peer.up => {
                        peer.routes.into_iter().map(|(prefix, (route, _))| (prefix, (route, true))).collect()
                    }
                    _ => BTreeMap::new(),
                };
                model.peers.insert(*n, ModelPeer { config, up: true, routes });
            }
            Step::Down(n) => {
                world.down(*n);
                model.peers.remove(n);
            }
            Step::Metric(at, metric) => {
                world.metric(address(NEXT_HOPS[*at]), *metric);
                world.metric(address(NEXT_HOPS_6[*at]), *metric);
            }
            Step::Originate(at, med, community) => {
                let prefix = prefixes()[*at];
                let communities = communities(*community);
                let origination =
                    Origination { med: *med, communities: communities.clone(), ..origination() };
                world.rib.originate(prefix, &origination);
                let unspecified = if prefix.addr().is_ipv4() { "0.0.0.0" } else { "::" };
                let mut attributes = route(&[], unspecified);
                attributes.set_med(*med);
                attributes.set_communities(communities);
                model.own.insert(prefix, attributes);
            }
            Step::WithdrawOwn(at) => {
                world.rib.withdraw(prefixes()[*at]);
                model.own.remove(&prefixes()[*at]);
            }
            Step::Work => {
                world.rib.work(1);
            }
            Step::DrainFib => world.drain_fib(),
            Step::Restart(n)
            | Step::Announce(n, ..)
            | Step::Withdraw(n, _)
            | Step::BeginRefresh(n, _)
            | Step::EndRefresh(n, _)
            | Step::RefreshOut(n, ..)
            | Step::Import(n, _)
            | Step::Export(n, _)
            | Step::Pack(n, _) => {
                if self.is_up(*n) {
                    self.apply_to_session(*n, step);
                }
            }
        }
    }

    fn apply_to_session(&mut self, n: u8, step: &Step) {
        let Self { world, model } = self;
        let Some(peer) = model.peers.get_mut(&n) else { return };
        match step {
            Step::Restart(_) => {
                world.rib.peer_restarting(id(n), FamilySet::ALL);
                world.peers.remove(&id(n));
                peer.up = false;
            }
            Step::Announce(_, which, kind) => {
                for ipv6 in [false, true] {
                    let all = prefixes();
                    let some: Vec<IpNet> =
                        which.iter().map(|at| all[*at]).filter(|net| net.addr().is_ipv6() == ipv6).collect();
                    if some.is_empty() {
                        continue;
                    }
                    let attributes = kind.attributes(&peer.config, ipv6);
                    world.announce(n, &some, &attributes);
                    let loops = attributes.as_path().count(OUR_AS) > usize::from(peer.config.allow_own_as);
                    for prefix in some {
                        let import = &peer.config.import;
                        match import.evaluate(Direction::Import, &attributes, prefix) {
                            Verdict::Accept if !loops => {
                                peer.routes.insert(prefix, (attributes.clone(), false));
                            }
                            Verdict::Change(rule) if !loops => {
                                let changed = import.apply(rule, &attributes, peer.config.asn);
                                peer.routes.insert(prefix, (changed, false));
                            }
                            _ => {
                                peer.routes.remove(&prefix);
                            }
                        }
                    }
                }
            }
            Step::Withdraw(_, which) => {
                let some: Vec<IpNet> = which.iter().map(|at| prefixes()[*at]).collect();
                world.withdraw(n, &some);
                peer.routes.retain(|prefix, _| !some.contains(prefix));
            }
            Step::BeginRefresh(_, family) => {
                world.rib.begin_refresh(id(n), *family);
                for (prefix, (_, stale)) in &mut peer.routes {
                    *stale |= family_of(*prefix) == *family;
                }
            }
            Step::EndRefresh(_, family) => {
                world.rib.end_refresh(id(n), *family);
                peer.routes.retain(|prefix, (_, stale)| !*stale || family_of(*prefix) != *family);
            }
            Step::RefreshOut(_, family, demarcate) => world.rib.refresh_out(id(n), *family, *demarcate),
            Step::Import(_, which) => {
                world.rib.set_import(id(n), import_policy(*which));
                peer.config.import = import_policy(*which);
            }
            Step::Export(_, which) => {
                world.rib.set_export(id(n), export_policy(*which));
                peer.config.export = export_policy(*which);
            }
            Step::Pack(_, budget) => {
                world.pack(id(n), *budget);
            }
            _ => unreachable!("not about a session"),
        }
    }

    /// Everything goes; nothing may be left.
    fn tear_down(&mut self) -> Result<(), TestCaseError> {
        for at in 0..prefixes().len() {
            self.world.rib.withdraw(prefixes()[at]);
        }
        for n in (1..=6).chain([KEEPER]) {
            self.world.down(n);
        }
        self.world.settle();
        prop_assert_eq!(self.world.rib.totals(), Totals::default());
        prop_assert_eq!(self.world.rib.shared.peers.len(), 0);
        prop_assert!(self.world.fib.is_empty() && self.world.watched.is_empty());
        Ok(())
    }
}

fn family_of(prefix: IpNet) -> Family {
    if prefix.addr().is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

fn any_step() -> impl Strategy<Value = Step> {
    let peer = || 1u8..7;
    let some = || prop::collection::vec(0usize..7, 1..5);
    let family = || prop::sample::select(vec![Family::Ipv4, Family::Ipv6]);
    let med = || prop::sample::select(vec![None, Some(0), Some(5)]);
    let kind = (
        0usize..4,
        0usize..3,
        med(),
        prop::sample::select(vec![None, Some(100), Some(150)]),
        0usize..6,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(path, next_hop, med, local_pref, community, origin, reflected)| {
            Box::new(Kind { path, next_hop, med, local_pref, community, origin, reflected })
        });
    prop_oneof![
        3 => (peer(), 0usize..4).prop_map(|(n, import)| Step::Up(n, import)),
        1 => peer().prop_map(Step::Down),
        1 => peer().prop_map(Step::Restart),
        14 => (peer(), some(), kind).prop_map(|(n, which, kind)| Step::Announce(n, which, kind)),
        5 => (peer(), some()).prop_map(|(n, which)| Step::Withdraw(n, which)),
        1 => (peer(), family()).prop_map(|(n, family)| Step::BeginRefresh(n, family)),
        1 => (peer(), family()).prop_map(|(n, family)| Step::EndRefresh(n, family)),
        1 => (peer(), family(), any::<bool>()).prop_map(|(n, family, marks)| Step::RefreshOut(n, family, marks)),
        3 => (0usize..3, prop::sample::select(vec![None, Some(0), Some(10)]))
            .prop_map(|(at, metric)| Step::Metric(at, metric)),
        1 => (peer(), 0usize..4).prop_map(|(n, which)| Step::Import(n, which)),
        2 => (peer(), 0usize..5).prop_map(|(n, which)| Step::Export(n, which)),
        2 => (0usize..7, med(), 0usize..6).prop_map(|(at, med, community)| Step::Originate(at, med, community)),
        1 => (0usize..7).prop_map(Step::WithdrawOwn),
        2 => Just(Step::Work),
        4 => (peer(), prop::sample::select(vec![1usize, 100, 4096])).prop_map(|(n, budget)| Step::Pack(n, budget)),
        2 => Just(Step::DrainFib),
    ]
}

/// All peers up to begin with: most steps do nothing without.
fn steps(length: usize) -> impl Strategy<Value = Vec<Step>> {
    let ups = prop::collection::vec(0usize..4, 6)
        .prop_map(|imports| (1u8..).zip(imports).map(|(n, import)| Step::Up(n, import)).collect::<Vec<_>>());
    (ups, prop::collection::vec(any_step(), 1..length)).prop_map(|(mut ups, steps)| {
        ups.extend(steps);
        ups
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn step_by_step_it_is_the_model(steps in steps(60), max_paths in prop::sample::select(vec![1u16, 2, 8])) {
        let mut pair = Pair::new(max_paths);
        for step in &steps {
            pair.apply(step);
            pair.world.settle();
            pair.model.check(&pair.world, true)?;
        }
        pair.tear_down()?;
    }

    #[test]
    fn with_work_left_undone_in_between_it_comes_to_the_same(
        steps in steps(120),
        max_paths in prop::sample::select(vec![1u16, 2, 8]),
    ) {
        let mut pair = Pair::new(max_paths);
        for step in &steps {
            pair.apply(step);
        }
        pair.world.settle();
        pair.model.check(&pair.world, false)?;
        pair.tear_down()?;
    }
}
