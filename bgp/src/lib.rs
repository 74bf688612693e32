//! A BGP-4 speaker without I/O.
//!
//! Time is an argument, timers are a table, inputs and outputs are closed enums: two speakers, or a hundred,
//! run in one unit test with a virtual clock. Nothing in here knows sockets, tokio, TOML or the kernel.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`wire`] | messages, attributes, NLRI, the consequence of an error (RFC 7606) | sessions, time |
//! | [`fsm`] | one peer: the six states of RFC 4271, collisions, timers | sockets, RIB |
//! | [`rib`] | Adj-RIB-In, Loc-RIB, Adj-RIB-Out, the decision process | wire bytes, kernel |
//! | [`policy`] | import and export | state machines |
//! | `pack` | dirty set of an Adj-RIB-Out → UPDATE messages | sockets |
//! | [`speaker`] | composes the above | TOML, tokio |

pub mod fsm;
mod pack;
pub mod policy;
pub mod rib;
pub mod speaker;
pub mod wire;
