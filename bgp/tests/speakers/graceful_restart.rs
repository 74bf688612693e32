//! A peer that restarts gracefully (RFC 4724): its routes stay in use until it is back and has repeated them.

use std::time::Duration;

use petiole_bgp::{
    speaker::{Cause, PeerEventKind, State},
    wire::{self, Capability, Family, GracefulRestart, Notification, RouteRefreshKind},
};

use crate::hand::{HandMade, capabilities, end_of_rib};

/// The capabilities of a peer that keeps forwarding IPv4, or has not.
fn restarting(restarting: bool, preserved: bool) -> Vec<Capability> {
    let families = vec![(Family::Ipv4, preserved)];
    let restart = GracefulRestart { restarting, notification: false, restart_time: 120, families };
    [capabilities(), vec![Capability::GracefulRestart(restart)]].concat()
}

fn established() -> HandMade {
    let mut hand = HandMade::established(restarting(false, true));
    hand.announce(&[1, 2, 3]);
    hand.say(|buf| buf.extend_from_slice(&end_of_rib()));
    assert_eq!(hand.fib.len(), 3);
    hand
}

#[test]
fn routes_outlive_the_connection_and_what_is_not_repeated_goes_with_the_end_of_rib() {
    let mut hand = established();
    hand.lose_connection();
    hand.advance(Duration::from_secs(59));
    assert_eq!(hand.fib.len(), 3);

    hand.connect_again(restarting(true, true));
    assert_eq!((hand.state(), hand.fib.len()), (State::Established, 3));
    hand.announce(&[1, 2]);
    hand.refresh(RouteRefreshKind::Begin);
    hand.refresh(RouteRefreshKind::End);
    assert_eq!(hand.fib.len(), 3, "marks of a refresh mean nothing before the End-of-RIB");
    hand.say(|buf| buf.extend_from_slice(&end_of_rib()));
    assert_eq!(hand.fib.len(), 2);
    hand.advance(Duration::from_secs(80));
    assert_eq!(hand.fib.len(), 2, "the restart time is over long since");
}

#[test]
fn who_does_not_come_back_in_time_loses_its_routes() {
    let mut hand = established();
    hand.lose_connection();
    hand.advance(Duration::from_secs(119));
    assert_eq!(hand.fib.len(), 3);
    hand.advance(Duration::from_secs(1));
    assert!(hand.fib.is_empty());
}

#[test]
fn who_comes_back_without_its_forwarding_state_loses_its_routes_at_once() {
    for capabilities in [restarting(true, false), capabilities()] {
        let mut hand = established();
        hand.lose_connection();
        hand.connect_again(capabilities);
        assert_eq!((hand.state(), hand.fib.len()), (State::Established, 0));
    }
}

#[test]
fn who_never_finishes_loses_what_it_has_not_repeated_after_ten_minutes() {
    let mut hand = established();
    hand.lose_connection();
    hand.connect_again(restarting(true, true));
    hand.announce(&[1]);
    for _ in 0..601 {
        hand.advance(Duration::from_secs(1));
        hand.say(wire::encode_keepalive);
    }
    assert_eq!((hand.state(), hand.fib.len()), (State::Established, 1));
}

#[test]
fn a_notification_ends_it_all_whoever_sends_it() {
    let mut hand = established();
    hand.say(|buf| Notification::administrative_shutdown("bye").encode(buf));
    assert!(hand.fib.is_empty());

    let mut hand = established();
    hand.advance(Duration::from_secs(90));
    assert!(matches!(hand.log.last(), Some(PeerEventKind::Down(Cause::Sent(_)))), "hold timer");
    assert!(hand.fib.is_empty());
}

#[test]
fn the_operator_s_word_ends_the_waiting() {
    let mut hand = established();
    hand.lose_connection();
    let now = hand.now;
    hand.speaker.stop("", now);
    hand.settle();
    assert!(hand.fib.is_empty());
}

#[test]
fn a_new_connection_replaces_the_old_one_of_a_peer_that_can_restart() {
    let mut hand = established();
    let old = hand.conn;
    hand.connect_again(restarting(true, true));
    assert_ne!(hand.conn, old);
    assert_eq!((hand.state(), hand.fib.len()), (State::Established, 3));
    hand.announce(&[3]);
    hand.say(|buf| buf.extend_from_slice(&end_of_rib()));
    assert_eq!(hand.fib.len(), 1);
}

#[test]
fn who_cannot_restart_gracefully_loses_its_routes_with_the_connection() {
    let mut hand = HandMade::established(capabilities());
    hand.announce(&[1, 2, 3]);
    hand.lose_connection();
    assert!(hand.fib.is_empty());
}
