//! Containers that come and go at run time: by hand, or by a runtime's front-end.
//!
//! A request is answered when the kernel has confirmed every object and the journal has it on disk; a removal when
//! nothing of it is left in either. Kernel and journal work at the same time: whatever a crash leaves of a request that
//! was not answered is swept at the next start, as what nobody wants.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use petiole_config::{
    EndpointRequest,
    model::{Endpoint as Spec, Publish, ScopedName},
};
use petiole_fib::model::{KernelError, Key, Ns};

use super::{Core, NamespaceId, Origin, Requested, State};
use crate::{
    control::{Reply, rows::Rows},
    core::{
        Effect,
        ipam::{Assigned, Release},
        show,
    },
    io::journal::{Contents, Record, Write},
};

/// A request that took this long is given up, and undone.
const ADD_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an operation is tried before the request that it is for is given up.
const ATTEMPTS: u32 = 3;

/// Who waits for an answer; the daemon gives the numbers out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// What is under way.
#[derive(Debug, Default)]
pub(in crate::core) struct Requests {
    /// What the journal held at the start, until it is taken over.
    pub(super) stored: Contents,
    /// The kernel's boot: namespaces of another one are gone.
    pub(super) boot: String,
    /// Endpoints of the journal that the configuration has no place for, and why. They stay in the journal.
    pub(in crate::core) orphans: BTreeMap<ScopedName, (Record, String)>,
    early: Vec<(Ticket, Early)>,
    adding: BTreeMap<ScopedName, Adding>,
    pub(super) removing: BTreeMap<ScopedName, Removing>,
    pub(super) last_commit: u64,
    /// Commits that the journal has not confirmed.
    pub(super) commits: BTreeMap<u64, Commit>,
    /// Removed endpoints that the journal may still have, because it could not be written.
    pub(super) undeleted: BTreeSet<ScopedName>,
}

/// A commit on its way to the journal.
#[derive(Debug, Default)]
pub(super) struct Commit {
    /// Whom it is about.
    pub(super) about: Option<ScopedName>,
    /// Endpoints that it removes.
    pub(super) removes: Vec<ScopedName>,
}

/// A request that came before the kernel was known.
#[derive(Debug)]
enum Early {
    Add(Box<EndpointRequest>, NamespaceId),
    Remove(ScopedName),
}

/// Somebody waits for an endpoint to stand.
#[derive(Debug)]
struct Adding {
    tickets: Vec<Ticket>,
    deadline: Instant,
}

/// An endpoint on its way out of kernel and journal.
#[derive(Debug)]
pub(super) struct Removing {
    pub(super) commit: u64,
    pub(super) durable: bool,
    pub(super) answers: Vec<(Ticket, Reply)>,
}

impl Requests {
    /// The published ports of what the journal held, until it is taken over.
    pub(super) fn stored_ports(&self) -> impl Iterator<Item = (ScopedName, Vec<Publish>)> {
        let publish = |r: &Record| r.request.publish.iter().filter_map(|p| p.parse().ok()).collect();
        self.stored.endpoints.iter().map(move |r| (r.id.clone(), publish(r)))
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.adding.values().map(|a| a.deadline).min()
    }
}

impl Core {
    /// Whether the kernel's state is still being read. Requests wait for that.
    fn is_starting(&self) -> bool {
        !self.unread.is_empty() && !self.stopping
    }

    /// The kernel is known: what was asked for meanwhile has its turn.
    pub(in crate::core) fn begin_requests(&mut self, now: Instant) {
        for (ticket, early) in std::mem::take(&mut self.endpoints.requests.early) {
            match early {
                Early::Add(request, namespace) => self.add_endpoint(ticket, *request, namespace, now),
                Early::Remove(name) => self.remove_endpoint(ticket, &name, now),
            }
        }
    }

    /// Adds an endpoint for the namespace that was found at its path.
    pub(crate) fn add_endpoint(
        &mut self,
        ticket: Ticket,
        request: EndpointRequest,
        namespace: NamespaceId,
        now: Instant,
    ) {
        if self.is_starting() {
            self.endpoints.requests.early.push((ticket, Early::Add(Box::new(request), namespace)));
            return;
        }
        match self.begin_add(request, namespace, now) {
            Ok(name) => {
                let deadline = now + ADD_TIMEOUT;
                let adding = self.endpoints.requests.adding.entry(name.clone());
                adding.or_insert(Adding { tickets: Vec::new(), deadline }).tickets.push(ticket);
                self.answer_if_done(&name);
            }
            Err(error) => self.answer(ticket, Reply::Error(error)),
        }
    }

    fn begin_add(
        &mut self,
        request: EndpointRequest,
        namespace: NamespaceId,
        now: Instant,
    ) -> Result<ScopedName, String> {
        if self.stopping {
            return Err("the daemon is stopping".into());
        }
        let spec = petiole_config::request::endpoint(&self.config, &request)?;
        let name = spec.id.clone();
        if let Some(existing) = self.endpoints.all.get(&name) {
            let Some(requested) = existing.requested() else {
                return Err(format!("endpoint {name} is in the config file"));
            };
            if existing.spec != spec {
                return Err(format!(
                    "endpoint {name} exists already with other settings; `petiole endpoint del` it first"
                ));
            }
            if requested.namespace == namespace {
                // A retry: the same question gets the same answer.
                return Ok(name);
            }
            // The container behind the path is another one.
            self.remove_requested(&name, false, Vec::new(), now);
        }
        self.check_free(&spec)?;
        self.endpoints.requests.orphans.remove(&name);
        self.endpoints.requests.undeleted.remove(&name);
        let requested =
            Requested { request, namespace, created: self.unix(now), commit: 0, durable: false, fresh: true };
        let path = spec.netns.clone();
        self.insert(spec, Origin::Request(Box::new(requested)));
        self.assign(&name, now);
        let Some(endpoint) = self.endpoints.all.get(&name) else { return Err("not there".into()) };
        if let Err(error) = endpoint.assigned.clone() {
            self.forget(&name);
            return Err(error);
        }
        self.endpoints.namespaces.insert(path, Some(namespace));
        if let Some(record) = self.record(&name) {
            let commit = self.commit(vec![Write::PutEndpoint(Box::new(record))], Some(name.clone()));
            if let Some(requested) = self.endpoints.all.get_mut(&name).and_then(|e| e.requested_mut()) {
                requested.commit = commit;
            }
        }
        self.follow_publishing();
        self.try_attach(&name);
        Ok(name)
    }

    /// Whether nothing that a new endpoint needs is another one's.
    pub(super) fn check_free(&self, spec: &Spec) -> Result<(), String> {
        let others = self.endpoints.by_path.get(&spec.netns).into_iter().flatten();
        for other in others.filter(|o| **o != spec.id).filter_map(|o| self.endpoints.all.get(o)) {
            if other.spec.interface == spec.interface {
                return Err(format!(
                    "interface {} in {} is endpoint {}'s",
                    spec.interface,
                    spec.netns.display(),
                    other.spec.id
                ));
            }
        }
        let published = self.endpoints.publishers().filter(|e| e.spec.id != spec.id);
        let clash = published.flat_map(|e| e.spec.publish.iter().map(move |p| (e, p))).find_map(|(e, p)| {
            let ours: &Publish = spec.publish.iter().find(|ours| ours.clashes(p))?;
            Some(format!("published port {ours} clashes with {p} of endpoint {}", e.spec.id))
        });
        clash.map_or(Ok(()), Err)
    }

    /// Removes a run-time endpoint. One that is not there is removed already.
    pub(crate) fn remove_endpoint(&mut self, ticket: Ticket, name: &ScopedName, now: Instant) {
        if self.is_starting() {
            self.endpoints.requests.early.push((ticket, Early::Remove(name.clone())));
            return;
        }
        let done = Reply::Done(Some(format!("removed endpoint {name}")));
        let requests = &mut self.endpoints.requests;
        let in_journal_only = !requests.removing.contains_key(name)
            && (requests.orphans.remove(name).is_some() || requests.undeleted.contains(name));
        if in_journal_only {
            let commit = self.commit(vec![Write::RemoveEndpoint(name.clone())], Some(name.clone()));
            let removing = Removing { commit, durable: false, answers: vec![(ticket, done)] };
            self.endpoints.requests.removing.insert(name.clone(), removing);
            return;
        }
        let refusal = match self.endpoints.all.get(name) {
            _ if self.stopping => Some("the daemon is stopping".to_owned()),
            Some(e) if e.requested().is_none() => {
                Some(format!("endpoint {name} is in the config file: remove it there, and reload"))
            }
            Some(_) => None,
            None => {
                // A second removal waits for the first.
                if let Some(removing) = self.endpoints.requests.removing.get_mut(name) {
                    removing.answers.push((ticket, done));
                } else {
                    let word = format!("no endpoint {name}: nothing to remove");
                    self.answer(ticket, Reply::Done(Some(word)));
                }
                return;
            }
        };
        match refusal {
            Some(text) => self.answer(ticket, Reply::Error(text)),
            None => self.remove_requested(name, true, vec![(ticket, done)], now),
        }
    }

    /// Takes a run-time endpoint out of kernel and journal; `alive`: its namespace is still there.
    pub(super) fn remove_requested(
        &mut self,
        name: &ScopedName,
        alive: bool,
        mut answers: Vec<(Ticket, Reply)>,
        now: Instant,
    ) {
        if let Some(adding) = self.endpoints.requests.adding.remove(name) {
            let word = if alive { "removed meanwhile" } else { "its namespace is gone" };
            answers.extend(adding.tickets.into_iter().map(|t| (t, Reply::Error(word.into()))));
        }
        self.detach(name, alive, now);
        let Some(endpoint) = self.forget(name) else { return };
        // That the addresses rest from now on is in the same transaction: no crash lets somebody have them at once.
        let at = self.unix(now);
        let network = &endpoint.spec.network;
        let mut writes = vec![Write::RemoveEndpoint(name.clone())];
        writes.extend(
            endpoint
                .assigned
                .iter()
                .flat_map(|assigned| assigned.iter())
                .map(|address| Write::PutRelease(Release { network: network.clone(), address, at })),
        );
        let commit = self.commit(writes, Some(name.clone()));
        let removing = self.endpoints.requests.removing.entry(name.clone());
        let removing = removing.or_insert(Removing { commit, durable: false, answers: Vec::new() });
        removing.commit = commit;
        removing.durable = false;
        removing.answers.append(&mut answers);
        if !self.endpoints.detaching.contains_key(name)
            && let Ok(assigned) = endpoint.assigned
        {
            self.release(name, &endpoint.spec.network, assigned, Assigned::default(), now);
            self.retry_unassigned(now);
        }
        self.follow_publishing();
    }

    /// Nothing of an endpoint is left in the kernel.
    pub(super) fn removal_detached(&mut self, name: &ScopedName) {
        let Some(removing) = self.endpoints.requests.removing.get(name) else { return };
        if removing.durable && !self.endpoints.detaching.contains_key(name) {
            let removing = self.endpoints.requests.removing.remove(name);
            for (ticket, reply) in removing.into_iter().flat_map(|r| r.answers) {
                self.answer(ticket, reply);
            }
        }
    }

    /// Answers those who wait for an endpoint that stands.
    pub(super) fn answer_if_done(&mut self, name: &ScopedName) {
        if !self.endpoints.requests.adding.contains_key(name) {
            return;
        }
        let Some(endpoint) = self.endpoints.all.get_mut(name) else { return };
        let attached = matches!(endpoint.state, State::Attached(_));
        if !attached || !endpoint.requested().is_some_and(|r| r.durable) {
            return;
        }
        if let Some(requested) = endpoint.requested_mut() {
            requested.fresh = false;
        }
        let Some(adding) = self.endpoints.requests.adding.remove(name) else { return };
        for ticket in adding.tickets {
            let Some(row) = self.endpoint_row(name) else { continue };
            self.answer(ticket, Reply::Rows(Rows::Endpoints(vec![row])));
        }
    }

    pub(super) fn answer(&mut self, ticket: Ticket, reply: Reply) {
        self.effects.push_back(Effect::Answer { ticket, reply, next: None });
    }

    /// The kernel refused an object of an endpoint that somebody waits for.
    pub(super) fn request_failed(
        &mut self,
        name: &ScopedName,
        key: &Key,
        error: &KernelError,
        attempts: u32,
        now: Instant,
    ) {
        if !self.endpoints.requests.adding.contains_key(name) {
            return;
        }
        let Some(endpoint) = self.endpoints.all.get(name) else { return };
        let exists = error.errno.0 == libc::EEXIST;
        // `BR_MAX_PORTS`
        let full = error.errno.0 == libc::EXFULL;
        let text = match key {
            Key::Link(Ns::HOST, _) if full => {
                format!(
                    "the bridge of network {} is full: the kernel allows 1023 ports",
                    endpoint.spec.network
                )
            }
            Key::Link(ns, link) if *ns != Ns::HOST && exists => {
                format!("interface {link} exists already in {}", endpoint.spec.netns.display())
            }
            _ => format!("the kernel refused {}: {error}", show::key(key)),
        };
        if exists || full || attempts >= ATTEMPTS {
            self.abandon(name, &text, now);
        }
    }

    /// Gives a request up. An endpoint that never stood is taken away again, and then the answer is given.
    pub(super) fn abandon(&mut self, name: &ScopedName, why: &str, now: Instant) {
        let tickets = self.endpoints.requests.adding.remove(name).map(|a| a.tickets).unwrap_or_default();
        let answers: Vec<(Ticket, Reply)> =
            tickets.into_iter().map(|t| (t, Reply::Error(why.to_owned()))).collect();
        let requested = self.endpoints.all.get(name).and_then(|e| e.requested());
        if requested.is_some_and(|r| r.fresh) {
            tracing::warn!(endpoint = %name, "not added: {why}");
            self.remove_requested(name, true, answers, now);
        } else {
            for (ticket, reply) in answers {
                self.answer(ticket, reply);
            }
        }
    }

    /// Requests that took too long.
    pub(in crate::core) fn expire_requests(&mut self, now: Instant) {
        let adding = self.endpoints.requests.adding.iter();
        let late: Vec<ScopedName> =
            adding.filter(|(_, a)| a.deadline <= now).map(|(name, _)| name.clone()).collect();
        for name in late {
            let problem = self.endpoint_row(&name).and_then(|row| row.error);
            let seconds = ADD_TIMEOUT.as_secs();
            let why = match problem {
                Some(problem) => format!("not attached within {seconds} s: {problem}"),
                None => format!("not attached within {seconds} s"),
            };
            self.abandon(&name, &why, now);
        }
    }
}
