//! Traffic control: `struct tcmsg` and `TCA_*` (linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h).
//!
//! Two things only: the token bucket at the root of a link, and the filter that redirects all that comes in by a link to
//! another one. It hangs on `clsact`, the qdisc without a queue that has a place for filters before the stack sees a
//! packet; a link has one at most, so ours and others' filters share it, or the older `ingress` if that is there.
//!
//! The filter is `u32` with a key that everything matches: `matchall` came later, and not every kernel has it. Nor has
//! every kernel `act_police`, which would do without a second link; what comes in passes a token bucket instead, that of
//! an IFB, so that both directions behave alike.

use std::collections::HashSet;

use super::{
    channel::Channel,
    codec::{Message, Writer, attributes, attributes_after, text_of, u32_at},
    uapi::{
        ETH_P_ALL, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REPLACE, RTM_DELQDISC, RTM_DELTFILTER,
        RTM_GETQDISC, RTM_GETTFILTER, RTM_NEWQDISC, RTM_NEWTFILTER, TC_ACT_STOLEN, TC_H_CLSACT,
        TC_H_MIN_EGRESS, TC_H_MIN_INGRESS, TC_H_ROOT, TC_LINKLAYER_ETHERNET, TC_U32_TERMINAL, TCA_ACT_KIND,
        TCA_ACT_OPTIONS, TCA_EGRESS_REDIR, TCA_KIND, TCA_MIRRED_PARMS, TCA_OPTIONS, TCA_TBF_PARMS,
        TCA_TBF_RATE64, TCA_U32_ACT, TCA_U32_SEL,
    },
};
use crate::{
    model::{IfName, KernelError, Object, Qdisc, TokenBucket},
    owner::Owner,
};

/// `sizeof(struct tcmsg)`.
const FIXED: usize = 20;
/// Where filters of a clsact hang that look at what comes in (the only place that an `ingress` has), and at what leaves.
pub(super) const HOOKS: [u32; 2] =
    [TC_H_CLSACT & 0xffff_0000 | TC_H_MIN_INGRESS, TC_H_CLSACT & 0xffff_0000 | TC_H_MIN_EGRESS];

/// Where a qdisc is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the root: of what leaves.
    Root,
    /// Before the stack: `ingress` or `clsact`.
    Before,
}

impl Place {
    fn parent(self) -> u32 {
        match self {
            Self::Root => TC_H_ROOT,
            Self::Before => TC_H_CLSACT,
        }
    }
}

/// How a qdisc is put where another one may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nothing may be there but the kernel's own.
    New,
    /// Ours is there, and gets other figures; what it holds stays in it.
    There,
    /// Another one is there, and goes.
    Over,
}

/// A request to put a token bucket at the root.
pub(super) fn put_bucket(
    w: &mut Writer,
    seq: u32,
    flags: u16,
    entry: Entry,
    (link, major): (u32, u16),
    bucket: &TokenBucket,
) {
    let how = match entry {
        Entry::New => NLM_F_CREATE | NLM_F_EXCL,
        Entry::There => NLM_F_REPLACE,
        Entry::Over => NLM_F_CREATE | NLM_F_REPLACE,
    };
    w.request(RTM_NEWQDISC, flags | how, seq, |w| {
        header(w, link, u32::from(major) << 16, TC_H_ROOT, 0);
        w.text(TCA_KIND, "tbf");
        w.nested(TCA_OPTIONS, |w| {
            let rate = u32::try_from(bucket.rate).unwrap_or(u32::MAX);
            let peak = if bucket.whole == 0 { 0 } else { TokenBucket::PEAK };
            // struct tc_tbf_qopt: rate, peakrate, limit, buffer, mtu
            let mut options = [0; 36];
            for (at, rate) in [(0, rate), (12, peak)] {
                // struct tc_ratespec. With the kind of link given, the kernel asks for no table of times.
                options[at + 1] = TC_LINKLAYER_ETHERNET;
                options[at + 8..at + 12].copy_from_slice(&rate.to_ne_bytes());
            }
            for (at, number) in [(24, bucket.queue), (28, bucket.burst), (32, bucket.whole)] {
                options[at..at + 4].copy_from_slice(&number.to_ne_bytes());
            }
            w.attribute(TCA_TBF_PARMS, &options);
            if rate == u32::MAX {
                w.attribute(TCA_TBF_RATE64, &bucket.rate.to_ne_bytes());
            }
        });
    });
}

/// A request to make a clsact.
pub(super) fn put_clsact(w: &mut Writer, seq: u32, flags: u16, link: u32) {
    w.request(RTM_NEWQDISC, flags | NLM_F_CREATE | NLM_F_EXCL, seq, |w| {
        header(w, link, TC_H_CLSACT & 0xffff_0000, TC_H_CLSACT, 0);
        w.text(TCA_KIND, "clsact");
    });
}

/// A request to delete the qdisc with that handle. The kernel compares the handle.
pub(super) fn delete_qdisc(w: &mut Writer, seq: u32, flags: u16, link: u32, place: Place, handle: u32) {
    w.request(RTM_DELQDISC, flags, seq, |w| header(w, link, handle, place.parent(), 0));
}

/// A request for the qdisc at a place. Without `NLM_F_ECHO` the kernel tells the answer to everybody but who asked.
pub(super) fn get_qdisc(w: &mut Writer, seq: u32, flags: u16, link: u32, place: Place) {
    w.request(RTM_GETQDISC, flags | NLM_F_ECHO, seq, |w| header(w, link, 0, place.parent(), 0));
}

/// A request to redirect all that comes in by a link to another one.
pub(super) fn put_redirect(w: &mut Writer, seq: u32, flags: u16, link: u32, priority: u16, to: u32) {
    w.request(RTM_NEWTFILTER, flags | NLM_F_CREATE | NLM_F_EXCL, seq, |w| {
        header(w, link, 0, HOOKS[0], u32::from(priority) << 16 | u32::from(ETH_P_ALL.to_be()));
        w.text(TCA_KIND, "u32");
        w.nested(TCA_OPTIONS, |w| {
            // struct tc_u32_sel with one struct tc_u32_key: no bit of the packet has to be as in the value
            let mut selector = [0; 32];
            (selector[0], selector[2]) = (TC_U32_TERMINAL, 1);
            w.attribute(TCA_U32_SEL, &selector);
            w.nested(TCA_U32_ACT, |w| {
                w.nested(1, |w| {
                    w.text(TCA_ACT_KIND, "mirred");
                    // struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex
                    let parts = [0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, to];
                    w.nested(TCA_ACT_OPTIONS, |w| w.attribute(TCA_MIRRED_PARMS, &octets(&parts)));
                });
            });
        });
    });
}

/// A request to delete all filters of a priority on what comes in.
pub(super) fn delete_filters(w: &mut Writer, seq: u32, flags: u16, link: u32, priority: u16) {
    w.request(RTM_DELTFILTER, flags, seq, |w| {
        header(w, link, 0, HOOKS[0], u32::from(priority) << 16);
    });
}

/// A request for the filters at a hook; of one priority, or of all (0).
pub(super) fn dump_filters(w: &mut Writer, seq: u32, flags: u16, link: u32, hook: u32, priority: u16) {
    w.request(RTM_GETTFILTER, flags, seq, |w| header(w, link, 0, hook, u32::from(priority) << 16));
}

fn header(w: &mut Writer, link: u32, handle: u32, parent: u32, info: u32) {
    w.raw(&octets(&[0, link, handle, parent, info]));
}

fn octets(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

/// A qdisc as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) link: u32,
    pub(super) handle: u32,
    pub(super) kind: String,
    pub(super) place: Place,
    bucket: Option<TokenBucket>,
}

impl Seen {
    /// In the model's form: ours by its handle.
    fn qdisc(self, owner: &Owner) -> Qdisc {
        match self.bucket {
            Some(bucket) if self.is_ours(owner) => Qdisc::Bucket(bucket),
            _ => Qdisc::Foreign(self.kind.into()),
        }
    }

    /// Whether it has our handle.
    pub(super) fn is_ours(&self, owner: &Owner) -> bool {
        self.handle == u32::from(owner.qdisc) << 16
    }
}

/// Reads a qdisc at one of our places. `None` also for what every link has from the kernel, which has no handle.
pub(super) fn decode_qdisc(message: Message<'_>) -> Option<Seen> {
    if message.kind != RTM_NEWQDISC {
        return None;
    }
    let (link, handle) = (u32_at(message.body, 4)?, u32_at(message.body, 8)?);
    let place = match u32_at(message.body, 12)? {
        TC_H_ROOT => Place::Root,
        TC_H_CLSACT => Place::Before,
        _ => return None,
    };
    let (mut kind, mut bucket) = (None, None);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            TCA_KIND => kind = text_of(payload),
            TCA_OPTIONS if kind == Some("tbf") => bucket = decode_bucket(payload),
            _ => {}
        }
    }
    let seen = Seen { link, handle, kind: kind?.to_owned(), place, bucket };
    (handle != 0).then_some(seen)
}

fn decode_bucket(options: &[u8]) -> Option<TokenBucket> {
    let (mut parts, mut rate64) = (None, None);
    for (number, payload) in attributes(options) {
        match number {
            TCA_TBF_PARMS => parts = Some(payload),
            TCA_TBF_RATE64 => rate64 = payload.try_into().ok().map(u64::from_ne_bytes),
            _ => {}
        }
    }
    let at = |offset| u32_at(parts?, offset);
    let whole = match at(20)? {
        0 => 0,
        TokenBucket::PEAK => at(32)?,
        // not ours, and none that we would want
        _ => u32::MAX,
    };
    let rate = rate64.unwrap_or(u64::from(at(8)?));
    Some(TokenBucket { rate, burst: at(28)?, whole, queue: at(24)? })
}

/// What a filter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Nothing: what holds others together.
    Head,
    /// It redirects everything to the link with this index (0: to one that is gone).
    Redirect(u32),
    /// Something else.
    Other,
}

/// Reads a filter.
pub(super) fn decode_filter(message: Message<'_>) -> Option<Filter> {
    if message.kind != RTM_NEWTFILTER {
        return None;
    }
    let info = u32_at(message.body, 16)?;
    let of = |number| {
        attributes_after(message.body, FIXED).find(|(n, _)| *n == number).map(|(_, payload)| payload)
    };
    if of(TCA_KIND).and_then(text_of) != Some("u32") {
        return Some(Filter::Other);
    }
    let (mut selector, mut actions) = (None, None);
    for (number, payload) in attributes(of(TCA_OPTIONS).unwrap_or_default()) {
        match number {
            TCA_U32_SEL => selector = Some(payload),
            TCA_U32_ACT => actions = Some(payload),
            _ => {}
        }
    }
    let Some(selector) = selector else { return Some(Filter::Head) };
    let takes_all = info & 0xffff == u32::from(ETH_P_ALL.to_be())
        && selector.first().is_some_and(|flags| flags & TC_U32_TERMINAL != 0)
        && selector.get(2) == Some(&1)
        && u32_at(selector, 16) == Some(0);
    let to = actions.and_then(decode_redirect).filter(|_| takes_all);
    Some(to.map_or(Filter::Other, Filter::Redirect))
}

/// Where the first of these actions redirects to.
fn decode_redirect(actions: &[u8]) -> Option<u32> {
    let (_, action) = attributes(actions).next()?;
    let of = |number| attributes(action).find(|(n, _)| *n == number).map(|(_, payload)| payload);
    if of(TCA_ACT_KIND).and_then(text_of) != Some("mirred") {
        return None;
    }
    let (_, parts) = attributes(of(TCA_ACT_OPTIONS)?).find(|(n, _)| *n == TCA_MIRRED_PARMS)?;
    let redirects = u32_at(parts, 8)? == TC_ACT_STOLEN && u32_at(parts, 20)? == TCA_EGRESS_REDIR;
    redirects.then(|| u32_at(parts, 24)).flatten()
}

/// The link that an announcement about a qdisc or a filter is about.
pub(super) fn link_of(message: Message<'_>) -> Option<u32> {
    let kinds = [RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER, RTM_DELTFILTER];
    kinds.contains(&message.kind).then(|| u32_at(message.body, 4)).flatten()
}

/// All that there is on these links of ours.
pub(super) fn read(
    channel: &mut Channel,
    owner: &Owner,
    links: &HashSet<u32>,
    name_of: impl Fn(u32) -> Option<IfName>,
) -> Result<Vec<Object>, KernelError> {
    let ask = |w: &mut _, seq, flags| get_qdisc_dump(w, seq, flags);
    let seen =
        channel.dump(ask, |message| decode_qdisc(message).filter(|seen| links.contains(&seen.link)))?;
    let mut objects = Vec::new();
    for seen in seen {
        let Some(name) = name_of(seen.link) else { continue };
        match seen.place {
            Place::Root => objects.push(Object::Qdisc(name, seen.qdisc(owner))),
            Place::Before => {
                let to = match redirected(channel, seen.link, owner.filter)? {
                    None => continue,
                    Some(Redirected::To(to)) => name_of(to),
                    Some(Redirected::Nowhere) => None,
                };
                objects.push(Object::Redirect(name, to));
            }
        }
    }
    Ok(objects)
}

fn get_qdisc_dump(w: &mut Writer, seq: u32, flags: u16) {
    w.request(RTM_GETQDISC, flags, seq, |w| header(w, 0, 0, 0, 0));
}

/// What the filters of a priority do with what comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirected {
    /// It all goes to the link with this index.
    To(u32),
    /// It goes to one that is gone; or they are not what we would make.
    Nowhere,
}

/// What the filters of that priority do; `None` without any.
pub(super) fn redirected(
    channel: &mut Channel,
    link: u32,
    priority: u16,
) -> Result<Option<Redirected>, KernelError> {
    let ask = |w: &mut _, seq, flags| dump_filters(w, seq, flags, link, HOOKS[0], priority);
    let filters = channel.dump(ask, decode_filter)?;
    let mut told = filters.iter().filter(|filter| **filter != Filter::Head);
    Ok(match (told.next(), told.next()) {
        _ if filters.is_empty() => None,
        (Some(Filter::Redirect(to)), None) if *to != 0 => Some(Redirected::To(*to)),
        _ => Some(Redirected::Nowhere),
    })
}
