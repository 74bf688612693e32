//! The work that lies waiting, in slices of a block each.
//!
//! Knows which parts of a table have to be gone through and how far that has come. What is done there is up to
//! [`super::loc_rib`]. Sweeps take turns, so that none holds up the others.

use std::collections::VecDeque;

use super::adj_rib_out::AdjRibOut;
use super::table::Slot;
use crate::wire::Family;

/// One piece of work on a table.
#[derive(Debug)]
pub(crate) enum Sweep {
    /// Remove the paths of a peer that are older than a round.
    Stale { slot: Slot, round: u8, block: u32 },
    /// Evaluate the paths with this next hop again. The tracker knows how far that has come.
    NextHop { number: u32 },
    /// Take an Adj-RIB-Out apart whose session is gone.
    Discard { sent: Box<AdjRibOut>, from: u32 },
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Sweeps {
    waiting: VecDeque<(Family, Sweep)>,
}

impl Sweeps {
    /// Adds a sweep.
    pub(crate) fn push(&mut self, family: Family, sweep: Sweep) {
        self.waiting.push_back((family, sweep));
    }

    /// An Adj-RIB-Out that is not needed any more.
    pub(crate) fn discard(&mut self, family: Family, sent: AdjRibOut) {
        if sent.count() > 0 {
            self.push(family, Sweep::Discard { sent: Box::new(sent), from: 0 });
        }
    }

    /// The sweep whose turn it is.
    pub(crate) fn next(&mut self) -> Option<(Family, Sweep)> {
        self.waiting.pop_front()
    }

    /// Nothing to do?
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
