//! Links: `struct ifinfomsg` and `IFLA_*` (linux/if_link.h).

use std::{
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd},
    sync::Arc,
};

use super::{
    codec::{Message, Writer, attributes_after, text_of, u32_at, u32_of},
    device::{self, Device},
    port,
    uapi::{
        AF_UNSPEC, IFF_LOWER_UP, IFF_UP, IFLA_ADDRESS, IFLA_EXT_MASK, IFLA_GROUP, IFLA_IFALIAS, IFLA_IFNAME,
        IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINK, IFLA_LINK_NETNSID, IFLA_LINKINFO, IFLA_MASTER, IFLA_MTU,
        IFLA_NET_NS_FD, NLM_F_CREATE, NLM_F_EXCL, RTEXT_FILTER_SKIP_STATS, RTM_DELLINK, RTM_GETLINK,
        RTM_NEWLINK, RTM_SETLINK, VETH_INFO_PEER,
    },
};
use crate::model::{IfName, Link, LinkKind, LinkState, Mac, Ns};

/// `sizeof(struct ifinfomsg)`.
const FIXED: usize = 16;

/// A link to be made, in the namespace of the socket that the request is sent on.
pub(super) struct NewLink<'a> {
    /// Its name.
    pub(super) name: &'a IfName,
    /// Its settings; of these the kernel takes Ethernet address and MTU at creation.
    pub(super) link: &'a Link,
    /// `IFLA_GROUP` (of a veth, of both ends): the mark that is there from the first moment.
    pub(super) group: u32,
    /// What it is.
    pub(super) device: NewDevice<'a>,
}

/// What a new link is to be.
pub(super) enum NewDevice<'a> {
    /// One end of a veth.
    Veth {
        /// The other end.
        peer: &'a IfName,
        /// Where the other end goes, if elsewhere.
        peer_ns: Option<BorrowedFd<'a>>,
    },
    /// A bridge.
    Bridge { netfilter: bool },
    /// An intermediate functional block.
    Ifb,
    /// An 802.1Q subinterface.
    Vlan {
        /// Interface index of the link below.
        parent: u32,
        /// VLAN id.
        tag: u16,
    },
    /// A VXLAN device.
    Vxlan {
        /// Network identifier.
        vni: u32,
        /// Source address.
        local: IpAddr,
        /// UDP port.
        port: u16,
    },
}

/// A request to make a link. The kernel takes no alias and no port settings at creation, and the link stays down:
/// [`Setting`] does the rest.
pub(super) fn create(writer: &mut Writer, seq: u32, flags: u16, new: &NewLink<'_>) {
    writer.request(RTM_NEWLINK, flags | NLM_F_CREATE | NLM_F_EXCL, seq, |w| {
        header(w, 0, 0, 0);
        w.text(IFLA_IFNAME, new.name.as_str());
        w.u32(IFLA_GROUP, new.group);
        if let Some(mac) = new.link.mac {
            w.attribute(IFLA_ADDRESS, &mac.0);
        }
        // A bridge's MTU follows that of its ports until somebody sets it; at creation does not count as that.
        if let Some(mtu) = new.link.mtu
            && !matches!(new.device, NewDevice::Bridge { .. })
        {
            w.u32(IFLA_MTU, mtu);
        }
        match new.device {
            NewDevice::Veth { peer, peer_ns } => veth(w, peer, peer_ns, new.group),
            NewDevice::Bridge { netfilter } => device::bridge(w, netfilter),
            NewDevice::Ifb => device::ifb(w),
            NewDevice::Vlan { parent, tag } => device::vlan(w, parent, tag),
            NewDevice::Vxlan { vni, local, port } => device::vxlan(w, vni, local, port),
        }
    });
}

fn veth(w: &mut Writer, peer: &IfName, peer_ns: Option<BorrowedFd<'_>>, group: u32) {
    w.nested(IFLA_LINKINFO, |w| {
        w.attribute(IFLA_INFO_KIND, b"veth");
        w.nested(IFLA_INFO_DATA, |w| {
            w.nested(VETH_INFO_PEER, |w| {
                header(w, 0, 0, 0);
                w.text(IFLA_IFNAME, peer.as_str());
                w.u32(IFLA_GROUP, group);
                if let Some(ns) = peer_ns {
                    w.u32(IFLA_NET_NS_FD, ns.as_raw_fd().cast_unsigned());
                }
            });
        });
    });
}

/// What of an existing link's settings differs from those wanted.
#[derive(Debug, Default)]
pub(super) struct Setting {
    index: u32,
    mac: Option<Mac>,
    mtu: Option<u32>,
    alias: Option<Arc<str>>,
    turn: Option<bool>,
    /// The bridge to join, by index; 0: none any more.
    master: Option<u32>,
    flags: Option<port::Flags>,
    /// Of a bridge.
    netfilter: Option<bool>,
}

impl Setting {
    /// Compares. `bridge` is the index of the bridge that it is to be a port of, where there is one.
    pub(super) fn of(now: &LinkState, wanted: &Link, bridge: Option<u32>) -> Self {
        let (mut master, mut flags) = (None, None);
        match &wanted.port {
            None if wanted.kind == LinkKind::Foreign => {}
            None => master = now.port.is_some().then_some(0),
            Some(port) => {
                let stays = now.port.as_ref().filter(|now| now.bridge == port.bridge);
                master = bridge.filter(|_| stays.is_none());
                let now = stays.map_or_else(port::Flags::default, port::Flags::of);
                flags = Some(port::Flags::of(port)).filter(|wanted| *wanted != now);
            }
        }
        let netfilter = match (&wanted.kind, &now.kind) {
            (LinkKind::Bridge { netfilter: wanted }, LinkKind::Bridge { netfilter: now }) => {
                (wanted != now).then_some(*wanted)
            }
            _ => None,
        };
        Self {
            netfilter,
            index: now.index,
            mac: wanted.mac.filter(|mac| now.mac != Some(*mac)),
            mtu: wanted.mtu.filter(|mtu| now.mtu != *mtu),
            alias: wanted.alias.clone().filter(|alias| now.alias.as_ref() != Some(alias)),
            turn: (wanted.up != now.up).then_some(wanted.up),
            master,
            flags,
        }
    }

    /// Whether nothing differs.
    pub(super) fn is_nothing(&self) -> bool {
        !self.in_general() && !self.as_port()
    }

    /// Whether there is anything to write besides a port's settings.
    pub(super) fn in_general(&self) -> bool {
        let Self { index: _, mac, mtu, alias, turn, master, flags, netfilter } = self;
        let turn = turn.filter(|_| flags.is_none());
        mac.is_some()
            || mtu.is_some()
            || alias.is_some()
            || turn.is_some()
            || master.is_some()
            || netfilter.is_some()
    }

    /// Whether a port's settings are to be written, which takes a request of its own: the kernel looks at them before
    /// it lets the link join a bridge.
    pub(super) fn as_port(&self) -> bool {
        self.flags.is_some()
    }

    /// The request for all but a port's settings. In it the kernel first changes address, MTU and alias, then has the
    /// link join or leave, and turns it up or down at last.
    pub(super) fn general(&self, w: &mut Writer, seq: u32, flags: u16) {
        // RTM_SETLINK does not look at what a kind has of its own.
        let message = if self.netfilter.is_some() { RTM_NEWLINK } else { RTM_SETLINK };
        w.request(message, flags, seq, |w| {
            self.header(w, self.turn.filter(|_| self.flags.is_none()));
            if let Some(netfilter) = self.netfilter {
                device::bridge_netfilter(w, netfilter);
            }
            if let Some(mac) = self.mac {
                w.attribute(IFLA_ADDRESS, &mac.0);
            }
            if let Some(mtu) = self.mtu {
                w.u32(IFLA_MTU, mtu);
            }
            if let Some(alias) = &self.alias {
                w.attribute(IFLA_IFALIAS, alias.as_bytes());
            }
            if let Some(master) = self.master {
                w.u32(IFLA_MASTER, master);
            }
        });
    }

    /// The request for a port's settings, to come after [`Self::general`]. It turns the link up too: not before it is
    /// isolated where it should be. When the link is no port, because joining failed, the kernel refuses all of it.
    pub(super) fn port(&self, w: &mut Writer, seq: u32, flags: u16) {
        w.request(RTM_NEWLINK, flags, seq, |w| {
            self.header(w, self.turn);
            if let Some(flags) = self.flags {
                flags.encode(w);
            }
        });
    }

    fn header(&self, w: &mut Writer, turn: Option<bool>) {
        let up = if turn == Some(true) { IFF_UP } else { 0 };
        header(w, self.index, up, if turn.is_some() { IFF_UP } else { 0 });
    }
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

/// A link as the kernel shows it, other links by index.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// All that takes no other link's name; the kind is `Foreign` as yet where it does.
    state: LinkState,
    device: Device,
    /// `IFLA_LINK`, when it is of the same namespace.
    below: Option<u32>,
    /// The bridge that it is a port of, and how it is set as one.
    port: Option<(u32, port::Flags)>,
    vxlan_port: Option<u16>,
}

impl Seen {
    /// Interface index.
    pub(super) fn index(&self) -> u32 {
        self.state.index
    }

    /// Name.
    pub(super) fn name(&self) -> &IfName {
        &self.state.name
    }

    /// The UDP port of a VXLAN device that has one open, of whatever settings.
    pub(super) fn vxlan_port(&self) -> Option<u16> {
        self.vxlan_port.filter(|_| self.state.up)
    }

    /// In the model's form, with the other links' names.
    pub(super) fn state(self, name_of: impl Fn(u32) -> Option<IfName>) -> LinkState {
        let Self { mut state, device, below, port, vxlan_port: _ } = self;
        state.kind = match device {
            Device::Veth => LinkKind::VethPeer,
            Device::Bridge { netfilter } => LinkKind::Bridge { netfilter },
            Device::Ifb => LinkKind::Ifb,
            Device::Vlan(tag) => match below.and_then(&name_of) {
                Some(parent) => LinkKind::Vlan { parent, tag },
                None => LinkKind::Foreign,
            },
            Device::Vxlan { vni, local, port } => LinkKind::Vxlan { vni, local, port },
            Device::Other => LinkKind::Foreign,
        };
        state.port = port.and_then(|(bridge, flags)| Some(flags.on(name_of(bridge)?)));
        state
    }
}

/// Reads a link. `None` when it is cut short, or when the message is about something else that travels under the
/// same number: a bridge announces its ports with a family of its own ([`port::decode_news`]).
pub(super) fn decode(ns: Ns, message: Message<'_>) -> Option<Seen> {
    if message.kind != RTM_NEWLINK && message.kind != RTM_DELLINK || *message.body.first()? != AF_UNSPEC {
        return None;
    }
    let index = u32_at(message.body, 4)?;
    let flags = u32_at(message.body, 8)?;
    let (mut name, mut mac, mut mtu, mut alias, mut group) = (None, None, 0, None, 0);
    let (mut device, mut flags_as_port, mut master) = (Device::Other, None, None);
    let (mut below, mut elsewhere, mut vxlan_port) = (None, false, None);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            IFLA_IFNAME => name = text_of(payload).and_then(IfName::new),
            IFLA_ADDRESS => mac = payload.try_into().ok().map(Mac),
            IFLA_MTU => mtu = u32_of(payload)?,
            IFLA_IFALIAS => alias = text_of(payload).filter(|text| !text.is_empty()).map(Into::into),
            IFLA_GROUP => group = u32_of(payload)?,
            IFLA_LINK => below = u32_of(payload),
            IFLA_LINK_NETNSID => elsewhere = true,
            IFLA_MASTER => master = u32_of(payload),
            IFLA_LINKINFO => {
                device = Device::decode(payload);
                flags_as_port = port::decode_info(payload);
                vxlan_port = device::vxlan_port(payload);
            }
            _ => {}
        }
    }
    Some(Seen {
        state: LinkState {
            ns,
            index,
            name: name?,
            kind: LinkKind::Foreign,
            mac,
            mtu,
            up: flags & IFF_UP != 0,
            carrier: flags & IFF_LOWER_UP != 0,
            alias,
            port: None,
            group,
        },
        device,
        below: below.filter(|_| !elsewhere),
        port: master.zip(flags_as_port),
        vxlan_port,
    })
}
