//! One speaker against a peer whose octets are made by hand: what no well-behaved speaker would send.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use petiole_bgp::{
    policy::Policy,
    speaker::{Action, Cause, Config, Impact, PeerConfig, PeerEventKind, PeerId, Reset, Speaker, State},
    wire::{self, Capability, Family, Notification, Open, RouteRefreshKind},
};

use crate::{
    hand::{HandMade, Said, capabilities, update},
    net::{address, config, origination, peer, prefix},
};

#[test]
fn messages_may_arrive_octet_by_octet() {
    let mut hand = HandMade::connected(|_| {});
    let mut octets = BytesMut::new();
    Open { asn: 65002, hold_time: 90, router_id: Ipv4Addr::new(10, 0, 0, 2), capabilities: capabilities() }
        .encode(&mut octets);
    wire::encode_keepalive(&mut octets);
    octets.extend_from_slice(&update(&[1, 2, 3]));
    let mut buf = BytesMut::new();
    for octet in octets {
        buf.extend_from_slice(&[octet]);
        assert!(!hand.speaker.receive(hand.conn, &mut buf, hand.now));
        hand.settle();
    }
    assert!(buf.is_empty());
    assert_eq!((hand.state(), hand.received()), (State::Established, 3));
}

#[test]
fn messages_out_of_turn_are_answered_with_the_state_they_came_in() {
    let mut hand = HandMade::connected(|_| {});
    hand.say(wire::encode_keepalive);
    assert_eq!(hand.said().pop(), Some(Said::Notification(Notification::fsm(1, 4))), "OpenSent, KEEPALIVE");

    let mut hand = HandMade::connected(|_| {});
    hand.say_open(capabilities());
    hand.announce(&[1]);
    assert_eq!(hand.said().pop(), Some(Said::Notification(Notification::fsm(2, 2))), "OpenConfirm, UPDATE");

    let mut hand = HandMade::established(capabilities());
    hand.say_open(capabilities());
    assert_eq!(hand.said().pop(), Some(Said::Notification(Notification::fsm(3, 1))), "Established, OPEN");
}

#[test]
fn garbage_ends_the_session_and_is_not_read_any_further() {
    let mut hand = HandMade::established(capabilities());
    hand.hear(&[0; 200]);
    assert!(hand.closed);
    assert_eq!(hand.said(), [Said::Notification(Notification::new(1, 1, &[]))]);
    assert!(matches!(hand.log.last(), Some(PeerEventKind::Down(Cause::Sent(_)))));
}

#[test]
fn a_bad_attribute_costs_the_route_and_is_reported_once_a_second_but_the_session_stays() {
    let mut hand = HandMade::established(capabilities());
    hand.announce(&[1, 2]);
    assert_eq!(hand.received(), 2);
    let mut bad = update(&[1]);
    let origin = bad.windows(3).position(|octets| octets == [0x40, 1, 1]).unwrap();
    bad[origin + 3] = 9;
    for _ in 0..3 {
        hand.hear(&bad);
    }
    assert_eq!((hand.state(), hand.received()), (State::Established, 1), "RFC 7606: treat-as-withdraw");
    let reports = |hand: &HandMade| {
        let report = |kind: &PeerEventKind| match kind {
            PeerEventKind::UpdateError { text, suppressed } => Some((text.clone(), *suppressed)),
            _ => None,
        };
        hand.log.iter().filter_map(report).collect::<Vec<_>>()
    };
    assert_eq!(reports(&hand).len(), 1);
    assert!(reports(&hand)[0].0.contains("ORIGIN"), "{:?}", reports(&hand));
    hand.advance(Duration::from_secs(1));
    hand.hear(&bad);
    assert_eq!(reports(&hand)[1].1, 2, "two were not reported");
    assert_eq!(hand.speaker.peer(PeerId(0)).unwrap().update_errors, 4);
}

#[test]
fn a_refresh_between_its_marks_sweeps_what_was_not_repeated() {
    let mut hand = HandMade::established(capabilities());
    hand.announce(&[1, 2, 3]);
    hand.refresh(RouteRefreshKind::End);
    assert_eq!(hand.received(), 3, "an end without a beginning means nothing");
    hand.refresh(RouteRefreshKind::Begin);
    hand.announce(&[2]);
    assert_eq!(hand.received(), 3, "not before the end");
    hand.refresh(RouteRefreshKind::End);
    assert_eq!(hand.received(), 1);
}

#[test]
fn a_refresh_that_does_not_end_is_ended_after_ten_minutes() {
    let mut hand = HandMade::established(capabilities());
    hand.announce(&[1, 2, 3]);
    hand.refresh(RouteRefreshKind::Begin);
    hand.announce(&[2]);
    for _ in 0..601 {
        hand.advance(Duration::from_secs(1));
        hand.say(wire::encode_keepalive);
    }
    assert_eq!((hand.state(), hand.received()), (State::Established, 1));
}

#[test]
fn who_cannot_refresh_gets_a_new_session_instead() {
    let mut hand = HandMade::established(vec![Capability::Multiprotocol(Family::Ipv4)]);
    let mut peer = PeerConfig { passive: true, hold_time: 90, ..peer(1) };
    peer.import = Arc::new(Policy::none());
    let changed = Config { peers: vec![peer], ..config(0) };
    assert_eq!(hand.speaker.plan(&changed), [("node1".to_owned(), Impact::Session)]);
    hand.speaker.reset(PeerId(0), Reset::SoftIn, hand.now);
    hand.settle();
    assert!(hand.closed);
}

#[test]
fn a_refresh_is_answered_between_marks_for_those_who_know_them_and_plainly_for_the_rest() {
    for enhanced in [true, false] {
        let mut capabilities = capabilities();
        if !enhanced {
            capabilities.retain(|capability| *capability != Capability::EnhancedRouteRefresh);
        }
        let mut hand = HandMade::established(capabilities);
        hand.speaker.originate(prefix(1), &origination());
        hand.settle();
        hand.sent.clear();
        hand.refresh(RouteRefreshKind::Request);
        let said = hand.said();
        if enhanced {
            use RouteRefreshKind::{Begin, End};
            assert_eq!(said, [Said::Refresh(Begin), Said::Update, Said::Refresh(End)]);
        } else {
            assert_eq!(said, [Said::Update]);
        }
    }
}

#[test]
fn a_socket_that_takes_nothing_ends_the_session_although_the_peer_talks() {
    let mut hand = HandMade::established(capabilities());
    // From now on nobody transmits.
    let end = hand.now + Duration::from_secs(481);
    let mut closed = None;
    while hand.now < end && closed.is_none() {
        hand.now += Duration::from_secs(1);
        let mut keepalive = BytesMut::new();
        wire::encode_keepalive(&mut keepalive);
        hand.speaker.receive(hand.conn, &mut keepalive, hand.now);
        hand.speaker.handle_timeout(hand.now);
        closed = std::iter::from_fn(|| hand.speaker.poll_action()).find_map(|action| match action {
            Action::Close { farewell, .. } => Some(farewell),
            _ => None,
        });
    }
    let farewell = closed.expect("RFC 9687");
    assert_eq!(farewell.last_chunk(), Some(&[8, 0]), "Send Hold Timer Expired, the last of the message");
}

#[test]
fn a_reset_while_two_connections_are_undecided_closes_both() {
    let now = Instant::now();
    let peers = vec![peer(1)];
    let mut speaker = Speaker::new(Config { peers, ..config(0) }, 1, now);
    let Some(Action::Connect { conn: ours, .. }) = speaker.poll_action() else { panic!("it dials") };
    let (local, remote) = (SocketAddr::new(address(0), 179), SocketAddr::new(address(1), 4000));
    speaker.connected(ours, local, remote, now);
    let theirs = speaker.accept(local, remote, now).unwrap();
    speaker.reset(PeerId(0), Reset::Hard("maintenance".into()), now);
    let closed: Vec<_> = std::iter::from_fn(|| speaker.poll_action())
        .filter_map(|action| match action {
            Action::Close { conn, farewell } => Some((conn, farewell.is_empty())),
            _ => None,
        })
        .collect();
    assert_eq!(closed, [(ours, false), (theirs, false)]);
}
