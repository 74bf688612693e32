use super::*;
use crate::wire::{Message, Session};

fn message(len: u16, kind: u8) -> Vec<u8> {
    let mut message = vec![0xFF; 16];
    message.extend_from_slice(&len.to_be_bytes());
    message.push(kind);
    message.resize(usize::from(len).max(HEADER_LEN), 0);
    message
}

fn error(code: u8, subcode: u8, data: &[u8]) -> Result<Option<usize>, Notification> {
    Err(Notification::new(code, subcode, data))
}

#[test]
fn a_message_is_found_once_all_of_it_is_there() {
    let mut buf = message(23, message_type::UPDATE);
    buf.extend_from_slice(&message(19, message_type::KEEPALIVE));
    for len in 0..23 {
        assert_eq!(frame(&buf[..len], MAX_MESSAGE_LEN), Ok(None), "{len} octets");
    }
    for len in 23..=buf.len() {
        assert_eq!(frame(&buf[..len], MAX_MESSAGE_LEN), Ok(Some(23)), "{len} octets");
    }
}

#[test]
fn a_wrong_marker_shows_in_the_first_wrong_octet() {
    let mut buf = message(19, message_type::KEEPALIVE);
    buf[9] = 0;
    assert_eq!(frame(&buf[..9], MAX_MESSAGE_LEN), Ok(None));
    for len in 10..=buf.len() {
        assert_eq!(frame(&buf[..len], MAX_MESSAGE_LEN), error(1, 1, &[]));
    }
    assert_eq!(frame(b"GET / HTTP/1.1", MAX_MESSAGE_LEN), error(1, 1, &[]));
}

/// RFC 4271 section 6.1: the data is the erroneous length.
#[test]
fn every_type_has_its_lengths() {
    use message_type::*;
    for (kind, len, max_len) in [
        (OPEN, 28, 4096),
        (OPEN, 4097, 65535),
        (UPDATE, 22, 4096),
        (UPDATE, 4097, 4096),
        (NOTIFICATION, 20, 4096),
        (NOTIFICATION, 4097, 4096),
        (KEEPALIVE, 18, 4096),
        (KEEPALIVE, 20, 65535),
        (ROUTE_REFRESH, 18, 4096),
        (0, 18, 4096),
        (77, 4097, 4096),
    ] {
        let expected = error(1, 2, &u16::to_be_bytes(len));
        assert_eq!(frame(&message(len, kind), max_len), expected, "type {kind}, {len} octets");
    }
    for (kind, len, max_len) in [
        (OPEN, 29, 4096),
        (OPEN, 4096, 65535),
        (UPDATE, 23, 4096),
        (UPDATE, 4096, 4096),
        (UPDATE, 65535, 65535),
        (NOTIFICATION, 21, 4096),
        (KEEPALIVE, 19, 4096),
        (ROUTE_REFRESH, 23, 4096),
    ] {
        assert_eq!(frame(&message(len, kind), max_len), Ok(Some(len.into())), "type {kind}, {len} octets");
    }
}

#[test]
fn an_undefined_type_is_named_in_the_data() {
    assert_eq!(frame(&message(19, 0), MAX_MESSAGE_LEN), error(1, 3, &[0]));
    assert_eq!(frame(&message(19, 6), MAX_MESSAGE_LEN), error(1, 3, &[6]));
}

/// RFC 7313 section 5: the data is the complete message, so the error waits for all of it.
#[test]
fn a_route_refresh_of_wrong_length_has_an_error_code_of_its_own() {
    for len in [19, 22, 24, 100] {
        let buf = message(len, message_type::ROUTE_REFRESH);
        assert_eq!(frame(&buf, MAX_MESSAGE_LEN), error(7, 1, &buf), "{len} octets");
        if len > 19 {
            assert_eq!(frame(&buf[..buf.len() - 1], MAX_MESSAGE_LEN), Ok(None));
        }
    }
}

#[test]
fn a_keepalive_is_a_header() {
    let mut out = vec![1, 2, 3];
    encode_keepalive(&mut out);
    assert_eq!(&out[..3], [1, 2, 3], "writers only append");
    assert_eq!(out[3..], message(19, message_type::KEEPALIVE));
    assert!(matches!(Message::decode(&out[3..], &Session::before_open()), Ok(Message::Keepalive)));
}

#[test]
fn a_frame_that_was_cut_wrongly_is_refused() {
    let buf = message(23, message_type::UPDATE);
    for len in 0..23 {
        assert!(Message::decode(&buf[..len], &Session::before_open()).is_err(), "{len} octets");
    }
    let mut long = buf;
    long.push(0);
    assert!(Message::decode(&long, &Session::before_open()).is_err());
}
