//! The tracker against a kernel in memory.

mod failover;
mod goldens;
mod levels;
mod properties;
mod restart;
mod world;
