//! The way of an UPDATE's routes into the Adj-RIB-In: loops, import policy.
//!
//! Knows one bundle of routes with the same attributes at a time. Whatever is refused here replaces, as every
//! announcement does, what the peer announced before: nothing is left of it (RFC 4271 section 9).

use std::net::{IpAddr, Ipv4Addr};

use super::attribute_store::AttributesId;
use super::loc_rib::LocRib;
use super::peers::Peer;
use super::prefix::FamilyPrefix;
use super::shared::Shared;
use super::table::Slot;
use crate::policy::{Direction, Narrowed, RuleNumber, Verdict};
use crate::wire::{Attributes, NextHop};

/// Working space of the import policy.
#[derive(Debug, Default)]
pub(crate) struct Import {
    narrowed: Narrowed,
    /// What rules have made of the attributes at hand, each with a reference.
    changed: Vec<(RuleNumber, AttributesId)>,
}

impl Import {
    /// Takes routes of a peer in.
    pub(crate) fn run<P: FamilyPrefix>(
        &mut self,
        loc_rib: &mut LocRib<P>,
        shared: &mut Shared,
        slot: Slot,
        attributes: Attributes,
        prefixes: impl Iterator<Item = P>,
    ) {
        let peer = shared.peers.get(slot);
        if !peer.config.families.contains(P::FAMILY) {
            return;
        }
        // What cannot be a unicast destination is ignored (RFC 4271 section 6.3).
        let prefixes = prefixes.filter(|prefix| prefix.is_unicast());
        if is_looped(peer, shared.config.asn, shared.config.router_id, &attributes) {
            let count = refuse(loc_rib, shared, slot, prefixes);
            let received = &mut shared.peers.get_mut(slot).family_mut(P::FAMILY).received;
            received.received += count;
            received.looped += count;
            return;
        }
        let policy = peer.config.import.clone();
        let neighbor = peer.config.asn;
        policy.narrow(Direction::Import, &attributes, &mut self.narrowed);
        let constant = self.narrowed.constant();
        if constant == Some(Verdict::Reject) {
            let count = refuse(loc_rib, shared, slot, prefixes);
            let received = &mut shared.peers.get_mut(slot).family_mut(P::FAMILY).received;
            received.received += count;
            received.rejected += count;
            return;
        }
        let original = shared.attributes.intern(attributes, &mut shared.next_hops);
        let (mut count, mut rejected) = (0, 0);
        for prefix in prefixes {
            count += 1;
            let verdict = constant.unwrap_or_else(|| policy.judge(&self.narrowed, prefix.into()));
            let attributes = match verdict {
                Verdict::Accept => original,
                Verdict::Change(rule) => self.change(rule, shared, |shared| {
                    policy.apply(rule, shared.attributes.get(original), neighbor)
                }),
                Verdict::Reject => {
                    rejected += 1;
                    loc_rib.retract(shared, slot, prefix);
                    continue;
                }
            };
            loc_rib.announce(shared, slot, prefix, attributes);
        }
        shared.release(original);
        for (_, id) in self.changed.drain(..) {
            shared.release(id);
        }
        let received = &mut shared.peers.get_mut(slot).family_mut(P::FAMILY).received;
        received.received += count;
        received.rejected += rejected;
    }

    /// What a rule makes of the attributes, made once per bundle.
    fn change(
        &mut self,
        rule: RuleNumber,
        shared: &mut Shared,
        apply: impl FnOnce(&Shared) -> Attributes,
    ) -> AttributesId {
        if let Some((_, id)) = self.changed.iter().find(|(known, _)| *known == rule) {
            return *id;
        }
        let changed = apply(shared);
        let id = shared.attributes.intern(changed, &mut shared.next_hops);
        self.changed.push((rule, id));
        id
    }
}

fn refuse<P: FamilyPrefix>(
    loc_rib: &mut LocRib<P>,
    shared: &mut Shared,
    slot: Slot,
    prefixes: impl Iterator<Item = P>,
) -> u64 {
    let mut count = 0;
    for prefix in prefixes {
        count += 1;
        loc_rib.retract(shared, slot, prefix);
    }
    count
}

/// Has the route been here before? Our AS number in its path (RFC 4271 section 9.1.2), our identifier as originator
/// (RFC 4456 section 8), or one of our addresses as next hop (RFC 4271 section 5.1.3).
fn is_looped(peer: &Peer, asn: u32, router_id: Ipv4Addr, attributes: &Attributes) -> bool {
    let allowed = usize::from(peer.config.allow_own_as);
    let path = attributes.as_path();
    let ours = |own: Option<NextHop>| own.is_some_and(|own| is_same_host(own, attributes.next_hop()));
    path.count(asn) > allowed
        || (peer.config.local_asn != asn && path.count(peer.config.local_asn) > allowed)
        || attributes.originator_id() == Some(router_id)
        || ours(peer.config.next_hop_self.ipv4)
        || ours(peer.config.next_hop_self.ipv6)
}

fn is_same_host(own: NextHop, other: NextHop) -> bool {
    let link_local = |next_hop| match next_hop {
        NextHop::V6 { link_local, .. } => link_local.map(IpAddr::from),
        NextHop::V4(_) => None,
    };
    own.address() == other.address()
        || link_local(own).is_some_and(|own| own == other.address() || link_local(other) == Some(own))
}
