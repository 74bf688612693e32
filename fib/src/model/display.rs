//! Objects, keys and operations as text: one line each, for `petiole plan`, logs and expected test results.

use std::fmt;

use super::{
    ElementKey, FdbKey, FdbTarget, Key, Link, LinkKind, Mac, NextHop, NextHopId, Ns, Object, Op, Route,
    RouteKey, RouteTarget,
};

impl fmt::Display for NextHopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// ` in ns 7`; nothing for the host's.
struct In(Ns);

impl fmt::Display for In {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Ns::HOST { Ok(()) } else { write!(f, " in ns {}", self.0.0) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl(ns, path) => write!(f, "sysctl {path}{}", In(*ns)),
            Self::Link(ns, name) => write!(f, "link {name}{}", In(*ns)),
            Self::Address(ns, link, address) => write!(f, "address {address} on {link}{}", In(*ns)),
            Self::Neighbour(ns, link, address) => write!(f, "neighbour {address} on {link}{}", In(*ns)),
            Self::NextHop(id) => write!(f, "nexthop {id}"),
            Self::Route(key) => key.fmt(f),
            Self::Fdb(key) => key.fmt(f),
            Self::Qdisc(link) => write!(f, "qdisc of {link}"),
            Self::Redirect(link) => write!(f, "redirect of {link}"),
            Self::Table(table) => write!(f, "table {table}"),
            Self::Chain(chain) => write!(f, "chain {chain}"),
            Self::Set(set) => write!(f, "set {set}"),
            Self::Element(set, key) => write!(f, "element {set} {key}"),
        }
    }
}

impl fmt::Display for FdbKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { link, mac, target } = self;
        match target {
            FdbTarget::Vtep(vtep) if *mac == Mac([0; 6]) => write!(f, "fdb flood on {link} to {vtep}"),
            FdbTarget::Vtep(vtep) => write!(f, "fdb {mac} on {link} to {vtep}"),
            FdbTarget::Port => write!(f, "fdb {mac} out of {link}"),
        }
    }
}

/// Octets in hexadecimal: only who knows the set's fields could say more.
impl fmt::Display for ElementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        if let Some(last) = &self.last {
            f.write_str("-")?;
            last.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ns, table, prefix, metric } = self;
        write!(f, "route {prefix}")?;
        if *table != 254 {
            write!(f, " table {table}")?;
        }
        write!(f, " metric {metric}{}", In(*ns))
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key().fmt(f)?;
        match self {
            Self::Sysctl(_, _, value) => write!(f, " = {value}"),
            Self::Link(_, _, link) => write!(f, ":{link}"),
            Self::Address(..) => Ok(()),
            Self::Neighbour(_, _, _, mac) => write!(f, " at {mac}"),
            Self::NextHop(_, next_hop) => write!(f, " {next_hop}"),
            Self::Route(_, route) => write!(f, " {route}"),
            Self::Fdb(_) | Self::Table(_) => Ok(()),
            Self::Qdisc(_, qdisc) => write!(f, " {qdisc}"),
            Self::Redirect(_, Some(to)) => write!(f, " to {to}"),
            Self::Redirect(_, None) => f.write_str(" to nowhere"),
            Self::Chain(_, chain) => write!(f, " with {} rules", chain.rules.len()),
            Self::Set(..) => Ok(()),
            Self::Element(_, _, data) => data.as_ref().map_or(Ok(()), |data| write!(f, " : {data}")),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            LinkKind::Veth { peer_ns, peer } => write!(f, " veth with {peer}{}", In(*peer_ns)),
            LinkKind::Bridge { netfilter: false } => f.write_str(" bridge"),
            LinkKind::Bridge { netfilter: true } => f.write_str(" bridge netfilter"),
            LinkKind::Vlan { parent, tag } => write!(f, " vlan {tag} of {parent}"),
            LinkKind::Vxlan { vni, local, port } => write!(f, " vxlan {vni} from {local} port {port}"),
            LinkKind::Ifb => f.write_str(" ifb"),
            LinkKind::VethPeer | LinkKind::Foreign => Ok(()),
        }?;
        if let Some(mac) = self.mac {
            write!(f, " mac {mac}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Some(alias) = &self.alias {
            write!(f, " alias {alias}")?;
        }
        if let Some(port) = &self.port {
            write!(f, " port of {}", port.bridge)?;
            let flags = [
                (port.isolated, " isolated"),
                (port.hairpin, " hairpin"),
                (port.neigh_suppress, " neigh-suppress"),
                (!port.learning, " no-learning"),
            ];
            flags.iter().filter(|(on, _)| *on).try_for_each(|(_, word)| f.write_str(word))?;
        }
        f.write_str(if self.up { " up" } else { " down" })
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single { via, link, onlink } => {
                write!(f, "via {via} on {link}{}", if *onlink { " onlink" } else { "" })
            }
            Self::Group(members) => {
                f.write_str("group")?;
                members.iter().try_for_each(|id| write!(f, " {id}"))
            }
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            RouteTarget::NextHop(id) => write!(f, "nexthop {id}"),
            RouteTarget::Link { link, via: None } => write!(f, "out of {link}"),
            RouteTarget::Link { link, via: Some(via) } => write!(f, "via {via} on {link}"),
            RouteTarget::Unreachable => f.write_str("unreachable"),
            RouteTarget::Blackhole => f.write_str("blackhole"),
        }?;
        match self.preferred_source {
            Some(source) => write!(f, " source {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(object) => write!(f, "create {object}"),
            Self::Change(object) => write!(f, "change {object}"),
            Self::Delete(key) => write!(f, "delete {key}"),
        }
    }
}
