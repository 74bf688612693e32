//! The tracker against a kernel in memory.

mod bridged;
mod bridged_world;
mod failover;
mod goldens;
mod levels;
mod limits;
mod nftables;
mod properties;
mod restart;
mod world;
