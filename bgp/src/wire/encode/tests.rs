//! Messages that are written are messages that are read.

use bytes::BytesMut;
use ipnet::{Ipv4Net, Ipv6Net};

use super::*;
use crate::wire::{
    AsPath, Attributes, Community, Family, FamilySet, Message, NextHop, Origin, Session, Update, frame,
};

const SESSION: Session = Session {
    four_octet_as: true,
    extended_message: false,
    external: false,
    families: FamilySet::ALL,
    extended_next_hop: true,
};
const CONTEXT: EncodeContext =
    EncodeContext { four_octet_as: true, external: false, prepend: None, send_med: true };

fn attributes(next_hop: NextHop) -> Attributes {
    let mut attributes = Attributes::new(Origin::Igp, AsPath::from_sequence(&[500, 600]), next_hop);
    attributes.set_local_pref(Some(100));
    attributes.set_med(Some(7));
    attributes
}

fn v4_next_hop() -> NextHop {
    NextHop::V4([10, 0, 0, 1].into())
}

fn v6_next_hop() -> NextHop {
    NextHop::v6("2001:db8::1".parse().unwrap(), Some("fe80::1".parse().unwrap()))
}

fn hosts(count: u32) -> Vec<Ipv4Net> {
    (0..count).map(|i| Ipv4Net::new_assert((0x0A00_0000 + i).into(), 32)).collect()
}

fn hosts6(count: u128) -> Vec<Ipv6Net> {
    (0..count).map(|i| Ipv6Net::new_assert((0x2001_0db8 << 96 | i).into(), 128)).collect()
}

/// The messages in `stream`.
fn messages(mut stream: &[u8], session: Session) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some(len) = frame(stream, session.max_message_len()).unwrap() {
        let (message, rest) = stream.split_at(len);
        messages.push(message);
        stream = rest;
    }
    assert!(stream.is_empty());
    messages
}

fn update(message: &[u8], session: Session) -> Update<'_> {
    match Message::decode(message, &session) {
        Ok(Message::Update(update)) => {
            assert_eq!(update.treat_as_withdraw(), None);
            assert!(update.discarded().is_empty());
            update
        }
        other => panic!("{other:?}"),
    }
}

/// Writes messages until nothing is left.
fn all(mut write_one: impl FnMut() -> usize) -> usize {
    let mut total = 0;
    loop {
        match write_one() {
            0 => return total,
            count => total += count,
        }
    }
}

#[test]
fn announcements_are_filled_to_the_limit_and_lose_nothing() {
    for (session, count, expected) in
        [(SESSION, 2000, 3), (Session { extended_message: true, ..SESSION }, 20_000, 2)]
    {
        for next_hop in [v4_next_hop(), v6_next_hop()] {
            let (attributes, prefixes) = (attributes(next_hop), hosts(count));
            let block = attributes.encode(&CONTEXT);
            let mut left = prefixes.iter().copied();
            let mut out = BytesMut::new();
            let writer = UpdateWriter::new(&session);
            let total = all(|| writer.announce_v4(&mut out, &block, next_hop, &mut left).unwrap());
            assert_eq!(total, prefixes.len());
            let messages = messages(&out, session);
            assert_eq!(messages.len(), expected);
            for full in &messages[..expected - 1] {
                assert!(full.len() > session.max_message_len() - 5, "{} octets", full.len());
            }
            let read: Vec<Ipv4Net> =
                messages.iter().flat_map(|m| update(m, session).announced_v4()).collect();
            assert_eq!(read, prefixes);
            assert!(messages.iter().all(|m| update(m, session).attributes() == Some(&attributes)));
        }
    }
}

#[test]
fn ipv6_is_announced_in_mp_reach_which_comes_first() {
    let (attributes, prefixes) = (attributes(v6_next_hop()), hosts6(500));
    let block = attributes.encode(&CONTEXT);
    let (mut left, mut out) = (prefixes.iter().copied(), Vec::new());
    let writer = UpdateWriter::new(&SESSION);
    let total = all(|| writer.announce_v6(&mut out, &block, v6_next_hop(), &mut left).unwrap());
    assert_eq!(total, prefixes.len());
    let messages = messages(&out, SESSION);
    let read: Vec<Ipv6Net> = messages.iter().flat_map(|m| update(m, SESSION).announced_v6()).collect();
    assert_eq!(read, prefixes);
    for message in messages {
        assert_eq!(message[24], 14, "RFC 7606 section 5.1");
        assert_eq!(update(message, SESSION).attributes(), Some(&attributes));
    }
}

#[test]
fn withdrawals_are_filled_to_the_limit_and_lose_nothing() {
    let (v4, v6) = (hosts(2000), hosts6(700));
    let (mut left4, mut left6, mut out) = (v4.iter().copied(), v6.iter().copied(), Vec::new());
    let writer = UpdateWriter::new(&SESSION);
    assert_eq!(all(|| writer.withdraw_v4(&mut out, &mut left4)), v4.len());
    assert_eq!(all(|| writer.withdraw_v6(&mut out, &mut left6)), v6.len());
    let messages = messages(&out, SESSION);
    assert_eq!(messages.len(), 3 + 3);
    let read4: Vec<Ipv4Net> = messages.iter().flat_map(|m| update(m, SESSION).withdrawn_v4()).collect();
    let read6: Vec<Ipv6Net> = messages.iter().flat_map(|m| update(m, SESSION).withdrawn_v6()).collect();
    assert_eq!((read4, read6), (v4, v6));
}

#[test]
fn of_nothing_no_message_is_made() {
    let writer = UpdateWriter::new(&SESSION);
    let block = attributes(v4_next_hop()).encode(&CONTEXT);
    let (mut no4, mut no6, mut out) = (std::iter::empty(), std::iter::empty(), Vec::new());
    assert_eq!(writer.announce_v4(&mut out, &block, v4_next_hop(), &mut no4), Ok(0));
    assert_eq!(writer.announce_v6(&mut out, &block, v6_next_hop(), &mut no6), Ok(0));
    assert_eq!(writer.withdraw_v4(&mut out, &mut no4) + writer.withdraw_v6(&mut out, &mut no6), 0);
    assert!(out.is_empty());
}

#[test]
fn end_of_rib_is_understood() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let mut out = Vec::new();
        UpdateWriter::new(&SESSION).end_of_rib(&mut out, family);
        assert_eq!(update(&out, SESSION).end_of_rib(), Some(family));
    }
}

/// RFC 4271 section 9.2: what does not fit one message with one prefix cannot be advertised.
#[test]
fn attributes_that_fill_the_message_are_refused_before_anything_is_written() {
    let mut long = attributes(v4_next_hop());
    let fits = |attributes: &Attributes, session: Session| {
        let (mut left, mut out) = (hosts(1).into_iter(), Vec::new());
        let block = attributes.encode(&CONTEXT);
        let result = UpdateWriter::new(&session).announce_v4(&mut out, &block, v4_next_hop(), &mut left);
        if result.is_err() {
            assert!(out.is_empty());
            assert_eq!(left.len(), 1, "the prefix is still there");
        } else {
            assert_eq!(update(&out, session).announced_v4().count(), 1);
        }
        result
    };
    let base = long.encode(&CONTEXT).octets().len();
    // 23 octets of message, NEXT_HOP 7, COMMUNITIES' header 4, a prefix 5.
    let room = (4096 - 23 - 7 - 4 - 5 - base) / 4;
    long.set_communities((0..room as u32).map(Community).collect());
    assert_eq!(fits(&long, SESSION), Ok(1));
    long.set_communities((0..=room as u32).map(Community).collect());
    assert!(matches!(fits(&long, SESSION), Err(NotAdvertisable::AttributesTooLong { max_len: 4096, .. })));
    let extended = Session { extended_message: true, ..SESSION };
    assert_eq!(fits(&long, extended), Ok(1));
    // A value longer than a length can say.
    long.set_communities((0..20_000).map(Community).collect());
    assert!(fits(&long, extended).is_err());
}

#[test]
fn ipv6_prefixes_have_no_ipv4_next_hop() {
    let block = attributes(v4_next_hop()).encode(&CONTEXT);
    let mut out = Vec::new();
    let result =
        UpdateWriter::new(&SESSION).announce_v6(&mut out, &block, v4_next_hop(), &mut hosts6(1).into_iter());
    assert_eq!(result, Err(NotAdvertisable::NextHopFamily(v4_next_hop())));
    assert!(out.is_empty());
}
