//! Addresses that stand on two hosts: not given out when the fabric shows them from elsewhere, and an alarm when it
//! shows one of ours from another host (rule 27).
//!
//! What we announce may come back to us, by another leaf and with our own AS number in its path. So every prefix that
//! a host originates carries the host in a large community, and what carries ours is our own.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    ops::Bound,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use petiole_bgp::{
    rib::PathView,
    speaker::{Origination, Speaker},
    wire::LargeCommunity,
};
use petiole_config::{
    HostConfig,
    model::{Advertise, Network, ScopedName},
};

use super::{
    Core,
    endpoints::{Endpoint, State},
    sessions,
};

/// Second part of the large community `ASN:HOST:ROUTER-ID` that names the host which originated a route: ASCII `host`.
pub(crate) const HOST: u32 = 0x686f_7374;

/// Second part of the large community `ASN:GROUP:NUMBER` that names the group of the container which a route leads to:
/// ASCII `grup`. In a network that has groups, every container's routes have it.
pub(crate) const GROUP: u32 = 0x6772_7570;

/// The number of those that are in no group. No group has it.
pub(crate) const NO_GROUP: u32 = u32::MAX;

/// How often a part of the containers is looked at. An idle daemon is woken by little else.
const EVERY: Duration = Duration::from_secs(5);

/// Containers looked at in one go.
const AT_ONCE: usize = 2500;

/// The alarms, and how far the round has come.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    pub(super) alarms: BTreeSet<(ScopedName, IpAddr)>,
    /// Since the start.
    pub(super) total: u64,
    last: Option<ScopedName>,
    pub(super) next: Option<Instant>,
}

impl Duplicates {
    /// Whether the alarm is on for an endpoint's address.
    pub(super) fn has(&self, endpoint: &ScopedName, address: IpAddr) -> bool {
        !self.alarms.is_empty() && self.alarms.contains(&(endpoint.clone(), address))
    }
}

/// What every route of this host's own carries.
pub(super) fn origination(asn: u32, router_id: Ipv4Addr) -> Origination {
    let mut origination = sessions::origination();
    origination.large_communities =
        vec![LargeCommunity { global: asn, local1: HOST, local2: router_id.into() }];
    origination
}

/// What the routes of a container carry beyond that: the number of its group.
pub(super) fn with_group(base: &Origination, asn: u32, number: u32) -> Origination {
    let mut origination = base.clone();
    origination.large_communities.push(LargeCommunity { global: asn, local1: GROUP, local2: number });
    origination
}

/// What the fabric shows, and what of it is our own.
pub(super) struct Fabric<'a> {
    speaker: &'a Speaker,
    origination: &'a Origination,
    asn: u32,
}

impl<'a> Fabric<'a> {
    pub(super) fn new(speaker: &'a Speaker, origination: &'a Origination, config: &HostConfig) -> Self {
        Self { speaker, origination, asn: config.host.asn }
    }

    /// Whether the fabric shows a host route to an address of the network from another host.
    pub(super) fn is_elsewhere(&self, network: &Network, address: IpAddr) -> bool {
        network.advertise == Advertise::Endpoints && self.has_other_host(address, true)
    }

    /// Whether some path to the address is another host's. One that does not say whose it is counts only where we
    /// have not announced the address ourselves (`unclaimed`): it could be our own that came back.
    fn has_other_host(&self, address: IpAddr, unclaimed: bool) -> bool {
        let Some(route) = self.speaker.route(IpNet::from(address)) else { return false };
        let foreign = |path: &PathView| {
            let attributes = &path.attributes;
            let mut hosts = attributes.large_communities().iter().filter(|c| c.local1 == HOST).peekable();
            if hosts.peek().is_none() {
                return unclaimed || attributes.as_path().origin_as() != Some(self.asn);
            }
            !hosts.any(|c| self.origination.large_communities.contains(c))
        };
        route.paths.iter().any(|path| path.peer.is_some() && foreign(path))
    }
}

impl Core {
    /// Looks at the next containers, a bounded number at a time; whether it was time for that.
    pub(super) fn watch_duplicates(&mut self, now: Instant) -> bool {
        if self.duplicates.next.is_some_and(|at| now < at) {
            return false;
        }
        self.duplicates.next = Some(now + EVERY);
        let start = match self.duplicates.last.take() {
            Some(last) => Bound::Excluded(last),
            None => Bound::Unbounded,
        };
        let names = self.endpoints.all.range((start, Bound::Unbounded));
        let containers: Vec<(&ScopedName, &Endpoint)> = names.take(AT_ONCE).collect();
        // After the last one it begins anew.
        let last = containers.get(AT_ONCE - 1).map(|(name, _)| (*name).clone());
        let part: Vec<(ScopedName, IpAddr, bool)> = containers
            .into_iter()
            .flat_map(|(name, e)| {
                let announced = matches!(e.state, State::Attached(_)) && self.is_advertised(e);
                let addresses = e.assigned.clone().unwrap_or_default();
                addresses.iter().map(move |a| (name.clone(), a, announced)).collect::<Vec<_>>()
            })
            .collect();
        self.duplicates.last = last;
        for (name, address, announced) in part {
            let fabric = Fabric::new(&self.speaker, &self.origination, &self.config);
            let elsewhere = announced && fabric.has_other_host(address, false);
            let alarm = (name, address);
            if elsewhere && !self.duplicates.alarms.contains(&alarm) {
                tracing::error!(endpoint = %alarm.0, %address, "another host announces this address too");
                self.duplicates.total += 1;
                self.duplicates.alarms.insert(alarm);
            } else if !elsewhere && self.duplicates.alarms.remove(&alarm) {
                tracing::info!(endpoint = %alarm.0, %address, "no other host announces this address any more");
            }
        }
        let all = &self.endpoints.all;
        self.duplicates.alarms.retain(|(name, address)| {
            let assigned = all.get(name).and_then(|e| e.assigned.as_ref().ok());
            assigned.is_some_and(|a| a.contains(*address))
        });
        true
    }
}
