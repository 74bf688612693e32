//! One netlink socket for requests: send, gather the answers by sequence number, read dumps.
//!
//! Knows how errors and the ends of dumps look. Must not know what is asked.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use rustix::net::sockopt;

use super::{
    codec::{HEADER, Message, Writer, attributes_after, messages, text_of, u32_at, u32_of},
    failed, refused,
    uapi::{
        NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN,
        NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS,
    },
};
use crate::model::{Errno, KernelError};

/// The kernel fills dumps up to 32 KiB per read when the reader has the room; single messages (a link with many
/// virtual functions, a large group) can be larger.
pub(super) const READ_SIZE: usize = 128 << 10;

/// rtnetlink answers before `sendmsg` returns, so that this passes only when something is badly wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a dump that others' changes interrupt is begun anew before it is given up for now.
const DUMP_ATTEMPTS: usize = 8;

/// Sequence numbers are drawn from one well, so that an answer that comes late is never taken for another's.
static SEQUENCE: AtomicU32 = AtomicU32::new(1);

/// Takes `count` consecutive sequence numbers and gives the first.
pub(super) fn reserve(count: u32) -> u32 {
    SEQUENCE.fetch_add(count, Ordering::Relaxed)
}

/// What comes back for one request.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    /// The thing asked for.
    Message(Message<'a>),
    /// The request was refused.
    Refused(KernelError),
}

/// Writes one request, with the sequence number and flags given.
pub(super) type Request<'a> = &'a dyn Fn(&mut Writer, u32, u16);

/// A socket in the network namespace that the thread was in when it was opened.
#[derive(Debug)]
pub(super) struct Channel {
    socket: Socket,
    port: u32,
    inbox: Vec<u8>,
}

impl Channel {
    /// Opens a socket to rtnetlink with a receive buffer of that many bytes.
    pub(super) fn open(receive_buffer: usize) -> io::Result<Self> {
        Self::open_on(NETLINK_ROUTE, receive_buffer)
    }

    /// Opens a socket to another family of netlink (`NETLINK_*`).
    pub(super) fn open_on(protocol: isize, receive_buffer: usize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        enlarge(&socket, receive_buffer)?;
        // the kernel's own words beside the error numbers; without the copy of the request
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        // an unknown filter is an error instead of a dump of everything
        socket.set_netlink_get_strict_chk(true)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        let port = socket.bind_auto()?.port_number();
        Ok(Self { socket, port, inbox: Vec::with_capacity(READ_SIZE) })
    }

    /// The socket's address: `nlmsg_pid` of what is announced about its requests.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Sends requests numbered `first` to `last`, the last of which asks for an acknowledgement, and hands each
    /// answer over until that comes. `Err`: the outcome of those that had no answer yet is unknown.
    pub(super) fn exchange(
        &mut self,
        requests: &[u8],
        first: u32,
        last: u32,
        mut each: impl FnMut(u32, Answer<'_>),
    ) -> Result<(), KernelError> {
        self.send(requests)?;
        loop {
            for message in messages(self.receive()?) {
                // late answers to something given up earlier
                if message.seq.wrapping_sub(first) > last.wrapping_sub(first) {
                    continue;
                }
                if message.kind == NLMSG_ERROR {
                    if let Some(error) = error_of(&message) {
                        each(message.seq, Answer::Refused(error));
                    }
                    if message.seq == last {
                        return Ok(());
                    }
                } else {
                    each(message.seq, Answer::Message(message));
                }
            }
        }
    }

    /// Sends a transaction of netfilter: requests numbered `first` to `last`, in a frame whose beginning and end are
    /// numbered `first - 1` and `last + 1`. The last request asks for an acknowledgement. `each` is told which were
    /// refused, and at which octet of the request where the kernel says so. `Err`: the whole was refused, for none of
    /// them, or its outcome is unknown.
    pub(super) fn transact(
        &mut self,
        frame: &[u8],
        first: u32,
        last: u32,
        mut each: impl FnMut(u32, KernelError, Option<usize>),
    ) -> Result<(), KernelError> {
        let begin = first.wrapping_sub(1);
        self.send(frame)?;
        loop {
            for message in messages(self.receive()?) {
                if message.kind != NLMSG_ERROR || message.seq.wrapping_sub(begin) > last.wrapping_sub(begin) {
                    continue;
                }
                if let Some(error) = error_of(&message) {
                    if message.seq == begin {
                        return Err(error);
                    }
                    each(message.seq, error, offset_of(&message));
                }
                if message.seq == last {
                    return Ok(());
                }
            }
        }
    }

    /// Sees to it that a request of that many bytes can be sent, as far as that is allowed.
    pub(super) fn make_room(&self, bytes: usize) {
        // What the kernel needs for itself is not counted; the limit is on the bytes less a few.
        let wanted = bytes.saturating_add(4096);
        if sockopt::socket_send_buffer_size(&self.socket).is_ok_and(|now| now >= wanted) {
            return;
        }
        if sockopt::set_socket_send_buffer_size_force(&self.socket, wanted).is_err() {
            // Whether it was enough shows when sending.
            let _ = sockopt::set_socket_send_buffer_size(&self.socket, wanted);
        }
    }

    /// Sends one request, written by `encode` with the sequence number and flags given, and waits for its outcome.
    pub(super) fn request(
        &mut self,
        encode: impl FnOnce(&mut Writer, u32, u16),
        mut each: impl FnMut(Message<'_>),
    ) -> Result<(), KernelError> {
        let mut writer = Writer::default();
        let seq = reserve(1);
        encode(&mut writer, seq, super::uapi::NLM_F_ACK);
        let mut outcome = Ok(());
        self.exchange(writer.as_slice(), seq, seq, |_, answer| match answer {
            Answer::Message(message) => each(message),
            Answer::Refused(error) => outcome = Err(error),
        })?;
        outcome
    }

    /// Sends requests together, each written as by [`Self::request`], and waits for the outcome of all: the first
    /// refusal, if there is one. The kernel goes on after a refusal, so the later ones must make no sense without the
    /// earlier ones, or do no harm.
    pub(super) fn sequence(
        &mut self,
        requests: &[Request<'_>],
        mut each: impl FnMut(Message<'_>),
    ) -> Result<(), KernelError> {
        let Some(after_first) = (requests.len() as u32).checked_sub(1) else { return Ok(()) };
        let mut writer = Writer::default();
        let first = reserve(after_first + 1);
        let last = first.wrapping_add(after_first);
        let mut seq = first;
        for encode in requests {
            encode(&mut writer, seq, if seq == last { super::uapi::NLM_F_ACK } else { 0 });
            seq = seq.wrapping_add(1);
        }
        let mut outcome = Ok(());
        self.exchange(writer.as_slice(), first, last, |_, answer| match answer {
            Answer::Message(message) => each(message),
            Answer::Refused(error) if outcome.is_ok() => outcome = Err(error),
            Answer::Refused(_) => {}
        })?;
        outcome
    }

    /// Reads everything that `encode` asks for, as far as `decode` can express it. Begun anew while the kernel says
    /// that changes went on meanwhile (`NLM_F_DUMP_INTR`); in the end `EINTR`.
    pub(super) fn dump<T>(
        &mut self,
        encode: impl Fn(&mut Writer, u32, u16),
        mut decode: impl FnMut(Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>, KernelError> {
        let mut found = Vec::new();
        let mut writer = Writer::default();
        for _ in 0..DUMP_ATTEMPTS {
            found.clear();
            writer.clear();
            let seq = reserve(1);
            encode(&mut writer, seq, NLM_F_DUMP);
            self.send(writer.as_slice())?;
            match self.read_dump(seq, |message| found.extend(decode(message))) {
                Ok(true) => return Ok(found),
                Ok(false) => {}
                Err(error) if error.errno.0 == libc::EINTR => {}
                Err(error) => return Err(error),
            }
        }
        Err(refused(libc::EINTR, "the dump was interrupted by changes again and again"))
    }

    /// True when nothing changed while it was read.
    fn read_dump(&mut self, seq: u32, mut each: impl FnMut(Message<'_>)) -> Result<bool, KernelError> {
        let mut whole = true;
        loop {
            for message in messages(self.receive()?).filter(|m| m.seq == seq) {
                whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => return error_of(&message).map_or(Ok(whole), Err),
                    NLMSG_OVERRUN => return Err(failed(&io::Error::from_raw_os_error(libc::ENOBUFS))),
                    _ => each(message),
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), KernelError> {
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    fn receive(&mut self) -> Result<&[u8], KernelError> {
        loop {
            match read(&self.socket, &mut self.inbox, 0) {
                Ok(()) => return Ok(&self.inbox),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error)),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Reads one datagram of the kernel's into `inbox`, in place of what was there. Another process's datagram reads
/// as empty: in a container's namespace its processes could send us forged answers. `EMSGSIZE` when the datagram
/// was larger than the room.
pub(super) fn read(socket: &Socket, inbox: &mut Vec<u8>, flags: libc::c_int) -> io::Result<()> {
    inbox.clear();
    inbox.reserve(READ_SIZE);
    let room = inbox.capacity();
    let (length, from) = socket.recv_from(inbox, flags | libc::MSG_TRUNC)?;
    if from.port_number() != 0 {
        inbox.clear();
    } else if length > room {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    Ok(())
}

/// Sets the receive buffer, beyond `net.core.rmem_max` where that is allowed: the override asks for CAP_NET_ADMIN
/// in the machine's first user namespace, which a container has not.
pub(super) fn enlarge(socket: &Socket, size: usize) -> io::Result<()> {
    if sockopt::set_socket_recv_buffer_size_force(socket, size).is_err() {
        sockopt::set_socket_recv_buffer_size(socket, size)?;
    }
    Ok(())
}

/// The error that a message of type `NLMSG_ERROR` or `NLMSG_DONE` carries; `None` for success.
fn error_of(message: &Message<'_>) -> Option<KernelError> {
    let code = u32_at(message.body, 0)?.cast_signed();
    if code == 0 || (code > 0 && message.kind == NLMSG_DONE) {
        return None; // a dump may end with a positive count
    }
    let text = extended(message, NLMSGERR_ATTR_MSG).and_then(text_of).map(str::to_owned);
    Some(KernelError { errno: Errno(code.saturating_neg()), text })
}

/// Which attribute of the request the error is about, as octets from the start of its header.
fn offset_of(message: &Message<'_>) -> Option<usize> {
    extended(message, NLMSGERR_ATTR_OFFS).and_then(u32_of).map(|offset| offset as usize)
}

/// One of the attributes behind an error.
fn extended<'a>(message: &Message<'a>, wanted: u16) -> Option<&'a [u8]> {
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let skip = if message.kind == NLMSG_DONE {
        4
    } else if message.flags & NLM_F_CAPPED != 0 {
        4 + HEADER
    } else {
        // behind a copy of the whole request
        4usize.saturating_add((u32_at(message.body, 4)? as usize).next_multiple_of(4))
    };
    attributes_after(message.body, skip).find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_answer_makes_the_error_reader_panic(kind in 2u16..=3, flags: u16, body: Vec<u8>) {
            let message = Message { kind, flags, seq: 0, port: 0, body: &body };
            let _ = (error_of(&message), offset_of(&message));
        }
    }
}
