//! Rules and services in words.

use petiole_config::model::{AclAction, AclRule, IcmpType, Peer, PortRange, Service as Wanted};
use petiole_fib::acl::Service;

use super::rules::ICMP;
use crate::control::explain::{ICMP_TYPES, PROTOCOLS};

/// The word for what a rule does.
pub(super) fn action(action: AclAction) -> &'static str {
    match action {
        AclAction::Allow => "allow",
        AclAction::Deny => "deny",
    }
}

/// The other side of a rule.
pub(super) fn peer(peer: &Peer) -> String {
    match peer {
        Peer::Any => "any".into(),
        Peer::Network(id) => format!("network {id}"),
        Peer::Of { group, v4, v6 } => {
            let v4 = v4.iter().map(ToString::to_string);
            let addresses: Vec<String> = v4.chain(v6.iter().map(ToString::to_string)).collect();
            match (group, addresses.is_empty()) {
                (None, _) => addresses.join(","),
                (Some(group), true) => format!("group {group}"),
                (Some(group), false) => format!("group {group} at {}", addresses.join(",")),
            }
        }
    }
}

/// What a rule is about.
pub(super) fn wanted(rule: &AclRule) -> String {
    match &rule.service {
        Wanted::Any => "any".into(),
        Wanted::Protocol(number) => protocol(*number),
        Wanted::Ports(number, ranges) => {
            let ranges: Vec<String> = ranges.iter().map(PortRange::to_string).collect();
            format!("{} {}", protocol(*number), ranges.join(","))
        }
        Wanted::Icmp(None) => "icmp".into(),
        Wanted::Icmp(Some(types)) => {
            let types: Vec<String> = types.iter().copied().map(icmp_type).collect();
            format!("icmp {}", types.join(","))
        }
    }
}

fn icmp_type(kind: IcmpType) -> String {
    let named = ICMP_TYPES.iter().find(|(_, v4, v6)| (*v4, *v6) == (kind.v4, kind.v6));
    named.map_or_else(|| format!("{:?}/{:?}", kind.v4, kind.v6), |(name, ..)| (*name).to_owned())
}

/// A protocol as people and rules write it.
fn protocol(number: u8) -> String {
    let named = PROTOCOLS.iter().find(|(_, known)| *known == number).map(|(name, _)| (*name).to_owned());
    named
        .or_else(|| (ICMP.contains(&number)).then(|| "icmp".into()))
        .unwrap_or_else(|| format!("protocol {number}"))
}

/// Services, in the family that is meant.
pub(super) fn spans(spans: &[(Service, Service)], v6: bool) -> Vec<String> {
    match spans {
        [(Service::FIRST, Service::LAST)] => vec!["any".into()],
        _ => spans.iter().flat_map(|(first, last)| span(*first, *last, v6)).collect(),
    }
}

/// Services one behind the other, in the family that is meant: ICMP is another protocol in each.
fn span(first: Service, last: Service, v6: bool) -> Vec<String> {
    let mut words = Vec::new();
    let mut whole: Option<(u8, u8)> = None;
    let close = |whole: &mut Option<(u8, u8)>, words: &mut Vec<String>| match whole.take() {
        Some((a, b)) if a == b => words.push(protocol(a)),
        Some((a, b)) => words.push(format!("protocols {a}-{b}")),
        None => {}
    };
    for number in first.protocol()..=last.protocol() {
        let from = if number == first.protocol() { first.number() } else { 0 };
        let to = if number == last.protocol() { last.number() } else { u16::MAX };
        if number == ICMP[usize::from(!v6)] {
            continue;
        }
        match (&mut whole, from == 0 && to == u16::MAX) {
            // Those with a name stand alone.
            (Some((_, b)), true) if protocol(number).contains(' ') && protocol(*b).contains(' ') => {
                *b = number;
            }
            (_, true) => {
                close(&mut whole, &mut words);
                whole = Some((number, number));
            }
            (_, false) => {
                close(&mut whole, &mut words);
                words.push(part(number, from, to));
            }
        }
    }
    close(&mut whole, &mut words);
    words
}

/// Not all of a protocol.
fn part(number: u8, from: u16, to: u16) -> String {
    let name = protocol(number);
    if !ICMP.contains(&number) {
        return if from == to { format!("{name} {from}") } else { format!("{name} {from}-{to}") };
    }
    let ([kind, code], [last, last_code]) = (from.to_be_bytes(), to.to_be_bytes());
    let of_family = |(_, v4, v6): &&(&str, Option<u8>, Option<u8>)| {
        (if number == ICMP[0] { *v4 } else { *v6 }) == Some(kind)
    };
    match ((code, last_code), kind == last) {
        ((0, 255), true) => match ICMP_TYPES.iter().find(of_family) {
            Some((known, ..)) => format!("{name} {known}"),
            None => format!("{name} type {kind}"),
        },
        ((0, 255), false) => format!("{name} types {kind}-{last}"),
        (_, true) if code == last_code => format!("{name} type {kind} code {code}"),
        _ => format!("{name} type {kind} code {code} to type {last} code {last_code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::config;

    #[test]
    fn types_of_icmp_have_the_names_that_rules_have_for_them() {
        for (name, v4, v6) in ICMP_TYPES {
            let rule = format!("{{ id = \"1\", protocol = \"icmp\", icmp-type = [\"{name}\"] }}");
            let config = config(&format!("[[policy]]\nname = \"p\"\nrules = [{rule}]\n"));
            let rule = &config.policies[0].rules[0];
            assert_eq!(rule.service, Wanted::Icmp(Some(vec![IcmpType { v4, v6 }])));
            assert_eq!(wanted(rule), format!("icmp {name}"));
        }
    }

    #[test]
    fn spans_of_services_are_named_as_rules_name_them() {
        let of = |first: (u8, u16), last: (u8, u16)| {
            span(Service::port(first.0, first.1), Service::port(last.0, last.1), false).join(", ")
        };
        assert_eq!(of((6, 80), (6, 80)), "tcp 80");
        assert_eq!(of((17, 0), (17, u16::MAX)), "udp");
        assert_eq!(of((6, 100), (17, 52)), "tcp 100-65535, protocols 7-16, udp 0-52");
        assert_eq!(of((1, 8 << 8), (1, 8 << 8 | 255)), "icmp echo-request");
        assert_eq!(of((1, 9 << 8), (1, 13 << 8 | 255)), "icmp types 9-13");
        assert_eq!(of((57, 0), (59, u16::MAX)), "protocols 57-59", "ICMPv6 is none of IPv4's");
        assert_eq!(span(Service::port(57, 0), Service::port(58, u16::MAX), true), ["protocol 57", "icmp"]);
    }
}
