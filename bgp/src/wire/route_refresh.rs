//! ROUTE-REFRESH (RFC 2918) and its demarcation (RFC 7313).

use super::Family;
use super::header::{self, Output};
use super::iana::message_type;

/// ROUTE-REFRESH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// The family asked for or demarcated.
    pub family: Family,
    /// The message subtype.
    pub kind: RouteRefreshKind,
}

/// ROUTE-REFRESH message subtypes (RFC 7313 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteRefreshKind {
    /// Send me everything again.
    Request = 0,
    /// Beginning of route refresh.
    Begin = 1,
    /// End of route refresh.
    End = 2,
}

/// A ROUTE-REFRESH that has to be ignored: its family is not one we carry (RFC 2918 section 4) or its subtype is
/// undefined (RFC 7313 section 5). Worth a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRouteRefresh {
    /// Address Family Identifier.
    pub afi: u16,
    /// Message subtype.
    pub subtype: u8,
    /// Subsequent Address Family Identifier.
    pub safi: u8,
}

impl RouteRefresh {
    /// The four octets of the message body.
    pub(super) fn decode([a, b, subtype, safi]: [u8; 4]) -> Result<Self, UnknownRouteRefresh> {
        let afi = u16::from_be_bytes([a, b]);
        let kind = match subtype {
            0 => Some(RouteRefreshKind::Request),
            1 => Some(RouteRefreshKind::Begin),
            2 => Some(RouteRefreshKind::End),
            _ => None,
        };
        match (Family::from_iana(afi, safi), kind) {
            (Some(family), Some(kind)) => Ok(Self { family, kind }),
            _ => Err(UnknownRouteRefresh { afi, subtype, safi }),
        }
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut impl Output) {
        let start = header::start(out, message_type::ROUTE_REFRESH);
        out.put_u16(self.family.afi());
        out.put_u8(self.kind as u8);
        out.put_u8(self.family.safi());
        header::finish(out, start);
    }
}

#[cfg(test)]
mod tests;
