//! From a configuration to an [`AclTable`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    net::IpAddr,
    sync::Arc,
};

use petiole_config::model::{
    AclAction, AclRule, Advertise, DefaultAction, Direction, Encap, Group, HostConfig, Name, Network, Peer,
    ScopedName,
};
use petiole_fib::acl::{AclTable, Case, Known, Outcome, Scope, Sentence, Service, Side};

use super::{
    areas::{Addresses, Areas, Owner, Place},
    numbers::Numbers,
    rules::{self, DENY_BY_DEFAULT},
};
use crate::core::objects;

/// `NF_LOG_PREFIXLEN` of linux/netfilter/nf_log.h, less the terminator.
const LOG_PREFIX: usize = 127;

/// What a rule's number in the table stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RuleName {
    /// A rule of a policy.
    Rule { policy: ScopedName, id: Name },
    /// What a group says to what none of its rules is about.
    Default(ScopedName),
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { policy, id } => write!(f, "policy {policy} rule {id}"),
            Self::Default(group) => write!(f, "default of group {group}"),
        }
    }
}

/// What others' rules tell an address by.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Identity {
    owner: Owner,
    place: Place,
}

/// The other side of some rules of a group. For whom it cannot be told whether he is in a group, rules that deny hold
/// and rules that allow do not; the other way round where what is sent to him is judged once more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Other {
    Network(ScopedName),
    Of { group: Option<ScopedName>, addresses: Option<Arc<Addresses>>, deny: bool },
}

/// A configuration's policies, ready for the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compiled {
    /// Without members.
    pub(super) table: AclTable,
    /// Something has to be judged or marked at all.
    pub(super) needed: bool,
    /// Code points that profiles set.
    pub(super) dscps: BTreeSet<u8>,
    pub(super) areas: Areas,
    /// Of networks that the host does not route to.
    pub(super) scopes: BTreeMap<ScopedName, Scope>,
    /// Networks that have groups.
    pub(super) grouped: BTreeSet<ScopedName>,
    pub(super) groups: HashMap<u32, ScopedName>,
    pub(super) rules: BTreeMap<u32, RuleName>,
    identities: Numbers<Identity>,
}

/// Whether identities in a network travel in its packets: in VXLAN, where no host route can carry them.
pub(super) fn rides_in_packets(network: &Network) -> bool {
    matches!(network.encap, Encap::Vxlan { .. }) && network.advertise != Advertise::Endpoints
}

/// Whether something has to be judged or marked at all.
fn needed(config: &HostConfig) -> bool {
    let judging = |group: &Group| {
        let dscp = group.profile.as_ref().and_then(|p| config.profile(p)).and_then(|p| p.dscp);
        !group.policies.is_empty() || group.default == DefaultAction::Deny || dscp.is_some()
    };
    let rides = |group: &Group| config.network(&group.network).is_some_and(rides_in_packets);
    config.groups.iter().any(|group| judging(group) || rides(group))
}

/// Whether addresses of the network mean nothing beyond its bridge.
fn is_apart(network: &Network) -> bool {
    network.encap.is_bridged() && !network.has_host_routes()
}

impl Compiled {
    pub(crate) fn new(config: &HostConfig) -> Self {
        if !needed(config) {
            return Self::default();
        }
        let mut compiled = Self { needed: true, ..Self::default() };
        compiled.grouped = config.groups.iter().map(|group| group.network.clone()).collect();
        let profiles = config.groups.iter().filter_map(|g| config.profile(g.profile.as_ref()?));
        compiled.dscps = profiles.filter_map(|profile| Some(profile.dscp?.get())).collect();
        compiled.groups = config.groups.iter().map(|g| (g.number.get(), g.id.clone())).collect();
        compiled.links(config);
        let named = Named::new(config);
        let unknown = config.networks.iter().filter(|n| compiled.grouped.contains(&n.id)).map(|n| {
            let owner = if rides_in_packets(n) { Owner::Elsewhere } else { Owner::Unknown };
            (n.id.clone(), owner(n.id.clone()))
        });
        let unknown = unknown.collect();
        compiled.areas = Areas::new(config, &compiled.scopes, &named.networks, &unknown, &named.addresses);
        let all = compiled.identities(config);
        compiled.marks(config);
        compiled.cases(config, &all);
        compiled
    }

    /// Bridges: which addresses are meant on them, and which carry marks.
    fn links(&mut self, config: &HostConfig) {
        let mut numbers = Numbers::default();
        let apart = |n: &&Network| is_apart(n) && self.grouped.contains(&n.id);
        for network in config.networks.iter().filter(apart) {
            let scope = Scope(numbers.of(&network.id));
            self.scopes.insert(network.id.clone(), scope);
            self.table.scopes.insert(objects::bridge(&network.id), scope);
        }
        for network in &config.networks {
            let clashes = |other: &&Network| {
                other.id != network.id && self.scopes.contains_key(&other.id) && overlap(network, other)
            };
            let scope = self.scopes.get(&network.id).copied();
            if let Some(scope) = scope
                && config.networks.iter().any(|other| clashes(&other))
            {
                // Of the few that overlap, two with one zone would have to have the same 16 bits.
                let zone = (scope.0 as u16).max(1);
                self.table.zones.insert(objects::bridge(&network.id), zone);
            }
            if let Encap::Vxlan { .. } = network.encap {
                let scope = scope.unwrap_or(Scope::ROUTED);
                self.table.carriers.insert(objects::bridge(&network.id), scope);
            }
        }
    }

    /// All that addresses can be known as, with their numbers.
    fn identities(&mut self, config: &HostConfig) -> BTreeMap<Identity, u32> {
        let mut all: BTreeSet<Identity> = BTreeSet::new();
        for (_, spot) in self.areas.iter() {
            all.insert(Identity { owner: spot.owner.clone(), place: spot.place.clone() });
        }
        for network in config.networks.iter().filter(|n| self.grouped.contains(&n.id)) {
            let groups = config.groups.iter().filter(|g| g.network == network.id);
            let owners: Vec<Owner> =
                groups.map(|g| Owner::Group(g.id.clone())).chain([Owner::Nobody]).collect();
            for place in self.areas.places(self.scope(&network.id), network) {
                all.extend(owners.iter().map(|o| Identity { owner: o.clone(), place: place.clone() }));
            }
        }
        let numbered = all.into_iter().map(|identity| (identity.clone(), self.identity(&identity)));
        let numbered: BTreeMap<_, _> = numbered.collect();
        let areas: Vec<_> = self.areas.iter().map(|(area, spot)| (*area, spot.clone())).collect();
        for (area, spot) in areas {
            let known = self.known(spot.owner, spot.place);
            if known != Known::default() {
                self.table.areas.insert(area, known);
            }
        }
        numbered
    }

    fn identity(&mut self, identity: &Identity) -> u32 {
        if *identity == Identity::default() { 0 } else { self.identities.of(identity) }
    }

    fn known(&mut self, owner: Owner, place: Place) -> Known {
        let group = match &owner {
            Owner::Group(id) => self.number_of(id),
            Owner::Nobody | Owner::Unknown(_) | Owner::Elsewhere(_) => 0,
        };
        Known { group, identity: self.identity(&Identity { owner, place }) }
    }

    fn number_of(&self, group: &ScopedName) -> u32 {
        self.groups.iter().find(|(_, id)| *id == group).map_or(0, |(number, _)| *number)
    }

    /// Among which addresses those of a network are.
    pub(super) fn scope(&self, network: &ScopedName) -> Scope {
        self.scopes.get(network).copied().unwrap_or(Scope::ROUTED)
    }

    /// What is known of an address whose group is known (`None`: it is in none).
    pub(super) fn member(&mut self, scope: Scope, address: IpAddr, group: Option<&ScopedName>) -> Known {
        let owner = group.map_or(Owner::Nobody, |id| Owner::Group(id.clone()));
        self.known(owner, self.areas.place(scope, address))
    }

    /// Who is meant by marks, and who gets which.
    fn marks(&mut self, config: &HostConfig) {
        for group in &config.groups {
            let Some(network) = config.network(&group.network).filter(|n| rides_in_packets(n)) else {
                continue;
            };
            let mark = u32::from(group.number.in_packets());
            if mark == 0 {
                continue;
            }
            self.table.marks.insert(group.number.get(), mark);
            let scope = self.scope(&network.id);
            // Whatever can be known of the address by where it is.
            let inside = |address: IpAddr| match address {
                IpAddr::V4(a) => network.v4.as_ref().is_some_and(|s| s.net.contains(&a)),
                IpAddr::V6(a) => network.v6.as_ref().is_some_and(|s| s.net.contains(&a)),
            };
            let spots = self
                .areas
                .iter()
                .filter(|(area, _)| area.scope == scope && (inside(area.first) || inside(area.last)));
            let mut spots: Vec<_> = spots.map(|(_, spot)| spot.clone()).collect();
            spots.push(super::areas::Spot::default());
            for spot in spots {
                let by_area = self.known(spot.owner, spot.place.clone()).identity;
                let known = self.known(Owner::Group(group.id.clone()), spot.place);
                self.table.marked.insert((mark, by_area), known);
            }
        }
    }

    /// What the groups say.
    fn cases(&mut self, config: &HostConfig, all: &BTreeMap<Identity, u32>) {
        let index = Index::new(config, all);
        let mut names = Numbers::default();
        let mut classes = Numbers::default();
        for side in Side::BOTH {
            let says = |group: &Group| {
                group.default == DefaultAction::Deny || !ordered(config, group, side).is_empty()
            };
            if side == Side::Out && !config.groups.iter().any(says) {
                // Not even looked up. (The other side always is: connections are tracked from the first group on, so that
                // those which the first rule finds can be told from those that it is about.)
                continue;
            }
            lay(&mut self.table.cases[side.index()], (0, 0), &[], None, |_| true);
            for group in &config.groups {
                let rules = ordered(config, group, side);
                let default = (group.default == DefaultAction::Deny).then(|| {
                    let name = RuleName::Default(group.id.clone());
                    let rule = names.of(&name);
                    self.table.sentences.insert(rule, Sentence { drop: true, log: None });
                    Outcome { urgency: DENY_BY_DEFAULT, rule }
                });
                let layers: Vec<Layer> = rules
                    .into_iter()
                    .map(|(policy, rule)| {
                        let name = RuleName::Rule { policy: policy.clone(), id: rule.id.clone() };
                        let number = names.of(&name);
                        self.table.sentences.insert(number, sentence(&name, rule));
                        Layer {
                            other: other(rule),
                            spans: rules::spans(&rule.service),
                            outcome: Outcome { urgency: rules::urgency(rule), rule: number },
                        }
                    })
                    .collect();
                let of_group = group.number.get();
                let cases = &mut self.table.cases[side.index()];
                lay(cases, (of_group, 0), &layers, default, Option::is_none);
                for (others, identities) in index.classes(&layers, side) {
                    let class = classes.of(&others);
                    for identity in identities {
                        self.table.classes[side.index()].insert((of_group, identity), class);
                    }
                    let applies =
                        |other: &Option<Other>| other.as_ref().is_none_or(|other| others.contains(other));
                    lay(cases, (of_group, class), &layers, default, applies);
                }
            }
        }
        self.rules = names.into_names();
    }
}

/// A rule of a group.
struct Layer {
    /// `None`: everybody.
    other: Option<Other>,
    spans: Vec<(Service, Service)>,
    outcome: Outcome,
}

/// Writes what the rules that apply to a class say.
fn lay(
    cases: &mut BTreeMap<Case, Outcome>,
    (group, class): (u32, u32),
    layers: &[Layer],
    default: Option<Outcome>,
    applies: impl Fn(&Option<Other>) -> bool,
) {
    let applying = layers.iter().filter(|layer| applies(&layer.other));
    let mut stack: Vec<_> = applying.map(|layer| (layer.spans.clone(), layer.outcome)).collect();
    // At the bottom of all, that nothing is said.
    stack.push((vec![(Service::FIRST, Service::LAST)], default.unwrap_or_default()));
    for (first, last, outcome) in rules::lay(&stack) {
        cases.insert(Case { group, class, first, last }, outcome);
    }
}

/// The rules of a group's policies for one side, the one that decides first.
fn ordered<'a>(config: &'a HostConfig, group: &Group, side: Side) -> Vec<(&'a ScopedName, &'a AclRule)> {
    let wanted = if side == Side::In { Direction::In } else { Direction::Out };
    let policies = group.policies.iter().filter_map(|id| config.policy(id));
    let mut rules: Vec<_> = policies
        .flat_map(|p| p.rules.iter().map(|r| (&p.id, r)))
        .filter(|(_, r)| r.direction == wanted)
        .collect();
    // Stable: of the same urgency the first one decides.
    rules.sort_by_key(|(_, rule)| std::cmp::Reverse(rules::urgency(rule)));
    rules
}

fn addresses_of(peer: &Peer) -> Option<Arc<Addresses>> {
    match peer {
        Peer::Of { v4, v6, .. } if !v4.is_empty() || !v6.is_empty() => {
            Some(Arc::new(Addresses { v4: v4.clone(), v6: v6.clone() }))
        }
        _ => None,
    }
}

fn other(rule: &AclRule) -> Option<Other> {
    match &rule.peer {
        Peer::Any => None,
        Peer::Network(id) => Some(Other::Network(id.clone())),
        Peer::Of { group, .. } => Some(Other::Of {
            group: group.clone(),
            addresses: addresses_of(&rule.peer),
            deny: rule.action == AclAction::Deny,
        }),
    }
}

fn sentence(name: &RuleName, rule: &AclRule) -> Sentence {
    let drop = rule.action == AclAction::Deny;
    let log = rule.log.then(|| {
        let does = if drop { "deny" } else { "allow" };
        let (policy, id) = match name {
            RuleName::Rule { policy, id } => (policy.to_string(), id.as_str()),
            RuleName::Default(group) => (group.to_string(), "default"),
        };
        let mut text = format!("petiole {does} {policy} {id}");
        text.truncate(LOG_PREFIX - 2);
        Arc::from(text + ": ")
    });
    Sentence { drop, log }
}

/// What rules name.
struct Named {
    networks: BTreeSet<ScopedName>,
    addresses: BTreeSet<Arc<Addresses>>,
}

impl Named {
    fn new(config: &HostConfig) -> Self {
        let mut named = Self { networks: BTreeSet::new(), addresses: BTreeSet::new() };
        for rule in config.policies.iter().flat_map(|policy| &policy.rules) {
            if let Peer::Network(id) = &rule.peer {
                named.networks.insert(id.clone());
            }
            named.addresses.extend(addresses_of(&rule.peer));
        }
        named
    }
}

/// Identities by what rules ask of them.
struct Index<'a> {
    by_network: HashMap<&'a ScopedName, Vec<u32>>,
    by_owner: HashMap<&'a Owner, Vec<(&'a Identity, u32)>>,
    by_addresses: HashMap<&'a Arc<Addresses>, Vec<u32>>,
    network_of: HashMap<&'a ScopedName, &'a ScopedName>,
}

impl<'a> Index<'a> {
    fn new(config: &'a HostConfig, all: &'a BTreeMap<Identity, u32>) -> Self {
        let (mut by_network, mut by_owner, mut by_addresses) =
            (HashMap::new(), HashMap::new(), HashMap::new());
        for (identity, number) in all {
            if let Some(network) = &identity.place.network {
                by_network.entry(network).or_insert_with(Vec::new).push(*number);
            }
            by_owner.entry(&identity.owner).or_insert_with(Vec::new).push((identity, *number));
            for addresses in &identity.place.named {
                by_addresses.entry(addresses).or_insert_with(Vec::new).push(*number);
            }
        }
        let network_of = config.groups.iter().map(|g| (&g.id, &g.network)).collect();
        Self { by_network, by_owner, by_addresses, network_of }
    }

    /// The identities that are the other side of some of the rules, by which that is.
    fn classes(&self, layers: &[Layer], side: Side) -> BTreeMap<BTreeSet<Other>, Vec<u32>> {
        let others: BTreeSet<&Other> = layers.iter().filter_map(|layer| layer.other.as_ref()).collect();
        let mut of_identity: BTreeMap<u32, BTreeSet<Other>> = BTreeMap::new();
        for other in others {
            for number in self.matching(other, side) {
                of_identity.entry(number).or_default().insert(other.clone());
            }
        }
        let mut classes: BTreeMap<BTreeSet<Other>, Vec<u32>> = BTreeMap::new();
        for (number, others) in of_identity {
            classes.entry(others).or_default().push(number);
        }
        classes
    }

    fn matching(&self, other: &Other, side: Side) -> Vec<u32> {
        match other {
            Other::Network(id) => self.by_network.get(id).cloned().unwrap_or_default(),
            Other::Of { group: None, addresses: Some(addresses), .. } => {
                self.by_addresses.get(addresses).cloned().unwrap_or_default()
            }
            Other::Of { group: Some(group), addresses, deny } => {
                let own = Owner::Group(group.clone());
                let network = self.network_of.get(group).copied().cloned();
                // What is sent to where somebody knows better is for him to deny.
                let unknown = match (deny, side) {
                    (true, _) => network.map(Owner::Unknown),
                    (false, Side::Out) => network.map(Owner::Elsewhere),
                    (false, Side::In) => None,
                };
                let owners = [Some(&own), unknown.as_ref()];
                let of_owner =
                    owners.into_iter().flatten().filter_map(|owner| self.by_owner.get(owner)).flatten();
                let fits = |identity: &Identity| {
                    addresses.as_ref().is_none_or(|wanted| identity.place.named.contains(wanted))
                };
                of_owner.filter(|(identity, _)| fits(identity)).map(|(_, number)| *number).collect()
            }
            Other::Of { group: None, addresses: None, .. } => Vec::new(),
        }
    }
}

/// Whether two networks have addresses in common.
fn overlap(a: &Network, b: &Network) -> bool {
    let v4 = a.v4.as_ref().zip(b.v4.as_ref());
    let v6 = a.v6.as_ref().zip(b.v6.as_ref());
    v4.is_some_and(|(a, b)| a.net.contains(&b.net) || b.net.contains(&a.net))
        || v6.is_some_and(|(a, b)| a.net.contains(&b.net) || b.net.contains(&a.net))
}
