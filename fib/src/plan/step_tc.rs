//! The next step for traffic control.
//!
//! A redirection to a link that is down, or gone, swallows all that comes in. So it is made last, when that link is up
//! and has its qdisc, and goes first: the link stays until the kernel has confirmed that nothing is sent there any more.

use std::sync::Arc;

use crate::model::{IfName, Key, Ns, Object};

use super::{
    Fib,
    objects::{Cell, Held, Support},
    queues::Tier,
    step::Step,
};

impl Fib {
    /// What somebody has put on a link of ours where we want something ourselves gives way.
    pub(super) fn step_qdisc(&self, cell: &Cell, wanted: &Arc<Object>, link: &IfName) -> Step {
        match &cell.actual {
            Some(held) if held.object == *wanted => Step::Clean,
            _ if !self.link_is_there(Ns::HOST, link) => Step::Wait,
            Some(_) => Step::change(Tier::Qdisc, wanted.clone()),
            None => Step::create(Tier::Qdisc, wanted.clone()),
        }
    }

    pub(super) fn step_redirect(
        &self,
        cell: &Cell,
        wanted: &Arc<Object>,
        link: &IfName,
        to: Option<&IfName>,
    ) -> Step {
        let possible = self.link_is_there(Ns::HOST, link) && to.is_some_and(|to| self.can_take(to));
        match &cell.actual {
            Some(held) if held.object == *wanted => Step::Clean,
            Some(_) if possible => Step::change(Tier::Redirect, wanted.clone()),
            // Without a limit for a moment rather than without anything.
            Some(held) if held.ours => Step::delete(Tier::DropTc, held),
            None if possible => Step::create(Tier::Redirect, wanted.clone()),
            _ => Step::Wait,
        }
    }

    /// Whether a link is ready for what is redirected to it.
    fn can_take(&self, to: &IfName) -> bool {
        let up = self.objects.link(Ns::HOST, to).is_some_and(|slot| self.objects.facts(slot).up);
        let qdisc = self.objects.find(&Key::Qdisc(to.clone()));
        up && qdisc.is_some_and(|slot| self.objects.facts(slot).present)
    }

    /// Whether a redirection in the kernel leads to the link, be it on its way out.
    pub(super) fn is_redirected_to(&self, to: &IfName) -> bool {
        let leads_there =
            |held: &Held| matches!(&*held.object, Object::Redirect(_, Some(there)) if there == to);
        self.redirects(to).iter().any(|slot| {
            let held = self.objects.cell(*slot).and_then(|cell| cell.actual.as_ref());
            held.is_some_and(leads_there)
        })
    }

    /// The link's qdisc came or went.
    pub(super) fn wake_redirects(&mut self, to: &IfName) {
        self.redirects(to).into_iter().for_each(|slot| self.wake(slot));
    }

    /// The link that a redirection leads to is gone, which leaves it where it is.
    pub(super) fn lead_nowhere(&mut self, slot: u32, former: &IfName) {
        let held = self.objects.cell(slot).and_then(|cell| cell.actual.as_ref());
        if let Some(Held { object, ours, .. }) = held
            && let Object::Redirect(from, Some(to)) = &**object
            && to == former
        {
            let nowhere = Arc::new(Object::Redirect(from.clone(), None));
            let held = Held { ours: *ours, ..Held::ours(nowhere) };
            self.set_actual(slot, Some(held));
        }
    }

    /// Redirections that lead to a link, or should.
    fn redirects(&self, to: &IfName) -> Vec<u32> {
        let mut hanging = self.objects.hanging_on(&Support::Link(Ns::HOST, to.clone()));
        let leads =
            |slot: &u32| matches!(self.objects.get(*slot), Some((Key::Redirect(from), _)) if from != to);
        hanging.retain(leads);
        hanging
    }
}
