//! What a rule is about, above IP: `protocol`, `port`, `icmp-type`.

use crate::{
    diagnostic::Kind,
    found::{At, Found},
    model::{PortRange, Service},
    schema::{
        self,
        read::Written,
        value::{AclProtocol, Ports},
    },
};

pub(super) fn service(raw: &schema::AclRule, found: &mut Found<'_>) -> Option<Service> {
    let ports = ports(raw, found);
    let types = types(raw, found);
    let protocol = match &raw.protocol {
        Written::Is(at) => at.value,
        Written::Absent => return ports.zip(types).map(|_| Service::Any),
        Written::Bad => return None,
    };
    let (ports, types) = (ports?, types?);
    Some(match protocol {
        AclProtocol::Icmp => Service::Icmp(types),
        AclProtocol::Number(number) if ports.is_empty() => Service::Protocol(number),
        AclProtocol::Number(number) => Service::Ports(number, ports),
    })
}

/// The ports; none is every one.
fn ports(raw: &schema::AclRule, found: &mut Found<'_>) -> Option<Vec<PortRange>> {
    let At { value: Ports(ports), span } = match &raw.port {
        Written::Is(at) => at,
        Written::Absent => return Some(Vec::new()),
        Written::Bad => return None,
    };
    // "Every port" is nothing to say of a protocol, and may be said of each.
    if ports.is_empty() {
        return Some(Vec::new());
    }
    match &raw.protocol {
        Written::Absent => {
            found
                .error(Kind::Conflict, span, "`port` without `protocol`")
                .help("add `protocol = \"tcp\"`, or what is right here");
            None
        }
        Written::Bad => None,
        Written::Is(At { value, .. }) if value.with_ports().is_some() => Some(ports.clone()),
        Written::Is(At { value, span: protocol }) => {
            let error = found.error(Kind::Conflict, span, "`port` with a protocol that has no ports");
            error.also(protocol.clone(), "allowed are \"tcp\", \"udp\" and \"sctp\"");
            if *value == AclProtocol::Icmp {
                error.help("messages of ICMP are told apart by `icmp-type`");
            }
            None
        }
    }
}

/// The types of ICMP, ascending and each once; `None` is every one.
#[allow(clippy::option_option, reason = "the outer one is whether it could be read, as everywhere here")]
fn types(raw: &schema::AclRule, found: &mut Found<'_>) -> Option<Option<Vec<crate::model::IcmpType>>> {
    let At { value: list, span } = match &raw.icmp_type {
        Written::Is(at) => at,
        Written::Absent => return Some(None),
        Written::Bad => return None,
    };
    match &raw.protocol {
        Written::Is(At { value: AclProtocol::Icmp, .. }) => {}
        Written::Bad => return None,
        Written::Absent => {
            found
                .error(Kind::Conflict, span, "`icmp-type` without `protocol = \"icmp\"`")
                .help("add `protocol = \"icmp\"`");
            return None;
        }
        Written::Is(At { span: protocol, .. }) => {
            found
                .error(Kind::Conflict, span, "`icmp-type` with another protocol than `\"icmp\"`")
                .also(protocol.clone(), "needed is \"icmp\"");
            return None;
        }
    }
    if let Some(span) = raw.icmp_type.empty() {
        found
            .error(Kind::BadValue, span, "`icmp-type` is empty: no packet could match")
            .label("at least one is needed")
            .help("leave out `icmp-type` for every type");
        return None;
    }
    let mut types: Vec<_> = list.items.iter().map(|at| at.value).collect();
    types.sort_unstable();
    types.dedup();
    list.complete.then_some(Some(types))
}
