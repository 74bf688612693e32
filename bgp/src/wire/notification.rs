//! NOTIFICATION (RFC 4271 section 4.5): why a session ends, for the peer and for the operator.
//!
//! Knows codes, subcodes and what their data means. Must not know when a session has to end.

use std::fmt;

use bytes::BufMut;

use super::header::{self, HEADER_LEN, MAX_MESSAGE_LEN, Output};
use super::iana::{
    cease, error_code, fsm_error, header_error, message_type, open_error, route_refresh_error, update_error,
};
use super::{AttributeName, Family};

/// A NOTIFICATION message: why a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// IANA "BGP Error (Notification) Codes", see [`error_code`].
    pub code: u8,
    /// The subcode within the code's registry.
    pub subcode: u8,
    /// What the RFC asks for with this code and subcode.
    pub data: Vec<u8>,
}

/// The longest shutdown communication in octets (RFC 9003 section 2).
const COMMUNICATION_MAX: usize = 255;

impl Notification {
    /// With these octets as data.
    pub fn new(code: u8, subcode: u8, data: &[u8]) -> Self {
        Self { code, subcode, data: data.to_vec() }
    }

    /// An OPEN Message Error, see [`open_error`].
    pub fn open(subcode: u8, data: &[u8]) -> Self {
        Self::new(error_code::OPEN_MESSAGE, subcode, data)
    }

    /// An UPDATE Message Error, see [`update_error`].
    pub fn update(subcode: u8, data: &[u8]) -> Self {
        Self::new(error_code::UPDATE_MESSAGE, subcode, data)
    }

    /// OPEN Message Error, Bad Peer AS (RFC 4271 section 6.2): the AS is not the one that is configured.
    pub fn bad_peer_as() -> Self {
        Self::open(open_error::BAD_PEER_AS, &[])
    }

    /// OPEN Message Error, Bad BGP Identifier (RFC 6286 section 2.2): an internal peer with our own identifier.
    pub fn bad_bgp_identifier() -> Self {
        Self::open(open_error::BAD_BGP_IDENTIFIER, &[])
    }

    /// Hold Timer Expired (RFC 4271 section 6.5).
    pub fn hold_timer_expired() -> Self {
        Self::new(error_code::HOLD_TIMER_EXPIRED, 0, &[])
    }

    /// Finite State Machine Error, see [`fsm_error`]; the data is the type of the message that came (RFC 6608
    /// section 4).
    pub fn fsm(subcode: u8, message_type: u8) -> Self {
        Self::new(error_code::FINITE_STATE_MACHINE, subcode, &[message_type])
    }

    /// A Cease without data, see [`cease`].
    pub fn cease(subcode: u8) -> Self {
        Self::new(error_code::CEASE, subcode, &[])
    }

    /// Cease, Maximum Number of Prefixes Reached: `limit` of `family` (RFC 4486 section 4).
    pub fn maximum_prefixes(family: Family, limit: u32) -> Self {
        let mut data = Vec::with_capacity(7);
        data.put_u16(family.afi());
        data.put_u8(family.safi());
        data.put_u32(limit);
        Self { code: error_code::CEASE, subcode: cease::MAXIMUM_PREFIXES, data }
    }

    /// Cease, Administrative Shutdown, with a reason for the peer's operator (RFC 9003). Cut at 255 octets.
    pub fn administrative_shutdown(reason: &str) -> Self {
        Self::with_communication(cease::ADMINISTRATIVE_SHUTDOWN, reason)
    }

    /// Cease, Administrative Reset, with a reason for the peer's operator (RFC 9003). Cut at 255 octets.
    pub fn administrative_reset(reason: &str) -> Self {
        Self::with_communication(cease::ADMINISTRATIVE_RESET, reason)
    }

    fn with_communication(subcode: u8, reason: &str) -> Self {
        let mut data = Vec::new();
        if !reason.is_empty() {
            let text = reason.get(..reason.floor_char_boundary(COMMUNICATION_MAX)).unwrap_or(reason);
            data.put_u8(text.len() as u8);
            data.put_slice(text.as_bytes());
        }
        Self { code: error_code::CEASE, subcode, data }
    }

    /// Cease, Hard Reset around `reason`: the session ends for good although both sides restart gracefully on
    /// NOTIFICATION (RFC 8538 section 3.1).
    #[must_use]
    pub fn into_hard_reset(self) -> Self {
        let mut data = vec![self.code, self.subcode];
        data.extend_from_slice(&self.data);
        Self { code: error_code::CEASE, subcode: cease::HARD_RESET, data }
    }

    /// The NOTIFICATION that a Hard Reset carries (RFC 8538 section 3.1).
    pub fn hard_reset_reason(&self) -> Option<Self> {
        match (self.code, self.subcode, &self.data[..]) {
            (error_code::CEASE, cease::HARD_RESET, &[code, subcode, ref data @ ..]) => {
                Some(Self::new(code, subcode, data))
            }
            _ => None,
        }
    }

    /// The shutdown communication (RFC 9003), fit for a terminal and a log: what is not UTF-8 and what controls a
    /// terminal is replaced. None when there is none or its length is wrong.
    pub fn communication(&self) -> Option<String> {
        let (&len, text) = match (self.code, self.subcode) {
            (error_code::CEASE, cease::ADMINISTRATIVE_SHUTDOWN | cease::ADMINISTRATIVE_RESET) => {
                self.data.split_first()?
            }
            _ => return None,
        };
        let text = text.get(..usize::from(len)).filter(|text| !text.is_empty())?;
        Some(
            String::from_utf8_lossy(text)
                .chars()
                .map(|c| if is_printable(c) { c } else { char::REPLACEMENT_CHARACTER })
                .collect(),
        )
    }

    /// The message body of a NOTIFICATION.
    pub(super) fn decode(body: &[u8]) -> Self {
        match body {
            [code, subcode, data @ ..] => Self::new(*code, *subcode, data),
            // The header's length check lets nothing shorter pass; there is no NOTIFICATION about a NOTIFICATION.
            short => Self::new(short.first().copied().unwrap_or(0), 0, &[]),
        }
    }

    /// Appends the message. Data beyond 4096 octets of message is cut off: it is for people, and a message that is
    /// too long would tell them nothing.
    pub fn encode(&self, out: &mut impl Output) {
        let start = header::start(out, message_type::NOTIFICATION);
        out.put_slice(&[self.code, self.subcode]);
        let room = MAX_MESSAGE_LEN - HEADER_LEN - 2;
        out.put_slice(self.data.get(..room).unwrap_or(&self.data));
        header::finish(out, start);
    }

    fn code_name(&self) -> Option<&'static str> {
        Some(match self.code {
            error_code::MESSAGE_HEADER => "Message Header Error",
            error_code::OPEN_MESSAGE => "OPEN Message Error",
            error_code::UPDATE_MESSAGE => "UPDATE Message Error",
            error_code::HOLD_TIMER_EXPIRED => "Hold Timer Expired",
            error_code::FINITE_STATE_MACHINE => "Finite State Machine Error",
            error_code::CEASE => "Cease",
            error_code::ROUTE_REFRESH => "ROUTE-REFRESH Message Error",
            error_code::SEND_HOLD_TIMER_EXPIRED => "Send Hold Timer Expired",
            _ => return None,
        })
    }

    fn subcode_name(&self) -> Option<&'static str> {
        Some(match (self.code, self.subcode) {
            (error_code::MESSAGE_HEADER, header_error::CONNECTION_NOT_SYNCHRONIZED) => {
                "Connection Not Synchronized"
            }
            (error_code::MESSAGE_HEADER, header_error::BAD_MESSAGE_LENGTH) => "Bad Message Length",
            (error_code::MESSAGE_HEADER, header_error::BAD_MESSAGE_TYPE) => "Bad Message Type",
            (error_code::OPEN_MESSAGE, open_error::UNSUPPORTED_VERSION) => "Unsupported Version Number",
            (error_code::OPEN_MESSAGE, open_error::BAD_PEER_AS) => "Bad Peer AS",
            (error_code::OPEN_MESSAGE, open_error::BAD_BGP_IDENTIFIER) => "Bad BGP Identifier",
            (error_code::OPEN_MESSAGE, open_error::UNSUPPORTED_OPTIONAL_PARAMETER) => {
                "Unsupported Optional Parameter"
            }
            (error_code::OPEN_MESSAGE, open_error::UNACCEPTABLE_HOLD_TIME) => "Unacceptable Hold Time",
            (error_code::OPEN_MESSAGE, open_error::UNSUPPORTED_CAPABILITY) => "Unsupported Capability",
            (error_code::OPEN_MESSAGE, open_error::ROLE_MISMATCH) => "Role Mismatch",
            (error_code::UPDATE_MESSAGE, update_error::MALFORMED_ATTRIBUTE_LIST) => {
                "Malformed Attribute List"
            }
            (error_code::UPDATE_MESSAGE, update_error::UNRECOGNIZED_WELL_KNOWN_ATTRIBUTE) => {
                "Unrecognized Well-known Attribute"
            }
            (error_code::UPDATE_MESSAGE, update_error::MISSING_WELL_KNOWN_ATTRIBUTE) => {
                "Missing Well-known Attribute"
            }
            (error_code::UPDATE_MESSAGE, update_error::ATTRIBUTE_FLAGS) => "Attribute Flags Error",
            (error_code::UPDATE_MESSAGE, update_error::ATTRIBUTE_LENGTH) => "Attribute Length Error",
            (error_code::UPDATE_MESSAGE, update_error::INVALID_ORIGIN) => "Invalid ORIGIN Attribute",
            (error_code::UPDATE_MESSAGE, update_error::INVALID_NEXT_HOP) => "Invalid NEXT_HOP Attribute",
            (error_code::UPDATE_MESSAGE, update_error::OPTIONAL_ATTRIBUTE) => "Optional Attribute Error",
            (error_code::UPDATE_MESSAGE, update_error::INVALID_NETWORK_FIELD) => "Invalid Network Field",
            (error_code::UPDATE_MESSAGE, update_error::MALFORMED_AS_PATH) => "Malformed AS_PATH",
            (error_code::FINITE_STATE_MACHINE, fsm_error::UNEXPECTED_IN_OPEN_SENT) => {
                "Unexpected Message in OpenSent"
            }
            (error_code::FINITE_STATE_MACHINE, fsm_error::UNEXPECTED_IN_OPEN_CONFIRM) => {
                "Unexpected Message in OpenConfirm"
            }
            (error_code::FINITE_STATE_MACHINE, fsm_error::UNEXPECTED_IN_ESTABLISHED) => {
                "Unexpected Message in Established"
            }
            (error_code::CEASE, cease::MAXIMUM_PREFIXES) => "Maximum Number of Prefixes Reached",
            (error_code::CEASE, cease::ADMINISTRATIVE_SHUTDOWN) => "Administrative Shutdown",
            (error_code::CEASE, cease::PEER_DECONFIGURED) => "Peer De-configured",
            (error_code::CEASE, cease::ADMINISTRATIVE_RESET) => "Administrative Reset",
            (error_code::CEASE, cease::CONNECTION_REJECTED) => "Connection Rejected",
            (error_code::CEASE, cease::OTHER_CONFIGURATION_CHANGE) => "Other Configuration Change",
            (error_code::CEASE, cease::CONNECTION_COLLISION) => "Connection Collision Resolution",
            (error_code::CEASE, cease::OUT_OF_RESOURCES) => "Out of Resources",
            (error_code::CEASE, cease::HARD_RESET) => "Hard Reset",
            (error_code::CEASE, cease::BFD_DOWN) => "BFD Down",
            (error_code::ROUTE_REFRESH, route_refresh_error::INVALID_MESSAGE_LENGTH) => {
                "Invalid Message Length"
            }
            _ => return None,
        })
    }

    /// What the data adds, where that helps a person.
    fn explain_data(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = self.communication() {
            return write!(f, ": \"{reason}\"");
        }
        if let Some(reason) = self.hard_reset_reason() {
            return write!(f, " ({reason})");
        }
        match (self.code, self.subcode, &self.data[..]) {
            (error_code::CEASE, cease::MAXIMUM_PREFIXES, &[a, b, safi, c, d, e, g]) => {
                let limit = u32::from_be_bytes([c, d, e, g]);
                match Family::from_iana(u16::from_be_bytes([a, b]), safi) {
                    Some(family) => write!(f, " ({family}, limit {limit})"),
                    None => write!(f, " (limit {limit})"),
                }
            }
            (error_code::MESSAGE_HEADER, header_error::BAD_MESSAGE_LENGTH, &[a, b]) => {
                write!(f, " ({})", u16::from_be_bytes([a, b]))
            }
            (error_code::MESSAGE_HEADER, header_error::BAD_MESSAGE_TYPE, [kind]) => write!(f, " ({kind})"),
            (error_code::OPEN_MESSAGE, open_error::UNSUPPORTED_VERSION, &[a, b]) => {
                write!(f, " (speaks {})", u16::from_be_bytes([a, b]))
            }
            (error_code::UPDATE_MESSAGE, update_error::MISSING_WELL_KNOWN_ATTRIBUTE, &[code]) => {
                write!(f, " ({})", AttributeName(code))
            }
            (
                error_code::UPDATE_MESSAGE,
                update_error::UNRECOGNIZED_WELL_KNOWN_ATTRIBUTE..=update_error::OPTIONAL_ATTRIBUTE,
                &[_, code, _, ..],
            ) => write!(f, " ({})", AttributeName(code)),
            _ => Ok(()),
        }
    }
}

/// Bidirectional controls can disguise text as much as escape sequences can.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// `Cease/Administrative Shutdown: "maintenance"`, `Hold Timer Expired`, `Cease/77`, `code 99/1`.
impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code_name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "code {}", self.code)?,
        }
        match self.subcode_name() {
            Some(name) => write!(f, "/{name}")?,
            None if self.subcode != 0 => write!(f, "/{}", self.subcode)?,
            None => {}
        }
        self.explain_data(f)
    }
}

impl std::error::Error for Notification {}

#[cfg(test)]
mod tests;
