//! Where the host sends packets for an address, by routes that are not ours and not default routes.
//!
//! A BGP next hop must not be resolved through what BGP has installed, or a route would hold itself up. And a leaf
//! that is not directly attached any more must not be looked for behind the default route of a management port (FRR
//! asks for `ip nht resolve-via-default` before it does).
//!
//! The kernel is asked twice for each address, in one exchange: how it would send (device, gateway, source), and
//! which entry of which table says so (prefix, protocol, metric). Only when that entry is ours, the foreign routes
//! are read and searched here.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    channel::{Answer, reserve},
    codec::Writer,
    engine::Engine,
    nexthop, route,
    uapi::{AF_INET, AF_INET6, NLM_F_ACK, RT_TABLE_MAIN, RTM_F_FIB_MATCH, RTN_UNICAST},
};
use crate::model::{Event, KernelError, Resolution};

/// Another routing daemon's churn is looked at this often.
const CALM: Duration = Duration::from_millis(20);
/// When the kernel would not answer.
const AGAIN: Duration = Duration::from_millis(200);
/// Addresses asked for in one exchange, with two requests each.
const AT_ONCE: usize = 64;

/// The addresses tracked, with what was told of them last.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    tracked: BTreeMap<IpAddr, Told>,
    due: Option<Instant>,
}

/// `None`: nothing yet.
type Told = Option<Option<Resolution>>;

impl Resolver {
    /// Tracks these addresses and no others.
    pub(super) fn track(&mut self, addresses: Vec<IpAddr>) {
        let mut before = std::mem::take(&mut self.tracked);
        self.tracked =
            addresses.into_iter().map(|address| (address, before.remove(&address).flatten())).collect();
        self.disturb();
    }

    /// Something has changed that answers may depend on.
    pub(super) fn disturb(&mut self) {
        self.due_in(Duration::ZERO);
    }

    /// As [`Self::disturb`], of a kind that comes in floods.
    pub(super) fn disturb_soon(&mut self) {
        self.due_in(CALM);
    }

    fn due_in(&mut self, time: Duration) {
        if !self.tracked.is_empty() {
            let due = Instant::now() + time;
            self.due = Some(self.due.map_or(due, |before| before.min(due)));
        }
    }

    /// When the answers are to be looked at again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

/// Both answers for one address.
#[derive(Clone, Default)]
struct Answers {
    sent: Option<route::Seen>,
    entry: Option<route::Seen>,
}

impl Engine {
    /// Looks at all tracked addresses and tells what is new.
    pub(super) fn resolve(&mut self) {
        self.resolver.due = None;
        let addresses: Vec<IpAddr> = self.resolver.tracked.keys().copied().collect();
        for chunk in addresses.chunks(AT_ONCE) {
            match self.resolve_some(chunk) {
                Ok(resolutions) => {
                    for (address, resolution) in chunk.iter().zip(resolutions) {
                        self.tell_resolution(*address, resolution);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "next hops cannot be resolved; trying again");
                    self.resolver.due_in(AGAIN);
                }
            }
        }
    }

    fn tell_resolution(&mut self, address: IpAddr, resolution: Option<Resolution>) {
        let Some(told) = self.resolver.tracked.get_mut(&address) else { return };
        if told.as_ref() != Some(&resolution) {
            *told = Some(resolution.clone());
            self.tell(Event::Resolved(address, resolution));
        }
    }

    fn resolve_some(&mut self, addresses: &[IpAddr]) -> Result<Vec<Option<Resolution>>, KernelError> {
        let answers = self.ask(addresses)?;
        let ours = self.owner.protocol;
        let mut foreign = None;
        let mut resolutions = Vec::with_capacity(addresses.len());
        for (address, answers) in addresses.iter().zip(answers) {
            let entry = answers.entry.filter(|entry| entry.kind == RTN_UNICAST && !is_default(entry));
            let resolution = match entry {
                // Of a link-local address the link is not known.
                _ if is_link_local(*address) => None,
                None => None,
                Some(entry) if entry.protocol == ours => {
                    let foreign = match &foreign {
                        Some(foreign) => foreign,
                        None => foreign.insert(self.foreign_routes()?),
                    };
                    self.search(*address, foreign)?
                }
                Some(entry) => answers
                    .sent
                    .filter(|sent| sent.kind == RTN_UNICAST)
                    .and_then(|sent| self.usable(sent.link?, sent.via, entry.metric, sent.preferred_source)),
            };
            resolutions.push(resolution);
        }
        Ok(resolutions)
    }

    /// Asks the kernel, twice for each address.
    fn ask(&mut self, addresses: &[IpAddr]) -> Result<Vec<Answers>, KernelError> {
        let mut answers = vec![Answers::default(); addresses.len()];
        let count = addresses.len() as u32 * 2;
        if count == 0 {
            return Ok(answers);
        }
        let first = reserve(count);
        let last = first.wrapping_add(count - 1);
        let mut writer = Writer::default();
        let mut seq = first;
        for address in addresses {
            for route_flags in [0, RTM_F_FIB_MATCH] {
                let flags = if seq == last { NLM_F_ACK } else { 0 };
                route::lookup(&mut writer, seq, flags, *address, route_flags);
                seq = seq.wrapping_add(1);
            }
        }
        self.host.exchange(writer.as_slice(), first, last, |seq, answer| {
            // A refusal (no route, unreachable) leaves the answer empty.
            let number = seq.wrapping_sub(first) as usize;
            if let (Answer::Message(message), Some(answers)) = (answer, answers.get_mut(number / 2)) {
                let place = if number.is_multiple_of(2) { &mut answers.sent } else { &mut answers.entry };
                *place = route::decode(message);
            }
        })?;
        Ok(answers)
    }

    /// The unicast routes of the main table that are not ours and lead somewhere in particular. The kernel picks
    /// them out by protocol, so that our own, of which there may be very many, are not handed over.
    fn foreign_routes(&mut self) -> Result<Vec<route::Seen>, KernelError> {
        self.know_routes()?;
        let mut found = Vec::new();
        for protocol in self.contested.protocols() {
            for family in [AF_INET, AF_INET6] {
                let ask = |w: &mut _, seq, flags| route::dump(w, seq, flags, family, protocol, RT_TABLE_MAIN);
                found.extend(self.host.dump(ask, |message| {
                    route::decode(message).filter(|seen| {
                        let meant = seen.protocol == protocol && seen.table == RT_TABLE_MAIN && !seen.special;
                        meant && seen.kind == RTN_UNICAST && !is_default(seen)
                    })
                })?);
            }
        }
        Ok(found)
    }

    /// The longest match among `routes`, of those the one with the lowest metric.
    fn search(&mut self, address: IpAddr, routes: &[route::Seen]) -> Result<Option<Resolution>, KernelError> {
        let covering = routes.iter().filter(|seen| seen.prefix.contains(&address));
        let Some(best) = covering.min_by_key(|seen| (u8::MAX - seen.prefix.prefix_len(), seen.metric)) else {
            return Ok(None);
        };
        let hop = match (best.next_hop, best.multipath, best.link) {
            (Some(id), ..) => self.hop_of(id)?,
            (None, Some(hop), _) => Some(hop),
            (None, None, link) => link.map(|link| (link, best.via)),
        };
        Ok(hop.and_then(|(link, via)| self.usable(link, via, best.metric, best.preferred_source)))
    }

    /// The link and gateway of a nexthop object, of a group its first.
    fn hop_of(&mut self, id: u32) -> Result<Option<(u32, Option<IpAddr>)>, KernelError> {
        let mut wanted = id;
        // a group of groups does not exist
        for _ in 0..2 {
            let mut seen = None;
            let ask = |w: &mut _, seq, flags| nexthop::get(w, seq, flags, wanted);
            match self.host.request(ask, |message| seen = nexthop::decode(message)) {
                Err(error) if error.errno.0 == libc::ENOENT => return Ok(None),
                outcome => outcome?,
            }
            match seen.and_then(|seen| seen.hop()) {
                Some(Ok((link, via))) => return Ok(Some((link, Some(via)))),
                Some(Err(member)) => wanted = member,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A resolution over that link, if it is up and has a carrier.
    fn usable(
        &self,
        index: u32,
        via: Option<IpAddr>,
        metric: u32,
        source: Option<IpAddr>,
    ) -> Option<Resolution> {
        let link = self.interfaces.get(index).filter(|link| link.up && link.carrier)?;
        Some(Resolution { link: link.name.clone(), index, via, metric, source })
    }
}

fn is_default(seen: &route::Seen) -> bool {
    seen.prefix.prefix_len() == 0
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.is_unicast_link_local())
}
