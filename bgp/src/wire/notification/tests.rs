use super::*;
use crate::wire::{Message, Session};

fn sent_and_received(notification: &Notification) -> Notification {
    let mut out = Vec::new();
    notification.encode(&mut out);
    match Message::decode(&out, &Session::before_open()) {
        Ok(Message::Notification(received)) => received,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_sent_is_received() {
    for notification in [
        Notification::hold_timer_expired(),
        Notification::cease(cease::CONNECTION_COLLISION),
        Notification::administrative_shutdown("maintenance"),
        Notification::maximum_prefixes(Family::Ipv6, 1000),
        Notification::fsm(fsm_error::UNEXPECTED_IN_OPEN_SENT, message_type::UPDATE),
        Notification::update(update_error::ATTRIBUTE_LENGTH, &[0x40, 1, 2, 0, 0]),
        Notification::new(99, 1, &[1, 2, 3]),
    ] {
        assert_eq!(sent_and_received(&notification), notification);
    }
}

#[test]
fn it_speaks_to_operators() {
    let shutdown = Notification::administrative_shutdown("maintenance");
    let hard = Notification::cease(cease::PEER_DECONFIGURED).into_hard_reset();
    for (notification, words) in [
        (shutdown.clone(), "Cease/Administrative Shutdown: \"maintenance\""),
        (Notification::cease(cease::ADMINISTRATIVE_SHUTDOWN), "Cease/Administrative Shutdown"),
        (Notification::administrative_reset("bye"), "Cease/Administrative Reset: \"bye\""),
        (Notification::hold_timer_expired(), "Hold Timer Expired"),
        (
            Notification::maximum_prefixes(Family::Ipv4, 100),
            "Cease/Maximum Number of Prefixes Reached (ipv4, limit 100)",
        ),
        (hard, "Cease/Hard Reset (Cease/Peer De-configured)"),
        (shutdown.into_hard_reset(), "Cease/Hard Reset (Cease/Administrative Shutdown: \"maintenance\")"),
        (Notification::cease(77), "Cease/77"),
        (Notification::new(99, 1, &[]), "code 99/1"),
        (Notification::new(5, 3, &[2]), "Finite State Machine Error/Unexpected Message in Established"),
        (Notification::new(1, 2, &[0x10, 0x01]), "Message Header Error/Bad Message Length (4097)"),
        (Notification::open(1, &[0, 4]), "OPEN Message Error/Unsupported Version Number (speaks 4)"),
        (Notification::update(3, &[2]), "UPDATE Message Error/Missing Well-known Attribute (AS_PATH)"),
        (
            Notification::update(5, &[0x40, 1, 2, 0, 0]),
            "UPDATE Message Error/Attribute Length Error (ORIGIN)",
        ),
    ] {
        assert_eq!(notification.to_string(), words);
    }
}

/// RFC 9003 section 2: up to 255 octets of UTF-8, never half a character.
#[test]
fn a_shutdown_communication_is_cut_between_characters() {
    let notification = Notification::administrative_shutdown(&"é".repeat(200));
    assert_eq!(notification.data[0], 254);
    assert_eq!(notification.communication(), Some("é".repeat(127)));
    assert_eq!(Notification::administrative_shutdown("").data, []);
}

#[test]
fn a_shutdown_communication_cannot_play_with_the_terminal() {
    let from_peer = |text: &[u8]| {
        let mut data = vec![text.len() as u8];
        data.extend_from_slice(text);
        Notification::new(error_code::CEASE, cease::ADMINISTRATIVE_RESET, &data).communication()
    };
    assert_eq!(from_peer(b"a\x1b[31mb\nc").as_deref(), Some("a\u{FFFD}[31mb\u{FFFD}c"));
    assert_eq!(from_peer(b"bad \xFF utf8").as_deref(), Some("bad \u{FFFD} utf8"));
    assert_eq!(from_peer("\u{202E}txt".as_bytes()).as_deref(), Some("\u{FFFD}txt"));
    assert_eq!(from_peer(b""), None);
}

#[test]
fn a_shutdown_communication_needs_the_octets_it_claims() {
    let with = |subcode, data: &[u8]| Notification::new(error_code::CEASE, subcode, data).communication();
    assert_eq!(with(2, &[5, b'a']), None);
    assert_eq!(with(2, &[]), None);
    assert_eq!(with(2, &[1, b'a', b'b']).as_deref(), Some("a"));
    assert_eq!(with(cease::CONNECTION_REJECTED, &[1, b'a']), None);
}

/// RFC 8538 section 3.1.
#[test]
fn a_hard_reset_carries_its_reason() {
    let reason = Notification::administrative_shutdown("bye");
    let hard = sent_and_received(&reason.clone().into_hard_reset());
    assert_eq!((hard.code, hard.subcode), (error_code::CEASE, cease::HARD_RESET));
    assert_eq!(hard.hard_reset_reason(), Some(reason));
    assert_eq!(Notification::cease(cease::HARD_RESET).hard_reset_reason(), None);
}

#[test]
fn data_that_fits_no_message_is_cut() {
    let mut out = Vec::new();
    Notification::update(1, &vec![7; 60_000]).encode(&mut out);
    assert_eq!(out.len(), MAX_MESSAGE_LEN);
    assert_eq!(header::frame(&out, MAX_MESSAGE_LEN), Ok(Some(MAX_MESSAGE_LEN)));
}
