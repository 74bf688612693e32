//! What the config says about neighbours, in the speaker's words; what the speaker says, in the operator's.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::elsewhere;
use ipnet::IpNet;
use petiole_bgp::{
    policy::{self, Policy},
    rib::Origination,
    speaker::{
        Config, Impact, OwnAddresses, PeerAddress, PeerConfig, PeerEvent, PeerEventKind, RemoteAs, Secret,
        Transport,
    },
    wire::{Community, FamilySet, LargeCommunity, Origin},
};
use petiole_config::model::{self as config, Distance, Export, HostConfig, Import, Neighbor};

/// How many uplinks a route may be spread over. Hosts have two or four; the kernel takes many more.
const MAX_PATHS: usize = 16;

/// The speaker's configuration.
///
/// `own` are the addresses on the host's links: on a session over one family, routes of the other one are announced
/// with the link's address of that family as next hop.
pub(super) fn speaker(c: &HostConfig, router_id: Ipv4Addr, host_name: &str, own: &[Vec<IpNet>]) -> Config {
    let host_name = c.host.name.as_ref().map_or(host_name, |n| n.as_str()).to_owned();
    let peers = c.neighbors.iter().map(|n| peer(c, n, own)).collect();
    Config { asn: c.host.asn, router_id, host_name, max_paths: MAX_PATHS, label: elsewhere::GROUP, peers }
}

fn peer(c: &HostConfig, n: &Neighbor, own: &[Vec<IpNet>]) -> PeerConfig {
    let remote_as = match n.remote_as {
        config::RemoteAs::Exact(asn) => RemoteAs::Exact(asn),
        config::RemoteAs::External => RemoteAs::External,
    };
    PeerConfig {
        description: n.description.clone().unwrap_or_default(),
        address: PeerAddress::Ip(n.address),
        local_as: (n.local_asn != c.host.asn).then_some(n.local_asn),
        families: FamilySet { ipv4: n.families.ipv4(), ipv6: n.families.ipv6() },
        hold_time: n.hold_time,
        keepalive: Some(n.keepalive).filter(|k| *k > 0),
        connect_retry: Duration::from_secs(n.connect_retry.into()),
        passive: n.passive,
        allow_own_as: n.allow_own_as,
        import: Arc::new(match &n.import {
            Import::All => Policy::all(),
            Import::DefaultRoute => Policy::default_route(),
            Import::None => Policy::none(),
            Import::Policy(name) => named(c, name.as_str()),
        }),
        export: Arc::new(match &n.export {
            Export::Local => Policy::local(),
            Export::Policy(name) => named(c, name.as_str()),
        }),
        max_prefixes: n.max_prefixes,
        max_prefixes_out: n.max_prefixes_out,
        shutdown: n.shutdown.clone(),
        install: n.install,
        next_hop: next_hop(n.address, own),
        transport: Transport {
            port: n.port,
            local_address: n.local_address,
            multihop: match n.distance {
                Distance::Multihop(hops) => Some(hops),
                Distance::Connected | Distance::TtlSecurity => None,
            },
            ttl_security: n.distance == Distance::TtlSecurity,
            password: n.password.as_ref().map(|p| Secret::new(p.expose())),
        },
        ..PeerConfig::new(n.name.as_str(), n.address, remote_as)
    }
}

/// Our addresses on the link that the peer is on.
fn next_hop(peer: IpAddr, own: &[Vec<IpNet>]) -> OwnAddresses {
    let link = own.iter().find(|addresses| addresses.iter().any(|a| a.contains(&peer)));
    let mut found = OwnAddresses::default();
    for address in link.into_iter().flatten() {
        match address.addr() {
            IpAddr::V4(a) => found.ipv4 = found.ipv4.or(Some(a)),
            IpAddr::V6(a) if a.is_unicast_link_local() => {}
            IpAddr::V6(a) => found.ipv6 = found.ipv6.or(Some(a)),
        }
    }
    found
}

/// A policy of the file. The config has checked that it is there; without it nothing would pass.
fn named(c: &HostConfig, name: &str) -> Policy {
    c.route_policy(name)
        .map_or_else(Policy::none, |p| Policy::new(p.rules.iter().map(rule).collect(), action(&p.default).0))
}

fn action(action: &config::Action) -> (policy::Action, policy::Set) {
    let set = match action {
        config::Action::Reject => return (policy::Action::Reject, policy::Set::default()),
        config::Action::Accept(set) => set,
    };
    let communities = |list: &[config::Community]| list.iter().map(|c| Community(c.0)).collect();
    let large = |list: &[config::LargeCommunity]| list.iter().map(large_community).collect();
    let set = policy::Set {
        local_pref: set.local_pref,
        med: set.med,
        prepend: set.prepend,
        replace_communities: None,
        remove_communities: communities(&set.communities_remove),
        add_communities: communities(&set.communities_add),
        remove_large_communities: large(&set.large_communities_remove),
        add_large_communities: large(&set.large_communities_add),
    };
    (policy::Action::Accept, set)
}

fn large_community(c: &config::LargeCommunity) -> LargeCommunity {
    LargeCommunity { global: c.0, local1: c.1, local2: c.2 }
}

fn rule(r: &config::Rule) -> policy::Rule {
    let (action, set) = action(&r.action);
    policy::Rule {
        prefixes: r
            .matches
            .prefixes
            .iter()
            .map(|p| policy::PrefixRange { net: p.net(), ge: p.ge(), le: p.le() })
            .collect(),
        communities: r.matches.communities.iter().map(|c| Community(c.0)).collect(),
        large_communities: r.matches.large_communities.iter().map(large_community).collect(),
        as_paths: r.matches.as_paths.iter().filter_map(as_path).collect(),
        // `None` is the default of both sides: local routes on export, everything on import.
        source: match r.matches.source {
            config::Source::Local => None,
            config::Source::Learned => Some(policy::Source::Learned),
            config::Source::Any => Some(policy::Source::Any),
        },
        action,
        set,
    }
}

/// Both crates write masks alike, so the text is the way across.
fn as_path(mask: &config::AsPathMask) -> Option<policy::AsPathPattern> {
    mask.to_string().parse().ok()
}

/// What a container's or the host's own prefix carries.
pub(super) fn origination() -> Origination {
    Origination {
        origin: Origin::Igp,
        med: None,
        local_pref: None,
        communities: Vec::new(),
        large_communities: Vec::new(),
    }
}

/// The TCP-MD5 keys by peer, for the listening sockets.
pub(super) fn keys(c: &Config) -> BTreeMap<IpAddr, Secret> {
    c.peers.iter().filter_map(|p| Some((p.address.ip(), p.transport.password.clone()?))).collect()
}

/// How to talk TCP to the peer at an address, and whether it is in another AS.
pub(super) fn transport(c: &Config, remote: SocketAddr) -> Option<(Transport, bool)> {
    let peer = c.peers.iter().find(|p| p.address.matches(remote))?;
    let external = peer.remote_as != RemoteAs::Exact(peer.local_as.unwrap_or(c.asn));
    Some((peer.transport.clone(), external))
}

/// What a reload did to the sessions, in a line.
pub(super) fn summary(impacts: &[(String, Impact)]) -> String {
    let of = |impact| {
        let names: Vec<&str> =
            impacts.iter().filter(|(_, i)| *i == impact).map(|(n, _)| n.as_str()).collect();
        names.join(", ")
    };
    let parts = [
        (of(Impact::Session), "reset"),
        (of(Impact::Refresh), "refreshed"),
        (of(Impact::Live), "changed live"),
        (of(Impact::None), "untouched"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, what)| format!("{what}: {names}"))
        .collect();
    if parts.is_empty() { "no sessions".into() } else { format!("sessions {}", parts.join("; ")) }
}

/// Tells the log what an operator needs, once: a peer that is away is retried in silence.
pub(super) fn log(event: &PeerEvent, quiet: bool) {
    let neighbor = &*event.name;
    match &event.kind {
        PeerEventKind::Up { negotiated, local, remote } => {
            tracing::info!(neighbor, asn = negotiated.open.asn, %local, %remote, hold_time = negotiated.hold_time, "session up");
        }
        PeerEventKind::Down(cause) => tracing::warn!(neighbor, "session down: {cause}"),
        PeerEventKind::AttemptFailed(cause) if quiet => tracing::debug!(neighbor, "no session: {cause}"),
        PeerEventKind::AttemptFailed(cause) => tracing::warn!(neighbor, "no session: {cause}; trying again"),
        PeerEventKind::Refused(reason) => tracing::debug!(neighbor, "connection refused: {reason}"),
        PeerEventKind::PrefixLimit { family, limit } => {
            tracing::error!(neighbor, %family, limit, "more prefixes than max-prefixes: session ended");
        }
        PeerEventKind::UpdateError { text, suppressed } => {
            tracing::warn!(neighbor, suppressed, "malformed UPDATE: {text}");
        }
        PeerEventKind::EndOfRib(family) => tracing::debug!(neighbor, %family, "end of RIB"),
    }
}
