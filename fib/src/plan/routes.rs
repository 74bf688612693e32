//! Learned routes, compactly: 15 bytes for an IPv4 route, 27 for an IPv6 one, and 5 in the index.
//!
//! Holds what should be, what is, and what is on its way, as numbers of interned values. Must not know in which order
//! things are done, or why.

use std::collections::VecDeque;

use hashbrown::HashMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    table::Table,
    values::{Signal, Standing, ValueId, Values},
};

/// A learned route's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RouteSlot(u32);

impl RouteSlot {
    const V6: u32 = 1 << 31;

    fn v6(slot: u32) -> Self {
        Self(slot | Self::V6)
    }

    fn is_v6(self) -> bool {
        self.0 & Self::V6 != 0
    }

    fn index(self) -> u32 {
        self.0 & !Self::V6
    }
}

/// What is on its way to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flight {
    None,
    Write,
    Delete,
}

/// Single bits about a route.
pub(super) mod mark {
    /// In a queue.
    pub(crate) const QUEUED: u8 = 1;
    /// Adopted; nobody has wanted it yet, and the sweep is on hold.
    pub(crate) const STALE: u8 = 1 << 1;
    /// Seen in the dump that is coming in.
    pub(crate) const SEEN: u8 = 1 << 2;
    /// Waits for its value to become possible.
    pub(crate) const WAITING: u8 = 1 << 3;
    /// Failed; its time to be tried again has not come.
    pub(crate) const HELD: u8 = 1 << 4;
    /// Something happened to it in the kernel while an operation was on its way.
    pub(crate) const TAINTED: u8 = 1 << 5;
    /// To be written even if it looks right.
    pub(crate) const FORCE: u8 = 1 << 6;
    /// Only a dump can tell what the kernel has.
    pub(crate) const DOUBT: u8 = 1 << 7;
}

/// One learned route.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteCell {
    pub(super) desired: Option<ValueId>,
    pub(super) actual: Option<ValueId>,
    pub(super) flight: Flight,
    pub(super) marks: u8,
}

impl RouteCell {
    const NEW: Self = Self { desired: None, actual: None, flight: Flight::None, marks: 0 };

    pub(super) fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    pub(super) fn set(&mut self, mark: u8, on: bool) {
        if on {
            self.marks |= mark;
        } else {
            self.marks &= !mark;
        }
    }

    fn standing(&self, flying: Option<ValueId>) -> Standing {
        Standing {
            desired: self.desired,
            actual: self.actual,
            leaving: self.flight == Flight::Delete,
            flying,
        }
    }

    fn is_void(&self) -> bool {
        self.desired.is_none()
            && self.actual.is_none()
            && self.flight == Flight::None
            && !self.is(mark::QUEUED)
    }
}

/// A cell as it is stored: without the padding that alignment would ask for.
#[derive(Clone, Copy, Debug)]
struct Stored {
    desired: [u8; 4],
    actual: [u8; 4],
    flight: Flight,
    marks: u8,
}

impl From<RouteCell> for Stored {
    fn from(cell: RouteCell) -> Self {
        let bytes = |value: Option<ValueId>| value.map_or(0, ValueId::number).to_ne_bytes();
        Self {
            desired: bytes(cell.desired),
            actual: bytes(cell.actual),
            flight: cell.flight,
            marks: cell.marks,
        }
    }
}

impl From<Stored> for RouteCell {
    fn from(stored: Stored) -> Self {
        let value = |bytes| ValueId::from_number(u32::from_ne_bytes(bytes));
        Self {
            desired: value(stored.desired),
            actual: value(stored.actual),
            flight: stored.flight,
            marks: stored.marks,
        }
    }
}

/// Figures kept along the way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RouteCounts {
    pub(super) wanted: usize,
    pub(super) installed: usize,
    pub(super) queued: usize,
    pub(super) waiting: usize,
    pub(super) stale: usize,
    pub(super) flying: usize,
}

/// All learned routes.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    v4: Table<Ipv4Net, Stored>,
    v6: Table<Ipv6Net, Stored>,
    flying: HashMap<RouteSlot, ValueId>,
    /// Operations on their way, in order: answers come in that order.
    order: VecDeque<RouteSlot>,
    pub(super) values: Values,
    pub(super) bulk: VecDeque<RouteSlot>,
    pub(super) counts: RouteCounts,
}

impl Routes {
    /// The slot of a prefix, if the tracker knows it.
    pub(super) fn find(&self, prefix: IpNet) -> Option<RouteSlot> {
        match prefix {
            IpNet::V4(p) => self.v4.find(&p).map(RouteSlot),
            IpNet::V6(p) => self.v6.find(&p).map(RouteSlot::v6),
        }
    }

    /// The slot of a prefix.
    pub(super) fn insert(&mut self, prefix: IpNet) -> RouteSlot {
        match prefix {
            IpNet::V4(p) => RouteSlot(self.v4.insert(p, || RouteCell::NEW.into()).0),
            IpNet::V6(p) => RouteSlot::v6(self.v6.insert(p, || RouteCell::NEW.into()).0),
        }
    }

    /// The prefix of a slot.
    pub(super) fn prefix(&self, route: RouteSlot) -> Option<IpNet> {
        if route.is_v6() {
            self.v6.get(route.index()).map(|(p, _)| IpNet::V6(*p))
        } else {
            self.v4.get(route.index()).map(|(p, _)| IpNet::V4(*p))
        }
    }

    /// The cell of a slot.
    pub(super) fn cell(&self, route: RouteSlot) -> Option<RouteCell> {
        if route.is_v6() {
            self.v6.get(route.index()).map(|(_, c)| (*c).into())
        } else {
            self.v4.get(route.index()).map(|(_, c)| (*c).into())
        }
    }

    fn cell_mut(&mut self, route: RouteSlot) -> Option<&mut Stored> {
        if route.is_v6() { self.v6.get_mut(route.index()) } else { self.v4.get_mut(route.index()) }
    }

    /// Changes a cell and keeps the books. A route that nobody wants and that is not there is forgotten.
    pub(super) fn update(&mut self, route: RouteSlot, change: impl FnOnce(&mut RouteCell)) {
        let flying = self.flying.get(&route).copied();
        self.change(route, flying, flying, change);
    }

    /// An operation is on its way: to this value, or the deletion.
    pub(super) fn launch(&mut self, route: RouteSlot, value: Option<ValueId>) {
        let flight = if value.is_some() { Flight::Write } else { Flight::Delete };
        self.order.push_back(route);
        if let Some(value) = value {
            self.flying.insert(route, value);
        }
        self.change(route, None, value, |c| {
            c.flight = flight;
            c.set(mark::TAINTED | mark::FORCE, false);
        });
    }

    /// The route that an answer is about.
    pub(super) fn answered(&mut self, prefix: IpNet) -> Option<RouteSlot> {
        while let Some(next) = self.order.pop_front() {
            if self.prefix(next) == Some(prefix) {
                return Some(next);
            }
        }
        self.find(prefix)
    }

    /// The operation has been answered; what it was.
    pub(super) fn land(&mut self, route: RouteSlot, done: bool) -> Flight {
        let Some(cell) = self.cell(route) else { return Flight::None };
        let flying = self.flying.remove(&route);
        self.change(route, flying, None, |c| {
            match c.flight {
                Flight::Write if done => c.actual = flying,
                Flight::Delete if done => c.actual = None,
                _ => {}
            }
            c.flight = Flight::None;
        });
        cell.flight
    }

    /// The value on its way.
    pub(super) fn flying(&self, route: RouteSlot) -> Option<ValueId> {
        self.flying.get(&route).copied()
    }

    fn change(
        &mut self,
        route: RouteSlot,
        flying_before: Option<ValueId>,
        flying_after: Option<ValueId>,
        change: impl FnOnce(&mut RouteCell),
    ) {
        let Some(before) = self.cell(route) else { return };
        let mut after = before;
        change(&mut after);
        if let Some(cell) = self.cell_mut(route) {
            *cell = after.into();
        }
        let counted = before.desired != after.desired
            || before.actual != after.actual
            || before.flight != after.flight
            || flying_before != flying_after;
        if counted {
            self.values.remove(route, before.standing(flying_before));
            self.values.add(route, after.standing(flying_after));
        }
        let c = &mut self.counts;
        let count = |n: &mut usize, was: bool, is: bool| match (was, is) {
            (false, true) => *n += 1,
            (true, false) => *n -= 1,
            _ => {}
        };
        count(&mut c.wanted, before.desired.is_some(), after.desired.is_some());
        count(&mut c.installed, before.actual.is_some(), after.actual.is_some());
        count(&mut c.flying, before.flight != Flight::None, after.flight != Flight::None);
        count(&mut c.queued, before.is(mark::QUEUED), after.is(mark::QUEUED));
        count(&mut c.waiting, before.is(mark::WAITING), after.is(mark::WAITING));
        count(&mut c.stale, before.is(mark::STALE), after.is(mark::STALE));
    }

    /// Forgets a route that nobody wants and that is not there; whether it did.
    pub(super) fn collect(&mut self, route: RouteSlot) -> bool {
        let void = self.cell(route).is_some_and(|c| c.is_void());
        if void {
            self.update(route, |c| c.marks = 0);
            if route.is_v6() {
                self.v6.remove(route.index());
            } else {
                self.v4.remove(route.index());
            }
        }
        void
    }

    /// What changed about values as a whole since the last call.
    pub(super) fn signals(&mut self) -> Vec<Signal> {
        let mut signals = Vec::new();
        self.values.signals(|signal| signals.push(signal));
        signals
    }

    /// All routes for which `test` holds: a walk over all of them.
    pub(super) fn filter(&self, test: impl Fn(&RouteCell) -> bool) -> Vec<RouteSlot> {
        let v4 = self.v4.iter().filter(|(_, _, c)| test(&(**c).into())).map(|(s, ..)| RouteSlot(s));
        let v6 = self.v6.iter().filter(|(_, _, c)| test(&(**c).into())).map(|(s, ..)| RouteSlot::v6(s));
        v4.chain(v6).collect()
    }

    /// All routes that should have or have one of these values.
    pub(super) fn with_values(&self, values: &[ValueId]) -> Vec<RouteSlot> {
        let (learned, local): (Vec<ValueId>, Vec<ValueId>) =
            values.iter().partition(|value| self.values.is_learned(**value));
        let mut found: Vec<RouteSlot> =
            local.into_iter().flat_map(|value| self.values.members(value)).collect();
        if !learned.is_empty() {
            let has = |value: Option<ValueId>| value.is_some_and(|v| learned.contains(&v));
            found.extend(self.filter(|c| has(c.desired) || has(c.actual)));
        }
        found
    }

    /// A dump begins: nothing has been seen.
    pub(super) fn unsee(&mut self) {
        for (_, cell) in self.v4.cells_mut() {
            cell.marks &= !mark::SEEN;
        }
        for (_, cell) in self.v6.cells_mut() {
            cell.marks &= !mark::SEEN;
        }
    }

    /// A page: slots from a cursor on.
    pub(super) fn page(&self, cursor: usize, limit: usize) -> (Vec<(IpNet, RouteCell)>, Option<usize>) {
        let (half, v6) = (RouteSlot::V6 as usize, cursor >= RouteSlot::V6 as usize);
        let mut page: Vec<(usize, IpNet, RouteCell)> = Vec::new();
        if !v6 {
            let v4 = self.v4.iter_from(cursor).take(limit + 1);
            page.extend(v4.map(|(s, p, c)| (s as usize, IpNet::V4(*p), (*c).into())));
        }
        let rest = (limit + 1).saturating_sub(page.len());
        let v6 = self.v6.iter_from(cursor.saturating_sub(half)).take(rest);
        page.extend(v6.map(|(s, p, c)| (half + s as usize, IpNet::V6(*p), (*c).into())));
        let next = page.get(limit).map(|(s, ..)| *s);
        (page.into_iter().take(limit).map(|(_, p, c)| (p, c)).collect(), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_costs_what_the_module_says() {
        assert_eq!(size_of::<Option<(Ipv4Net, Stored)>>(), 15);
        assert_eq!(size_of::<Option<(Ipv6Net, Stored)>>(), 27);
    }
}
