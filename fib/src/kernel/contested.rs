//! Foreign objects that stand on keys of ours: routes with our table and metric, next hops with an id that we
//! might want to change or delete.
//!
//! The kernel would let us hit them (see the module [`kernel`](super)), so they have to be known. What is known
//! comes from one scan and the monitor; after lost events it is no longer known, and the scan is due again.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::model::RouteKey;

/// What is known of foreign objects.
#[derive(Debug, Default)]
pub(super) struct Contested {
    /// `None`: to be scanned.
    routes: Option<Routes>,
    /// Ids that are not ours. `None`: to be scanned.
    next_hops: Option<HashSet<u32>>,
    /// Since the scan something has happened that takes routes, or next hops, away without a word.
    doubts: Doubts,
}

#[derive(Debug, Default)]
struct Doubts {
    routes: bool,
    next_hops: bool,
}

/// What one scan of all routes tells.
#[derive(Debug, Default)]
pub(super) struct Routes {
    foreign: HashMap<RouteKey, Foreign>,
    protocols: BTreeSet<u8>,
}

/// A foreign route on a key of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It replaced what stood there: ours is gone.
    Alone,
    /// It stands before or behind what stood there.
    Beside,
}

impl Routes {
    /// Notes a foreign route's protocol, and the route itself if it stands on a key of ours.
    pub(super) fn note(&mut self, protocol: u8, key: Option<(RouteKey, Foreign)>) {
        self.protocols.insert(protocol);
        if let Some((key, how)) = key {
            self.foreign.entry(key).or_insert(how);
        }
    }

    /// Ours stands on that key.
    pub(super) fn beside(&mut self, key: &RouteKey) {
        if let Some(how) = self.foreign.get_mut(key) {
            *how = Foreign::Beside;
        }
    }
}

impl Contested {
    /// Events about routes were lost.
    pub(super) fn lose_routes(&mut self) {
        self.routes = None;
    }

    /// Events about next hops were lost.
    pub(super) fn lose_next_hops(&mut self) {
        self.next_hops = None;
    }

    /// A link has changed, or an address or a next hop has gone: foreign routes and next hops may have gone with it.
    pub(super) fn doubt(&mut self) {
        self.doubts = Doubts { routes: true, next_hops: true };
    }

    /// See [`Self::doubt`].
    pub(super) fn doubts_routes(&self) -> bool {
        self.doubts.routes
    }

    /// See [`Self::doubt`].
    pub(super) fn doubts_next_hops(&self) -> bool {
        self.doubts.next_hops
    }

    /// Whether the routes are known.
    pub(super) fn knows_routes(&self) -> bool {
        self.routes.is_some()
    }

    /// Whether the next hops are known.
    pub(super) fn knows_next_hops(&self) -> bool {
        self.next_hops.is_some()
    }

    /// The result of a scan.
    pub(super) fn set_routes(&mut self, routes: Routes) {
        self.routes = Some(routes);
        self.doubts.routes = false;
    }

    /// The result of a scan.
    pub(super) fn set_next_hops(&mut self, foreign: HashSet<u32>) {
        self.next_hops = Some(foreign);
        self.doubts.next_hops = false;
    }

    /// A foreign route has been announced, on a key of ours or not.
    pub(super) fn route(&mut self, protocol: u8, key: Option<(RouteKey, Foreign)>) {
        if let Some(routes) = &mut self.routes {
            routes.note(protocol, key);
        }
    }

    /// A foreign route on a key of ours is gone. Says how it stood there.
    pub(super) fn route_gone(&mut self, key: &RouteKey) -> Option<Foreign> {
        self.routes.as_mut()?.foreign.remove(key)
    }

    /// Whether a foreign route stands on the key.
    pub(super) fn route_on(&self, key: &RouteKey) -> bool {
        self.routes.as_ref().is_some_and(|routes| routes.foreign.contains_key(key))
    }

    /// The protocols of all foreign routes seen so far.
    pub(super) fn protocols(&self) -> Vec<u8> {
        self.routes.iter().flat_map(|routes| routes.protocols.iter().copied()).collect()
    }

    /// A next hop has been announced, ours or foreign.
    pub(super) fn next_hop(&mut self, id: u32, foreign: bool) {
        if let Some(ids) = &mut self.next_hops {
            if foreign {
                ids.insert(id);
            } else {
                ids.remove(&id);
            }
        }
    }

    /// A next hop is gone.
    pub(super) fn next_hop_gone(&mut self, id: u32) {
        self.next_hop(id, false);
    }

    /// Whether the id is somebody else's.
    pub(super) fn next_hop_on(&self, id: u32) -> bool {
        self.next_hops.as_ref().is_some_and(|ids| ids.contains(&id))
    }
}
