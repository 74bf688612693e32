//! The address space, cut into areas in which all addresses are the same to every rule.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use petiole_config::model::{AddrRange, Address, HostConfig, Network, ScopedName};
use petiole_fib::acl::{Area, Scope};

/// Addresses that a rule names: of both families, ascending.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Addresses {
    pub(super) v4: Vec<AddrRange<Ipv4Addr>>,
    pub(super) v6: Vec<AddrRange<Ipv6Addr>>,
}

/// What rules can tell an address by, wherever it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// The network whose subnet it is in, if some rule names that one.
    pub(super) network: Option<ScopedName>,
    /// Which of the addresses that rules name it is one of.
    pub(super) named: BTreeSet<Arc<Addresses>>,
}

/// Whose an address is, as far as that can be told from where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Owner {
    /// In no group.
    #[default]
    Nobody,
    /// In this group.
    Group(ScopedName),
    /// In some group of this network, or in none.
    Unknown(ScopedName),
    /// The same, but where it is, somebody knows: he judges what is sent there, as well as for whom it was sent.
    Elsewhere(ScopedName),
}

/// An area's place, and whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) place: Place,
    pub(super) owner: Owner,
}

/// All areas in which there is anything to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Areas(BTreeMap<Area, Spot>);

/// What begins or ends somewhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Network(ScopedName),
    Owner(Owner),
    Named(Arc<Addresses>),
}

impl Areas {
    /// Cuts the address space of every scope. `networks` are those that rules name; in those of `unknown` an address that
    /// nobody tells about may be in any of their groups, as said.
    pub(super) fn new(
        config: &HostConfig,
        scopes: &BTreeMap<ScopedName, Scope>,
        networks: &BTreeSet<ScopedName>,
        unknown: &BTreeMap<ScopedName, Owner>,
        named: &BTreeSet<Arc<Addresses>>,
    ) -> Self {
        let mut areas = Self::default();
        let all: BTreeSet<Scope> = scopes.values().copied().chain([Scope::ROUTED]).collect();
        let scope_of = |network: &Network| scopes.get(&network.id).copied().unwrap_or(Scope::ROUTED);
        for scope in all {
            let (mut v4, mut v6) = (Edges::default(), Edges::default());
            for network in config.networks.iter().filter(|n| scope_of(n) == scope && networks.contains(&n.id))
            {
                let mark = || Mark::Network(network.id.clone());
                if let Some(net) = network.v4.as_ref().map(|s| s.net) {
                    v4.add(net.network(), net.broadcast(), mark());
                }
                if let Some(net) = network.v6.as_ref().map(|s| s.net) {
                    v6.add(net.network(), net.broadcast(), mark());
                }
            }
            for network in config.networks.iter().filter(|n| scope_of(n) == scope) {
                let Some(owner) = unknown.get(&network.id) else { continue };
                let mark = || Mark::Owner(owner.clone());
                // The gateway is no container.
                let nobody = || Mark::Owner(Owner::Nobody);
                if let Some(subnet) = &network.v4 {
                    v4.add(subnet.net.network(), subnet.net.broadcast(), mark());
                    subnet.gateway.iter().for_each(|g| v4.add(*g, *g, nobody()));
                }
                if let Some(subnet) = &network.v6 {
                    v6.add(subnet.net.network(), subnet.net.broadcast(), mark());
                    subnet.gateway.iter().for_each(|g| v6.add(*g, *g, nobody()));
                }
            }
            for group in &config.groups {
                if config.network(&group.network).is_some_and(|n| scope_of(n) == scope) {
                    let mark = || Mark::Owner(Owner::Group(group.id.clone()));
                    group.all4.iter().for_each(|r| v4.add(r.first(), r.last(), mark()));
                    group.all6.iter().for_each(|r| v6.add(r.first(), r.last(), mark()));
                }
            }
            for addresses in named {
                let mark = || Mark::Named(addresses.clone());
                addresses.v4.iter().for_each(|r| v4.add(r.first(), r.last(), mark()));
                addresses.v6.iter().for_each(|r| v6.add(r.first(), r.last(), mark()));
            }
            v4.cut(scope, &mut areas.0);
            v6.cut(scope, &mut areas.0);
        }
        areas
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Area, &Spot)> {
        self.0.iter()
    }

    /// The place of an address.
    pub(super) fn place(&self, scope: Scope, address: IpAddr) -> Place {
        let end = Area { scope, first: address, last: IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)) };
        let below = self.0.range(..=end).next_back();
        let holds =
            |a: &Area| a.scope == scope && a.first.is_ipv4() == address.is_ipv4() && address <= a.last;
        below.filter(|(area, _)| holds(area)).map(|(_, spot)| spot.place.clone()).unwrap_or_default()
    }

    /// The places that addresses of a network can be in.
    pub(super) fn places(&self, scope: Scope, network: &Network) -> BTreeSet<Place> {
        let nets = [
            network.v4.as_ref().map(|s| (IpAddr::V4(s.net.network()), IpAddr::V4(s.net.broadcast()))),
            network.v6.as_ref().map(|s| (IpAddr::V6(s.net.network()), IpAddr::V6(s.net.broadcast()))),
        ];
        let mut places = BTreeSet::from([Place::default()]);
        for (first, last) in nets.into_iter().flatten() {
            places.insert(self.place(scope, first));
            let (from, to) = (Area { scope, first, last: first }, Area { scope, first: last, last });
            let inside = self.0.range(from..=to).filter(|(area, _)| area.first.is_ipv4() == first.is_ipv4());
            places.extend(inside.map(|(_, spot)| spot.place.clone()));
        }
        places
    }
}

/// Where what begins and ends, in one family.
struct Edges<A> {
    /// Beginning at this address, or ending before it. What ends with the family's last address has no end.
    at: BTreeMap<A, (Vec<Mark>, Vec<Mark>)>,
}

impl<A> Default for Edges<A> {
    fn default() -> Self {
        Self { at: BTreeMap::new() }
    }
}

impl<A: Address + Into<IpAddr>> Edges<A> {
    fn add(&mut self, first: A, last: A, mark: Mark) {
        self.at.entry(first).or_default().0.push(mark.clone());
        if let Some(behind) = last.to_bits().checked_add(1).and_then(A::from_bits) {
            self.at.entry(behind).or_default().1.push(mark);
        }
    }

    /// From one edge to the next nothing changes. Neighbours that are the same are one area.
    fn cut(self, scope: Scope, areas: &mut BTreeMap<Area, Spot>) {
        let mut spot = Spot::default();
        // The network's, under that of a pool or of the gateway.
        let mut owners: BTreeSet<Owner> = BTreeSet::new();
        let mut open: Option<(A, Spot)> = None;
        let mut close = |open: Option<(A, Spot)>, last: Option<A>| {
            if let (Some((first, spot)), Some(last)) = (open, last)
                && spot != Spot::default()
            {
                areas.insert(Area { scope, first: first.into(), last: last.into() }, spot);
            }
        };
        for (address, (begin, end)) in self.at {
            // What ends here first: the same mark may begin again.
            for mark in end {
                match mark {
                    Mark::Network(_) => spot.place.network = None,
                    Mark::Owner(owner) => drop(owners.remove(&owner)),
                    Mark::Named(addresses) => drop(spot.place.named.remove(&addresses)),
                }
            }
            for mark in begin {
                match mark {
                    Mark::Network(id) => spot.place.network = Some(id),
                    Mark::Owner(owner) => drop(owners.insert(owner)),
                    Mark::Named(addresses) => drop(spot.place.named.insert(addresses)),
                }
            }
            // In their order: the gateway, a group's own, what is left of the network.
            spot.owner = owners.first().cloned().unwrap_or_default();
            if open.as_ref().is_none_or(|(_, before)| *before != spot) {
                let last = address.to_bits().checked_sub(1).and_then(A::from_bits);
                close(open.replace((address, spot.clone())), last);
            }
        }
        let highest = A::from_bits(u128::MAX).or_else(|| A::from_bits(u32::MAX.into()));
        close(open, highest);
    }
}
