//! `[[endpoint]]`.

use std::collections::HashMap;

use super::{
    Unique,
    host::not_loopback,
    network::{NetworkAt, SubnetAt},
};
use crate::{
    diagnostic::Kind,
    family::{Family, range_of},
    found::{At, Found, Span, some_of},
    model::{AddrRange, Endpoint, IfName, Name},
    schema::{self, read::Written, value::AbsolutePath},
};

/// The networks that endpoints may name.
struct Known<'a> {
    by_name: HashMap<&'a Name, &'a NetworkAt>,
    /// In the order of the alphabet.
    names: Vec<&'a str>,
    /// Every network of the file has a name that could be read.
    complete: bool,
}

pub(super) fn endpoints(
    raw: &[At<schema::Endpoint>],
    networks: &[NetworkAt],
    complete: bool,
    found: &mut Found<'_>,
) -> Vec<Endpoint> {
    let mut sorted: Vec<_> = networks.iter().map(|network| network.name.as_str()).collect();
    sorted.sort_unstable();
    let known = Known {
        by_name: networks.iter().map(|network| (&network.name, network)).collect(),
        names: sorted,
        complete,
    };
    let mut names = Unique::new();
    let mut places = Unique::new();
    let (mut v4, mut v6) = (Unique::new(), Unique::new());
    let mut wanted: HashMap<&Name, (u128, &Span)> = HashMap::new();
    let default_interface = IfName::new("eth0").ok();
    let mut endpoints = Vec::new();
    for At { value: raw, .. } in raw {
        if let Some(At { value: name, span }) = raw.name.get() {
            names.claim(name.clone(), span, found, || format!("two endpoints are called `{name}`"));
        }
        let interface = match &raw.interface {
            Written::Is(at) => Some(at.value.clone()),
            Written::Absent => default_interface.clone(),
            Written::Bad => None,
        };
        if let Some(At { value, span }) = raw.interface.get() {
            not_loopback(value, span, found);
        }
        if let (Some(At { value: AbsolutePath(netns), span }), Some(interface)) =
            (raw.netns.get(), &interface)
        {
            places.claim((netns.clone(), interface.clone()), span, found, || {
                format!("two endpoints are the interface {interface} in {}", netns.display())
            });
        }
        if let Some(At { value, span }) = raw.address.get() {
            v4.claim(*value, span, found, || format!("two endpoints have the address {value}"));
        }
        if let Some(At { value, span }) = raw.address6.get() {
            v6.claim(*value, span, found, || format!("two endpoints have the address {value}"));
        }
        let network = network(raw, &known, found);
        if let Some(network) = network {
            address(raw.address.get(), &network.name, &network.v4, found);
            address(raw.address6.get(), &network.name, &network.v6, found);
        }
        if let (Some(network), Some(at)) = (network, raw.network.get()) {
            let count = wanted.entry(&network.name).or_insert((0, &at.span));
            *count = (count.0 + 1, &at.span);
        }
        endpoints.extend(endpoint(raw, interface));
    }
    for (name, (count, span)) in wanted {
        if let Some(network) = known.by_name.get(name) {
            room(network, count, span, found);
        }
    }
    endpoints
}

fn endpoint(raw: &schema::Endpoint, interface: Option<IfName>) -> Option<Endpoint> {
    Some(Endpoint {
        id: crate::model::ScopedName::in_default(raw.name.value()?.clone()),
        network: crate::model::ScopedName::in_default(raw.network.value()?.clone()),
        group: None,
        netns: raw.netns.value()?.0.clone(),
        interface: interface?,
        address: raw.address.value().copied(),
        address6: raw.address6.value().copied(),
        publish: Vec::new(),
    })
}

fn network<'a>(raw: &schema::Endpoint, known: &Known<'a>, found: &mut Found<'_>) -> Option<&'a NetworkAt> {
    let At { value: name, span } = raw.network.get()?;
    let network = known.by_name.get(name).copied();
    if network.is_none() && known.complete {
        let near = found.guess(name.as_str(), known.names.iter().copied());
        let error = found.error(Kind::UnknownName, span, format!("there is no network `{name}`"));
        match near {
            Some(near) => error.label(format!("did you mean \"{near}\"?")),
            None => error.label("not defined in this file"),
        };
        error.note(match known.names.as_slice() {
            [] => "the file defines no network".to_owned(),
            names => format!("defined are {}", some_of(names.iter().copied())),
        });
    }
    network
}

/// Checks that a fixed address is one that the network may give to a container of this host.
fn address<A: Family>(at: Option<&At<A>>, name: &Name, subnet: &SubnetAt<A>, found: &mut Found<'_>) {
    let (Some(At { value: address, span }), Ok(subnet)) = (at, &subnet.subnet) else { return };
    let Some(subnet) = subnet else {
        found
            .error(Kind::Conflict, span, format!("network `{name}` has no {}", A::NAME))
            .help(format!("leave out `address{0}`, or give the network a `subnet{0}`", A::SUFFIX));
        return;
    };
    let reserved = A::reserved(subnet.net).into_iter().find(|(reserved, _)| reserved == address);
    let inside = range_of::<A>(subnet.net).is_some_and(|whole: AddrRange<A>| whole.contains(*address));
    if !inside {
        found
            .error(Kind::Outside, span, format!("{address} is not in network `{name}`"))
            .label(format!("the subnet is {}", subnet.net));
    } else if Some(*address) == subnet.gateway {
        found
            .error(Kind::Outside, span, format!("{address} is the gateway of network `{name}`"))
            .label("a container cannot have it");
    } else if let Some((_, what)) = reserved {
        found
            .error(Kind::Outside, span, format!("{address} is {what} of network `{name}`"))
            .label("a container cannot have it");
    } else if !subnet.may_assign(*address) {
        let ranges: Vec<_> = subnet.pool.iter().take(5).map(ToString::to_string).collect();
        let more = if subnet.pool.len() > 5 { ", …" } else { "" };
        found
            .error(Kind::Outside, span, format!("{address} is outside the pool of network `{name}`"))
            .label(format!("the pool is {}{more}", ranges.join(", ")))
            .note("the pool is this host's share of the subnet; other hosts may give out the rest");
    }
}

/// Warns of more endpoints than addresses.
fn room(network: &NetworkAt, count: u128, span: &Span, found: &mut Found<'_>) {
    let (Ok(v4), Ok(v6)) = (&network.v4.subnet, &network.v6.subnet) else { return };
    let v4 = v4.as_ref().map(|subnet| size(&subnet.pool));
    let v6 = v6.as_ref().map(|subnet| size(&subnet.pool));
    if let Some(size) = [v4, v6].into_iter().flatten().min().filter(|size| *size < count) {
        found.warning(
            span,
            format!(
                "network `{}` has {count} endpoints, and addresses for {size} on this host",
                network.name
            ),
        );
    }
}

fn size<A: Family>(pool: &[AddrRange<A>]) -> u128 {
    pool.iter().fold(0, |sum: u128, range| sum.saturating_add(range.span()).saturating_add(1))
}
