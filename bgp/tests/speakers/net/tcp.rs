//! TCP as far as speakers notice: connections that come up on both sides at different times, that hold only so much, that
//! lose nothing, and that do not tell when the other end is gone.

use std::{
    cmp::Reverse,
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use petiole_bgp::speaker::ConnId;

use super::{Net, address};

/// How much of the speaker's output is asked for at once.
const BUDGET: usize = 16 * 1024;

/// A retransmission, as far as this network is concerned.
const RETRANSMIT: Duration = Duration::from_millis(200);

/// A TCP connection. End 0 dialled.
pub(super) struct Connection {
    pub(super) nodes: [usize; 2],
    addresses: [SocketAddr; 2],
    ids: [Option<ConnId>; 2],
    /// The application has it.
    pub(super) open: [bool; 2],
    /// The listening side has taken it from the backlog.
    pub(super) accepted: bool,
    /// What travels to each end.
    pub(super) lanes: [Lane; 2],
}

#[derive(Default)]
pub(super) struct Lane {
    /// The sender's own buffer: what the speaker produced and the connection has not taken.
    pub(super) out: BytesMut,
    /// The speaker has said that there is more.
    pub(super) more: bool,
    pub(super) segments: VecDeque<(Instant, Segment)>,
    pub(super) octets: usize,
    inbox: BytesMut,
}

pub(super) enum Segment {
    Data(Bytes),
    Fin,
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Syn,
    Accept,
    SynAck,
    Refused,
    /// To this end.
    Deliver(usize),
}

impl Net {
    pub(super) fn schedule(&mut self, at: Instant, connection: usize, what: What) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, connection, what)));
    }

    fn delay(&mut self) -> Duration {
        let most = self.latency.as_nanos() as u64;
        Duration::from_nanos(most / 10 + self.random.below(most - most / 10))
    }

    pub(super) fn connect(&mut self, node: usize, conn: ConnId, remote: SocketAddr) {
        let index = self.connections.len();
        let local = SocketAddr::new(address(node), 20000 + index as u16);
        let other = (0..self.nodes.len()).find(|&other| address(other) == remote.ip());
        self.connections.push(Connection {
            nodes: [node, other.unwrap_or(node)],
            addresses: [local, remote],
            ids: [Some(conn), None],
            open: [true, true],
            accepted: false,
            lanes: Default::default(),
        });
        self.nodes[node].sockets.insert(conn, (index, 0));
        let delay = self.delay();
        if other.is_some() {
            self.schedule(self.now + delay, index, What::Syn);
        }
    }

    /// Moves output of an end as far as the connection takes it.
    pub(super) fn pump(&mut self, index: usize, from: usize) {
        loop {
            let connection = &mut self.connections[index];
            if !connection.open[from] {
                return;
            }
            let lane = &mut connection.lanes[1 - from];
            let room = self.capacity.saturating_sub(lane.octets);
            if !lane.out.is_empty() {
                if room == 0 {
                    return;
                }
                let data = lane.out.split_to(room.min(lane.out.len())).freeze();
                self.send(index, from, Segment::Data(data));
            } else if lane.more {
                let (Some(conn), Some(speaker)) =
                    (connection.ids[from], self.nodes[connection.nodes[from]].speaker.as_mut())
                else {
                    return;
                };
                lane.more = speaker.transmit(conn, &mut lane.out, BUDGET, self.now);
            } else {
                return;
            }
        }
    }

    pub(super) fn send(&mut self, index: usize, from: usize, segment: Segment) {
        let delay = self.delay();
        let lane = &mut self.connections[index].lanes[1 - from];
        let earliest = lane.segments.back().map_or(self.now, |(at, _)| *at);
        let at = (self.now + delay).max(earliest);
        if let Segment::Data(data) = &segment {
            lane.octets += data.len();
        }
        lane.segments.push_back((at, segment));
        self.schedule(at, index, What::Deliver(1 - from));
    }

    pub(super) fn close(&mut self, index: usize, end: usize, farewell: &[u8]) {
        let connection = &mut self.connections[index];
        connection.open[end] = false;
        let lane = &mut connection.lanes[1 - end];
        lane.more = false;
        lane.out.extend_from_slice(farewell);
        let rest = std::mem::take(&mut lane.out).freeze();
        if lane.octets + rest.len() > self.capacity {
            // The peer does not take it: in the real world, after a second.
            self.send(index, end, Segment::Reset);
            return;
        }
        if !rest.is_empty() {
            self.send(index, end, Segment::Data(rest));
        }
        self.send(index, end, Segment::Fin);
    }

    pub(super) fn happen(&mut self, index: usize, what: What) {
        let connection = &self.connections[index];
        let [from, to] = connection.nodes;
        let cut = self.cut.contains(&(from, to));
        match what {
            What::Syn if cut || self.nodes[to].silent => {}
            What::Syn => {
                let (there, back) = (self.delay(), self.delay());
                if self.nodes[to].speaker.is_some() {
                    self.schedule(self.now + there, index, What::Accept);
                    self.schedule(self.now + back, index, What::SynAck);
                } else {
                    self.schedule(self.now + back, index, What::Refused);
                }
            }
            What::Refused => self.connect_failed(index, "connection refused"),
            What::SynAck => {
                let [local, remote] = connection.addresses;
                if let (true, Some(conn)) = (connection.open[0], connection.ids[0])
                    && self.nodes[from].speaker.is_some()
                {
                    self.with(from, |speaker, now| speaker.connected(conn, local, remote, now));
                }
            }
            What::Accept => self.accept(index),
            What::Deliver(_) if cut => self.schedule(self.now + RETRANSMIT, index, what),
            What::Deliver(end) => self.deliver(index, end),
        }
    }

    fn connect_failed(&mut self, index: usize, reason: &str) {
        let connection = &mut self.connections[index];
        let node = connection.nodes[0];
        if let (true, Some(conn)) = (std::mem::take(&mut connection.open[0]), connection.ids[0])
            && self.nodes[node].speaker.is_some()
        {
            self.nodes[node].sockets.remove(&conn);
            self.with(node, |speaker, now| speaker.connect_failed(conn, reason.into(), now));
        }
    }

    fn accept(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        connection.accepted = true;
        let [remote, local] = connection.addresses;
        let node = connection.nodes[1];
        let waiting = connection.lanes[1].segments.len();
        if self.nodes[node].speaker.is_none() {
            self.connections[index].open[1] = false;
            self.send(index, 1, Segment::Reset);
            return;
        }
        let now = self.now;
        match self.speaker(node).accept(local, remote, now) {
            Ok(conn) => {
                self.connections[index].ids[1] = Some(conn);
                self.nodes[node].sockets.insert(conn, (index, 1));
            }
            Err(refusal) => self.close(index, 1, &refusal.farewell),
        }
        self.settle(node);
        for _ in 0..waiting {
            self.schedule(self.now, index, What::Deliver(1));
        }
    }

    fn deliver(&mut self, index: usize, end: usize) {
        let connection = &mut self.connections[index];
        let node = connection.nodes[end];
        if (end == 1 && !connection.accepted) || (connection.open[end] && !self.nodes[node].reading) {
            return;
        }
        let lane = &mut connection.lanes[end];
        if lane.segments.front().is_none_or(|(at, _)| *at > self.now) {
            return;
        }
        let Some((_, segment)) = lane.segments.pop_front() else { return };
        if !lane.segments.is_empty() && self.nodes[node].reading {
            let at = lane.segments[0].0;
            self.schedule(at, index, What::Deliver(end));
        }
        let connection = &mut self.connections[index];
        let conn = connection.ids[end].filter(|_| connection.open[end]);
        match (segment, conn) {
            (Segment::Data(data), Some(conn)) => {
                let lane = &mut connection.lanes[end];
                lane.octets -= data.len();
                lane.inbox.extend_from_slice(&data);
                let mut inbox = std::mem::take(&mut lane.inbox);
                while self.with(node, |speaker, now| speaker.receive(conn, &mut inbox, now)) {}
                self.connections[index].lanes[end].inbox = inbox;
                self.pump(index, 1 - end);
            }
            (Segment::Data(data), None) => {
                connection.lanes[end].octets -= data.len();
                // Nobody is there: the kernel says so, if it is on.
                if !self.nodes[node].silent {
                    self.send(index, end, Segment::Reset);
                }
            }
            (Segment::Fin | Segment::Reset, Some(conn)) => {
                connection.open[end] = false;
                connection.lanes[1 - end].out.clear();
                connection.lanes[1 - end].more = false;
                self.nodes[node].sockets.remove(&conn);
                self.with(node, |speaker, now| speaker.closed(conn, "closed by peer".into(), now));
            }
            (Segment::Fin | Segment::Reset, None) => {}
        }
    }
}
