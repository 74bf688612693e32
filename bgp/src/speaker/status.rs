//! What there is to show about a peer.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use super::{
    PeerAddress, Speaker,
    peer::{Record, Restart},
};
use crate::{
    fsm::{Cause, Idle, Negotiated, RemoteAs, State},
    rib::{FamilyCounters, PeerId},
    wire::Family,
};

/// Everything about one peer, at one moment.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Its number.
    pub id: PeerId,
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its description in the configuration.
    pub description: String,
    /// Where it is.
    pub address: PeerAddress,
    /// The AS it must be in.
    pub remote_as: RemoteAs,
    /// The AS it is in; known once it said so.
    pub asn: Option<u32>,
    /// The AS that we are in, for this peer.
    pub local_as: u32,
    /// State of the session.
    pub state: State,
    /// Why Idle, when it is.
    pub idle: Option<Idle>,
    /// Why it is shut down by configuration, if it is.
    pub shutdown: Option<String>,
    /// When the session came up, or went down the last time; `None`: never up.
    pub since: Option<Instant>,
    /// The session's own end.
    pub local: Option<SocketAddr>,
    /// The session's other end.
    pub remote: Option<SocketAddr>,
    /// What the OPENs agreed on, with the peer's capabilities; while Established.
    pub negotiated: Option<Negotiated>,
    /// The peer restarts gracefully: its routes are kept until then.
    pub restarting_until: Option<Instant>,
    /// The last failure of a session or an attempt, and when.
    pub last_error: Option<(Instant, Cause)>,
    /// How often the session has been Established.
    pub established_count: u64,
    /// How often it went down.
    pub flaps: u64,
    /// How often we dialled.
    pub dials: u64,
    /// When we will dial next, or the idle hold ends.
    pub next_retry: Option<Instant>,
    /// Messages over all sessions.
    pub messages: Messages,
    /// UPDATEs with errors that did not end the session.
    pub update_errors: u64,
    /// Per family of the session; empty without one.
    pub families: Vec<(Family, FamilyCounters)>,
}

/// Messages counted, per direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// From the peer.
    pub received: MessageCounts,
    /// To the peer.
    pub sent: MessageCounts,
}

/// Messages counted, per type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// OPEN.
    pub open: u64,
    /// UPDATE.
    pub update: u64,
    /// NOTIFICATION.
    pub notification: u64,
    /// KEEPALIVE.
    pub keepalive: u64,
    /// ROUTE-REFRESH.
    pub route_refresh: u64,
}

impl MessageCounts {
    /// Counts a message of that IANA type.
    pub(super) fn count(&mut self, kind: u8) {
        match kind {
            1 => self.open += 1,
            2 => self.update += 1,
            3 => self.notification += 1,
            4 => self.keepalive += 1,
            5 => self.route_refresh += 1,
            _ => {}
        }
    }
}

impl Speaker {
    /// The peers, in the order of the configuration.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> {
        self.order.iter().filter_map(|id| self.peer(*id))
    }

    /// One peer.
    pub fn peer(&self, id: PeerId) -> Option<PeerStatus> {
        let peer = self.find(id)?;
        let Record { since, ref last_error, established_count, flaps, messages, update_errors, .. } =
            peer.record;
        let established = peer.fsm.established();
        let ends = peer.established_conn().and_then(|conn| conn.ends);
        let families = established.map(|e| e.negotiated.session.families).unwrap_or_default();
        Some(PeerStatus {
            id,
            name: peer.name.clone(),
            description: peer.config.description.clone(),
            address: peer.config.address,
            remote_as: peer.config.remote_as,
            asn: established.map(|e| e.negotiated.open.asn),
            local_as: peer.fsm.settings().local_as,
            state: peer.fsm.state(),
            idle: peer.fsm.idle(),
            shutdown: peer.config.shutdown.clone(),
            since,
            local: ends.map(|(local, _)| local),
            remote: ends.map(|(_, remote)| remote),
            negotiated: established.map(|e| e.negotiated.clone()),
            restarting_until: match peer.restart {
                Restart::UnderWay(_, until) => Some(until),
                Restart::No | Restart::Possible(..) => None,
            },
            last_error: last_error.clone(),
            established_count,
            flaps,
            dials: peer.fsm.dials(),
            next_retry: peer.fsm.next_retry(),
            messages,
            update_errors,
            families: families
                .iter()
                .filter_map(|family| Some((family, self.rib.counters(id, family)?)))
                .collect(),
        })
    }
}
