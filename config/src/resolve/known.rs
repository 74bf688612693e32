//! The networks and groups that endpoints and rules may name: those of the file that is being read, or those that run.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{group::GroupAt, network::NetworkAt, publish::OwnPorts, subnet::Reported, tenant::Tenants};
use crate::{
    diagnostic::Kind,
    family::Family,
    found::{At, Found, some_of},
    model::{AddrRange, HostConfig, Name, ScopedName, Subnet},
};

/// A network that endpoints and rules may name.
#[derive(Clone, Copy)]
pub(super) struct NetworkView<'a> {
    pub(super) id: &'a ScopedName,
    pub(super) v4: Result<Option<&'a Subnet<Ipv4Addr>>, Reported>,
    pub(super) v6: Result<Option<&'a Subnet<Ipv6Addr>>, Reported>,
}

/// A group that endpoints and rules may name.
#[derive(Clone, Copy)]
pub(super) struct GroupView<'a> {
    pub(super) id: &'a ScopedName,
    /// `None`: what it names is no network, and that has been reported.
    pub(super) network: Option<&'a ScopedName>,
    pub(super) v4: Result<&'a [AddrRange<Ipv4Addr>], Reported>,
    pub(super) v6: Result<&'a [AddrRange<Ipv6Addr>], Reported>,
}

/// What groups of one network have for themselves: from the first address of a range to its last, and whose it is.
pub(super) type Owned<'a, A> = BTreeMap<A, (A, &'a ScopedName)>;

/// Everything that endpoints and rules may name.
pub(super) struct Known<'a> {
    pub(super) tenants: &'a Tenants,
    pub(super) own_ports: OwnPorts,
    networks: HashMap<&'a ScopedName, NetworkView<'a>>,
    groups: HashMap<&'a ScopedName, GroupView<'a>>,
    owned4: HashMap<&'a ScopedName, Owned<'a, Ipv4Addr>>,
    owned6: HashMap<&'a ScopedName, Owned<'a, Ipv6Addr>>,
    /// Every network of the file has a name that could be read.
    all_networks: bool,
    /// So has every group.
    all_groups: bool,
}

impl<'a> Known<'a> {
    pub(super) fn of_networks(
        tenants: &'a Tenants,
        own_ports: OwnPorts,
        networks: &'a [NetworkAt],
        complete: bool,
    ) -> Self {
        let views = networks.iter().map(|network| NetworkView {
            id: &network.id,
            v4: network.v4.subnet.as_ref().map(Option::as_ref).map_err(|reported| *reported),
            v6: network.v6.subnet.as_ref().map(Option::as_ref).map_err(|reported| *reported),
        });
        Self::new(tenants, own_ports, views, complete)
    }

    pub(super) fn of_config(tenants: &'a Tenants, config: &'a HostConfig) -> Self {
        let views = config.networks.iter().map(|network| NetworkView {
            id: &network.id,
            v4: Ok(network.v4.as_ref()),
            v6: Ok(network.v6.as_ref()),
        });
        let vxlan = config.networks.iter().filter_map(|network| network.encap.udp_port());
        let own_ports = OwnPorts::new(!config.neighbors.is_empty(), config.api.metrics, vxlan);
        let mut known = Self::new(tenants, own_ports, views, true);
        known.add_groups(
            config.groups.iter().map(|group| GroupView {
                id: &group.id,
                network: Some(&group.network),
                v4: Ok(&group.v4),
                v6: Ok(&group.v6),
            }),
            true,
        );
        known
    }

    fn new(
        tenants: &'a Tenants,
        own_ports: OwnPorts,
        networks: impl Iterator<Item = NetworkView<'a>>,
        complete: bool,
    ) -> Self {
        Self {
            tenants,
            own_ports,
            networks: networks.map(|view| (view.id, view)).collect(),
            groups: HashMap::new(),
            owned4: HashMap::new(),
            owned6: HashMap::new(),
            all_networks: complete,
            all_groups: true,
        }
    }

    pub(super) fn with_groups(mut self, groups: &'a [GroupAt], complete: bool) -> Self {
        let views = groups.iter().map(|group| GroupView {
            id: &group.id,
            network: group.network.as_ref(),
            v4: group.v4.as_ref().map(|own| &own.left[..]).map_err(|reported| *reported),
            v6: group.v6.as_ref().map(|own| &own.left[..]).map_err(|reported| *reported),
        });
        self.add_groups(views, complete);
        self
    }

    fn add_groups(&mut self, groups: impl Iterator<Item = GroupView<'a>>, complete: bool) {
        self.all_groups = complete;
        for group in groups {
            if let Some(network) = group.network {
                own(&mut self.owned4, network, group.v4, group.id);
                own(&mut self.owned6, network, group.v6, group.id);
            }
            self.groups.insert(group.id, group);
        }
    }

    /// The network, if nothing is to be said of it.
    pub(super) fn network(&self, id: &ScopedName) -> Option<NetworkView<'a>> {
        self.networks.get(id).copied()
    }

    /// What groups of the network have for themselves.
    pub(super) fn owned4(&self, network: &ScopedName) -> Option<&Owned<'a, Ipv4Addr>> {
        self.owned4.get(network)
    }

    /// What groups of the network have for themselves.
    pub(super) fn owned6(&self, network: &ScopedName) -> Option<&Owned<'a, Ipv6Addr>> {
        self.owned6.get(network)
    }

    /// The network that a key names, in a tenant; `None` after reporting that there is none.
    pub(super) fn find_network(
        &self,
        tenant: &Name,
        at: &At<Name>,
        found: &mut Found<'_>,
    ) -> Option<NetworkView<'a>> {
        let id = ScopedName::new(tenant.clone(), at.value.clone());
        let network = self.networks.get(&id).copied();
        if network.is_none() && self.all_networks {
            missing("network", &id, at, self.networks.keys().copied(), found);
        }
        network
    }

    /// The group that a key names, in a tenant; `None` after reporting that there is none.
    pub(super) fn find_group(
        &self,
        tenant: &Name,
        at: &At<Name>,
        found: &mut Found<'_>,
    ) -> Option<GroupView<'a>> {
        let id = ScopedName::new(tenant.clone(), at.value.clone());
        let group = self.groups.get(&id).copied();
        if group.is_none() && self.all_groups {
            missing("group", &id, at, self.groups.keys().copied(), found);
        }
        group
    }
}

fn own<'a, A: Family>(
    owned: &mut HashMap<&'a ScopedName, Owned<'a, A>>,
    network: &'a ScopedName,
    ranges: Result<&'a [AddrRange<A>], Reported>,
    group: &'a ScopedName,
) {
    if let Ok(ranges @ [_, ..]) = ranges {
        let owned = owned.entry(network).or_default();
        owned.extend(ranges.iter().map(|range| (range.first(), (range.last(), group))));
    }
}

/// Reports a name that nothing bears.
pub(super) fn missing<'a>(
    what: &str,
    id: &ScopedName,
    at: &At<Name>,
    all: impl Iterator<Item = &'a ScopedName>,
    found: &mut Found<'_>,
) {
    let (mut here, mut elsewhere) = (Vec::new(), None);
    for other in all {
        if other.tenant == id.tenant {
            here.push(other.name.as_str());
        } else if other.name == id.name && elsewhere.is_none_or(|before| other < before) {
            elsewhere = Some(other);
        }
    }
    here.sort_unstable();
    let near = found.guess(id.name.as_str(), here.iter().copied());
    let tenant = if id.is_default() { String::new() } else { format!(" in tenant `{}`", id.tenant) };
    let error = found.error(Kind::UnknownName, &at.span, format!("there is no {what} `{}`{tenant}", id.name));
    match near {
        Some(near) => error.label(format!("did you mean \"{near}\"?")),
        None => error.label("not defined in this file"),
    };
    if let Some(elsewhere) = elsewhere {
        error.help(format!("tenant `{0}` has one: `tenant = \"{0}\"` means that", elsewhere.tenant));
    }
    error.note(match here.as_slice() {
        [] => format!("the file defines no {what}{tenant}"),
        names => format!("defined are {}", some_of(names.iter().copied())),
    });
}
