//! Addresses, prefixes and pools.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use schemars::{Schema, json_schema};

use super::text::{Problem, Text, text_values};
use crate::{family::Family, model::AddrRange};

/// The address part and the length part of a prefix, as written.
struct Slashed<'a> {
    address: &'a str,
    length: Option<&'a str>,
}

fn slashed(text: &str) -> Slashed<'_> {
    match text.split_once('/') {
        Some((address, length)) => Slashed { address, length: Some(length) },
        None => Slashed { address: text, length: None },
    }
}

/// A prefix length as written in decimal, or why it is none.
pub(crate) struct Length;

impl Length {
    /// Digits without sign, at most `max`.
    pub(crate) fn parse(text: &str, part: &str, max: u8) -> Result<u8, Problem> {
        let number = Some(part).filter(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        match number.map(str::parse::<u8>) {
            Some(Ok(length)) if length <= max => Ok(length),
            Some(_) => Err(Problem::new(format!("`{part}` is more bits than an address has"))
                .at(text, part)
                .label(format!("allowed is 0 to {max}"))),
            None => Err(Problem::new(format!("`{}` is not a prefix length", part.escape_debug()))
                .at(text, part)
                .label(format!("allowed is 0 to {max}"))),
        }
    }
}

/// One address of this family.
fn address<A: Family>(text: &str) -> Result<A, Problem> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let problem = Problem::new(format!("`{}` is not an {} address", text.escape_debug(), A::NAME));
    let Slashed { address, length } = slashed(text);
    Err(if text.parse::<IpAddr>().is_ok() {
        problem.label(if A::BITS == 32 { "an IPv6 address" } else { "an IPv4 address" })
    } else if length.is_some() && address.parse::<A>().is_ok() {
        problem.label("a prefix").help(format!("write \"{address}\""))
    } else {
        problem.label(format!("for example {}", A::EXAMPLE))
    })
}

/// A prefix of this family with its host bits.
fn prefix<A: Family>(text: &str) -> Result<(A, u8), Problem> {
    let Slashed { address: written, length } = slashed(text);
    let address = written.parse::<A>().map_err(|_| {
        let other = written.parse::<IpAddr>().is_ok();
        let problem = Problem::new(format!("`{}` is not an {} prefix", text.escape_debug(), A::NAME));
        match other {
            true if A::BITS == 32 => problem.label("IPv6"),
            true => problem.label("IPv4"),
            false => problem.label(format!("for example {}", A::EXAMPLE_NET)),
        }
    })?;
    let Some(length) = length else {
        let usual = if A::BITS == 32 { 24 } else { 64 };
        return Err(Problem::new(format!("`{text}` has no prefix length"))
            .label(format!("for example {address}/{usual}")));
    };
    Ok((address, Length::parse(text, length, A::BITS)?))
}

/// A prefix whose host bits are zero.
fn network<A: Family>(text: &str) -> Result<A::Net, Problem> {
    let (address, length) = prefix::<A>(text)?;
    let net = A::net(address, length).ok_or_else(|| Problem::new(format!("`{text}` is not a prefix")))?;
    let (first, ..) = A::parts(net);
    if first != address {
        return Err(Problem::new(format!("`{text}` has host bits set"))
            .label(format!("did you mean {first}/{length}?"))
            .note(format!("a subnet begins at its first address, which for a /{length} is {first}")));
    }
    Ok(net)
}

/// `A-B`, a prefix, or one address; `what` has such parts.
fn range<A: Family>(text: &str, what: &str) -> Result<AddrRange<A>, Problem> {
    if let Some((first, last)) = text.split_once('-') {
        let part = |part: &str| {
            let part = part.trim();
            address::<A>(part).map_err(|problem| problem.at(text, part))
        };
        let (from, to) = (part(first)?, part(last)?);
        return AddrRange::new(from, to).ok_or_else(|| {
            Problem::new(format!("the range `{}` ends before it begins", text.escape_debug()))
                .help(format!("write \"{to}-{from}\""))
        });
    }
    let (first, last) = if text.contains('/') {
        let (first, last, _) = A::parts(network::<A>(text)?);
        (first, last)
    } else {
        let address = address::<A>(text).map_err(|problem| {
            problem.note(format!("{what} is written as \"first-last\", as a prefix, or as one address"))
        })?;
        (address, address)
    };
    AddrRange::new(first, last).ok_or_else(|| Problem::new(format!("`{text}` is empty")))
}

/// `^…$` would not help: addresses have formats.
fn format(name: &str) -> Schema {
    json_schema!({ "format": name })
}

macro_rules! family {
    ($address:ty, $net:ty, $format:literal, $a:literal, $n:literal, $p:literal) => {
        impl Text for $address {
            const WHAT: &'static str = $a;

            fn parse(text: &str) -> Result<Self, Problem> {
                address(text)
            }

            fn schema() -> Schema {
                format($format)
            }
        }

        impl Text for $net {
            const WHAT: &'static str = $n;

            fn parse(text: &str) -> Result<Self, Problem> {
                network::<$address>(text)
            }

            fn schema() -> Schema {
                json_schema!({ "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$" })
            }
        }

        impl Text for AddrRange<$address> {
            const WHAT: &'static str = $p;

            fn parse(text: &str) -> Result<Self, Problem> {
                range(text, "a pool")
            }

            fn schema() -> Schema {
                json_schema!({ "pattern": "^[0-9a-fA-F.:]+( *- *[0-9a-fA-F.:]+|/[0-9]{1,3})?$" })
            }
        }
    };
}

family!(Ipv4Addr, Ipv4Net, "ipv4", "an IPv4 address", "an IPv4 prefix", "an IPv4 address, range or prefix");
family!(Ipv6Addr, Ipv6Net, "ipv6", "an IPv6 address", "an IPv6 prefix", "an IPv6 address, range or prefix");

/// Addresses of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnyRange {
    V4(AddrRange<Ipv4Addr>),
    V6(AddrRange<Ipv6Addr>),
}

impl Text for AnyRange {
    const WHAT: &'static str = "an IP address, range or prefix";

    fn parse(text: &str) -> Result<Self, Problem> {
        const PLACE: &str = "a place on the network";
        let first = text.split(['-', '/']).next().unwrap_or_default().trim();
        match first.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => range(text, PLACE).map(Self::V4),
            Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                // No packet has it.
                Some(v4) => Err(Problem::new(format!("`{first}` is an IPv4-mapped address"))
                    .help(format!("write \"{v4}\", with the rest as IPv4 too"))),
                None => range(text, PLACE).map(Self::V6),
            },
            Err(_) => Err(Problem::new(format!("`{}` is not an IP address", first.escape_debug()))
                .at(text, first)
                .label("for example 10.0.0.0/8, 10.1.1.1-10.1.1.9 or 2001:db8::1")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "pattern": "^[0-9a-fA-F.:]+( *- *[0-9a-fA-F.:]+|/[0-9]{1,3})?$" })
    }
}

impl Text for IpAddr {
    const WHAT: &'static str = "an IP address";

    fn parse(text: &str) -> Result<Self, Problem> {
        if let Ok(address) = text.parse::<Self>() {
            // `::ffff:50.1.1.2` would be an IPv4 session in disguise.
            return match address.to_canonical() {
                v4 if v4 == address => Ok(address),
                v4 => Err(Problem::new(format!("`{text}` is an IPv4-mapped address"))
                    .help(format!("write \"{v4}\""))),
            };
        }
        let problem = Problem::new(format!("`{}` is not an IP address", text.escape_debug()));
        let zoned = text.split_once('%').filter(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
        let Slashed { address, length } = slashed(text);
        Err(if let Some((address, zone)) = zoned {
            problem
                .help(format!("write \"{address}\", and `interface = \"{}\"` beside it", zone.escape_debug()))
        } else if length.is_some() && address.parse::<Self>().is_ok() {
            problem.label("a prefix").help(format!("write \"{address}\""))
        } else {
            problem.label("for example 50.1.1.2 or 2001:db8::1")
        })
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] })
    }
}

/// An address with the length of its subnet, as an interface has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceAddress(pub(crate) IpNet);

impl Text for InterfaceAddress {
    const WHAT: &'static str = "an address with a prefix length";

    fn parse(text: &str) -> Result<Self, Problem> {
        Ok(Self(if text.contains(':') {
            let (address, length) = prefix::<Ipv6Addr>(text)?;
            interface(address, length)?.into()
        } else {
            let (address, length) = prefix::<Ipv4Addr>(text)?;
            interface(address, length)?.into()
        }))
    }

    fn schema() -> Schema {
        json_schema!({ "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$" })
    }
}

/// The prefix around an address that an interface can have.
fn interface<A: Family>(address: A, length: u8) -> Result<A::Net, Problem> {
    let net = A::net(address, length).filter(|_| length > 0).ok_or_else(|| {
        Problem::new("with a prefix length of 0 every address would be on this link")
            .label(format!("allowed is 1 to {}", A::BITS))
    })?;
    if let Some((_, what)) = A::reserved(net).into_iter().find(|(reserved, _)| *reserved == address) {
        return Err(Problem::new(format!("{address} is {what} of its subnet"))
            .label("the host's own address is needed")
            .note("an interface has the address of a host, with the length of its subnet behind it"));
    }
    // A link-local address is an interface's business like any other.
    match A::special_address(address).filter(|_| !address.is_link_local()) {
        Some(what) => Err(Problem::new(format!("{address} is {what}: no interface can have it"))),
        None => Ok(net),
    }
}

/// An address of the host itself: `10.0.0.1` or `10.0.0.1/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostAddress(pub(crate) IpAddr);

impl Text for HostAddress {
    const WHAT: &'static str = "an IP address";

    fn parse(text: &str) -> Result<Self, Problem> {
        let Slashed { address, length } = slashed(text);
        let address = IpAddr::parse(address).map_err(|problem| Problem { at: None, ..problem })?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let special = match address {
            IpAddr::V4(address) => Ipv4Addr::special_address(address),
            IpAddr::V6(address) => Ipv6Addr::special_address(address),
        };
        if let Some(what) = special {
            return Err(Problem::new(format!("{address} is {what}: it cannot be advertised")));
        }
        match length.map(|length| Length::parse(text, length, bits)).transpose()? {
            Some(length) if length < bits => {
                Err(Problem::new(format!("a loopback is one address, not a /{length}"))
                    .label(format!("did you mean {address}/{bits}?")))
            }
            _ => Ok(Self(address)),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "pattern": "^[0-9a-fA-F.:]+(/32|/128)?$" })
    }
}

impl Text for SocketAddr {
    const WHAT: &'static str = "an address and port";

    fn parse(text: &str) -> Result<Self, Problem> {
        let problem = || Problem::new(format!("`{}` is not an address with a port", text.escape_debug()));
        match text.parse::<Self>() {
            Ok(address) if address.port() == 0 => {
                Err(Problem::new("port 0 is no port that anybody could find").label("allowed is 1 to 65535"))
            }
            Ok(address) => Ok(address),
            Err(_) if text.parse::<Ipv4Addr>().is_ok() => {
                Err(problem().label(format!("for example {text}:9179")))
            }
            Err(_) if text.parse::<Ipv6Addr>().is_ok() => {
                Err(problem().label(format!("for example [{text}]:9179")))
            }
            Err(_) if text.parse::<u16>().is_ok() || text.starts_with(':') => {
                let port = text.trim_start_matches(':');
                let port = port.parse::<u16>().unwrap_or(9179);
                Err(problem().label(format!(
                    "on all addresses it would be [::]:{port}, on this host alone 127.0.0.1:{port}"
                )))
            }
            Err(_) => Err(problem().label("for example 127.0.0.1:9179 or [::1]:9179")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "pattern": "^(\\[[0-9a-fA-F:.]+\\]|[0-9.]+):[0-9]{1,5}$" })
    }
}

text_values!(
    Ipv4Addr,
    Ipv6Addr,
    IpAddr,
    Ipv4Net,
    Ipv6Net,
    AddrRange<Ipv4Addr>,
    AddrRange<Ipv6Addr>,
    AnyRange,
    InterfaceAddress,
    HostAddress,
    SocketAddr,
);
