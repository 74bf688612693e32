//! The routing information base.
//!
//! Knows routes: what came from whom ([`AdjRibIn`]), which of them is used ([`LocRib`], [`decision`]), what each peer
//! has been told ([`AdjRibOut`]). Must not know wire bytes, sessions, the kernel or time.

pub mod decision;
mod peer;
mod view;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::BytesMut;
use ipnet::IpNet;

pub use decision::Reason;
pub use peer::{FamilyCounters, NextHopSelf, PeerId, PeerRib, UpdateOutcome};
pub use view::{AdjacentRoute, Cursor, FibNextHop, Page, PathView, RouteView, Standing};

use crate::policy::Policy;
use crate::wire::{Attributes, Community, Family, FamilySet, LargeCommunity, Origin, Session, Update};

/// What is the same for all peers.
#[derive(Clone, Copy, Debug)]
pub struct RibConfig {
    /// Our AS number.
    pub asn: u32,
    /// Our BGP identifier.
    pub router_id: Ipv4Addr,
    /// How many paths of equal cost are used at once; at least 1.
    pub max_paths: u16,
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

/// The routing tables of one speaker.
///
/// Every call does a bounded amount of work. What may concern a whole table (a lost peer, a next hop that appeared, a
/// refresh that ended) is done in slices by [`Rib::work`], between which updates, packing and the FIB go on.
#[derive(Debug)]
pub struct Rib {
    config: RibConfig,
}

impl Rib {
    /// Empty tables.
    pub fn new(config: RibConfig) -> Self {
        Self { config }
    }

    /// A session has been established: its Adj-RIBs begin empty, the initial table becomes pending.
    pub fn peer_up(&mut self, peer: PeerId, config: PeerRib) {
        unimplemented!()
    }

    /// A session is gone. Its routes stop being used at once wherever the table is touched, and are removed by
    /// [`Rib::work`].
    pub fn peer_down(&mut self, peer: PeerId) {
        unimplemented!()
    }

    /// A session is gone, but the peer is restarting gracefully (RFC 4724 section 4.2): its routes of these families
    /// stay in use, marked stale, until it is back ([`Rib::peer_up`], then [`Rib::end_refresh`] at its End-of-RIB) or
    /// given up ([`Rib::peer_down`]).
    pub fn peer_restarting(&mut self, peer: PeerId, retained: FamilySet) {
        unimplemented!()
    }

    /// Routes and withdrawals from a peer.
    pub fn update(&mut self, peer: PeerId, update: &Update) -> UpdateOutcome {
        unimplemented!()
    }

    /// The peer begins to repeat its routes (BoRR of RFC 7313, or we asked for them): all become stale.
    pub fn begin_refresh(&mut self, peer: PeerId, family: Family) {
        unimplemented!()
    }

    /// The peer has repeated its routes (EoRR, or End-of-RIB after a restart): what is stale still goes.
    pub fn end_refresh(&mut self, peer: PeerId, family: Family) {
        unimplemented!()
    }

    /// The peer asked for our routes again (ROUTE-REFRESH). `demarcate`: between BoRR and EoRR (RFC 7313).
    pub fn refresh_out(&mut self, peer: PeerId, family: Family, demarcate: bool) {
        unimplemented!()
    }

    /// Another import policy from now on. Routes already here stay as they are: ask the peer for a refresh.
    pub fn set_import(&mut self, peer: PeerId, policy: Arc<Policy>) {
        unimplemented!()
    }

    /// Another export policy: everything is considered anew, only differences are sent.
    pub fn set_export(&mut self, peer: PeerId, policy: Arc<Policy>) {
        unimplemented!()
    }

    /// Originates a route, or changes what it carries.
    pub fn originate(&mut self, prefix: IpNet, origination: &Origination) {
        unimplemented!()
    }

    /// Withdraws an originated route.
    pub fn withdraw(&mut self, prefix: IpNet) {
        unimplemented!()
    }

    /// What the kernel says of a next hop: the metric of its route, `None` when there is no way to it.
    pub fn next_hop(&mut self, address: IpAddr, metric: Option<u32>) {
        unimplemented!()
    }

    /// The next change of interest in a next hop: `true` when its reachability is needed, `false` when no more.
    pub fn next_watch_change(&mut self) -> Option<(IpAddr, bool)> {
        unimplemented!()
    }

    /// The next change for the kernel's table; `None` as next hops: the route goes. Learned routes only.
    pub fn next_fib_change(&mut self) -> Option<(IpNet, Option<NextHops>)> {
        unimplemented!()
    }

    /// Writes UPDATEs for a peer into `out`: about `budget` octets, in any case whole messages. Returns whether more
    /// is pending; that may be so even when nothing was written, because the number of routes looked at is bounded
    /// too.
    pub fn pack(&mut self, peer: PeerId, session: &Session, out: &mut BytesMut, budget: usize) -> bool {
        unimplemented!()
    }

    /// Would [`Rib::pack`] have something to look at?
    pub fn has_pending(&self, peer: PeerId) -> bool {
        unimplemented!()
    }

    /// A peer that has become pending since its last `pack` returned `false`. Each is named once.
    pub fn next_pending_peer(&mut self) -> Option<PeerId> {
        unimplemented!()
    }

    /// Does a slice of the work that lies waiting, about `budget` destinations. Returns whether more is left.
    pub fn work(&mut self, budget: usize) -> bool {
        unimplemented!()
    }

    /// A page of the Loc-RIB.
    pub fn routes(&self, cursor: Cursor, limit: usize) -> Page<RouteView> {
        unimplemented!()
    }

    /// One destination.
    pub fn route(&self, prefix: IpNet) -> Option<RouteView> {
        unimplemented!()
    }

    /// The most specific destination with a usable path for an address.
    pub fn lookup(&self, address: IpAddr) -> Option<RouteView> {
        unimplemented!()
    }

    /// A page of a peer's Adj-RIB-In.
    pub fn received(&self, peer: PeerId, cursor: Cursor, limit: usize) -> Page<AdjacentRoute> {
        unimplemented!()
    }

    /// A page of a peer's Adj-RIB-Out.
    pub fn advertised(&self, peer: PeerId, cursor: Cursor, limit: usize) -> Page<AdjacentRoute> {
        unimplemented!()
    }

    /// What was counted for a family of a peer's session; `None` without session.
    pub fn counters(&self, peer: PeerId, family: Family) -> Option<FamilyCounters> {
        unimplemented!()
    }
}
