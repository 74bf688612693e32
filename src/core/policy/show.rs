//! Groups, rules and profiles as rows.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use petiole_config::model::{
    AclRule, Advertise, DefaultAction, Direction, Group, Network, Policy, Profile, ScopedName,
};
use petiole_fib::{acl::Scope, model::Count};

use super::{
    compile::{RuleName, rides_in_packets},
    rules, words,
};
use crate::{
    control::rows::{self, Rows},
    core::{
        Core, elsewhere,
        show::{Cursor, PAGE},
    },
};

/// Addresses that a warning names.
const NAMED: usize = 3;

/// Where members are, by group.
#[derive(Default)]
struct Found<'a> {
    local: HashMap<&'a ScopedName, Vec<(IpAddr, &'a ScopedName)>>,
    remote: HashMap<&'a ScopedName, Vec<IpAddr>>,
    /// Numbers on routes that no group of the file has.
    strange: BTreeMap<u32, Vec<IpAddr>>,
}

impl Core {
    /// A page of groups. They are many or they are large: a page ends when it has enough of either.
    pub(in crate::core) fn group_rows(&self, cursor: &Cursor, members: bool) -> (Rows, Option<Cursor>) {
        let found = self.find_members();
        let start = if let Cursor::Nth(at) = cursor { *at } else { 0 };
        let mut rows = Vec::new();
        let mut size = 0;
        let mut warnings: HashMap<&ScopedName, Vec<String>> = HashMap::new();
        for group in self.config.groups.iter().skip(start) {
            let mut row = self.group_row(group, &found, members);
            let of_network =
                warnings.entry(&group.network).or_insert_with(|| self.warnings(&group.network, &found));
            row.warnings.clone_from(of_network);
            size += 1 + row.members.len();
            rows.push(row);
            if size >= PAGE {
                break;
            }
        }
        let next = start + rows.len();
        (Rows::Groups(rows), (next < self.config.groups.len()).then_some(Cursor::Nth(next)))
    }

    /// One walk over everybody.
    fn find_members(&self) -> Found<'_> {
        let mut found = Found::default();
        for e in self.endpoints.all.values() {
            if let (Some(group), Ok(assigned)) = (&e.spec.group, &e.assigned) {
                let local = found.local.entry(group).or_default();
                local.extend(assigned.iter().map(|address| (address, &e.spec.id)));
            }
        }
        let by_number: HashMap<u32, &ScopedName> =
            self.config.groups.iter().map(|g| (g.number.get(), &g.id)).collect();
        for (address, number) in &self.members.remote {
            // An earlier run has left what it knew of our own containers as well.
            if *number == elsewhere::NO_GROUP || self.endpoints.at(*address).is_some() {
                continue;
            }
            match by_number.get(number) {
                Some(group) => found.remote.entry(group).or_default().push(*address),
                None => found.strange.entry(*number).or_default().push(*address),
            }
        }
        found
    }

    fn group_row(&self, group: &Group, found: &Found<'_>, members: bool) -> rows::Group {
        let local = found.local.get(&group.id).map(Vec::as_slice).unwrap_or_default();
        let remote = found.remote.get(&group.id).map(Vec::as_slice).unwrap_or_default();
        let network = self.config.network(&group.network);
        rows::Group {
            name: group.id.to_string(),
            number: group.number.get(),
            network: group.network.to_string(),
            default: default(group.default).into(),
            policies: group.policies.iter().map(ToString::to_string).collect(),
            profile: group.profile.as_ref().map(ToString::to_string),
            identity: network.map_or("unknown", |n| identity(group, n)).into(),
            local: local.len() as u64,
            remote: remote.len() as u64,
            members: if members { self.member_rows(group, local, remote) } else { Vec::new() },
            warnings: Vec::new(),
        }
    }

    fn member_rows(
        &self,
        group: &Group,
        local: &[(IpAddr, &ScopedName)],
        remote: &[IpAddr],
    ) -> Vec<rows::Member> {
        let member = |address: String, from: &str, endpoint: Option<&ScopedName>| rows::Member {
            address,
            from: from.into(),
            endpoint: endpoint.map(ToString::to_string),
        };
        let mut remote = remote.to_vec();
        remote.sort_unstable();
        let here = local.iter().map(|(address, name)| member(address.to_string(), "endpoint", Some(name)));
        let there = remote.into_iter().map(|address| {
            let earlier = self.members.provisional.contains(&address);
            member(address.to_string(), if earlier { "earlier-run" } else { "route" }, None)
        });
        let v4 = group.all4.iter().map(ToString::to_string);
        let pools = v4.chain(group.all6.iter().map(ToString::to_string));
        here.chain(there).chain(pools.map(|range| member(range, "pool", None))).collect()
    }

    /// What makes it uncertain who in the network is in which group.
    fn warnings(&self, network: &ScopedName, found: &Found<'_>) -> Vec<String> {
        let mut warnings = Vec::new();
        let routed = self.members.compiled.scope(network) == Scope::ROUTED;
        let Some(network) = self.config.network(network).filter(|_| routed) else { return warnings };
        let silent = self.silent_in(network);
        if !silent.is_empty() {
            warnings.push(format!(
                "{} into network {} {} no group ({}): does a leaf strip large communities? Such an address counts as a \
                 member of every group of its network for rules that deny, and of none for rules that allow",
                routes(silent.len()),
                network.id,
                if silent.len() == 1 { "says" } else { "say" },
                some(&silent),
            ));
        }
        for (number, addresses) in &found.strange {
            let here: Vec<IpAddr> = addresses.iter().copied().filter(|a| contains(network, *a)).collect();
            if !here.is_empty() {
                warnings.push(format!(
                    "{} into network {} {} the group {number} ({}), which is not in this host's file: no rule here knows \
                     such an address as a member of any group",
                    routes(here.len()),
                    network.id,
                    if here.len() == 1 { "names" } else { "name" },
                    some(&here),
                ));
            }
        }
        warnings
    }

    /// Addresses in the network whose routes say no group, where the file does not know it either.
    fn silent_in(&self, network: &Network) -> Vec<IpAddr> {
        if self.members.silent.is_empty() {
            return Vec::new();
        }
        let groups: Vec<&Group> = self.config.groups.iter().filter(|g| g.network == network.id).collect();
        let pooled = |address: IpAddr| match address {
            IpAddr::V4(a) => groups.iter().any(|g| g.all4.iter().any(|range| range.contains(a))),
            IpAddr::V6(a) => groups.iter().any(|g| g.all6.iter().any(|range| range.contains(a))),
        };
        let silent = self.members.silent.iter().copied();
        let mut silent: Vec<IpAddr> = silent.filter(|a| contains(network, *a) && !pooled(*a)).collect();
        silent.sort_unstable();
        silent
    }

    /// A page of rules: whole policies, then what groups deny by default.
    pub(in crate::core) fn policy_rows(&self, cursor: &Cursor) -> (Rows, Option<Cursor>) {
        let start = if let Cursor::Nth(at) = cursor { *at } else { 0 };
        let numbers: HashMap<&RuleName, u32> =
            self.members.compiled.rules.iter().map(|(number, name)| (name, *number)).collect();
        let mut rows = Vec::new();
        for (at, policy) in self.config.policies.iter().enumerate().skip(start) {
            if rows.len() >= PAGE {
                return (Rows::Policies(rows), Some(Cursor::Nth(at)));
            }
            let users = self.config.groups.iter().filter(|g| g.policies.contains(&policy.id));
            let groups: Vec<String> = users.map(|g| g.id.to_string()).collect();
            rows.extend(in_order(policy).into_iter().map(|rule| {
                let name = RuleName::Rule { policy: policy.id.clone(), id: rule.id.clone() };
                let (packets, octets) = self.hits(numbers.get(&name).copied());
                rows::PolicyRule {
                    policy: Some(policy.id.to_string()),
                    rule: rule.id.to_string(),
                    direction: if rule.direction == Direction::In { "in" } else { "out" }.into(),
                    peer: words::peer(&rule.peer),
                    service: words::wanted(rule),
                    action: words::action(rule.action).into(),
                    priority: Some(rule.priority.get()),
                    log: rule.log,
                    groups: groups.clone(),
                    packets,
                    octets,
                }
            }));
        }
        let denying = self.config.groups.iter().filter(|g| g.default == DefaultAction::Deny);
        rows.extend(denying.map(|group| {
            let name = RuleName::Default(group.id.clone());
            let (packets, octets) = self.hits(numbers.get(&name).copied());
            rows::PolicyRule {
                policy: None,
                rule: "default".into(),
                direction: "both".into(),
                peer: "any".into(),
                service: "any".into(),
                action: "deny".into(),
                priority: None,
                log: false,
                groups: vec![group.id.to_string()],
                packets,
                octets,
            }
        }));
        (Rows::Policies(rows), None)
    }

    /// Packets and octets that a rule has decided about, if it stands in the table and has been counted.
    fn hits(&self, rule: Option<u32>) -> (Option<u64>, Option<u64>) {
        let count = rule.and_then(|rule| self.members.hits.counts.get(&rule));
        (count.map(|c| c.packets), count.map(|c| c.octets))
    }

    /// What has been counted of each rule, with the labels of its metric.
    pub(in crate::core) fn rule_hits(&self) -> impl Iterator<Item = (Labels, Count)> {
        let compiled = &self.members.compiled;
        compiled.rules.iter().filter_map(|(number, name)| {
            let count = *self.members.hits.counts.get(number)?;
            let deny = compiled.table.sentences.get(number).is_some_and(|sentence| sentence.drop);
            let (policy, rule, group) = match name {
                RuleName::Rule { policy, id } => (policy.to_string(), id.to_string(), String::new()),
                RuleName::Default(group) => (String::new(), "default".into(), group.to_string()),
            };
            Some((Labels { policy, rule, group, action: if deny { "deny" } else { "allow" } }, count))
        })
    }

    /// Groups with the numbers of their members' addresses, on this host and elsewhere.
    pub(in crate::core) fn member_counts(&self) -> impl Iterator<Item = (&ScopedName, usize, usize)> {
        let found = self.find_members();
        self.config.groups.iter().map(move |g| {
            let local = found.local.get(&g.id).map_or(0, Vec::len);
            (&g.id, local, found.remote.get(&g.id).map_or(0, Vec::len))
        })
    }

    /// Rules that have been compiled, and elements that came of them.
    pub(in crate::core) fn policy_size(&self) -> (usize, usize) {
        let table = &self.members.compiled.table;
        let elements = table.areas.len()
            + table.marked.len()
            + table.classes.iter().map(BTreeMap::len).sum::<usize>()
            + table.cases.iter().map(BTreeMap::len).sum::<usize>()
            + table.sentences.len();
        (self.members.compiled.rules.len(), elements)
    }

    pub(in crate::core) fn profile_rows(&self) -> Vec<rows::Profile> {
        let mut endpoints: HashMap<&ScopedName, u64> = HashMap::new();
        for group in self.endpoints.all.values().filter_map(|e| e.spec.group.as_ref()) {
            *endpoints.entry(group).or_default() += 1;
        }
        let row = |profile: &Profile| {
            let users = self.config.groups.iter().filter(|g| g.profile.as_ref() == Some(&profile.id));
            let users: Vec<&ScopedName> = users.map(|g| &g.id).collect();
            rows::Profile {
                name: profile.id.to_string(),
                bandwidth: profile.out.map(|l| l.rate.bits()),
                burst: profile.out.map(|l| l.burst),
                bandwidth_in: profile.inward.map(|l| l.rate.bits()),
                burst_in: profile.inward.map(|l| l.burst),
                dscp: profile.dscp.map(petiole_config::model::Dscp::get),
                groups: users.iter().map(ToString::to_string).collect(),
                endpoints: users.iter().filter_map(|id| endpoints.get(id)).sum(),
            }
        };
        self.config.profiles.iter().map(row).collect()
    }
}

/// What tells the metrics of rules apart.
pub(in crate::core) struct Labels {
    /// Empty: a group's default.
    pub(in crate::core) policy: String,
    pub(in crate::core) rule: String,
    /// The group, of a default.
    pub(in crate::core) group: String,
    pub(in crate::core) action: &'static str,
}

/// The rules of a policy, the one that decides first.
fn in_order(policy: &Policy) -> Vec<&AclRule> {
    let mut rules: Vec<&AclRule> = policy.rules.iter().collect();
    rules.sort_by_key(|rule| Reverse(rules::urgency(rule)));
    rules
}

/// The word for what becomes of the rest.
pub(super) fn default(action: DefaultAction) -> &'static str {
    match action {
        DefaultAction::Allow => "allow",
        DefaultAction::Deny => "deny",
    }
}

/// How other hosts know a group's members.
fn identity(group: &Group, network: &Network) -> &'static str {
    if network.advertise == Advertise::Endpoints {
        "routes"
    } else if rides_in_packets(network) {
        "packets"
    } else if group.all4.is_empty() && group.all6.is_empty() {
        "unknown"
    } else {
        "pools"
    }
}

/// Whether an address is in one of the network's subnets.
pub(super) fn contains(network: &Network, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => network.v4.as_ref().is_some_and(|s| s.net.contains(&a)),
        IpAddr::V6(a) => network.v6.as_ref().is_some_and(|s| s.net.contains(&a)),
    }
}

fn routes(count: usize) -> String {
    if count == 1 { "1 route".into() } else { format!("{count} routes") }
}

/// The first few addresses.
fn some(addresses: &[IpAddr]) -> String {
    let named: Vec<String> = addresses.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if addresses.len() > NAMED { ", …" } else { "" };
    named.join(", ") + more
}
