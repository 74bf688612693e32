//! The routing information base.
//!
//! Knows routes: what came from whom, which of them is used, what each peer has been told. Must not know wire bytes,
//! sessions, the kernel or time.
//!
//! | RFC 4271 section 3.2 | here |
//! |---|---|
//! | Adj-RIB-In | the paths of a peer in the `table`, past its import policy; counts and rounds in `adj_rib_in` |
//! | Loc-RIB | the head of each destination's paths: `loc_rib`, by the rules of [`decision`] |
//! | Adj-RIB-Out | `adj_rib_out`: what was sent, and what has to be looked at; [`Rib::pack`] makes messages of it |
//!
//! A route is one path of 12 octets, a destination 16 (IPv4); attributes are shared (`attribute_store`). Advertisement
//! is pulled, so nothing is queued: what changes is a bit in a dirty set, however often it changes.

mod adj_rib_in;
mod adj_rib_out;
mod attribute_store;
mod blocks;
pub mod decision;
mod fib_feed;
mod id_set;
mod import;
mod loc_rib;
mod next_hops;
mod peer;
mod peers;
mod prefix;
mod shared;
mod slab;
mod sweeps;
mod table;
mod view;

/// What [`crate::pack`] works on.
pub(crate) mod internals {
    pub(crate) use super::adj_rib_out::{AdjRibOut, Sent};
    pub(crate) use super::attribute_store::AttributesId;
    pub(crate) use super::loc_rib::LocRib;
    pub(crate) use super::peers::{LOCAL, Peer};
    pub(crate) use super::prefix::FamilyPrefix;
    pub(crate) use super::shared::Shared;
    pub(crate) use super::table::{Path, Slot};
}

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::BytesMut;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

pub use decision::Reason;
pub use peer::{FamilyCounters, NextHopSelf, PeerId, PeerRib, UpdateOutcome};
pub use view::{AdjacentRoute, Cursor, FibNextHop, Page, PathView, RouteView, Standing};

use crate::pack::Packing;
use crate::policy::Policy;
use crate::wire::{
    Announcement, AsPath, Attributes, Community, Family, FamilySet, LargeCommunity, Nlri, Origin, Session,
    Update,
};
use blocks::BLOCK;
use import::Import;
use loc_rib::LocRib;
use peers::{LOCAL, SessionState};
use shared::Shared;
use sweeps::Sweep;
use table::Slot;

/// What is the same for all peers.
#[derive(Clone, Copy, Debug)]
pub struct RibConfig {
    /// Our AS number.
    pub asn: u32,
    /// Our BGP identifier.
    pub router_id: Ipv4Addr,
    /// How many paths of equal cost are used at once; at least 1.
    pub max_paths: u16,
    /// Which large communities label a route: those with this as their second part. See [`FibChange::label`].
    pub label: u32,
}

/// What a locally originated route carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origination {
    /// ORIGIN.
    pub origin: Origin,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF, for internal peers. `None`: 100.
    pub local_pref: Option<u32>,
    /// Standard communities.
    pub communities: Vec<Community>,
    /// Large communities: among them the container's group.
    pub large_communities: Vec<LargeCommunity>,
}

/// The next hops of a route for the kernel: sorted, without duplicates, never empty. Equal sets are one allocation.
pub type NextHops = Arc<[FibNextHop]>;

/// What has changed for the kernel about a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FibChange {
    /// The destination.
    pub prefix: IpNet,
    /// Where packets shall go; `None`: a learned route goes.
    pub next_hops: Option<NextHops>,
    /// The third part of the lowest large community of the best path, if that was learned, whose second part is
    /// [`RibConfig::label`]; 0: there is none. Of paths that stay out of the kernel, too.
    pub label: u32,
}

/// The routing tables of one speaker.
///
/// Every call does a bounded amount of work. What may concern a whole table (a lost peer, a next hop that appeared, a
/// refresh that ended) is done in slices by [`Rib::work`], between which updates, packing and the FIB go on. A route
/// that such an event has made unusable is not used any more wherever it is met, also before a slice has come to it.
#[derive(Debug)]
pub struct Rib {
    shared: Shared,
    ipv4: LocRib<Ipv4Net>,
    ipv6: LocRib<Ipv6Net>,
    import: Import,
    packing: Packing,
    /// The family whose change for the kernel comes next, so that a large table of one does not hold up the other.
    fib_turn: Family,
}

/// Runs a body for the table of a family.
macro_rules! with_table {
    ($rib:expr, $family:expr, |$table:ident| $body:expr) => {
        match $family {
            Family::Ipv4 => {
                let $table = &mut $rib.ipv4;
                $body
            }
            Family::Ipv6 => {
                let $table = &mut $rib.ipv6;
                $body
            }
        }
    };
}

impl Rib {
    /// Empty tables.
    pub fn new(config: RibConfig) -> Self {
        Self {
            shared: Shared::new(config),
            ipv4: LocRib::default(),
            ipv6: LocRib::default(),
            import: Import::default(),
            packing: Packing::default(),
            fib_turn: Family::Ipv4,
        }
    }

    /// A session has been established: its Adj-RIBs begin empty, the initial table becomes pending, with End-of-RIB
    /// after it. A peer that was [restarting](Rib::peer_restarting) takes its retained routes over, as stale ones.
    ///
    /// At most 65,534 peers are carried; what comes after them is ignored.
    pub fn peer_up(&mut self, peer: PeerId, config: PeerRib) {
        let families = config.families;
        let retained = match self.shared.peers.slot(peer).map(|slot| self.shared.peers.get(slot).session) {
            Some(SessionState::Up) => {
                self.peer_down(peer);
                FamilySet::NONE
            }
            Some(SessionState::Restarting(retained)) => retained,
            Some(SessionState::Down) | None => FamilySet::NONE,
        };
        let Some(slot) = self.shared.peers.bring_up(peer, config) else { return };
        for family in retained.iter() {
            if families.contains(family) {
                self.shared.peers.get_mut(slot).family_mut(family).received.begin_refresh();
            } else {
                self.lose(slot, family);
            }
        }
        for family in families.iter() {
            self.mark_all(slot, family, true);
            self.shared.peers.get_mut(slot).family_mut(family).sent.markers.end_of_rib = true;
        }
        self.shared.peers.note_pending(slot);
    }

    /// A session is gone. Its routes stop being used at once wherever a table is touched, and are removed by
    /// [`Rib::work`]. The peer may come back in the meantime.
    pub fn peer_down(&mut self, peer: PeerId) {
        self.end_session(peer, FamilySet::NONE);
    }

    /// A session is gone, but the peer is restarting gracefully (RFC 4724 section 4.2): its routes of these families
    /// stay in use until it is back ([`Rib::peer_up`], then [`Rib::end_refresh`] at its End-of-RIB) or given up
    /// ([`Rib::peer_down`]).
    pub fn peer_restarting(&mut self, peer: PeerId, retained: FamilySet) {
        self.end_session(peer, retained);
    }

    fn end_session(&mut self, peer: PeerId, retained: FamilySet) {
        let Some(slot) = self.shared.peers.slot(peer) else { return };
        if self.shared.peers.get(slot).session == SessionState::Down {
            return;
        }
        let session =
            if retained == FamilySet::NONE { SessionState::Down } else { SessionState::Restarting(retained) };
        let sent = self.shared.peers.take_down(slot, session);
        self.shared.discard(sent);
        for family in FamilySet::ALL.iter().filter(|family| !retained.contains(*family)) {
            self.lose(slot, family);
        }
        self.shared.peers.drop_unused(slot);
    }

    /// All paths of a peer in a family are dead from here on.
    fn lose(&mut self, slot: Slot, family: Family) {
        if self.shared.peers.get(slot).family(family).received.must_sweep() {
            while self.work(usize::MAX) {}
        }
        self.shared.peers.get_mut(slot).family_mut(family).received.lose();
        self.sweep_stale(slot, family);
    }

    fn sweep_stale(&mut self, slot: Slot, family: Family) {
        let peer = self.shared.peers.get_mut(slot);
        let received = &mut peer.family_mut(family).received;
        let round = received.round();
        if received.paths.total() == 0 {
            received.swept(round);
        } else {
            peer.sweeps += 1;
            self.shared.sweeps.push(family, Sweep::Stale { slot, round, block: 0 });
        }
    }

    /// Routes and withdrawals from a peer. End-of-RIB is not acted upon: see [`Rib::end_refresh`].
    pub fn update(&mut self, peer: PeerId, update: Update<'_>) -> UpdateOutcome {
        let Some(slot) = self.shared.peers.up_slot(peer) else { return UpdateOutcome::default() };
        let in_error = update.treat_as_withdraw().is_some();
        self.ipv4.retract_all(&mut self.shared, slot, update.withdrawn_v4(), in_error);
        self.ipv6.retract_all(&mut self.shared, slot, update.withdrawn_v6(), in_error);
        for Announcement { attributes, prefixes } in update.into_announcements() {
            let (import, shared) = (&mut self.import, &mut self.shared);
            match prefixes {
                Nlri::V4(prefixes) => import.run(&mut self.ipv4, shared, slot, attributes, prefixes),
                Nlri::V6(prefixes) => import.run(&mut self.ipv6, shared, slot, attributes, prefixes),
            }
        }
        let [ipv4, ipv6] = &self.shared.peers.get(slot).families;
        UpdateOutcome { ipv4_accepted: ipv4.received.accepted(), ipv6_accepted: ipv6.received.accepted() }
    }

    /// The peer begins to repeat its routes (BoRR of RFC 7313, or we asked it to): all become stale, but stay in use.
    pub fn begin_refresh(&mut self, peer: PeerId, family: Family) {
        if let Some(slot) = self.shared.peers.up_slot(peer) {
            self.shared.peers.get_mut(slot).family_mut(family).received.begin_refresh();
        }
    }

    /// The peer has repeated its routes (EoRR, or End-of-RIB after a restart): what is stale still goes.
    pub fn end_refresh(&mut self, peer: PeerId, family: Family) {
        if let Some(slot) = self.shared.peers.up_slot(peer) {
            self.sweep_stale(slot, family);
        }
    }

    /// The peer asked for our routes again (ROUTE-REFRESH). `demarcate`: between BoRR and EoRR (RFC 7313), which
    /// [`Rib::pack`] writes.
    pub fn refresh_out(&mut self, peer: PeerId, family: Family, demarcate: bool) {
        let Some(slot) = self.shared.peers.up_slot(peer) else { return };
        if !self.shared.peers.get(slot).config.families.contains(family) {
            return;
        }
        self.mark_all(slot, family, true);
        if demarcate {
            let markers = &mut self.shared.peers.get_mut(slot).family_mut(family).sent.markers;
            (markers.begin_refresh, markers.end_refresh) = (true, true);
        }
        self.shared.peers.note_pending(slot);
    }

    /// Another import policy from now on. Routes already here stay as they are, and those rejected before are not
    /// here: ask the peer for a refresh.
    pub fn set_import(&mut self, peer: PeerId, policy: Arc<Policy>) {
        if let Some(slot) = self.shared.peers.up_slot(peer) {
            self.shared.peers.get_mut(slot).config.import = policy;
        }
    }

    /// Another export policy: everything is considered anew, only differences are sent.
    pub fn set_export(&mut self, peer: PeerId, policy: Arc<Policy>) {
        let Some(slot) = self.shared.peers.up_slot(peer) else { return };
        let peer = self.shared.peers.get_mut(slot);
        if *peer.config.export == *policy {
            return;
        }
        peer.config.export = policy;
        peer.policy_changed();
        let families = peer.config.families;
        for family in families.iter() {
            self.mark_all(slot, family, false);
        }
        self.shared.peers.note_pending(slot);
    }

    /// Another limit on the prefixes that a peer is sent. Routes beyond a lower limit are not withdrawn, but none is
    /// added until enough have gone.
    pub fn set_max_prefixes_out(&mut self, peer: PeerId, limit: Option<u32>) {
        let Some(slot) = self.shared.peers.up_slot(peer) else { return };
        let peer = self.shared.peers.get_mut(slot);
        peer.config.max_prefixes_out = limit;
        for family in &mut peer.families {
            family.sent.mark_held(u32::MAX);
        }
        self.shared.peers.note_pending(slot);
    }

    /// Routes of a peer may, or may not, be given to the kernel from now on: all are considered anew for the FIB.
    pub fn set_install(&mut self, peer: PeerId, install: bool) {
        let Some(slot) = self.shared.peers.up_slot(peer) else { return };
        self.shared.peers.get_mut(slot).config.install = install;
        self.ipv4.mark_fib_of(&self.shared, slot);
        self.ipv6.mark_fib_of(&self.shared, slot);
    }

    /// Another number of paths that are used at once.
    pub fn set_max_paths(&mut self, max_paths: u16) {
        if std::mem::replace(&mut self.shared.config.max_paths, max_paths) != max_paths {
            self.ipv4.mark_fib_all();
            self.ipv6.mark_fib_all();
        }
    }

    /// How often our own AS number may stand in an accepted AS path from now on. As with [`Rib::set_import`], ask the
    /// peer for a refresh.
    pub fn set_allow_own_as(&mut self, peer: PeerId, times: u8) {
        if let Some(slot) = self.shared.peers.up_slot(peer) {
            self.shared.peers.get_mut(slot).config.allow_own_as = times;
        }
    }

    /// Marks whatever concerns a peer: all destinations, or only those with local routes if nothing else may go to it.
    fn mark_all(&mut self, slot: Slot, family: Family, forced: bool) {
        let bound = with_table!(self, family, |loc_rib| loc_rib.table.bound());
        let (learned, local) = {
            let peer = self.shared.peers.get(slot);
            (peer.exports_learned, peer.exports_local)
        };
        let mut ranges = Vec::new();
        if learned {
            ranges.push((0, bound));
        } else if local {
            let paths = &self.shared.peers.get(LOCAL).family(family).received.paths;
            let mut from = 0;
            while let Some(block) = paths.next_from(from) {
                ranges.push((block * BLOCK, ((block + 1) * BLOCK).min(bound)));
                from = block + 1;
            }
        }
        let sent = &mut self.shared.peers.get_mut(slot).family_mut(family).sent;
        sent.mark_all(forced);
        for (from, to) in ranges {
            sent.mark_range(from, to, forced);
        }
    }

    /// Originates a route, or changes what it carries. Host bits of the prefix are ignored.
    pub fn originate(&mut self, prefix: IpNet, origination: &Origination) {
        let next_hop: IpAddr = match prefix {
            IpNet::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpNet::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut attributes = Attributes::new(origination.origin, AsPath::new(), next_hop.into());
        attributes.set_med(origination.med);
        attributes.set_local_pref(origination.local_pref);
        attributes.set_communities(origination.communities.clone());
        attributes.set_large_communities(origination.large_communities.clone());
        let shared = &mut self.shared;
        let id = shared.attributes.intern(attributes, &mut shared.next_hops);
        match prefix {
            IpNet::V4(prefix) => self.ipv4.announce(shared, LOCAL, prefix.trunc(), id),
            IpNet::V6(prefix) => self.ipv6.announce(shared, LOCAL, prefix.trunc(), id),
        }
        shared.release(id);
    }

    /// Withdraws an originated route.
    pub fn withdraw(&mut self, prefix: IpNet) {
        match prefix {
            IpNet::V4(prefix) => self.ipv4.retract(&mut self.shared, LOCAL, prefix.trunc()),
            IpNet::V6(prefix) => self.ipv6.retract(&mut self.shared, LOCAL, prefix.trunc()),
        };
    }

    /// What the kernel says of a next hop: the metric of its route, `None` when there is no way to it. Next hops that
    /// are not [watched](Rib::next_watch_change) are ignored.
    pub fn next_hop(&mut self, address: IpAddr, metric: Option<u32>) {
        let Some(number) = self.shared.next_hops.resolve(address, metric) else { return };
        for family in FamilySet::ALL.iter() {
            if self.shared.next_hops.begin_sweep(number, family) {
                self.shared.sweeps.push(family, Sweep::NextHop { number });
            }
        }
    }

    /// The next change of interest in a next hop: `true` when its reachability is needed (until [`Rib::next_hop`]
    /// says otherwise it counts as unreachable), `false` when no more. Link-local next hops are never asked for.
    pub fn next_watch_change(&mut self) -> Option<(IpAddr, bool)> {
        self.shared.next_hops.next_change()
    }

    /// The next change for the kernel's table. Learned routes only: where a local route is best, the kernel is the
    /// business of whoever originated it. Changes that have come to nothing are passed over.
    pub fn next_fib_change(&mut self) -> Option<FibChange> {
        let (ipv4, ipv6, shared) = (&mut self.ipv4, &mut self.ipv6, &mut self.shared);
        if self.fib_turn == Family::Ipv4 {
            self.fib_turn = Family::Ipv6;
            ipv4.next_fib_change(shared).or_else(|| ipv6.next_fib_change(shared))
        } else {
            self.fib_turn = Family::Ipv4;
            ipv6.next_fib_change(shared).or_else(|| ipv4.next_fib_change(shared))
        }
    }

    /// All next hops will be reported by [`Rib::next_fib_change`] once more: the way to them, or something else that
    /// the FIB makes of them, has changed.
    pub fn refeed_fib(&mut self) {
        self.ipv4.mark_fib_again();
        self.ipv6.mark_fib_again();
    }

    /// Writes UPDATEs for a peer into `out`: until `budget` octets are there or nothing is left, in whole messages.
    /// Returns whether more is pending; that may be so even when nothing was written, because the number of routes
    /// looked at is bounded too.
    pub fn pack(&mut self, peer: PeerId, session: &Session, out: &mut BytesMut, budget: usize) -> bool {
        let Some(slot) = self.shared.peers.up_slot(peer) else { return false };
        let first = self.shared.peers.get(slot).turn;
        let second = if first == Family::Ipv4 { Family::Ipv6 } else { Family::Ipv4 };
        let mut run = self.packing.begin(&mut self.shared, slot, *session, out, budget);
        for family in [first, second] {
            with_table!(self, family, |loc_rib| run.pack(loc_rib));
        }
        self.shared.peers.get_mut(slot).turn = second;
        let pending = self.shared.peers.get(slot).is_pending();
        if !pending {
            self.shared.peers.note_idle(slot);
            if self.shared.peers.all_idle() {
                self.packing.forget(&mut self.shared);
            }
        }
        pending
    }

    /// Would [`Rib::pack`] have something to look at?
    pub fn has_pending(&self, peer: PeerId) -> bool {
        self.shared.peers.up_slot(peer).is_some_and(|slot| self.shared.peers.get(slot).is_pending())
    }

    /// A peer that has become pending since its last [`Rib::pack`] returned `false`. Each is named once.
    pub fn next_pending_peer(&mut self) -> Option<PeerId> {
        self.shared.peers.next_pending()
    }

    /// Does a slice of the work that lies waiting: about `budget` destinations, at least a block of 1024. Returns
    /// whether more is left.
    pub fn work(&mut self, budget: usize) -> bool {
        let mut left = budget.max(1);
        while left > 0 {
            let Some((family, mut sweep)) = self.shared.sweeps.next() else { return false };
            let more = with_table!(self, family, |loc_rib| loc_rib.slice(&mut self.shared, &mut sweep));
            if more {
                self.shared.sweeps.push(family, sweep);
            }
            left = left.saturating_sub(BLOCK as usize);
        }
        !self.shared.sweeps.is_empty()
    }

    /// Is there work for [`Rib::work`]?
    pub fn has_work(&self) -> bool {
        !self.shared.sweeps.is_empty()
    }

    /// What was counted for a family of a peer's session; `None` while there is none.
    pub fn counters(&self, peer: PeerId, family: Family) -> Option<FamilyCounters> {
        let peer = self.shared.peers.get(self.shared.peers.up_slot(peer)?).family(family);
        Some(FamilyCounters {
            received: peer.received.received,
            withdrawn: peer.received.withdrawn,
            rejected: peer.received.rejected,
            looped: peer.received.looped,
            treated_as_withdraw: peer.received.treated_as_withdraw,
            accepted: peer.received.accepted(),
            advertised: peer.sent.count(),
            held_back: peer.sent.held_back(),
        })
    }

    /// A page of the Loc-RIB: up to `limit` destinations.
    pub fn routes(&self, cursor: Cursor, limit: usize) -> Page<RouteView> {
        match cursor.family {
            Family::Ipv4 => view::routes(&self.ipv4, &self.shared, cursor, limit),
            Family::Ipv6 => view::routes(&self.ipv6, &self.shared, cursor, limit),
        }
    }

    /// One destination.
    pub fn route(&self, prefix: IpNet) -> Option<RouteView> {
        match prefix {
            IpNet::V4(prefix) => view::route(&self.ipv4, &self.shared, prefix.trunc()),
            IpNet::V6(prefix) => view::route(&self.ipv6, &self.shared, prefix.trunc()),
        }
    }

    /// The most specific destination with a usable path for an address.
    pub fn lookup(&self, address: IpAddr) -> Option<RouteView> {
        match address {
            IpAddr::V4(_) => view::lookup(&self.ipv4, &self.shared, address),
            IpAddr::V6(_) => view::lookup(&self.ipv6, &self.shared, address),
        }
    }

    /// A page of a peer's Adj-RIB-In, as the import policy left it: up to `limit` routes.
    pub fn received(&self, peer: PeerId, cursor: Cursor, limit: usize) -> Page<AdjacentRoute> {
        match cursor.family {
            Family::Ipv4 => view::received(&self.ipv4, &self.shared, peer, cursor, limit),
            Family::Ipv6 => view::received(&self.ipv6, &self.shared, peer, cursor, limit),
        }
    }

    /// A page of a peer's Adj-RIB-Out, with the attributes that were sent: up to `limit` routes.
    pub fn advertised(&self, peer: PeerId, cursor: Cursor, limit: usize) -> Page<AdjacentRoute> {
        match cursor.family {
            Family::Ipv4 => view::advertised(&self.ipv4, &self.shared, peer, cursor, limit),
            Family::Ipv6 => view::advertised(&self.ipv6, &self.shared, peer, cursor, limit),
        }
    }

    /// How much there is.
    pub fn totals(&self) -> Totals {
        Totals {
            destinations: [self.ipv4.table.len(), self.ipv6.table.len()],
            paths: [self.ipv4.table.path_count(), self.ipv6.table.path_count()],
            attribute_sets: self.shared.attributes.len(),
            next_hop_sets: self.shared.sets.len(),
        }
    }
}

/// How much is in the tables; pairs are IPv4, IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Prefixes with at least one path, or waiting to be withdrawn somewhere.
    pub destinations: [usize; 2],
    /// Paths from all peers, and our own.
    pub paths: [usize; 2],
    /// Different sets of path attributes.
    pub attribute_sets: usize,
    /// Different sets of next hops in the kernel's table.
    pub next_hop_sets: usize,
}

#[cfg(test)]
mod tests;
