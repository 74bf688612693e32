//! What an UPDATE says. The consequences of its errors are in [`rfc7606`].

mod as4;
mod rfc7606;

use super::*;
use crate::wire::header::{self, HEADER_LEN};
use crate::wire::iana::message_type;
use crate::wire::{
    Aggregator, Community, ExtendedCommunity, FamilySet, Fault, LargeCommunity, Message, Notification,
    Origin, Session, UnknownAttribute,
};

/// An external session with everything negotiated.
pub(super) const EXTERNAL: Session = Session {
    four_octet_as: true,
    extended_message: true,
    external: true,
    families: FamilySet::ALL,
    extended_next_hop: true,
};
pub(super) const INTERNAL: Session = Session { external: false, ..EXTERNAL };
pub(super) const TWO_OCTET: Session = Session { four_octet_as: false, ..EXTERNAL };

/// 10.0.0.0/8.
pub(super) const NET_10: &[u8] = &[8, 10];
/// AFI, SAFI, next hop 2001:db8::1, reserved, 2001:db8::/32.
pub(super) const REACH_V6: &[u8] =
    &[0, 2, 1, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 32, 0x20, 1, 0xd, 0xb8];
/// AFI, SAFI, 2001:db8::/32.
pub(super) const UNREACH_V6: &[u8] = &[0, 2, 1, 32, 0x20, 1, 0xd, 0xb8];

/// One attribute.
pub(super) fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut octets = vec![flags, code];
    if flags & 0x10 == 0 {
        octets.push(u8::try_from(value.len()).unwrap());
    } else {
        octets.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    }
    octets.extend_from_slice(value);
    octets
}

pub(super) fn origin() -> Vec<u8> {
    attribute(0x40, 1, &[0])
}

/// AS 500, four octets.
pub(super) fn as_path() -> Vec<u8> {
    attribute(0x40, 2, &[2, 1, 0, 0, 1, 0xF4])
}

pub(super) fn next_hop() -> Vec<u8> {
    attribute(0x40, 3, &[10, 0, 0, 1])
}

/// What an announcement cannot be without.
pub(super) fn mandatory() -> Vec<u8> {
    [origin(), as_path(), next_hop()].concat()
}

/// A complete UPDATE.
pub(super) fn message(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let start = header::start(&mut out, message_type::UPDATE);
    for field in [withdrawn, attributes] {
        out.extend_from_slice(&u16::try_from(field.len()).unwrap().to_be_bytes());
        out.extend_from_slice(field);
    }
    out.extend_from_slice(nlri);
    header::finish(&mut out, start);
    out
}

pub(super) fn decode(message: &[u8], session: Session) -> Result<Update<'_>, Notification> {
    match Message::decode(message, &session)? {
        Message::Update(update) => Ok(update),
        other => panic!("{other:?}"),
    }
}

/// The attributes of an announcement of 10/8 with these attributes beside the mandatory ones.
fn announced_with(attributes: &[u8], session: Session) -> Attributes {
    let message = message(&[], &[mandatory(), attributes.to_vec()].concat(), NET_10);
    let update = decode(&message, session).unwrap();
    assert_eq!(update.treat_as_withdraw(), None);
    assert!(update.discarded().is_empty(), "{:?}", update.discarded());
    update.attributes().unwrap().clone()
}

fn texts<P: std::fmt::Display>(prefixes: impl Iterator<Item = P>) -> Vec<String> {
    prefixes.map(|prefix| prefix.to_string()).collect()
}

#[test]
fn withdrawn_and_announced_prefixes_are_told_apart() {
    let message = message(&[16, 192, 168], &mandatory(), &[8, 10, 24, 10, 1, 2]);
    let update = decode(&message, EXTERNAL).unwrap();
    assert_eq!(texts(update.withdrawn_v4()), ["192.168.0.0/16"]);
    assert_eq!(texts(update.announced_v4()), ["10.0.0.0/8", "10.1.2.0/24"]);
    assert_eq!(update.withdrawn_v6().count() + update.announced_v6().count(), 0);
    assert_eq!(update.end_of_rib(), None);
    let attributes = update.attributes().unwrap();
    assert_eq!(attributes.origin(), Origin::Igp);
    assert_eq!(attributes.as_path().to_string(), "500");
    assert_eq!(attributes.next_hop().to_string(), "10.0.0.1");
}

#[test]
fn every_attribute_finds_its_field() {
    let octets = [
        attribute(0x80, 4, &[0, 0, 0, 50]),
        attribute(0x40, 5, &[0, 0, 0, 200]),
        attribute(0x40, 6, &[]),
        attribute(0xC0, 7, &[0, 0, 1, 0xF4, 10, 0, 0, 9]),
        attribute(0xC0, 8, &[0xFD, 0xE8, 0, 2, 0xFD, 0xE8, 0, 1, 0xFD, 0xE8, 0, 2]),
        attribute(0x80, 9, &[10, 0, 0, 8]),
        attribute(0x80, 10, &[10, 0, 0, 7, 10, 0, 0, 6]),
        attribute(0xD0, 16, &[0, 2, 0xFD, 0xE8, 0, 0, 0, 1]),
        attribute(0xC0, 32, &[0, 0, 0xFD, 0xE8, 0, 0, 0, 1, 0, 0, 0, 2]),
        attribute(0xC0, 99, &[1, 2, 3]),
        attribute(0x80, 98, &[4, 5, 6]),
    ]
    .concat();
    let attributes = announced_with(&octets, INTERNAL);
    assert_eq!(attributes.med(), Some(50));
    assert_eq!(attributes.local_pref(), Some(200));
    assert!(attributes.atomic_aggregate());
    let aggregator = Aggregator { asn: 500, router_id: [10, 0, 0, 9].into() };
    assert_eq!(attributes.aggregator(), Some(aggregator));
    assert_eq!(attributes.communities(), [Community::new(65000, 1), Community::new(65000, 2)]);
    assert_eq!(attributes.originator_id(), Some([10, 0, 0, 8].into()));
    assert_eq!(attributes.cluster_list(), [[10, 0, 0, 7].into(), std::net::Ipv4Addr::new(10, 0, 0, 6)]);
    assert_eq!(attributes.extended_communities(), ["rt:65000:1".parse::<ExtendedCommunity>().unwrap()]);
    assert_eq!(attributes.large_communities(), ["65000:1:2".parse::<LargeCommunity>().unwrap()]);
    // 98 is not transitive: quietly ignored (RFC 4271 section 5).
    assert_eq!(attributes.unknown(), [UnknownAttribute { code: 99, value: [1, 2, 3].into() }]);
}

/// RFC 4271 section 4.3: the lower four bits of the flags are ignored, and the extended length may be used for any
/// attribute. RFC 7606 section 3 c: so is the partial bit where it should not be.
#[test]
fn flags_that_mean_nothing_do_not_count() {
    for flags in [0x40, 0x4F, 0x50, 0x60, 0x7F] {
        let attributes = [attribute(flags, 1, &[2]), as_path(), next_hop()].concat();
        let message = message(&[], &attributes, NET_10);
        let update = decode(&message, EXTERNAL).unwrap();
        assert_eq!(update.attributes().map(Attributes::origin), Some(Origin::Incomplete), "flags {flags:#x}");
    }
}

#[test]
fn the_order_of_attributes_is_free() {
    let forwards = message(&[], &[origin(), as_path(), next_hop()].concat(), NET_10);
    let backwards = message(&[], &[next_hop(), as_path(), origin()].concat(), NET_10);
    let attributes = |message| decode(message, EXTERNAL).unwrap().attributes().cloned();
    assert_eq!(attributes(&forwards), attributes(&backwards));
}

#[test]
fn ipv6_comes_and_goes_in_the_multiprotocol_attributes() {
    let reach = [attribute(0x80, 14, REACH_V6), origin(), as_path()].concat();
    let reach = message(&[], &reach, &[]);
    let update = decode(&reach, EXTERNAL).unwrap();
    assert_eq!(texts(update.announced_v6()), ["2001:db8::/32"]);
    assert_eq!(update.announced_v4().count(), 0);
    assert_eq!(update.attributes().unwrap().next_hop().to_string(), "2001:db8::1");

    let unreach = message(&[], &attribute(0x90, 15, UNREACH_V6), &[]);
    let update = decode(&unreach, EXTERNAL).unwrap();
    assert_eq!(texts(update.withdrawn_v6()), ["2001:db8::/32"]);
    assert_eq!((update.attributes(), update.end_of_rib()), (None, None));
    assert_eq!(update.into_announcements().count(), 0);
}

#[test]
fn ipv4_may_come_with_either_kind_of_next_hop() {
    let v4 = [0, 1, 1, 4, 10, 0, 0, 2, 0, 8, 11];
    let mut v6 = vec![0, 1, 1, 32];
    v6.extend_from_slice(&"2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    v6.extend_from_slice(&"fe80::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    v6.extend_from_slice(&[0, 8, 11]);
    for (value, text) in [(&v4[..], "10.0.0.2"), (&v6, "2001:db8::1 (fe80::1)")] {
        let message = message(&[], &[attribute(0x80, 14, value), origin(), as_path()].concat(), &[]);
        let update = decode(&message, EXTERNAL).unwrap();
        assert_eq!(texts(update.announced_v4()), ["11.0.0.0/8"]);
        assert_eq!(update.attributes().unwrap().next_hop().to_string(), text);
    }
}

#[test]
fn both_ways_to_announce_in_one_message_make_two_announcements() {
    let attributes = [attribute(0x80, 14, REACH_V6), mandatory()].concat();
    let message = message(&[], &attributes, NET_10);
    let update = decode(&message, EXTERNAL).unwrap();
    let all: Vec<_> = update.into_announcements().collect();
    assert_eq!(all.len(), 2);
    assert!(matches!(&all[0].prefixes, Nlri::V4(p) if texts(p.clone()) == ["10.0.0.0/8"]));
    assert!(matches!(&all[1].prefixes, Nlri::V6(p) if texts(p.clone()) == ["2001:db8::/32"]));
    assert_eq!(all[0].attributes.next_hop().to_string(), "10.0.0.1");
    assert_eq!(all[1].attributes.next_hop().to_string(), "2001:db8::1");
    assert_eq!(all[0].attributes.as_path(), all[1].attributes.as_path());
}

#[test]
fn withdrawals_of_both_kinds_are_found() {
    let unreach_v4 = attribute(0x80, 15, &[0, 1, 1, 8, 12]);
    let message = message(&[8, 11], &unreach_v4, &[]);
    let update = decode(&message, EXTERNAL).unwrap();
    assert_eq!(texts(update.withdrawn_v4()), ["11.0.0.0/8", "12.0.0.0/8"]);
    assert_eq!(update.end_of_rib(), None);
}

/// RFC 4724 section 2.
#[test]
fn end_of_rib_is_an_update_of_nothing() {
    let end = |message: &[u8], session| decode(message, session).unwrap().end_of_rib();
    let empty = message(&[], &[], &[]);
    assert_eq!(empty.len(), HEADER_LEN + 4);
    let unreach = |value: &[u8]| message(&[], &attribute(0x80, 15, value), &[]);
    assert_eq!(end(&empty, EXTERNAL), Some(Family::Ipv4));
    assert_eq!(end(&unreach(&[0, 2, 1]), EXTERNAL), Some(Family::Ipv6));
    assert_eq!(end(&unreach(&[0, 1, 1]), EXTERNAL), Some(Family::Ipv4));
    assert_eq!(end(&unreach(&[0, 25, 70]), EXTERNAL), None, "EVPN is not ours");
    assert_eq!(end(&unreach(UNREACH_V6), EXTERNAL), None);
    let with_more = message(&[], &[attribute(0x80, 15, &[0, 2, 1]), origin()].concat(), &[]);
    assert_eq!(end(&with_more, EXTERNAL), None);
    assert_eq!(end(&message(&[8, 10], &attribute(0x80, 15, &[0, 2, 1]), &[]), EXTERNAL), None);

    let v6_only = Session { families: FamilySet { ipv4: false, ipv6: true }, ..EXTERNAL };
    assert_eq!(end(&empty, v6_only), None);
    let v4_only = Session { families: FamilySet { ipv4: true, ipv6: false }, ..EXTERNAL };
    assert_eq!(end(&unreach(&[0, 2, 1]), v4_only), None);
}

/// RFC 4760 section 8: what was not negotiated is not looked at, and does no harm.
#[test]
fn families_that_are_not_negotiated_are_left_out() {
    let v4_only = Session { families: FamilySet { ipv4: true, ipv6: false }, ..EXTERNAL };
    let v6_only = Session { families: FamilySet { ipv4: false, ipv6: true }, ..EXTERNAL };
    let attributes = [attribute(0x80, 14, REACH_V6), attribute(0x80, 15, UNREACH_V6), mandatory()].concat();
    let message_of_both = message(&[8, 11], &attributes, NET_10);

    let update = decode(&message_of_both, v4_only).unwrap();
    let discarded: Vec<_> = update.discarded().first().iter().map(|d| (d.attribute, d.fault)).collect();
    assert_eq!(discarded, [(14, Fault::FamilyNotNegotiated), (15, Fault::FamilyNotNegotiated)]);
    assert_eq!(update.announced_v6().count() + update.withdrawn_v6().count(), 0);
    assert_eq!(texts(update.announced_v4()), ["10.0.0.0/8"]);

    let update = decode(&message_of_both, v6_only).unwrap();
    assert_eq!(update.discarded().first().len(), 1);
    assert_eq!(update.discarded().first()[0].to_string(), "NLRI: family not negotiated; ignored");
    assert_eq!(update.announced_v4().count() + update.withdrawn_v4().count(), 0);
    assert_eq!(update.into_announcements().count(), 1);

    // An EVPN route, whose NLRI we could not even check.
    let evpn =
        message(&[], &[attribute(0x80, 14, &[0, 25, 70, 4, 1, 2, 3, 4, 0, 99, 255]), origin()].concat(), &[]);
    let update = decode(&evpn, EXTERNAL).unwrap();
    assert_eq!((update.attributes(), update.treat_as_withdraw()), (None, None));
}

#[test]
fn communities_beyond_what_fits_in_place_are_kept_too() {
    let values: Vec<u8> = (0..40u8).rev().flat_map(|i| [0xFD, 0xE8, 0, i]).collect();
    let attributes = announced_with(&attribute(0xC0, 8, &values), EXTERNAL);
    assert!(attributes.communities().iter().copied().eq((0..40).map(|i| Community::new(65000, i))));
}

#[test]
fn a_path_of_any_length_is_kept() {
    for hops in [1, 5, 6, 255] {
        let mut value = vec![2, hops];
        (0..hops).for_each(|i| value.extend_from_slice(&[0, 1, 0, i]));
        let attributes = [origin(), attribute(0x50, 2, &value), next_hop()].concat();
        let message = message(&[], &attributes, NET_10);
        let update = decode(&message, EXTERNAL).unwrap();
        assert_eq!(update.attributes().map(|a| a.as_path().len()), Some(hops.into()));
    }
}

#[test]
fn an_as_set_is_accepted() {
    let value = [2, 1, 0, 0, 1, 0xF4, 1, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    let message = message(&[], &[origin(), attribute(0x40, 2, &value), next_hop()].concat(), NET_10);
    let update = decode(&message, EXTERNAL).unwrap();
    assert_eq!(update.attributes().map(|a| a.as_path().to_string()).as_deref(), Some("500 {1,2}"));
}
