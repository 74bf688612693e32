//! The other side of a rule: the keys that begin with `from-` and `to-`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    known::{Known, NetworkView},
    subnet::united,
};
use crate::{
    diagnostic::Kind,
    found::{At, Found, Span},
    model::{AddrRange, Direction, Name, Peer, Service},
    schema::{
        self,
        read::{List, Written},
        value::AnyRange,
    },
};

/// The other side of a rule, when nothing is wrong with it.
pub(super) struct PeerAt {
    pub(super) peer: Peer,
    /// Where a group is named.
    pub(super) group: Option<Span>,
    /// What each key has, for [`meet`].
    pub(super) families: Vec<Families>,
}

/// The keys of one direction.
struct Keys<'a> {
    /// "from" or "to".
    word: &'static str,
    group: &'a Written<Name>,
    network: &'a Written<Name>,
    address: &'a Written<List<AnyRange>>,
}

pub(super) fn peer(
    raw: &schema::AclRule,
    direction: Option<Direction>,
    tenant: Option<&Name>,
    known: &Known<'_>,
    found: &mut Found<'_>,
) -> Option<PeerAt> {
    let from =
        Keys { word: "from", group: &raw.from_group, network: &raw.from_network, address: &raw.from_address };
    let to = Keys { word: "to", group: &raw.to_group, network: &raw.to_network, address: &raw.to_address };
    // What the keys say is looked at whether or not the rule has the direction for them: no mistake hides another.
    let (from_peer, to_peer) = (from.resolve(tenant, known, found), to.resolve(tenant, known, found));
    let (own, other, peer) = match direction? {
        Direction::In => (from, to, from_peer),
        Direction::Out => (to, from, to_peer),
    };
    let alone = own.only(&other, raw.direction.get().map(|at| &at.span), found);
    peer.filter(|_| alone)
}

impl Keys<'_> {
    fn spans(&self) -> [(&'static str, Option<&Span>); 3] {
        [
            ("group", self.group.get().map(|at| &at.span)),
            ("network", self.network.get().map(|at| &at.span)),
            ("address", self.address.get().map(|at| &at.span)),
        ]
    }

    fn are_written(&self) -> bool {
        self.group.is_written() || self.network.is_written() || self.address.is_written()
    }

    /// Whether no key of the other direction is written.
    fn only(&self, other: &Keys<'_>, direction: Option<&Span>, found: &mut Found<'_>) -> bool {
        let (this_way, that_way) = if self.word == "from" { ("in", "out") } else { ("out", "in") };
        for (key, span) in other.spans() {
            let Some(span) = span else { continue };
            let error = found.error(
                Kind::Conflict,
                span,
                format!("`{}-{key}` in a rule with `direction = \"{this_way}\"`", other.word),
            );
            match direction {
                Some(direction) => error.also(direction.clone(), "the direction"),
                None => error.note(format!("without `direction`, a rule is `\"{this_way}\"`")),
            };
            error.help(format!("write `{}-{key}`, or `direction = \"{that_way}\"`", self.word));
        }
        !other.are_written()
    }

    fn resolve(&self, tenant: Option<&Name>, known: &Known<'_>, found: &mut Found<'_>) -> Option<PeerAt> {
        let apart = self.network_alone(found);
        let group =
            tenant.zip(self.group.get()).and_then(|(t, at)| Some((known.find_group(t, at, found)?, at)));
        let network =
            tenant.zip(self.network.get()).and_then(|(t, at)| Some((known.find_network(t, at, found)?, at)));
        let addresses = self.addresses(found);
        if !apart
            || self.group.is_written() && group.is_none()
            || self.network.is_written() && network.is_none()
        {
            return None;
        }
        let (v4, v6) = addresses?;
        let mut families = Vec::new();
        if let Some((view, at)) = network {
            families.extend(Families::of_network(view, &at.span));
        }
        if let Some((view, at)) = group {
            let network = view.network.and_then(|network| known.network(network));
            families.extend(network.and_then(|network| Families::of_network(network, &at.span)));
        }
        if let Some(At { span, .. }) = self.address.get() {
            families.push(Families { v4: !v4.is_empty(), v6: !v6.is_empty(), span: span.clone() });
        }
        let id = group.map(|(view, _)| view.id.clone());
        let peer = match network {
            Some((view, _)) => Peer::Network(view.id.clone()),
            None if id.is_none() && v4.is_empty() && v6.is_empty() => Peer::Any,
            None => Peer::Of { group: id, v4, v6 },
        };
        Some(PeerAt { peer, group: group.map(|(_, at)| at.span.clone()), families })
    }

    /// Whether a network stands alone, where there is one.
    fn network_alone(&self, found: &mut Found<'_>) -> bool {
        let Some(At { span: network, .. }) = self.network.get() else { return true };
        let (word, mut alone) = (self.word, true);
        for (key, span) in self.spans() {
            let Some(span) = span.filter(|_| key != "network") else { continue };
            alone = false;
            found
                .error(
                    Kind::Conflict,
                    span,
                    format!("`{word}-network` and `{word}-{key}` exclude each other"),
                )
                .also(network.clone(), "the network")
                .help(if key == "group" {
                    format!("leave out `{word}-network`: a group is in one network")
                } else {
                    format!(
                        "leave out `{word}-network`, or `{word}-address` where all of the network is meant"
                    )
                });
        }
        alone
    }

    /// The addresses of each family, ascending and apart; empty when none are written.
    fn addresses(&self, found: &mut Found<'_>) -> Option<Addresses> {
        if let Some(span) = self.address.empty() {
            let key = format!("{}-address", self.word);
            found
                .error(Kind::BadValue, span, format!("`{key}` is empty: no packet could match"))
                .label("at least one is needed")
                .help(format!("leave out `{key}` for any address"));
            return None;
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for At { value, .. } in self.address.items() {
            match value {
                AnyRange::V4(range) => v4.push(*range),
                AnyRange::V6(range) => v6.push(*range),
            }
        }
        self.address.is_complete().then(|| (united(v4), united(v6)))
    }
}

type Addresses = (Vec<AddrRange<Ipv4Addr>>, Vec<AddrRange<Ipv6Addr>>);

/// The families that packets may have which one key of a rule is about.
pub(super) struct Families {
    v4: bool,
    v6: bool,
    span: Span,
}

impl Families {
    /// `None`: not known, or no subnet at all, and either has been reported.
    fn of_network(network: NetworkView<'_>, span: &Span) -> Option<Self> {
        let (v4, v6) = (network.v4.ok()?.is_some(), network.v6.ok()?.is_some());
        (v4 || v6).then(|| Self { v4, v6, span: span.clone() })
    }

    /// Of types of ICMP; another service is in both.
    pub(super) fn of_service(service: &Service, span: &Span) -> Option<Self> {
        let Service::Icmp(Some(types)) = service else { return None };
        let (v4, v6) = (types.iter().any(|t| t.v4.is_some()), types.iter().any(|t| t.v6.is_some()));
        Some(Self { v4, v6, span: span.clone() })
    }

    fn name(&self) -> &'static str {
        match (self.v4, self.v6) {
            (true, false) => "IPv4 alone",
            (false, true) => "IPv6 alone",
            _ => "both families",
        }
    }
}

/// Reports a rule of which one key is about IPv4 alone and another about IPv6 alone.
pub(super) fn meet<'a>(families: impl Iterator<Item = &'a Families>, found: &mut Found<'_>) {
    let families: Vec<_> = families.collect();
    for (i, this) in families.iter().enumerate() {
        let other = families.iter().take(i).find(|other| !(other.v4 && this.v4 || other.v6 && this.v6));
        if let Some(other) = other {
            found
                .error(Kind::Conflict, &this.span, "no packet could match this rule")
                .label(this.name())
                .also(other.span.clone(), other.name());
            return;
        }
    }
}
