//! Every object but the learned routes: what should be, what is, what is on its way, and who hangs on whom.
//!
//! Keeps the books only. Must not know in which order things are done, or why.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use hashbrown::HashMap;

use crate::model::{
    Chain, Data, FdbKey, IfName, Key, Link, LinkKind, NextHop, NextHopId, Ns, Object, RouteTarget, TableItem,
};

use super::table::Table;

/// What the kernel is known to hold under a key.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) object: Arc<Object>,
    /// It bears our marks.
    pub(super) ours: bool,
    /// Links: the carrier.
    pub(super) carrier: bool,
    /// Links: the interface index, 0 while unknown.
    pub(super) index: u32,
    /// Chains with rules that are not known: their fingerprints. The object itself then has none.
    pub(super) unknown: Option<Arc<[Option<u64>]>>,
}

impl Held {
    pub(super) fn ours(object: Arc<Object>) -> Self {
        Self { object, ours: true, carrier: false, index: 0, unknown: None }
    }

    pub(super) fn link(&self) -> Option<&Link> {
        match &*self.object {
            Object::Link(_, _, link) => Some(link),
            _ => None,
        }
    }

    /// Whether this is what is wanted.
    pub(super) fn is(&self, wanted: &Object) -> bool {
        self.unknown.is_none() && satisfies(&self.object, wanted)
    }

    /// Whether the kernel uses others for this: what it uses cannot be removed.
    pub(super) fn rests_on(&self, support: &Support) -> bool {
        rests_on(&self.object, support)
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Create,
    Change,
    Delete,
    /// Nothing: another deletion takes this with it, that of the other end of a veth or of an element's set.
    Follow,
}

/// An operation on its way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// Operations are done in the order of their numbers.
    pub(super) number: u64,
    pub(super) doing: Doing,
    /// What the key holds once it has succeeded.
    pub(super) outcome: Option<Held>,
    /// Something happened in the kernel meanwhile that may have undone it.
    pub(super) tainted: bool,
    /// The namespace went away meanwhile: the answer says nothing.
    pub(super) void: bool,
}

/// Whether a sysctl has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reading {
    #[default]
    No,
    Asked,
    Answered,
}

/// One object.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub(super) desired: Option<Arc<Object>>,
    pub(super) actual: Option<Held>,
    pub(super) flights: VecDeque<Flight>,
    /// In a queue.
    pub(super) queued: bool,
    /// Adopted; nobody has wanted it yet, and the sweep is on hold.
    pub(super) stale: bool,
    /// Seen in the dump that is coming in.
    pub(super) seen: bool,
    /// Waits for something else.
    pub(super) waiting: bool,
    /// Failed; its time to be tried again has not come.
    pub(super) held: bool,
    /// Only a dump can tell what the kernel has.
    pub(super) doubt: bool,
    /// Sysctls only.
    pub(super) reading: Reading,
}

impl Cell {
    /// What the kernel holds when everything on its way has succeeded.
    pub(super) fn expected(&self) -> Option<&Held> {
        match self.flights.back() {
            Some(flight) => flight.outcome.as_ref(),
            None => self.actual.as_ref(),
        }
    }

    /// The deletion is on its way.
    pub(super) fn leaving(&self) -> bool {
        self.flights.back().is_some_and(|f| f.outcome.is_none())
    }

    fn is_void(&self) -> bool {
        self.desired.is_none() && self.actual.is_none() && self.flights.is_empty() && !self.queued
    }
}

/// What an object stands on: when that comes or goes, so may the object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Support {
    Link(Ns, IfName),
    Source(Ns, IpAddr),
    NextHop(NextHopId),
    /// An nftables set or chain: chains that look up or jump, elements that jump.
    Nft(Key),
    /// An nftables table or set: what is in it.
    Within(Key),
}

/// What others care about in an object, including what is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) present: bool,
    /// Links: up.
    pub(super) up: bool,
    /// Links: up with a carrier.
    pub(super) carrier: bool,
    /// Links: port of the bridge that it should be a port of.
    pub(super) port: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    table: Table<Key, Cell>,
    by_ns: HashMap<Ns, BTreeSet<u32>>,
    supports: HashMap<Support, BTreeMap<u32, u32>>,
    /// The two ends of veths that we make, each to the other.
    pairs: HashMap<(Ns, IfName), (Ns, IfName)>,
    /// Nexthop objects of ours in the kernel, by content.
    contents: HashMap<NextHop, BTreeSet<NextHopId>>,
    by_index: HashMap<(Ns, u32), u32>,
    /// Operations handed out since the start.
    launched: u64,
}

impl Objects {
    /// The slot of a key, if the tracker knows it.
    pub(super) fn find(&self, key: &Key) -> Option<u32> {
        self.table.find(key)
    }

    /// The slot of a link.
    pub(super) fn link(&self, ns: Ns, name: &IfName) -> Option<u32> {
        self.find(&Key::Link(ns, name.clone()))
    }

    /// The slot of a key.
    pub(super) fn insert(&mut self, key: &Key) -> u32 {
        let (slot, new) = self.table.insert(key.clone(), Cell::default);
        if new {
            self.by_ns.entry(key.ns()).or_default().insert(slot);
            for support in standing_supports(key) {
                self.support(support, slot);
            }
        }
        slot
    }

    /// Key and cell of a slot.
    pub(super) fn get(&self, slot: u32) -> Option<(&Key, &Cell)> {
        self.table.get(slot)
    }

    /// The cell of a slot.
    pub(super) fn cell(&self, slot: u32) -> Option<&Cell> {
        self.table.get(slot).map(|(_, cell)| cell)
    }

    /// The cell of a slot, for its marks. What it holds is changed by the functions below.
    pub(super) fn cell_mut(&mut self, slot: u32) -> Option<&mut Cell> {
        self.table.get_mut(slot)
    }

    /// The cell of a key.
    pub(super) fn at(&self, key: &Key) -> Option<&Cell> {
        self.find(key).and_then(|slot| self.cell(slot))
    }

    /// Everything, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Key, &Cell)> {
        self.table.iter()
    }

    /// The slots of a namespace.
    pub(super) fn in_ns(&self, ns: Ns) -> Vec<u32> {
        self.by_ns.get(&ns).into_iter().flatten().copied().collect()
    }

    /// What hangs on this.
    pub(super) fn hanging_on(&self, support: &Support) -> Vec<u32> {
        self.supports.get(support).into_iter().flatten().map(|(slot, _)| *slot).collect()
    }

    /// The other end of a veth.
    pub(super) fn pair(&self, ns: Ns, name: &IfName) -> Option<u32> {
        let (ns, name) = self.pairs.get(&(ns, name.clone()))?;
        self.link(*ns, name)
    }

    /// The other end's name of a veth.
    pub(super) fn pair_name(&self, ns: Ns, name: &IfName) -> Option<&(Ns, IfName)> {
        self.pairs.get(&(ns, name.clone()))
    }

    /// Nexthop objects of ours that the kernel has with this content.
    pub(super) fn with_content(&self, content: &NextHop) -> impl Iterator<Item = NextHopId> {
        self.contents.get(content).into_iter().flatten().copied()
    }

    /// The link with this index.
    pub(super) fn with_index(&self, ns: Ns, index: u32) -> Option<u32> {
        self.by_index.get(&(ns, index)).copied()
    }

    /// What others care about in this object.
    pub(super) fn facts(&self, slot: u32) -> Facts {
        let Some(cell) = self.cell(slot) else { return Facts::default() };
        let Some(held) = cell.expected() else { return Facts::default() };
        // Nothing is put on a link whose creation has not been confirmed: had it failed because somebody else's link
        // bears the name, the rest of the batch would work on that one.
        let unconfirmed = held.link().is_some() && cell.actual.is_none();
        // Nor on a foreign link that bears the name of one that we want to make.
        let ours_wanted = match cell.desired.as_deref() {
            Some(Object::Link(_, _, link)) => !matches!(link.kind, LinkKind::Foreign),
            _ => false,
        };
        // Nor is anything put into a set that is to be made anew in another shape, or a jump made to such a chain.
        let other_shape = match (&*held.object, cell.desired.as_deref()) {
            (Object::Set(_, held), Some(Object::Set(_, wanted))) => held != wanted,
            (Object::Chain(_, held), Some(Object::Chain(_, wanted))) => held.hook != wanted.hook,
            _ => false,
        };
        if unconfirmed || other_shape || (ours_wanted && !held.ours) {
            return Facts::default();
        }
        let up = held.link().is_some_and(|l| l.up);
        // The carrier is what the kernel said last; an operation on its way cannot promise it.
        let carrier = up && cell.actual.as_ref().is_some_and(|a| a.carrier);
        let bridge = |object: &Object| match object {
            Object::Link(_, _, Link { port: Some(port), .. }) => Some(port.bridge.clone()),
            _ => None,
        };
        let port = bridge(&held.object)
            .is_some_and(|is| cell.desired.as_deref().and_then(bridge).is_none_or(|wanted| wanted == is));
        Facts { present: true, up, carrier, port }
    }

    /// Sets what should be.
    pub(super) fn set_desired(&mut self, slot: u32, desired: Option<Arc<Object>>) {
        if let Some(object) = &desired {
            if let Object::Link(ns, name, Link { kind: LinkKind::Veth { peer_ns, peer }, .. }) = &**object {
                self.pairs.insert((*ns, name.clone()), (*peer_ns, peer.clone()));
                self.pairs.insert((*peer_ns, peer.clone()), (*ns, name.clone()));
            }
            self.hang(slot, object);
        }
        let Some(cell) = self.table.get_mut(slot) else { return };
        if desired.is_some() {
            cell.stale = false;
        }
        if let Some(old) = std::mem::replace(&mut cell.desired, desired) {
            self.unhang(slot, &old);
        }
    }

    /// Sets what is. Gives back what was.
    pub(super) fn set_actual(&mut self, slot: u32, actual: Option<Held>) -> Option<Held> {
        if let Some(held) = &actual {
            self.hang(slot, &held.object);
            match &*held.object {
                Object::NextHop(id, content) if held.ours => {
                    self.contents.entry(content.clone()).or_default().insert(*id);
                }
                Object::Link(ns, _, _) if held.index != 0 => {
                    self.by_index.insert((*ns, held.index), slot);
                }
                _ => {}
            }
        }
        let cell = self.table.get_mut(slot)?;
        cell.stale &= actual.is_some();
        let old = std::mem::replace(&mut cell.actual, actual);
        let new = cell.actual.clone();
        if let Some(old) = &old {
            self.unhang(slot, &old.object);
            match &*old.object {
                Object::NextHop(id, content) if new.as_ref().is_none_or(|n| n.object != old.object) => {
                    if let Some(ids) = self.contents.get_mut(content) {
                        ids.remove(id);
                        if ids.is_empty() {
                            self.contents.remove(content);
                        }
                    }
                }
                Object::Link(ns, _, _)
                    if new.as_ref().is_none_or(|n| n.index != old.index)
                        && self.by_index.get(&(*ns, old.index)) == Some(&slot) =>
                {
                    self.by_index.remove(&(*ns, old.index));
                }
                _ => {}
            }
        }
        old
    }

    /// An operation is on its way.
    pub(super) fn launch(&mut self, slot: u32, doing: Doing, outcome: Option<Held>) {
        if let Some(held) = &outcome {
            self.hang(slot, &held.object);
        }
        if let Some(cell) = self.table.get_mut(slot) {
            self.launched += 1;
            let number = self.launched;
            cell.flights.push_back(Flight { number, doing, outcome, tainted: false, void: false });
        }
    }

    /// The oldest operation on its way has been answered.
    pub(super) fn land(&mut self, slot: u32) -> Option<Flight> {
        let flight = self.table.get_mut(slot)?.flights.pop_front()?;
        if let Some(held) = &flight.outcome {
            self.unhang(slot, &held.object);
        }
        Some(flight)
    }

    /// Forgets an object that nobody wants and that is not there; whether it did.
    pub(super) fn collect(&mut self, slot: u32) -> bool {
        let Some((key, cell)) = self.table.get(slot) else { return false };
        if !cell.is_void() {
            return false;
        }
        let key = key.clone();
        if let Some(slots) = self.by_ns.get_mut(&key.ns()) {
            slots.remove(&slot);
            if slots.is_empty() {
                self.by_ns.remove(&key.ns());
            }
        }
        for support in standing_supports(&key) {
            self.unsupport(&support, slot);
        }
        if let Key::Link(ns, name) = &key {
            let here = (*ns, name.clone());
            if let Some(there) = self.pairs.get(&here).cloned()
                && self.link(there.0, &there.1).is_none_or(|s| s == slot)
            {
                self.pairs.remove(&here);
                self.pairs.remove(&there);
            }
        }
        self.table.remove(slot);
        true
    }

    fn hang(&mut self, slot: u32, object: &Object) {
        for support in value_supports(object) {
            self.support(support, slot);
        }
    }

    fn unhang(&mut self, slot: u32, object: &Object) {
        for support in value_supports(object) {
            self.unsupport(&support, slot);
        }
    }

    fn support(&mut self, support: Support, slot: u32) {
        *self.supports.entry(support).or_default().entry(slot).or_default() += 1;
    }

    fn unsupport(&mut self, support: &Support, slot: u32) {
        let Some(slots) = self.supports.get_mut(support) else { return };
        if let Some(count) = slots.get_mut(&slot) {
            *count -= 1;
            if *count == 0 {
                slots.remove(&slot);
            }
        }
        if slots.is_empty() {
            self.supports.remove(support);
        }
    }
}

/// What an object stands on by its key alone. An address is listed under itself too: it may have to wait until no
/// route uses it as its source.
fn standing_supports(key: &Key) -> Vec<Support> {
    match key {
        Key::Address(ns, link, address) => {
            vec![Support::Link(*ns, link.clone()), Support::Source(*ns, address.addr())]
        }
        Key::Neighbour(ns, link, _) => vec![Support::Link(*ns, link.clone())],
        Key::Sysctl(ns, path) => sysctl_link(path).map(|link| Support::Link(*ns, link)).into_iter().collect(),
        Key::Fdb(FdbKey { link, .. }) | Key::Qdisc(link) | Key::Redirect(link) => {
            vec![Support::Link(Ns::HOST, link.clone())]
        }
        Key::Chain(item) | Key::Set(item) => vec![Support::Within(Key::Table(item.table.clone()))],
        Key::Element(set, _) => vec![Support::Within(Key::Set(set.clone()))],
        _ => Vec::new(),
    }
}

/// What an object stands on by its value.
fn value_supports(object: &Object) -> Vec<Support> {
    match object {
        Object::Link(ns, _, link) => {
            let bridge = link.port.as_ref().map(|port| &port.bridge);
            let parent = match &link.kind {
                LinkKind::Vlan { parent, .. } => Some(parent),
                _ => None,
            };
            bridge.into_iter().chain(parent).map(|name| Support::Link(*ns, name.clone())).collect()
        }
        Object::Chain(..) | Object::Element(..) => nft_used_by(object).map(Support::Nft).collect(),
        Object::Redirect(_, Some(to)) => vec![Support::Link(Ns::HOST, to.clone())],
        Object::NextHop(_, NextHop::Single { link, .. }) => vec![Support::Link(Ns::HOST, link.clone())],
        Object::NextHop(_, NextHop::Group(members)) => {
            members.iter().map(|id| Support::NextHop(*id)).collect()
        }
        Object::Route(key, route) => {
            let target = match &route.target {
                RouteTarget::NextHop(id) => Some(Support::NextHop(*id)),
                RouteTarget::Link { link, .. } => Some(Support::Link(key.ns, link.clone())),
                RouteTarget::Unreachable | RouteTarget::Blackhole => None,
            };
            let source = route.preferred_source.map(|s| Support::Source(key.ns, s));
            target.into_iter().chain(source).collect()
        }
        _ => Vec::new(),
    }
}

/// The sets and chains that a chain or an element uses.
pub(super) fn nft_used_by(object: &Object) -> impl Iterator<Item = Key> {
    let (item, chain, element) = match object {
        Object::Chain(item, chain) => (Some(item), Some(chain), None),
        Object::Element(item, _, Some(Data::Verdict(verdict))) => (Some(item), None, verdict.chain()),
        _ => (None, None, None),
    };
    let beside =
        move |name: &Arc<str>| item.map(|item| TableItem { table: item.table.clone(), name: name.clone() });
    let sets = chain.into_iter().flat_map(Chain::sets).filter_map(beside).map(Key::Set);
    let jumps = chain.into_iter().flat_map(Chain::jumps).chain(element);
    sets.chain(jumps.filter_map(beside).map(Key::Chain))
}

/// The link that a sysctl belongs to: `net/ipv4/conf/eth1/rp_filter` → `eth1`. Those of `all` and `default` belong
/// to the namespace.
pub(super) fn sysctl_link(path: &str) -> Option<IfName> {
    let separator = if path.contains('/') { '/' } else { '.' };
    let mut parts = path.split(separator);
    let (net, _family, class, link, _last) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let of_link = net == "net" && matches!(class, "conf" | "neigh") && !matches!(link, "all" | "default");
    of_link.then(|| IfName::new(link)).flatten()
}

/// Whether what is there is what is wanted. Of a link, what is left to the kernel does not matter, and its kind is
/// judged elsewhere.
pub(super) fn satisfies(held: &Object, wanted: &Object) -> bool {
    match (held, wanted) {
        (Object::Link(_, _, held), Object::Link(_, _, wanted)) => {
            settings_satisfy(held, wanted) && held.up == wanted.up
        }
        _ => held == wanted,
    }
}

/// Whether a link's settings other than up and down are as wanted.
pub(super) fn settings_satisfy(held: &Link, wanted: &Link) -> bool {
    (wanted.mac.is_none() || wanted.mac == held.mac)
        && (wanted.mtu.is_none() || wanted.mtu == held.mtu)
        && (wanted.alias.is_none() || wanted.alias == held.alias)
        && (!matches!(wanted.kind, LinkKind::Bridge { .. }) || wanted.kind == held.kind)
        && (matches!(wanted.kind, LinkKind::Foreign) || wanted.port == held.port)
}

/// Whether the value of an object stands on this.
pub(super) fn rests_on(object: &Object, support: &Support) -> bool {
    value_supports(object).contains(support)
}
