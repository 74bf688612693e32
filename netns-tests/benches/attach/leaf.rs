//! The leaf's kernel table, watched by netlink from a thread in the leaf's network namespace.
//!
//! Reads `RTM_NEWROUTE` of `linux/rtnetlink.h`, as much as a destination takes, and notes when it came.

use std::{
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{AddressFamily, RecvFlags, SocketType, bind, netlink::SocketAddrNetlink, recv, socket, sockopt},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// `RTMGRP_IPV4_ROUTE` and `RTMGRP_IPV6_ROUTE`.
const GROUPS: u32 = 0x40 | 0x400;
const RTM_NEWROUTE: u16 = 24;
const RTA_DST: u16 = 1;
const BUFFER: usize = 4 << 20;
/// Lengths of `nlmsghdr`, `rtmsg` and `rtattr`.
const HEADER: usize = 16;
const ROUTE: usize = 12;
const ATTRIBUTE: usize = 4;

/// The watch over a leaf's host routes. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Arc<Seen>,
    /// Closed, it ends the thread.
    end: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    routes: Mutex<Vec<(IpAddr, Instant)>>,
    changed: Condvar,
}

impl Watch {
    /// Starts to watch; `namespace` is a file of `/proc/PID/ns`.
    pub(crate) fn start(namespace: &Path) -> Result<Self, String> {
        let words = |e: io::Error| format!("watching the leaf's routes: {e}");
        let namespace = File::open(namespace).map_err(words)?;
        let (end, ended) = UnixStream::pair().map_err(words)?;
        let seen = Arc::new(Seen::default());
        let noted = Arc::clone(&seen);
        let (started, outcome) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || match open(&namespace) {
            Ok(socket) => {
                let _ = started.send(Ok(()));
                if let Err(error) = watch(&socket, &ended, &noted) {
                    eprintln!("watching the leaf's routes: {error}");
                }
            }
            Err(error) => drop(started.send(Err(error))),
        });
        outcome.recv().map_err(|e| e.to_string())?.map_err(words)?;
        Ok(Self { seen, end: Some(end), thread: Some(thread) })
    }

    /// When the route to `address` came; the first time after `since`.
    pub(crate) fn wait(
        &self,
        address: IpAddr,
        since: Instant,
        patience: Duration,
    ) -> Result<Instant, String> {
        let mut routes = self.seen.lock();
        let deadline = Instant::now() + patience;
        loop {
            if let Some((_, at)) = routes.iter().find(|(a, at)| *a == address && *at >= since) {
                return Ok(*at);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("{address} did not come to the leaf within {patience:?}"));
            }
            routes = self.seen.changed.wait_timeout(routes, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Forgets what has been seen.
    pub(crate) fn clear(&self) {
        self.seen.lock().clear();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Vec<(IpAddr, Instant)>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket in the namespace; the calling thread is in it from then on.
fn open(namespace: &File) -> io::Result<OwnedFd> {
    use std::os::fd::AsFd;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    // NETLINK_ROUTE is protocol 0.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER)?;
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    Ok(socket)
}

fn watch(socket: &OwnedFd, ended: &UnixStream, seen: &Seen) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut ready = [PollFd::new(socket, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        poll(&mut ready, None)?;
        if !ready[1].revents().is_empty() {
            return Ok(());
        }
        let length = recv(socket, &mut buffer[..], RecvFlags::empty())?.0;
        let at = Instant::now();
        let news: Vec<IpAddr> = messages(buffer.get(..length).unwrap_or_default()).collect();
        if !news.is_empty() {
            seen.lock().extend(news.into_iter().map(|address| (address, at)));
            seen.changed.notify_all();
        }
    }
}

/// The host routes among the new routes of a datagram.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = IpAddr> {
    std::iter::from_fn(move || {
        while let Some(length) = u32_at(datagram, 0).map(|l| l as usize).filter(|l| *l >= HEADER) {
            let message = datagram.get(..length)?;
            datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
            if let Some(address) = host_route(message) {
                return Some(address);
            }
        }
        None
    })
}

fn host_route(message: &[u8]) -> Option<IpAddr> {
    let kind = u16_at(message, 4)?;
    let prefix_length = *message.get(HEADER + 1)?;
    let mut attributes = message.get(HEADER + ROUTE..)?;
    while let Some(length) = u16_at(attributes, 0).map(usize::from).filter(|l| *l >= ATTRIBUTE) {
        if (kind, u16_at(attributes, 2)?) == (RTM_NEWROUTE, RTA_DST) {
            let bytes = attributes.get(ATTRIBUTE..length)?;
            return match (prefix_length, bytes.len()) {
                (32, 4) => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
                (128, 16) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
                _ => None,
            };
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
