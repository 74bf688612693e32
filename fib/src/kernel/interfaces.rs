//! The host's links, kept current by the monitor: name ↔ index, and who has a carrier.

use std::collections::HashMap;

use crate::model::{IfName, LinkState};

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
    use crate::model::{LinkKind, Ns};

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
