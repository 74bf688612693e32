//! The three system calls that neither rustix nor netlink-sys wraps. The only `unsafe` of the crate.

#![allow(unsafe_code)]

use std::{
    io,
    mem::size_of,
    os::fd::{AsFd, AsRawFd},
};

/// One instruction of the classic BPF machine (`struct sock_filter`, `linux/filter.h`).
pub(super) type Instruction = libc::sock_filter;

/// Runs `program` on every message before it is queued on `socket`: what it returns 0 for is dropped
/// (`SO_ATTACH_FILTER`, socket(7)).
pub(super) fn attach_filter(socket: impl AsFd, program: &[Instruction]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The kernel only reads through the pointer, which C's prototype does not say.
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the option's value is a `sock_fprog` of the
    // size given, whose `filter` points to `len` instructions that outlive the call. The kernel checks the program
    // and copies it.
    check(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    })
}

/// `SO_NETNS_COOKIE` (Linux 5.14): the number of the network namespace that a socket belongs to. Unlike an nsfs
/// inode number it is never given out twice.
pub(super) fn namespace_cookie(socket: impl AsFd) -> io::Result<u64> {
    /// asm-generic/socket.h; not in libc for all targets.
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the kernel writes at most `length` bytes to
    // `cookie`, which is that large, and the written length to `length`.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    })?;
    Ok(cookie)
}

/// `NS_GET_NSTYPE` (ioctl_ns(2)): the `CLONE_NEW*` flag of the namespace that an nsfs file stands for. Only to be
/// called on files of nsfs: elsewhere the number may mean something else.
pub(super) fn namespace_type(file: impl AsFd) -> io::Result<libc::c_int> {
    // SAFETY: the descriptor is open as long as `file` is borrowed; this request takes no argument.
    let answer = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), libc::NS_GET_NSTYPE) };
    check(answer)?;
    Ok(answer)
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
