//! Containers under a new configuration.

use std::{collections::BTreeMap, time::Instant};

use petiole_config::{
    HostConfig,
    model::{Endpoint as Spec, Network, ScopedName},
};

use super::{Core, Endpoint};
use crate::core::{
    ipam::Assigned,
    objects::{Gateways, Medium},
};

/// Whether a container of the network has to be wired anew.
fn rewires(old: Option<&Network>, new: Option<&Network>) -> bool {
    let shape = |n: &Network| {
        let nets = (n.v4.as_ref().map(|s| s.net), n.v6.as_ref().map(|s| s.net));
        (nets, Gateways::of(n), Medium::of(n), n.advertise)
    };
    old.map(shape) != new.map(shape)
}

impl Core {
    /// Brings the containers in line with a new config; those that it leaves alone are not touched.
    pub(in crate::core) fn reconfigure_endpoints(&mut self, old: &HostConfig, now: Instant) -> String {
        let wanted: BTreeMap<ScopedName, Spec> =
            self.config.endpoints.iter().map(|e| (e.id.clone(), e.clone())).collect();
        let rewired =
            |e: &Endpoint| rewires(old.network(&e.spec.network), self.config.network(&e.spec.network));
        let changed =
            |e: &Endpoint| wanted.get(&e.spec.id) != Some(&e.spec) || rewired(e) || !self.may_keep(e);
        let all = || self.endpoints.all.values();
        let gone: Vec<ScopedName> =
            all().filter(|e| e.requested().is_none() && changed(e)).map(|e| e.spec.id.clone()).collect();
        let moved: Vec<ScopedName> =
            all().filter(|e| e.requested().is_some() && rewired(e)).map(|e| e.spec.id.clone()).collect();
        for name in &gone {
            self.detach(name, true, now);
            if let Some(endpoint) = self.forget(name)
                && !self.endpoints.detaching.contains_key(name)
                && let Ok(assigned) = endpoint.assigned
            {
                self.release(name, &endpoint.spec.network, assigned, Assigned::default(), now);
            }
        }
        for name in &moved {
            self.detach(name, true, now);
        }
        self.reconfigure_requests(now);
        let new: Vec<Spec> =
            wanted.into_values().filter(|e| !self.endpoints.all.contains_key(&e.id)).collect();
        let removed = gone.iter().filter(|n| !new.iter().any(|e| e.id == **n)).count();
        let added = new.iter().filter(|e| !gone.contains(&e.id)).count();
        let text = format!("endpoints: {added} added, {removed} removed, {} changed", new.len() - added);
        self.add_file_endpoints(new, now);
        for name in &moved {
            self.try_attach(name);
        }
        self.retry_unassigned(now);
        text
    }

    /// Whether a container of the file may keep the address that it has: pools of the network may have moved.
    fn may_keep(&self, endpoint: &Endpoint) -> bool {
        let (Some(network), Ok(assigned)) = (self.config.network(&endpoint.spec.network), &endpoint.assigned)
        else {
            return true;
        };
        assigned.v4.is_none_or(|a| network.v4.as_ref().is_some_and(|s| s.may_assign(a)))
            && assigned.v6.is_none_or(|a| network.v6.as_ref().is_some_and(|s| s.may_assign(a)))
    }
}
