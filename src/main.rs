//! petiole joins a container host to its data-centre fabric: eBGP to the leafs, a /32 per container, the kernel's
//! FIB. See README.md, and `docs/` for operators.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | `cli` | the command line | the core |
//! | `control` | requests, replies, rows | how they come about |
//! | `daemon` | the loop: events in, effects out | what they mean |
//! | `core` | the only place that knows both `petiole_bgp` and `petiole_fib` | I/O |
//! | `io` | sockets, files, signals | RIB, plan |

mod cli;
mod control;
mod core;
mod daemon;
mod io;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}
