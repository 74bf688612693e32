//! What others do: one socket per concern in the host's namespace.
//!
//! Our own changes are announced too, to everybody. They are filtered out: by the kernel where it says who asked
//! (`nlmsg_pid` is the address of our request socket), here where it does not:
//!
//! | announcement | `nlmsg_pid` | so |
//! |---|---|---|
//! | routes, next hops, IPv4 addresses, new neighbours | of the asking socket | dropped by a filter on our sockets, before it takes up room |
//! | IPv6 addresses, neighbours that go | 0 | those that we have just deleted are remembered; new IPv6 addresses of our protocol are ours |
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
    interfaces::Change,
    link, neighbour, nexthop, route,
    sys::{Instruction, attach_filter},
    uapi::{
        NLM_F_REPLACE, NUD_PERMANENT, RTM_DELADDR, RTM_DELLINK, RTM_DELNEIGH, RTM_DELNEXTHOP, RTM_DELROUTE,
        RTM_NEWNEIGH, RTN_UNICAST, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR,
        RTNLGRP_IPV6_ROUTE, RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_NEXTHOP,
    },
};
use crate::model::{Concern, Event, IfName, Key, NextHopId, Ns, Object, Observed};

/// How many announcements of one concern are read before the others get their turn. A flood (a full table of
/// another routing daemon) must not keep commands waiting for ever.
const TURN: usize = 4096;

/// Links come first: the others name them by index.
const GROUPS: [(Concern, &[u32]); 5] = [
    (Concern::Links, &[RTNLGRP_LINK]),
    (Concern::Addresses, &[RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR]),
    (Concern::Neighbours, &[RTNLGRP_NEIGH]),
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
}

impl Echoes {
    /// The kernel announces before it answers: when all news has been read, nothing more is to come.
    pub(super) fn clear(&mut self) {
        self.links.clear();
        self.addresses.clear();
        self.neighbours.clear();
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

/// `BPF_STMT` and `BPF_JUMP` of linux/filter.h.
const fn statement(code: u32, k: u32) -> Instruction {
    Instruction { code: code as u16, jt: 0, jf: 0, k }
}

const fn jump_if_equal(k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt, jf, k }
}

const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const DROP: Instruction = statement(libc::BPF_RET | libc::BPF_K, 0);
const PASS: Instruction = statement(libc::BPF_RET | libc::BPF_K, u32::MAX);

/// Drops what `port` caused. The machine loads in network byte order what netlink writes in the host's.
pub(super) fn echo_filter(port: u32) -> [Instruction; 4] {
    [
        statement(LOAD_WORD, 12), // nlmsg_pid
        jump_if_equal(port.to_be(), 0, 1),
        DROP,
        PASS,
    ]
}

/// As [`echo_filter`], and of neighbours that come only the permanent ones: the kernel's own cache has no end of
/// changes. Those that go pass, as they have lost the flag by then.
fn neighbour_filter(port: u32) -> [Instruction; 8] {
    let bit = u32::from(NUD_PERMANENT.to_be());
    [
        statement(LOAD_WORD, 12), // nlmsg_pid
        jump_if_equal(port.to_be(), 4, 0),
        statement(LOAD_HALF, 4), // nlmsg_type
        jump_if_equal(u32::from(RTM_NEWNEIGH.to_be()), 0, 3),
        statement(LOAD_HALF, 16 + 8), // ndm_state
        Instruction { code: (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16, jt: 1, jf: 0, k: bit },
        DROP,
        PASS,
    ]
}

impl Engine {
    /// Reads and tells all news there is.
    pub(super) fn watch(&mut self) {
        let ready = self.monitor.ready();
        let mut all = true;
        for at in ready {
            all &= self.read_news(at);
        }
        if all {
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
            Concern::Addresses | Concern::Neighbours | Concern::Fdb => {}
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
            Concern::Nft => self.nft_news(message),
            Concern::Fdb => {}
        }
    }

    fn link_news(&mut self, message: Message<'_>) {
        let Some(state) = link::decode(Ns::HOST, message) else { return };
        self.contested.doubt();
        if message.kind == RTM_DELLINK {
            self.resolver.disturb();
            let Some(state) = self.interfaces.remove(state.index) else { return };
            self.monitor.former.insert(state.index, state.name.clone());
            if !self.echoes.links.remove(&state.index) {
                self.tell(Event::Gone(Key::Link(Ns::HOST, state.name)));
            }
            return;
        }
        match self.interfaces.note(&state) {
            Change::None => return,
            Change::State => {}
            Change::Renamed(former) => self.tell(Event::Gone(Key::Link(Ns::HOST, former))),
        }
        self.resolver.disturb();
        self.tell(Event::Object(Observed::Link(state)));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough of the BPF machine for the filters here: what does the program return for these bytes?
    fn run(program: &[Instruction], bytes: &[u8]) -> u32 {
        let (mut accumulator, mut at) = (0u32, 0usize);
        loop {
            let i = program[at];
            let load =
                |size: usize| bytes[i.k as usize..].iter().take(size).fold(0, |n, b| n << 8 | u32::from(*b));
            at += 1;
            match u32::from(i.code) {
                LOAD_WORD => accumulator = load(4),
                LOAD_HALF => accumulator = load(2),
                code if code & 7 == libc::BPF_RET => return i.k,
                code => {
                    let holds = if code & 0x70 == libc::BPF_JSET {
                        accumulator & i.k != 0
                    } else {
                        accumulator == i.k
                    };
                    at += usize::from(if holds { i.jt } else { i.jf });
                }
            }
        }
    }

    fn announcement(kind: u16, port: u32, state: u16) -> Vec<u8> {
        let mut bytes = vec![28, 0, 0, 0];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&port.to_ne_bytes());
        bytes.extend_from_slice(&[2, 0, 0, 0, 9, 0, 0, 0]);
        bytes.extend_from_slice(&state.to_ne_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes
    }

    #[test]
    fn what_our_socket_caused_is_dropped_and_nothing_else() {
        for port in [1, 4711, 0x8000_0001, u32::MAX] {
            assert_eq!(run(&echo_filter(port), &announcement(24, port, 0)), 0);
            assert_ne!(run(&echo_filter(port), &announcement(24, 0, 0)), 0);
            assert_ne!(run(&echo_filter(port), &announcement(24, port ^ 1, 0)), 0);
        }
    }

    #[test]
    fn of_new_neighbours_only_permanent_ones_pass_of_those_that_go_all() {
        let passes = |kind, port, state| run(&neighbour_filter(77), &announcement(kind, port, state)) != 0;
        assert!(passes(RTM_NEWNEIGH, 0, NUD_PERMANENT));
        assert!(!passes(RTM_NEWNEIGH, 0, 0x02));
        assert!(!passes(RTM_NEWNEIGH, 77, NUD_PERMANENT));
        assert!(passes(RTM_DELNEIGH, 0, 0x20));
        assert!(!passes(RTM_DELNEIGH, 77, 0x20));
    }
}
