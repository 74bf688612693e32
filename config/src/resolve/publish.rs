//! `publish` of an endpoint.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use super::known::NetworkView;
use crate::{
    diagnostic::Kind,
    family::Family,
    found::{At, Found, Span},
    model::{PortRange, Protocol, Publish, ScopedName, Subnet},
};

/// Checks that the host can lead a port to a container of the network.
pub(super) fn can_lead(at: &At<Publish>, network: &NetworkView<'_>, found: &mut Found<'_>) {
    let (Ok(v4), Ok(v6)) = (network.v4, network.v6) else { return };
    match at.value.address {
        None if !has_gateway(v4) && !has_gateway(v6) => {
            found
                .error(Kind::Conflict, &at.span, no_way(network.id))
                .help("give the network a `gateway` or `gateway6`, or leave out `publish`");
        }
        None => {}
        Some(IpAddr::V4(address)) => family(address, v4, at, network.id, found),
        Some(IpAddr::V6(address)) => family(address, v6, at, network.id, found),
    }
}

fn has_gateway<A: Family>(subnet: Option<&Subnet<A>>) -> bool {
    subnet.is_some_and(|subnet| subnet.gateway.is_some())
}

fn no_way(network: &ScopedName) -> String {
    format!("this host has no way to containers of network `{network}`, which has no gateway")
}

/// Checks a port that is published on an address of one family, or on all of that family.
fn family<A: Family>(
    address: A,
    subnet: Option<&Subnet<A>>,
    at: &At<Publish>,
    network: &ScopedName,
    found: &mut Found<'_>,
) {
    let span = &at.span;
    match subnet {
        None => {
            found
                .error(Kind::Conflict, span, format!("network `{network}` has no {}", A::NAME))
                .help(format!("leave out `{address}`, or give the network a `subnet{}`", A::SUFFIX));
        }
        Some(subnet) if subnet.gateway.is_none() => {
            found
                .error(Kind::Conflict, span, format!("{}{}", no_way(network), in_family::<A>()))
                .help(format!("give the network a `gateway{}`", A::SUFFIX));
        }
        Some(_) => {}
    }
    if let Some(what) = A::special_address(address).filter(|_| address.to_bits() != 0) {
        found
            .error(Kind::BadValue, span, format!("{address} is {what}: nobody connects to it from outside"))
            .label("an address of this host, or none for all");
    }
}

fn in_family<A: Family>() -> String {
    format!(" in {}", A::NAME)
}

/// Ports that petiole itself is spoken to on. A published port comes before them.
pub(super) struct OwnPorts {
    /// Ascending by protocol and port.
    all: Vec<(Publish, &'static str)>,
}

impl OwnPorts {
    /// `vxlan`: the ports of all VXLANs.
    pub(super) fn new(bgp: bool, metrics: Option<SocketAddr>, vxlan: impl Iterator<Item = u16>) -> Self {
        let bgp = bgp.then(|| own_port(None, BGP_PORT, Protocol::Tcp));
        // What listens for this host alone is not in the way of what comes from outside.
        let metrics = metrics.filter(|metrics| !metrics.ip().is_loopback());
        let metrics = metrics.and_then(|metrics| {
            // All addresses of IPv6 are those of IPv4 too, unless the system says otherwise.
            let address = Some(metrics.ip()).filter(|ip| *ip != IpAddr::V6(Ipv6Addr::UNSPECIFIED));
            own_port(address, metrics.port(), Protocol::Tcp)
        });
        let vxlan: BTreeSet<_> = vxlan.collect();
        let vxlan = vxlan.into_iter().filter_map(|port| own_port(None, port, Protocol::Udp));
        let tcp = [(bgp.flatten(), "BGP's"), (metrics, "that of `metrics`")];
        let tcp = tcp.into_iter().filter_map(|(port, whose)| Some((port?, whose)));
        let mut all: Vec<_> = tcp.chain(vxlan.map(|port| (port, "a VXLAN's"))).collect();
        all.sort_unstable_by_key(|(own, _)| (own.protocol, own.host));
        Self { all }
    }

    /// Reports a published port that is one of them.
    pub(super) fn keep(&self, at: &At<Publish>, found: &mut Found<'_>) {
        let (Publish { host, protocol, .. }, publish) = (at.value, at.value);
        let from =
            self.all.partition_point(|(own, _)| (own.protocol, own.host.last()) < (protocol, host.first()));
        let taken = self
            .all
            .iter()
            .skip(from)
            .take_while(|(own, _)| own.protocol == protocol && own.host.overlaps(host));
        for (own, whose) in taken.filter(|(own, _)| own.clashes(&publish)).take(1) {
            found
                .error(
                    Kind::Conflict,
                    &at.span,
                    format!("port {}/{} is {whose} on this host", own.host, own.protocol),
                )
                .help("publish another port of the host");
        }
    }
}

/// RFC 4271 section 8.
const BGP_PORT: u16 = 179;

fn own_port(address: Option<IpAddr>, port: u16, protocol: Protocol) -> Option<Publish> {
    let port = PortRange::new(port, port)?;
    Some(Publish { address, host: port, container: port, protocol })
}

/// A published port, and whose it is.
#[derive(Clone)]
struct Claim {
    publish: Publish,
    span: Span,
    endpoint: ScopedName,
}

/// Published ports, to find those that two want.
#[derive(Default)]
pub(super) struct Claims {
    all: Vec<Claim>,
}

/// Ports on certain addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// On all addresses.
    Everywhere,
    /// On all addresses of a family.
    Family { v4: bool },
    /// On any single address of a family.
    Somewhere { v4: bool },
    /// On this address.
    At(IpAddr),
}

impl Place {
    /// Where a port stands, for others to find it.
    fn of(address: Option<IpAddr>) -> [Option<Self>; 2] {
        match address {
            None => [Some(Self::Everywhere), None],
            Some(all) if all.is_unspecified() => [Some(Self::Family { v4: all.is_ipv4() }), None],
            Some(one) => [Some(Self::Somewhere { v4: one.is_ipv4() }), Some(Self::At(one))],
        }
    }

    /// Where those stand that it clashes with, as [`Publish::clashes`] has it.
    fn against(address: Option<IpAddr>) -> Vec<Self> {
        let in_family = |v4| [Self::Family { v4 }, Self::Somewhere { v4 }];
        let mut places = vec![Self::Everywhere];
        match address {
            None => places.extend([in_family(true), in_family(false)].concat()),
            Some(all) if all.is_unspecified() => places.extend(in_family(all.is_ipv4())),
            Some(one) => places.extend([Self::Family { v4: one.is_ipv4() }, Self::At(one)]),
        }
        places
    }
}

impl Claims {
    pub(super) fn add(&mut self, at: &At<Publish>, endpoint: &ScopedName) {
        self.all.push(Claim { publish: at.value, span: at.span.clone(), endpoint: endpoint.clone() });
    }

    /// Reports the ports that clash with others: one pass in ascending order, against the one in each place that
    /// reaches furthest so far.
    pub(super) fn report(mut self, found: &mut Found<'_>) {
        self.all.sort_by_key(|claim| (claim.publish.host, claim.span.start));
        let mut widest: HashMap<(Protocol, Place), &Claim> = HashMap::new();
        for this in &self.all {
            let Publish { address, protocol, .. } = this.publish;
            let other = Place::against(address)
                .into_iter()
                .filter_map(|place| widest.get(&(protocol, place)))
                .find(|other| other.publish.clashes(&this.publish));
            if let Some(other) = other {
                clash(other, this, found);
            }
            for place in Place::of(address).into_iter().flatten() {
                let slot = widest.entry((protocol, place)).or_insert(this);
                if slot.publish.host.last() < this.publish.host.last() {
                    *slot = this;
                }
            }
        }
    }
}

fn clash(a: &Claim, b: &Claim, found: &mut Found<'_>) {
    let (first, second) = if a.span.start < b.span.start { (a, b) } else { (b, a) };
    let message = format!(
        "`{}` of endpoint `{}` clashes with `{}` of endpoint `{}`",
        second.publish, second.endpoint, first.publish, first.endpoint
    );
    let error = found.error(Kind::Duplicate, &second.span, message);
    error.label("second time").also(first.span.clone(), "first published here");
    if first.publish.address.is_none() || second.publish.address.is_none() {
        error.help(
            "a port without an address is published on all; `0.0.0.0:` or `[::]:` before it means one family",
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn publish() -> impl Strategy<Value = Publish> {
        let address =
            prop::sample::select(vec!["", "0.0.0.0:", "[::]:", "10.0.0.1:", "10.0.0.2:", "[2001:db8::1]:"]);
        let protocol = prop::sample::select(vec!["tcp", "udp"]);
        (address, 1_u16..20, 0_u16..4, protocol).prop_map(|(address, first, more, protocol)| {
            let ports = format!("{first}-{}", first + more);
            format!("{address}{ports}:{ports}/{protocol}").parse().unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_clash_is_found_wherever_two_ports_clash(list in prop::collection::vec(publish(), 0..8)) {
            let mut claims = Claims::default();
            for (i, value) in list.iter().enumerate() {
                let name = format!("e{i}").parse().unwrap();
                claims.add(&At { value: *value, span: i..i + 1 }, &name);
            }
            let mut found = Found::new("");
            claims.report(&mut found);
            let some = list.iter().enumerate().any(|(i, a)| list.iter().skip(i + 1).any(|b| a.clashes(b)));
            prop_assert_eq!(found.has_errors(), some);
        }
    }
}
