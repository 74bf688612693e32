//! `[[neighbor]]`.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    Unique,
    host::{UplinkAt, link_local, not_loopback},
    password,
    route_policy::Names,
};
use crate::{
    Files,
    diagnostic::Kind,
    family::Family,
    found::{At, Found, Span, one_of, some_of},
    model::{Distance, Export, Families, IfName, Import, Name, Neighbor},
    schema::{
        self,
        read::{List, Written},
        value::{Asn, Seconds, word::Afi},
    },
};

/// What the neighbors are resolved against.
pub(super) struct Context<'a> {
    pub(super) host_asn: Option<u32>,
    pub(super) own: &'a HashMap<IpAddr, Span>,
    pub(super) uplinks: &'a [UplinkAt],
    pub(super) policies: &'a Names,
    pub(super) files: &'a dyn Files,
}

pub(super) fn neighbors(
    raw: &[At<schema::Neighbor>],
    context: &Context<'_>,
    found: &mut Found<'_>,
) -> Vec<Neighbor> {
    let (mut names, mut addresses) = (Unique::new(), Unique::new());
    let mut neighbors = Vec::new();
    for At { value: raw, .. } in raw {
        if let Some(At { value: name, span }) = raw.name.get() {
            names.claim(name.clone(), span, found, || format!("two neighbors are called `{name}`"));
        }
        if let Some(At { value: address, span }) = raw.address.get() {
            let scope = raw.interface.value().cloned();
            let twice = addresses.claim((*address, scope), span, found, || {
                format!("two neighbors have the address {address}")
            });
            if let Some(error) = twice {
                error.note("a session is known by its peer's address");
            }
        }
        neighbors.extend(neighbor(raw, context, found));
    }
    neighbors
}

fn neighbor(raw: &schema::Neighbor, context: &Context<'_>, found: &mut Found<'_>) -> Option<Neighbor> {
    let interface = address(raw, context, found);
    let (hold_time, keepalive) = timers(raw, found);
    let distance = distance(raw, found);
    local_address(raw, found);
    let families = families(&raw.families, found);
    let import = raw.import.get().and_then(|at| import(at, context.policies, found));
    let export = match raw.export.get() {
        Some(at) => export(at, context.policies, found),
        None => Some(Export::Local),
    };
    let password = raw.password_file.get().map(|at| password::read(at, context.files, found));
    if distance == Some(Distance::Connected) || distance == Some(Distance::TtlSecurity) {
        off_link(raw, context, found);
    }
    let local_asn = match raw.local_asn.value() {
        Some(Asn(asn)) => Some(*asn),
        None => context.host_asn,
    };
    Some(Neighbor {
        name: raw.name.value()?.clone(),
        address: *raw.address.value()?,
        interface,
        remote_as: raw.asn.value()?.0,
        local_asn: local_asn?,
        import: import?,
        export: export?,
        hold_time: hold_time?,
        keepalive: keepalive?,
        connect_retry: raw.connect_retry.or(Seconds(5))?.0,
        passive: raw.passive.or(false)?,
        distance: distance?,
        password: password.flatten(),
        port: raw.port.value().map_or(179, |port| port.get_u16()),
        local_address: raw.local_address.value().copied(),
        allow_own_as: raw.allow_own_as.value().map_or(0, |n| n.get_u8()),
        families: families?,
        max_prefixes: raw.max_prefixes.value().map(|n| n.get()),
        max_prefixes_out: raw.max_prefixes_out.value().map(|n| n.get()),
        install: raw.install.or(true)?,
        description: raw.description.value().map(|text| text.0.clone()),
        shutdown: raw.shutdown.value().map(|text| text.0.clone()),
    })
}

/// Checks the peer's address, and gives the interface that it is on, if it needs one.
fn address(raw: &schema::Neighbor, context: &Context<'_>, found: &mut Found<'_>) -> Option<IfName> {
    let interface = raw.interface.get();
    if let Some(At { value, span }) = interface {
        not_loopback(value, span, found);
    }
    let Some(At { value: address, span }) = raw.address.get() else {
        if let (Written::Absent, Some(At { span, .. })) = (&raw.address, interface) {
            found
                .error(
                    Kind::Unsupported,
                    span,
                    "a neighbor without `address` (unnumbered) is not supported by this version",
                )
                .help("give the peer's `address`; with a link-local one, `interface` stays");
        }
        return None;
    };
    let special = match *address {
        IpAddr::V4(v4) if !v4.is_loopback() && !Family::is_link_local(v4) => Ipv4Addr::special_address(v4),
        IpAddr::V6(v6) if !v6.is_loopback() && !v6.is_unicast_link_local() => Ipv6Addr::special_address(v6),
        _ => None,
    };
    if let Some(what) = special {
        found.error(Kind::BadValue, span, format!("{address} is {what}: no neighbor can have it"));
    }
    if let Some(own) = context.own.get(address) {
        found
            .error(Kind::Conflict, span, format!("{address} is this host's own address"))
            .label("the peer's address is needed here")
            .also(own.clone(), "given to this host here");
    }
    match (link_local(*address), interface) {
        (true, Some(interface)) => return Some(interface.value.clone()),
        (true, None) if !raw.interface.is_written() => {
            found
                .error(
                    Kind::MissingKey,
                    span,
                    format!("{address} is link-local: `interface` has to say on which link"),
                )
                .help("add `interface = \"eth1\"`, or what is right here");
        }
        (false, Some(interface)) => {
            found
                .error(Kind::Conflict, &interface.span, format!("`interface` with the address {address}"))
                .label("only a link-local address needs it")
                .also(span.clone(), "not link-local")
                .help("leave out `interface`: the kernel's routes say where the peer is");
        }
        _ => {}
    }
    None
}

/// Hold time and keepalive.
fn timers(raw: &schema::Neighbor, found: &mut Found<'_>) -> (Option<u16>, Option<u16>) {
    let hold = raw.hold_time.or(Seconds(9)).map(|seconds| seconds.0);
    if let (Some(1 | 2), Some(at)) = (hold, raw.hold_time.get()) {
        found
            .error(Kind::BadValue, &at.span, "a hold time is 0 (never), or 3 seconds and more")
            .label("allowed is 0 and 3 to 65535")
            .note("RFC 4271 section 4.2");
        return (None, None);
    }
    let Some(hold) = hold else { return (None, None) };
    let Some(At { value: Seconds(keepalive), span }) = raw.keepalive.get() else {
        let default = if hold == 0 { 0 } else { (hold / 3).max(1) };
        return (Some(hold), (!raw.keepalive.is_written()).then_some(default));
    };
    if *keepalive >= hold {
        let error = if hold == 0 {
            found
                .error(Kind::Conflict, span, "`keepalive` with a hold time of 0: there will be none")
                .help("leave out `keepalive`")
        } else {
            found
                .error(Kind::Conflict, span, format!("the session would end before the first keepalive: {keepalive} s, with a hold time of {hold} s"))
                .help(format!("leave out `keepalive` for a third of the hold time ({} s)", hold / 3))
        };
        if let Some(hold) = raw.hold_time.get() {
            error.also(hold.span.clone(), "the hold time");
        }
    }
    (Some(hold), Some(*keepalive))
}

fn distance(raw: &schema::Neighbor, found: &mut Found<'_>) -> Option<Distance> {
    let secure = raw.ttl_security.or(false)?;
    match raw.multihop.get() {
        Some(At { span, .. }) if secure => {
            let error = found.error(Kind::Conflict, span, "`multihop` and `ttl-security` exclude each other");
            error.note("`ttl-security` drops what has crossed a router (RFC 5082), and `multihop` is for peers behind one");
            if let Some(secure) = raw.ttl_security.get() {
                error.also(secure.span.clone(), "only peers on the link");
            }
            None
        }
        Some(At { span, .. }) if raw.address.value().is_some_and(|address| link_local(*address)) => {
            found.error(
                Kind::Conflict,
                span,
                "`multihop` with a link-local address, which no router forwards",
            );
            None
        }
        Some(At { value, .. }) => Some(Distance::Multihop(value.get_u8())),
        None if raw.multihop.is_written() => None,
        None if secure => Some(Distance::TtlSecurity),
        None => Some(Distance::Connected),
    }
}

fn local_address(raw: &schema::Neighbor, found: &mut Found<'_>) {
    let Some(At { value: local, span }) = raw.local_address.get() else { return };
    if local.is_unspecified() || local.is_multicast() {
        found
            .error(Kind::BadValue, span, format!("{local} is no address that a session can be dialled from"))
            .help("leave out `local-address`, and the kernel chooses");
        return;
    }
    let Some(At { value: peer, span: peer_span }) = raw.address.get() else { return };
    if local.is_ipv4() != peer.is_ipv4() {
        found
            .error(
                Kind::Conflict,
                span,
                format!("`local-address` {local} and `address` {peer} are of different families"),
            )
            .also(peer_span.clone(), "the peer's address");
    } else if local == peer && !link_local(*local) {
        found
            .error(Kind::Conflict, span, "`local-address` is the peer's address")
            .also(peer_span.clone(), "the peer's address");
    }
}

fn families(raw: &Written<List<Afi>>, found: &mut Found<'_>) -> Option<Families> {
    let list = match raw {
        Written::Absent => return Some(Families::BOTH),
        Written::Bad => return None,
        Written::Is(list) => list,
    };
    let mut unique = Unique::new();
    for At { value, span } in &list.value.items {
        unique.claim(*value as u8, span, found, || "the same family twice".into());
    }
    let has = |afi| list.value.items.iter().any(|at| at.value == afi);
    let families = Families::new(has(Afi::Ipv4), has(Afi::Ipv6));
    if families.is_none() && list.value.complete {
        found
            .error(Kind::BadValue, &list.span, "a session without address families exchanges nothing")
            .label("at least one of \"ipv4\" and \"ipv6\" is needed");
    }
    families
}

fn import(at: &At<Name>, policies: &Names, found: &mut Found<'_>) -> Option<Import> {
    Some(match at.value.as_str() {
        "all" => Import::All,
        "default-route" => Import::DefaultRoute,
        "none" => Import::None,
        _ if policies.defined.contains(&at.value) => Import::Policy(at.value.clone()),
        _ => {
            unknown_policy(at, policies, &["all", "default-route", "none"], found);
            return None;
        }
    })
}

fn export(at: &At<Name>, policies: &Names, found: &mut Found<'_>) -> Option<Export> {
    Some(match at.value.as_str() {
        "local" => Export::Local,
        "all" => {
            found
                .error(Kind::BadValue, &at.span, "a host does not export everything")
                .label("allowed is \"local\", or the name of a route policy")
                .note("passing on what it learned would make this host a transit for the fabric (RFC 8212)")
                .help("if that is meant, write a `[[route-policy]]` whose rules say `source = \"learned\"`");
            return None;
        }
        "none" => {
            found
                .error(Kind::BadValue, &at.span, "there is no export \"none\"")
                .label("allowed is \"local\", or the name of a route policy")
                .help("a `[[route-policy]]` without rules exports nothing");
            return None;
        }
        _ if policies.defined.contains(&at.value) => Export::Policy(at.value.clone()),
        _ => {
            unknown_policy(at, policies, &["local"], found);
            return None;
        }
    })
}

fn unknown_policy(at: &At<Name>, policies: &Names, built_in: &[&str], found: &mut Found<'_>) {
    // It may be the name that could not be read.
    if !policies.complete {
        return;
    }
    let names = || policies.defined.iter().map(Name::as_str);
    let near = found.guess(at.value.as_str(), names().chain(built_in.iter().copied()));
    let error = found.error(Kind::UnknownName, &at.span, format!("there is no route policy `{}`", at.value));
    match near {
        Some(near) => error.label(format!("did you mean \"{near}\"?")),
        None => error.label("not defined in this file"),
    };
    let defined = match policies.defined.as_slice() {
        [] => "the file defines no route policy".to_owned(),
        _ => format!("defined are {}", some_of(names())),
    };
    error.note(format!("built in: {}; {defined}", one_of(built_in.iter().copied())));
}

/// Warns of a peer that is on no link that we know of. Silent where an uplink's addresses are somebody else's business.
fn off_link(raw: &schema::Neighbor, context: &Context<'_>, found: &mut Found<'_>) {
    let Some(At { value: address, span }) = raw.address.get() else { return };
    let known = |uplink: &UplinkAt| {
        uplink.complete && uplink.config.addresses.iter().any(|net| net.addr().is_ipv4() == address.is_ipv4())
    };
    let on_link =
        context.uplinks.iter().any(|uplink| uplink.config.addresses.iter().any(|net| net.contains(address)));
    if context.uplinks.is_empty()
        || !context.uplinks.iter().all(known)
        || on_link
        || address.is_loopback()
        || link_local(*address)
        || context.own.contains_key(address)
    {
        return;
    }
    found
        .warning(span, format!("{address} is in no uplink's subnet"))
        .label("will not be reached with TTL 1")
        .help("if the peer is behind a router, add `multihop = 2`");
}
