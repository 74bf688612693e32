//! Everything of one concern, as the kernel has it now.

use std::collections::{HashMap, HashSet};

use super::{
    address,
    channel::Channel,
    contested::{Foreign, Routes},
    engine::Engine,
    failed, fdb, link, neighbour, nexthop, route, tc,
    uapi::{AF_INET, AF_INET6},
};
use crate::model::{
    Concern, Event, FdbKey, IfName, KernelError, LinkState, NextHopId, Ns, Object, Observed, RouteKey,
};

/// Routes are told in parts of this size, so that a full table is never one vector.
const PART: usize = 4096;

impl Engine {
    /// Reads everything of one concern in one namespace and tells it. A namespace that cannot be entered is told
    /// instead.
    pub(super) fn dump(&mut self, ns: Ns, concern: Concern) -> Result<(), KernelError> {
        if concern == Concern::Nft {
            return self.dump_nft(ns);
        }
        let mut container = None;
        if ns != Ns::HOST {
            let receive_buffer = self.options.receive_buffer;
            let opened =
                self.namespaces.within(ns, || Channel::open(receive_buffer)).and_then(|channel| channel);
            container = Some(opened.map_err(|error| {
                self.lose(ns, &error);
                failed(&error)
            })?);
        }
        let channel = container.as_mut().unwrap_or(&mut self.host);
        let links = links(channel, ns)?;
        let tell = |objects, last| (self.events)(Event::Dump { ns, concern, objects, last });
        if concern == Concern::Links {
            if ns == Ns::HOST {
                self.interfaces.reset(links.iter().cloned());
            }
            tell(links.into_iter().map(Observed::Link).collect(), true);
            return Ok(());
        }
        let is_ours = |link: &&LinkState| concern == Concern::Tc && self.owner.owns_link(link);
        let ours = links.iter().filter(is_ours).map(|link| link.index).collect();
        let names = Names(links.into_iter().map(|link| (link.index, link.name)).collect());
        let rest = match concern {
            Concern::Addresses => channel.dump(address::dump, |message| {
                let seen = address::decode(message)?;
                let object = Object::Address(ns, names.get(seen.link)?, seen.address);
                Some(Observed::Object { object, protocol: seen.protocol })
            })?,
            Concern::Neighbours => channel.dump(neighbour::dump, |message| {
                let seen = neighbour::decode(message).filter(|seen| seen.permanent)?;
                let object = Object::Neighbour(ns, names.get(seen.link)?, seen.address, seen.mac?);
                Some(Observed::Object { object, protocol: seen.protocol })
            })?,
            Concern::NextHops => or_empty(channel.dump(nexthop::dump, |message| {
                let seen = nexthop::decode(message)?;
                Some(Observed::Object {
                    object: seen.object(|link| names.get(link))?,
                    protocol: seen.protocol,
                })
            }))?,
            Concern::Routes => {
                let protocol = self.owner.protocol;
                let mut part = Vec::new();
                for family in [AF_INET, AF_INET6] {
                    // What a dump told before it was interrupted is told again. What went away between the two is
                    // in the news.
                    let ask = |w: &mut _, seq, flags| route::dump(w, seq, flags, family, protocol, 0);
                    channel.dump(ask, |message| {
                        let seen = route::decode(message).filter(|seen| seen.protocol == protocol)?;
                        let object = seen.object(ns, |link| names.get(link))?;
                        part.push(Observed::Object { object, protocol });
                        if part.len() == PART {
                            tell(std::mem::take(&mut part), false);
                        }
                        None::<()>
                    })?;
                }
                part
            }
            Concern::Fdb if ns == Ns::HOST => channel.dump(fdb::dump, |message| {
                let fdb::Seen { link, mac, target } = fdb::decode(message)?;
                let object = Object::Fdb(FdbKey { link: names.get(link)?, mac, target });
                Some(Observed::Object { object, protocol: 0 })
            })?,
            Concern::Tc if ns == Ns::HOST => tc::read(channel, &self.owner, &ours, |link| names.get(link))?
                .into_iter()
                .map(|object| Observed::Object { object, protocol: 0 })
                .collect(),
            Concern::Links | Concern::Fdb | Concern::Tc | Concern::Nft => Vec::new(),
        };
        tell(rest, true);
        Ok(())
    }

    /// Reads the host's links anew, after news about them was lost or before there was any.
    pub(super) fn scan_links(&mut self) -> Result<(), KernelError> {
        let links = links(&mut self.host, Ns::HOST)?;
        self.interfaces.reset(links);
        Ok(())
    }

    /// Whether a foreign route stands on the key. What is said to stand there is looked at anew when it may have gone
    /// without a word.
    pub(super) fn contested(&mut self, key: &RouteKey) -> Result<bool, KernelError> {
        self.know_routes()?;
        if self.contested.route_on(key) && self.contested.doubts_routes() {
            self.contested.lose_routes();
            self.know_routes()?;
        }
        Ok(self.contested.route_on(key))
    }

    /// Whether the id is that of somebody else's next hop. As [`Self::contested`].
    pub(super) fn contested_next_hop(&mut self, id: NextHopId) -> Result<bool, KernelError> {
        self.know_next_hops()?;
        if self.contested.next_hop_on(id.0) && self.contested.doubts_next_hops() {
            self.contested.lose_next_hops();
            self.know_next_hops()?;
        }
        Ok(self.contested.next_hop_on(id.0))
    }

    /// Sees to it that the foreign routes on keys of ours are known.
    pub(super) fn know_routes(&mut self) -> Result<(), KernelError> {
        if self.contested.knows_routes() {
            return Ok(());
        }
        let mut routes = Routes::default();
        let mut last_of_ours: Option<RouteKey> = None;
        for family in [AF_INET, AF_INET6] {
            let ask = |w: &mut _, seq, flags| route::dump(w, seq, flags, family, 0, 0);
            self.host.dump(ask, |message| {
                let seen = route::decode(message).filter(|seen| !seen.special)?;
                let key = seen.key(Ns::HOST);
                let learned = self.owner.is_learned(&key);
                if seen.protocol != self.owner.protocol {
                    // routes on the same key come one after the other
                    let how = if last_of_ours == Some(key) { Foreign::Beside } else { Foreign::Alone };
                    routes.note(seen.protocol, learned.then_some((key, how)));
                } else if learned {
                    routes.beside(&key);
                    last_of_ours = Some(key);
                }
                None::<()>
            })?;
        }
        self.contested.set_routes(routes);
        Ok(())
    }

    /// Sees to it that the ids of foreign next hops are known.
    pub(super) fn know_next_hops(&mut self) -> Result<(), KernelError> {
        if !self.contested.knows_next_hops() {
            let ours = self.owner.protocol;
            let foreign = or_empty(self.host.dump(nexthop::dump, |message| {
                nexthop::decode(message).filter(|seen| seen.protocol != ours).map(|seen| seen.id)
            }))?;
            self.contested.set_next_hops(foreign.into_iter().collect::<HashSet<_>>());
        }
        Ok(())
    }
}

/// Names of a namespace's links, by index.
struct Names(HashMap<u32, IfName>);

impl Names {
    fn get(&self, index: u32) -> Option<IfName> {
        self.0.get(&index).cloned()
    }
}

/// All links of the channel's namespace.
fn links(channel: &mut Channel, ns: Ns) -> Result<Vec<LinkState>, KernelError> {
    let seen = channel.dump(link::dump, |message| link::decode(ns, message))?;
    let names = Names(seen.iter().map(|seen| (seen.index(), seen.name().clone())).collect());
    Ok(seen.into_iter().map(|seen| seen.state(|index| names.get(index))).collect())
}

/// A kernel without nexthop objects (before 5.3) has none.
fn or_empty<T>(answer: Result<Vec<T>, KernelError>) -> Result<Vec<T>, KernelError> {
    match answer {
        Err(error) if error.errno.0 == libc::EOPNOTSUPP => Ok(Vec::new()),
        other => other,
    }
}
