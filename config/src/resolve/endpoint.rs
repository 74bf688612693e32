//! `[[endpoint]]`: one of them, whether the file or somebody at run time asks for it; and the file's, beside each other.

use std::collections::{HashMap, HashSet};

use super::{
    Unique,
    host::not_loopback,
    known::{GroupView, Known, NetworkView, Owned},
    publish::{self, Claims},
    subnet::Reported,
};
use crate::{
    diagnostic::Kind,
    family::{Family, range_of},
    found::{At, Found, Span},
    model::{AddrRange, Endpoint, IfName, ScopedName, Subnet},
    schema::{self, read::Written, value::AbsolutePath},
};

/// An endpoint as far as it could be read.
struct EndpointAt<'a> {
    id: Option<ScopedName>,
    network: Option<NetworkView<'a>>,
    group: Option<GroupView<'a>>,
    interface: Option<IfName>,
}

/// The endpoints of the file.
pub(super) fn endpoints(
    raw: &[At<schema::Endpoint>],
    known: &Known<'_>,
    found: &mut Found<'_>,
) -> Vec<Endpoint> {
    let mut names = Unique::new();
    let mut places = Unique::new();
    let (mut v4, mut v6) = (Unique::new(), Unique::new());
    let mut published = Claims::default();
    let mut room = Room::default();
    let mut endpoints = Vec::new();
    for At { value: raw, span: header } in raw {
        let this = read(raw, header, known, found);
        if let (Some(id), Some(At { span, .. })) = (&this.id, raw.name.get()) {
            names.claim(id.clone(), span, found, || format!("two endpoints are called `{id}`"));
            raw.publish.items().iter().for_each(|at| published.add(at, id));
        }
        if let (Some(At { value: AbsolutePath(netns), span }), Some(interface)) =
            (raw.netns.get(), &this.interface)
        {
            places.claim((netns.clone(), interface.clone()), span, found, || {
                format!("two endpoints are the interface {interface} in {}", netns.display())
            });
        }
        if let Some(network) = this.network {
            if let Some(At { value, span }) = raw.address.get() {
                v4.claim((network.id, *value), span, found, || twice(value, network.id));
            }
            if let Some(At { value, span }) = raw.address6.get() {
                v6.claim((network.id, *value), span, found, || twice(value, network.id));
            }
            if let Some(span) = raw.network.get().map(|at| &at.span).or(raw.group.get().map(|at| &at.span)) {
                room.count(network, this.group, span);
            }
        }
        endpoints.extend(endpoint(raw, this));
    }
    published.report(found);
    room.report(known, found);
    endpoints
}

fn twice<A: Family>(address: &A, network: &ScopedName) -> String {
    format!("two endpoints of network `{network}` have the address {address}")
}

/// One endpoint by itself; whether there are others like it is not looked at.
pub(super) fn single(raw: &schema::Endpoint, known: &Known<'_>, found: &mut Found<'_>) -> Option<Endpoint> {
    let this = read(raw, &(0..0), known, found);
    let mut published = Claims::default();
    if let Some(id) = &this.id {
        raw.publish.items().iter().for_each(|at| published.add(at, id));
    }
    published.report(found);
    endpoint(raw, this)
}

/// Reads one endpoint, past every mistake.
fn read<'a>(
    raw: &schema::Endpoint,
    header: &Span,
    known: &Known<'a>,
    found: &mut Found<'_>,
) -> EndpointAt<'a> {
    let tenant = known.tenants.of(&raw.tenant, found);
    let id = tenant.clone().zip(raw.name.value()).map(|(tenant, name)| ScopedName::new(tenant, name.clone()));
    let interface = match &raw.interface {
        Written::Is(at) => Some(at.value.clone()),
        Written::Absent => IfName::new("eth0").ok(),
        Written::Bad => None,
    };
    if let Some(At { value, span }) = raw.interface.get() {
        not_loopback(value, span, found);
    }
    one_of_both(raw, header, found);
    let group =
        tenant.as_ref().zip(raw.group.get()).and_then(|(tenant, at)| known.find_group(tenant, at, found));
    let network = match (tenant.as_ref().zip(raw.network.get()), group) {
        (Some((tenant, at)), _) => known.find_network(tenant, at, found),
        (None, Some(group)) => group.network.and_then(|network| known.network(network)),
        (None, None) => None,
    };
    // Without knowing the group it is not known which addresses are its own.
    if let Some(network) = network.filter(|_| !raw.group.is_written() || group.is_some()) {
        let pool4 = group.map(|group| (group.id, group.v4));
        let pool6 = group.map(|group| (group.id, group.v6));
        address(raw.address.get(), network.id, network.v4, pool4, known.owned4(network.id), found);
        address(raw.address6.get(), network.id, network.v6, pool6, known.owned6(network.id), found);
    }
    raw.publish.items().iter().for_each(|at| known.own_ports.keep(at, found));
    if let Some(network) = &network {
        raw.publish.items().iter().for_each(|at| publish::can_lead(at, network, found));
    }
    EndpointAt { id, network, group, interface }
}

/// An endpoint has a network or a group, and not both.
fn one_of_both(raw: &schema::Endpoint, header: &Span, found: &mut Found<'_>) {
    if !raw.network.is_written() && !raw.group.is_written() {
        found
            .error(Kind::MissingKey, header, "an endpoint has a `network` or a `group`")
            .help("add `network = \"public\"`, or what is right here");
    }
    if let (Some(network), Some(group)) = (raw.network.get(), raw.group.get()) {
        found
            .error(Kind::Conflict, &group.span, "an endpoint has a `network` or a `group`, not both")
            .also(network.span.clone(), "the network")
            .help("leave out `network`: a group is in one network");
    }
}

fn endpoint(raw: &schema::Endpoint, this: EndpointAt<'_>) -> Option<Endpoint> {
    if raw.group.is_written() && this.group.is_none() {
        return None;
    }
    Some(Endpoint {
        id: this.id?,
        network: this.network?.id.clone(),
        group: this.group.map(|group| group.id.clone()),
        netns: raw.netns.value()?.0.clone(),
        interface: this.interface?,
        address: raw.address.value().copied(),
        address6: raw.address6.value().copied(),
        publish: raw.publish.items().iter().map(|at| at.value).collect(),
    })
}

/// The pool of a group that an endpoint is in, if nothing is wrong with it.
type GroupPool<'a, A> = (&'a ScopedName, Result<&'a [AddrRange<A>], Reported>);

/// Checks that a fixed address is one that this host may give to the endpoint.
fn address<A: Family>(
    at: Option<&At<A>>,
    network: &ScopedName,
    subnet: Result<Option<&Subnet<A>>, Reported>,
    group: Option<GroupPool<'_, A>>,
    owned: Option<&Owned<'_, A>>,
    found: &mut Found<'_>,
) {
    let (Some(At { value: address, span }), Ok(subnet)) = (at, subnet) else { return };
    let Some(subnet) = subnet else {
        found
            .error(Kind::Conflict, span, format!("network `{network}` has no {}", A::NAME))
            .help(format!("leave out `address{0}`, or give the network a `subnet{0}`", A::SUFFIX));
        return;
    };
    let reserved = A::reserved(subnet.net).into_iter().find(|(reserved, _)| reserved == address);
    let inside = range_of::<A>(subnet.net).is_some_and(|whole: AddrRange<A>| whole.contains(*address));
    let owner = owned.and_then(|owned| owned.range(..=*address).next_back());
    let owner = owner.filter(|(_, (last, _))| address <= last).map(|(_, (_, owner))| *owner);
    let own = group.and_then(|(id, pool)| Some((id, pool.ok().filter(|pool| !pool.is_empty())?)));
    if !inside {
        found
            .error(Kind::Outside, span, format!("{address} is not in network `{network}`"))
            .label(format!("the subnet is {}", subnet.net));
    } else if Some(*address) == subnet.gateway {
        found
            .error(Kind::Outside, span, format!("{address} is the gateway of network `{network}`"))
            .label("a container cannot have it");
    } else if let Some((_, what)) = reserved {
        found
            .error(Kind::Outside, span, format!("{address} is {what} of network `{network}`"))
            .label("a container cannot have it");
    } else if !subnet.may_assign(*address) {
        found
            .error(Kind::Outside, span, format!("{address} is outside the pool of network `{network}`"))
            .label(format!("the pool is {}", ranges(&subnet.pool)))
            .note("the pool is this host's share of the subnet; other hosts may give out the rest");
    } else if let Some((id, pool)) =
        own.filter(|(_, pool)| !pool.iter().any(|range| range.contains(*address)))
    {
        found
            .error(Kind::Outside, span, format!("{address} is outside the pool of group `{id}`"))
            .label(format!("the pool is {}", ranges(pool)));
    } else if let Some(owner) = owner.filter(|owner| own.is_none_or(|(id, _)| id != *owner)) {
        found
            .error(Kind::Outside, span, format!("{address} is in the pool of group `{owner}`"))
            .label("only endpoints of that group can have it");
    }
}

/// A pool as text, not too much of it.
fn ranges<A: Family>(pool: &[AddrRange<A>]) -> String {
    let shown: Vec<_> = pool.iter().take(5).map(ToString::to_string).collect();
    let more = if pool.len() > 5 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// How many endpoints want addresses out of which pool.
#[derive(Default)]
struct Room<'a> {
    /// By network and, where it has addresses for itself, by group.
    v4: HashMap<Pool<'a>, Wanted>,
    v6: HashMap<Pool<'a>, Wanted>,
}

type Pool<'a> = (&'a ScopedName, Option<&'a ScopedName>);

struct Wanted {
    count: u128,
    size: u128,
    /// Of the last one.
    span: Span,
}

impl<'a> Room<'a> {
    fn count(&mut self, network: NetworkView<'a>, group: Option<GroupView<'a>>, span: &Span) {
        let (id, group_id) = (network.id, group.map(|group| group.id));
        let v4 = group.map(|group| group.v4);
        want(&mut self.v4, id, network.v4, group_id, v4, span);
        let v6 = group.map(|group| group.v6);
        want(&mut self.v6, id, network.v6, group_id, v6, span);
    }

    /// Warns of more endpoints than addresses, once for each pool.
    fn report(self, known: &Known<'_>, found: &mut Found<'_>) {
        let mut warned = HashSet::new();
        for (pool, wanted) in self.v4 {
            let owned = known.owned4(pool.0).map_or(0, owned_size);
            if lacks(pool, &wanted, owned, found) {
                warned.insert(pool);
            }
        }
        for (pool, wanted) in self.v6.into_iter().filter(|(pool, _)| !warned.contains(pool)) {
            lacks(pool, &wanted, known.owned6(pool.0).map_or(0, owned_size), found);
        }
    }
}

fn want<'a, A: Family>(
    all: &mut HashMap<Pool<'a>, Wanted>,
    network: &'a ScopedName,
    subnet: Result<Option<&'a Subnet<A>>, Reported>,
    group: Option<&'a ScopedName>,
    own: Option<Result<&'a [AddrRange<A>], Reported>>,
    span: &Span,
) {
    let (pool, ranges) = match (own, subnet) {
        (Some(Err(Reported)), _) | (_, Err(Reported) | Ok(None)) => return,
        (Some(Ok(own @ [_, ..])), _) => ((network, group), own),
        (_, Ok(Some(subnet))) => ((network, None), subnet.pool.as_slice()),
    };
    let wanted =
        all.entry(pool).or_insert_with(|| Wanted { count: 0, size: size(ranges), span: span.clone() });
    wanted.count += 1;
    wanted.span = span.clone();
}

fn lacks((network, group): Pool<'_>, wanted: &Wanted, owned: u128, found: &mut Found<'_>) -> bool {
    let (what, size) = match group {
        Some(group) => (format!("group `{group}`"), wanted.size),
        None => (format!("network `{network}`"), wanted.size.saturating_sub(owned)),
    };
    if size < wanted.count {
        let message = format!("{what} has {} endpoints, and addresses for {size} on this host", wanted.count);
        found.warning(&wanted.span, message);
    }
    size < wanted.count
}

fn size<A: Family>(pool: &[AddrRange<A>]) -> u128 {
    pool.iter().fold(0, |sum: u128, range| sum.saturating_add(range.span()).saturating_add(1))
}

/// How many addresses the groups of a network have for themselves.
fn owned_size<A: Family>(owned: &Owned<'_, A>) -> u128 {
    owned.iter().fold(0, |sum: u128, (first, (last, _))| {
        sum.saturating_add(last.to_bits().saturating_sub(first.to_bits())).saturating_add(1)
    })
}
