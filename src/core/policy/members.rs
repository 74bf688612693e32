//! Who is in which group: containers of this host, and what the fabric says of others.
//!
//! A container's group is known to the kernel before the container has its address, and until that is gone: there is no
//! moment in which a protected container is open. What the fabric says goes with its route.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use petiole_config::{
    HostConfig,
    model::{Endpoint, ScopedName},
};
use petiole_fib::{
    acl::{self, AclTable, Known, Scope},
    model::{Command, Key, Ns, Object},
};

use super::{Compiled, hits::Hits};
use crate::core::{BATCHES, Core, Effect, elsewhere, ipam::Assigned, objects::sysctl};

/// What the fabric says may change often; connections are looked through at most so often for that.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Who is in which group, and what is wanted in the kernel for that.
#[derive(Debug, Default)]
pub(in crate::core) struct Members {
    pub(super) compiled: Compiled,
    /// The compiled table, with members.
    pub(in crate::core) table: Arc<AclTable>,
    /// What is wanted in the kernel for the configuration.
    wanted: HashSet<Key>,
    /// Containers of this host that are members of something, or known to be of nothing.
    pub(super) local: HashMap<(Scope, IpAddr), Local>,
    /// What host routes say: the number of a group, or [`elsewhere::NO_GROUP`].
    pub(super) remote: HashMap<IpAddr, u32>,
    /// Of these, what an earlier run has left in the kernel and no route has confirmed yet.
    pub(super) provisional: HashSet<IpAddr>,
    /// Host routes into networks with groups that do not say anything.
    pub(in crate::core) silent: HashSet<IpAddr>,
    /// Containers that wait for their groups to be known to the kernel.
    pub(in crate::core) guarded: BTreeMap<ScopedName, Vec<Key>>,
    /// Connections that came to be under other rules may have to end.
    pub(in crate::core) review: Option<Instant>,
    /// What somebody else has taken out of the kernel's tables and is not back yet: meanwhile connections may have begun.
    lost: HashSet<Key>,
    /// So many have ended since the start.
    pub(in crate::core) ended: u64,
    reviewed: Option<Instant>,
    reviewing: bool,
    /// How often rules have decided.
    pub(in crate::core) hits: Hits,
}

/// A container's place in the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::core) struct Local {
    pub(in crate::core) endpoint: ScopedName,
    pub(in crate::core) group: Option<ScopedName>,
    dscp: Option<u8>,
}

impl Members {
    /// What is known of an address, if somebody told.
    fn known(&mut self, scope: Scope, address: IpAddr) -> Option<Known> {
        if !self.compiled.needed {
            return None;
        }
        if let Some(local) = self.local.get(&(scope, address)) {
            let group = local.group.clone();
            return Some(self.compiled.member(scope, address, group.as_ref()));
        }
        let number = *self.remote.get(&address).filter(|_| scope == Scope::ROUTED)?;
        let group = self.compiled.groups.get(&number).cloned();
        // Of a group that no rule here can name: as good as none.
        Some(self.compiled.member(scope, address, group.as_ref()))
    }
}

impl Core {
    /// Brings the policies in line with the configuration.
    pub(in crate::core) fn reconfigure_policy(&mut self, now: Instant) {
        let compiled = Compiled::new(&self.config);
        let members = &mut self.members;
        let mut wanted = HashSet::new();
        if compiled.needed {
            let mut objects = acl::program(&compiled.table, compiled.dscps.iter().copied());
            // TCP begins with SYN. Else a packet in the middle of a connection that has ended for a new rule would begin
            // one, and if it is the answerer's, in the direction that the rule is not about.
            objects.push(sysctl(Ns::HOST, "net/netfilter/nf_conntrack_tcp_loose", "0"));
            objects.extend(acl::elements(&compiled.table));
            for object in objects {
                wanted.insert(object.key());
                self.fib.want(object);
            }
        }
        let before = std::mem::replace(&mut members.wanted, wanted);
        for key in before.difference(&members.wanted) {
            self.fib.unwant(key);
        }
        let old = std::mem::replace(&mut members.compiled, compiled);
        let mut table = members.compiled.table.clone();
        std::mem::swap(&mut table.members, &mut Arc::make_mut(&mut members.table).members);
        let changed = old.table != members.compiled.table;
        let regrouped = (&old.grouped, &old.scopes) != (&members.compiled.grouped, &members.compiled.scopes);
        members.table = Arc::new(table);
        // Their scopes may be others now.
        let before: Vec<(Scope, IpAddr)> = members.table.members.keys().copied().collect();
        let local = std::mem::take(&mut members.local);
        for (key, local) in local {
            self.fib.unwant(&marking_key(key.0, key.1));
            let assigned = match key.1 {
                IpAddr::V4(a) => Assigned { v4: Some(a), v6: None },
                IpAddr::V6(a) => Assigned { v4: None, v6: Some(a) },
            };
            if let Some(spec) = self.endpoints.all.get(&local.endpoint).map(|e| e.spec.clone()) {
                self.enter_local(&spec, assigned);
            } else {
                // On its way out: it keeps what it has, as far as that still means something.
                self.members.local.insert(key, local);
            }
        }
        // Those that stood before anybody asked what they are: the first policy of their network has come.
        let standing = self.endpoints.all.values();
        let standing: Vec<(Endpoint, Assigned)> =
            standing.filter_map(|e| Some((e.spec.clone(), e.attachment()?.wiring.addresses))).collect();
        for (spec, addresses) in standing {
            self.enter_local(&spec, addresses);
        }
        let remote: Vec<IpAddr> = self.members.remote.keys().copied().collect();
        let all = self.members.local.keys().copied().chain(remote.into_iter().map(|a| (Scope::ROUTED, a)));
        let all: HashSet<(Scope, IpAddr)> = all.chain(before).collect();
        for (scope, address) in all {
            self.want_member(scope, address);
        }
        // What was lost and is not wanted any more never comes back.
        let lost = !std::mem::take(&mut self.members.lost).is_empty();
        if changed || lost {
            self.members.review = Some(now);
        }
        if regrouped {
            // Which routes should name a group is another question now: they are gone through once more.
            self.members.silent.clear();
            self.speaker.reinstall_routes();
        }
    }

    /// Wants in the kernel what is known of an address, or nothing.
    fn want_member(&mut self, scope: Scope, address: IpAddr) {
        if let Some(known) = self.members.known(scope, address) {
            let members = &mut self.members;
            if members.table.members.get(&(scope, address)) != Some(&known) {
                Arc::make_mut(&mut members.table).members.insert((scope, address), known);
            }
            self.fib.want(acl::member(scope, address, known));
        } else {
            if self.members.table.members.contains_key(&(scope, address)) {
                Arc::make_mut(&mut self.members.table).members.remove(&(scope, address));
            }
            self.fib.unwant(&acl::member(scope, address, Known::default()).key());
        }
    }

    /// Notes what a container is, and wants it in the kernel. The keys of that.
    fn enter_local(&mut self, spec: &Endpoint, addresses: Assigned) -> Vec<Key> {
        if !self.members.compiled.grouped.contains(&spec.network) {
            return Vec::new();
        }
        let scope = self.members.compiled.scope(&spec.network);
        let dscp = dscp_of(&self.config, spec);
        let mut keys = Vec::new();
        for address in addresses.iter() {
            let local = Local { endpoint: spec.id.clone(), group: spec.group.clone(), dscp };
            self.members.local.insert((scope, address), local);
            self.want_member(scope, address);
            keys.push(acl::member(scope, address, Known::default()).key());
            if let Some(dscp) = dscp {
                let object = acl::marking(scope, address, dscp);
                keys.push(object.key());
                self.fib.want(object);
            }
        }
        keys
    }

    /// Whether the kernel knows what a container is, so that it may have its address. If not, that has been asked for.
    pub(in crate::core) fn is_guarded(&mut self, spec: &Endpoint, addresses: Assigned) -> bool {
        let keys = self.enter_local(spec, addresses);
        if keys.iter().all(|key| self.fib.settled(key)) {
            self.members.guarded.remove(&spec.id);
            return true;
        }
        self.members.guarded.insert(spec.id.clone(), keys);
        false
    }

    /// A container's address is gone: what it was is forgotten.
    pub(in crate::core) fn leave_groups(&mut self, endpoint: &ScopedName, addresses: Assigned) {
        self.members.guarded.remove(endpoint);
        for address in addresses.iter() {
            let of_it = |(key, local): (&(Scope, IpAddr), &Local)| {
                (key.1 == address && local.endpoint == *endpoint).then_some(*key)
            };
            let keys: Vec<(Scope, IpAddr)> = self
                .members
                .scopes_of(address)
                .filter_map(|key| self.members.local.get_key_value(&key).and_then(of_it))
                .collect();
            for (scope, address) in keys {
                self.members.local.remove(&(scope, address));
                self.fib.unwant(&marking_key(scope, address));
                self.want_member(scope, address);
            }
        }
    }

    /// What the fabric says of a prefix has changed: the label of its route, 0 if there is none.
    pub(in crate::core) fn remote_member(&mut self, prefix: IpNet, label: u32, routed: bool, now: Instant) {
        if prefix.prefix_len() != prefix.max_prefix_len() {
            return;
        }
        let address = prefix.addr();
        let before = match label {
            0 => self.members.remote.remove(&address),
            label => self.members.remote.insert(address, label),
        };
        self.members.provisional.remove(&address);
        if label == 0 && routed && self.is_grouped(address) {
            self.members.silent.insert(address);
        } else if !self.members.silent.is_empty() {
            self.members.silent.remove(&address);
        }
        if before.unwrap_or(0) == label || !self.members.compiled.needed {
            return;
        }
        self.want_member(Scope::ROUTED, address);
        let after = self.members.reviewed.map_or(now, |last| now.max(last + AGAIN_AFTER));
        self.members.review.get_or_insert(after);
    }

    /// Whether host routes into the address's network are expected to name a group. What is routed to an address of a
    /// network that the host does not route to is about somebody else's.
    fn is_grouped(&self, address: IpAddr) -> bool {
        let compiled = &self.members.compiled;
        let expects = |id: &ScopedName| compiled.grouped.contains(id) && !compiled.scopes.contains_key(id);
        self.config.networks.iter().filter(|n| expects(&n.id)).any(|n| match address {
            IpAddr::V4(a) => n.v4.as_ref().is_some_and(|s| s.net.contains(&a)),
            IpAddr::V6(a) => n.v6.as_ref().is_some_and(|s| s.net.contains(&a)),
        })
    }

    /// An element that an earlier run left says who a host elsewhere said is in which group: it holds until the fabric
    /// has had its time to say it again.
    pub(in crate::core) fn remember_member(&mut self, object: &Object) {
        if let Some((Scope::ROUTED, address, known)) = acl::member_of(object) {
            let number = if known.group == 0 { elsewhere::NO_GROUP } else { known.group };
            self.members.remote.insert(address, number);
            self.members.provisional.insert(address);
        }
    }

    /// What the fabric has not said again by now is not so any more.
    pub(in crate::core) fn forget_provisional(&mut self, now: Instant) {
        let forgotten = std::mem::take(&mut self.members.provisional);
        if !forgotten.is_empty() {
            self.members.review.get_or_insert(now);
        }
        for address in forgotten {
            self.members.remote.remove(&address);
            self.want_member(Scope::ROUTED, address);
        }
    }

    /// Somebody else has taken something out of the kernel.
    pub(in crate::core) fn policy_object_lost(&mut self, key: &Key) {
        let of_tables = matches!(key, Key::Table(..) | Key::Chain(..) | Key::Set(..) | Key::Element(..));
        if of_tables && self.members.compiled.needed {
            self.members.lost.insert(key.clone());
        }
    }

    /// It may be that something is back.
    pub(in crate::core) fn policy_object_settled(&mut self, key: &Key, now: Instant) {
        if !self.members.lost.is_empty() && self.members.lost.remove(key) && self.members.lost.is_empty() {
            self.members.review.get_or_insert(now);
        }
    }

    /// When the connections are to be looked through, unless something that will be told of comes first: the answer of the
    /// kernel thread, or, at the start, what is at the containers' paths. Whose group is not known yet would be
    /// judged as somebody of no group, and lose connections that are his right.
    pub(in crate::core) fn next_review(&self) -> Option<Instant> {
        let waits = self.members.reviewing
            || self.batches >= BATCHES
            || self.endpoints.has_unseen()
            || (self.stopping && self.clearing.is_none());
        self.members.review.filter(|_| !waits)
    }

    /// Has the connections looked through that may be forbidden now, when it is time and the kernel has been told all.
    pub(in crate::core) fn review_connections(&mut self, now: Instant) {
        let due = self.next_review().is_some_and(|at| at <= now);
        if due && self.members.compiled.needed {
            self.members.reviewing = true;
            self.members.reviewed = Some(now);
            let table = self.members.table.clone();
            self.effects.push_back(Effect::Kernel(Command::EndConnections(table)));
        }
        if due {
            self.members.review = None;
        }
    }

    /// That has been done.
    pub(in crate::core) fn connections_ended(&mut self, count: usize) {
        self.members.reviewing = false;
        self.members.ended += count as u64;
        if count > 0 {
            tracing::info!(count, "connections ended that the policies forbid now");
        }
    }
}

impl Members {
    /// The scopes of networks that the host does not route to.
    #[cfg(test)]
    pub(in crate::core) fn compiled_scopes(&self) -> impl Iterator<Item = Scope> {
        self.compiled.scopes.values().copied()
    }

    /// Rules by number, with their names in words.
    #[cfg(test)]
    pub(in crate::core) fn rules(&self) -> impl Iterator<Item = (u32, String)> {
        self.compiled.rules.iter().map(|(number, name)| (*number, name.to_string()))
    }

    /// Whether anything has to be judged or marked at all.
    pub(in crate::core) fn is_needed(&self) -> bool {
        self.compiled.needed
    }

    /// Whether policies hold for containers of the network.
    pub(in crate::core) fn is_judged(&self, network: &ScopedName) -> bool {
        self.compiled.grouped.contains(network)
    }

    /// Where a local address may be entered.
    fn scopes_of(&self, address: IpAddr) -> impl Iterator<Item = (Scope, IpAddr)> + use<> {
        let scopes: Vec<Scope> = self.compiled.scopes.values().copied().chain([Scope::ROUTED]).collect();
        scopes.into_iter().map(move |scope| (scope, address))
    }
}

fn dscp_of(config: &HostConfig, spec: &Endpoint) -> Option<u8> {
    let group = config.group(spec.group.as_ref()?)?;
    Some(config.profile(group.profile.as_ref()?)?.dscp?.get())
}

fn marking_key(scope: Scope, address: IpAddr) -> Key {
    acl::marking(scope, address, 0).key()
}
