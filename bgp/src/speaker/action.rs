//! What the speaker asks of the I/O layer, and what it tells the log.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};

use super::Transport;
use crate::{
    fsm::{Cause, Cease, ConnId, Idle, Negotiated, Refused},
    rib::PeerId,
    wire::Family,
};

/// Something for the I/O layer to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a connection. Answer with [`super::Speaker::connected`] or [`super::Speaker::connect_failed`].
    Connect {
        /// Whom it is for.
        peer: PeerId,
        /// How it will be called.
        conn: ConnId,
        /// Where to. The scope of an IPv6 address is the interface.
        remote: SocketAddr,
        /// How.
        transport: Transport,
    },
    /// Give a connection up, or a dial: write what is still in the output buffer and `farewell`, as far as the peer takes it
    /// within a second or so, then close. The speaker has forgotten the connection. Never comes for one that was
    /// reported closed.
    Close {
        /// Which.
        conn: ConnId,
        /// Its last words: an OPEN or a NOTIFICATION, mostly. May be empty.
        farewell: Bytes,
    },
    /// There is something to [`super::Speaker::transmit`]. Comes again only after `transmit` has returned `false`.
    Writable {
        /// On this connection.
        conn: ConnId,
    },
    /// The way to this next hop is of interest: tell [`super::Speaker::next_hop`] now and whenever it changes.
    Watch(IpAddr),
    /// Of no interest any more.
    Unwatch(IpAddr),
    /// For the log and the event stream.
    Event(PeerEvent),
}

/// Something that happened to a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerEvent {
    /// The peer.
    pub peer: PeerId,
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// What happened.
    pub kind: PeerEventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerEventKind {
    /// The session is Established.
    Up {
        /// What was agreed on.
        negotiated: Box<Negotiated>,
        /// Our end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
    },
    /// It no longer is.
    Down(Cause),
    /// A connection failed before it was Established. Repeats with every attempt while a peer is away.
    AttemptFailed(Cause),
    /// A connection from the peer was refused.
    Refused(RefusalReason),
    /// The prefix limit ended the session.
    PrefixLimit {
        /// Of this family.
        family: Family,
        /// The limit.
        limit: u32,
    },
    /// An UPDATE had errors that did not end the session (RFC 7606). Said once per second and peer at most.
    UpdateError {
        /// What was wrong with it, and what was done about it.
        text: String,
        /// How many like it have come since the last time this was said.
        suppressed: u64,
    },
    /// The peer has sent all its routes of this family (End-of-RIB).
    EndOfRib(Family),
}

/// Why a connection is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: RefusalReason,
    /// To be written before closing (RFC 4486 section 4). May be empty.
    pub farewell: Bytes,
}

/// Why a connection is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// No peer with that address.
    UnknownPeer,
    /// The peer connects to another address of ours than configured.
    LocalAddress,
    /// The session's state machine does not want it.
    Session(Refused),
}

impl Refusal {
    pub(super) fn new(reason: RefusalReason) -> Self {
        let cease = match reason {
            RefusalReason::UnknownPeer | RefusalReason::LocalAddress => Some(Cease::ConnectionRejected),
            RefusalReason::Session(refused) => refused.cease(),
        };
        let mut farewell = BytesMut::new();
        if let Some(cease) = cease {
            cease.notification().encode(&mut farewell);
        }
        Self { reason, farewell: farewell.freeze() }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownPeer => "no neighbor with that address",
            Self::LocalAddress => "connected to another address than the neighbor's local-address",
            Self::Session(Refused::Idle(Idle::Stopped)) => "the session is shut down",
            Self::Session(Refused::Idle(Idle::Held)) => "the session failed and is held idle",
            Self::Session(Refused::Idle(Idle::Suspended)) => "the session exceeded its prefix limit",
            Self::Session(Refused::Collision) => "the session is established already",
        })
    }
}
