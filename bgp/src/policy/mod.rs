//! Import and export policies.
//!
//! Knows routes and what may be asked of them. Must not know sessions, tables or what becomes of its verdicts.
//!
//! A policy is a list of rules and a default; the first rule that matches decides. On **export** a rule that does not
//! name a [`Source`] applies to routes originated here only, and so does the policy's default: a learned route is
//! passed on only where a rule says `source = learned` (or `any`), thus a host never becomes a transit by mistake
//! (RFC 8212).

mod as_path;
mod rule;

pub use as_path::{AsPathPattern, AsPathPatternError};
pub use rule::{Action, PrefixRange, Rule, Set, Source};

/// A compiled route policy.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    default: Action,
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.default == other.default && self.rules == other.rules
    }
}

impl Policy {
    /// Compiles a policy.
    pub fn new(rules: Vec<Rule>, default: Action) -> Self {
        Self { rules, default }
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
}
