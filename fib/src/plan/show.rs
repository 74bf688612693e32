//! Looking at the tracker: what is settled, what fails, pages of routes, figures.

use std::{net::IpAddr, time::Instant};

use ipnet::IpNet;

use crate::model::{KernelError, Key, Link, LinkKind, NextHop, NextHopId, Ns, Object, Route, RouteKey};

use super::{
    Counters, Fib, RouteView,
    objects::Cell,
    queues::Item,
    routes::{Flight, RouteCell, RouteSlot, mark},
};

impl Fib {
    /// Whether the kernel is known to hold exactly what is wanted of this key (for an unwanted key: nothing of
    /// ours), and nothing is on its way.
    pub fn settled(&self, key: &Key) -> bool {
        match key {
            Key::Route(route) if self.owner.is_learned(route) => {
                self.routes.find(route.prefix.trunc()).is_none_or(|slot| self.is_route_settled(slot))
            }
            _ => self.objects.find(key).is_none_or(|slot| self.is_settled(slot)),
        }
    }

    pub(super) fn is_settled(&self, slot: u32) -> bool {
        let Some((key, cell)) = self.objects.get(slot) else { return true };
        if !cell.flights.is_empty() || cell.doubt {
            return false;
        }
        let held = cell.actual.as_ref();
        let Some(wanted) = &cell.desired else {
            return matches!(key, Key::Sysctl(..)) || held.is_none_or(|held| !held.ours);
        };
        let Some(held) = held else { return false };
        match &**wanted {
            Object::Address(..) => true,
            Object::Neighbour(..) => held.object == *wanted,
            Object::NextHop(id, _) => match (&*held.object, self.wanted_next_hop(*id)) {
                (Object::NextHop(_, held), Some(wanted)) => *held == wanted,
                _ => false,
            },
            Object::Link(_, _, Link { kind: LinkKind::Foreign, .. }) => held.is(wanted),
            _ => held.ours && held.is(wanted),
        }
    }

    pub(super) fn is_route_settled(&self, route: RouteSlot) -> bool {
        let Some(cell) = self.routes.cell(route) else { return true };
        cell.flight == Flight::None
            && cell.desired == cell.actual
            && !cell.is(mark::FORCE | mark::TAINTED | mark::DOUBT)
    }

    /// Whether nothing is left to do now or later by itself: no key is dirty, in flight or failing, and no answer is
    /// outstanding. Keys that wait for something else (a link that does not exist) do not count.
    pub fn idle(&self) -> bool {
        let c = self.counters();
        c.dirty + c.in_flight + c.failing == 0 && self.asking.is_idle()
    }

    /// When [`Fib::plan`] has to be called again even if nothing happens.
    pub fn next_retry(&self) -> Option<Instant> {
        self.failures.next()
    }

    /// How many learned routes wait for their turn. O(1).
    pub fn routes_waiting(&self) -> usize {
        self.routes.counts.queued
    }

    /// Figures. Walks over all objects but not over the learned routes.
    pub fn counters(&self) -> Counters {
        let routes = self.routes.counts;
        let mut counters = Counters {
            routes_wanted: routes.wanted,
            routes_installed: routes.installed,
            dirty: routes.queued,
            in_flight: routes.flying,
            waiting: routes.waiting,
            stale: routes.stale,
            failing: self.failures.len(),
            operations: self.operations,
            failures: self.refusals,
            ..Counters::default()
        };
        for (_, _, cell) in self.objects.iter() {
            counters.objects_wanted += usize::from(cell.desired.is_some());
            counters.dirty += usize::from(cell.queued);
            counters.in_flight += cell.flights.len();
            counters.waiting += usize::from(cell.waiting);
            counters.stale += usize::from(cell.stale);
        }
        counters
    }

    /// Learned routes, from a cursor (0 at first), at most `limit`; with the cursor for the next page, `None` at the
    /// end. The order is stable but means nothing.
    pub fn routes(&self, cursor: usize, limit: usize) -> (Vec<RouteView>, Option<usize>) {
        let (page, next) = self.routes.page(cursor, limit);
        (page.into_iter().map(|(prefix, cell)| self.view(prefix, cell)).collect(), next)
    }

    /// The learned route to exactly this prefix.
    pub fn route(&self, prefix: IpNet) -> Option<RouteView> {
        let slot = self.routes.find(prefix.trunc())?;
        Some(self.view(prefix.trunc(), self.routes.cell(slot)?))
    }

    fn view(&self, prefix: IpNet, cell: RouteCell) -> RouteView {
        let value = |id| self.routes.values.get(id).cloned();
        RouteView {
            prefix,
            desired: cell.desired.and_then(value),
            actual: cell.actual.and_then(value),
            stale: cell.is(mark::STALE),
        }
    }

    /// The gateways behind a nexthop id as the kernel has them, for `show`: address and link.
    pub fn gateways(&self, id: NextHopId) -> Vec<(IpAddr, crate::model::IfName)> {
        let held = self.objects.at(&Key::NextHop(id)).and_then(|c| c.actual.as_ref());
        match held.map(|held| &*held.object) {
            Some(Object::NextHop(_, NextHop::Single { via, link, .. })) => vec![(*via, link.clone())],
            Some(Object::NextHop(_, NextHop::Group(members))) => {
                members.iter().flat_map(|member| self.gateways(*member)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Other objects wanted or ours, as wanted or else as they are, with whether they are settled.
    pub fn objects(&self) -> impl Iterator<Item = (&Object, bool)> {
        self.objects.iter().filter_map(|(slot, _, cell)| {
            let ours = cell.actual.as_ref().filter(|held| held.ours).map(|held| &*held.object);
            Some((cell.desired.as_deref().or(ours)?, self.is_settled(slot)))
        })
    }

    /// What the kernel is known to hold under a key, ours or not, other than learned routes.
    pub fn actual(&self, key: &Key) -> Option<&Object> {
        self.objects.at(key)?.actual.as_ref().map(|held| &*held.object)
    }

    /// Whether a link of the host's namespace is there, up, and with a carrier.
    pub fn link_is_usable(&self, name: &crate::model::IfName) -> bool {
        self.objects.link(Ns::HOST, name).is_some_and(|slot| self.objects.facts(slot).carrier)
    }

    /// Keys whose last operation failed: error, attempts, time of the next one.
    pub fn failing(&self) -> impl Iterator<Item = (Key, &KernelError, u32, Instant)> {
        self.failures.iter().filter_map(|(item, failure)| {
            Some((self.key_of(item)?, &*failure.error, failure.attempts, failure.retry))
        })
    }

    pub(super) fn key_of(&self, item: Item) -> Option<Key> {
        match item {
            Item::Object(slot) => self.objects.get(slot).map(|(key, _)| key.clone()),
            Item::Route(route) => self.routes.prefix(route).map(|p| Key::Route(self.owner.route_key(p))),
        }
    }

    /// Wanted keys that are not settled and wait for something else, with what they wait for as far as it is known
    /// from the key: for "why is it not there?".
    pub fn waiting(&self) -> impl Iterator<Item = &Key> {
        self.objects.iter().filter(|(_, _, cell)| is_waiting_for_others(cell)).map(|(_, key, _)| key)
    }
}

fn is_waiting_for_others(cell: &Cell) -> bool {
    cell.waiting && !cell.held && cell.desired.is_some()
}

/// The routes of a page as model objects.
impl RouteView {
    /// The key of this route under these marks.
    pub fn key(&self, owner: &crate::owner::Owner) -> RouteKey {
        owner.route_key(self.prefix)
    }

    /// What is or will be in the kernel.
    pub fn route(&self) -> Option<&Route> {
        self.actual.as_ref().or(self.desired.as_ref())
    }
}
