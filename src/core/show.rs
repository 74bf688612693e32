//! What `show` shows: the state of the core as rows.

use std::{collections::HashMap, net::IpAddr, ops::Bound, time::Instant};

use petiole_bgp::{
    rib::{self, AdjacentRoute, FamilyCounters, PathView, PeerId, RouteView, Standing},
    speaker::{PeerStatus, RemoteAs},
    wire::{Attributes, Capability, Family, NextHop, Origin},
};
use petiole_config::model::{Advertise, Encap, Network, ScopedName};
use petiole_fib::model::{FdbTarget, Key, NextHop as KernelNextHop, Ns, Object, RouteTarget};

use super::{
    Core,
    endpoints::{self, Endpoint, State},
    objects,
};
use crate::{
    control::{
        Show,
        rows::{self, Rows},
    },
    io::journal::Record,
};

/// Rows of one part of an answer. A part is made in one go on the core's loop.
pub(super) const PAGE: usize = 500;

/// Where the next part of an answer starts.
#[derive(Clone, Debug, Default)]
pub(crate) enum Cursor {
    /// At the beginning.
    #[default]
    Start,
    /// In a family's table.
    Rib(Family, rib::Cursor),
    /// At this learned route of the FIB.
    Fib(usize),
    /// Behind this endpoint.
    Endpoint(ScopedName),
    /// At this group or policy of the configuration.
    Nth(usize),
}

impl Core {
    /// One part of an answer, and where the next one starts.
    pub(crate) fn show(
        &self,
        show: &Show,
        cursor: Cursor,
        now: Instant,
    ) -> Result<(Rows, Option<Cursor>), String> {
        Ok(match show {
            Show::Neighbors => {
                (Rows::Neighbors(self.speaker.peers().map(|p| neighbor(&p, now)).collect()), None)
            }
            Show::Routes => {
                let (page, next) = pages(&cursor, |c| self.speaker.routes(c, PAGE));
                (Rows::Routes(page.iter().map(|r| self.route(r)).collect()), next)
            }
            Show::Received { neighbor } => {
                let (peer, name) = self.find_peer(neighbor)?;
                let (page, next) = pages(&cursor, |c| self.speaker.received(peer, c, PAGE));
                (Rows::Received(page.into_iter().map(|r| adjacent(&r, &name)).collect()), next)
            }
            Show::Advertised { neighbor } => {
                let (peer, _) = self.find_peer(neighbor)?;
                let (page, next) = pages(&cursor, |c| self.speaker.advertised(peer, c, PAGE));
                (
                    Rows::Advertised(page.into_iter().map(|r| adjacent(&r, &self.source_of(&r))).collect()),
                    next,
                )
            }
            Show::Fib => self.fib_rows(&cursor),
            Show::Endpoints => self.endpoint_rows(cursor),
            Show::Networks => (Rows::Networks(self.network_rows(now)), None),
            Show::Groups { members } => self.group_rows(&cursor, *members),
            Show::Policies => self.policy_rows(&cursor),
            Show::Profiles => (Rows::Profiles(self.profile_rows()), None),
            Show::Vteps => (Rows::Vteps(self.vtep_rows()), None),
            Show::Config => {
                let value = serde_json::to_value(&self.config).map_err(|e| e.to_string())?;
                (Rows::Config(value), None)
            }
        })
    }

    fn find_peer(&self, wanted: &str) -> Result<(PeerId, String), String> {
        let address: Option<IpAddr> = wanted.parse().ok();
        let matches = |p: &PeerStatus| &*p.name == wanted || Some(p.address.ip()) == address;
        self.speaker.peers().find(matches).map(|p| (p.id, p.name.to_string())).ok_or_else(|| {
            let names: Vec<String> = self.speaker.peers().map(|p| p.name.to_string()).collect();
            format!("no neighbor `{wanted}`; there are: {}", names.join(", "))
        })
    }

    fn peer_name(&self, peer: Option<PeerId>) -> String {
        match peer {
            None => "local".into(),
            Some(id) => {
                self.speaker.peers().find(|p| p.id == id).map_or_else(|| "-".into(), |p| p.name.to_string())
            }
        }
    }

    /// Whom an announced route was learned from.
    fn source_of(&self, route: &AdjacentRoute) -> String {
        let best = self.speaker.route(route.prefix).and_then(|r| r.paths.into_iter().next());
        self.peer_name(best.and_then(|p| p.peer))
    }

    fn route(&self, route: &RouteView) -> rows::Route {
        let paths = route.paths.iter().map(|p| self.path(route, p)).collect();
        rows::Route { prefix: route.prefix, paths }
    }

    fn path(&self, route: &RouteView, path: &PathView) -> rows::Path {
        rows::Path {
            best: path.standing == Standing::Best,
            multipath: path.standing == Standing::Multipath,
            reason: Some(match path.standing {
                Standing::Unreachable => "next hop unreachable".into(),
                _ => path.reason.to_string(),
            }),
            ..attributes(route.prefix, self.peer_name(path.peer), &path.attributes)
        }
    }

    fn fib_rows(&self, cursor: &Cursor) -> (Rows, Option<Cursor>) {
        let failing: HashMap<Key, String> =
            self.fib.failing().map(|(key, error, ..)| (key, error.to_string())).collect();
        let state = |settled: bool, key: &Key| {
            let error = failing.get(key).cloned();
            let state = match (settled, &error) {
                (true, _) => "installed",
                (false, Some(_)) => "failed",
                (false, None) => "pending",
            };
            (state.to_owned(), error)
        };
        let object = |object: &Object, settled: bool| {
            let key = object.key();
            let (state, error) = state(settled, &key);
            rows::FibObject {
                kind: kind(&key).into(),
                endpoint: self.endpoints.inside(key.ns(), &key).map(ToString::to_string),
                key: key_text(&key),
                value: value(object),
                state,
                error,
            }
        };
        let (mut rows, at) = match cursor {
            Cursor::Fib(at) => (Vec::new(), *at),
            _ => (self.fib.objects().map(|(o, settled)| object(o, settled)).collect(), 0),
        };
        let (routes, next) = self.fib.routes(at, PAGE);
        rows.extend(routes.into_iter().filter_map(|r| {
            let shown = r.desired.as_ref().or(r.actual.as_ref())?.clone();
            let key = self.fib.owner().route_key(r.prefix);
            let mut row = object(&Object::Route(key, shown), r.desired == r.actual);
            if r.stale {
                row.state = "stale".into();
            }
            Some(row)
        }));
        (Rows::Fib(rows), next.map(Cursor::Fib))
    }

    fn endpoint_rows(&self, cursor: Cursor) -> (Rows, Option<Cursor>) {
        let (start, mut rows) = match cursor {
            Cursor::Endpoint(name) => (Bound::Excluded(name), Vec::new()),
            _ => (Bound::Unbounded, self.orphan_rows()),
        };
        let mut page = self.endpoints.all.range((start, Bound::Unbounded));
        let part: Vec<(&ScopedName, &Endpoint)> = page.by_ref().take(PAGE).collect();
        let next =
            part.last().filter(|_| page.next().is_some()).map(|(name, _)| Cursor::Endpoint((*name).clone()));
        rows.extend(part.into_iter().map(|(_, e)| self.endpoint(e)));
        (Rows::Endpoints(rows), next)
    }

    /// Endpoints of the journal that the configuration has no place for.
    fn orphan_rows(&self) -> Vec<rows::Endpoint> {
        let orphans = self.endpoints.requests.orphans.values();
        let row = |(record, why): &(Record, String)| rows::Endpoint {
            name: record.id.to_string(),
            network: record.request.network.clone().unwrap_or_default(),
            group: record.request.group.clone(),
            origin: "request".into(),
            addresses: record.assigned.iter().collect(),
            mac: objects::mac(record.assigned).to_string(),
            netns: record.request.netns.clone(),
            interface: record.request.interface.clone().unwrap_or_default(),
            host_interface: objects::outer(&record.id).to_string(),
            mtu: None,
            publish: record.request.publish.clone(),
            state: "failed".into(),
            advertised: false,
            error: Some(why.clone()),
        };
        orphans.map(row).collect()
    }

    /// One endpoint's row.
    pub(super) fn endpoint_row(&self, name: &ScopedName) -> Option<rows::Endpoint> {
        self.endpoints.all.get(name).map(|e| self.endpoint(e))
    }

    fn endpoint(&self, e: &Endpoint) -> rows::Endpoint {
        let assigned = e.assigned.clone().unwrap_or_default();
        let problem = e.attachment().and_then(|a| {
            let (key, text) = a.problems.iter().next()?;
            Some(format!("{}: {text}", self::key(key)))
        });
        let blocked = self.blocked(&e.spec.id).filter(|_| matches!(e.state, State::Waiting));
        let entering = self.entering(e);
        let state = match (&e.state, &e.assigned, &problem) {
            (State::Attached(_), ..) => "attached",
            _ if blocked.is_some() => "failed",
            (_, Err(_), _) | (State::Attaching(_), _, Some(_)) => "failed",
            (State::Waiting, ..) if entering.as_ref().is_some_and(Result::is_err) => "failed",
            (State::Attaching(_), ..) => "attaching",
            (State::Waiting, ..) if entering.is_some() => "attaching",
            (State::Waiting, ..) => "waiting",
        };
        let entering = entering.map(|outcome| outcome.map_or_else(|e| e, ToOwned::to_owned));
        let duplicate = assigned.iter().find(|a| self.duplicates.has(&e.spec.id, *a));
        let duplicate = duplicate.map(|a| format!("another host announces {a} too"));
        rows::Endpoint {
            name: e.spec.id.to_string(),
            network: e.spec.network.to_string(),
            group: e.spec.group.as_ref().map(ToString::to_string),
            origin: match e.origin {
                endpoints::Origin::File => "file".into(),
                endpoints::Origin::Request(_) => "request".into(),
            },
            addresses: assigned.iter().collect(),
            mac: objects::mac(assigned).to_string(),
            netns: e.spec.netns.display().to_string(),
            interface: e.spec.interface.to_string(),
            host_interface: e.outer.to_string(),
            mtu: e.attachment().and_then(|a| a.wiring.mtu),
            publish: e.spec.publish.iter().map(ToString::to_string).collect(),
            state: state.into(),
            advertised: self.is_advertised(e),
            error: e.assigned.clone().err().or(problem).or(blocked.cloned()).or(entering).or(duplicate),
        }
    }

    /// Whether a container waits for the kernel to know its group, or what holds that up.
    fn entering(&self, e: &Endpoint) -> Option<Result<&'static str, String>> {
        let waits = matches!(e.state, State::Waiting) && self.endpoints.is_present(e);
        if !waits || !self.members.guarded.contains_key(&e.spec.id) {
            return None;
        }
        // Whatever of our table is refused: the elements wait for all that they stand in.
        let refused = self.fib.failing().find(|(key, ..)| key.is_nft());
        Some(match refused {
            Some((key, error, ..)) => Err(format!("{}: {error}", self::key(&key))),
            None => Ok("waits for the kernel to know its group"),
        })
    }

    fn network_rows(&self, now: Instant) -> Vec<rows::Network> {
        let mut endpoints: HashMap<&ScopedName, u64> = HashMap::new();
        for e in self.endpoints.all.values() {
            *endpoints.entry(&e.spec.network).or_default() += 1;
        }
        let row = |n| self.network(n, endpoints.get(&n.id).copied().unwrap_or_default(), now);
        self.config.networks.iter().map(row).collect()
    }

    fn network(&self, n: &Network, endpoints: u64, now: Instant) -> rows::Network {
        let subnets = [n.v4.as_ref().map(|s| s.net.into()), n.v6.as_ref().map(|s| s.net.into())];
        let gateways = [
            n.v4.as_ref().and_then(|s| s.gateway).map(Into::into),
            n.v6.as_ref().and_then(|s| s.gateway).map(Into::into),
        ];
        // A pool larger than that is as good as endless.
        let number = |n: u128| u64::try_from(n).unwrap_or(u64::MAX);
        let usage = self.endpoints.ipam.usage(n, self.unix(now));
        let problem = self.network_problem(&n.id).map(|(key, text)| format!("{}: {text}", self::key(key)));
        let up = objects::network_links(n).all(|link| self.fib.settled(&Key::Link(Ns::HOST, link)));
        rows::Network {
            name: n.id.to_string(),
            tenant: n.id.tenant.to_string(),
            encap: n.encap.as_str().into(),
            tag: match n.encap {
                Encap::Routed => None,
                Encap::Vlan { tag, .. } => Some(tag.into()),
                Encap::Vxlan { vni, .. } => Some(vni),
            },
            bridge: n.encap.is_bridged().then(|| objects::bridge(&n.id).to_string()),
            device: objects::device(&n.encap).map(|d| d.to_string()),
            subnets: subnets.into_iter().flatten().collect(),
            gateways: gateways.into_iter().flatten().collect(),
            advertise: match n.advertise {
                Advertise::Endpoints => "endpoints".into(),
                Advertise::Subnet => "subnet".into(),
                Advertise::None => "none".into(),
            },
            masquerade: n.masquerade,
            pool_size: number(usage.size),
            pool_used: number(usage.used),
            pool_quarantined: number(usage.quarantined),
            endpoints,
            mtu: self.network_mtu(n),
            state: match (&problem, up) {
                (Some(_), _) => "failed".into(),
                (None, true) => "up".into(),
                (None, false) => "pending".into(),
            },
            error: problem,
        }
    }

    fn vtep_rows(&self) -> Vec<rows::Vtep> {
        let mut rows = Vec::new();
        for n in &self.config.networks {
            let (Encap::Vxlan { vni, local, port, vteps }, Some(device)) =
                (&n.encap, objects::device(&n.encap))
            else {
                continue;
            };
            rows.extend(vteps.iter().map(|remote| {
                let settled = self.fib.settled(&Key::Fdb(objects::flood(&device, *remote)));
                rows::Vtep {
                    network: n.id.to_string(),
                    vni: *vni,
                    device: device.to_string(),
                    local: *local,
                    remote: *remote,
                    port: *port,
                    state: if settled { "installed".into() } else { "pending".into() },
                }
            }));
        }
        rows
    }
}

/// IPv4 first, then IPv6, page by page.
fn pages<T>(cursor: &Cursor, page: impl Fn(rib::Cursor) -> rib::Page<T>) -> (Vec<T>, Option<Cursor>) {
    let (family, at) = match cursor {
        Cursor::Rib(family, at) => (*family, *at),
        _ => (Family::Ipv4, rib::Cursor::start(Family::Ipv4)),
    };
    let page = page(at);
    let next = match (page.next, family) {
        (Some(next), family) => Some(Cursor::Rib(family, next)),
        (None, Family::Ipv4) => Some(Cursor::Rib(Family::Ipv6, rib::Cursor::start(Family::Ipv6))),
        (None, Family::Ipv6) => None,
    };
    (page.rows, next)
}

fn neighbor(p: &PeerStatus, now: Instant) -> rows::Neighbor {
    let seconds = |at: Instant| now.saturating_duration_since(at).as_secs();
    let open = p.negotiated.as_ref().map(|n| &n.open);
    let configured = match p.remote_as {
        RemoteAs::Exact(asn) => Some(asn),
        RemoteAs::External => None,
    };
    let last_error = match (&p.shutdown, p.negotiated.is_some()) {
        (Some(why), _) if why.is_empty() => Some("shut down".into()),
        (Some(why), _) => Some(format!("shut down: {why}")),
        (None, true) => None,
        (None, false) => p.last_error.as_ref().map(|(_, cause)| cause.to_string()),
    };
    let count = |m: &petiole_bgp::speaker::MessageCounts| {
        m.open + m.update + m.notification + m.keepalive + m.route_refresh
    };
    rows::Neighbor {
        name: p.name.to_string(),
        description: Some(p.description.clone()).filter(|d| !d.is_empty()),
        address: p.address.ip(),
        asn: p.asn.or(configured),
        state: p.state.to_string(),
        uptime: p.negotiated.as_ref().and(p.since).map(seconds),
        router_id: open.map(|o| o.router_id),
        host_name: open.and_then(|o| {
            o.capabilities.iter().find_map(|c| match c {
                Capability::Fqdn { host, .. } => Some(host.clone()),
                _ => None,
            })
        }),
        hold_time: p.negotiated.as_ref().map(|n| n.hold_time),
        keepalive: p.negotiated.as_ref().map(|n| n.keepalive.as_secs() as u16),
        capabilities: open.map(|o| o.capabilities.iter().map(capability).collect()).unwrap_or_default(),
        families: p.families.iter().map(|(f, c)| family(*f, c)).collect(),
        messages_received: count(&p.messages.received),
        messages_sent: count(&p.messages.sent),
        flaps: p.flaps,
        last_error,
        next_attempt: p.next_retry.map(|at| at.saturating_duration_since(now).as_secs()),
    }
}

/// A capability by its name in IANA's registry.
fn capability(c: &Capability) -> String {
    match c {
        Capability::Multiprotocol(family) => format!("multiprotocol {family}"),
        Capability::RouteRefresh => "route refresh".into(),
        Capability::ExtendedNextHop(_) => "extended next hop".into(),
        Capability::ExtendedMessage => "extended message".into(),
        Capability::FourOctetAs(_) => "4-octet AS number".into(),
        Capability::GracefulRestart(_) => "graceful restart".into(),
        Capability::EnhancedRouteRefresh => "enhanced route refresh".into(),
        Capability::Fqdn { .. } => "FQDN".into(),
        Capability::Unknown { code, .. } => format!("code {code}"),
    }
}

fn family(family: Family, c: &FamilyCounters) -> rows::NeighborFamily {
    rows::NeighborFamily {
        family: family.to_string(),
        received: c.received,
        accepted: c.accepted.into(),
        rejected: c.rejected,
        advertised: c.advertised.into(),
    }
}

fn adjacent(route: &AdjacentRoute, neighbor: &str) -> rows::Path {
    attributes(route.prefix, neighbor.to_owned(), &route.attributes)
}

fn attributes(prefix: ipnet::IpNet, neighbor: String, a: &Attributes) -> rows::Path {
    fn texts<T: ToString>(list: &[T]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }
    let next_hop = match a.next_hop() {
        NextHop::V4(address) if address.is_unspecified() => None,
        NextHop::V6 { global, .. } if global.is_unspecified() => None,
        other => Some(other.address()),
    };
    rows::Path {
        prefix,
        neighbor,
        next_hop,
        as_path: a.as_path().to_string(),
        origin: match a.origin() {
            Origin::Igp => "IGP".into(),
            Origin::Egp => "EGP".into(),
            Origin::Incomplete => "incomplete".into(),
        },
        med: a.med(),
        local_pref: a.local_pref(),
        communities: texts(a.communities()),
        large_communities: texts(a.large_communities()),
        extended_communities: texts(a.extended_communities()),
        best: false,
        multipath: false,
        reason: None,
    }
}

fn kind(key: &Key) -> &'static str {
    match key {
        Key::Sysctl(..) => "sysctl",
        Key::Link(..) => "link",
        Key::Address(..) => "address",
        Key::Neighbour(..) => "neighbour",
        Key::NextHop(_) => "nexthop",
        Key::Route(_) => "route",
        Key::Fdb(_) => "fdb",
        Key::Qdisc(_) => "qdisc",
        Key::Redirect(_) => "redirect",
        Key::Table(_) => "table",
        Key::Chain(_) => "chain",
        Key::Set(_) => "set",
        Key::Element(..) => "element",
    }
}

fn key_text(key: &Key) -> String {
    match key {
        Key::Sysctl(_, path) => path.to_string(),
        Key::Link(_, name) => name.to_string(),
        Key::Address(_, link, address) => format!("{address} dev {link}"),
        Key::Neighbour(_, link, address) => format!("{address} dev {link}"),
        Key::NextHop(id) => format!("{:#x}", id.0),
        Key::Fdb(k) => match k.target {
            FdbTarget::Vtep(vtep) => format!("{} dev {} dst {vtep}", k.mac, k.link),
            FdbTarget::Port => format!("{} dev {} master", k.mac, k.link),
        },
        Key::Qdisc(link) | Key::Redirect(link) => format!("dev {link}"),
        Key::Table(table) => table.to_string(),
        Key::Chain(item) | Key::Set(item) => item.to_string(),
        Key::Element(set, element) => format!("{set} {element}"),
        Key::Route(r) if r.table == objects::TABLE_MAIN => format!("{} metric {}", r.prefix, r.metric),
        Key::Route(r) => format!("{} table {} metric {}", r.prefix, r.table, r.metric),
    }
}

/// A kernel object for the log.
pub(crate) fn key(key: &Key) -> String {
    format!("{} {}", kind(key), key_text(key))
}

fn value(object: &Object) -> String {
    match object {
        Object::Sysctl(_, _, value) => value.to_string(),
        Object::Link(_, _, link) => {
            let mut parts = vec![if link.up { "up".to_owned() } else { "down".into() }];
            parts.extend(link.mtu.map(|m| format!("mtu {m}")));
            parts.extend(link.mac.map(|m| m.to_string()));
            parts.extend(link.port.as_ref().map(|p| format!("master {}", p.bridge)));
            parts.join(" ")
        }
        Object::Address(..) | Object::Fdb(_) | Object::Table(_) | Object::Set(..) => String::new(),
        Object::Qdisc(_, qdisc) => qdisc.to_string(),
        Object::Redirect(_, to) => to.as_ref().map(ToString::to_string).unwrap_or_default(),
        Object::Chain(_, chain) => format!("{} rules", chain.rules.len()),
        Object::Element(_, _, data) => data.as_ref().map(ToString::to_string).unwrap_or_default(),
        Object::Neighbour(_, _, _, mac) => mac.to_string(),
        Object::NextHop(_, KernelNextHop::Single { via, link, .. }) => format!("via {via} dev {link}"),
        Object::NextHop(_, KernelNextHop::Group(members)) => {
            let members: Vec<String> = members.iter().map(|m| format!("{:#x}", m.0)).collect();
            format!("group {}", members.join(" "))
        }
        Object::Route(_, route) => {
            let target = match &route.target {
                RouteTarget::NextHop(id) => format!("nexthop {:#x}", id.0),
                RouteTarget::Link { link, via: Some(via) } => format!("via {via} dev {link}"),
                RouteTarget::Link { link, via: None } => format!("dev {link}"),
                RouteTarget::Unreachable => "unreachable".into(),
                RouteTarget::Blackhole => "blackhole".into(),
            };
            match route.preferred_source {
                Some(source) => format!("{target} src {source}"),
                None => target,
            }
        }
    }
}
