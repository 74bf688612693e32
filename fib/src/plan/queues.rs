//! The order of things: tiers, and what waits for its turn in each.
//!
//! Creates go link → settings → sysctls → address → neighbour → up → next hop → group → route; deletes run
//! backwards and come first, so that a name or an address that moves is free. A delete that something in the kernel
//! still needs is not in a queue at all: it waits to be woken.

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
    DropLink,
    HostSysctl,
    Link,
    LinkSettings,
    LinkSysctl,
    Address,
    Neighbour,
    LinkUp,
    NextHop,
    Group,
    Route,
    /// By a gateway: the route that makes it reachable comes before.
    GatewayRoute,
}

impl Tier {
    const ALL: [Self; 17] = [
        Self::DropRoute,
        Self::DropGroup,
        Self::DropNextHop,
        Self::DropNeighbour,
        Self::DropAddress,
        Self::DropLink,
        Self::HostSysctl,
        Self::Link,
        Self::LinkSettings,
        Self::LinkSysctl,
        Self::Address,
        Self::Neighbour,
        Self::LinkUp,
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
            Object::Link(_, _, link) if matches!(link.kind, LinkKind::Veth { .. }) => Self::Link,
            Object::Link(..) => Self::LinkSettings,
            Object::Address(..) => Self::Address,
            Object::Neighbour(..) => Self::Neighbour,
            Object::NextHop(_, NextHop::Single { .. }) => Self::NextHop,
            Object::NextHop(_, NextHop::Group(_)) => Self::Group,
            Object::Route(_, route) => Self::of_route(route),
            Object::Fdb(_) => Self::Neighbour,
            Object::Table(_) | Object::Chain(..) | Object::Set(..) | Object::Element(..) => Self::HostSysctl,
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
            Key::Neighbour(..) => Self::DropNeighbour,
            Key::NextHop(_) => Self::DropNextHop,
            Key::Route(_) => Self::DropRoute,
            Key::Fdb(_) => Self::DropNeighbour,
            Key::Table(_) | Key::Chain(_) | Key::Set(_) | Key::Element(..) => Self::DropLink,
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
