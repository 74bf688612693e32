//! The speaker: peers, their sessions and the tables, composed.
//!
//! It knows the configuration, which connection belongs to which peer, and how messages travel between the codec, the state
//! machines and the RIB. It must not know sockets, TOML, the kernel or a runtime: the I/O layer calls in with what
//! happened and the time, then does what [`Speaker::poll_action`] says.
//!
//! # The contract with the I/O layer
//!
//! - After every call, drain [`Speaker::poll_action`], and wake up at [`Speaker::next_timeout`], which may be at once.
//! - Listen before [`Speaker::new`]: peers that restart dial at once.
//! - On [`Action::Writable`], call [`Speaker::transmit`] whenever the socket has taken what was produced before, until it
//!   returns `false`. Nothing is queued here: what is not asked for is not made, so a peer that reads slowly
//!   costs no memory. The Send Hold Timer (RFC 9687) runs from one call to the next.
//! - Call [`Speaker::receive`] with what was read; what it leaves in the buffer belongs in front of what is read next.
//! - Run [`Speaker::work`] when there is nothing else to do, until it returns `false`, and again after any other call.

mod action;
mod config;
mod impact;
mod peer;
mod receive;
mod reconfigure;
mod session;
mod status;
mod tables;
mod transmit;

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

pub use action::{Action, PeerEvent, PeerEventKind, Refusal, RefusalReason};
pub use config::{Config, OwnAddresses, PeerAddress, PeerConfig, Secret, Transport};
pub use impact::Impact;
use ipnet::IpNet;
pub use status::{MessageCounts, Messages, PeerStatus};

pub use crate::fsm::{Cause, Cease, ConnId, Idle, Negotiated, Refused, RemoteAs, State};
use crate::fsm::{Event, Random};
use crate::rib::{AdjacentRoute, Cursor, FibChange, Page, Rib, RouteView, Totals};
pub use crate::rib::{Origination, PeerId};
use crate::wire::Family;
use peer::{Conn, Peer, Restart};
use reconfigure::rib_config;

/// How many destinations one call of [`Speaker::work`] looks at.
const WORK_SLICE: usize = 4096;

/// How to reset a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// End it, tell the peer why (may be empty), and start afresh. Also ends the pause after a prefix limit.
    Hard(String),
    /// Ask the peer for its routes again; a hard reset where it cannot do that.
    SoftIn,
    /// Send all routes again.
    SoftOut,
}

/// A BGP speaker.
#[derive(Debug)]
pub struct Speaker {
    /// Without the peers, which have their own.
    config: Config,
    /// By [`PeerId`], which are not used again.
    peers: Vec<Option<Box<Peer>>>,
    /// In the order of the configuration.
    order: Vec<PeerId>,
    rib: Rib,
    /// Earlier tables, of which only the changes for the kernel are left.
    retired: VecDeque<Rib>,
    actions: VecDeque<Action>,
    random: Random,
}

impl Speaker {
    /// A speaker that has just started its peers. `seed` is for jitter alone.
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        let mut speaker = Self {
            rib: Rib::new(rib_config(&config)),
            config: Config { peers: Vec::new(), ..config },
            peers: Vec::new(),
            order: Vec::new(),
            retired: VecDeque::new(),
            actions: VecDeque::new(),
            random: Random::new(seed),
        };
        for peer in config.peers {
            let id = speaker.add_peer(peer, now);
            speaker.order.push(id);
        }
        speaker
    }

    /// When [`Self::handle_timeout`] must be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.all().filter_map(Peer::next_timeout).min()
    }

    /// Handles the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for index in 0..self.peers.len() {
            let id = PeerId(index as u32);
            let Some((peer, rib)) = self.find_with_rib(id) else { continue };
            for (repeat, family) in peer.repeats.iter_mut().zip([Family::Ipv4, Family::Ipv6]) {
                if repeat.take_if(|repeat| repeat.until <= now).is_some() {
                    rib.end_refresh(id, family);
                }
            }
            let late = matches!(peer.restart, Restart::UnderWay(_, until) if until <= now);
            peer.fsm.handle_timeout(now);
            self.carry_out(id, now);
            if late {
                self.restart_over(id);
            }
        }
    }

    /// The next thing for the I/O layer to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            while let Some(id) = self.rib.next_pending_peer() {
                if let Some(conn) = self.find(id).and_then(|peer| peer.fsm.established()).map(|e| e.conn) {
                    self.wake(conn);
                }
            }
            if let Some((address, needed)) = self.rib.next_watch_change() {
                let action = if needed { Action::Watch(address) } else { Action::Unwatch(address) };
                self.actions.push_back(action);
            }
        }
        self.actions.pop_front()
    }

    /// [`Action::Connect`] succeeded.
    pub fn connected(&mut self, conn: ConnId, local: SocketAddr, remote: SocketAddr, now: Instant) {
        if let Some(known) = self.conn_mut(conn) {
            known.ends = Some((local, remote));
            self.drive(peer_of(conn), Event::Dialled(conn), now);
        }
    }

    /// [`Action::Connect`] did not succeed.
    pub fn connect_failed(&mut self, conn: ConnId, reason: String, now: Instant) {
        self.closed(conn, reason, now);
    }

    /// The peer closed, or the connection broke.
    pub fn closed(&mut self, conn: ConnId, reason: String, now: Instant) {
        let id = peer_of(conn);
        if let Some(peer) = self.find_mut(id) {
            peer.conns.retain(|known| known.id != conn);
            self.drive(id, Event::Failed(conn, reason), now);
        }
    }

    /// Somebody connected to us. A refusal is not only an error: its farewell wants to be sent.
    pub fn accept(&mut self, local: SocketAddr, remote: SocketAddr, now: Instant) -> Result<ConnId, Refusal> {
        let found = self.peers.iter_mut().flatten().find(|peer| peer.config.address.matches(remote));
        let Some(peer) = found else {
            return Err(Refusal::new(RefusalReason::UnknownPeer));
        };
        let ours = peer.config.transport.local_address;
        if ours.is_some_and(|address| address != local.ip().to_canonical()) {
            return Err(Refusal::new(RefusalReason::LocalAddress));
        }
        let accepted = peer.fsm.accept(now);
        if let Ok(conn) = accepted {
            peer.conns.push(Conn { ends: Some((local, remote)), ..Conn::new(conn) });
        }
        let id = peer.id;
        self.carry_out(id, now);
        accepted.map_err(|refused| {
            let reason = RefusalReason::Session(refused);
            self.event(id, PeerEventKind::Refused(reason));
            Refusal::new(reason)
        })
    }

    /// Does a slice of what can wait; returns whether more is left.
    pub fn work(&mut self) -> bool {
        self.rib.work(WORK_SLICE)
    }

    /// Originates a route, or changes what it carries.
    pub fn originate(&mut self, prefix: IpNet, origination: &Origination) {
        self.rib.originate(prefix, origination);
    }

    /// Withdraws an originated route.
    pub fn withdraw(&mut self, prefix: IpNet) {
        self.rib.withdraw(prefix);
    }

    /// The metric of the way to a watched next hop; `None`: there is none.
    pub fn next_hop(&mut self, address: IpAddr, metric: Option<u32>) {
        self.rib.next_hop(address, metric);
    }

    /// The next change for the kernel's table.
    pub fn next_route_change(&mut self) -> Option<FibChange> {
        while let Some(old) = self.retired.front_mut() {
            if let Some(change) = old.next_fib_change() {
                return Some(change);
            }
            self.retired.pop_front();
        }
        self.rib.next_fib_change()
    }

    /// [`Self::next_route_change`] will report all routes once more: what the kernel makes of their next hops has changed.
    pub fn reinstall_routes(&mut self) {
        self.rib.refeed_fib();
    }

    /// Whether every established peer has been sent all there is to send, as far as its socket has asked for it.
    pub fn flushed(&self) -> bool {
        !self.all().any(|peer| self.rib.has_pending(peer.id))
    }

    /// The peer of that name.
    pub fn peer_id(&self, name: &str) -> Option<PeerId> {
        self.all().find(|peer| &*peer.name == name).map(|peer| peer.id)
    }

    /// How large the tables are.
    pub fn totals(&self) -> Totals {
        self.rib.totals()
    }

    /// A page of the Loc-RIB, each path with the reason why it is best or not.
    pub fn routes(&self, cursor: Cursor, limit: usize) -> Page<RouteView> {
        self.rib.routes(cursor, limit)
    }

    /// One destination of the Loc-RIB.
    pub fn route(&self, prefix: IpNet) -> Option<RouteView> {
        self.rib.route(prefix)
    }

    /// The most specific usable destination for an address.
    pub fn lookup(&self, address: IpAddr) -> Option<RouteView> {
        self.rib.lookup(address)
    }

    /// A page of what a peer announced and the import policy accepted.
    pub fn received(&self, peer: PeerId, cursor: Cursor, limit: usize) -> Page<AdjacentRoute> {
        self.rib.received(peer, cursor, limit)
    }

    /// A page of what a peer was sent.
    pub fn advertised(&self, peer: PeerId, cursor: Cursor, limit: usize) -> Page<AdjacentRoute> {
        self.rib.advertised(peer, cursor, limit)
    }

    fn all(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().flatten().map(|peer| &**peer)
    }

    fn find(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(id.0 as usize)?.as_deref()
    }

    fn find_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.peers.get_mut(id.0 as usize)?.as_deref_mut()
    }

    fn find_with_rib(&mut self, id: PeerId) -> Option<(&mut Peer, &mut Rib)> {
        Some((self.peers.get_mut(id.0 as usize)?.as_deref_mut()?, &mut self.rib))
    }

    /// The peer of a connection that has not been given up.
    fn peer_of_conn(&mut self, conn: ConnId) -> Option<(&mut Peer, &mut Rib)> {
        let (peer, rib) = self.find_with_rib(peer_of(conn))?;
        peer.fsm.owns(conn).then_some((peer, rib))
    }

    fn conn_mut(&mut self, conn: ConnId) -> Option<&mut Conn> {
        self.find_mut(peer_of(conn))?.conn(conn)
    }
}

/// The peer that a connection belongs to: the upper half of its number.
fn peer_of(conn: ConnId) -> PeerId {
    PeerId((conn.0 >> 32) as u32)
}
