//! OPEN (RFC 4271 section 4.2, RFC 5492, RFC 9072).
//!
//! Knows when an OPEN is wrong in itself. Whether it comes from the right peer is the state machine's business.

use std::net::Ipv4Addr;

use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16, be_u32};
use nom::{IResult, Parser};

use super::header::{self, Output};
use super::iana::{AS_TRANS, message_type, open_error, open_parameter};
use super::{Capability, Family, FamilySet, GracefulRestart, Notification};

/// BGP-4.
const VERSION: u8 = 4;

/// OPEN. `asn` is the real AS number, whether it came in the fixed field or in the capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The sender's AS number.
    pub asn: u32,
    /// Proposed hold time in seconds: 0 or at least 3.
    pub hold_time: u16,
    /// Any non-zero value (RFC 6286).
    pub router_id: Ipv4Addr,
    /// Capabilities in the order of the message.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// Whether four-octet AS numbers are announced (RFC 6793).
    pub fn has_four_octet_as(&self) -> bool {
        self.capabilities.iter().any(|c| matches!(c, Capability::FourOctetAs(_)))
    }

    /// Whether messages of up to 65,535 octets are announced (RFC 8654).
    pub fn has_extended_message(&self) -> bool {
        self.capabilities.contains(&Capability::ExtendedMessage)
    }

    /// Whether route refresh is announced (RFC 2918).
    pub fn has_route_refresh(&self) -> bool {
        self.capabilities.contains(&Capability::RouteRefresh)
    }

    /// Whether enhanced route refresh is announced (RFC 7313).
    pub fn has_enhanced_route_refresh(&self) -> bool {
        self.capabilities.contains(&Capability::EnhancedRouteRefresh)
    }

    /// Whether `family` with an IPv6 next hop is announced (RFC 8950).
    pub fn has_extended_next_hop(&self, family: Family) -> bool {
        self.capabilities
            .iter()
            .any(|c| matches!(c, Capability::ExtendedNextHop(families) if families.contains(&family)))
    }

    /// The families announced. A speaker that announces no family at all carries IPv4 unicast: it does not know
    /// RFC 4760.
    pub fn families(&self) -> FamilySet {
        let multiprotocol = super::iana::capability_code::MULTIPROTOCOL;
        if !self.capabilities.iter().any(|c| c.code() == multiprotocol) {
            return FamilySet { ipv4: true, ipv6: false };
        }
        let announced = self.capabilities.iter().filter_map(|c| match c {
            Capability::Multiprotocol(family) => Some(*family),
            _ => None,
        });
        announced.collect()
    }

    /// The graceful restart capability: of several the last one counts (RFC 4724 section 3).
    pub fn graceful_restart(&self) -> Option<&GracefulRestart> {
        self.capabilities.iter().rev().find_map(|c| match c {
            Capability::GracefulRestart(restart) => Some(restart),
            _ => None,
        })
    }

    /// The host name that the sender calls itself by, for people.
    pub fn host_name(&self) -> Option<&str> {
        self.capabilities.iter().find_map(|c| match c {
            Capability::Fqdn { host, .. } if !host.is_empty() => Some(host.as_str()),
            _ => None,
        })
    }

    /// The message body of an OPEN, or the OPEN Message Error that it deserves (RFC 4271 section 6.2).
    pub(super) fn decode(body: &[u8]) -> Result<Self, Notification> {
        let Ok((parameters, (version, my_as, hold_time, router_id))) = fixed_fields(body) else {
            return Err(malformed());
        };
        if version != VERSION {
            return Err(Notification::open(
                open_error::UNSUPPORTED_VERSION,
                &u16::from(VERSION).to_be_bytes(),
            ));
        }
        let capabilities = decode_parameters(parameters)?;
        let four_octet = capabilities.iter().rev().find_map(|c| match c {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        });
        let asn = four_octet.unwrap_or_else(|| u32::from(my_as));
        // RFC 7607 section 2: neither field may be 0.
        if asn == 0 || my_as == 0 {
            return Err(Notification::bad_peer_as());
        }
        if router_id == 0 {
            return Err(Notification::bad_bgp_identifier());
        }
        if matches!(hold_time, 1 | 2) {
            return Err(Notification::open(open_error::UNACCEPTABLE_HOLD_TIME, &[]));
        }
        Ok(Self { asn, hold_time, router_id: Ipv4Addr::from_bits(router_id), capabilities })
    }

    /// Appends the message. `capabilities` are written as they stand: a `FourOctetAs` is not added. Should they not
    /// fit 4096 octets, the last ones are left out.
    pub fn encode(&self, out: &mut impl Output) {
        let start = header::start(out, message_type::OPEN);
        out.put_u8(VERSION);
        out.put_u16(u16::try_from(self.asn).unwrap_or(AS_TRANS));
        out.put_u16(self.hold_time);
        out.put_u32(self.router_id.to_bits());
        encode_parameters(&self.capabilities, out);
        header::finish(out, start);
    }
}

fn malformed() -> Notification {
    Notification::open(open_error::UNSPECIFIC, &[])
}

fn fixed_fields(body: &[u8]) -> IResult<&[u8], (u8, u16, u16, u32)> {
    (be_u8, be_u16, be_u16, be_u32).parse(body)
}

/// The optional parameters: their length, in either form, and then each one.
fn decode_parameters(input: &[u8]) -> Result<Vec<Capability>, Notification> {
    let (list, extended) = parameter_list(input).ok_or_else(malformed)?;
    let mut capabilities = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (after, (kind, value)) = parameter(rest, extended).map_err(|_| malformed())?;
        rest = after;
        if kind != open_parameter::CAPABILITIES {
            return Err(Notification::open(open_error::UNSUPPORTED_OPTIONAL_PARAMETER, &[]));
        }
        let mut values = value;
        while !values.is_empty() {
            let (after, (code, value)) = parameter(values, false).map_err(|_| malformed())?;
            values = after;
            capabilities.push(Capability::decode(code, value).map_err(|_| malformed())?);
        }
    }
    Ok(capabilities)
}

/// The list without its length, and whether its parameters have lengths of two octets. RFC 9072 section 2: a first
/// parameter type of 255 marks the extended form, whatever the first length octet (but 0) says.
fn parameter_list(input: &[u8]) -> Option<(&[u8], bool)> {
    let (list, len, extended) = match input {
        [0] => return Some((&[], false)),
        [1..=255, open_parameter::EXTENDED_LENGTH, high, low, list @ ..] => {
            (list, usize::from(u16::from_be_bytes([*high, *low])), true)
        }
        [len, list @ ..] => (list, usize::from(*len), false),
        [] => return None,
    };
    // A length that does not agree with the message's leaves octets that nobody can interpret.
    (list.len() == len).then_some((list, extended))
}

/// Type, length and value, of a parameter or of a capability.
fn parameter(input: &[u8], extended: bool) -> IResult<&[u8], (u8, &[u8])> {
    let (input, kind) = be_u8(input)?;
    let (input, len) = if extended { be_u16(input)? } else { be_u8.map(u16::from).parse(input)? };
    let (input, value) = take(len)(input)?;
    Ok((input, (kind, value)))
}

/// All capabilities in as few parameters as possible: one, unless RFC 9072 would be needed, which a peer need not know
/// before it has seen our OPEN; then one parameter of the extended form.
fn encode_parameters(capabilities: &[Capability], out: &mut impl Output) {
    /// What of 4096 octets is left for capabilities after 29 + 3 (extended length) + 3 (parameter header).
    const ROOM: usize = header::MAX_MESSAGE_LEN - 29 - 3 - 3;
    let mut list = Vec::with_capacity(64);
    for capability in capabilities {
        let before = list.len();
        capability.encode(&mut list);
        if list.len() > ROOM {
            list.truncate(before);
            break;
        }
    }
    if list.is_empty() {
        out.put_u8(0);
    } else if list.len() <= 253 {
        out.put_u8(list.len() as u8 + 2);
        out.put_u8(open_parameter::CAPABILITIES);
        out.put_u8(list.len() as u8);
    } else {
        out.put_slice(&[255, open_parameter::EXTENDED_LENGTH]);
        out.put_u16(list.len() as u16 + 3);
        out.put_u8(open_parameter::CAPABILITIES);
        out.put_u16(list.len() as u16);
    }
    out.put_slice(&list);
}

#[cfg(test)]
mod tests;
