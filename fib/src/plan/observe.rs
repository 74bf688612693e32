//! Taking in what the kernel shows: dumps, announcements; adoption of what is ours.

use std::sync::Arc;

use crate::model::{
    Chain, Concern, Hook, IfName, Key, Link, LinkState, Ns, Object, Observed, Route, TableItem,
};

use super::{
    Fib, Scope,
    objects::{Held, Reading},
    queues::Item,
    routes::{Flight, RouteSlot, mark},
    scope_of,
};

impl Fib {
    /// A part of a dump.
    pub(super) fn dumped(&mut self, ns: Ns, concern: Concern, objects: Vec<Observed>, last: bool) {
        if !self.asking.is_watched(ns) {
            return;
        }
        if self.asking.arrives(ns, concern) {
            self.unsee(ns, concern);
        }
        for observed in objects {
            self.take_in(observed, true);
        }
        if last {
            self.gone_unseen(ns, concern);
            self.dump_complete(ns, concern);
        }
    }

    fn unsee(&mut self, ns: Ns, concern: Concern) {
        for slot in self.objects.in_ns(ns) {
            if let Some(cell) = self.objects.cell_mut(slot) {
                cell.seen = false;
            }
        }
        if ns == Ns::HOST && concern == Concern::Routes {
            self.routes.unsee();
        }
    }

    /// What was known and is in no part of the dump is not there.
    fn gone_unseen(&mut self, ns: Ns, concern: Concern) {
        for slot in self.objects.in_ns(ns) {
            let Some((key, cell)) = self.objects.get(slot) else { continue };
            if concern_of(key) == Some(concern) && (cell.actual.is_some() || cell.doubt) && !cell.seen {
                self.is_gone(slot);
            }
        }
        if ns == Ns::HOST && concern == Concern::Routes {
            for route in self.routes.filter(|c| c.actual.is_some() && !c.is(mark::SEEN)) {
                self.route_is_now(route, None);
            }
        }
    }

    fn dump_complete(&mut self, ns: Ns, concern: Concern) {
        let (known, ready) = (self.asking.is_known(ns, concern), self.asking.is_ready(ns));
        let doubting = self.asking.answered(ns, concern);
        if concern == Concern::NextHops && (!known || !doubting.is_empty()) {
            self.match_ids(!known);
        }
        for item in doubting {
            self.undoubt(item);
        }
        if !ready && self.asking.is_ready(ns) {
            self.ns_is_ready(ns);
        }
    }

    /// All that there is to know of a namespace is known: its turn has come.
    fn ns_is_ready(&mut self, ns: Ns) {
        for slot in self.objects.in_ns(ns) {
            self.mark(slot);
            self.mark_pair(slot);
        }
        if ns == Ns::HOST {
            for route in self.routes.filter(|c| c.desired != c.actual || c.is(mark::WAITING)) {
                self.mark_route(route);
            }
        }
    }

    /// Something that the kernel announced by itself.
    pub(super) fn announced(&mut self, observed: Observed) {
        self.take_in(observed, false);
    }

    fn take_in(&mut self, observed: Observed, dumped: bool) {
        match observed {
            Observed::Link(state) => self.take_in_link(state, dumped),
            Observed::Object { object: Object::Route(key, route), protocol } => {
                self.take_in_route(Object::Route(key, route), protocol, dumped);
            }
            Observed::Chain { chain, hook, rules } => self.take_in_chain(chain, hook, &rules, dumped),
            Observed::Object { object, protocol } => self.take_in_object(object, protocol, dumped),
        }
    }

    fn take_in_link(&mut self, state: LinkState, dumped: bool) {
        let key = Key::Link(state.ns, state.name.clone());
        let ours = self.owner.owns_link(&state);
        // The same index under another name: renamed.
        if let Some(other) = self.objects.with_index(state.ns, state.index)
            && self.objects.find(&key) != Some(other)
        {
            self.set_actual(other, None);
        }
        let link = Link {
            kind: state.kind,
            mac: state.mac,
            mtu: Some(state.mtu),
            up: state.up,
            alias: state.alias,
            port: state.port,
        };
        let object = Arc::new(Object::Link(state.ns, state.name, link));
        let held = Held { ours, carrier: state.carrier, index: state.index, ..Held::ours(object) };
        self.hold_as(&key, held, dumped);
    }

    fn take_in_object(&mut self, object: Object, protocol: u8, dumped: bool) {
        let key = object.key();
        let ours = match &object {
            Object::NextHop(id, _) => {
                if !self.owner.next_hop_ids.contains(&id.0) {
                    return;
                }
                self.owner.owns_next_hop(*id, protocol)
            }
            Object::Address(ns, link, _) | Object::Neighbour(ns, link, ..) => {
                self.owner.owns_on_link(&object, protocol, self.is_link_ours(*ns, link))
            }
            Object::Fdb(entry) => {
                self.owner.owns_on_link(&object, protocol, self.is_link_ours(Ns::HOST, &entry.link))
            }
            Object::Qdisc(link, _) | Object::Redirect(link, _) => {
                self.owner.owns_on_link(&object, protocol, self.is_link_ours(Ns::HOST, link))
            }
            Object::Table(table)
            | Object::Set(TableItem { table, .. }, _)
            | Object::Element(TableItem { table, .. }, ..) => {
                if !self.owner.owns_table(table) {
                    return;
                }
                true
            }
            Object::Sysctl(..) => {
                // Only what is wanted is of interest.
                if self.objects.at(&key).is_none_or(|c| c.desired.is_none()) {
                    return;
                }
                true
            }
            Object::Link(..) | Object::Route(..) | Object::Chain(..) => return,
        };
        self.hold_as(&key, Held { ours, ..Held::ours(Arc::new(object)) }, dumped);
    }

    fn is_link_ours(&self, ns: Ns, link: &IfName) -> bool {
        let link = self.objects.link(ns, link).and_then(|slot| self.objects.cell(slot));
        link.and_then(|c| c.actual.as_ref()).is_some_and(|held| held.ours)
    }

    /// Of a chain, the kernel shows the fingerprints of its rules. Are they those of the rules that we believe to be
    /// there, or that are wanted, then these are the rules; else there are rules of which we know nothing.
    fn take_in_chain(&mut self, chain: TableItem, hook: Option<Hook>, rules: &[Option<u64>], dumped: bool) {
        if !self.owner.owns_table(&chain.table) {
            return;
        }
        let key = Key::Chain(chain.clone());
        let seen = |object: &&Arc<Object>| is_chain(object, hook, rules);
        let known = self.objects.at(&key).and_then(|cell| {
            let believed = cell.actual.as_ref().map(|held| &held.object);
            believed.into_iter().chain(&cell.desired).find(seen).cloned()
        });
        let held = known.map_or_else(
            || {
                let object = Object::Chain(chain, Chain { hook, rules: Vec::new() });
                let unknown = (!rules.is_empty()).then(|| rules.into());
                Held { unknown, ..Held::ours(Arc::new(object)) }
            },
            Held::ours,
        );
        self.hold_as(&key, held, dumped);
    }

    fn take_in_route(&mut self, object: Object, protocol: u8, dumped: bool) {
        let key = object.key();
        if !self.owner.owns_route(protocol) {
            // A foreign route under a key of ours has replaced it.
            if !dumped {
                self.gone(&key);
            }
            return;
        }
        match object {
            Object::Route(key, route) if self.owner.is_learned(&key) => {
                self.take_in_learned(key.prefix.trunc(), &route, dumped);
            }
            object => self.hold_as(&key, Held::ours(Arc::new(object)), dumped),
        }
    }

    fn take_in_learned(&mut self, prefix: ipnet::IpNet, route: &Route, dumped: bool) {
        let slot = self.routes.insert(prefix);
        let value = self.routes.values.intern(route);
        let Some(cell) = self.routes.cell(slot) else { return };
        let held_back =
            if self.routes.values.is_learned(value) { self.hold_learned } else { self.hold_local };
        let adopt = cell.desired.is_none()
            && cell.flight == Flight::None
            && (cell.is(mark::STALE) || cell.actual.is_none())
            && held_back;
        self.routes.update(slot, |c| {
            c.set(mark::SEEN, dumped || c.is(mark::SEEN));
            c.set(mark::STALE, adopt);
        });
        if !dumped && cell.flight == Flight::Write && self.routes.flying(slot) != Some(value) {
            self.routes.update(slot, |c| c.set(mark::TAINTED, true));
        }
        if cell.actual != Some(value) {
            self.route_is_now(slot, Some(value));
        }
    }

    /// The kernel holds this under the key.
    fn hold_as(&mut self, key: &Key, held: Held, dumped: bool) {
        let slot = self.objects.insert(key);
        let Some(cell) = self.objects.cell(slot) else { return };
        let hold = match scope_of(&held.object) {
            Scope::Learned => self.hold_learned,
            Scope::Local => self.hold_local,
        };
        let fresh = cell.actual.is_none() || cell.stale;
        let stale = held.ours && hold && fresh && cell.desired.is_none() && cell.flights.is_empty();
        let same = cell.actual.as_ref().is_some_and(|a| {
            a.object == held.object
                && a.ours == held.ours
                && a.carrier == held.carrier
                && a.index == held.index
                && a.unknown == held.unknown
        });
        if let Some(cell) = self.objects.cell_mut(slot) {
            cell.seen |= dumped;
            cell.stale = stale;
            if cell.reading == Reading::Asked {
                cell.reading = Reading::Answered;
                self.mark(slot);
            }
        }
        if same {
            return;
        }
        if !dumped && !matches!(key, Key::Link(..)) {
            self.taint(slot);
        }
        self.set_actual(slot, Some(held));
        // `set_actual` knows nothing of adoption.
        if let Some(cell) = self.objects.cell_mut(slot) {
            cell.stale = stale;
        }
    }

    /// Something went away, not by our doing.
    pub(super) fn gone(&mut self, key: &Key) {
        if let Key::Route(route) = key
            && self.owner.is_learned(route)
        {
            if let Some(slot) = self.routes.find(route.prefix.trunc()) {
                self.learned_gone(slot);
            }
            return;
        }
        let Some(slot) = self.objects.find(key) else { return };
        self.taint(slot);
        if let Some(cell) = self.objects.cell_mut(slot)
            && cell.reading == Reading::Asked
        {
            // The kernel lacks it. Writing it will say so to whoever looks.
            cell.reading = Reading::Answered;
            self.mark(slot);
        }
        self.is_gone(slot);
    }

    /// It is not there. Even if we did not know that it was, what the kernel takes away with it is gone too.
    fn is_gone(&mut self, slot: u32) {
        let Some((key, cell)) = self.objects.get(slot) else { return };
        if cell.actual.is_some() {
            self.set_actual(slot, None);
        } else if let Key::Address(ns, link, address) = key.clone() {
            self.address_implies(ns, &link, address);
        }
    }

    fn learned_gone(&mut self, route: RouteSlot) {
        let Some(cell) = self.routes.cell(route) else { return };
        if cell.flight == Flight::Write {
            self.routes.update(route, |c| c.set(mark::TAINTED, true));
        }
        if cell.actual.is_some() {
            self.route_is_now(route, None);
        }
    }

    /// Has a key looked up in the kernel before anything more is done about it.
    pub(super) fn doubt(&mut self, item: Item, ns: Ns, concern: Concern) {
        self.asking.doubt(ns, concern, item);
        match item {
            Item::Object(slot) => {
                if let Some(cell) = self.objects.cell_mut(slot) {
                    cell.doubt = true;
                }
            }
            Item::Route(route) => self.routes.update(route, |c| c.set(mark::DOUBT, true)),
        }
    }
}

/// Whether the kernel would show this chain with these fingerprints.
pub(super) fn is_chain(object: &Object, hook: Option<Hook>, rules: &[Option<u64>]) -> bool {
    match object {
        Object::Chain(_, chain) => {
            chain.hook == hook
                && chain.rules.iter().map(|rule| Some(rule.fingerprint())).eq(rules.iter().copied())
        }
        _ => false,
    }
}

/// The dump that a key is in.
pub(super) fn concern_of(key: &Key) -> Option<Concern> {
    match key {
        Key::Sysctl(..) => None,
        Key::Link(..) => Some(Concern::Links),
        Key::Address(..) => Some(Concern::Addresses),
        Key::Neighbour(..) => Some(Concern::Neighbours),
        Key::NextHop(_) => Some(Concern::NextHops),
        Key::Route(_) => Some(Concern::Routes),
        Key::Fdb(_) => Some(Concern::Fdb),
        Key::Qdisc(_) | Key::Redirect(_) => Some(Concern::Tc),
        Key::Table(_) | Key::Chain(_) | Key::Set(_) | Key::Element(..) => Some(Concern::Nft),
    }
}
