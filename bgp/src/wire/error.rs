//! What may be wrong with an UPDATE that need not end its session (RFC 7606), in words an operator can act on.
//!
//! Knows faults and their subcodes. The decoder decides what a fault leads to.

use std::fmt;

use super::iana::{attribute_code, update_error};

/// In the place of an attribute's type code (0 is reserved): the fields WITHDRAWN ROUTES and NLRI.
pub(super) const NLRI_FIELDS: u8 = 0;

/// Why the routes of an UPDATE were taken as withdrawn: the first such fault of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateError {
    /// Type code of the attribute at fault, 0 where it was cut off before that.
    pub attribute: u8,
    /// What is wrong with it.
    pub fault: Fault,
}

/// An attribute that was ignored while the rest of its UPDATE was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discarded {
    /// Type code of the attribute; 0 for the fields WITHDRAWN ROUTES and NLRI.
    pub attribute: u8,
    /// Why it was ignored.
    pub fault: Fault,
}

/// What can be wrong with a path attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The Optional or Transitive bit is not what the type code asks for.
    Flags,
    /// The length is not one that the type code allows.
    Length,
    /// The attribute runs beyond the end of the attributes (RFC 7606 section 4).
    Overrun,
    /// A well-known mandatory attribute is not there.
    Missing,
    /// It appears again; the first counts.
    Duplicate,
    /// ORIGIN has an undefined value.
    UndefinedOrigin,
    /// NEXT_HOP cannot be the address of a host.
    NoHostAddress,
    /// AS_PATH has a segment of unknown type, of no AS numbers, or one that is cut off.
    MalformedAsPath,
    /// AS_PATH has confederation segments, from a peer outside (RFC 5065 section 5).
    ForeignConfederation,
    /// AS number 0 (RFC 7607).
    AsZero,
    /// It has a meaning within an AS only, and came from outside (LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST).
    FromExternalPeer,
    /// It is for peers with two-octet AS numbers, and the session has four (RFC 6793 section 4.1).
    FromFourOctetPeer,
    /// AGGREGATOR tells that a two-octet speaker aggregated last (RFC 6793 section 4.2.3).
    Outdated,
    /// MP_REACH_NLRI or MP_UNREACH_NLRI of a family that the session does not carry (RFC 4760 section 8).
    FamilyNotNegotiated,
}

impl Fault {
    /// The UPDATE Message Error subcode for this fault, where it has to end the session.
    pub(super) fn subcode(self) -> u8 {
        match self {
            Self::Flags => update_error::ATTRIBUTE_FLAGS,
            Self::Length => update_error::ATTRIBUTE_LENGTH,
            Self::Missing => update_error::MISSING_WELL_KNOWN_ATTRIBUTE,
            Self::UndefinedOrigin => update_error::INVALID_ORIGIN,
            Self::NoHostAddress => update_error::INVALID_NEXT_HOP,
            Self::MalformedAsPath | Self::ForeignConfederation | Self::AsZero => {
                update_error::MALFORMED_AS_PATH
            }
            Self::Overrun | Self::Duplicate => update_error::MALFORMED_ATTRIBUTE_LIST,
            Self::FromExternalPeer | Self::FromFourOctetPeer | Self::Outdated | Self::FamilyNotNegotiated => {
                update_error::OPTIONAL_ATTRIBUTE
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flags => "flags conflict with the attribute type",
            Self::Length => "length conflicts with the attribute type",
            Self::Overrun => "runs beyond the end of the attributes",
            Self::Missing => "is missing",
            Self::Duplicate => "appears again, the first counts",
            Self::UndefinedOrigin => "undefined value",
            Self::NoHostAddress => "not the address of a host",
            Self::MalformedAsPath => "malformed segment",
            Self::ForeignConfederation => "confederation segments from outside the confederation",
            Self::AsZero => "contains AS 0",
            Self::FromExternalPeer => "not accepted from an external peer",
            Self::FromFourOctetPeer => "not accepted from a peer with four-octet AS numbers",
            Self::Outdated => "outdated by AGGREGATOR",
            Self::FamilyNotNegotiated => "family not negotiated",
        })
    }
}

/// `ORIGIN: undefined value; routes taken as withdrawn`.
impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attribute {
            // Cut off before its type code.
            0 => write!(f, "path attribute: {}; routes taken as withdrawn", self.fault),
            code => write!(f, "{}: {}; routes taken as withdrawn", AttributeName(code), self.fault),
        }
    }
}

impl std::error::Error for UpdateError {}

/// `AGGREGATOR: length conflicts with the attribute type; ignored`.
impl fmt::Display for Discarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; ignored", AttributeName(self.attribute), self.fault)
    }
}

/// The name of an attribute type code: as in its RFC, or `attribute 99`.
#[derive(Clone, Copy, Debug)]
pub struct AttributeName(pub u8);

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            attribute_code::ORIGIN => "ORIGIN",
            attribute_code::AS_PATH => "AS_PATH",
            attribute_code::NEXT_HOP => "NEXT_HOP",
            attribute_code::MULTI_EXIT_DISC => "MULTI_EXIT_DISC",
            attribute_code::LOCAL_PREF => "LOCAL_PREF",
            attribute_code::ATOMIC_AGGREGATE => "ATOMIC_AGGREGATE",
            attribute_code::AGGREGATOR => "AGGREGATOR",
            attribute_code::COMMUNITIES => "COMMUNITIES",
            attribute_code::ORIGINATOR_ID => "ORIGINATOR_ID",
            attribute_code::CLUSTER_LIST => "CLUSTER_LIST",
            attribute_code::MP_REACH_NLRI => "MP_REACH_NLRI",
            attribute_code::MP_UNREACH_NLRI => "MP_UNREACH_NLRI",
            attribute_code::EXTENDED_COMMUNITIES => "EXTENDED COMMUNITIES",
            attribute_code::AS4_PATH => "AS4_PATH",
            attribute_code::AS4_AGGREGATOR => "AS4_AGGREGATOR",
            attribute_code::LARGE_COMMUNITY => "LARGE_COMMUNITY",
            NLRI_FIELDS => "NLRI",
            code => return write!(f, "attribute {code}"),
        })
    }
}

/// The discarded attributes of one UPDATE, in place: the first few, and how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscardedList {
    count: u16,
    first: [Discarded; Self::KEPT],
}

impl DiscardedList {
    const KEPT: usize = 7;

    pub(super) const EMPTY: Self =
        Self { count: 0, first: [Discarded { attribute: 0, fault: Fault::Duplicate }; Self::KEPT] };

    pub(super) fn push(&mut self, attribute: u8, fault: Fault) {
        if let Some(place) = self.first.get_mut(usize::from(self.count)) {
            *place = Discarded { attribute, fault };
        }
        self.count = self.count.saturating_add(1);
    }

    /// The first seven, in the order of the message: enough for a log line.
    pub fn first(&self) -> &[Discarded] {
        self.first.get(..usize::from(self.count)).unwrap_or(&self.first)
    }

    /// How many there were.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
