//! Forwarding entries: `struct ndmsg` and `NDA_*` (linux/neighbour.h) with the family `AF_BRIDGE`.
//!
//! Two kinds of tables go by that family: a VXLAN device's own (`NTF_SELF`, where to which VTEP) and a bridge's
//! (`NTF_MASTER`, out of which port). What is told of either is only what somebody has put there: learned entries come
//! and go by the thousand.

use std::net::IpAddr;

use super::{
    codec::{Message, Writer, address_of, attributes_after, u16_at, u32_at},
    uapi::{
        AF_BRIDGE, NDA_DST, NDA_IFINDEX, NDA_LLADDR, NDA_MASTER, NDA_PORT, NDA_VLAN, NDA_VNI, NLM_F_APPEND,
        NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NTF_EXT_LEARNED, NTF_MASTER, NTF_SELF, NTF_STICKY,
        NUD_NOARP, NUD_PERMANENT, RTM_DELNEIGH, RTM_GETNEIGH, RTM_NEWNEIGH,
    },
};
use crate::model::{FdbTarget, Mac};

/// `sizeof(struct ndmsg)`.
const FIXED: usize = 12;
/// The address under which a VXLAN device keeps where it floods to.
pub(super) const FLOOD: Mac = Mac([0; 6]);
/// The states of entries that somebody has put there: [`NUD_NOARP`] is a bridge's static entry, [`NUD_PERMANENT`] a
/// VXLAN device's (and a bridge's for its own addresses). The kernel keeps the state in the announcement of the end.
pub(super) const LASTING: u16 = NUD_NOARP | NUD_PERMANENT;

/// An entry's key, with the link by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    /// Interface index of the VXLAN device or port.
    pub(super) link: u32,
    /// The Ethernet address.
    pub(super) mac: Mac,
    /// Where to.
    pub(super) target: FdbTarget,
}

/// How an entry is put beside what may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nothing of that Ethernet address may be there. (In a VXLAN device's flood list: it is added; if it is there, the
    /// kernel takes that as done.)
    New,
    /// Whatever is there gives way.
    Over,
    /// Something of that Ethernet address is there and becomes this.
    There,
}

/// A request to put an entry.
///
/// A port's entry is static, and sticky on top (Linux 4.20): a merely static one follows the sender, so that a
/// container that sends with another's address would draw the other's traffic to itself.
pub(super) fn put(w: &mut Writer, seq: u32, entry: Entry, seen: &Seen) {
    let several = seen.mac == FLOOD && matches!(seen.target, FdbTarget::Vtep(_));
    let flags = match entry {
        Entry::New | Entry::Over if several => NLM_F_CREATE | NLM_F_APPEND,
        Entry::There if several => NLM_F_APPEND,
        Entry::New => NLM_F_CREATE | NLM_F_EXCL,
        Entry::Over => NLM_F_CREATE | NLM_F_REPLACE,
        Entry::There => NLM_F_REPLACE,
    };
    w.request(RTM_NEWNEIGH, flags, seq, |w| match seen.target {
        FdbTarget::Vtep(_) => body(w, seen, NUD_PERMANENT, 0),
        FdbTarget::Port => body(w, seen, NUD_NOARP, NTF_STICKY),
    });
}

/// A request to delete an entry. The kernel compares link, Ethernet address and VTEP.
pub(super) fn delete(w: &mut Writer, seq: u32, seen: &Seen) {
    w.request(RTM_DELNEIGH, 0, seq, |w| body(w, seen, 0, 0));
}

/// A request for the entry of an Ethernet address in the table of the bridge that `port` is one of (Linux 5.0).
pub(super) fn get(w: &mut Writer, seq: u32, flags: u16, port: u32, mac: Mac) {
    w.request(RTM_GETNEIGH, flags, seq, |w| {
        header(w, port, 0, NTF_MASTER);
        w.attribute(NDA_LLADDR, &mac.0);
    });
}

/// A request for all entries of all devices.
pub(super) fn dump(w: &mut Writer, seq: u32, flags: u16) {
    w.request(RTM_GETNEIGH, flags, seq, |w| header(w, 0, 0, 0));
}

fn body(w: &mut Writer, seen: &Seen, state: u16, flags: u8) {
    match seen.target {
        FdbTarget::Vtep(vtep) => {
            header(w, seen.link, state, flags | NTF_SELF);
            w.attribute(NDA_LLADDR, &seen.mac.0);
            w.address(NDA_DST, vtep);
        }
        FdbTarget::Port => {
            header(w, seen.link, state, flags | NTF_MASTER);
            w.attribute(NDA_LLADDR, &seen.mac.0);
        }
    }
}

fn header(w: &mut Writer, link: u32, state: u16, flags: u8) {
    w.raw(&[AF_BRIDGE, 0, 0, 0]);
    w.raw(&link.to_ne_bytes());
    let [a, b] = state.to_ne_bytes();
    w.raw(&[a, b, flags, 0]);
}

/// Who holds an Ethernet address in a bridge's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// The port, or the bridge itself; by index.
    pub(super) link: u32,
    /// Bits of [`LASTING`]; none: learned.
    pub(super) state: u16,
}

/// Reads the answer to [`get`].
pub(super) fn decode_holder(message: Message<'_>) -> Option<Holder> {
    if message.kind != RTM_NEWNEIGH || *message.body.first()? != AF_BRIDGE {
        return None;
    }
    Some(Holder { link: u32_at(message.body, 4)?, state: u16_at(message.body, 8)? & LASTING })
}

/// Reads an entry that somebody has put there. `None` when it is cut short, learned, a control plane's
/// (`NTF_EXT_LEARNED`), a device's own address, or one that we have no words for (of one VLAN, to another port or VNI).
pub(super) fn decode(message: Message<'_>) -> Option<Seen> {
    if message.kind != RTM_NEWNEIGH && message.kind != RTM_DELNEIGH || *message.body.first()? != AF_BRIDGE {
        return None;
    }
    let link = u32_at(message.body, 4)?;
    let state = u16_at(message.body, 8)?;
    let flags = *message.body.get(10)?;
    if flags & NTF_EXT_LEARNED != 0 {
        return None;
    }
    let (mut mac, mut vtep, mut master) = (None, None::<IpAddr>, None);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            NDA_LLADDR => mac = payload.try_into().ok().map(Mac),
            NDA_DST => vtep = address_of(payload),
            NDA_MASTER => master = u32_at(payload, 0),
            // shown only where they differ from the device's own
            NDA_PORT | NDA_VNI | NDA_IFINDEX => return None,
            NDA_VLAN if u16_at(payload, 0) != Some(0) => return None,
            _ => {}
        }
    }
    let target = match vtep {
        Some(vtep) if state & NUD_PERMANENT != 0 => FdbTarget::Vtep(vtep),
        // a bridge's entry for itself leads to no port
        None if state & LASTING == NUD_NOARP && master.is_some_and(|bridge| bridge != link) => {
            FdbTarget::Port
        }
        _ => return None,
    };
    Some(Seen { link, mac: mac?, target })
}
