//! Marking, waking, changing: every change of what should be or what is goes through here, so that nothing that
//! depends on it is forgotten.

use std::sync::Arc;

use crate::model::{IfName, Key, NextHop, NextHopId, Ns, Object, Route, RouteTarget};

use super::{
    Fib, Notice,
    objects::{Facts, Held, Reading, Support, nft_used_by},
    observe::is_chain,
    queues::{Item, Tier},
    routes::{RouteCell, RouteSlot, mark},
    values::ValueId,
};

impl Fib {
    /// This object may differ: it gets its turn.
    pub(super) fn mark(&mut self, slot: u32) {
        let Some((key, cell)) = self.objects.get(slot) else { return };
        if cell.queued {
            return;
        }
        let tier = match &cell.desired {
            Some(object) => Tier::of_write(object),
            None => Tier::of_delete(key),
        };
        if let Some(cell) = self.objects.cell_mut(slot) {
            cell.queued = true;
            cell.waiting = false;
        }
        self.queues.push(tier, Item::Object(slot));
    }

    /// Something that it waited for, or failed for, has changed.
    pub(super) fn wake(&mut self, slot: u32) {
        let item = Item::Object(slot);
        if let Some(cell) = self.objects.cell_mut(slot)
            && cell.held
        {
            cell.held = false;
            self.failures.hurry(item);
        }
        self.mark(slot);
    }

    pub(super) fn wake_key(&mut self, key: &Key) {
        if let Some(slot) = self.objects.find(key) {
            self.wake(slot);
        }
    }

    pub(super) fn wake_hanging(&mut self, support: &Support) {
        for slot in self.objects.hanging_on(support) {
            self.wake(slot);
        }
    }

    /// What uses an nftables object, and what is in it.
    pub(super) fn nft_hanging_on(&self, key: &Key) -> Vec<u32> {
        let mut all = self.objects.hanging_on(&Support::Nft(key.clone()));
        let within = self.objects.hanging_on(&Support::Within(key.clone()));
        for slot in &within {
            if let Some((set @ Key::Set(_), _)) = self.objects.get(*slot) {
                all.append(&mut self.objects.hanging_on(&Support::Within(set.clone())));
            }
        }
        all.extend(within);
        all
    }

    /// An object that used others is gone from them, or about to be: they may have waited for that. Not woken: what
    /// failed, failed for another reason.
    pub(super) fn mark_used_by(&mut self, held: &Held) {
        match &*held.object {
            // What unknown rules used, all in the table may have waited for.
            Object::Chain(item, _) if held.unknown.is_some() => {
                let within = Support::Within(Key::Table(item.table.clone()));
                self.objects.hanging_on(&within).into_iter().for_each(|slot| self.mark(slot));
            }
            object @ (Object::Chain(..) | Object::Element(..)) => {
                for slot in nft_used_by(object).filter_map(|key| self.objects.find(&key)).collect::<Vec<_>>()
                {
                    self.mark(slot);
                }
            }
            Object::NextHop(_, NextHop::Group(members)) => {
                for member in members {
                    self.mark_next_hop(*member);
                }
            }
            Object::Route(key, route) => self.mark_used_by_route(key.ns, route),
            Object::Redirect(_, Some(to)) => {
                if let Some(slot) = self.objects.link(Ns::HOST, to) {
                    self.mark(slot);
                }
            }
            _ => {}
        }
    }

    /// The next hop and the source that a route used.
    pub(super) fn mark_used_by_route(&mut self, ns: Ns, route: &Route) {
        if let RouteTarget::NextHop(id) = route.target {
            self.mark_next_hop(id);
        }
        if let Some(source) = route.preferred_source {
            for slot in self.objects.hanging_on(&Support::Source(ns, source)) {
                self.mark(slot);
            }
        }
    }

    fn mark_next_hop(&mut self, id: NextHopId) {
        if let Some(slot) = self.objects.find(&Key::NextHop(id)) {
            self.mark(slot);
        }
    }

    /// This route may differ: it gets its turn. Routes out of links go before the mass of learned ones.
    pub(super) fn mark_route(&mut self, route: RouteSlot) {
        let Some(cell) = self.routes.cell(route) else { return };
        if cell.is(mark::QUEUED) {
            return;
        }
        self.routes.update(route, |c| {
            c.set(mark::QUEUED, true);
            c.set(mark::WAITING, false);
        });
        let value = cell.desired.or(cell.actual).and_then(|value| self.routes.values.get(value));
        match value {
            None | Some(Route { target: RouteTarget::NextHop(_), .. }) => self.routes.bulk.push_back(route),
            Some(_) if cell.desired.is_none() => self.queues.push(Tier::DropRoute, Item::Route(route)),
            Some(value) => self.queues.push(Tier::of_route(value), Item::Route(route)),
        }
    }

    /// Routes that waited until this value could be installed.
    pub(super) fn wake_value(&mut self, value: ValueId) {
        for route in self.routes.values.take_waiting(value) {
            let waits = |c: RouteCell| c.is(mark::WAITING) && c.desired == Some(value);
            if self.routes.cell(route).is_some_and(waits) {
                self.mark_route(route);
            }
        }
    }

    /// Changes a route's cell and acts on what that means for its values.
    pub(super) fn update_route(&mut self, route: RouteSlot, change: impl FnOnce(&mut RouteCell)) {
        self.routes.update(route, change);
        self.heed_signals();
    }

    /// Its time to be tried again has come.
    pub(super) fn release(&mut self, item: Item) {
        match item {
            Item::Object(slot) => {
                if let Some(cell) = self.objects.cell_mut(slot) {
                    cell.held = false;
                }
                self.mark(slot);
            }
            Item::Route(route) => {
                self.routes.update(route, |c| c.set(mark::HELD, false));
                self.mark_route(route);
            }
        }
    }

    /// The dump that was to tell is in.
    pub(super) fn undoubt(&mut self, item: Item) {
        match item {
            Item::Object(slot) => {
                if let Some(cell) = self.objects.cell_mut(slot) {
                    cell.doubt = false;
                }
                // If it failed before too, the dump alone is no reason to hope.
                if self.failures.attempts(item) > 1 {
                    self.mark(slot);
                } else {
                    self.wake(slot);
                }
            }
            Item::Route(route) => {
                self.routes.update(route, |c| c.set(mark::DOUBT, false));
                self.mark_route(route);
            }
        }
    }

    pub(super) fn clear_failure(&mut self, item: Item) {
        if self.failures.clear(item) {
            match item {
                Item::Object(slot) => {
                    if let Some(cell) = self.objects.cell_mut(slot) {
                        cell.held = false;
                    }
                }
                Item::Route(route) => self.routes.update(route, |c| c.set(mark::HELD, false)),
            }
        }
    }

    /// What should be.
    pub(super) fn set_desired(&mut self, slot: u32, desired: Option<Arc<Object>>) {
        let gone = desired.is_none();
        let facts = self.objects.facts(slot);
        self.recognise_chain(slot, desired.as_ref());
        self.objects.set_desired(slot, desired);
        self.facts_changed(slot, facts);
        if gone && let Some(cell) = self.objects.cell_mut(slot) {
            // Nobody wanted it, and now somebody says so: it is not kept for the sweep. And what is not wanted is not
            // read.
            cell.stale = false;
            cell.reading = Reading::No;
        }
        self.clear_failure(Item::Object(slot));
        self.mark(slot);
        self.mark_pair(slot);
    }

    /// A chain whose rules were not known may have those that are wanted now.
    fn recognise_chain(&mut self, slot: u32, desired: Option<&Arc<Object>>) {
        let actual = self.objects.cell(slot).and_then(|c| c.actual.as_ref());
        if let (Some(object), Some(Held { object: seen, unknown: Some(rules), .. })) = (desired, actual)
            && let Object::Chain(_, seen) = &**seen
            && is_chain(object, seen.hook, rules)
        {
            let known = Held::ours(object.clone());
            self.objects.set_actual(slot, Some(known));
        }
    }

    /// The other end of a veth may have waited for this one, or this one may be in its way.
    pub(super) fn mark_pair(&mut self, slot: u32) {
        if let Some((Key::Link(ns, name), _)) = self.objects.get(slot)
            && let Some(pair) = self.objects.pair(*ns, name)
        {
            self.mark(pair);
        }
    }

    /// What is. Follows up on everything that the kernel does by itself, and on everything that waited.
    pub(super) fn set_actual(&mut self, slot: u32, actual: Option<Held>) {
        let settled = self.is_settled(slot);
        let facts = self.objects.facts(slot);
        let new = actual.clone();
        let old = self.objects.set_actual(slot, actual);
        self.facts_changed(slot, facts);
        self.implied(slot, old.as_ref(), new.as_ref());
        if let Some(old) = &old {
            self.mark_used_by(old);
        }
        self.mark(slot);
        self.tell(slot, settled);
    }

    /// Tells of an object that became settled or no longer is.
    pub(super) fn tell(&mut self, slot: u32, before: bool) {
        let now = self.is_settled(slot);
        if before == now {
            return;
        }
        let Some((key, cell)) = self.objects.get(slot) else { return };
        if matches!(key, Key::NextHop(_)) || (!now && cell.desired.is_none()) {
            return;
        }
        let key = key.clone();
        self.notices.push(if now { Notice::Settled(key) } else { Notice::Lost(key) });
    }

    /// Wakes those who care when what they care about has changed; `before` is what it was.
    pub(super) fn facts_changed(&mut self, slot: u32, before: Facts) {
        let after = self.objects.facts(slot);
        if before == after {
            return;
        }
        self.possible = None;
        let Some((key, _)) = self.objects.get(slot) else { return };
        match key.clone() {
            Key::Link(ns, name) => self.link_moved(ns, &name),
            Key::Address(ns, link, address) if before.present != after.present => {
                let count = self.local.entry((ns, address.addr())).or_default();
                *count = if after.present { *count + 1 } else { count.saturating_sub(1) };
                if *count == 0 {
                    self.local.remove(&(ns, address.addr()));
                }
                if after.present {
                    self.wake_hanging(&Support::Source(ns, address.addr()));
                    // A gateway may have become reachable.
                    self.wake_hanging(&Support::Link(ns, link));
                    if ns == Ns::HOST {
                        for value in self.routes.values.with_source(address.addr()) {
                            self.wake_value(value);
                        }
                    }
                }
            }
            Key::NextHop(id) if before.present != after.present => self.next_hop_moved(id),
            Key::Qdisc(link) if before.present != after.present => self.wake_redirects(&link),
            key if key.is_nft() => {
                // Not woken: what failed would fail again and again, and this with it, as it is the same transaction.
                for slot in self.nft_hanging_on(&key) {
                    self.mark(slot);
                }
            }
            _ => {}
        }
    }

    fn link_moved(&mut self, ns: Ns, name: &IfName) {
        for slot in self.objects.hanging_on(&Support::Link(ns, name.clone())) {
            self.wake(slot);
            if let Some((Key::NextHop(id), _)) = self.objects.get(slot) {
                let id = *id;
                self.refresh_with_groups(id);
            }
        }
        if let Some(pair) = self.objects.pair(ns, name) {
            self.wake(pair);
        }
        if ns == Ns::HOST {
            for value in self.routes.values.with_link(name) {
                self.wake_value(value);
            }
        }
    }

    /// Whether a route with this value can be installed now. Asked for one route after the other, the answer mostly
    /// is the last one.
    pub(super) fn is_possible(&mut self, value: ValueId) -> bool {
        if let Some((last, possible)) = self.possible
            && last == value
        {
            return possible;
        }
        let Some(route) = self.routes.values.get(value) else { return false };
        let source = route.preferred_source.is_none_or(|s| self.local.contains_key(&(Ns::HOST, s)));
        let possible = source && self.is_target_there(Ns::HOST, &route.target);
        self.possible = Some((value, possible));
        possible
    }

    /// Whether a route to this target can be installed now.
    pub(super) fn is_target_there(&self, ns: Ns, target: &RouteTarget) -> bool {
        match target {
            RouteTarget::NextHop(id) => {
                let slot = self.objects.find(&Key::NextHop(*id));
                self.is_usable(*id) && slot.is_some_and(|s| self.objects.facts(s).present)
            }
            RouteTarget::Link { link, .. } => {
                self.objects.link(ns, link).is_some_and(|s| self.objects.facts(s).up)
            }
            RouteTarget::Unreachable | RouteTarget::Blackhole => true,
        }
    }

    pub(super) fn read_sysctl(&mut self, slot: u32) {
        let Some((Key::Sysctl(ns, path), cell)) = self.objects.get(slot) else { return };
        if cell.reading == Reading::No {
            self.asking.read(*ns, path);
            if let Some(cell) = self.objects.cell_mut(slot) {
                cell.reading = Reading::Asked;
            }
        }
    }
}
