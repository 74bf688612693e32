//! Fields of packets: how a rule loads them, how the `nft` program calls and types them.
//!
//! Must not know what they are compared with.

use super::{
    super::{codec::Writer, netfilter::be32},
    expression,
    uapi::{
        ETH_P_IP, ETH_P_IPV6, NFPROTO_IPV4, NFPROTO_IPV6, NFT_CT_STATE, NFT_CT_STATUS,
        NFT_FIB_RESULT_ADDRTYPE, NFT_FIB_RESULT_OIF, NFT_META_IIFGROUP, NFT_META_IIFNAME, NFT_META_L4PROTO,
        NFT_META_MARK, NFT_META_NFPROTO, NFT_META_OIFGROUP, NFT_META_OIFNAME, NFT_META_PROTOCOL,
        NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER, NFTA_CT_DREG, NFTA_CT_KEY, NFTA_FIB_DREG,
        NFTA_FIB_F_DADDR, NFTA_FIB_F_IIF, NFTA_FIB_F_SADDR, NFTA_FIB_FLAGS, NFTA_FIB_RESULT, NFTA_META_DREG,
        NFTA_META_KEY, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_LEN, NFTA_PAYLOAD_OFFSET,
    },
};
use crate::model::{Field, NftFamily};

/// All of them.
const ALL: [Field; 19] = [
    Field::NfProto,
    Field::L4Proto,
    Field::IifName,
    Field::OifName,
    Field::IifGroup,
    Field::OifGroup,
    Field::Ip4Source,
    Field::Ip4Destination,
    Field::Ip6Source,
    Field::Ip6Destination,
    Field::SourcePort,
    Field::DestinationPort,
    Field::DestinationType,
    Field::ReversePath,
    Field::CtState,
    Field::CtStatus,
    Field::Mark,
    Field::IcmpTypeCode,
    Field::Number,
];

/// Bits of one field's type in the type of a concatenation (`TYPE_BITS` of the `nft` program).
const TYPE_BITS: u32 = 6;
/// The type of numbers of any length.
pub(super) const INTEGER: u32 = 4;
/// As many types as fit into 32 bits.
pub(super) const MAX_FIELDS: usize = 5;

/// What a packet must be for a field to be there at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// An IP version, as `NFPROTO_*`.
    Network(u8),
    /// A transport protocol with ports, or with types and codes.
    Transport,
}

/// What a packet must be for the field to be there.
pub(super) fn needs(field: Field) -> Needs {
    match field {
        Field::Ip4Source | Field::Ip4Destination => Needs::Network(NFPROTO_IPV4),
        Field::Ip6Source | Field::Ip6Destination => Needs::Network(NFPROTO_IPV6),
        Field::SourcePort | Field::DestinationPort | Field::IcmpTypeCode => Needs::Transport,
        _ => Needs::Nothing,
    }
}

/// Whether the field's octets are a number of the kernel's own in host order, so that its ranges are none in memory.
pub(super) fn host_order(field: Field) -> bool {
    matches!(
        field,
        Field::IifGroup
            | Field::OifGroup
            | Field::DestinationType
            | Field::ReversePath
            | Field::CtState
            | Field::CtStatus
            | Field::Mark
    )
}

/// Whether the field is a text.
pub(super) fn is_name(field: Field) -> bool {
    matches!(field, Field::IifName | Field::OifName)
}

/// The name in the `nft` program's language.
pub(super) fn name(field: Field) -> &'static str {
    match field {
        Field::NfProto => "meta nfproto",
        Field::L4Proto => "meta l4proto",
        Field::IifName => "iifname",
        Field::OifName => "oifname",
        Field::IifGroup => "iifgroup",
        Field::OifGroup => "oifgroup",
        Field::Ip4Source => "ip saddr",
        Field::Ip4Destination => "ip daddr",
        Field::Ip6Source => "ip6 saddr",
        Field::Ip6Destination => "ip6 daddr",
        Field::SourcePort => "th sport",
        Field::DestinationPort => "th dport",
        Field::DestinationType => "fib daddr type",
        Field::ReversePath => "fib saddr . iif oif",
        Field::CtState => "ct state",
        Field::CtStatus => "ct status",
        Field::Mark => "meta mark",
        Field::IcmpTypeCode => "icmp type and code",
        Field::Number => "number",
    }
}

/// The field of that name.
pub(super) fn named(text: &str) -> Option<Field> {
    ALL.into_iter().find(|field| name(*field) == text)
}

/// The number of the field's type in the `nft` program (`enum datatypes` of its datatype.h): the kernel only keeps
/// it, for that program to show the elements by.
fn datatype(field: Field) -> u32 {
    match field {
        Field::NfProto => 2,
        // It ends at concatenated `integer`s, which have no length of their own: numbers look like IPv4 addresses there.
        Field::Ip4Source | Field::Ip4Destination | Field::Number => 7,
        Field::Ip6Source | Field::Ip6Destination => 8,
        Field::L4Proto => 12,
        Field::SourcePort | Field::DestinationPort | Field::IcmpTypeCode => 13,
        Field::Mark => 19,
        Field::ReversePath => 20,
        Field::CtState => 26,
        Field::CtStatus => 28,
        Field::IifGroup | Field::OifGroup => 35,
        Field::DestinationType => 38,
        Field::IifName | Field::OifName => 41,
    }
}

/// The type of fields one behind the other.
pub(super) fn datatype_of(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |types, field| types << TYPE_BITS | datatype(*field))
}

/// Fields of these types: the first that comes into question for each. `None` when there is none.
pub(super) fn of_datatype(types: u32) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    let mut rest = types;
    while rest != 0 {
        let wanted = rest & ((1 << TYPE_BITS) - 1);
        fields.push(ALL.into_iter().find(|field| datatype(*field) == wanted)?);
        rest >>= TYPE_BITS;
    }
    fields.reverse();
    Some(fields)
}

/// Octets that a field takes up among others.
pub(super) fn slot(field: Field) -> usize {
    field.octets().next_multiple_of(4)
}

/// Octets of a key made of these fields: a single one has its own length, in a concatenation each is filled up to
/// whole registers.
pub(super) fn key_octets(fields: &[Field]) -> usize {
    match fields {
        [one] => one.octets(),
        many => many.iter().copied().map(slot).sum(),
    }
}

/// Loads the field into the register.
pub(super) fn load(w: &mut Writer, field: Field, register: u32) {
    match field {
        Field::NfProto => meta(w, NFT_META_NFPROTO, register),
        Field::L4Proto => meta(w, NFT_META_L4PROTO, register),
        Field::IifName => meta(w, NFT_META_IIFNAME, register),
        Field::OifName => meta(w, NFT_META_OIFNAME, register),
        Field::IifGroup => meta(w, NFT_META_IIFGROUP, register),
        Field::OifGroup => meta(w, NFT_META_OIFGROUP, register),
        // offsets in the headers of RFC 791, 8200, and what all transports with ports begin with
        Field::Ip4Source => payload(w, NFT_PAYLOAD_NETWORK_HEADER, 12, field, register),
        Field::Ip4Destination => payload(w, NFT_PAYLOAD_NETWORK_HEADER, 16, field, register),
        Field::Ip6Source => payload(w, NFT_PAYLOAD_NETWORK_HEADER, 8, field, register),
        Field::Ip6Destination => payload(w, NFT_PAYLOAD_NETWORK_HEADER, 24, field, register),
        Field::SourcePort => payload(w, NFT_PAYLOAD_TRANSPORT_HEADER, 0, field, register),
        Field::DestinationPort => payload(w, NFT_PAYLOAD_TRANSPORT_HEADER, 2, field, register),
        Field::DestinationType => fib(w, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR, register),
        Field::ReversePath => fib(w, NFT_FIB_RESULT_OIF, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF, register),
        Field::CtState => ct(w, NFT_CT_STATE, register),
        Field::CtStatus => ct(w, NFT_CT_STATUS, register),
        Field::Mark => meta(w, NFT_META_MARK, register),
        Field::IcmpTypeCode => payload(w, NFT_PAYLOAD_TRANSPORT_HEADER, 0, field, register),
        // No packet has it; `rule` refuses.
        Field::Number => {}
    }
}

/// Loads what tells IPv4 from IPv6 in tables of the family, and gives the value that it has for `version`.
pub(super) fn load_version(w: &mut Writer, family: NftFamily, version: u8, register: u32) -> Vec<u8> {
    match family {
        NftFamily::Inet => {
            meta(w, NFT_META_NFPROTO, register);
            vec![version]
        }
        NftFamily::Bridge => {
            meta(w, NFT_META_PROTOCOL, register);
            let ethertype = if version == NFPROTO_IPV4 { ETH_P_IP } else { ETH_P_IPV6 };
            ethertype.to_be_bytes().to_vec()
        }
    }
}

fn meta(w: &mut Writer, key: u32, register: u32) {
    expression(w, "meta", |w| {
        be32(w, NFTA_META_KEY, key);
        be32(w, NFTA_META_DREG, register);
    });
}

/// Loads octets of the IP header.
pub(super) fn load_header(w: &mut Writer, offset: u32, octets: usize, register: u32) {
    octets_at(w, NFT_PAYLOAD_NETWORK_HEADER, offset, octets, register);
}

fn payload(w: &mut Writer, base: u32, offset: u32, field: Field, register: u32) {
    octets_at(w, base, offset, field.octets(), register);
}

fn octets_at(w: &mut Writer, base: u32, offset: u32, octets: usize, register: u32) {
    expression(w, "payload", |w| {
        be32(w, NFTA_PAYLOAD_DREG, register);
        be32(w, NFTA_PAYLOAD_BASE, base);
        be32(w, NFTA_PAYLOAD_OFFSET, offset);
        be32(w, NFTA_PAYLOAD_LEN, octets as u32);
    });
}

fn fib(w: &mut Writer, result: u32, flags: u32, register: u32) {
    expression(w, "fib", |w| {
        be32(w, NFTA_FIB_DREG, register);
        be32(w, NFTA_FIB_RESULT, result);
        be32(w, NFTA_FIB_FLAGS, flags);
    });
}

fn ct(w: &mut Writer, key: u32, register: u32) {
    expression(w, "ct", |w| {
        be32(w, NFTA_CT_KEY, key);
        be32(w, NFTA_CT_DREG, register);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_and_its_type() {
        for field in ALL {
            assert_eq!(named(name(field)), Some(field));
            let found = of_datatype(datatype(field)).unwrap();
            assert_eq!(datatype_of(&found), datatype(field));
        }
        let key = [Field::Ip4Destination, Field::L4Proto, Field::DestinationPort];
        assert_eq!(datatype_of(&key), 7 * 64 * 64 + 12 * 64 + 13);
        assert_eq!(of_datatype(datatype_of(&key)).map(|found| found.len()), Some(3));
        assert_eq!(of_datatype(63), None);
    }
}
