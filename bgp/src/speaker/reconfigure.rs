//! Changes at run time: another configuration, resets, the end.

use std::{sync::Arc, time::Instant};

use super::{
    Config, Impact, PeerConfig, Reset, Speaker,
    peer::{Peer, Record, Restart, settings},
};
use crate::{
    fsm::{Cease, ConnId, Event, Fsm, Idle},
    rib::{PeerId, RibConfig},
};

impl Speaker {
    /// Takes another configuration into use and says what that did to each peer. Sessions that need not change are not
    /// touched: not a message is sent.
    pub fn reconfigure(&mut self, config: Config, now: Instant) -> Vec<(String, Impact)> {
        let impacts = self.plan(&config);
        let names = |config: &Config, name: &str| config.peers.iter().any(|peer| peer.name == name);

        // Those that go, go first: their addresses may be somebody else's in the new configuration.
        for id in std::mem::take(&mut self.order) {
            if self.find(id).is_some_and(|peer| !names(&config, &peer.name)) {
                self.drive(id, Event::Stop(Cease::PeerDeconfigured), now);
                self.peers[id.0 as usize] = None;
            }
        }
        let peers = config.peers;
        let config = Config { peers: Vec::new(), ..config };
        let old = std::mem::replace(&mut self.config, config);
        if old.impact(&self.config) == Impact::Session {
            self.replace_tables(rib_config(&self.config));
        } else if old.max_paths != self.config.max_paths {
            self.rib.set_max_paths(rib_config(&self.config).max_paths);
        }
        for peer in peers {
            let impact =
                impacts.iter().find(|(name, _)| *name == peer.name).map_or(Impact::None, |(_, i)| *i);
            let id = match self.peer_id(&peer.name) {
                Some(id) => {
                    self.change_peer(id, peer, impact, now);
                    id
                }
                None => self.add_peer(peer, now),
            };
            self.order.push(id);
        }
        impacts
    }

    /// What [`Self::reconfigure`] would do.
    pub fn plan(&self, config: &Config) -> Vec<(String, Impact)> {
        let mut impacts = self.current_config().impacts(config);
        for (name, impact) in &mut impacts {
            let peer = self.peer_id(name).and_then(|id| self.find(id));
            let cannot = peer
                .and_then(|peer| peer.fsm.established())
                .is_some_and(|established| !established.negotiated.route_refresh);
            if *impact == Impact::Refresh && cannot {
                *impact = Impact::Session;
            }
        }
        impacts
    }

    /// Resets a session.
    pub fn reset(&mut self, id: PeerId, reset: Reset, now: Instant) {
        let Some((peer, rib)) = self.find_with_rib(id) else { return };
        let session = peer.fsm.established().map(|e| &e.negotiated);
        match (reset, session) {
            (Reset::Hard(why), _) => self.drive(id, Event::Restart(Cease::AdminReset(why)), now),
            (Reset::SoftIn, Some(negotiated)) if negotiated.route_refresh => self.request_refresh(id),
            (Reset::SoftIn, _) => self.drive(id, Event::Restart(Cease::AdminReset(String::new())), now),
            (Reset::SoftOut, Some(negotiated)) => {
                for family in negotiated.session.families.iter() {
                    rib.refresh_out(id, family, negotiated.enhanced_refresh);
                }
            }
            (Reset::SoftOut, None) => {}
        }
    }

    /// Shuts all sessions down for good, telling the peers why (may be empty).
    pub fn stop(&mut self, communication: &str, now: Instant) {
        for id in self.order.clone() {
            self.drive(id, Event::Stop(Cease::AdminShutdown(communication.into())), now);
        }
    }

    /// Creates a peer and starts it, unless it is shut down.
    pub(super) fn add_peer(&mut self, config: PeerConfig, now: Instant) -> PeerId {
        let id = PeerId(self.peers.len() as u32);
        let settings = settings(&self.config, &config);
        let fsm = Fsm::new(settings, ConnId(u64::from(id.0) << 32), self.random.next_u64());
        let start = config.shutdown.is_none();
        self.peers.push(Some(Box::new(Peer {
            id,
            name: Arc::from(config.name.as_str()),
            config,
            fsm,
            conns: Vec::new(),
            repeats: [None; 2],
            restart: Restart::No,
            record: Record::default(),
        })));
        if start {
            self.drive(id, Event::Start, now);
        }
        id
    }

    fn change_peer(&mut self, id: PeerId, new: PeerConfig, impact: Impact, now: Instant) {
        let settings = settings(&self.config, &new);
        let Some((peer, rib)) = self.find_with_rib(id) else { return };
        let old = std::mem::replace(&mut peer.config, new);
        let new = &peer.config;
        peer.fsm.configure(settings, now);
        let suspended = peer.fsm.idle() == Some(Idle::Suspended);
        match impact {
            Impact::None => {}
            Impact::Session => {
                let event = match (&old.shutdown, &new.shutdown) {
                    (None, Some(why)) => Event::Stop(Cease::AdminShutdown(why.clone())),
                    (Some(_), None) => Event::Start,
                    // Stays down, if it is.
                    _ => Event::Restart(Cease::OtherConfigurationChange),
                };
                self.drive(id, event, now);
            }
            Impact::Live | Impact::Refresh => {
                // A limit that was raised deserves another try.
                if suspended && old.max_prefixes != new.max_prefixes {
                    self.drive(id, Event::Restart(Cease::OtherConfigurationChange), now);
                    return;
                }
                if old.export != new.export {
                    rib.set_export(id, Arc::clone(&new.export));
                }
                if old.install != new.install {
                    rib.set_install(id, new.install);
                }
                if old.max_prefixes_out != new.max_prefixes_out {
                    rib.set_max_prefixes_out(id, new.max_prefixes_out);
                }
                if old.allow_own_as != new.allow_own_as {
                    rib.set_allow_own_as(id, new.allow_own_as);
                }
                if old.import != new.import {
                    rib.set_import(id, Arc::clone(&new.import));
                }
                if impact == Impact::Refresh {
                    self.request_refresh(id);
                }
            }
        }
    }

    /// Asks the peer for all its routes again (RFC 2918).
    fn request_refresh(&mut self, id: PeerId) {
        let Some(peer) = self.find_mut(id) else { return };
        let Some(established) = peer.fsm.established() else { return };
        let (conn, families) = (established.conn, established.negotiated.session.families);
        if let Some(conn) = peer.conn(conn) {
            conn.control.refresh = families;
        }
        self.wake(conn);
    }

    fn current_config(&self) -> Config {
        let peers = self.order.iter().filter_map(|id| Some(self.find(*id)?.config.clone())).collect();
        Config { peers, ..self.config.clone() }
    }
}

pub(super) fn rib_config(config: &Config) -> RibConfig {
    RibConfig {
        asn: config.asn,
        router_id: config.router_id,
        max_paths: u16::try_from(config.max_paths).unwrap_or(u16::MAX).max(1),
        label: config.label,
    }
}
