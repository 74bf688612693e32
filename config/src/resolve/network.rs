//! `[[network]]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{
    Unique,
    host::{HostAt, UplinkAt},
};
use crate::{
    diagnostic::Kind,
    family::{Family, overlap, range_of},
    found::{At, Found, Span},
    model::{AddrRange, Advertise, Encap, Name, Network, Subnet},
    schema::{
        self,
        read::{List, Written},
    },
};

/// A network, with the places of its subnets. What is wrong with one part of it leaves the others.
pub(super) struct NetworkAt {
    pub(super) name: Name,
    pub(super) v4: SubnetAt<Ipv4Addr>,
    pub(super) v6: SubnetAt<Ipv6Addr>,
    encap: Option<Encap>,
    advertise: Option<Advertise>,
}

/// What the keys of one family say.
pub(super) struct SubnetAt<A: Family> {
    /// The addresses, and where they are written; `None` when they are not, or cannot be a network's.
    whole: Option<At<AddrRange<A>>>,
    /// The subnet, or none of this family.
    pub(super) subnet: Result<Option<Subnet<A>>, Reported>,
}

/// Something is wrong, and has been reported.
#[derive(Clone, Copy)]
pub(super) struct Reported;

/// The keys of one family.
struct Keys<'a, A: Family> {
    net: &'a Written<A::Net>,
    gateway: &'a Written<A>,
    pool: &'a Written<List<AddrRange<A>>>,
}

pub(super) fn networks(raw: &[At<schema::Network>], found: &mut Found<'_>) -> Vec<NetworkAt> {
    let mut names = Unique::new();
    let mut networks = Vec::new();
    for At { value: raw, span } in raw {
        if let Some(At { value: name, span }) = raw.name.get() {
            names.claim(name.clone(), span, found, || format!("two networks are called `{name}`"));
        }
        let v4 = subnet(&Keys { net: &raw.subnet, gateway: &raw.gateway, pool: &raw.pool }, found);
        let v6 = subnet(&Keys { net: &raw.subnet6, gateway: &raw.gateway6, pool: &raw.pool6 }, found);
        if !raw.subnet.is_written() && !raw.subnet6.is_written() {
            found
                .error(Kind::MissingKey, span, "a network has a `subnet`, a `subnet6`, or both")
                .help("add `subnet = \"192.168.1.0/24\"`, or what is right here");
        }
        let Some(name) = raw.name.value() else { continue };
        let (encap, advertise) = (
            raw.encap.get().map_or(Some(Encap::Routed), |_| Some(Encap::Routed)),
            raw.advertise.or(Advertise::Endpoints),
        );
        networks.push(NetworkAt { name: name.clone(), v4, v6, encap, advertise });
    }
    networks
}

impl NetworkAt {
    /// The network, when nothing is wrong with it.
    pub(super) fn into_config(self) -> Option<Network> {
        Some(Network {
            id: crate::model::ScopedName::in_default(self.name),
            encap: self.encap?,
            v4: self.v4.subnet.ok()?,
            v6: self.v6.subnet.ok()?,
            advertise: self.advertise?,
            masquerade: false,
            mtu: None,
            quarantine: 30,
        })
    }
}

/// The addresses of one family.
fn subnet<A: Family>(keys: &Keys<'_, A>, found: &mut Found<'_>) -> SubnetAt<A> {
    let none = |subnet| SubnetAt { whole: None, subnet };
    let At { value: net, span } = match keys.net {
        Written::Is(at) => at,
        Written::Bad => return none(Err(Reported)),
        Written::Absent => return none(without_subnet(keys, found)),
    };
    let Some(whole) = range_of::<A>(*net) else { return none(Err(Reported)) };
    let usable = is_usable::<A>(*net, whole, span, found);
    let gateway = gateway(keys, *net, &whole, span, found);
    let pool = pool(keys, *net, gateway, &whole, span, found);
    let whole = usable.then(|| At { value: whole, span: span.clone() });
    let subnet = match (&whole, gateway, pool) {
        (Some(_), Some(gateway), Some(pool)) => Ok(Some(Subnet { net: *net, gateway: Some(gateway), pool })),
        _ => Err(Reported),
    };
    SubnetAt { whole, subnet }
}

/// Nothing else of a family makes sense without its subnet.
fn without_subnet<A: Family>(
    keys: &Keys<'_, A>,
    found: &mut Found<'_>,
) -> Result<Option<Subnet<A>>, Reported> {
    let suffix = A::SUFFIX;
    let spans =
        [("gateway", keys.gateway.get().map(|at| &at.span)), ("pool", keys.pool.get().map(|at| &at.span))];
    for (key, span) in spans.iter().filter_map(|(key, span)| Some((key, (*span)?))) {
        found
            .error(Kind::Conflict, span, format!("`{key}{suffix}` without `subnet{suffix}`"))
            .help(format!("add `subnet{suffix} = \"{}\"`, or what is right here", A::EXAMPLE_NET));
    }
    if spans.iter().all(|(_, span)| span.is_none()) { Ok(None) } else { Err(Reported) }
}

/// Whether containers can have these addresses.
fn is_usable<A: Family>(net: A::Net, whole: AddrRange<A>, span: &Span, found: &mut Found<'_>) -> bool {
    let (_, _, length) = A::parts(net);
    if !(A::SHORTEST..=A::LONGEST).contains(&length) {
        found.error(Kind::BadValue, span, format!("a network cannot be a /{length}")).label(format!(
            "allowed is /{} to /{}",
            A::SHORTEST,
            A::LONGEST
        ));
        return false;
    }
    if let Some(what) = A::special(whole) {
        found
            .error(Kind::BadValue, span, format!("containers cannot have addresses of {net}: {what}"))
            .label(format!("for example {}", A::EXAMPLE_NET));
        return false;
    }
    true
}

fn gateway<A: Family>(
    keys: &Keys<'_, A>,
    net: A::Net,
    whole: &AddrRange<A>,
    subnet: &Span,
    found: &mut Found<'_>,
) -> Option<A> {
    let At { value: gateway, span } = match keys.gateway {
        Written::Is(at) => at,
        Written::Bad => return None,
        Written::Absent => return Some(A::LINK_GATEWAY),
    };
    if let Some((_, what)) = A::reserved(net).into_iter().find(|(address, _)| address == gateway) {
        found
            .error(Kind::BadValue, span, format!("the gateway {gateway} is {what} of {net}"))
            .also(subnet.clone(), "the subnet");
        return None;
    }
    if whole.contains(*gateway) || gateway.is_link_local() {
        return Some(*gateway);
    }
    found
        .error(Kind::Outside, span, format!("the gateway {gateway} is not in the subnet {net}"))
        .label("neither in the subnet nor link-local")
        .also(subnet.clone(), "the subnet")
        .help(format!("leave out `gateway{}` for {}", A::SUFFIX, A::LINK_GATEWAY));
    None
}

/// What may be given out, ascending, without what never is.
fn pool<A: Family>(
    keys: &Keys<'_, A>,
    net: A::Net,
    gateway: Option<A>,
    whole: &AddrRange<A>,
    subnet: &Span,
    found: &mut Found<'_>,
) -> Option<Vec<AddrRange<A>>> {
    let (ranges, span) = match keys.pool {
        Written::Bad => return None,
        Written::Absent => (Some(vec![*whole]), subnet),
        Written::Is(list) => (entries(&list.value.items, net, whole, subnet, found), &list.span),
    };
    if let Some(span) = keys.pool.empty() {
        found
            .error(Kind::BadValue, span, "an empty pool has no addresses")
            .help(format!("leave out `pool{}` for the whole subnet", A::SUFFIX));
        return None;
    }
    let ranges = ranges.filter(|_| keys.pool.is_complete())?;
    let mut taken: Vec<_> = A::reserved(net).into_iter().map(|(address, _)| address).collect();
    // A gateway that could not be read leaves a pool that is not used.
    taken.extend(gateway);
    let left: Vec<_> = ranges.into_iter().flat_map(|range| without(range, &taken)).collect();
    if left.is_empty() {
        found
            .error(Kind::BadValue, span, format!("no address of {net} is left for a container"))
            .note("the gateway, the network and the broadcast address are never given out");
        return None;
    }
    Some(merged(left))
}

/// The written ranges in ascending order: inside the subnet, and apart from each other.
fn entries<A: Family>(
    list: &[At<AddrRange<A>>],
    net: A::Net,
    whole: &AddrRange<A>,
    subnet: &Span,
    found: &mut Found<'_>,
) -> Option<Vec<AddrRange<A>>> {
    let mut ok = true;
    for At { value, span } in list {
        if !whole.contains(value.first()) || !whole.contains(value.last()) {
            ok = false;
            let name = if list.len() == 1 { "the pool" } else { "this part of the pool" };
            found
                .error(Kind::Outside, span, format!("{name}, {value}, is not inside the subnet {net}"))
                .label(format!("the subnet is {whole}"))
                .also(subnet.clone(), "the subnet");
        }
    }
    let mut sorted: Vec<_> = list.iter().collect();
    sorted.sort_by_key(|at| (at.value, at.span.start));
    let mut widest: Option<&At<AddrRange<A>>> = None;
    for at in &sorted {
        if let Some(before) = widest.filter(|before| overlap(&before.value, &at.value)) {
            ok = false;
            let (first, second) =
                if before.span.start < at.span.start { (before, *at) } else { (*at, before) };
            found
                .error(
                    Kind::Overlap,
                    &second.span,
                    format!("{} and {} of a pool overlap", first.value, second.value),
                )
                .also(first.span.clone(), "already here");
        }
        if widest.is_none_or(|before| before.value.last() < at.value.last()) {
            widest = Some(at);
        }
    }
    ok.then(|| sorted.into_iter().map(|at| at.value).collect())
}

/// A range without some addresses: up to one range more than there are of them.
fn without<A: Family>(range: AddrRange<A>, taken: &[A]) -> Vec<AddrRange<A>> {
    let mut rest = vec![range];
    for address in taken {
        rest = rest.into_iter().flat_map(|range| around(range, *address)).flatten().collect();
    }
    rest
}

/// What is left and right of an address in a range.
fn around<A: Family>(range: AddrRange<A>, address: A) -> [Option<AddrRange<A>>; 2] {
    if !range.contains(address) {
        return [Some(range), None];
    }
    let below = address.to_bits().checked_sub(1).and_then(A::from_bits);
    let above = address.to_bits().checked_add(1).and_then(A::from_bits);
    [
        below.and_then(|last| AddrRange::new(range.first(), last)),
        above.and_then(|first| AddrRange::new(first, range.last())),
    ]
}

/// Ascending ranges, with those that touch made one: the same addresses make the same pool, however they are written.
fn merged<A: Family>(ranges: Vec<AddrRange<A>>) -> Vec<AddrRange<A>> {
    let mut out: Vec<AddrRange<A>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let touching =
            out.last().filter(|last| last.last().to_bits().checked_add(1) == Some(range.first().to_bits()));
        match touching.and_then(|last| AddrRange::new(last.first(), range.last())) {
            Some(joined) => {
                out.pop();
                out.push(joined);
            }
            None => out.push(range),
        }
    }
    out
}

/// Reports networks that overlap each other, an uplink's subnet, or a loopback.
pub(super) fn overlaps(
    networks: &[NetworkAt],
    uplinks: &[UplinkAt],
    host: Option<&HostAt>,
    found: &mut Found<'_>,
) {
    let v4: Vec<_> = networks.iter().filter_map(|n| Some((&n.name, n.v4.whole.as_ref()?))).collect();
    let v6: Vec<_> = networks.iter().filter_map(|n| Some((&n.name, n.v6.whole.as_ref()?))).collect();
    each_other(v4.clone(), found);
    each_other(v6.clone(), found);
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

type Named<'a, A> = (&'a Name, &'a At<AddrRange<A>>);

/// One pass over the subnets in ascending order, against the one that reaches furthest so far.
fn each_other<A: Family>(mut nets: Vec<Named<'_, A>>, found: &mut Found<'_>) {
    nets.sort_by_key(|(_, at)| (at.value.first(), at.span.start));
    let mut widest: Option<Named<'_, A>> = None;
    for this in nets {
        if let Some(other) = widest.filter(|(_, other)| overlap(&other.value, &this.1.value)) {
            let (first, second) =
                if other.1.span.start < this.1.span.start { (other, this) } else { (this, other) };
            let (a, b) = (as_written(first.1, found), as_written(second.1, found));
            let message = format!("networks `{}` ({a}) and `{}` ({b}) overlap", first.0, second.0);
            found
                .error(Kind::Overlap, &second.1.span, message)
                .label(format!("network `{}`", second.0))
                .also(first.1.span.clone(), format!("network `{}`", first.0));
        }
        if widest.is_none_or(|(_, other)| other.value.last() < this.1.value.last()) {
            widest = Some(this);
        }
    }
}

/// Reports the networks that overlap a range that is somebody else's.
fn taken<A: Family>(
    nets: &[Named<'_, A>],
    range: Option<AddrRange<A>>,
    what: &str,
    span: &Span,
    found: &mut Found<'_>,
) {
    let Some(range) = range else { return };
    for (name, at) in nets.iter().filter(|(_, at)| overlap(&at.value, &range)) {
        let message = format!("network `{name}` ({}) overlaps {what}", as_written(at, found));
        found
            .error(Kind::Overlap, &at.span, message)
            .label(format!("network `{name}`"))
            .also(span.clone(), "already used here");
    }
}

/// The text of a string, without its quotes.
fn as_written<'a, T>(at: &At<T>, found: &Found<'a>) -> &'a str {
    found.written(&at.span).trim_matches(['"', '\''])
}
