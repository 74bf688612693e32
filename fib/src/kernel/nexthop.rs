//! Nexthop objects and groups: `struct nhmsg` and `NHA_*` (linux/nexthop.h).

use std::net::IpAddr;

use super::{
    codec::{MAX_PAYLOAD, Message, Writer, address_of, attributes_after, family, u16_at, u32_at, u32_of},
    refused,
    uapi::{
        AF_UNSPEC, NHA_BLACKHOLE, NHA_ENCAP, NHA_FDB, NHA_GATEWAY, NHA_GROUP, NHA_GROUP_TYPE, NHA_ID,
        NHA_OIF, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, RT_SCOPE_UNIVERSE, RTM_DELNEXTHOP, RTM_GETNEXTHOP,
        RTM_NEWNEXTHOP, RTNH_F_ONLINK,
    },
};
use crate::model::{IfName, KernelError, NextHop, NextHopId, Object};

/// `sizeof(struct nhmsg)`.
const FIXED: usize = 8;
/// `sizeof(struct nexthop_grp)`.
const MEMBER: usize = 8;

/// A nexthop object as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// `NHA_ID`.
    pub(super) id: u32,
    /// `nh_protocol`.
    pub(super) protocol: u8,
    value: Option<Value>,
}

/// What the model can express.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Single { via: IpAddr, link: u32, onlink: bool },
    Group(Vec<u32>),
}

/// The link that a next hop names, whose index [`put`] needs.
pub(super) fn link_of(next_hop: &NextHop) -> Option<&IfName> {
    match next_hop {
        NextHop::Single { link, .. } => Some(link),
        NextHop::Group(_) => None,
    }
}

/// What is wrong with a request in ways that the kernel would not say, or could not be told.
pub(super) fn check(next_hop: &NextHop) -> Result<(), KernelError> {
    match next_hop {
        NextHop::Group(members) if members.len() > MAX_PAYLOAD / MEMBER => Err(refused(
            libc::EINVAL,
            format!("a group of {} next hops does not fit a message", members.len()),
        )),
        _ => Ok(()),
    }
}

/// A request to make a next hop, or to give the existing one a new value: all routes with it follow at once.
pub(super) fn put(
    writer: &mut Writer,
    seq: u32,
    replace: bool,
    protocol: u8,
    id: NextHopId,
    next_hop: &NextHop,
    link: Option<u32>,
) {
    let flags = if replace { NLM_F_REPLACE } else { NLM_F_CREATE | NLM_F_EXCL };
    writer.request(RTM_NEWNEXTHOP, flags, seq, |w| match next_hop {
        NextHop::Single { via, onlink, .. } => {
            w.raw(&[family(*via), RT_SCOPE_UNIVERSE, protocol, 0]);
            w.raw(&if *onlink { RTNH_F_ONLINK } else { 0 }.to_ne_bytes());
            w.u32(NHA_ID, id.0);
            if let Some(index) = link {
                w.u32(NHA_OIF, index);
            }
            w.address(NHA_GATEWAY, *via);
        }
        NextHop::Group(members) => {
            w.raw(&[AF_UNSPEC, RT_SCOPE_UNIVERSE, protocol, 0, 0, 0, 0, 0]);
            w.u32(NHA_ID, id.0);
            // struct nexthop_grp: id, weight less one, its high part, reserved
            let group: Vec<u8> = members
                .iter()
                .flat_map(|member| {
                    let [a, b, c, d] = member.0.to_ne_bytes();
                    [a, b, c, d, 0, 0, 0, 0]
                })
                .collect();
            w.attribute(NHA_GROUP, &group);
        }
    });
}

/// A request to delete a next hop by id; the kernel takes no protocol here.
pub(super) fn delete(writer: &mut Writer, seq: u32, id: NextHopId) {
    writer.request(RTM_DELNEXTHOP, 0, seq, |w| {
        w.raw(&[0; FIXED]);
        w.u32(NHA_ID, id.0);
    });
}

/// A request for all next hops.
pub(super) fn dump(writer: &mut Writer, seq: u32, flags: u16) {
    writer.request(RTM_GETNEXTHOP, flags, seq, |w| w.raw(&[0; FIXED]));
}

/// A request for one next hop.
pub(super) fn get(writer: &mut Writer, seq: u32, flags: u16, id: u32) {
    writer.request(RTM_GETNEXTHOP, flags, seq, |w| {
        w.raw(&[0; FIXED]);
        w.u32(NHA_ID, id);
    });
}

/// Reads a next hop. `None` when it is cut short.
pub(super) fn decode(message: Message<'_>) -> Option<Seen> {
    if message.kind != RTM_NEWNEXTHOP && message.kind != RTM_DELNEXTHOP {
        return None;
    }
    let &[_family, _scope, protocol, _reserved, ..] = message.body else { return None };
    let flags = u32_at(message.body, 4)?;
    let (mut id, mut via, mut link, mut group) = (None, None, None, None);
    let mut expressible = true;
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            NHA_ID => id = u32_of(payload),
            NHA_OIF => link = u32_of(payload),
            NHA_GATEWAY => via = address_of(payload),
            NHA_GROUP => {
                let members: Option<Vec<u32>> = payload.chunks_exact(MEMBER).map(member).collect();
                expressible &= members.is_some();
                group = members;
            }
            // 0 is the ordinary kind, hash-threshold
            NHA_GROUP_TYPE => expressible &= u16_at(payload, 0) == Some(0),
            NHA_BLACKHOLE | NHA_ENCAP | NHA_FDB => expressible = false,
            _ => {}
        }
    }
    let value = match (group, via, link) {
        _ if !expressible => None,
        (Some(members), ..) => Some(Value::Group(members)),
        (None, Some(via), Some(link)) => {
            Some(Value::Single { via, link, onlink: flags & RTNH_F_ONLINK != 0 })
        }
        _ => None,
    };
    Some(Seen { id: id?, protocol, value })
}

/// A member of a group, when its weight is 1.
fn member(entry: &[u8]) -> Option<u32> {
    (entry.get(4..6)? == [0, 0]).then(|| u32_at(entry, 0))?
}

impl Seen {
    /// As the model has it; `None` for what it cannot express: weights, resilient groups, blackholes, encapsulation,
    /// no gateway, a link that `name` does not know.
    pub(super) fn object(&self, name: impl FnOnce(u32) -> Option<IfName>) -> Option<Object> {
        let next_hop = match self.value.clone()? {
            Value::Single { via, link, onlink } => NextHop::Single { via, link: name(link)?, onlink },
            Value::Group(mut members) => {
                members.sort_unstable();
                NextHop::Group(members.into_iter().map(NextHopId).collect())
            }
        };
        Some(Object::NextHop(NextHopId(self.id), next_hop))
    }

    /// The single next hop's gateway and link, or the first member of the group.
    pub(super) fn hop(&self) -> Option<Result<(u32, IpAddr), u32>> {
        match self.value.as_ref()? {
            Value::Single { via, link, .. } => Some(Ok((*link, *via))),
            Value::Group(members) => members.first().copied().map(Err),
        }
    }
}
