//! A kernel in memory, for tests: it applies operations as Linux does, with its errors and with all that it does by
//! itself and does not announce; it fails where it is told to, loses events, and has objects of others.
//!
//! Must not know the plan. What it does was tried on Linux 6.18 in network namespaces.

mod apply;
mod bridge;
mod fade;
mod nft;
mod operator;
mod tc;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use crate::{
    model::{
        BridgePort, Command, Concern, Errno, Event, FdbKey, IfName, KernelError, Key, LinkKind, LinkState,
        Mac, NextHop, NextHopId, Ns, Object, Observed, Op, OpResult, Route, RouteKey,
    },
    owner::Owner,
};

const CONCERNS: [Concern; 8] = [
    Concern::Links,
    Concern::Addresses,
    Concern::Neighbours,
    Concern::Fdb,
    Concern::Tc,
    Concern::NextHops,
    Concern::Routes,
    Concern::Nft,
];

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, and nothing is done.
    Refuse(i32),
    /// It is done, and yet the answer is this error.
    DoneBut(i32),
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FakeLink {
    index: u32,
    /// The other end of a veth.
    peer: Option<(Ns, IfName)>,
    /// As it is shown: `VethPeer` with a peer.
    kind: LinkKind,
    mac: Mac,
    mtu: u32,
    up: bool,
    alias: Option<Arc<str>>,
    group: u32,
    port: Option<BridgePort>,
    /// A cable is in. Of veths, the other end's being up is their cable.
    plugged: bool,
}

/// One network namespace.
#[derive(Clone, Debug, Default)]
struct Space {
    links: BTreeMap<IfName, FakeLink>,
    /// In the order in which they were added: the first of a subnet is its primary one.
    addresses: Vec<(IfName, IpNet, u8)>,
    neighbours: BTreeMap<(IfName, IpAddr), (Mac, u8)>,
    routes: BTreeMap<RouteKey, (Route, u8)>,
    sysctls: BTreeMap<Arc<str>, Arc<str>>,
}

impl Space {
    fn is_local(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(_, a, _)| a.addr() == address)
    }
}

/// Who did it: our own doings are not announced to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Us,
    /// Somebody else, or the kernel by itself.
    Others,
}

/// A kernel in memory.
#[derive(Clone, Debug)]
pub struct FakeKernel {
    owner: Owner,
    spaces: BTreeMap<Ns, Space>,
    next_hops: BTreeMap<NextHopId, (NextHop, u8)>,
    /// Permanent and static entries: what is learned is not shown.
    fdb: BTreeSet<FdbKey>,
    tc: tc::Tc,
    ruleset: nft::Ruleset,
    last_index: u32,
    faults: BTreeMap<u64, Fault>,
    operations: u64,
    /// Answers and announcements, in the order in which they came about.
    events: VecDeque<Event>,
}

impl FakeKernel {
    /// A kernel with a host's namespace in which there is `lo`, up. Operations are done with these marks.
    pub fn new(owner: Owner) -> Self {
        let mut kernel = Self {
            owner,
            spaces: BTreeMap::new(),
            next_hops: BTreeMap::new(),
            fdb: BTreeSet::new(),
            tc: tc::Tc::default(),
            ruleset: nft::Ruleset::new(),
            last_index: 0,
            faults: BTreeMap::new(),
            operations: 0,
            events: VecDeque::new(),
        };
        kernel.add_ns(Ns::HOST);
        kernel.events.clear();
        kernel
    }

    /// The operation with this number (from 0, see [`FakeKernel::operations`]) goes wrong.
    pub fn fail_at(&mut self, operation: u64, fault: Fault) {
        self.faults.insert(operation, fault);
    }

    /// Nothing goes wrong any more.
    pub fn forget_faults(&mut self) {
        self.faults.clear();
    }

    /// How many operations were tried.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// The next answer or announcement.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The socket's buffer was too small: announcements that have not been read are lost.
    pub fn lose_announcements(&mut self) {
        self.events.retain(|event| {
            matches!(
                event,
                Event::Applied { .. }
                    | Event::Dump { .. }
                    | Event::NamespaceLost(..)
                    | Event::Object(Observed::Object { object: Object::Sysctl(..), .. })
                    | Event::Gone(Key::Sysctl(..))
            )
        });
        for concern in CONCERNS {
            self.events.push_back(Event::Overrun(concern));
        }
    }

    /// Does what the kernel thread would do with a command.
    pub fn handle(&mut self, command: Command) {
        match command {
            Command::Apply { batch, ops } => {
                let results = self.apply(&ops);
                self.events.push_back(Event::Applied { batch, results });
            }
            Command::Dump(ns, concern) => self.dump(ns, concern),
            Command::ReadSysctls(ns, paths) => {
                for path in paths {
                    let event = match self.spaces.get(&ns).and_then(|s| s.sysctls.get(&path)) {
                        Some(value) => Event::Object(Observed::Object {
                            object: Object::Sysctl(ns, path, value.clone()),
                            protocol: 0,
                        }),
                        None => Event::Gone(Key::Sysctl(ns, path)),
                    };
                    self.events.push_back(event);
                }
            }
            // Nobody connects.
            Command::EndConnections(_) => self.events.push_back(Event::ConnectionsEnded(0)),
            Command::Count(set) => self.events.push_back(Event::Counted(set, Vec::new())),
            Command::Namespace { .. }
            | Command::Forget(_)
            | Command::Resolve(_)
            | Command::Stop
            | Command::FlushConnections(_) => {}
        }
    }

    /// Applies operations in order. Those on nftables that stand next to each other are one transaction: done as a
    /// whole, or not at all (`ECANCELED` for those that were not to blame).
    pub fn apply(&mut self, ops: &[Op]) -> Vec<(Key, OpResult)> {
        let mut all = Vec::new();
        for run in ops.chunk_by(|a, b| a.key().is_nft() && b.key().is_nft()) {
            let before = run.first().is_some_and(|op| op.key().is_nft()).then(|| self.ruleset.clone());
            let mut refused = false;
            let mut results = Vec::new();
            for op in run {
                let number = self.operations;
                self.operations += 1;
                results.push(match self.faults.get(&number).copied() {
                    _ if refused && before.is_some() => refuse(libc::ECANCELED, ""),
                    Some(Fault::Refuse(errno)) => {
                        refused = true;
                        refuse(errno, "on demand")
                    }
                    Some(Fault::DoneBut(errno)) => {
                        let result = self.apply_one(op);
                        refused |= result.is_err();
                        result.and_then(|()| refuse(errno, "but done"))
                    }
                    None => {
                        let result = self.apply_one(op);
                        refused |= result.is_err();
                        result
                    }
                });
            }
            if let (true, Some(before)) = (refused, before) {
                self.ruleset = before;
                // Neither is what was said to be done but for the answer.
                let undone = results.iter_mut().filter(|result| result.is_ok());
                undone.for_each(|result| *result = refuse(libc::ECANCELED, ""));
            }
            all.extend(run.iter().map(Op::key).zip(results));
        }
        all
    }

    /// Everything in the host's namespace but sysctls.
    pub fn observed(&self) -> Vec<Observed> {
        CONCERNS.iter().flat_map(|concern| self.seen(Ns::HOST, *concern).unwrap_or_default()).collect()
    }

    fn dump(&mut self, ns: Ns, concern: Concern) {
        let Some(objects) = self.seen(ns, concern) else {
            self.events.push_back(Event::NamespaceLost(ns, "no such namespace".to_owned()));
            return;
        };
        let mut parts = objects.chunks(3).map(<[Observed]>::to_vec).collect::<Vec<_>>();
        let end = parts.pop().unwrap_or_default();
        for objects in parts {
            self.events.push_back(Event::Dump { ns, concern, objects, last: false });
        }
        self.events.push_back(Event::Dump { ns, concern, objects: end, last: true });
    }

    /// What a dump shows; `None` without such a namespace.
    fn seen(&self, ns: Ns, concern: Concern) -> Option<Vec<Observed>> {
        let space = self.spaces.get(&ns)?;
        let of = |object, protocol| Observed::Object { object, protocol };
        Some(match concern {
            Concern::Links => space.links.keys().filter_map(|n| self.link_state(ns, n)).collect(),
            Concern::Addresses => space
                .addresses
                .iter()
                .map(|(link, a, p)| of(Object::Address(ns, link.clone(), *a), *p))
                .collect(),
            Concern::Neighbours => space
                .neighbours
                .iter()
                .map(|((link, a), (mac, p))| of(Object::Neighbour(ns, link.clone(), *a, *mac), *p))
                .collect(),
            Concern::NextHops => {
                self.next_hops.iter().map(|(id, (n, p))| of(Object::NextHop(*id, n.clone()), *p)).collect()
            }
            Concern::Routes => space
                .routes
                .iter()
                .filter(|(_, (_, p))| *p == self.owner.protocol)
                .map(|(key, (route, p))| of(Object::Route(*key, route.clone()), *p))
                .collect(),
            Concern::Fdb if ns == Ns::HOST => {
                self.fdb.iter().map(|entry| of(Object::Fdb(entry.clone()), 0)).collect()
            }
            Concern::Tc if ns == Ns::HOST => {
                self.tc.objects().into_iter().map(|object| of(object, 0)).collect()
            }
            Concern::Nft if ns == Ns::HOST => self.dump_nft(),
            Concern::Fdb | Concern::Tc | Concern::Nft => Vec::new(),
        })
    }

    fn link(&self, ns: Ns, name: &IfName) -> Option<&FakeLink> {
        self.spaces.get(&ns)?.links.get(name)
    }

    fn link_mut(&mut self, ns: Ns, name: &IfName) -> Option<&mut FakeLink> {
        self.spaces.get_mut(&ns)?.links.get_mut(name)
    }

    fn has_carrier(&self, link: &FakeLink) -> bool {
        let cable = match &link.peer {
            Some((ns, name)) => self.link(*ns, name).is_some_and(|peer| peer.up),
            None => link.plugged,
        };
        link.up && cable
    }

    fn link_state(&self, ns: Ns, name: &IfName) -> Option<Observed> {
        let link = self.link(ns, name)?;
        Some(Observed::Link(LinkState {
            ns,
            index: link.index,
            name: name.clone(),
            kind: link.kind.clone(),
            mac: Some(link.mac),
            mtu: link.mtu,
            up: link.up,
            carrier: self.has_carrier(link),
            alias: link.alias.clone(),
            port: link.port.clone(),
            group: link.group,
        }))
    }

    /// Announces a link's state, if it is the host's.
    fn announce_link(&mut self, ns: Ns, name: &IfName) {
        if ns == Ns::HOST {
            let state = self.link_state(ns, name);
            self.events.extend(state.map(Event::Object));
        }
    }

    fn announce_gone(&mut self, ns: Ns, key: Key) {
        if ns == Ns::HOST {
            self.events.push_back(Event::Gone(key));
        }
    }

    fn announce(&mut self, ns: Ns, object: Object, protocol: u8) {
        if ns == Ns::HOST {
            self.events.push_back(Event::Object(Observed::Object { object, protocol }));
        }
    }

    fn new_index(&mut self) -> u32 {
        self.last_index += 1;
        self.last_index
    }
}

/// A link's first Ethernet address, from its name: a link that we make must not change the address of one that others
/// make later.
fn dice(name: &IfName) -> Mac {
    let dice = name.as_str().bytes().fold(0_u16, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
    Mac([6, 0, 0, 0, (dice >> 8) as u8, dice as u8])
}

fn refuse(errno: i32, text: &str) -> OpResult {
    Err(KernelError { errno: Errno(errno), text: Some(text.to_owned()) })
}
