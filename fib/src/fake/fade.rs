//! Changes and what goes with them: what the kernel does by itself, mostly without a word.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{By, FakeKernel, FakeLink};
use crate::model::{IfName, Key, Mac, NextHop, NextHopId, Ns, Object, Route, RouteTarget};

/// The sysctls of a link that this kernel has, with their values on a new link.
const LINK_SYSCTLS: [(&str, &str, &str); 10] = [
    ("net/ipv4/conf/", "/rp_filter", "2"),
    ("net/ipv4/conf/", "/forwarding", "0"),
    ("net/ipv4/conf/", "/proxy_arp", "0"),
    ("net/ipv4/conf/", "/arp_ignore", "0"),
    ("net/ipv4/conf/", "/ignore_routes_with_linkdown", "0"),
    ("net/ipv6/conf/", "/accept_ra", "1"),
    ("net/ipv6/conf/", "/disable_ipv6", "0"),
    ("net/ipv6/conf/", "/ignore_routes_with_linkdown", "0"),
    ("net/ipv6/conf/", "/keep_addr_on_down", "0"),
    ("net/ipv6/conf/", "/forwarding", "0"),
];

impl FakeKernel {
    pub(super) fn insert_link(&mut self, ns: Ns, name: &IfName, link: FakeLink) {
        let Some(space) = self.spaces.get_mut(&ns) else { return };
        space.links.insert(name.clone(), link);
        for (before, after, value) in LINK_SYSCTLS {
            space.sysctls.insert(Arc::from(format!("{before}{name}{after}")), Arc::from(value));
        }
    }

    /// Removes a link, and of a veth both ends.
    pub(super) fn remove_link(&mut self, ns: Ns, name: &IfName, by: By) {
        let peer = self.link(ns, name).and_then(|link| link.peer.clone());
        self.remove_end(ns, name, by);
        if let Some((ns, name)) = peer {
            self.remove_end(ns, &name, by);
        }
    }

    pub(super) fn remove_end(&mut self, ns: Ns, name: &IfName, by: By) {
        if self.link(ns, name).is_none() {
            return;
        }
        self.set_up(ns, name, false, By::Us);
        self.leave_alone(ns, name);
        // What a link that is down may still have.
        self.flush_neighbours(ns, name, |_| true);
        let addresses = self.addresses_of(ns, name);
        for address in addresses {
            self.remove_address(ns, name, address, By::Others);
        }
        if let Some(space) = self.spaces.get_mut(&ns) {
            space.links.remove(name);
            for (before, after, _) in LINK_SYSCTLS {
                space.sysctls.remove(format!("{before}{name}{after}").as_str());
            }
        }
        if by == By::Others {
            self.announce_gone(ns, Key::Link(ns, name.clone()));
        }
    }

    fn addresses_of(&self, ns: Ns, name: &IfName) -> Vec<IpNet> {
        let all = self.spaces.get(&ns).map(|s| s.addresses.as_slice()).unwrap_or_default();
        all.iter().filter(|(link, ..)| link == name).map(|(_, a, _)| *a).collect()
    }

    pub(super) fn set_mac(&mut self, ns: Ns, name: &IfName, mac: Mac) {
        let Some(link) = self.link_mut(ns, name) else { return };
        if std::mem::replace(&mut link.mac, mac) != mac {
            self.flush_neighbours(ns, name, |_| true);
        }
    }

    /// Sets a link up or down.
    pub(super) fn set_up(&mut self, ns: Ns, name: &IfName, up: bool, by: By) {
        let Some(link) = self.link_mut(ns, name) else { return };
        let was = std::mem::replace(&mut link.up, up);
        let peer = link.peer.clone();
        if was == up {
            return;
        }
        if !up {
            self.flush_next_hops(ns, name);
            self.flush_routes_out_of(ns, name, |_| true);
            self.flush_neighbours(ns, name, |_| true);
            for address in self.addresses_of(ns, name) {
                if matches!(address, IpNet::V6(_)) {
                    self.remove_address(ns, name, address, By::Others);
                }
            }
        }
        // The carrier is announced when it changes; on a wire it was there all along.
        if by == By::Others || peer.is_some() {
            self.announce_link(ns, name);
        }
        if let Some((ns, name)) = peer {
            self.carrier_changed(ns, &name);
        }
        self.lead_vlans(ns, name, up);
    }

    /// The cable, or the other end, came or went.
    pub(super) fn carrier_changed(&mut self, ns: Ns, name: &IfName) {
        if self.link(ns, name).is_some_and(|link| !self.has_carrier(link)) {
            self.flush_next_hops(ns, name);
        }
        self.announce_link(ns, name);
    }

    /// Removes an address, with the secondary ones of its subnet if it is the primary; whether it was there.
    pub(super) fn remove_address(&mut self, ns: Ns, link: &IfName, address: IpNet, by: By) -> bool {
        let Some(space) = self.spaces.get_mut(&ns) else { return false };
        let subnet = |a: &IpNet| matches!(a, IpNet::V4(_)) && a.trunc() == address.trunc();
        let primary = space.addresses.iter().find(|(l, a, _)| l == link && subnet(a)).map(|(_, a, _)| *a);
        let goes = |(l, a, _): &(IfName, IpNet, u8)| {
            l == link && (*a == address || (primary == Some(address) && subnet(a)))
        };
        let gone: Vec<IpNet> = space.addresses.iter().filter(|a| goes(a)).map(|(_, a, _)| *a).collect();
        space.addresses.retain(|a| !goes(a));
        for address in &gone {
            if by == By::Others {
                self.announce_gone(ns, Key::Address(ns, link.clone(), *address));
            }
            self.address_went(ns, link, *address);
        }
        !gone.is_empty()
    }

    fn address_went(&mut self, ns: Ns, link: &IfName, address: IpNet) {
        let v4_left = self.addresses_of(ns, link).iter().any(|a| matches!(a, IpNet::V4(_)));
        if matches!(address, IpNet::V4(_)) && !v4_left {
            self.flush_neighbours(ns, link, |a| a.is_ipv4());
            self.flush_routes_out_of(ns, link, |prefix| matches!(prefix, IpNet::V4(_)));
        }
        let source = address.addr();
        let Some(space) = self.spaces.get_mut(&ns) else { return };
        if space.is_local(source) {
            return;
        }
        if source.is_ipv4() {
            space.routes.retain(|_, (route, _)| route.preferred_source != Some(source));
        } else {
            for (route, _) in space.routes.values_mut() {
                if route.preferred_source == Some(source) && matches!(route.target, RouteTarget::Link { .. })
                {
                    route.preferred_source = None;
                }
            }
        }
    }

    fn flush_neighbours(&mut self, ns: Ns, link: &IfName, which: impl Fn(IpAddr) -> bool) {
        let Some(space) = self.spaces.get_mut(&ns) else { return };
        let goes = |(l, a): &(IfName, IpAddr)| l == link && which(*a);
        let gone: Vec<_> = space.neighbours.keys().filter(|k| goes(k)).cloned().collect();
        for (link, address) in gone {
            if let Some(space) = self.spaces.get_mut(&ns) {
                space.neighbours.remove(&(link.clone(), address));
            }
            self.announce_gone(ns, Key::Neighbour(ns, link, address));
        }
    }

    fn flush_routes_out_of(&mut self, ns: Ns, name: &IfName, which: impl Fn(&IpNet) -> bool) {
        let out_of = |route: &Route| matches!(&route.target, RouteTarget::Link { link, .. } if link == name);
        self.flush_routes(ns, |prefix, route| out_of(route) && which(prefix));
    }

    fn flush_routes(&mut self, ns: Ns, which: impl Fn(&IpNet, &Route) -> bool) {
        let Some(space) = self.spaces.get_mut(&ns) else { return };
        let routes = space.routes.iter();
        let gone: Vec<_> = routes
            .filter(|(key, (route, _))| which(&key.prefix, route))
            .map(|(key, (_, p))| (*key, *p))
            .collect();
        for (key, protocol) in gone {
            if let Some(space) = self.spaces.get_mut(&ns) {
                space.routes.remove(&key);
            }
            // IPv4 routes go without a word.
            if matches!(key.prefix, IpNet::V6(_)) && protocol == self.owner.protocol {
                self.announce_gone(ns, Key::Route(key));
            }
        }
    }

    /// Nexthop objects over a link go without a word.
    fn flush_next_hops(&mut self, ns: Ns, name: &IfName) {
        if ns != Ns::HOST {
            return;
        }
        let over = |next_hop: &NextHop| matches!(next_hop, NextHop::Single { link, .. } if link == name);
        let gone: Vec<NextHopId> =
            self.next_hops.iter().filter(|(_, (n, _))| over(n)).map(|(id, _)| *id).collect();
        for id in gone {
            self.remove_next_hop(id);
        }
    }

    /// Removes a nexthop object; whether it was there. Groups shrink, and vanish when empty; routes go.
    pub(super) fn remove_next_hop(&mut self, id: NextHopId) -> bool {
        let gone = self.next_hops.remove(&id).is_some();
        let mut empty = Vec::new();
        for (group, (next_hop, _)) in &mut self.next_hops {
            if let NextHop::Group(members) = next_hop {
                members.retain(|m| *m != id);
                if members.is_empty() {
                    empty.push(*group);
                }
            }
        }
        self.flush_routes(Ns::HOST, |_, route| matches!(route.target, RouteTarget::NextHop(n) if n == id));
        for group in empty {
            self.remove_next_hop(group);
        }
        gone
    }

    pub(super) fn announce_route(&mut self, key: crate::model::RouteKey, route: Route, protocol: u8) {
        // The kernel thread passes on routes of our protocol, and what replaces them.
        self.announce(key.ns, Object::Route(key, route), protocol);
    }
}
