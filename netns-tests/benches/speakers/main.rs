//! A BGP speaker as a black box: feeders announce, the speaker decides, a sink counts what comes out.
//!
//! petiole stands beside BIRD and FRR, each as its distribution ships it, under the same load in the same run. Absolute
//! figures are the machine's; the ratios are what is measured. `docs/benchmarks.md` says how to read them.
//!
//! The instrument shares no code with what it measures: [`message`] is its own small codec. It must not know anything
//! about petiole but its configuration file and its binary.

mod args;
mod feeder;
mod frames;
mod host;
mod idle;
mod inside;
mod load;
mod message;
mod report;
mod run;
mod scene;
mod session;
mod sink;
mod speaker;

use std::process::ExitCode;

use clap::Parser;

use args::Args;

fn main() -> ExitCode {
    if std::env::args_os().len() == 1 {
        // `cargo test --all-targets` starts benches without an argument, `cargo bench` with `--bench`.
        println!("nothing asked for: `--bench` runs all, `--quick` a smoke test, `--help` lists the rest");
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let done = match &args.inside {
        None => inside::enter().map(|never| match never {}),
        Some(outside) => inside::prepare(outside).and_then(|()| measure(&args)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("speakers: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything that could be measured was.
fn measure(args: &Args) -> Result<bool, String> {
    let speakers = speaker::installed(&args.speakers)?;
    if args.idle { Ok(idle::measure(&speakers)) } else { run::measure(args, &speakers) }
}
