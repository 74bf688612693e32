//! The namespaces that containers stand in, by the numbers that the kernel's side knows them by.
//!
//! Containers of one namespace share its number: under two numbers, the tracker would take what one of them has in
//! there for leftovers of the other, and remove it.

use std::collections::{BTreeSet, HashMap};

use petiole_config::model::ScopedName;
use petiole_fib::model::Ns;

use super::NamespaceId;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Entered {
    by_identity: HashMap<NamespaceId, Ns>,
    users: HashMap<Ns, BTreeSet<ScopedName>>,
    last: u32,
}

impl Entered {
    /// A container comes to stand in a namespace: its number, and whether that is a new one.
    pub(super) fn enter(&mut self, identity: NamespaceId, name: &ScopedName) -> (Ns, bool) {
        let known = self.by_identity.get(&identity).copied();
        let ns = known.unwrap_or_else(|| {
            self.last += 1;
            self.by_identity.insert(identity, Ns(self.last));
            Ns(self.last)
        });
        self.users.entry(ns).or_default().insert(name.clone());
        (ns, known.is_none())
    }

    /// Nothing of a container is in there any more; whether it was the last one.
    pub(super) fn leave(&mut self, ns: Ns, name: &ScopedName) -> bool {
        let Some(users) = self.users.get_mut(&ns) else { return false };
        users.remove(name);
        let last = users.is_empty();
        if last {
            self.users.remove(&ns);
            self.lost(ns);
        }
        last
    }

    /// The namespace is gone: one that is called the same is another one.
    pub(super) fn lost(&mut self, ns: Ns) {
        self.by_identity.retain(|_, number| *number != ns);
    }

    /// The containers that stand in a namespace.
    pub(super) fn users(&self, ns: Ns) -> impl Iterator<Item = &ScopedName> {
        self.users.get(&ns).into_iter().flatten()
    }
}
