//! Containers: from the namespace that appears to the prefix that is announced, and back.
//!
//! Knows the order: attach, wait for the kernel, announce; withdraw, wait for the peers, detach. Containers of the
//! file and those added at run time take the same way; the latter are also in the journal, and somebody waits for
//! the outcome (`requests`).

mod attach;
mod detach;
mod entered;
mod journaled;
mod reconfigure;
mod requests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Instant,
};

use petiole_config::{EndpointRequest, model::ScopedName};
use petiole_fib::{
    model::{FdbKey, FdbTarget, IfName, Key, LinkState, Mac, Ns, Object, Route, RouteKey, RouteTarget},
    plan::Scope,
};

use super::{
    Core, Effect,
    elsewhere::Fabric,
    ipam::{Assigned, Ipam, Want},
    networks::WantedPort,
    objects::{self, Wiring},
};

use crate::io::journal::Write;
pub(super) use attach::container_origination;
use detach::Detaching;
use entered::Entered;
use requests::Requests;
pub(crate) use requests::Ticket;

/// Which namespace stands at a path. Opaque here: another value means another namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NamespaceId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// All containers.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    pub(super) all: BTreeMap<ScopedName, Endpoint>,
    pub(super) ipam: Ipam,
    pub(super) requests: Requests,
    /// By the names of its links on the host: the one that it has, and the one that it has if it is limited.
    by_outer: HashMap<IfName, ScopedName>,
    entered: Entered,
    by_path: HashMap<PathBuf, BTreeSet<ScopedName>>,
    /// Addresses that the host routes to a container.
    by_address: HashMap<IpAddr, ScopedName>,
    /// Which namespace is at a path now; absent: not looked yet.
    namespaces: HashMap<PathBuf, Option<NamespaceId>>,
    detaching: BTreeMap<ScopedName, Detaching>,
    /// Some of these may wait for the peers to be told.
    withdrawing: bool,
    /// Those in the state of that name.
    attaching: BTreeSet<ScopedName>,
    /// Those that wait for an address.
    unassigned: BTreeSet<ScopedName>,
    /// Those with published ports.
    publishing: BTreeSet<ScopedName>,
    /// Those that must not be attached now, and why.
    blocked: BTreeMap<ScopedName, String>,
    /// Paths that the watcher has not looked at yet.
    unseen: BTreeSet<PathBuf>,
    /// What earlier runs left: the address behind a host-side link, the endpoint that a link's mark names.
    routes_found: HashMap<IfName, Assigned>,
    links_found: HashMap<ScopedName, IfName>,
    /// And who is behind a bridge's port, and the IPv6 address of an Ethernet address.
    ports_found: HashMap<IfName, Mac>,
    macs_found: HashMap<Mac, Ipv6Addr>,
    local_swept: bool,
}

/// One container.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) spec: petiole_config::model::Endpoint,
    pub(super) origin: Origin,
    pub(super) outer: IfName,
    /// Its addresses, or why it has none.
    pub(super) assigned: Result<Assigned, String>,
    pub(super) state: State,
}

/// Who asked for a container.
#[derive(Debug)]
pub(super) enum Origin {
    /// The config file.
    File,
    /// A request at run time.
    Request(Box<Requested>),
}

/// What is remembered of a request.
#[derive(Debug)]
pub(super) struct Requested {
    pub(super) request: EndpointRequest,
    /// The namespace that it was made for. When that is gone, so is the container.
    namespace: NamespaceId,
    /// Unix seconds.
    created: u64,
    /// The journal's commit that holds it, and whether that is durable.
    commit: u64,
    durable: bool,
    /// It has not stood yet: if it cannot be had, nothing is to be left of it.
    fresh: bool,
}

/// Where a container stands.
#[derive(Debug)]
pub(super) enum State {
    /// Its namespace is not there, it has no address, or its former attachment is still being taken away.
    Waiting,
    /// The kernel's objects are being made.
    Attaching(Attachment),
    /// The kernel confirmed all of them.
    Attached(Attachment),
}

/// What stands in the kernel for a container.
#[derive(Debug)]
pub(super) struct Attachment {
    identity: NamespaceId,
    pub(super) wiring: Wiring,
    /// The objects without which it must not be announced.
    keys: Vec<Key>,
    /// The kernel's latest refusal, by object.
    pub(super) problems: BTreeMap<Key, String>,
}

impl Endpoint {
    pub(super) fn attachment(&self) -> Option<&Attachment> {
        match &self.state {
            State::Waiting => None,
            State::Attaching(a) | State::Attached(a) => Some(a),
        }
    }

    fn requested(&self) -> Option<&Requested> {
        match &self.origin {
            Origin::File => None,
            Origin::Request(requested) => Some(requested),
        }
    }

    fn requested_mut(&mut self) -> Option<&mut Requested> {
        match &mut self.origin {
            Origin::File => None,
            Origin::Request(requested) => Some(requested),
        }
    }
}

impl Endpoints {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let withdrawn = self.detaching.values().filter_map(Detaching::deadline).min();
        withdrawn.into_iter().chain(self.requests.next_timeout()).min()
    }

    /// A route that an earlier run left leads to a container's address.
    pub(super) fn remember_route(&mut self, key: &RouteKey, route: &Route) {
        if let RouteTarget::Link { link, via: None } = &route.target
            && key.ns == Ns::HOST
            && key.prefix.prefix_len() == key.prefix.max_prefix_len()
        {
            let found = self.routes_found.entry(link.clone()).or_default();
            match key.prefix.addr() {
                IpAddr::V4(a) => found.v4 = Some(a),
                IpAddr::V6(a) => found.v6 = Some(a),
            }
        }
    }

    /// A link that an earlier run left names its endpoint.
    pub(super) fn remember_link(&mut self, link: &LinkState) {
        if let Some(name) = link.alias.as_deref().and_then(objects::endpoint_of_alias) {
            self.links_found.insert(name, link.name.clone());
        }
    }

    /// On a bridge, an earlier run left who is behind which port, and which address that one has.
    pub(super) fn remember_neighbour(&mut self, object: &Object) {
        match object {
            Object::Fdb(FdbKey { link, mac, target: FdbTarget::Port }) => {
                if let Some(v4) = objects::address_of_mac(*mac) {
                    self.routes_found.entry(link.clone()).or_default().v4 = Some(v4);
                    self.ports_found.insert(link.clone(), *mac);
                }
            }
            Object::Neighbour(Ns::HOST, _, IpAddr::V6(v6), mac) => drop(self.macs_found.insert(*mac, *v6)),
            _ => {}
        }
    }

    fn last_addresses(&self, endpoint: &ScopedName) -> Assigned {
        let Some(link) = self.links_found.get(endpoint) else { return Assigned::default() };
        let found = self.routes_found.get(link).copied().unwrap_or_default();
        let by_port = self.ports_found.get(link).and_then(|mac| self.macs_found.get(mac));
        Assigned { v6: found.v6.or(by_port.copied()), ..found }
    }

    /// The container that a kernel object belongs to.
    pub(super) fn of(&self, key: &Key) -> Option<&ScopedName> {
        match key {
            Key::Link(Ns::HOST, link) | Key::Address(Ns::HOST, link, _) => self.by_outer.get(link),
            Key::Neighbour(Ns::HOST, _, address) => self.by_address.get(address),
            Key::Fdb(FdbKey { link, .. }) | Key::Qdisc(link) | Key::Redirect(link) => self.by_outer.get(link),
            Key::Link(ns, _) | Key::Address(ns, ..) | Key::Neighbour(ns, ..) => self.inside(*ns, key),
            Key::Route(route) if route.ns != Ns::HOST => self.inside(route.ns, key),
            Key::Route(route) => self.by_address.get(&route.prefix.addr()),
            Key::Sysctl(..)
            | Key::NextHop(_)
            | Key::Table(_)
            | Key::Chain(_)
            | Key::Set(_)
            | Key::Element(..) => None,
        }
    }

    /// The container that an object in a namespace belongs to.
    pub(super) fn inside(&self, ns: Ns, key: &Key) -> Option<&ScopedName> {
        let mut users = self.entered.users(ns);
        let first = users.next()?;
        let has = |name: &&ScopedName| {
            let attachment = self.all.get(*name).and_then(Endpoint::attachment);
            attachment.is_some_and(|a| a.keys.contains(key))
        };
        // Mostly it is the only one.
        match users.next() {
            None => Some(first),
            Some(_) => self.entered.users(ns).find(has),
        }
    }

    /// Containers with published ports.
    fn publishers(&self) -> impl Iterator<Item = &Endpoint> {
        self.publishing.iter().filter_map(|name| self.all.get(name))
    }

    /// The container that the host routes an address to.
    pub(super) fn at(&self, address: IpAddr) -> Option<&ScopedName> {
        self.by_address.get(&address)
    }

    /// Whether the watcher has still to say what is at some container's path.
    pub(super) fn has_unseen(&self) -> bool {
        !self.unseen.is_empty()
    }

    /// Whether the container's namespace is there.
    pub(super) fn is_present(&self, endpoint: &Endpoint) -> bool {
        self.namespaces.get(&endpoint.spec.netns).is_some_and(Option::is_some)
    }

    /// Whether some container has published ports.
    pub(super) fn is_publishing(&self) -> bool {
        !self.publishing.is_empty()
    }

    /// Whether something of a network's containers is still in the kernel, on its way out.
    pub(super) fn is_leaving(&self, network: &ScopedName) -> bool {
        self.detaching.values().any(|d| d.network == *network)
    }
}

impl Core {
    /// Everything that is a container, at the start: those of the journal have their addresses already, then come
    /// fixed ones, which must not be given to somebody else, then those that had one before.
    pub(super) fn start_endpoints(&mut self, now: Instant) {
        self.restore_requests(now);
        let specs = self.config.endpoints.clone();
        self.add_file_endpoints(specs, now);
    }

    fn add_file_endpoints(&mut self, mut specs: Vec<petiole_config::model::Endpoint>, now: Instant) {
        specs.sort_by_key(|s| {
            let fixed = s.address.is_some() || s.address6.is_some();
            (!fixed, self.endpoints.last_addresses(&s.id) == Assigned::default())
        });
        for spec in specs {
            let name = spec.id.clone();
            self.insert(spec, Origin::File);
            self.assign(&name, now);
            self.try_attach(&name);
        }
        self.sweep_local();
    }

    fn insert(&mut self, spec: petiole_config::model::Endpoint, origin: Origin) {
        let outer = objects::outer(&spec.id);
        for link in [outer.clone(), objects::ifb(&outer)] {
            self.endpoints.by_outer.insert(link, spec.id.clone());
        }
        let at_path = self.endpoints.by_path.entry(spec.netns.clone()).or_default();
        if at_path.is_empty() {
            self.effects.push_back(Effect::Watch(spec.netns.clone()));
            self.endpoints.unseen.insert(spec.netns.clone());
        }
        at_path.insert(spec.id.clone());
        if !spec.publish.is_empty() {
            self.endpoints.publishing.insert(spec.id.clone());
        }
        let endpoint = Endpoint { outer, assigned: Err(String::new()), state: State::Waiting, spec, origin };
        self.endpoints.all.insert(endpoint.spec.id.clone(), endpoint);
    }

    /// Forgets a container that stands no more, or is on its way out.
    fn forget(&mut self, name: &ScopedName) -> Option<Endpoint> {
        let endpoint = self.endpoints.all.remove(name)?;
        if let (false, Ok(assigned)) = (self.endpoints.detaching.contains_key(name), &endpoint.assigned) {
            // It may have been entered although it was never attached.
            self.leave_groups(name, *assigned);
        }
        self.endpoints.unassigned.remove(name);
        self.endpoints.publishing.remove(name);
        self.endpoints.by_outer.remove(&endpoint.outer);
        self.endpoints.by_outer.remove(&objects::ifb(&endpoint.outer));
        let path = &endpoint.spec.netns;
        if let Some(at_path) = self.endpoints.by_path.get_mut(path) {
            at_path.remove(name);
            if at_path.is_empty() {
                self.endpoints.by_path.remove(path);
                self.endpoints.namespaces.remove(path);
                self.endpoints.unseen.remove(path);
                self.effects.push_back(Effect::Unwatch(path.clone()));
            }
        }
        Some(endpoint)
    }

    /// Gives a container its addresses, if it has none yet.
    fn assign(&mut self, name: &ScopedName, now: Instant) {
        let last = self.endpoints.last_addresses(name);
        let unix = self.unix(now);
        let Some(endpoint) = self.endpoints.all.get(name) else { return };
        if endpoint.assigned.is_ok() {
            return;
        }
        let spec = &endpoint.spec;
        let Some(network) = self.config.network(&spec.network) else { return };
        let want = Want {
            endpoint: name,
            network,
            group: spec.group.as_ref().and_then(|g| self.config.group(g)),
            groups: &self.config.groups,
            wish: Assigned { v4: spec.address, v6: spec.address6 },
            last,
        };
        let fabric = Fabric::new(&self.speaker, &self.origination, &self.config);
        let elsewhere = |address: IpAddr| fabric.is_elsewhere(network, address);
        let assigned = self.endpoints.ipam.assign(&want, &elsewhere, unix).map_err(|e| e.to_string());
        if assigned.is_ok() {
            self.endpoints.unassigned.remove(name);
        } else {
            self.endpoints.unassigned.insert(name.clone());
        }
        let Some(endpoint) = self.endpoints.all.get_mut(name) else { return };
        if let Err(error) = &assigned
            && endpoint.assigned.as_ref().is_err_and(String::is_empty)
        {
            // Once; it is tried again every second, and `show endpoints` has the latest word.
            tracing::error!(endpoint = %name, "{error}");
        }
        endpoint.assigned = assigned;
        // Of a new one the record is still to be written; an older one's has other addresses.
        if endpoint.assigned.is_ok()
            && endpoint.requested().is_some_and(|r| r.durable)
            && let Some(record) = self.record(name)
        {
            self.commit(vec![Write::PutEndpoint(Box::new(record))], None);
        }
    }

    /// Ports of the host that containers are to have which do not stand yet: those of the file, and those of the
    /// journal.
    pub(crate) fn unattached_ports(&self) -> Vec<(ScopedName, WantedPort)> {
        let of_file = self.config.endpoints.iter().map(|e| (e.id.clone(), e.publish.clone()));
        let of_journal = self.endpoints.requests.stored_ports();
        let at_run_time = self.endpoints.publishers().filter(|e| e.requested().is_some());
        let stands =
            |name: &ScopedName| self.endpoints.all.get(name).is_some_and(|e| e.attachment().is_some());
        of_file
            .chain(of_journal)
            .chain(at_run_time.map(|e| (e.spec.id.clone(), e.spec.publish.clone())))
            .filter(|(name, _)| !stands(name))
            .flat_map(|(name, publish)| {
                let wanted =
                    publish.into_iter().map(|p| WantedPort::published(&name, &p)).collect::<Vec<_>>();
                wanted.into_iter().map(move |wanted| (name.clone(), wanted))
            })
            .collect()
    }

    /// These containers must not be attached, because a process of the host has a port that they publish: it would get
    /// no connection any more. Others may.
    pub(crate) fn block(&mut self, blocked: BTreeMap<ScopedName, String>) {
        for (name, why) in &blocked {
            if self.endpoints.blocked.get(name) != Some(why) {
                tracing::error!(endpoint = %name, "not attached: {why}");
            }
        }
        for name in std::mem::replace(&mut self.endpoints.blocked, blocked).into_keys() {
            self.try_attach(&name);
        }
    }

    /// Why a container must not be attached now, if so.
    pub(super) fn blocked(&self, name: &ScopedName) -> Option<&String> {
        self.endpoints.blocked.get(name)
    }

    /// Takes addresses back. What is on its way to their former owner must not reach the next one.
    fn release(
        &mut self,
        name: &ScopedName,
        network: &ScopedName,
        addresses: Assigned,
        keep: Assigned,
        now: Instant,
    ) {
        let unix = self.unix(now);
        self.endpoints.ipam.release(name, network, addresses, keep, unix);
        let released: Vec<IpAddr> = addresses.iter().filter(|a| !keep.contains(*a)).collect();
        if !released.is_empty() {
            let flush = petiole_fib::model::Command::FlushConnections(released);
            self.effects.push_back(Effect::Kernel(flush));
        }
    }

    /// A namespace appeared at a path, was exchanged for another, or went away. The first word on each path comes
    /// even if nothing is there.
    pub(crate) fn namespace(&mut self, path: &Path, identity: Option<NamespaceId>, now: Instant) {
        let Some(here) = self.endpoints.by_path.get(path).cloned() else {
            self.namespace_of_detaching(path, now);
            return;
        };
        self.endpoints.namespaces.insert(path.to_path_buf(), identity);
        self.endpoints.unseen.remove(path);
        self.namespace_of_detaching(path, now);
        for name in here {
            let Some(endpoint) = self.endpoints.all.get(&name) else { continue };
            let stands = endpoint.attachment().map(|a| a.identity);
            if endpoint.requested().is_some_and(|r| Some(r.namespace) != identity) {
                self.remove_requested(&name, false, Vec::new(), now);
                continue;
            }
            if stands.is_some() && stands != identity {
                self.detach(&name, false, now);
            }
            self.try_attach(&name);
        }
        self.sweep_local();
    }

    /// When all containers have been looked for, what an earlier run left for others goes.
    fn sweep_local(&mut self) {
        if !self.endpoints.local_swept && self.endpoints.unseen.is_empty() {
            self.endpoints.local_swept = true;
            self.fib.sweep(Scope::Local);
        }
    }

    /// The kernel thread could not enter a namespace; the watcher will say what is at the path now.
    pub(super) fn namespace_lost(&mut self, ns: Ns, why: &str) {
        for name in self.endpoints.entered.users(ns) {
            tracing::debug!(endpoint = %name, "namespace lost: {why}");
        }
        self.endpoints.entered.lost(ns);
    }
}
