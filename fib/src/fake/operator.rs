//! What others do: the operator, other daemons, the hardware. And a look at the result.

use std::{fmt::Write, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{By, FakeKernel, FakeLink, Space, dice};
use crate::{
    model::{
        IfName, Key, LinkKind, Mac, NextHop, NextHopId, Ns, Object, Qdisc, Route, RouteKey, RouteTarget,
    },
    owner::Owner,
};

impl FakeKernel {
    /// A namespace appears, with `lo` in it, up.
    pub fn add_ns(&mut self, ns: Ns) {
        let mut space = Space::default();
        let paths = [
            "net/ipv4/ip_forward",
            "net/ipv4/fib_multipath_hash_policy",
            "net/ipv4/nexthop_compat_mode",
            "net/ipv6/conf/all/forwarding",
            "net/ipv6/fib_multipath_hash_policy",
        ];
        for path in paths {
            space.sysctls.insert(Arc::from(path), Arc::from("0"));
        }
        self.spaces.insert(ns, space);
        if let Some(lo) = IfName::new("lo") {
            self.add_link(ns, &lo);
            self.set_link_up(ns, &lo, true);
        }
    }

    /// A namespace goes, with everything in it.
    pub fn remove_ns(&mut self, ns: Ns) {
        let links: Vec<IfName> =
            self.spaces.get(&ns).map(|s| s.links.keys().cloned().collect()).unwrap_or_default();
        for name in links {
            self.remove_link(ns, &name, By::Others);
        }
        self.spaces.remove(&ns);
    }

    /// A link of somebody else's, down, with its cable in.
    pub fn add_link(&mut self, ns: Ns, name: &IfName) {
        if self.link(ns, name).is_some() {
            return;
        }
        let index = self.new_index();
        let link = FakeLink {
            index,
            peer: None,
            kind: LinkKind::Foreign,
            mac: dice(name),
            mtu: 1500,
            up: false,
            alias: None,
            group: 0,
            port: None,
            plugged: true,
        };
        self.insert_link(ns, name, link);
        self.announce_link(ns, name);
    }

    /// Somebody gives a link the owner's group.
    pub fn mark_link(&mut self, ns: Ns, name: &IfName) {
        let group = self.owner.link_group;
        if let Some(link) = self.link_mut(ns, name) {
            link.group = group;
            self.announce_link(ns, name);
        }
    }

    /// Somebody takes the owner's group off a link: it is his now.
    pub fn unmark_link(&mut self, ns: Ns, name: &IfName) {
        if let Some(link) = self.link_mut(ns, name) {
            link.group = 0;
            self.announce_link(ns, name);
        }
    }

    /// The file of a namespace now names a fresh one. The old one lives on, out of reach, as `kept`.
    pub fn replace_ns(&mut self, ns: Ns, kept: Ns) {
        if let Some(space) = self.spaces.remove(&ns) {
            for other in self.spaces.values_mut() {
                for (peer_ns, _) in other.links.values_mut().filter_map(|link| link.peer.as_mut()) {
                    if *peer_ns == ns {
                        *peer_ns = kept;
                    }
                }
            }
            self.spaces.insert(kept, space);
        }
        self.add_ns(ns);
    }

    /// Somebody deletes a link, whosever it is.
    pub fn delete_link(&mut self, ns: Ns, name: &IfName) {
        self.remove_link(ns, name, By::Others);
    }

    /// Somebody sets a link up or down.
    pub fn set_link_up(&mut self, ns: Ns, name: &IfName, up: bool) {
        self.set_up(ns, name, up, By::Others);
    }

    /// The cable of a link that is no veth.
    pub fn plug(&mut self, name: &IfName, plugged: bool) {
        if let Some(link) = self.link_mut(Ns::HOST, name)
            && link.plugged != plugged
        {
            link.plugged = plugged;
            self.carrier_changed(Ns::HOST, name);
        }
    }

    /// Somebody changes a link's MTU and Ethernet address.
    pub fn meddle_with_link(&mut self, ns: Ns, name: &IfName, mtu: u32, mac: Mac) {
        if let Some(link) = self.link_mut(ns, name) {
            link.mtu = mtu;
            self.set_mac(ns, name, mac);
            self.announce_link(ns, name);
        }
    }

    /// Somebody adds an address.
    pub fn add_address(&mut self, ns: Ns, link: &IfName, address: IpNet, protocol: u8) {
        let there = self.link(ns, link).is_some();
        if let Some(space) = self.spaces.get_mut(&ns)
            && there
            && !space.addresses.iter().any(|(l, a, _)| l == link && *a == address)
        {
            space.addresses.push((link.clone(), address, protocol));
            self.announce(ns, Object::Address(ns, link.clone(), address), protocol);
        }
    }

    /// Somebody sets a permanent neighbour entry.
    pub fn set_neighbour(&mut self, ns: Ns, link: &IfName, address: IpAddr, mac: Mac, protocol: u8) {
        let there = self.link(ns, link).is_some();
        if let Some(space) = self.spaces.get_mut(&ns)
            && there
        {
            space.neighbours.insert((link.clone(), address), (mac, protocol));
            self.announce(ns, Object::Neighbour(ns, link.clone(), address, mac), protocol);
        }
    }

    /// Somebody sets a nexthop object.
    pub fn set_next_hop(&mut self, id: NextHopId, next_hop: NextHop, protocol: u8) {
        self.next_hops.insert(id, (next_hop.clone(), protocol));
        self.announce(Ns::HOST, Object::NextHop(id, next_hop), protocol);
    }

    /// Somebody sets a route, over whatever is there.
    pub fn set_route(&mut self, key: RouteKey, route: Route, protocol: u8) {
        if let Some(space) = self.spaces.get_mut(&key.ns) {
            space.routes.insert(key, (route.clone(), protocol));
            self.announce_route(key, route, protocol);
        }
    }

    /// Somebody removes something.
    pub fn take_away(&mut self, key: &Key) {
        match key {
            Key::Sysctl(..) => {}
            Key::Link(ns, name) => self.delete_link(*ns, name),
            Key::Address(ns, link, address) => {
                self.remove_address(*ns, link, *address, By::Others);
            }
            Key::Neighbour(ns, link, address) => {
                let entry = (link.clone(), *address);
                if self.spaces.get_mut(ns).is_some_and(|s| s.neighbours.remove(&entry).is_some()) {
                    self.announce_gone(*ns, key.clone());
                }
            }
            Key::NextHop(id) => {
                if self.remove_next_hop(*id) {
                    self.announce_gone(Ns::HOST, key.clone());
                }
            }
            Key::Fdb(entry) => self.take_fdb_away(entry),
            Key::Qdisc(link) => self.set_qdisc(link, None),
            Key::Redirect(link) => self.take_redirect_away(link),
            Key::Table(_) | Key::Chain(_) | Key::Set(_) | Key::Element(..) => self.take_nft_away(key),
            Key::Route(route) => {
                if self.spaces.get_mut(&route.ns).is_some_and(|s| s.routes.remove(route).is_some()) {
                    self.announce_gone(route.ns, key.clone());
                }
            }
        }
    }

    /// Keys of everything that bears the marks.
    pub fn keys_of(&self, owner: &Owner) -> Vec<Key> {
        self.lines(owner, true).into_iter().map(|(key, _)| key).collect()
    }

    /// What bears the marks, one object per line, in order.
    pub fn text_of(&self, owner: &Owner) -> String {
        join(self.lines(owner, true))
    }

    /// As [`FakeKernel::text_of`], with nexthop ids replaced by what they stand for: what a host does with packets,
    /// whatever numbers it has given.
    pub fn meaning_of(&self, owner: &Owner) -> String {
        let mut lines = Vec::new();
        for (key, text) in self.lines(owner, true) {
            lines.push(match &key {
                Key::NextHop(id) => format!("next hop {}", self.stands_for(*id)),
                Key::Route(route) => {
                    let held = self.spaces.get(&route.ns).and_then(|s| s.routes.get(route));
                    let by = held.map(|(route, _)| match route.target {
                        RouteTarget::NextHop(id) => {
                            format!("by {} from {:?}", self.stands_for(id), route.preferred_source)
                        }
                        _ => text.clone(),
                    });
                    format!("{key} {}", by.unwrap_or_default())
                }
                _ => format!("{key} {text}"),
            });
        }
        lines.sort();
        lines.join("\n")
    }

    fn stands_for(&self, id: NextHopId) -> String {
        match self.next_hops.get(&id).map(|(n, _)| n) {
            None => "nothing".to_owned(),
            Some(single @ NextHop::Single { .. }) => single.to_string(),
            Some(NextHop::Group(members)) => {
                let mut members: Vec<String> = members.iter().map(|m| self.stands_for(*m)).collect();
                members.sort();
                format!("group of {}", members.join(", "))
            }
        }
    }

    /// What does not bear the marks, one object per line, in order: must not change by what the owner does.
    pub fn text_of_others(&self, owner: &Owner) -> String {
        join(self.lines(owner, false))
    }

    fn lines(&self, owner: &Owner, ours: bool) -> Vec<(Key, String)> {
        let mut lines = Vec::new();
        let mut line = |mine: bool, key: Key, text: String| {
            if mine == ours {
                lines.push((key, text));
            }
        };
        for (ns, space) in &self.spaces {
            for (name, l) in &space.links {
                let marked = l.group == owner.link_group;
                let text = format!(
                    "{:?} {} mtu {} up {} alias {:?} port {:?}",
                    l.kind, l.mac, l.mtu, l.up, l.alias, l.port
                );
                line(marked, Key::Link(*ns, name.clone()), text);
            }
            for (link, address, protocol) in &space.addresses {
                let key = Key::Address(*ns, link.clone(), *address);
                line(*protocol == owner.protocol, key, format!("proto {protocol}"));
            }
            for ((link, address), (mac, protocol)) in &space.neighbours {
                let key = Key::Neighbour(*ns, link.clone(), *address);
                line(*protocol == owner.protocol, key, format!("{mac} proto {protocol}"));
            }
            for (key, (route, protocol)) in &space.routes {
                line(*protocol == owner.protocol, Key::Route(*key), format!("{route:?} proto {protocol}"));
            }
        }
        for entry in &self.fdb {
            let on = self.link(Ns::HOST, &entry.link);
            let marked = on.is_some_and(|l| l.group == owner.link_group);
            line(marked, Key::Fdb(entry.clone()), String::new());
        }
        for object in self.tc.objects() {
            let (Object::Qdisc(on, _) | Object::Redirect(on, _)) = &object else { continue };
            let on_marked = self.link(Ns::HOST, on).is_some_and(|l| l.group == owner.link_group);
            // What somebody put on a link of ours goes and gives way with it.
            if !(on_marked && matches!(object, Object::Qdisc(_, Qdisc::Foreign(_)))) {
                line(on_marked, object.key(), object.to_string());
            }
        }
        self.nft_lines(&mut line);
        for (id, (next_hop, protocol)) in &self.next_hops {
            let mine = owner.owns_next_hop(*id, *protocol);
            line(mine, Key::NextHop(*id), format!("{next_hop:?} proto {protocol}"));
        }
        lines.sort();
        lines
    }
}

fn join(lines: Vec<(Key, String)>) -> String {
    lines.into_iter().fold(String::new(), |mut all, (key, text)| {
        let _ = writeln!(all, "{key:?} {text}");
        all
    })
}
