//! Permanent neighbour entries: `struct ndmsg` and `NDA_*` (linux/neighbour.h).

use std::net::IpAddr;

use super::{
    codec::{Message, Writer, address_of, attributes_after, family, u16_at, u32_at},
    uapi::{
        AF_INET, AF_INET6, NDA_DST, NDA_LLADDR, NDA_PROTOCOL, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE,
        NTF_PROXY, NUD_PERMANENT, RTM_DELNEIGH, RTM_GETNEIGH, RTM_NEWNEIGH,
    },
};
use crate::model::Mac;

/// `sizeof(struct ndmsg)`.
const FIXED: usize = 12;

/// A neighbour entry as the kernel shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Interface index.
    pub(super) link: u32,
    /// `NDA_DST`.
    pub(super) address: IpAddr,
    /// `NDA_LLADDR`, where it is known and of Ethernet.
    pub(super) mac: Option<Mac>,
    /// `NUD_PERMANENT`; else the kernel's own cache, to be overwritten by anybody.
    pub(super) permanent: bool,
    /// `NDA_PROTOCOL`.
    pub(super) protocol: u8,
}

/// A request to make a permanent entry, in place of one that is there or not.
pub(super) fn put(
    w: &mut Writer,
    seq: u32,
    replace: bool,
    protocol: u8,
    link: u32,
    address: IpAddr,
    mac: Mac,
) {
    let flags = NLM_F_CREATE | if replace { NLM_F_REPLACE } else { NLM_F_EXCL };
    w.request(RTM_NEWNEIGH, flags, seq, |w| {
        header(w, link, address, NUD_PERMANENT);
        w.attribute(NDA_LLADDR, &mac.0);
        w.u8(NDA_PROTOCOL, protocol);
    });
}

/// A request to delete an entry.
pub(super) fn delete(w: &mut Writer, seq: u32, link: u32, address: IpAddr) {
    w.request(RTM_DELNEIGH, 0, seq, |w| header(w, link, address, 0));
}

/// A request for one entry.
pub(super) fn get(w: &mut Writer, seq: u32, flags: u16, link: u32, address: IpAddr) {
    w.request(RTM_GETNEIGH, flags, seq, |w| header(w, link, address, 0));
}

/// A request for all entries.
pub(super) fn dump(w: &mut Writer, seq: u32, flags: u16) {
    w.request(RTM_GETNEIGH, flags, seq, |w| w.raw(&[0; FIXED]));
}

fn header(w: &mut Writer, link: u32, address: IpAddr, state: u16) {
    w.raw(&[family(address), 0, 0, 0]);
    w.raw(&link.to_ne_bytes());
    let [a, b] = state.to_ne_bytes();
    w.raw(&[a, b, 0, 0]);
    w.address(NDA_DST, address);
}

/// Reads an entry of IPv4 or IPv6. `None` when it is cut short, of a bridge, or a proxy entry.
pub(super) fn decode(message: Message<'_>) -> Option<Seen> {
    if message.kind != RTM_NEWNEIGH && message.kind != RTM_DELNEIGH {
        return None;
    }
    let family = *message.body.first()?;
    let link = u32_at(message.body, 4)?;
    let state = u16_at(message.body, 8)?;
    let flags = *message.body.get(10)?;
    if flags & NTF_PROXY != 0 || (family != AF_INET && family != AF_INET6) {
        return None;
    }
    let (mut address, mut mac, mut protocol) = (None, None, 0);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            NDA_DST => address = address_of(payload),
            NDA_LLADDR => mac = payload.try_into().ok().map(Mac),
            NDA_PROTOCOL => protocol = *payload.first()?,
            _ => {}
        }
    }
    Some(Seen { link, address: address?, mac, permanent: state & NUD_PERMANENT != 0, protocol })
}
