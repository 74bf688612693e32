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
//! then: take_requests() → send; plan(limit, now) until empty → send as Command::Apply; sleep until next_retry()
//! ```

use std::{net::IpAddr, time::Instant};

use ipnet::IpNet;

use crate::{
    model::{Command, Event, IfName, KernelError, Key, Ns, Object, Op, OpResult, Route, RouteKey},
    nexthops::NextHops,
    owner::Owner,
};

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
#[derive(Debug)]
pub struct Fib {
    owner: Owner,
}

impl Fib {
    /// An empty tracker that knows nothing of the kernel yet and holds the sweep of both scopes. Nothing is planned
    /// for a namespace before its dumps have come in; [`Fib::take_requests`] asks for them.
    pub fn new(owner: Owner) -> Self {
        Self { owner }
    }

    /// The marks in use.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// This object should exist with this value. Idempotent; O(1). A link of kind `Veth` brings its other end, whose
    /// settings are wanted on their own.
    pub fn want(&mut self, object: Object) {
        unimplemented!("{object:?}")
    }

    /// This object should not exist. Foreign objects stay; a wanted sysctl just stays as it is.
    pub fn unwant(&mut self, key: &Key) {
        unimplemented!("{key:?}")
    }

    /// A learned route: our table and metric, in the host's namespace, by a shared set of next hops.
    pub fn want_route(&mut self, prefix: IpNet, next_hops: &NextHops, preferred_source: Option<IpAddr>) {
        unimplemented!("{prefix} {next_hops:?} {preferred_source:?}")
    }

    /// No learned route for this prefix.
    pub fn unwant_route(&mut self, prefix: IpNet) {
        unimplemented!("{prefix}")
    }

    /// This gateway does not forward for us any more (session lost, BFD down): every set that has it is cut down
    /// with one operation, however many routes use it. Routes whose only hop it was are removed.
    pub fn hop_down(&mut self, via: IpAddr, link: &IfName) {
        unimplemented!("{via} {link}")
    }

    /// The gateway forwards again. A set takes it back when the routes that still use the set all want it.
    pub fn hop_up(&mut self, via: IpAddr, link: &IfName) {
        unimplemented!("{via} {link}")
    }

    /// Takes in what the kernel says. [`Event::Applied`] is passed on to [`Fib::applied`]; [`Event::Resolved`] is
    /// none of the tracker's business.
    pub fn observe(&mut self, event: Event, now: Instant) -> Vec<Notice> {
        unimplemented!("{event:?} {now:?}")
    }

    /// What the tracker needs to be told: dumps, and the values of sysctls. To be sent on before what
    /// [`Fib::plan`] gives.
    pub fn take_requests(&mut self) -> Vec<Command> {
        unimplemented!()
    }

    /// The next operations in order, at most `limit`; they are in flight until [`Fib::applied`]. May be called again
    /// before the answers are in. Empty: nothing can be done now.
    pub fn plan(&mut self, limit: usize, now: Instant) -> Vec<Op> {
        unimplemented!("{limit} {now:?}")
    }

    /// The outcome of operations, in the order in which [`Fib::plan`] gave them.
    pub fn applied(&mut self, results: Vec<(Key, OpResult)>, now: Instant) -> Vec<Notice> {
        unimplemented!("{results:?} {now:?}")
    }

    /// Whether the kernel is known to hold exactly what is wanted of this key (for an unwanted key: nothing of
    /// ours), and nothing is on its way.
    pub fn settled(&self, key: &Key) -> bool {
        unimplemented!("{key:?}")
    }

    /// Whether nothing is left to do: no key is dirty, in flight, waiting or failing.
    pub fn idle(&self) -> bool {
        unimplemented!()
    }

    /// When [`Fib::plan`] has to be called again even if nothing happens.
    pub fn next_retry(&self) -> Option<Instant> {
        unimplemented!()
    }

    /// Objects found from now on that are ours and that nobody wants are kept. This is the state after `new`.
    pub fn hold_sweep(&mut self, scope: Scope) {
        unimplemented!("{scope:?}")
    }

    /// Adopted objects that nobody wanted so far are to go, and so are those that turn up from now on.
    pub fn sweep(&mut self, scope: Scope) {
        unimplemented!("{scope:?}")
    }

    /// A new namespace behind this number: asks for its dumps.
    pub fn watch_ns(&mut self, ns: Ns) {
        unimplemented!("{ns:?}")
    }

    /// The namespace is gone, and everything in it. What is wanted in it waits until it comes back by
    /// [`Fib::watch_ns`].
    pub fn forget_ns(&mut self, ns: Ns) {
        unimplemented!("{ns:?}")
    }

    /// Figures.
    pub fn counters(&self) -> Counters {
        unimplemented!()
    }

    /// Learned routes, from a cursor (0 at first), at most `limit`; with the cursor for the next page, `None` at the
    /// end. The order is stable but means nothing.
    pub fn routes(&self, cursor: usize, limit: usize) -> (Vec<RouteView>, Option<usize>) {
        unimplemented!("{cursor} {limit}")
    }

    /// Other objects wanted or ours, with whether they are settled.
    pub fn objects(&self) -> impl Iterator<Item = (Object, bool)> {
        std::iter::empty()
    }

    /// Keys whose last operation failed: error, attempts, time of the next one.
    pub fn failing(&self) -> impl Iterator<Item = (Key, &KernelError, u32, Instant)> {
        std::iter::empty()
    }

    /// The learned route to exactly this prefix.
    pub fn route(&self, key: &RouteKey) -> Option<RouteView> {
        unimplemented!("{key:?}")
    }
}
