//! The routing programs of nodes: how each is started, stopped and asked.

pub mod bird;
pub mod frr;
pub mod gobgp;
pub mod petiole;

use crate::{LabError, Node, topology::Role};

/// Starts what the node's role asks for.
pub(crate) fn start(node: Node<'_>) -> Result<(), LabError> {
    match node.spec().role {
        Role::Petiole => node.petiole().start(),
        Role::Frr => node.frr().start(),
        Role::Bird => node.bird().start(),
        Role::GoBgp => node.gobgp().start(),
        Role::Plain => Ok(()),
    }
}
