//! What the two OPENs of a session agree on, as far as the wire format depends on it.

use super::header::{MAX_EXTENDED_MESSAGE_LEN, MAX_MESSAGE_LEN};
use super::{Family, FamilySet, Open};

/// What encoder and decoder must know of the session: the outcome of the OPEN exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Both sides speak 4-octet AS numbers (RFC 6793).
    pub four_octet_as: bool,
    /// Both sides accept messages of up to 65,535 octets (RFC 8654).
    pub extended_message: bool,
    /// The peer is in another AS: LOCAL_PREF is ignored on receipt and never sent (RFC 4271 section 5.1.5).
    pub external: bool,
    /// The families that both sides announced (RFC 4760). NLRI of others is ignored.
    pub families: FamilySet,
    /// IPv4 unicast with an IPv6 next hop may be received and sent (RFC 8950).
    pub extended_next_hop: bool,
}

impl Session {
    /// What holds until both OPENs are there: nothing is agreed upon.
    pub fn before_open() -> Self {
        Self {
            four_octet_as: false,
            extended_message: false,
            external: true,
            families: FamilySet::NONE,
            extended_next_hop: false,
        }
    }

    /// What two OPENs agree on.
    pub fn negotiate(local: &Open, remote: &Open) -> Self {
        Self {
            four_octet_as: local.has_four_octet_as() && remote.has_four_octet_as(),
            extended_message: local.has_extended_message() && remote.has_extended_message(),
            external: local.asn != remote.asn,
            families: local.families().intersection(remote.families()),
            extended_next_hop: local.has_extended_next_hop(Family::Ipv4)
                && remote.has_extended_next_hop(Family::Ipv4),
        }
    }

    /// The longest message that may be sent and received, in octets.
    pub fn max_message_len(&self) -> usize {
        if self.extended_message { MAX_EXTENDED_MESSAGE_LEN } else { MAX_MESSAGE_LEN }
    }
}
