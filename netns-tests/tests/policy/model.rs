//! What the rules mean, said once more and differently: as in the book, rule by rule and packet by packet.

use std::{fmt::Write as _, net::IpAddr};

use ipnet::IpNet;
use petiole_netns_tests::Service;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// Who the other side of a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Anybody,
    Group(&'static str),
    Network(&'static str),
    Addresses(&'static [&'static str]),
    GroupAt(&'static str, &'static [&'static str]),
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    Tcp,
    TcpPort(u16),
    Udp,
    UdpPort(u16),
    SctpPort(u16),
    Icmp,
    Number(u8),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) direction: Direction,
    pub(crate) peer: Peer,
    pub(crate) wanted: Wanted,
    pub(crate) allow: bool,
    pub(crate) priority: u8,
}

/// What the rules can tell of somebody.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) network: Option<&'static str>,
    pub(crate) group: Option<String>,
    /// Of the group.
    pub(crate) rules: Vec<Rule>,
    pub(crate) denies: bool,
}

/// One packet that asks.
pub(crate) struct Packet<'a> {
    pub(crate) from: (&'a Party, IpAddr),
    pub(crate) to: (&'a Party, IpAddr),
    pub(crate) service: Service,
}

impl Wanted {
    fn is(self, service: Service) -> bool {
        match self {
            Self::Any => true,
            Self::Tcp => matches!(service, Service::Tcp(_)),
            Self::TcpPort(port) => service == Service::Tcp(port),
            Self::Udp => matches!(service, Service::Udp(_)),
            Self::UdpPort(port) => service == Service::Udp(port),
            Self::SctpPort(port) => service == Service::Sctp(port),
            Self::Icmp => service == Service::Icmp,
            Self::Number(132) => matches!(service, Service::Sctp(_)),
            Self::Number(number) => service == Service::Protocol(number),
        }
    }
}

impl Peer {
    fn is(self, party: &Party, address: IpAddr) -> bool {
        let among = |addresses: &[&str]| {
            addresses.iter().any(|text| match text.parse::<IpNet>() {
                Ok(prefix) => prefix.contains(&address),
                Err(_) => text.parse() == Ok(address),
            })
        };
        let in_group = |group: &str| party.group.as_deref() == Some(group);
        match self {
            Self::Anybody => true,
            Self::Group(group) => in_group(group),
            Self::Network(network) => party.network == Some(network),
            Self::Addresses(addresses) => among(addresses),
            Self::GroupAt(group, addresses) => in_group(group) && among(addresses),
        }
    }
}

impl Packet<'_> {
    /// Whether it passes.
    pub(crate) fn passes(&self) -> bool {
        let matching = |party: &Party, direction, (other, address): (&Party, IpAddr)| {
            let matches = |rule: &&Rule| {
                rule.direction == direction && rule.peer.is(other, address) && rule.wanted.is(self.service)
            };
            party.rules.iter().filter(matches).copied().collect::<Vec<_>>()
        };
        let mut rules = matching(self.to.0, Direction::In, self.from);
        rules.extend(matching(self.from.0, Direction::Out, self.to));
        let Some(highest) = rules.iter().map(|rule| rule.priority).max() else {
            return !self.from.0.denies && !self.to.0.denies;
        };
        rules.iter().filter(|rule| rule.priority == highest).all(|rule| rule.allow)
    }
}

impl Rule {
    /// As the configuration has it.
    pub(crate) fn write(&self, id: usize) -> String {
        let (direction, side) = match self.direction {
            Direction::In => ("in", "from"),
            Direction::Out => ("out", "to"),
        };
        let action = if self.allow { "allow" } else { "deny" };
        let mut text = format!(
            "{{ id = \"{id}\", direction = \"{direction}\", action = \"{action}\", priority = {}",
            self.priority
        );
        match self.wanted {
            Wanted::Any => {}
            Wanted::Tcp => text += ", protocol = \"tcp\"",
            Wanted::TcpPort(port) => _ = write!(text, ", protocol = \"tcp\", port = {port}"),
            Wanted::Udp => text += ", protocol = \"udp\"",
            Wanted::UdpPort(port) => _ = write!(text, ", protocol = \"udp\", port = \"{port}\""),
            Wanted::SctpPort(port) => _ = write!(text, ", protocol = \"sctp\", port = \"{port}\""),
            Wanted::Icmp => text += ", protocol = \"icmp\"",
            Wanted::Number(number) => _ = write!(text, ", protocol = {number}"),
        }
        let list =
            |addresses: &[&str]| addresses.iter().map(|a| format!("\"{a}\"")).collect::<Vec<_>>().join(", ");
        match self.peer {
            Peer::Anybody => {}
            Peer::Group(group) => _ = write!(text, ", {side}-group = \"{group}\""),
            Peer::Network(network) => _ = write!(text, ", {side}-network = \"{network}\""),
            Peer::Addresses(addresses) => _ = write!(text, ", {side}-address = [{}]", list(addresses)),
            Peer::GroupAt(group, addresses) => {
                _ = write!(text, ", {side}-group = \"{group}\", {side}-address = [{}]", list(addresses));
            }
        }
        text + " }"
    }
}
