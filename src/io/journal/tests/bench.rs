//! What a commit costs: `cargo test --release -p petiole journal_cost -- --ignored --nocapture`, the directory by
//! `TMPDIR`.

use std::time::{Duration, Instant};

use super::*;

#[test]
#[ignore = "a measurement"]
fn journal_cost() {
    let scratch = Scratch::on_disk();
    let opened = open(&scratch.0).unwrap();
    let mut seq = 0;
    for existing in [0, 1_000, 10_000] {
        let fill: Vec<Write> = (0..existing).map(|n| put(&format!("old{n}"), n)).collect();
        opened.journal.commit(0, fill);
        opened.persisted.recv().unwrap().result.unwrap();
        for burst in [1_u64, 30] {
            let mut times: Vec<Duration> = (0..200)
                .map(|_| {
                    let start = Instant::now();
                    for _ in 0..burst {
                        seq += 1;
                        opened.journal.commit(seq, vec![put(&format!("e{}", seq % 300), seq)]);
                    }
                    for _ in 0..burst {
                        opened.persisted.recv().unwrap().result.unwrap();
                    }
                    start.elapsed()
                })
                .collect();
            times.sort_unstable();
            println!(
                "{existing:>6} endpoints, {burst:>2} commits at once: all durable after p50 {:?}, p99 {:?}",
                times[100], times[198]
            );
        }
    }
    let size = std::fs::metadata(scratch.file()).unwrap().len();
    drop(opened);
    let start = Instant::now();
    let contents = open(&scratch.0).unwrap().contents;
    println!(
        "{} endpoints in {} KiB: opened, checked and read in {:?}",
        contents.endpoints.len(),
        size / 1024,
        start.elapsed()
    );
}
