//! Sessions coming and going.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use petiole_bgp::{
    speaker::{Cause, Idle, PeerEventKind, RefusalReason, Refused, RemoteAs, Reset, Speaker, State},
    wire::{
        Family, FamilySet, Message, Notification, Session,
        iana::{cease, open_error},
    },
};

use crate::net::{Net, address, config, prefix};

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn ups(net: &Net, node: usize) -> usize {
    net.nodes[node].log.iter().filter(|(_, _, kind)| matches!(kind, PeerEventKind::Up { .. })).count()
}

fn downs(net: &Net, node: usize) -> Vec<Cause> {
    let down = |kind: &PeerEventKind| match kind {
        PeerEventKind::Down(cause) => Some(cause.clone()),
        _ => None,
    };
    net.nodes[node].log.iter().filter_map(|(_, _, kind)| down(kind)).collect()
}

/// The NOTIFICATIONs that a node received.
fn notified(net: &Net, node: usize) -> Vec<Notification> {
    let received = |kind: &PeerEventKind| match kind {
        PeerEventKind::Down(Cause::Received(n)) | PeerEventKind::AttemptFailed(Cause::Received(n)) => {
            Some(n.clone())
        }
        _ => None,
    };
    net.nodes[node].log.iter().filter_map(|(_, _, kind)| received(kind)).collect()
}

#[test]
fn two_that_dial_at_once_get_one_session_and_lose_none() {
    for seed in 0..500 {
        let mut net = Net::pair(seed);
        // Up to a round trip apart, so that dials cross or do not.
        net.run_until(seconds(10), Net::all_established);
        assert!(net.elapsed() < seconds(6), "seed {seed}: took {:?}", net.elapsed());
        net.run(seconds(60));
        assert_eq!((ups(&net, 0), ups(&net, 1)), (1, 1), "seed {seed}: {}", net.describe());
        net.check();
    }
}

#[test]
fn the_session_s_two_ends_agree_on_what_was_negotiated() {
    let mut net = Net::new(1, 2, &[(0, 1)]);
    net.nodes[1].config.peers[0].hold_time = 6;
    net.start(0);
    net.start(1);
    net.run_until(seconds(10), Net::all_established);
    let (a, b) = (net.status(0, 1).unwrap(), net.status(1, 0).unwrap());
    let (ours, theirs) = (a.negotiated.unwrap(), b.negotiated.unwrap());
    assert_eq!((ours.hold_time, ours.keepalive), (6, seconds(2)));
    assert_eq!(ours.session, theirs.session);
    assert!(ours.enhanced_refresh && ours.session.four_octet_as && ours.session.extended_message);
    assert_eq!(ours.open.host_name(), Some("node1"));
    assert_eq!((a.asn, b.asn), (Some(65002), Some(65001)));
}

#[test]
fn a_peer_in_the_wrong_as_is_told_so_and_comes_up_at_once_when_that_is_corrected() {
    let mut net = Net::new(2, 2, &[(0, 1)]);
    net.nodes[0].config.peers[0].remote_as = RemoteAs::Exact(65099);
    net.start(0);
    net.start(1);
    net.run(seconds(60));
    assert_eq!(ups(&net, 0) + ups(&net, 1), 0);
    assert!(notified(&net, 1).contains(&Notification::bad_peer_as()));

    let corrected = net.elapsed();
    net.reconfigure(0, |config| config.peers[0].remote_as = RemoteAs::Exact(65002));
    net.run_until(seconds(90), Net::all_established);
    assert!(net.elapsed() - corrected < seconds(70), "no longer than an idle hold of the other side");
}

#[test]
fn a_peer_without_a_common_family_is_told_which_ones_we_need() {
    let mut net = Net::new(3, 2, &[(0, 1)]);
    net.nodes[0].config.peers[0].families = FamilySet { ipv4: false, ipv6: true };
    net.nodes[1].config.peers[0].passive = true;
    net.start(0);
    net.start(1);
    net.run(seconds(1));
    let sent = |kind: &PeerEventKind| match kind {
        PeerEventKind::AttemptFailed(Cause::Sent(n)) => Some(n.clone()),
        _ => None,
    };
    let unsupported = |data: &[u8]| Notification::open(open_error::UNSUPPORTED_CAPABILITY, data);
    assert_eq!(net.said(0, sent), Some(unsupported(&[1, 4, 0, 2, 0, 1])));
    assert_eq!(net.said(1, sent), Some(unsupported(&[1, 4, 0, 1, 0, 1])));
}

#[test]
fn one_passive_side_is_enough_and_two_are_too_many() {
    let mut net = Net::new(4, 2, &[(0, 1)]);
    net.nodes[0].config.peers[0].passive = true;
    net.start(0);
    net.start(1);
    net.run_until(seconds(10), Net::all_established);
    assert_eq!(net.status(0, 1).unwrap().dials, 0);

    net.reconfigure(1, |config| config.peers[0].passive = true);
    assert!(net.all_established(), "a session that is up does not care");
    net.with(1, |speaker, now| {
        let peer = speaker.peer_id("node0").unwrap();
        speaker.reset(peer, Reset::Hard(String::new()), now);
    });
    net.run(seconds(600));
    assert_eq!((net.state(0, 1), net.state(1, 0)), (Some(State::Active), Some(State::Active)));
}

#[test]
fn a_reset_at_any_moment_only_delays_the_session() {
    for steps in 0..60 {
        for who in 0..2 {
            let mut net = Net::pair(steps);
            let mut left = steps;
            net.run_until(seconds(60), |_| {
                left = left.saturating_sub(1);
                left == 0
            });
            net.with(who, |speaker, now| {
                let peer = speaker.peer_id(&format!("node{}", 1 - who)).unwrap();
                speaker.reset(peer, Reset::Hard("again".into()), now);
            });
            net.run(seconds(20));
            net.converge();
            net.check();
        }
    }
}

#[test]
fn a_shutdown_arrives_with_its_reason_and_holds_until_it_is_lifted() {
    let mut net = Net::established_pair(5);
    net.reconfigure(0, |config| config.peers[0].shutdown = Some("moving racks".into()));
    net.run(seconds(120));
    let received = notified(&net, 1).remove(0);
    assert_eq!((received.code, received.subcode), (6, cease::ADMINISTRATIVE_SHUTDOWN));
    assert_eq!(received.communication().as_deref(), Some("moving racks"));
    assert_eq!(net.status(0, 1).unwrap().idle, Some(Idle::Stopped));
    assert_ne!(net.state(1, 0), Some(State::Established));

    net.reconfigure(0, |config| config.peers[0].shutdown = None);
    net.run_until(seconds(90), Net::all_established);
}

#[test]
fn stopping_tells_every_peer() {
    let mut net = Net::new(6, 3, &[(0, 1), (0, 2)]);
    (0..3).for_each(|node| net.start(node));
    net.run_until(seconds(30), Net::all_established);
    net.with(0, |speaker, now| speaker.stop("upgrade", now));
    net.run(seconds(1));
    for node in [1, 2] {
        let received = notified(&net, node).remove(0);
        assert_eq!(received.communication().as_deref(), Some("upgrade"));
    }
}

#[test]
fn a_cut_wire_is_noticed_by_the_hold_timer_and_the_session_comes_back_after_it() {
    let mut net = Net::established_pair(7);
    net.originate(1, 1);
    net.converge();
    net.cut(0, 1);
    let cut = net.elapsed();
    net.run_until(seconds(10), |net| net.state(0, 1) != Some(State::Established));
    assert!(net.elapsed() - cut >= seconds(6), "the last KEEPALIVE was up to 3 s old");
    let Some(Cause::Sent(n)) = downs(&net, 0).pop() else { panic!("{}", net.describe()) };
    assert_eq!(n, Notification::hold_timer_expired());
    assert!(net.nodes[0].fib.is_empty(), "its routes are gone");
    net.run(seconds(30));
    net.heal(0, 1);
    net.converge();
    assert!(net.nodes[0].fib.contains_key(&prefix(1)));
    net.check();
}

#[test]
fn a_process_that_is_killed_and_started_is_back_within_seconds() {
    for seed in 0..50 {
        let mut net = Net::established_pair(seed);
        net.run(seconds(100));
        net.kill(1);
        net.run(seconds(2));
        net.start(1);
        let started = net.elapsed();
        net.run_until(seconds(30), Net::all_established);
        assert!(net.elapsed() - started < seconds(7), "seed {seed}: took {:?}", net.elapsed() - started);
    }
}

#[test]
fn a_host_that_lost_power_is_recognised_by_its_new_connection_before_the_hold_time() {
    let mut net = Net::new(8, 2, &[(0, 1)]);
    for node in 0..2 {
        net.nodes[node].config.peers[0].hold_time = 180;
        net.start(node);
    }
    net.run_until(seconds(30), Net::all_established);
    net.run(seconds(100));
    net.power_off(1);
    net.run(seconds(10));
    assert_eq!(net.state(0, 1), Some(State::Established), "nobody knows yet");
    net.start(1);
    let started = net.elapsed();
    net.run_until(seconds(30), Net::all_established);
    assert!(net.elapsed() - started < seconds(10), "took {:?}", net.elapsed() - started);
}

#[test]
fn a_second_connection_to_an_established_session_is_refused_and_harms_nothing() {
    let mut net = Net::established_pair(9);
    let (local, remote) = (SocketAddr::new(address(0), 179), SocketAddr::new(address(1), 55555));
    let refusal = net.with(0, |speaker, now| speaker.accept(local, remote, now)).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::Session(Refused::Collision));
    assert_eq!(decode(&refusal.farewell), Notification::cease(cease::CONNECTION_COLLISION));
    net.run(seconds(60));
    assert_eq!((ups(&net, 0), downs(&net, 0)), (1, vec![]));
}

#[test]
fn a_stranger_is_refused_with_a_reason() {
    let now = std::time::Instant::now();
    let mut speaker = Speaker::new(config(0), 0, now);
    let (local, remote) = (SocketAddr::new(address(0), 179), SocketAddr::new(address(7), 4000));
    let refusal = speaker.accept(local, remote, now).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::UnknownPeer);
    assert_eq!(decode(&refusal.farewell), Notification::cease(cease::CONNECTION_REJECTED));
}

#[test]
fn an_ipv4_mapped_address_is_an_ipv4_address_and_the_local_address_is_checked() {
    let mut net = Net::new(10, 2, &[(0, 1)]);
    net.nodes[0].config.peers[0].transport.local_address = Some(address(0));
    net.nodes[0].config.peers[0].passive = true;
    net.start(0);
    let mapped = |address: IpAddr| match address {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), 179),
        IpAddr::V6(_) => unreachable!(),
    };
    let (here, there) = (mapped(address(0)), mapped(address(1)));
    let elsewhere = SocketAddr::new(Ipv4Addr::new(10, 0, 0, 99).into(), 179);
    let accepted = net.with(0, |speaker, now| speaker.accept(elsewhere, there, now));
    assert_eq!(accepted.unwrap_err().reason, RefusalReason::LocalAddress);
    assert!(net.with(0, |speaker, now| speaker.accept(here, there, now)).is_ok());
}

#[test]
fn too_many_prefixes_end_the_session_until_it_is_cleared() {
    let mut net = Net::new(11, 2, &[(0, 1)]);
    net.nodes[0].config.peers[0].max_prefixes = Some(3);
    net.start(0);
    net.start(1);
    (1..=3).for_each(|number| net.originate(1, number));
    net.converge();
    assert_eq!(net.received(0, 1).len(), 3, "the limit itself is allowed");
    net.originate(1, 4);
    net.run(seconds(600));
    let limit = Notification::maximum_prefixes(Family::Ipv4, 3);
    assert_eq!(notified(&net, 1).first(), Some(&limit));
    assert_eq!(net.status(0, 1).unwrap().idle, Some(Idle::Suspended));
    assert!(net.nodes[0].fib.is_empty());

    net.withdraw(1, 4);
    net.with(0, |speaker, now| {
        let peer = speaker.peer_id("node1").unwrap();
        speaker.reset(peer, Reset::Hard(String::new()), now);
    });
    net.converge();
    assert_eq!(net.received(0, 1).len(), 3);
}

#[test]
fn a_raised_limit_lets_the_session_try_again_and_so_does_its_restart_time() {
    for by_time in [false, true] {
        let mut net = Net::new(12, 2, &[(0, 1)]);
        let peer = &mut net.nodes[0].config.peers[0];
        peer.max_prefixes = Some(1);
        peer.max_prefixes_restart = by_time.then_some(seconds(300));
        net.start(0);
        net.start(1);
        net.originate(1, 1);
        net.originate(1, 2);
        net.run(seconds(100));
        assert_eq!(net.status(0, 1).unwrap().idle, Some(Idle::Suspended));
        if by_time {
            net.withdraw(1, 2);
            net.run(seconds(210));
        } else {
            net.reconfigure(0, |config| config.peers[0].max_prefixes = Some(2));
        }
        net.converge();
    }
}

#[test]
fn messages_are_counted_the_same_on_both_sides() {
    let mut net = Net::new(13, 2, &[(0, 1)]);
    // A collision would lose messages.
    net.nodes[0].config.peers[0].passive = true;
    net.start(0);
    net.start(1);
    net.run_until(seconds(10), Net::all_established);
    (1..=50).for_each(|number| net.originate(0, number));
    net.run(seconds(30));
    net.run_until(seconds(10), Net::is_quiet);
    let (a, b) = (net.status(0, 1).unwrap().messages, net.status(1, 0).unwrap().messages);
    assert_eq!((a.sent.update, a.sent.keepalive), (b.received.update, b.received.keepalive));
    assert_eq!((a.received.update, a.received.keepalive), (b.sent.update, b.sent.keepalive));
    assert!(a.sent.update >= 1 && a.sent.keepalive >= 10, "{a:?}");
}

#[test]
fn a_line_of_speakers_passes_routes_along_and_takes_them_back() {
    let mut net = Net::new(14, 4, &[(0, 1), (1, 2), (2, 3)]);
    (0..4).for_each(|node| net.start(node));
    net.originate(0, 1);
    net.converge();
    net.check();
    let path = |net: &Net| net.received(3, 2).get(&prefix(1)).map(|a| a.as_path().to_string());
    assert_eq!(path(&net).as_deref(), Some("65003 65002 65001"));
    assert_eq!(net.nodes[3].fib.keys().copied().collect::<Vec<_>>(), [prefix(1)]);
    net.withdraw(0, 1);
    net.converge();
    assert_eq!(net.received(3, 2), BTreeMap::new());
    assert!(net.nodes[3].fib.is_empty());
    net.check();
}

fn decode(octets: &[u8]) -> Notification {
    match Message::decode(octets, &Session::before_open()) {
        Ok(Message::Notification(notification)) => notification,
        other => panic!("{other:?}"),
    }
}
