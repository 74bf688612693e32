//! Netlink's wire format: messages made of a header, a fixed structure and attributes, all in host byte order
//! and padded to four bytes.
//!
//! Knows nothing of what the messages mean. The reader trusts no length: whatever the bytes are, it ends, and
//! what it yields lies within them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::uapi::{AF_INET, AF_INET6, NLA_F_NESTED, NLA_TYPE_MASK, NLM_F_REQUEST};

/// `sizeof(struct nlmsghdr)`.
pub(super) const HEADER: usize = 16;
/// `sizeof(struct nlattr)`.
const ATTRIBUTE_HEADER: usize = 4;
/// The longest payload that an attribute's 16-bit length can tell.
pub(super) const MAX_PAYLOAD: usize = u16::MAX as usize - ATTRIBUTE_HEADER;

/// Appends messages to one buffer.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Appends one request: header, then what `body` writes.
    pub(super) fn request(&mut self, kind: u16, flags: u16, seq: u32, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        let mut header = [0; HEADER];
        header[4..6].copy_from_slice(&kind.to_ne_bytes());
        header[6..8].copy_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        header[8..12].copy_from_slice(&seq.to_ne_bytes());
        self.bytes.extend_from_slice(&header);
        body(self);
        // every part pads itself, so that the length is a multiple of four
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Sets flags of the message that begins at `start`.
    pub(super) fn add_flags(&mut self, start: usize, flags: u16) {
        if let Some([a, b]) = self.bytes.get_mut(start + 6..start + 8) {
            let now = u16::from_ne_bytes([*a, *b]) | flags;
            [*a, *b] = now.to_ne_bytes();
        }
    }

    /// A fixed structure; its size must be a multiple of four.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        debug_assert_eq!(bytes.len() % 4, 0);
        self.bytes.extend_from_slice(bytes);
    }

    /// One attribute. The caller keeps the payload below [`MAX_PAYLOAD`].
    pub(super) fn attribute(&mut self, kind: u16, payload: &[u8]) {
        self.attribute_parts(kind, payload, &[]);
    }

    /// One attribute whose payload is in two parts.
    pub(super) fn attribute_parts(&mut self, kind: u16, head: &[u8], tail: &[u8]) {
        let payload = head.len() + tail.len();
        debug_assert!(payload <= MAX_PAYLOAD);
        let length = (ATTRIBUTE_HEADER + payload) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(tail);
        self.bytes.resize(self.bytes.len() + padding(payload), 0);
    }

    /// An attribute of four bytes.
    pub(super) fn u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// An attribute of one byte.
    pub(super) fn u8(&mut self, kind: u16, value: u8) {
        self.attribute(kind, &[value]);
    }

    /// An attribute that holds an address in network byte order.
    pub(super) fn address(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(a) => self.attribute(kind, &a.octets()),
            IpAddr::V6(a) => self.attribute(kind, &a.octets()),
        }
    }

    /// A text with its terminating zero.
    pub(super) fn text(&mut self, kind: u16, text: &str) {
        self.attribute_parts(kind, text.as_bytes(), &[0]);
    }

    /// An attribute made of attributes.
    pub(super) fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        body(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// What has been written.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of bytes written.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back what was written beyond the first `length` bytes.
    pub(super) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Starts anew, keeping the allocation.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }
}

const fn padding(length: usize) -> usize {
    length.wrapping_neg() & 3
}

/// The address family's number, as it stands in the structures.
pub(super) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

/// One received message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// `nlmsg_type`.
    pub(super) kind: u16,
    /// `nlmsg_flags`.
    pub(super) flags: u16,
    /// `nlmsg_seq`: of the request that it answers.
    pub(super) seq: u32,
    /// `nlmsg_pid`: the socket that caused it, 0 for the kernel itself.
    #[cfg_attr(not(test), expect(dead_code, reason = "the socket filter looks at it, in the kernel"))]
    pub(super) port: u32,
    /// What follows the header.
    pub(super) body: &'a [u8],
}

/// The messages of one datagram; ends at the first that cannot be one.
pub(super) fn messages(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u32_at(rest, 0)? as usize;
        let body = rest.get(HEADER..length)?;
        let message = Message {
            kind: u16_at(rest, 4)?,
            flags: u16_at(rest, 6)?,
            seq: u32_at(rest, 8)?,
            port: u32_at(rest, 12)?,
            body,
        };
        rest = rest.get(length + padding(length)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes of `bytes`, as number and payload; ends at the first that cannot be one.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & NLA_TYPE_MASK;
        let payload = rest.get(ATTRIBUTE_HEADER..length)?;
        rest = rest.get(length + padding(length)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// The attributes behind a fixed structure of `skip` bytes; none when the message is shorter.
pub(super) fn attributes_after(body: &[u8], skip: usize) -> impl Iterator<Item = (u16, &[u8])> {
    attributes(body.get(skip..).unwrap_or_default())
}

/// The 16-bit number at an offset.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

/// The 32-bit number at an offset.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// An attribute's payload as a 32-bit number.
pub(super) fn u32_of(payload: &[u8]) -> Option<u32> {
    u32_at(payload, 0)
}

/// An attribute's payload as text, up to its terminating zero.
pub(super) fn text_of(payload: &[u8]) -> Option<&str> {
    let end = payload.iter().position(|b| *b == 0).unwrap_or(payload.len());
    std::str::from_utf8(&payload[..end]).ok()
}

/// An attribute's payload as an address: its length tells the family.
pub(super) fn address_of(payload: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(payload) {
        Some(Ipv4Addr::from(octets).into())
    } else {
        <[u8; 16]>::try_from(payload).ok().map(|octets| Ipv6Addr::from(octets).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::default();
        writer.request(16, 0x400, 7, |w| {
            w.raw(&[0; 16]);
            w.text(3, "eth1");
            w.nested(18, |w| w.u8(1, 9));
        });
        writer.request(17, 0, 8, |w| w.u32(5, 77));
        let all: Vec<_> = messages(writer.as_slice()).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].kind, all[0].flags, all[0].seq, all[0].port), (16, 0x401, 7, 0));
        let attrs: Vec<_> = attributes_after(all[0].body, 16).collect();
        assert_eq!(text_of(attrs[0].1), Some("eth1"));
        assert_eq!(attributes(attrs[1].1).collect::<Vec<_>>(), [(1, &[9][..])]);
        assert_eq!(attributes(all[1].body).next().and_then(|(_, p)| u32_of(p)), Some(77));
    }

    #[test]
    fn a_length_beyond_the_end_or_below_the_header_ends_the_walk() {
        for length in [0u16, 3, 9, u16::MAX] {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&[1, 0, 0, 0, 0, 0]);
            assert_eq!(attributes(&bytes).count(), 0, "{length}");
        }
        for length in [0u32, 15, 33, u32::MAX] {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.resize(32, 0);
            assert_eq!(messages(&bytes).count(), 0, "{length}");
        }
    }

    #[test]
    fn the_last_attribute_may_lack_its_padding() {
        assert_eq!(attributes(&[5, 0, 1, 0, 42]).collect::<Vec<_>>(), [(1, &[42][..])]);
    }
}
