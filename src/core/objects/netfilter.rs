//! What stands in our nftables table: who may not talk to whom, masquerading, published ports.
//!
//! Chains follow the configuration; what a single container needs is elements of sets and maps.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;
use petiole_config::model::{HostConfig, Name, Network, Publish};
use petiole_fib::{
    model::{
        Chain, ChainType, Condition, Data, ElementKey, Elements, Expr, Field, Hook, HookPoint, IfName,
        NftFamily, Object, Operand, Rule, Set, SetKind, TableItem, TableRef, Verdict,
    },
    owner::Owner,
};

use super::{
    container::{Medium, Wiring},
    names,
};

/// `NF_IP_PRI_NAT_DST`: where others translate destinations too.
const PRIORITY_DNAT: i32 = -100;
/// `NF_IP_PRI_NAT_SRC`.
const PRIORITY_SNAT: i32 = 100;
/// `NF_IP_PRI_FILTER`.
const PRIORITY_FILTER: i32 = 0;
/// `IPS_DST_NAT` in `nf_conntrack_common.h`: the connection's destination was translated.
const IPS_DST_NAT: u32 = 1 << 5;
/// `RTN_LOCAL` in `rtnetlink.h`.
const RTN_LOCAL: u32 = 2;
/// `NFPROTO_IPV6`.
const NFPROTO_IPV6: u8 = 10;

/// Sources that are masqueraded.
const MASQUERADE: [&str; 2] = ["masquerade4", "masquerade6"];
/// All networks of this host's file: traffic between them keeps its addresses.
const NETWORKS: [&str; 2] = ["networks4", "networks6"];
/// Published ports, on every address of the host.
const PUBLISH: [&str; 2] = ["publish4", "publish6"];
/// Published ports on one address.
const PUBLISH_AT: [&str; 2] = ["publish-at4", "publish-at6"];
/// Source and destination of connections to a published port whose answers would not come back through the host.
const HAIRPIN: [&str; 2] = ["hairpin4", "hairpin6"];
/// Addresses that only the host itself can reach.
const LOOPBACK: [&str; 2] = ["loopback4", "loopback6"];
/// A tenant's chain by the source of a packet.
const TENANTS: [&str; 2] = ["tenants4", "tenants6"];
/// Incoming and outgoing link of what only passes a bridge of ours. The kernel shows us that as forwarded packets where
/// `net.bridge.bridge-nf-call-iptables` is set, as Docker and Kubernetes set it; they are nobody's to judge here.
const BRIDGED: &str = "bridged";
/// Subnets of networks that the host routes, of all tenants.
const SUBNETS: [&str; 2] = ["subnets4", "subnets6"];

/// The families, as index into the names above.
const FAMILIES: [usize; 2] = [0, 1];
const SOURCE: [Field; 2] = [Field::Ip4Source, Field::Ip6Source];
const DESTINATION: [Field; 2] = [Field::Ip4Destination, Field::Ip6Destination];

fn table() -> TableRef {
    TableRef { family: NftFamily::Inet, name: Owner::NFT_TABLE.into() }
}

fn item(name: &str) -> TableItem {
    TableItem { table: table(), name: name.into() }
}

fn set(name: &str, key: &[Field], interval: bool, kind: SetKind) -> Object {
    Object::Set(
        item(name),
        Set {
            key: key.to_vec(),
            elements: if interval { Elements::Ranges } else { Elements::Values },
            kind,
            counted: false,
        },
    )
}

fn chain(name: &str, hook: Option<(ChainType, HookPoint, i32)>, rules: Vec<Vec<Expr>>) -> Object {
    let hook = hook.map(|(kind, point, priority)| Hook { kind, point, priority });
    Object::Chain(item(name), Chain { hook, rules: rules.into_iter().map(Rule).collect() })
}

fn element(set: &str, first: &[u8], last: Option<&[u8]>, data: Option<Data>) -> Object {
    let key = ElementKey { first: Arc::from(first), last: last.map(Arc::from) };
    Object::Element(item(set), key, data)
}

/// Fields as a key to look up.
fn operands(fields: &[Field]) -> Vec<Operand> {
    fields.iter().copied().map(Operand::Field).collect()
}

fn within(fields: &[Field], set: &str) -> Expr {
    Expr::Match(Condition::In(operands(fields), set.into()))
}

fn outside(fields: &[Field], set: &str) -> Expr {
    Expr::Match(Condition::NotIn(operands(fields), set.into()))
}

/// The octets of an address.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// A link's name as it stands beside a packet.
fn link_octets(name: &IfName) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[..name.as_str().len()].copy_from_slice(name.as_str().as_bytes());
    octets
}

/// First and last address of a network's subnet of one family.
type Span = (IpAddr, IpAddr);

/// A network's subnets by family, where the host routes: without a gateway they may be another network's too.
fn spans(n: &Network) -> [Option<Span>; 2] {
    let v4 = n.v4.as_ref().filter(|s| s.gateway.is_some()).map(|s| IpNet::V4(s.net));
    let v6 = n.v6.as_ref().filter(|s| s.gateway.is_some()).map(|s| IpNet::V6(s.net));
    [v4, v6].map(|net| net.map(|net| (net.network(), net.broadcast())))
}

/// Our table as the configuration asks for it, and with it whether some container has published ports. `judging`: policies
/// need the table, too.
pub(crate) fn netfilter(config: &HostConfig, publishing: bool, judging: bool) -> Vec<Object> {
    let mut objects = Vec::new();
    isolation(config, &mut objects);
    masquerading(config, publishing, &mut objects);
    if publishing {
        publishing_chains(&mut objects);
    }
    if judging || !objects.is_empty() {
        objects.insert(0, Object::Table(table()));
    }
    objects
}

/// Nothing passes between tenants through the host, and no container speaks from an address that is not its own.
///
/// By source address: the reverse-path check holds it to the link that it came by, and subnets of networks that the
/// host routes do not overlap. So packets that come from the fabric are judged too, whichever host sent them.
fn isolation(config: &HostConfig, objects: &mut Vec<Object>) {
    let routed: Vec<&Network> = config.networks.iter().filter(|n| n.has_host_routes()).collect();
    let mut rules = Vec::new();
    if routed.iter().any(|n| n.v6.is_some()) {
        // IPv6 has no rp_filter. A container's link-local address reaches only the host itself.
        rules.push(vec![
            Expr::Match(Condition::Equal(Field::NfProto, vec![NFPROTO_IPV6])),
            Expr::Match(Condition::Equal(Field::IifGroup, Owner::LINK_GROUP.to_ne_bytes().to_vec())),
            Expr::Match(Condition::Equal(Field::ReversePath, 0_u32.to_ne_bytes().to_vec())),
            Expr::Verdict(Verdict::Drop),
        ]);
    }
    let mut tenants: Vec<&Name> = routed.iter().map(|n| &n.id.tenant).collect();
    tenants.sort();
    tenants.dedup();
    let mut input = Vec::new();
    if tenants.len() > 1 {
        for f in FAMILIES {
            objects.push(set(TENANTS[f], &SOURCE[f..=f], true, SetKind::Verdicts));
            objects.push(set(SUBNETS[f], &DESTINATION[f..=f], true, SetKind::Set));
            let judge = vec![Expr::VerdictMap { key: operands(&SOURCE[f..=f]), map: TENANTS[f].into() }];
            rules.push(judge.clone());
            input.push(judge);
        }
        for tenant in tenants {
            tenant_chain(tenant, objects);
        }
        for n in &routed {
            for (f, span) in spans(n).into_iter().enumerate() {
                let Some((first, last)) = span.map(|(a, b)| (octets(a), octets(b))) else { continue };
                let jump = Data::Verdict(Verdict::Jump(tenant_name(&n.id.tenant).into()));
                objects.push(element(TENANTS[f], &first, Some(&last), Some(jump)));
                objects.push(element(SUBNETS[f], &first, Some(&last), None));
                objects.push(element(&tenant_set(&n.id.tenant, f), &first, Some(&last), None));
            }
        }
    }
    if !rules.is_empty() {
        let bridged: Vec<&Network> = config.networks.iter().filter(|n| n.encap.is_bridged()).collect();
        if !bridged.is_empty() {
            let links = [Field::IifName, Field::OifName];
            objects.push(set(BRIDGED, &links, false, SetKind::Set));
            for n in bridged {
                let bridge = link_octets(&names::bridge(&n.id));
                objects.push(element(BRIDGED, &[bridge, bridge].concat(), None, None));
            }
            rules.insert(0, vec![within(&links, BRIDGED), Expr::Verdict(Verdict::Return)]);
        }
        let hook = |point| Some((ChainType::Filter, point, PRIORITY_FILTER));
        objects.push(chain("forward", hook(HookPoint::Forward), rules));
        if !input.is_empty() {
            objects.push(chain("input", hook(HookPoint::Input), input));
        }
    }
}

fn tenant_name(tenant: &Name) -> String {
    format!("tenant-{tenant}")
}

fn tenant_set(tenant: &Name, family: usize) -> String {
    format!("tenant-{tenant}-{}", [4, 6][family])
}

/// Where packets from a tenant may not go: to subnets of other tenants.
fn tenant_chain(tenant: &Name, objects: &mut Vec<Object>) {
    let mut rules = Vec::new();
    for f in FAMILIES {
        let own = tenant_set(tenant, f);
        objects.push(set(&own, &DESTINATION[f..=f], true, SetKind::Set));
        rules.push(vec![
            within(&DESTINATION[f..=f], SUBNETS[f]),
            outside(&DESTINATION[f..=f], &own),
            Expr::Counter,
            Expr::Verdict(Verdict::Drop),
        ]);
    }
    objects.push(chain(&tenant_name(tenant), None, rules));
}

/// Source addresses on the way out: of networks that are masqueraded, and of connections that come back to their own
/// network by a published port.
fn masquerading(config: &HostConfig, publishing: bool, objects: &mut Vec<Object>) {
    let masqueraded = config.networks.iter().any(|n| n.masquerade);
    let mut rules = Vec::new();
    for f in FAMILIES {
        if publishing {
            let pair = [SOURCE[f], DESTINATION[f]];
            objects.push(set(HAIRPIN[f], &pair, true, SetKind::Set));
            rules.push(vec![
                Expr::Match(Condition::AnyBit(Field::CtStatus, IPS_DST_NAT)),
                within(&pair, HAIRPIN[f]),
                Expr::Masquerade,
            ]);
        }
        if masqueraded {
            objects.push(set(MASQUERADE[f], &SOURCE[f..=f], true, SetKind::Set));
            objects.push(set(NETWORKS[f], &DESTINATION[f..=f], true, SetKind::Set));
            rules.push(vec![
                // Not on the way to a container, nor on a bridge of ours.
                Expr::Match(Condition::NotEqual(Field::OifGroup, Owner::LINK_GROUP.to_ne_bytes().to_vec())),
                within(&SOURCE[f..=f], MASQUERADE[f]),
                outside(&DESTINATION[f..=f], NETWORKS[f]),
                Expr::Masquerade,
            ]);
        }
    }
    if masqueraded {
        // Bridged networks without a gateway are never routed: their subnets may be anybody's.
        for n in config.networks.iter().filter(|n| n.has_host_routes()) {
            for (f, span) in spans(n).into_iter().enumerate() {
                let Some((first, last)) = span.map(|(a, b)| (octets(a), octets(b))) else { continue };
                objects.push(element(NETWORKS[f], &first, Some(&last), None));
                if n.masquerade {
                    objects.push(element(MASQUERADE[f], &first, Some(&last), None));
                }
            }
        }
    }
    if !rules.is_empty() {
        let hook = (ChainType::Nat, HookPoint::Postrouting, PRIORITY_SNAT);
        objects.push(chain("postrouting", Some(hook), rules));
    }
}

/// Connections to published ports, from elsewhere and from the host itself.
fn publishing_chains(objects: &mut Vec<Object>) {
    let mut here = Vec::new();
    for f in FAMILIES {
        let kind = [SetKind::Destinations4, SetKind::Destinations6][f];
        let any = [Field::L4Proto, Field::DestinationPort];
        let at = [DESTINATION[f], Field::L4Proto, Field::DestinationPort];
        objects.push(set(PUBLISH[f], &any, false, kind));
        objects.push(set(PUBLISH_AT[f], &at, false, kind));
        objects.push(set(LOOPBACK[f], &DESTINATION[f..=f], true, SetKind::Set));
        let map = |fields: &[Field], map: &str| Expr::DestinationMap {
            key: operands(fields),
            map: map.into(),
            ipv6: f == 1,
        };
        here.push(vec![map(&at, PUBLISH_AT[f])]);
        here.push(vec![
            // 127.0.0.1 is no address that a container could answer to.
            outside(&DESTINATION[f..=f], LOOPBACK[f]),
            Expr::Match(Condition::Equal(Field::DestinationType, RTN_LOCAL.to_ne_bytes().to_vec())),
            map(&any, PUBLISH[f]),
        ]);
    }
    let v4 = [Ipv4Addr::new(127, 0, 0, 0), Ipv4Addr::new(127, 255, 255, 255)].map(|a| a.octets());
    let v6 = Ipv6Addr::LOCALHOST.octets();
    objects.push(element(LOOPBACK[0], &v4[0], Some(&v4[1]), None));
    objects.push(element(LOOPBACK[1], &v6, Some(&v6), None));
    for (name, point) in [("prerouting", HookPoint::Prerouting), ("output", HookPoint::Output)] {
        objects.push(chain(name, Some((ChainType::Nat, point, PRIORITY_DNAT)), here.clone()));
    }
}

/// The elements of a container's published ports.
pub(super) fn published(w: &Wiring) -> Vec<Object> {
    let mut objects = Vec::new();
    for to in w.routed() {
        let f = usize::from(to.is_ipv6());
        let of_family = |p: &&Publish| p.address.is_none_or(|a| a.is_ipv4() == to.is_ipv4());
        let mut any = false;
        for p in w.publish.iter().filter(of_family) {
            any = true;
            let protocol = p.protocol.number();
            for (host, container) in
                (p.host.first()..=p.host.last()).zip(p.container.first()..=p.container.last())
            {
                let data = Some(Data::Destination(to, container));
                let port = host.to_be_bytes();
                objects.push(match p.address.filter(|a| !a.is_unspecified()) {
                    Some(at) => {
                        let key = [octets(at), vec![protocol, port[0], port[1]]].concat();
                        element(PUBLISH_AT[f], &key, None, data)
                    }
                    None => element(PUBLISH[f], &[protocol, port[0], port[1]], None, data),
                });
            }
        }
        if any {
            let (first, last) = on_link(w, to);
            let first = [octets(first), octets(to)].concat();
            let last = [octets(last), octets(to)].concat();
            objects.push(element(HAIRPIN[f], &first, Some(&last), None));
        }
    }
    objects
}

/// Sources whose packets the container would answer past the host: itself, and on a bridge all of its subnet.
fn on_link(w: &Wiring, address: IpAddr) -> Span {
    let length = match (&w.medium, address) {
        (Medium::Routed, _) => return (address, address),
        (Medium::Bridged { length4, .. }, IpAddr::V4(_)) => *length4,
        (Medium::Bridged { length6, .. }, IpAddr::V6(_)) => *length6,
    };
    IpNet::new(address, length).map_or((address, address), |net| (net.network(), net.broadcast()))
}
