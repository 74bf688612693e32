//! A RIB with everything around it that is not under test: peers that keep what they are sent, a kernel that keeps the
//! next hops, a resolver that knows metrics.

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use crate::policy::{Action, Rule, Source};
use crate::wire::{
    EncodeContext, MAX_EXTENDED_MESSAGE_LEN, Message, NextHop, RouteRefreshKind, UpdateWriter, frame,
};

pub(super) const OUR_AS: u32 = 65000;
/// Second part of the large communities that label routes.
pub(super) const LABEL: u32 = 7;

/// Everything around a RIB.
pub(super) struct World {
    pub(super) rib: Rib,
    pub(super) peers: BTreeMap<PeerId, Receiver>,
    pub(super) fib: BTreeMap<IpNet, NextHops>,
    pub(super) watched: BTreeSet<IpAddr>,
    /// What the resolver answers when asked; an address that is not here is reachable with metric 0.
    pub(super) metrics: BTreeMap<IpAddr, Option<u32>>,
}

/// A peer at the other end of a session.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) session: Session,
    pub(super) routes: BTreeMap<IpNet, Attributes>,
    /// What it was sent, message by message.
    pub(super) seen: Vec<Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Announced(IpNet),
    Withdrawn(IpNet),
    EndOfRib(Family),
    Refresh(Family, RouteRefreshKind),
}

pub(super) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(super) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A route with this AS path and next hop.
pub(super) fn route(path: &[u32], next_hop: &str) -> Attributes {
    Attributes::new(Origin::Igp, AsPath::from_sequence(path), address(next_hop).into())
}

pub(super) fn origination() -> Origination {
    Origination {
        origin: Origin::Igp,
        med: None,
        local_pref: None,
        communities: Vec::new(),
        large_communities: Vec::new(),
    }
}

/// Passes everything on.
pub(super) fn transit() -> Policy {
    Policy::new(vec![Rule { source: Some(Source::Any), ..Rule::new(Action::Accept) }], Action::Reject)
}

pub(super) fn session(config: &PeerRib) -> Session {
    Session {
        four_octet_as: true,
        extended_message: false,
        external: config.external,
        families: config.families,
        extended_next_hop: false,
    }
}

/// External peer `n`: AS 65000+n, address and router id 10.0.0.n.
pub(super) fn external(n: u8) -> PeerRib {
    let address = Ipv4Addr::new(10, 0, 0, n);
    PeerRib {
        external: true,
        asn: OUR_AS + u32::from(n),
        local_asn: OUR_AS,
        router_id: address,
        address: address.into(),
        families: FamilySet::ALL,
        next_hop_self: NextHopSelf {
            ipv4: Some(NextHop::V4(Ipv4Addr::new(10, 0, 0, 254))),
            ipv6: Some(NextHop::from(super::world::address("2001:db8::254"))),
        },
        scope: None,
        import: Arc::new(Policy::all()),
        export: Arc::new(transit()),
        allow_own_as: 0,
        install: true,
        max_prefixes_out: None,
    }
}

/// Internal peer `n`.
pub(super) fn internal(n: u8) -> PeerRib {
    PeerRib { external: false, asn: OUR_AS, ..external(n) }
}

impl World {
    pub(super) fn new(max_paths: u16) -> Self {
        let router_id = Ipv4Addr::new(10, 0, 0, 254);
        Self {
            rib: Rib::new(RibConfig { asn: OUR_AS, router_id, max_paths, label: LABEL }),
            peers: BTreeMap::new(),
            fib: BTreeMap::new(),
            watched: BTreeSet::new(),
            metrics: BTreeMap::new(),
        }
    }

    pub(super) fn up(&mut self, n: u8, config: PeerRib) {
        let session = session(&config);
        self.rib.peer_up(id(n), config);
        self.peers.insert(id(n), Receiver { session, routes: BTreeMap::new(), seen: Vec::new() });
    }

    pub(super) fn down(&mut self, n: u8) {
        self.rib.peer_down(id(n));
        self.peers.remove(&id(n));
    }

    pub(super) fn announce(&mut self, n: u8, prefixes: &[IpNet], attributes: &Attributes) -> UpdateOutcome {
        let session = self.peers[&id(n)].session;
        let context = EncodeContext { four_octet_as: true, external: false, prepend: None, send_med: true };
        let block = attributes.encode(&context);
        let mut out = BytesMut::new();
        let (ipv4, ipv6) = split(prefixes);
        let writer = UpdateWriter::new(&session);
        let mut ipv4 = ipv4.into_iter();
        writer.announce_v4(&mut out, &block, attributes.next_hop(), &mut ipv4).unwrap();
        let mut ipv6 = ipv6.into_iter().peekable();
        if ipv6.peek().is_some() {
            writer.announce_v6(&mut out, &block, attributes.next_hop(), &mut ipv6).unwrap();
        }
        self.receive(n, &out)
    }

    pub(super) fn withdraw(&mut self, n: u8, prefixes: &[IpNet]) -> UpdateOutcome {
        let session = self.peers[&id(n)].session;
        let (ipv4, ipv6) = split(prefixes);
        let mut out = BytesMut::new();
        let writer = UpdateWriter::new(&session);
        writer.withdraw_v4(&mut out, &mut ipv4.into_iter());
        writer.withdraw_v6(&mut out, &mut ipv6.into_iter());
        self.receive(n, &out)
    }

    pub(super) fn receive(&mut self, n: u8, mut messages: &[u8]) -> UpdateOutcome {
        let session = self.peers[&id(n)].session;
        let mut outcome = UpdateOutcome::default();
        while let Some(length) = frame(messages, MAX_EXTENDED_MESSAGE_LEN).unwrap() {
            let (message, rest) = messages.split_at(length);
            let Message::Update(update) = Message::decode(message, &session).unwrap() else {
                panic!("no UPDATE")
            };
            outcome = self.rib.update(id(n), update);
            messages = rest;
        }
        outcome
    }

    /// Until nothing is left to do.
    pub(super) fn settle(&mut self) {
        self.resolve();
        while self.rib.work(1) {
            self.resolve();
        }
        for n in self.peers.keys().copied().collect::<Vec<_>>() {
            while self.pack(n, 4096) {}
        }
        self.drain_fib();
        while self.rib.next_pending_peer().is_some() {}
    }

    /// The resolver answers.
    pub(super) fn resolve(&mut self) {
        while let Some((address, wanted)) = self.rib.next_watch_change() {
            if wanted {
                assert!(self.watched.insert(address), "{address} is watched twice");
                self.rib.next_hop(address, self.metrics.get(&address).copied().unwrap_or(Some(0)));
            } else {
                assert!(self.watched.remove(&address), "{address} was not watched");
            }
        }
    }

    /// The resolver has news.
    pub(super) fn metric(&mut self, address: IpAddr, metric: Option<u32>) {
        self.metrics.insert(address, metric);
        if self.watched.contains(&address) {
            self.rib.next_hop(address, metric);
        }
    }

    /// One round of packing for a peer, which reads what was written.
    pub(super) fn pack(&mut self, peer: PeerId, budget: usize) -> bool {
        let receiver = self.peers.get_mut(&peer).unwrap();
        let mut out = BytesMut::new();
        let more = self.rib.pack(peer, &receiver.session, &mut out, budget);
        assert_eq!(more, self.rib.has_pending(peer));
        let longest = receiver.session.max_message_len();
        assert!(out.len() <= budget + longest + 100, "{} octets for a budget of {budget}", out.len());
        let mut messages = &out[..];
        while let Some(length) = frame(messages, longest).unwrap() {
            let (message, rest) = messages.split_at(length);
            receiver.read(message);
            messages = rest;
        }
        assert!(messages.is_empty(), "half a message");
        more
    }

    pub(super) fn drain_fib(&mut self) {
        while let Some(FibChange { prefix, next_hops, .. }) = self.rib.next_fib_change() {
            match next_hops {
                Some(next_hops) => {
                    let before = self.fib.insert(prefix, next_hops.clone());
                    assert_ne!(before, Some(next_hops), "{prefix} is told twice");
                }
                None => assert!(self.fib.remove(&prefix).is_some(), "{prefix} was not there"),
            }
        }
    }

    pub(super) fn sent(&mut self, n: u8) -> Vec<Seen> {
        std::mem::take(&mut self.peers.get_mut(&id(n)).unwrap().seen)
    }

    pub(super) fn routes(&self, n: u8) -> &BTreeMap<IpNet, Attributes> {
        &self.peers[&id(n)].routes
    }

    /// The peer of the best path; 0: this host.
    pub(super) fn best(&self, prefix: IpNet) -> Option<u8> {
        let route = self.rib.route(prefix)?;
        let best = route.paths.first().filter(|path| path.standing == Standing::Best)?;
        Some(best.peer.map_or(0, |peer| peer.0 as u8))
    }

    /// All rows of a paged view, in pages of three.
    pub(super) fn pages<T>(family: Family, page: impl Fn(Cursor) -> Page<T>) -> Vec<T> {
        let mut rows = Vec::new();
        let mut cursor = Some(Cursor::start(family));
        while let Some(at) = cursor {
            let page = page(at);
            assert!(page.rows.len() <= 3);
            rows.extend(page.rows);
            cursor = page.next;
        }
        rows
    }
}

impl Receiver {
    fn read(&mut self, message: &[u8]) {
        match Message::decode(message, &self.session).unwrap() {
            Message::Update(update) => {
                assert_eq!(update.treat_as_withdraw(), None);
                if let Some(family) = update.end_of_rib() {
                    self.seen.push(Seen::EndOfRib(family));
                }
                let ipv4 = update.withdrawn_v4().map(IpNet::from);
                for prefix in ipv4.chain(update.withdrawn_v6().map(IpNet::from)) {
                    assert!(self.routes.remove(&prefix).is_some(), "{prefix} was not announced");
                    self.seen.push(Seen::Withdrawn(prefix));
                }
                for Announcement { attributes, prefixes } in update.into_announcements() {
                    let prefixes: Vec<IpNet> = match prefixes {
                        Nlri::V4(prefixes) => prefixes.map(IpNet::from).collect(),
                        Nlri::V6(prefixes) => prefixes.map(IpNet::from).collect(),
                    };
                    for prefix in prefixes {
                        self.routes.insert(prefix, attributes.clone());
                        self.seen.push(Seen::Announced(prefix));
                    }
                }
            }
            Message::RouteRefresh(refresh) => {
                self.seen.push(Seen::Refresh(refresh.family, refresh.kind));
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn id(n: u8) -> PeerId {
    PeerId(n.into())
}

fn split(prefixes: &[IpNet]) -> (Vec<Ipv4Net>, Vec<Ipv6Net>) {
    let ipv4 = prefixes.iter().filter_map(|net| if let IpNet::V4(net) = net { Some(*net) } else { None });
    let ipv6 = prefixes.iter().filter_map(|net| if let IpNet::V6(net) = net { Some(*net) } else { None });
    (ipv4.collect(), ipv6.collect())
}
