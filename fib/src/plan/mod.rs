//! Desired against actual: what to do next to make the kernel what it should be.
//!
//! [`Fib`] is a tracker in the manner of Calico's delta tracker: it holds what is wanted and what the kernel is known
//! to hold, the set of keys on which the two may differ, and the operations that are on their way. It is pure: time
//! is an argument, events go in, operations come out. It must not know netlink, BGP or the config file.
//!
//! The driver's loop:
//!
//! ```text
//! event from the kernel thread  → observe(event, now)        → notices
//! Event::Applied                → applied(results, now)      → notices
//! wants of the daemon           → want, unwant, want_route…
//! then: plan(limit, now) until empty → send as Command::Apply; take_requests() → send; take_notices(); sleep until next_retry()
//! ```

mod asking;
mod dirty;
mod failures;
mod implied;
mod objects;
mod observe;
mod outcome;
mod preview;
mod queues;
mod routes;
mod shared;
mod sharing;
mod show;
mod step;
mod step_link;
mod step_next_hop;
mod step_nft;
mod step_tc;
mod table;
mod values;

#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc, time::Instant};

use hashbrown::HashMap;

use ipnet::IpNet;

use crate::{
    model::{Command, Errno, Event, IfName, KernelError, Key, Ns, Object, Op, Route, RouteTarget},
    nexthops::NextHops,
    owner::Owner,
};

use self::{
    asking::Asking,
    failures::Failures,
    objects::{Objects, Reading, sysctl_link},
    queues::{Item, Queues},
    routes::{Routes, mark},
    shared::Shared,
    values::ValueId,
};

pub use self::preview::plan;

/// Which of the adopted objects that nobody wants are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Routes over nexthop objects, and the nexthop objects: what was learned from the fabric. Swept after
    /// End-of-RIB or the deferral timer (RFC 4724 section 4.1).
    Learned,
    /// Everything else: links, addresses, neighbours, routes out of links. Swept when the daemon knows its endpoints.
    Local,
}

/// What the daemon may have to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The object is now as wanted, see [`Fib::settled`]; or, if unwanted, now gone. Not told of learned routes and
    /// next hops.
    Settled(Key),
    /// The object was settled, and is no longer: the kernel or somebody else took it away. It is being repaired.
    /// Not told of learned routes and next hops.
    Lost(Key),
    /// An operation on the object failed, for the `attempts`-th time in a row. It is retried.
    Failed {
        /// The object.
        key: Key,
        /// The kernel's word.
        error: KernelError,
        /// 1 for the first failure.
        attempts: u32,
    },
}

/// Figures for `show` and the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Learned routes wanted.
    pub routes_wanted: usize,
    /// Learned routes in the kernel.
    pub routes_installed: usize,
    /// Other objects wanted.
    pub objects_wanted: usize,
    /// Keys that may differ and wait for their turn.
    pub dirty: usize,
    /// Operations handed out and not yet answered.
    pub in_flight: usize,
    /// Keys that wait for something else (a link, a next hop).
    pub waiting: usize,
    /// Keys whose last operation failed.
    pub failing: usize,
    /// Adopted objects that nobody wants (yet).
    pub stale: usize,
    /// Operations done since the start.
    pub operations: u64,
    /// Operations that failed since the start.
    pub failures: u64,
}

/// A learned route for `show fib`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteView {
    /// Destination.
    pub prefix: IpNet,
    /// What it should be; `None`: to be removed, or adopted and not yet wanted.
    pub desired: Option<Route>,
    /// What the kernel has.
    pub actual: Option<Route>,
    /// Adopted, and nobody wants it yet.
    pub stale: bool,
}

/// The tracker.
#[derive(Clone, Debug)]
pub struct Fib {
    owner: Owner,
    objects: Objects,
    routes: Routes,
    shared: Shared,
    queues: Queues,
    failures: Failures,
    asking: Asking,
    /// How many links of a namespace have an address, including what is on its way.
    local: HashMap<(Ns, IpAddr), u32>,
    /// The last answer of [`Fib::is_possible`], and whether anything has changed since that might change it.
    possible: Option<(ValueId, bool)>,
    hold_learned: bool,
    hold_local: bool,
    notices: Vec<Notice>,
    operations: u64,
    refusals: u64,
}

impl Fib {
    /// An empty tracker that knows nothing of the kernel yet and holds the sweep of both scopes. Nothing is planned
    /// for a namespace before its dumps have come in; [`Fib::take_requests`] asks for those of the host's.
    pub fn new(owner: Owner) -> Self {
        let mut asking = Asking::default();
        asking.watch(Ns::HOST);
        Self {
            owner,
            objects: Objects::default(),
            routes: Routes::default(),
            shared: Shared::default(),
            queues: Queues::default(),
            failures: Failures::default(),
            asking,
            local: HashMap::new(),
            possible: None,
            hold_learned: true,
            hold_local: true,
            notices: Vec::new(),
            operations: 0,
            refusals: 0,
        }
    }

    /// The marks in use.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// This object should exist with this value. Idempotent; O(1). A link of kind `Veth` brings its other end, whose
    /// settings are wanted on their own. There is no notice for an object that is as wanted already: see
    /// [`Fib::settled`].
    pub fn want(&mut self, object: Object) {
        if let Object::Route(key, route) = &object
            && self.owner.is_learned(key)
        {
            let prefix = key.prefix;
            self.set_route(prefix, route);
            return;
        }
        let key = object.key();
        let slot = self.objects.insert(&key);
        if self.objects.cell(slot).is_some_and(|c| c.desired.as_deref() == Some(&object)) {
            return;
        }
        self.set_desired(slot, Some(Arc::new(object)));
        if let Key::Sysctl(ns, path) = &key
            && self.asking.is_watched(*ns)
            // Those of a link that we are about to make need not be read, they are written at once.
            && (sysctl_link(path).is_none() || !self.asking.is_ready(*ns))
        {
            self.read_sysctl(slot);
        }
    }

    /// This object should not exist. Foreign objects stay; a sysctl just keeps its value.
    pub fn unwant(&mut self, key: &Key) {
        if let Key::Route(route) = key
            && self.owner.is_learned(route)
        {
            self.unwant_route(route.prefix);
        } else if let Some(slot) = self.objects.find(key) {
            self.set_desired(slot, None);
        }
    }

    /// A learned route: our table and metric, in the host's namespace, by a shared set of next hops. Without any next
    /// hop, the route is not wanted.
    pub fn want_route(&mut self, prefix: IpNet, next_hops: &NextHops, preferred_source: Option<IpAddr>) {
        if next_hops.is_empty() {
            self.unwant_route(prefix);
            return;
        }
        match self.id_of_set(next_hops) {
            Some(id) => {
                let route = Route { target: RouteTarget::NextHop(id), preferred_source };
                self.set_route(prefix, &route);
            }
            None => self.out_of_ids(prefix),
        }
    }

    /// No learned route for this prefix.
    pub fn unwant_route(&mut self, prefix: IpNet) {
        let Some(route) = self.routes.find(prefix.trunc()) else { return };
        if self.routes.cell(route).is_some_and(|c| c.desired.is_none() && !c.is(mark::STALE)) {
            return;
        }
        self.clear_failure(Item::Route(route));
        self.update_route(route, |c| {
            c.desired = None;
            c.set(mark::STALE, false);
        });
        self.mark_route(route);
    }

    fn set_route(&mut self, prefix: IpNet, value: &Route) {
        let route = self.routes.insert(prefix.trunc());
        let value = self.routes.values.intern(value);
        if self.routes.cell(route).is_some_and(|c| c.desired == Some(value)) {
            return;
        }
        self.clear_failure(Item::Route(route));
        self.update_route(route, |c| {
            c.desired = Some(value);
            c.set(mark::STALE, false);
        });
        self.mark_route(route);
    }

    /// 65 536 different sets at once: more than any fabric has. The route is left as it was, and shown as failing.
    fn out_of_ids(&mut self, prefix: IpNet) {
        let key = Key::Route(self.owner.route_key(prefix.trunc()));
        let error = KernelError {
            errno: Errno(libc::ENOSPC),
            text: Some("every nexthop id of our range is in use".to_owned()),
        };
        self.refusals += 1;
        self.notices.push(Notice::Failed { key, error, attempts: 1 });
    }

    /// This gateway does not forward for us any more (session lost, BFD down): every set that has it is cut down
    /// with one operation, however many routes use it. Routes whose only hop it was are removed.
    pub fn hop_down(&mut self, via: IpAddr, link: &IfName) {
        self.set_hop_down(via, link, true);
    }

    /// The gateway forwards again. A set takes it back as soon as all routes that use the set want it.
    pub fn hop_up(&mut self, via: IpAddr, link: &IfName) {
        self.set_hop_down(via, link, false);
    }

    /// Takes in what the kernel says. [`Event::Applied`] is passed on to [`Fib::applied`]; What is not about
    /// objects is none of the tracker's business.
    pub fn observe(&mut self, event: Event, now: Instant) -> Vec<Notice> {
        match event {
            Event::Applied { results, .. } => return self.applied(results, now),
            Event::Dump { ns, concern, objects, last } => self.dumped(ns, concern, objects, last),
            Event::Object(observed) => self.announced(observed),
            Event::Gone(key) => self.gone(&key),
            Event::Overrun(concern) => self.asking.dump(Ns::HOST, concern),
            Event::NamespaceLost(ns, _) => self.forget_ns(ns),
            Event::Resolved(..) | Event::ConnectionsEnded(_) | Event::Counted(..) => {}
        }
        std::mem::take(&mut self.notices)
    }

    /// What the tracker needs to be told: dumps, and the values of sysctls. To be taken after [`Fib::plan`], which
    /// finds out what there is to ask.
    pub fn take_requests(&mut self) -> Vec<Command> {
        self.asking.take()
    }

    /// Notices that came up elsewhere than in [`Fib::observe`] and [`Fib::applied`]: [`Fib::plan`] finds what foreign
    /// objects stand in the way of.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The next operations in order, at most `limit`; they are in flight until [`Fib::applied`]. May be called again
    /// before the answers are in. Empty: nothing can be done now. Operations on nftables stand next to each other and
    /// are not torn apart, `limit` or not: they are one transaction.
    pub fn plan(&mut self, limit: usize, now: Instant) -> Vec<Op> {
        for item in self.failures.due(now) {
            self.release(item);
        }
        let mut ops = Vec::new();
        while ops.len() < limit || self.is_transaction_open(&ops) {
            match self.queues.pop() {
                Some((tier, Item::Object(slot))) => self.advance(slot, tier, now, &mut ops),
                Some((_, Item::Route(route))) => self.advance_route(route, &mut ops),
                None => match self.routes.bulk.pop_front() {
                    Some(route) => self.advance_route(route, &mut ops),
                    None => break,
                },
            }
        }
        if self.routes.bulk.is_empty() {
            self.routes.bulk.shrink_to(1 << 14);
        }
        ops
    }

    fn is_transaction_open(&self, ops: &[Op]) -> bool {
        ops.last().is_some_and(|op| op.key().is_nft()) && self.queues.is_nft_next()
    }

    /// Objects found from now on that are ours and that nobody wants are kept. This is the state after `new`.
    pub fn hold_sweep(&mut self, scope: Scope) {
        *self.hold(scope) = true;
    }

    /// Adopted objects that nobody wanted so far are to go, and so are those that turn up from now on.
    pub fn sweep(&mut self, scope: Scope) {
        *self.hold(scope) = false;
        let stale: Vec<u32> = self
            .objects
            .iter()
            .filter(|(_, _, c)| c.stale && c.actual.as_ref().is_some_and(|h| scope_of(&h.object) == scope))
            .map(|(slot, ..)| slot)
            .collect();
        for slot in stale {
            if let Some(cell) = self.objects.cell_mut(slot) {
                cell.stale = false;
            }
            self.mark(slot);
        }
        let learned = |c: &routes::RouteCell| c.actual.is_some_and(|v| self.routes.values.is_learned(v));
        let stale = self.routes.filter(|c| c.is(mark::STALE) && learned(c) == (scope == Scope::Learned));
        for route in stale {
            self.routes.update(route, |c| c.set(mark::STALE, false));
            self.mark_route(route);
        }
    }

    fn hold(&mut self, scope: Scope) -> &mut bool {
        match scope {
            Scope::Learned => &mut self.hold_learned,
            Scope::Local => &mut self.hold_local,
        }
    }

    /// A new namespace behind this number: asks for its dumps.
    pub fn watch_ns(&mut self, ns: Ns) {
        self.asking.watch(ns);
        for slot in self.objects.in_ns(ns) {
            let sysctl =
                matches!(self.objects.get(slot), Some((Key::Sysctl(..), cell)) if cell.desired.is_some());
            if sysctl {
                self.read_sysctl(slot);
            }
        }
    }

    /// Asks for the dumps of a namespace again: outside the host's namespace the kernel thread does not listen.
    pub fn audit_ns(&mut self, ns: Ns) {
        for concern in asking::concerns(ns) {
            self.asking.dump(ns, *concern);
        }
    }

    /// The namespace is gone, and everything in it. What is wanted in it waits until it comes back by
    /// [`Fib::watch_ns`]. Not for the host's.
    pub fn forget_ns(&mut self, ns: Ns) {
        if ns == Ns::HOST {
            return;
        }
        for item in self.asking.forget(ns) {
            self.undoubt(item);
        }
        for slot in self.objects.in_ns(ns) {
            if let Some(cell) = self.objects.cell_mut(slot) {
                cell.flights.iter_mut().for_each(|flight| flight.void = true);
                cell.reading = Reading::No;
            }
            self.clear_failure(Item::Object(slot));
            self.set_actual(slot, None);
        }
    }
}

fn scope_of(object: &Object) -> Scope {
    match object {
        Object::NextHop(..) => Scope::Learned,
        Object::Route(_, route) if matches!(route.target, RouteTarget::NextHop(_)) => Scope::Learned,
        _ => Scope::Local,
    }
}
