//! Traffic control: root qdiscs, and redirections of what comes in.

use std::collections::BTreeMap;

use super::{FakeKernel, refuse};
use crate::model::{Concern, Event, IfName, LinkKind, Ns, Object, OpResult, Qdisc};

/// All of it, in the host's namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Tc {
    qdiscs: BTreeMap<IfName, Qdisc>,
    /// With where to; `None`: that link is gone.
    redirects: BTreeMap<IfName, Option<IfName>>,
}

impl Tc {
    pub(super) fn objects(&self) -> Vec<Object> {
        let qdiscs = self.qdiscs.iter().map(|(link, qdisc)| Object::Qdisc(link.clone(), qdisc.clone()));
        let redirects = self.redirects.iter().map(|(link, to)| Object::Redirect(link.clone(), to.clone()));
        qdiscs.chain(redirects).collect()
    }

    /// A link goes. Not a word is said of what goes with it, nor of what led to it.
    pub(super) fn without(&mut self, link: &IfName) {
        self.qdiscs.remove(link);
        self.redirects.remove(link);
        for to in self.redirects.values_mut().filter(|to| to.as_ref() == Some(link)) {
            *to = None;
        }
    }
}

impl FakeKernel {
    fn check_tc(&self, link: &IfName) -> OpResult {
        match self.link(Ns::HOST, link) {
            None => refuse(libc::ENODEV, ""),
            Some(_) if !self.is_link_ours(Ns::HOST, link) => refuse(libc::EPERM, "somebody else's link"),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn write_qdisc(&mut self, link: &IfName, qdisc: &Qdisc, create: bool) -> OpResult {
        self.check_tc(link)?;
        match (create, self.tc.qdiscs.contains_key(link)) {
            (true, true) => refuse(libc::EEXIST, ""),
            (false, false) => refuse(libc::ENOENT, ""),
            _ => {
                self.tc.qdiscs.insert(link.clone(), qdisc.clone());
                Ok(())
            }
        }
    }

    pub(super) fn delete_qdisc(&mut self, link: &IfName) -> OpResult {
        self.check_tc(link)?;
        match self.tc.qdiscs.get(link) {
            None => refuse(libc::ENOENT, ""),
            Some(Qdisc::Foreign(_)) => refuse(libc::EPERM, "somebody else's qdisc"),
            Some(Qdisc::Bucket(_)) => {
                self.tc.qdiscs.remove(link);
                Ok(())
            }
        }
    }

    pub(super) fn write_redirect(&mut self, link: &IfName, to: Option<&IfName>, create: bool) -> OpResult {
        self.check_tc(link)?;
        let Some(to) = to else { return refuse(libc::EINVAL, "nowhere") };
        self.check_tc(to)?;
        match self.link(Ns::HOST, to) {
            Some(to) if to.kind != LinkKind::Ifb => return refuse(libc::EINVAL, "no IFB"),
            Some(to) if !to.up => return refuse(libc::ENETDOWN, ""),
            _ => {}
        }
        match (create, self.tc.redirects.contains_key(link)) {
            (true, true) => refuse(libc::EEXIST, ""),
            (false, false) => refuse(libc::ENOENT, ""),
            _ => {
                self.tc.redirects.insert(link.clone(), Some(to.clone()));
                Ok(())
            }
        }
    }

    pub(super) fn delete_redirect(&mut self, link: &IfName) -> OpResult {
        self.check_tc(link)?;
        if self.tc.redirects.remove(link).is_some() { Ok(()) } else { refuse(libc::ENOENT, "") }
    }

    /// Somebody puts a qdisc on a link, or takes it off.
    pub fn set_qdisc(&mut self, link: &IfName, qdisc: Option<Qdisc>) {
        if self.link(Ns::HOST, link).is_none() {
            return;
        }
        match qdisc {
            Some(qdisc) => drop(self.tc.qdiscs.insert(link.clone(), qdisc)),
            None => drop(self.tc.qdiscs.remove(link)),
        }
        self.announce_tc(link);
    }

    /// Somebody leads the redirection of a link to where there is nothing.
    pub fn mislead(&mut self, link: &IfName) {
        if self.link(Ns::HOST, link).is_some() {
            self.tc.redirects.insert(link.clone(), None);
            self.announce_tc(link);
        }
    }

    /// Somebody takes the redirection of a link off.
    pub(super) fn take_redirect_away(&mut self, link: &IfName) {
        if self.tc.redirects.remove(link).is_some() {
            self.announce_tc(link);
        }
    }

    /// The kernel thread says that something happened, if it was on a link of ours.
    fn announce_tc(&mut self, link: &IfName) {
        if self.is_link_ours(Ns::HOST, link) {
            self.events.push_back(Event::Overrun(Concern::Tc));
        }
    }

    /// Links by which nothing comes in, because it is redirected to one that is gone or down.
    pub fn cut_off(&self) -> Vec<IfName> {
        let takes = |to: &IfName| self.link(Ns::HOST, to).is_some_and(|to| to.up);
        let cut = self.tc.redirects.iter().filter(|(_, to)| !to.as_ref().is_some_and(takes));
        cut.map(|(link, _)| link.clone()).collect()
    }
}
