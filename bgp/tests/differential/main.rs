//! Our codec against an independent one: what one writes the other reads the same, and where both accept a mutated
//! message, they agree on what it says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod messages;
mod model;
mod mutated;
mod updates;

use petiole_bgp::wire::{FamilySet, Session};

/// A session on which everything is negotiated.
const SESSION: Session = Session {
    four_octet_as: true,
    extended_message: true,
    external: false,
    families: FamilySet::ALL,
    extended_next_hop: true,
};
