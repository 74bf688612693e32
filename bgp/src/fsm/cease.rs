//! Reasons for which we end a session, and the NOTIFICATIONs they become.

use crate::wire::{Family, Notification, iana::cease};

/// A reason to end a session on purpose: the subcodes of Cease (RFC 4486, RFC 8538, RFC 9384) with what
/// they carry.
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
    /// 10: BFD says that the way to the peer is gone.
    BfdDown,
}

impl Cease {
    /// The message that says so.
    pub fn notification(&self) -> Notification {
        match self {
            Self::MaxPrefixes { family, limit } => Notification::maximum_prefixes(*family, *limit),
            Self::AdminShutdown(why) => Notification::administrative_shutdown(why),
            Self::PeerDeconfigured => Notification::cease(cease::PEER_DECONFIGURED),
            Self::AdminReset(why) => Notification::administrative_reset(why),
            Self::ConnectionRejected => Notification::cease(cease::CONNECTION_REJECTED),
            Self::OtherConfigurationChange => Notification::cease(cease::OTHER_CONFIGURATION_CHANGE),
            Self::ConnectionCollision => Notification::cease(cease::CONNECTION_COLLISION),
            Self::OutOfResources => Notification::cease(cease::OUT_OF_RESOURCES),
            Self::HardReset(inner) => (**inner).clone().into_hard_reset(),
            Self::BfdDown => Notification::cease(cease::BFD_DOWN),
        }
    }
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
