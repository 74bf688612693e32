//! Routes: `struct rtmsg` and `RTA_*` (rtnetlink(7)).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    codec::{Message, Writer, address_of, attributes_after, family, u16_at, u32_at, u32_of},
    refused,
    uapi::{
        AF_INET, AF_INET6, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, RT_SCOPE_LINK, RT_SCOPE_NOWHERE,
        RT_SCOPE_UNIVERSE, RT_TABLE_COMPAT, RTA_DST, RTA_GATEWAY, RTA_MULTIPATH, RTA_NH_ID, RTA_OIF,
        RTA_PREFSRC, RTA_PRIORITY, RTA_TABLE, RTA_VIA, RTM_DELROUTE, RTM_F_CLONED, RTM_GETROUTE,
        RTM_NEWROUTE, RTN_BLACKHOLE, RTN_UNICAST, RTN_UNREACHABLE,
    },
};
use crate::model::{IfName, KernelError, NextHopId, Ns, Object, Route, RouteKey, RouteTarget};

/// `sizeof(struct rtmsg)`.
const FIXED: usize = 12;

/// How a route is to be brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// `EEXIST` when any route stands on the key.
    Exclusive,
    /// In place of the first route on the key, whosever it is: see the module [`kernel`](super). `ENOENT` when there
    /// is none.
    Replacing,
}

/// A route as the kernel shows it, before names take the place of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// `rtm_table` or `RTA_TABLE`.
    pub(super) table: u32,
    /// Destination.
    pub(super) prefix: IpNet,
    /// `RTA_PRIORITY`.
    pub(super) metric: u32,
    /// `rtm_protocol`.
    pub(super) protocol: u8,
    /// `rtm_type`.
    pub(super) kind: u8,
    /// Not a plain entry of a table: a decision (`RTM_F_CLONED`), or selected by source or type of service too.
    pub(super) special: bool,
    /// `RTA_NH_ID`.
    pub(super) next_hop: Option<u32>,
    /// `RTA_OIF`.
    pub(super) link: Option<u32>,
    /// `RTA_GATEWAY` or `RTA_VIA`.
    pub(super) via: Option<IpAddr>,
    /// `RTA_PREFSRC`.
    pub(super) preferred_source: Option<IpAddr>,
    /// The first hop of an `RTA_MULTIPATH`, which the model cannot express.
    pub(super) multipath: Option<(u32, Option<IpAddr>)>,
}

/// What is wrong with a request in ways that the kernel would not say as clearly.
pub(super) fn check(key: &RouteKey, route: &Route) -> Result<(), KernelError> {
    check_key(key)?;
    if let RouteTarget::Link { via: Some(IpAddr::V4(via)), .. } = route.target
        && key.prefix.addr().is_ipv6()
    {
        return Err(refused(libc::EINVAL, format!("an IPv6 route cannot go by the IPv4 gateway {via}")));
    }
    Ok(())
}

/// See [`check`].
pub(super) fn check_key(key: &RouteKey) -> Result<(), KernelError> {
    if key.metric == 0 && key.prefix.addr().is_ipv6() {
        return Err(refused(libc::EINVAL, "an IPv6 route has no metric 0: the kernel would make it 1024"));
    }
    Ok(())
}

/// The link that a route names, whose index [`put`] needs.
pub(super) fn link_of(route: &Route) -> Option<&IfName> {
    match &route.target {
        RouteTarget::Link { link, .. } => Some(link),
        _ => None,
    }
}

/// A request to bring a route in.
pub(super) fn put(
    writer: &mut Writer,
    seq: u32,
    entry: Entry,
    protocol: u8,
    key: &RouteKey,
    route: &Route,
    link: Option<u32>,
) {
    let flags = match entry {
        Entry::Exclusive => NLM_F_CREATE | NLM_F_EXCL,
        Entry::Replacing => NLM_F_REPLACE,
    };
    let (kind, scope) = match &route.target {
        RouteTarget::NextHop(_) | RouteTarget::Link { via: Some(_), .. } => (RTN_UNICAST, RT_SCOPE_UNIVERSE),
        RouteTarget::Link { via: None, .. } => (RTN_UNICAST, RT_SCOPE_LINK),
        RouteTarget::Unreachable => (RTN_UNREACHABLE, RT_SCOPE_UNIVERSE),
        RouteTarget::Blackhole => (RTN_BLACKHOLE, RT_SCOPE_UNIVERSE),
    };
    writer.request(RTM_NEWROUTE, flags, seq, |w| {
        header(w, key, protocol, kind, scope);
        match &route.target {
            RouteTarget::NextHop(id) => w.u32(RTA_NH_ID, id.0),
            RouteTarget::Link { via, .. } => {
                if let Some(index) = link {
                    w.u32(RTA_OIF, index);
                }
                match *via {
                    Some(IpAddr::V6(via)) if key.prefix.addr().is_ipv4() => {
                        let family = u16::from(AF_INET6).to_ne_bytes();
                        w.attribute_parts(RTA_VIA, &family, &via.octets());
                    }
                    Some(via) => w.address(RTA_GATEWAY, via),
                    None => {}
                }
            }
            RouteTarget::Unreachable | RouteTarget::Blackhole => {}
        }
        if let Some(source) = route.preferred_source {
            w.address(RTA_PREFSRC, source);
        }
    });
}

/// A request to delete our route on `key`, whatever its value. The kernel compares the protocol, so that a foreign
/// route on the same key stays. (For IPv4 metric 0 in a request stands for any: then the first of ours goes, which
/// is the one with metric 0 when there is one.)
pub(super) fn delete(writer: &mut Writer, seq: u32, flags: u16, protocol: u8, key: &RouteKey) {
    writer.request(RTM_DELROUTE, flags, seq, |w| header(w, key, protocol, 0, RT_SCOPE_NOWHERE));
}

fn header(w: &mut Writer, key: &RouteKey, protocol: u8, kind: u8, scope: u8) {
    let table = u8::try_from(key.table).unwrap_or(RT_TABLE_COMPAT);
    let family = family(key.prefix.addr());
    w.raw(&[family, key.prefix.prefix_len(), 0, 0, table, protocol, scope, kind, 0, 0, 0, 0]);
    if key.prefix.prefix_len() > 0 {
        w.address(RTA_DST, key.prefix.network());
    }
    if key.metric != 0 {
        w.u32(RTA_PRIORITY, key.metric);
    }
    if table == RT_TABLE_COMPAT {
        w.u32(RTA_TABLE, key.table);
    }
}

/// A request for all routes of one family, of one protocol or (0) of all, in one table or (0) in all.
pub(super) fn dump(w: &mut Writer, seq: u32, flags: u16, family: u8, protocol: u8, table: u32) {
    w.request(RTM_GETROUTE, flags, seq, |w| {
        let short = u8::try_from(table).unwrap_or(RT_TABLE_COMPAT);
        w.raw(&[family, 0, 0, 0, short, protocol, 0, 0, 0, 0, 0, 0]);
        if short == RT_TABLE_COMPAT {
            w.u32(RTA_TABLE, table);
        }
    });
}

/// A request for the route of a packet to `address`: with `RTM_F_FIB_MATCH` the table's entry, without what the
/// kernel makes of it.
pub(super) fn lookup(writer: &mut Writer, seq: u32, flags: u16, address: IpAddr, route_flags: u32) {
    let length = if address.is_ipv4() { 32 } else { 128 };
    writer.request(RTM_GETROUTE, flags, seq, |w| {
        w.raw(&[family(address), length, 0, 0, 0, 0, 0, 0]);
        w.raw(&route_flags.to_ne_bytes());
        w.address(RTA_DST, address);
    });
}

/// Reads a route of any kind. `None` when it is cut short or of another family.
pub(super) fn decode(message: Message<'_>) -> Option<Seen> {
    if message.kind != RTM_NEWROUTE && message.kind != RTM_DELROUTE {
        return None;
    }
    let &[family, length, source_length, tos, table, protocol, _scope, kind, ..] = message.body else {
        return None;
    };
    let flags = u32_at(message.body, 8)?;
    let mut destination = None;
    let mut seen = Seen {
        table: table.into(),
        prefix: IpNet::default(),
        metric: 0,
        protocol,
        kind,
        special: source_length != 0 || tos != 0 || flags & RTM_F_CLONED != 0,
        next_hop: None,
        link: None,
        via: None,
        preferred_source: None,
        multipath: None,
    };
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            RTA_DST => destination = address_of(payload),
            RTA_TABLE => seen.table = u32_of(payload)?,
            RTA_PRIORITY => seen.metric = u32_of(payload)?,
            RTA_NH_ID => seen.next_hop = u32_of(payload),
            RTA_OIF => seen.link = u32_of(payload),
            RTA_GATEWAY => seen.via = address_of(payload),
            RTA_VIA => seen.via = via_of(payload),
            RTA_PREFSRC => seen.preferred_source = address_of(payload),
            RTA_MULTIPATH => seen.multipath = Some(first_hop(payload)?),
            _ => {}
        }
    }
    let unspecified = match family {
        AF_INET => IpAddr::from([0; 4]),
        AF_INET6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let destination = destination.unwrap_or(unspecified);
    if destination.is_ipv4() != unspecified.is_ipv4() {
        return None;
    }
    seen.prefix = IpNet::new(destination, length).ok()?;
    Some(seen)
}

/// `struct rtvia`: the family, then the address.
fn via_of(payload: &[u8]) -> Option<IpAddr> {
    address_of(payload.get(2..)?)
}

/// The first `struct rtnexthop`: length, flags, hops, interface index; then attributes.
fn first_hop(payload: &[u8]) -> Option<(u32, Option<IpAddr>)> {
    let hop = payload.get(..usize::from(u16_at(payload, 0)?))?;
    let via = attributes_after(hop, 8).find_map(|(number, payload)| match number {
        RTA_GATEWAY => address_of(payload),
        RTA_VIA => via_of(payload),
        _ => None,
    });
    Some((u32_at(hop, 4)?, via))
}

impl Seen {
    /// The key, in namespace `ns`.
    pub(super) fn key(&self, ns: Ns) -> RouteKey {
        RouteKey { ns, table: self.table, prefix: self.prefix, metric: self.metric }
    }

    /// As the model has it. `None` for what it cannot express: kinds other than unicast, unreachable and
    /// blackhole, several hops without a nexthop group, a link that `name` does not know.
    pub(super) fn object(&self, ns: Ns, name: impl FnOnce(u32) -> Option<IfName>) -> Option<Object> {
        if self.special {
            return None;
        }
        let target = match (self.kind, self.next_hop) {
            (RTN_UNREACHABLE, _) => RouteTarget::Unreachable,
            (RTN_BLACKHOLE, _) => RouteTarget::Blackhole,
            (RTN_UNICAST, Some(id)) => RouteTarget::NextHop(NextHopId(id)),
            (RTN_UNICAST, None) if self.multipath.is_none() => {
                RouteTarget::Link { link: name(self.link?)?, via: self.via }
            }
            _ => return None,
        };
        Some(Object::Route(self.key(ns), Route { target, preferred_source: self.preferred_source }))
    }
}
