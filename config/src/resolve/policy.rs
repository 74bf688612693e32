//! `[[policy]]`.

use super::{
    Unique,
    known::Known,
    named::{Named, NamedAt},
    peer::{self, Families},
    service,
};
use crate::{
    found::{At, Found, Span},
    model::{AclAction, AclRule, Direction, Policy, Priority, ScopedName},
    schema::{self, read::Written},
};

/// A policy, with the places of its rules. What is wrong with one rule leaves the others.
pub(super) struct PolicyAt {
    pub(super) id: ScopedName,
    pub(super) rules: Vec<RuleAt>,
}

/// A rule with nothing wrong in it.
pub(super) struct RuleAt {
    pub(super) rule: AclRule,
    /// Where its `id` is.
    pub(super) span: Span,
    /// Where it names a group, if it does.
    pub(super) group: Option<Span>,
}

impl PolicyAt {
    pub(super) fn into_config(self) -> Policy {
        Policy { id: self.id, rules: self.rules.into_iter().map(|at| at.rule).collect() }
    }
}

pub(super) fn policies(
    named: &Named<'_, schema::Policy>,
    known: &Known<'_>,
    found: &mut Found<'_>,
) -> Vec<PolicyAt> {
    let mut policies = Vec::new();
    for section in &named.sections {
        let rules = rules(section, known, found);
        policies.extend(section.id.clone().map(|id| PolicyAt { id, rules }));
    }
    policies
}

fn rules(policy: &NamedAt<'_, schema::Policy>, known: &Known<'_>, found: &mut Found<'_>) -> Vec<RuleAt> {
    let mut ids = Unique::new();
    let mut rules = Vec::new();
    for At { value: raw, .. } in policy.raw.rules.items() {
        if let Some(At { value: id, span }) = raw.id.get() {
            ids.claim(id.clone(), span, found, || match &policy.id {
                Some(policy) => format!("two rules of policy `{policy}` have the id `{id}`"),
                None => format!("two rules of a policy have the id `{id}`"),
            });
        }
        rules.extend(rule(raw, policy, known, found));
    }
    rules
}

fn rule(
    raw: &schema::AclRule,
    policy: &NamedAt<'_, schema::Policy>,
    known: &Known<'_>,
    found: &mut Found<'_>,
) -> Option<RuleAt> {
    let direction = raw.direction.or(Direction::In);
    let peer = peer::peer(raw, direction, policy.tenant.as_ref(), known, found);
    let service = service::service(raw, found);
    if let Some(peer) = &peer {
        let types = raw.icmp_type.get().zip(service.as_ref());
        let types = types.and_then(|(at, service)| Families::of_service(service, &at.span));
        peer::meet(peer.families.iter().chain(&types), found);
    }
    let priority = match &raw.priority {
        Written::Is(at) => Priority::new(at.value.get_u8()),
        Written::Absent => Some(Priority::MIN),
        Written::Bad => None,
    };
    let At { value: id, span } = raw.id.get()?;
    let peer = peer?;
    let rule = AclRule {
        id: id.clone(),
        direction: direction?,
        peer: peer.peer,
        service: service?,
        action: raw.action.or(AclAction::Allow)?,
        priority: priority?,
        log: raw.log.or(false)?,
    };
    Some(RuleAt { rule, span: span.clone(), group: peer.group })
}
