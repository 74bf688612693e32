//! What became of the operations. A refusal that only says that the kernel is elsewhere than we thought (already
//! there, not there any more) is no failure: belief is corrected, by a dump where need be, and the key gets its turn
//! again.

use std::{sync::Arc, time::Instant};

use crate::model::{Concern, KernelError, Key, Link, LinkKind, NextHop, Ns, Object, OpResult};

use super::{
    Fib, Notice,
    objects::{self, Cell, Doing, Held, Reading, Support, satisfies},
    observe::concern_of,
    queues::Item,
    routes::{self, RouteSlot, mark},
};

/// What an error number says about the key that it was given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It exists, or is somebody else's: the kernel thread refuses to touch it.
    There,
    /// It, or the link that it is on, does not exist.
    NotThere,
    /// Anything else.
    Other,
}

fn meaning(error: &KernelError) -> Meaning {
    match error.errno.0 {
        libc::EEXIST | libc::EPERM => Meaning::There,
        libc::ENOENT | libc::ESRCH | libc::ENODEV | libc::ENXIO | libc::EADDRNOTAVAIL => Meaning::NotThere,
        _ => Meaning::Other,
    }
}

/// Whether an error says nothing of what was done: the answer got lost, or something was short.
fn is_unsure(error: &KernelError) -> bool {
    matches!(
        error.errno.0,
        libc::EINTR | libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EIO | libc::ETIMEDOUT
    )
}

impl Fib {
    /// The outcome of operations, in the order in which [`Fib::plan`] gave them.
    pub fn applied(&mut self, results: Vec<(Key, OpResult)>, now: Instant) -> Vec<Notice> {
        for (key, result) in results {
            self.operations += 1;
            match &key {
                Key::Route(route) if self.owner.is_learned(route) => {
                    if let Some(slot) = self.routes.answered(route.prefix) {
                        self.route_answered(slot, result, now);
                    }
                }
                _ => {
                    if let Some(slot) = self.objects.find(&key) {
                        self.answered(slot, &result, now);
                    }
                }
            }
        }
        std::mem::take(&mut self.notices)
    }

    fn answered(&mut self, slot: u32, result: &OpResult, now: Instant) {
        let settled = self.is_settled(slot);
        let leaving = self.objects.cell(slot).is_some_and(Cell::leaving);
        let Some(flight) = self.objects.cell(slot).and_then(|c| c.flights.front().cloned()) else { return };
        let followers = if flight.doing == Doing::Delete { self.land_followers(slot) } else { Vec::new() };
        // What is expected does not change by being confirmed: the flight ends after the outcome has been noted.
        if result.is_ok() && !flight.void {
            self.succeeded(slot, &flight, &followers);
        }
        let facts = self.objects.facts(slot);
        self.objects.land(slot);
        self.facts_changed(slot, facts);
        if let (Err(error), false) = (result, flight.void) {
            for follower in followers {
                self.mark(follower);
            }
            if !self.was_cancelled(slot, error) {
                self.refused(slot, &flight, error, now);
            }
        }
        if let Some(tried) = &flight.outcome {
            // What it would have used, had it come about, may have waited for the outcome.
            self.mark_used_by(tried);
        }
        if leaving {
            // Whoever counted on its going has to look again.
            let held = self.objects.cell(slot).and_then(|c| c.actual.clone());
            if let Some(held) = held {
                self.mark_used_by(&held);
            }
        }
        self.mark(slot);
        self.mark_pair(slot);
        self.tell(slot, settled);
    }

    /// Another operation of the same transaction was refused, and so this one was not done. That one has to wait; this
    /// one is simply due again.
    fn was_cancelled(&self, slot: u32, error: &KernelError) -> bool {
        error.errno.0 == libc::ECANCELED && self.objects.get(slot).is_some_and(|(key, _)| key.is_nft())
    }

    fn land_followers(&mut self, slot: u32) -> Vec<u32> {
        let follows = |c: &Cell| c.flights.front().is_some_and(|f| f.doing == Doing::Follow);
        let mut followers = self.followers(slot);
        followers.retain(|follower| self.objects.cell(*follower).is_some_and(follows));
        for &follower in &followers {
            let facts = self.objects.facts(follower);
            self.objects.land(follower);
            self.facts_changed(follower, facts);
        }
        followers
    }

    fn succeeded(&mut self, slot: u32, flight: &objects::Flight, followers: &[u32]) {
        self.clear_failure(Item::Object(slot));
        let mut outcome = flight.outcome.clone();
        if let (Some(new), Some(cell)) = (&mut outcome, self.objects.cell(slot))
            && let (Some(now), Some(link)) = (&cell.actual, new.link())
        {
            // What the kernel has announced meanwhile may be newer than this answer. With more on its way, it is the
            // last answer that counts; and what already is as this one says, is not to be set back.
            if cell.flights.len() > 1 || satisfies(&now.object, &new.object) {
                outcome.clone_from(&cell.actual);
            } else {
                (new.carrier, new.index) = (now.carrier && link.up, now.index);
            }
        }
        let gone = outcome.is_none();
        self.set_actual(slot, outcome);
        if gone {
            for &follower in followers {
                self.set_actual(follower, None);
            }
            return;
        }
        if flight.doing == Doing::Create {
            self.carried_nothing(slot);
            self.nft_was_made(slot);
            self.other_end_appeared(slot);
            self.has_new_sysctls(slot);
        }
        let Some((key, _)) = self.objects.get(slot) else { return };
        let (ns, concern) = (key.ns(), concern_of(key));
        let is_link = matches!(key, Key::Link(..));
        if flight.tainted {
            match concern {
                Some(concern) => self.doubt(Item::Object(slot), ns, concern),
                None => self.read_again(slot),
            }
        }
        if is_link && flight.doing == Doing::Change {
            self.ask_for_carrier(slot);
        }
    }

    /// What failed may have failed for want of this.
    fn nft_was_made(&mut self, slot: u32) {
        let Some((key, _)) = self.objects.get(slot).filter(|(key, _)| key.is_nft()) else { return };
        let mut hanging = self.nft_hanging_on(&key.clone());
        hanging.retain(|slot| self.objects.cell(*slot).is_some_and(|cell| cell.held));
        for slot in hanging {
            self.wake(slot);
        }
    }

    /// The kernel made the other end of a veth along with this one.
    fn other_end_appeared(&mut self, slot: u32) {
        let Some((Key::Link(ns, name), _)) = self.objects.get(slot) else { return };
        let Some((peer_ns, peer)) = self.objects.pair_name(*ns, name).cloned() else { return };
        let link =
            Link { kind: LinkKind::VethPeer, mac: None, mtu: None, up: false, alias: None, port: None };
        let pair = self.objects.insert(&Key::Link(peer_ns, peer.clone()));
        if self.objects.cell(pair).is_some_and(|c| c.actual.is_none()) {
            self.set_actual(pair, Some(Held::ours(Arc::new(Object::Link(peer_ns, peer, link)))));
        }
    }

    /// What the sysctls of a link say that we just made need not be read: they are to be written.
    fn has_new_sysctls(&mut self, slot: u32) {
        let Some((Key::Link(ns, name), _)) = self.objects.get(slot) else { return };
        let ends = [Some((*ns, name.clone())), self.objects.pair_name(*ns, name).cloned()];
        for (ns, name) in ends.into_iter().flatten() {
            for on_link in self.objects.hanging_on(&Support::Link(ns, name)) {
                let sysctl = matches!(self.objects.get(on_link), Some((Key::Sysctl(..), _)));
                if let (true, Some(cell)) = (sysctl, self.objects.cell_mut(on_link)) {
                    cell.reading = Reading::Answered;
                    self.mark(on_link);
                }
            }
        }
    }

    /// A sysctl may have got another value while ours was on its way.
    fn read_again(&mut self, slot: u32) {
        if let Some(cell) = self.objects.cell_mut(slot) {
            cell.reading = Reading::No;
        }
        self.set_actual(slot, None);
    }

    /// The answer to "up" does not say whether there is a carrier. Of a veth, the kernel announces that; on a wire it
    /// was there all along, and nothing is announced.
    fn ask_for_carrier(&mut self, slot: u32) {
        let Some((Key::Link(ns, _), Cell { actual: Some(held), .. })) = self.objects.get(slot) else {
            return;
        };
        let wire = held.link().is_some_and(|l| l.up && !matches!(l.kind, LinkKind::VethPeer));
        if wire && !held.carrier {
            self.asking.dump(*ns, Concern::Links);
        }
    }

    /// Either the kernel is not where we thought, or the refusal is not the whole truth: it is looked at again. What
    /// is to be done before that, the meaning says.
    fn refused(&mut self, slot: u32, flight: &objects::Flight, error: &KernelError, now: Instant) {
        let Some((key, cell)) = self.objects.get(slot) else { return };
        let (ns, item, wanted) = (key.ns(), Item::Object(slot), cell.desired.is_some());
        let Some(concern) = concern_of(key) else {
            self.read_again(slot);
            self.failed(item, error, true, now);
            return;
        };
        self.asking.dump(ns, concern);
        match (flight.doing, meaning(error)) {
            (Doing::Create, _) if !wanted => self.doubt(item, ns, concern),
            (Doing::Delete, Meaning::NotThere) => {
                self.failed_again(item, error, now);
                self.doubt(item, ns, concern);
            }
            (Doing::Change, Meaning::NotThere) => self.set_actual(slot, None),
            (_, Meaning::There) => {
                // Ours from a life before, or foreign: the dump tells. If it is foreign, the next refusal is final.
                self.failed_again(item, error, now);
                self.doubt(item, ns, concern);
                // Of a veth, it may be the name of the other end that is taken.
                if let Some(Object::Link(_, _, Link { kind: LinkKind::Veth { peer_ns, .. }, .. })) =
                    self.objects.cell(slot).and_then(|c| c.desired.as_deref())
                    && *peer_ns != ns
                {
                    self.doubt(item, *peer_ns, concern);
                }
            }
            (Doing::Create, Meaning::NotThere) if concern != Concern::NextHops => {
                self.failed_again(item, error, now);
                self.doubt(item, ns, if concern == Concern::Nft { concern } else { Concern::Links });
            }
            _ => match flight.outcome.as_ref().map(|held| &*held.object) {
                // A group that lost a member meanwhile is simply due again, smaller.
                Some(Object::NextHop(id, tried)) if self.wanted_next_hop(*id).as_ref() != Some(tried) => {}
                Some(Object::NextHop(_, NextHop::Single { .. })) => {
                    self.asking.dump(ns, Concern::Links);
                    self.failed(item, error, true, now);
                }
                _ => {
                    self.failed(item, error, true, now);
                }
            },
        }
    }

    fn route_answered(&mut self, route: RouteSlot, result: OpResult, now: Instant) {
        let Some(before) = self.routes.cell(route) else { return };
        let item = Item::Route(route);
        let value = self.routes.flying(route);
        if before.flight == routes::Flight::None {
            return;
        }
        let settled = self.is_route_settled(route);
        // Should it not be wanted any more when its time to be tried again comes, it would stay if it was made after
        // all. To remove, or write once more, what is not there does no harm.
        let unsure = result.as_ref().err().is_some_and(is_unsure);
        let assume = unsure && before.flight == routes::Flight::Write && before.actual.is_none();
        let flight = self.routes.land(route, result.is_ok() || assume);
        self.heed_signals();
        match result {
            Ok(()) => {
                self.clear_failure(item);
                if before.is(mark::TAINTED) {
                    self.routes.update(route, |c| {
                        c.set(mark::TAINTED, false);
                        c.set(mark::FORCE, c.actual.is_some());
                    });
                }
            }
            Err(error) => match (flight, meaning(&error)) {
                (routes::Flight::Delete, Meaning::NotThere) if error.errno.0 == libc::ESRCH => {
                    self.clear_failure(item);
                    self.update_route(route, |c| c.actual = None);
                }
                (routes::Flight::Write, Meaning::NotThere) if before.actual.is_some() => {
                    self.update_route(route, |c| c.actual = None);
                }
                // Wanted again before it was gone; or is it gone?
                (routes::Flight::Delete, _) if before.desired.is_some() => {
                    self.routes.update(route, |c| c.set(mark::FORCE, true));
                }
                (routes::Flight::Write, Meaning::There) => {
                    self.failed_again(item, &error, now);
                    self.doubt(item, Ns::HOST, Concern::Routes);
                }
                _ => {
                    // What it leads to may have gone meanwhile: then it waits for that, and nothing has failed.
                    if value.is_none_or(|v| self.is_possible(v)) {
                        let by_next_hop = value.is_some_and(|v| self.routes.values.is_learned(v));
                        if by_next_hop && !before.is(mark::HELD) {
                            self.asking.dump(Ns::HOST, Concern::NextHops);
                        }
                        self.failed(item, &error, true, now);
                    }
                }
            },
        }
        self.routes.update(route, |c| {
            // A refusal may not be the whole truth. What is believed to be there is written once more.
            c.set(mark::FORCE, c.actual.is_some() && (unsure || c.is(mark::FORCE)));
            c.set(mark::TAINTED, false);
        });
        let clean = self.routes.cell(route).is_some_and(|c| {
            // A gateway reported down meanwhile wants the route gone again.
            c.desired == c.actual && c.marks == 0 && c.desired.is_some_and(|v| self.is_possible(v))
        });
        self.tell_route(route, settled);
        if !clean {
            self.mark_route(route);
        }
    }

    /// Notes a failure, and says so if `report`; how many in a row that makes. It is tried again when its time comes.
    pub(super) fn failed(&mut self, item: Item, error: &KernelError, report: bool, now: Instant) -> u32 {
        let attempts = self.failures.add(item, error, now);
        match item {
            Item::Object(slot) => {
                if let Some(cell) = self.objects.cell_mut(slot) {
                    cell.held = true;
                }
            }
            Item::Route(route) => self.routes.update(route, |c| c.set(mark::HELD, true)),
        }
        if report {
            self.report(item, error, attempts);
        }
        attempts
    }

    /// Notes a failure that may be a misunderstanding: only the second in a row is told.
    fn failed_again(&mut self, item: Item, error: &KernelError, now: Instant) {
        let attempts = self.failed(item, error, false, now);
        if attempts > 1 {
            self.report(item, error, attempts);
        }
    }

    fn report(&mut self, item: Item, error: &KernelError, attempts: u32) {
        self.refusals += 1;
        if let Some(key) = self.key_of(item) {
            self.notices.push(Notice::Failed { key, error: error.clone(), attempts });
        }
    }

    pub(super) fn tell_route(&mut self, route: RouteSlot, before: bool) {
        let (now, Some(cell)) = (self.is_route_settled(route), self.routes.cell(route)) else { return };
        let learned = cell.desired.or(cell.actual).is_none_or(|v| self.routes.values.is_learned(v));
        if before == now || learned || (!now && cell.desired.is_none()) {
            return;
        }
        if let Some(key) = self.key_of(Item::Route(route)) {
            self.notices.push(if now { Notice::Settled(key) } else { Notice::Lost(key) });
        }
    }
}
