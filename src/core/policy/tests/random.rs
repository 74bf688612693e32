//! Random configurations and packets, and what becomes of these by the rules' own words.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use petiole_config::{
    HostConfig,
    model::{AclAction, AclRule, DefaultAction, Direction, Peer, ScopedName, Service as Wanted},
};
use petiole_fib::acl::{Flow, Scope, Service};
use petiole_netns_tests::Chance;

use super::super::compile::RuleName;
use crate::core::tests::config;

/// A configuration, and who is where.
pub(super) struct World {
    pub(super) text: String,
    pub(super) config: HostConfig,
    pub(super) members: Vec<(Scope, IpAddr, Option<ScopedName>)>,
}

/// What becomes of a packet.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) drop: bool,
    pub(super) rule: Option<RuleName>,
}

/// What an address is to rules.
#[derive(Debug, PartialEq)]
enum Who {
    Nobody,
    In(ScopedName),
    Unknown(ScopedName),
}

/// The n-th address of the first or second network, or (2) of neither.
fn address(network: usize, n: u8, v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0xfd00, network as u16, 0, 0, 0, 0, 0, n.into()).into()
    } else {
        Ipv4Addr::new(172, 16, network as u8, n).into()
    }
}

const NETWORKS: &str = r#"
[[network]]
name = "n0"
subnet = "172.16.0.0/24"
subnet6 = "fd00:0::/64"
[[network]]
name = "n1"
subnet = "172.16.1.0/24"
subnet6 = "fd00:1::/64"
gateway6 = "fd00:1::fe"
"#;

const GROUPS: [(&str, &str); 5] = [("a", "n0"), ("b", "n0"), ("pool", "n0"), ("c", "n1"), ("d", "n1")];

impl World {
    pub(super) fn random(chance: &mut Chance) -> Self {
        let mut text = NETWORKS.to_owned();
        for (name, network) in GROUPS {
            let _ = write!(text, "[[group]]\nname = \"{name}\"\nnetwork = \"{network}\"\n");
            if name == "pool" {
                text += "pool = [\"172.16.0.8-172.16.0.9\"]\npool6 = [\"fd00:0::8-fd00:0::9\"]\n";
            }
            let policies: Vec<_> = (0..4).filter(|_| chance.one_in(3)).map(|n| format!("\"p{n}\"")).collect();
            let _ = writeln!(text, "policies = [{}]", policies.join(", "));
            if chance.one_in(4) {
                text += "default = \"deny\"\n";
            }
        }
        for policy in 0..4 {
            let _ = write!(text, "[[policy]]\nname = \"p{policy}\"\nrules = [\n");
            for rule in 0..chance.below(7) {
                text += &random_rule(chance, rule);
            }
            text += "]\n";
        }
        let config = config(&text);
        let mut members = Vec::new();
        for network in 0..2 {
            for n in 1..12 {
                if chance.one_in(3) {
                    continue;
                }
                let own: Vec<&str> =
                    GROUPS.iter().filter(|(_, of)| of.ends_with(&network.to_string())).map(|g| g.0).collect();
                let in_pool = network == 0 && (8..=9).contains(&n);
                let group = match chance.below(4) {
                    _ if in_pool => Some("pool"),
                    0 => None,
                    _ => Some(*chance.of(&own)).filter(|name| *name != "pool"),
                };
                let group = group.map(|name| name.parse::<ScopedName>().unwrap());
                for v6 in [false, true] {
                    members.push((Scope::ROUTED, address(network, n, v6), group.clone()));
                }
            }
        }
        Self { text, config, members }
    }

    pub(super) fn flow(chance: &mut Chance) -> Flow {
        let v6 = chance.one_in(2);
        let mut end = || address(*chance.of(&[0, 0, 1, 1, 2]), 1 + chance.below(13) as u8, v6);
        let (source, destination) = (end(), end());
        let icmp = if v6 { 58 } else { 1 };
        let (echo, reply) = if v6 { (128, 129) } else { (8, 0) };
        let services = [
            Service::port(6, 80),
            Service::port(6, 81),
            Service::port(6, 8001),
            Service::port(17, 53),
            Service::port(17, 80),
            Service::port(132, 80),
            Service::icmp(icmp, echo, 0),
            Service::icmp(icmp, reply, 0),
            Service::icmp(icmp, 1, 3),
            Service::port(47, 0),
            Service::port(50, 0),
        ];
        Flow { scope: Scope::ROUTED, source, destination, service: *chance.of(&services), mark: 0 }
    }

    /// By the words of docs/config.md, and nothing else.
    pub(super) fn judge(&self, flow: &Flow) -> Judgement {
        let nobody = Judgement { drop: false, rule: None };
        let is_member = |address| self.members.iter().any(|(_, a, _)| *a == address);
        if !is_member(flow.source) && !is_member(flow.destination) {
            return nobody;
        }
        let (from, to) = (self.who(flow.source), self.who(flow.destination));
        let mut deciding: Vec<(u8, bool, Reverse<usize>, bool, RuleName)> = Vec::new();
        let mut order = 0;
        for (own, other, other_address, direction) in
            [(&to, &from, flow.source, Direction::In), (&from, &to, flow.destination, Direction::Out)]
        {
            let Who::In(own) = own else { continue };
            let Some(group) = self.config.group(own) else { continue };
            for policy in group.policies.iter().filter_map(|id| self.config.policy(id)) {
                for rule in policy.rules.iter().filter(|r| r.direction == direction) {
                    order += 1;
                    if self.is_other(rule, other, other_address) && is_about(&rule.service, flow.service) {
                        let name = RuleName::Rule { policy: policy.id.clone(), id: rule.id.clone() };
                        let deny = rule.action == AclAction::Deny;
                        deciding.push((rule.priority.get(), deny, Reverse(order), deny, name));
                    }
                }
            }
            order += 1;
            if group.default == DefaultAction::Deny {
                deciding.push((0, true, Reverse(order), true, RuleName::Default(own.clone())));
            }
        }
        deciding.into_iter().max().map_or(nobody, |(.., drop, rule)| Judgement { drop, rule: Some(rule) })
    }

    fn who(&self, address: IpAddr) -> Who {
        if let Some((_, _, group)) = self.members.iter().find(|(_, a, _)| *a == address) {
            return group.clone().map_or(Who::Nobody, Who::In);
        }
        let in_pool = |group: &&petiole_config::model::Group| match address {
            IpAddr::V4(a) => group.all4.iter().any(|r| r.contains(a)),
            IpAddr::V6(a) => group.all6.iter().any(|r| r.contains(a)),
        };
        if let Some(group) = self.config.groups.iter().find(in_pool) {
            return Who::In(group.id.clone());
        }
        let network = self.config.networks.iter().find(|n| n.prefixes().contains(&address));
        match network {
            Some(network) if !network.gateways().contains(&address) => Who::Unknown(network.id.clone()),
            _ => Who::Nobody,
        }
    }

    fn is_other(&self, rule: &AclRule, other: &Who, address: IpAddr) -> bool {
        if rule.peer.excludes(address) {
            return false;
        }
        match &rule.peer {
            Peer::Any | Peer::Of { group: None, .. } => true,
            Peer::Network(id) => self.config.network(id).is_some_and(|n| n.prefixes().contains(&address)),
            Peer::Of { group: Some(group), .. } => match other {
                Who::In(id) => id == group,
                Who::Unknown(network) => {
                    rule.action == AclAction::Deny
                        && self.config.group(group).is_some_and(|g| g.network == *network)
                }
                Who::Nobody => false,
            },
        }
    }
}

/// What a network's addresses are.
trait Addresses {
    fn prefixes(&self) -> Nets;
    fn gateways(&self) -> BTreeSet<IpAddr>;
}

struct Nets(Vec<ipnet::IpNet>);

impl Nets {
    fn contains(&self, address: &IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(address))
    }
}

impl Addresses for petiole_config::model::Network {
    fn prefixes(&self) -> Nets {
        let v4 = self.v4.as_ref().map(|s| ipnet::IpNet::V4(s.net));
        Nets(v4.into_iter().chain(self.v6.as_ref().map(|s| ipnet::IpNet::V6(s.net))).collect())
    }

    fn gateways(&self) -> BTreeSet<IpAddr> {
        let v4 = self.v4.as_ref().and_then(|s| s.gateway).map(IpAddr::V4);
        v4.into_iter().chain(self.v6.as_ref().and_then(|s| s.gateway).map(IpAddr::V6)).collect()
    }
}

fn is_about(wanted: &Wanted, service: Service) -> bool {
    match wanted {
        Wanted::Any => true,
        Wanted::Protocol(protocol) => service.protocol() == *protocol,
        Wanted::Ports(protocol, ports) => {
            let port = service.number();
            service.protocol() == *protocol && ports.iter().any(|r| (r.first()..=r.last()).contains(&port))
        }
        Wanted::Icmp(None) => [1, 58].contains(&service.protocol()),
        Wanted::Icmp(Some(kinds)) => {
            let kind = (service.number() >> 8) as u8;
            kinds.iter().any(|k| match service.protocol() {
                1 => k.v4 == Some(kind),
                58 => k.v6 == Some(kind),
                _ => false,
            })
        }
    }
}

fn random_rule(chance: &mut Chance, id: usize) -> String {
    let (direction, word) = *chance.of(&[("in", "from"), ("out", "to")]);
    let mut rule = format!("{{ id = \"{id}\", direction = \"{direction}\"");
    let group = format!(", {word}-group = \"{}\"", chance.of(&GROUPS).0);
    let addresses = [
        "172.16.0.0/28",
        "172.16.0.4-172.16.1.3",
        "0.0.0.0/0\", \"::/0",
        "172.16.2.5\", \"fd00:2::/64",
        "fd00:0::2-fd00:0::6\", \"172.16.0.2-172.16.0.6",
        "172.16.0.3\", \"172.16.0.4\", \"172.16.1.7\", \"fd00:1::7",
    ];
    let address = format!(", {word}-address = [\"{}\"]", chance.of(&addresses));
    let peer = match chance.below(5) {
        0 => String::new(),
        1 => format!(", {word}-network = \"n{}\"", chance.below(2)),
        2 => address,
        3 => group,
        _ => group + &address,
    };
    rule += &peer;
    let services = [
        "",
        ", protocol = \"tcp\"",
        ", protocol = \"tcp\", port = \"80\"",
        ", protocol = \"tcp\", port = \"80,81,8000-8010\"",
        ", protocol = \"udp\", port = \"50-90\"",
        ", protocol = \"udp\"",
        ", protocol = \"icmp\"",
        ", protocol = \"icmp\", icmp-type = [\"echo-request\"]",
        ", protocol = 47",
        ", protocol = \"sctp\", port = \"80\"",
    ];
    rule += chance.of::<&str>(&services);
    if chance.one_in(2) {
        rule += ", action = \"deny\"";
    }
    if chance.one_in(2) {
        let _ = write!(rule, ", priority = {}", 1 + chance.below(4));
    }
    rule + " },\n"
}
