//! What the table says about traffic between two addresses, service by service, and why.

use std::collections::BTreeSet;

use petiole_config::model::{AclRule, ScopedName};
use petiole_fib::acl::{self, AclTable, Case, Flow, Outcome, Service, Side};

use super::{
    compile::RuleName,
    rules::{DENY_BY_DEFAULT, ICMP},
    words,
};
use crate::{
    control::explain::{Decision, Said},
    core::Core,
};

/// Services for which the same is said, as spans, ascending.
type Same = (Vec<(Service, Service)>, acl::Decision);

/// What the table says about services from `first` to `last`, those that the most is said of in the end. `None`: neither
/// side is a member, so that nobody has a say.
fn judge(table: &AclTable, flow: &Flow, first: Service, last: Service) -> Option<Vec<Same>> {
    let probe = |service| table.judge(&Flow { service, ..*flow });
    // Of a protocol that everybody has a say about.
    let sides = probe(Service::FIRST)?;
    let mut edges = BTreeSet::from([first.0]);
    let (source, destination) = (sides.source, sides.destination);
    for (side, own, other) in [(Side::In, destination, source), (Side::Out, source, destination)] {
        let class = table.classes[side.index()].get(&(own.group, other.identity)).copied().unwrap_or(0);
        let end = |service| Case { group: own.group, class, first: service, last: service };
        for (case, _) in table.cases[side.index()].range(end(Service::FIRST)..=end(Service::LAST)) {
            let ends = [case.first.0, case.last.0 + 1];
            edges.extend(ends.into_iter().filter(|edge| (first.0..=last.0).contains(edge)));
        }
    }
    let ends: Vec<u32> = edges.iter().skip(1).map(|edge| edge - 1).chain([last.0]).collect();
    let mut same: Vec<Same> = Vec::new();
    for (first, last) in edges.into_iter().zip(ends) {
        // Types of ICMPv6 that nobody judges are said nothing of: the next one is like those around them.
        let mut probes =
            (first..=last).step_by(if first >> 16 == u32::from(ICMP[1]) { 256 } else { 1 }).take(32);
        let Some(decision) = probes.find_map(|service| probe(Service(service))) else { continue };
        let span = (Service(first), Service(last));
        match same.iter_mut().find(|(_, known)| *known == decision) {
            Some((spans, _)) => spans.push(span),
            None => same.push((vec![span], decision)),
        }
    }
    let size = |(spans, _): &Same| spans.iter().map(|(a, b)| u64::from(b.0 - a.0) + 1).sum::<u64>();
    same.sort_by_key(size);
    Some(same)
}

impl Core {
    /// The same in words.
    pub(super) fn decisions(
        &self,
        flow: &Flow,
        (first, last): (Service, Service),
        when: Option<&str>,
    ) -> Option<Vec<Decision>> {
        let same = judge(&self.members.table, flow, first, last)?;
        let rest = same.len().saturating_sub(1);
        let several = rest > 0;
        let row = |(at, (spans, decision)): (usize, Same)| Decision {
            when: when.map(ToOwned::to_owned),
            services: if several && at == rest {
                vec!["anything else".into()]
            } else {
                words::spans(&spans, flow.source.is_ipv6())
            },
            ..self.decision(&decision)
        };
        let rows = same.into_iter().enumerate().map(row);
        // Of the other family.
        Some(rows.filter(|decision| !decision.services.is_empty()).collect())
    }

    fn decision(&self, decision: &acl::Decision) -> Decision {
        let [inward, outward] = decision.outcomes;
        let said = |outcome: Outcome, group: u32| self.said(outcome, group);
        let by = (decision.outcome().rule != 0).then_some(decision.by);
        Decision {
            when: None,
            services: Vec::new(),
            verdict: if decision.drop { "deny" } else { "allow" }.into(),
            inward: said(inward, decision.destination.group),
            outward: said(outward, decision.source.group),
            by: by.map(|side| if side == Side::In { "in" } else { "out" }.into()),
            why: why(decision),
        }
    }

    fn said(&self, outcome: Outcome, group: u32) -> Option<Said> {
        let name = self.members.compiled.rules.get(&outcome.rule).filter(|_| outcome.rule != 0)?;
        let group = self.members.compiled.groups.get(&group).map(ToString::to_string).unwrap_or_default();
        let default = || Said {
            group: group.clone(),
            policy: None,
            rule: "default".into(),
            action: "deny".into(),
            priority: None,
            log: false,
        };
        let RuleName::Rule { policy, id } = name else { return Some(default()) };
        let rule = self.rule(policy, id.as_str())?;
        Some(Said {
            policy: Some(policy.to_string()),
            rule: id.to_string(),
            action: words::action(rule.action).into(),
            priority: Some(rule.priority.get()),
            log: rule.log,
            ..default()
        })
    }

    fn rule(&self, policy: &ScopedName, id: &str) -> Option<&AclRule> {
        self.config.policy(policy)?.rules.iter().find(|rule| rule.id.as_str() == id)
    }
}

/// Why the one side decides.
fn why(decision: &acl::Decision) -> String {
    let (own, other, whose) = match decision.by {
        Side::In => (decision.outcomes[0], decision.outcomes[1], "destination"),
        Side::Out => (decision.outcomes[1], decision.outcomes[0], "source"),
    };
    let is_default = |outcome: Outcome| outcome.urgency == DENY_BY_DEFAULT;
    let priority = |outcome: Outcome| outcome.urgency / 2;
    if own.rule == 0 {
        "no rule is about it, and no group denies by default".into()
    } else if is_default(own) {
        format!("no rule is about it, and the {whose}'s group denies what no rule is about")
    } else if other.rule == 0 {
        format!("the {whose}'s group is the only one that has a rule about it")
    } else if is_default(other) {
        "a rule goes before a default".into()
    } else if own.urgency == other.urgency {
        "both say the same; of the two the destination's counts".into()
    } else if priority(own) == priority(other) {
        "at the same priority deny goes before allow".into()
    } else {
        format!("priority {} goes before priority {}", priority(own), priority(other))
    }
}
