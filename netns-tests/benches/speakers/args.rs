//! The command line.

use std::time::Duration;

use clap::Parser;

use crate::load::{LOADS, Load};

/// The whole daemon as a black box against BIRD and FRR: feeders → speaker → sink.
#[derive(Debug, Parser)]
#[command(name = "speakers")]
pub(crate) struct Args {
    /// How often each row is run; medians are printed.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// A smoke test: the two small rows, once.
    #[arg(long)]
    quick: bool,
    /// Measures the memory of speakers that have nothing to do, instead of loads.
    #[arg(long)]
    pub(crate) idle: bool,
    /// Only rows whose name contains this. May be given several times.
    #[arg(long = "row", value_name = "TEXT")]
    rows: Vec<String>,
    /// Only this speaker: petiole, bird, frr, gobgp. May be given several times.
    #[arg(long = "speaker", value_name = "NAME")]
    pub(crate) speakers: Vec<String>,
    /// After so many seconds an announcement or a withdrawal that is not through has failed.
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    timeout: u64,
    /// The sink delays its acknowledgements, as ordinary peers do (RFC 1122 section 4.2.3.2). A speaker that leaves
    /// Nagle's algorithm on then waits up to 40 ms before its last, short segment, or does not, as luck has it.
    #[arg(long)]
    pub(crate) delayed_ack: bool,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// The namespaces that this process was started from. Set by the process itself.
    #[arg(long, hide = true, value_name = "NAMESPACES")]
    pub(crate) inside: Option<String>,
}

impl Args {
    /// How often each row is run.
    pub(crate) fn runs(&self) -> u32 {
        if self.quick { 1 } else { self.runs }
    }

    /// The rows asked for.
    pub(crate) fn loads(&self) -> Vec<&'static Load> {
        let wanted = |load: &&Load| {
            (!self.quick || load.quick)
                && (self.rows.is_empty() || self.rows.iter().any(|text| load.name.contains(text.as_str())))
        };
        LOADS.iter().filter(wanted).collect()
    }

    /// How long one phase may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}
