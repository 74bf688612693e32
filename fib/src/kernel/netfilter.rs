//! What nftables and connection tracking have in common: the netfilter family of netlink (`linux/netfilter/nfnetlink.h`).
//!
//! Its messages carry the subsystem in the upper octet of their type and `struct nfgenmsg` behind the header; numbers
//! in their attributes are in network byte order, unlike rtnetlink's.

use netlink_sys::protocols::NETLINK_NETFILTER;

use super::{
    channel::Channel,
    codec::{Writer, u32_of},
    failed,
};
use crate::model::KernelError;

/// `sizeof(struct nfgenmsg)`.
pub(super) const FIXED: usize = 4;

/// Appends a request to a subsystem; `family` is an `NFPROTO_*`, or 0.
pub(super) fn request(
    w: &mut Writer,
    (subsystem, message): (u8, u8),
    family: u8,
    flags: u16,
    seq: u32,
    body: impl FnOnce(&mut Writer),
) {
    w.request(u16::from_be_bytes([subsystem, message]), flags, seq, |w| {
        w.raw(&[family, 0, 0, 0]);
        body(w);
    });
}

/// An attribute of four octets in network byte order.
pub(super) fn be32(w: &mut Writer, kind: u16, value: u32) {
    w.attribute(kind, &value.to_be_bytes());
}

/// The number in such an attribute.
pub(super) fn be32_of(payload: &[u8]) -> Option<u32> {
    u32_of(payload).map(u32::from_be)
}

/// Opens a socket for requests to netfilter in the calling thread's network namespace.
pub(super) fn open(receive_buffer: usize) -> Result<Channel, KernelError> {
    Channel::open_on(NETLINK_NETFILTER, receive_buffer).map_err(|error| failed(&error))
}
