//! Sections that groups name: policies and profiles.

use std::collections::HashSet;

use super::{Unique, known::missing, tenant::Tenants};
use crate::{
    found::{At, Found, Span},
    model::{Name, ScopedName},
    schema::{
        self,
        read::{List, Written},
    },
};

/// A section that groups may name.
pub(super) trait Nameable {
    /// "policy".
    const WHAT: &'static str;
    /// "policies".
    const PLURAL: &'static str;
    /// The key by which groups name it.
    const KEY: &'static str;

    fn name(&self) -> &Written<Name>;
    fn tenant(&self) -> &Written<Name>;
}

impl Nameable for schema::Policy {
    const WHAT: &'static str = "policy";
    const PLURAL: &'static str = "policies";
    const KEY: &'static str = "policies";

    fn name(&self) -> &Written<Name> {
        &self.name
    }

    fn tenant(&self) -> &Written<Name> {
        &self.tenant
    }
}

impl Nameable for schema::Profile {
    const WHAT: &'static str = "profile";
    const PLURAL: &'static str = "profiles";
    const KEY: &'static str = "profile";

    fn name(&self) -> &Written<Name> {
        &self.name
    }

    fn tenant(&self) -> &Written<Name> {
        &self.tenant
    }
}

/// One section, with what it is called; what could not be read of that has been reported.
pub(super) struct NamedAt<'a, T> {
    pub(super) raw: &'a T,
    pub(super) header: &'a Span,
    pub(super) tenant: Option<Name>,
    pub(super) id: Option<ScopedName>,
}

/// All sections of one sort.
pub(super) struct Named<'a, T> {
    /// In the order of the file.
    pub(super) sections: Vec<NamedAt<'a, T>>,
    /// Of good sections and of bad ones: a reference to a bad one is not a second mistake.
    ids: HashSet<ScopedName>,
    /// Each section has a name that could be read.
    complete: bool,
}

impl<'a, T: Nameable> Named<'a, T> {
    pub(super) fn of(raw: &'a Written<List<T>>, tenants: &Tenants, found: &mut Found<'_>) -> Self {
        let mut names = Unique::new();
        let mut sections = Vec::new();
        for At { value: raw, span: header } in raw.items() {
            let tenant = tenants.of(raw.tenant(), found);
            let id = tenant.clone().zip(raw.name().get());
            let id = id.map(|(tenant, at)| ScopedName::new(tenant, at.value.clone()));
            if let (Some(id), Some(At { span, .. })) = (&id, raw.name().get()) {
                names.claim(id.clone(), span, found, || format!("two {} are called `{id}`", T::PLURAL));
            }
            sections.push(NamedAt { raw, header, tenant, id });
        }
        let ids: HashSet<_> = sections.iter().filter_map(|section| section.id.clone()).collect();
        let complete = raw.is_complete() && sections.iter().all(|section| section.id.is_some());
        Self { sections, ids, complete }
    }

    /// The section that a group of the tenant names; `None` after reporting that there is none.
    pub(super) fn find(&self, tenant: &Name, at: &At<Name>, found: &mut Found<'_>) -> Option<ScopedName> {
        let id = ScopedName::new(tenant.clone(), at.value.clone());
        if self.ids.contains(&id) {
            return Some(id);
        }
        if self.complete {
            missing(T::WHAT, &id, at, self.ids.iter(), found);
        }
        None
    }

    /// Warns of sections that no group names.
    pub(super) fn unused(&self, used: &HashSet<&ScopedName>, found: &mut Found<'_>) {
        for section in &self.sections {
            if let (Some(id), Some(At { span, .. })) = (&section.id, section.raw.name().get())
                && !used.contains(id)
            {
                found
                    .warning(span, format!("no group uses the {} `{id}`", T::WHAT))
                    .help(format!("name it in `{}` of a `[[group]]`", T::KEY));
            }
        }
    }
}
