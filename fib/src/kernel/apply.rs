//! Operations → requests, in order, in as few batches as the order allows.
//!
//! Routes, next hops, new addresses and neighbours go into the batch at once. What depends on an answer (a link's
//! index, whether a thing is ours) has the batch sent first.

mod fdb;
mod links;
mod tc;

use std::{collections::HashMap, io};

use ipnet::IpNet;

use super::{
    address,
    channel::Channel,
    codec::{Message, Writer},
    engine::Engine,
    failed, link, neighbour, nexthop, nft, refused,
    route::{self, Entry},
    sysctl,
};
use crate::model::{
    IfName, KernelError, Key, LinkState, Mac, NextHop, NextHopId, Ns, Object, Op, OpResult, Route, RouteKey,
};

/// One [`Command::Apply`](crate::model::Command::Apply) on its way.
struct Run {
    results: Vec<OpResult>,
    /// Operations on nftables that come one after the other: they are done together.
    transaction: Vec<usize>,
    /// Where the requests in the batch belong.
    target: Ns,
    /// The container last worked in. Closed with the run at the latest: it keeps the namespace alive.
    container: Option<Session>,
}

/// A socket in a container's namespace, and what has been learned by it.
struct Session {
    ns: Ns,
    channel: Channel,
    links: HashMap<IfName, LinkState>,
}

/// What to do with an object of which there is one per key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Create,
    Change,
}

impl Engine {
    /// Applies operations in order and says what became of each.
    pub(super) fn apply(&mut self, ops: Vec<Op>) -> Vec<(Key, OpResult)> {
        self.watch();
        let mut run = Run {
            results: vec![Ok(()); ops.len()],
            transaction: Vec::new(),
            target: Ns::HOST,
            container: None,
        };
        for (number, op) in ops.iter().enumerate() {
            if nft::concerns(op) {
                run.transaction.push(number);
                continue;
            }
            self.transact(&mut run, &ops);
            let ns = namespace(op);
            if ns != run.target || self.batch.is_full() {
                self.flush(&mut run);
                run.target = ns;
            }
            if let Err(error) = self.step(&mut run, number, op)
                && let Some(result) = run.results.get_mut(number)
            {
                *result = Err(error);
            }
        }
        self.flush(&mut run);
        self.transact(&mut run, &ops);
        // What was announced before the answer is told before it.
        self.watch();
        ops.into_iter().map(into_key).zip(run.results).collect()
    }

    /// Does what has gathered for nftables, after all that came before it.
    fn transact(&mut self, run: &mut Run, ops: &[Op]) {
        if run.transaction.is_empty() {
            return;
        }
        self.flush(run);
        let numbers = std::mem::take(&mut run.transaction);
        self.apply_nft(ops, numbers, &mut run.results);
        self.watch();
    }

    /// Sends what is in the batch, and looks at what has happened meanwhile: a long run must not hold up the news
    /// that a link is down.
    fn flush(&mut self, run: &mut Run) {
        if self.batch.is_empty() {
            return;
        }
        let channel = match &mut run.container {
            Some(session) if session.ns == run.target => &mut session.channel,
            _ => &mut self.host,
        };
        self.batch.send(channel, &mut run.results);
        self.watch();
    }

    fn step(&mut self, run: &mut Run, number: usize, op: &Op) -> OpResult {
        let (object, verb) = match op {
            Op::Create(object) => (object, Verb::Create),
            Op::Change(object) => (object, Verb::Change),
            Op::Delete(key) => return self.delete(run, number, key),
        };
        match object {
            Object::Route(key, route) => self.put_route(run, number, verb, key, route),
            Object::NextHop(id, next_hop) => self.put_next_hop(run, number, verb, *id, next_hop),
            Object::Address(_, link, address) => self.put_address(run, number, verb, link, *address),
            Object::Neighbour(_, link, address, mac) => {
                self.put_neighbour(run, number, verb, link, *address, *mac)
            }
            Object::Link(ns, name, link) => self.put_link(run, *ns, verb, name, link),
            Object::Fdb(key) => self.put_fdb(run, number, verb, key),
            Object::Qdisc(link, qdisc) => self.put_qdisc(run, verb, link, qdisc),
            Object::Redirect(link, to) => self.put_redirect(run, verb, link, to.as_ref()),
            Object::Table(_) | Object::Chain(..) | Object::Set(..) | Object::Element(..) => Err(not_alone()),
            Object::Sysctl(ns, name, value) => {
                self.flush(run);
                match self.namespaces.within(*ns, || sysctl::write(name, value)) {
                    Ok(written) => written.map_err(|error| failed(&error)),
                    Err(error) => {
                        self.lose(*ns, &error);
                        Err(failed(&error))
                    }
                }
            }
        }
    }

    fn delete(&mut self, run: &mut Run, number: usize, key: &Key) -> OpResult {
        let ours = self.owner.protocol;
        match key {
            Key::Route(key) => {
                route::check_key(key)?;
                self.ready(run)?;
                self.batch.push(number, |w, seq| route::delete(w, seq, 0, ours, key));
            }
            Key::NextHop(id) => {
                self.own_next_hop(*id)?;
                self.batch.push(number, |w, seq| nexthop::delete(w, seq, *id));
            }
            Key::Address(_, link, address) => {
                let link = self.own_address(run, link, *address)?;
                if run.target == Ns::HOST && address.addr().is_ipv6() {
                    self.echoes.addresses.insert((link.index, *address));
                }
                self.disturb(run);
                self.batch.push(number, |w, seq| address::delete(w, seq, link.index, *address));
            }
            Key::Neighbour(ns, link, address) => {
                let link = self.link(run, link)?;
                let seen = self.neighbour(run, link.index, *address)?.filter(|seen| seen.permanent);
                let seen = seen.ok_or_else(|| refused(libc::ENOENT, "no permanent entry"))?;
                self.own_neighbour(*ns, &link, &seen)?;
                if run.target == Ns::HOST {
                    self.echoes.neighbours.insert((link.index, *address));
                }
                self.batch.push(number, |w, seq| neighbour::delete(w, seq, link.index, *address));
            }
            Key::Link(_, name) => return self.delete_link(run, name),
            Key::Sysctl(..) => return Err(refused(libc::EOPNOTSUPP, "a sysctl cannot be deleted")),
            Key::Fdb(key) => return self.delete_fdb(run, number, key),
            Key::Qdisc(link) => return self.delete_own_qdisc(run, link),
            Key::Redirect(link) => return self.delete_redirect(run, link),
            Key::Table(_) | Key::Chain(_) | Key::Set(_) | Key::Element(..) => return Err(not_alone()),
        }
        Ok(())
    }

    fn put_route(
        &mut self,
        run: &mut Run,
        number: usize,
        verb: Verb,
        key: &RouteKey,
        route: &Route,
    ) -> OpResult {
        route::check(key, route)?;
        let link = match route::link_of(route) {
            Some(name) => Some(self.index(run, name)?),
            None => None,
        };
        self.ready(run)?;
        let ours = self.owner.protocol;
        let mut entry = Entry::Exclusive;
        if verb == Verb::Change {
            if self.owner.is_learned(key) {
                if self.contested(key)? {
                    return Err(refused(
                        libc::EEXIST,
                        "somebody else's route has this prefix, table and metric",
                    ));
                }
                entry = Entry::Replacing;
            } else {
                // Nothing is known of foreign routes on such keys, so nothing may be replaced.
                self.flush(run);
                self.request(run, |w, seq, flags| route::delete(w, seq, flags, ours, key), |_| {})?;
            }
        }
        self.batch.push(number, |w, seq| route::put(w, seq, entry, ours, key, route, link));
        Ok(())
    }

    fn put_next_hop(
        &mut self,
        run: &mut Run,
        number: usize,
        verb: Verb,
        id: NextHopId,
        next_hop: &NextHop,
    ) -> OpResult {
        nexthop::check(next_hop)?;
        let link = match nexthop::link_of(next_hop) {
            Some(name) => Some(self.index(run, name)?),
            None => None,
        };
        if verb == Verb::Change {
            self.own_next_hop(id)?;
        }
        let ours = self.owner.protocol;
        let replace = verb == Verb::Change;
        self.batch.push(number, |w, seq| nexthop::put(w, seq, replace, ours, id, next_hop, link));
        Ok(())
    }

    fn put_address(
        &mut self,
        run: &mut Run,
        number: usize,
        verb: Verb,
        link: &IfName,
        address: IpNet,
    ) -> OpResult {
        let index = match verb {
            Verb::Create => self.index(run, link)?,
            Verb::Change => self.own_address(run, link, address)?.index,
        };
        self.disturb(run);
        let ours = self.owner.protocol;
        let replace = verb == Verb::Change;
        self.batch.push(number, |w, seq| address::put(w, seq, replace, ours, index, address));
        Ok(())
    }

    fn put_neighbour(
        &mut self,
        run: &mut Run,
        number: usize,
        verb: Verb,
        link: &IfName,
        address: std::net::IpAddr,
        mac: Mac,
    ) -> OpResult {
        let link = self.link(run, link)?;
        let seen = self.neighbour(run, link.index, address)?;
        match (verb, &seen) {
            (Verb::Change, None) => return Err(refused(libc::ENOENT, "no such entry")),
            (Verb::Create, Some(seen)) if seen.permanent => {
                return Err(refused(libc::EEXIST, "a permanent entry is there"));
            }
            (Verb::Change, Some(seen)) if seen.permanent => self.own_neighbour(run.target, &link, seen)?,
            // What is not permanent is the kernel's cache.
            _ => {}
        }
        let ours = self.owner.protocol;
        let replace = seen.is_some();
        self.batch.push(number, |w, seq| neighbour::put(w, seq, replace, ours, link.index, address, mac));
        Ok(())
    }

    /// Where the kernel does not announce to us what we did to addresses, tracked addresses are looked up all the
    /// same.
    fn disturb(&mut self, run: &Run) {
        if run.target == Ns::HOST {
            self.resolver.disturb();
        }
    }

    /// `Err` when the next hop is known to be somebody else's.
    fn own_next_hop(&mut self, id: NextHopId) -> OpResult {
        if self.contested_next_hop(id)? {
            return Err(refused(libc::EPERM, format!("next hop {} is somebody else's", id.0)));
        }
        Ok(())
    }

    /// `Err` when there is no such address, or it is somebody else's.
    fn own_address(
        &mut self,
        run: &mut Run,
        name: &IfName,
        address: IpNet,
    ) -> Result<LinkState, KernelError> {
        let link = self.link(run, name)?;
        self.flush(run);
        let channel = self.channel(run)?;
        let found = channel.dump(
            |w, seq, flags| address::dump_link(w, seq, flags, link.index, address),
            |message| {
                address::decode(message).filter(|seen| seen.link == link.index && seen.address == address)
            },
        )?;
        let Some(seen) = found.first() else { return Err(refused(libc::EADDRNOTAVAIL, "no such address")) };
        let object = Object::Address(run.target, name.clone(), address);
        if self.owner.owns_on_link(&object, seen.protocol, self.owner.owns_link(&link)) {
            Ok(link)
        } else {
            Err(refused(libc::EPERM, format!("somebody else's address (protocol {})", seen.protocol)))
        }
    }

    /// The neighbour entry as it is now.
    fn neighbour(
        &mut self,
        run: &mut Run,
        link: u32,
        address: std::net::IpAddr,
    ) -> Result<Option<neighbour::Seen>, KernelError> {
        self.flush(run);
        let mut seen = None;
        let ask = |w: &mut Writer, seq, flags| neighbour::get(w, seq, flags, link, address);
        match self.request(run, ask, |message| seen = neighbour::decode(message)) {
            Err(error) if error.errno.0 != libc::ENOENT => Err(error),
            _ => Ok(seen),
        }
    }

    fn own_neighbour(&self, ns: Ns, link: &LinkState, seen: &neighbour::Seen) -> OpResult {
        let object = Object::Neighbour(ns, link.name.clone(), seen.address, seen.mac.unwrap_or(Mac([0; 6])));
        if self.owner.owns_on_link(&object, seen.protocol, self.owner.owns_link(link)) {
            Ok(())
        } else {
            Err(refused(libc::EPERM, format!("somebody else's entry (protocol {})", seen.protocol)))
        }
    }

    /// The index of a link in the run's namespace.
    fn index(&mut self, run: &mut Run, name: &IfName) -> Result<u32, KernelError> {
        if run.target == Ns::HOST {
            self.interfaces.index(name).ok_or_else(|| no_link(name))
        } else {
            self.link(run, name).map(|link| link.index)
        }
    }

    /// A link in the run's namespace, as it was seen last.
    fn link(&mut self, run: &mut Run, name: &IfName) -> Result<LinkState, KernelError> {
        if run.target == Ns::HOST {
            let index = self.index(run, name)?;
            return self.interfaces.get(index).cloned().ok_or_else(|| no_link(name));
        }
        self.ready(run)?;
        if let Some(link) = run.container.as_ref().and_then(|session| session.links.get(name)) {
            return Ok(link.clone());
        }
        self.flush(run);
        let link = self.look_up(run, name)?;
        if let Some(session) = &mut run.container {
            session.links.insert(name.clone(), link.clone());
        }
        Ok(link)
    }

    /// A link in the run's namespace, as it is now.
    fn look_up(&mut self, run: &mut Run, name: &IfName) -> Result<LinkState, KernelError> {
        let ns = run.target;
        let mut state = None;
        let ask = |w: &mut Writer, seq, flags| link::get(w, seq, flags, name);
        self.request(run, ask, |message| state = link::decode(ns, message))?;
        self.named(run, state, name)
    }

    /// What was seen, with the names of the links that it depends on.
    fn named(&self, run: &Run, seen: Option<link::Seen>, name: &IfName) -> Result<LinkState, KernelError> {
        // By an alternative name the kernel finds links too.
        let seen = seen.filter(|seen| seen.name() == name).ok_or_else(|| no_link(name))?;
        let on_host = run.target == Ns::HOST;
        Ok(seen.state(|index| if on_host { self.interfaces.name(index) } else { None }))
    }

    /// One request outside the batch, which must have been sent.
    fn request(
        &mut self,
        run: &mut Run,
        encode: impl FnOnce(&mut Writer, u32, u16),
        each: impl FnMut(Message<'_>),
    ) -> OpResult {
        debug_assert!(self.batch.is_empty());
        self.channel(run)?.request(encode, each)
    }

    fn channel<'a>(&'a mut self, run: &'a mut Run) -> Result<&'a mut Channel, KernelError> {
        self.ready(run)?;
        Ok(match &mut run.container {
            Some(session) if session.ns == run.target => &mut session.channel,
            _ => &mut self.host,
        })
    }

    /// Sees to it that there is a socket in the run's namespace.
    fn ready(&mut self, run: &mut Run) -> OpResult {
        let ns = run.target;
        if ns == Ns::HOST || run.container.as_ref().is_some_and(|session| session.ns == ns) {
            return Ok(());
        }
        run.container = None;
        let receive_buffer = self.options.receive_buffer;
        let opened: io::Result<Channel> =
            self.namespaces.within(ns, || Channel::open(receive_buffer)).and_then(|channel| channel);
        match opened {
            Ok(channel) => {
                run.container = Some(Session { ns, channel, links: HashMap::new() });
                Ok(())
            }
            Err(error) => {
                self.lose(ns, &error);
                Err(failed(&error))
            }
        }
    }
}

/// An operation that belongs into a transaction.
fn not_alone() -> KernelError {
    refused(libc::EINVAL, "only possible in a transaction")
}

fn no_link(name: &IfName) -> KernelError {
    refused(libc::ENODEV, format!("no link {name}"))
}

fn not_ours(link: &LinkState) -> KernelError {
    let alias = link.alias.as_deref().unwrap_or_default();
    refused(
        libc::EPERM,
        format!("link {} is somebody else's (group {}, alias {alias:?})", link.name, link.group),
    )
}

/// The namespace that an operation works in.
fn namespace(op: &Op) -> Ns {
    match op {
        Op::Create(object) | Op::Change(object) => match object {
            Object::Sysctl(ns, ..) | Object::Link(ns, ..) => *ns,
            Object::Address(ns, ..) | Object::Neighbour(ns, ..) => *ns,
            Object::NextHop(..)
            | Object::Fdb(_)
            | Object::Qdisc(..)
            | Object::Redirect(..)
            | Object::Table(_)
            | Object::Chain(..)
            | Object::Set(..)
            | Object::Element(..) => Ns::HOST,
            Object::Route(key, _) => key.ns,
        },
        Op::Delete(key) => match key {
            Key::Sysctl(ns, _) | Key::Link(ns, _) | Key::Address(ns, ..) | Key::Neighbour(ns, ..) => *ns,
            Key::NextHop(_)
            | Key::Fdb(_)
            | Key::Qdisc(_)
            | Key::Redirect(_)
            | Key::Table(_)
            | Key::Chain(_)
            | Key::Set(_)
            | Key::Element(..) => Ns::HOST,
            Key::Route(key) => key.ns,
        },
    }
}

fn into_key(op: Op) -> Key {
    match op {
        Op::Create(object) | Op::Change(object) => object.key(),
        Op::Delete(key) => key,
    }
}
