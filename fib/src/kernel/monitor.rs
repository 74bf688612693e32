//! What others do: one socket per concern in the host's namespace.
//!
//! Our own changes are announced too, to everybody. They are filtered out: by the kernel where it says who asked
//! (`nlmsg_pid` is the address of our request socket), here where it does not:
//!
//! | announcement | `nlmsg_pid` | so |
//! |---|---|---|
//! | routes, next hops, IPv4 addresses, new neighbours | of the asking socket | dropped by a filter on our sockets, before it takes up room |
//! | IPv6 addresses, neighbours that go, forwarding entries | 0 | those that we have just deleted (forwarding entries: made, too) are remembered; new IPv6 addresses of our protocol are ours |
//! | qdiscs, filters | of the asking socket | dropped by a filter too; that there is other news of a link of ours is told as [`Event::Overrun`]: what it leads to is simpler seen than followed |
//! | links | mostly 0 | told whenever the state differs from the one told last, whoever changed it; only the end of a link that we deleted is not told |

use std::{
    collections::{HashMap, HashSet},
    io,
    net::IpAddr,
    os::fd::AsFd,
};

use ipnet::IpNet;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    address,
    channel::{self, enlarge},
    codec::{Message, messages},
    contested::Foreign,
    engine::Engine,
    fdb,
    filter::{echo_filter, fdb_filter, neighbour_filter},
    interfaces::Change,
    link, neighbour, nexthop, port, route,
    sys::attach_filter,
    tc,
    uapi::{
        NLM_F_REPLACE, RTM_DELADDR, RTM_DELLINK, RTM_DELNEIGH, RTM_DELNEXTHOP, RTM_DELROUTE, RTM_NEWNEIGH,
        RTN_UNICAST, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,
        RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_NEXTHOP, RTNLGRP_TC,
    },
};
use crate::model::{
    Concern, Event, FdbKey, FdbTarget, IfName, Key, LinkState, NextHopId, Ns, Object, Observed,
};

/// How many announcements of one concern are read before the others get their turn. A flood (a full table of
/// another routing daemon) must not keep commands waiting for ever.
const TURN: usize = 4096;

/// Links come first: the others name them by index.
const GROUPS: [(Concern, &[u32]); 7] = [
    (Concern::Links, &[RTNLGRP_LINK]),
    (Concern::Addresses, &[RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR]),
    (Concern::Neighbours, &[RTNLGRP_NEIGH]),
    (Concern::Fdb, &[RTNLGRP_NEIGH]),
    (Concern::Tc, &[RTNLGRP_TC]),
    (Concern::NextHops, &[RTNLGRP_NEXTHOP]),
    (Concern::Routes, &[RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE]),
];

/// The sockets that announcements come in by.
pub(super) struct Monitor {
    sockets: Vec<(Concern, Socket)>,
    inbox: Vec<u8>,
    /// Names of links that went away while news about what was on them may still be unread.
    former: HashMap<u32, IfName>,
}

/// Announcements to come that are about deletions of our own, and do not say so.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    pub(super) links: HashSet<u32>,
    pub(super) addresses: HashSet<(u32, IpNet)>,
    pub(super) neighbours: HashSet<(u32, IpAddr)>,
    /// With whether it was made, or deleted.
    pub(super) fdb: HashSet<(fdb::Seen, bool)>,
}

impl Echoes {
    /// The kernel announces before it answers: when all news has been read, nothing more is to come.
    pub(super) fn clear(&mut self) {
        self.links.clear();
        self.addresses.clear();
        self.neighbours.clear();
        self.fdb.clear();
    }
}

impl Monitor {
    /// Subscribes. `port` is the address of the socket whose doings are not news.
    pub(super) fn open(port: u32, receive_buffer: usize) -> io::Result<Self> {
        let mut sockets = Vec::with_capacity(GROUPS.len());
        for (concern, groups) in GROUPS {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            enlarge(&socket, receive_buffer)?;
            socket.set_non_blocking(true)?;
            match concern {
                // See above: a link's state is told whoever changed it.
                Concern::Links => {}
                Concern::Neighbours => attach_filter(&socket, &neighbour_filter(port))?,
                Concern::Fdb => attach_filter(&socket, &fdb_filter())?,
                _ => attach_filter(&socket, &echo_filter(port))?,
            }
            socket.bind(&SocketAddr::new(0, 0))?;
            for group in groups {
                match socket.add_membership(*group) {
                    // a kernel without IPv6 or without nexthop objects
                    Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                    other => other?,
                }
            }
            sockets.push((concern, socket));
        }
        Ok(Self { sockets, inbox: Vec::new(), former: HashMap::new() })
    }

    /// Listens to one more socket.
    pub(super) fn add(&mut self, concern: Concern, socket: Socket) {
        self.sockets.push((concern, socket));
    }

    /// To wait for news.
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.sockets.iter().map(|(_, socket)| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN))
    }

    /// Which sockets have news now, by position.
    fn ready(&self) -> Vec<usize> {
        let mut fds: Vec<_> = self.poll_fds().collect();
        // Not at all certain when interrupted, so all are looked at then.
        let certain = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok();
        (0..fds.len())
            .filter(|at| !certain || fds.get(*at).is_some_and(|fd| !fd.revents().is_empty()))
            .collect()
    }
}

impl Engine {
    /// Reads and tells all news there is.
    pub(super) fn watch(&mut self) {
        let ready = self.monitor.ready();
        let mut all = true;
        for at in &ready {
            all &= self.read_news(*at);
        }
        // What came in meanwhile may speak of a link that is gone, and be on a socket that has not been read.
        if all && (ready.is_empty() || self.monitor.ready().is_empty()) {
            self.monitor.former.clear();
            self.echoes.clear();
        }
    }

    /// Reads one socket's news; true when all is read.
    fn read_news(&mut self, at: usize) -> bool {
        let mut inbox = std::mem::take(&mut self.monitor.inbox);
        let mut all = false;
        for _ in 0..TURN {
            let Some((concern, socket)) = self.monitor.sockets.get(at) else { break };
            let concern = *concern;
            match channel::read(socket, &mut inbox, libc::MSG_DONTWAIT) {
                Ok(()) => messages(&inbox).for_each(|message| self.news(concern, message)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    all = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // ENOBUFS: the buffer was full. Or a message larger than ours: it is lost just the same.
                Err(_) => self.overrun(concern),
            }
        }
        // read_news may have been called in between, for links
        if inbox.capacity() > self.monitor.inbox.capacity() {
            self.monitor.inbox = inbox;
        }
        all
    }

    /// News was lost: what was known from it no longer is.
    fn overrun(&mut self, concern: Concern) {
        match concern {
            Concern::Links => {
                if let Err(error) = self.scan_links() {
                    tracing::error!(%error, "the host's links cannot be read");
                }
            }
            Concern::NextHops => self.contested.lose_next_hops(),
            Concern::Routes => self.contested.lose_routes(),
            Concern::Nft => self.nft.forget(),
            Concern::Addresses | Concern::Neighbours | Concern::Fdb | Concern::Tc => {}
        }
        self.resolver.disturb();
        self.tell(Event::Overrun(concern));
    }

    fn news(&mut self, concern: Concern, message: Message<'_>) {
        match concern {
            Concern::Links => self.link_news(message),
            Concern::Addresses => self.address_news(message),
            Concern::Neighbours => self.neighbour_news(message),
            Concern::NextHops => self.next_hop_news(message),
            Concern::Routes => self.route_news(message),
            Concern::Fdb => self.fdb_news(message),
            Concern::Tc => self.tc_news(message),
            Concern::Nft => self.nft_news(message),
        }
    }

    fn link_news(&mut self, message: Message<'_>) {
        let Some(seen) = link::decode(Ns::HOST, message) else { return self.port_news(message) };
        self.contested.doubt();
        if message.kind == RTM_DELLINK {
            self.resolver.disturb();
            let Some(state) = self.interfaces.remove(seen.index()) else { return };
            self.monitor.former.insert(state.index, state.name.clone());
            if !self.echoes.links.remove(&state.index) {
                self.tell(Event::Gone(Key::Link(Ns::HOST, state.name)));
            }
            return;
        }
        let state = seen.state(|index| self.interfaces.name(index));
        self.note_link(state);
    }

    /// A bridge on one of its ports: how it is set now, or that it has left.
    fn port_news(&mut self, message: Message<'_>) {
        let Some(news) = port::decode_news(message) else { return };
        let Some(mut state) = self.interfaces.get(news.link).cloned() else { return };
        state.port = news.port.and_then(|(bridge, flags)| Some(flags.on(self.interfaces.name(bridge)?)));
        self.note_link(state);
    }

    /// Takes in a link's state and tells it if it is new.
    fn note_link(&mut self, state: LinkState) {
        let mut followers = Vec::new();
        match self.interfaces.note(&state) {
            Change::None => return,
            Change::State => {}
            Change::Renamed(former) => {
                followers = self.interfaces.follow(&former, &state.name);
                self.tell(Event::Gone(Key::Link(Ns::HOST, former)));
            }
        }
        self.resolver.disturb();
        self.tell(Event::Object(Observed::Link(state)));
        for follower in followers {
            self.tell(Event::Object(Observed::Link(follower)));
        }
    }

    /// The name of a link that an announcement speaks of by index.
    fn name_of(&mut self, index: u32) -> Option<IfName> {
        if self.interfaces.get(index).is_none() {
            // It may have appeared after the news about links was read.
            self.read_news(0);
        }
        self.interfaces.name(index).or_else(|| self.monitor.former.get(&index).cloned())
    }

    fn address_news(&mut self, message: Message<'_>) {
        let Some(seen) = address::decode(message) else { return };
        self.resolver.disturb();
        let Some(name) = self.name_of(seen.link) else { return };
        if message.kind == RTM_DELADDR {
            self.contested.doubt();
            if !self.echoes.addresses.remove(&(seen.link, seen.address)) {
                self.tell(Event::Gone(Key::Address(Ns::HOST, name, seen.address)));
            }
        } else if seen.protocol != self.owner.protocol {
            let object = Object::Address(Ns::HOST, name, seen.address);
            self.tell(Event::Object(Observed::Object { object, protocol: seen.protocol }));
        }
    }

    fn neighbour_news(&mut self, message: Message<'_>) {
        let Some(seen) = neighbour::decode(message) else { return };
        let Some(name) = self.name_of(seen.link) else { return };
        if message.kind == RTM_DELNEIGH {
            if !self.echoes.neighbours.remove(&(seen.link, seen.address)) {
                self.tell(Event::Gone(Key::Neighbour(Ns::HOST, name, seen.address)));
            }
        } else if let Some(mac) = seen.mac
            && seen.permanent
        {
            let object = Object::Neighbour(Ns::HOST, name, seen.address, mac);
            self.tell(Event::Object(Observed::Object { object, protocol: seen.protocol }));
        }
    }

    fn fdb_news(&mut self, message: Message<'_>) {
        let Some(seen) = fdb::decode(message) else { return };
        let Some(link) = self.name_of(seen.link) else { return };
        let made = message.kind == RTM_NEWNEIGH;
        if self.echoes.fdb.remove(&(seen, made)) {
            return;
        }
        let key = FdbKey { link: link.clone(), mac: seen.mac, target: seen.target };
        if !made {
            return self.tell(Event::Gone(Key::Fdb(key)));
        }
        self.tell(Event::Object(Observed::Object { object: Object::Fdb(key), protocol: 0 }));
        // A bridge has one entry per address. If another port of it held this one, nothing says that it is gone there.
        if seen.target == FdbTarget::Port && self.is_port_of_ours(seen.link) {
            self.tell(Event::Overrun(Concern::Fdb));
        }
    }

    fn tc_news(&mut self, message: Message<'_>) {
        let Some(index) = tc::link_of(message) else { return };
        if self.name_of(index).is_some()
            && self.interfaces.get(index).is_some_and(|link| self.owner.owns_link(link))
        {
            self.tell(Event::Overrun(Concern::Tc));
        }
    }

    fn is_port_of_ours(&self, index: u32) -> bool {
        let bridge = self.interfaces.get(index).and_then(|link| link.port.as_ref()).map(|port| &port.bridge);
        let bridge = bridge.and_then(|name| self.interfaces.get(self.interfaces.index(name)?));
        bridge.is_some_and(|bridge| self.owner.owns_link(bridge))
    }

    fn next_hop_news(&mut self, message: Message<'_>) {
        let Some(seen) = nexthop::decode(message) else { return };
        let foreign = seen.protocol != self.owner.protocol;
        if foreign {
            self.resolver.disturb();
        }
        let gone = Event::Gone(Key::NextHop(NextHopId(seen.id)));
        if message.kind == RTM_DELNEXTHOP {
            self.contested.next_hop_gone(seen.id);
            self.contested.doubt();
            return self.tell(gone);
        }
        self.contested.next_hop(seen.id, foreign);
        if let Some(object) = seen.object(|index| self.name_of(index)) {
            self.tell(Event::Object(Observed::Object { object, protocol: seen.protocol }));
        } else if self.owner.next_hop_ids.contains(&seen.id) {
            // Made into something that we have no words for: what we had is gone.
            self.tell(gone);
        }
    }

    fn route_news(&mut self, message: Message<'_>) {
        let Some(seen) = route::decode(message) else { return };
        if seen.special {
            return;
        }
        let key = seen.key(Ns::HOST);
        if seen.protocol != self.owner.protocol {
            if seen.kind == RTN_UNICAST {
                self.resolver.disturb_soon();
            }
            if !self.owner.is_learned(&key) {
                return self.contested.route(seen.protocol, None);
            }
            if message.kind == RTM_DELROUTE {
                if self.contested.route_gone(&key) == Some(Foreign::Alone) {
                    self.tell(Event::Gone(Key::Route(key)));
                }
                return;
            }
            let replaced = message.flags & NLM_F_REPLACE != 0;
            self.contested
                .route(seen.protocol, Some((key, if replaced { Foreign::Alone } else { Foreign::Beside })));
            if !replaced {
                return;
            }
        } else if message.kind == RTM_DELROUTE {
            return self.tell(Event::Gone(Key::Route(key)));
        }
        let protocol = seen.protocol;
        match seen.object(Ns::HOST, |index| self.name_of(index)) {
            Some(object) => self.tell(Event::Object(Observed::Object { object, protocol })),
            None => self.tell(Event::Gone(Key::Route(key))),
        }
    }
}
