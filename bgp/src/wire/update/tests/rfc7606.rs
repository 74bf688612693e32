//! RFC 7606, and what other RFCs say in its terms: one row per rule, from octets to consequence.

use super::*;

/// What an UPDATE leads to.
#[derive(Debug, PartialEq)]
enum Consequence {
    /// All of it is used.
    Used,
    /// These attributes are ignored, the rest is used.
    Discard(Vec<(u8, Fault)>),
    /// Its routes count as withdrawn, because of this attribute.
    Withdraw(u8, Fault),
    /// UPDATE Message Error with this subcode and data.
    Reset(u8, Vec<u8>),
}

use Consequence::{Discard, Reset, Used, Withdraw};

fn consequence(message: &[u8], session: Session) -> Consequence {
    let update = match decode(message, session) {
        Ok(update) => update,
        Err(notification) => {
            assert_eq!(notification.code, 3);
            return Reset(notification.subcode, notification.data);
        }
    };
    if let Some(error) = update.treat_as_withdraw() {
        assert_eq!(update.announced_v4().count() + update.announced_v6().count(), 0);
        assert!(update.attributes().is_none());
        assert_eq!(update.into_announcements().count(), 0);
        return Withdraw(error.attribute, error.fault);
    }
    match update.discarded().first() {
        [] => Used,
        list => Discard(list.iter().map(|d| (d.attribute, d.fault)).collect()),
    }
}

/// An announcement of 10/8 in which `attributes` take the places of mandatory ones with the same type code, or come
/// after them.
fn announcing(attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut list: Vec<Vec<u8>> = [origin(), as_path(), next_hop()]
        .into_iter()
        .filter(|mandatory| attributes.iter().all(|attribute| attribute[1] != mandatory[1]))
        .collect();
    list.extend_from_slice(attributes);
    message(&[], &list.concat(), NET_10)
}

/// Checks rows of a rule, a flags octet, a type code, a value and the consequence.
fn check(session: Session, rows: &[(&str, u8, u8, &[u8], Consequence)]) {
    for (rule, flags, code, value, expected) in rows {
        let message = announcing(&[attribute(*flags, *code, value)]);
        assert_eq!(consequence(&message, session), *expected, "{rule}");
        if let Withdraw(..) = expected {
            let update = decode(&message, session).unwrap();
            assert_eq!(texts(update.withdrawn_v4()), ["10.0.0.0/8"], "{rule}: what came is withdrawn");
        }
    }
}

#[test]
fn a_correct_message_is_used() {
    assert_eq!(consequence(&announcing(&[]), EXTERNAL), Used);
    assert_eq!(consequence(&announcing(&[]), INTERNAL), Used, "LOCAL_PREF is not mandatory");
}

#[test]
fn the_value_of_an_attribute_from_any_peer() {
    for session in [EXTERNAL, INTERNAL] {
        check(
            session,
            &[
                ("7.1 ORIGIN: length 0", 0x40, 1, &[], Withdraw(1, Fault::Length)),
                ("7.1 ORIGIN: length 2", 0x40, 1, &[0, 0], Withdraw(1, Fault::Length)),
                ("7.1 ORIGIN: undefined value", 0x40, 1, &[3], Withdraw(1, Fault::UndefinedOrigin)),
                (
                    "7.2 AS_PATH: unknown segment type",
                    0x40,
                    2,
                    &[5, 1, 0, 0, 0, 1],
                    Withdraw(2, Fault::MalformedAsPath),
                ),
                (
                    "7.2 AS_PATH: segment type 0",
                    0x40,
                    2,
                    &[0, 1, 0, 0, 0, 1],
                    Withdraw(2, Fault::MalformedAsPath),
                ),
                ("7.2 AS_PATH: overrun", 0x40, 2, &[2, 2, 0, 0, 0, 1], Withdraw(2, Fault::MalformedAsPath)),
                (
                    "7.2 AS_PATH: underrun",
                    0x40,
                    2,
                    &[2, 1, 0, 0, 0, 1, 2],
                    Withdraw(2, Fault::MalformedAsPath),
                ),
                ("7.2 AS_PATH: segment of length 0", 0x40, 2, &[2, 0], Withdraw(2, Fault::MalformedAsPath)),
                ("4 AS_PATH: length 0 is allowed", 0x40, 2, &[], Used),
                (
                    "RFC 7607: AS 0 in AS_PATH",
                    0x40,
                    2,
                    &[2, 2, 0, 0, 0, 1, 0, 0, 0, 0],
                    Withdraw(2, Fault::AsZero),
                ),
                ("7.3 NEXT_HOP: length 0", 0x40, 3, &[], Withdraw(3, Fault::Length)),
                ("7.3 NEXT_HOP: length 3", 0x40, 3, &[10, 0, 0], Withdraw(3, Fault::Length)),
                ("7.3 NEXT_HOP: length 16", 0x40, 3, &[10; 16], Withdraw(3, Fault::Length)),
                ("RFC 4271 6.3 NEXT_HOP: 0.0.0.0", 0x40, 3, &[0; 4], Withdraw(3, Fault::NoHostAddress)),
                (
                    "RFC 4271 6.3 NEXT_HOP: loopback",
                    0x40,
                    3,
                    &[127, 0, 0, 1],
                    Withdraw(3, Fault::NoHostAddress),
                ),
                (
                    "RFC 4271 6.3 NEXT_HOP: multicast",
                    0x40,
                    3,
                    &[224, 0, 0, 5],
                    Withdraw(3, Fault::NoHostAddress),
                ),
                ("RFC 4271 6.3 NEXT_HOP: broadcast", 0x40, 3, &[255; 4], Withdraw(3, Fault::NoHostAddress)),
                ("7.4 MULTI_EXIT_DISC: length 0", 0x80, 4, &[], Withdraw(4, Fault::Length)),
                ("7.4 MULTI_EXIT_DISC: length 5", 0x80, 4, &[0; 5], Withdraw(4, Fault::Length)),
                ("7.6 ATOMIC_AGGREGATE: length 1", 0x40, 6, &[0], Discard(vec![(6, Fault::Length)])),
                (
                    "7.7 AGGREGATOR: length 6 of a four-octet peer",
                    0xC0,
                    7,
                    &[1; 6],
                    Discard(vec![(7, Fault::Length)]),
                ),
                ("7.7 AGGREGATOR: length 0", 0xC0, 7, &[], Discard(vec![(7, Fault::Length)])),
                (
                    "RFC 7607: AS 0 in AGGREGATOR",
                    0xC0,
                    7,
                    &[0, 0, 0, 0, 1, 1, 1, 1],
                    Discard(vec![(7, Fault::AsZero)]),
                ),
                ("7.8 COMMUNITIES: length 0", 0xC0, 8, &[], Withdraw(8, Fault::Length)),
                ("7.8 COMMUNITIES: length 6", 0xC0, 8, &[0; 6], Withdraw(8, Fault::Length)),
                ("7.14 EXTENDED COMMUNITIES: length 0", 0xC0, 16, &[], Withdraw(16, Fault::Length)),
                ("7.14 EXTENDED COMMUNITIES: length 12", 0xC0, 16, &[0; 12], Withdraw(16, Fault::Length)),
                ("7.14 EXTENDED COMMUNITIES: unknown type", 0xC0, 16, &[0xFF; 8], Used),
                ("RFC 8092 6 LARGE_COMMUNITY: length 0", 0xC0, 32, &[], Withdraw(32, Fault::Length)),
                ("RFC 8092 6 LARGE_COMMUNITY: length 16", 0xC0, 32, &[0; 16], Withdraw(32, Fault::Length)),
            ],
        );
    }
}

/// Sections 7.5, 7.9, 7.10; RFC 5065 section 5.
#[test]
fn what_belongs_inside_an_as() {
    let foreign = |code| Discard(vec![(code, Fault::FromExternalPeer)]);
    check(
        EXTERNAL,
        &[
            ("7.5 LOCAL_PREF", 0x40, 5, &[0, 0, 0, 1], foreign(5)),
            ("7.5 LOCAL_PREF, even of wrong length", 0x40, 5, &[0], foreign(5)),
            ("7.5 LOCAL_PREF, even of wrong flags", 0x80, 5, &[0, 0, 0, 1], foreign(5)),
            ("7.9 ORIGINATOR_ID", 0x80, 9, &[1; 4], foreign(9)),
            ("7.9 ORIGINATOR_ID, even of wrong length", 0x80, 9, &[1; 3], foreign(9)),
            ("7.10 CLUSTER_LIST", 0x80, 10, &[1; 8], foreign(10)),
            ("7.10 CLUSTER_LIST, even of wrong length", 0x80, 10, &[], foreign(10)),
            (
                "RFC 5065 5: AS_CONFED_SEQUENCE",
                0x40,
                2,
                &[3, 1, 0, 0, 0, 1, 2, 1, 0, 0, 0, 2],
                Withdraw(2, Fault::ForeignConfederation),
            ),
            (
                "RFC 5065 5: AS_CONFED_SET",
                0x40,
                2,
                &[2, 1, 0, 0, 0, 2, 4, 1, 0, 0, 0, 1],
                Withdraw(2, Fault::ForeignConfederation),
            ),
        ],
    );
    check(
        INTERNAL,
        &[
            ("7.5 LOCAL_PREF", 0x40, 5, &[0, 0, 0, 1], Used),
            ("7.5 LOCAL_PREF: length 0", 0x40, 5, &[], Withdraw(5, Fault::Length)),
            ("7.5 LOCAL_PREF: length 3", 0x40, 5, &[0; 3], Withdraw(5, Fault::Length)),
            ("7.9 ORIGINATOR_ID", 0x80, 9, &[1; 4], Used),
            ("7.9 ORIGINATOR_ID: length 0", 0x80, 9, &[], Withdraw(9, Fault::Length)),
            ("7.9 ORIGINATOR_ID: length 5", 0x80, 9, &[1; 5], Withdraw(9, Fault::Length)),
            ("7.10 CLUSTER_LIST", 0x80, 10, &[1; 8], Used),
            ("7.10 CLUSTER_LIST: length 0", 0x80, 10, &[], Withdraw(10, Fault::Length)),
            ("7.10 CLUSTER_LIST: length 6", 0x80, 10, &[1; 6], Withdraw(10, Fault::Length)),
            ("RFC 5065: confederation segments", 0x40, 2, &[3, 1, 0, 0, 0, 1, 2, 1, 0, 0, 0, 2], Used),
        ],
    );
}

/// RFC 7606 section 7.7 with AS numbers of two octets.
#[test]
fn a_two_octet_peer_has_an_aggregator_of_six_octets() {
    let path = attribute(0x40, 2, &[2, 1, 1, 0xF4]);
    let with = |value: &[u8]| announcing(&[path.clone(), attribute(0xC0, 7, value)]);
    assert_eq!(consequence(&with(&[1; 6]), TWO_OCTET), Used);
    assert_eq!(consequence(&with(&[1; 8]), TWO_OCTET), Discard(vec![(7, Fault::Length)]));
    assert_eq!(consequence(&with(&[0, 0, 1, 1, 1, 1]), TWO_OCTET), Discard(vec![(7, Fault::AsZero)]));
    let zero = announcing(&[attribute(0x40, 2, &[2, 2, 0, 1, 0, 0])]);
    assert_eq!(consequence(&zero, TWO_OCTET), Withdraw(2, Fault::AsZero));
    let odd = announcing(&[attribute(0x40, 2, &[2, 1, 0])]);
    assert_eq!(consequence(&odd, TWO_OCTET), Withdraw(2, Fault::MalformedAsPath));
}

/// Section 3 c: the Optional and Transitive bits, of every attribute that we know.
#[test]
fn flags_that_conflict_with_the_type_withdraw() {
    let right: [(u8, u8, &[u8]); 11] = [
        (1, 0x40, &[0]),
        (2, 0x40, &[]),
        (3, 0x40, &[10, 0, 0, 1]),
        (4, 0x80, &[0; 4]),
        (5, 0x40, &[0; 4]),
        (6, 0x40, &[]),
        (7, 0xC0, &[1; 8]),
        (8, 0xC0, &[1; 4]),
        (9, 0x80, &[1; 4]),
        (16, 0xC0, &[1; 8]),
        (32, 0xC0, &[1; 12]),
    ];
    for (code, flags, value) in right {
        assert_eq!(
            consequence(&announcing(&[attribute(flags, code, value)]), INTERNAL),
            Used,
            "attribute {code}"
        );
        for wrong in [0x00, 0x40, 0x80, 0xC0].into_iter().filter(|wrong| *wrong != flags) {
            let message = announcing(&[attribute(wrong, code, value)]);
            let expected = Withdraw(code, Fault::Flags);
            assert_eq!(consequence(&message, INTERNAL), expected, "attribute {code}, flags {wrong:#x}");
        }
    }
}

/// Section 3 d. NEXT_HOP is mandatory only with an NLRI field (RFC 4760 section 3).
#[test]
fn what_is_mandatory_and_missing_withdraws() {
    for (missing, list) in
        [(1, [as_path(), next_hop()]), (2, [origin(), next_hop()]), (3, [origin(), as_path()])]
    {
        let message = message(&[], &list.concat(), NET_10);
        assert_eq!(consequence(&message, EXTERNAL), Withdraw(missing, Fault::Missing));
    }
    for (missing, list) in [(1, as_path()), (2, origin())] {
        let message = message(&[], &[attribute(0x80, 14, REACH_V6), list].concat(), &[]);
        assert_eq!(consequence(&message, EXTERNAL), Withdraw(missing, Fault::Missing));
        assert_eq!(texts(decode(&message, EXTERNAL).unwrap().withdrawn_v6()), ["2001:db8::/32"]);
    }
    let without_next_hop = [attribute(0x80, 14, REACH_V6), origin(), as_path()].concat();
    assert_eq!(consequence(&message(&[], &without_next_hop, &[]), EXTERNAL), Used);
    assert_eq!(consequence(&message(&[8, 10], &[], &[]), EXTERNAL), Used, "a withdrawal needs none");
    assert_eq!(consequence(&message(&[], &origin(), &[]), EXTERNAL), Used, "nothing is announced");
}

/// RFC 4760 section 3: without an NLRI field NEXT_HOP has no meaning, whatever address it has.
#[test]
fn next_hop_beside_mp_reach_is_ignored() {
    let list = [attribute(0x80, 14, REACH_V6), origin(), as_path(), attribute(0x40, 3, &[0; 4])].concat();
    let message = message(&[], &list, &[]);
    assert_eq!(consequence(&message, EXTERNAL), Used);
    let next_hop = decode(&message, EXTERNAL).unwrap().attributes().map(Attributes::next_hop);
    assert_eq!(next_hop.map(|n| n.to_string()).as_deref(), Some("2001:db8::1"));
}

/// Section 3 g.
#[test]
fn of_an_attribute_that_appears_twice_the_first_counts() {
    let message_of = |list: &[Vec<u8>]| message(&[], &list.concat(), NET_10);
    let twice = message_of(&[origin(), as_path(), next_hop(), attribute(0x40, 1, &[2])]);
    assert_eq!(consequence(&twice, EXTERNAL), Discard(vec![(1, Fault::Duplicate)]));
    let kept = decode(&twice, EXTERNAL).unwrap().attributes().map(Attributes::origin);
    assert_eq!(kept, Some(Origin::Igp));

    let malformed_second = message_of(&[mandatory(), attribute(0x00, 1, &[9, 9])]);
    assert_eq!(consequence(&malformed_second, EXTERNAL), Discard(vec![(1, Fault::Duplicate)]));
    let malformed_first = message_of(&[attribute(0x40, 1, &[9]), mandatory()]);
    assert_eq!(consequence(&malformed_first, EXTERNAL), Withdraw(1, Fault::UndefinedOrigin));

    let unknown = [attribute(0xC0, 99, &[1]), attribute(0xC0, 99, &[2])].concat();
    let unknown = message_of(&[mandatory(), unknown]);
    assert_eq!(consequence(&unknown, EXTERNAL), Discard(vec![(99, Fault::Duplicate)]));
    let kept = decode(&unknown, EXTERNAL).unwrap().attributes().map(|a| a.unknown().to_vec());
    assert_eq!(kept, Some(vec![UnknownAttribute { code: 99, value: [1].into() }]));
}

/// Section 3 g: "Malformed Attribute List".
#[test]
fn a_multiprotocol_attribute_that_appears_twice_resets() {
    for (code, value) in [(14, REACH_V6), (15, UNREACH_V6)] {
        let twice = [attribute(0x80, code, value), attribute(0x80, code, value), mandatory()].concat();
        assert_eq!(consequence(&message(&[], &twice, &[]), EXTERNAL), Reset(1, vec![]));
    }
}

/// RFC 4271 section 6.3: the data is the attribute.
#[test]
fn an_unknown_well_known_attribute_resets() {
    for flags in [0x40, 0x00, 0x60, 0x50] {
        let unknown = attribute(flags, 99, &[1, 2]);
        assert_eq!(consequence(&announcing(std::slice::from_ref(&unknown)), EXTERNAL), Reset(2, unknown));
    }
}

/// Section 4: both cases, and the NLRI field is found by the Total Attribute Length.
#[test]
fn an_attribute_beyond_the_list_withdraws() {
    let overrun = [mandatory(), vec![0x80, 4, 5, 0, 0, 0, 1]].concat();
    assert_eq!(consequence(&message(&[], &overrun, NET_10), EXTERNAL), Withdraw(4, Fault::Overrun));
    for (rest, code) in
        [(&[0x80][..], 0), (&[0x80, 4], 4), (&[0x90, 4, 0], 4), (&[0x80, 99, 1], 99), (&[0x90, 99, 0, 1], 99)]
    {
        let list = [mandatory(), rest.to_vec()].concat();
        assert_eq!(
            consequence(&message(&[], &list, NET_10), EXTERNAL),
            Withdraw(code, Fault::Overrun),
            "{rest:?}"
        );
        let withdrawn = message(&[8, 11], &list, NET_10);
        let update = decode(&withdrawn, EXTERNAL).unwrap();
        assert_eq!(texts(update.withdrawn_v4()), ["11.0.0.0/8", "10.0.0.0/8"]);
    }
}

/// Section 3 j: prefixes that cannot be read cannot be withdrawn.
#[test]
fn a_multiprotocol_attribute_beyond_the_list_resets() {
    for code in [14, 15] {
        let cut = vec![0x80, code, 40, 0, 2, 1];
        let list = [mandatory(), cut.clone()].concat();
        assert_eq!(consequence(&message(&[], &list, NET_10), EXTERNAL), Reset(9, cut));
    }
}

/// RFC 4271 section 6.3: "Malformed Attribute List".
#[test]
fn fields_beyond_the_message_reset() {
    for body in [&[0, 9, 0, 0][..], &[0, 1, 0, 0], &[0, 0, 0, 1], &[0, 0, 0xFF, 0xFF], &[0xFF; 4]] {
        let mut out = Vec::new();
        let start = header::start(&mut out, message_type::UPDATE);
        out.extend_from_slice(body);
        header::finish(&mut out, start);
        assert_eq!(consequence(&out, EXTERNAL), Reset(1, vec![]), "{body:?}");
    }
}

/// Section 5.3 and RFC 4271 section 6.3: "Invalid Network Field", for both fields (section 3 i).
#[test]
fn prefixes_that_cannot_be_read_reset() {
    for list in [&[33, 1, 2, 3, 4, 5][..], &[24, 1, 2], &[8, 10, 16, 1]] {
        assert_eq!(consequence(&message(&[], &mandatory(), list), EXTERNAL), Reset(10, vec![]), "{list:?}");
        assert_eq!(consequence(&message(list, &[], &[]), EXTERNAL), Reset(10, vec![]), "{list:?}");
    }
}

/// Sections 5.3, 7.11 and 7.12; RFC 4760 section 7: "Optional Attribute Error".
#[test]
fn malformed_multiprotocol_attributes_reset() {
    let reach = |next_hop_len: u8, rest: &[u8]| [&[0, 2, 1, next_hop_len][..], rest].concat();
    let rows: Vec<(&str, u8, u8, Vec<u8>)> = vec![
        ("5.3 MP_REACH_NLRI: length below 5", 0x80, 14, vec![0, 2, 1, 0]),
        ("5.3 MP_REACH_NLRI: length 0", 0x80, 14, vec![]),
        ("5.3 MP_REACH_NLRI: well-known", 0x40, 14, REACH_V6.to_vec()),
        ("5.3 MP_REACH_NLRI: transitive", 0xC0, 14, REACH_V6.to_vec()),
        ("5.3 MP_UNREACH_NLRI: length below 3", 0x80, 15, vec![0, 2]),
        ("5.3 MP_UNREACH_NLRI: transitive", 0xC0, 15, UNREACH_V6.to_vec()),
        (
            "5.3 MP_REACH_NLRI: prefix too long",
            0x80,
            14,
            [reach(16, &[1; 16]), vec![0, 129], vec![0; 17]].concat(),
        ),
        ("5.3 MP_REACH_NLRI: prefix cut off", 0x80, 14, [reach(16, &[1; 16]), vec![0, 32, 1]].concat()),
        ("5.3 MP_UNREACH_NLRI: prefix too long", 0x80, 15, [vec![0, 2, 1, 129], vec![0; 17]].concat()),
        ("5.3 MP_UNREACH_NLRI: prefix cut off", 0x80, 15, vec![0, 2, 1, 32, 1]),
        ("5.3 MP_UNREACH_NLRI: IPv4 prefix too long", 0x80, 15, vec![0, 1, 1, 33, 1, 2, 3, 4, 5]),
        ("7.11 next hop of 4 octets for IPv6", 0x80, 14, reach(4, &[1, 1, 1, 1, 0])),
        ("7.11 next hop of 0 octets", 0x80, 14, reach(0, &[0])),
        ("7.11 next hop of 17 octets", 0x80, 14, reach(17, &[1; 18])),
        ("7.11 next hop of 24 octets (RFC 4659)", 0x80, 14, reach(24, &[1; 25])),
        ("7.11 next hop beyond the attribute", 0x80, 14, reach(32, &[1; 17])),
        ("7.11 no octet after the next hop", 0x80, 14, reach(16, &[1; 16])),
    ];
    for (rule, flags, code, value) in rows {
        let octets = attribute(flags, code, &value);
        let message = message(&[], &[octets.clone(), origin(), as_path()].concat(), &[]);
        assert_eq!(consequence(&message, EXTERNAL), Reset(9, octets), "{rule}");
    }
}

/// RFC 8950 section 4: only where it was negotiated.
#[test]
fn an_ipv6_next_hop_for_ipv4_needs_negotiation() {
    let value = [&[0, 1, 1, 16][..], &[0x20; 16], &[0, 8, 10]].concat();
    let octets = attribute(0x80, 14, &value);
    let message = message(&[], &[octets.clone(), origin(), as_path()].concat(), &[]);
    assert_eq!(consequence(&message, EXTERNAL), Used);
    let without = Session { extended_next_hop: false, ..EXTERNAL };
    assert_eq!(consequence(&message, without), Reset(9, octets));
}

#[test]
fn a_next_hop_of_mp_reach_that_is_no_host_withdraws() {
    for address in ["::", "::1", "ff02::1"] {
        let octets = address.parse::<std::net::Ipv6Addr>().unwrap().octets();
        let value = [&[0, 2, 1, 16][..], &octets, &[0, 16, 0x20, 1]].concat();
        let list = [attribute(0x80, 14, &value), origin(), as_path()].concat();
        assert_eq!(
            consequence(&message(&[], &list, &[]), EXTERNAL),
            Withdraw(14, Fault::NoHostAddress),
            "{address}"
        );
    }
}

/// Section 5.2: where nothing is announced, an error may have hidden what was.
#[test]
fn an_error_without_any_announced_prefix_resets() {
    let bad_origin = attribute(0x40, 1, &[7]);
    assert_eq!(consequence(&message(&[], &bad_origin, &[]), EXTERNAL), Reset(6, bad_origin.clone()));
    assert_eq!(consequence(&message(&[8, 10], &bad_origin, &[]), EXTERNAL), Reset(6, bad_origin.clone()));
    let with_unreach = [attribute(0x80, 15, UNREACH_V6), bad_origin.clone()].concat();
    assert_eq!(consequence(&message(&[], &with_unreach, &[]), EXTERNAL), Reset(6, bad_origin));

    let wrong_flags = attribute(0xC0, 4, &[0; 4]);
    assert_eq!(consequence(&message(&[], &wrong_flags, &[]), EXTERNAL), Reset(4, wrong_flags));
    let wrong_length = attribute(0x80, 4, &[0; 3]);
    assert_eq!(consequence(&message(&[], &wrong_length, &[]), EXTERNAL), Reset(5, wrong_length));
    let wrong_path = attribute(0x40, 2, &[9, 9]);
    assert_eq!(consequence(&message(&[], &wrong_path, &[]), EXTERNAL), Reset(11, wrong_path));
    let cut = [attribute(0x80, 15, UNREACH_V6), vec![0x80]].concat();
    assert_eq!(consequence(&message(&[], &cut, &[]), EXTERNAL), Reset(1, vec![0x80]));

    let discard_only = attribute(0xC0, 7, &[1]);
    let expected = Discard(vec![(7, Fault::Length)]);
    assert_eq!(consequence(&message(&[], &discard_only, &[]), EXTERNAL), expected);
}

/// Section 3 h: the strongest action counts, wherever in the message it is asked for.
#[test]
fn the_strongest_consequence_counts() {
    let (discard, withdraw, reset) =
        (attribute(0xC0, 7, &[1]), attribute(0x80, 4, &[1]), attribute(0x40, 99, &[]));
    for list in [
        [discard.clone(), withdraw.clone(), reset.clone()],
        [reset.clone(), withdraw.clone(), discard.clone()],
        [withdraw.clone(), reset.clone(), discard.clone()],
    ] {
        assert_eq!(consequence(&announcing(&list), EXTERNAL), Reset(2, reset.clone()));
    }
    for list in [[discard.clone(), withdraw.clone()], [withdraw, discard]] {
        assert_eq!(consequence(&announcing(&list), EXTERNAL), Withdraw(4, Fault::Length));
    }
}

/// The two ways to announce share the fate of their message.
#[test]
fn treat_as_withdraw_concerns_every_family_of_the_message() {
    let list = [attribute(0x80, 14, REACH_V6), mandatory(), attribute(0x80, 4, &[1])].concat();
    let message = message(&[8, 11], &list, NET_10);
    let update = decode(&message, EXTERNAL).unwrap();
    assert_eq!(texts(update.withdrawn_v4()), ["11.0.0.0/8", "10.0.0.0/8"]);
    assert_eq!(texts(update.withdrawn_v6()), ["2001:db8::/32"]);
    let words = "MULTI_EXIT_DISC: length conflicts with the attribute type; routes taken as withdrawn";
    assert_eq!(update.treat_as_withdraw().map(|e| e.to_string()).as_deref(), Some(words));
}

#[test]
fn more_discarded_attributes_than_a_log_line_takes_are_counted() {
    let many = vec![attribute(0xC0, 99, &[1]); 12];
    let message = announcing(&many);
    let update = decode(&message, EXTERNAL).unwrap();
    assert_eq!((update.discarded().count(), update.discarded().first().len()), (11, 7));
}
