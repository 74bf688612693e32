//! The next step for one key: from what is wanted and what is expected to the one operation that is due, if any.
//!
//! Judges only; [`Fib::advance`] acts on the judgement.

use std::{net::IpAddr, sync::Arc, time::Instant};

use crate::model::{
    Errno, FdbKey, FdbTarget, IfName, KernelError, Key, Mac, Ns, Object, Op, Route, RouteTarget,
};

use super::{
    Fib,
    objects::{Cell, Doing, Held, Reading, Support, rests_on, sysctl_link},
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
        let leaves = self.objects.cell(slot).and_then(|c| c.expected()).cloned();
        self.objects.launch(slot, doing, outcome);
        self.facts_changed(slot, facts);
        if let Some(leaves) = leaves {
            self.mark_used_by(&leaves);
        }
        if doing == Doing::Delete {
            self.launch_followers(slot);
        }
        if matches!(&**object, Object::Link(..)) && doing != Doing::Delete || object.key().is_nft() {
            // After its settings, a link may be due to go up with the same batch; after an nftables object was emptied or
            // deleted, it may be due to be made anew in the same transaction.
            self.mark(slot);
        }
        match doing {
            Doing::Create => Some(Op::Create(Object::clone(object))),
            Doing::Change => Some(Op::Change(Object::clone(object))),
            Doing::Delete => Some(Op::Delete(object.key())),
            Doing::Follow => None,
        }
    }

    /// The other end of a veth goes with the one that is deleted, elements go with their set.
    pub(super) fn followers(&self, slot: u32) -> Vec<u32> {
        match self.objects.get(slot) {
            Some((Key::Link(ns, name), _)) => self.objects.pair(*ns, name).into_iter().collect(),
            Some((key @ Key::Set(_), _)) => self.objects.hanging_on(&Support::Within(key.clone())),
            _ => Vec::new(),
        }
    }

    fn launch_followers(&mut self, slot: u32) {
        for follower in self.followers(slot) {
            let Some((key, cell)) = self.objects.get(follower) else { continue };
            let element = matches!(key, Key::Element(..));
            if cell.expected().is_some() && (element || cell.actual.is_some()) {
                let facts = self.objects.facts(follower);
                self.objects.launch(follower, Doing::Follow, None);
                self.facts_changed(follower, facts);
                if element {
                    self.mark(follower);
                }
            }
        }
    }

    /// What is due for one object.
    pub(super) fn step(&self, slot: u32) -> Step {
        let Some((key, cell)) = self.objects.get(slot) else { return Step::Clean };
        let in_flight = !cell.flights.is_empty();
        if in_flight && !matches!(key, Key::Link(..)) && !key.is_nft() {
            return Step::Busy;
        }
        if cell.desired.is_none() && cell.actual.is_none() && !in_flight && !cell.doubt {
            return Step::Clean;
        }
        if cell.held || cell.doubt || !self.asking.is_ready(key.ns()) {
            return Step::Hold;
        }
        if key.is_nft() {
            return self.step_nft(key, cell);
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
            Object::Fdb(entry) => match &cell.actual {
                Some(_) => Step::Clean,
                None if self.is_fdb_possible(entry) => Step::create(Tier::Neighbour, wanted),
                None => Step::Wait,
            },
            Object::Qdisc(link, _) => self.step_qdisc(cell, &wanted, link),
            Object::Redirect(link, to) => self.step_redirect(cell, &wanted, link, to.as_ref()),
            Object::Table(_) | Object::Chain(..) | Object::Set(..) | Object::Element(..) => Step::Clean,
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
            Key::Link(Ns::HOST, name) if self.is_redirected_to(name) => Step::Wait,
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

    fn is_fdb_possible(&self, entry: &FdbKey) -> bool {
        let link = self.objects.link(Ns::HOST, &entry.link).map(|slot| self.objects.facts(slot));
        link.is_some_and(|link| link.present && (link.port || entry.target != FdbTarget::Port))
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
