//! The kernel objects of a container host: what they are, which are ours, and how to get from what is to what
//! should be.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`model`] | links, addresses, neighbours, forwarding entries, routes, next hops, sysctls, qdiscs, nftables, keyed as the kernel keys them | who wants them |
//! | [`owner`] | "is it ours?", from the kernel alone | the plan |
//! | [`nexthops`] | sets of next hops | how routes share them |
//! | [`plan`] | desired, actual → ordered operations; pure | netlink |
//! | [`fake`] | a kernel in memory that fails on demand | sockets |
//! | [`kernel`] | dump, apply in batches, monitor: netlink on its own thread | BGP, config |

pub mod acl;
pub mod fake;
pub mod kernel;
pub mod model;
pub mod nexthops;
pub mod owner;
pub mod plan;
