//! The words of a route policy: rules, their conditions and what they set.

use ipnet::IpNet;

use super::AsPathPattern;
use crate::wire::{Community, LargeCommunity};

/// What becomes of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The route passes, with the rule's [`Set`] applied.
    Accept,
    /// The route is dropped.
    Reject,
}

/// Where a route comes from, as a condition of a [`Rule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Originated by this host.
    Local,
    /// Learned from a BGP peer.
    Learned,
    /// Either.
    Any,
}

/// One rule: all the conditions that are given must hold (AND); within a condition any value will do (OR).
/// A rule without conditions matches every route that its direction lets it see (see [`super::Policy`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Prefixes. Empty: any.
    pub prefixes: Vec<PrefixRange>,
    /// Standard communities, of which the route must carry at least one. Empty: no condition.
    pub communities: Vec<Community>,
    /// Large communities, of which the route must carry at least one. Empty: no condition.
    pub large_communities: Vec<LargeCommunity>,
    /// AS path patterns, of which at least one must match. Empty: no condition.
    pub as_paths: Vec<AsPathPattern>,
    /// Where the route comes from. On import every route is learned and `None` means any. On export `None` means
    /// [`Source::Local`]: passing learned routes on must be asked for by name.
    pub source: Option<Source>,
    /// What becomes of a route that matches. The first matching rule decides.
    pub action: Action,
    /// Changes to the attributes of an accepted route.
    pub set: Set,
}

impl Rule {
    /// A rule without conditions or changes.
    pub fn new(action: Action) -> Self {
        Self {
            prefixes: Vec::new(),
            communities: Vec::new(),
            large_communities: Vec::new(),
            as_paths: Vec::new(),
            source: None,
            action,
            set: Set::default(),
        }
    }
}

/// Prefixes within `net` whose length is `ge..=le`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrefixRange {
    /// The covering prefix.
    pub net: IpNet,
    /// Shortest length that matches; below the length of `net` it means that length.
    pub ge: u8,
    /// Longest length that matches.
    pub le: u8,
}

impl PrefixRange {
    /// Exactly this prefix.
    pub fn exact(net: IpNet) -> Self {
        Self { net, ge: net.prefix_len(), le: net.prefix_len() }
    }

    /// This prefix and everything inside it.
    pub fn or_longer(net: IpNet) -> Self {
        Self { net, ge: net.prefix_len(), le: net.max_prefix_len() }
    }
}

/// Changes to the attributes of a route, in this order: replace, remove, add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// LOCAL_PREF. It never leaves the AS.
    pub local_pref: Option<u32>,
    /// MULTI_EXIT_DISC. Set on export, it is what the neighbour AS sees.
    pub med: Option<u32>,
    /// Replaces all standard communities.
    pub replace_communities: Option<Vec<Community>>,
    /// Standard communities to take away.
    pub remove_communities: Vec<Community>,
    /// Standard communities to add.
    pub add_communities: Vec<Community>,
    /// Large communities to take away.
    pub remove_large_communities: Vec<LargeCommunity>,
    /// Large communities to add.
    pub add_large_communities: Vec<LargeCommunity>,
    /// How often to prepend an AS number to the path, beyond what BGP itself does: on export our own, on import
    /// the neighbour's (our own would make the next speaker of our AS see a loop).
    pub prepend: u8,
}

impl Set {
    /// Does it leave every route as it is?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
