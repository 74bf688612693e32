//! One peer of the speaker: its configuration, its state machine, its connections and what was counted.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;

use super::{Config, Messages, PeerConfig};
use crate::{
    fsm::{Cause, ConnId, Fsm, Settings},
    rib::{NextHopSelf, PeerId, PeerRib},
    wire::{self, FamilySet, NextHop, Open, RouteRefresh, RouteRefreshKind},
};

/// A peer, for as long as the configuration names it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) name: Arc<str>,
    pub(super) config: PeerConfig,
    pub(super) fsm: Fsm,
    /// At most one per direction, as the state machine has it.
    pub(super) conns: Vec<Conn>,
    /// Per family, IPv4 first: the peer repeats its routes.
    pub(super) repeats: [Option<Repeat>; 2],
    pub(super) restart: Restart,
    pub(super) record: Record,
}

/// A peer repeats its routes; those that it does not repeat go in the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeat {
    /// What ends it.
    pub(super) mark: Mark,
    /// When it is over anyway.
    pub(super) until: Instant,
}

/// What tells that all routes have been repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// End-of-RIB, after a restart (RFC 4724).
    EndOfRib,
    /// EoRR, after a BoRR (RFC 7313).
    EndOfRefresh,
}

/// Graceful restart of the peer (RFC 4724 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// If it goes now, its routes go with it.
    No,
    /// If the session breaks, the routes of these families are kept for so long.
    Possible(FamilySet, Duration),
    /// It did; these are kept until then.
    UnderWay(FamilySet, Instant),
}

/// What is remembered of a peer over its sessions.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) since: Option<Instant>,
    pub(super) last_error: Option<(Instant, Cause)>,
    pub(super) established_count: u64,
    pub(super) flaps: u64,
    pub(super) messages: Messages,
    pub(super) update_errors: u64,
    /// When an UPDATE error was reported, and how many have not been since.
    pub(super) last_report: Option<(Instant, u64)>,
}

/// A connection, from the dial on.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) id: ConnId,
    /// Ours and the peer's end, once it is connected.
    pub(super) ends: Option<(SocketAddr, SocketAddr)>,
    pub(super) control: Control,
    /// The I/O layer has been told to ask for output, and has not had all yet.
    pub(super) announced: bool,
}

/// What is to be sent before any UPDATE. Not a queue: there is at most one of each.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) open: Option<Box<Open>>,
    pub(super) keepalive: bool,
    /// Families whose routes the peer is to send again.
    pub(super) refresh: FamilySet,
}

impl Peer {
    pub(super) fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.iter_mut().find(|conn| conn.id == id)
    }

    /// When the first of its timers is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let repeats = self.repeats.iter().flatten().map(|repeat| repeat.until);
        let restart = match self.restart {
            Restart::UnderWay(_, until) => Some(until),
            Restart::No | Restart::Possible(..) => None,
        };
        self.fsm.next_timeout().into_iter().chain(repeats).chain(restart).min()
    }

    pub(super) fn established_conn(&self) -> Option<&Conn> {
        let established = self.fsm.established()?;
        self.conns.iter().find(|conn| conn.id == established.conn)
    }

    /// What the RIB must know of the session, while there is one.
    pub(super) fn rib_config(&self) -> Option<PeerRib> {
        let established = self.fsm.established()?;
        let (local, remote) = self.established_conn()?.ends?;
        let negotiated = &established.negotiated;
        Some(PeerRib {
            external: negotiated.session.external,
            asn: negotiated.open.asn,
            local_asn: self.fsm.settings().local_as,
            router_id: negotiated.open.router_id,
            address: remote.ip().to_canonical(),
            families: negotiated.session.families,
            next_hop_self: self.next_hop_self(local, negotiated.session.extended_next_hop),
            scope: self.config.address.interface(),
            import: Arc::clone(&self.config.import),
            export: Arc::clone(&self.config.export),
            allow_own_as: self.config.allow_own_as,
            install: self.config.install,
            max_prefixes_out: self.config.max_prefixes_out,
        })
    }

    /// Our next hop: the session's own address where it is of the family, else the configured one; for IPv4 over an IPv6
    /// session with RFC 8950 the IPv6 one.
    fn next_hop_self(&self, local: SocketAddr, extended: bool) -> NextHopSelf {
        let own = self.config.next_hop;
        match local.ip().to_canonical() {
            std::net::IpAddr::V4(local) => NextHopSelf {
                ipv4: Some(NextHop::V4(local)),
                ipv6: own.ipv6.map(|global| NextHop::V6 { global, link_local: None }),
            },
            std::net::IpAddr::V6(local) => {
                let ipv6 = if local.is_unicast_link_local() {
                    // RFC 2545 section 3: the link-local address alone where there is no global one.
                    own.ipv6.map_or(NextHop::V6 { global: local, link_local: None }, |global| NextHop::V6 {
                        global,
                        link_local: Some(local),
                    })
                } else {
                    NextHop::V6 { global: local, link_local: None }
                };
                let ipv4 = if extended { Some(ipv6) } else { own.ipv4.map(NextHop::V4) };
                NextHopSelf { ipv4, ipv6: Some(ipv6) }
            }
        }
    }
}

impl Conn {
    pub(super) fn new(id: ConnId) -> Self {
        Self { id, ends: None, control: Control::default(), announced: false }
    }
}

impl Control {
    /// Writes all of it.
    pub(super) fn write(&mut self, out: &mut BytesMut) {
        if let Some(open) = self.open.take() {
            open.encode(out);
        }
        if std::mem::take(&mut self.keepalive) {
            wire::encode_keepalive(out);
        }
        for family in std::mem::take(&mut self.refresh).iter() {
            RouteRefresh { family, kind: RouteRefreshKind::Request }.encode(out);
        }
    }
}

/// The part of the configuration that is the state machine's.
pub(super) fn settings(config: &Config, peer: &PeerConfig) -> Settings {
    Settings {
        local_as: peer.local_as.unwrap_or(config.asn),
        router_id: config.router_id,
        host_name: config.host_name.clone(),
        remote_as: peer.remote_as,
        families: peer.families,
        // An IPv4 route with an IPv6 next hop makes sense where there is an IPv6 next hop.
        extended_next_hop: peer.address.ip().is_ipv6(),
        hold_time: peer.hold_time,
        keepalive: peer.keepalive,
        connect_retry: peer.connect_retry,
        graceful_restart: peer.graceful_restart,
        passive: peer.passive,
        prefix_limit_restart: peer.max_prefixes_restart,
    }
}
