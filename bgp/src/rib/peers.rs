//! The peers as the RIB sees them.
//!
//! Knows each peer's settings, Adj-RIBs and whether its session is up. A peer has a [`Slot`], a small number that its
//! paths carry; it keeps the slot while anything of it is left in a table. Slot 0 is this host.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::adj_rib_in::AdjRibIn;
use super::adj_rib_out::AdjRibOut;
use super::table::Slot;
use super::{NextHopSelf, PeerId, PeerRib};
use crate::policy::{Policy, Source};
use crate::wire::{EncodeContext, Family, FamilySet, Session};

/// The slot of what this host originates.
pub(crate) const LOCAL: Slot = 0;

/// One peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) config: PeerRib,
    pub(crate) session: SessionState,
    pub(crate) families: [PeerFamily; 2],
    /// Sweeps of its paths that have not ended.
    pub(crate) sweeps: u32,
    /// It has been named by `next_pending_peer`, or will be.
    pending: bool,
    /// The family that is packed first next time, so that a busy one does not hold up the other.
    pub(crate) turn: Family,
    /// What it was packed for last: the session, and the context of its encoded attributes.
    pub(crate) packed: Option<(Session, EncodeContext)>,
    /// What the export policy may let through.
    pub(crate) exports_local: bool,
    pub(crate) exports_learned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionState {
    Up,
    /// Down, but its routes of these families stay in use (RFC 4724 section 4.2).
    Restarting(FamilySet),
    Down,
}

/// The Adj-RIBs of one family.
#[derive(Debug, Default)]
pub(crate) struct PeerFamily {
    pub(crate) received: AdjRibIn,
    pub(crate) sent: AdjRibOut,
}

impl Peer {
    fn new(id: PeerId, config: PeerRib) -> Self {
        let mut peer = Self {
            id,
            config,
            session: SessionState::Up,
            families: Default::default(),
            sweeps: 0,
            pending: false,
            turn: Family::Ipv4,
            packed: None,
            exports_local: false,
            exports_learned: false,
        };
        peer.policy_changed();
        peer
    }

    /// Looks at the export policy again.
    pub(crate) fn policy_changed(&mut self) {
        self.exports_local = self.config.export.may_export(Source::Local);
        self.exports_learned = self.config.export.may_export(Source::Learned);
    }

    /// The Adj-RIBs of a family.
    pub(crate) fn family(&self, family: Family) -> &PeerFamily {
        &self.families[family as usize]
    }

    /// The same, to change.
    pub(crate) fn family_mut(&mut self, family: Family) -> &mut PeerFamily {
        &mut self.families[family as usize]
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.session == SessionState::Up && self.families.iter().any(|family| family.sent.is_pending())
    }

    fn is_unused(&self) -> bool {
        self.session == SessionState::Down
            && self.sweeps == 0
            && self.families.iter().all(|family| family.received.paths.total() == 0)
    }
}

/// All peers.
#[derive(Debug)]
pub(crate) struct Peers {
    slots: Vec<Option<Box<Peer>>>,
    vacant: Vec<Slot>,
    by_id: HashMap<PeerId, Slot>,
    /// Slots of the sessions that are up.
    up: Vec<Slot>,
    pending: VecDeque<Slot>,
    pending_count: usize,
}

impl Peers {
    /// Only this host.
    pub(crate) fn new(asn: u32, router_id: Ipv4Addr) -> Self {
        let config = PeerRib {
            external: false,
            asn,
            local_asn: asn,
            router_id,
            address: router_id.into(),
            families: FamilySet::ALL,
            next_hop_self: NextHopSelf::default(),
            scope: None,
            import: Arc::new(Policy::all()),
            export: Arc::new(Policy::none()),
            allow_own_as: 0,
            install: false,
            max_prefixes_out: None,
        };
        let host = Peer::new(PeerId(u32::MAX), config);
        Self {
            slots: vec![Some(Box::new(host))],
            vacant: Vec::new(),
            by_id: HashMap::new(),
            up: Vec::new(),
            pending: VecDeque::new(),
            pending_count: 0,
        }
    }

    /// The slot of a peer, while anything is known of it.
    pub(crate) fn slot(&self, id: PeerId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    /// The slot of a peer whose session is up.
    pub(crate) fn up_slot(&self, id: PeerId) -> Option<Slot> {
        self.slot(id).filter(|slot| self.get(*slot).session == SessionState::Up)
    }

    /// The slots of all sessions that are up.
    pub(crate) fn up(&self) -> &[Slot] {
        &self.up
    }

    /// The peer in a slot that is in use.
    pub(crate) fn get(&self, slot: Slot) -> &Peer {
        match &self.slots[usize::from(slot)] {
            Some(peer) => peer,
            None => unreachable!("a vacant slot in use"),
        }
    }

    /// The same, to change.
    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut Peer {
        match &mut self.slots[usize::from(slot)] {
            Some(peer) => peer,
            None => unreachable!("a vacant slot in use"),
        }
    }

    /// A session is up: in its old slot if there is one, else in a new one. `None` when there are 65,535 already.
    pub(crate) fn bring_up(&mut self, id: PeerId, config: PeerRib) -> Option<Slot> {
        let slot = if let Some(slot) = self.slot(id) {
            let peer = self.get_mut(slot);
            peer.config = config;
            peer.session = SessionState::Up;
            peer.policy_changed();
            slot
        } else {
            let peer = Some(Box::new(Peer::new(id, config)));
            let slot = if let Some(slot) = self.vacant.pop() {
                self.slots[usize::from(slot)] = peer;
                slot
            } else {
                let slot = Slot::try_from(self.slots.len()).ok()?;
                self.slots.push(peer);
                slot
            };
            self.by_id.insert(id, slot);
            slot
        };
        self.up.push(slot);
        Some(slot)
    }

    /// A session is gone; its Adj-RIBs-Out are handed over to be taken apart.
    pub(crate) fn take_down(&mut self, slot: Slot, session: SessionState) -> [AdjRibOut; 2] {
        self.up.retain(|other| *other != slot);
        self.pending.retain(|other| *other != slot);
        self.note_idle(slot);
        let peer = self.get_mut(slot);
        peer.session = session;
        peer.packed = None;
        peer.families.each_mut().map(|family| std::mem::take(&mut family.sent))
    }

    /// Frees the slot of a peer of which nothing is left.
    pub(crate) fn drop_unused(&mut self, slot: Slot) {
        if slot != LOCAL && self.get(slot).is_unused() {
            let id = self.get(slot).id;
            self.by_id.remove(&id);
            self.slots[usize::from(slot)] = None;
            self.vacant.push(slot);
        }
    }

    /// A peer's Adj-RIB-Out has something to do; tells the world unless it knows.
    pub(crate) fn note_pending(&mut self, slot: Slot) {
        let peer = self.get_mut(slot);
        if !peer.pending && peer.is_pending() {
            peer.pending = true;
            self.pending.push_back(slot);
            self.pending_count += 1;
        }
    }

    /// A peer's Adj-RIB-Out has nothing to do any more.
    pub(crate) fn note_idle(&mut self, slot: Slot) {
        if std::mem::take(&mut self.get_mut(slot).pending) {
            self.pending_count -= 1;
        }
    }

    /// Has nobody anything to do?
    pub(crate) fn all_idle(&self) -> bool {
        self.pending_count == 0
    }

    /// The next peer that has become pending.
    pub(crate) fn next_pending(&mut self) -> Option<PeerId> {
        while let Some(slot) = self.pending.pop_front() {
            let peer = self.get(slot);
            if peer.pending {
                return Some(peer.id);
            }
        }
        None
    }

    /// How many peers there are anything of, this host not counted.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}
