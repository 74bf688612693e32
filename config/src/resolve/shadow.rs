//! Rules that never decide anything, because another one has decided all that they are about.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{
    group::GroupAt,
    known::Known,
    policy::{PolicyAt, RuleAt},
};
use crate::{
    family::{Family, range_of},
    found::Found,
    model::{AclAction, AddrRange, Direction, Peer, PortRange, ScopedName, Service, Subnet},
};

/// Comparisons that one file may cost: some thousand rules of one group in one direction, and a fraction of a second.
/// Whoever has more of them does not read warnings about each.
const COMPARISONS: usize = 10_000_000;

/// A rule, with what it takes to compare it.
struct Entry<'a> {
    at: &'a RuleAt,
    policy: &'a ScopedName,
    side: Side<'a>,
}

/// Warns of each rule that an earlier one leaves nothing: one of its policy, else one of another policy of a group.
pub(super) fn shadowed(policies: &[PolicyAt], groups: &[GroupAt], known: &Known<'_>, found: &mut Found<'_>) {
    let mut left = COMPARISONS;
    let mut warned: HashSet<*const RuleAt> = HashSet::new();
    let mut by_policy: HashMap<&ScopedName, Vec<Entry<'_>>> = HashMap::new();
    for policy in policies {
        let entries = policy
            .rules
            .iter()
            .filter_map(|at| Some(Entry { at, policy: &policy.id, side: Side::of(&at.rule.peer, known)? }));
        let entries: Vec<_> = entries.collect();
        // What holds inside a policy holds in every group that has it.
        for (rule, by) in covered(entries.iter(), &mut left) {
            warned.insert(&raw const *rule.at);
            report(rule, by, None, found);
        }
        by_policy.insert(&policy.id, entries);
    }
    let mut seen: HashSet<&[ScopedName]> = HashSet::new();
    for group in groups {
        let Some(names @ [_, _, ..]) = group.policies.as_deref() else { continue };
        if !seen.insert(names) {
            continue;
        }
        let entries = names.iter().filter_map(|name| by_policy.get(name)).flatten();
        for (rule, by) in covered(entries, &mut left) {
            if warned.insert(&raw const *rule.at) {
                report(rule, by, Some(&group.id), found);
            }
        }
    }
}

/// The rules that an earlier one covers, with the first that does. Given in the order of the group's policies and of
/// the file.
fn covered<'e, 'a: 'e>(
    entries: impl Iterator<Item = &'e Entry<'a>>,
    left: &mut usize,
) -> Vec<(&'e Entry<'a>, &'e Entry<'a>)> {
    let mut ways: [Vec<&Entry<'_>>; 2] = [Vec::new(), Vec::new()];
    let [inward, outward] = &mut ways;
    for entry in entries {
        match entry.at.rule.direction {
            Direction::In => inward.push(entry),
            Direction::Out => outward.push(entry),
        }
    }
    let mut pairs = Vec::new();
    for mut way in ways {
        // The order in which rules decide. The sort is stable.
        way.sort_by_key(|entry| (Reverse(entry.at.rule.priority), Reverse(entry.at.rule.action)));
        for (i, later) in way.iter().enumerate() {
            for earlier in way.iter().take(i) {
                let Some(rest) = left.checked_sub(1 + later.side.v4.len() + later.side.v6.len()) else {
                    return pairs;
                };
                *left = rest;
                if covers(&earlier.at.rule.service, &later.at.rule.service)
                    && earlier.side.covers(&later.side)
                {
                    pairs.push((*later, *earlier));
                    break;
                }
            }
        }
    }
    pairs
}

fn report(rule: &Entry<'_>, by: &Entry<'_>, group: Option<&ScopedName>, found: &mut Found<'_>) {
    let (this, other) = (&rule.at.rule, &by.at.rule);
    // A line in the log that is never written is a difference too.
    let same = this.action == other.action && (other.log || !this.log);
    let what = if same { "changes nothing" } else { "never decides anything" };
    let (place, name) = match group {
        Some(group) => (
            format!("rule `{}` of policy `{}` {what} in group `{group}`", this.id, rule.policy),
            format!("rule `{}` of policy `{}`", other.id, by.policy),
        ),
        None => {
            (format!("rule `{}` of policy `{}` {what}", this.id, rule.policy), format!("rule `{}`", other.id))
        }
    };
    let does = match other.action {
        AclAction::Allow => "allows",
        AclAction::Deny => "denies",
    };
    let (already, first) = if same { ("already ", "") } else { ("", " first") };
    let error = found
        .warning(&rule.at.span, place)
        .label(if same { "redundant" } else { "never reached" })
        .also(by.at.span.clone(), format!("{name} {already}{does} all of it{first}"));
    if this.action == other.action && !same {
        error.note("only this one would log it");
    }
    if !same {
        error.note(
            "the highest priority decides; at the same one `deny` before `allow`, then the order of the group's \
             policies and of the file",
        );
    }
}

/// Whether the first service has all packets of the second.
fn covers(wide: &Service, narrow: &Service) -> bool {
    match (wide, narrow) {
        (Service::Any, _) => true,
        (Service::Protocol(a), Service::Protocol(b) | Service::Ports(b, _)) => a == b,
        (Service::Ports(a, wide), Service::Ports(b, narrow)) => a == b && have_ports(wide, narrow),
        (Service::Icmp(None), Service::Icmp(_)) => true,
        (Service::Icmp(Some(wide)), Service::Icmp(Some(narrow))) => narrow.iter().all(|t| wide.contains(t)),
        _ => false,
    }
}

fn have_ports(wide: &[PortRange], narrow: &[PortRange]) -> bool {
    narrow.iter().all(|port| {
        let around = wide.get(wide.partition_point(|range| range.last() < port.first()));
        around.is_some_and(|range| range.first() <= port.first() && port.last() <= range.last())
    })
}

/// The other side of a rule, as members of a group at addresses.
struct Side<'a> {
    /// `None`: anybody.
    group: Option<&'a ScopedName>,
    /// Ascending and apart.
    v4: Cow<'a, [AddrRange<Ipv4Addr>]>,
    v6: Cow<'a, [AddrRange<Ipv6Addr>]>,
}

impl<'a> Side<'a> {
    /// `None` when something is wrong with the network that it names.
    fn of(peer: &'a Peer, known: &Known<'_>) -> Option<Self> {
        Some(match peer {
            Peer::Network(id) => {
                let network = known.network(id)?;
                Self { group: None, v4: whole(network.v4.ok()?), v6: whole(network.v6.ok()?) }
            }
            Peer::Of { group, v4, v6 } => Self::at(group.as_ref(), v4, v6),
            Peer::Any => Self::at(None, &[], &[]),
        })
    }

    /// Without any addresses it is about all of them, with those of one family about no other.
    fn at(
        group: Option<&'a ScopedName>,
        v4: &'a [AddrRange<Ipv4Addr>],
        v6: &'a [AddrRange<Ipv6Addr>],
    ) -> Self {
        if v4.is_empty() && v6.is_empty() {
            return Self {
                group,
                v4: AddrRange::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST).into_iter().collect(),
                v6: AddrRange::new(Ipv6Addr::UNSPECIFIED, u128::MAX.into()).into_iter().collect(),
            };
        }
        Self { group, v4: v4.into(), v6: v6.into() }
    }

    /// Whether it is all of the other. That members of a group have addresses of its network is not relied on: theirs
    /// of the link are in no subnet.
    fn covers(&self, narrow: &Side<'_>) -> bool {
        (self.group.is_none() || self.group == narrow.group)
            && have(&self.v4, &narrow.v4)
            && have(&self.v6, &narrow.v6)
    }
}

fn whole<'a, A: Family>(subnet: Option<&Subnet<A>>) -> Cow<'a, [AddrRange<A>]> {
    subnet.and_then(|subnet| range_of::<A>(subnet.net)).into_iter().collect()
}

fn have<A: Family>(wide: &[AddrRange<A>], narrow: &[AddrRange<A>]) -> bool {
    narrow.iter().all(|part| {
        let around = wide.get(wide.partition_point(|range| range.last() < part.first()));
        around.is_some_and(|range| range.contains(part.first()) && range.contains(part.last()))
    })
}

#[cfg(test)]
mod tests;
