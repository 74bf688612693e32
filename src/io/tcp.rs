//! BGP's TCP connections: options, listening, dialling, and one task per connection that moves bytes.
//!
//! Knows sockets. Must not know messages: it hands on what it reads and writes what it is given. A connection has
//! at most one buffer on its way out and waits for room in the event queue before it reads again, so neither a
//! slow peer nor a slow core makes anything grow.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsFd,
    rc::Rc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use petiole_bgp::speaker::{ConnId, Secret, Transport};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::mpsc,
    task::spawn_local,
};

use super::{Event, sys};

/// The port of BGP (RFC 4271 section 8).
pub(crate) const BGP_PORT: u16 = 179;

/// One read at most: about eight hundred ordinary UPDATEs, a millisecond or two of work for the core.
const READ_SIZE: usize = 64 * 1024;

/// How long a closing connection may take to get its last message (the NOTIFICATION) out.
const LINGER: Duration = Duration::from_secs(2);

/// CS6, network control (RFC 4594 section 3.1), as every BGP speaker marks its packets.
const TOS_NETWORK_CONTROL: u32 = 0xc0;

/// What a connection's task is told.
pub(crate) enum Outgoing {
    /// Write this, then report [`Event::Sent`]. The next one comes only after that report.
    Data(BytesMut),
    /// Finish what is being written, write these last words, close.
    Close(Bytes),
}

/// A listening socket of one family and the task that accepts on it.
pub(crate) struct Listener {
    socket: Rc<TcpListener>,
    v6: bool,
    /// The peers that have a TCP-MD5 key on the socket now.
    keys: BTreeMap<IpAddr, Secret>,
}

impl Listener {
    /// Opens it on all addresses.
    ///
    /// # Errors
    /// Those of `bind`: the address is in use when another BGP speaker runs on the host.
    pub(crate) fn open(domain: Domain, events: mpsc::Sender<Event>) -> io::Result<Self> {
        let socket = Rc::new(bind(domain)?);
        spawn_local(accept(Rc::clone(&socket), events));
        Ok(Self { socket, v6: domain == Domain::IPV6, keys: BTreeMap::new() })
    }

    /// From now on exactly these peers have these keys (RFC 2385): a segment of theirs without the right signature
    /// does not reach us, and neither does a signed one of anybody else.
    pub(crate) fn set_keys(&mut self, wanted: &BTreeMap<IpAddr, Secret>) {
        let wanted: BTreeMap<_, _> = wanted.iter().filter(|(peer, _)| peer.is_ipv6() == self.v6).collect();
        let set = |peer: IpAddr, key: Option<&[u8]>| {
            if let Err(error) = sys::set_md5_key(&*self.socket, peer, key) {
                tracing::error!(%peer, %error, "cannot set the TCP-MD5 key");
            }
        };
        for peer in self.keys.keys().filter(|peer| !wanted.contains_key(peer)) {
            set(*peer, None);
        }
        for (peer, key) in &wanted {
            if self.keys.get(peer) != Some(*key) {
                set(**peer, Some(key.expose()));
            }
        }
        self.keys = wanted.into_iter().map(|(peer, key)| (*peer, key.clone())).collect();
    }
}

async fn accept(socket: Rc<TcpListener>, events: mpsc::Sender<Event>) {
    loop {
        let accepted =
            socket.accept().await.and_then(|(stream, remote)| Ok((stream.local_addr()?, stream, remote)));
        match accepted {
            Ok((local, stream, remote)) => {
                if events.send(Event::Accepted { stream, local, remote }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // Out of file descriptors, say: do not spin.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn bind(domain: Domain) -> io::Result<TcpListener> {
    let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    let any: IpAddr = if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
        // A peer with TTL security drops a SYN-ACK that does not come with 255 (RFC 5082 section 3).
        socket.set_unicast_hops_v6(255)?;
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        socket.set_ttl_v4(255)?;
        Ipv4Addr::UNSPECIFIED.into()
    };
    socket.bind(&SocketAddr::new(any, BGP_PORT).into())?;
    socket.listen(64)?;
    TcpListener::from_std(socket.into())
}

/// Sets what `transport` asks for on a connection to or from `remote`.
fn apply_options(fd: &impl AsFd, remote: IpAddr, transport: &Transport, external: bool) -> io::Result<()> {
    let socket = SockRef::from(fd);
    let ttl: u32 = match transport.multihop {
        _ if transport.ttl_security => 255,
        Some(hops) => hops.into(),
        None if external => 1,
        None => 255,
    };
    match remote {
        IpAddr::V4(_) => {
            socket.set_ttl_v4(ttl)?;
            socket.set_tos_v4(TOS_NETWORK_CONTROL)?;
        }
        IpAddr::V6(_) => {
            socket.set_unicast_hops_v6(ttl)?;
            socket.set_tclass_v6(TOS_NETWORK_CONTROL)?;
        }
    }
    if transport.ttl_security {
        sys::set_min_ttl(fd, remote, 255)?;
    }
    socket.set_tcp_nodelay(true)
}

/// Dials. The future is dropped when the core gives up.
pub(crate) async fn connect(
    remote: SocketAddr,
    transport: &Transport,
    external: bool,
) -> io::Result<TcpStream> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    apply_options(&socket, remote.ip(), transport, external)?;
    if let Some(password) = &transport.password {
        sys::set_md5_key(&socket, remote.ip(), Some(password.expose()))?;
    }
    if let Some(local) = transport.local_address {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.connect(remote).await
}

/// Gives an accepted connection its peer's options.
pub(crate) fn adopt(
    stream: &TcpStream,
    remote: IpAddr,
    transport: &Transport,
    external: bool,
) -> io::Result<()> {
    apply_options(stream, remote, transport, external)
}

/// Says a last word to somebody who is not wanted, and closes.
pub(crate) async fn refuse(mut stream: TcpStream, farewell: Bytes) {
    let (mut reader, mut writer) = stream.split();
    // Whether the stranger hears it is the stranger's affair.
    let _ = farewell_and_close(&mut reader, &mut writer, BytesMut::new(), &farewell).await;
}

/// Serves one connection until either side closes it; returns why it ended.
pub(crate) async fn serve(
    conn: ConnId,
    mut stream: TcpStream,
    events: &mpsc::Sender<Event>,
    mut outgoing: mpsc::Receiver<Outgoing>,
) -> String {
    let (mut reader, mut writer) = stream.split();
    let result = tokio::select! {
        r = read(conn, &reader, events) => r.map(|why| (why, BytesMut::new(), Bytes::new())),
        r = write(conn, &mut writer, events, &mut outgoing) => r.map(|(rest, farewell)| ("closed", rest, farewell)),
    };
    match result {
        Ok((why, rest, farewell)) => {
            // The session has ended; what happens to the last words is told nobody.
            let _ = farewell_and_close(&mut reader, &mut writer, rest, &farewell).await;
            why.to_owned()
        }
        Err(error) => error.to_string(),
    }
}

async fn read(conn: ConnId, reader: &ReadHalf<'_>, events: &mpsc::Sender<Event>) -> io::Result<&'static str> {
    loop {
        reader.readable().await?;
        // The buffer is made when there is something to read: idle sessions hold none.
        let mut data = BytesMut::with_capacity(READ_SIZE);
        match reader.try_read_buf(&mut data) {
            Ok(0) => return Ok("connection closed by the peer"),
            Ok(_) => {
                if events.send(Event::Received { conn, data }).await.is_err() {
                    return Ok("the daemon stops");
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
}

/// Writes until told to close; returns what is still to be written then, and the last words.
async fn write(
    conn: ConnId,
    writer: &mut WriteHalf<'_>,
    events: &mpsc::Sender<Event>,
    outgoing: &mut mpsc::Receiver<Outgoing>,
) -> io::Result<(BytesMut, Bytes)> {
    let mut data = BytesMut::new();
    loop {
        let next = tokio::select! {
            // A peer that takes nothing must not keep us from closing.
            next = outgoing.recv() => next,
            written = writer.write_all_buf(&mut data), if !data.is_empty() => {
                written?;
                let buffer = std::mem::take(&mut data);
                if events.send(Event::Sent { conn, buffer }).await.is_err() {
                    return Ok((data, Bytes::new()));
                }
                continue;
            }
        };
        match next {
            Some(Outgoing::Data(more)) => data = more,
            Some(Outgoing::Close(farewell)) => return Ok((data, farewell)),
            None => return Ok((data, Bytes::new())),
        }
    }
}

/// The last words, a FIN, and then what still comes in is read and dropped: closing with unread data would send a
/// RST, which makes the peer's kernel throw away the NOTIFICATION that the peer has not read yet.
async fn farewell_and_close(
    reader: &mut ReadHalf<'_>,
    writer: &mut WriteHalf<'_>,
    mut rest: BytesMut,
    farewell: &[u8],
) -> io::Result<()> {
    let linger = async {
        writer.write_all_buf(&mut rest).await?;
        writer.write_all(farewell).await?;
        writer.shutdown().await?;
        let mut unread = [0; 4096];
        while reader.read(&mut unread).await? > 0 {}
        Ok(())
    };
    tokio::time::timeout(LINGER, linger).await?
}
