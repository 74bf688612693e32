//! What must not grow, and what must come back.

use super::super::*;
use super::world::*;

fn prefixes(count: u32) -> Vec<IpNet> {
    (0..count).map(|n| Ipv4Net::new((0x0a00_0000 + n).into(), 32).unwrap().into()).collect()
}

#[test]
fn everything_comes_back_after_a_mass_withdrawal() {
    let mut world = World::new(2);
    for n in 1..=3 {
        world.up(n, external(n));
    }
    let all = prefixes(20_000);
    for round in 0..3 {
        for (at, chunk) in (1..).zip(all.chunks(100)) {
            for n in 1..=2 {
                world.announce(n, chunk, &route(&[65000 + u32::from(n), at], &format!("10.0.0.{n}")));
            }
            if at % 10 == 0 {
                world.settle();
            }
        }
        world.settle();
        assert_eq!(world.routes(3).len(), 20_000);
        assert_eq!(world.rib.totals().attribute_sets, 400);
        assert_eq!(world.rib.ipv4.table.bound(), 20_000, "ids are used again");
        if round == 1 {
            world.down(1);
            world.down(2);
            world.settle();
            world.up(1, external(1));
            world.up(2, external(2));
        } else {
            for chunk in all.chunks(100) {
                world.withdraw(1, chunk);
                world.withdraw(2, chunk);
            }
        }
        world.settle();
        assert_eq!(world.rib.totals(), Totals::default());
        assert!(world.routes(3).is_empty() && world.fib.is_empty() && world.watched.is_empty());
        assert!(world.rib.ipv4.table.bound() <= 4096, "pages are freed");
    }
}

#[test]
fn a_reader_that_does_not_read_costs_nothing_under_churn() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.up(2, external(2));
    let all = prefixes(3000);
    for chunk in all.chunks(500) {
        world.announce(1, chunk, &route(&[65001], "10.0.0.1"));
    }
    world.settle();
    world.sent(2);
    for round in 0..50 {
        for chunk in all.chunks(500) {
            world.announce(1, chunk, &route(&[65001, 1 + round], "10.0.0.1"));
        }
        world.resolve();
        // Old attributes live on only where the peer was last sent them.
        assert!(world.rib.totals().attribute_sets <= 2, "{:?}", world.rib.totals());
    }
    world.settle();
    assert_eq!(world.sent(2).len(), 3000, "each route once, however often it changed");
}

#[test]
fn an_id_is_not_given_away_while_a_peer_has_yet_to_be_told() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.up(2, external(2));
    let all = prefixes(200);
    let (old, new) = all.split_at(100);
    world.announce(1, old, &route(&[65001], "10.0.0.1"));
    world.settle();
    // Peer 2 reads nothing while everything is replaced by other prefixes.
    world.withdraw(1, old);
    world.announce(1, new, &route(&[65001], "10.0.0.1"));
    world.drain_fib();
    assert_eq!(world.rib.totals().destinations[0], 200);
    world.settle();
    assert_eq!(world.routes(2).keys().copied().collect::<Vec<_>>(), new);
    assert_eq!(world.rib.totals().destinations[0], 100);
    // A peer that is gone has to be told nothing.
    world.withdraw(1, new);
    world.down(2);
    world.settle();
    assert_eq!(world.rib.totals(), Totals::default());
}

#[test]
fn packing_a_table_of_which_nothing_may_be_sent_is_bounded() {
    let mut world = World::new(1);
    world.up(1, external(1));
    for chunk in prefixes(40_000).chunks(500) {
        world.announce(1, chunk, &route(&[65001], "10.0.0.1"));
    }
    world.settle();
    let never = crate::policy::Rule {
        source: Some(crate::policy::Source::Learned),
        as_paths: vec!["1".parse().unwrap()],
        ..crate::policy::Rule::new(crate::policy::Action::Accept)
    };
    let export = Arc::new(Policy::new(vec![never], crate::policy::Action::Reject));
    world.up(2, PeerRib { export, ..external(2) });
    let mut calls = 1;
    while world.pack(id(2), 65536) {
        calls += 1;
    }
    assert_eq!(calls, 40_000_usize.div_ceil(16_384));
    let sent = world.sent(2);
    assert!(sent.contains(&Seen::EndOfRib(Family::Ipv4)) && sent.len() == 2, "{sent:?}");
}

#[test]
fn a_small_budget_gets_everything_through_in_the_end() {
    let mut world = World::new(1);
    world.up(1, external(1));
    world.up(2, external(2));
    let all = prefixes(1000);
    for (at, chunk) in (0..).zip(all.chunks(7)) {
        world.announce(1, chunk, &route(&[65001, 1 + at % 10], "10.0.0.1"));
    }
    world.resolve();
    while world.rib.work(1) {}
    while world.pack(id(2), 1) {}
    assert_eq!(world.routes(2).len(), 1000);
    let sent = world.sent(2);
    assert_eq!(sent.iter().filter(|seen| matches!(seen, Seen::Announced(_))).count(), 1000, "each once");
}
