//! The next step for a nexthop object.

use std::sync::Arc;

use crate::model::{NextHop, NextHopId, Ns, Object};

use super::{
    Fib,
    objects::{Cell, Support},
    queues::Tier,
    step::Step,
};

impl Fib {
    pub(super) fn step_next_hop(&self, cell: &Cell, id: NextHopId) -> Step {
        let Some(wanted) = self.wanted_next_hop(id) else {
            // A group without a member that can be used. Its routes leave first.
            return match &cell.actual {
                Some(held) if held.ours && !self.is_next_hop_in_use(id) => {
                    Step::delete(Tier::DropGroup, held)
                }
                _ => Step::Wait,
            };
        };
        let object = Arc::new(Object::NextHop(id, wanted));
        let Object::NextHop(_, content) = &*object else { return Step::Clean };
        let tier = Tier::of_write(&object);
        let Some(held) = &cell.actual else {
            return if self.is_next_hop_possible(content) { Step::create(tier, object) } else { Step::Wait };
        };
        if !held.ours {
            return Step::Blocked("a foreign nexthop object has this id");
        }
        match (&*held.object, content) {
            (Object::NextHop(_, held), wanted) if held == wanted => Step::Clean,
            (Object::NextHop(_, NextHop::Single { .. }), NextHop::Single { .. })
            | (Object::NextHop(_, NextHop::Group(_)), NextHop::Group(_)) => {
                if self.is_next_hop_possible(content) { Step::change(tier, object) } else { Step::Wait }
            }
            // The kernel replaces a single one only by a single one, and a group by a group.
            _ => Step::delete(Tier::DropNextHop, held),
        }
    }

    /// The kernel refuses a nexthop object over a link that is down or without carrier (ENETDOWN), and a group with
    /// a member that is not there (EINVAL).
    fn is_next_hop_possible(&self, content: &NextHop) -> bool {
        match content {
            NextHop::Single { link, .. } => {
                self.objects.link(Ns::HOST, link).is_some_and(|slot| self.objects.facts(slot).carrier)
            }
            NextHop::Group(members) => {
                let there = |id: &NextHopId| {
                    let slot = self.objects.find(&crate::model::Key::NextHop(*id));
                    slot.is_some_and(|s| self.objects.facts(s).present)
                };
                members.iter().all(there)
            }
        }
    }

    /// Whether a route or a group in the kernel, and not on its way out, leads to it.
    pub(super) fn is_next_hop_in_use(&self, id: NextHopId) -> bool {
        self.routes.values.uses_next_hop(id) || self.is_in_use(&Support::NextHop(id))
    }
}
