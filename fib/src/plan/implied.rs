//! What the kernel does by itself when something changes, and mostly without saying so.
//!
//! Tried on Linux 6.18, and as in `net/ipv4/nexthop.c`, `fib_frontend.c`, `devinet.c`, `neighbour.c`,
//! `net/ipv6/addrconf.c`:
//!
//! | event | goes with it | announced |
//! |---|---|---|
//! | link deleted | its other end; VLANs on it; its qdiscs and filters; all that is below | links, addresses, neighbours, IPv6 routes |
//! | bridge deleted | its ports' being ports, with their static forwarding entries | links |
//! | port leaves its bridge | its static forwarding entries | forwarding entries |
//! | link deleted that a redirection leads to | nothing: the redirection stays, and leads nowhere | no |
//! | link set down | its neighbours, IPv6 addresses, routes out of it, single next hops over it | neighbours, IPv6 addresses and routes |
//! | carrier lost | single next hops over it | no |
//! | Ethernet address changed | its neighbours | neighbours |
//! | its last IPv4 address removed | its IPv4 neighbours and IPv4 routes out of it | neighbours |
//! | an address is nowhere local any more | IPv4 routes with it as preferred source; IPv6 routes out of links lose the source | no |
//! | single next hop gone | routes by it; its place in groups | IPv6 routes |
//! | group gone, or without a member | routes by it | IPv6 routes |
//! | nftables table or set deleted | all that is in it | that something happened |

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::model::{
    BridgePort, Concern, FdbTarget, IfName, Key, Link, LinkKind, NextHop, NextHopId, Ns, Object, Route,
    RouteTarget,
};

use super::{
    Fib,
    asking::concerns,
    objects::{Cell, Held, Reading, Support},
    routes::{Flight, RouteCell, RouteSlot, mark},
    values::ValueId,
};

impl Fib {
    /// What follows from an object's change in the kernel.
    pub(super) fn implied(&mut self, slot: u32, old: Option<&Held>, new: Option<&Held>) {
        let Some((key, _)) = self.objects.get(slot) else { return };
        match (key.clone(), old) {
            (Key::Link(ns, name), Some(old)) => self.link_implies(ns, &name, old, new),
            // A link that was not there carries nothing yet, whatever was believed.
            (Key::Link(ns, name), None) if new.is_some() => {
                self.see_to_entries(ns, &name);
                self.all_on_link_vanishes(ns, &name);
            }
            (Key::Address(ns, link, address), Some(_)) if new.is_none() => {
                self.address_implies(ns, &link, address);
            }
            (Key::NextHop(id), Some(old)) if new.is_none() => {
                if matches!(&*old.object, Object::NextHop(_, NextHop::Single { .. })) {
                    self.leave_groups(id, true);
                }
                self.routes_lost(&Support::NextHop(id), |_| true);
                let values = self.routes.values.with_next_hop(id);
                self.learned_lost(&values, |_| true);
            }
            (key @ (Key::Table(_) | Key::Set(_)), Some(_)) if new.is_none() => self.all_within_vanishes(key),
            _ => {}
        }
    }

    /// What is on its way into the table or set came after what took it away: the kernel thread tells of nftables only
    /// in dumps.
    fn all_within_vanishes(&mut self, key: Key) {
        for slot in self.objects.hanging_on(&Support::Within(key)) {
            if self.objects.cell(slot).is_some_and(|c| c.actual.is_some()) {
                self.set_actual(slot, None);
            }
        }
    }

    fn link_implies(&mut self, ns: Ns, name: &IfName, old: &Held, new: Option<&Held>) {
        let another = new.is_none_or(|new| old.index != 0 && new.index != 0 && new.index != old.index);
        if another {
            self.all_on_link_vanishes(ns, name);
            if self.links_on_link_vanish(ns, name) && new.is_some() {
                self.asking.dump(ns, Concern::Links);
            }
            if new.is_some() {
                // When it was replaced, we have missed; some of what we made may be on the new one.
                for concern in concerns(ns).iter().filter(|c| **c != Concern::Links) {
                    self.asking.dump(ns, *concern);
                }
            }
            // A namespace that was given up may live on somewhere, and the other end with it: there, its own event
            // tells.
            if new.is_none()
                && self.asking.is_watched(ns)
                && let Some(pair) = self.objects.pair(ns, name)
                && self.objects.cell(pair).is_some_and(|c| c.actual.is_some())
            {
                self.set_actual(pair, None);
            }
            return;
        }
        let (Some(before), Some(after)) = (old.link(), new.and_then(Held::link)) else { return };
        let went_down = before.up && !after.up;
        let mac_changed = before.mac.is_some() && after.mac.is_some() && before.mac != after.mac;
        let carrier_lost = old.carrier && !new.is_some_and(|n| n.carrier);
        let bridge = |link: &Link| link.port.as_ref().map(|port| port.bridge.clone());
        let left_bridge = before.port.is_some() && bridge(before) != bridge(after);
        let addressed = if mac_changed { self.addressed_by_us(ns, name, after) } else { None };
        for slot in self.objects.hanging_on(&Support::Link(ns, name.clone())) {
            let vanishes = match self.objects.get(slot).map(|(key, _)| key) {
                Some(Key::Neighbour(..)) => went_down || (mac_changed && !self.is_later(slot, addressed)),
                Some(Key::Address(_, _, address)) => went_down && matches!(address, IpNet::V6(_)),
                Some(Key::Route(_)) => went_down,
                Some(Key::NextHop(_)) => went_down || carrier_lost,
                Some(Key::Fdb(entry)) => left_bridge && entry.target == FdbTarget::Port,
                _ => false,
            };
            if vanishes {
                self.vanish_with_link(slot, ns, name);
            }
        }
        if went_down {
            self.learned_lost_out_of(ns, name, |_| true);
        }
    }

    /// The number of our own operation on its way that gives the link the Ethernet address it has now.
    fn addressed_by_us(&self, ns: Ns, name: &IfName, now: &Link) -> Option<u64> {
        let cell = self.objects.cell(self.objects.link(ns, name)?)?;
        let gives = |held: &Held| held.link().is_some_and(|link| link.mac == now.mac);
        cell.flights.iter().find(|f| f.outcome.as_ref().is_some_and(gives)).map(|f| f.number)
    }

    /// Whether an object is not there yet, and what makes it comes after this operation, which so cannot undo it.
    fn is_later(&self, slot: u32, operation: Option<u64>) -> bool {
        let Some((cell, number)) = self.objects.cell(slot).zip(operation) else { return false };
        cell.actual.is_none() && cell.flights.iter().all(|f| f.number > number)
    }

    /// Forwarding entries bear no mark. Of those that were told of before their link was known, nobody can say whose they
    /// are.
    fn see_to_entries(&mut self, ns: Ns, name: &IfName) {
        let entry =
            |slot: &u32| matches!(self.objects.get(*slot), Some((Key::Fdb(_), c)) if c.actual.is_some());
        if self.objects.hanging_on(&Support::Link(ns, name.clone())).iter().any(entry) {
            self.asking.dump(ns, Concern::Fdb);
        }
    }

    fn all_on_link_vanishes(&mut self, ns: Ns, name: &IfName) {
        for slot in self.objects.hanging_on(&Support::Link(ns, name.clone())) {
            self.vanish_with_link(slot, ns, name);
        }
        self.learned_lost_out_of(ns, name, |_| true);
    }

    /// VLANs go with their parent; ports of a bridge that goes are left without one. Whether there were any.
    fn links_on_link_vanish(&mut self, ns: Ns, name: &IfName) -> bool {
        let mut any = false;
        for slot in self.objects.hanging_on(&Support::Link(ns, name.clone())) {
            let Some((Key::Link(..), Cell { actual: Some(held), .. })) = self.objects.get(slot) else {
                continue;
            };
            let Object::Link(ns, port, link) = &*held.object else { continue };
            let left = match (&link.kind, &link.port) {
                (LinkKind::Vlan { parent, .. }, _) if parent == name => None,
                (_, Some(BridgePort { bridge, .. })) if bridge == name => {
                    let link = Link { port: None, ..link.clone() };
                    Some(Held { object: Arc::new(Object::Link(*ns, port.clone(), link)), ..held.clone() })
                }
                _ => continue,
            };
            any = true;
            self.taint(slot);
            self.set_actual(slot, left);
        }
        any
    }

    /// Takes away what the kernel held on this link. What rests on it only by wish stays untouched.
    fn vanish_with_link(&mut self, slot: u32, ns: Ns, name: &IfName) {
        let Some((key, cell)) = self.objects.get(slot) else { return };
        if matches!(key, Key::Link(..)) {
            return;
        }
        let on_link = match &cell.actual {
            Some(held) if matches!(key, Key::Route(_) | Key::NextHop(_)) => {
                held.rests_on(&Support::Link(ns, name.clone()))
            }
            Some(_) => true,
            None => false,
        };
        let leads_there = matches!(key, Key::Redirect(from) if from != name);
        self.taint(slot);
        if leads_there {
            return self.lead_nowhere(slot, name);
        }
        if let Some(cell) = self.objects.cell_mut(slot) {
            cell.reading = Reading::No;
        }
        if on_link {
            self.set_actual(slot, None);
        }
    }

    pub(super) fn address_implies(&mut self, ns: Ns, link: &IfName, address: IpNet) {
        let mut last_v4 = matches!(address, IpNet::V4(_));
        let mut same_subnet = false;
        for slot in self.objects.hanging_on(&Support::Link(ns, link.clone())) {
            if let Some((Key::Address(_, _, other @ IpNet::V4(_)), cell)) = self.objects.get(slot)
                && cell.actual.is_some()
            {
                last_v4 = false;
                same_subnet |= other.trunc() == address.trunc();
            }
        }
        if same_subnet {
            // If this was the primary address of the subnet, the others went with it, unless
            // `promote_secondaries` is set.
            self.asking.dump(ns, Concern::Addresses);
        }
        if last_v4 {
            let v4 = |address: IpAddr| address.is_ipv4();
            for slot in self.objects.hanging_on(&Support::Link(ns, link.clone())) {
                let vanishes = match self.objects.get(slot).map(|(key, _)| key) {
                    Some(Key::Neighbour(_, _, address)) => v4(*address),
                    Some(Key::Route(key)) => v4(key.prefix.addr()),
                    _ => false,
                };
                if vanishes {
                    self.vanish_with_link(slot, ns, link);
                }
            }
            self.learned_lost_out_of(ns, link, |prefix| matches!(prefix, IpNet::V4(_)));
        }
        let elsewhere = self.objects.hanging_on(&Support::Source(ns, address.addr())).into_iter().any(
            |slot| matches!(self.objects.get(slot), Some((Key::Address(..), cell)) if cell.actual.is_some()),
        );
        if !elsewhere {
            self.source_implies(ns, address.addr());
        }
    }

    fn source_implies(&mut self, ns: Ns, source: IpAddr) {
        if source.is_ipv4() {
            self.routes_lost(&Support::Source(ns, source), |_| true);
            if ns == Ns::HOST {
                let values = self.routes.values.with_source(source);
                self.learned_lost(&values, |_| true);
            }
            return;
        }
        let sourceless = |object: &Object| match object {
            Object::Route(key, route) if matches!(route.target, RouteTarget::Link { .. }) => {
                let route = Route { preferred_source: None, ..route.clone() };
                Some(Arc::new(Object::Route(*key, route)))
            }
            _ => None,
        };
        for slot in self.objects.hanging_on(&Support::Source(ns, source)) {
            self.taint(slot);
            let held = self.objects.cell(slot).and_then(|c| c.actual.as_ref());
            if let Some(object) = held.and_then(|held| sourceless(&held.object)) {
                self.set_actual(slot, Some(Held::ours(object)));
            }
        }
        if ns != Ns::HOST {
            return;
        }
        for value in self.routes.values.with_source(source) {
            let Some(route @ Route { target: RouteTarget::Link { .. }, .. }) = self.routes.values.get(value)
            else {
                continue;
            };
            let left = Route { preferred_source: None, ..route.clone() };
            for slot in self.routes.values.members(value) {
                if self.routes.cell(slot).is_some_and(|c| c.actual == Some(value)) {
                    let left = self.routes.values.intern(&left);
                    self.route_is_now(slot, Some(left));
                }
            }
        }
    }

    /// A single next hop went: it is no member of any group any more, and a group without members is none. Groups
    /// with an operation on its way only if that may be older.
    fn leave_groups(&mut self, id: NextHopId, in_flight: bool) {
        for slot in self.objects.hanging_on(&Support::NextHop(id)) {
            let Some((Key::NextHop(group), cell)) = self.objects.get(slot) else { continue };
            if !in_flight && !cell.flights.is_empty() {
                continue;
            }
            let group = *group;
            let held = cell.actual.as_ref().map(|held| (held.ours, held.object.clone()));
            self.taint(slot);
            let Some((ours, object)) = held else { continue };
            let Object::NextHop(_, NextHop::Group(members)) = &*object else { continue };
            let left: Vec<NextHopId> = members.iter().copied().filter(|m| *m != id).collect();
            if left.len() == members.len() {
                continue;
            }
            let left = (!left.is_empty())
                .then(|| Held { ours, ..Held::ours(Arc::new(Object::NextHop(group, NextHop::Group(left)))) });
            self.set_actual(slot, left);
        }
    }

    /// Routes among the objects that rest on this are gone.
    fn routes_lost(&mut self, support: &Support, which: impl Fn(&IpNet) -> bool) {
        for slot in self.objects.hanging_on(support) {
            let Some((Key::Route(key), cell)) = self.objects.get(slot) else { continue };
            let rests = |held: &Held| held.rests_on(support);
            let lost = which(&key.prefix)
                && cell.actual.as_ref().is_some_and(rests)
                // IPv6 routes keep a preferred source that is gone, or lose it; see `source_implies`.
                && !(matches!(support, Support::Source(..)) && matches!(key.prefix, IpNet::V6(_)));
            self.taint(slot);
            if lost {
                self.set_actual(slot, None);
            }
        }
    }

    fn learned_lost_out_of(&mut self, ns: Ns, link: &IfName, which: impl Fn(&IpNet) -> bool) {
        if ns == Ns::HOST {
            let values = self.routes.values.with_link(link);
            self.learned_lost(&values, which);
        }
    }

    /// Learned routes that have one of these values are gone from the kernel.
    fn learned_lost(&mut self, values: &[ValueId], which: impl Fn(&IpNet) -> bool) {
        if values.is_empty() {
            return;
        }
        for route in self.routes.with_values(values) {
            let Some(cell) = self.routes.cell(route) else { continue };
            if self.routes.flying(route).is_some_and(|v| values.contains(&v)) {
                self.routes.update(route, |c| c.set(mark::TAINTED, true));
            }
            let hit = self.routes.prefix(route).is_some_and(|p| which(&p));
            if hit && cell.actual.is_some_and(|v| values.contains(&v)) {
                self.route_is_now(route, None);
            }
        }
    }

    /// We have just made this, so it was not there, and nothing can have hung on it: routes of which we believe
    /// otherwise went unnoticed, while we did not know whether this was there. What is on its way came after it.
    pub(super) fn carried_nothing(&mut self, slot: u32) {
        let Some((key, _)) = self.objects.get(slot) else { return };
        let (support, values) = match key {
            Key::NextHop(id) => (Support::NextHop(*id), self.routes.values.in_use_over(*id)),
            Key::Address(ns, _, address)
                if address.addr().is_ipv4() && self.is_local_once(*ns, address.addr()) =>
            {
                let values =
                    if *ns == Ns::HOST { self.routes.values.in_use_from(address.addr()) } else { Vec::new() };
                (Support::Source(*ns, address.addr()), values)
            }
            _ => return,
        };
        if let Support::NextHop(id) = support {
            self.leave_groups(id, false);
        }
        for slot in self.objects.hanging_on(&support) {
            let Some((Key::Route(_), cell)) = self.objects.get(slot) else { continue };
            let rests = cell.actual.as_ref().is_some_and(|held| held.rests_on(&support));
            if rests && cell.flights.is_empty() {
                self.set_actual(slot, None);
            }
        }
        if values.is_empty() {
            return;
        }
        for route in self.routes.with_values(&values) {
            let believed =
                |c: RouteCell| c.flight == Flight::None && c.actual.is_some_and(|v| values.contains(&v));
            if self.routes.cell(route).is_some_and(believed) {
                self.route_is_now(route, None);
            }
        }
    }

    fn is_local_once(&self, ns: Ns, address: IpAddr) -> bool {
        self.local.get(&(ns, address)) == Some(&1)
    }

    /// What the kernel has of a learned route.
    pub(super) fn route_is_now(&mut self, route: RouteSlot, actual: Option<ValueId>) {
        let settled = self.is_route_settled(route);
        self.update_route(route, |c| {
            c.actual = actual;
            if actual.is_none() {
                c.set(mark::STALE, false);
            }
        });
        self.mark_route(route);
        self.tell_route(route, settled);
    }

    /// What is on its way may have been done before this happened, and undone by it.
    pub(super) fn taint(&mut self, slot: u32) {
        if let Some(cell) = self.objects.cell_mut(slot) {
            for flight in cell.flights.iter_mut().filter(|f| f.outcome.is_some()) {
                flight.tainted = true;
            }
        }
    }
}
