//! Bridged networks, containers on them, and an nftables table to test with.

use std::{net::IpAddr, sync::Arc};

use super::world::{address, ip, link, neighbour, net, route_out_of, sysctl};
use crate::{
    model::{
        BridgePort, Chain, ChainType, Condition, Data, ElementKey, Elements, Expr, FdbKey, FdbTarget, Field,
        Hook, HookPoint, Key, Link, LinkKind, Mac, NftFamily, Ns, Object, Operand, Rule, Set, SetKind,
        TableItem, TableRef, Verdict,
    },
    owner::Owner,
};

/// The bridge of network `blue`, and of every test with one network.
pub(super) const BRIDGE: &str = "pb-blue";

pub(super) fn port_of(bridge: &str) -> BridgePort {
    BridgePort {
        bridge: link(bridge),
        isolated: false,
        hairpin: false,
        neigh_suppress: false,
        learning: true,
    }
}

fn made(kind: LinkKind, name: &str, port: Option<BridgePort>) -> Object {
    let alias = Some(Arc::from(format!("petiole:network={name}")));
    Object::Link(Ns::HOST, link(name), Link { kind, mac: None, mtu: Some(1400), up: true, alias, port })
}

pub(super) fn bridge(name: &str) -> Object {
    made(LinkKind::Bridge { netfilter: false }, name, None)
}

pub(super) fn vxlan(vni: u32, on: &str) -> Object {
    let kind = LinkKind::Vxlan { vni, local: ip("50.1.1.1"), port: 4789 };
    made(kind, &format!("px-{vni}"), Some(port_of(on)))
}

pub(super) fn vlan(tag: u16, parent: &str, on: &str) -> Object {
    made(LinkKind::Vlan { parent: link(parent), tag }, &format!("pv-{tag}"), Some(port_of(on)))
}

/// What is flooded goes to this VTEP too.
pub(super) fn vtep(device: &str, to: &str) -> Object {
    Object::Fdb(FdbKey { link: link(device), mac: Mac([0; 6]), target: FdbTarget::Vtep(ip(to)) })
}

pub(super) fn fdb_out_of(port: &str, mac: Mac) -> Object {
    Object::Fdb(FdbKey { link: link(port), mac, target: FdbTarget::Port })
}

/// A network over VXLAN, its gateway 10.1.2.254.
pub(super) fn vxlan_network(vni: u32, vteps: &[&str]) -> Vec<Object> {
    let device = format!("px-{vni}");
    let mut all = vec![
        bridge(BRIDGE),
        vxlan(vni, BRIDGE),
        sysctl(Ns::HOST, &format!("net/ipv4/conf/{BRIDGE}/rp_filter"), "1"),
        address(Ns::HOST, BRIDGE, "10.1.2.254/32"),
    ];
    all.extend(vteps.iter().map(|to| vtep(&device, to)));
    all
}

/// A container with 10.1.2.`host` on the bridge, behind `v<name>`.
pub(super) fn bridged_container(ns: Ns, name: &str, host: u8, on: &str) -> Vec<Object> {
    let outside = format!("v{name}");
    let here = format!("10.1.2.{host}");
    let veth = LinkKind::Veth { peer_ns: Ns::HOST, peer: link(&outside) };
    let alias = Some(Arc::from(format!("petiole:{name}")));
    let mac = Mac([2, 2, 0, 0, 0, host]);
    let inner =
        Link { kind: veth, mac: Some(mac), mtu: Some(1400), up: true, alias: alias.clone(), port: None };
    let outer = Link {
        kind: LinkKind::VethPeer,
        mac: Some(Mac([6, 2, 0, 0, 0, host])),
        port: Some(port_of(on)),
        ..inner.clone()
    };
    vec![
        Object::Link(ns, link("eth0"), inner),
        Object::Link(Ns::HOST, link(&outside), outer),
        address(ns, "eth0", &format!("{here}/24")),
        fdb_out_of(&outside, mac),
        neighbour(Ns::HOST, on, &here, host),
        route_out_of(Ns::HOST, &format!("{here}/32"), Owner::METRIC, on),
    ]
}

pub(super) fn table() -> TableRef {
    TableRef { family: NftFamily::Inet, name: Arc::from(Owner::NFT_TABLE) }
}

pub(super) fn item(name: &str) -> TableItem {
    TableItem { table: table(), name: Arc::from(name) }
}

pub(super) fn chain(name: &str, hook: Option<Hook>, rules: Vec<Vec<Expr>>) -> Object {
    Object::Chain(item(name), Chain { hook, rules: rules.into_iter().map(Rule).collect() })
}

pub(super) fn hook(point: HookPoint, priority: i32) -> Hook {
    let nat = matches!(point, HookPoint::Prerouting | HookPoint::Postrouting);
    Hook { kind: if nat { ChainType::Nat } else { ChainType::Filter }, point, priority }
}

pub(super) fn set(name: &str, key: &[Field], interval: bool, kind: SetKind) -> Object {
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

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// A subnet's element in the map of sources.
pub(super) fn source(subnet: &str, chain: &str) -> Object {
    let subnet = net(subnet);
    let first = octets(subnet.network()).into();
    let last = Some(octets(subnet.broadcast()).into());
    let to = Data::Verdict(Verdict::Jump(Arc::from(chain)));
    Object::Element(item("sources"), ElementKey { first, last }, Some(to))
}

/// A published port's element; `with_address` in the map's later shape.
pub(super) fn published(port: u16, to: &str, with_address: bool) -> Object {
    let mut first = if with_address { octets(ip("50.1.1.1")) } else { Vec::new() };
    first.push(6);
    first.extend(port.to_be_bytes());
    let key = ElementKey { first: first.into(), last: None };
    Object::Element(item("published"), key, Some(Data::Destination(ip(to), 80)))
}

/// Tenants' isolation and published ports. `with_address`: the map of published ports has one more field.
pub(super) fn ruleset(tenants: &[(&str, &str)], with_address: bool) -> Vec<Object> {
    let mut fields = vec![Field::L4Proto, Field::DestinationPort];
    if with_address {
        fields.insert(0, Field::Ip4Destination);
    }
    let published = Expr::DestinationMap {
        key: fields.iter().copied().map(Operand::Field).collect(),
        map: Arc::from("published"),
        ipv6: false,
    };
    let sources = Expr::VerdictMap { key: vec![Field::Ip4Source.into()], map: Arc::from("sources") };
    let mut all = vec![
        Object::Table(table()),
        chain("forward", Some(hook(HookPoint::Forward, 0)), vec![vec![sources]]),
        chain("dnat", Some(hook(HookPoint::Prerouting, -100)), vec![vec![published]]),
        set("published", &fields, false, SetKind::Destinations4),
        set("sources", &[Field::Ip4Source], true, SetKind::Verdicts),
    ];
    for (tenant, subnet) in tenants {
        let own = Condition::Equal(Field::Ip4Destination, octets(net(subnet).addr()));
        let rules =
            vec![vec![Expr::Match(own), Expr::Verdict(Verdict::Return)], vec![Expr::Verdict(Verdict::Drop)]];
        all.push(chain(tenant, None, rules));
        all.push(source(subnet, tenant));
    }
    all
}

pub(super) fn keys(objects: &[Object]) -> Vec<Key> {
    objects.iter().map(Object::key).collect()
}
