//! What is fuzzed, without the fuzzer: one function per target, each from octets to a panic or none. `bgp/tests/fuzz.rs`
//! runs the same functions for a moment in every test run.

mod invariants;
mod seeds;

use petiole_bgp::wire::{FamilySet, Message, Notification, Session, frame};

pub use seeds::seeds;

/// Takes octets and panics, or not.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 5] = [
    ("message", message),
    ("open", open),
    ("notification", notification),
    ("route_refresh", route_refresh),
    ("update", update),
];

/// A session out of the bits of an octet: every variant.
fn session(bits: u8) -> Session {
    let bit = |n: u32| bits & 1 << n != 0;
    Session {
        four_octet_as: bit(0),
        extended_message: bit(1),
        external: bit(2),
        families: FamilySet { ipv4: !bit(3), ipv6: !bit(4) },
        extended_next_hop: bit(5),
    }
}

/// `body` behind a header that fits it. None where no header does.
fn with_header(kind: u8, body: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(19 + body.len()).ok()?;
    let mut message = vec![0xFF; 16];
    message.extend_from_slice(&len.to_be_bytes());
    message.push(kind);
    message.extend_from_slice(body);
    Some(message)
}

/// A stream of messages, as it comes from a socket. The first octet chooses the session.
pub fn message(data: &[u8]) {
    let Some((bits, mut stream)) = data.split_first() else { return };
    let session = session(*bits);
    loop {
        match frame(stream, session.max_message_len()) {
            Ok(Some(len)) => {
                assert!((19..=stream.len()).contains(&len));
                let (message, rest) = stream.split_at(len);
                match Message::decode(message, &session) {
                    Ok(Message::Update(update)) => invariants::update(&update, session),
                    Ok(_) => {}
                    Err(error) => invariants::can_be_sent(&error),
                }
                stream = rest;
            }
            Ok(None) => return,
            Err(error) => return invariants::can_be_sent(&error),
        }
    }
}

/// The body of an OPEN.
pub fn open(data: &[u8]) {
    let Some(message) = with_header(1, data) else { return };
    match Message::decode(&message, &Session::before_open()) {
        Ok(Message::Open(open)) => invariants::open(&open),
        Ok(other) => panic!("{other:?}"),
        Err(error) => invariants::can_be_sent(&error),
    }
}

/// The body of a NOTIFICATION.
pub fn notification(data: &[u8]) {
    let Some(message) = with_header(3, data) else { return };
    match Message::decode(&message, &session(2)) {
        Ok(Message::Notification(notification)) => {
            invariants::can_be_sent(&notification);
            if let Some(text) = notification.communication() {
                assert!(!text.chars().any(char::is_control));
            }
            let hard = notification.clone().into_hard_reset();
            assert_eq!(hard.hard_reset_reason().as_ref(), Some(&notification));
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => invariants::can_be_sent(&error),
    }
    if let Ok(text) = str::from_utf8(data) {
        let sent = Notification::administrative_shutdown(text);
        invariants::can_be_sent(&sent);
        assert_eq!(sent.communication().is_none(), text.is_empty());
    }
}

/// The body of a ROUTE-REFRESH.
pub fn route_refresh(data: &[u8]) {
    let Some(message) = with_header(5, data) else { return };
    match Message::decode(&message, &session(2)) {
        Ok(Message::RouteRefresh(refresh)) => {
            let mut again = Vec::new();
            refresh.encode(&mut again);
            assert_eq!(again, message);
        }
        Ok(Message::UnknownRouteRefresh(_)) => {}
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_ne!(data.len(), 4);
            invariants::can_be_sent(&error);
        }
    }
}

/// The body of an UPDATE. The first octet chooses the session.
pub fn update(data: &[u8]) {
    let Some((bits, body)) = data.split_first() else { return };
    let session = session(*bits);
    let Some(message) = with_header(2, body) else { return };
    match Message::decode(&message, &session) {
        Ok(Message::Update(update)) => invariants::update(&update, session),
        Ok(other) => panic!("{other:?}"),
        Err(error) => invariants::can_be_sent(&error),
    }
}
