//! Import and export policies.
//!
//! Knows routes and what may be asked of them. Must not know sessions, tables or what becomes of its verdicts.
//!
//! A policy is a list of rules and a default; the first rule that matches decides. On **export** a rule that does not
//! name a [`Source`] applies to routes originated here only, and so does the policy's default: a learned route is
//! passed on only where a rule says `source = learned` (or `any`), thus a host never becomes a transit by mistake
//! (RFC 8212).
//!
//! Routes come in bundles with the same attributes. So a verdict is found in two steps: [`Policy::narrow`] asks once
//! per bundle which rules are left, [`Policy::judge`] looks at each prefix, if any rule that is left does.

mod as_path;
mod prefix_set;
mod rule;

pub use as_path::{AsPathPattern, AsPathPatternError};
use ipnet::IpNet;
pub use rule::{Action, PrefixRange, Rule, Set, Source};

use crate::wire::{Attributes, Community, LargeCommunity};
use prefix_set::PrefixSet;

/// A compiled route policy.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    default: Action,
    /// The prefixes of each rule; `None`: any.
    prefixes: Vec<Option<PrefixSet>>,
}

/// Policies are equal when they were made of equal rules.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.default == other.default && self.rules == other.rules
    }
}

impl Eq for Policy {}

/// Which way a route goes past the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// In from a peer: every route is learned.
    Import,
    /// Out to a peer.
    Export(Source),
}

/// What a policy says about a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Dropped.
    Reject,
    /// Passes as it is.
    Accept,
    /// Passes with the changes of this rule, for [`Policy::apply`].
    Change(RuleNumber),
}

/// A rule, by its place in the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleNumber(u32);

/// The rules that are left for a bundle of routes with the same attributes. Reusable working space.
#[derive(Clone, Debug, Default)]
pub struct Narrowed {
    /// Each but the last looks at prefixes.
    rules: Vec<RuleNumber>,
    /// The verdict where none of them matches.
    otherwise: Option<Verdict>,
}

impl Narrowed {
    /// The verdict, if it does not depend on the prefix.
    pub fn constant(&self) -> Option<Verdict> {
        if self.rules.is_empty() { self.otherwise } else { None }
    }
}

impl Policy {
    /// Compiles a policy.
    pub fn new(rules: Vec<Rule>, default: Action) -> Self {
        let compile = |rule: &Rule| (!rule.prefixes.is_empty()).then(|| PrefixSet::new(&rule.prefixes));
        let prefixes = rules.iter().map(compile).collect();
        Self { rules, default, prefixes }
    }

    /// The built-in `all`: accepts. As an export policy it passes local routes only, as every policy without a
    /// `source` does.
    pub fn all() -> Self {
        Self::new(Vec::new(), Action::Accept)
    }

    /// The built-in `none`: rejects.
    pub fn none() -> Self {
        Self::new(Vec::new(), Action::Reject)
    }

    /// The built-in `local`, the default for export: what this host originates.
    pub fn local() -> Self {
        Self::new(vec![Rule { source: Some(Source::Local), ..Rule::new(Action::Accept) }], Action::Reject)
    }

    /// The built-in `default-route`: 0.0.0.0/0 and ::/0.
    pub fn default_route() -> Self {
        let prefixes = vec![
            PrefixRange::exact(ipnet::Ipv4Net::default().into()),
            PrefixRange::exact(ipnet::Ipv6Net::default().into()),
        ];
        Self::new(vec![Rule { prefixes, ..Rule::new(Action::Accept) }], Action::Reject)
    }

    /// The rules, as given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The verdict on routes that no rule matches.
    pub fn default_action(&self) -> Action {
        self.default
    }

    /// Could it, as an export policy, accept any route from this source ([`Source::Any`]: from either)?
    pub fn may_export(&self, source: Source) -> bool {
        let direction = Direction::Export(source);
        self.rules.iter().any(|rule| rule.action == Action::Accept && applies(rule, direction))
            || (self.default == Action::Accept && default_applies(direction))
    }

    /// Finds out which rules are left for routes with these attributes.
    pub fn narrow(&self, direction: Direction, attributes: &Attributes, narrowed: &mut Narrowed) {
        narrowed.rules.clear();
        for (number, rule) in (0..).map(RuleNumber).zip(&self.rules) {
            if !applies(rule, direction) || !attributes_match(rule, attributes) {
                continue;
            }
            if rule.prefixes.is_empty() {
                narrowed.otherwise = Some(verdict(rule, number));
                return;
            }
            narrowed.rules.push(number);
        }
        let accept = self.default == Action::Accept && default_applies(direction);
        narrowed.otherwise = Some(if accept { Verdict::Accept } else { Verdict::Reject });
    }

    /// The verdict on one of these routes.
    pub fn judge(&self, narrowed: &Narrowed, prefix: IpNet) -> Verdict {
        let matching = narrowed.rules.iter().find(|number| {
            let set = self.prefixes.get(number.0 as usize).and_then(Option::as_ref);
            set.is_some_and(|set| set.contains(prefix))
        });
        let ruled = matching.and_then(|number| Some(verdict(self.rules.get(number.0 as usize)?, *number)));
        ruled.or(narrowed.otherwise).unwrap_or(Verdict::Reject)
    }

    /// The verdict on one route.
    pub fn evaluate(&self, direction: Direction, attributes: &Attributes, prefix: IpNet) -> Verdict {
        let mut narrowed = Narrowed::default();
        self.narrow(direction, attributes, &mut narrowed);
        self.judge(&narrowed, prefix)
    }

    /// What a rule sets.
    pub fn set(&self, rule: RuleNumber) -> Option<&Set> {
        self.rules.get(rule.0 as usize).map(|rule| &rule.set)
    }

    /// The attributes after the changes of a rule. `prepend` is the AS number that the rule prepends (see
    /// [`Set::prepend`]).
    pub fn apply(&self, rule: RuleNumber, attributes: &Attributes, prepend: u32) -> Attributes {
        let mut changed = attributes.clone();
        if let Some(set) = self.set(rule) {
            set.apply(&mut changed, prepend);
        }
        changed
    }
}

fn applies(rule: &Rule, direction: Direction) -> bool {
    match (direction, rule.source) {
        (_, Some(Source::Any)) | (Direction::Import, None | Some(Source::Learned)) => true,
        (Direction::Import, Some(Source::Local)) => false,
        (Direction::Export(Source::Any), _) => true,
        (Direction::Export(source), rule) => source == rule.unwrap_or(Source::Local),
    }
}

fn default_applies(direction: Direction) -> bool {
    direction != Direction::Export(Source::Learned)
}

fn attributes_match(rule: &Rule, attributes: &Attributes) -> bool {
    fn any_of<T: PartialEq>(asked: &[T], present: &[T]) -> bool {
        asked.is_empty() || asked.iter().any(|value| present.contains(value))
    }
    any_of::<Community>(&rule.communities, attributes.communities())
        && any_of::<LargeCommunity>(&rule.large_communities, attributes.large_communities())
        && (rule.as_paths.is_empty()
            || rule.as_paths.iter().any(|pattern| pattern.matches(attributes.as_path())))
}

fn verdict(rule: &Rule, number: RuleNumber) -> Verdict {
    match rule.action {
        Action::Reject => Verdict::Reject,
        Action::Accept if rule.set.is_empty() => Verdict::Accept,
        Action::Accept => Verdict::Change(number),
    }
}

impl Set {
    fn apply(&self, attributes: &mut Attributes, prepend: u32) {
        if self.local_pref.is_some() {
            attributes.set_local_pref(self.local_pref);
        }
        if self.med.is_some() {
            attributes.set_med(self.med);
        }
        let touches_communities = self.replace_communities.is_some()
            || !self.remove_communities.is_empty()
            || !self.add_communities.is_empty();
        if touches_communities {
            let present = self.replace_communities.as_deref().unwrap_or(attributes.communities());
            let kept = present.iter().filter(|community| !self.remove_communities.contains(community));
            attributes.set_communities(kept.chain(&self.add_communities).copied().collect());
        }
        if !self.remove_large_communities.is_empty() || !self.add_large_communities.is_empty() {
            let present = attributes.large_communities().iter();
            let kept = present.filter(|community| !self.remove_large_communities.contains(community));
            attributes.set_large_communities(kept.chain(&self.add_large_communities).copied().collect());
        }
        if self.prepend > 0 {
            attributes.as_path_mut().prepend(prepend, self.prepend.into());
        }
    }
}

#[cfg(test)]
mod tests;
