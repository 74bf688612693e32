//! A leaf: a second speaker at the other end of the core's sessions, with bytes in memory between them.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use bytes::BytesMut;
use ipnet::IpNet;
use petiole_bgp::{
    policy::Policy,
    speaker::{Action, Config, ConnId, Origination, PeerConfig, RemoteAs, Speaker},
    wire::{FamilySet, LargeCommunity, Origin},
};

use super::super::elsewhere::{GROUP, HOST};

/// The neighbour that a configuration has for it.
pub(super) const NEIGHBOR: &str = r#"
    [[neighbor]]
    name = "leaf1"
    address = "50.1.1.2"
    asn = 500
    import = "all"
    allow-own-as = 1
"#;

/// AS 500 at 50.1.1.2; it waits to be called.
pub(super) struct Leaf {
    pub(super) speaker: Speaker,
    /// What both ends call the connection: host, leaf.
    conn: Option<(ConnId, ConnId)>,
    /// Octets from the host that are not a whole message yet, and those to it.
    inbox: BytesMut,
    outbox: BytesMut,
}

impl Leaf {
    pub(super) fn new(now: Instant) -> Self {
        let host = PeerConfig {
            passive: true,
            families: FamilySet { ipv4: true, ipv6: true },
            import: Arc::new(Policy::all()),
            ..PeerConfig::new("host1", [50, 1, 1, 1].into(), RemoteAs::Exact(65002))
        };
        let config = Config {
            asn: 500,
            router_id: [50, 1, 1, 2].into(),
            host_name: "leaf1".into(),
            max_paths: 1,
            label: 1,
            peers: vec![host],
        };
        Self {
            speaker: Speaker::new(config, 7, now),
            conn: None,
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
        }
    }

    /// Announces a prefix with the community that names the host which has it, if one is given.
    pub(super) fn announce(&mut self, prefix: &str, host: Option<[u8; 4]>) {
        self.announce_member(prefix, host, None);
    }

    /// The same, with the community that names the group of the container.
    pub(super) fn announce_member(&mut self, prefix: &str, host: Option<[u8; 4]>, group: Option<u32>) {
        let community = |local1, local2| LargeCommunity { global: 65002, local1, local2 };
        let host = host.map(|id| community(HOST, u32::from_be_bytes(id)));
        let group = group.map(|number| community(GROUP, number));
        let origination = Origination {
            origin: Origin::Igp,
            med: None,
            local_pref: None,
            communities: Vec::new(),
            large_communities: host.into_iter().chain(group).collect(),
        };
        self.speaker.originate(prefix.parse().unwrap(), &origination);
    }

    pub(super) fn withdraw(&mut self, prefix: &str) {
        self.speaker.withdraw(prefix.parse::<IpNet>().unwrap());
    }

    /// Whether the host has announced a prefix to it.
    pub(super) fn has(&self, prefix: &str) -> bool {
        let route = self.speaker.route(prefix.parse().unwrap());
        route.is_some_and(|r| r.paths.iter().any(|p| p.peer.is_some()))
    }

    /// The host calls.
    pub(super) fn connect(&mut self, host: &mut Speaker, conn: ConnId, remote: SocketAddr, now: Instant) {
        let local = SocketAddr::from(([50, 1, 1, 1], 40000));
        match self.speaker.accept(remote, local, now) {
            Ok(own) => {
                self.conn = Some((conn, own));
                self.inbox.clear();
                self.outbox.clear();
                host.connected(conn, local, remote, now);
            }
            Err(refusal) => host.connect_failed(conn, format!("{refusal:?}"), now),
        }
    }

    /// The host's end of a connection is closed.
    pub(super) fn closed(&mut self, conn: ConnId, now: Instant) {
        if let Some((_, own)) = self.conn.take_if(|(host, _)| *host == conn) {
            self.speaker.closed(own, "closed".into(), now);
        }
    }

    /// The host has something to say.
    pub(super) fn read(&mut self, host: &mut Speaker, conn: ConnId, now: Instant) {
        let Some((_, own)) = self.conn.filter(|(host, _)| *host == conn) else { return };
        while host.transmit(conn, &mut self.inbox, 65536, now) {}
        while self.speaker.receive(own, &mut self.inbox, now) {}
        while self.speaker.work() {}
    }

    /// Does one thing of its own; `false` when there is nothing to do.
    pub(super) fn step(&mut self, host: &mut Speaker, now: Instant) -> bool {
        let Some(action) = self.speaker.poll_action() else { return false };
        match action {
            Action::Connect { conn, .. } => self.speaker.connect_failed(conn, "no way".into(), now),
            Action::Writable { conn } => {
                let Some((theirs, own)) = self.conn.filter(|(_, own)| *own == conn) else { return true };
                while self.speaker.transmit(own, &mut self.outbox, 65536, now) {}
                while host.receive(theirs, &mut self.outbox, now) {}
                while host.work() {}
            }
            Action::Close { conn, .. } => {
                if let Some((theirs, _)) = self.conn.take_if(|(_, own)| *own == conn) {
                    host.closed(theirs, "closed".into(), now);
                }
            }
            Action::Watch(address) => self.speaker.next_hop(address, Some(0)),
            Action::Unwatch(_) | Action::Event(_) => {}
        }
        true
    }
}
