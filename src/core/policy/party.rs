//! Who is behind an address: container, network, group and where that is known from, the way there.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use petiole_bgp::{
    rib::{PathView, PeerId, RouteView},
    speaker::{PeerStatus, State as SessionState},
    wire::{Family, LargeCommunity},
};
use petiole_config::model::{Group, Network, ScopedName};
use petiole_fib::acl::Scope;

use super::{
    compile::rides_in_packets,
    show::{contains, default},
};
use crate::{
    control::explain::{Container, Membership, Party, Route, Session},
    core::{Core, elsewhere, endpoints::Endpoint},
};

/// An address, and whose it may be.
#[derive(Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) address: IpAddr,
    /// A container of this host.
    pub(super) endpoint: Option<&'a Endpoint>,
    pub(super) network: Option<&'a Network>,
    /// This host's own.
    pub(super) own: bool,
}

impl Who<'_> {
    pub(super) fn is_here(&self) -> bool {
        self.endpoint.is_some() || self.own
    }

    /// Whether anything is routed to it: there is no way into a network without a gateway.
    pub(super) fn is_routed(&self) -> bool {
        self.network.is_none_or(|n| match self.address {
            IpAddr::V4(_) => n.v4.as_ref().is_some_and(|s| s.gateway.is_some()),
            IpAddr::V6(_) => n.v6.as_ref().is_some_and(|s| s.gateway.is_some()),
        })
    }

    fn is_gateway(&self) -> bool {
        self.network.is_some_and(|n| match self.address {
            IpAddr::V4(a) => n.v4.as_ref().is_some_and(|s| s.gateway == Some(a)),
            IpAddr::V6(a) => n.v6.as_ref().is_some_and(|s| s.gateway == Some(a)),
        })
    }
}

impl Core {
    /// Everybody that is meant by a word: an endpoint's addresses, or those who may have an address.
    pub(super) fn find(&self, word: &str) -> Result<Vec<Who<'_>>, String> {
        if let Ok(address) = word.parse() {
            return Ok(self.whose(address));
        }
        let name: ScopedName =
            word.parse().map_err(|e| format!("{word}: neither an address nor a name: {e}"))?;
        let endpoint = self.endpoints.all.get(&name).ok_or_else(|| {
            format!("no endpoint {name} on this host; one of another host is asked about by its address")
        })?;
        let assigned = endpoint.assigned.as_ref().map_err(|why| format!("endpoint {name}: {why}"))?;
        let network = self.config.network(&endpoint.spec.network);
        let who = |address| Who { address, endpoint: Some(endpoint), network, own: false };
        Ok(assigned.iter().map(who).collect())
    }

    fn whose(&self, address: IpAddr) -> Vec<Who<'_>> {
        let mut all = Vec::new();
        for network in self.config.networks.iter().filter(|n| contains(n, address)) {
            let owner = self.endpoints.ipam.owner(&network.id, address);
            let endpoint = owner.and_then(|name| self.endpoints.all.get(name));
            let mut who = Who { address, endpoint, network: Some(network), own: false };
            who.own = who.is_gateway();
            all.push(who);
        }
        // Addresses of a network that the host does not route to may be somebody else's as well.
        if !all.iter().any(Who::is_routed) {
            let own = self.is_own(address);
            all.push(Who { address, endpoint: None, network: None, own });
        }
        all
    }

    /// Whether it is an address of the host itself: somebody else's doing, or the file's.
    fn is_own(&self, address: IpAddr) -> bool {
        let uplinks = self.config.uplinks.iter().flat_map(|u| &u.addresses);
        let mut all = self.own_addresses.values().flatten().chain(uplinks);
        all.any(|a| a.addr() == address) || self.config.host.loopback.contains(&address)
    }

    /// All that there is to say about somebody.
    pub(super) fn party(&self, who: &Who<'_>) -> Party {
        let (group, known_from) = self.membership(who);
        let place = match who {
            Who { endpoint: Some(_), .. } => "endpoint",
            Who { own: true, .. } => "host",
            Who { network: Some(_), .. } => "elsewhere",
            _ => "outside",
        };
        Party {
            address: who.address,
            place: place.into(),
            endpoint: who.endpoint.map(|e| self.container(e)),
            network: who.network.map(|n| n.id.to_string()),
            tenant: who.network.map(|n| n.id.tenant.to_string()),
            encap: who.network.map(|n| n.encap.as_str().into()),
            group: group.map(|g| Membership {
                name: g.id.to_string(),
                number: g.number.get(),
                policies: g.policies.iter().map(ToString::to_string).collect(),
                default: default(g.default).into(),
                profile: g.profile.as_ref().map(ToString::to_string),
            }),
            known_from,
            route: if who.is_here() || !who.is_routed() { None } else { self.way_to(who.address) },
            sessions: self.carrying(who),
        }
    }

    fn container(&self, e: &Endpoint) -> Container {
        let row = self.endpoint_row(&e.spec.id);
        let advertised = self.is_advertised(e);
        let (state, error) = row.map(|row| (row.state, row.error)).unwrap_or_default();
        Container {
            name: e.spec.id.to_string(),
            netns: e.spec.netns.display().to_string(),
            interface: e.spec.interface.to_string(),
            host_interface: e.outer.to_string(),
            state,
            error,
            advertised,
        }
    }

    /// The group of somebody, and where that is known from.
    fn membership(&self, who: &Who<'_>) -> (Option<&Group>, String) {
        if let Some(e) = who.endpoint {
            let group = e.spec.group.as_ref().and_then(|id| self.config.group(id));
            return (group, "it is an endpoint of this host".into());
        }
        if who.own {
            return (None, "it is an address of this host itself".into());
        }
        let Some(network) = who.network else {
            return (None, "it is in no network of this host's file".into());
        };
        if !self.config.groups.iter().any(|g| g.network == network.id) {
            return (None, format!("network {} has no groups", network.id));
        }
        let routed = self.members.compiled.scope(&network.id) == Scope::ROUTED;
        if let Some(number) = self.members.remote.get(&who.address).filter(|_| routed) {
            return self.told_by_route(who.address, *number);
        }
        let pooled = |g: &&Group| {
            let has = match who.address {
                IpAddr::V4(a) => g.all4.iter().any(|range| range.contains(a)),
                IpAddr::V6(a) => g.all6.iter().any(|range| range.contains(a)),
            };
            has && g.network == network.id
        };
        if let Some(group) = self.config.groups.iter().find(pooled) {
            return (Some(group), format!("it is in the pool of group {}", group.id));
        }
        if rides_in_packets(network) {
            return (
                None,
                "each of its packets says it, in the VXLAN header: it is not known beforehand".into(),
            );
        }
        let unsaid = "for rules that deny it counts as a member of every group of its network, for rules that allow of none";
        if self.members.silent.contains(&who.address) {
            return (
                None,
                format!("its route names no group, did a leaf strip the large communities? {unsaid}"),
            );
        }
        (None, format!("nobody says it: {unsaid}"))
    }

    fn told_by_route(&self, address: IpAddr, number: u32) -> (Option<&Group>, String) {
        let told = if self.members.provisional.contains(&address) {
            "a route of an earlier run, which has not come again yet,".to_owned()
        } else {
            let route = self.speaker.route(IpNet::from(address));
            let best = route.as_ref().and_then(|r| r.paths.first());
            match best.and_then(|path| community(path, elsewhere::GROUP)) {
                Some(community) => format!("its route's large community {community}"),
                None => "its route".into(),
            }
        };
        if number == elsewhere::NO_GROUP {
            return (None, format!("{told} says that it is in no group"));
        }
        let group = self.config.groups.iter().find(|g| g.number.get() == number);
        match group {
            Some(_) => (group, told.trim_end_matches(',').to_owned()),
            None => (None, format!("{told} names the group {number}, which is not in this host's file")),
        }
    }

    /// The learned route to an address.
    pub(super) fn way_to(&self, address: IpAddr) -> Option<Route> {
        let RouteView { prefix, paths } = self.speaker.lookup(address)?;
        let best = paths.first()?;
        let session = self.session(best.peer?)?;
        let installed = self.fib.route(prefix);
        Some(Route {
            prefix,
            next_hop: best.attributes.next_hop().address(),
            as_path: best.attributes.as_path().to_string(),
            installed: installed.is_some_and(|r| r.actual.is_some() && r.actual == r.desired),
            host: community(best, elsewhere::HOST).map(|c| Ipv4Addr::from(c.local2)),
            session,
        })
    }

    fn session(&self, peer: PeerId) -> Option<Session> {
        self.speaker.peer(peer).map(|p| session(&p))
    }

    /// The sessions over which the fabric has been told of a container.
    fn carrying(&self, who: &Who<'_>) -> Vec<Session> {
        if !who.endpoint.is_some_and(|e| self.is_advertised(e)) || !who.is_routed() {
            return Vec::new();
        }
        let family = if who.address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        let carries = |p: &PeerStatus| {
            p.state == SessionState::Established && p.families.iter().any(|(f, _)| *f == family)
        };
        self.speaker.peers().filter(carries).map(|p| session(&p)).collect()
    }
}

/// A path's large community whose second part is this.
fn community(path: &PathView, local1: u32) -> Option<LargeCommunity> {
    path.attributes.large_communities().iter().find(|c| c.local1 == local1).copied()
}

fn session(p: &PeerStatus) -> Session {
    Session { neighbor: p.name.to_string(), address: p.address.ip(), asn: p.asn, state: p.state.to_string() }
}
