//! The order of things: tiers, and what waits for its turn in each.
//!
//! Creates go link → settings → sysctls → address → neighbour, forwarding entry → qdisc → up → redirection → next hop →
//! group → route; deletes run backwards and come first, so that a name or an address that moves is free. All that is nftables comes in one go
//! in between, as it makes one transaction: a container's address is removed before the rules about it are, and given
//! after they are made. A delete that something in the kernel still needs is not in a queue at all: it waits to be woken.

use std::collections::VecDeque;

use crate::model::{Key, LinkKind, NextHop, Object, Route, RouteTarget};

use super::{objects::sysctl_link, routes::RouteSlot};

/// Position in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    DropRoute,
    DropGroup,
    DropNextHop,
    DropNeighbour,
    DropAddress,
    NftTable,
    NftDropElement,
    NftChain,
    NftDropChain,
    NftDropSet,
    NftSet,
    NftElement,
    DropTc,
    DropLink,
    HostSysctl,
    Link,
    LinkSettings,
    LinkSysctl,
    Address,
    Neighbour,
    Qdisc,
    LinkUp,
    Redirect,
    NextHop,
    Group,
    Route,
    /// By a gateway: the route that makes it reachable comes before.
    GatewayRoute,
}

impl Tier {
    const ALL: [Self; 27] = [
        Self::DropRoute,
        Self::DropGroup,
        Self::DropNextHop,
        Self::DropNeighbour,
        Self::DropAddress,
        Self::NftTable,
        Self::NftDropElement,
        Self::NftChain,
        Self::NftDropChain,
        Self::NftDropSet,
        Self::NftSet,
        Self::NftElement,
        Self::DropTc,
        Self::DropLink,
        Self::HostSysctl,
        Self::Link,
        Self::LinkSettings,
        Self::LinkSysctl,
        Self::Address,
        Self::Neighbour,
        Self::Qdisc,
        Self::LinkUp,
        Self::Redirect,
        Self::NextHop,
        Self::Group,
        Self::Route,
        Self::GatewayRoute,
    ];

    /// Where an object that is to be made or changed comes first.
    pub(super) fn of_write(object: &Object) -> Self {
        match object {
            Object::Sysctl(_, path, _) if sysctl_link(path).is_some() => Self::LinkSysctl,
            Object::Sysctl(..) => Self::HostSysctl,
            Object::Link(_, _, link) if matches!(link.kind, LinkKind::VethPeer | LinkKind::Foreign) => {
                Self::LinkSettings
            }
            Object::Link(..) => Self::Link,
            Object::Address(..) => Self::Address,
            Object::Neighbour(..) | Object::Fdb(_) => Self::Neighbour,
            Object::Qdisc(..) => Self::Qdisc,
            Object::Redirect(..) => Self::Redirect,
            Object::Table(_) => Self::NftTable,
            Object::Chain(..) => Self::NftChain,
            Object::Set(..) => Self::NftSet,
            Object::Element(..) => Self::NftElement,
            Object::NextHop(_, NextHop::Single { .. }) => Self::NextHop,
            Object::NextHop(_, NextHop::Group(_)) => Self::Group,
            Object::Route(_, route) => Self::of_route(route),
        }
    }

    /// Where a route that is to be made or changed comes.
    pub(super) fn of_route(route: &Route) -> Self {
        match route.target {
            RouteTarget::Link { via: Some(_), .. } => Self::GatewayRoute,
            _ => Self::Route,
        }
    }

    /// Where an object that is to be removed comes. Groups go before single next hops by waiting: these are in use.
    pub(super) fn of_delete(key: &Key) -> Self {
        match key {
            Key::Sysctl(..) => Self::HostSysctl,
            Key::Link(..) => Self::DropLink,
            Key::Address(..) => Self::DropAddress,
            Key::Neighbour(..) | Key::Fdb(_) => Self::DropNeighbour,
            Key::Qdisc(_) | Key::Redirect(_) => Self::DropTc,
            Key::Table(_) => Self::NftTable,
            Key::Chain(_) => Self::NftDropChain,
            Key::Set(_) => Self::NftDropSet,
            Key::Element(..) => Self::NftDropElement,
            Key::NextHop(_) => Self::DropNextHop,
            Key::Route(_) => Self::DropRoute,
        }
    }
}

/// One that waits for its turn or its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Item {
    Object(u32),
    Route(RouteSlot),
}

/// First come, first served within a tier.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    tiers: [VecDeque<Item>; Tier::ALL.len()],
    /// Bit n: tier n holds something.
    filled: u32,
}

impl Queues {
    pub(super) fn push(&mut self, tier: Tier, item: Item) {
        self.tiers[tier as usize].push_back(item);
        self.filled |= 1 << tier as u32;
    }

    /// Whether what comes next is nftables.
    pub(super) fn is_nft_next(&self) -> bool {
        let next = self.filled.trailing_zeros();
        (Tier::NftTable as u32..=Tier::NftElement as u32).contains(&next)
    }

    pub(super) fn pop(&mut self) -> Option<(Tier, Item)> {
        let tier = *Tier::ALL.get(self.filled.trailing_zeros() as usize)?;
        let queue = &mut self.tiers[tier as usize];
        let item = queue.pop_front();
        if queue.is_empty() {
            self.filled &= !(1 << tier as u32);
        }
        item.map(|item| (tier, item))
    }
}
