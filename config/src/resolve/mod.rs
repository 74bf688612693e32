//! From the file as written to the typed, defaulted [`HostConfig`], past every mistake.
//!
//! Knows what keys mean together: names that have to be there, addresses that have to lie somewhere. A part that is
//! wrong is left out, and what hangs on it is not complained about again. Knows neither the kernel nor BGP.

mod encap;
mod endpoint;
mod group;
mod host;
mod identity;
mod known;
mod named;
mod neighbor;
mod network;
mod overlap;
mod password;
mod peer;
mod policy;
mod profile;
mod publish;
mod route_policy;
mod service;
mod shadow;
mod subnet;
mod tenant;

use std::{collections::HashMap, hash::Hash};

use group::GroupAt;
use known::Known;
use named::Named;
use network::NetworkAt;
use policy::PolicyAt;
use publish::OwnPorts;
use tenant::Tenants;

use crate::{
    Files,
    diagnostic::{Diagnostic, Kind},
    found::{Found, Span},
    model::{Advertise, Endpoint, HostConfig},
    schema::{self, File},
};

/// Resolves the file. What is found wrong says whether the result may be used; `None` when not even a host is left.
pub(crate) fn resolve(file: &File, files: &dyn Files, found: &mut Found<'_>) -> Option<HostConfig> {
    let uplinks = host::uplinks(file.uplinks.items(), found);
    let host = host::host(file.host.value(), &uplinks, found);
    let own = host::Own::new(file, &uplinks, host.as_ref());
    let route_policies = route_policy::policies(file.route_policies.items(), found);
    let neighbors = neighbor::neighbors(
        file.neighbors.items(),
        &neighbor::Context {
            host_asn: host.as_ref().map(|host| host.config.asn),
            own: &own.addresses,
            uplinks: &uplinks,
            policies: &route_policy::Names::of(&file.route_policies),
            files,
        },
        found,
    );
    route_policy::unused(file.route_policies.items(), file.neighbors.items(), found);

    let tenants = Tenants::of_file(&file.tenants, found);
    let networks = network::networks(file.networks.items(), &tenants, &own, found);
    overlap::overlaps(&networks, &uplinks, host.as_ref(), found);
    let all_networks = file.networks.is_complete() && networks.len() == file.networks.items().len();
    let own_ports = OwnPorts::new(
        !neighbors.is_empty(),
        file.api.value().and_then(|api| api.metrics.value()).copied(),
        networks.iter().filter_map(|network| network.encap.as_ref()?.udp_port()),
    );
    let known = Known::of_networks(&tenants, own_ports, &networks, all_networks);
    let named_policies = Named::of(&file.policies, &tenants, found);
    let named_profiles = Named::of(&file.profiles, &tenants, found);
    let context = group::Context {
        tenants: &tenants,
        networks: &networks,
        known: &known,
        policies: &named_policies,
        profiles: &named_profiles,
    };
    let groups = group::groups(file.groups.items(), &context, found);
    identity::numbers(&groups, &networks, found);
    let all_groups = file.groups.is_complete() && groups.len() == file.groups.items().len();
    let known = known.with_groups(&groups, all_groups);
    let policies = policy::policies(&named_policies, &known, found);
    let profiles = profile::profiles(&named_profiles, found);
    if let Some((used_policies, used_profiles)) = group::used(&groups, all_groups) {
        named_policies.unused(&used_policies, found);
        named_profiles.unused(&used_profiles, found);
    }
    shadow::shadowed(&policies, &groups, &known, found);
    identity::unknown(&policies, &groups, &networks, found);
    let endpoints = endpoint::endpoints(file.endpoints.items(), &known, found);
    unheard(file, &networks, &endpoints, found);

    let api = host::api(file.api.value(), found);
    let state = host::state(file.state.value());
    Some(HostConfig {
        host: host?.config,
        uplinks: uplinks.into_iter().map(|uplink| uplink.config).collect(),
        neighbors,
        route_policies,
        networks: networks.into_iter().filter_map(NetworkAt::into_config).collect(),
        groups: groups.into_iter().filter_map(GroupAt::into_config).collect(),
        policies: policies.into_iter().map(PolicyAt::into_config).collect(),
        profiles,
        tenants: tenants.list,
        endpoints,
        api,
        state,
    })
}

/// Resolves one endpoint against a configuration that runs. What is found wrong says whether the result may be used.
pub(crate) fn endpoint(
    raw: &schema::Endpoint,
    config: &HostConfig,
    found: &mut Found<'_>,
) -> Option<Endpoint> {
    let tenants = Tenants::of_config(config);
    endpoint::single(raw, &Known::of_config(&tenants, config), found)
}

/// Warns of endpoints that would be advertised, if there were somebody to hear it.
fn unheard(file: &File, networks: &[NetworkAt], endpoints: &[Endpoint], found: &mut Found<'_>) {
    if file.neighbors.is_written() {
        return;
    }
    let quiet: HashMap<_, _> =
        networks.iter().map(|network| (&network.id, network.advertise == Some(Advertise::None))).collect();
    let told = |endpoint: &Endpoint| quiet.get(&endpoint.network) == Some(&false);
    if let (Some(first), true) = (file.endpoints.items().first(), endpoints.iter().any(told)) {
        found
            .warning(&first.span, "there are endpoints, and no neighbor to tell of them")
            .help("add a `[[neighbor]]`: without one, nobody learns a way to the containers");
    }
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
