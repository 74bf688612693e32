//! `[host]`, `[[uplink]]`, `[api]`, `[state]`.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use ipnet::IpNet;

use super::Unique;
use crate::{
    diagnostic::Kind,
    found::{At, Found, Span},
    model::{Api, Host, IfName, State, Uplink},
    schema,
};

/// The host, with the places of its loopbacks.
pub(super) struct HostAt {
    pub(super) config: Host,
    pub(super) loopback: Vec<At<IpAddr>>,
}

/// An uplink, with the places of its addresses.
pub(super) struct UplinkAt {
    pub(super) config: Uplink,
    /// Of the good addresses, in the order of `config.addresses`.
    pub(super) spans: Vec<Span>,
    /// Whether all that was written is in `config`.
    pub(super) complete: bool,
}

pub(super) fn host(
    raw: Option<&schema::Host>,
    uplinks: &[UplinkAt],
    found: &mut Found<'_>,
) -> Option<HostAt> {
    let raw = raw?;
    if let Some(zero) = raw.router_id.get().filter(|at| at.value.is_unspecified()) {
        found
            .error(Kind::BadValue, &zero.span, "0.0.0.0 cannot be a router id")
            .label("any other IPv4 address")
            .note("a BGP identifier is not zero (RFC 6286 section 2.1)");
    }
    let mut taken = Unique::new();
    for uplink in uplinks {
        for (net, span) in uplink.config.addresses.iter().zip(&uplink.spans) {
            taken.first.entry(net.addr()).or_insert_with(|| span.clone());
        }
    }
    let loopback: Vec<_> =
        raw.loopback.items().iter().map(|at| At { value: at.value.0, span: at.span.clone() }).collect();
    for at in &loopback {
        taken.claim(at.value, &at.span, found, || format!("this host has {} twice", at.value));
    }
    let addresses: Vec<_> = loopback.iter().map(|at| at.value).collect();
    let router_id = raw.router_id.value().copied().or_else(|| router_id(&addresses, uplinks));
    Some(HostAt {
        config: Host {
            name: raw.name.value().cloned(),
            asn: raw.asn.value()?.0,
            router_id,
            loopback: addresses,
        },
        loopback,
    })
}

/// The first IPv4 loopback, else the lowest IPv4 address of an uplink.
fn router_id(loopback: &[IpAddr], uplinks: &[UplinkAt]) -> Option<Ipv4Addr> {
    let v4 = |address: IpAddr| match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    };
    let addresses = uplinks.iter().flat_map(|uplink| &uplink.config.addresses);
    loopback.iter().copied().find_map(v4).or_else(|| addresses.filter_map(|net| v4(net.addr())).min())
}

pub(super) fn uplinks(raw: &[At<schema::Uplink>], found: &mut Found<'_>) -> Vec<UplinkAt> {
    let (mut interfaces, mut addresses) = (Unique::new(), Unique::new());
    let mut uplinks = Vec::new();
    for At { value: raw, .. } in raw {
        let interface = raw.interface.get();
        if let Some(At { value, span }) = interface {
            not_loopback(value, span, found);
            not_ours(value, span, found);
            interfaces.claim(value.clone(), span, found, || format!("two uplinks are the interface {value}"));
        }
        let good = raw.address.items();
        for At { value, span } in good {
            let address = value.0.addr();
            // The same link-local address on two links is two addresses.
            let scope = link_local(address).then(|| interface.map(|at| at.value.clone())).flatten();
            addresses.claim((address, scope), span, found, || format!("this host has {address} twice"));
        }
        let Some(interface) = interface else { continue };
        uplinks.push(UplinkAt {
            config: Uplink {
                interface: interface.value.clone(),
                addresses: good.iter().map(|at| at.value.0).collect(),
            },
            spans: good.iter().map(|at| at.span.clone()).collect(),
            complete: raw.address.is_complete(),
        });
    }
    uplinks
}

/// `lo` is a name that the kernel would take, and nothing that packets leave by.
pub(super) fn not_loopback(interface: &IfName, span: &Span, found: &mut Found<'_>) {
    if interface.as_str() == "lo" {
        found
            .error(Kind::BadValue, span, "`lo` is the loopback interface")
            .help("addresses of the host itself are `loopback` in `[host]`");
    }
}

/// Link-local addresses mean something only together with an interface.
pub(super) fn link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Reports an interface with a name that petiole gives its own ones, which come and go with containers and networks.
pub(super) fn not_ours(interface: &IfName, span: &Span, found: &mut Found<'_>) {
    let name = interface.as_str();
    if let Some((_, what)) = OUR_PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        found
            .error(Kind::BadValue, span, format!("`{name}` is the name of {what} that petiole makes"))
            .label("not an uplink")
            .note("interfaces called pb-…, pt-…, pv-… and px-… are petiole's own");
    }
}

/// How the interfaces begin that petiole makes.
const OUR_PREFIXES: [(&str, &str); 4] = [
    ("pb-", "a network's bridge"),
    ("pt-", "a container's link"),
    ("pv-", "a network's VLAN"),
    ("px-", "a network's VXLAN"),
];

/// What the file knows of this host's own addresses. Link-local ones are left out: a peer may have the same one.
pub(super) struct Own {
    pub(super) addresses: HashMap<IpAddr, Span>,
    /// In the order of the file.
    loopback: Vec<IpAddr>,
    /// Ascending.
    uplink: Vec<IpAddr>,
    /// None is written that could not be read.
    pub(super) complete: bool,
}

impl Own {
    pub(super) fn new(raw: &schema::File, uplinks: &[UplinkAt], host: Option<&HostAt>) -> Self {
        let of_uplinks: Vec<_> = uplinks
            .iter()
            .flat_map(|uplink| {
                uplink.config.addresses.iter().map(IpNet::addr).zip(uplink.spans.iter().cloned())
            })
            .filter(|(address, _)| !link_local(*address))
            .collect();
        let of_host: Vec<_> =
            host.into_iter().flat_map(|host| &host.loopback).map(|at| (at.value, at.span.clone())).collect();
        let mut uplink: Vec<_> = of_uplinks.iter().map(|(address, _)| *address).collect();
        uplink.sort_unstable();
        let all_uplinks = raw.uplinks.is_complete() && uplinks.len() == raw.uplinks.items().len();
        let all_loopbacks = host.is_some() && raw.host.value().is_some_and(|raw| raw.loopback.is_complete());
        Self {
            loopback: of_host.iter().map(|(address, _)| *address).collect(),
            uplink,
            complete: all_uplinks && all_loopbacks && uplinks.iter().all(|uplink| uplink.complete),
            addresses: of_uplinks.into_iter().chain(of_host).collect(),
        }
    }

    /// The first loopback of a family, else the lowest address of an uplink.
    pub(super) fn first(&self, v4: bool) -> Option<IpAddr> {
        self.loopback.iter().chain(&self.uplink).copied().find(|address| address.is_ipv4() == v4)
    }
}

pub(super) fn state(raw: Option<&schema::State>) -> State {
    let dir = raw.and_then(|raw| raw.dir.value());
    State { dir: dir.map_or_else(|| PathBuf::from(DEFAULT_STATE), |dir| dir.0.clone()) }
}

/// As the Filesystem Hierarchy Standard wants it, section 5.8.
const DEFAULT_STATE: &str = "/var/lib/petiole";

pub(super) fn api(raw: Option<&schema::Api>, found: &mut Found<'_>) -> Api {
    let default = || Api { socket: PathBuf::from(DEFAULT_SOCKET), metrics: None };
    let Some(raw) = raw else { return default() };
    let socket = match raw.socket.get() {
        Some(At { value, span }) => {
            let length = value.0.as_os_str().len();
            if length > SOCKET_MAX {
                found
                    .error(
                        Kind::BadValue,
                        span,
                        format!("the path of a socket has at most {SOCKET_MAX} bytes, this one has {length}"),
                    )
                    .note("that is what `sun_path` of a unix socket's address holds");
            }
            value.0.clone()
        }
        None => default().socket,
    };
    Api { socket, metrics: raw.metrics.value().copied() }
}

/// Where the command line looks for the daemon.
const DEFAULT_SOCKET: &str = "/run/petiole/petiole.sock";

/// `sun_path` is 108 bytes with its terminator, unix(7).
const SOCKET_MAX: usize = 107;
