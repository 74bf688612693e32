//! The state machine against its table, its collisions against every order of events, its timers one by one.

mod collision;
mod table;
mod timers;

use std::{net::Ipv4Addr, time::Duration};

use super::*;
use crate::wire::{Capability, Family, FamilySet, Open};

fn settings() -> Settings {
    Settings {
        local_as: 65002,
        router_id: Ipv4Addr::new(10, 0, 0, 2),
        host_name: String::new(),
        remote_as: RemoteAs::External,
        families: FamilySet { ipv4: true, ipv6: false },
        extended_next_hop: false,
        hold_time: 9,
        keepalive: None,
        connect_retry: Duration::from_secs(30),
        graceful_restart: true,
        passive: false,
        prefix_limit_restart: None,
    }
}

/// The OPEN of a peer that would lose a collision.
fn peer_open() -> Open {
    Open {
        asn: 500,
        hold_time: 90,
        router_id: Ipv4Addr::new(10, 0, 0, 1),
        capabilities: vec![Capability::Multiprotocol(Family::Ipv4), Capability::RouteRefresh],
    }
}

fn open() -> Received {
    Received::Open(Box::new(peer_open()))
}

/// A started machine with its clock.
struct Bench {
    fsm: Fsm,
    now: Instant,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self { fsm: Fsm::new(settings, ConnId(0), 1), now: Instant::now() }
    }

    /// Started, with a dial under way.
    fn connect() -> (Self, ConnId) {
        let mut bench = Self::new(settings());
        bench.handle(Event::Start);
        let conn = bench.dialling();
        (bench, conn)
    }

    fn established() -> (Self, ConnId) {
        let (mut bench, conn) = Self::connect();
        bench.handle(Event::Dialled(conn));
        bench.receive(conn, open());
        bench.receive(conn, Received::Keepalive);
        bench.outputs();
        assert_eq!(bench.fsm.state(), State::Established);
        (bench, conn)
    }

    fn handle(&mut self, event: Event) {
        self.fsm.handle(event, self.now);
    }

    fn receive(&mut self, conn: ConnId, received: Received) {
        self.handle(Event::Received(conn, received));
    }

    fn accept(&mut self) -> ConnId {
        self.fsm.accept(self.now).unwrap()
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.fsm.poll()).collect()
    }

    /// The dial that was just asked for.
    fn dialling(&mut self) -> ConnId {
        let outputs = self.outputs();
        match outputs.last() {
            Some(Output::Dial(conn)) => *conn,
            _ => panic!("no dial, but {outputs:?}"),
        }
    }

    /// Lets time pass, timer by timer.
    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.fsm.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.fsm.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn pause(&self) -> Duration {
        self.fsm.next_retry().expect("a retry is due").saturating_duration_since(self.now)
    }
}
