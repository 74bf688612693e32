//! Subnets that may not overlap: those of one tenant, and those that this host has routes to.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use super::{
    host::{HostAt, UplinkAt},
    network::NetworkAt,
    subnet::SubnetAt,
};
use crate::{
    diagnostic::Kind,
    family::{Family, overlap, range_of},
    found::{At, Found, Span},
    model::{AddrRange, Name, ScopedName},
};

/// A subnet, and whose it is.
#[derive(Clone, Copy)]
struct Net<'a, A> {
    id: &'a ScopedName,
    at: &'a At<AddrRange<A>>,
    host_routes: bool,
}

/// Reports networks that overlap each other, an uplink's subnet, or a loopback.
pub(super) fn overlaps(
    networks: &[NetworkAt],
    uplinks: &[UplinkAt],
    host: Option<&HostAt>,
    found: &mut Found<'_>,
) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for network in networks {
        v4.extend(net(&network.id, &network.v4));
        v6.extend(net(&network.id, &network.v6));
    }
    each_other(v4.clone(), found);
    each_other(v6.clone(), found);
    v4.retain(|net: &Net<'_, Ipv4Addr>| net.host_routes);
    v6.retain(|net: &Net<'_, Ipv6Addr>| net.host_routes);
    other_tenants(&mut v4, found);
    other_tenants(&mut v6, found);
    for uplink in uplinks {
        for (net, span) in uplink.config.addresses.iter().zip(&uplink.spans) {
            let what = format!("the subnet of uplink {} ({})", uplink.config.interface, net.trunc());
            match net {
                IpNet::V4(net) => taken(&v4, range_of::<Ipv4Addr>(*net), &what, span, found),
                IpNet::V6(net) => taken(&v6, range_of::<Ipv6Addr>(*net), &what, span, found),
            }
        }
    }
    for At { value, span } in host.into_iter().flat_map(|host| &host.loopback) {
        let what = format!("the loopback {value}");
        match *value {
            IpAddr::V4(address) => taken(&v4, AddrRange::new(address, address), &what, span, found),
            IpAddr::V6(address) => taken(&v6, AddrRange::new(address, address), &what, span, found),
        }
    }
}

fn net<'a, A: Family>(id: &'a ScopedName, subnet: &'a SubnetAt<A>) -> Option<Net<'a, A>> {
    Some(Net { id, at: subnet.whole.as_ref()?, host_routes: subnet.host_routes })
}

/// The networks of one tenant: one pass over its subnets in ascending order, against the one that reaches furthest
/// so far.
fn each_other<A: Family>(nets: Vec<Net<'_, A>>, found: &mut Found<'_>) {
    let mut tenants: BTreeMap<&Name, Vec<Net<'_, A>>> = BTreeMap::new();
    for net in nets {
        tenants.entry(&net.id.tenant).or_default().push(net);
    }
    for mut nets in tenants.into_values() {
        ascend(&mut nets);
        let mut widest: Option<Net<'_, A>> = None;
        for this in nets {
            if let Some(other) = widest.filter(|other| overlap(&other.at.value, &this.at.value)) {
                let (first, second) = in_order(other, this);
                let message = format!(
                    "network `{}` ({}) conflicts with subnet {} of network `{}`",
                    second.id,
                    as_written(second.at, found),
                    as_written(first.at, found),
                    first.id
                );
                report(message, first, second, found);
            }
            if widest.is_none_or(|other| other.at.value.last() < this.at.value.last()) {
                widest = Some(this);
            }
        }
    }
}

/// Networks with host routes of different tenants. Beside the subnet that reaches furthest so far, the furthest of all
/// other tenants is kept: one of the two is of another tenant than the next one, whichever that is.
fn other_tenants<A: Family>(nets: &mut [Net<'_, A>], found: &mut Found<'_>) {
    ascend(nets);
    let (mut widest, mut rival): (Option<Net<'_, A>>, Option<Net<'_, A>>) = (None, None);
    for this in nets.iter().copied() {
        let foreign = |other: &Net<'_, A>| other.id.tenant != this.id.tenant;
        let other = widest.filter(foreign).or(rival.filter(foreign));
        if let Some(other) = other.filter(|other| overlap(&other.at.value, &this.at.value)) {
            let (first, second) = in_order(other, this);
            let message = format!(
                "network `{}` ({}) of tenant `{}` conflicts with subnet {} of network `{}` of tenant `{}`",
                second.id,
                as_written(second.at, found),
                second.id.tenant,
                as_written(first.at, found),
                first.id,
                first.id.tenant
            );
            report(message, first, second, found)
                .note("this host has routes to both, and one routing table for all tenants")
                .help(
                    "only bridged networks without a gateway may have the subnet of another tenant's network",
                );
        }
        let wider = |other: Option<Net<'_, A>>| {
            other.is_none_or(|other| other.at.value.last() < this.at.value.last())
        };
        match widest {
            Some(other) if wider(widest) => {
                if foreign(&other) {
                    rival = Some(other);
                }
                widest = Some(this);
            }
            None => widest = Some(this),
            Some(other) if foreign(&other) && wider(rival) => rival = Some(this),
            Some(_) => {}
        }
    }
}

fn ascend<A: Family>(nets: &mut [Net<'_, A>]) {
    nets.sort_by_key(|net| (net.at.value.first(), net.at.span.start));
}

/// The one that is written first, and the other.
fn in_order<'a, A: Family>(a: Net<'a, A>, b: Net<'a, A>) -> (Net<'a, A>, Net<'a, A>) {
    if a.at.span.start < b.at.span.start { (a, b) } else { (b, a) }
}

fn report<'f, A: Family>(
    message: String,
    first: Net<'_, A>,
    second: Net<'_, A>,
    found: &'f mut Found<'_>,
) -> &'f mut crate::Diagnostic {
    found
        .error(Kind::Overlap, &second.at.span, message)
        .label(format!("network `{}`", second.id))
        .also(first.at.span.clone(), format!("network `{}`", first.id))
}

/// Reports the networks that overlap a range that is somebody else's.
fn taken<A: Family>(
    nets: &[Net<'_, A>],
    range: Option<AddrRange<A>>,
    what: &str,
    span: &Span,
    found: &mut Found<'_>,
) {
    let Some(range) = range else { return };
    for net in nets.iter().filter(|net| overlap(&net.at.value, &range)) {
        let message = format!("network `{}` ({}) overlaps {what}", net.id, as_written(net.at, found));
        found
            .error(Kind::Overlap, &net.at.span, message)
            .label(format!("network `{}`", net.id))
            .also(span.clone(), "already used here");
    }
}

/// The text of a string, without its quotes.
fn as_written<'a, T>(at: &At<T>, found: &Found<'a>) -> &'a str {
    found.written(&at.span).trim_matches(['"', '\''])
}
