//! Pages of the RIB for people to read.
//!
//! Knows how to show what is there; the decision's reasons are found anew for every look.

use std::net::IpAddr;

use ipnet::IpNet;

use super::blocks::BLOCK;
use super::loc_rib::LocRib;
use super::peers::LOCAL;
use super::prefix::FamilyPrefix;
use super::shared::Shared;
use super::{PeerId, Reason, decision};
use crate::pack::{self, Packable};
use crate::wire::{Attributes, Family};

/// Where a paged view goes on. Start with [`Cursor::start`]. Pages are in no particular order of prefixes; while the
/// table changes between two pages a route may be missed or seen twice only if it was itself removed and added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) family: Family,
    pub(super) destination: u32,
}

impl Cursor {
    /// The beginning of a family's table.
    pub fn start(family: Family) -> Self {
        Self { family, destination: 0 }
    }
}

/// One page of a view.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// A destination of the Loc-RIB with all its paths, the best one first.
#[derive(Clone, Debug)]
pub struct RouteView {
    /// The destination.
    pub prefix: IpNet,
    /// Its paths. Empty for a destination that is only waiting to be withdrawn somewhere.
    pub paths: Vec<PathView>,
}

/// One path of a destination.
#[derive(Clone, Debug)]
pub struct PathView {
    /// The peer it was learned from; `None`: originated here.
    pub peer: Option<PeerId>,
    /// Its attributes after the import policy.
    pub attributes: Attributes,
    /// Its part in forwarding.
    pub standing: Standing,
    /// For the best path: what made it better than the runner-up. For every other: the step at which it lost to the
    /// best path.
    pub reason: Reason,
    /// Metric of the way to the next hop; `None` while there is none.
    pub metric: Option<u32>,
    /// The peer is being refreshed and has not repeated this path yet.
    pub stale: bool,
}

/// The part of a path in forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The best path.
    Best,
    /// Used beside the best path.
    Multipath,
    /// Usable, but not used.
    Candidate,
    /// Not usable: its next hop cannot be reached.
    Unreachable,
}

/// A route of an Adj-RIB-In or Adj-RIB-Out.
#[derive(Clone, Debug)]
pub struct AdjacentRoute {
    /// The destination.
    pub prefix: IpNet,
    /// Received: as the import policy left them. Advertised: as they were sent.
    pub attributes: Attributes,
}

/// A next hop for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FibNextHop {
    /// Where to send packets. Not necessarily on a connected network.
    pub address: IpAddr,
    /// Index of the interface, for link-local addresses.
    pub scope: Option<u32>,
}

/// Destinations looked through for one page, at most: a page may be short, or even empty, and still have a next one.
const LOOKS: u32 = 64 * BLOCK;

pub(super) fn routes<P: FamilyPrefix>(
    loc_rib: &LocRib<P>,
    shared: &Shared,
    cursor: Cursor,
    limit: usize,
) -> Page<RouteView> {
    let bound = loc_rib.table.bound();
    let mut page = Page { rows: Vec::new(), next: None };
    let mut at = cursor.destination;
    while at < bound && page.rows.len() < limit && at - cursor.destination < LOOKS {
        if loc_rib.table.get(at).is_some() {
            page.rows.push(view(loc_rib, shared, at));
        }
        at += 1;
    }
    page.next = (at < bound).then_some(Cursor { destination: at, ..cursor });
    page
}

pub(super) fn route<P: FamilyPrefix>(loc_rib: &LocRib<P>, shared: &Shared, prefix: P) -> Option<RouteView> {
    loc_rib.table.find(prefix).map(|id| view(loc_rib, shared, id))
}

pub(super) fn lookup<P: FamilyPrefix>(
    loc_rib: &LocRib<P>,
    shared: &Shared,
    address: IpAddr,
) -> Option<RouteView> {
    (0..=P::MAX_LEN)
        .rev()
        .filter_map(|length| route(loc_rib, shared, P::containing(address, length)?))
        .find(|route| route.paths.first().is_some_and(|path| path.standing == Standing::Best))
}

pub(super) fn received<P: FamilyPrefix>(
    loc_rib: &LocRib<P>,
    shared: &Shared,
    peer: PeerId,
    cursor: Cursor,
    limit: usize,
) -> Page<AdjacentRoute> {
    let mut page = Page { rows: Vec::new(), next: None };
    let Some(slot) = shared.peers.slot(peer) else { return page };
    let received = &shared.peers.get(slot).family(P::FAMILY).received;
    let mut at = cursor.destination;
    while let Some(block) = received.paths.next_from(at / BLOCK) {
        at = at.max(block * BLOCK);
        if page.rows.len() >= limit || at.saturating_sub(cursor.destination) >= LOOKS {
            page.next = Some(Cursor { destination: at, ..cursor });
            break;
        }
        if let Some(destination) = loc_rib.table.get(at) {
            let path = loc_rib.table.paths(at).map(|(_, path)| path).find(|path| path.slot == slot);
            if let Some(path) = path.filter(|path| !received.is_dead(path.round)) {
                page.rows.push(AdjacentRoute {
                    prefix: destination.prefix.into(),
                    attributes: shared.attributes.get(path.attributes).clone(),
                });
            }
        }
        at += 1;
    }
    page
}

pub(super) fn advertised<P: Packable>(
    loc_rib: &LocRib<P>,
    shared: &Shared,
    peer: PeerId,
    cursor: Cursor,
    limit: usize,
) -> Page<AdjacentRoute> {
    let mut page = Page { rows: Vec::new(), next: None };
    let Some(slot) = shared.peers.up_slot(peer) else { return page };
    let peer = shared.peers.get(slot);
    let mut at = cursor.destination;
    while let Some((id, sent)) = peer.family(P::FAMILY).sent.next_sent(at) {
        if page.rows.len() >= limit {
            page.next = Some(Cursor { destination: id, ..cursor });
            break;
        }
        let prefix = loc_rib.table.destination(id).prefix;
        if let Some(attributes) = pack::as_sent(shared, peer, sent, prefix) {
            page.rows.push(AdjacentRoute { prefix: prefix.into(), attributes });
        }
        at = id + 1;
    }
    page
}

/// A destination with its paths, and for each why it is, or is not, the best.
fn view<P: FamilyPrefix>(loc_rib: &LocRib<P>, shared: &Shared, id: u32) -> RouteView {
    let current = loc_rib.table.destination(id).best();
    let mut usable = Vec::new();
    let mut candidates = Vec::new();
    let mut rows = Vec::new();
    for (at, path) in loc_rib.table.paths(id) {
        let peer = shared.peers.get(path.slot);
        let received = &peer.family(P::FAMILY).received;
        if path.slot != LOCAL && received.is_dead(path.round) {
            continue;
        }
        if let Some(candidate) = shared.candidate(path, P::FAMILY, current == Some(at)) {
            usable.push(rows.len());
            candidates.push(candidate);
        }
        rows.push(PathView {
            peer: (path.slot != LOCAL).then_some(peer.id),
            attributes: shared.attributes.get(path.attributes).clone(),
            standing: Standing::Unreachable,
            reason: Reason::Unreachable,
            metric: shared.metric(path, P::FAMILY),
            stale: path.slot != LOCAL && received.is_stale(path.round),
        });
    }
    let mut alive = Vec::new();
    let mut last = if rows.len() > 1 { Reason::Unreachable } else { Reason::OnlyPath };
    let best = decision::select(&candidates, &mut alive, |at, reason| {
        rows[usable[at]].standing = Standing::Candidate;
        rows[usable[at]].reason = reason;
        // The runner-up is who dropped out last.
        last = reason;
    });
    if let Some(best) = best {
        for at in decision::in_use(&candidates, best, shared.config.max_paths, &mut alive) {
            rows[usable[*at as usize]].standing = Standing::Multipath;
        }
        let best = &mut rows[usable[best]];
        (best.standing, best.reason) = (Standing::Best, last);
    }
    rows.sort_by_key(|row| (row.standing as u8, row.reason));
    RouteView { prefix: loc_rib.table.destination(id).prefix.into(), paths: rows }
}
