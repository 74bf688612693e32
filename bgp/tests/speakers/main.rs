//! Many speakers in one process, with a virtual clock.

#![allow(
    clippy::unwrap_used,
    clippy::unchecked_time_subtraction,
    reason = "a test that panics has found something"
)]

mod graceful_restart;
mod hand;
mod hand_made_peer;
mod net;
mod random;
mod reconfiguration;
mod sessions;
mod slow_reader;
