//! New tables for a speaker that becomes another one: another AS number, another identifier.

use super::{Action, Origination, Speaker};
use crate::{
    rib::{Cursor, PeerId, Rib, RibConfig},
    wire::{Attributes, Family},
};

/// How many destinations are looked at together.
const PAGE: usize = 1024;

impl Speaker {
    /// Replaces the tables by new ones with the same originated routes. All sessions have to start again.
    ///
    /// What the old ones gave to the kernel is taken back first, see [`Speaker::next_route_change`].
    pub(super) fn replace_tables(&mut self, config: RibConfig) {
        let mut old = std::mem::replace(&mut self.rib, Rib::new(config));
        for family in [Family::Ipv4, Family::Ipv6] {
            let mut cursor = Some(Cursor::start(family));
            while let Some(at) = cursor {
                let page = old.routes(at, PAGE);
                for route in page.rows {
                    if let Some(local) = route.paths.iter().find(|path| path.peer.is_none()) {
                        self.rib.originate(route.prefix, &origination(&local.attributes));
                    }
                }
                cursor = page.next;
            }
        }
        // Not in slices: this is rare, asked for, and leaves nothing behind that could get mixed up with the new tables.
        for peer in 0..self.peers.len() {
            old.peer_down(PeerId(peer as u32));
        }
        while old.work(usize::MAX) {}
        while let Some((address, needed)) = old.next_watch_change() {
            self.actions.push_back(if needed { Action::Watch(address) } else { Action::Unwatch(address) });
        }
        self.retired.push_back(old);
    }
}

/// What a local path was originated with.
fn origination(attributes: &Attributes) -> Origination {
    Origination {
        origin: attributes.origin(),
        med: attributes.med(),
        local_pref: attributes.local_pref(),
        communities: attributes.communities().to_vec(),
        large_communities: attributes.large_communities().to_vec(),
    }
}
