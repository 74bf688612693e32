//! UPDATE messages around shared attribute blocks.

use ipnet::{Ipv4Net, Ipv6Net};

use super::EncodedAttributes;
use crate::wire::header::{self, HEADER_LEN, Output};
use crate::wire::iana::{attribute_code as code, attribute_flag as flag, message_type};
use crate::wire::nlri::{self, Prefix};
use crate::wire::{Family, NextHop, Session};

/// Octets of an UPDATE without withdrawn routes, attributes and NLRI.
const EMPTY_UPDATE: usize = HEADER_LEN + 2 + 2;
/// Flags, type code and extended length.
const EXTENDED_HEADER: usize = 4;
/// NEXT_HOP with its header.
const NEXT_HOP: usize = 3 + 4;
/// AFI and SAFI.
const FAMILY: usize = 3;

/// Writes UPDATEs for one session.
#[derive(Clone, Copy, Debug)]
pub struct UpdateWriter {
    max_len: usize,
}

/// Why a route cannot be announced on a session. It stays unadvertised, or is withdrawn where an earlier version of it
/// was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdvertisable {
    /// With these attributes not one prefix fits into a message (RFC 4271 section 9.2).
    #[error("attributes of {octets} octets leave no room for a prefix in a message of {max_len}")]
    AttributesTooLong {
        /// Octets of the attribute block, without the next hop.
        octets: usize,
        /// The longest message of the session.
        max_len: usize,
    },
    /// IPv6 NLRI cannot have an IPv4 next hop.
    #[error("an IPv6 prefix cannot be announced with the IPv4 next hop {0}")]
    NextHopFamily(NextHop),
}

impl UpdateWriter {
    /// A writer for messages as long as the session allows.
    pub fn new(session: &Session) -> Self {
        Self { max_len: session.max_message_len() }
    }

    /// Appends one UPDATE that announces prefixes, as many as fit: those that are left in the iterator are for the next
    /// message. Returns the number of prefixes written; with an empty iterator nothing is written.
    ///
    /// An IPv4 next hop makes a classic UPDATE, an IPv6 next hop one with MP_REACH_NLRI: only for sessions with
    /// [`Session::extended_next_hop`] (RFC 8950).
    pub fn announce_v4(
        self,
        out: &mut impl Output,
        attributes: &EncodedAttributes,
        next_hop: NextHop,
        prefixes: &mut impl Iterator<Item = Ipv4Net>,
    ) -> Result<usize, NotAdvertisable> {
        let NextHop::V4(address) = next_hop else {
            return self.announce_mp(out, Family::Ipv4, attributes, next_hop, prefixes);
        };
        let list_len = attributes.octets().len() + NEXT_HOP;
        let room = self.room::<Ipv4Net>(attributes, EMPTY_UPDATE + list_len)?;
        let Some(first) = prefixes.next() else { return Ok(0) };
        let start = header::start(out, message_type::UPDATE);
        let (before, after) = attributes.around_next_hop();
        out.put_u16(0);
        out.put_u16(list_len as u16);
        out.put_slice(before);
        out.put_slice(&[flag::TRANSITIVE, code::NEXT_HOP, 4]);
        out.put_slice(&address.octets());
        out.put_slice(after);
        let count = nlri::write(out, room, first, prefixes);
        header::finish(out, start);
        Ok(count)
    }

    /// As [`announce_v4`](Self::announce_v4), for IPv6 prefixes; always with MP_REACH_NLRI.
    pub fn announce_v6(
        self,
        out: &mut impl Output,
        attributes: &EncodedAttributes,
        next_hop: NextHop,
        prefixes: &mut impl Iterator<Item = Ipv6Net>,
    ) -> Result<usize, NotAdvertisable> {
        self.announce_mp(out, Family::Ipv6, attributes, next_hop, prefixes)
    }

    /// MP_REACH_NLRI comes first, as RFC 7606 section 5.1 asks.
    fn announce_mp<P: Prefix>(
        self,
        out: &mut impl Output,
        family: Family,
        attributes: &EncodedAttributes,
        next_hop: NextHop,
        prefixes: &mut impl Iterator<Item = P>,
    ) -> Result<usize, NotAdvertisable> {
        let NextHop::V6 { global, link_local } = next_hop else {
            return Err(NotAdvertisable::NextHopFamily(next_hop));
        };
        let next_hop_len = if link_local.is_some() { 32 } else { 16 };
        // Length and reserved octet around the next hop.
        let before_nlri = FAMILY + 1 + next_hop_len + 1;
        let used = EMPTY_UPDATE + EXTENDED_HEADER + before_nlri + attributes.octets().len();
        let room = self.room::<P>(attributes, used)?;
        let Some(first) = prefixes.next() else { return Ok(0) };
        let start = header::start(out, message_type::UPDATE);
        out.put_u16(0);
        let list = start_field(out);
        out.put_slice(&[flag::OPTIONAL | flag::EXTENDED_LENGTH, code::MP_REACH_NLRI]);
        let value = start_field(out);
        put_family(out, family);
        out.put_u8(next_hop_len as u8);
        out.put_slice(&global.octets());
        if let Some(link_local) = link_local {
            out.put_slice(&link_local.octets());
        }
        out.put_u8(0);
        let count = nlri::write(out, room, first, prefixes);
        finish_field(out, value);
        out.put_slice(attributes.octets());
        finish_field(out, list);
        header::finish(out, start);
        Ok(count)
    }

    /// Appends one UPDATE that withdraws IPv4 prefixes, as many as fit: those that are left in the iterator are for the
    /// next message. Returns the number of prefixes written; with an empty iterator nothing is written.
    pub fn withdraw_v4(self, out: &mut impl Output, prefixes: &mut impl Iterator<Item = Ipv4Net>) -> usize {
        let Some(first) = prefixes.next() else { return 0 };
        let start = header::start(out, message_type::UPDATE);
        let withdrawn = start_field(out);
        let count = nlri::write(out, self.max_len - EMPTY_UPDATE, first, prefixes);
        finish_field(out, withdrawn);
        out.put_u16(0);
        header::finish(out, start);
        count
    }

    /// As [`withdraw_v4`](Self::withdraw_v4), for IPv6 prefixes, in MP_UNREACH_NLRI.
    pub fn withdraw_v6(self, out: &mut impl Output, prefixes: &mut impl Iterator<Item = Ipv6Net>) -> usize {
        let room = self.max_len - EMPTY_UPDATE - EXTENDED_HEADER - FAMILY;
        let Some(first) = prefixes.next() else { return 0 };
        write_unreach(out, Family::Ipv6, |out| nlri::write(out, room, first, prefixes))
    }

    /// Appends the End-of-RIB marker of `family` (RFC 4724 section 2).
    pub fn end_of_rib(self, out: &mut impl Output, family: Family) {
        match family {
            Family::Ipv4 => {
                let start = header::start(out, message_type::UPDATE);
                out.put_u32(0);
                header::finish(out, start);
            }
            Family::Ipv6 => {
                write_unreach(out, family, |_| 0);
            }
        }
    }

    /// What is left for NLRI beside `used` octets: room for at least one, or an error.
    fn room<P: Prefix>(self, attributes: &EncodedAttributes, used: usize) -> Result<usize, NotAdvertisable> {
        self.max_len.checked_sub(used).filter(|room| *room >= P::MAX_OCTETS).ok_or(
            NotAdvertisable::AttributesTooLong { octets: attributes.octets().len(), max_len: self.max_len },
        )
    }
}

/// An UPDATE of nothing but MP_UNREACH_NLRI.
fn write_unreach<O: Output>(out: &mut O, family: Family, write_nlri: impl FnOnce(&mut O) -> usize) -> usize {
    let start = header::start(out, message_type::UPDATE);
    out.put_u16(0);
    let list = start_field(out);
    out.put_slice(&[flag::OPTIONAL | flag::EXTENDED_LENGTH, code::MP_UNREACH_NLRI]);
    let value = start_field(out);
    put_family(out, family);
    let count = write_nlri(out);
    finish_field(out, value);
    finish_field(out, list);
    header::finish(out, start);
    count
}

fn put_family(out: &mut impl Output, family: Family) {
    out.put_u16(family.afi());
    out.put_u8(family.safi());
}

/// Appends a length of two octets that [`finish_field`] fills in. Returns where the field begins.
#[inline]
fn start_field(out: &mut impl Output) -> usize {
    out.put_u16(0);
    out.as_mut().len()
}

/// Fills in the length of the field that begins at `start` and ends where `out` does.
#[inline]
fn finish_field(out: &mut impl Output, start: usize) {
    let len = out.as_mut().len() - start;
    header::patch_u16(out, start - 2, len);
}
