//! Containers under a new configuration.

use std::{collections::BTreeMap, time::Instant};

use petiole_config::{
    HostConfig,
    model::{Endpoint as Spec, Network, ScopedName},
};

use super::{Core, Endpoint, Origin};
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

    /// Whether the run-time endpoints fit a new configuration; the reason why one does not.
    pub(in crate::core) fn check_requests(&self, config: &HostConfig) -> Result<(), String> {
        let mut without: BTreeMap<ScopedName, Vec<String>> = BTreeMap::new();
        for endpoint in self.endpoints.all.values() {
            let Some(requested) = endpoint.requested() else { continue };
            let name = &endpoint.spec.id;
            if config.endpoint(name).is_some() {
                return Err(format!("endpoint {name} was added at run time: remove it there first"));
            }
            if config.network(&endpoint.spec.network).is_none() {
                without.entry(endpoint.spec.network.clone()).or_default().push(name.to_string());
                continue;
            }
            let spec = petiole_config::request::endpoint(config, &requested.request)
                .map_err(|e| format!("endpoint {name}, added at run time, does not fit: {e}"))?;
            let (Some(network), Ok(assigned)) = (config.network(&spec.network), &endpoint.assigned) else {
                continue;
            };
            let outside = [
                assigned
                    .v4
                    .filter(|a| !network.v4.as_ref().is_some_and(|s| s.net.contains(a)))
                    .map(Into::into),
                assigned
                    .v6
                    .filter(|a| !network.v6.as_ref().is_some_and(|s| s.net.contains(a)))
                    .map(Into::into),
            ];
            if let Some(address) = outside.into_iter().flatten().find(|_: &std::net::IpAddr| true) {
                return Err(format!(
                    "endpoint {name} has {address}, which is not in network {} any more: remove it first",
                    network.id
                ));
            }
            let clash = config.endpoints.iter().find_map(|file| {
                let same_link = file.netns == spec.netns && file.interface == spec.interface;
                let same_port = spec.publish.iter().any(|p| file.publish.iter().any(|f| f.clashes(p)));
                (same_link || same_port).then_some(&file.id)
            });
            if let Some(file) = clash {
                return Err(format!(
                    "endpoint {file} has the interface or a published port of {name}, which was added at run time"
                ));
            }
        }
        match without.into_iter().next() {
            Some((network, endpoints)) => Err(format!(
                "network {network} has endpoints that were added at run time: {}; remove them first",
                endpoints.join(", ")
            )),
            None => Ok(()),
        }
    }

    /// The run-time endpoints under a new configuration: their networks may have become others, and those that had no
    /// place may have one now.
    pub(super) fn reconfigure_requests(&mut self, now: Instant) {
        for endpoint in self.endpoints.all.values_mut() {
            let Origin::Request(requested) = &endpoint.origin else { continue };
            if let Ok(spec) = petiole_config::request::endpoint(&self.config, &requested.request) {
                endpoint.spec = spec;
            }
        }
        let orphans = std::mem::take(&mut self.endpoints.requests.orphans);
        for (_, (record, _)) in orphans {
            self.restore_request(record, now);
        }
    }
}
