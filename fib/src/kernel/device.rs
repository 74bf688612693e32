//! What kinds of links are made of: `IFLA_INFO_KIND` and `IFLA_INFO_DATA` (linux/if_link.h).
//!
//! Knows bridges, VLAN and VXLAN devices and that there are veths and IFBs. Must not know whose a link is, nor its settings.

use std::net::IpAddr;

use super::{
    codec::{Writer, address_of, attributes, text_of, u16_at, u32_of},
    uapi::{
        ETH_P_8021Q, IFLA_BR_MCAST_SNOOPING, IFLA_BR_NF_CALL_IP6TABLES, IFLA_BR_NF_CALL_IPTABLES,
        IFLA_BR_STP_STATE, IFLA_BR_VLAN_DEFAULT_PVID, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINK,
        IFLA_LINKINFO, IFLA_VLAN_ID, IFLA_VLAN_PROTOCOL, IFLA_VXLAN_COLLECT_METADATA, IFLA_VXLAN_GBP,
        IFLA_VXLAN_GPE, IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6, IFLA_VXLAN_ID, IFLA_VXLAN_L2MISS,
        IFLA_VXLAN_L3MISS, IFLA_VXLAN_LEARNING, IFLA_VXLAN_LINK, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6,
        IFLA_VXLAN_PORT, IFLA_VXLAN_PROXY, IFLA_VXLAN_REMCSUM_RX, IFLA_VXLAN_REMCSUM_TX, IFLA_VXLAN_RSC,
        IFLA_VXLAN_UDP_ZERO_CSUM6_RX,
    },
};

/// A link's kind as the kernel shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Device {
    /// One end of a veth.
    Veth,
    /// A bridge.
    Bridge {
        /// `IFLA_BR_NF_CALL_IPTABLES` and `IFLA_BR_NF_CALL_IP6TABLES`, both.
        netfilter: bool,
    },
    /// An 802.1Q subinterface with this tag. Its parent is the link's own `IFLA_LINK`.
    Vlan(u16),
    /// A VXLAN device as we would make it.
    Vxlan {
        /// `IFLA_VXLAN_ID`.
        vni: u32,
        /// `IFLA_VXLAN_LOCAL`, `IFLA_VXLAN_LOCAL6`.
        local: IpAddr,
        /// `IFLA_VXLAN_PORT`.
        port: u16,
    },
    /// An intermediate functional block.
    Ifb,
    /// Anything else; also VLAN and VXLAN devices that we have no words for.
    #[default]
    Other,
}

/// Writes what makes a link a bridge.
pub(super) fn bridge(w: &mut Writer, netfilter: bool) {
    w.nested(IFLA_LINKINFO, |w| {
        w.attribute(IFLA_INFO_KIND, b"bridge");
        w.nested(IFLA_INFO_DATA, |w| {
            w.u32(IFLA_BR_STP_STATE, 0);
            w.u8(IFLA_BR_MCAST_SNOOPING, 0);
            // Otherwise each port is in VLAN 1 where the kernel knows of VLANs in bridges, though it does not filter by
            // them, and keeps a second copy of each forwarding entry for that.
            w.attribute(IFLA_BR_VLAN_DEFAULT_PVID, &0u16.to_ne_bytes());
            if netfilter {
                nf_call(w, true);
            }
        });
    });
}

/// Writes what changes a bridge's own setting.
pub(super) fn bridge_netfilter(w: &mut Writer, netfilter: bool) {
    w.nested(IFLA_LINKINFO, |w| {
        w.attribute(IFLA_INFO_KIND, b"bridge");
        w.nested(IFLA_INFO_DATA, |w| nf_call(w, netfilter));
    });
}

fn nf_call(w: &mut Writer, on: bool) {
    w.u8(IFLA_BR_NF_CALL_IPTABLES, on.into());
    w.u8(IFLA_BR_NF_CALL_IP6TABLES, on.into());
}

fn decode_bridge(data: &[u8]) -> Device {
    let is_on =
        |wanted| attributes(data).any(|(number, payload)| number == wanted && payload.first() == Some(&1));
    Device::Bridge { netfilter: is_on(IFLA_BR_NF_CALL_IPTABLES) && is_on(IFLA_BR_NF_CALL_IP6TABLES) }
}

/// Writes what makes a link an IFB: nothing but that. It has one queue, which is all that a token bucket uses.
pub(super) fn ifb(w: &mut Writer) {
    w.nested(IFLA_LINKINFO, |w| w.attribute(IFLA_INFO_KIND, b"ifb"));
}

/// Writes what makes a link an 802.1Q subinterface of the link with index `parent`.
pub(super) fn vlan(w: &mut Writer, parent: u32, tag: u16) {
    w.u32(IFLA_LINK, parent);
    w.nested(IFLA_LINKINFO, |w| {
        w.attribute(IFLA_INFO_KIND, b"vlan");
        w.nested(IFLA_INFO_DATA, |w| {
            w.attribute(IFLA_VLAN_ID, &tag.to_ne_bytes());
            // the one number here in network byte order
            w.attribute(IFLA_VLAN_PROTOCOL, &ETH_P_8021Q.to_be_bytes());
        });
    });
}

/// Writes what makes a link a VXLAN device.
///
/// Left to the kernel:
///
/// - The time to live: 0 there stands for the host's own (`net.ipv4.ip_default_ttl`). Inherited from the inner packet
///   it would let a container's traceroute die between the hosts.
/// - UDP checksums are sent, in IPv4 and IPv6. RFC 7348 section 5 prefers zero, but a card that has checked the outer
///   sum spares the host the inner one. A zero sum MUST be accepted (same section), which over IPv6 the kernel has to
///   be told; so hardware VTEPs are heard.
/// - Don't-fragment is not set: the networks' MTU is chosen so that packets fit.
pub(super) fn vxlan(w: &mut Writer, vni: u32, local: IpAddr, port: u16) {
    w.nested(IFLA_LINKINFO, |w| {
        w.attribute(IFLA_INFO_KIND, b"vxlan");
        w.nested(IFLA_INFO_DATA, |w| {
            w.u32(IFLA_VXLAN_ID, vni);
            w.address(if local.is_ipv4() { IFLA_VXLAN_LOCAL } else { IFLA_VXLAN_LOCAL6 }, local);
            w.attribute(IFLA_VXLAN_PORT, &port.to_be_bytes());
            w.u8(IFLA_VXLAN_LEARNING, 1);
            w.attribute(IFLA_VXLAN_GBP, &[]);
            if local.is_ipv6() {
                w.u8(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, 1);
            }
        });
    });
}

/// `IFLA_INFO_KIND` and `IFLA_INFO_DATA`.
fn parts(info: &[u8]) -> (Option<&str>, Option<&[u8]>) {
    let (mut kind, mut data) = (None, None);
    for (number, payload) in attributes(info) {
        match number {
            IFLA_INFO_KIND => kind = text_of(payload),
            IFLA_INFO_DATA => data = Some(payload),
            _ => {}
        }
    }
    (kind, data)
}

/// The UDP port of a VXLAN device, whatever else it is, from the payload of `IFLA_LINKINFO`.
pub(super) fn vxlan_port(info: &[u8]) -> Option<u16> {
    let (Some("vxlan"), Some(data)) = parts(info) else { return None };
    let (_, port) = attributes(data).find(|(number, _)| *number == IFLA_VXLAN_PORT)?;
    port.try_into().ok().map(u16::from_be_bytes)
}

impl Device {
    /// Reads the payload of `IFLA_LINKINFO`.
    pub(super) fn decode(info: &[u8]) -> Self {
        let device = match parts(info) {
            (Some("veth"), _) => Some(Self::Veth),
            (Some("bridge"), data) => Some(decode_bridge(data.unwrap_or_default())),
            (Some("ifb"), _) => Some(Self::Ifb),
            (Some("vlan"), Some(data)) => decode_vlan(data),
            (Some("vxlan"), Some(data)) => decode_vxlan(data),
            _ => None,
        };
        device.unwrap_or_default()
    }
}

/// `None` for a service tag (802.1ad): not the device that we would make.
fn decode_vlan(data: &[u8]) -> Option<Device> {
    let (mut tag, mut protocol) = (None, ETH_P_8021Q);
    for (number, payload) in attributes(data) {
        match number {
            IFLA_VLAN_ID => tag = u16_at(payload, 0),
            IFLA_VLAN_PROTOCOL => protocol = u16::from_be_bytes(payload.try_into().ok()?),
            _ => {}
        }
    }
    (protocol == ETH_P_8021Q).then_some(Device::Vlan(tag?))
}

/// `None` for a device that forwards by other rules than ours: with a default remote or group, bound to a link, without
/// learning, driven by tunnel metadata, with another header or one without marks, or answering for others.
fn decode_vxlan(data: &[u8]) -> Option<Device> {
    let (mut vni, mut local, mut port, mut learning, mut marks) = (None, None, None, false, false);
    for (number, payload) in attributes(data) {
        let is_set = || payload.first().is_some_and(|byte| *byte != 0);
        match number {
            IFLA_VXLAN_ID => vni = u32_of(payload),
            IFLA_VXLAN_LOCAL | IFLA_VXLAN_LOCAL6 => local = address_of(payload),
            IFLA_VXLAN_PORT => port = payload.try_into().ok().map(u16::from_be_bytes),
            IFLA_VXLAN_LEARNING => learning = is_set(),
            IFLA_VXLAN_LINK if u32_of(payload) != Some(0) => return None,
            IFLA_VXLAN_GROUP | IFLA_VXLAN_GROUP6 if payload.iter().any(|byte| *byte != 0) => return None,
            IFLA_VXLAN_PROXY
            | IFLA_VXLAN_RSC
            | IFLA_VXLAN_L2MISS
            | IFLA_VXLAN_L3MISS
            | IFLA_VXLAN_REMCSUM_TX
            | IFLA_VXLAN_REMCSUM_RX
            | IFLA_VXLAN_COLLECT_METADATA
                if is_set() =>
            {
                return None;
            }
            // without a payload: being there is what they say
            IFLA_VXLAN_GBP => marks = true,
            IFLA_VXLAN_GPE => return None,
            _ => {}
        }
    }
    let local = local.filter(|local| !local.is_unspecified())?;
    (learning && marks).then_some(Device::Vxlan { vni: vni?, local, port: port? })
}
