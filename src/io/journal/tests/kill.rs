//! kill -9 while the journal writes: what was acknowledged is there, and nothing is there by halves.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
};

use super::*;

/// Where the child writes, and the number of its first commit.
const DIR: &str = "PETIOLE_TEST_JOURNAL";
const FIRST: &str = "PETIOLE_TEST_JOURNAL_FIRST";

/// Commits that the child has under way at most.
const WINDOW: u64 = 8;

/// The writes of commit `n`: each of them changes what an earlier one left, so no two numbers of commits leave the
/// same.
fn writes(n: u64) -> Vec<Write> {
    let address = |n: u64| Ipv4Addr::new(10, 0, 0, (n % 5) as u8).into();
    vec![
        put(&format!("e{}", n % 7), n),
        Write::RemoveEndpoint(id(&format!("e{}", (n + 3) % 7))),
        Write::PutRelease(Release { network: id("n"), address: address(n), at: n }),
        Write::RemoveRelease { network: id("n"), address: address(n + 2) },
    ]
}

/// What the commits 1 to `n` leave.
fn model(n: u64) -> Contents {
    let (mut endpoints, mut releases) = (BTreeMap::new(), BTreeMap::new());
    for write in (1..=n).flat_map(writes) {
        match write {
            Write::PutEndpoint(record) => drop(endpoints.insert(record.id.to_string(), *record)),
            Write::RemoveEndpoint(id) => drop(endpoints.remove(&id.to_string())),
            Write::PutRelease(r) => drop(releases.insert(r.address, r)),
            Write::RemoveRelease { address, .. } => drop(releases.remove(&address)),
        }
    }
    Contents { endpoints: endpoints.into_values().collect(), releases: releases.into_values().collect() }
}

/// Not a test: what [`a_kill_loses_nothing_that_was_acknowledged`] starts and kills.
#[test]
#[ignore = "the other process of a test"]
fn child() {
    let (Ok(dir), Ok(first)) = (std::env::var(DIR), std::env::var(FIRST)) else { return };
    let first: u64 = first.parse().unwrap();
    println!("opening");
    let Opened { journal, persisted, .. } = open(Path::new(&dir)).unwrap();
    println!("opened");
    let mut under_way = VecDeque::new();
    for n in first..first + 100_000 {
        journal.commit(n, writes(n));
        under_way.push_back(n);
        while under_way.len() as u64 >= WINDOW || (n % 3 == 0 && !under_way.is_empty()) {
            let told = persisted.recv().unwrap();
            told.result.unwrap();
            under_way.pop_front();
            println!("ack {}", told.seq);
        }
    }
}

fn spawn(dir: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "io::journal::tests::kill::child", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Lets a child write until it says `word` for the `times`th time, and kills it; the last commit that it knew to be
/// durable.
fn run(dir: &Path, first: u64, word: &str, times: usize) -> u64 {
    let mut child = spawn(dir, first);
    let mut acknowledged = first - 1;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut heard = 0;
    while heard < times {
        let line = lines.next().expect("the child ended by itself");
        heard += usize::from(line.contains(word));
        acknowledged = acked(&line).unwrap_or(acknowledged);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it died was durable before.
    lines.filter_map(|line| acked(&line)).last().unwrap_or(acknowledged)
}

/// The harness may have written something before it on the line.
fn acked(line: &str) -> Option<u64> {
    line.split_once("ack ")?.1.parse().ok()
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let scratch = Scratch::new();
    let mut last = 0;
    for round in 0..12 {
        // From the very first moments to some way in.
        let (word, times) = match round {
            0 => ("opening", 1),
            1 => ("opened", 1),
            n => ("ack", 1 + (n * 7) % 23),
        };
        let acknowledged = run(&scratch.0, last + 1, word, times);
        let contents = open(&scratch.0).unwrap().contents;
        let there = (acknowledged..=acknowledged + WINDOW).find(|n| contents == model(*n));
        last = there.unwrap_or_else(|| {
            panic!("round {round}: {acknowledged} commits were acknowledged, there is {contents:#?}")
        });
    }
    assert!(last > 0);
}
