//! A peer that does not read costs no memory.

use std::time::Duration;

use crate::net::Net;

#[test]
fn a_peer_that_reads_nothing_makes_nothing_grow_and_gets_only_the_outcome() {
    let mut net = Net::new(1, 2, &[(0, 1)]);
    net.capacity = 8 * 1024;
    for node in 0..2 {
        // So that the one who does not read does not give up either.
        net.nodes[node].config.peers[0].hold_time = 0;
        net.start(node);
    }
    net.run_until(Duration::from_secs(30), Net::all_established);
    net.set_reading(1, false);
    for round in 0..50 {
        (0..400).for_each(|number| net.originate(0, number));
        (0..400).filter(|number| number % 50 != round).for_each(|number| net.withdraw(0, number));
        net.run(Duration::from_secs(1));
        assert!(net.buffered() <= 40 * 1024, "round {round}: {} octets", net.buffered());
    }
    let sent = net.status(0, 1).unwrap().messages.sent.update;
    net.set_reading(1, true);
    net.converge();
    assert_eq!(net.received(1, 0).len(), 8);
    net.check();
    let after = net.status(0, 1).unwrap().messages.sent.update - sent;
    assert!(after < 100, "20,000 changes while it did not read have become {after} messages");
}

#[test]
fn a_slow_peer_does_not_hold_up_a_fast_one() {
    let mut net = Net::new(2, 3, &[(0, 1), (0, 2)]);
    net.capacity = 4 * 1024;
    (0..3).for_each(|node| net.start(node));
    net.run_until(Duration::from_secs(30), Net::all_established);
    net.set_reading(1, false);
    (0..2000).for_each(|number| net.originate(0, number));
    net.run(Duration::from_secs(5));
    assert_eq!(net.received(2, 0).len(), 2000);
    net.set_reading(1, true);
    net.converge();
    assert_eq!(net.received(1, 0).len(), 2000);
    net.check();
}
