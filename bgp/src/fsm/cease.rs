//! Reasons for which we end a session, and the NOTIFICATIONs they become.

use crate::wire::{Family, Notification};

/// NOTIFICATION error code "Finite State Machine Error".
pub(super) const FSM_ERROR: u8 = 5;
/// NOTIFICATION error code "Cease".
pub(super) const CEASE: u8 = 6;
/// Cease subcode "Connection Collision Resolution".
pub(super) const COLLISION: u8 = 7;

/// A reason to end a session on purpose: the subcodes of Cease (RFC 4486, RFC 8538) with what they carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cease {
    /// 1: the peer announced more prefixes than it may.
    MaxPrefixes {
        /// Of this family.
        family: Family,
        /// More than this many.
        limit: u32,
    },
    /// 2: the operator shut the session down, and says why (RFC 9003; may be empty).
    AdminShutdown(String),
    /// 3: the neighbor is no longer configured.
    PeerDeconfigured,
    /// 4: the operator reset the session, and says why (RFC 9003; may be empty).
    AdminReset(String),
    /// 5: this connection is not wanted.
    ConnectionRejected,
    /// 6: the configuration changed in a way that needs a new session.
    OtherConfigurationChange,
    /// 7: the other one of two connections stays.
    ConnectionCollision,
    /// 8: no room.
    OutOfResources,
    /// 9: the session ends and routes must not be kept by graceful restart (RFC 8538). Carries the real reason.
    HardReset(Box<Notification>),
}

impl Cease {
    /// The message that says so.
    pub fn notification(&self) -> Notification {
        let (subcode, data) = match self {
            Self::MaxPrefixes { family, limit } => {
                // RFC 4486 section 4: AFI, SAFI, upper bound.
                let mut data = family_octets(*family).to_vec();
                data.extend(limit.to_be_bytes());
                (1, data)
            }
            Self::AdminShutdown(text) => (2, communication(text)),
            Self::PeerDeconfigured => (3, Vec::new()),
            Self::AdminReset(text) => (4, communication(text)),
            Self::ConnectionRejected => (5, Vec::new()),
            Self::OtherConfigurationChange => (6, Vec::new()),
            Self::ConnectionCollision => (COLLISION, Vec::new()),
            Self::OutOfResources => (8, Vec::new()),
            Self::HardReset(inner) => {
                // RFC 8538 section 3.1: the encapsulated NOTIFICATION's code, subcode and data.
                let mut data = vec![inner.code, inner.subcode];
                data.extend(&inner.data);
                (9, data)
            }
        };
        Notification { code: CEASE, subcode, data }
    }
}

/// AFI and SAFI as on the wire.
fn family_octets(family: Family) -> [u8; 3] {
    match family {
        Family::Ipv4 => [0, 1, 1],
        Family::Ipv6 => [0, 2, 1],
    }
}

/// The shutdown communication of RFC 9003 section 2: a length octet and UTF-8, cut at a character.
fn communication(text: &str) -> Vec<u8> {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end == 0 {
        return Vec::new();
    }
    let mut data = vec![end as u8];
    data.extend(&text.as_bytes()[..end]);
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_communication_is_cut_at_a_character_and_at_255_octets() {
        let text = "ä".repeat(200);
        let data = Cease::AdminShutdown(text).notification().data;
        assert_eq!(data[0], 254);
        assert_eq!(std::str::from_utf8(&data[1..]).unwrap(), "ä".repeat(127));
        assert_eq!(Cease::AdminReset(String::new()).notification().data, Vec::<u8>::new());
    }

    #[test]
    fn a_hard_reset_carries_the_reason_inside() {
        let inner = Cease::AdminReset("ok".into()).notification();
        let outer = Cease::HardReset(Box::new(inner)).notification();
        assert_eq!((outer.code, outer.subcode, outer.data), (6, 9, vec![6, 4, 2, b'o', b'k']));
    }

    #[test]
    fn max_prefixes_names_family_and_limit() {
        let n = Cease::MaxPrefixes { family: Family::Ipv6, limit: 10 }.notification();
        assert_eq!((n.subcode, n.data), (1, vec![0, 2, 1, 0, 0, 0, 10]));
    }
}
