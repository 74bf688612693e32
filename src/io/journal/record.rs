//! A run-time endpoint as the journal stores it: JSON, so that a person can read it and a later version can add keys.

use petiole_config::{EndpointRequest, model::ScopedName};
use serde::{Deserialize, Serialize};

use crate::core::{NamespaceId, ipam::Assigned};

/// A run-time endpoint: what was asked for, and what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: ScopedName,
    /// As the user typed it; it is resolved anew against the config of the day.
    pub(crate) request: EndpointRequest,
    pub(crate) assigned: Assigned,
    /// The namespace that stood at the request's path.
    pub(crate) namespace: NamespaceId,
    /// The kernel's boot that the namespace was of (`/proc/sys/kernel/random/boot_id`): after another one the same
    /// numbers mean others.
    pub(crate) boot: String,
    /// When it was added, unix seconds.
    pub(crate) created: u64,
}

/// The text of a [`Record`]. Every key stays understood as long as the store's format is the same.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Stored<R> {
    id: String,
    request: R,
    assigned: Assigned,
    namespace_device: u64,
    namespace_inode: u64,
    boot: String,
    created: u64,
}

impl Record {
    pub(super) fn encode(&self) -> Result<Vec<u8>, String> {
        let stored = Stored {
            id: self.id.to_string(),
            request: &self.request,
            assigned: self.assigned,
            namespace_device: self.namespace.device,
            namespace_inode: self.namespace.inode,
            boot: self.boot.clone(),
            created: self.created,
        };
        serde_json::to_vec(&stored).map_err(|e| format!("endpoint {}: {e}", self.id))
    }

    pub(super) fn decode(key: &str, text: &[u8]) -> Result<Self, String> {
        let words = |e: &dyn std::fmt::Display| format!("endpoint {}: {e}", key.escape_debug());
        let stored: Stored<EndpointRequest> = serde_json::from_slice(text).map_err(|e| words(&e))?;
        if stored.id != key {
            return Err(words(&format_args!("its record is that of {}", stored.id.escape_debug())));
        }
        Ok(Self {
            id: key.parse().map_err(|e| words(&e))?,
            request: stored.request,
            assigned: stored.assigned,
            namespace: NamespaceId { device: stored.namespace_device, inode: stored.namespace_inode },
            boot: stored.boot,
            created: stored.created,
        })
    }
}
