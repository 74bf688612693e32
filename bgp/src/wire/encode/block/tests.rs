use super::*;
use crate::wire::{Aggregator, Community, LargeCommunity, NextHop, Origin, SegmentKind};

const EXTERNAL: EncodeContext =
    EncodeContext { four_octet_as: true, external: true, prepend: Some(65002), send_med: false };
const INTERNAL: EncodeContext =
    EncodeContext { four_octet_as: true, external: false, prepend: None, send_med: false };

fn with_path(path: &str) -> Attributes {
    Attributes::new(Origin::Igp, path.parse().unwrap(), NextHop::V4([10, 0, 0, 1].into()))
}

/// Flags, type code and value of every attribute of a block.
fn split(block: &EncodedAttributes) -> Vec<(u8, u8, Vec<u8>)> {
    let mut attributes = Vec::new();
    let mut rest = block.octets();
    while let [flags, code, after @ ..] = rest {
        let (len, value) = match after {
            [high, low, value @ ..] if flags & 0x10 != 0 => (u16::from_be_bytes([*high, *low]).into(), value),
            [len, value @ ..] => (usize::from(*len), value),
            [] => panic!("cut off"),
        };
        attributes.push((*flags, *code, value[..len].to_vec()));
        rest = &value[len..];
    }
    attributes
}

fn codes(block: &EncodedAttributes) -> Vec<u8> {
    split(block).iter().map(|(_, code, _)| *code).collect()
}

fn value(block: &EncodedAttributes, code: u8) -> Option<Vec<u8>> {
    split(block).into_iter().find(|(_, c, _)| *c == code).map(|(_, _, value)| value)
}

/// A value of AS_PATH or AS4_PATH, from text.
fn path_octets(text: &str, asn_len: usize) -> Vec<u8> {
    let path: AsPath = text.parse().unwrap();
    let mut octets = Vec::new();
    for segment in path.segments() {
        octets.extend_from_slice(&[segment.kind as u8, segment.count() as u8]);
        segment.asns().for_each(|asn| octets.extend_from_slice(&asn.to_be_bytes()[4 - asn_len..]));
    }
    octets
}

fn everything() -> Attributes {
    let mut attributes = with_path("500 600");
    attributes.set_med(Some(50));
    attributes.set_local_pref(Some(200));
    attributes.set_atomic_aggregate(true);
    attributes.set_aggregator(Some(Aggregator { asn: 500, router_id: [10, 0, 0, 9].into() }));
    attributes.set_communities(vec![Community::new(65000, 1)]);
    attributes.set_originator_id(Some([10, 0, 0, 8].into()));
    attributes.set_cluster_list(vec![[10, 0, 0, 7].into()]);
    attributes.set_extended_communities(vec![ExtendedCommunity::route_target(65000, 1).unwrap()]);
    attributes.set_large_communities(vec![LargeCommunity { global: 65000, local1: 1, local2: 2 }]);
    let unknown = |code| UnknownAttribute { code, value: [code, 1].into() };
    attributes.set_unknown(vec![unknown(11), unknown(26), unknown(40), unknown(255)]);
    attributes
}

/// RFC 4271 section 5: "in ascending order of attribute type".
#[test]
fn attributes_stand_in_the_order_of_their_type_codes() {
    let block = everything().encode(&INTERNAL);
    assert_eq!(codes(&block), [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 16, 26, 32, 40, 255]);
    let (before, after) = block.around_next_hop();
    assert_eq!([before, after].concat(), block.octets());
    assert_eq!(after[1], 4, "NEXT_HOP goes before MULTI_EXIT_DISC");
}

#[test]
fn flags_are_those_of_the_type_and_unknown_is_partial() {
    for (flags, code, _) in split(&everything().encode(&INTERNAL)) {
        let expected = match code {
            1 | 2 | 5 | 6 => 0x40,
            4 | 9 | 10 => 0x80,
            7 | 8 | 16 | 32 => 0xC0,
            _ => 0xE0,
        };
        assert_eq!(flags, expected, "attribute {code}");
    }
}

/// RFC 4271 section 5.1, RFC 4456 section 8.
#[test]
fn what_belongs_inside_an_as_stays_inside() {
    let block = everything().encode(&EXTERNAL);
    assert_eq!(codes(&block), [1, 2, 6, 7, 8, 11, 16, 26, 32, 40, 255]);
    let with_med = everything().encode(&EncodeContext { send_med: true, ..EXTERNAL });
    assert_eq!(value(&with_med, 4), Some(vec![0, 0, 0, 50]));
}

/// RFC 4271 section 5.1.5.
#[test]
fn an_internal_peer_always_gets_a_local_preference() {
    assert_eq!(value(&with_path("").encode(&INTERNAL), 5), Some(vec![0, 0, 0, 100]));
    assert_eq!(value(&with_path("").encode(&EXTERNAL), 5), None);
}

#[test]
fn the_own_as_is_put_in_front_for_an_external_peer_only() {
    for (path, sent) in
        [("", "65002"), ("500 600", "65002 500 600"), ("{1,2}", "65002 {1,2}"), ("(65100) 500", "65002 500")]
    {
        let block = with_path(path).encode(&EXTERNAL);
        assert_eq!(value(&block, 2), Some(path_octets(sent, 4)), "{path}");
        let block = with_path(path).encode(&INTERNAL);
        assert_eq!(value(&block, 2), Some(path_octets(path, 4)), "{path}");
    }
}

/// RFC 4271 section 5.1.2 b: a segment counts up to 255.
#[test]
fn a_full_segment_gets_one_in_front() {
    for count in [254, 255] {
        let mut attributes = with_path("");
        *attributes.as_path_mut() = AsPath::from_sequence(&vec![7; count]);
        let mut prepended = attributes.as_path().clone();
        prepended.prepend(65002, 1);
        let expected = path_octets(&prepended.to_string(), 4);
        let sent = value(&attributes.encode(&EXTERNAL), 2).unwrap();
        let segments: Vec<_> = prepended.segments().map(|s| s.count()).collect();
        assert_eq!(segments, if count == 254 { vec![255] } else { vec![1, 255] });
        assert_eq!(sent.len(), if count == 254 { 2 + 255 * 4 } else { 2 + 4 + 2 + 255 * 4 });
        if count == 254 {
            assert_eq!(sent, expected);
        }
    }
}

/// RFC 4360 section 6.
#[test]
fn a_non_transitive_extended_community_does_not_cross_the_border() {
    let mut attributes = with_path("500");
    let (target, bandwidth) = ([0, 2, 0xFD, 0xE8, 0, 0, 0, 1], [0x40, 4, 0xFD, 0xE8, 0, 0, 0, 1]);
    attributes.set_extended_communities(vec![ExtendedCommunity(target), ExtendedCommunity(bandwidth)]);
    assert_eq!(value(&attributes.encode(&EXTERNAL), 16), Some(target.to_vec()));
    assert_eq!(value(&attributes.encode(&INTERNAL), 16), Some([target, bandwidth].concat()));
    attributes.set_extended_communities(vec![ExtendedCommunity(bandwidth)]);
    assert_eq!(value(&attributes.encode(&EXTERNAL), 16), None);
}

/// RFC 6793 section 4.2.2.
#[test]
fn a_two_octet_peer_gets_as_trans_and_the_truth_beside_it() {
    let two_octet = EncodeContext { four_octet_as: false, ..EXTERNAL };
    let mut attributes = with_path("500 70000 {80000,3}");
    attributes.set_aggregator(Some(Aggregator { asn: 70000, router_id: [10, 0, 0, 9].into() }));
    let block = attributes.encode(&two_octet);
    assert_eq!(value(&block, 2), Some(path_octets("65002 500 23456 {23456,3}", 2)));
    assert_eq!(value(&block, 17), Some(path_octets("65002 500 70000 {80000,3}", 4)));
    assert_eq!(value(&block, 7), Some(vec![0x5B, 0xA0, 10, 0, 0, 9]));
    assert_eq!(value(&block, 18), Some(vec![0, 1, 0x11, 0x70, 10, 0, 0, 9]));

    let small = with_path("500 600").encode(&two_octet);
    assert_eq!(codes(&small), [1, 2], "nothing is lost: no AS4_PATH");
    let own = EncodeContext { prepend: Some(70000), ..two_octet };
    assert_eq!(value(&with_path("500").encode(&own), 17), Some(path_octets("70000 500", 4)));
}

#[test]
fn as4_path_has_no_confederation_segments() {
    let mut attributes = with_path("");
    *attributes.as_path_mut() = AsPath::from_segments([
        (SegmentKind::ConfedSequence, &[70000][..]),
        (SegmentKind::Sequence, &[80000]),
    ]);
    let internal = EncodeContext { four_octet_as: false, ..INTERNAL };
    let block = attributes.encode(&internal);
    assert_eq!(value(&block, 2), Some(path_octets("(23456) 23456", 2)));
    assert_eq!(value(&block, 17), Some(path_octets("80000", 4)));
    let nothing_else = with_path("(70000) 500").encode(&internal);
    assert_eq!(value(&nothing_else, 17), None, "what is lost has no place in AS4_PATH");
    assert_eq!(value(&with_path("(70000)").encode(&internal), 17), None, "an empty AS4_PATH is malformed");
}

#[test]
fn a_long_value_has_an_extended_length() {
    let mut attributes = with_path("500");
    attributes.set_communities((0..64).map(Community).collect());
    let block = attributes.encode(&INTERNAL);
    let (flags, _, value) = split(&block).into_iter().find(|(_, code, _)| *code == 8).unwrap();
    assert_eq!((flags, value.len()), (0xD0, 256));
}

#[test]
fn a_block_that_is_used_again_holds_only_the_new_attributes() {
    let mut block = everything().encode(&INTERNAL);
    with_path("500").encode_into(&EXTERNAL, &mut block);
    assert_eq!(block, with_path("500").encode(&EXTERNAL));
}

/// RFC 4271 section 5: a partial bit, once set, stays.
#[test]
fn the_partial_bit_of_a_known_attribute_is_passed_on() {
    let mut attributes = everything();
    attributes.set_partial(PartialBit::Communities);
    attributes.set_partial(PartialBit::Aggregator);
    let block = attributes.encode(&EXTERNAL);
    let flags = |code| split(&block).iter().find(|(_, c, _)| *c == code).map(|(flags, ..)| *flags);
    assert_eq!((flags(7), flags(8), flags(16), flags(32)), (Some(0xE0), Some(0xE0), Some(0xC0), Some(0xC0)));
}
