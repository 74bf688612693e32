//! How long a container's attachment takes: until the daemon answers, and until the leaf's kernel has its prefix.
//!
//! A host with the released daemon and a leaf with FRR stand in namespaces. The benchmark speaks the control socket's
//! own lines, so that no program's start is measured, and watches the leaf's routing table by netlink. Namespaces of
//! containers are made before the clock starts. `docs/benchmarks.md` says how to read the figures.
//!
//! It must not know anything about petiole but its configuration file, its control socket and its binary.

mod args;
mod daemon;
mod figures;
mod leaf;
mod run;
mod scene;

use std::process::ExitCode;

use clap::Parser;

use args::Args;

fn main() -> ExitCode {
    if std::env::args_os().len() == 1 {
        // `cargo test --all-targets` starts benches without an argument, `cargo bench` with `--bench`.
        println!("nothing asked for: `--bench` runs all, `--quick` a smoke test, `--help` lists the rest");
        return ExitCode::SUCCESS;
    }
    match run::measure(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("attach: {problem}");
            ExitCode::FAILURE
        }
    }
}
