//! Communities: standard (RFC 1997), extended (RFC 4360, RFC 5668) and large (RFC 8092), and how they are written.
//!
//! Knows values and their notation. Must not know what a community makes a speaker do.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::inline::InlineList;

/// The standard communities of a route, sorted, without duplicates; five fit in place.
pub(super) type CommunityList = InlineList<Community, 5>;

/// A standard community.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Community(pub u32);

impl Community {
    /// RFC 8326.
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xFFFF_0000);
    /// RFC 7611.
    pub const ACCEPT_OWN: Self = Self(0xFFFF_0001);
    /// RFC 9494.
    pub const LLGR_STALE: Self = Self(0xFFFF_0006);
    /// RFC 9494.
    pub const NO_LLGR: Self = Self(0xFFFF_0007);
    /// RFC 7999.
    pub const BLACKHOLE: Self = Self(0xFFFF_029A);
    /// RFC 1997: not to any external peer.
    pub const NO_EXPORT: Self = Self(0xFFFF_FF01);
    /// RFC 1997: not to any peer.
    pub const NO_ADVERTISE: Self = Self(0xFFFF_FF02);
    /// RFC 1997: not to any external peer, nor to another member AS of the confederation.
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xFFFF_FF03);
    /// RFC 3765.
    pub const NO_PEER: Self = Self(0xFFFF_FF04);

    /// `high:low`.
    pub const fn new(high: u16, low: u16) -> Self {
        Self(((high as u32) << 16) | low as u32)
    }

    /// The half that by convention is an AS number.
    pub const fn high(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The half that the AS assigns.
    pub const fn low(self) -> u16 {
        self.0 as u16
    }
}

/// Registry "BGP Well-known Communities", those with a name in use.
const WELL_KNOWN: [(Community, &str); 9] = [
    (Community::GRACEFUL_SHUTDOWN, "graceful-shutdown"),
    (Community::ACCEPT_OWN, "accept-own"),
    (Community::LLGR_STALE, "llgr-stale"),
    (Community::NO_LLGR, "no-llgr"),
    (Community::BLACKHOLE, "blackhole"),
    (Community::NO_EXPORT, "no-export"),
    (Community::NO_ADVERTISE, "no-advertise"),
    (Community::NO_EXPORT_SUBCONFED, "no-export-subconfed"),
    (Community::NO_PEER, "no-peer"),
];

/// `65000:100`, or the name of a well-known community.
impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match WELL_KNOWN.iter().find(|(community, _)| community == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}:{}", self.high(), self.low()),
        }
    }
}

impl FromStr for Community {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, ParseCommunityError> {
        if let Some((community, _)) = WELL_KNOWN.iter().find(|(_, name)| *name == text) {
            return Ok(*community);
        }
        let halves = text.split_once(':').and_then(|(h, l)| Some((decimal(h)?, decimal(l)?)));
        let (high, low) = halves.ok_or_else(|| ParseCommunityError::new(text, "65000:100 or no-export"))?;
        Ok(Self::new(high, low))
    }
}

/// An extended community, eight octets as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtendedCommunity(pub [u8; 8]);

/// Sub-type of a route target (RFC 4360 section 4), the same in all three layouts.
const ROUTE_TARGET: u8 = 0x02;
/// Sub-type of a route origin (RFC 4360 section 5).
const ROUTE_ORIGIN: u8 = 0x03;

impl ExtendedCommunity {
    /// Whether it may cross an AS boundary (RFC 4360 section 2: the T bit is clear).
    pub fn is_transitive(self) -> bool {
        self.0[0] & 0x40 == 0
    }

    /// A route target with a two-octet administrator where `asn` fits (RFC 4360), else a four-octet one (RFC 5668)
    /// whose `value` must fit 16 bits.
    pub fn route_target(asn: u32, value: u32) -> Option<Self> {
        Self::with_as(ROUTE_TARGET, asn, value, false)
    }

    fn with_as(sub_type: u8, asn: u32, value: u32, four_octet: bool) -> Option<Self> {
        if let (Ok(asn), false) = (u16::try_from(asn), four_octet) {
            let ([a, b], [c, d, e, f]) = (asn.to_be_bytes(), value.to_be_bytes());
            return Some(Self([0x00, sub_type, a, b, c, d, e, f]));
        }
        let ([a, b, c, d], [e, f]) = (asn.to_be_bytes(), u16::try_from(value).ok()?.to_be_bytes());
        Some(Self([0x02, sub_type, a, b, c, d, e, f]))
    }

    fn with_address(sub_type: u8, address: Ipv4Addr, value: u16) -> Self {
        let ([a, b, c, d], [e, f]) = (address.octets(), value.to_be_bytes());
        Self([0x01, sub_type, a, b, c, d, e, f])
    }
}

/// `rt:65000:1`, `rt:10.0.0.1:1`, `rt:4200000000:1`, `soo:…`; anything else as `0x` and sixteen hex digits. A
/// four-octet administrator that would fit two octets is marked as `rt:65000L:1`.
impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, sub_type, a, b, c, d, e, g] = self.0;
        let name = match sub_type {
            ROUTE_TARGET => "rt",
            ROUTE_ORIGIN => "soo",
            _ => return write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        };
        let (four, two) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, g]));
        match kind {
            0x00 => {
                write!(f, "{name}:{}:{}", u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g]))
            }
            0x01 => write!(f, "{name}:{}:{two}", Ipv4Addr::from(four)),
            0x02 if four <= 0xFFFF => write!(f, "{name}:{four}L:{two}"),
            0x02 => write!(f, "{name}:{four}:{two}"),
            _ => write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        }
    }
}

impl FromStr for ExtendedCommunity {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, ParseCommunityError> {
        parse_extended(text)
            .ok_or_else(|| ParseCommunityError::new(text, "rt:65000:1, soo:10.0.0.1:1 or 0x0002fde800000001"))
    }
}

fn parse_extended(text: &str) -> Option<ExtendedCommunity> {
    if let Some(digits) = text.strip_prefix("0x") {
        let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let value = if plain { u64::from_str_radix(digits, 16).ok()? } else { return None };
        return Some(ExtendedCommunity(value.to_be_bytes()));
    }
    let (name, rest) = text.split_once(':')?;
    let (administrator, value) = rest.split_once(':')?;
    let sub_type = match name {
        "rt" => ROUTE_TARGET,
        "soo" => ROUTE_ORIGIN,
        _ => return None,
    };
    if let Ok(address) = administrator.parse() {
        return Some(ExtendedCommunity::with_address(sub_type, address, decimal(value)?));
    }
    let (asn, four_octet) = match administrator.strip_suffix('L') {
        Some(asn) => (asn, true),
        None => (administrator, false),
    };
    ExtendedCommunity::with_as(sub_type, decimal(asn)?, decimal(value)?, four_octet)
}

/// A large community (RFC 8092).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LargeCommunity {
    /// Global administrator.
    pub global: u32,
    /// Local data part 1.
    pub local1: u32,
    /// Local data part 2.
    pub local2: u32,
}

/// `65000:1:2` (RFC 8092 section 5).
impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

impl FromStr for LargeCommunity {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, ParseCommunityError> {
        let mut parts = text.split(':').map(decimal);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(global)), Some(Some(local1)), Some(Some(local2)), None) => {
                Ok(Self { global, local1, local2 })
            }
            _ => Err(ParseCommunityError::new(text, "65000:1:2")),
        }
    }
}

/// A number without sign: Rust's own parser takes `+1`, which no router's notation has.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A text that is not a community of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a community; expected one such as {example}")]
pub struct ParseCommunityError {
    text: String,
    example: &'static str,
}

impl ParseCommunityError {
    fn new(text: &str, example: &'static str) -> Self {
        Self { text: text.to_owned(), example }
    }
}

#[cfg(test)]
mod tests;
