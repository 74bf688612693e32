//! From the file as written to the typed, defaulted [`HostConfig`], past every mistake.
//!
//! Knows what keys mean together: names that have to be there, addresses that have to lie somewhere. A part that is
//! wrong is left out, and what hangs on it is not complained about again. Knows neither the kernel nor BGP.

mod endpoint;
mod host;
mod neighbor;
mod network;
mod password;
mod policy;

use std::{collections::HashMap, hash::Hash};

use network::NetworkAt;

use crate::{
    Files,
    diagnostic::{Diagnostic, Kind},
    found::{Found, Span},
    model::{HostConfig, ScopedName, State, Tenant},
    schema::File,
};

/// Resolves the file. What is found wrong says whether the result may be used; `None` when not even a host is left.
pub(crate) fn resolve(file: &File, files: &dyn Files, found: &mut Found<'_>) -> Option<HostConfig> {
    let uplinks = host::uplinks(file.uplinks.items(), found);
    let host = host::host(file.host.value(), &uplinks, found);
    let policies = policy::policies(file.policies.items(), found);
    let networks = network::networks(file.networks.items(), found);
    network::overlaps(&networks, &uplinks, host.as_ref(), found);
    let own = host::own_addresses(&uplinks, host.as_ref());
    let neighbors = neighbor::neighbors(
        file.neighbors.items(),
        &neighbor::Context {
            host_asn: host.as_ref().map(|host| host.config.asn),
            own: &own,
            uplinks: &uplinks,
            policies: &policy::Names::of(&file.policies),
            files,
        },
        found,
    );
    let all_known = file.networks.is_complete() && networks.len() == file.networks.items().len();
    let endpoints = endpoint::endpoints(file.endpoints.items(), &networks, all_known, found);
    let api = host::api(file.api.value(), found);

    policy::unused(file.policies.items(), file.neighbors.items(), found);
    if let Some(first) = file.endpoints.items().first()
        && !file.neighbors.is_written()
    {
        found
            .warning(&first.span, "there are endpoints, and no neighbor to tell of them")
            .help("add a `[[neighbor]]`: without one, nobody learns a way to the containers");
    }

    Some(HostConfig {
        host: host?.config,
        uplinks: uplinks.into_iter().map(|uplink| uplink.config).collect(),
        neighbors,
        policies,
        tenants: vec![Tenant { name: ScopedName::default_tenant() }],
        networks: networks.into_iter().filter_map(NetworkAt::into_config).collect(),
        groups: Vec::new(),
        endpoints,
        api,
        state: State { dir: "/var/lib/petiole".into() },
    })
}

/// Things of which there may be one each.
struct Unique<K> {
    first: HashMap<K, Span>,
}

impl<K: Hash + Eq> Unique<K> {
    fn new() -> Self {
        Self { first: HashMap::new() }
    }

    /// Takes a thing, or reports that it is taken.
    fn claim<'f>(
        &mut self,
        key: K,
        span: &Span,
        found: &'f mut Found<'_>,
        message: impl FnOnce() -> String,
    ) -> Option<&'f mut Diagnostic> {
        if let Some(first) = self.first.get(&key) {
            let error = found.error(Kind::Duplicate, span, message());
            error.label("second time").also(first.clone(), "first defined here");
            return Some(error);
        }
        self.first.insert(key, span.clone());
        None
    }
}
