//! Socket options and socket kinds that no safe wrapper covers. The only module of this crate with `unsafe`.
//!
//! The blocks around system calls pass a pointer to a live, initialised C structure together with its exact size to
//! one call, and the kernel copies from it before the call returns.
#![allow(unsafe_code)]

use std::{
    io,
    mem::size_of,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// The longest TCP-MD5 key (`TCP_MD5SIG_MAXKEYLEN` in `linux/tcp.h`).
pub(crate) const MD5_KEY_MAX: usize = 80;

/// `IP_MINTTL` in `linux/in.h`.
const IP_MINTTL: libc::c_int = 21;
/// `IPV6_MINHOPCOUNT` in `linux/in6.h`.
const IPV6_MINHOPCOUNT: libc::c_int = 73;
/// `TCP_MD5SIG` in `linux/tcp.h`.
const TCP_MD5SIG: libc::c_int = 14;

/// `struct tcp_md5sig` of `linux/tcp.h`.
#[repr(C)]
struct TcpMd5Sig {
    address: libc::sockaddr_storage,
    flags: u8,
    prefix_len: u8,
    key_len: u16,
    ifindex: libc::c_int,
    key: [u8; MD5_KEY_MAX],
}

fn set<T>(socket: &impl AsFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` is a live reference, and the length is that of what it points to.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets (or, with `None`, removes) the TCP-MD5 key (RFC 2385) for segments from and to `peer`.
pub(crate) fn set_md5_key(socket: &impl AsFd, peer: IpAddr, key: Option<&[u8]>) -> io::Result<()> {
    let key = key.unwrap_or_default();
    if key.len() > MD5_KEY_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let address = socket2::SockAddr::from(SocketAddr::new(peer, 0));
    let mut sig = TcpMd5Sig {
        // SAFETY: all zeroes is a valid `sockaddr_storage`.
        address: unsafe { std::mem::zeroed() },
        flags: 0,
        prefix_len: 0,
        key_len: key.len() as u16,
        ifindex: 0,
        key: [0; MD5_KEY_MAX],
    };
    sig.key[..key.len()].copy_from_slice(key);
    // SAFETY: source and destination do not overlap, and a socket address never exceeds `sockaddr_storage`.
    unsafe {
        std::ptr::copy_nonoverlapping(
            address.as_ptr().cast::<u8>(),
            std::ptr::from_mut(&mut sig.address).cast::<u8>(),
            address.len() as usize,
        );
    }
    set(socket, libc::IPPROTO_TCP, TCP_MD5SIG, &sig)
}

/// Drops packets whose TTL or hop limit is below `ttl` (RFC 5082).
pub(crate) fn set_min_ttl(socket: &impl AsFd, peer: IpAddr, ttl: u8) -> io::Result<()> {
    let ttl = libc::c_int::from(ttl);
    match peer {
        IpAddr::V4(_) => set(socket, libc::IPPROTO_IP, IP_MINTTL, &ttl),
        IpAddr::V6(_) => set(socket, libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT, &ttl),
    }
}

/// Whether `file` (on nsfs) is a network namespace (`NS_GET_NSTYPE` of `linux/nsfs.h`).
pub(crate) fn is_network_namespace(file: &impl AsFd) -> bool {
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: this request takes no argument and writes nothing.
    unsafe { libc::ioctl(file.as_fd().as_raw_fd(), NS_GET_NSTYPE) == libc::CLONE_NEWNET }
}

/// Registers an owned file descriptor with the runtime.
pub(crate) fn watch(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open as long as it lives, always returns the same descriptor, and belongs to the
    // `AsyncFd` from here on.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(Into::into)
}
