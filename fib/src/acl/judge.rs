//! What the kernel would say: the look-ups of the program, in its order.

use std::{net::IpAddr, ops::Bound};

use super::{AclTable, Area, Case, Known, Outcome, Scope, Service, Side};

/// The first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Among which addresses.
    pub scope: Scope,
    /// From.
    pub source: IpAddr,
    /// To; where a published port is translated, the container.
    pub destination: IpAddr,
    /// What for.
    pub service: Service,
    /// The packet's mark; 0: none.
    pub mark: u32,
}

/// Why a packet passes, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What is known of its source.
    pub source: Known,
    /// What is known of its destination.
    pub destination: Known,
    /// What the destination's group says ([`Side::In`]), and the source's ([`Side::Out`]).
    pub outcomes: [Outcome; 2],
    /// Which of the two decides.
    pub by: Side,
    /// It is dropped.
    pub drop: bool,
}

impl Decision {
    /// What decides.
    pub fn outcome(&self) -> Outcome {
        self.outcomes[self.by.index()]
    }
}

/// ICMPv6 that keeps a link working, which nobody judges: multicast listener discovery (RFC 2710, RFC 3810) and
/// neighbour discovery (RFC 4861).
pub(super) const UNJUDGED: [u8; 9] = [130, 131, 132, 133, 134, 135, 136, 137, 143];
/// `IPPROTO_ICMPV6`.
pub(super) const ICMPV6: u8 = 58;

impl AclTable {
    /// What is known of an address by where it is.
    pub fn area(&self, scope: Scope, address: IpAddr) -> Known {
        let end = Area { scope, first: address, last: highest(address) };
        let below = self.areas.range(..=end).next_back();
        let holds = |area: &Area| {
            area.scope == scope && area.first.is_ipv4() == address.is_ipv4() && address <= area.last
        };
        below.filter(|(area, _)| holds(area)).map_or_else(Known::default, |(_, known)| *known)
    }

    /// Judges a packet that is not part of a connection, nor an answer to one. `None`: neither side is a member, so
    /// that nobody has a say.
    pub fn judge(&self, flow: &Flow) -> Option<Decision> {
        if flow.service.protocol() == ICMPV6 && UNJUDGED.contains(&((flow.service.number() >> 8) as u8)) {
            return None;
        }
        let member = |address| self.members.get(&(flow.scope, address)).copied();
        let area = |address| self.area(flow.scope, address);
        let marked = || self.marked.get(&(flow.mark, area(flow.source).identity)).copied();
        let (source, destination) = match (member(flow.source), member(flow.destination)) {
            (from, Some(to)) if flow.mark != 0 => {
                (marked().or(from).unwrap_or_else(|| area(flow.source)), to)
            }
            (Some(from), Some(to)) => (from, to),
            (None, Some(to)) => (area(flow.source), to),
            (Some(from), None) => (from, area(flow.destination)),
            (None, None) => return None,
        };
        let outcomes = [
            self.outcome(Side::In, destination.group, source.identity, flow.service),
            self.outcome(Side::Out, source.group, destination.identity, flow.service),
        ];
        let by = if outcomes[0].urgency >= outcomes[1].urgency { Side::In } else { Side::Out };
        let rule = outcomes[by.index()].rule;
        let drop = rule != 0 && self.sentences.get(&rule).is_none_or(|sentence| sentence.drop);
        Some(Decision { source, destination, outcomes, by, drop })
    }

    fn outcome(&self, side: Side, group: u32, other: u32, service: Service) -> Outcome {
        let class = self.classes[side.index()].get(&(group, other)).copied().unwrap_or(0);
        let end = Case { group, class, first: service, last: Service::LAST };
        let below = self.cases[side.index()].range((Bound::Unbounded, Bound::Included(end))).next_back();
        let holds = |case: &Case| case.group == group && case.class == class && service <= case.last;
        below.filter(|(case, _)| holds(case)).map_or(Outcome::UNKNOWN, |(_, outcome)| *outcome)
    }
}

/// The highest address of a family.
fn highest(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::from([0xff; 4]),
        IpAddr::V6(_) => IpAddr::from([0xff; 16]),
    }
}
