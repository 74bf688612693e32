//! Addresses: `struct ifaddrmsg` and `IFA_*` (linux/if_addr.h).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    codec::{Message, Writer, address_of, attributes_after, family, u32_at},
    uapi::{
        AF_INET, AF_UNSPEC, IFA_ADDRESS, IFA_F_NODAD, IFA_FLAGS, IFA_LOCAL, IFA_PROTO, NLM_F_CREATE,
        NLM_F_EXCL, NLM_F_REPLACE, RT_SCOPE_HOST, RT_SCOPE_UNIVERSE, RTM_DELADDR, RTM_GETADDR, RTM_NEWADDR,
    },
};

/// `sizeof(struct ifaddrmsg)`.
const FIXED: usize = 8;

/// An address as the kernel shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Interface index.
    pub(super) link: u32,
    /// The address with its prefix length.
    pub(super) address: IpNet,
    /// `IFA_PROTO` (Linux 5.18); 0 where there is none.
    pub(super) protocol: u8,
}

/// A request to add an address, in place of the same one or not. IPv6 addresses skip duplicate address detection:
/// they are the host's to give, and a tentative one cannot be used for a second.
pub(super) fn put(w: &mut Writer, seq: u32, replace: bool, protocol: u8, link: u32, address: IpNet) {
    let flags = if replace { NLM_F_REPLACE } else { NLM_F_CREATE | NLM_F_EXCL };
    w.request(RTM_NEWADDR, flags, seq, |w| {
        header(w, link, address);
        if address.addr().is_ipv6() {
            w.u32(IFA_FLAGS, IFA_F_NODAD);
        }
        w.u8(IFA_PROTO, protocol);
    });
}

/// A request to delete an address.
pub(super) fn delete(w: &mut Writer, seq: u32, link: u32, address: IpNet) {
    w.request(RTM_DELADDR, 0, seq, |w| header(w, link, address));
}

/// A request for all addresses.
pub(super) fn dump(w: &mut Writer, seq: u32, flags: u16) {
    w.request(RTM_GETADDR, flags, seq, |w| w.raw(&[AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0]));
}

/// A request for the addresses of one family on one link.
pub(super) fn dump_link(w: &mut Writer, seq: u32, flags: u16, link: u32, address: IpNet) {
    w.request(RTM_GETADDR, flags, seq, |w| {
        w.raw(&[family(address.addr()), 0, 0, 0]);
        w.raw(&link.to_ne_bytes());
    });
}

/// A deletion of nothing: there is no link with index 0. The kernel checks the caller's rights first.
pub(super) fn probe(w: &mut Writer, seq: u32, flags: u16) {
    w.request(RTM_DELADDR, flags, seq, |w| w.raw(&[AF_INET, 0, 0, 0, 0, 0, 0, 0]));
}

fn header(w: &mut Writer, link: u32, address: IpNet) {
    let scope = if address.addr().is_loopback() { RT_SCOPE_HOST } else { RT_SCOPE_UNIVERSE };
    w.raw(&[family(address.addr()), address.prefix_len(), 0, scope]);
    w.raw(&link.to_ne_bytes());
    w.address(IFA_LOCAL, address.addr());
    w.address(IFA_ADDRESS, address.addr());
}

/// Reads an address. `None` when it is cut short or of another family.
pub(super) fn decode(message: Message<'_>) -> Option<Seen> {
    if message.kind != RTM_NEWADDR && message.kind != RTM_DELADDR {
        return None;
    }
    let &[_family, length, _flags, _scope, ..] = message.body else { return None };
    let link = u32_at(message.body, 4)?;
    let (mut local, mut address, mut protocol) = (None::<IpAddr>, None, 0);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            IFA_LOCAL => local = address_of(payload),
            IFA_ADDRESS => address = address_of(payload),
            IFA_PROTO => protocol = *payload.first()?,
            _ => {}
        }
    }
    // IFA_ADDRESS is the other end's on a point-to-point link, and the only one for IPv6 elsewhere.
    let address = IpNet::new(local.or(address)?, length).ok()?;
    Some(Seen { link, address, protocol })
}
