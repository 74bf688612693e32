//! How the traffic of a network travels: `encap`, and the keys that belong to one of its words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Unique,
    host::{Own, not_loopback, not_ours},
};
use crate::{
    diagnostic::Kind,
    family::Family as _,
    found::{At, Found, Span},
    model::Encap,
    schema::{self, read::Written, value::word::EncapWord},
};

/// Port of VXLAN in IANA's registry "Service Name and Transport Protocol Port Number", RFC 7348 section 5.
const VXLAN_PORT: u16 = 4789;

/// What networks may not share.
pub(super) struct Taken {
    tags: Unique<u32>,
    vnis: Unique<u32>,
}

impl Taken {
    pub(super) fn new() -> Self {
        Self { tags: Unique::new(), vnis: Unique::new() }
    }
}

/// The word; `None` when it could not be read.
pub(super) fn word(raw: &schema::Network) -> Option<EncapWord> {
    raw.encap.or(EncapWord::Routed)
}

pub(super) fn encap(
    raw: &schema::Network,
    header: &Span,
    own: &Own,
    taken: &mut Taken,
    found: &mut Found<'_>,
) -> Option<Encap> {
    let word = word(raw)?;
    strangers(raw, word, found);
    match word {
        EncapWord::Routed => Some(Encap::Routed),
        EncapWord::Vlan => vlan(raw, header, taken, found),
        EncapWord::Vxlan => vxlan(raw, header, own, taken, found),
    }
}

/// Reports the keys that belong to another word.
fn strangers(raw: &schema::Network, word: EncapWord, found: &mut Found<'_>) {
    fn span<T>(written: &Written<T>) -> Option<Span> {
        written.get().map(|at| at.span.clone())
    }
    let keys = [
        ("tag", EncapWord::Vlan, span(&raw.tag)),
        ("uplink", EncapWord::Vlan, span(&raw.uplink)),
        ("vni", EncapWord::Vxlan, span(&raw.vni)),
        ("vteps", EncapWord::Vxlan, span(&raw.vteps)),
        ("local", EncapWord::Vxlan, span(&raw.local)),
        ("port", EncapWord::Vxlan, span(&raw.port)),
    ];
    for (key, of, span) in keys {
        let Some(span) = span.filter(|_| of != word) else { continue };
        let error = found.error(
            Kind::Conflict,
            &span,
            format!(
                "`{key}` belongs to `encap = \"{}\"`, and this network is {}",
                of.as_str(),
                word.as_str()
            ),
        );
        if let Some(at) = raw.encap.get() {
            error.also(at.span.clone(), "how its traffic travels");
        } else {
            error.help(format!("add `encap = \"{}\"`, or leave out `{key}`", of.as_str()));
        }
    }
}

/// Reports a key that the word needs.
fn needed<T>(written: &Written<T>, line: &str, word: EncapWord, header: &Span, found: &mut Found<'_>) {
    if !written.is_written() {
        let key = line.split_once(' ').map_or(line, |(key, _)| key);
        let message = format!("`{key}` is missing in a {} network", word.as_str());
        found.error(Kind::MissingKey, header, message).help(format!("add `{line}`, or what is right here"));
    }
}

fn vlan(raw: &schema::Network, header: &Span, taken: &mut Taken, found: &mut Found<'_>) -> Option<Encap> {
    needed(&raw.tag, "tag = 112", EncapWord::Vlan, header, found);
    needed(&raw.uplink, "uplink = \"eth2\"", EncapWord::Vlan, header, found);
    if let Some(At { value, span }) = raw.uplink.get() {
        not_loopback(value, span, found);
        not_ours(value, span, found);
    }
    let (tag, uplink) = (raw.tag.get()?, raw.uplink.value()?);
    let number = tag.value.get();
    taken.tags.claim(number, &tag.span, found, || format!("two networks have the VLAN tag {number}"));
    Some(Encap::Vlan { tag: tag.value.get_u16(), uplink: uplink.clone() })
}

fn vxlan(
    raw: &schema::Network,
    header: &Span,
    own: &Own,
    taken: &mut Taken,
    found: &mut Found<'_>,
) -> Option<Encap> {
    needed(&raw.vni, "vni = 5001", EncapWord::Vxlan, header, found);
    if let Some(At { value, span }) = raw.vni.get() {
        let vni = value.get();
        taken.vnis.claim(vni, span, found, || format!("two networks have the VNI {vni}"));
    }
    if !raw.vteps.is_written() {
        found
            .error(
                Kind::Unsupported,
                header,
                "a vxlan network without `vteps` (learned by EVPN) is not supported by this version",
            )
            .help("add `vteps = [\"50.1.1.1\", \"60.1.1.3\"]`, the addresses of its hosts");
    }
    let vteps = vteps(raw, found);
    let local = local(raw, header, vteps.as_deref(), own, found);
    let (vteps, local) = (vteps?, local?);
    let mut others: Vec<_> =
        vteps.into_iter().filter(|vtep| *vtep != local && !own.addresses.contains_key(vtep)).collect();
    others.sort_unstable();
    Some(Encap::Vxlan {
        vni: raw.vni.value()?.get(),
        local,
        port: match &raw.port {
            Written::Is(at) => at.value.get_u16(),
            Written::Absent => VXLAN_PORT,
            Written::Bad => return None,
        },
        vteps: others,
    })
}

/// The VTEPs as written, when nothing is wrong with them.
fn vteps(raw: &schema::Network, found: &mut Found<'_>) -> Option<Vec<IpAddr>> {
    let list = raw.vteps.get()?;
    let mut unique = Unique::new();
    let mut ok = list.value.complete;
    for at in &list.value.items {
        ok &= is_host(at, found);
        ok &= unique
            .claim(at.value, &at.span, found, || format!("{} is in the list twice", at.value))
            .is_none();
    }
    let items = &list.value.items;
    if let Some(first) = items.first()
        && let Some(other) = items.iter().find(|at| at.value.is_ipv4() != first.value.is_ipv4())
    {
        ok = false;
        mixed(first, other, found);
    }
    ok.then(|| items.iter().map(|at| at.value).collect())
}

fn mixed(first: &At<IpAddr>, other: &At<IpAddr>, found: &mut Found<'_>) {
    let family = |at: &At<IpAddr>| if at.value.is_ipv4() { Ipv4Addr::NAME } else { Ipv6Addr::NAME };
    found
        .error(Kind::Conflict, &other.span, format!("{} is not {}", other.value, family(first)))
        .label(family(other))
        .also(first.span.clone(), family(first))
        .note("a VXLAN device has one address of its own, and sends to those of the same family");
}

/// Reports an address that no other host can have.
fn is_host(At { value, span }: &At<IpAddr>, found: &mut Found<'_>) -> bool {
    let special = match *value {
        IpAddr::V4(address) => Ipv4Addr::special_address(address),
        IpAddr::V6(address) => Ipv6Addr::special_address(address),
    };
    if let Some(what) = special {
        found
            .error(Kind::BadValue, span, format!("{value} is {what}: packets cannot be sent there"))
            .label("the address of a host is needed");
    }
    special.is_none()
}

/// The address that packets are sent from: as written; else one that the list shares with this host; else what other
/// hosts would most likely call it by.
fn local(
    raw: &schema::Network,
    header: &Span,
    vteps: Option<&[IpAddr]>,
    own: &Own,
    found: &mut Found<'_>,
) -> Option<IpAddr> {
    if raw.local.is_written() {
        let at = raw.local.get()?;
        if !is_host(at, found) {
            return None;
        }
        let list = raw.vteps.items();
        if let Some(other) = list.first().filter(|other| other.value.is_ipv4() != at.value.is_ipv4()) {
            mixed(other, at, found);
            return None;
        }
        return Some(at.value);
    }
    let vteps = vteps?;
    if let Some(own) = vteps.iter().find(|vtep| own.addresses.contains_key(vtep)) {
        return Some(*own);
    }
    let families: &[bool] = match vteps.first() {
        Some(vtep) => &[vtep.is_ipv4()],
        None => &[true, false],
    };
    let address = families.iter().find_map(|v4| own.first(*v4));
    if address.is_none() && own.complete {
        found
            .error(
                Kind::MissingKey,
                header,
                "it is not known which address of this host the VXLAN is sent from",
            )
            .help("add `local`, or this host's own address to `vteps`")
            .help(
                "or a `loopback` to `[host]`, or an `address` to an `[[uplink]]`, of the family of `vteps`",
            );
    }
    address
}
