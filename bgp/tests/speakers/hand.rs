//! One speaker, and a peer whose octets are made by hand.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use ipnet::IpNet;
use petiole_bgp::{
    rib::{Cursor, FibChange},
    speaker::{Action, Config, ConnId, PeerConfig, PeerEventKind, PeerId, Speaker, State},
    wire::{self, Capability, Family, Message, Notification, Open, RouteRefresh, RouteRefreshKind, Session},
};

use crate::net::{address, config, peer};

/// The end of the initial IPv4 routes.
pub(crate) fn end_of_rib() -> BytesMut {
    let mut octets = BytesMut::from(&[0xff; 16][..]);
    octets.extend_from_slice(&[0, 23, 2, 0, 0, 0, 0]);
    octets
}

/// An UPDATE that announces prefixes: ORIGIN, AS_PATH, NEXT_HOP, NLRI.
pub(crate) fn update(numbers: &[u32]) -> BytesMut {
    let attributes = [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xea, 0x40, 3, 4, 10, 0, 0, 2];
    let mut octets = BytesMut::from(&[0xff; 16][..]);
    let length = 19 + 4 + attributes.len() + 5 * numbers.len();
    octets.extend_from_slice(&(length as u16).to_be_bytes());
    octets.extend_from_slice(&[2, 0, 0, 0, attributes.len() as u8]);
    octets.extend_from_slice(&attributes);
    for number in numbers {
        octets.extend_from_slice(&[32]);
        octets.extend_from_slice(&(0xc0a8_0000 + number).to_be_bytes());
    }
    octets
}

/// A speaker, and the peer's end of its connection.
pub(crate) struct HandMade {
    pub(crate) speaker: Speaker,
    pub(crate) now: Instant,
    pub(crate) conn: ConnId,
    /// What the speaker has sent and nobody has looked at.
    pub(crate) sent: BytesMut,
    pub(crate) log: Vec<PeerEventKind>,
    pub(crate) closed: bool,
    /// Destinations in the kernel's table.
    pub(crate) fib: BTreeSet<IpNet>,
}

pub(crate) fn capabilities() -> Vec<Capability> {
    vec![
        Capability::Multiprotocol(Family::Ipv4),
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::FourOctetAs(65002),
    ]
}

pub(crate) fn session() -> Session {
    Session {
        four_octet_as: true,
        families: wire::FamilySet { ipv4: true, ipv6: false },
        ..Session::before_open()
    }
}

impl HandMade {
    /// Accepted, nothing said yet by the peer.
    pub(crate) fn connected(change: impl FnOnce(&mut PeerConfig)) -> Self {
        let now = Instant::now();
        let mut peer = PeerConfig { passive: true, hold_time: 90, ..peer(1) };
        change(&mut peer);
        let mut speaker = Speaker::new(Config { peers: vec![peer], ..config(0) }, 1, now);
        let (local, remote) = (SocketAddr::new(address(0), 179), SocketAddr::new(address(1), 4000));
        let conn = speaker.accept(local, remote, now).unwrap();
        let mut this = Self {
            speaker,
            now,
            conn,
            sent: BytesMut::new(),
            log: Vec::new(),
            closed: false,
            fib: BTreeSet::new(),
        };
        this.settle();
        assert!(matches!(this.next_message(), Some(Said::Open)));
        this
    }

    pub(crate) fn established(capabilities: Vec<Capability>) -> Self {
        let mut this = Self::connected(|_| {});
        this.say_open(capabilities);
        this.say(wire::encode_keepalive);
        this.sent.clear();
        assert_eq!(this.state(), State::Established);
        this
    }

    pub(crate) fn lose_connection(&mut self) {
        self.speaker.closed(self.conn, "connection reset".into(), self.now);
        self.settle();
        // The idle hold after a first failure is over at once.
        self.speaker.handle_timeout(self.now);
        self.settle();
    }

    /// The peer dials, and everything goes well.
    pub(crate) fn connect_again(&mut self, capabilities: Vec<Capability>) {
        let (local, remote) = (SocketAddr::new(address(0), 179), SocketAddr::new(address(1), 4001));
        self.conn = self.speaker.accept(local, remote, self.now).unwrap();
        self.settle();
        self.say_open(capabilities);
        self.say(wire::encode_keepalive);
        self.sent.clear();
    }

    pub(crate) fn settle(&mut self) {
        while self.speaker.work() {}
        while let Some(action) = self.speaker.poll_action() {
            match action {
                Action::Writable { conn } => {
                    while self.speaker.transmit(conn, &mut self.sent, 4096, self.now) {}
                }
                Action::Close { conn, farewell } if conn == self.conn => {
                    self.sent.extend_from_slice(&farewell);
                    self.closed = true;
                }
                Action::Watch(address) => self.speaker.next_hop(address, Some(0)),
                Action::Event(event) => self.log.push(event.kind),
                Action::Close { .. } | Action::Connect { .. } | Action::Unwatch(_) => {}
            }
        }
        while let Some(FibChange { prefix, next_hops, .. }) = self.speaker.next_route_change() {
            match next_hops {
                Some(_) => self.fib.insert(prefix),
                None => self.fib.remove(&prefix),
            };
        }
    }

    pub(crate) fn hear(&mut self, octets: &[u8]) {
        let mut buf = BytesMut::from(octets);
        while self.speaker.receive(self.conn, &mut buf, self.now) {}
        assert!(buf.is_empty(), "{buf:?} is left");
        self.settle();
    }

    pub(crate) fn say(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let mut buf = BytesMut::new();
        write(&mut buf);
        self.hear(&buf);
    }

    pub(crate) fn say_open(&mut self, capabilities: Vec<Capability>) {
        let open = Open { asn: 65002, hold_time: 90, router_id: Ipv4Addr::new(10, 0, 0, 2), capabilities };
        self.say(|buf| open.encode(buf));
    }

    pub(crate) fn refresh(&mut self, kind: RouteRefreshKind) {
        self.say(|buf| RouteRefresh { family: Family::Ipv4, kind }.encode(buf));
    }

    pub(crate) fn announce(&mut self, numbers: &[u32]) {
        self.say(|buf| buf.extend_from_slice(&update(numbers)));
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.speaker.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.speaker.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    pub(crate) fn state(&self) -> State {
        self.speaker.peer(PeerId(0)).unwrap().state
    }

    pub(crate) fn received(&self) -> usize {
        self.speaker.received(PeerId(0), Cursor::start(Family::Ipv4), 1000).rows.len()
    }

    pub(crate) fn next_message(&mut self) -> Option<Said> {
        let length = wire::frame(&self.sent, wire::MAX_EXTENDED_MESSAGE_LEN).unwrap()?;
        let message = self.sent.split_to(length);
        Some(match Message::decode(&message, &session()).unwrap() {
            Message::Open(_) => Said::Open,
            Message::Keepalive => Said::Keepalive,
            Message::Update(_) => Said::Update,
            Message::Notification(n) => Said::Notification(n),
            Message::RouteRefresh(refresh) => Said::Refresh(refresh.kind),
            Message::UnknownRouteRefresh(_) => panic!("we speak IPv4 and IPv6 only"),
        })
    }

    pub(crate) fn said(&mut self) -> Vec<Said> {
        std::iter::from_fn(|| self.next_message()).collect()
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    Open,
    Keepalive,
    Update,
    Notification(Notification),
    Refresh(RouteRefreshKind),
}
