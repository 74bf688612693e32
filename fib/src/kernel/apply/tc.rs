//! Traffic control: what a link sends, and the way of what comes in by it.
//!
//! All of it on links of ours only. What is there is looked at first: the kernel replaces a qdisc whosever it is, and
//! takes a second filter beside the first.

use super::{Run, Verb, not_ours};
use crate::{
    kernel::{
        engine::Engine,
        refused,
        tc::{self, Entry, HOOKS, Place, Seen},
    },
    model::{IfName, KernelError, LinkKind, LinkState, OpResult, Qdisc},
};

impl Engine {
    pub(super) fn put_qdisc(&mut self, run: &mut Run, verb: Verb, link: &IfName, qdisc: &Qdisc) -> OpResult {
        let Qdisc::Bucket(bucket) = qdisc else {
            return Err(refused(libc::EINVAL, format!("{qdisc} is not made here")));
        };
        let link = self.own_link(run, link)?.index;
        let there = self.qdisc(run, link, Place::Root)?;
        let entry = match (verb, there) {
            (Verb::Create, None) => Entry::New,
            (Verb::Create, Some(seen)) => {
                return Err(refused(libc::EEXIST, format!("a qdisc ({}) is there", seen.kind)));
            }
            (Verb::Change, None) => return Err(refused(libc::ENOENT, "no qdisc is there")),
            (Verb::Change, Some(seen)) if !seen.is_ours(&self.owner) => Entry::Over,
            (Verb::Change, Some(seen)) if seen.kind == "tbf" => Entry::There,
            (Verb::Change, Some(seen)) => {
                // The kernel does not make one kind into another under the same handle.
                self.delete_at(run, &seen)?;
                Entry::New
            }
        };
        let at = (link, self.owner.qdisc);
        self.request(run, |w, seq, flags| tc::put_bucket(w, seq, flags, entry, at, bucket), |_| {})
            .map_err(|error| unknown(error, "the kernel has no token buckets (module sch_tbf)"))
    }

    pub(super) fn delete_own_qdisc(&mut self, run: &mut Run, link: &IfName) -> OpResult {
        let link = self.own_link(run, link)?.index;
        match self.qdisc(run, link, Place::Root)? {
            None => Err(refused(libc::ENOENT, "no qdisc is there")),
            Some(seen) if seen.is_ours(&self.owner) => self.delete_at(run, &seen),
            Some(seen) => {
                Err(refused(libc::EPERM, format!("somebody else's qdisc ({}) is there", seen.kind)))
            }
        }
    }

    pub(super) fn put_redirect(
        &mut self,
        run: &mut Run,
        verb: Verb,
        link: &IfName,
        to: Option<&IfName>,
    ) -> OpResult {
        let Some(to) = to else { return Err(refused(libc::EINVAL, "nowhere to redirect to")) };
        let link = self.own_link(run, link)?.index;
        let to = self.own_link(run, to)?;
        if to.kind != LinkKind::Ifb {
            return Err(refused(libc::EINVAL, format!("{} is no IFB", to.name)));
        }
        // The tracker counts on what went before in the batch. If that was refused, nothing would come in any more.
        if !to.up {
            return Err(refused(libc::ENETDOWN, format!("{} is down", to.name)));
        }
        let priority = self.owner.filter;
        let there = tc::redirected(self.channel(run)?, link, priority)?;
        match (verb, there) {
            (Verb::Create, Some(_)) => return Err(refused(libc::EEXIST, "it is redirected already")),
            (Verb::Change, None) => return Err(no_redirect()),
            (Verb::Create, None) => {}
            (Verb::Change, Some(_)) => {
                self.request(run, |w, seq, flags| tc::delete_filters(w, seq, flags, link, priority), |_| {})?;
            }
        }
        if self.qdisc(run, link, Place::Before)?.is_none() {
            self.request(run, |w, seq, flags| tc::put_clsact(w, seq, flags, link), |_| {})
                .map_err(|error| unknown(error, "the kernel has no clsact (module sch_ingress)"))?;
        }
        let put = self.request(
            run,
            |w, seq, flags| tc::put_redirect(w, seq, flags, link, priority, to.index),
            |_| {},
        );
        put.map_err(|error| {
            self.tidy(run, link);
            unknown(error, "the kernel cannot redirect (modules cls_u32, act_mirred)")
        })
    }

    pub(super) fn delete_redirect(&mut self, run: &mut Run, link: &IfName) -> OpResult {
        let link = self.own_link(run, link)?.index;
        let priority = self.owner.filter;
        if tc::redirected(self.channel(run)?, link, priority)?.is_none() {
            return Err(no_redirect());
        }
        self.request(run, |w, seq, flags| tc::delete_filters(w, seq, flags, link, priority), |_| {})?;
        self.tidy(run, link);
        Ok(())
    }

    /// Removes the clsact when there is no filter on it any more. It bears no mark: one that others have filters on stays.
    /// So does an `ingress`, which we do not make.
    fn tidy(&mut self, run: &mut Run, link: u32) {
        let outcome = self.qdisc(run, link, Place::Before).and_then(|seen| {
            let Some(seen) = seen.filter(|seen| seen.kind == "clsact") else { return Ok(()) };
            for hook in HOOKS {
                let ask = |w: &mut _, seq, flags| tc::dump_filters(w, seq, flags, link, hook, 0);
                if !self.channel(run)?.dump(ask, tc::decode_filter)?.is_empty() {
                    return Ok(());
                }
            }
            self.delete_at(run, &seen)
        });
        if let Err(error) = outcome {
            tracing::debug!(%error, link, "an empty clsact stays");
        }
    }

    fn delete_at(&mut self, run: &mut Run, seen: &Seen) -> OpResult {
        let Seen { link, place, handle, .. } = *seen;
        self.request(run, |w, seq, flags| tc::delete_qdisc(w, seq, flags, link, place, handle), |_| {})
    }

    /// A link of ours, with everything done that came before.
    fn own_link(&mut self, run: &mut Run, name: &IfName) -> Result<LinkState, KernelError> {
        self.flush(run);
        let link = self.link(run, name)?;
        if self.owner.owns_link(&link) { Ok(link) } else { Err(not_ours(&link)) }
    }

    /// The qdisc at a place of a link now.
    fn qdisc(&mut self, run: &mut Run, link: u32, place: Place) -> Result<Option<Seen>, KernelError> {
        let mut seen = None;
        let ask = |w: &mut _, seq, flags| tc::get_qdisc(w, seq, flags, link, place);
        match self.request(run, ask, |message| seen = tc::decode_qdisc(message)) {
            Err(error) if error.errno.0 != libc::ENOENT => Err(error),
            _ => Ok(seen),
        }
    }
}

fn no_redirect() -> KernelError {
    refused(libc::ENOENT, "nothing is redirected")
}

/// Of a kind that no module provides the kernel says that it is not there, which is what it says of much else.
fn unknown(error: KernelError, text: &str) -> KernelError {
    if error.errno.0 == libc::ENOENT { refused(libc::EOPNOTSUPP, text) } else { error }
}
