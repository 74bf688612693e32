//! What giving out costs: as structure in the normal run, as time by
//! `cargo test --release -p petiole ipam_cost -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

fn fill(w: &mut World, names: &[String]) -> Vec<Assigned> {
    names.iter().map(|name| w.any(name).unwrap()).collect()
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("e{n}")).collect()
}

#[test]
fn a_pool_that_fills_from_below_is_one_run_however_large_it_is() {
    for lines in ["subnet = \"10.0.0.0/8\"", "subnet6 = \"2001:db8::/64\""] {
        let mut w = World::new(lines);
        fill(&mut w, &names(5000));
        let Ledgers { v4, v6 } = &w.ipam.networks[&id("n")];
        assert_eq!(v4.runs() + v6.runs(), 1);
    }
}

#[test]
#[ignore = "a measurement"]
fn ipam_cost() {
    const SIZE: usize = 65_534;
    for (what, lines) in [
        ("IPv4 /16", "subnet = \"10.1.0.0/16\"\ngateway = \"169.254.1.1\""),
        ("IPv6 /64", "subnet6 = \"2001:db8::/64\""),
        ("both", "subnet = \"10.1.0.0/16\"\ngateway = \"169.254.1.1\"\nsubnet6 = \"2001:db8::/64\""),
    ] {
        let mut w = World::new(lines);
        let names = names(SIZE);
        let step = SIZE / 4;
        for (n, part) in names.chunks(step).take(4).enumerate() {
            let start = Instant::now();
            let got = fill(&mut w, part);
            let each = start.elapsed() / part.len() as u32;
            println!("{what}: never used, {:>6} in use: {each:?} per assign", n * step);
            drop(got);
        }
    }
    let mut w = World::new("subnet = \"10.1.0.0/16\"\ngateway = \"169.254.1.1\"");
    let names = names(SIZE);
    let got = fill(&mut w, &names);
    for (name, assigned) in names.iter().zip(got) {
        w.release(name, assigned);
    }
    w.now += u64::from(QUARANTINE);
    let start = Instant::now();
    fill(&mut w, &names[..SIZE / 2]);
    println!(
        "IPv4 /16: least recently used, all released: {:?} per assign",
        start.elapsed() / (SIZE / 2) as u32
    );
}
