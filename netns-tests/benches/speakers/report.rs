//! What is printed: progress while it runs, and a table with ratios for each row.

use std::{fs, thread, time::Duration};

use crate::{load::Load, speaker::Installed};

/// What one run of a speaker gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Everything announced by every feeder.
    pub(crate) announced: Phase,
    /// And withdrawn.
    pub(crate) withdrawn: Phase,
    /// Peak of its resident memory, in KiB.
    pub(crate) peak: u32,
    /// Announced and withdrawn prefixes that the sink received, repetitions included.
    pub(crate) traffic: (u64, u64),
}

/// What feeders said, until it had come out of the speaker. Times count from the first byte on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    /// Until the last distinct prefix was announced or withdrawn at the sink.
    pub(crate) time: Duration,
    /// Until the last change at the sink: a prefix can be announced there again when another feeder has a better route.
    pub(crate) settled: Duration,
    /// The speaker's processor time, until it was through with everything.
    pub(crate) cpu: Duration,
}

/// A column of a table.
struct Column {
    name: &'static str,
    digits: usize,
    /// Ratios to less than this say nothing.
    least: f64,
    value: fn(&Sample) -> f64,
}

const COLUMNS: [Column; 6] = [
    Column { name: "announce s", digits: 3, least: 0.0, value: |s| s.announced.time.as_secs_f64() },
    Column { name: "settled s", digits: 3, least: 0.0, value: |s| s.announced.settled.as_secs_f64() },
    Column { name: "CPU s", digits: 2, least: 0.05, value: |s| s.announced.cpu.as_secs_f64() },
    Column { name: "withdraw s", digits: 3, least: 0.0, value: |s| s.withdrawn.time.as_secs_f64() },
    Column { name: "CPU s", digits: 2, least: 0.05, value: |s| s.withdrawn.cpu.as_secs_f64() },
    Column { name: "peak MiB", digits: 1, least: 0.0, value: |s| f64::from(s.peak) / 1024.0 },
];

/// A row's runs.
#[derive(Debug)]
pub(crate) struct Table {
    load: &'static Load,
    lines: Vec<Line>,
}

/// The runs of one speaker.
#[derive(Debug)]
struct Line {
    name: &'static str,
    title: String,
    samples: Vec<Sample>,
    failed: u32,
}

impl Table {
    /// A table with a line for each speaker that bears the load.
    pub(crate) fn new(load: &'static Load, speakers: &[Installed]) -> Self {
        let line = |speaker: &Installed| Line {
            name: speaker.kind.name(),
            title: speaker.title(),
            samples: Vec::new(),
            failed: 0,
        };
        Self { load, lines: speakers.iter().map(line).collect() }
    }

    /// Adds a run of the speaker with this number; `None` is a failure.
    pub(crate) fn add(&mut self, speaker: usize, sample: Option<Sample>) {
        if let Some(line) = self.lines.get_mut(speaker) {
            match sample {
                Some(sample) => line.samples.push(sample),
                None => line.failed += 1,
            }
        }
    }

    /// Whether no run failed.
    pub(crate) fn is_complete(&self) -> bool {
        self.lines.iter().all(|line| line.failed == 0)
    }

    /// Prints medians, and petiole's ratio to each of the others: below 1, petiole is ahead.
    pub(crate) fn print(&self) {
        print!("\n{:<26}", self.load.name);
        for column in COLUMNS {
            print!("{:>12}", column.name);
        }
        println!("{:>6}", "runs");
        for line in self.lines.iter().filter(|line| !line.samples.is_empty() || line.failed > 0) {
            line.print();
        }
        let Some((petiole, others)) = self.lines.split_first().filter(|(first, _)| first.name == "petiole")
        else {
            return;
        };
        for other in others {
            petiole.print_ratios(other);
        }
    }
}

impl Line {
    fn print(&self) {
        print!("  {:<24}", self.title);
        for Column { digits, value, .. } in COLUMNS {
            match self.median(value) {
                Some(median) => print!("{median:>12.digits$}"),
                None => print!("{:>12}", "-"),
            }
        }
        print!("{:>6}", self.samples.len());
        match self.failed {
            0 => println!(),
            failed => println!("  ({failed} FAILED)"),
        }
    }

    fn print_ratios(&self, other: &Self) {
        if self.samples.is_empty() || other.samples.is_empty() {
            return;
        }
        print!("  {:<24}", format!("petiole / {}", other.title));
        for Column { value, least, .. } in COLUMNS {
            match (self.median(value), other.median(value)) {
                // Of a few steps of the clock no ratio can be made.
                (Some(ours), Some(theirs)) if theirs >= least && ours > 0.0 => {
                    let ratio = ours / theirs;
                    let digits = if ratio < 0.1 { 3 } else { 2 };
                    print!("{:>12}", format!("x {ratio:.digits$}"));
                }
                _ => print!("{:>12}", "-"),
            }
        }
        println!();
    }

    fn median(&self, value: fn(&Sample) -> f64) -> Option<f64> {
        let mut values: Vec<_> = self.samples.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get((values.len() - 1) / 2)?;
        Some(f64::midpoint(lower, upper))
    }
}

/// Says where this is measured, and how busy that is with other things.
pub(crate) fn machine() {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    println!("{cores} cores, kernel {}, load average {load} before the start", kernel.trim());
}

/// Says how a run went.
pub(crate) fn progress(load: &Load, speaker: &Installed, run: u32, result: &Result<Sample, String>) {
    let what = format!("{}, {}, run {run}", load.name, speaker.title());
    match result {
        Ok(sample) => {
            let (announced, withdrawn) = sample.traffic;
            eprintln!(
                "{what}: announce {:.3} s (settled {:.3}, CPU {:.2}), withdraw {:.3} s (CPU {:.2}), peak {} KiB; \
                 the sink was sent {announced} + {withdrawn}",
                sample.announced.time.as_secs_f64(),
                sample.announced.settled.as_secs_f64(),
                sample.announced.cpu.as_secs_f64(),
                sample.withdrawn.time.as_secs_f64(),
                sample.withdrawn.cpu.as_secs_f64(),
                sample.peak,
            );
        }
        Err(problem) => eprintln!("{what}: FAILED: {problem}"),
    }
}
