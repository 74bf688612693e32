//! The next step for a link.

use std::sync::Arc;

use crate::model::{IfName, Link, LinkKind, Ns, Object};

use super::{
    Fib,
    objects::{Cell, Doing, Held, settings_satisfy},
    queues::Tier,
    step::Step,
};

impl Fib {
    pub(super) fn step_link(
        &self,
        cell: &Cell,
        wanted: &Arc<Object>,
        ns: Ns,
        name: &IfName,
        link: &Link,
    ) -> Step {
        if cell.leaving() {
            return Step::Busy;
        }
        let pair = self.objects.pair(ns, name);
        let pair_held = pair.and_then(|p| self.objects.cell(p)).and_then(|c| c.expected());
        let Some(held) = cell.expected() else {
            return match &link.kind {
                LinkKind::Veth { peer_ns, .. } if !self.asking.is_ready(*peer_ns) => Step::Wait,
                LinkKind::Veth { .. } => match (pair, pair_held) {
                    (Some(pair), Some(held)) if held.ours => Step::After(pair),
                    (_, Some(_)) => Step::Blocked("the name of the other end is taken by a foreign link"),
                    _ => create(wanted, ns, name, link, LinkKind::VethPeer),
                },
                LinkKind::Vlan { parent, .. } if !self.link_is_there(ns, parent) => Step::Wait,
                LinkKind::Bridge { .. } | LinkKind::Vlan { .. } | LinkKind::Vxlan { .. } | LinkKind::Ifb => {
                    create(wanted, ns, name, link, link.kind.clone())
                }
                LinkKind::VethPeer | LinkKind::Foreign => Step::Wait,
            };
        };
        let Some(current) = held.link() else { return Step::Clean };
        if cell.actual.is_none() {
            return Step::Busy;
        }
        let managed_only = matches!(link.kind, LinkKind::Foreign);
        if !managed_only {
            if !held.ours {
                return Step::Blocked("the name is taken by a foreign link");
            }
            // Kind, parent, tag, VNI, local address and port of a link stay as they were made.
            let another = match &link.kind {
                LinkKind::Veth { peer_ns, .. } => {
                    let half = self.asking.is_ready(*peer_ns) && pair_held.is_none();
                    half || current.kind != LinkKind::VethPeer
                }
                LinkKind::VethPeer => self.is_left_over(ns, name) || current.kind != LinkKind::VethPeer,
                LinkKind::Bridge { .. } => !matches!(current.kind, LinkKind::Bridge { .. }),
                kind => current.kind != *kind,
            };
            if another {
                let busy = !cell.flights.is_empty();
                return if busy { Step::Busy } else { Step::delete(Tier::DropLink, held) };
            }
        }
        // Without its bridge, a port that is up would be a link of the host's.
        let without_bridge = Link { up: false, port: None, ..link.clone() };
        let possible = self.is_port_possible(ns, link);
        let link = if possible { link } else { &without_bridge };
        let mut due = Link { up: current.up, ..link.clone() };
        let tier = if !settings_satisfy(current, link) || (current.up && !link.up) {
            if !cell.flights.is_empty() {
                return Step::Busy;
            }
            due.up &= link.up;
            Tier::LinkSettings
        } else if current.up == link.up {
            return match cell.flights.is_empty() {
                false => Step::Busy,
                true if possible => Step::Clean,
                true => Step::Wait,
            };
        } else if !self.is_up_possible(ns, link) {
            return Step::Wait;
        } else {
            due.up = true;
            Tier::LinkUp
        };
        let after = Link {
            // Of all kinds only a bridge has what can be changed.
            kind: if let LinkKind::Bridge { .. } = due.kind {
                due.kind.clone()
            } else {
                current.kind.clone()
            },
            mac: due.mac.or(current.mac),
            mtu: due.mtu.or(current.mtu),
            up: due.up,
            alias: due.alias.clone().or_else(|| current.alias.clone()),
            port: if managed_only { current.port.clone() } else { due.port.clone() },
        };
        let outcome = Held { object: Arc::new(Object::Link(ns, name.clone(), after)), ..held.clone() };
        Step::Go(tier, Doing::Change, Arc::new(Object::Link(ns, name.clone(), due)), Some(outcome))
    }

    /// Whether a wanted other end of a veth is what is left of an earlier pair, in the way of the new one. As long as
    /// the namespace of its pair has not been looked into, it is not: the pair may be alive in there.
    fn is_left_over(&self, ns: Ns, name: &IfName) -> bool {
        let Some((pair_ns, pair_name)) = self.objects.pair_name(ns, name) else { return false };
        let pair = self.objects.link(*pair_ns, pair_name).and_then(|slot| self.objects.cell(slot));
        let wanted = pair.is_some_and(|c| c.desired.is_some());
        wanted && self.asking.is_ready(*pair_ns) && pair.is_none_or(|c| c.expected().is_none())
    }

    /// A port waits for its bridge.
    fn is_port_possible(&self, ns: Ns, link: &Link) -> bool {
        link.port.as_ref().is_none_or(|port| self.link_is_there(ns, &port.bridge))
    }

    /// The kernel refuses to set a VLAN up over a parent that is down (ENETDOWN).
    fn is_up_possible(&self, ns: Ns, link: &Link) -> bool {
        match &link.kind {
            LinkKind::Vlan { parent, .. } => {
                self.objects.link(ns, parent).is_some_and(|slot| self.objects.facts(slot).up)
            }
            _ => true,
        }
    }
}

/// A link is made down and of no bridge: its settings, addresses and neighbours come first.
fn create(wanted: &Arc<Object>, ns: Ns, name: &IfName, link: &Link, held_as: LinkKind) -> Step {
    let down = Link { up: false, port: None, ..link.clone() };
    let after = Link { kind: held_as, ..down.clone() };
    let object = if down == *link { wanted.clone() } else { Arc::new(Object::Link(ns, name.clone(), down)) };
    let outcome = Held::ours(Arc::new(Object::Link(ns, name.clone(), after)));
    Step::Go(Tier::Link, Doing::Create, object, Some(outcome))
}
