//! Ports of the host that lead to a container.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Transport protocol of a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Protocol {
    /// All of them, with their words.
    pub const WORDS: [(&'static str, Self); 3] =
        [("tcp", Self::Tcp), ("udp", Self::Udp), ("sctp", Self::Sctp)];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Its number in IANA's registry "Protocol Numbers".
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A run of ports, both ends included; never empty, never port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// `None` when `last` is before `first`, or `first` is 0.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (0 < first && first <= last).then_some(Self { first, last })
    }

    /// The lowest port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// How many ports, at least 1.
    pub fn count(self) -> u16 {
        // Port 0 is in no range, so that the sum fits.
        self.last - self.first + 1
    }

    /// Whether two ranges have a port in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Ports of the host that lead to a container: `9099:80/tcp`, `50.1.1.1:8000-8009:8000-8009/udp`, `[::]:53:53/udp`.
///
/// What was parsed holds as many ports of the host as of the container; the first leads to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Publish {
    /// The address that connections come to; unspecified (`0.0.0.0`, `::`): every one of this host in that family;
    /// `None`: every one in each family that the host reaches the container by.
    pub address: Option<IpAddr>,
    /// Ports of the host, at most [`Publish::MAX_PORTS`].
    pub host: PortRange,
    /// Ports of the container, as many.
    pub container: PortRange,
    /// Of both.
    pub protocol: Protocol,
}

/// Why a text is no [`Publish`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Only one port, or none: what stands there.
    #[error("`{}` does not say which port of the host leads to which of the container", .0.escape_debug())]
    Lonely(String),
    /// Not a number from 1 to 65535: what stands there.
    #[error("`{}` is not a port", .0.escape_debug())]
    Port(String),
    /// A range that ends before it begins.
    #[error("the ports {0}-{1} end before they begin")]
    Backwards(u16, u16),
    /// Not as many ports on the host as in the container: how many there are.
    #[error("{host} ports of the host cannot lead to {container} of the container")]
    Lengths {
        /// Ports of the host.
        host: u16,
        /// Ports of the container.
        container: u16,
    },
    /// More than [`Publish::MAX_PORTS`]: how many there are.
    #[error("at most {max} ports are published at once, these are {0}", max = Publish::MAX_PORTS)]
    TooMany(u16),
    /// No transport protocol with ports: what stands there.
    #[error("`{}` is no protocol that ports are published of", .0.escape_debug())]
    Protocol(String),
    /// Not an address: what stands there.
    #[error("`{}` is not an address", .0.escape_debug())]
    Address(String),
    /// An IPv6 address without brackets.
    #[error("the IPv6 address {0} stands without brackets")]
    Brackets(Ipv6Addr),
    /// An IPv4 address in the disguise of IPv6.
    #[error("`{0}` is an IPv4-mapped address")]
    Mapped(Ipv6Addr),
}

impl Publish {
    /// The most ports that are published at once: a range is kept as so many single ports.
    pub const MAX_PORTS: u16 = 4096;

    /// Whether a connection could be meant for both. A port that is published on all addresses clashes with the same
    /// one on any.
    pub fn clashes(&self, other: &Self) -> bool {
        let addresses = match (self.address, other.address) {
            (None, _) | (_, None) => true,
            (Some(a), Some(b)) if a.is_ipv4() != b.is_ipv4() => false,
            (Some(a), Some(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
        };
        addresses && self.protocol == other.protocol && self.host.overlaps(other.host)
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            None => {}
        }
        write!(f, "{}:{}/{}", self.host, self.container, self.protocol)
    }
}

impl FromStr for Publish {
    type Err = PublishError;

    /// `[ADDRESS:]HOST[-END]:CONTAINER[-END][/tcp|/udp|/sctp]`.
    fn from_str(text: &str) -> Result<Self, PublishError> {
        let (ports, protocol) = match text.rsplit_once('/') {
            Some((ports, word)) => (ports, protocol(word)?),
            None => (text, Protocol::Tcp),
        };
        let lonely = || PublishError::Lonely(text.to_owned());
        let (rest, container) = ports.rsplit_once(':').ok_or_else(lonely)?;
        if rest.ends_with(']') || rest.parse::<Ipv4Addr>().is_ok() {
            return Err(lonely());
        }
        let (address, host) = match rest.rsplit_once(':') {
            Some((written, host)) => (Some(address(written)?), host),
            None => (None, rest),
        };
        let (host, container) = (range(host)?, range(container)?);
        if host.count() != container.count() {
            return Err(PublishError::Lengths { host: host.count(), container: container.count() });
        }
        if host.count() > Self::MAX_PORTS {
            return Err(PublishError::TooMany(host.count()));
        }
        Ok(Self { address, host, container, protocol })
    }
}

fn protocol(word: &str) -> Result<Protocol, PublishError> {
    let known = Protocol::WORDS.iter().find(|(known, _)| *known == word);
    known.map(|(_, protocol)| *protocol).ok_or_else(|| PublishError::Protocol(word.to_owned()))
}

fn address(written: &str) -> Result<IpAddr, PublishError> {
    let no_address = || PublishError::Address(written.to_owned());
    if let Some(inner) = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let v6: Ipv6Addr = inner.parse().map_err(|_| no_address())?;
        // `::ffff:0.0.0.0` would be IPv4 in disguise.
        return if v6.to_ipv4_mapped().is_some() { Err(PublishError::Mapped(v6)) } else { Ok(v6.into()) };
    }
    match written.parse() {
        Ok(IpAddr::V4(v4)) => Ok(v4.into()),
        Ok(IpAddr::V6(v6)) => Err(PublishError::Brackets(v6)),
        Err(_) => Err(no_address()),
    }
}

fn range(written: &str) -> Result<PortRange, PublishError> {
    let (first, last) = match written.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(written)?, port(written)?),
    };
    PortRange::new(first, last).ok_or(PublishError::Backwards(first, last))
}

/// Plain digits: `parse` alone would take a sign.
fn port(written: &str) -> Result<u16, PublishError> {
    let digits = Some(written).filter(|written| written.bytes().all(|b| b.is_ascii_digit()));
    let port = digits.and_then(|digits| digits.parse().ok()).filter(|port| *port != 0);
    port.ok_or_else(|| PublishError::Port(written.to_owned()))
}

impl Serialize for Publish {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Publish {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(text: &str) -> Publish {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_shown_is_what_was_written() {
        for text in [
            "9099:80/tcp",
            "53:53/udp",
            "50.1.1.1:8000-8009:9000-9009/sctp",
            "0.0.0.0:1:65535/tcp",
            "[2001:db8::1]:80:80/tcp",
            "[::]:65535:1/udp",
            "1-4096:61440-65535/tcp",
        ] {
            assert_eq!(publish(text).to_string(), text);
        }
        assert_eq!(publish("9099:80"), publish("9099:80/tcp"), "TCP where nothing is said");
        assert_eq!(publish("80-80:81"), publish("80:81"));
    }

    #[test]
    fn what_cannot_be_published_is_refused_with_its_reason() {
        use PublishError::{Address, Backwards, Brackets, Lengths, Lonely, Mapped, Port, Protocol, TooMany};
        let refused = |text: &str| text.parse::<Publish>().unwrap_err();
        assert_eq!(refused(""), Lonely(String::new()));
        assert_eq!(refused("80"), Lonely("80".into()));
        assert_eq!(refused("50.1.1.1:80"), Lonely("50.1.1.1:80".into()));
        assert_eq!(refused("[::1]:80"), Lonely("[::1]:80".into()));
        for (text, part) in
            [("0:80", "0"), ("80:65536", "65536"), ("+80:80", "+80"), (":80", ""), ("8 0:80", "8 0")]
        {
            assert_eq!(refused(text), Port(part.into()), "{text}");
        }
        assert_eq!(refused("80-:80"), Port(String::new()));
        assert_eq!(refused("9-8:9"), Backwards(9, 8));
        assert_eq!(refused("80-89:80"), Lengths { host: 10, container: 1 });
        assert_eq!(refused("1-4097:1-4097"), TooMany(4097));
        assert_eq!(refused("80:80/icmp"), Protocol("icmp".into()));
        assert_eq!(refused("80:80/"), Protocol(String::new()));
        assert_eq!(refused("host:80:80"), Address("host".into()));
        assert_eq!(refused("[50.1.1.1]:80:80"), Address("[50.1.1.1]".into()));
        assert_eq!(refused("2001:db8::1:80:80"), Brackets("2001:db8::1".parse().unwrap()));
        assert!(matches!(refused("[::ffff:50.1.1.1]:80:80"), Mapped(_)));
    }

    #[test]
    fn a_port_on_all_addresses_clashes_with_the_same_one_on_any() {
        let clash = |a: &str, b: &str| {
            let (a, b) = (publish(a), publish(b));
            assert_eq!(a.clashes(&b), b.clashes(&a), "{a} {b}");
            a.clashes(&b)
        };
        assert!(clash("80:80", "80:81") && clash("80:80", "50.1.1.1:80:80") && clash("80:80", "[::]:80:80"));
        assert!(clash("0.0.0.0:80:80", "50.1.1.1:80:80") && clash("[::]:80:80", "[2001:db8::1]:80:80"));
        assert!(clash("80-89:80-89", "89-90:1-2"));
        assert!(!clash("0.0.0.0:80:80", "[::]:80:80"), "families");
        assert!(!clash("50.1.1.1:80:80", "50.1.1.2:80:80"), "addresses");
        assert!(!clash("80:80/tcp", "80:80/udp") && !clash("80:80/udp", "80:80/sctp"), "protocols");
        assert!(!clash("80-89:80-89", "90:90"), "ports");
    }
}
