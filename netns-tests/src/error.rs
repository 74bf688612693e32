//! What can go wrong in a lab, said so that it can be acted upon.

use std::{io, time::Duration};

use crate::topology::{SplitError, TopologyError};

/// Why the lab did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The topology file is refused.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The machine lacks something that the lab needs.
    #[error("{0}")]
    Missing(String),
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A command line cannot be split into words.
    #[error("`{line}`: {source}")]
    Words {
        /// The command line.
        line: String,
        /// Why.
        source: SplitError,
    },
    /// A command in the lab ended with an error.
    #[error("{place}: `{command}` ended with {status}{}{output}", if output.is_empty() { "" } else { ":\n" })]
    Command {
        /// Node, or node and container.
        place: String,
        /// The command line.
        command: String,
        /// Exit code or signal.
        status: String,
        /// What it said, standard error first.
        output: String,
    },
    /// A command printed something else than was expected of it.
    #[error("{place}: `{command}` printed what was not expected ({problem}):\n{output}")]
    Output {
        /// Node, or node and container.
        place: String,
        /// The command line.
        command: String,
        /// What is wrong with it.
        problem: String,
        /// What it printed.
        output: String,
    },
    /// A condition did not come true in time.
    #[error("no {what} after {waited:.1?}: {last}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// Why not, at the last look.
        last: String,
    },
    /// Building the lab failed.
    #[error("the lab could not be built: {0}")]
    Build(String),
}

impl LabError {
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
