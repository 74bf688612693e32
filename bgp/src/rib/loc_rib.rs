//! Loc-RIB of one family: which path of each destination is used.
//!
//! Knows the table and keeps its heads true: after every change the decision process is run for that destination, and
//! whoever depends on the outcome (Adj-RIBs-Out, the FIB) has it marked. Must not know policies or messages.
//!
//! What changes many destinations at once (a lost session, a next hop) takes effect in slices. In between, a path that
//! has become unusable is noticed wherever a destination is touched ([`LocRib::settle`]), so that none is advertised
//! or given to the kernel any more.

use super::attribute_store::AttributesId;
use super::blocks::BLOCK;
use super::decision::{self, Candidate};
use super::id_set::IdSet;
use super::prefix::FamilyPrefix;
use super::shared::Shared;
use super::sweeps::Sweep;
use super::table::{NONE, Path, Put, Slot, Table};
use super::{FibChange, FibNextHop};

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct LocRib<P: FamilyPrefix> {
    pub(crate) table: Table<P>,
    /// Destinations whose next hops the FIB has to look at.
    fib_dirty: IdSet,
    /// Of these, those to be reported even if the next hops are the same: the FIB lost or changed what it made of them.
    fib_again: IdSet,
    fib_cursor: u32,
    scratch: Scratch,
}

/// Working space, kept to spare allocations.
#[derive(Debug, Default)]
struct Scratch {
    ids: Vec<u32>,
    candidates: Vec<Candidate>,
    alive: Vec<u16>,
    next_hops: Vec<FibNextHop>,
}

impl<P: FamilyPrefix> LocRib<P> {
    /// A route of a peer's present session.
    pub(crate) fn announce(&mut self, shared: &mut Shared, slot: Slot, prefix: P, attributes: AttributesId) {
        let id = self.table.find_or_add(prefix);
        let new = shared.new_path(slot, attributes, P::FAMILY);
        let head_changed = match self.table.put(id, new) {
            Put::New => {
                shared.path_added(new, P::FAMILY, id);
                false
            }
            Put::Replaced(old, was_head) => {
                let revived = shared.peers.get(slot).family(P::FAMILY).received.is_dead(old.round);
                if old.attributes == attributes && old.is_tracked() == new.tracked && !revived {
                    return;
                }
                shared.path_added(new, P::FAMILY, id);
                shared.path_removed(&old, P::FAMILY, id);
                was_head
            }
        };
        self.reconsider(shared, id, head_changed);
    }

    /// A peer has no route for this prefix, or none that may be used. Returns whether there was one.
    pub(crate) fn retract(&mut self, shared: &mut Shared, slot: Slot, prefix: P) -> bool {
        self.table.find(prefix).is_some_and(|id| self.retract_at(shared, slot, id))
    }

    /// Withdrawals from a peer; `in_error`: announcements that an error made withdrawals (RFC 7606).
    pub(crate) fn retract_all(
        &mut self,
        shared: &mut Shared,
        slot: Slot,
        prefixes: impl Iterator<Item = P>,
        in_error: bool,
    ) {
        let mut count = 0;
        for prefix in prefixes {
            count += 1;
            self.retract(shared, slot, prefix);
        }
        let received = &mut shared.peers.get_mut(slot).family_mut(P::FAMILY).received;
        if in_error {
            received.treated_as_withdraw += count;
        } else {
            received.withdrawn += count;
        }
    }

    fn retract_at(&mut self, shared: &mut Shared, slot: Slot, id: u32) -> bool {
        let Some((path, was_head)) = self.table.take(id, slot) else { return false };
        let destination = self.table.destination_mut(id);
        let was_best = was_head && destination.choice_is_head();
        if was_head {
            destination.set_best(false);
        }
        shared.path_removed(&path, P::FAMILY, id);
        self.reconsider(shared, id, was_best);
        true
    }

    /// Runs the decision process for a destination. `head_changed`: the head has other attributes, or went.
    fn reconsider(&mut self, shared: &mut Shared, id: u32, head_changed: bool) {
        let before = self.table.destination(id).best();
        let best = self.elect(shared, id);
        if let Some(best) = best {
            self.table.bring_forward(id, best);
        }
        self.table.destination_mut(id).set_best(best.is_some());
        let changed = best != before || head_changed;
        if changed {
            let from = best.map(|best| self.table.path(best).slot);
            shared.best_changed(P::FAMILY, id, from);
        }
        if changed || shared.config.max_paths > 1 {
            self.mark_fib(shared, id);
        }
        if best.is_none() {
            self.table.drop_unused(id);
        }
    }

    /// Marks a destination for the FIB if it may have anything to do with it.
    fn mark_fib(&mut self, shared: &Shared, id: u32) {
        let destination = self.table.destination(id);
        let installs = |path: &Path| shared.peers.get(path.slot).config.install;
        if destination.fib != 0
            || (destination.best().is_some() && self.table.paths(id).any(|(_, path)| installs(path)))
            || destination.best().is_some_and(|best| shared.label(self.table.path(best)) != 0)
        {
            self.fib_dirty.insert(id);
        }
    }

    /// Marks everything for the FIB.
    pub(crate) fn mark_fib_all(&mut self) {
        self.fib_dirty.insert_range(0, self.table.bound());
    }

    /// Marks everything that a peer has a path for, for the FIB.
    pub(crate) fn mark_fib_of(&mut self, shared: &Shared, slot: Slot) {
        let paths = &shared.peers.get(slot).family(P::FAMILY).received.paths;
        let mut from = 0;
        while let Some(block) = paths.next_from(from) {
            self.fib_dirty.insert_range(block * BLOCK, (block + 1) * BLOCK);
            from = block + 1;
        }
    }

    /// Reports all next hops to the FIB once more.
    pub(crate) fn mark_fib_again(&mut self) {
        let all = self.table.bound();
        self.fib_dirty.insert_range(0, all);
        self.fib_again.insert_range(0, all);
    }

    /// The best usable path.
    fn elect(&mut self, shared: &Shared, id: u32) -> Option<u32> {
        let current = self.table.destination(id).best();
        let mut paths = self.table.paths(id);
        let (first_id, first) = paths.next()?;
        if first.next == NONE {
            return shared.metric(first, P::FAMILY).map(|_| first_id);
        }
        let (second_id, second) = paths.next()?;
        if second.next == NONE {
            let candidate = |id, path| shared.candidate(path, P::FAMILY, current == Some(id));
            return match (candidate(first_id, first), candidate(second_id, second)) {
                (Some(a), Some(b)) if decision::first_of_two(&a, &b).0 => Some(first_id),
                (_, Some(_)) => Some(second_id),
                (Some(_), None) => Some(first_id),
                (None, None) => None,
            };
        }
        Self::gather(&self.table, &mut self.scratch, shared, id);
        let Scratch { ids, candidates, alive, .. } = &mut self.scratch;
        decision::select(candidates, alive, |_, _| {}).map(|best| ids[best])
    }

    /// Collects the usable paths of a destination.
    fn gather(table: &Table<P>, scratch: &mut Scratch, shared: &Shared, id: u32) {
        scratch.ids.clear();
        scratch.candidates.clear();
        let current = table.destination(id).best();
        for (at, path) in table.paths(id) {
            if let Some(candidate) = shared.candidate(path, P::FAMILY, current == Some(at)) {
                scratch.ids.push(at);
                scratch.candidates.push(candidate);
            }
        }
    }

    /// The best path, after making sure that it can still be used.
    pub(crate) fn settle(&mut self, shared: &mut Shared, id: u32) -> Option<Path> {
        let best = *self.table.path(self.table.get(id)?.best()?);
        if shared.metric(&best, P::FAMILY).is_some() {
            return Some(best);
        }
        self.reconsider(shared, id, false);
        Some(*self.table.path(self.table.get(id)?.best()?))
    }

    /// The next destination whose next hops are others than last reported.
    pub(crate) fn next_fib_change(&mut self, shared: &mut Shared) -> Option<FibChange> {
        loop {
            let id = self.fib_dirty.next_from(self.fib_cursor).or_else(|| self.fib_dirty.first())?;
            self.fib_cursor = id + 1;
            self.settle(shared, id);
            self.fib_dirty.remove(id);
            let again = self.fib_again.remove(id);
            let Some(destination) = self.table.get(id) else { continue };
            let (prefix, before) = (destination.prefix, destination.fib);
            let now = self.next_hop_set(shared, id);
            // Both are counted; one of the two goes.
            shared.sets.release(before);
            if now != before || (again && now != 0) {
                self.table.destination_mut(id).fib = now;
                self.table.drop_unused(id);
                let (next_hops, label) = shared.sets.get(now);
                return Some(FibChange { prefix: prefix.into(), next_hops, label });
            }
        }
    }

    /// The next hops of the paths in use and the label of the best one, as a counted number.
    fn next_hop_set(&mut self, shared: &mut Shared, id: u32) -> u32 {
        self.scratch.next_hops.clear();
        match self.table.destination(id).best() {
            None => {}
            Some(best) if shared.config.max_paths <= 1 || self.table.path(best).next == NONE => {
                self.scratch.next_hops.extend(shared.fib_next_hop(self.table.path(best)));
            }
            Some(best) => {
                Self::gather(&self.table, &mut self.scratch, shared, id);
                let Scratch { ids, candidates, alive, next_hops } = &mut self.scratch;
                let best = ids.iter().position(|path| *path == best).unwrap_or(0);
                for at in decision::in_use(candidates, best, shared.config.max_paths, alive) {
                    next_hops.extend(shared.fib_next_hop(self.table.path(ids[usize::from(*at)])));
                }
            }
        }
        self.scratch.next_hops.sort_unstable();
        self.scratch.next_hops.dedup();
        let best = self.table.destination(id).best();
        let label = best.map_or(0, |best| shared.label(self.table.path(best)));
        shared.sets.intern(&self.scratch.next_hops, label)
    }

    /// Does one slice of a sweep. Returns whether more of it is left.
    pub(crate) fn slice(&mut self, shared: &mut Shared, sweep: &mut Sweep) -> bool {
        match sweep {
            Sweep::Stale { slot, round, block } => self.sweep_stale(shared, *slot, *round, block),
            Sweep::NextHop { number } => self.sweep_next_hop(shared, *number),
            Sweep::Discard { sent, from } => {
                for _ in 0..BLOCK {
                    let Some((id, _)) = sent.next_sent(*from) else { return false };
                    *from = id;
                    let before = sent.replace(id, None);
                    self.forget_sent(shared, id, before.map(super::adj_rib_out::Sent::attributes));
                }
                true
            }
        }
    }

    fn sweep_stale(&mut self, shared: &mut Shared, slot: Slot, round: u8, block: &mut u32) -> bool {
        let received = &shared.peers.get(slot).family(P::FAMILY).received;
        let Some(found) = received.paths.next_from(*block) else {
            let peer = shared.peers.get_mut(slot);
            peer.sweeps -= 1;
            peer.family_mut(P::FAMILY).received.swept(round);
            shared.peers.drop_unused(slot);
            return false;
        };
        *block = found + 1;
        for id in found * BLOCK..(found + 1) * BLOCK {
            if self.table.get(id).is_none() {
                continue;
            }
            let path = self.table.paths(id).find(|(_, path)| path.slot == slot).map(|(_, path)| path.round);
            let received = &shared.peers.get(slot).family(P::FAMILY).received;
            if path.is_some_and(|path| received.is_older(path, round)) {
                self.retract_at(shared, slot, id);
            }
        }
        true
    }

    fn sweep_next_hop(&mut self, shared: &mut Shared, number: u32) -> bool {
        let Some(block) = shared.next_hops.next_block(number, P::FAMILY) else { return false };
        for id in block * BLOCK..(block + 1) * BLOCK {
            if self.table.get(id).is_none() {
                continue;
            }
            let concerned = |path: &Path| {
                path.is_tracked() && shared.attributes.digest(path.attributes).next_hop == number
            };
            if self.table.paths(id).any(|(_, path)| concerned(path)) {
                self.reconsider(shared, id, false);
            }
        }
        true
    }

    /// An Adj-RIB-Out holds these attributes for a destination, in place of what it held before.
    pub(crate) fn remember_sent(
        &mut self,
        shared: &mut Shared,
        id: u32,
        before: Option<AttributesId>,
        attributes: AttributesId,
    ) {
        shared.attributes.retain(attributes);
        match before {
            Some(before) => shared.release(before),
            None => self.table.destination_mut(id).pins += 1,
        }
    }

    /// An Adj-RIB-Out holds nothing for a destination any more; `attributes` is what it held.
    pub(crate) fn forget_sent(&mut self, shared: &mut Shared, id: u32, attributes: Option<AttributesId>) {
        if let Some(attributes) = attributes {
            shared.release(attributes);
            self.table.destination_mut(id).pins -= 1;
            self.table.drop_unused(id);
        }
    }
}
