//! A session with the speaker, from dialling to Established.

use std::{
    io::{self, Write},
    net::{SocketAddr, SocketAddrV4, TcpStream},
    thread,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with};

use crate::{
    frames::{Frames, Message},
    message::{keepalive, kind, open, speaks_four_octet_as},
    scene::Peer,
};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the speaker may take for one step of the handshake.
const STEP: Duration = Duration::from_secs(2);
const BGP: u16 = 179;

/// An established session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) stream: TcpStream,
    pub(crate) frames: Frames,
}

impl Session {
    /// Dials until the session is Established. A speaker that is only starting refuses for a while, and may drop a
    /// connection that it is not ready for.
    pub(crate) fn establish(
        peer: &Peer,
        deadline: Instant,
        alive: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<Self, String> {
        loop {
            match Self::attempt(peer) {
                Ok(session) => return Ok(session),
                Err(problem) if Instant::now() > deadline => {
                    return Err(format!("no session for {}: {problem}", peer.name));
                }
                Err(_) => {
                    alive()?;
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    fn attempt(peer: &Peer) -> Result<Self, String> {
        let stream = dial(peer).map_err(|e| format!("connect: {e}"))?;
        let mut session = Self { stream, frames: Frames::new() };
        session.write(&open(peer))?;
        session.expect(kind::OPEN, |message| {
            if speaks_four_octet_as(message.body) {
                Ok(())
            } else {
                Err("the speaker does not know four-octet AS numbers".into())
            }
        })?;
        session.write(&keepalive())?;
        session.expect(kind::KEEPALIVE, |_| Ok(()))?;
        Ok(session)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).map_err(|e| format!("handshake: {e}"))
    }

    fn expect(
        &mut self,
        kind: u8,
        check: impl FnOnce(&Message<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        loop {
            if let Some(message) = self.frames.next()? {
                return if message.kind == kind {
                    check(&message)
                } else {
                    Err(format!("message {} where {kind} was due", message.kind))
                };
            }
            self.frames.fill(&mut self.stream).map_err(|e| format!("handshake: {e}"))?;
        }
    }
}

/// A connection from the peer's own address, where [`TcpStream::connect`] would choose one.
fn dial(peer: &Peer) -> io::Result<TcpStream> {
    let socket =
        socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP))?;
    bind(&socket, &SocketAddr::V4(SocketAddrV4::new(peer.address, 0)))?;
    connect(&socket, &SocketAddr::V4(SocketAddrV4::new(peer.speaker, BGP)))?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STEP))?;
    Ok(stream)
}
