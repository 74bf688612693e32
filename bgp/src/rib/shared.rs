//! What the tables of both families share.
//!
//! Knows peers, attributes, next hops and how a path is judged by them. Must not know tables.

use super::adj_rib_out::AdjRibOut;
use super::attribute_store::{AttributeStore, AttributesId, link_local};
use super::decision::Candidate;
use super::fib_feed::NextHopSets;
use super::next_hops::NextHopTracker;
use super::peers::{LOCAL, Peers};
use super::sweeps::Sweeps;
use super::table::{NewPath, Path, Slot};
use super::{FibNextHop, RibConfig};
use crate::wire::Family;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: RibConfig,
    pub(crate) attributes: AttributeStore,
    pub(crate) next_hops: NextHopTracker,
    pub(crate) sets: NextHopSets,
    pub(crate) peers: Peers,
    pub(crate) sweeps: Sweeps,
}

impl Shared {
    pub(crate) fn new(config: RibConfig) -> Self {
        Self {
            config,
            attributes: AttributeStore::new(config.label),
            next_hops: NextHopTracker::default(),
            sets: NextHopSets::default(),
            peers: Peers::new(config.asn, config.router_id),
            sweeps: Sweeps::default(),
        }
    }

    /// One reference to an attribute set less.
    pub(crate) fn release(&mut self, id: AttributesId) {
        self.attributes.release(id, &mut self.next_hops);
    }

    /// A path as the present session of its peer announces it.
    pub(crate) fn new_path(&self, slot: Slot, attributes: AttributesId, family: Family) -> NewPath {
        let peer = self.peers.get(slot);
        let on_link = peer.config.scope.is_some() && self.attributes.digest(attributes).link_local();
        NewPath {
            slot,
            attributes,
            round: peer.family(family).received.round(),
            tracked: !on_link && slot != LOCAL,
        }
    }

    /// A path stands at a destination: its peer and its next hop are told where, its attributes get a reference.
    pub(crate) fn path_added(&mut self, path: NewPath, family: Family, destination: u32) {
        self.attributes.retain(path.attributes);
        if path.tracked {
            let next_hop = self.attributes.digest(path.attributes).next_hop;
            self.next_hops.add_path(next_hop, family, destination);
        }
        self.peers.get_mut(path.slot).family_mut(family).received.paths.add(destination);
    }

    /// The reverse of [`Shared::path_added`].
    pub(crate) fn path_removed(&mut self, path: &Path, family: Family, destination: u32) {
        self.peers.get_mut(path.slot).family_mut(family).received.removed(destination, path.round);
        if path.is_tracked() {
            let next_hop = self.attributes.digest(path.attributes).next_hop;
            self.next_hops.remove_path(next_hop, family, destination);
        }
        self.release(path.attributes);
    }

    /// Metric of the way to a path's next hop; `None`: the path must not be used, because there is no way or because
    /// the session that brought it is gone.
    pub(crate) fn metric(&self, path: &Path, family: Family) -> Option<u32> {
        if path.slot == LOCAL {
            return Some(0);
        }
        let peer = self.peers.get(path.slot);
        if peer.family(family).received.is_dead(path.round) {
            return None;
        }
        if path.is_tracked() {
            self.next_hops.metric(self.attributes.digest(path.attributes).next_hop)
        } else {
            peer.config.scope.map(|_| 0)
        }
    }

    /// What the decision process looks at in a path; `None` if it must not be used.
    pub(crate) fn candidate(&self, path: &Path, family: Family, current: bool) -> Option<Candidate> {
        let metric = self.metric(path, family)?;
        let digest = self.attributes.digest(path.attributes);
        let peer = &self.peers.get(path.slot).config;
        let mut candidate = Candidate {
            local: path.slot == LOCAL,
            local_pref: digest.local_pref,
            path_length: digest.path_length.into(),
            origin: digest.origin,
            neighbor_as: digest.neighbor_as,
            med: digest.med,
            external: peer.external,
            metric,
            current,
            router_id: peer.router_id.into(),
            cluster_list_length: 0,
            address: peer.address,
        };
        if digest.reflected() {
            let attributes = self.attributes.get(path.attributes);
            candidate.router_id = attributes.originator_id().unwrap_or(peer.router_id).into();
            candidate.cluster_list_length = attributes.cluster_list().len() as u32;
        }
        Some(candidate)
    }

    /// The label of a path: of a learned one.
    pub(crate) fn label(&self, path: &Path) -> u32 {
        if path.slot == LOCAL { 0 } else { self.attributes.digest(path.attributes).label }
    }

    /// Where the kernel shall send what follows a path; `None` if its routes stay out of the kernel.
    pub(crate) fn fib_next_hop(&self, path: &Path) -> Option<FibNextHop> {
        let peer = &self.peers.get(path.slot).config;
        if path.slot == LOCAL || !peer.install {
            return None;
        }
        let next_hop = self.attributes.get(path.attributes).next_hop();
        Some(match link_local(next_hop) {
            Some(address) if !path.is_tracked() => FibNextHop { address: address.into(), scope: peer.scope },
            _ => FibNextHop { address: next_hop.address(), scope: None },
        })
    }

    /// The best path of a destination is another one, or has other attributes: marks it for every peer that has, or
    /// may get, a route for it. `new` is the peer that the best path comes from now.
    pub(crate) fn best_changed(&mut self, family: Family, destination: u32, new: Option<Slot>) {
        let new_is_external = new.is_some_and(|slot| self.peers.get(slot).config.external);
        for at in 0..self.peers.up().len() {
            let slot = self.peers.up()[at];
            let peer = self.peers.get_mut(slot);
            let may_get = match new {
                None => false,
                Some(LOCAL) => peer.exports_local,
                Some(from) => {
                    peer.exports_learned && from != slot && (new_is_external || peer.config.external)
                }
            };
            if !peer.config.families.contains(family) {
                continue;
            }
            let out = &mut peer.family_mut(family).sent;
            if may_get || out.sent(destination).is_some() || out.is_held(destination) {
                out.mark(destination);
                self.peers.note_pending(slot);
            }
        }
    }

    /// Hands what was sent to a peer over to be taken apart in slices.
    pub(crate) fn discard(&mut self, sent: [AdjRibOut; 2]) {
        for (sent, family) in sent.into_iter().zip([Family::Ipv4, Family::Ipv6]) {
            self.sweeps.discard(family, sent);
        }
    }
}
