//! A network of speakers with a virtual clock: latency, partitions, half-open connections, slow readers.
//!
//! Everything random comes from one seed. Nothing sleeps; a day of protocol time takes milliseconds.

mod setup;
mod tcp;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use petiole_bgp::{
    fsm::Random,
    rib::{Cursor, FibChange, NextHops},
    speaker::{Action, Config, ConnId, Impact, PeerEventKind, PeerId, PeerStatus, Speaker, State},
    wire::{Attributes, Family},
};
pub(crate) use setup::{address, asn, config, origination, peer, prefix, transit};
use tcp::{Connection, Segment, What};

pub(crate) struct Net {
    pub(crate) now: Instant,
    start: Instant,
    pub(crate) random: Random,
    pub(crate) nodes: Vec<Node>,
    connections: Vec<Connection>,
    events: BinaryHeap<Reverse<(Instant, u64, usize, What)>>,
    sequence: u64,
    /// Pairs of nodes that cannot reach each other, both orders.
    cut: HashSet<(usize, usize)>,
    /// One way, at most; at least a tenth of it.
    pub(crate) latency: Duration,
    /// Octets that a connection holds in one direction: send buffer, wire and receive buffer together.
    pub(crate) capacity: usize,
}

pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) speaker: Option<Speaker>,
    /// Takes what arrives.
    pub(crate) reading: bool,
    /// No answer at all, not even from the kernel.
    silent: bool,
    /// What the speaker said, and when since the beginning.
    pub(crate) log: Vec<(Duration, Arc<str>, PeerEventKind)>,
    pub(crate) fib: BTreeMap<IpNet, NextHops>,
    sockets: HashMap<ConnId, (usize, usize)>,
}

impl Net {
    /// Nodes that are not running yet, and which of them peer.
    pub(crate) fn new(seed: u64, size: usize, links: &[(usize, usize)]) -> Self {
        let start = Instant::now();
        let mut configs: Vec<_> = (0..size).map(config).collect();
        for &(a, b) in links {
            configs[a].peers.push(peer(b));
            configs[b].peers.push(peer(a));
        }
        let node = |config| Node {
            config,
            speaker: None,
            reading: true,
            silent: false,
            log: Vec::new(),
            fib: BTreeMap::new(),
            sockets: HashMap::new(),
        };
        Self {
            now: start,
            start,
            random: Random::new(seed),
            nodes: configs.into_iter().map(node).collect(),
            connections: Vec::new(),
            events: BinaryHeap::new(),
            sequence: 0,
            cut: HashSet::new(),
            latency: Duration::from_millis(5),
            capacity: 256 * 1024,
        }
    }

    /// Two nodes that peer, running.
    pub(crate) fn pair(seed: u64) -> Self {
        let mut net = Self::new(seed, 2, &[(0, 1)]);
        net.start(0);
        net.start(1);
        net
    }

    /// The same, Established.
    pub(crate) fn established_pair(seed: u64) -> Self {
        let mut net = Self::pair(seed);
        net.run_until(Duration::from_secs(30), Self::all_established);
        net
    }

    pub(crate) fn start(&mut self, node: usize) {
        let seed = self.random.next_u64();
        self.nodes[node].silent = false;
        self.set_reading(node, true);
        self.nodes[node].speaker = Some(Speaker::new(self.nodes[node].config.clone(), seed, self.now));
        self.settle(node);
    }

    /// The process dies; its kernel resets the connections.
    pub(crate) fn kill(&mut self, node: usize) {
        let sockets = std::mem::take(&mut self.nodes[node].sockets);
        self.nodes[node].speaker = None;
        self.nodes[node].fib.clear();
        for (index, end) in sockets.into_values() {
            self.connections[index].open[end] = false;
            self.send(index, end, Segment::Reset);
        }
    }

    /// The power fails: nobody is told.
    pub(crate) fn power_off(&mut self, node: usize) {
        let sockets = std::mem::take(&mut self.nodes[node].sockets);
        self.nodes[node].speaker = None;
        self.nodes[node].fib.clear();
        self.nodes[node].silent = true;
        for (index, end) in sockets.into_values() {
            self.connections[index].open[end] = false;
        }
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.cut.extend([(a, b), (b, a)]);
    }

    pub(crate) fn heal(&mut self, a: usize, b: usize) {
        self.cut.remove(&(a, b));
        self.cut.remove(&(b, a));
    }

    /// A node takes, or does not take, what arrives.
    pub(crate) fn set_reading(&mut self, node: usize, reading: bool) {
        self.nodes[node].reading = reading;
        if reading {
            for index in 0..self.connections.len() {
                for end in 0..2 {
                    if self.connections[index].nodes[end] == node {
                        self.schedule(self.now, index, What::Deliver(end));
                    }
                }
            }
        }
    }

    pub(crate) fn speaker(&mut self, node: usize) -> &mut Speaker {
        self.nodes[node].speaker.as_mut().expect("the node runs")
    }

    /// Calls a speaker and does what it asks for.
    pub(crate) fn with<T>(&mut self, node: usize, act: impl FnOnce(&mut Speaker, Instant) -> T) -> T {
        let now = self.now;
        let result = act(self.speaker(node), now);
        self.settle(node);
        result
    }

    pub(crate) fn originate(&mut self, node: usize, number: u32) {
        self.with(node, |speaker, _| speaker.originate(prefix(number), &origination()));
    }

    pub(crate) fn withdraw(&mut self, node: usize, number: u32) {
        self.with(node, |speaker, _| speaker.withdraw(prefix(number)));
    }

    /// Reconfigures a node by changing what it was configured with.
    pub(crate) fn reconfigure(
        &mut self,
        node: usize,
        change: impl FnOnce(&mut Config),
    ) -> Vec<(String, Impact)> {
        change(&mut self.nodes[node].config);
        let config = self.nodes[node].config.clone();
        self.with(node, |speaker, now| speaker.reconfigure(config, now))
    }

    /// How `node` sees `other`.
    pub(crate) fn status(&self, node: usize, other: usize) -> Option<PeerStatus> {
        let speaker = self.nodes[node].speaker.as_ref()?;
        speaker.peer(speaker.peer_id(&format!("node{other}"))?)
    }

    pub(crate) fn state(&self, node: usize, other: usize) -> Option<State> {
        self.status(node, other).map(|status| status.state)
    }

    pub(crate) fn peer_id(&self, node: usize, other: usize) -> PeerId {
        self.status(node, other).expect("they peer").id
    }

    /// The last thing that `node` said about `other` and that `pick` is interested in.
    pub(crate) fn said<T>(&self, node: usize, pick: impl Fn(&PeerEventKind) -> Option<T>) -> Option<T> {
        self.nodes[node].log.iter().rev().find_map(|(_, _, kind)| pick(kind))
    }

    /// Every speaker that runs has every session that it is configured with.
    pub(crate) fn all_established(&self) -> bool {
        self.nodes.iter().filter_map(|node| node.speaker.as_ref()).all(|speaker| {
            speaker.peers().all(|peer| peer.shutdown.is_some() || peer.state == State::Established)
        })
    }

    /// Nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        let sent = |connection: &Connection, end: usize| {
            let lane = &connection.lanes[1 - end];
            let lost = end == 0 && !connection.accepted;
            (lost || lane.segments.is_empty()) && (!connection.open[end] || lane.out.is_empty() && !lane.more)
        };
        self.events.is_empty() && self.connections.iter().all(|one| sent(one, 0) && sent(one, 1))
    }

    /// How many connections a node has, dials included, and how many peers.
    pub(crate) fn connections_of(&self, node: usize) -> (usize, usize) {
        let node = &self.nodes[node];
        (node.sockets.len(), node.config.peers.len())
    }

    /// Octets of output that are waiting anywhere.
    pub(crate) fn buffered(&self) -> usize {
        let lanes = self.connections.iter().flat_map(|connection| &connection.lanes);
        lanes.map(|lane| lane.octets + lane.out.len()).sum()
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Lets time pass until something is true.
    #[track_caller]
    pub(crate) fn run_until(&mut self, limit: Duration, mut is_true: impl FnMut(&Self) -> bool) {
        let end = self.now + limit;
        while !is_true(self) {
            assert!(self.step(end), "not within {limit:?}: {}", self.describe());
        }
    }

    /// All sessions up and nothing under way.
    #[track_caller]
    pub(crate) fn converge(&mut self) {
        self.run_until(Duration::from_mins(10), |net| net.all_established() && net.is_quiet());
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub(crate) fn describe(&self) -> String {
        let mut text = format!("after {:?}\n", self.elapsed());
        for (index, node) in self.nodes.iter().enumerate() {
            match &node.speaker {
                None => writeln!(text, "node{index}: off").unwrap(),
                Some(speaker) => {
                    for peer in speaker.peers() {
                        let last = peer.last_error.as_ref().map(|(_, cause)| cause.to_string());
                        let (name, state, idle) = (peer.name, peer.state, peer.idle);
                        writeln!(text, "node{index} -> {name}: {state} {idle:?} {last:?}").unwrap();
                    }
                }
            }
        }
        text
    }

    /// The routes of an Adj-RIB.
    pub(crate) fn received(&self, node: usize, other: usize) -> BTreeMap<IpNet, Attributes> {
        let speaker = self.nodes[node].speaker.as_ref().expect("the node runs");
        let peer = self.peer_id(node, other);
        pages(|cursor| {
            let page = speaker.received(peer, cursor, 3);
            (page.rows.into_iter().map(|row| (row.prefix, row.attributes)).collect(), page.next)
        })
    }

    pub(crate) fn advertised(&self, node: usize, other: usize) -> BTreeMap<IpNet, Attributes> {
        let speaker = self.nodes[node].speaker.as_ref().expect("the node runs");
        let peer = self.peer_id(node, other);
        pages(|cursor| {
            let page = speaker.advertised(peer, cursor, 3);
            (page.rows.into_iter().map(|row| (row.prefix, row.attributes)).collect(), page.next)
        })
    }

    /// What must be true of the network whenever nothing is under way, for the sessions that are up.
    pub(crate) fn check(&self) {
        for (node, one) in self.nodes.iter().enumerate() {
            let Some(speaker) = &one.speaker else { continue };
            for status in speaker.peers().filter(|status| status.state == State::Established) {
                let other: usize = status.name.trim_start_matches("node").parse().unwrap();
                let theirs = self.status(other, node).expect("the other one is on");
                assert_eq!(theirs.state, State::Established, "one-sided: {}", self.describe());
                assert_eq!(status.local, theirs.remote, "two connections: {}", self.describe());
                let mut sent = self.advertised(other, node);
                // What the receiver refuses because it has been there.
                sent.retain(|_, attributes| !attributes.as_path().contains(asn(node)));
                assert_eq!(sent, self.received(node, other), "node{other} to node{node}");
            }
        }
    }

    fn step(&mut self, end: Instant) -> bool {
        let event = self.events.peek().map(|Reverse((at, ..))| *at);
        let timer = self.nodes.iter().filter_map(|node| node.speaker.as_ref()?.next_timeout()).min();
        let Some(next) = event.into_iter().chain(timer).min().filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        if event.is_some_and(|at| at <= self.now) {
            if let Some(Reverse((_, _, connection, what))) = self.events.pop() {
                self.happen(connection, what);
            }
        } else {
            for node in 0..self.nodes.len() {
                let due = self.nodes[node].speaker.as_ref().and_then(Speaker::next_timeout);
                if due.is_some_and(|at| at <= self.now) {
                    self.with(node, Speaker::handle_timeout);
                }
            }
        }
        true
    }

    /// Does what a speaker asks for.
    fn settle(&mut self, node: usize) {
        loop {
            let Node { speaker: Some(speaker), fib, .. } = &mut self.nodes[node] else { return };
            while speaker.work() {}
            while let Some(FibChange { prefix, next_hops, .. }) = speaker.next_route_change() {
                match next_hops {
                    Some(next_hops) => fib.insert(prefix, next_hops),
                    None => fib.remove(&prefix),
                };
            }
            match speaker.poll_action() {
                None => return,
                Some(Action::Connect { conn, remote, .. }) => self.connect(node, conn, remote),
                Some(Action::Writable { conn }) => {
                    if let Some(&(index, end)) = self.nodes[node].sockets.get(&conn) {
                        self.connections[index].lanes[1 - end].more = true;
                        self.pump(index, end);
                    }
                }
                Some(Action::Close { conn, farewell }) => {
                    if let Some((index, end)) = self.nodes[node].sockets.remove(&conn) {
                        self.close(index, end, &farewell);
                    }
                }
                Some(Action::Watch(address)) => speaker.next_hop(address, Some(0)),
                Some(Action::Unwatch(_)) => {}
                Some(Action::Event(event)) => {
                    let at = self.now - self.start;
                    self.nodes[node].log.push((at, event.name, event.kind));
                }
            }
        }
    }
}

fn pages(
    mut page: impl FnMut(Cursor) -> (Vec<(IpNet, Attributes)>, Option<Cursor>),
) -> BTreeMap<IpNet, Attributes> {
    let mut routes = BTreeMap::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let mut cursor = Some(Cursor::start(family));
        while let Some(at) = cursor {
            let (rows, next) = page(at);
            routes.extend(rows);
            cursor = next;
        }
    }
    routes
}
