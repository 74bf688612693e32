//! Configuration changes at run time, and what they leave alone.

use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use petiole_bgp::{
    policy::{Action, Policy, PrefixRange, Rule},
    speaker::{Cause, Impact, Messages, PeerEventKind, RemoteAs, Reset, Secret, State},
    wire::iana::cease,
};

use crate::net::{Net, address, peer, prefix, transit};

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// Three nodes, the first of which peers with the others; everybody originates.
fn star(seed: u64) -> Net {
    let mut net = Net::new(seed, 3, &[(0, 1), (0, 2)]);
    (0..3).for_each(|node| net.start(node));
    (0..3).for_each(|node| (0..4).for_each(|n| net.originate(node, 10 * node as u32 + n)));
    net.converge();
    net
}

fn messages(net: &Net) -> Vec<Messages> {
    [(0, 1), (0, 2), (1, 0), (2, 0)].map(|(a, b)| net.status(a, b).unwrap().messages).to_vec()
}

fn flaps(net: &Net, node: usize, other: usize) -> u64 {
    net.status(node, other).unwrap().flaps
}

/// Only these prefixes, whatever their origin.
fn only(numbers: &[u32]) -> Arc<Policy> {
    let prefixes = numbers.iter().map(|n| PrefixRange::exact(prefix(*n))).collect();
    Arc::new(Policy::new(vec![Rule { prefixes, ..Rule::new(Action::Accept) }], Action::Reject))
}

fn prefixes(net: &Net, node: usize, other: usize) -> Vec<IpNet> {
    net.received(node, other).into_keys().collect()
}

#[test]
fn the_same_configuration_again_is_not_noticed_by_anybody() {
    let mut net = star(1);
    let before = messages(&net);
    let impacts = net.reconfigure(0, |_| {});
    assert_eq!(impacts, [("node1".into(), Impact::None), ("node2".into(), Impact::None)]);
    assert!(net.is_quiet());
    assert_eq!(messages(&net), before);
}

#[test]
fn a_change_for_one_peer_leaves_the_other_alone() {
    let mut net = star(2);
    net.reconfigure(0, |config| config.peers[0].hold_time = 30);
    net.run(seconds(1));
    net.converge();
    assert_eq!((flaps(&net, 0, 1), flaps(&net, 0, 2)), (1, 0));
    assert_eq!(net.status(0, 1).unwrap().negotiated.unwrap().hold_time, 9, "the smaller one");
    net.check();
}

#[test]
fn peers_come_and_go_without_disturbing_the_others() {
    let mut net = star(3);
    let removed = net.nodes[0].config.peers[0].clone();
    let impacts = net.reconfigure(0, |config| drop(config.peers.remove(0)));
    assert_eq!(impacts, [("node2".into(), Impact::None), ("node1".into(), Impact::Session)]);
    net.run(seconds(1));
    let told = net.said(1, |kind| match kind {
        PeerEventKind::Down(Cause::Received(n)) => Some(n.subcode),
        _ => None,
    });
    assert_eq!(told, Some(cease::PEER_DECONFIGURED));
    assert!(net.status(0, 1).is_none());
    assert!(net.nodes[0].fib.keys().all(|net| (20..24).any(|n| *net == prefix(n))), "only node2's routes");
    assert_eq!(prefixes(&net, 2, 0).len(), 4);

    net.reconfigure(0, |config| config.peers.push(removed));
    net.run_until(seconds(60), |net| net.state(0, 1) == Some(State::Established));
    net.converge();
    assert_eq!(prefixes(&net, 2, 0).len(), 8);
    assert_eq!(flaps(&net, 0, 2), 0);
    net.check();
}

#[test]
fn live_changes_touch_no_session_and_send_nothing() {
    let mut net = star(4);
    let before = messages(&net);
    let impacts = net.reconfigure(0, |config| {
        config.host_name = "other".into();
        let peer = &mut config.peers[0];
        peer.description = "leaf in rack 7".into();
        peer.connect_retry = seconds(60);
        peer.max_prefixes = Some(1000);
        peer.passive = true;
        peer.keepalive = Some(1);
    });
    assert_eq!(impacts, [("node1".into(), Impact::Live), ("node2".into(), Impact::Live)]);
    assert!(net.is_quiet());
    assert_eq!(messages(&net), before);
    assert_eq!(net.status(0, 1).unwrap().description, "leaf in rack 7");
}

#[test]
fn a_stricter_import_policy_removes_routes_and_a_looser_one_brings_them_back() {
    let mut net = star(5);
    let refreshes = net.status(0, 1).unwrap().messages.sent.route_refresh;
    let impacts = net.reconfigure(0, |config| config.peers[0].import = only(&[10, 11]));
    assert_eq!(impacts[0], ("node1".into(), Impact::Refresh));
    net.run(seconds(1));
    assert_eq!(prefixes(&net, 0, 1), [prefix(10), prefix(11)]);
    assert!(!net.nodes[0].fib.contains_key(&prefix(12)));
    assert_eq!(prefixes(&net, 2, 0).len(), 6, "what is not imported is not passed on");

    net.reconfigure(0, |config| config.peers[0].import = Arc::new(Policy::all()));
    net.run(seconds(1));
    assert_eq!(prefixes(&net, 0, 1).len(), 4);
    assert_eq!(prefixes(&net, 2, 0).len(), 8);
    let status = net.status(0, 1).unwrap();
    assert_eq!((status.flaps, status.messages.sent.route_refresh), (0, refreshes + 2));
    net.check();
}

#[test]
fn an_export_policy_takes_effect_without_the_peer_s_help() {
    let mut net = star(6);
    net.reconfigure(0, |config| config.peers[1].export = Arc::new(Policy::local()));
    net.run(seconds(1));
    assert_eq!(prefixes(&net, 2, 0), (0..4).map(prefix).collect::<Vec<_>>(), "RFC 8212: only its own");
    net.reconfigure(0, |config| config.peers[1].export = transit());
    net.run(seconds(1));
    assert_eq!(prefixes(&net, 2, 0).len(), 8);
    assert_eq!(flaps(&net, 0, 2), 0);
    net.check();
}

#[test]
fn soft_resets_repeat_routes_and_change_nothing() {
    let mut net = star(7);
    let before = net.received(0, 1);
    for reset in [Reset::SoftIn, Reset::SoftOut] {
        let sent = (net.status(0, 1).unwrap().messages, net.status(1, 0).unwrap().messages);
        net.with(0, |speaker, now| {
            let peer = speaker.peer_id("node1").unwrap();
            speaker.reset(peer, reset.clone(), now);
        });
        net.run(seconds(1));
        let now = (net.status(0, 1).unwrap().messages, net.status(1, 0).unwrap().messages);
        if reset == Reset::SoftIn {
            assert_eq!(now.0.sent.route_refresh, sent.0.sent.route_refresh + 1);
            assert_eq!(now.1.sent.route_refresh, sent.1.sent.route_refresh + 2, "BoRR and EoRR");
            assert!(now.1.sent.update > sent.1.sent.update);
        } else {
            assert!(now.0.sent.update > sent.0.sent.update);
        }
        assert_eq!(net.received(0, 1), before);
    }
    assert_eq!(flaps(&net, 0, 1), 0);
    net.check();
}

#[test]
fn a_plan_is_what_the_reconfiguration_then_does() {
    let mut net = star(8);
    let mut config = net.nodes[0].config.clone();
    config.peers[0].transport.ttl_security = true;
    config.peers[1].import = only(&[]);
    let mut third = peer(1);
    third.name = "third".into();
    third.shutdown = Some(String::new());
    config.peers.push(third);
    let plan = net.speaker(0).plan(&config);
    assert_eq!(
        plan.iter().map(|(_, impact)| *impact).collect::<Vec<_>>(),
        [Impact::Session, Impact::Refresh, Impact::Session]
    );
    assert_eq!(net.reconfigure(0, |current| *current = config), plan);
}

#[test]
fn more_equal_paths_are_used_as_soon_as_they_may_be() {
    // A host, two leafs, and a spine behind both.
    let mut net = Net::new(12, 4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
    (0..4).for_each(|node| net.start(node));
    net.originate(3, 1);
    net.converge();
    assert_eq!(net.nodes[0].fib[&prefix(1)].len(), 1);
    let before = messages(&net);
    let impacts = net.reconfigure(0, |config| config.max_paths = 8);
    assert!(impacts.iter().all(|(_, impact)| *impact == Impact::Live));
    assert_eq!(net.nodes[0].fib[&prefix(1)].len(), 2);
    net.reconfigure(0, |config| config.max_paths = 1);
    assert_eq!(net.nodes[0].fib[&prefix(1)].len(), 1);
    assert_eq!(messages(&net), before);
}

#[test]
fn routes_that_are_not_to_be_installed_stay_out_of_the_kernel_and_in_the_table() {
    let mut net = star(13);
    net.reconfigure(0, |config| config.peers[0].install = false);
    assert!(net.nodes[0].fib.keys().all(|net| (20..24).any(|n| *net == prefix(n))));
    assert_eq!(prefixes(&net, 2, 0).len(), 8);
    net.reconfigure(0, |config| config.peers[0].install = true);
    assert_eq!(net.nodes[0].fib.len(), 8);
    assert_eq!(flaps(&net, 0, 1), 0);
}

#[test]
fn another_identifier_needs_new_sessions_and_ends_up_with_the_same_routes() {
    let mut net = star(9);
    let fib: Vec<_> = net.nodes[0].fib.keys().copied().collect();
    let impacts = net.reconfigure(0, |config| config.router_id = "10.9.9.9".parse().unwrap());
    assert!(impacts.iter().all(|(_, impact)| *impact == Impact::Session));
    assert!(net.nodes[0].fib.is_empty());
    net.run(seconds(1));
    net.converge();
    assert_eq!(net.nodes[0].fib.keys().copied().collect::<Vec<_>>(), fib);
    assert_eq!(prefixes(&net, 1, 0).len(), 8, "what it originates, and what it passes on");
    assert_eq!(net.status(1, 0).unwrap().negotiated.unwrap().open.router_id.to_string(), "10.9.9.9");
    net.check();
}

#[test]
fn an_address_or_a_key_that_changes_needs_a_new_connection() {
    let mut net = star(10);
    let impacts = net.reconfigure(0, |config| {
        config.peers[0].transport.password = Some(Secret::new("hush"));
        config.peers[1].transport.local_address = Some(address(0));
    });
    assert!(impacts.iter().all(|(_, impact)| *impact == Impact::Session));
    net.run(seconds(1));
    net.converge();
    assert_eq!((flaps(&net, 0, 1), flaps(&net, 0, 2)), (1, 1));
    assert_eq!(format!("{:?}", Secret::new("hush")), "Secret(..)");
}

#[test]
fn own_as_numbers_in_the_path_are_allowed_as_often_as_configured() {
    // Two hosts in one AS behind a leaf, as in the seed.
    let mut net = Net::new(11, 3, &[(0, 1), (1, 2)]);
    net.nodes[2].config.asn = net.nodes[0].config.asn;
    net.nodes[1].config.peers[1].remote_as = RemoteAs::Exact(net.nodes[0].config.asn);
    (0..3).for_each(|node| net.start(node));
    net.originate(0, 1);
    net.converge();
    assert_eq!(prefixes(&net, 2, 1), []);
    let impacts = net.reconfigure(2, |config| config.peers[0].allow_own_as = 1);
    assert_eq!(impacts, [("node1".into(), Impact::Refresh)]);
    net.run(seconds(1));
    assert_eq!(prefixes(&net, 2, 1), [prefix(1)]);
    net.reconfigure(2, |config| config.peers[0].allow_own_as = 0);
    net.run(seconds(1));
    assert_eq!(prefixes(&net, 2, 1), []);
    assert_eq!(flaps(&net, 2, 1), 0);
}
