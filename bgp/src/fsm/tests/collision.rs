//! Two machines that dial each other, in every order that the network allows.

use std::collections::{HashSet, VecDeque};

use super::*;

/// What travels on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Open(Box<Open>),
    Keepalive,
    Notification(Notification),
    Fin,
}

/// One connection: who dialled is who it is named after.
#[derive(Clone, Debug, Default)]
struct Wire {
    /// How each end calls it, once it knows of it. Index: the end.
    name: [Option<ConnId>; 2],
    dialled: bool,
    /// The dialler has been told that it is connected.
    told: bool,
    /// The other side's listener has taken it from its backlog.
    accepted: bool,
    refused: bool,
    /// What each end has yet to receive.
    to: [VecDeque<Segment>; 2],
    /// Ends that have closed.
    closed: [bool; 2],
}

/// Two machines and the two connections between them.
#[derive(Clone, Debug)]
struct World {
    fsm: [Fsm; 2],
    /// Index: who dialled.
    wires: [Wire; 2],
    now: Instant,
}

/// One thing that may happen next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Told(usize),
    Accept(usize),
    Deliver { wire: usize, end: usize },
}

impl World {
    fn new(identifiers: [u8; 2], ases: [u32; 2]) -> Self {
        let machine = |id: u8, asn| {
            let router_id = Ipv4Addr::new(10, 0, 0, id);
            let settings = Settings { router_id, local_as: asn, ..settings() };
            Fsm::new(settings, ConnId(0), 0)
        };
        let fsm = [machine(identifiers[0], ases[0]), machine(identifiers[1], ases[1])];
        let mut world = Self { fsm, wires: Default::default(), now: Instant::now() };
        for end in 0..2 {
            world.fsm[end].handle(Event::Start, world.now);
            world.carry_out(end);
        }
        world
    }

    fn carry_out(&mut self, end: usize) {
        while let Some(output) = self.fsm[end].poll() {
            let find = |wires: &[Wire; 2], conn| (0..2).find(|&wire| wires[wire].name[end] == Some(conn));
            let mut send = |conn, segment| {
                if let Some(wire) = find(&self.wires, conn) {
                    self.wires[wire].to[1 - end].push_back(segment);
                }
            };
            match output {
                Output::Dial(conn) => {
                    // Only the first dial counts here: whoever needs a second one has lost both connections.
                    if !self.wires[end].dialled {
                        self.wires[end].dialled = true;
                        self.wires[end].name[end] = Some(conn);
                    }
                }
                Output::SendOpen(conn, open) => send(conn, Segment::Open(open)),
                Output::SendKeepalive(conn) => send(conn, Segment::Keepalive),
                Output::Close(conn, notification) => {
                    if let Some(n) = notification {
                        send(conn, Segment::Notification(n));
                    }
                    send(conn, Segment::Fin);
                    if let Some(wire) = find(&self.wires, conn) {
                        self.wires[wire].closed[end] = true;
                    }
                }
                Output::Up(_) | Output::Down(_) | Output::Attempt(_) => {}
            }
        }
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, wire) in self.wires.iter().enumerate() {
            if wire.dialled && !wire.told && !wire.closed[index] {
                steps.push(Step::Told(index));
            }
            // TCP is up before either application has heard of it: the listener may see a connection that the
            // dialler has already given up.
            if wire.dialled && !wire.accepted {
                steps.push(Step::Accept(index));
            }
            for end in 0..2 {
                let knows = if end == index { wire.told } else { wire.accepted };
                if knows && !wire.closed[end] && !wire.to[end].is_empty() {
                    steps.push(Step::Deliver { wire: index, end });
                }
            }
        }
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Told(wire) => {
                self.wires[wire].told = true;
                let conn = self.wires[wire].name[wire].unwrap();
                self.fsm[wire].handle(Event::Dialled(conn), self.now);
                self.carry_out(wire);
            }
            Step::Accept(wire) => {
                let end = 1 - wire;
                self.wires[wire].accepted = true;
                match self.fsm[end].accept(self.now) {
                    Ok(conn) => self.wires[wire].name[end] = Some(conn),
                    Err(refused) => {
                        let to = &mut self.wires[wire].to[wire];
                        to.extend(refused.cease().map(|cease| Segment::Notification(cease.notification())));
                        to.push_back(Segment::Fin);
                        self.wires[wire].closed[end] = true;
                        self.wires[wire].refused = true;
                    }
                }
                self.carry_out(end);
            }
            Step::Deliver { wire, end } => {
                let segment = self.wires[wire].to[end].pop_front().unwrap();
                let conn = self.wires[wire].name[end].unwrap();
                let event = match segment {
                    Segment::Open(open) => Event::Received(conn, Received::Open(open)),
                    Segment::Keepalive => Event::Received(conn, Received::Keepalive),
                    Segment::Notification(n) => Event::Received(conn, Received::Notification(n)),
                    Segment::Fin => {
                        self.wires[wire].closed[end] = true;
                        Event::Failed(conn, "closed".into())
                    }
                };
                self.fsm[end].handle(event, self.now);
                self.carry_out(end);
            }
        }
    }

    /// All that matters for what happens next.
    fn fingerprint(&self) -> String {
        format!("{:?} {:?} {:?}", self.fsm[0].phase, self.fsm[1].phase, self.wires)
    }

    /// Which connection each end is Established on, by its dialler.
    fn sessions(&self) -> [Option<usize>; 2] {
        [0, 1].map(|end| {
            let conn = self.fsm[end].established()?.conn;
            (0..2).find(|&wire| self.wires[wire].name[end] == Some(conn))
        })
    }
}

/// Visits every state that can be reached, and returns the sessions that each end state has.
fn explore(identifiers: [u8; 2], ases: [u32; 2]) -> Vec<([Option<usize>; 2], String)> {
    let mut seen = HashSet::new();
    let mut todo = vec![(World::new(identifiers, ases), Vec::<Step>::new())];
    let mut ends = Vec::new();
    while let Some((world, path)) = todo.pop() {
        if !seen.insert(world.fingerprint()) {
            continue;
        }
        let steps = world.steps();
        if steps.is_empty() {
            ends.push((world.sessions(), format!("{path:?}")));
        }
        for step in steps {
            let mut next = world.clone();
            next.take(step);
            let path = path.iter().copied().chain([step]).collect();
            todo.push((next, path));
        }
    }
    assert!(seen.len() > 100, "only {} states", seen.len());
    ends
}

#[test]
fn whatever_the_order_both_sides_end_up_established_on_the_same_connection() {
    for (identifiers, ases) in [([1, 2], [500, 65002]), ([2, 1], [500, 65002]), ([1, 1], [500, 65002])] {
        for (sessions, path) in explore(identifiers, ases) {
            assert!(
                sessions == [Some(0), Some(0)] || sessions == [Some(1), Some(1)],
                "identifiers {identifiers:?}: {sessions:?} after {path}"
            );
        }
    }
}

#[test]
fn when_both_connections_were_open_in_time_the_higher_identifier_s_stays_then_the_higher_as_s() {
    for (identifiers, ases, winner) in [
        ([1, 2], [65002, 500], 1),
        ([2, 1], [500, 65002], 0),
        ([1, 1], [500, 65002], 1),
        ([1, 1], [65002, 500], 0),
    ] {
        let mut world = World::new(identifiers, ases);
        for wire in 0..2 {
            world.take(Step::Told(wire));
            world.take(Step::Accept(wire));
        }
        while let Some(step) = world.steps().pop() {
            world.take(step);
        }
        assert_eq!(world.sessions(), [Some(winner); 2], "identifiers {identifiers:?}, ASes {ases:?}");
    }
}

/// OpenConfirm on our own dial, which loses; a second connection of the peer, which wins, is in OpenSent.
fn undecided() -> (Bench, ConnId, ConnId) {
    let (mut bench, ours) = Bench::connect();
    bench.handle(Event::Dialled(ours));
    let theirs = bench.accept();
    bench.receive(ours, Received::Open(Box::new(stronger())));
    bench.receive(ours, Received::Keepalive);
    bench.outputs();
    assert_eq!(bench.fsm.state(), State::OpenConfirm, "the loser waits for the winner");
    (bench, ours, theirs)
}

fn stronger() -> Open {
    Open { router_id: Ipv4Addr::new(10, 0, 0, 3), ..peer_open() }
}

#[test]
fn the_loser_goes_when_the_winner_has_its_open_and_not_before() {
    let (mut bench, ours, theirs) = undecided();
    bench.receive(theirs, Received::Open(Box::new(stronger())));
    let collision = Cease::ConnectionCollision.notification();
    assert_eq!(bench.outputs()[0], Output::Close(ours, Some(collision)));
    bench.receive(theirs, Received::Keepalive);
    assert_eq!(bench.fsm.established().map(|e| e.conn), Some(theirs));
}

#[test]
fn the_loser_is_taken_when_the_winner_dies() {
    let (mut bench, ours, theirs) = undecided();
    bench.handle(Event::Failed(theirs, "reset".into()));
    assert_eq!(bench.fsm.established().map(|e| e.conn), Some(ours));
}

#[test]
fn the_loser_is_taken_when_the_peer_already_uses_it() {
    let (mut bench, ours, theirs) = undecided();
    bench.receive(ours, Received::Update);
    assert_eq!(bench.fsm.established().map(|e| e.conn), Some(ours));
    let collision = Cease::ConnectionCollision.notification();
    assert_eq!(bench.outputs()[0], Output::Close(theirs, Some(collision)));
}

#[test]
fn the_loser_is_taken_when_the_winner_stays_silent() {
    let (mut bench, ours, _) = undecided();
    bench.advance(COLLISION_WAIT);
    assert_eq!(bench.fsm.established().map(|e| e.conn), Some(ours));
}

#[test]
fn a_peer_that_dials_twice_has_given_up_its_first_dial() {
    let mut bench = Bench::new(Settings { passive: true, ..settings() });
    bench.handle(Event::Start);
    let first = bench.accept();
    let second = bench.accept();
    let collision = Cease::ConnectionCollision.notification();
    assert!(bench.outputs().contains(&Output::Close(first, Some(collision))));
    assert!(bench.fsm.owns(second) && !bench.fsm.owns(first));
}

#[test]
fn losing_a_collision_is_not_held_against_the_peer() {
    let (mut bench, conn) = Bench::connect();
    bench.fsm.failures = 5;
    bench.handle(Event::Dialled(conn));
    bench.receive(conn, Received::Notification(Cease::ConnectionCollision.notification()));
    assert_eq!(bench.fsm.failures, 5);
}
