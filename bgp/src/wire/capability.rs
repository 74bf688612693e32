//! Capabilities (RFC 5492).
//!
//! Knows each capability's value. What two speakers make of theirs is for [`Session`](super::Session).

use bytes::BufMut;
use nom::combinator::all_consuming;
use nom::multi::{length_data, many0};
use nom::number::complete::{be_u8, be_u16, be_u32};
use nom::{IResult, Parser};

use super::Family;
use super::iana::capability_code as code;

/// One capability of an OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// RFC 4760.
    Multiprotocol(Family),
    /// RFC 2918.
    RouteRefresh,
    /// RFC 8950: NLRI of these families with an IPv6 next hop. Families that we do not carry are dropped.
    ExtendedNextHop(Vec<Family>),
    /// RFC 8654.
    ExtendedMessage,
    /// RFC 6793.
    FourOctetAs(u32),
    /// RFC 4724, RFC 8538.
    GracefulRestart(GracefulRestart),
    /// RFC 7313.
    EnhancedRouteRefresh,
    /// draft-walton-bgp-hostname-capability.
    Fqdn {
        /// Host name.
        host: String,
        /// Domain name, may be empty.
        domain: String,
    },
    /// Everything else, a family that we do not carry included: ignored.
    Unknown {
        /// IANA capability code.
        code: u8,
        /// Its value as it stood in the message.
        value: Vec<u8>,
    },
}

/// RFC 4724 section 3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GracefulRestart {
    /// The R bit: the sender has just restarted.
    pub restarting: bool,
    /// The N bit (RFC 8538).
    pub notification: bool,
    /// Restart time in seconds, 12 bits.
    pub restart_time: u16,
    /// Families, each with its F bit (forwarding state preserved). Those that we do not carry are dropped.
    pub families: Vec<(Family, bool)>,
}

/// R bit of the Restart Flags.
const RESTARTING: u16 = 0x8000;
/// N bit of the Restart Flags (RFC 8538 section 2).
const NOTIFICATION: u16 = 0x4000;
/// Restart Time.
const RESTART_TIME: u16 = 0x0FFF;
/// F bit of the Flags for Address Family.
const FORWARDING: u8 = 0x80;

/// A recognised capability whose value is not of the form that its RFC defines.
pub(super) struct Malformed;

impl Capability {
    pub(super) fn decode(code: u8, value: &[u8]) -> Result<Self, Malformed> {
        let empty = |capability| if value.is_empty() { Ok(capability) } else { Err(Malformed) };
        match code {
            code::MULTIPROTOCOL => {
                let (afi, _reserved, safi) = whole((be_u16, be_u8, be_u8), value)?;
                Ok(Family::from_iana(afi, safi)
                    .map_or_else(|| Self::unknown(code, value), Self::Multiprotocol))
            }
            code::ROUTE_REFRESH => empty(Self::RouteRefresh),
            code::EXTENDED_NEXT_HOP => {
                let triples = whole(many0((be_u16, be_u16, be_u16)), value)?;
                let families = triples.into_iter().filter_map(|(afi, safi, next_hop_afi)| {
                    let family = Family::from_iana(afi, u8::try_from(safi).ok()?)?;
                    (next_hop_afi == Family::Ipv6.afi()).then_some(family)
                });
                Ok(Self::ExtendedNextHop(families.collect()))
            }
            code::EXTENDED_MESSAGE => empty(Self::ExtendedMessage),
            code::GRACEFUL_RESTART => {
                let (head, families) = whole((be_u16, many0((be_u16, be_u8, be_u8))), value)?;
                let families = families.into_iter().filter_map(|(afi, safi, flags)| {
                    Some((Family::from_iana(afi, safi)?, flags & FORWARDING != 0))
                });
                Ok(Self::GracefulRestart(GracefulRestart {
                    restarting: head & RESTARTING != 0,
                    notification: head & NOTIFICATION != 0,
                    restart_time: head & RESTART_TIME,
                    families: families.collect(),
                }))
            }
            code::FOUR_OCTET_AS => whole(be_u32, value).map(Self::FourOctetAs),
            code::ENHANCED_ROUTE_REFRESH => empty(Self::EnhancedRouteRefresh),
            // Names are for people only: a peer is not refused over them.
            code::FQDN => Ok(whole((length_data(be_u8), length_data(be_u8)), value).map_or_else(
                |Malformed| Self::unknown(code, value),
                |(host, domain)| Self::Fqdn { host: name(host), domain: name(domain) },
            )),
            _ => Ok(Self::unknown(code, value)),
        }
    }

    fn unknown(code: u8, value: &[u8]) -> Self {
        Self::Unknown { code, value: value.to_vec() }
    }

    /// Appends code, length and value. A list or name that does not fit 255 octets is cut.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.code(), 0]);
        let start = out.len();
        match self {
            Self::Multiprotocol(family) => {
                out.put_u16(family.afi());
                out.put_u8(0);
                out.put_u8(family.safi());
            }
            Self::RouteRefresh | Self::ExtendedMessage | Self::EnhancedRouteRefresh => {}
            Self::ExtendedNextHop(families) => {
                for family in families.iter().take(255 / 6) {
                    out.put_u16(family.afi());
                    out.put_u16(family.safi().into());
                    out.put_u16(Family::Ipv6.afi());
                }
            }
            Self::FourOctetAs(asn) => out.put_u32(*asn),
            Self::GracefulRestart(restart) => restart.encode(out),
            Self::Fqdn { host, domain } => {
                for name in [host, domain] {
                    // Two lengths and two names in 255 octets.
                    let name = name.get(..name.floor_char_boundary(126)).unwrap_or(name);
                    out.put_u8(name.len() as u8);
                    out.put_slice(name.as_bytes());
                }
            }
            Self::Unknown { value, .. } => out.put_slice(value.get(..255).unwrap_or(value)),
        }
        let len = out.len() - start;
        if let Some(place) = out.get_mut(start - 1) {
            *place = len as u8;
        }
    }

    /// IANA capability code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Multiprotocol(_) => code::MULTIPROTOCOL,
            Self::RouteRefresh => code::ROUTE_REFRESH,
            Self::ExtendedNextHop(_) => code::EXTENDED_NEXT_HOP,
            Self::ExtendedMessage => code::EXTENDED_MESSAGE,
            Self::FourOctetAs(_) => code::FOUR_OCTET_AS,
            Self::GracefulRestart(_) => code::GRACEFUL_RESTART,
            Self::EnhancedRouteRefresh => code::ENHANCED_ROUTE_REFRESH,
            Self::Fqdn { .. } => code::FQDN,
            Self::Unknown { code, .. } => *code,
        }
    }
}

impl GracefulRestart {
    fn encode(&self, out: &mut Vec<u8>) {
        let flags =
            if self.restarting { RESTARTING } else { 0 } | if self.notification { NOTIFICATION } else { 0 };
        out.put_u16(flags | self.restart_time.min(RESTART_TIME));
        for (family, forwarding) in self.families.iter().take(253 / 4) {
            out.put_u16(family.afi());
            out.put_u8(family.safi());
            out.put_u8(if *forwarding { FORWARDING } else { 0 });
        }
    }
}

/// All of `value` as `parser` reads it.
fn whole<'a, O>(
    parser: impl Parser<&'a [u8], Output = O, Error = nom::error::Error<&'a [u8]>>,
    value: &'a [u8],
) -> Result<O, Malformed> {
    let result: IResult<&[u8], O> = all_consuming(parser).parse(value);
    result.map(|(_, output)| output).map_err(|_| Malformed)
}

/// A name fit for a terminal.
fn name(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets)
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}
