//! Containers: from the namespace that appears to the prefix that is announced, and back.
//!
//! Knows the order: attach, wait for the kernel, announce; withdraw, wait for the peers, detach.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use petiole_config::model::{Advertise, HostConfig, ScopedName};
use petiole_fib::{
    model::{Command, IfName, KernelError, Key, LinkState, Ns, Route, RouteKey, RouteTarget},
    plan::Scope,
};

use super::{
    Core, Effect,
    addresses::{Addresses, Assigned},
    objects::{self, Wiring},
    sessions,
};

/// A withdrawal that no peer takes must not keep a container's link for ever.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(1);

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
    pub(super) addresses: Addresses,
    by_outer: HashMap<IfName, ScopedName>,
    by_ns: HashMap<Ns, ScopedName>,
    /// Which namespace is at a path now; absent: not looked yet.
    namespaces: BTreeMap<PathBuf, Option<NamespaceId>>,
    detaching: Vec<Detaching>,
    /// Those in the state of that name.
    attaching: BTreeSet<ScopedName>,
    last_ns: u32,
    /// What earlier runs left: the address behind a host-side link, the endpoint that a link's mark names.
    routes_found: HashMap<IfName, Assigned>,
    links_found: HashMap<ScopedName, IfName>,
    local_swept: bool,
}

/// One container.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) spec: petiole_config::model::Endpoint,
    pub(super) outer: IfName,
    /// Its addresses, or why it has none.
    pub(super) assigned: Result<Assigned, String>,
    pub(super) state: State,
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
    keys: BTreeSet<Key>,
    /// The kernel's latest refusal, by object.
    pub(super) problems: BTreeMap<Key, String>,
}

/// An attachment on its way out. Until it is gone its addresses are nobody else's, and its endpoint is not attached
/// anew: the kernel's keys would be the same.
#[derive(Debug)]
struct Detaching {
    endpoint: ScopedName,
    path: PathBuf,
    wiring: Wiring,
    /// The namespace is still there, so objects in it are taken away one by one.
    alive: bool,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The peers are being told; at the latest then the next step begins.
    Withdrawing(Instant),
    /// The kernel's objects are being taken away.
    Removing,
}

impl Endpoint {
    pub(super) fn attachment(&self) -> Option<&Attachment> {
        match &self.state {
            State::Waiting => None,
            State::Attaching(a) | State::Attached(a) => Some(a),
        }
    }
}

impl Endpoints {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let deadlines = self.detaching.iter().filter_map(|d| match d.step {
            Step::Withdrawing(deadline) => Some(deadline),
            Step::Removing => None,
        });
        deadlines.min()
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

    fn last_addresses(&self, endpoint: &ScopedName) -> Assigned {
        self.links_found
            .get(endpoint)
            .and_then(|link| self.routes_found.get(link))
            .copied()
            .unwrap_or_default()
    }

    /// The container that a kernel object belongs to.
    pub(super) fn of(&self, key: &Key) -> Option<&ScopedName> {
        match key {
            Key::Link(Ns::HOST, link)
            | Key::Address(Ns::HOST, link, _)
            | Key::Neighbour(Ns::HOST, link, _) => self.by_outer.get(link),
            Key::Link(ns, _) | Key::Address(ns, ..) | Key::Neighbour(ns, ..) => self.by_ns.get(ns),
            Key::Route(route) if route.ns != Ns::HOST => self.by_ns.get(&route.ns),
            Key::Route(route) => self.addresses.owner(route.prefix.addr()),
            Key::Sysctl(..) | Key::NextHop(_) => None,
        }
    }

    /// The name of the container behind a namespace.
    pub(super) fn of_ns(&self, ns: Ns) -> Option<&ScopedName> {
        self.by_ns.get(&ns)
    }
}

impl Core {
    /// Everything in the config that is a container, at the start. Fixed addresses first: they must not be given to
    /// somebody else; then those that had one before.
    pub(super) fn start_endpoints(&mut self) {
        let specs = self.config.endpoints.clone();
        self.add_endpoints(specs);
    }

    fn add_endpoints(&mut self, mut specs: Vec<petiole_config::model::Endpoint>) {
        specs.sort_by_key(|s| {
            let fixed = s.address.is_some() || s.address6.is_some();
            (!fixed, self.endpoints.last_addresses(&s.id) == Assigned::default())
        });
        for spec in specs {
            let outer = objects::outer_name(&spec.id);
            self.endpoints.by_outer.insert(outer.clone(), spec.id.clone());
            let endpoint = Endpoint { outer, assigned: Err(String::new()), state: State::Waiting, spec };
            let name = endpoint.spec.id.clone();
            self.endpoints.all.insert(name.clone(), endpoint);
            self.assign(&name);
            self.try_attach(&name);
        }
        self.watch_namespaces();
        self.sweep_local();
    }

    fn watch_namespaces(&mut self) {
        let paths: BTreeSet<PathBuf> = self.endpoints.all.values().map(|e| e.spec.netns.clone()).collect();
        self.endpoints.namespaces.retain(|path, _| paths.contains(path));
        self.effects.push_back(Effect::WatchNamespaces(paths));
    }

    /// Gives a container its addresses, if it has none yet.
    fn assign(&mut self, name: &ScopedName) {
        let last = self.endpoints.last_addresses(name);
        let Some(endpoint) = self.endpoints.all.get_mut(name) else { return };
        if endpoint.assigned.is_ok() {
            return;
        }
        let Some(network) = self.config.network(&endpoint.spec.network) else { return };
        let wish = Assigned { v4: endpoint.spec.address, v6: endpoint.spec.address6 };
        let assigned = self.endpoints.addresses.assign(name, network, wish, last).map_err(|e| e.to_string());
        if let Err(error) = &assigned
            && endpoint.assigned.as_ref() != Err(error)
        {
            tracing::error!(endpoint = %name, "{error}");
        }
        endpoint.assigned = assigned;
    }

    /// A namespace appeared at a path, was exchanged for another, or went away. The first word on each path comes
    /// even if nothing is there.
    pub(crate) fn namespace(&mut self, path: &Path, identity: Option<NamespaceId>, now: Instant) {
        self.endpoints.namespaces.insert(path.to_path_buf(), identity);
        for d in self.endpoints.detaching.iter_mut().filter(|d| d.path == path) {
            d.alive = false;
        }
        self.finish_detaching(now);
        let here: Vec<ScopedName> =
            self.endpoints.all.values().filter(|e| e.spec.netns == path).map(|e| e.spec.id.clone()).collect();
        for name in here {
            let stands = self.endpoints.all.get(&name).and_then(Endpoint::attachment).map(|a| a.identity);
            if stands.is_some() && stands != identity {
                self.detach(&name, false, now);
            }
            self.try_attach(&name);
        }
        self.sweep_local();
    }

    /// When all containers of the config have been looked for, what an earlier run left for others goes.
    fn sweep_local(&mut self) {
        let known = |e: &Endpoint| self.endpoints.namespaces.contains_key(&e.spec.netns);
        if !self.endpoints.local_swept && self.endpoints.all.values().all(known) {
            self.endpoints.local_swept = true;
            self.fib.sweep(Scope::Local);
        }
    }

    /// The kernel thread could not enter a namespace; the watcher will say what is at the path now.
    pub(super) fn namespace_lost(&mut self, ns: Ns, why: &str) {
        if let Some(name) = self.endpoints.by_ns.get(&ns) {
            tracing::debug!(endpoint = %name, "namespace lost: {why}");
        }
    }

    /// Attaches a container if it is waiting for nothing but that.
    fn try_attach(&mut self, name: &ScopedName) {
        if self.endpoints.detaching.iter().any(|d| d.endpoint == *name) {
            return;
        }
        let mtu = self.mtu();
        let Some(endpoint) = self.endpoints.all.get_mut(name) else { return };
        let (State::Waiting, Ok(addresses)) = (&endpoint.state, &endpoint.assigned) else { return };
        let Some(Some(identity)) = self.endpoints.namespaces.get(&endpoint.spec.netns) else { return };
        let Some(network) = self.config.network(&endpoint.spec.network) else { return };
        self.endpoints.last_ns += 1;
        let ns = Ns(self.endpoints.last_ns);
        let wiring = Wiring {
            ns,
            endpoint: name.clone(),
            inner: objects::if_name(&endpoint.spec.interface),
            outer: endpoint.outer.clone(),
            addresses: *addresses,
            gateway4: network.v4.as_ref().and_then(|s| s.gateway).unwrap_or(std::net::Ipv4Addr::UNSPECIFIED),
            gateway6: network.v6.as_ref().and_then(|s| s.gateway).unwrap_or(std::net::Ipv6Addr::UNSPECIFIED),
            mtu,
        };
        self.effects.push_back(Effect::Kernel(Command::Namespace { ns, path: endpoint.spec.netns.clone() }));
        self.fib.watch_ns(ns);
        let mut keys = BTreeSet::new();
        for object in objects::container(&wiring) {
            let key = object.key();
            // Sysctls harden; a kernel or a container that lacks one does not make the container unreachable.
            if !matches!(key, Key::Sysctl(..)) {
                keys.insert(key);
            }
            self.fib.want(object);
        }
        self.endpoints.by_ns.insert(ns, name.clone());
        let attachment = Attachment { identity: *identity, wiring, keys, problems: BTreeMap::new() };
        endpoint.state = State::Attaching(attachment);
        self.endpoints.attaching.insert(name.clone());
        self.moved = true;
        tracing::debug!(endpoint = %name, "attaching");
    }

    fn attachment_of(&mut self, key: &Key) -> Option<(ScopedName, &mut Attachment)> {
        let name = self.endpoints.of(key)?.clone();
        match &mut self.endpoints.all.get_mut(&name)?.state {
            State::Attaching(attachment) | State::Attached(attachment) => Some((name, attachment)),
            State::Waiting => None,
        }
    }

    /// The kernel refused an object: whoever asks for the container is told.
    pub(super) fn endpoint_object_failed(&mut self, key: &Key, error: &KernelError) {
        if let Some((_, attachment)) = self.attachment_of(key) {
            attachment.problems.insert(key.clone(), error.to_string());
        }
    }

    /// What was refused before has been done.
    pub(super) fn endpoint_object_settled(&mut self, key: &Key) {
        if let Some((_, attachment)) = self.attachment_of(key) {
            attachment.problems.remove(key);
        }
    }

    /// An object of a container is gone: it is withdrawn until repaired.
    pub(super) fn endpoint_object_lost(&mut self, key: &Key) {
        if let Some((name, _)) = self.attachment_of(key) {
            self.check_endpoint(&name);
        }
    }

    /// Announces the containers that have become complete.
    pub(super) fn check_attaching(&mut self) {
        let names: Vec<ScopedName> = self.endpoints.attaching.iter().cloned().collect();
        for name in names {
            self.check_endpoint(&name);
        }
    }

    /// Announces a container that has become complete; withdraws one that no longer is.
    fn check_endpoint(&mut self, name: &ScopedName) {
        let Some(endpoint) = self.endpoints.all.get_mut(name) else { return };
        let complete = |a: &Attachment| a.keys.iter().all(|k| self.fib.settled(k));
        endpoint.state = match std::mem::replace(&mut endpoint.state, State::Waiting) {
            State::Attaching(a) if complete(&a) => {
                let advertise = self.config.network(&endpoint.spec.network).map(|n| n.advertise);
                if advertise == Some(Advertise::Endpoints) {
                    for prefix in objects::prefixes(a.wiring.addresses) {
                        self.speaker.originate(prefix, &sessions::origination());
                    }
                }
                let addresses: Vec<String> =
                    objects::prefixes(a.wiring.addresses).map(|p| p.addr().to_string()).collect();
                tracing::info!(endpoint = %name, addresses = addresses.join(" "), "attached");
                self.endpoints.attaching.remove(name);
                State::Attached(a)
            }
            State::Attached(a) if !complete(&a) => {
                for prefix in objects::prefixes(a.wiring.addresses) {
                    self.speaker.withdraw(prefix);
                }
                tracing::warn!(endpoint = %name, "incomplete in the kernel: withdrawn until repaired");
                self.endpoints.attaching.insert(name.clone());
                State::Attaching(a)
            }
            same => same,
        };
    }

    /// Whether a container's prefixes are announced now.
    pub(super) fn is_advertised(&self, endpoint: &Endpoint) -> bool {
        let network = self.config.network(&endpoint.spec.network);
        matches!(endpoint.state, State::Attached(_))
            && network.is_some_and(|n| n.advertise == Advertise::Endpoints)
    }

    /// Withdraws a container at once; its objects go when the peers have been told.
    fn detach(&mut self, name: &ScopedName, alive: bool, now: Instant) {
        let Some(endpoint) = self.endpoints.all.get_mut(name) else { return };
        let (wiring, announced) = match std::mem::replace(&mut endpoint.state, State::Waiting) {
            State::Waiting => return,
            State::Attaching(a) => (a.wiring, false),
            State::Attached(a) => (a.wiring, true),
        };
        self.endpoints.attaching.remove(name);
        if announced {
            for prefix in objects::prefixes(wiring.addresses) {
                self.speaker.withdraw(prefix);
            }
        }
        tracing::info!(endpoint = %name, "{}", if alive { "removed" } else { "its namespace is gone" });
        let step = Step::Withdrawing(now + WITHDRAW_TIMEOUT);
        let path = endpoint.spec.netns.clone();
        self.endpoints.detaching.push(Detaching { endpoint: name.clone(), path, wiring, alive, step });
        self.finish_detaching(now);
    }

    /// Takes the attachments that are on their way out one step further: when the peers have been sent the
    /// withdrawal, the objects go; when they are gone, so is the attachment.
    pub(super) fn finish_detaching(&mut self, now: Instant) {
        if self.endpoints.detaching.is_empty() {
            return;
        }
        let told = self.speaker.flushed();
        let mut gone = Vec::new();
        let mut detaching = std::mem::take(&mut self.endpoints.detaching);
        detaching.retain_mut(|d| {
            if matches!(d.step, Step::Withdrawing(deadline) if told || deadline <= now) {
                d.step = Step::Removing;
                for object in objects::container(&d.wiring) {
                    self.fib.unwant(&object.key());
                }
            }
            if d.step != Step::Removing {
                return true;
            }
            if !d.alive {
                self.fib.forget_ns(d.wiring.ns);
            }
            let objects = objects::container(&d.wiring);
            let settled = |key: &Key| matches!(key, Key::Sysctl(..)) || self.fib.settled(key);
            let done = objects.iter().all(|o| settled(&o.key()));
            if done {
                gone.push((d.endpoint.clone(), d.wiring.clone()));
            }
            !done
        });
        self.endpoints.detaching = detaching;
        for (name, wiring) in gone {
            self.fib.forget_ns(wiring.ns);
            self.effects.push_back(Effect::Kernel(Command::Forget(wiring.ns)));
            self.endpoints.by_ns.remove(&wiring.ns);
            let current = self.endpoints.all.get(&name).and_then(|e| e.assigned.clone().ok());
            if current != Some(wiring.addresses) {
                self.endpoints.addresses.release(&name, wiring.addresses, current.unwrap_or_default());
                self.retry_unassigned();
            }
            self.try_attach(&name);
        }
    }

    /// An address that came free may be what another container waits for.
    fn retry_unassigned(&mut self) {
        let waiting: Vec<ScopedName> =
            self.endpoints.all.values().filter(|e| e.assigned.is_err()).map(|e| e.spec.id.clone()).collect();
        for name in waiting {
            self.assign(&name);
            self.try_attach(&name);
        }
    }

    /// The uplinks' MTU may have changed: the containers' links follow.
    pub(super) fn update_mtu(&mut self) {
        let mtu = self.mtu();
        for endpoint in self.endpoints.all.values_mut() {
            let (State::Attaching(a) | State::Attached(a)) = &mut endpoint.state else { continue };
            if a.wiring.mtu != mtu {
                a.wiring.mtu = mtu;
                self.moved = true;
                for object in objects::container(&a.wiring).into_iter().take(2) {
                    self.fib.want(object);
                }
            }
        }
    }

    /// Brings the containers in line with a new config; those that it leaves alone are not touched.
    pub(super) fn reconfigure_endpoints(&mut self, old: &HostConfig, now: Instant) -> String {
        let wanted: BTreeMap<ScopedName, petiole_config::model::Endpoint> =
            self.config.endpoints.iter().map(|e| (e.id.clone(), e.clone())).collect();
        let changed = |e: &Endpoint| {
            let network = &e.spec.network;
            wanted.get(&e.spec.id) != Some(&e.spec) || old.network(network) != self.config.network(network)
        };
        let gone: Vec<ScopedName> =
            self.endpoints.all.values().filter(|e| changed(e)).map(|e| e.spec.id.clone()).collect();
        for name in &gone {
            self.detach(name, true, now);
            if let Some(endpoint) = self.endpoints.all.remove(name) {
                self.endpoints.by_outer.remove(&endpoint.outer);
                let detaching = self.endpoints.detaching.iter().any(|d| d.endpoint == *name);
                if let (false, Ok(assigned)) = (detaching, endpoint.assigned) {
                    self.endpoints.addresses.release(name, assigned, Assigned::default());
                }
            }
        }
        let new: Vec<_> = wanted.into_values().filter(|e| !self.endpoints.all.contains_key(&e.id)).collect();
        let removed = gone.iter().filter(|n| !new.iter().any(|e| e.id == **n)).count();
        let added = new.iter().filter(|e| !gone.contains(&e.id)).count();
        let text = format!("endpoints: {added} added, {removed} removed, {} changed", new.len() - added);
        self.add_endpoints(new);
        self.retry_unassigned();
        text
    }
}
