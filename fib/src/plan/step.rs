//! The next step for one key: from what is wanted and what is expected to the one operation that is due, if any.
//!
//! Judges only; [`Fib::advance`] acts on the judgement.

use std::{net::IpAddr, sync::Arc, time::Instant};

use crate::model::{
    Errno, IfName, KernelError, Key, Link, LinkKind, Mac, Ns, Object, Op, Route, RouteTarget,
};

use super::{
    Fib,
    objects::{Cell, Doing, Held, Reading, Support, rests_on, settings_satisfy, sysctl_link},
    queues::{Item, Tier},
    routes::{Flight, RouteSlot, mark},
};

/// The judgement on one object.
pub(super) enum Step {
    /// It is as it should be.
    Clean,
    /// It waits for something that will wake it.
    Wait,
    /// It failed, or only a dump can tell: its time comes.
    Hold,
    /// It waits for something that has to get its turn first.
    After(u32),
    /// An answer is outstanding; with that, it gets its turn again.
    Busy,
    /// Its sysctl has to be read first.
    Read,
    /// What is not ours stands in the way.
    Blocked(&'static str),
    /// This is due, in this tier, and will leave this under the key.
    Go(Tier, Doing, Arc<Object>, Option<Held>),
}

impl Step {
    pub(super) fn create(tier: Tier, object: Arc<Object>) -> Self {
        let held = Held::ours(object.clone());
        Self::Go(tier, Doing::Create, object, Some(held))
    }

    pub(super) fn change(tier: Tier, object: Arc<Object>) -> Self {
        let held = Held::ours(object.clone());
        Self::Go(tier, Doing::Change, object, Some(held))
    }

    pub(super) fn delete(tier: Tier, held: &Held) -> Self {
        Self::Go(tier, Doing::Delete, held.object.clone(), None)
    }
}

impl Fib {
    /// One object gets its turn.
    pub(super) fn advance(&mut self, slot: u32, tier: Tier, now: Instant, ops: &mut Vec<Op>) {
        if let Some(cell) = self.objects.cell_mut(slot) {
            cell.queued = false;
        }
        match self.step(slot) {
            Step::Clean => {
                self.clear_failure(Item::Object(slot));
                self.objects.collect(slot);
            }
            Step::Busy => {}
            Step::Wait => {
                self.clear_failure(Item::Object(slot));
                self.wait(slot);
            }
            Step::Hold => self.wait(slot),
            Step::After(other) => {
                self.wait(slot);
                self.mark(other);
            }
            Step::Read => {
                self.read_sysctl(slot);
                self.wait(slot);
            }
            // Somebody else took the id: the set moves to another one.
            Step::Blocked(_) if self.is_shared(slot) => self.match_ids(false),
            Step::Blocked(why) => {
                let error = KernelError { errno: Errno(libc::EEXIST), text: Some(why.to_owned()) };
                self.failed(Item::Object(slot), &error, true, now);
            }
            Step::Go(due, ..) if due != tier => {
                if let Some(cell) = self.objects.cell_mut(slot) {
                    cell.queued = true;
                }
                self.queues.push(due, Item::Object(slot));
            }
            Step::Go(_, doing, object, outcome) => ops.extend(self.launch(slot, doing, &object, outcome)),
        }
    }

    fn wait(&mut self, slot: u32) {
        if let Some(cell) = self.objects.cell_mut(slot) {
            cell.waiting = true;
        }
    }

    fn launch(&mut self, slot: u32, doing: Doing, object: &Arc<Object>, outcome: Option<Held>) -> Option<Op> {
        let facts = self.objects.facts(slot);
        let leaves = self.objects.cell(slot).and_then(|c| c.expected()).map(|h| h.object.clone());
        self.objects.launch(slot, doing, outcome);
        self.facts_changed(slot, facts);
        if let Some(leaves) = leaves {
            self.mark_used_by(&leaves);
        }
        if let Object::Link(ns, name, _) = &**object {
            if doing == Doing::Delete {
                self.launch_follower(*ns, name);
            } else {
                // After its settings, a link may be due to go up with the same batch.
                self.mark(slot);
            }
        }
        match doing {
            Doing::Create => Some(Op::Create(Object::clone(object))),
            Doing::Change => Some(Op::Change(Object::clone(object))),
            Doing::Delete => Some(Op::Delete(object.key())),
            Doing::Follow => None,
        }
    }

    /// The other end of a veth goes with the one that is deleted.
    fn launch_follower(&mut self, ns: Ns, name: &IfName) {
        let Some(pair) = self.objects.pair(ns, name) else { return };
        if self.objects.cell(pair).is_some_and(|c| c.actual.is_some() && !c.leaving()) {
            let facts = self.objects.facts(pair);
            self.objects.launch(pair, Doing::Follow, None);
            self.facts_changed(pair, facts);
        }
    }

    /// What is due for one object.
    pub(super) fn step(&self, slot: u32) -> Step {
        let Some((key, cell)) = self.objects.get(slot) else { return Step::Clean };
        let in_flight = !cell.flights.is_empty();
        if in_flight && !matches!(key, Key::Link(..)) {
            return Step::Busy;
        }
        if cell.desired.is_none() && cell.actual.is_none() && !in_flight && !cell.doubt {
            return Step::Clean;
        }
        if cell.held || cell.doubt || !self.asking.is_ready(key.ns()) {
            return Step::Hold;
        }
        let Some(wanted) = cell.desired.clone() else { return self.step_unwanted(key, cell) };
        match &*wanted {
            Object::Sysctl(ns, path, _) => self.step_sysctl(cell, &wanted, *ns, path),
            Object::Link(ns, name, link) => self.step_link(cell, &wanted, *ns, name, link),
            Object::Address(ns, link, _) => match &cell.actual {
                Some(_) => Step::Clean,
                None if self.link_is_there(*ns, link) => Step::create(Tier::Address, wanted),
                None => Step::Wait,
            },
            Object::Neighbour(ns, link, _, mac) => self.step_neighbour(cell, &wanted, *ns, link, *mac),
            Object::NextHop(id, _) => self.step_next_hop(cell, *id),
            Object::Fdb(_) | Object::Table(_) | Object::Chain(..) | Object::Set(..) | Object::Element(..) => {
                match &cell.actual {
                    Some(_) => Step::Clean,
                    None => Step::create(Tier::of_write(&wanted), wanted),
                }
            }
            Object::Route(key, route) => match &cell.actual {
                Some(held) if held.object == wanted => Step::Clean,
                _ if !self.is_route_possible(key.ns, route) => match &cell.actual {
                    // Where it leads to at present, or should lead to, does not forward.
                    Some(held) if self.leads_nowhere(&held.object) || self.leads_nowhere(&wanted) => {
                        Step::delete(Tier::DropRoute, held)
                    }
                    _ => Step::Wait,
                },
                Some(_) => Step::change(Tier::of_route(route), wanted),
                None => Step::create(Tier::of_route(route), wanted),
            },
        }
    }

    fn step_unwanted(&self, key: &Key, cell: &Cell) -> Step {
        let Some(held) = &cell.actual else { return Step::Clean };
        if !held.ours || cell.stale {
            return Step::Clean;
        }
        match key {
            Key::Sysctl(..) => Step::Clean,
            Key::Link(..) if !cell.flights.is_empty() => Step::Busy,
            Key::Address(ns, _, address) if self.is_source_in_use(*ns, address.addr()) => Step::Wait,
            Key::NextHop(id) if self.is_next_hop_in_use(*id) => Step::Wait,
            _ => Step::delete(Tier::of_delete(key), held),
        }
    }

    fn step_sysctl(&self, cell: &Cell, wanted: &Arc<Object>, ns: Ns, path: &str) -> Step {
        if cell.actual.as_ref().is_some_and(|held| held.object == *wanted) {
            return Step::Clean;
        }
        if let Some(link) = sysctl_link(path)
            && !self.link_is_there(ns, &link)
        {
            return Step::Wait;
        }
        match (cell.reading, &cell.actual) {
            (Reading::Asked, _) => Step::Wait,
            (Reading::No, None) => Step::Read,
            _ => Step::change(Tier::of_write(wanted), wanted.clone()),
        }
    }

    fn step_link(&self, cell: &Cell, wanted: &Arc<Object>, ns: Ns, name: &IfName, link: &Link) -> Step {
        if cell.leaving() {
            return Step::Busy;
        }
        let pair = self.objects.pair(ns, name);
        let pair_held = pair.and_then(|p| self.objects.cell(p)).and_then(|c| c.expected());
        let Some(held) = cell.expected() else {
            return match &link.kind {
                LinkKind::Veth { peer_ns, .. } if !self.asking.is_ready(*peer_ns) => Step::Wait,
                LinkKind::Veth { .. } => match (pair, pair_held) {
                    (Some(pair), Some(held)) if held.ours => Step::After(pair),
                    (_, Some(_)) => Step::Blocked("the name of the other end is taken by a foreign link"),
                    _ => create_veth(wanted, ns, name, link),
                },
                _ => Step::Wait,
            };
        };
        let Some(current) = held.link() else { return Step::Clean };
        if cell.actual.is_none() {
            return Step::Busy;
        }
        let managed_only = matches!(link.kind, LinkKind::Foreign);
        if !managed_only {
            if !held.ours {
                return Step::Blocked("the name is taken by a foreign link");
            }
            let half = match &link.kind {
                LinkKind::Veth { peer_ns, .. } => self.asking.is_ready(*peer_ns) && pair_held.is_none(),
                _ => self.is_left_over(ns, name),
            };
            if half || !matches!(current.kind, LinkKind::VethPeer) {
                let busy = !cell.flights.is_empty();
                return if busy { Step::Busy } else { Step::delete(Tier::DropLink, held) };
            }
        }
        let mut due = Link { up: current.up, ..link.clone() };
        let tier = if !settings_satisfy(current, link) || (current.up && !link.up) {
            if !cell.flights.is_empty() {
                return Step::Busy;
            }
            due.up &= link.up;
            Tier::LinkSettings
        } else if current.up == link.up {
            return if cell.flights.is_empty() { Step::Clean } else { Step::Busy };
        } else {
            due.up = true;
            Tier::LinkUp
        };
        let after = Link {
            kind: current.kind.clone(),
            mac: due.mac.or(current.mac),
            mtu: due.mtu.or(current.mtu),
            up: due.up,
            alias: due.alias.clone().or_else(|| current.alias.clone()),
            port: due.port.clone().or_else(|| current.port.clone()),
        };
        let outcome = Held { object: Arc::new(Object::Link(ns, name.clone(), after)), ..held.clone() };
        Step::Go(tier, Doing::Change, Arc::new(Object::Link(ns, name.clone(), due)), Some(outcome))
    }

    /// Whether a wanted other end of a veth is what is left of an earlier pair, in the way of the new one. As long as
    /// the namespace of its pair has not been looked into, it is not: the pair may be alive in there.
    fn is_left_over(&self, ns: Ns, name: &IfName) -> bool {
        let Some((pair_ns, pair_name)) = self.objects.pair_name(ns, name) else { return false };
        let pair = self.objects.link(*pair_ns, pair_name).and_then(|slot| self.objects.cell(slot));
        let wanted = pair.is_some_and(|c| c.desired.is_some());
        wanted && self.asking.is_ready(*pair_ns) && pair.is_none_or(|c| c.expected().is_none())
    }

    fn step_neighbour(&self, cell: &Cell, wanted: &Arc<Object>, ns: Ns, link: &IfName, mac: Mac) -> Step {
        match &cell.actual {
            Some(held) => match &*held.object {
                Object::Neighbour(.., held_mac) if *held_mac == mac => Step::Clean,
                _ if held.ours => Step::change(Tier::Neighbour, wanted.clone()),
                _ => Step::Blocked("a foreign neighbour entry says otherwise"),
            },
            None if self.link_is_there(ns, link) => Step::create(Tier::Neighbour, wanted.clone()),
            None => Step::Wait,
        }
    }

    pub(super) fn link_is_there(&self, ns: Ns, link: &IfName) -> bool {
        self.objects.link(ns, link).is_some_and(|slot| self.objects.facts(slot).present)
    }

    fn is_route_possible(&self, ns: Ns, route: &Route) -> bool {
        let source = route.preferred_source.is_none_or(|s| self.local.contains_key(&(ns, s)));
        source && self.is_target_there(ns, &route.target)
    }

    fn leads_nowhere(&self, object: &Object) -> bool {
        match object {
            Object::Route(_, Route { target: RouteTarget::NextHop(id), .. }) => !self.is_usable(*id),
            _ => false,
        }
    }

    /// Whether a route in the kernel, and not on its way out, has this preferred source.
    fn is_source_in_use(&self, ns: Ns, source: IpAddr) -> bool {
        (ns == Ns::HOST && self.routes.values.uses_source(source))
            || self.is_in_use(&Support::Source(ns, source))
    }

    /// Whether a route or a group among the objects rests on this, and is not on its way out.
    pub(super) fn is_in_use(&self, support: &Support) -> bool {
        self.objects.hanging_on(support).into_iter().any(|slot| {
            let Some((key, cell)) = self.objects.get(slot) else { return false };
            let held = cell.expected().map(|h| &*h.object);
            match (key, support) {
                (Key::Route(_), _) | (Key::NextHop(_), Support::NextHop(_)) => {
                    held.is_some_and(|object| rests_on(object, support))
                }
                _ => false,
            }
        })
    }

    /// One learned route gets its turn.
    pub(super) fn advance_route(&mut self, route: RouteSlot, ops: &mut Vec<Op>) {
        let Some(cell) = self.routes.cell(route) else { return };
        let busy = cell.flight != Flight::None || cell.is(mark::HELD | mark::DOUBT);
        let ready = self.asking.is_ready(Ns::HOST);
        self.routes.update(route, |c| c.set(mark::QUEUED, false));
        if busy {
            return;
        }
        let Some(prefix) = self.routes.prefix(route) else { return };
        let possible = ready && cell.desired.is_some_and(|v| self.is_possible(v));
        let usable = |value| match self.routes.values.get(value).map(|r| &r.target) {
            Some(RouteTarget::NextHop(id)) => self.is_usable(*id),
            Some(_) => true,
            None => false,
        };
        let same = cell.actual == cell.desired && !cell.is(mark::FORCE);
        let delete = ready
            && match (cell.desired, cell.actual) {
                (_, None) => false,
                (None, Some(_)) => !cell.is(mark::STALE),
                // A route that cannot be moved yet stays where it is, unless nothing forwards there, or the new next
                // hops are down themselves: then there is no route.
                (Some(desired), Some(actual)) => !possible && (!usable(desired) || !usable(actual)),
            };
        match cell.desired {
            _ if delete => {
                self.routes.launch(route, None);
                self.heed_signals();
                ops.push(Op::Delete(Key::Route(self.owner.route_key(prefix))));
            }
            Some(value) if same && usable(value) => self.clear_failure(Item::Route(route)),
            Some(value) if possible => {
                let Some(target) = self.routes.values.get(value).cloned() else { return };
                let object = Object::Route(self.owner.route_key(prefix), target);
                self.routes.launch(route, Some(value));
                self.heed_signals();
                ops.push(if cell.actual.is_some() { Op::Change(object) } else { Op::Create(object) });
            }
            Some(value) => {
                self.clear_failure(Item::Route(route));
                self.routes.update(route, |c| c.set(mark::WAITING, true));
                self.routes.values.wait(value, route);
            }
            None => {
                self.clear_failure(Item::Route(route));
                self.routes.collect(route);
            }
        }
    }
}

/// A veth is made down: its settings, addresses and neighbours come first.
fn create_veth(wanted: &Arc<Object>, ns: Ns, name: &IfName, link: &Link) -> Step {
    let down = Link { up: false, ..link.clone() };
    let after = Link { kind: LinkKind::VethPeer, ..down.clone() };
    let object = if link.up { Arc::new(Object::Link(ns, name.clone(), down)) } else { wanted.clone() };
    let outcome = Held::ours(Arc::new(Object::Link(ns, name.clone(), after)));
    Step::Go(Tier::Link, Doing::Create, object, Some(outcome))
}
