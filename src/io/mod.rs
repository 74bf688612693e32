//! Sockets, namespace files, signals: everything that waits. Turns them into [`Event`]s for the core's loop.
//!
//! Must not know the RIB or the plan.

pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod netns;
pub(crate) mod ports;
mod sys;
pub(crate) mod tcp;

use bytes::BytesMut;
use petiole_bgp::speaker::ConnId;
use std::net::SocketAddr;
use tokio::net::TcpStream;

use crate::control::server::Asked;

/// What wakes the core's loop.
pub(crate) enum Event {
    /// A dialled connection stands.
    Connected { conn: ConnId, stream: TcpStream, local: SocketAddr, remote: SocketAddr },
    /// A dialled connection could not be made.
    ConnectFailed { conn: ConnId, reason: String },
    /// Somebody connected to us.
    Accepted { stream: TcpStream, local: SocketAddr, remote: SocketAddr },
    /// Bytes came in.
    Received { conn: ConnId, data: BytesMut },
    /// The buffer handed out last has been written; here it is again.
    Sent { conn: ConnId, buffer: BytesMut },
    /// A connection ended, by either side.
    Closed { conn: ConnId, reason: String },
    /// The kernel thread has something to say.
    Kernel(petiole_fib::model::Event),
    /// The journal has written something, or could not.
    Persisted(journal::Persisted),
    /// A container's namespace came or went.
    Namespace(netns::Change),
    /// Somebody asks on the control socket.
    Asked(Asked),
    /// Somebody wants the metrics.
    Metrics(tokio::sync::oneshot::Sender<String>),
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT.
    Stop,
}
