//! Rules and services in words.

use petiole_config::model::{AclAction, AclRule, IcmpType, Peer, PortRange, Service as Wanted};

use super::rules::ICMP;
use crate::control::{ICMP_TYPES, PROTOCOLS};

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
}
