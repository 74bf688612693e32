//! The way out: withdrawn at once, taken away when the peers have been told, forgotten when the kernel has nothing
//! of it any more.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use petiole_config::model::ScopedName;
use petiole_fib::model::{Command, Key, Ns};

use super::{Core, Endpoints, State};
use crate::core::{Effect, objects::Wiring};

/// A withdrawal that no peer takes must not keep a container's link for ever.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(1);

/// An attachment on its way out. Until it is gone its addresses are nobody else's, and its endpoint is not attached
/// anew: the kernel's keys would be the same.
#[derive(Debug)]
pub(super) struct Detaching {
    path: PathBuf,
    pub(super) network: ScopedName,
    wiring: Wiring,
    /// The namespace is still there, so objects in it are taken away one by one.
    alive: bool,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// The peers are being told; at the latest then the next step begins.
    Withdrawing(Instant),
    /// The kernel's objects are being taken away; these may still be there.
    Removing(Vec<Key>),
}

impl Detaching {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.step {
            Step::Withdrawing(deadline) => Some(deadline),
            Step::Removing(_) => None,
        }
    }
}

impl Endpoints {
    /// Whether a namespace is gone. It may outlive the path by which one of its containers was found.
    fn is_dead(&self, ns: Ns) -> bool {
        self.entered.users(ns).all(|name| self.detaching.get(name).is_some_and(|d| !d.alive))
    }
}

impl Core {
    /// Withdraws a container at once; its objects go when the peers have been told.
    pub(super) fn detach(&mut self, name: &ScopedName, alive: bool, now: Instant) {
        let Some(endpoint) = self.endpoints.all.get_mut(name) else { return };
        let (wiring, announced) = match std::mem::replace(&mut endpoint.state, State::Waiting) {
            State::Waiting => return,
            State::Attaching(a) => (a.wiring, false),
            State::Attached(a) => (a.wiring, true),
        };
        self.endpoints.attaching.remove(name);
        if announced {
            for prefix in wiring.prefixes() {
                self.speaker.withdraw(prefix);
            }
        }
        tracing::info!(endpoint = %name, "{}", if alive { "removed" } else { "its namespace is gone" });
        let step = Step::Withdrawing(now + WITHDRAW_TIMEOUT);
        let (path, network) = (endpoint.spec.netns.clone(), endpoint.spec.network.clone());
        let ns = wiring.ns;
        let detaching = Detaching { path, network, wiring, alive, step };
        self.endpoints.detaching.insert(name.clone(), detaching);
        if self.endpoints.is_dead(ns) {
            // Numbers of namespaces are used again: the next one of the same identity is another one.
            self.endpoints.entered.lost(ns);
        }
        // Not finished here, even if nothing of it stands yet: whoever detaches it may be about to forget it.
        self.endpoints.withdrawing = true;
        self.moved = true;
    }

    /// Another namespace, or none, stands at a path: what is being taken out of the former one went with it.
    pub(super) fn namespace_of_detaching(&mut self, path: &Path, now: Instant) {
        let mut any = false;
        for d in self.endpoints.detaching.values_mut().filter(|d| d.path == path) {
            d.alive = false;
            any = true;
        }
        if any {
            self.finish_detaching(now);
        }
    }

    /// Whether somebody waited only for the peers to be told, and they have been.
    pub(in crate::core) fn peers_were_told(&self) -> bool {
        self.endpoints.withdrawing && self.speaker.flushed()
    }

    /// Takes the attachments that are on their way out one step further: when the peers have been sent the
    /// withdrawal, the objects go; when they are gone, so is the attachment.
    pub(in crate::core) fn finish_detaching(&mut self, now: Instant) {
        if self.endpoints.detaching.is_empty() {
            return;
        }
        let told = self.speaker.flushed();
        self.endpoints.withdrawing &= !told;
        let mut gone = Vec::new();
        let detaching = self.endpoints.detaching.values().map(|d| d.wiring.ns);
        let dead: BTreeSet<Ns> = detaching.filter(|ns| self.endpoints.is_dead(*ns)).collect();
        for ns in &dead {
            self.endpoints.entered.lost(*ns);
        }
        for (name, d) in &mut self.endpoints.detaching {
            if matches!(d.step, Step::Withdrawing(deadline) if told || deadline <= now) {
                let keys = Self::keys(&d.wiring);
                for key in &keys {
                    self.fib.unwant(key);
                }
                // Nobody waits for a sysctl: it goes with its link.
                d.step = Step::Removing(keys.into_iter().filter(|k| !matches!(k, Key::Sysctl(..))).collect());
            }
            if let Step::Removing(keys) = &mut d.step {
                if dead.contains(&d.wiring.ns) {
                    self.fib.forget_ns(d.wiring.ns);
                }
                while keys.last().is_some_and(|key| self.fib.settled(key)) {
                    keys.pop();
                }
                if keys.is_empty() {
                    gone.push(name.clone());
                }
            }
        }
        for name in gone {
            let Some(Detaching { network, wiring, .. }) = self.endpoints.detaching.remove(&name) else {
                continue;
            };
            if self.endpoints.entered.leave(wiring.ns, &name) {
                self.fib.forget_ns(wiring.ns);
                self.effects.push_back(Effect::Kernel(Command::Forget(wiring.ns)));
            }
            for address in wiring.addresses.iter() {
                if self.endpoints.by_address.get(&address) == Some(&name) {
                    self.endpoints.by_address.remove(&address);
                }
            }
            self.leave_groups(&name, wiring.addresses);
            let current = self.endpoints.all.get(&name).filter(|e| e.spec.network == network);
            let keep = current.and_then(|e| e.assigned.clone().ok()).unwrap_or_default();
            if keep != wiring.addresses {
                self.release(&name, &network, wiring.addresses, keep, now);
                self.retry_unassigned(now);
            }
            self.try_attach(&name);
            self.removal_detached(&name);
            self.retire_networks();
        }
    }

    /// An address that came free may be what another container waits for.
    pub(in crate::core) fn retry_unassigned(&mut self, now: Instant) {
        let waiting: Vec<ScopedName> = self.endpoints.unassigned.iter().cloned().collect();
        for name in waiting {
            self.assign(&name, now);
            self.try_attach(&name);
        }
    }
}
