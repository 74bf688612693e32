//! What a change of configuration does to a session: pure, so that a plan can be shown before it is carried out.

use super::{Config, PeerConfig};

/// The impact class of a change, from harmless to not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Impact {
    /// Nothing changed.
    None,
    /// Takes effect while the session runs.
    Live,
    /// The peer is asked to send its routes again (ROUTE-REFRESH). A peer that cannot: [`Impact::Session`].
    Refresh,
    /// The session ends and a new one is made.
    Session,
}

impl PeerConfig {
    /// What changing `self` into `new` does to a running session. Both have the same name.
    pub fn impact(&self, new: &Self) -> Impact {
        // Without `..`: a new field must be thought about here.
        let Self {
            name: _,
            description,
            address,
            remote_as,
            local_as,
            families,
            hold_time,
            keepalive,
            connect_retry,
            passive,
            graceful_restart,
            allow_own_as,
            import,
            export,
            max_prefixes,
            max_prefixes_restart,
            max_prefixes_out,
            shutdown,
            install,
            next_hop,
            transport,
        } = self;
        let changes = [
            (*description != new.description, Impact::Live),
            (*address != new.address, Impact::Session),
            (*remote_as != new.remote_as, Impact::Session),
            (*local_as != new.local_as, Impact::Session),
            (*families != new.families, Impact::Session),
            // Negotiated by the OPENs.
            (*hold_time != new.hold_time, Impact::Session),
            (*keepalive != new.keepalive, Impact::Live),
            (*connect_retry != new.connect_retry, Impact::Live),
            // A session that is up does not care who dialled.
            (*passive != new.passive, Impact::Live),
            // Announced in the OPEN.
            (*graceful_restart != new.graceful_restart, Impact::Session),
            // What the old value rejected is not stored.
            (*allow_own_as != new.allow_own_as, Impact::Refresh),
            (*import != new.import, Impact::Refresh),
            (*export != new.export, Impact::Live),
            (*max_prefixes != new.max_prefixes, Impact::Live),
            (*max_prefixes_restart != new.max_prefixes_restart, Impact::Live),
            (*max_prefixes_out != new.max_prefixes_out, Impact::Live),
            (shutdown.is_some() != new.shutdown.is_some(), Impact::Session),
            // The text alone: told when the session goes down, which it has.
            (*shutdown != new.shutdown, Impact::Live),
            (*install != new.install, Impact::Live),
            (*next_hop != new.next_hop, Impact::Session),
            // Port, addresses, TTL, GTSM and keys belong to the connection.
            (*transport != new.transport, Impact::Session),
        ];
        changes
            .into_iter()
            .filter(|(changed, _)| *changed)
            .map(|(_, impact)| impact)
            .max()
            .unwrap_or(Impact::None)
    }
}

impl Config {
    /// What changing everything but the peers does to each session.
    pub fn impact(&self, new: &Self) -> Impact {
        let Self { asn, router_id, host_name, max_paths, label, peers: _ } = self;
        let changes = [
            (*asn != new.asn, Impact::Session),
            (*router_id != new.router_id, Impact::Session),
            // Told with the next OPEN.
            (*host_name != new.host_name, Impact::Live),
            (*max_paths != new.max_paths, Impact::Live),
            // Routes are labelled as they come in.
            (*label != new.label, Impact::Session),
        ];
        changes
            .into_iter()
            .filter(|(changed, _)| *changed)
            .map(|(_, impact)| impact)
            .max()
            .unwrap_or(Impact::None)
    }

    /// What becoming `new` does to each peer, by name: those of both configurations, in the order of the new one, then
    /// those that go. Peers that come or go have [`Impact::Session`]. Takes peers to be capable of ROUTE-REFRESH;
    /// [`super::Speaker::plan`] knows.
    pub fn impacts(&self, new: &Self) -> Vec<(String, Impact)> {
        let all = self.impact(new);
        let find = |config: &Self, name: &str| config.peers.iter().find(|p| p.name == name).cloned();
        let mut impacts: Vec<_> = new
            .peers
            .iter()
            .map(|peer| {
                let impact = find(self, &peer.name).map_or(Impact::Session, |old| old.impact(peer).max(all));
                (peer.name.clone(), impact)
            })
            .collect();
        let gone = self.peers.iter().filter(|peer| find(new, &peer.name).is_none());
        impacts.extend(gone.map(|peer| (peer.name.clone(), Impact::Session)));
        impacts
    }
}
