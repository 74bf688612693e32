//! The attribute block: everything of [`Attributes`] but the next hop, as one kind of peer gets it.

use bytes::BufMut;

use crate::wire::as_path::{Segment, Segments};
use crate::wire::attributes::PartialBit;
use crate::wire::iana::{AS_TRANS, as_path_segment, attribute_code as code, attribute_flag as flag};
use crate::wire::{AsPath, Attributes, ExtendedCommunity, UnknownAttribute};

/// LOCAL_PREF where a route has none: what BIRD, FRR and GoBGP take too.
const DEFAULT_LOCAL_PREF: u32 = 100;
/// The most AS numbers that one segment can count.
const SEGMENT_MAX: usize = 255;

const WELL_KNOWN: u8 = flag::TRANSITIVE;
const OPTIONAL_TRANSITIVE: u8 = flag::OPTIONAL | flag::TRANSITIVE;
const OPTIONAL_NON_TRANSITIVE: u8 = flag::OPTIONAL;

/// What of a peer changes the attributes that it is sent. Peers with equal contexts share encoded blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncodeContext {
    /// As in [`Session`](crate::wire::Session): to others, AS numbers take two octets, and AS4_PATH is added
    /// (RFC 6793 section 4.2.2).
    pub four_octet_as: bool,
    /// The peer is in another AS: LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST, confederation segments and non-transitive
    /// extended communities stay inside (RFC 4271 section 5.1.5, RFC 4456 section 8, RFC 5065 section 4, RFC 4360
    /// section 6). To an internal peer LOCAL_PREF is always sent: 100 where the route has none.
    pub external: bool,
    /// The AS number to put in front of AS_PATH (RFC 4271 section 5.1.2): the own one, to external peers.
    pub prepend: Option<u32>,
    /// MULTI_EXIT_DISC is sent to this external peer: it is our own (RFC 4271 section 5.1.4 forbids passing on one
    /// that was received from a neighboring AS). To internal peers it is always sent.
    pub send_med: bool,
}

/// Path attributes as octets, without the next hop: NEXT_HOP and MP_REACH_NLRI are per message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EncodedAttributes {
    octets: Vec<u8>,
    /// Where NEXT_HOP goes: attributes stand in the order of their type codes (RFC 4271 section 5).
    next_hop_at: usize,
}

impl EncodedAttributes {
    /// What comes before NEXT_HOP, and what comes after.
    pub(super) fn around_next_hop(&self) -> (&[u8], &[u8]) {
        self.octets.split_at_checked(self.next_hop_at).unwrap_or((&self.octets, &[]))
    }

    /// The whole block.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

impl Attributes {
    /// The attribute block for one kind of peer.
    pub fn encode(&self, context: &EncodeContext) -> EncodedAttributes {
        let mut block = EncodedAttributes::default();
        self.encode_into(context, &mut block);
        block
    }

    /// As [`encode`](Self::encode), into a block whose memory is used again.
    pub fn encode_into(&self, context: &EncodeContext, block: &mut EncodedAttributes) {
        let EncodedAttributes { octets: out, next_hop_at } = block;
        out.clear();
        attribute(out, WELL_KNOWN, code::ORIGIN, &[self.origin() as u8]);
        self.write_as_path(context, out);
        *next_hop_at = out.len();
        self.write_preferences(context, out);
        self.write_aggregate(context, out);
        if !self.communities().is_empty() {
            let flags = self.transitive_flags(PartialBit::Communities);
            let len = self.communities().len() * 4;
            attribute_header(out, flags, code::COMMUNITIES, len);
            self.communities().iter().for_each(|community| out.put_u32(community.0));
        }
        if !context.external {
            self.write_reflection(out);
        }
        let mut unknown = self.unknown();
        write_unknown_below(&mut unknown, code::EXTENDED_COMMUNITIES, out);
        self.write_extended_communities(context, out);
        if !context.four_octet_as {
            self.write_as4(context, out);
        }
        write_unknown_below(&mut unknown, code::LARGE_COMMUNITY, out);
        if !self.large_communities().is_empty() {
            let flags = self.transitive_flags(PartialBit::LargeCommunities);
            let len = self.large_communities().len() * 12;
            attribute_header(out, flags, code::LARGE_COMMUNITY, len);
            for community in self.large_communities() {
                out.put_u32(community.global);
                out.put_u32(community.local1);
                out.put_u32(community.local2);
            }
        }
        write_unknown_below(&mut unknown, u8::MAX, out);
        for attribute in unknown {
            write_unknown(attribute, out);
        }
    }

    fn transitive_flags(&self, attribute: PartialBit) -> u8 {
        if self.is_partial(attribute) { OPTIONAL_TRANSITIVE | flag::PARTIAL } else { OPTIONAL_TRANSITIVE }
    }

    fn write_as_path(&self, context: &EncodeContext, out: &mut Vec<u8>) {
        let path = OutgoingPath::new(self.as_path(), context);
        let asn_len = if context.four_octet_as { 4 } else { 2 };
        attribute_header(out, WELL_KNOWN, code::AS_PATH, path.octets(asn_len));
        path.write(out, asn_len);
    }

    fn write_preferences(&self, context: &EncodeContext, out: &mut Vec<u8>) {
        if let Some(med) = self.med().filter(|_| context.send_med || !context.external) {
            attribute(out, OPTIONAL_NON_TRANSITIVE, code::MULTI_EXIT_DISC, &med.to_be_bytes());
        }
        if !context.external {
            let preference = self.local_pref().unwrap_or(DEFAULT_LOCAL_PREF);
            attribute(out, WELL_KNOWN, code::LOCAL_PREF, &preference.to_be_bytes());
        }
    }

    fn write_aggregate(&self, context: &EncodeContext, out: &mut Vec<u8>) {
        if self.atomic_aggregate() {
            attribute(out, WELL_KNOWN, code::ATOMIC_AGGREGATE, &[]);
        }
        let Some(aggregator) = self.aggregator() else { return };
        let flags = self.transitive_flags(PartialBit::Aggregator);
        if context.four_octet_as {
            attribute_header(out, flags, code::AGGREGATOR, 8);
            out.put_u32(aggregator.asn);
        } else {
            attribute_header(out, flags, code::AGGREGATOR, 6);
            out.put_u16(u16::try_from(aggregator.asn).unwrap_or(AS_TRANS));
        }
        out.put_u32(aggregator.router_id.to_bits());
    }

    fn write_reflection(&self, out: &mut Vec<u8>) {
        if let Some(id) = self.originator_id() {
            attribute(out, OPTIONAL_NON_TRANSITIVE, code::ORIGINATOR_ID, &id.octets());
        }
        if !self.cluster_list().is_empty() {
            let len = self.cluster_list().len() * 4;
            attribute_header(out, OPTIONAL_NON_TRANSITIVE, code::CLUSTER_LIST, len);
            self.cluster_list().iter().for_each(|id| out.put_u32(id.to_bits()));
        }
    }

    fn write_extended_communities(&self, context: &EncodeContext, out: &mut Vec<u8>) {
        let crosses = |community: &&ExtendedCommunity| !context.external || community.is_transitive();
        let count = self.extended_communities().iter().filter(crosses).count();
        if count > 0 {
            let flags = self.transitive_flags(PartialBit::ExtendedCommunities);
            attribute_header(out, flags, code::EXTENDED_COMMUNITIES, count * 8);
            self.extended_communities().iter().filter(crosses).for_each(|c| out.put_slice(&c.0));
        }
    }

    /// RFC 6793 section 4.2.2: AS4_PATH and AS4_AGGREGATOR only where two octets lose something, and never with
    /// confederation segments.
    fn write_as4(&self, context: &EncodeContext, out: &mut Vec<u8>) {
        let fits = |asn: u32| u16::try_from(asn).is_ok();
        let path = OutgoingPath::without_confederations(self.as_path(), context);
        if !path.segments().flat_map(|segment| segment.asns()).chain(context.prepend).all(fits) {
            attribute_header(out, OPTIONAL_TRANSITIVE, code::AS4_PATH, path.octets(4));
            path.write(out, 4);
        }
        if let Some(aggregator) = self.aggregator().filter(|aggregator| !fits(aggregator.asn)) {
            attribute_header(out, OPTIONAL_TRANSITIVE, code::AS4_AGGREGATOR, 8);
            out.put_u32(aggregator.asn);
            out.put_u32(aggregator.router_id.to_bits());
        }
    }
}

/// AS_PATH as it leaves: prepended, and without confederation segments where they must stay inside.
struct OutgoingPath<'a> {
    /// The segments from the path, those dropped included.
    path: &'a AsPath,
    prepend: Option<u32>,
    /// The first segment takes the prepended AS number in.
    joins: bool,
    strip_confederations: bool,
}

impl<'a> OutgoingPath<'a> {
    fn new(path: &'a AsPath, context: &EncodeContext) -> Self {
        Self::stripped(path, context, context.external)
    }

    fn without_confederations(path: &'a AsPath, context: &EncodeContext) -> Self {
        Self::stripped(path, context, true)
    }

    fn stripped(path: &'a AsPath, context: &EncodeContext, strip_confederations: bool) -> Self {
        let mut this = Self { path, prepend: context.prepend, joins: false, strip_confederations };
        this.joins = this.prepend.is_some()
            && this.segments().next().is_some_and(|first| {
                first.kind as u8 == as_path_segment::AS_SEQUENCE && first.count() < SEGMENT_MAX
            });
        this
    }

    fn segments(&self) -> impl Iterator<Item = Segment<'a>> + use<'a> {
        let (segments, strip): (Segments<'a>, bool) = (self.path.segments(), self.strip_confederations);
        segments.filter(move |segment| !(strip && segment.kind.is_confederation()))
    }

    /// The octets of the value, with AS numbers of `asn_len` octets.
    fn octets(&self, asn_len: usize) -> usize {
        let path: usize = self.segments().map(|segment| 2 + segment.count() * asn_len).sum();
        match (self.prepend, self.joins) {
            (None, _) => path,
            (Some(_), true) => path + asn_len,
            (Some(_), false) => path + 2 + asn_len,
        }
    }

    fn write(&self, out: &mut Vec<u8>, asn_len: usize) {
        let mut segments = self.segments();
        if let Some(asn) = self.prepend {
            let joined = if self.joins { segments.next() } else { None };
            let count = joined.map_or(0, |segment| segment.count());
            out.put_slice(&[as_path_segment::AS_SEQUENCE, count as u8 + 1]);
            put_asn(out, asn, asn_len);
            if let Some(segment) = joined {
                put_asns(out, &segment, asn_len);
            }
        }
        for segment in segments {
            out.put_slice(&[segment.kind as u8, segment.count() as u8]);
            put_asns(out, &segment, asn_len);
        }
    }
}

fn put_asns(out: &mut Vec<u8>, segment: &Segment<'_>, asn_len: usize) {
    if asn_len == 4 {
        out.put_slice(segment.octets());
    } else {
        segment.asns().for_each(|asn| put_asn(out, asn, asn_len));
    }
}

fn put_asn(out: &mut Vec<u8>, asn: u32, asn_len: usize) {
    if asn_len == 4 {
        out.put_u32(asn);
    } else {
        out.put_u16(u16::try_from(asn).unwrap_or(AS_TRANS));
    }
}

/// Writes the unknown attributes with type codes below `limit`, and takes them off the list.
fn write_unknown_below(unknown: &mut &[UnknownAttribute], limit: u8, out: &mut Vec<u8>) {
    while let Some((first, rest)) = unknown.split_first()
        && first.code < limit
    {
        write_unknown(first, out);
        *unknown = rest;
    }
}

/// RFC 4271 section 5: passed on with the partial bit.
fn write_unknown(attribute: &UnknownAttribute, out: &mut Vec<u8>) {
    attribute_header(out, OPTIONAL_TRANSITIVE | flag::PARTIAL, attribute.code, attribute.value.len());
    out.put_slice(&attribute.value);
}

fn attribute(out: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) {
    attribute_header(out, flags, code, value.len());
    out.put_slice(value);
}

/// The header of an attribute, with an extended length only where needed (RFC 4271 section 4.3). A value that no
/// length can express makes a block that no message can hold, which [`UpdateWriter`](super::UpdateWriter) refuses.
fn attribute_header(out: &mut Vec<u8>, flags: u8, code: u8, len: usize) {
    if let Ok(len) = u8::try_from(len) {
        out.put_slice(&[flags, code, len]);
    } else {
        let [high, low] = (len as u16).to_be_bytes();
        out.put_slice(&[flags | flag::EXTENDED_LENGTH, code, high, low]);
    }
}

#[cfg(test)]
mod tests;
