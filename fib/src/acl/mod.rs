//! Who may talk to whom, as numbers in tables: the same tables for the kernel and for whoever wants to know what the
//! kernel would say.
//!
//! What a packet is judged by hardly ever changes in the kernel: a few chains ([`program`]) that look its two addresses up, then
//! what each side's group says about the other side and the service, and let the more urgent of the two decide. All that
//! a configuration or a container adds is elements of their maps ([`elements`]), so that the cost of a packet does not
//! grow with the number of rules, and the cost of a change is that of its elements. [`AclTable::judge`] looks the same
//! things up in the same order.
//!
//! | looked up | gives |
//! |---|---|
//! | link that the packet came by | [`Scope`]: which addresses are meant |
//! | scope and address | [`Known`]: a group and an identity; of members one by one, else of [`AclTable::areas`] |
//! | the one side's group, the other side's identity | a class: which of the group's rules can be about that side |
//! | group, class, service | [`Outcome`]: how urgent, and which rule |
//! | rule | what becomes of the packet; counted |
//!
//! Knows nftables objects. Must not know what the numbers stand for: that is for whoever fills the tables.

mod elements;
mod judge;
mod program;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

pub use elements::{elements, marking, member, member_of};
pub use judge::{Decision, Flow};
pub(crate) use program::CONDEMNED;
pub use program::{VERDICTS, program, rule_of};

use crate::model::IfName;

/// The addresses that a number is meant among: 0 are those that the host routes; others are those of a bridge that it does
/// not route to, which may be the same ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(pub u32);

impl Scope {
    /// What the host routes.
    pub const ROUTED: Self = Self(0);
}

/// What is known of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Known {
    /// Its group, whose rules hold; 0: none.
    pub group: u32,
    /// What others' rules can tell it by; 0: nothing.
    pub identity: u32,
}

/// Addresses one behind the other, both ends included, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Area {
    /// Among which.
    pub scope: Scope,
    /// The lowest.
    pub first: IpAddr,
    /// The highest.
    pub last: IpAddr,
}

/// Services one behind the other: protocol, and the number that tells services of the protocol apart: destination port,
/// ICMP type and code ([`Service::icmp`]), else 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service(pub u32);

impl Service {
    /// The lowest.
    pub const FIRST: Self = Self(0);
    /// The highest.
    pub const LAST: Self = Self(0x00ff_ffff);

    /// A port of a protocol.
    pub fn port(protocol: u8, port: u16) -> Self {
        Self(u32::from(protocol) << 16 | u32::from(port))
    }

    /// A type and code of ICMP (protocol 1) or ICMPv6 (58).
    pub fn icmp(protocol: u8, kind: u8, code: u8) -> Self {
        Self::port(protocol, u16::from_be_bytes([kind, code]))
    }

    /// The protocol.
    pub fn protocol(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// Port, or type and code.
    pub fn number(self) -> u16 {
        self.0 as u16
    }
}

/// Which way a packet goes, seen from the group whose rules are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// To a member.
    In,
    /// From a member.
    Out,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::In, Self::Out];

    /// As index.
    pub fn index(self) -> usize {
        usize::from(self == Self::Out)
    }
}

/// What one side says about a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    /// The higher one decides; of two that are the same, that of the destination. At most [`Outcome::MOST_URGENT`].
    pub urgency: u32,
    /// The rule; 0: none.
    pub rule: u32,
}

impl Outcome {
    /// Highest urgency.
    pub const MOST_URGENT: u32 = 255;
    /// What is said where no case is about a packet. No rule has this number.
    pub const UNKNOWN: Self = Self { urgency: Self::MOST_URGENT, rule: u32::MAX };
}

/// What becomes of a packet by a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// It is dropped.
    pub drop: bool,
    /// It is logged, the line beginning with this.
    pub log: Option<Arc<str>>,
}

/// Services that an outcome is for: of a group, seen from a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Case {
    /// The group.
    pub group: u32,
    /// The class of the other side; 0: no rule knows it.
    pub class: u32,
    /// The lowest service.
    pub first: Service,
    /// The highest service.
    pub last: Service,
}

/// All of it. Two are equal exactly when the kernel holds the same elements for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclTable {
    /// Bridges that the host does not route to.
    pub scopes: BTreeMap<IfName, Scope>,
    /// The zone that connections of such a bridge are tracked in. Not 0.
    pub zones: BTreeMap<IfName, u16>,
    /// What is known of addresses by where they are; areas do not overlap.
    pub areas: BTreeMap<Area, Known>,
    /// What is known of single addresses, before all areas.
    pub members: HashMap<(Scope, IpAddr), Known>,
    /// What is known by a packet's mark and the identity of its source by area, before all others.
    pub marked: BTreeMap<(u32, u32), Known>,
    /// By side: the class of (own group, other side's identity); what is not there is class 0.
    pub classes: [BTreeMap<(u32, u32), u32>; 2],
    /// By side; cases of one group and class do not overlap, and all of them together are about every service: also those
    /// that nothing is said about ([`Outcome::default`]), also of group 0. What is not there is dropped; a side without any
    /// case says nothing.
    pub cases: [BTreeMap<Case, Outcome>; 2],
    /// By rule. What is not there is dropped, but for rule 0.
    pub sentences: BTreeMap<u32, Sentence>,
    /// Bridges that carry marks to other hosts.
    pub carriers: BTreeMap<IfName, Scope>,
    /// The mark that packets from members of a group carry there. Not 0.
    pub marks: BTreeMap<u32, u32>,
}
