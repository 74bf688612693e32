//! The lab: containerlab topologies in network namespaces, and the end-to-end tests of petiole that run in them.
//!
//! A topology file of containerlab names machines, their configuration and the cables between them. This crate brings
//! such a topology up with nothing but the kernel: each machine is a set of namespaces, each cable a veth pair, and the
//! routing programs are those that are installed on the machine (FRR, BIRD, GoBGP) and the petiole of this workspace.
//! All of it is inside one private set of namespaces, so nothing is left behind, however a test ends, and labs do not
//! meet.
//!
//! ```no_run
//! # use std::path::Path;
//! use petiole_netns_tests::{Kernel, Lab, Place};
//! # fn main() -> Result<(), petiole_netns_tests::LabError> {
//! let lab = Lab::up(Path::new("examples/topologies/contiv-l3/contiv-l3.clab.yml"))?;
//! lab.node("leaf1").frr().wait_established("50.1.1.1")?;
//! let route = lab.node("leaf1").route_to("192.168.1.1/32".parse().unwrap())?;
//! println!("{route:?}");
//! # Ok(()) }
//! ```
//!
//! | module | knows |
//! |---|---|
//! | [`topology`] | the file |
//! | [`holder`] | the processes that hold the namespaces, how a node is furnished |
//! | [`Lab`], [`Node`], [`Container`], [`Place`] | the running lab, and commands in it |
//! | [`speaker`] | how FRR, BIRD, GoBGP and petiole are started and asked |
//! | [`Kernel`], [`Snapshot`], [`Ping`], [`Talk`], [`Probe`], [`Process`] | what can be seen: kernel tables, echo, conversations, who answers whom, captures |
//! | [`inject`] | packets made by hand, and which of them a host lets through |
//! | [`requirement`] | what the machine must have, and which kernel |
//! | `guest` | how a test runs under another kernel |
//!
//! The daemon's internals are unknown here: tests see what a user, a leaf and the kernel see.

mod cable;
mod chance;
mod dump;
mod error;
mod guest;
pub mod holder;
pub mod inject;
mod kernel;
mod lab;
mod node;
mod ping;
mod place;
mod probe;
mod process;
pub mod requirement;
mod snapshot;
pub mod speaker;
mod sys;
mod talk;
pub mod topology;
mod wait;

pub use chance::Chance;
pub use dump::dump;
pub use error::LabError;
pub use kernel::{Kernel, KernelRoute, Monitor, Via};
pub use lab::{Builder, Lab};
pub use node::{Container, Node};
pub use ping::{Fit, Ping};
pub use place::{Output, Place};
pub use probe::{Conversation, Hammer, Probe, Question, Service};
pub use process::{Line, Process};
pub use requirement::{Requirement, skip};
pub use snapshot::Snapshot;
pub use sys::interrupts_are_the_childs;
pub use talk::{Protocol, Talk};
pub use topology::{Port, Topology};
pub use wait::{holds, wait_until};
