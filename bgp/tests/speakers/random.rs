//! Random networks in random trouble. Afterwards everything must fit together.
//!
//! `SIM_SEED=n` replays one seed; `SIM_SEEDS=n` runs that many.

use std::{ops::Range, sync::Arc, time::Duration};

use petiole_bgp::{fsm::Random, policy::Policy, speaker::Reset};

use crate::net::{Net, prefix, transit};

/// Prefixes that are originated, each by one node at most.
const PREFIXES: u32 = 12;

fn seeds() -> Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(2000),
    }
}

/// Says which seed failed, whatever went wrong.
struct Announce(u64);

impl Drop for Announce {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with SIM_SEED={}", self.0);
        }
    }
}

#[test]
fn after_any_trouble_all_sessions_are_back_and_all_tables_agree() {
    for seed in seeds() {
        let _announce = Announce(seed);
        trouble(seed);
    }
}

fn trouble(seed: u64) {
    let mut random = Random::new(seed);
    let size = 2 + random.below(4) as usize;
    let links = links(size, &mut random);
    let mut net = Net::new(random.next_u64(), size, &links);
    net.latency = Duration::from_millis(1 + random.below(300));
    net.capacity = 512 << random.below(8);
    for node in 0..size {
        for peer in &mut net.nodes[node].config.peers {
            peer.hold_time = [0, 3, 9, 90][random.below(4) as usize];
        }
        net.start(node);
    }
    let mut owner = vec![None; PREFIXES as usize];
    for _ in 0..random.below(60) {
        disturb(&mut net, &links, &mut owner, &mut random);
        let pause = Duration::from_millis(random.below(3000) >> random.below(12));
        net.run(pause);
        for node in 0..size {
            let (open, peers) = net.connections_of(node);
            assert!(open <= 2 * peers, "node{node} has {open} connections: {}", net.describe());
        }
    }
    recover(&mut net, &links);
    net.converge();
    net.check();
    for node in 0..size {
        let (open, peers) = net.connections_of(node);
        assert_eq!(open, peers, "node{node}: one connection for each session");
    }
    for (number, owner) in owner.iter().enumerate() {
        for node in 0..size {
            let here = net.nodes[node].fib.contains_key(&prefix(number as u32));
            let expected = owner.is_some_and(|owner| owner != node);
            assert_eq!(here, expected, "prefix {number} of {owner:?} on node{node}: {}", net.describe());
        }
    }
}

/// A connected network.
fn links(size: usize, random: &mut Random) -> Vec<(usize, usize)> {
    let mut links: Vec<_> = (1..size).map(|node| (random.below(node as u64) as usize, node)).collect();
    for a in 0..size {
        for b in a + 1..size {
            if random.below(3) == 0 && !links.contains(&(a, b)) {
                links.push((a, b));
            }
        }
    }
    links
}

fn disturb(net: &mut Net, links: &[(usize, usize)], owner: &mut [Option<usize>], random: &mut Random) {
    let node = random.below(net.nodes.len() as u64) as usize;
    let (a, b) = links[random.below(links.len() as u64) as usize];
    let number = random.below(PREFIXES.into()) as usize;
    let running = net.nodes[node].speaker.is_some();
    match random.below(16) {
        0..=3 if running => match owner[number] {
            Some(owner_node) if owner_node == node => {
                net.withdraw(node, number as u32);
                owner[number] = None;
            }
            None => {
                net.originate(node, number as u32);
                owner[number] = Some(node);
            }
            Some(_) => {}
        },
        4 => net.cut(a, b),
        5 => net.heal(a, b),
        6 | 7 if running => {
            // What it originated is gone with it.
            owner.iter_mut().filter(|owner| **owner == Some(node)).for_each(|owner| *owner = None);
            if random.below(2) == 0 { net.kill(node) } else { net.power_off(node) }
        }
        8 | 9 if !running => net.start(node),
        10 => {
            let reading = !net.nodes[node].reading;
            net.set_reading(node, reading);
        }
        11 | 12 if running => {
            let reset = match random.below(4) {
                0 => Reset::SoftIn,
                1 => Reset::SoftOut,
                _ => Reset::Hard("simulated".into()),
            };
            let peers = net.nodes[node].config.peers.len() as u64;
            let name = net.nodes[node].config.peers[random.below(peers) as usize].name.clone();
            net.with(node, |speaker, now| {
                let peer = speaker.peer_id(&name).unwrap();
                speaker.reset(peer, reset, now);
            });
        }
        13..=15 if running => {
            let what = random.below(7);
            let peers = net.nodes[node].config.peers.len() as u64;
            let which = random.below(peers) as usize;
            net.reconfigure(node, |config| {
                let peer = &mut config.peers[which];
                match what {
                    0 => peer.import = Arc::new(Policy::none()),
                    1 => peer.import = Arc::new(Policy::all()),
                    2 => peer.export = Arc::new(Policy::local()),
                    3 => peer.export = transit(),
                    4 => peer.hold_time = 30 - peer.hold_time.min(27),
                    5 => peer.shutdown = peer.shutdown.is_none().then(|| "simulated".into()),
                    _ => peer.passive = !peer.passive,
                }
            });
        }
        _ => {}
    }
}

/// Removes every obstacle.
fn recover(net: &mut Net, links: &[(usize, usize)]) {
    for &(a, b) in links {
        net.heal(a, b);
    }
    for node in 0..net.nodes.len() {
        net.set_reading(node, true);
        if net.nodes[node].speaker.is_none() {
            net.start(node);
        }
        net.reconfigure(node, |config| {
            for peer in &mut config.peers {
                peer.import = Arc::new(Policy::all());
                peer.export = transit();
                peer.shutdown = None;
                peer.passive = false;
            }
        });
    }
}
