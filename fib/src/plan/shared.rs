//! Nexthop objects shared by routes: which sets there are, which ids they have, which gateways are down.
//!
//! Keeps the books only; what follows for objects and routes is in `sharing`.

use std::{collections::BTreeMap, net::IpAddr, ops::Range};

use hashbrown::{HashMap, HashSet};

use crate::{
    model::{IfName, NextHop, NextHopId},
    nexthops::{Hop, NextHops},
};

/// What an id stands for.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// One gateway.
    Single(Hop),
    /// Two or more. The members are the ids of all of them, also of those that are down at present.
    Group(NextHops, Vec<NextHopId>),
}

/// A nexthop object that routes or groups need.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) kind: Kind,
    /// Values of routes that lead to it, and groups that contain it.
    pub(super) users: u32,
    /// Traffic can be sent to it, or will be as soon as it is there. Of groups: to one of the members.
    pub(super) usable: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    records: BTreeMap<NextHopId, Record>,
    by_hop: HashMap<Hop, NextHopId>,
    by_set: HashMap<NextHops, NextHopId>,
    down: HashSet<(IpAddr, IfName)>,
    next: u32,
    /// Neighbouring routes mostly have the same next hops.
    last: Option<(NextHops, NextHopId)>,
}

impl Shared {
    pub(super) fn get(&self, id: NextHopId) -> Option<&Record> {
        self.records.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: NextHopId) -> Option<&mut Record> {
        self.records.get_mut(&id)
    }

    /// The id of a single next hop.
    pub(super) fn single(&self, hop: &Hop) -> Option<NextHopId> {
        self.by_hop.get(hop).copied()
    }

    /// The id of a set.
    pub(super) fn set(&mut self, set: &NextHops) -> Option<NextHopId> {
        if let Some((last, id)) = &self.last
            && last == set
        {
            return Some(*id);
        }
        let id = match set.hops() {
            [hop] => self.single(hop),
            _ => self.by_set.get(set).copied(),
        }?;
        self.last = Some((set.clone(), id));
        Some(id)
    }

    /// Gives an id a meaning.
    pub(super) fn insert(&mut self, id: NextHopId, kind: Kind) {
        match &kind {
            Kind::Single(hop) => {
                self.by_hop.insert(hop.clone(), id);
            }
            Kind::Group(set, members) => {
                self.by_set.insert(set.clone(), id);
                for member in members {
                    if let Some(member) = self.records.get_mut(member) {
                        member.users += 1;
                    }
                }
            }
        }
        self.records.insert(id, Record { kind, users: 0, usable: false });
    }

    /// Takes the meaning from an id; the members of a group lose a user.
    pub(super) fn remove(&mut self, id: NextHopId) -> Option<Record> {
        let record = self.records.remove(&id)?;
        self.last = None;
        match &record.kind {
            Kind::Single(hop) => {
                self.by_hop.remove(hop);
            }
            Kind::Group(set, members) => {
                self.by_set.remove(set);
                for member in members {
                    if let Some(member) = self.records.get_mut(member) {
                        member.users -= 1;
                    }
                }
            }
        }
        Some(record)
    }

    /// The same meaning under another id.
    pub(super) fn rename(&mut self, old: NextHopId, new: NextHopId) {
        let Some(record) = self.records.remove(&old) else { return };
        self.last = None;
        match &record.kind {
            Kind::Single(hop) => {
                self.by_hop.insert(hop.clone(), new);
                for other in self.records.values_mut() {
                    if let Kind::Group(_, members) = &mut other.kind {
                        for member in members.iter_mut().filter(|m| **m == old) {
                            *member = new;
                        }
                        members.sort_unstable();
                    }
                }
            }
            Kind::Group(set, _) => {
                self.by_set.insert(set.clone(), new);
            }
        }
        self.records.insert(new, record);
    }

    /// All ids with a meaning, single ones first.
    pub(super) fn ids(&self) -> Vec<NextHopId> {
        let single = |r: &Record| matches!(r.kind, Kind::Single(_));
        let singles = self.records.iter().filter(|(_, r)| single(r)).map(|(id, _)| *id);
        let groups = self.records.iter().filter(|(_, r)| !single(r)).map(|(id, _)| *id);
        singles.chain(groups).collect()
    }

    /// The groups that this one is a member of.
    pub(super) fn groups_of(&self, id: NextHopId) -> Vec<NextHopId> {
        let contains = |r: &Record| matches!(&r.kind, Kind::Group(_, members) if members.contains(&id));
        self.records.iter().filter(|(_, r)| contains(r)).map(|(id, _)| *id).collect()
    }

    /// The single next hops over this gateway and link.
    pub(super) fn over(&self, via: IpAddr, link: &IfName) -> Vec<NextHopId> {
        [false, true]
            .into_iter()
            .filter_map(|onlink| self.single(&Hop { via, link: link.clone(), onlink }))
            .collect()
    }

    /// Notes that a gateway is down or up; whether that is news.
    pub(super) fn set_down(&mut self, via: IpAddr, link: &IfName, down: bool) -> bool {
        let hop = (via, link.clone());
        if down { self.down.insert(hop) } else { self.down.remove(&hop) }
    }

    /// Whether a single next hop has been reported down.
    pub(super) fn is_down(&self, id: NextHopId) -> bool {
        match self.get(id) {
            Some(Record { kind: Kind::Single(hop), .. }) => self.down.contains(&(hop.via, hop.link.clone())),
            _ => false,
        }
    }

    /// An id that `taken` does not know, from the range, going round.
    pub(super) fn free_id(
        &mut self,
        range: &Range<u32>,
        taken: impl Fn(NextHopId) -> bool,
    ) -> Option<NextHopId> {
        let size = range.end.saturating_sub(range.start);
        for _ in 0..size {
            let id = NextHopId(range.start + self.next % size);
            self.next = (self.next + 1) % size;
            if !self.records.contains_key(&id) && !taken(id) {
                return Some(id);
            }
        }
        None
    }
}

/// The kernel's object for a hop.
pub(super) fn single(hop: &Hop) -> NextHop {
    NextHop::Single { via: hop.via, link: hop.link.clone(), onlink: hop.onlink }
}
