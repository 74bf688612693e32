//! One rule per test.

use super::super::*;
use super::world::*;
use crate::policy::{Action, PrefixRange, Rule, Set, Source};
use crate::wire::{EncodeContext, NextHop, RouteRefreshKind, UpdateWriter};

const P: &str = "192.168.1.1/32";
const Q: &str = "192.168.1.2/32";

#[test]
fn a_learned_route_goes_to_the_other_peers_and_the_kernel() {
    let mut world = World::new(1);
    for n in 1..=3 {
        world.up(n, external(n));
    }
    let outcome = world.announce(1, &[net(P)], &route(&[65001, 7], "10.0.0.1"));
    assert_eq!(outcome, UpdateOutcome { ipv4_accepted: 1, ipv6_accepted: 0 });
    world.settle();
    assert_eq!(world.best(net(P)), Some(1));
    assert!(world.routes(1).is_empty(), "never back to where it came from");
    for n in [2, 3] {
        let sent = &world.routes(n)[&net(P)];
        assert_eq!(sent.as_path().to_string(), "65000 65001 7");
        assert_eq!(sent.next_hop(), NextHop::V4([10, 0, 0, 254].into()));
    }
    assert_eq!(*world.fib[&net(P)], [FibNextHop { address: address("10.0.0.1"), scope: None }]);
    world.withdraw(1, &[net(P)]);
    world.settle();
    assert!(world.routes(2).is_empty() && world.fib.is_empty() && world.watched.is_empty());
    assert_eq!(world.rib.totals(), Totals::default());
}

#[test]
fn a_prefix_that_cannot_be_a_unicast_destination_is_ignored() {
    let mut world = World::new(1);
    world.up(1, external(1));
    let prefixes = [net("224.0.0.0/4"), net("239.1.2.3/32"), net(P)];
    let outcome = world.announce(1, &prefixes, &route(&[65001], "10.0.0.1"));
    assert_eq!(outcome.ipv4_accepted, 1);
    world.settle();
    assert_eq!(world.fib.keys().collect::<Vec<_>>(), [&net(P)]);
}

#[test]
fn by_default_a_host_is_no_transit() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.up(2, PeerRib { export: Arc::new(Policy::all()), ..external(2) });
    world.announce(1, &[net(P)], &route(&[65001], "10.0.0.1"));
    world.rib.originate(net(Q), &origination());
    world.settle();
    assert_eq!(world.routes(2).keys().collect::<Vec<_>>(), [&net(Q)]);
    assert!(!world.rib.has_pending(id(2)));
}

#[test]
fn a_local_route_wins_and_stays_out_of_the_feed_for_the_kernel() {
    let mut world = World::new(4);
    world.up(1, external(1));
    world.up(2, internal(2));
    world.announce(1, &[net(P)], &route(&[65001], "10.0.0.1"));
    world.settle();
    assert_eq!(world.fib.len(), 1);
    world.rib.originate(net(P), &Origination { med: Some(7), ..origination() });
    world.settle();
    assert_eq!(world.best(net(P)), Some(0));
    assert!(world.fib.is_empty());
    assert_eq!(world.routes(1)[&net(P)].as_path().to_string(), "65000");
    assert_eq!(world.routes(1)[&net(P)].med(), Some(7), "a MED of our own");
    let internal = &world.routes(2)[&net(P)];
    assert_eq!((internal.as_path().len(), internal.local_pref()), (0, Some(100)));
    assert_eq!(internal.next_hop(), NextHop::V4([10, 0, 0, 254].into()), "our own, where there is none");
    world.rib.withdraw(net(P));
    world.settle();
    assert_eq!(world.best(net(P)), Some(1));
    assert_eq!(world.fib.len(), 1);
    assert!(world.routes(1).is_empty());
}

#[test]
fn internal_peers_get_no_routes_of_internal_peers_and_others_unchanged() {
    let mut world = World::new(1);
    world.up(1, internal(1));
    world.up(2, internal(2));
    world.up(3, external(3));
    world.announce(1, &[net(P)], &route(&[7], "10.9.9.9"));
    let mut learned = route(&[65003], "10.0.0.3");
    learned.set_med(Some(5));
    world.announce(3, &[net(Q)], &learned);
    world.settle();
    // Nor when they come later, or ask again.
    world.up(4, internal(4));
    world.rib.refresh_out(id(2), Family::Ipv4, false);
    world.settle();
    for n in [2, 4] {
        assert_eq!(world.routes(n).keys().collect::<Vec<_>>(), [&net(Q)]);
    }
    let inside = &world.routes(2)[&net(Q)];
    assert_eq!(inside.next_hop(), NextHop::V4([10, 0, 0, 3].into()));
    assert_eq!((inside.as_path().to_string(), inside.med()), ("65003".into(), Some(5)));
    let outside = &world.routes(3)[&net(P)];
    assert_eq!((outside.as_path().to_string(), outside.local_pref()), ("65000 7".into(), None));
}

#[test]
fn a_med_is_not_passed_on_to_another_as_unless_the_policy_sets_it() {
    // RFC 4271 section 5.1.4
    let mut world = World::new(1);
    world.up(1, external(1));
    world.up(2, external(2));
    let set = Set { med: Some(9), ..Set::default() };
    let rule = Rule { source: Some(Source::Learned), set, ..Rule::new(Action::Accept) };
    world.up(3, PeerRib { export: Arc::new(Policy::new(vec![rule], Action::Reject)), ..external(3) });
    let mut learned = route(&[65001], "10.0.0.1");
    learned.set_med(Some(5));
    world.announce(1, &[net(P)], &learned);
    world.settle();
    assert_eq!(world.routes(2)[&net(P)].med(), None);
    assert_eq!(world.routes(3)[&net(P)].med(), Some(9));
    // The same value that the route had: it must be sent all the same.
    learned.set_med(Some(9));
    world.announce(1, &[net(P)], &learned);
    world.settle();
    assert_eq!(world.routes(2)[&net(P)].med(), None);
    assert_eq!(world.routes(3)[&net(P)].med(), Some(9));
}

#[test]
fn well_known_communities_are_honoured() {
    // RFC 1997
    let mut world = World::new(1);
    world.up(1, external(1));
    world.up(2, external(2));
    world.up(3, internal(3));
    for (community, outside, inside) in [
        (Community::NO_EXPORT, false, true),
        (Community::NO_EXPORT_SUBCONFED, false, true),
        (Community::NO_ADVERTISE, false, false),
        (Community::GRACEFUL_SHUTDOWN, true, true),
    ] {
        let mut attributes = route(&[65001], "10.0.0.1");
        attributes.set_communities(vec![community]);
        world.announce(1, &[net(P)], &attributes);
        world.settle();
        assert_eq!(world.routes(2).contains_key(&net(P)), outside, "{community} to an external peer");
        assert_eq!(world.routes(3).contains_key(&net(P)), inside, "{community} to an internal peer");
    }
}

#[test]
fn loops_are_refused_and_replace_what_was_there() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.up(2, PeerRib { allow_own_as: 1, ..external(2) });
    world.up(3, internal(3));
    let mut reflected = route(&[7], "10.9.9.9");
    reflected.set_originator_id(Some(Ipv4Addr::new(10, 0, 0, 254)));
    for (peer, looped) in [
        (1, route(&[65001, OUR_AS], "10.0.0.1")),
        (2, route(&[65002, OUR_AS, OUR_AS], "10.0.0.2")),
        (1, route(&[65001], "10.0.0.254")),
        (3, reflected),
    ] {
        world.announce(peer, &[net(P)], &route(&[65009], "10.0.0.9"));
        assert_eq!(world.rib.totals().paths[0], 1);
        world.announce(peer, &[net(P)], &looped);
        assert_eq!(world.rib.totals().paths[0], 0, "{looped:?}");
    }
    assert_eq!(world.rib.counters(id(1), Family::Ipv4).unwrap().looped, 2);
    world.announce(2, &[net(P)], &route(&[65002, OUR_AS], "10.0.0.2"));
    assert_eq!(world.rib.totals().paths[0], 1, "allow-own-as = 1");
}

#[test]
fn rejected_routes_are_counted_and_not_kept() {
    let mut world = World::new(1);
    world.up(1, PeerRib { import: Arc::new(Policy::default_route()), ..external(1) });
    let outcome = world.announce(1, &[net("0.0.0.0/0"), net(P), net(Q)], &route(&[65001], "10.0.0.1"));
    assert_eq!(outcome.ipv4_accepted, 1);
    let counters = world.rib.counters(id(1), Family::Ipv4).unwrap();
    assert_eq!((counters.received, counters.rejected, counters.accepted), (3, 2, 1));
    world.withdraw(1, &[net(P), net("0.0.0.0/0")]);
    let counters = world.rib.counters(id(1), Family::Ipv4).unwrap();
    assert_eq!((counters.withdrawn, counters.accepted), (2, 0));
    assert_eq!(world.rib.totals().attribute_sets, 0);
}

#[test]
fn a_stricter_import_policy_works_through_a_refresh() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.announce(1, &[net(P), net(Q)], &route(&[65001], "10.0.0.1"));
    let rule = Rule { prefixes: vec![PrefixRange::exact(net(Q))], ..Rule::new(Action::Reject) };
    world.rib.set_import(id(1), Arc::new(Policy::new(vec![rule], Action::Accept)));
    world.rib.begin_refresh(id(1), Family::Ipv4);
    world.settle();
    assert_eq!(world.fib.len(), 2, "nothing goes before the peer has had its say");
    world.announce(1, &[net(P), net(Q)], &route(&[65001], "10.0.0.1"));
    world.rib.end_refresh(id(1), Family::Ipv4);
    world.settle();
    assert_eq!(world.fib.keys().collect::<Vec<_>>(), [&net(P)]);
}

#[test]
fn what_is_not_repeated_in_a_refresh_goes_at_its_end() {
    // RFC 7313 section 4
    let mut world = World::new(1);
    world.up(1, external(1));
    world.announce(1, &[net("2001:db8:9::/48")], &route(&[65001], "2001:db8::1"));
    world.announce(1, &[net(P), net(Q)], &route(&[65001], "10.0.0.1"));
    world.rib.begin_refresh(id(1), Family::Ipv4);
    assert!(world.rib.route(net(P)).unwrap().paths[0].stale);
    world.announce(1, &[net(Q)], &route(&[65001], "10.0.0.1"));
    assert!(!world.rib.route(net(Q)).unwrap().paths[0].stale);
    world.rib.end_refresh(id(1), Family::Ipv4);
    world.rib.begin_refresh(id(1), Family::Ipv4);
    world.settle();
    assert_eq!(world.fib.keys().collect::<Vec<_>>(), [&net(Q), &net("2001:db8:9::/48")]);
}

#[test]
fn a_route_with_an_unreachable_next_hop_is_not_used() {
    // RFC 4271 section 9.1.2
    let mut world = World::new(1);
    world.up(1, external(1));
    world.up(2, external(2));
    world.metrics.insert(address("10.0.0.1"), None);
    world.announce(1, &[net(P)], &route(&[65001], "10.0.0.1"));
    world.announce(2, &[net(P)], &route(&[65002, 1, 2, 3], "10.0.0.2"));
    world.settle();
    assert_eq!(world.best(net(P)), Some(2));
    let view = world.rib.route(net(P)).unwrap();
    assert_eq!(view.paths[0].reason, Reason::Unreachable);
    assert_eq!(view.paths[1].standing, Standing::Unreachable);
    world.metric(address("10.0.0.1"), Some(10));
    world.settle();
    assert_eq!(world.best(net(P)), Some(1));
    world.metric(address("10.0.0.1"), None);
    // Before any slice has come to it, the route is not advertised any more.
    world.pack(id(1), 4096);
    world.pack(id(2), 4096);
    world.settle();
    assert_eq!(world.best(net(P)), Some(2));
    assert!(world.routes(2).is_empty());
}

#[test]
fn interest_in_a_next_hop_lasts_as_long_as_paths_need_it() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.announce(1, &[net(P), net(Q)], &route(&[65001], "10.0.0.1"));
    assert_eq!(world.rib.next_watch_change(), Some((address("10.0.0.1"), true)));
    assert_eq!(world.rib.next_watch_change(), None);
    world.withdraw(1, &[net(P)]);
    assert_eq!(world.rib.next_watch_change(), None);
    world.announce(1, &[net(Q)], &route(&[65001, 5], "10.0.0.7"));
    let mut changes = [world.rib.next_watch_change(), world.rib.next_watch_change()];
    changes.sort_unstable();
    assert_eq!(changes, [Some((address("10.0.0.1"), false)), Some((address("10.0.0.7"), true))]);
    world.withdraw(1, &[net(Q)]);
    world.announce(1, &[net(Q)], &route(&[65001, 5], "10.0.0.7"));
    assert_eq!(world.rib.next_watch_change(), None, "gone and back again is no news");
    // What nobody asked for is not listened to.
    world.rib.next_hop(address("10.9.9.9"), Some(1));
    assert!(!world.rib.has_work());
}

#[test]
fn a_link_local_next_hop_is_reachable_through_the_interface_of_its_peer() {
    let mut world = World::new(4);
    let unnumbered = |n, scope| PeerRib { scope, ..external(n) };
    world.up(1, unnumbered(1, Some(11)));
    world.up(2, unnumbered(2, Some(12)));
    world.up(3, unnumbered(3, None));
    let prefix = net("2001:db8:9::/48");
    let alone = route(&[7], "fe80::1");
    for n in 1..=3 {
        world.announce(n, &[prefix], &alone);
    }
    world.settle();
    assert!(world.watched.is_empty(), "no routing table knows link-local addresses");
    let hop = |scope| FibNextHop { address: address("fe80::1"), scope: Some(scope) };
    assert_eq!(*world.fib[&prefix], [hop(11), hop(12)]);
    // RFC 2545: both addresses. On the link the link-local one is used, elsewhere the global one is resolved.
    let both = NextHop::v6("2001:db8::1".parse().unwrap(), Some("fe80::1".parse().unwrap()));
    let both = Attributes::new(Origin::Igp, AsPath::from_sequence(&[7]), both);
    world.announce(1, &[prefix], &both);
    world.announce(3, &[prefix], &both);
    world.withdraw(2, &[prefix]);
    world.settle();
    assert_eq!(world.watched.iter().collect::<Vec<_>>(), [&address("2001:db8::1")]);
    let resolved = FibNextHop { address: address("2001:db8::1"), scope: None };
    assert_eq!(*world.fib[&prefix], [resolved, hop(11)]);
}

#[test]
fn equal_paths_share_the_load_up_to_the_limit() {
    let mut world = World::new(2);
    for n in 1..=4 {
        world.up(n, PeerRib { install: n != 3, ..external(n) });
    }
    world.announce(1, &[net(P)], &route(&[65001, 7], "10.0.0.1"));
    world.settle();
    assert_eq!(world.fib[&net(P)].len(), 1);
    // Contents of the AS path may differ, its length may not.
    world.announce(2, &[net(P)], &route(&[65002, 8], "10.0.0.2"));
    world.announce(4, &[net(P)], &route(&[65004], "10.0.0.4"));
    world.withdraw(4, &[net(P)]);
    world.announce(4, &[net(P)], &route(&[65004, 9], "10.0.0.4"));
    world.settle();
    let hop = |host| FibNextHop { address: IpAddr::from([10, 0, 0, host]), scope: None };
    let view = world.rib.route(net(P)).unwrap();
    assert_eq!(view.paths[0].standing, Standing::Best);
    assert_eq!(view.paths[1].standing, Standing::Multipath);
    assert_eq!(view.paths[2].standing, Standing::Candidate);
    assert_eq!(world.fib[&net(P)].len(), 2);
    world.rib.set_max_paths(3);
    world.settle();
    assert_eq!(*world.fib[&net(P)], [hop(1), hop(2), hop(4)]);
    world.metric(address("10.0.0.2"), Some(5));
    world.settle();
    assert_eq!(*world.fib[&net(P)], [hop(1), hop(4)]);
    // Two paths through one next hop are one next hop.
    world.withdraw(4, &[net(P)]);
    world.announce(4, &[net(P)], &route(&[65004, 9], "10.0.0.1"));
    world.settle();
    assert_eq!(*world.fib[&net(P)], [hop(1)]);
    // A peer whose routes stay out of the kernel.
    for n in [1, 2, 4] {
        world.withdraw(n, &[net(P)]);
    }
    world.announce(3, &[net(P)], &route(&[65003], "10.0.0.3"));
    world.settle();
    assert!(world.fib.is_empty());
    world.rib.set_install(id(3), true);
    world.settle();
    assert_eq!(*world.fib[&net(P)], [hop(3)]);
}

#[test]
fn the_view_gives_the_reason_for_every_path() {
    let mut world = World::new(1);
    for n in 1..=3 {
        world.up(n, external(n));
    }
    world.announce(2, &[net(P)], &route(&[65002], "10.0.0.2"));
    world.settle();
    assert_eq!(world.rib.route(net(P)).unwrap().paths[0].reason, Reason::OnlyPath);
    world.announce(1, &[net(P)], &route(&[65001], "10.0.0.1"));
    world.announce(3, &[net(P)], &route(&[65003, 4], "10.0.0.3"));
    world.settle();
    let view = world.rib.route(net(P)).unwrap();
    let reasons: Vec<_> = view.paths.iter().map(|path| (path.peer.unwrap().0, path.reason)).collect();
    assert_eq!(reasons, [(2, Reason::Oldest), (3, Reason::PathLength), (1, Reason::Oldest)]);
}

#[test]
fn the_initial_table_ends_with_end_of_rib() {
    // RFC 4724 section 3
    let mut world = World::new(1);
    world.rib.originate(net(P), &origination());
    world.rib.originate(net("2001:db8:1::1/128"), &origination());
    world.up(1, external(1));
    assert_eq!(world.rib.next_pending_peer(), Some(id(1)));
    assert_eq!(world.rib.next_pending_peer(), None);
    world.settle();
    let sent = world.sent(1);
    let at = |seen: Seen| sent.iter().position(|other| *other == seen).unwrap();
    assert!(at(Seen::Announced(net(P))) < at(Seen::EndOfRib(Family::Ipv4)));
    assert!(at(Seen::Announced(net("2001:db8:1::1/128"))) < at(Seen::EndOfRib(Family::Ipv6)));
    assert_eq!(sent.len(), 4);
    world.rib.originate(net(Q), &origination());
    world.settle();
    assert_eq!(world.sent(1), [Seen::Announced(net(Q))]);
}

#[test]
fn a_peer_is_sent_only_differences() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.up(2, external(2));
    world.announce(1, &[net(P)], &route(&[65001], "10.0.0.1"));
    world.settle();
    world.sent(2);
    // Changed and changed back before the peer reads.
    world.announce(1, &[net(P)], &route(&[65001, 3], "10.0.0.1"));
    world.withdraw(1, &[net(P)]);
    world.announce(1, &[net(P), net(Q)], &route(&[65001], "10.0.0.1"));
    world.withdraw(1, &[net(Q)]);
    assert_eq!(world.rib.next_pending_peer(), Some(id(2)));
    world.settle();
    assert_eq!(world.sent(2), []);
    assert!(!world.rib.has_pending(id(2)));
}

#[test]
fn withdrawals_go_first() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.rib.originate(net(P), &origination());
    world.settle();
    world.sent(1);
    world.rib.originate(net(Q), &origination());
    world.rib.withdraw(net(P));
    world.settle();
    assert_eq!(world.sent(1), [Seen::Withdrawn(net(P)), Seen::Announced(net(Q))]);
}

#[test]
fn a_refresh_sends_everything_again_between_its_marks() {
    // RFC 7313 section 4
    let mut world = World::new(1);
    world.up(1, external(1));
    world.rib.originate(net(P), &origination());
    world.rib.originate(net(Q), &origination());
    world.settle();
    world.sent(1);
    world.rib.refresh_out(id(1), Family::Ipv4, true);
    world.settle();
    let mut sent = world.sent(1);
    assert_eq!(sent.first(), Some(&Seen::Refresh(Family::Ipv4, RouteRefreshKind::Begin)));
    assert_eq!(sent.last(), Some(&Seen::Refresh(Family::Ipv4, RouteRefreshKind::End)));
    sent.sort_by_key(|seen| format!("{seen:?}"));
    assert_eq!(sent[..2], [Seen::Announced(net(P)), Seen::Announced(net(Q))]);
    // Without marks (RFC 2918), and what was withdrawn in the meantime is withdrawn.
    world.rib.refresh_out(id(1), Family::Ipv4, false);
    world.rib.withdraw(net(Q));
    world.settle();
    assert_eq!(world.sent(1), [Seen::Withdrawn(net(Q)), Seen::Announced(net(P))]);
}

#[test]
fn another_export_policy_sends_only_differences() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.up(2, external(2));
    world.announce(1, &[net(P)], &route(&[65001], "10.0.0.1"));
    world.rib.originate(net(Q), &origination());
    world.settle();
    world.sent(2);
    world.rib.set_export(id(2), Arc::new(Policy::local()));
    world.settle();
    assert_eq!(world.sent(2), [Seen::Withdrawn(net(P))]);
    world.rib.set_export(id(2), Arc::new(transit()));
    world.settle();
    assert_eq!(world.sent(2), [Seen::Announced(net(P))]);
    world.rib.set_export(id(2), Arc::new(Policy::none()));
    world.settle();
    assert_eq!(world.sent(2).len(), 2);
    assert!(world.routes(2).is_empty());
}

#[test]
fn what_exceeds_max_prefixes_out_waits_for_room() {
    let mut world = World::new(1);
    world.up(1, PeerRib { max_prefixes_out: Some(2), ..external(1) });
    let prefixes: Vec<IpNet> = (0..5).map(|n| net(&format!("192.168.1.{n}/32"))).collect();
    for prefix in &prefixes {
        world.rib.originate(*prefix, &origination());
    }
    world.settle();
    assert_eq!(world.routes(1).len(), 2);
    let counters = world.rib.counters(id(1), Family::Ipv4).unwrap();
    assert_eq!((counters.advertised, counters.held_back), (2, 3));
    // A route that waits and goes does not take the room of one that stays.
    world.rib.withdraw(prefixes[4]);
    let sent = *world.routes(1).keys().next().unwrap();
    world.rib.withdraw(sent);
    world.settle();
    assert_eq!(world.routes(1).len(), 2);
    assert_eq!(world.rib.counters(id(1), Family::Ipv4).unwrap().held_back, 1);
    world.rib.set_max_prefixes_out(id(1), None);
    world.settle();
    assert_eq!(world.routes(1).len(), 3);
}

#[test]
fn a_route_whose_attributes_fill_a_message_is_withdrawn_rather_than_lied_about() {
    // RFC 4271 section 9.2
    let mut world = World::new(1);
    world.up(1, external(1));
    world.rib.originate(net(P), &origination());
    world.settle();
    assert_eq!(world.routes(1).len(), 1);
    let communities = (0..1100).map(Community).collect();
    world.rib.originate(net(P), &Origination { communities, ..origination() });
    world.settle();
    assert!(world.routes(1).is_empty());
    assert!(!world.rib.has_pending(id(1)), "it is not tried over and over");
    world.rib.originate(net(P), &origination());
    world.settle();
    assert_eq!(world.routes(1).len(), 1);
}

#[test]
fn ipv4_over_an_ipv6_next_hop_needs_its_capability() {
    // RFC 8950
    let mut world = World::new(1);
    let own = NextHop::from(address("fe80::254"));
    let next_hop_self = NextHopSelf { ipv4: Some(own), ipv6: Some(own) };
    world.up(1, PeerRib { next_hop_self, ..external(1) });
    world.up(2, PeerRib { next_hop_self, ..external(2) });
    world.peers.get_mut(&id(1)).unwrap().session.extended_next_hop = true;
    world.rib.originate(net(P), &origination());
    world.settle();
    assert_eq!(world.routes(1)[&net(P)].next_hop(), own);
    assert!(world.routes(2).is_empty());
}

#[test]
fn a_lost_peers_routes_are_not_used_though_they_are_not_swept_yet() {
    let mut world = World::new(1);
    for n in 1..=3 {
        world.up(n, external(n));
    }
    let prefixes: Vec<IpNet> =
        (0..4000u32).map(|n| Ipv4Net::new((n << 8).into(), 24).unwrap().into()).collect();
    for chunk in prefixes.chunks(500) {
        world.announce(1, chunk, &route(&[65001], "10.0.0.1"));
        world.announce(2, chunk, &route(&[65002, 7], "10.0.0.2"));
    }
    world.settle();
    assert_eq!(world.fib.len(), 4000);
    world.down(1);
    // One slice only: the rest of the table has not been touched.
    assert!(world.rib.work(1));
    assert_eq!(world.rib.totals().paths[0], 8000 - 1024);
    // The peer comes back at once with one route; its old ones are as dead as before.
    world.up(1, external(1));
    let outcome = world.announce(1, &prefixes[3999..], &route(&[65001], "10.0.0.1"));
    assert_eq!(outcome.ipv4_accepted, 1, "a prefix limit does not count the dead");
    world.resolve();
    for n in [2, 3] {
        world.rib.refresh_out(id(n), Family::Ipv4, false);
        while world.pack(id(n), 4096) {}
    }
    assert_eq!(world.routes(3)[&prefixes[2000]].as_path().to_string(), "65000 65002 7");
    assert_eq!(world.routes(3)[&prefixes[3999]].as_path().to_string(), "65000 65001");
    assert_eq!(world.routes(2).len(), 1);
    assert_eq!(world.rib.received(id(1), Cursor::start(Family::Ipv4), 100_000).rows.len(), 1);
    world.settle();
    assert_eq!(world.rib.totals().paths[0], 4001);
    assert_eq!(world.rib.counters(id(1), Family::Ipv4).unwrap().accepted, 1);
    assert_eq!(world.fib[&prefixes[0]][0].address, address("10.0.0.2"));
}

#[test]
fn a_restarting_peers_routes_stay_until_it_has_repeated_the_others() {
    // RFC 4724 section 4.2
    let mut world = World::new(1);
    world.up(1, external(1));
    world.announce(1, &[net(P), net(Q)], &route(&[65001], "10.0.0.1"));
    world.announce(1, &[net("2001:db8:9::/48")], &route(&[65001], "2001:db8::1"));
    world.settle();
    assert_eq!(world.fib.len(), 3);
    world.rib.peer_restarting(id(1), FamilySet { ipv4: true, ipv6: false });
    world.peers.clear();
    world.settle();
    assert_eq!(world.fib.len(), 2, "IPv6 was not retained");
    world.up(1, external(1));
    world.announce(1, &[net(P)], &route(&[65001], "10.0.0.1"));
    world.settle();
    assert_eq!(world.fib.len(), 2);
    world.rib.end_refresh(id(1), Family::Ipv4);
    world.settle();
    assert_eq!(world.fib.keys().collect::<Vec<_>>(), [&net(P)]);
    // Or given up.
    world.rib.peer_restarting(id(1), FamilySet::ALL);
    world.peers.clear();
    world.settle();
    assert_eq!(world.fib.len(), 1);
    world.rib.peer_down(id(1));
    world.settle();
    assert!(world.fib.is_empty());
    assert_eq!(world.rib.totals(), Totals::default());
}

#[test]
fn an_erroneous_announcement_counts_as_withdrawal() {
    // RFC 7606: ORIGIN with the value 9.
    let mut world = World::new(1);
    world.up(1, external(1));
    world.announce(1, &[net(P)], &route(&[65001], "10.0.0.1"));
    let attributes = route(&[65001], "10.0.0.1");
    let context = EncodeContext { four_octet_as: true, external: true, prepend: None, send_med: false };
    let IpNet::V4(prefix) = net(P) else { unreachable!() };
    let mut out = BytesMut::new();
    UpdateWriter::new(&world.peers[&id(1)].session)
        .announce_v4(&mut out, &attributes.encode(&context), attributes.next_hop(), &mut [prefix].into_iter())
        .unwrap();
    let origin = out.windows(4).position(|octets| octets == [0x40, 1, 1, 0]).unwrap();
    out[origin + 3] = 9;
    let outcome = world.receive(1, &out);
    assert_eq!(outcome.ipv4_accepted, 0);
    assert_eq!(world.rib.counters(id(1), Family::Ipv4).unwrap().treated_as_withdraw, 1);
}

#[test]
fn views_come_in_pages() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.up(2, external(2));
    let prefixes: Vec<IpNet> = (0..10).map(|n| net(&format!("10.{n}.0.0/16"))).collect();
    world.announce(1, &prefixes, &route(&[65001], "10.0.0.1"));
    world.settle();
    let rib = &world.rib;
    let sorted = |mut rows: Vec<IpNet>| {
        rows.sort_unstable();
        rows
    };
    let routes = World::pages(Family::Ipv4, |at| rib.routes(at, 3));
    assert_eq!(sorted(routes.iter().map(|row| row.prefix).collect()), prefixes);
    let received = World::pages(Family::Ipv4, |at| rib.received(id(1), at, 3));
    assert_eq!(sorted(received.iter().map(|row| row.prefix).collect()), prefixes);
    assert_eq!(received[0].attributes, route(&[65001], "10.0.0.1"));
    let advertised = World::pages(Family::Ipv4, |at| rib.advertised(id(2), at, 3));
    assert_eq!(sorted(advertised.iter().map(|row| row.prefix).collect()), prefixes);
    for row in &advertised {
        assert_eq!(row.attributes, world.routes(2)[&row.prefix], "as sent");
    }
    assert!(World::pages(Family::Ipv6, |at| rib.routes(at, 3)).is_empty());
}

#[test]
fn lookup_finds_the_most_specific_usable_route() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.announce(1, &[net("0.0.0.0/0"), net("10.0.0.0/8")], &route(&[65001], "10.0.0.1"));
    world.metrics.insert(address("10.0.0.7"), None);
    world.announce(1, &[net("10.1.0.0/16")], &route(&[65001], "10.0.0.7"));
    world.settle();
    let found = |text| world.rib.lookup(address(text)).map(|route| route.prefix);
    assert_eq!(found("10.1.2.3"), Some(net("10.0.0.0/8")), "the /16 has no usable path");
    assert_eq!(found("11.1.2.3"), Some(net("0.0.0.0/0")));
    assert_eq!(found("2001:db8::1"), None);
}

#[test]
fn peers_of_a_kind_get_the_same_and_each_its_own() {
    // They share encoded attributes; what differs must not be shared.
    let mut world = World::new(1);
    world.up(1, external(1));
    for n in 2..=4 {
        world.up(n, external(n));
    }
    world.up(5, PeerRib { local_asn: 64999, ..external(5) });
    world.up(6, internal(6));
    for round in 0..3u32 {
        world.announce(1, &[net(P)], &route(&[65001, 7 + round], "10.0.0.1"));
        world.settle();
        let path = |n: u8| world.routes(n)[&net(P)].as_path().to_string();
        for n in 2..=4 {
            assert_eq!(path(n), format!("65000 65001 {}", 7 + round));
        }
        assert_eq!(path(5), format!("64999 65001 {}", 7 + round));
        assert_eq!(path(6), format!("65001 {}", 7 + round));
    }
    world.withdraw(1, &[net(P)]);
    world.settle();
    assert_eq!(world.rib.totals(), Totals::default(), "no block keeps an attribute set alive");
}
