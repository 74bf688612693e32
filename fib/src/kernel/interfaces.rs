//! The host's links, kept current by the monitor: name ↔ index, who has a carrier, who is a port of which bridge.

use std::collections::HashMap;

use crate::model::{IfName, LinkKind, LinkState};

/// All links of the host's namespace.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    links: HashMap<u32, LinkState>,
    indices: HashMap<IfName, u32>,
}

/// What an announcement changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that is looked at here.
    None,
    /// The link is new or has another state.
    State,
    /// As `State`, and it had this name before.
    Renamed(IfName),
}

impl Interfaces {
    /// Puts a fresh dump in place of everything.
    pub(super) fn reset(&mut self, links: impl IntoIterator<Item = LinkState>) {
        self.links.clear();
        self.indices.clear();
        for link in links {
            self.note(&link);
        }
    }

    /// Takes in one link's state.
    pub(super) fn note(&mut self, link: &LinkState) -> Change {
        let before = self.links.get(&link.index);
        if before == Some(link) {
            return Change::None;
        }
        let old_name = before.map(|b| b.name.clone()).filter(|name| *name != link.name);
        if let Some(name) = &old_name {
            self.drop_name(name, link.index);
        }
        self.indices.insert(link.name.clone(), link.index);
        self.links.insert(link.index, link.clone());
        old_name.map_or(Change::State, Change::Renamed)
    }

    /// A link has another name now: those that it is the bridge or the parent of show it. Gives their new states.
    pub(super) fn follow(&mut self, former: &IfName, now: &IfName) -> Vec<LinkState> {
        let mut changed = Vec::new();
        for link in self.links.values_mut() {
            let parent = match &mut link.kind {
                LinkKind::Vlan { parent, .. } => Some(parent),
                _ => None,
            };
            let named = parent.into_iter().chain(link.port.as_mut().map(|port| &mut port.bridge));
            let mut hit = false;
            for name in named.filter(|name| **name == *former) {
                *name = now.clone();
                hit = true;
            }
            if hit {
                changed.push(link.clone());
            }
        }
        changed
    }

    /// The link with this index is gone.
    pub(super) fn remove(&mut self, index: u32) -> Option<LinkState> {
        let link = self.links.remove(&index)?;
        self.drop_name(&link.name, index);
        Some(link)
    }

    /// The name may belong to another link by now.
    fn drop_name(&mut self, name: &IfName, index: u32) {
        if self.indices.get(name) == Some(&index) {
            self.indices.remove(name);
        }
    }

    /// The link with that index.
    pub(super) fn get(&self, index: u32) -> Option<&LinkState> {
        self.links.get(&index)
    }

    /// The name of the link with that index.
    pub(super) fn name(&self, index: u32) -> Option<IfName> {
        self.links.get(&index).map(|link| link.name.clone())
    }

    /// The index of the link with that name.
    pub(super) fn index(&self, name: &IfName) -> Option<u32> {
        self.indices.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BridgePort, Ns};

    fn link(index: u32, name: &str) -> LinkState {
        LinkState {
            ns: Ns::HOST,
            index,
            name: IfName::new(name).unwrap(),
            kind: LinkKind::Foreign,
            mac: None,
            mtu: 1500,
            up: true,
            carrier: true,
            alias: None,
            port: None,
            group: 0,
        }
    }

    #[test]
    fn two_links_that_swap_names_keep_both() {
        let mut interfaces = Interfaces::default();
        interfaces.reset([link(1, "a"), link(2, "b")]);
        assert_eq!(interfaces.note(&link(1, "tmp")), Change::Renamed(IfName::new("a").unwrap()));
        assert_eq!(interfaces.note(&link(2, "a")), Change::Renamed(IfName::new("b").unwrap()));
        assert_eq!(interfaces.note(&link(1, "b")), Change::Renamed(IfName::new("tmp").unwrap()));
        assert_eq!(interfaces.index(&IfName::new("a").unwrap()), Some(2));
        assert_eq!(interfaces.index(&IfName::new("b").unwrap()), Some(1));
        assert_eq!(interfaces.index(&IfName::new("tmp").unwrap()), None);
    }

    #[test]
    fn a_bridge_under_another_name_is_the_bridge_of_its_ports_under_that_name() {
        let in_bridge = |index, of: &str| {
            let bridge = IfName::new(of).unwrap();
            let port =
                BridgePort { bridge, isolated: true, hairpin: false, neigh_suppress: false, learning: true };
            LinkState { port: Some(port), ..link(index, &format!("port{index}")) }
        };
        let mut interfaces = Interfaces::default();
        interfaces.reset([link(1, "a"), in_bridge(2, "a"), in_bridge(3, "other")]);
        let (former, now) = (IfName::new("a").unwrap(), IfName::new("b").unwrap());
        assert_eq!(interfaces.follow(&former, &now), [in_bridge(2, "b")]);
        assert_eq!(interfaces.get(2), Some(&in_bridge(2, "b")));
        assert_eq!(interfaces.follow(&former, &now), []);
    }

    #[test]
    fn an_announcement_that_says_nothing_new_is_no_change() {
        let mut interfaces = Interfaces::default();
        assert_eq!(interfaces.note(&link(1, "a")), Change::State);
        assert_eq!(interfaces.note(&link(1, "a")), Change::None);
        assert_eq!(interfaces.note(&LinkState { carrier: false, ..link(1, "a") }), Change::State);
    }

    #[test]
    fn a_link_reborn_under_its_name_outlives_the_news_of_its_former_deletion() {
        let mut interfaces = Interfaces::default();
        interfaces.reset([link(1, "a")]);
        interfaces.note(&link(7, "a"));
        interfaces.remove(1);
        assert_eq!(interfaces.index(&IfName::new("a").unwrap()), Some(7));
    }
}
