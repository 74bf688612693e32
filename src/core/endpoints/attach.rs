//! The way in: objects are wanted, the kernel confirms them, the prefixes are announced.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use petiole_bgp::speaker::Origination;
use petiole_config::{
    HostConfig,
    model::{Advertise, ScopedName},
};
use petiole_fib::model::{Command, KernelError, Key, Ns, Object};

use super::{Attachment, Core, Endpoint, State};
use crate::core::{
    Effect, elsewhere,
    objects::{self, Gateways, Limits, Medium, Wiring},
};

/// What a container's routes carry: in a network that has groups, which one it is in.
pub(in crate::core) fn container_origination(
    config: &HostConfig,
    base: &Origination,
    spec: &petiole_config::model::Endpoint,
) -> Origination {
    if !config.groups.iter().any(|group| group.network == spec.network) {
        return base.clone();
    }
    let group = spec.group.as_ref().and_then(|id| config.group(id));
    elsewhere::with_group(base, config.host.asn, group.map_or(elsewhere::NO_GROUP, |g| g.number.get()))
}

impl Core {
    /// Attaches a container if it is waiting for nothing but that.
    pub(super) fn try_attach(&mut self, name: &ScopedName) {
        if self.endpoints.detaching.contains_key(name) || self.endpoints.blocked.contains_key(name) {
            return;
        }
        let Some(endpoint) = self.endpoints.all.get(name) else { return };
        let (State::Waiting, Ok(addresses)) = (&endpoint.state, &endpoint.assigned) else { return };
        let spec = &endpoint.spec;
        let Some(Some(identity)) = self.endpoints.namespaces.get(&spec.netns) else { return };
        if endpoint.requested().is_some_and(|r| r.namespace != *identity) {
            return;
        }
        let (identity, addresses, spec) = (*identity, *addresses, spec.clone());
        if !self.is_guarded(&spec, addresses) {
            self.moved = true;
            return;
        }
        let Some(endpoint) = self.endpoints.all.get(name) else { return };
        let Some(network) = self.config.network(&spec.network) else { return };
        let path = spec.netns.clone();
        let (ns, new) = self.endpoints.entered.enter(identity, name);
        let wiring = Wiring {
            ns,
            endpoint: name.clone(),
            inner: objects::if_name(&spec.interface),
            outer: endpoint.outer.clone(),
            addresses,
            gateways: Gateways::of(network),
            medium: Medium::of(network),
            mtu: self.network_mtu(network),
            publish: spec.publish.clone(),
            limits: Limits::of(&self.config, spec.group.as_ref()),
        };
        if new {
            self.effects.push_back(Effect::Kernel(Command::Namespace { ns, path }));
            self.fib.watch_ns(ns);
        } else {
            // Nobody tells us what happened in there since another container was attached.
            self.fib.audit_ns(ns);
        }
        let objects = objects::container(&wiring);
        let keys = needed(&objects);
        for object in objects {
            self.fib.want(object);
        }
        self.endpoints.by_address.extend(wiring.routed().map(|a| (a, name.clone())));
        self.endpoints.attaching.insert(name.clone());
        if let Some(endpoint) = self.endpoints.all.get_mut(name) {
            endpoint.state =
                State::Attaching(Attachment { identity, wiring, keys, problems: BTreeMap::new() });
        }
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
    pub(in crate::core) fn endpoint_object_failed(
        &mut self,
        key: &Key,
        error: &KernelError,
        attempts: u32,
        now: Instant,
    ) {
        let guarded = self.members.guarded.iter().find(|(_, keys)| keys.contains(key));
        if let Some(name) = guarded.map(|(name, _)| name.clone()) {
            self.request_failed(&name, key, error, attempts, now);
        } else if let Some((name, attachment)) = self.attachment_of(key) {
            attachment.problems.insert(key.clone(), error.to_string());
            self.request_failed(&name, key, error, attempts, now);
        }
    }

    /// What was refused before has been done.
    pub(in crate::core) fn endpoint_object_settled(&mut self, key: &Key) {
        if let Some((_, attachment)) = self.attachment_of(key) {
            attachment.problems.remove(key);
        }
    }

    /// An object of a container is gone: it is withdrawn until repaired.
    pub(in crate::core) fn endpoint_object_lost(&mut self, key: &Key) {
        let Some((name, attachment)) = self.attachment_of(key) else { return };
        // The link goes with the container's namespace, which may have no path that could be watched any more.
        let its_link = matches!(key, Key::Link(Ns::HOST, link) if *link == attachment.wiring.outer);
        self.check_endpoint(&name);
        if its_link && let Some(endpoint) = self.endpoints.all.get(&name) {
            self.effects.push_back(Effect::Look(endpoint.spec.netns.clone()));
        }
    }

    /// Announces the containers that have become complete.
    pub(in crate::core) fn check_attaching(&mut self) {
        let guarded: Vec<ScopedName> = self.members.guarded.keys().cloned().collect();
        for name in guarded {
            self.try_attach(&name);
        }
        let names: Vec<ScopedName> = self.endpoints.attaching.iter().cloned().collect();
        for name in names {
            self.check_endpoint(&name);
        }
    }

    /// Announces a container that has become complete; withdraws one that no longer is.
    fn check_endpoint(&mut self, name: &ScopedName) {
        let Some(endpoint) = self.endpoints.all.get_mut(name) else { return };
        let complete = |a: &Attachment| a.keys.iter().all(|k| self.fib.settled(k));
        // Limits come first, but one that somebody takes away is repaired without a word to the fabric.
        let broken = |a: &Attachment| a.keys.iter().any(|k| !objects::is_limit(k) && !self.fib.settled(k));
        endpoint.state = match std::mem::replace(&mut endpoint.state, State::Waiting) {
            State::Attaching(a) if complete(&a) => {
                let advertise = self.config.network(&endpoint.spec.network).map(|n| n.advertise);
                if advertise == Some(Advertise::Endpoints) {
                    let origination = container_origination(&self.config, &self.origination, &endpoint.spec);
                    for prefix in a.wiring.prefixes() {
                        self.speaker.originate(prefix, &origination);
                    }
                }
                let addresses: Vec<String> = a.wiring.addresses.iter().map(|a| a.to_string()).collect();
                tracing::info!(endpoint = %name, addresses = addresses.join(" "), "attached");
                self.endpoints.attaching.remove(name);
                State::Attached(a)
            }
            State::Attached(a) if broken(&a) => {
                for prefix in a.wiring.prefixes() {
                    self.speaker.withdraw(prefix);
                }
                tracing::warn!(endpoint = %name, "incomplete in the kernel: withdrawn until repaired");
                self.endpoints.attaching.insert(name.clone());
                State::Attaching(a)
            }
            same => same,
        };
        self.answer_if_done(name);
    }

    /// Whether a container's prefixes are announced now.
    pub(in crate::core) fn is_advertised(&self, endpoint: &Endpoint) -> bool {
        let network = self.config.network(&endpoint.spec.network);
        matches!(endpoint.state, State::Attached(_))
            && network.is_some_and(|n| n.advertise == Advertise::Endpoints)
    }

    /// What the networks can carry, or what a group's members are allowed, may have changed: the containers follow, as
    /// they stand.
    pub(in crate::core) fn update_containers(&mut self) {
        let mtus: BTreeMap<&ScopedName, Option<u32>> =
            self.config.networks.iter().map(|n| (&n.id, self.network_mtu(n))).collect();
        for endpoint in self.endpoints.all.values_mut() {
            let (State::Attaching(a) | State::Attached(a)) = &mut endpoint.state else { continue };
            let spec = &endpoint.spec;
            let mtu = mtus.get(&spec.network).copied().unwrap_or(a.wiring.mtu);
            let limits = Limits::of(&self.config, spec.group.as_ref());
            if (a.wiring.mtu, a.wiring.limits) == (mtu, limits) {
                continue;
            }
            let mut leave: BTreeSet<Key> = Self::keys(&a.wiring).into_iter().collect();
            (a.wiring.mtu, a.wiring.limits) = (mtu, limits);
            let objects = objects::container(&a.wiring);
            a.keys = needed(&objects);
            for object in objects {
                leave.remove(&object.key());
                self.fib.want(object);
            }
            for key in leave {
                self.fib.unwant(&key);
                a.problems.remove(&key);
            }
            self.moved = true;
        }
    }

    /// The keys of a container's objects.
    pub(super) fn keys(wiring: &Wiring) -> Vec<Key> {
        objects::container(wiring).iter().map(Object::key).collect()
    }
}

/// The objects without which a container is not attached. Sysctls harden; a kernel or a container that lacks one does not
/// make the container unreachable.
fn needed(objects: &[Object]) -> Vec<Key> {
    objects.iter().map(Object::key).filter(|key| !matches!(key, Key::Sysctl(..))).collect()
}
