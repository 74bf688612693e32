//! Which endpoint has which address. Pure: pools come from the config, what is in use from the kernel, the journal
//! and what was given out before, the time (unix seconds) from the caller.
//!
//! An address that nobody ever had is given out first, from below; then the one that has been free for the longest
//! time, and none that was given back less than the network's quarantine ago: what is still on its way to the former
//! owner must not reach the next one (rule 26). An address that the fabric shows from another host is not given out
//! at all (rule 27).
//!
//! Everything is kept per network: two tenants may have equal subnets. A network may lose its pool, or parts of it,
//! while endpoints have addresses of it; they keep them.
//!
//! Must not know namespaces, links, BGP, or where the records are stored.

mod error;
mod ledger;
mod marks;
mod pool;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use petiole_config::model::{AddrRange, Address, Group, Network, ScopedName, Subnet};
use serde::{Deserialize, Serialize};

pub(crate) use error::{AssignError, Exhausted};
use ledger::Ledger;
use pool::Pool;

/// The addresses of one endpoint: at least one of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assigned {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) v4: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) v6: Option<Ipv6Addr>,
}

impl Assigned {
    /// The addresses, IPv4 first.
    pub(crate) fn iter(self) -> impl Iterator<Item = IpAddr> {
        [self.v4.map(IpAddr::V4), self.v6.map(IpAddr::V6)].into_iter().flatten()
    }

    /// Whether the address is one of these.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        self.iter().any(|a| a == address)
    }
}

/// Who wants addresses, and of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want<'a> {
    pub(crate) endpoint: &'a ScopedName,
    pub(crate) network: &'a Network,
    /// The endpoint's group; its pool is used when it has one.
    pub(crate) group: Option<&'a Group>,
    /// All groups of the config: those of `network` carve their pools out of the network's.
    pub(crate) groups: &'a [Group],
    /// Fixed addresses.
    pub(crate) wish: Assigned,
    /// What it had before, to be kept if possible.
    pub(crate) last: Assigned,
}

/// An address that nobody has now, and when it was given back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release {
    pub(crate) network: ScopedName,
    pub(crate) address: IpAddr,
    /// Unix seconds.
    pub(crate) at: u64,
}

/// What changed in the release records, for whoever stores them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// An address was given back.
    Released(Release),
    /// The record of an address is gone: the address is in use again, or it was given back too long ago to matter.
    Forgotten { network: ScopedName, address: IpAddr },
}

/// How full a network's pool is, in its scarcer family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Addresses that this host may give out; groups' pools included.
    pub(crate) size: u128,
    /// Of these, with an owner.
    pub(crate) used: u128,
    /// Of these, free but given back too short a time ago.
    pub(crate) quarantined: u128,
}

/// The addresses given out in all networks.
#[derive(Debug, Default)]
pub(crate) struct Ipam {
    networks: HashMap<ScopedName, Ledgers>,
    changes: Vec<Change>,
}

/// Both families of one network.
#[derive(Debug, Default)]
struct Ledgers {
    v4: Ledger,
    v6: Ledger,
}

impl Ledgers {
    fn of(&self, address: IpAddr) -> (&Ledger, u128) {
        match address {
            IpAddr::V4(a) => (&self.v4, Address::to_bits(a)),
            IpAddr::V6(a) => (&self.v6, Address::to_bits(a)),
        }
    }

    fn of_mut(&mut self, address: IpAddr) -> (&mut Ledger, u128) {
        match address {
            IpAddr::V4(a) => (&mut self.v4, Address::to_bits(a)),
            IpAddr::V6(a) => (&mut self.v6, Address::to_bits(a)),
        }
    }
}

/// What a choice in one family goes by.
struct Rules<'a> {
    want: &'a Want<'a>,
    /// Whether the fabric shows the address from another host.
    taken: &'a dyn Fn(IpAddr) -> bool,
    now: u64,
}

impl Ipam {
    /// Gives an endpoint its addresses: the fixed ones of the wish, else those of `last` while the pool still has
    /// them, else the least recently used ones. Nothing is taken on an error.
    ///
    /// A fixed address may be in quarantine, and so may one that this very endpoint gave back; one that the fabric
    /// shows from another host (`taken`) is not given out in any case. Beside IPv4 the IPv6 address has the same host
    /// number if that is free, so that people recognise the container. What is the endpoint's own already counts as
    /// free.
    pub(crate) fn assign(
        &mut self,
        want: &Want<'_>,
        taken: &dyn Fn(IpAddr) -> bool,
        now: u64,
    ) -> Result<Assigned, AssignError> {
        let network = want.network;
        let Ledgers { v4, v6 } = self.networks.entry(network.id.clone()).or_default();
        for (ledger, address) in [(&mut *v4, number_to_v4 as fn(u128) -> IpAddr), (&mut *v6, number_to_v6)] {
            ledger.clamp(now);
            let dropped = ledger.prune(now, network.quarantine.into()).into_iter().map(address);
            self.changes.extend(dropped.map(|address| forgotten(&network.id, address)));
        }
        let rules = Rules { want, taken, now };
        let mut got = Assigned::default();
        if let Some(subnet) = &network.v4 {
            got.v4 = Some(rules.pick(v4, subnet, |g| &g.v4, want.wish.v4, want.last.v4, None)?);
        }
        if let Some(subnet) = &network.v6 {
            let twin = network.v4.as_ref().zip(got.v4).and_then(|(v4, address)| {
                let host = address.to_bits() - v4.net.network().to_bits();
                Some(Ipv6Addr::from_bits(subnet.net.network().to_bits().checked_add(host.into())?))
            });
            got.v6 = Some(rules.pick(v6, subnet, |g| &g.v6, want.wish.v6, want.last.v6, twin)?);
        }
        for address in got.iter() {
            self.own(want.endpoint, &network.id, address);
        }
        Ok(got)
    }

    /// Makes the addresses the endpoint's, as the journal or the kernel says that they are; the pool has no say.
    /// Nothing is taken on an error, which says who has one of them already.
    pub(crate) fn adopt(
        &mut self,
        endpoint: &ScopedName,
        network: &ScopedName,
        assigned: Assigned,
    ) -> Result<(), AssignError> {
        let other = |address: &IpAddr| self.owner(network, *address).filter(|by| *by != endpoint);
        if let Some((address, by)) = assigned.iter().find_map(|a| Some((a, other(&a)?.clone()))) {
            return Err(AssignError::InUse { address, by });
        }
        for address in assigned.iter() {
            self.own(endpoint, network, address);
        }
        Ok(())
    }

    fn own(&mut self, endpoint: &ScopedName, network: &ScopedName, address: IpAddr) {
        let (ledger, bits) = self.networks.entry(network.clone()).or_default().of_mut(address);
        if ledger.take(bits, endpoint) {
            self.changes.push(forgotten(network, address));
        }
    }

    /// Takes an endpoint's addresses back, but for those that it `keep`s and those that are not its own. Their
    /// quarantine begins now.
    pub(crate) fn release(
        &mut self,
        endpoint: &ScopedName,
        network: &ScopedName,
        assigned: Assigned,
        keep: Assigned,
        now: u64,
    ) {
        let Some(ledgers) = self.networks.get_mut(network) else { return };
        for address in assigned.iter().filter(|a| !keep.contains(*a)) {
            let (ledger, bits) = ledgers.of_mut(address);
            if ledger.give_back(bits, endpoint, now) {
                let network = network.clone();
                self.changes.push(Change::Released(Release { network, address, at: now }));
            }
        }
    }

    /// Takes over what an earlier run recorded. An address that has an owner by now needs no record.
    pub(crate) fn restore(&mut self, release: Release) {
        let Release { network, address, at } = release;
        let (ledger, bits) = self.networks.entry(network.clone()).or_default().of_mut(address);
        if !ledger.restore(bits, at) {
            self.changes.push(Change::Forgotten { network, address });
        }
    }

    /// Drops the release records of networks that are no more. Who has an address there keeps it until released.
    pub(crate) fn retain(&mut self, exists: impl Fn(&ScopedName) -> bool) {
        let Self { networks, changes } = self;
        networks.retain(|network, Ledgers { v4, v6 }| {
            if !exists(network) {
                let v4 = v4.forget_releases().into_iter().map(number_to_v4);
                let v6 = v6.forget_releases().into_iter().map(number_to_v6);
                changes.extend(v4.chain(v6).map(|address| forgotten(network, address)));
            }
            exists(network) || !(v4.is_empty() && v6.is_empty())
        });
    }

    /// What changed in the release records since the last call, in order. To be called after every operation that
    /// changes something, or the list grows.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Whether [`Ipam::take_changes`] has something.
    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// All release records.
    #[cfg(test)]
    pub(crate) fn releases(&self) -> impl Iterator<Item = Release> {
        self.networks.iter().flat_map(|(network, Ledgers { v4, v6 })| {
            let v4 = v4.released().map(|(address, at)| (number_to_v4(address), at));
            let v6 = v6.released().map(|(address, at)| (number_to_v6(address), at));
            v4.chain(v6).map(|(address, at)| Release { network: network.clone(), address, at })
        })
    }

    /// The endpoint that has the address in the network.
    pub(crate) fn owner(&self, network: &ScopedName, address: IpAddr) -> Option<&ScopedName> {
        let (ledger, bits) = self.networks.get(network)?.of(address);
        ledger.owner(bits)
    }

    /// How full the network is.
    pub(crate) fn usage(&self, network: &Network, now: u64) -> Usage {
        let empty = Ledgers::default();
        let ledgers = self.networks.get(&network.id).unwrap_or(&empty);
        let quarantine = network.quarantine.into();
        let usage = |ledger: &Ledger, pool: &Pool| Usage {
            size: pool.size(),
            used: ledger.used(pool),
            quarantined: ledger.quarantined(pool, now, quarantine),
        };
        let v4 = network.v4.as_ref().map(|s| usage(&ledgers.v4, &Pool::new(&s.pool)));
        let v6 = network.v6.as_ref().map(|s| usage(&ledgers.v6, &Pool::new(&s.pool)));
        v4.into_iter().chain(v6).min_by_key(|usage| usage.size).unwrap_or_default()
    }
}

impl Rules<'_> {
    fn pick<A: Address + Into<IpAddr>>(
        &self,
        ledger: &Ledger,
        subnet: &Subnet<A>,
        pool_of: fn(&Group) -> &Vec<AddrRange<A>>,
        fixed: Option<A>,
        last: Option<A>,
        twin: Option<A>,
    ) -> Result<A, AssignError> {
        if let Some(fixed) = fixed {
            return self.fixed(ledger, subnet, fixed);
        }
        let quarantine = u64::from(self.want.network.quarantine);
        let pool = self.pool(subnet, pool_of);
        let ours = |a: &A| pool.contains(a.to_bits()) && !(self.taken)((*a).into());
        let own = |a: &A| ledger.is_free_for(self.want.endpoint, a.to_bits(), self.now, quarantine);
        let free = |a: &A| ledger.is_free(a.to_bits(), self.now, quarantine);
        if let Some(preferred) = last.filter(own).filter(ours).or(twin.filter(free).filter(ours)) {
            return Ok(preferred);
        }
        let taken = |bits| A::from_bits(bits).is_none_or(|a| (self.taken)(a.into()));
        let chosen = ledger.choose(&pool, self.now, quarantine, taken);
        let exhausted = |shortage| {
            let group = self.want.group.filter(|g| !pool_of(g).is_empty());
            AssignError::Exhausted(Box::new(Exhausted {
                network: self.want.network.id.clone(),
                group: group.map(|g| g.id.clone()),
                // Only IPv6 has an address of this number.
                ipv6: A::from_bits(u128::MAX).is_some(),
                size: pool.size(),
                used: ledger.used(&pool),
                shortage,
            }))
        };
        // Every number in a pool is an address of its family.
        match chosen.map(A::from_bits) {
            Ok(Some(address)) => Ok(address),
            Ok(None) => Err(exhausted(ledger::Shortage::default())),
            Err(shortage) => Err(exhausted(shortage)),
        }
    }

    fn fixed<A: Address + Into<IpAddr>>(
        &self,
        ledger: &Ledger,
        subnet: &Subnet<A>,
        fixed: A,
    ) -> Result<A, AssignError> {
        let address = fixed.into();
        if !subnet.may_assign(fixed) {
            return Err(AssignError::NotInPool { address, network: self.want.network.id.clone() });
        }
        match ledger.owner(fixed.to_bits()) {
            Some(by) if by != self.want.endpoint => Err(AssignError::InUse { address, by: by.clone() }),
            _ if (self.taken)(address) => Err(AssignError::Elsewhere { address }),
            _ => Ok(fixed),
        }
    }

    /// The addresses to choose from: those of the group, else those of the network that no group has for itself.
    fn pool<A: Address>(&self, subnet: &Subnet<A>, pool_of: fn(&Group) -> &Vec<AddrRange<A>>) -> Pool {
        let whole = Pool::new(&subnet.pool);
        if let Some(ranges) = self.want.group.map(pool_of).filter(|ranges| !ranges.is_empty()) {
            // What both have: the gateway is in no network's pool, whatever a group's says.
            whole.without(&whole.without(&Pool::new(ranges)))
        } else {
            let here = self.want.groups.iter().filter(|g| g.network == self.want.network.id);
            whole.without(&Pool::new(here.flat_map(pool_of)))
        }
    }
}

fn forgotten(network: &ScopedName, address: IpAddr) -> Change {
    Change::Forgotten { network: network.clone(), address }
}

/// The number came from an IPv4 address.
fn number_to_v4(bits: u128) -> IpAddr {
    Ipv4Addr::from_bits(bits as u32).into()
}

fn number_to_v6(bits: u128) -> IpAddr {
    Ipv6Addr::from_bits(bits).into()
}
