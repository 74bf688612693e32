//! `[[route-policy]]`.

use std::collections::HashSet;

use super::Unique;
use crate::{
    diagnostic::Kind,
    found::{At, Found},
    model::{Action, Match, Name, RoutePolicy, Rule, Set},
    schema::{
        self,
        read::{List, Written},
        value::Verdict,
    },
};

/// What `import` and `export` call without a policy.
pub(super) const BUILT_IN: [&str; 4] = ["all", "default-route", "none", "local"];

/// The names of the policies.
pub(super) struct Names {
    /// Of good policies and of bad ones: a reference to a bad policy is not a second mistake.
    pub(super) defined: Vec<Name>,
    /// There is no policy whose name could not be read.
    pub(super) complete: bool,
}

impl Names {
    pub(super) fn of(raw: &Written<List<schema::RoutePolicy>>) -> Self {
        let defined: Vec<_> = raw.items().iter().filter_map(|at| at.value.name.value().cloned()).collect();
        Self { complete: raw.is_complete() && defined.len() == raw.items().len(), defined }
    }
}

pub(super) fn policies(raw: &[At<schema::RoutePolicy>], found: &mut Found<'_>) -> Vec<RoutePolicy> {
    let mut names = Unique::new();
    let mut policies = Vec::new();
    for At { value: raw, .. } in raw {
        if let Some(At { value: name, span }) = raw.name.get() {
            if BUILT_IN.contains(&name.as_str()) {
                found
                    .error(
                        Kind::BadValue,
                        span,
                        format!("`{name}` is built in, and no name for a route policy"),
                    )
                    .label("choose another name")
                    .note(format!("built in are {}", BUILT_IN.join(", ")));
            }
            names.claim(name.clone(), span, found, || format!("two route policies are called `{name}`"));
        }
        let rules: Vec<_> = raw.rules.items().iter().filter_map(|at| rule(&at.value, found)).collect();
        unreachable_rules(raw, found);
        let Some(name) = raw.name.value() else { continue };
        policies.push(RoutePolicy {
            name: name.clone(),
            rules,
            default: match raw.default.value() {
                Some(Verdict::Accept) => Action::Accept(Set::default()),
                Some(Verdict::Reject) | None => Action::Reject,
            },
        });
    }
    policies
}

fn rule(raw: &schema::Rule, found: &mut Found<'_>) -> Option<Rule> {
    // An empty list reads like "none of them", and would match like "any": it is neither.
    not_empty("prefix", &raw.prefix, found);
    not_empty("community", &raw.community, found);
    not_empty("large-community", &raw.large_community, found);
    not_empty("as-path", &raw.as_path, found);
    let action = match (raw.action.get()?, raw.set.get()) {
        (At { value: Verdict::Accept, .. }, set) => {
            Action::Accept(set.map(|at| changes(&at.value)).unwrap_or_default())
        }
        (At { value: Verdict::Reject, .. }, None) => Action::Reject,
        (reject, Some(set)) => {
            found
                .error(Kind::Conflict, &set.span, "a route that is rejected cannot be changed")
                .label("nothing will have this")
                .also(reject.span.clone(), "rejected here")
                .help("leave out `set`, or accept the route");
            return None;
        }
    };
    Some(Rule {
        matches: Match {
            prefixes: values(&raw.prefix),
            communities: values(&raw.community),
            large_communities: values(&raw.large_community),
            as_paths: values(&raw.as_path),
            source: raw.source.value().copied().unwrap_or_default(),
        },
        action,
    })
}

fn not_empty<T>(key: &str, list: &Written<List<T>>, found: &mut Found<'_>) {
    if let Some(span) = list.empty() {
        found
            .error(Kind::BadValue, span, format!("`{key}` is empty: no route could match"))
            .label("at least one is needed")
            .help(format!("leave out `{key}` to match every route"));
    }
}

fn changes(raw: &schema::Set) -> Set {
    Set {
        local_pref: raw.local_pref.value().map(|n| n.get()),
        med: raw.med.value().map(|n| n.get()),
        prepend: raw.prepend.value().map_or(0, |n| n.get_u8()),
        communities_remove: values(&raw.community_remove),
        communities_add: values(&raw.community),
        large_communities_remove: values(&raw.large_community_remove),
        large_communities_add: values(&raw.large_community),
    }
}

fn values<T: Clone>(list: &Written<List<T>>) -> Vec<T> {
    list.items().iter().map(|at| at.value.clone()).collect()
}

/// Warns of rules behind one that matches everything. A rule that names no source leaves learned routes on export, so
/// only `source = "any"` matches everything.
fn unreachable_rules(raw: &schema::RoutePolicy, found: &mut Found<'_>) {
    let conditional = |rule: &schema::Rule| {
        rule.prefix.is_written()
            || rule.community.is_written()
            || rule.large_community.is_written()
            || rule.as_path.is_written()
            || rule.source.value() != Some(&crate::model::Source::Any)
    };
    let rules = raw.rules.items();
    if let Some(last) = rules.iter().position(|at| !conditional(&at.value))
        && let (Some(all), Some(next)) = (rules.get(last), rules.get(last + 1))
    {
        found
            .warning(&next.span, "this rule is never reached")
            .also(all.span.clone(), "this one matches every route");
    }
}

/// Warns of policies that no neighbor names.
pub(super) fn unused(
    policies: &[At<schema::RoutePolicy>],
    neighbors: &[At<schema::Neighbor>],
    found: &mut Found<'_>,
) {
    let defined: HashSet<&Name> = policies.iter().filter_map(|at| at.value.name.value()).collect();
    let mut used = HashSet::new();
    for At { value: raw, .. } in neighbors {
        let named = [raw.import.value(), raw.export.value()];
        // A reference that is wrong, and has been reported, may have meant any of them.
        let missing = named[0].is_none() || (raw.export.is_written() && named[1].is_none());
        let foreign = |name: &&&Name| !defined.contains(**name) && !BUILT_IN.contains(&name.as_str());
        if missing || named.iter().flatten().any(|name| foreign(&name)) {
            return;
        }
        used.extend(named.into_iter().flatten());
    }
    for At { value: name, span } in policies.iter().filter_map(|at| at.value.name.get()) {
        if !used.contains(name) && !BUILT_IN.contains(&name.as_str()) {
            found
                .warning(span, format!("no neighbor uses the route policy `{name}`"))
                .help("name it in `import` or `export` of a `[[neighbor]]`");
        }
    }
}
