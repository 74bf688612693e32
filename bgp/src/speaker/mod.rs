//! The speaker: peers, their sessions and the tables, composed.
//!
//! It knows the configuration, which connection belongs to which peer, and how messages travel between the codec, the state
//! machines and the RIB. It must not know sockets, TOML, the kernel or a runtime: the I/O layer calls in with what
//! happened and the time, then does what [`Speaker::poll_action`] says.
//!
//! # The contract with the I/O layer
//!
//! - After every call that takes `now`, drain [`Speaker::poll_action`], and wake up at [`Speaker::next_timeout`].
//! - Listen before [`Speaker::new`]: peers that restart dial at once.
//! - On [`Action::Writable`], call [`Speaker::transmit`] whenever the socket has taken what was produced before, until it
//!   returns `false`. Nothing is queued here: what is not asked for is not made, so a peer that reads slowly
//!   costs no memory. The Send Hold Timer (RFC 9687) runs from one call to the next.
//! - Call [`Speaker::receive`] with what was read; what it leaves in the buffer belongs in front of what is read next.
//! - Run [`Speaker::work`] when there is nothing else to do, until it returns `false`.

mod action;
mod config;
mod impact;
mod status;

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

pub use action::{Action, PeerEvent, PeerEventKind, Refusal, RefusalReason};
use bytes::BytesMut;
pub use config::{Config, OwnAddresses, PeerAddress, PeerConfig, Secret, Transport};
pub use impact::Impact;
use ipnet::IpNet;
pub use status::{MessageCounts, Messages, PeerStatus};

pub use crate::fsm::{Cause, Cease, ConnId, Idle, Negotiated, Refused, RemoteAs, State};
use crate::rib::{AdjacentRoute, Cursor, NextHops, Page, RouteView};
pub use crate::rib::{Origination, PeerId};

/// How to reset a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// End it, tell the peer why (may be empty), and start afresh.
    Hard(String),
    /// Ask the peer for its routes again; a hard reset where it cannot do that.
    SoftIn,
    /// Send all routes again.
    SoftOut,
}

/// A BGP speaker.
#[derive(Debug)]
pub struct Speaker {
    config: Config,
}

#[allow(missing_docs, unused_variables, clippy::unimplemented)]
impl Speaker {
    /// A speaker that has just started its peers. `seed` is for jitter alone.
    pub fn new(config: Config, seed: u64, now: Instant) -> Self {
        unimplemented!()
    }

    /// Takes another configuration into use and says what that did to each peer. Sessions that need not change are not
    /// touched: not a message is sent.
    pub fn reconfigure(&mut self, config: Config, now: Instant) -> Vec<(String, Impact)> {
        unimplemented!()
    }

    /// What [`Self::reconfigure`] would do.
    pub fn plan(&self, config: &Config) -> Vec<(String, Impact)> {
        unimplemented!()
    }

    /// When [`Self::handle_timeout`] must be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        unimplemented!()
    }

    /// Handles the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        unimplemented!()
    }

    /// The next thing for the I/O layer to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        unimplemented!()
    }

    /// [`Action::Connect`] succeeded.
    pub fn connected(&mut self, conn: ConnId, local: SocketAddr, remote: SocketAddr, now: Instant) {
        unimplemented!()
    }

    /// [`Action::Connect`] did not succeed.
    pub fn connect_failed(&mut self, conn: ConnId, reason: String, now: Instant) {
        unimplemented!()
    }

    /// Somebody connected to us.
    pub fn accept(&mut self, local: SocketAddr, remote: SocketAddr, now: Instant) -> Result<ConnId, Refusal> {
        unimplemented!()
    }

    /// Takes whole messages from the front of `buf` and leaves the rest.
    pub fn receive(&mut self, conn: ConnId, buf: &mut BytesMut, now: Instant) {
        unimplemented!()
    }

    /// The peer closed, or the connection broke.
    pub fn closed(&mut self, conn: ConnId, reason: String, now: Instant) {
        unimplemented!()
    }

    /// Appends about `budget` octets of messages to `out` and returns whether there is more.
    pub fn transmit(&mut self, conn: ConnId, out: &mut BytesMut, budget: usize, now: Instant) -> bool {
        unimplemented!()
    }

    /// Does a slice of what can wait; returns whether more is left.
    pub fn work(&mut self, now: Instant) -> bool {
        unimplemented!()
    }

    /// Originates a route, or changes what it carries.
    pub fn originate(&mut self, prefix: IpNet, origination: &Origination) {
        unimplemented!()
    }

    /// Withdraws an originated route.
    pub fn withdraw(&mut self, prefix: IpNet) {
        unimplemented!()
    }

    /// The metric of the way to a watched next hop; `None`: there is none.
    pub fn next_hop(&mut self, address: IpAddr, metric: Option<u32>) {
        unimplemented!()
    }

    /// The next change for the kernel's table; `None` as next hops: the learned route goes.
    pub fn next_route_change(&mut self) -> Option<(IpNet, Option<NextHops>)> {
        unimplemented!()
    }

    /// The peers, in the order of the configuration.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> {
        std::iter::empty()
    }

    /// The peer of that name.
    pub fn peer_id(&self, name: &str) -> Option<PeerId> {
        unimplemented!()
    }

    /// A page of the Loc-RIB, each path with the reason why it is best or not.
    pub fn routes(&self, cursor: Cursor, limit: usize) -> Page<RouteView> {
        unimplemented!()
    }

    /// One destination of the Loc-RIB.
    pub fn route(&self, prefix: IpNet) -> Option<RouteView> {
        unimplemented!()
    }

    /// The most specific usable destination for an address.
    pub fn lookup(&self, address: IpAddr) -> Option<RouteView> {
        unimplemented!()
    }

    /// A page of what a peer announced and the import policy accepted.
    pub fn received(&self, peer: PeerId, cursor: Cursor, limit: usize) -> Page<AdjacentRoute> {
        unimplemented!()
    }

    /// A page of what a peer was sent.
    pub fn advertised(&self, peer: PeerId, cursor: Cursor, limit: usize) -> Page<AdjacentRoute> {
        unimplemented!()
    }

    /// Resets a session.
    pub fn reset(&mut self, peer: PeerId, reset: Reset, now: Instant) {
        unimplemented!()
    }

    /// Shuts all sessions down, telling the peers why (may be empty). Nothing starts again before
    /// [`Self::reconfigure`].
    pub fn stop(&mut self, communication: &str, now: Instant) {
        unimplemented!()
    }
}
