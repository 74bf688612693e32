//! `[[tenant]]`, and the `tenant` of everything else.

use std::collections::HashSet;

use super::Unique;
use crate::{
    diagnostic::Kind,
    found::{At, Found, some_of},
    model::{HostConfig, Name, ScopedName, Tenant},
    schema::{self, read::Written},
};

/// The tenants that other sections may name.
pub(super) struct Tenants {
    /// `default` first.
    pub(super) list: Vec<Tenant>,
    names: HashSet<Name>,
    /// Every tenant of the file has a name that could be read.
    complete: bool,
}

impl Tenants {
    pub(super) fn of_file(raw: &Written<schema::read::List<schema::Tenant>>, found: &mut Found<'_>) -> Self {
        let mut unique = Unique::new();
        let mut list = vec![Tenant { name: ScopedName::default_tenant() }];
        let mut complete = raw.is_complete();
        for At { value: raw, .. } in raw.items() {
            let Some(At { value: name, span }) = raw.name.get() else {
                complete = false;
                continue;
            };
            let twice =
                unique.claim(name.clone(), span, found, || format!("two tenants are called `{name}`"));
            // Whoever writes the tenant that exists anyway says nothing wrong.
            if twice.is_none() && name.as_str() != ScopedName::DEFAULT_TENANT {
                list.push(Tenant { name: name.clone() });
            }
        }
        Self::new(list, complete)
    }

    pub(super) fn of_config(config: &HostConfig) -> Self {
        Self::new(config.tenants.clone(), true)
    }

    fn new(list: Vec<Tenant>, complete: bool) -> Self {
        let names = list.iter().map(|tenant| tenant.name.clone()).collect();
        Self { list, names, complete }
    }

    /// The tenant that a section names, `default` without a word; `None` after reporting that there is none.
    pub(super) fn of(&self, written: &Written<Name>, found: &mut Found<'_>) -> Option<Name> {
        let At { value: name, span } = match written {
            Written::Is(at) => at,
            Written::Absent => return Some(ScopedName::default_tenant()),
            Written::Bad => return None,
        };
        if self.names.contains(name) {
            return Some(name.clone());
        }
        if self.complete {
            let names = || self.list.iter().map(|tenant| tenant.name.as_str());
            let near = found.guess(name.as_str(), names());
            let error = found.error(Kind::UnknownName, span, format!("there is no tenant `{name}`"));
            match near {
                Some(near) => error.label(format!("did you mean \"{near}\"?")),
                None => error.label("not defined in this file"),
            };
            error
                .note(format!("defined are {}", some_of(names())))
                .help(format!("add `[[tenant]]` with `name = \"{name}\"`, if this is a new one"));
        }
        None
    }
}
