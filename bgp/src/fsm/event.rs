//! What a session can be told, and what it answers.

use std::fmt;

use super::{Cease, Idle, Timer};
use crate::wire::{
    Notification, Open,
    iana::{cease, error_code},
};

/// A transport connection, unique within a speaker and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// The states of RFC 4271 section 8.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// No connection is accepted or made.
    Idle,
    /// A dial is under way.
    Connect,
    /// Waiting for the peer to dial, or for the time to do so.
    Active,
    /// Connected, our OPEN is sent.
    OpenSent,
    /// OPENs exchanged, waiting for a KEEPALIVE.
    OpenConfirm,
    /// UPDATEs may flow.
    Established,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "Idle",
            Self::Connect => "Connect",
            Self::Active => "Active",
            Self::OpenSent => "OpenSent",
            Self::OpenConfirm => "OpenConfirm",
            Self::Established => "Established",
        })
    }
}

/// What can happen to a session. The numbers are those of RFC 4271 section 8.1; 17 (accepted) is [`super::Fsm::accept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// 1: ManualStart (4, 5 when passive).
    Start,
    /// 2: ManualStop, telling the peer why.
    Stop(Cease),
    /// 2, then 1: the operator, or a new configuration, wants a fresh session.
    Restart(Cease),
    /// 8: AutomaticStop. The prefix limit: stays Idle for `prefix_limit_restart`.
    Suspend(Cease),
    /// 8: AutomaticStop. Something is wrong that a fresh session may cure; damped as any failure.
    Abort(Cease),
    /// 9, 10, 11, 13 and RFC 9687's 29: a timer went off. [`super::Fsm::handle_timeout`] makes these.
    Expired(Timer),
    /// 16: our dial succeeded.
    Dialled(ConnId),
    /// 18: the connection could not be made, or broke, or was closed by the peer.
    Failed(ConnId, String),
    /// 19, 24 to 27: a message that is well-formed.
    Received(ConnId, Received),
    /// 21, 22, 28: a message that is not, and what the peer is to be told.
    Malformed(ConnId, Notification),
    /// The connection took octets of ours (RFC 9687).
    Sent(ConnId),
}

/// A message as the state machine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// 19.
    Open(Box<Open>),
    /// 26.
    Keepalive,
    /// 27.
    Update,
    /// RFC 2918.
    RouteRefresh,
    /// 24, 25.
    Notification(Notification),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection to the peer.
    Dial(ConnId),
    /// Send this OPEN.
    SendOpen(ConnId, Box<Open>),
    /// Send a KEEPALIVE.
    SendKeepalive(ConnId),
    /// Send the NOTIFICATION, if there is one, and close. Nothing that happens to this connection matters any more.
    /// Does not come for a connection that is known to be gone ([`Event::Failed`]).
    Close(ConnId, Option<Notification>),
    /// Established: [`super::Fsm::established`] tells what was negotiated.
    Up(ConnId),
    /// No longer Established.
    Down(Cause),
    /// A connection ended before it was Established, or could not be made.
    Attempt(Cause),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// We sent this.
    Sent(Notification),
    /// The peer sent this.
    Received(Notification),
    /// The transport failed.
    Transport(String),
}

/// Why a connection is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The session is shut down, held Idle or suspended.
    Idle(Idle),
    /// The session is Established (RFC 4271 section 6.8).
    Collision,
}

impl Refused {
    /// What to tell the one who dialled. Nothing while held Idle: the peer would take it for a failure of its own and
    /// hold itself Idle, and both would turn each other down for ever.
    pub fn cease(self) -> Option<Cease> {
        match self {
            Self::Idle(Idle::Held) => None,
            Self::Idle(Idle::Stopped | Idle::Suspended) => Some(Cease::ConnectionRejected),
            Self::Collision => Some(Cease::ConnectionCollision),
        }
    }
}

impl Cause {
    /// The NOTIFICATION that must still go out.
    pub(super) fn farewell(&self) -> Option<Notification> {
        match self {
            Self::Sent(n) => Some(n.clone()),
            Self::Received(_) | Self::Transport(_) => None,
        }
    }

    /// The other one of two connections stays: nobody's failure.
    pub fn is_collision(&self) -> bool {
        matches!(self, Self::Sent(n) | Self::Received(n) if is_cease(n, cease::CONNECTION_COLLISION))
    }

    /// The peer does not want a connection now (RFC 4486): much like one that is not there.
    pub(super) fn is_rejection(&self) -> bool {
        matches!(self, Self::Received(n) if is_cease(n, cease::CONNECTION_REJECTED))
    }
}

fn is_cease(notification: &Notification, subcode: u8) -> bool {
    (notification.code, notification.subcode) == (error_code::CEASE, subcode)
}

/// For people: `received Cease/Administrative Shutdown: …`.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(n) => write!(f, "sent {n}"),
            Self::Received(n) => write!(f, "received {n}"),
            Self::Transport(reason) => f.write_str(reason),
        }
    }
}
