//! The control socket: one JSON request per connection, answered by lines of JSON.
//!
//! Knows the words exchanged ([`Request`], [`Reply`]) and the rows of every `show`. Must not know how they come
//! about. The rows are what `--json` prints, so a field here is a promise to programs: fields are added, never
//! renamed, and [`VERSION`] grows when one must go.

pub(crate) mod client;
pub(crate) mod explain;
pub(crate) mod rows;
pub(crate) mod server;

use petiole_config::{EndpointRequest, model::ScopedName};
use serde::{Deserialize, Serialize};

use rows::Rows;

/// Version of the rows' shapes, printed with every `--json` output.
pub(crate) const VERSION: u32 = 1;

/// What can be asked of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Read the config file again and apply it, whole or not at all.
    Reload,
    /// Show something.
    Show(Show),
    /// Say what becomes of traffic, and why.
    Explain(explain::Question),
    /// Add an endpoint; answered by its row when it stands.
    EndpointAdd(EndpointRequest),
    /// Remove an endpoint that was added so; answered when nothing of it is left.
    EndpointDel {
        /// `NAME`, or `TENANT/NAME`.
        name: ScopedName,
    },
    /// End the daemon.
    Stop {
        /// Take everything that is its own out of the kernel first.
        flush: bool,
    },
}

/// What can be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Show {
    /// The BGP sessions.
    Neighbors,
    /// The Loc-RIB: every path, best first, with the reason.
    Routes,
    /// The Adj-RIB-In of one neighbour, as its import policy left it.
    Received {
        /// Name or address.
        neighbor: String,
    },
    /// The Adj-RIB-Out of one neighbour, as sent.
    Advertised {
        /// Name or address.
        neighbor: String,
    },
    /// The kernel objects that the daemon keeps.
    Fib,
    /// The containers.
    Endpoints,
    /// The networks.
    Networks,
    /// The groups.
    Groups {
        /// With every member, not only how many there are.
        members: bool,
    },
    /// The rules of policies, with how often they have decided.
    Policies,
    /// The profiles.
    Profiles,
    /// The other hosts of VXLAN networks.
    Vteps,
    /// The running configuration, with defaults.
    Config,
}

/// One line of an answer. The last one is `Done` or `Error`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    /// A part of the rows asked for.
    Rows(Rows),
    /// The end of a successful answer, with a word for people where there is one to say.
    Done(Option<String>),
    /// Refused or failed; nothing was changed.
    Error(String),
}
