//! BGP messages, as much as feeders and a sink need (RFC 4271 section 4, RFC 6793, RFC 4760).
//!
//! Written for this benchmark alone, so that a mistake of petiole's codec cannot hide behind the same one here.

use std::net::Ipv4Addr;

use crate::scene::{HOLD_TIME, Peer};

/// Length of a message's header.
pub(crate) const HEADER: usize = 19;
/// Length of the longest message without RFC 8654.
pub(crate) const MAX_MESSAGE: usize = 4096;
/// What of an UPDATE is neither attributes nor prefixes.
pub(crate) const UPDATE_OVERHEAD: usize = HEADER + 4;

/// A kind of message (RFC 4271 section 4.1).
pub(crate) mod kind {
    pub(crate) const OPEN: u8 = 1;
    pub(crate) const UPDATE: u8 = 2;
    pub(crate) const NOTIFICATION: u8 = 3;
    pub(crate) const KEEPALIVE: u8 = 4;
}

/// Path attributes (RFC 4271 section 5, RFC 1997, RFC 4760).
mod attribute {
    pub(super) const ORIGIN: u8 = 1;
    pub(super) const AS_PATH: u8 = 2;
    pub(super) const NEXT_HOP: u8 = 3;
    pub(super) const COMMUNITIES: u8 = 8;
    pub(super) const MP_REACH_NLRI: u8 = 14;
    pub(super) const MP_UNREACH_NLRI: u8 = 15;

    pub(super) const TRANSITIVE: u8 = 0x40;
    pub(super) const OPTIONAL: u8 = 0x80;
    pub(super) const EXTENDED_LENGTH: u8 = 0x10;
}

const AS_SEQUENCE: u8 = 2;
/// RFC 6793: stands in OPEN for an AS number that needs four octets.
const AS_TRANS: u16 = 23456;
/// Optional parameter "capabilities" (RFC 5492).
const CAPABILITIES: u8 = 2;
const CAPABILITY_MULTIPROTOCOL: u8 = 1;
const CAPABILITY_ROUTE_REFRESH: u8 = 2;
const CAPABILITY_FOUR_OCTET_AS: u8 = 65;

/// What a feeder says about its prefixes.
#[derive(Debug)]
pub(crate) struct Attributes {
    pub(crate) path: Vec<u32>,
    pub(crate) next_hop: Ipv4Addr,
    pub(crate) communities: [u32; 2],
}

impl Attributes {
    /// As they stand in an UPDATE.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![attribute::TRANSITIVE, attribute::ORIGIN, 1, 0];
        bytes.extend([attribute::TRANSITIVE, attribute::AS_PATH, 2 + 4 * self.path.len() as u8]);
        bytes.extend([AS_SEQUENCE, self.path.len() as u8]);
        bytes.extend(self.path.iter().flat_map(|asn| asn.to_be_bytes()));
        bytes.extend([attribute::TRANSITIVE, attribute::NEXT_HOP, 4]);
        bytes.extend(self.next_hop.octets());
        bytes.extend([attribute::OPTIONAL | attribute::TRANSITIVE, attribute::COMMUNITIES, 8]);
        bytes.extend(self.communities.iter().flat_map(|community| community.to_be_bytes()));
        bytes
    }
}

/// Appends a prefix (RFC 4271 section 4.3).
pub(crate) fn prefix(bytes: &mut Vec<u8>, address: u32, length: u8) {
    bytes.push(length);
    bytes.extend(address.to_be_bytes().iter().take(usize::from(length.div_ceil(8))));
}

/// Appends an UPDATE.
pub(crate) fn update(bytes: &mut Vec<u8>, withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) {
    let length = UPDATE_OVERHEAD + withdrawn.len() + attributes.len() + nlri.len();
    debug_assert!(length <= MAX_MESSAGE);
    header(bytes, length, kind::UPDATE);
    bytes.extend((withdrawn.len() as u16).to_be_bytes());
    bytes.extend(withdrawn);
    bytes.extend((attributes.len() as u16).to_be_bytes());
    bytes.extend(attributes);
    bytes.extend(nlri);
}

/// A KEEPALIVE.
pub(crate) fn keepalive() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    header(&mut bytes, HEADER, kind::KEEPALIVE);
    bytes
}

/// The OPEN of a peer: IPv4 unicast, four-octet AS numbers, route refresh.
pub(crate) fn open(peer: &Peer) -> Vec<u8> {
    let mut capabilities = vec![CAPABILITY_MULTIPROTOCOL, 4, 0, 1, 0, 1, CAPABILITY_ROUTE_REFRESH, 0];
    capabilities.extend([CAPABILITY_FOUR_OCTET_AS, 4]);
    capabilities.extend(peer.asn.to_be_bytes());

    let mut bytes = Vec::new();
    header(&mut bytes, HEADER + 12 + capabilities.len(), kind::OPEN);
    bytes.push(4);
    bytes.extend(u16::try_from(peer.asn).unwrap_or(AS_TRANS).to_be_bytes());
    bytes.extend(HOLD_TIME.to_be_bytes());
    bytes.extend(peer.address.octets());
    bytes.extend([capabilities.len() as u8 + 2, CAPABILITIES, capabilities.len() as u8]);
    bytes.extend(capabilities);
    bytes
}

fn header(bytes: &mut Vec<u8>, length: usize, kind: u8) {
    bytes.extend([0xff; 16]);
    bytes.extend((length as u16).to_be_bytes());
    bytes.push(kind);
}

/// The parts of an UPDATE.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update<'a> {
    pub(crate) withdrawn: &'a [u8],
    pub(crate) nlri: &'a [u8],
    attributes: &'a [u8],
}

/// What the sink looks at in the attributes of an UPDATE.
#[derive(Debug, Default)]
pub(crate) struct Seen<'a> {
    /// The first AS of the path.
    pub(crate) first_as: Option<u32>,
    /// How many AS numbers the path has, in its first segment.
    pub(crate) hops: u8,
    /// NEXT_HOP, or the one in MP_REACH_NLRI.
    pub(crate) next_hop: Option<Ipv4Addr>,
    /// How many communities.
    pub(crate) communities: usize,
    /// IPv4 unicast prefixes in MP_REACH_NLRI.
    pub(crate) reached: &'a [u8],
    /// IPv4 unicast prefixes in MP_UNREACH_NLRI.
    pub(crate) unreached: &'a [u8],
}

impl<'a> Update<'a> {
    /// Takes an UPDATE apart; `body` is the message without its header.
    pub(crate) fn parse(body: &'a [u8]) -> Option<Self> {
        let (withdrawn, rest) = counted(body)?;
        let (attributes, nlri) = counted(rest)?;
        Some(Self { withdrawn, nlri, attributes })
    }

    /// Reads the attributes. `None` when they do not fit together.
    pub(crate) fn seen(&self) -> Option<Seen<'a>> {
        let mut seen = Seen::default();
        let mut rest = self.attributes;
        while let [flags, code, tail @ ..] = rest {
            let (value, next) = if flags & attribute::EXTENDED_LENGTH == 0 {
                let (length, tail) = tail.split_first()?;
                tail.split_at_checked(usize::from(*length))?
            } else {
                counted(tail)?
            };
            rest = next;
            match *code {
                attribute::AS_PATH => {
                    // The segment's type and length, then AS numbers.
                    let [_, hops, path @ ..] = value else { return None };
                    seen.hops = *hops;
                    seen.first_as = first_u32(path);
                }
                attribute::NEXT_HOP => seen.next_hop = first_u32(value).map(Ipv4Addr::from_bits),
                attribute::COMMUNITIES => seen.communities = value.len() / 4,
                attribute::MP_REACH_NLRI => {
                    let [0, 1, 1, length, tail @ ..] = value else { return None };
                    let (next_hop, tail) = tail.split_at_checked(usize::from(*length))?;
                    seen.next_hop = first_u32(next_hop).map(Ipv4Addr::from_bits);
                    // One reserved octet.
                    seen.reached = tail.get(1..)?;
                }
                attribute::MP_UNREACH_NLRI => {
                    let [0, 1, 1, prefixes @ ..] = value else { return None };
                    seen.unreached = prefixes;
                }
                _ => {}
            }
        }
        rest.is_empty().then_some(seen)
    }
}

/// The prefixes of a list, as address and length. The last item is `None` when the list does not end with a prefix.
pub(crate) fn prefixes(mut list: &[u8]) -> impl Iterator<Item = Option<(u32, u8)>> {
    std::iter::from_fn(move || {
        let (length, rest) = list.split_first()?;
        list = &[];
        let octets = usize::from(length.div_ceil(8));
        let Some((octets, rest)) = rest.split_at_checked(octets).filter(|_| octets <= 4) else {
            return Some(None);
        };
        list = rest;
        let mut address = [0; 4];
        for (to, from) in address.iter_mut().zip(octets) {
            *to = *from;
        }
        Some(Some((u32::from_be_bytes(address), *length)))
    })
}

/// Whether an OPEN announces four-octet AS numbers, without which AS_PATH would be read wrongly.
pub(crate) fn speaks_four_octet_as(body: &[u8]) -> bool {
    let mut parameters = body.get(10..).unwrap_or_default();
    while let [code, length, rest @ ..] = parameters {
        let Some((mut capabilities, next)) = rest.split_at_checked(usize::from(*length)) else {
            return false;
        };
        parameters = next;
        while let [capability, length, rest @ ..] = capabilities {
            if (*code, *capability) == (CAPABILITIES, CAPABILITY_FOUR_OCTET_AS) {
                return true;
            }
            capabilities = rest.get(usize::from(*length)..).unwrap_or_default();
        }
    }
    false
}

/// Splits off what a 16-bit length announces.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn first_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}
