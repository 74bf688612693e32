//! RFC 6793: a peer with AS numbers of two octets.

use super::*;

const TRANS: u16 = 23456;

/// An attribute of one AS_SEQUENCE.
fn path2(asns: &[u16]) -> Vec<u8> {
    let mut value = vec![2, asns.len() as u8];
    value.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
    attribute(0x40, 2, if asns.is_empty() { &[] } else { &value })
}

/// The value of one segment with four-octet AS numbers.
fn segment4(kind: u8, asns: &[u32]) -> Vec<u8> {
    let mut value = vec![kind, asns.len() as u8];
    value.extend(asns.iter().flat_map(|asn| asn.to_be_bytes()));
    value
}

fn as4_path(value: &[u8]) -> Vec<u8> {
    attribute(0xC0, 17, value)
}

fn aggregator2(asn: u16) -> Vec<u8> {
    let [a, b] = asn.to_be_bytes();
    attribute(0xC0, 7, &[a, b, 10, 0, 0, 1])
}

fn as4_aggregator(asn: u32) -> Vec<u8> {
    let [a, b, c, d] = asn.to_be_bytes();
    attribute(0xC0, 18, &[a, b, c, d, 10, 0, 0, 2])
}

/// AS path, aggregator and discarded attributes of an announcement with these attributes.
fn received(attributes: &[Vec<u8>]) -> (String, Option<u32>, Vec<(u8, Fault)>) {
    let message = message(&[], &[origin(), next_hop(), attributes.concat()].concat(), NET_10);
    let update = decode(&message, TWO_OCTET).unwrap();
    assert_eq!(update.treat_as_withdraw(), None);
    let discarded = update.discarded().first().iter().map(|d| (d.attribute, d.fault)).collect();
    let attributes = update.attributes().unwrap();
    (attributes.as_path().to_string(), attributes.aggregator().map(|a| a.asn), discarded)
}

fn path(attributes: &[Vec<u8>]) -> String {
    let (path, _, discarded) = received(attributes);
    assert_eq!(discarded, []);
    path
}

#[test]
fn a_path_of_two_octets_becomes_one_of_four() {
    assert_eq!(path(&[path2(&[500, 65002])]), "500 65002");
    assert_eq!(path(&[attribute(0x40, 2, &[2, 1, 1, 0xF4, 1, 2, 0, 1, 0, 2])]), "500 {1,2}");
    assert_eq!(path(&[path2(&[])]), "");
}

/// Section 4.2.3.
#[test]
fn as4_path_replaces_the_end_of_the_path() {
    let all = as4_path(&segment4(2, &[70000, 80000]));
    assert_eq!(path(&[path2(&[TRANS, TRANS]), all.clone()]), "70000 80000");
    assert_eq!(path(&[path2(&[500, 600, TRANS, TRANS]), all.clone()]), "500 600 70000 80000");
    let merged = message(&[], &[origin(), next_hop(), path2(&[500, TRANS, TRANS]), all].concat(), NET_10);
    let merged = decode(&merged, TWO_OCTET).unwrap();
    let segments = merged.attributes().unwrap().as_path().segments().count();
    assert_eq!(segments, 1, "the seam does not show");
}

#[test]
fn a_set_counts_as_one_hop_in_the_merge() {
    let four = [segment4(2, &[70000]), segment4(1, &[1, 2])].concat();
    let two = attribute(0x40, 2, &[2, 2, 1, 0xF4, 0x5B, 0xA0, 1, 2, 0, 1, 0, 2]);
    assert_eq!(path(&[two, as4_path(&four)]), "500 70000 {1,2}");
    let set_first = attribute(0x40, 2, &[1, 2, 0, 1, 0, 2, 2, 1, 0x5B, 0xA0]);
    assert_eq!(path(&[set_first, as4_path(&segment4(2, &[70000]))]), "{1,2} 70000");
}

#[test]
fn a_longer_as4_path_is_ignored() {
    let (path, _, discarded) = received(&[path2(&[TRANS]), as4_path(&segment4(2, &[70000, 80000]))]);
    assert_eq!((path.as_str(), discarded), ("23456", vec![(17, Fault::Outdated)]));
}

/// Section 3: confederation segments must not be in AS4_PATH; those of the path are kept where they lead.
#[test]
fn confederation_segments_of_as4_path_are_dropped() {
    let four = [segment4(3, &[65100]), segment4(2, &[70000]), segment4(4, &[65101])].concat();
    assert_eq!(path(&[path2(&[500, TRANS]), as4_path(&four)]), "500 70000");
    let internal = Session { external: false, ..TWO_OCTET };
    let two = attribute(0x40, 2, &[3, 1, 0xFE, 0x4C, 2, 2, 1, 0xF4, 0x5B, 0xA0]);
    let message =
        message(&[], &[origin(), next_hop(), two, as4_path(&segment4(2, &[70000]))].concat(), NET_10);
    let update = decode(&message, internal).unwrap();
    assert_eq!(update.attributes().unwrap().as_path().to_string(), "(65100) 500 70000");
}

/// Section 6, RFC 7607 section 2: a malformed AS4 attribute is ignored, the rest is used.
#[test]
fn malformed_as4_attributes_are_ignored() {
    for (value, fault) in [
        (vec![], Fault::Length),
        (vec![2], Fault::MalformedAsPath),
        (vec![2, 2, 0, 1, 0x11, 0x70], Fault::MalformedAsPath),
        (vec![2, 0], Fault::MalformedAsPath),
        (segment4(5, &[70000]), Fault::MalformedAsPath),
        (segment4(2, &[0]), Fault::AsZero),
    ] {
        let (path, _, discarded) = received(&[path2(&[TRANS]), as4_path(&value)]);
        assert_eq!((path.as_str(), discarded), ("23456", vec![(17, fault)]), "{value:?}");
    }
    let short = attribute(0xC0, 18, &[0, 1, 0x11, 0x70, 10, 0, 0]);
    for (attribute, fault) in [(short, Fault::Length), (as4_aggregator(0), Fault::AsZero)] {
        let (_, aggregator, discarded) = received(&[path2(&[500]), aggregator2(TRANS), attribute]);
        assert_eq!((aggregator, discarded), (Some(23456), vec![(18, fault)]));
    }
}

#[test]
fn as4_aggregator_tells_who_as_trans_is() {
    let (_, aggregator, discarded) = received(&[path2(&[500]), aggregator2(TRANS), as4_aggregator(70000)]);
    assert_eq!((aggregator, discarded), (Some(70000), vec![]));
}

/// Section 4.2.3: an AGGREGATOR other than AS_TRANS was set by a two-octet speaker after the AS4 attributes.
#[test]
fn a_later_aggregator_outdates_both() {
    let (path, aggregator, discarded) = received(&[
        path2(&[500, TRANS]),
        aggregator2(500),
        as4_path(&segment4(2, &[70000])),
        as4_aggregator(70000),
    ]);
    assert_eq!((path.as_str(), aggregator), ("500 23456", Some(500)));
    assert_eq!(discarded, [(18, Fault::Outdated), (17, Fault::Outdated)]);
}

#[test]
fn as4_aggregator_alone_means_nothing() {
    let (path, aggregator, discarded) =
        received(&[path2(&[TRANS]), as4_path(&segment4(2, &[70000])), as4_aggregator(70000)]);
    assert_eq!((path.as_str(), aggregator, discarded), ("70000", None, vec![(18, Fault::Outdated)]));
}

/// Section 4.1: among four-octet speakers they are discarded unread.
#[test]
fn between_four_octet_speakers_as4_attributes_are_discarded() {
    let message = message(&[], &[mandatory(), as4_path(&[9]), as4_aggregator(0)].concat(), NET_10);
    let update = decode(&message, EXTERNAL).unwrap();
    let discarded: Vec<_> = update.discarded().first().iter().map(|d| (d.attribute, d.fault)).collect();
    assert_eq!(discarded, [(17, Fault::FromFourOctetPeer), (18, Fault::FromFourOctetPeer)]);
    assert_eq!(update.announced_v4().count(), 1);
}
