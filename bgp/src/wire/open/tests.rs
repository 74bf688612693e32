use super::*;
use crate::wire::header::MAX_MESSAGE_LEN;
use crate::wire::{Message, Session};

fn open(capabilities: Vec<Capability>) -> Open {
    Open { asn: 65002, hold_time: 9, router_id: Ipv4Addr::new(50, 1, 1, 1), capabilities }
}

fn encoded(open: &Open) -> Vec<u8> {
    let mut out = Vec::new();
    open.encode(&mut out);
    out
}

fn decode(message: &[u8]) -> Result<Open, Notification> {
    match Message::decode(message, &Session::before_open())? {
        Message::Open(open) => Ok(open),
        other => panic!("{other:?}"),
    }
}

/// An OPEN of these fields, with `parameters` (their length included) as they are.
fn raw(version: u8, my_as: u16, hold_time: u16, id: u32, parameters: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let start = header::start(&mut out, message_type::OPEN);
    out.push(version);
    out.extend_from_slice(&my_as.to_be_bytes());
    out.extend_from_slice(&hold_time.to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(parameters);
    header::finish(&mut out, start);
    out
}

fn with_parameters(parameters: &[u8]) -> Result<Open, Notification> {
    decode(&raw(4, 65002, 9, 1, parameters))
}

fn all_capabilities() -> Vec<Capability> {
    vec![
        Capability::Multiprotocol(Family::Ipv4),
        Capability::Multiprotocol(Family::Ipv6),
        Capability::RouteRefresh,
        Capability::ExtendedNextHop(vec![Family::Ipv4]),
        Capability::ExtendedMessage,
        Capability::GracefulRestart(GracefulRestart {
            restarting: true,
            notification: true,
            restart_time: 120,
            families: vec![(Family::Ipv4, true), (Family::Ipv6, false)],
        }),
        Capability::FourOctetAs(4_200_000_000),
        Capability::EnhancedRouteRefresh,
        Capability::Fqdn { host: "host1".into(), domain: "example.net".into() },
        Capability::Unknown { code: 1, value: vec![0, 25, 0, 70] },
        Capability::Unknown { code: 200, value: vec![1, 2, 3] },
    ]
}

#[test]
fn every_capability_comes_back_as_it_was_sent() {
    let mut sent = open(all_capabilities());
    sent.asn = 4_200_000_000;
    assert_eq!(decode(&encoded(&sent)), Ok(sent));
    assert_eq!(decode(&encoded(&open(vec![]))), Ok(open(vec![])));
}

/// RFC 6793 section 4.1: AS_TRANS in the field of two octets.
#[test]
fn an_as_number_of_four_octets_comes_from_the_capability() {
    let mut sent = open(vec![Capability::FourOctetAs(4_200_000_000)]);
    sent.asn = 4_200_000_000;
    let message = encoded(&sent);
    assert_eq!(message[20..22], AS_TRANS.to_be_bytes());
    assert_eq!(decode(&message).map(|open| open.asn), Ok(4_200_000_000));
}

/// RFC 4271 section 6.2, RFC 6286, RFC 7607.
#[test]
fn an_open_that_is_wrong_in_itself_is_refused_with_its_subcode() {
    let as_0: &[u8] = &[8, 2, 6, 65, 4, 0, 0, 0, 0];
    for (message, subcode, data) in [
        (raw(3, 65002, 9, 1, &[0]), 1, &[0, 4][..]),
        (raw(5, 65002, 9, 1, &[0]), 1, &[0, 4]),
        (raw(4, 0, 9, 1, &[0]), 2, &[]),
        (raw(4, 65002, 9, 1, as_0), 2, &[]),
        (raw(4, 65002, 9, 0, &[0]), 3, &[]),
        (raw(4, 65002, 1, 1, &[0]), 6, &[]),
        (raw(4, 65002, 2, 1, &[0]), 6, &[]),
        // Authentication, deprecated by RFC 4271 appendix A.
        (raw(4, 65002, 9, 1, &[3, 1, 1, 0]), 4, &[]),
    ] {
        assert_eq!(decode(&message), Err(Notification::open(subcode, data)), "{message:?}");
    }
    for hold_time in [0, 3, 65535] {
        assert!(decode(&raw(4, 65002, hold_time, 1, &[0])).is_ok());
    }
}

/// RFC 4271 section 6.2: recognised but malformed is "unspecific".
#[test]
fn malformed_parameters_and_capabilities_are_refused() {
    let malformed = Err(Notification::open(open_error::UNSPECIFIC, &[]));
    for parameters in [
        &[1][..],                     // a length, and nothing there
        &[0, 1],                      // more there than the length says
        &[5, 2, 2, 1, 4],             // the message is one octet short
        &[3, 2, 2, 1],                // parameter cut off
        &[1, 2],                      // no parameter length
        &[4, 2, 2, 1, 4],             // capability cut off
        &[3, 2, 1, 1],                // no capability length
        &[7, 2, 5, 1, 3, 0, 1, 0],    // multiprotocol of 3 octets
        &[5, 2, 3, 2, 1, 0],          // route refresh with a value
        &[5, 2, 3, 6, 1, 0],          // extended message with a value
        &[5, 2, 3, 70, 1, 0],         // enhanced route refresh with a value
        &[7, 2, 5, 65, 3, 0, 0, 1],   // AS number of 3 octets
        &[7, 2, 5, 5, 3, 0, 1, 0],    // extended next hop of half an entry
        &[7, 2, 5, 64, 3, 0, 120, 0], // graceful restart of half an entry
        &[5, 2, 3, 64, 1, 0],         // graceful restart without time
    ] {
        assert_eq!(with_parameters(parameters), malformed, "{parameters:?}");
    }
}

#[test]
fn a_name_that_is_malformed_is_no_reason_to_refuse_a_peer() {
    let unknown = Capability::Unknown { code: 73, value: vec![9, b'a'] };
    assert_eq!(with_parameters(&[6, 2, 4, 73, 2, 9, b'a']).map(|o| o.capabilities), Ok(vec![unknown]));
    let strange = Capability::Fqdn { host: "a\u{FFFD}".into(), domain: String::new() };
    assert_eq!(with_parameters(&[8, 2, 6, 73, 4, 2, b'a', 7, 0]).map(|o| o.capabilities), Ok(vec![strange]));
}

/// RFC 5492 section 4: several parameters, several capabilities in one, and one capability several times.
#[test]
fn capabilities_may_be_spread_and_repeated() {
    let spread = [18, 2, 2, 2, 0, 2, 12, 1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1];
    let open = with_parameters(&spread).unwrap();
    assert!(open.has_route_refresh());
    assert_eq!(open.families(), FamilySet::ALL);
    let repeated = [14, 2, 12, 64, 2, 0, 10, 64, 2, 0, 20, 2, 0, 2, 0];
    let open = with_parameters(&repeated).unwrap();
    assert_eq!(open.graceful_restart().map(|gr| gr.restart_time), Some(20), "RFC 4724: the last one counts");
    assert!(open.has_route_refresh());
}

#[test]
fn an_empty_capabilities_parameter_says_nothing() {
    assert_eq!(with_parameters(&[2, 2, 0]).map(|open| open.capabilities), Ok(vec![]));
}

/// RFC 9072 section 2.
#[test]
fn extended_optional_parameters_are_read() {
    let capability = [2, 0];
    for first_len in [255, 1, 77] {
        let mut parameters = vec![first_len, 255, 0, 5, 2, 0, 2];
        parameters.extend_from_slice(&capability);
        let open = with_parameters(&parameters).unwrap();
        assert_eq!(open.capabilities, [Capability::RouteRefresh], "length octet {first_len}");
    }
    for broken in [&[255, 255, 0][..], &[255, 255, 0, 6, 2, 0, 2, 2, 0], &[255, 255, 0, 5, 2, 0, 3, 2, 0]] {
        assert_eq!(with_parameters(broken), Err(Notification::open(0, &[])), "{broken:?}");
    }
    let empty = with_parameters(&[255, 255, 0, 0]);
    assert_eq!(empty.map(|open| open.capabilities), Ok(vec![]));
}

#[test]
fn extended_optional_parameters_are_written_only_when_needed() {
    let filler = |len: usize| Capability::Unknown { code: 200, value: vec![7; len] };
    let plain = open(vec![filler(251)]);
    assert_eq!(encoded(&plain)[28..30], [255, 2]);
    assert_eq!(decode(&encoded(&plain)), Ok(plain));
    let extended = open(vec![filler(251), Capability::RouteRefresh]);
    assert_eq!(encoded(&extended)[28..32], [255, 255, 1, 2]);
    assert_eq!(decode(&encoded(&extended)), Ok(extended));
}

#[test]
fn capabilities_beyond_the_message_are_left_out() {
    let many = open(vec![Capability::Unknown { code: 200, value: vec![7; 253] }; 20]);
    let message = encoded(&many);
    assert!(message.len() <= MAX_MESSAGE_LEN);
    assert_eq!(decode(&message).map(|open| open.capabilities.len()), Ok(15));
}

/// RFC 4760 section 8 and common practice.
#[test]
fn without_any_family_a_speaker_carries_ipv4() {
    assert_eq!(open(vec![]).families(), FamilySet { ipv4: true, ipv6: false });
    let v6_only = open(vec![Capability::Multiprotocol(Family::Ipv6)]);
    assert_eq!(v6_only.families(), FamilySet { ipv4: false, ipv6: true });
    let evpn_only = open(vec![Capability::Unknown { code: 1, value: vec![0, 25, 0, 70] }]);
    assert_eq!(evpn_only.families(), FamilySet::NONE);
}

#[test]
fn a_session_is_what_both_sides_announce() {
    let full = open(all_capabilities());
    let same = Session::negotiate(&full, &full);
    assert_eq!(same.families, FamilySet::ALL);
    assert!(same.four_octet_as && same.extended_message && same.extended_next_hop && !same.external);
    assert_eq!(same.max_message_len(), 65535);

    let mut bare = open(vec![]);
    bare.asn = 500;
    for session in [Session::negotiate(&full, &bare), Session::negotiate(&bare, &full)] {
        assert!(session.external);
        assert!(!session.four_octet_as && !session.extended_message && !session.extended_next_hop);
        assert_eq!(session.families, FamilySet { ipv4: true, ipv6: false });
        assert_eq!(session.max_message_len(), 4096);
    }
}

#[test]
fn families_that_we_do_not_carry_are_no_error() {
    let restart = [10, 2, 8, 64, 6, 0x40, 120, 0, 25, 70, 0x80];
    let open = with_parameters(&restart).unwrap();
    let expected = GracefulRestart { notification: true, restart_time: 120, ..GracefulRestart::default() };
    assert_eq!(open.graceful_restart(), Some(&expected));
    let vpn_next_hop = [10, 2, 8, 5, 6, 0, 1, 0, 128, 0, 2];
    assert!(!with_parameters(&vpn_next_hop).unwrap().has_extended_next_hop(Family::Ipv4));
}
