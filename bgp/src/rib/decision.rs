//! The decision process (RFC 4271 section 9.1.2.2), pure: candidates in, choice and reason out.
//!
//! Knows what RFC 4271, 4456 and 5004 compare. Must not know tables, peers or policies.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;

use crate::wire::Origin;

/// What the decision process looks at in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Originated by this host.
    pub local: bool,
    /// LOCAL_PREF, or 100.
    pub local_pref: u32,
    /// AS_PATH length: an AS_SET counts as 1.
    pub path_length: u32,
    /// ORIGIN.
    pub origin: Origin,
    /// The AS that the route entered from: MEDs are comparable among routes of the same. 0 for our own AS.
    pub neighbor_as: u32,
    /// MULTI_EXIT_DISC; 0 when missing (RFC 4271 section 9.1.2.2 c).
    pub med: u32,
    /// Learned from an external peer.
    pub external: bool,
    /// Metric of the way to the next hop.
    pub metric: u32,
    /// Chosen last time.
    pub current: bool,
    /// BGP identifier of the peer, or ORIGINATOR_ID (RFC 4456 section 9).
    pub router_id: u32,
    /// Length of CLUSTER_LIST (RFC 4456 section 9).
    pub cluster_list_length: u32,
    /// Address of the peer.
    pub address: IpAddr,
}

/// The step that told two paths apart, in the order of the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// There is no other path.
    OnlyPath,
    /// The next hop of the other path cannot be reached (RFC 4271 section 9.1.2.1).
    Unreachable,
    /// A route of our own beats a learned one.
    LocalRoute,
    /// Higher LOCAL_PREF (RFC 4271 section 9.1.1).
    LocalPref,
    /// Shorter AS_PATH (RFC 4271 section 9.1.2.2 a).
    PathLength,
    /// Lower ORIGIN (b).
    Origin,
    /// Lower MULTI_EXIT_DISC among routes of one neighbour AS (c).
    Med,
    /// External over internal (d).
    External,
    /// Nearer next hop (e).
    Metric,
    /// The path chosen before stays (RFC 5004).
    Oldest,
    /// Lower BGP identifier or ORIGINATOR_ID (f).
    RouterId,
    /// Shorter CLUSTER_LIST (RFC 4456 section 9).
    ClusterList,
    /// Lower peer address (g).
    PeerAddress,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OnlyPath => "only path",
            Self::Unreachable => "next hop unreachable",
            Self::LocalRoute => "local route",
            Self::LocalPref => "local preference",
            Self::PathLength => "AS path length",
            Self::Origin => "origin",
            Self::Med => "MED",
            Self::External => "external over internal",
            Self::Metric => "metric to next hop",
            Self::Oldest => "older path",
            Self::RouterId => "router id",
            Self::ClusterList => "cluster list length",
            Self::PeerAddress => "peer address",
        })
    }
}

/// Chooses the best of the candidates, and tells `lost` of every other one at which step it dropped out.
///
/// It is the RFC's own procedure: each step removes candidates from the set that is left. So a MED only ever works
/// against routes of the same neighbour AS, and the outcome does not depend on the order of the candidates (what
/// elsewhere is an option called deterministic MED).
///
/// `alive` is working space.
pub fn select(
    candidates: &[Candidate],
    alive: &mut Vec<u16>,
    mut lost: impl FnMut(usize, Reason),
) -> Option<usize> {
    alive.clear();
    alive.extend(0..candidates.len() as u16);
    narrow_to_equals(candidates, alive, &mut lost);
    break_tie(candidates, alive, &mut lost);
    alive.first().map(|best| usize::from(*best))
}

/// Leaves in `alive` the candidates that are equal up to and including the metric (step e): those that may be used
/// at once. AS paths must be equally long; their contents may differ.
pub fn multipath(candidates: &[Candidate], alive: &mut Vec<u16>) {
    alive.clear();
    alive.extend(0..candidates.len() as u16);
    narrow_to_equals(candidates, alive, &mut |_, _| {});
}

/// The candidates that are used at once when `best` is the best and at most `limit` may be: the best and its equals
/// ([`multipath`]). Of more equals than may be used, always the same, by router id and address.
pub fn in_use<'a>(candidates: &[Candidate], best: usize, limit: u16, alive: &'a mut Vec<u16>) -> &'a [u16] {
    multipath(candidates, alive);
    alive.sort_unstable_by_key(|at| {
        let candidate = &candidates[usize::from(*at)];
        (usize::from(*at) != best, candidate.router_id, candidate.address)
    });
    alive.truncate(usize::from(limit.max(1)));
    alive
}

/// Compares two candidates as [`select`] would, without working space: whether the first is the better one.
pub fn first_of_two(a: &Candidate, b: &Candidate) -> (bool, Reason) {
    fn step<K: Ord>(a: &K, b: &K) -> Option<bool> {
        (a != b).then(|| a < b)
    }
    let decided = |first: Option<bool>, reason| first.map(|first| (first, reason));
    let med = || if a.neighbor_as == b.neighbor_as { step(&a.med, &b.med) } else { None };
    let oldest = || (keeps_current(a, b) && a.current != b.current).then_some(a.current);
    decided(step(&!a.local, &!b.local), Reason::LocalRoute)
        .or_else(|| decided(step(&b.local_pref, &a.local_pref), Reason::LocalPref))
        .or_else(|| decided(step(&a.path_length, &b.path_length), Reason::PathLength))
        .or_else(|| decided(step(&a.origin, &b.origin), Reason::Origin))
        .or_else(|| decided(med(), Reason::Med))
        .or_else(|| decided(step(&!a.external, &!b.external), Reason::External))
        .or_else(|| decided(step(&a.metric, &b.metric), Reason::Metric))
        .or_else(|| decided(oldest(), Reason::Oldest))
        .or_else(|| decided(step(&a.router_id, &b.router_id), Reason::RouterId))
        .or_else(|| decided(step(&a.cluster_list_length, &b.cluster_list_length), Reason::ClusterList))
        .unwrap_or((a.address <= b.address, Reason::PeerAddress))
}

/// RFC 5004 section 3: between external paths the current one stays. Section 4: not between paths of one router
/// over parallel sessions.
fn keeps_current(a: &Candidate, b: &Candidate) -> bool {
    a.external && b.external && a.router_id != b.router_id
}

type Lost<'a> = &'a mut dyn FnMut(usize, Reason);

fn narrow_to_equals(all: &[Candidate], alive: &mut Vec<u16>, lost: Lost<'_>) {
    keep_lowest(all, alive, lost, Reason::LocalRoute, |c| !c.local);
    keep_lowest(all, alive, lost, Reason::LocalPref, |c| Reverse(c.local_pref));
    keep_lowest(all, alive, lost, Reason::PathLength, |c| c.path_length);
    keep_lowest(all, alive, lost, Reason::Origin, |c| c.origin);
    keep_lowest_med(all, alive, lost);
    keep_lowest(all, alive, lost, Reason::External, |c| !c.external);
    keep_lowest(all, alive, lost, Reason::Metric, |c| c.metric);
}

fn break_tie(all: &[Candidate], alive: &mut Vec<u16>, lost: Lost<'_>) {
    if let Some(current) = alive.iter().map(|i| all[usize::from(*i)]).find(|c| c.current) {
        retain(all, alive, lost, Reason::Oldest, |c| c.current || !keeps_current(&current, c));
    }
    keep_lowest(all, alive, lost, Reason::RouterId, |c| c.router_id);
    keep_lowest(all, alive, lost, Reason::ClusterList, |c| c.cluster_list_length);
    keep_lowest(all, alive, lost, Reason::PeerAddress, |c| c.address);
}

fn keep_lowest<K: Ord>(
    all: &[Candidate],
    alive: &mut Vec<u16>,
    lost: Lost<'_>,
    reason: Reason,
    key: impl Fn(&Candidate) -> K,
) {
    let mut keys = alive.iter().map(|i| key(&all[usize::from(*i)]));
    let Some(mut lowest) = keys.next() else { return };
    let mut all_equal = true;
    for key in keys {
        all_equal &= key == lowest;
        lowest = lowest.min(key);
    }
    // The common case: most steps remove nothing.
    if !all_equal {
        retain(all, alive, lost, reason, |c| key(c) == lowest);
    }
}

/// Step c: a route goes when another one of the same neighbour AS that is still in the race has a lower MED.
fn keep_lowest_med(all: &[Candidate], alive: &mut Vec<u16>, lost: Lost<'_>) {
    let mut meds = alive.iter().map(|i| all[usize::from(*i)].med);
    let first = meds.next();
    if meds.all(|med| Some(med) == first) {
        return;
    }
    let mut kept = 0;
    for at in 0..alive.len() {
        let index = usize::from(alive[at]);
        let candidate = &all[index];
        // Those kept so far have been moved to the front; what was removed cannot beat what remains, for its own
        // victor is still there.
        let beaten = alive[..kept].iter().chain(&alive[at..]).any(|other| {
            let other = &all[usize::from(*other)];
            other.neighbor_as == candidate.neighbor_as && other.med < candidate.med
        });
        if beaten {
            lost(index, Reason::Med);
        } else {
            alive[kept] = alive[at];
            kept += 1;
        }
    }
    alive.truncate(kept);
}

fn retain(
    all: &[Candidate],
    alive: &mut Vec<u16>,
    lost: Lost<'_>,
    reason: Reason,
    keep: impl Fn(&Candidate) -> bool,
) {
    alive.retain(|i| {
        let kept = keep(&all[usize::from(*i)]);
        if !kept {
            lost(usize::from(*i), reason);
        }
        kept
    });
}

#[cfg(test)]
mod tests;
