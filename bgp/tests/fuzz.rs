//! The fuzz targets for a moment, without a fuzzer: every seed, and the same random changes to them in every run. The
//! long runs are described in `../fuzz/README.md`.

use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
#[expect(clippy::expect_used, unreachable_pub, reason = "the fuzz crate has lints of its own")]
mod targets;

/// Runs per target: a second or so in all.
const RUNS: u32 = 20_000;

struct Numbers(u64);

impl Numbers {
    /// Below `limit`, which is not 0 (xorshift64).
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// A few random changes to `data`.
fn mutate(data: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(data.len().max(1));
        let value = numbers.below(256) as u8;
        match numbers.below(6) {
            0 => data.insert(at.min(data.len()), value),
            1 if !data.is_empty() => drop(data.remove(at)),
            2 => data.truncate(at),
            3 => {
                let piece = data[at.min(data.len())..].to_vec();
                data.extend_from_slice(&piece[..piece.len().min(64)]);
            }
            4 => data.get_mut(at).into_iter().for_each(|octet| *octet ^= 1 << (value & 7)),
            _ => data.get_mut(at).into_iter().for_each(|octet| *octet = value),
        }
    }
}

fn run(name: &str) {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let (_, target) = targets::TARGETS.into_iter().find(|(target, _)| *target == name).expect("a target");
    let mut seeds = targets::seeds(name, &vectors);
    assert!(!seeds.is_empty(), "{name} has seeds");
    for seed in &seeds {
        target(seed);
    }
    seeds.push(Vec::new());
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    for _ in 0..RUNS {
        let mut data = seeds[numbers.below(seeds.len())].clone();
        mutate(&mut data, &mut numbers);
        target(&data);
    }
}

#[test]
fn message() {
    run("message");
}

#[test]
fn open() {
    run("open");
}

#[test]
fn notification() {
    run("notification");
}

#[test]
fn route_refresh() {
    run("route_refresh");
}

#[test]
fn update() {
    run("update");
}
