//! Which routes go to a peer, and with which attributes.
//!
//! Knows the export rules of BGP and asks the peer's export policy. Must not know messages.

use crate::policy::{Direction, Narrowed, Policy, RuleNumber, Source, Verdict};
use crate::rib::PeerRib;
use crate::rib::internals::{AttributesId, FamilyPrefix, LOCAL, Path, Peer, Sent, Shared, Slot};
use crate::wire::{Attributes, Family, NextHop, Session};
use std::sync::Arc;

/// Working space: the verdict on the bundle of routes at hand. Routes that came together lie together, so one bundle
/// is remembered.
#[derive(Debug, Default)]
pub(super) struct Export {
    policy: Option<Arc<Policy>>,
    bundle: Option<Bundle>,
    narrowed: Narrowed,
    /// What rules have made of the bundle's attributes.
    changed: Vec<(RuleNumber, Sent)>,
    /// References to what rules have made.
    held: Vec<AttributesId>,
}

/// Routes that cannot be told apart but by their prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bundle {
    attributes: AttributesId,
    from: Slot,
    constant: Option<Verdict>,
    /// Nothing of it may be sent, whatever the policy says.
    barred: bool,
}

impl Export {
    /// A chunk for a peer begins.
    pub(super) fn begin(&mut self, peer: &Peer) {
        self.policy = Some(peer.config.export.clone());
        self.bundle = None;
        self.changed.clear();
    }

    /// The chunk has been written.
    pub(super) fn release(&mut self, shared: &mut Shared) {
        for id in self.held.drain(..) {
            shared.release(id);
        }
        self.policy = None;
    }

    /// What the peer in `slot` is to have for a prefix whose best path is this.
    pub(super) fn wanted<P: FamilyPrefix>(
        &mut self,
        shared: &mut Shared,
        slot: Slot,
        session: Session,
        best: &Path,
        prefix: P,
    ) -> Option<Sent> {
        let policy = self.policy.take()?;
        let bundle = match self.bundle {
            Some(bundle) if bundle.attributes == best.attributes && bundle.from == best.slot => bundle,
            _ => self.open_bundle(&policy, shared, slot, session, best, P::FAMILY),
        };
        let verdict = if bundle.barred {
            Verdict::Reject
        } else {
            bundle.constant.unwrap_or_else(|| policy.judge(&self.narrowed, prefix.into()))
        };
        let wanted = match verdict {
            Verdict::Reject => None,
            Verdict::Accept => {
                let med = best.slot == LOCAL && shared.attributes.digest(best.attributes).has_med();
                let external = shared.peers.get(slot).config.external;
                Some(Sent::new(best.attributes, med && external))
            }
            Verdict::Change(rule) => Some(self.change(&policy, rule, shared, slot, best)),
        };
        self.policy = Some(policy);
        wanted
    }

    fn open_bundle(
        &mut self,
        policy: &Policy,
        shared: &Shared,
        slot: Slot,
        session: Session,
        best: &Path,
        family: Family,
    ) -> Bundle {
        let attributes = shared.attributes.get(best.attributes);
        let source = if best.slot == LOCAL { Source::Local } else { Source::Learned };
        policy.narrow(Direction::Export(source), attributes, &mut self.narrowed);
        self.changed.clear();
        let bundle = Bundle {
            attributes: best.attributes,
            from: best.slot,
            constant: self.narrowed.constant(),
            barred: is_barred(shared, slot, best)
                || next_hop(attributes, &shared.peers.get(slot).config, session, family).is_none(),
        };
        self.bundle = Some(bundle);
        bundle
    }

    /// What a rule makes of the bundle's attributes, made once.
    fn change(
        &mut self,
        policy: &Policy,
        rule: RuleNumber,
        shared: &mut Shared,
        slot: Slot,
        best: &Path,
    ) -> Sent {
        if let Some((_, sent)) = self.changed.iter().find(|(known, _)| *known == rule) {
            return *sent;
        }
        let (external, own) = {
            let peer = &shared.peers.get(slot).config;
            (peer.external, peer.local_asn)
        };
        let changed = policy.apply(rule, shared.attributes.get(best.attributes), own);
        let sets_med = policy.set(rule).is_some_and(|set| set.med.is_some());
        let med = external && changed.med().is_some() && (sets_med || best.slot == LOCAL);
        let id = shared.attributes.intern(changed, &mut shared.next_hops);
        self.held.push(id);
        let sent = Sent::new(id, med);
        self.changed.push((rule, sent));
        sent
    }
}

/// Must a route stay away from a peer, whatever the policy says?
fn is_barred(shared: &Shared, slot: Slot, best: &Path) -> bool {
    let peer = &shared.peers.get(slot).config;
    let digest = shared.attributes.digest(best.attributes);
    // Never back to where it came from.
    best.slot == slot
        // From internal peers to internal peers: RFC 4271 section 9.2. We are no route reflector.
        || (best.slot != LOCAL && !peer.external && !shared.peers.get(best.slot).config.external)
        // RFC 1997. What the export policy adds is meant for the neighbour, so the route is looked at before it.
        || digest.no_advertise()
        || (digest.no_export() && peer.external)
}

/// The next hop that a peer is told; `None` if there is none that it would understand.
pub(super) fn next_hop(
    attributes: &Attributes,
    peer: &PeerRib,
    session: Session,
    family: Family,
) -> Option<NextHop> {
    let own = match family {
        Family::Ipv4 => peer.next_hop_self.ipv4,
        Family::Ipv6 => peer.next_hop_self.ipv6,
    };
    let understood = |next_hop: &NextHop| match (family, next_hop) {
        (Family::Ipv4, NextHop::V4(_)) | (Family::Ipv6, NextHop::V6 { .. }) => true,
        (Family::Ipv4, NextHop::V6 { .. }) => session.extended_next_hop,
        (Family::Ipv6, NextHop::V4(_)) => false,
    };
    let learned = match attributes.next_hop() {
        // To external peers always ourselves: a third party on the same network (RFC 4271 section 5.1.3) is a saving
        // that a host has no use for.
        _ if peer.external => None,
        NextHop::V4(address) => (!address.is_unspecified()).then_some(NextHop::V4(address)),
        // RFC 2545 section 3: a link-local address is meant for one link, and this is another.
        NextHop::V6 { global, .. } => (!global.is_unspecified() && !global.is_unicast_link_local())
            .then_some(NextHop::V6 { global, link_local: None }),
    };
    learned.filter(understood).or(own).filter(understood)
}
