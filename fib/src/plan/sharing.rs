//! What shared next hops mean for objects and routes: ids are found or given, groups cut down and filled up again,
//! routes withdrawn and woken.
//!
//! A set of one uses the single nexthop object directly; a larger one has a group. Losing one gateway of a set is
//! one operation: the group is replaced by one without it. Routes need not be touched, and when the decision process
//! then takes the gateway out of their sets one by one, they move in the background, each to a set that forwards the
//! same way. Until the last of them has moved, the group does not take the gateway back, even if it is up again:
//! those routes do not want it.

use std::{net::IpAddr, sync::Arc};

use crate::{
    model::{IfName, Key, NextHop, NextHopId, Ns, Object, RouteTarget},
    nexthops::{Hop, NextHops},
};

use super::{
    Fib,
    objects::Support,
    routes::mark,
    shared::{self, Kind},
    values::Signal,
};

impl Fib {
    /// The id under which a set is, or is to be, in the kernel. `None`: no id is left.
    pub(super) fn id_of_set(&mut self, set: &NextHops) -> Option<NextHopId> {
        if let Some(id) = self.shared.set(set) {
            return Some(id);
        }
        if let [hop] = set.hops() {
            return self.id_of_hop(hop);
        }
        let mut members = Vec::with_capacity(set.hops().len());
        for hop in set.hops() {
            members.extend(self.id_of_hop(hop));
        }
        members.sort_unstable();
        let content = NextHop::Group(members.clone());
        let id = match self.unclaimed(&content) {
            Some(id) => Some(id),
            None => self.free_next_hop_id(),
        };
        let Some(id) = id.filter(|_| members.len() == set.hops().len()) else {
            for member in members {
                self.release_if_unused(member);
            }
            return None;
        };
        self.shared.insert(id, Kind::Group(set.clone(), members));
        self.claim(id, content);
        Some(id)
    }

    fn id_of_hop(&mut self, hop: &Hop) -> Option<NextHopId> {
        if let Some(id) = self.shared.single(hop) {
            return Some(id);
        }
        let content = shared::single(hop);
        let id = match self.unclaimed(&content) {
            Some(id) => id,
            None => self.free_next_hop_id()?,
        };
        self.shared.insert(id, Kind::Single(hop.clone()));
        self.claim(id, content);
        Some(id)
    }

    /// A nexthop object of ours in the kernel with this content, which nobody uses yet.
    fn unclaimed(&self, content: &NextHop) -> Option<NextHopId> {
        self.objects.with_content(content).find(|id| {
            let cell = self.objects.at(&Key::NextHop(*id));
            self.shared.get(*id).is_none()
                && cell.is_some_and(|c| c.desired.is_none() && c.flights.is_empty())
        })
    }

    fn free_next_hop_id(&mut self) -> Option<NextHopId> {
        let objects = &self.objects;
        self.shared.free_id(&self.owner.next_hop_ids, |id| objects.find(&Key::NextHop(id)).is_some())
    }

    fn claim(&mut self, id: NextHopId, content: NextHop) {
        let slot = self.objects.insert(&Key::NextHop(id));
        self.set_desired(slot, Some(Arc::new(Object::NextHop(id, content))));
        self.refresh(id);
    }

    fn release_if_unused(&mut self, id: NextHopId) {
        if self.shared.get(id).is_none_or(|record| record.users > 0) {
            return;
        }
        let Some(record) = self.shared.remove(id) else { return };
        if let Some(slot) = self.objects.find(&Key::NextHop(id)) {
            self.set_desired(slot, None);
        }
        if let Kind::Group(_, members) = record.kind {
            for member in members {
                self.release_if_unused(member);
            }
        }
    }

    /// Acts on what changed about route values as a whole.
    pub(super) fn heed_signals(&mut self) {
        let signals = self.routes.signals();
        if signals.is_empty() {
            return;
        }
        // A value may have been given up, and its number to another one.
        self.possible = None;
        // Users come before they go: a set must not be given up between its last old route and its first new one.
        for signal in &signals {
            if let Signal::Desired(id, true) = signal
                && let Some(record) = self.shared.get_mut(*id)
            {
                record.users += 1;
            }
        }
        for signal in signals {
            match signal {
                Signal::Desired(_, true) => {}
                Signal::Desired(id, false) => {
                    if let Some(record) = self.shared.get_mut(id) {
                        record.users -= 1;
                    }
                    self.release_if_unused(id);
                }
                Signal::Unused(route) => self.mark_used_by_route(Ns::HOST, &route),
                Signal::NoStrays(id) => self.refresh(id),
            }
        }
    }

    /// The members that a group should have now.
    fn effective(&self, id: NextHopId, members: &[NextHopId]) -> Vec<NextHopId> {
        let present =
            |id: NextHopId| self.objects.find(&Key::NextHop(id)).map(|s| self.objects.facts(s).present);
        let usable: Vec<NextHopId> = members
            .iter()
            .copied()
            .filter(|m| !self.shared.is_down(*m) && present(*m) == Some(true))
            .collect();
        let held = self.objects.at(&Key::NextHop(id)).and_then(|c| c.expected()).map(|h| &*h.object);
        let Some(Object::NextHop(_, NextHop::Group(current))) = held else { return usable };
        if !self.routes.values.has_strays(id) {
            return usable;
        }
        let kept: Vec<NextHopId> = usable.iter().copied().filter(|m| current.contains(m)).collect();
        if kept.is_empty() { usable } else { kept }
    }

    /// What a nexthop object should be now; `None`: it cannot be used.
    pub(super) fn wanted_next_hop(&self, id: NextHopId) -> Option<NextHop> {
        let cell = self.objects.at(&Key::NextHop(id))?;
        match self.shared.get(id).map(|r| &r.kind) {
            Some(Kind::Group(_, members)) => {
                let members = self.effective(id, members);
                (!members.is_empty()).then_some(NextHop::Group(members))
            }
            _ => match cell.desired.as_deref()? {
                Object::NextHop(_, content) => Some(content.clone()),
                _ => None,
            },
        }
    }

    /// Whether routes may lead to it, once it is there.
    pub(super) fn is_usable(&self, id: NextHopId) -> bool {
        self.shared.get(id).is_none_or(|record| record.usable)
    }

    /// Whether traffic can be sent to a single next hop now, or as soon as the object is made: it has not been
    /// reported down, and its link carries.
    fn has_prospects(&self, id: NextHopId) -> bool {
        let Some(slot) = self.objects.find(&Key::NextHop(id)) else { return false };
        let link = match self.shared.get(id).map(|r| &r.kind) {
            Some(Kind::Single(hop)) => self.objects.link(Ns::HOST, &hop.link),
            _ => None,
        };
        let carries = link.is_some_and(|link| self.objects.facts(link).carrier);
        !self.shared.is_down(id) && (carries || self.objects.facts(slot).present)
    }

    /// A member, a report or a count changed: finds out whether traffic can be sent there, and tells the routes.
    pub(super) fn refresh(&mut self, id: NextHopId) {
        let usable = match self.shared.get(id).map(|r| &r.kind) {
            Some(Kind::Single(_)) => self.has_prospects(id),
            Some(Kind::Group(_, members)) => members.iter().any(|member| self.has_prospects(*member)),
            None => return,
        };
        self.wake_key(&Key::NextHop(id));
        let Some(record) = self.shared.get_mut(id) else { return };
        let before = std::mem::replace(&mut record.usable, usable);
        self.possible = None;
        if before && !usable {
            let values = self.routes.values.with_next_hop(id);
            for route in self.routes.with_values(&values) {
                self.mark_route(route);
            }
            self.wake_hanging(&Support::NextHop(id));
        }
        if usable && !before {
            self.wake_routes_over(id);
        }
    }

    /// Something about a next hop changed: for the groups that contain it, too.
    pub(super) fn refresh_with_groups(&mut self, id: NextHopId) {
        for group in self.shared.groups_of(id) {
            self.refresh(group);
        }
        self.refresh(id);
    }

    /// The presence of a nexthop object changed, or is about to.
    pub(super) fn next_hop_moved(&mut self, id: NextHopId) {
        self.refresh_with_groups(id);
        self.wake_routes_over(id);
        self.wake_hanging(&Support::NextHop(id));
    }

    fn wake_routes_over(&mut self, id: NextHopId) {
        for value in self.routes.values.with_next_hop(id) {
            self.wake_value(value);
        }
    }

    pub(super) fn set_hop_down(&mut self, via: IpAddr, link: &IfName, down: bool) {
        if !self.shared.set_down(via, link, down) {
            return;
        }
        for id in self.shared.over(via, link) {
            self.refresh_with_groups(id);
        }
    }

    /// After the first dump of nexthop objects: sets whose id the kernel has for something else, or that it has under
    /// another id, change their id. Later, when an id turned out to be taken, only those that stand on a foreign
    /// object: what differs in one of ours is set right in place.
    pub(super) fn match_ids(&mut self, first: bool) {
        for id in self.shared.ids() {
            let Some(content) = self.content_of(id) else { continue };
            let Some(cell) = self.objects.at(&Key::NextHop(id)) else { continue };
            let clash = cell.actual.as_ref().is_some_and(|held| match &*held.object {
                Object::NextHop(_, other) if held.ours => first && *other != content,
                _ => true,
            });
            if clash
                && cell.flights.is_empty()
                && let Some(free) = self.free_next_hop_id()
            {
                self.rename(id, free, content);
            }
        }
        for id in self.shared.ids() {
            let Some(content) = self.content_of(id) else { continue };
            let cell = self.objects.at(&Key::NextHop(id));
            let absent = cell.is_some_and(|c| c.actual.is_none() && c.flights.is_empty());
            if absent && let Some(there) = self.unclaimed(&content) {
                self.rename(id, there, content);
            }
        }
    }

    /// Whether an object is a nexthop object that routes share.
    pub(super) fn is_shared(&self, slot: u32) -> bool {
        matches!(self.objects.get(slot), Some((Key::NextHop(id), _)) if self.shared.get(*id).is_some())
    }

    fn content_of(&self, id: NextHopId) -> Option<NextHop> {
        self.shared.get(id).map(|record| match &record.kind {
            Kind::Single(hop) => shared::single(hop),
            Kind::Group(_, members) => NextHop::Group(members.clone()),
        })
    }

    fn rename(&mut self, old: NextHopId, new: NextHopId, content: NextHop) {
        self.possible = None;
        self.shared.rename(old, new);
        let slot = self.objects.insert(&Key::NextHop(new));
        self.set_desired(slot, Some(Arc::new(Object::NextHop(new, content))));
        for group in self.shared.groups_of(new) {
            if let Some(Kind::Group(_, members)) = self.shared.get(group).map(|r| r.kind.clone())
                && let Some(slot) = self.objects.find(&Key::NextHop(group))
            {
                self.set_desired(slot, Some(Arc::new(Object::NextHop(group, NextHop::Group(members)))));
            }
        }
        // The users move along: counted once for each value that is wanted, as before.
        for value in self.routes.values.with_next_hop(old) {
            let Some(mut route) = self.routes.values.get(value).cloned() else { continue };
            route.target = RouteTarget::NextHop(new);
            for slot in self.routes.filter(|c| c.desired == Some(value)) {
                let renamed = self.routes.values.intern(&route);
                self.routes.update(slot, |c| {
                    c.desired = Some(renamed);
                    c.set(mark::WAITING, false);
                });
                self.mark_route(slot);
            }
        }
        // The signals of the move say that a value over `new` is wanted, and that those over `old` are not.
        let counted = self.routes.signals();
        for signal in counted {
            match signal {
                Signal::Desired(..) => {}
                Signal::Unused(_) | Signal::NoStrays(_) => self.refresh(new),
            }
        }
        if let Some(slot) = self.objects.find(&Key::NextHop(old)) {
            self.set_desired(slot, None);
        }
        self.refresh(new);
    }
}
