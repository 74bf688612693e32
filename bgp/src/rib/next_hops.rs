//! Next hop tracking: whether, and how far away, each next hop can be reached.
//!
//! Knows next hops, the paths that depend on them and where those are. Must not know who resolves them, nor tables.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use super::blocks::Blocks;
use crate::wire::Family;

/// The next hops of all routes.
#[derive(Debug, Default)]
pub(crate) struct NextHopTracker {
    entries: Vec<Tracked>,
    vacant: Vec<u32>,
    by_address: HashMap<IpAddr, u32>,
    changes: VecDeque<u32>,
}

#[derive(Debug)]
struct Tracked {
    address: IpAddr,
    metric: Option<u32>,
    /// Attribute sets with this next hop: they hold its number.
    sets: u32,
    /// Where the paths are that need it resolved.
    paths: [Blocks; 2],
    /// What the world was told last: whether we want to know.
    watched: bool,
    /// Waits in `changes`.
    queued: bool,
    /// The block that the re-evaluation of its paths has come to.
    sweep: [Option<u32>; 2],
}

impl Tracked {
    fn wanted(&self) -> bool {
        self.paths.iter().any(|paths| paths.total() > 0) && resolvable(self.address)
    }
}

/// Can a routing table say anything about this address? Not about link-local ones, nor about the unspecified one that
/// our own routes have.
fn resolvable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_unicast_link_local(),
    }
}

impl NextHopTracker {
    /// The number of a next hop, for one more attribute set.
    pub(crate) fn name(&mut self, address: IpAddr) -> u32 {
        if let Some(number) = self.by_address.get(&address) {
            self.entries[*number as usize].sets += 1;
            return *number;
        }
        let entry = Tracked {
            address,
            metric: None,
            sets: 1,
            paths: Default::default(),
            watched: false,
            queued: false,
            sweep: [None; 2],
        };
        let number = if let Some(number) = self.vacant.pop() {
            self.entries[number as usize] = entry;
            number
        } else {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        };
        self.by_address.insert(address, number);
        number
    }

    /// One attribute set less has this next hop.
    pub(crate) fn forget(&mut self, number: u32) {
        self.entries[number as usize].sets -= 1;
        self.drop_unused(number);
    }

    fn drop_unused(&mut self, number: u32) {
        let entry = &self.entries[number as usize];
        if entry.sets == 0
            && !entry.watched
            && !entry.queued
            && self.by_address.remove(&entry.address).is_some()
        {
            self.vacant.push(number);
        }
    }

    /// A path that needs this next hop resolved has come to a destination.
    pub(crate) fn add_path(&mut self, number: u32, family: Family, destination: u32) {
        self.entries[number as usize].paths[family as usize].add(destination);
        self.note(number);
    }

    /// Such a path has gone.
    pub(crate) fn remove_path(&mut self, number: u32, family: Family, destination: u32) {
        self.entries[number as usize].paths[family as usize].remove(destination);
        self.note(number);
    }

    fn note(&mut self, number: u32) {
        let entry = &mut self.entries[number as usize];
        if !entry.queued && entry.wanted() != entry.watched {
            entry.queued = true;
            self.changes.push_back(number);
        }
    }

    /// The next change of interest. What was wanted and unwanted again in between is not mentioned.
    pub(crate) fn next_change(&mut self) -> Option<(IpAddr, bool)> {
        while let Some(number) = self.changes.pop_front() {
            let entry = &mut self.entries[number as usize];
            entry.queued = false;
            let (address, wanted) = (entry.address, entry.wanted());
            let changed = wanted != entry.watched;
            entry.watched = wanted;
            if !wanted {
                // Nobody will tell us of changes any more.
                entry.metric = None;
                self.drop_unused(number);
            }
            if changed {
                return Some((address, wanted));
            }
        }
        None
    }

    /// Takes note of a next hop's metric. Returns its number when that is news.
    pub(crate) fn resolve(&mut self, address: IpAddr, metric: Option<u32>) -> Option<u32> {
        let number = *self.by_address.get(&address)?;
        let entry = &mut self.entries[number as usize];
        if entry.metric == metric || !resolvable(address) {
            return None;
        }
        entry.metric = metric;
        Some(number)
    }

    /// Metric of the way to a next hop.
    pub(crate) fn metric(&self, number: u32) -> Option<u32> {
        self.entries[number as usize].metric
    }

    /// Its paths have to be evaluated again, from the first on. Returns whether that is not under way already.
    pub(crate) fn begin_sweep(&mut self, number: u32, family: Family) -> bool {
        let entry = &mut self.entries[number as usize];
        entry.paths[family as usize].total() > 0 && entry.sweep[family as usize].replace(0).is_none()
    }

    /// The next block with paths to evaluate again.
    pub(crate) fn next_block(&mut self, number: u32, family: Family) -> Option<u32> {
        let entry = &mut self.entries[number as usize];
        let sweep = &mut entry.sweep[family as usize];
        let block = sweep.and_then(|from| entry.paths[family as usize].next_from(from));
        *sweep = block.map(|block| block + 1);
        block
    }
}
