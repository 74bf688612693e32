//! The journal's side of run-time endpoints: what it is told, what it says, and what it held at the start.

use std::time::Instant;

use petiole_config::model::ScopedName;

use super::{Core, Origin, Requested, requests::Commit};
use crate::{
    control::Reply,
    core::Effect,
    io::journal::{Contents, Persisted, Record, Write},
};

impl Core {
    /// What the journal holds, before anything starts.
    pub(crate) fn restore(&mut self, contents: Contents, boot: String) {
        self.endpoints.requests.stored = contents;
        self.endpoints.requests.boot = boot;
    }

    /// Takes over what the journal holds. The kernel's state is known by now; whether the namespaces are still there
    /// is seen when the watcher has looked.
    pub(super) fn restore_requests(&mut self, now: Instant) {
        let Contents { endpoints, releases } = std::mem::take(&mut self.endpoints.requests.stored);
        for record in endpoints {
            if record.boot == self.endpoints.requests.boot {
                self.restore_request(record, now);
            } else {
                tracing::info!(endpoint = %record.id, "from the journal: its namespace went with the last boot");
                self.commit(vec![Write::RemoveEndpoint(record.id)], None);
            }
        }
        for release in releases {
            self.endpoints.ipam.restore(release);
        }
        let networks: Vec<ScopedName> = self.config.networks.iter().map(|n| n.id.clone()).collect();
        self.endpoints.ipam.retain(|n| networks.contains(n));
    }

    pub(super) fn restore_request(&mut self, record: Record, now: Instant) {
        let resolved = petiole_config::request::endpoint(&self.config, &record.request)
            .and_then(|spec| self.check_free(&spec).map(|()| spec));
        let spec = match resolved {
            Ok(spec) => spec,
            Err(error) => {
                tracing::error!(endpoint = %record.id, "from the journal, not attached: {error}");
                self.endpoints.requests.orphans.insert(record.id.clone(), (record, error));
                return;
            }
        };
        let name = record.id;
        let requested = Requested {
            request: record.request,
            namespace: record.namespace,
            created: record.created,
            commit: 0,
            durable: true,
            fresh: false,
        };
        let adopted = self.endpoints.ipam.adopt(&name, &spec.network, record.assigned);
        self.insert(spec, Origin::Request(Box::new(requested)));
        match adopted {
            Ok(()) => {
                if let Some(endpoint) = self.endpoints.all.get_mut(&name) {
                    endpoint.assigned = Ok(record.assigned);
                }
            }
            Err(error) => {
                tracing::error!(endpoint = %name, "{error}");
                self.assign(&name, now);
            }
        }
    }

    pub(super) fn record(&self, name: &ScopedName) -> Option<Record> {
        let endpoint = self.endpoints.all.get(name)?;
        let requested = endpoint.requested()?;
        Some(Record {
            id: name.clone(),
            request: requested.request.clone(),
            assigned: endpoint.assigned.clone().ok()?,
            namespace: requested.namespace,
            boot: self.endpoints.requests.boot.clone(),
            created: requested.created,
        })
    }

    /// The journal has written a commit, or could not.
    pub(crate) fn persisted(&mut self, persisted: Persisted, now: Instant) {
        let Persisted { seq, result } = persisted;
        let Some(Commit { about, removes }) = self.endpoints.requests.commits.remove(&seq) else { return };
        let requests = &mut self.endpoints.requests;
        if result.is_ok() {
            requests.undeleted.retain(|name| !removes.contains(name));
        } else {
            let all = &self.endpoints.all;
            requests.undeleted.extend(removes.into_iter().filter(|name| !all.contains_key(name)));
        }
        let Some(name) = about else { return };
        let requested = self.endpoints.all.get_mut(&name).and_then(|e| e.requested_mut());
        if let Some(requested) = requested.filter(|r| r.commit == seq) {
            match &result {
                Ok(()) => {
                    requested.durable = true;
                    self.answer_if_done(&name);
                }
                Err(error) => {
                    let error = format!("the journal cannot be written: {error}");
                    self.abandon(&name, &error, now);
                }
            }
        }
        if let Some(removing) = self.endpoints.requests.removing.get_mut(&name)
            && removing.commit == seq
        {
            removing.durable = true;
            if let Err(error) = result {
                let text = format!("removed, but the journal cannot be written and still has it: {error}");
                for (_, reply) in &mut removing.answers {
                    *reply = Reply::Error(text.clone());
                }
            }
            self.removal_detached(&name);
        }
    }

    /// Hands writes to the journal, and with them what addresses came free or were taken.
    ///
    /// What could not be removed before is removed with the next commit: a restart would bring it back.
    pub(super) fn commit(&mut self, mut writes: Vec<Write>, about: Option<ScopedName>) -> u64 {
        writes.extend(self.endpoints.ipam.take_changes().into_iter().map(Write::from));
        let requests = &mut self.endpoints.requests;
        writes.splice(0..0, requests.undeleted.iter().cloned().map(Write::RemoveEndpoint));
        let removes = writes.iter().filter_map(|write| match write {
            Write::RemoveEndpoint(name) => Some(name.clone()),
            _ => None,
        });
        requests.last_commit += 1;
        requests.commits.insert(requests.last_commit, Commit { about, removes: removes.collect() });
        let seq = requests.last_commit;
        self.effects.push_back(Effect::Persist { seq, writes });
        seq
    }

    /// The journal may be able to be written again.
    pub(in crate::core) fn retry_undeleted(&mut self) {
        let requests = &self.endpoints.requests;
        if !requests.undeleted.is_empty() && requests.commits.is_empty() {
            self.commit(Vec::new(), None);
        }
    }

    /// Addresses that came free with nobody waiting for the record.
    pub(in crate::core) fn persist_releases(&mut self) {
        if self.endpoints.ipam.has_changes() {
            self.commit(Vec::new(), None);
        }
    }
}
