//! The values of learned routes, each stored once and counted.
//!
//! A million routes have a handful of values. A route holds two small numbers, and what depends on the values (which
//! next hops are needed, when a group may be deleted, when it may take a member back) follows from counts.

use std::{collections::BTreeSet, net::IpAddr, num::NonZeroU32};

use hashbrown::HashMap;

use crate::model::{IfName, NextHopId, Route, RouteTarget};

use super::routes::RouteSlot;

/// Number of an interned value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ValueId(NonZeroU32);

impl ValueId {
    fn new(index: usize) -> Self {
        Self(NonZeroU32::MIN.saturating_add(index as u32))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    /// As a number that is not 0.
    pub(super) fn number(self) -> u32 {
        self.0.get()
    }

    /// From the number; 0 is none.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }
}

/// How many routes stand how to a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Routes that should have it.
    desired: u32,
    /// Routes that have it in the kernel.
    actual: u32,
    /// Routes that have it in the kernel and are not being deleted, or are being set to it.
    live: u32,
    /// Routes that have it in the kernel and should not.
    strays: u32,
    /// Routes that are being set to it.
    flying: u32,
}

#[derive(Clone, Debug)]
struct Value {
    route: Route,
    counts: Counts,
    /// What the rest of the tracker was last told.
    told: Told,
    touched: bool,
    /// Routes that wait until the value can be installed. May hold routes that no longer do.
    waiting: Vec<RouteSlot>,
    /// For values out of a link: all routes that should have it or have it. They are few, and a link's end must not
    /// cost a walk over all routes.
    members: BTreeSet<RouteSlot>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    desired: bool,
    live: bool,
    strays: bool,
}

/// What changed about a value as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The first route should have it, or none should any more.
    Desired(NextHopId, bool),
    /// No route has it in the kernel any more.
    Unused(Route),
    /// All routes that have it in the kernel should have it.
    NoStrays(NextHopId),
}

/// One entry of a route's bookkeeping, added or taken away.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub(super) desired: Option<ValueId>,
    pub(super) actual: Option<ValueId>,
    /// The deletion is on its way.
    pub(super) leaving: bool,
    /// The value on its way.
    pub(super) flying: Option<ValueId>,
}

/// The interned values.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    slab: Vec<Option<Value>>,
    free: Vec<ValueId>,
    index: HashMap<Route, ValueId>,
    by_next_hop: HashMap<NextHopId, BTreeSet<ValueId>>,
    by_link: HashMap<IfName, BTreeSet<ValueId>>,
    by_source: HashMap<IpAddr, BTreeSet<ValueId>>,
    touched: Vec<ValueId>,
    /// The value asked for last: neighbouring routes mostly have the same one.
    last: Option<ValueId>,
}

impl Values {
    /// The number of a value; it lives as long as a route stands to it in some way.
    pub(super) fn intern(&mut self, route: &Route) -> ValueId {
        if let Some(last) = self.last
            && self.get(last) == Some(route)
        {
            return last;
        }
        if let Some(&id) = self.index.get(route) {
            self.last = Some(id);
            return id;
        }
        let value = Value {
            route: route.clone(),
            counts: Counts::default(),
            told: Told::default(),
            touched: false,
            waiting: Vec::new(),
            members: BTreeSet::new(),
        };
        let id = if let Some(id) = self.free.pop() {
            self.slab[id.index()] = Some(value);
            id
        } else {
            self.slab.push(Some(value));
            ValueId::new(self.slab.len() - 1)
        };
        self.index.insert(route.clone(), id);
        match &route.target {
            RouteTarget::NextHop(hop) => {
                self.by_next_hop.entry(*hop).or_default().insert(id);
            }
            RouteTarget::Link { link, .. } => {
                self.by_link.entry(link.clone()).or_default().insert(id);
            }
            RouteTarget::Unreachable | RouteTarget::Blackhole => {}
        }
        if let Some(source) = route.preferred_source {
            self.by_source.entry(source).or_default().insert(id);
        }
        id
    }

    /// The value itself.
    pub(super) fn get(&self, id: ValueId) -> Option<&Route> {
        self.slab.get(id.index())?.as_ref().map(|v| &v.route)
    }

    /// Whether the value leads to a nexthop object: what is learned from the fabric does.
    pub(super) fn is_learned(&self, id: ValueId) -> bool {
        matches!(self.get(id), Some(Route { target: RouteTarget::NextHop(_), .. }))
    }

    /// Values that lead to this nexthop object.
    pub(super) fn with_next_hop(&self, id: NextHopId) -> Vec<ValueId> {
        self.by_next_hop.get(&id).into_iter().flatten().copied().collect()
    }

    /// Values that lead out of this link.
    pub(super) fn with_link(&self, link: &IfName) -> Vec<ValueId> {
        self.by_link.get(link).into_iter().flatten().copied().collect()
    }

    /// Values with this preferred source.
    pub(super) fn with_source(&self, source: IpAddr) -> Vec<ValueId> {
        self.by_source.get(&source).into_iter().flatten().copied().collect()
    }

    /// Values that lead to this nexthop object and that a route has in the kernel.
    pub(super) fn in_use_over(&self, id: NextHopId) -> Vec<ValueId> {
        self.in_use(self.by_next_hop.get(&id))
    }

    /// Values with this preferred source that a route has in the kernel.
    pub(super) fn in_use_from(&self, source: IpAddr) -> Vec<ValueId> {
        self.in_use(self.by_source.get(&source))
    }

    fn in_use(&self, ids: Option<&BTreeSet<ValueId>>) -> Vec<ValueId> {
        let used = |id: &ValueId| self.value(*id).is_some_and(|v| v.counts.actual > 0);
        ids.into_iter().flatten().copied().filter(used).collect()
    }

    /// Whether a route in the kernel, and not on its way out, leads to this nexthop object.
    pub(super) fn uses_next_hop(&self, id: NextHopId) -> bool {
        self.any(self.by_next_hop.get(&id), |c| c.live > 0)
    }

    /// Whether a route in the kernel, and not on its way out, has this preferred source.
    pub(super) fn uses_source(&self, source: IpAddr) -> bool {
        self.any(self.by_source.get(&source), |c| c.live > 0)
    }

    /// Whether a route in the kernel leads to this nexthop object and should not.
    pub(super) fn has_strays(&self, id: NextHopId) -> bool {
        self.any(self.by_next_hop.get(&id), |c| c.strays > 0)
    }

    fn any(&self, ids: Option<&BTreeSet<ValueId>>, test: impl Fn(&Counts) -> bool) -> bool {
        ids.into_iter().flatten().any(|id| self.value(*id).is_some_and(|v| test(&v.counts)))
    }

    /// Routes that should have or have this value, for values that do not lead to a nexthop object.
    pub(super) fn members(&self, id: ValueId) -> Vec<RouteSlot> {
        self.value(id).map(|v| v.members.iter().copied().collect()).unwrap_or_default()
    }

    /// This route waits until the value can be installed.
    pub(super) fn wait(&mut self, id: ValueId, route: RouteSlot) {
        if let Some(value) = self.value_mut(id) {
            // A route that comes and goes leaves its old entries behind; they must not pile up.
            if value.waiting.len() > 2 * value.counts.desired as usize + 64 {
                value.waiting.sort_unstable();
                value.waiting.dedup();
            }
            value.waiting.push(route);
        }
    }

    /// The routes that waited.
    pub(super) fn take_waiting(&mut self, id: ValueId) -> Vec<RouteSlot> {
        self.value_mut(id).map(|v| std::mem::take(&mut v.waiting)).unwrap_or_default()
    }

    /// Takes a route's bookkeeping out (before a change) …
    pub(super) fn remove(&mut self, route: RouteSlot, standing: Standing) {
        self.account(route, standing, false);
    }

    /// … and in again (after it).
    pub(super) fn add(&mut self, route: RouteSlot, standing: Standing) {
        self.account(route, standing, true);
    }

    fn account(&mut self, route: RouteSlot, standing: Standing, add: bool) {
        let Standing { desired, actual, leaving, flying } = standing;
        let step = |n: &mut u32| *n = if add { *n + 1 } else { n.saturating_sub(1) };
        if let Some(id) = desired {
            self.touch(id, route, add, |c| step(&mut c.desired));
        }
        if let Some(id) = actual {
            self.touch(id, route, add, |c| {
                step(&mut c.actual);
                if !leaving {
                    step(&mut c.live);
                }
                if desired != Some(id) {
                    step(&mut c.strays);
                }
            });
        }
        if let Some(id) = flying {
            self.touch(id, route, add, |c| {
                step(&mut c.live);
                step(&mut c.flying);
            });
        }
    }

    fn touch(&mut self, id: ValueId, route: RouteSlot, add: bool, change: impl FnOnce(&mut Counts)) {
        let Some(value) = self.slab.get_mut(id.index()).and_then(Option::as_mut) else { return };
        change(&mut value.counts);
        if !matches!(value.route.target, RouteTarget::NextHop(_)) {
            if add {
                value.members.insert(route);
            } else {
                value.members.remove(&route);
            }
        }
        if !value.touched {
            value.touched = true;
            self.touched.push(id);
        }
    }

    /// What changed since the last call. Values to which no route stands any more are forgotten.
    pub(super) fn signals(&mut self, mut tell: impl FnMut(Signal)) {
        while let Some(id) = self.touched.pop() {
            let Some(value) = self.slab.get_mut(id.index()).and_then(Option::as_mut) else { continue };
            value.touched = false;
            let c = value.counts;
            let now = Told { desired: c.desired > 0, live: c.live > 0, strays: c.strays > 0 };
            let before = std::mem::replace(&mut value.told, now);
            if let RouteTarget::NextHop(hop) = value.route.target {
                if now.desired != before.desired {
                    tell(Signal::Desired(hop, now.desired));
                }
                if before.strays && !now.strays {
                    tell(Signal::NoStrays(hop));
                }
            }
            if before.live && !now.live {
                tell(Signal::Unused(value.route.clone()));
            }
            if c.desired + c.actual + c.flying == 0 {
                self.collect(id);
            }
        }
    }

    fn collect(&mut self, id: ValueId) {
        let Some(value) = self.slab[id.index()].take() else { return };
        self.last = None;
        self.index.remove(&value.route);
        match &value.route.target {
            RouteTarget::NextHop(hop) => forget(&mut self.by_next_hop, hop, id),
            RouteTarget::Link { link, .. } => forget(&mut self.by_link, link, id),
            RouteTarget::Unreachable | RouteTarget::Blackhole => {}
        }
        if let Some(source) = value.route.preferred_source {
            forget(&mut self.by_source, &source, id);
        }
        self.free.push(id);
    }

    fn value(&self, id: ValueId) -> Option<&Value> {
        self.slab.get(id.index())?.as_ref()
    }

    fn value_mut(&mut self, id: ValueId) -> Option<&mut Value> {
        self.slab.get_mut(id.index())?.as_mut()
    }
}

fn forget<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<ValueId>>, key: &K, id: ValueId) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
