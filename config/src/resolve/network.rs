//! `[[network]]`.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    Unique, encap,
    host::Own,
    subnet::{Keys, SubnetAt, subnet},
    tenant::Tenants,
};
use crate::{
    diagnostic::Kind,
    found::{At, Found},
    model::{Advertise, Encap, Network, ScopedName},
    schema::{
        self,
        read::Written,
        value::{Seconds, word::EncapWord},
    },
};

/// A network, with the places of its subnets. What is wrong with one part of it leaves the others.
pub(super) struct NetworkAt {
    pub(super) id: ScopedName,
    pub(super) v4: SubnetAt<Ipv4Addr>,
    pub(super) v6: SubnetAt<Ipv6Addr>,
    pub(super) advertise: Option<Advertise>,
    pub(super) encap: Option<Encap>,
    masquerade: Option<bool>,
    mtu: Option<u32>,
    quarantine: Option<u32>,
}

pub(super) fn networks(
    raw: &[At<schema::Network>],
    tenants: &Tenants,
    own: &Own,
    found: &mut Found<'_>,
) -> Vec<NetworkAt> {
    let mut names = Unique::new();
    let mut taken = encap::Taken::new();
    let mut networks = Vec::new();
    for At { value: raw, span: header } in raw {
        let tenant = tenants.of(&raw.tenant, found);
        let id = tenant.zip(raw.name.get()).map(|(tenant, at)| ScopedName::new(tenant, at.value.clone()));
        if let (Some(id), Some(At { span, .. })) = (&id, raw.name.get()) {
            names.claim(id.clone(), span, found, || format!("two networks are called `{id}`"));
        }
        let encap = encap::encap(raw, header, own, &mut taken, found);
        // What could not be read counts as what it is without a word.
        let routed = encap::word(raw).is_none_or(|word| word == EncapWord::Routed);
        let (v4, v6) = subnets(raw, routed, found);
        if !raw.subnet.is_written() && !raw.subnet6.is_written() {
            found
                .error(Kind::MissingKey, header, "a network has a `subnet`, a `subnet6`, or both")
                .help("add `subnet = \"192.168.1.0/24\"`, or what is right here");
        }
        let way_in = routed || raw.gateway.is_written() || raw.gateway6.is_written();
        let advertise = advertise(raw, routed, way_in, found);
        masquerade(raw, way_in, found);
        let mtu = mtu(raw, found);
        let Some(id) = id else { continue };
        networks.push(NetworkAt {
            id,
            v4,
            v6,
            advertise,
            encap,
            masquerade: raw.masquerade.or(false),
            mtu,
            quarantine: raw.quarantine.or(Seconds(30)).map(|seconds| seconds.0.into()),
        });
    }
    networks
}

impl NetworkAt {
    /// The network, when nothing is wrong with it.
    pub(super) fn into_config(self) -> Option<Network> {
        Some(Network {
            id: self.id,
            encap: self.encap?,
            v4: self.v4.subnet.ok()?,
            v6: self.v6.subnet.ok()?,
            advertise: self.advertise?,
            masquerade: self.masquerade?,
            mtu: self.mtu,
            quarantine: self.quarantine?,
        })
    }
}

fn subnets(
    raw: &schema::Network,
    routed: bool,
    found: &mut Found<'_>,
) -> (SubnetAt<Ipv4Addr>, SubnetAt<Ipv6Addr>) {
    let v4 = Keys { net: &raw.subnet, gateway: &raw.gateway, pool: &raw.pool, exclude: &raw.exclude, routed };
    let v6 =
        Keys { net: &raw.subnet6, gateway: &raw.gateway6, pool: &raw.pool6, exclude: &raw.exclude6, routed };
    (subnet(&v4, found), subnet(&v6, found))
}

/// What BGP says. `way_in`: this host has routes to the containers.
fn advertise(raw: &schema::Network, routed: bool, way_in: bool, found: &mut Found<'_>) -> Option<Advertise> {
    let At { value, span } = match &raw.advertise {
        Written::Is(at) => at,
        Written::Bad => return None,
        Written::Absent if way_in => return Some(Advertise::Endpoints),
        Written::Absent => return Some(Advertise::None),
    };
    match (value, way_in) {
        (Advertise::Endpoints | Advertise::Subnet, false) => {
            found
                .error(Kind::Conflict, span, "a bridged network without a gateway cannot be advertised")
                .label("allowed is \"none\"")
                .note("what the fabric sends here for it could not be delivered: this host has no way into the network")
                .help("add a `gateway` or `gateway6`, or leave out `advertise`");
        }
        (Advertise::None, true) if !routed => {
            let name = raw.name.value().map_or_else(String::new, |name| format!(" `{name}`"));
            found
                .warning(span, format!("network{name} has a gateway, and its containers are not advertised"))
                .note("the gateway reaches containers on other hosts by what those advertise")
                .help("leave out `advertise`, or the gateway");
        }
        _ => {}
    }
    Some(*value)
}

fn masquerade(raw: &schema::Network, way_in: bool, found: &mut Found<'_>) {
    if let Some(At { span, .. }) = raw.masquerade.get().filter(|at| at.value && !way_in) {
        found
            .error(Kind::Conflict, span, "a bridged network without a gateway has no way out to masquerade")
            .help("add a `gateway` or `gateway6`, or leave out `masquerade`");
    }
}

fn mtu(raw: &schema::Network, found: &mut Found<'_>) -> Option<u32> {
    /// RFC 8200 section 5.
    const IPV6_MIN: u32 = 1280;
    let at = raw.mtu.get()?;
    let mtu = at.value.get();
    if let Some(subnet6) = raw.subnet6.get().filter(|_| mtu < IPV6_MIN) {
        found
            .error(Kind::BadValue, &at.span, format!("an MTU of {mtu} is too small for IPv6"))
            .label(format!("allowed is {IPV6_MIN} to 65535"))
            .also(subnet6.span.clone(), "IPv6")
            .note("every link must carry 1280 bytes (RFC 8200 section 5)");
    }
    Some(mtu)
}
