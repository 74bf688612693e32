//! Links: `struct ifinfomsg` and `IFLA_*` (linux/if_link.h).

use std::os::fd::{AsRawFd, BorrowedFd};

use super::{
    codec::{Message, Writer, attributes, attributes_after, text_of, u32_at, u32_of},
    uapi::{
        AF_UNSPEC, IFF_LOWER_UP, IFF_UP, IFLA_ADDRESS, IFLA_EXT_MASK, IFLA_GROUP, IFLA_IFALIAS, IFLA_IFNAME,
        IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO, IFLA_MTU, IFLA_NET_NS_FD, NLM_F_CREATE, NLM_F_EXCL,
        RTEXT_FILTER_SKIP_STATS, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, RTM_SETLINK, VETH_INFO_PEER,
    },
};
use crate::model::{IfName, Link, LinkKind, LinkState, Mac, Ns};

/// `sizeof(struct ifinfomsg)`.
const FIXED: usize = 16;

/// A veth to be made.
pub(super) struct NewVeth<'a> {
    /// The end in the namespace of the socket that the request is sent on.
    pub(super) name: &'a IfName,
    /// Its settings.
    pub(super) link: &'a Link,
    /// The other end.
    pub(super) peer: &'a IfName,
    /// Where the other end goes, if elsewhere.
    pub(super) peer_ns: Option<BorrowedFd<'a>>,
    /// `IFLA_GROUP` of both ends: the mark that is there from the first moment.
    pub(super) group: u32,
}

/// A request to make a veth. The kernel takes no alias at creation and the link stays down: [`set`] does the rest.
pub(super) fn create_veth(writer: &mut Writer, seq: u32, flags: u16, veth: &NewVeth<'_>) {
    writer.request(RTM_NEWLINK, flags | NLM_F_CREATE | NLM_F_EXCL, seq, |w| {
        header(w, 0, 0, 0);
        w.text(IFLA_IFNAME, veth.name.as_str());
        w.u32(IFLA_GROUP, veth.group);
        if let Some(mac) = veth.link.mac {
            w.attribute(IFLA_ADDRESS, &mac.0);
        }
        if let Some(mtu) = veth.link.mtu {
            w.u32(IFLA_MTU, mtu);
        }
        w.nested(IFLA_LINKINFO, |w| {
            w.attribute(IFLA_INFO_KIND, b"veth");
            w.nested(IFLA_INFO_DATA, |w| {
                w.nested(VETH_INFO_PEER, |w| {
                    header(w, 0, 0, 0);
                    w.text(IFLA_IFNAME, veth.peer.as_str());
                    w.u32(IFLA_GROUP, veth.group);
                    if let Some(ns) = veth.peer_ns {
                        w.u32(IFLA_NET_NS_FD, ns.as_raw_fd().cast_unsigned());
                    }
                });
            });
        });
    });
}

/// A request to bring the settings of an existing link to those wanted; only what differs is written.
/// `None` when nothing differs.
pub(super) fn set(now: &LinkState, wanted: &Link) -> Option<impl FnOnce(&mut Writer, u32, u16)> {
    let mac = wanted.mac.filter(|mac| now.mac != Some(*mac));
    let mtu = wanted.mtu.filter(|mtu| now.mtu != *mtu);
    let alias = wanted.alias.clone().filter(|alias| now.alias.as_ref() != Some(alias));
    let turn = (wanted.up != now.up).then_some(if wanted.up { IFF_UP } else { 0 });
    if mac.is_none() && mtu.is_none() && alias.is_none() && turn.is_none() {
        return None;
    }
    let index = now.index;
    Some(move |w: &mut Writer, seq: u32, flags: u16| {
        w.request(RTM_SETLINK, flags, seq, |w| {
            header(w, index, turn.unwrap_or(0), if turn.is_some() { IFF_UP } else { 0 });
            if let Some(mac) = mac {
                w.attribute(IFLA_ADDRESS, &mac.0);
            }
            if let Some(mtu) = mtu {
                w.u32(IFLA_MTU, mtu);
            }
            if let Some(alias) = alias {
                w.attribute(IFLA_IFALIAS, alias.as_bytes());
            }
        });
    })
}

/// A request to delete a link by index.
pub(super) fn delete(w: &mut Writer, seq: u32, flags: u16, index: u32) {
    w.request(RTM_DELLINK, flags, seq, |w| header(w, index, 0, 0));
}

/// A request for one link by name.
pub(super) fn get(w: &mut Writer, seq: u32, flags: u16, name: &IfName) {
    w.request(RTM_GETLINK, flags, seq, |w| {
        header(w, 0, 0, 0);
        w.text(IFLA_IFNAME, name.as_str());
        w.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    });
}

/// A request for all links.
pub(super) fn dump(w: &mut Writer, seq: u32, flags: u16) {
    w.request(RTM_GETLINK, flags, seq, |w| {
        header(w, 0, 0, 0);
        w.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    });
}

fn header(w: &mut Writer, index: u32, flags: u32, change: u32) {
    w.raw(&[AF_UNSPEC, 0, 0, 0]);
    w.raw(&index.to_ne_bytes());
    w.raw(&flags.to_ne_bytes());
    w.raw(&change.to_ne_bytes());
}

/// Reads a link. `None` when it is cut short, or when the message is about something else that travels under the
/// same number: a bridge announces its ports with a family of its own, and "deletes" a port that leaves it.
pub(super) fn decode(ns: Ns, message: Message<'_>) -> Option<LinkState> {
    if message.kind != RTM_NEWLINK && message.kind != RTM_DELLINK || *message.body.first()? != AF_UNSPEC {
        return None;
    }
    let index = u32_at(message.body, 4)?;
    let flags = u32_at(message.body, 8)?;
    let (mut name, mut mac, mut mtu, mut alias, mut group, mut veth) = (None, None, 0, None, 0, false);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            IFLA_IFNAME => name = text_of(payload).and_then(IfName::new),
            IFLA_ADDRESS => mac = payload.try_into().ok().map(Mac),
            IFLA_MTU => mtu = u32_of(payload)?,
            IFLA_IFALIAS => alias = text_of(payload).filter(|text| !text.is_empty()).map(Into::into),
            IFLA_GROUP => group = u32_of(payload)?,
            IFLA_LINKINFO => {
                veth = attributes(payload)
                    .any(|(number, kind)| number == IFLA_INFO_KIND && text_of(kind) == Some("veth"));
            }
            _ => {}
        }
    }
    Some(LinkState {
        ns,
        index,
        name: name?,
        kind: if veth { LinkKind::VethPeer } else { LinkKind::Foreign },
        mac,
        mtu,
        up: flags & IFF_UP != 0,
        carrier: flags & IFF_LOWER_UP != 0,
        alias,
        port: None,
        group,
    })
}
