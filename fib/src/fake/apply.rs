//! Operations as the kernel does them, and its reasons not to; with the checks that the kernel thread makes before
//! it touches what may be foreign (`EPERM`, and `EEXIST` for a route).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{By, FakeKernel, FakeLink, dice, refuse};
use crate::model::{
    IfName, Key, Link, LinkKind, Mac, NextHop, NextHopId, Ns, Object, Observed, Op, OpResult, Route,
    RouteKey, RouteTarget,
};

impl FakeKernel {
    pub(super) fn apply_one(&mut self, op: &Op) -> OpResult {
        match op {
            Op::Create(object) => self.write(object, true),
            Op::Change(object) => self.write(object, false),
            Op::Delete(key) => self.delete(key),
        }
    }

    fn write(&mut self, object: &Object, create: bool) -> OpResult {
        match object {
            Object::Sysctl(ns, path, value) => match self.spaces.get_mut(ns) {
                Some(space) if space.sysctls.contains_key(path) => {
                    space.sysctls.insert(path.clone(), value.clone());
                    Ok(())
                }
                _ => refuse(libc::ENOENT, "no such sysctl"),
            },
            Object::Link(ns, name, link) if create => self.create_link(*ns, name, link),
            Object::Link(ns, name, link) => self.change_link(*ns, name, link),
            Object::Address(ns, link, address) => self.create_address(*ns, link, *address),
            Object::Neighbour(ns, link, address, mac) => {
                self.write_neighbour(*ns, link, *address, *mac, create)
            }
            Object::NextHop(id, next_hop) => self.write_next_hop(*id, next_hop, create),
            Object::Route(key, route) => self.write_route(*key, route, create),
            Object::Fdb(entry) if create => self.create_fdb(entry),
            Object::Fdb(_) => refuse(libc::EOPNOTSUPP, "nothing to change"),
            Object::Qdisc(link, qdisc) => self.write_qdisc(link, qdisc, create),
            Object::Redirect(link, to) => self.write_redirect(link, to.as_ref(), create),
            Object::Table(_) | Object::Chain(..) | Object::Set(..) | Object::Element(..) => {
                self.write_nft(object, create)
            }
        }
    }

    fn create_link(&mut self, ns: Ns, name: &IfName, link: &Link) -> OpResult {
        let LinkKind::Veth { peer_ns, peer } = &link.kind else {
            return self.create_device(ns, name, link);
        };
        let there = |kernel: &Self, ns, name| kernel.link(ns, name).is_some();
        if !self.spaces.contains_key(&ns) || !self.spaces.contains_key(peer_ns) {
            return refuse(libc::ENODEV, "no such namespace");
        }
        if there(self, ns, name) || there(self, *peer_ns, peer) || (ns, name) == (*peer_ns, peer) {
            return refuse(libc::EEXIST, "");
        }
        let group = self.owner.link_group;
        let end = |index: u32, name: &IfName, other: (Ns, IfName)| FakeLink {
            index,
            peer: Some(other),
            kind: LinkKind::VethPeer,
            mac: dice(name),
            mtu: 1500,
            up: false,
            alias: None,
            group,
            port: None,
            plugged: true,
        };
        let mut this = end(self.new_index(), name, (*peer_ns, peer.clone()));
        this.mac = link.mac.unwrap_or(this.mac);
        this.mtu = link.mtu.unwrap_or(this.mtu);
        this.alias.clone_from(&link.alias);
        let other = end(self.new_index(), peer, (ns, name.clone()));
        self.insert_link(*peer_ns, peer, other);
        self.insert_link(ns, name, this);
        if link.up {
            self.set_up(ns, name, true, By::Us);
        }
        Ok(())
    }

    fn change_link(&mut self, ns: Ns, name: &IfName, wanted: &Link) -> OpResult {
        let ours = self.is_link_ours(ns, name);
        let foreign = matches!(wanted.kind, LinkKind::Foreign);
        if self.link(ns, name).is_none() {
            return refuse(libc::ENODEV, "");
        }
        if !ours && !foreign {
            return refuse(libc::EPERM, "somebody else's link");
        }
        self.check_mtu(ns, wanted)?;
        if let Some(port) = &wanted.port {
            self.check_bridge(ns, &port.bridge)?;
        }
        if let LinkKind::Vlan { parent, .. } = &wanted.kind
            && wanted.up
            && !self.link(ns, parent).is_some_and(|parent| parent.up)
        {
            return refuse(libc::ENETDOWN, "");
        }
        if !foreign {
            self.set_port(ns, name, wanted.port.clone());
        }
        let Some(link) = self.link_mut(ns, name) else { return refuse(libc::ENODEV, "") };
        if let Some(alias) = &wanted.alias {
            link.alias = Some(alias.clone());
        }
        if let Some(mtu) = wanted.mtu {
            link.mtu = mtu;
        }
        if let LinkKind::Bridge { .. } = wanted.kind {
            link.kind = wanted.kind.clone();
        }
        if let Some(mac) = wanted.mac {
            self.set_mac(ns, name, mac);
        }
        self.set_up(ns, name, wanted.up, By::Us);
        Ok(())
    }

    fn create_address(&mut self, ns: Ns, link: &IfName, address: IpNet) -> OpResult {
        if self.link(ns, link).is_none() {
            return refuse(libc::ENODEV, "");
        }
        let protocol = self.owner.protocol;
        let Some(space) = self.spaces.get_mut(&ns) else { return refuse(libc::ENODEV, "") };
        if space.addresses.iter().any(|(l, a, _)| l == link && *a == address) {
            return refuse(libc::EEXIST, "");
        }
        space.addresses.push((link.clone(), address, protocol));
        Ok(())
    }

    fn write_neighbour(
        &mut self,
        ns: Ns,
        link: &IfName,
        address: IpAddr,
        mac: Mac,
        create: bool,
    ) -> OpResult {
        if self.link(ns, link).is_none() {
            return refuse(libc::ENODEV, "");
        }
        let protocol = self.owner.protocol;
        let ours = self.is_neighbour_ours(ns, link, address);
        let Some(space) = self.spaces.get_mut(&ns) else { return refuse(libc::ENODEV, "") };
        let key = (link.clone(), address);
        match (create, space.neighbours.contains_key(&key)) {
            (true, true) => refuse(libc::EEXIST, ""),
            (false, false) => refuse(libc::ENOENT, ""),
            (false, true) if !ours => refuse(libc::EPERM, "somebody else's entry"),
            _ => {
                space.neighbours.insert(key, (mac, protocol));
                Ok(())
            }
        }
    }

    fn write_next_hop(&mut self, id: NextHopId, next_hop: &NextHop, create: bool) -> OpResult {
        match (create, self.next_hops.get(&id).map(|(held, _)| held)) {
            (true, Some(_)) => return refuse(libc::EEXIST, ""),
            (false, None) => return refuse(libc::ENOENT, ""),
            (false, Some(_)) if !self.is_next_hop_ours(id) => {
                return refuse(libc::EPERM, "somebody else's next hop");
            }
            (false, Some(held)) if std::mem::discriminant(held) != std::mem::discriminant(next_hop) => {
                return refuse(libc::EINVAL, "Can not replace a nexthop with a nexthop group.");
            }
            _ => {}
        }
        match next_hop {
            NextHop::Single { via, link, onlink } => {
                self.check_link(link)?;
                self.check_gateway(Ns::HOST, *via, link, *onlink)?;
            }
            NextHop::Group(members) => {
                let single = |id| matches!(self.next_hops.get(id), Some((NextHop::Single { .. }, _)) if *id != NextHopId(0));
                if members.is_empty() || !members.iter().all(single) {
                    return refuse(libc::EINVAL, "Invalid nexthop id.");
                }
            }
        }
        self.next_hops.insert(id, (next_hop.clone(), self.owner.protocol));
        Ok(())
    }

    /// A nexthop object needs its link up and with a carrier.
    fn check_link(&self, link: &IfName) -> OpResult {
        match self.link(Ns::HOST, link) {
            None => refuse(libc::ENODEV, ""),
            Some(link) if !link.up => refuse(libc::ENETDOWN, "Nexthop device is not up."),
            Some(link) if !self.has_carrier(link) => {
                refuse(libc::ENETDOWN, "Carrier for nexthop device is down.")
            }
            Some(_) => Ok(()),
        }
    }

    fn check_gateway(&self, ns: Ns, via: IpAddr, link: &IfName, onlink: bool) -> OpResult {
        let link_local = matches!(via, IpAddr::V6(a) if a.is_unicast_link_local());
        let covered = self.spaces.get(&ns).is_some_and(|space| {
            let by_address =
                |(l, net, _): &(IfName, IpNet, u8)| l == link && net.contains(&via) && net.addr() != via;
            // A route out of the link makes a neighbour of what it covers.
            let by_route = |(key, (route, _)): (&RouteKey, &(Route, u8))| {
                let target = RouteTarget::Link { link: link.clone(), via: None };
                route.target == target && key.prefix.contains(&via)
            };
            space.addresses.iter().any(by_address) || space.routes.iter().any(by_route)
        });
        if onlink || link_local || covered {
            return Ok(());
        }
        let errno = if via.is_ipv4() { libc::ENETUNREACH } else { libc::EHOSTUNREACH };
        refuse(errno, "Nexthop has invalid gateway.")
    }

    fn write_route(&mut self, key: RouteKey, route: &Route, create: bool) -> OpResult {
        let Some(space) = self.spaces.get(&key.ns) else { return refuse(libc::ENODEV, "") };
        match (create, space.routes.get(&key)) {
            (true, Some(_)) => return refuse(libc::EEXIST, ""),
            (false, None) => return refuse(libc::ENOENT, ""),
            (false, Some((_, protocol))) if *protocol != self.owner.protocol => {
                return refuse(libc::EEXIST, "somebody else's route");
            }
            _ => {}
        }
        match &route.target {
            RouteTarget::NextHop(id) => {
                if key.ns != Ns::HOST || !self.next_hops.contains_key(id) {
                    return refuse(libc::EINVAL, "Nexthop id does not exist.");
                }
                if matches!(key.prefix, IpNet::V6(_)) && self.leads_to_v4(*id) {
                    return refuse(libc::EINVAL, "IPv6 routes can not use an IPv4 nexthop.");
                }
            }
            RouteTarget::Link { link, via } => {
                match self.link(key.ns, link) {
                    None => return refuse(libc::ENODEV, ""),
                    Some(link) if !link.up => {
                        return refuse(libc::ENETDOWN, "Device for nexthop is not up.");
                    }
                    Some(_) => {}
                }
                if let Some(via) = via {
                    self.check_gateway(key.ns, *via, link, false)?;
                }
            }
            RouteTarget::Unreachable | RouteTarget::Blackhole => {}
        }
        if route.preferred_source.is_some_and(|source| !space.is_local(source)) {
            return refuse(libc::EINVAL, "Invalid prefsrc address.");
        }
        let protocol = self.owner.protocol;
        if let Some(space) = self.spaces.get_mut(&key.ns) {
            space.routes.insert(key, (route.clone(), protocol));
        }
        Ok(())
    }

    pub(super) fn is_link_ours(&self, ns: Ns, name: &IfName) -> bool {
        matches!(self.link_state(ns, name), Some(Observed::Link(state)) if self.owner.owns_link(&state))
    }

    fn is_next_hop_ours(&self, id: NextHopId) -> bool {
        self.next_hops.get(&id).is_some_and(|(_, protocol)| self.owner.owns_next_hop(id, *protocol))
    }

    fn is_address_ours(&self, ns: Ns, link: &IfName, address: IpNet) -> Option<bool> {
        let space = self.spaces.get(&ns)?;
        let (_, _, protocol) = space.addresses.iter().find(|(l, a, _)| l == link && *a == address)?;
        let object = Object::Address(ns, link.clone(), address);
        Some(self.owner.owns_on_link(&object, *protocol, self.is_link_ours(ns, link)))
    }

    fn is_neighbour_ours(&self, ns: Ns, link: &IfName, address: IpAddr) -> bool {
        let entry = self.spaces.get(&ns).and_then(|s| s.neighbours.get(&(link.clone(), address)));
        entry.is_some_and(|(mac, protocol)| {
            let object = Object::Neighbour(ns, link.clone(), address, *mac);
            self.owner.owns_on_link(&object, *protocol, self.is_link_ours(ns, link))
        })
    }

    fn leads_to_v4(&self, id: NextHopId) -> bool {
        match self.next_hops.get(&id).map(|(n, _)| n) {
            Some(NextHop::Single { via, .. }) => via.is_ipv4(),
            Some(NextHop::Group(members)) => members.iter().any(|m| self.leads_to_v4(*m)),
            None => false,
        }
    }

    fn delete(&mut self, key: &Key) -> OpResult {
        match key {
            Key::Sysctl(..) => refuse(libc::EINVAL, "a sysctl cannot be removed"),
            Key::Link(ns, name) => {
                if self.link(*ns, name).is_none() {
                    return refuse(libc::ENODEV, "");
                }
                if !self.is_link_ours(*ns, name) {
                    return refuse(libc::EPERM, "somebody else's link");
                }
                self.remove_link(*ns, name, By::Us);
                Ok(())
            }
            Key::Address(ns, link, address) => {
                if self.link(*ns, link).is_none() {
                    return refuse(libc::ENODEV, "");
                }
                let ours = self.is_address_ours(*ns, link, *address);
                match ours {
                    None => refuse(libc::EADDRNOTAVAIL, "ipv4: Address not found."),
                    Some(false) => refuse(libc::EPERM, "somebody else's address"),
                    Some(true) => {
                        self.remove_address(*ns, link, *address, By::Us);
                        Ok(())
                    }
                }
            }
            Key::Neighbour(ns, link, address) => {
                let there =
                    self.spaces.get(ns).is_some_and(|s| s.neighbours.contains_key(&(link.clone(), *address)));
                if there && !self.is_neighbour_ours(*ns, link, *address) {
                    return refuse(libc::EPERM, "somebody else's entry");
                }
                let space = self.spaces.get_mut(ns).filter(|space| space.links.contains_key(link));
                match space.map(|s| s.neighbours.remove(&(link.clone(), *address))) {
                    None => refuse(libc::ENODEV, ""),
                    Some(None) => refuse(libc::ENOENT, ""),
                    Some(Some(_)) => Ok(()),
                }
            }
            Key::NextHop(id) => {
                if !self.next_hops.contains_key(id) {
                    return refuse(libc::ENOENT, "");
                }
                if !self.is_next_hop_ours(*id) {
                    return refuse(libc::EPERM, "somebody else's next hop");
                }
                self.remove_next_hop(*id);
                Ok(())
            }
            Key::Route(key) => {
                let protocol = self.owner.protocol;
                let routes = self.spaces.get_mut(&key.ns).map(|s| &mut s.routes);
                match routes {
                    Some(routes) if routes.get(key).is_some_and(|(_, p)| *p == protocol) => {
                        routes.remove(key);
                        Ok(())
                    }
                    _ => refuse(libc::ESRCH, ""),
                }
            }
            Key::Fdb(entry) => self.delete_fdb(entry),
            Key::Qdisc(link) => self.delete_qdisc(link),
            Key::Redirect(link) => self.delete_redirect(link),
            Key::Table(_) | Key::Chain(_) | Key::Set(_) | Key::Element(..) => self.delete_nft(key),
        }
    }
}
