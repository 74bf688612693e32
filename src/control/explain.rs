//! The words of `explain`: what is asked, and what there is to say. Plain data, the same for people and for `--json`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    /// An address, or an endpoint's name.
    pub(crate) from: String,
    /// Likewise. `None`: only about the one.
    pub(crate) to: Option<String>,
    /// `None`: whatever it is.
    pub(crate) service: Option<Service>,
}

/// The service that is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Service {
    /// A destination port of a protocol.
    Port { protocol: u8, port: u16 },
    /// ICMP in IPv4 and ICMPv6 in IPv6: this type of [`ICMP_TYPES`]; `None`: all of it.
    Icmp(Option<String>),
    /// A protocol by its number.
    Protocol(u8),
}

/// Types of ICMP by the names that rules have for them, with their numbers in ICMP and ICMPv6.
pub(crate) const ICMP_TYPES: [(&str, Option<u8>, Option<u8>); 9] = [
    ("echo-request", Some(8), Some(128)),
    ("echo-reply", Some(0), Some(129)),
    ("destination-unreachable", Some(3), Some(1)),
    ("time-exceeded", Some(11), Some(3)),
    ("parameter-problem", Some(12), Some(4)),
    ("redirect", Some(5), None),
    ("packet-too-big", None, Some(2)),
    ("timestamp-request", Some(13), None),
    ("timestamp-reply", Some(14), None),
];

/// Protocols with ports by name.
pub(crate) const PROTOCOLS: [(&str, u8); 3] = [("tcp", 6), ("udp", 17), ("sctp", 132)];

/// What there is to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Explanation {
    /// One for each address, or for each pair of addresses of one family.
    pub(crate) parts: Vec<Part>,
}

/// About one address, or one pair of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) from: Party,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<Party>,
    /// What becomes of a first packet between the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<Verdict>,
}

/// An address, and all that is known of it here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Party {
    pub(crate) address: IpAddr,
    /// `endpoint` (of this host), `host` (this host itself), `elsewhere` (in a network of this file), `outside`.
    pub(crate) place: String,
    /// The endpoint of this host that has the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<Container>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// The network's encapsulation: `routed`, `vlan`, `vxlan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encap: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<Membership>,
    /// Where it is known from which group it is in, or why that is not known.
    pub(crate) known_from: String,
    /// The way there that the fabric knows. Absent for endpoints of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<Route>,
    /// Sessions that carry the address into the fabric, of an endpoint of this host that is announced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sessions: Vec<Session>,
}

/// An endpoint of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) netns: String,
    pub(crate) interface: String,
    pub(crate) host_interface: String,
    /// As in `show endpoints`.
    pub(crate) state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Whether its addresses are announced.
    pub(crate) advertised: bool,
}

/// A group that an address is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) policies: Vec<String>,
    /// `allow` or `deny`.
    pub(crate) default: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
}

/// A learned route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) prefix: IpNet,
    pub(crate) next_hop: IpAddr,
    pub(crate) as_path: String,
    /// The kernel has it.
    pub(crate) installed: bool,
    /// The router id of the host that announced it, by its large community.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<std::net::Ipv4Addr>,
    /// Whom it was learned from.
    pub(crate) session: Session,
}

/// A BGP session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) neighbor: String,
    pub(crate) address: IpAddr,
    pub(crate) asn: Option<u32>,
    pub(crate) state: String,
}

/// What becomes of a first packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// `allow`, `deny`, `unreachable` (it gets nowhere, whatever the policies say), `depends` (see `decisions`).
    pub(crate) result: String,
    /// What was asked about.
    pub(crate) service: String,
    /// What the way is, and what is remarkable about it.
    pub(crate) notes: Vec<String>,
    /// What the policies say: one, or by service and by what is not known beforehand.
    pub(crate) decisions: Vec<Decision>,
    /// Where that is enforced.
    pub(crate) enforced: Vec<String>,
}

/// What the policies say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decision {
    /// A condition that is not known beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) when: Option<String>,
    /// What it is about.
    pub(crate) services: Vec<String>,
    /// `allow` or `deny`.
    pub(crate) verdict: String,
    /// What the destination's group says. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inward: Option<Said>,
    /// What the source's group says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outward: Option<Said>,
    /// Which of the two decides: `in`, `out`. Absent: no rule is about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// Why that one.
    pub(crate) why: String,
}

/// What one side's group says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) group: String,
    /// Absent: the group's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    /// The rule's id, or `default`.
    pub(crate) rule: String,
    /// `allow` or `deny`.
    pub(crate) action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<u8>,
    pub(crate) log: bool,
}
