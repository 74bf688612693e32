//! How long an attach takes: `petiole endpoint add`, until it answers, and until the leaf's kernel has the route.
//!
//! One host and one FRR leaf in network namespaces; the clock is this process', the command a process of its own each
//! time, as a container runtime starts it. `docs/benchmarks.md` says how to read it.

use std::{
    collections::HashMap,
    env,
    fmt::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use petiole_netns_tests::{Kernel, Lab, LabError, Monitor, Node, Place, holds, wait_until};

const PAIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/topologies/pair/pair.clab.yml");
const PATIENCE: Duration = Duration::from_mins(1);

/// What takes the place of the small network of the topology.
const NETWORK: (&str, &str) = (
    "subnet = \"192.168.1.0/24\"\ngateway = \"192.168.1.254\"\npool = [\"192.168.1.1-192.168.1.100\"]\n",
    "subnet = \"10.64.0.0/16\"\nquarantine = 0\n",
);

/// Measures the attach of containers.
#[derive(Debug, Parser)]
struct Args {
    /// Endpoints that exist already; repeat for several rows.
    #[arg(long, default_values_t = [10, 1000])]
    existing: Vec<usize>,
    /// Attaches one after the other.
    #[arg(long, default_value_t = 100)]
    sequential: usize,
    /// Attaches at the same time.
    #[arg(long, default_value_t = 30)]
    parallel: usize,
    /// How often the parallel ones are repeated.
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// The petiole to measure; otherwise PETIOLE_BIN, or the one that was built beside this program.
    #[arg(long)]
    petiole: Option<PathBuf>,
    /// What `cargo bench` says.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One attach: until the answer, until the leaf.
type Attach = (Duration, Duration);

fn main() -> ExitCode {
    if env::args_os().len() == 1 {
        // `cargo test --all-targets` starts benches without an argument, `cargo bench` with `--bench`.
        println!("nothing asked for: `--bench` measures, `--help` lists options");
        return ExitCode::SUCCESS;
    }
    match measure(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("attach: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<(), LabError> {
    let mut builder = Lab::load(Path::new(PAIR))?.defer("host");
    if let Some(program) = &args.petiole {
        builder = builder.petiole(program);
    }
    let lab = builder.up()?;
    let (host, leaf) = (lab.node("host"), lab.node("leaf"));
    host.petiole().edit_config(&[NETWORK])?;
    host.boot()?;
    host.petiole().wait_established("leaf")?;

    println!(
        "attach of containers: ms until `petiole endpoint add` has ended, ms until the leaf's kernel has the /32"
    );
    println!("{:>28} {:>7} {:>7} {:>7}  {:>7} {:>7} {:>7}", "", "p50", "p99", "max", "p50", "p99", "max");
    let mut idle = Vec::new();
    for _ in 0..50 {
        let start = Instant::now();
        host.run("petiole --version")?;
        idle.push(start.elapsed());
    }
    println!("{:>28} {}", "a process that does nothing", columns(idle));

    let mut existing = 0;
    for &wanted in &args.existing {
        let names: Vec<_> = (existing..wanted).map(|i| format!("e{i}")).collect();
        namespaces(host, "add", &names)?;
        for part in names.chunks(args.parallel.max(1)) {
            at_once(host, part)?;
        }
        existing = existing.max(wanted);

        let log = leaf.monitor("route")?;
        let names: Vec<_> = (0..args.sequential).map(|i| format!("s{i}")).collect();
        namespaces(host, "add", &names)?;
        let started = names.iter().map(|name| add(host, name)).collect::<Result<Vec<_>, _>>()?;
        report(&format!("{existing} there, one by one"), &arrivals(&log, &started)?);
        remove(host, leaf, &names)?;

        let mut all = Vec::new();
        for _ in 0..args.rounds {
            let names: Vec<_> = (0..args.parallel).map(|i| format!("p{i}")).collect();
            namespaces(host, "add", &names)?;
            // Addresses come back: only this round's news counts.
            let log = leaf.monitor("route")?;
            let started = at_once(host, &names)?;
            all.extend(arrivals(&log, &started)?);
            remove(host, leaf, &names)?;
        }
        report(&format!("{existing} there, {} at once", args.parallel), &all);
    }
    lab.down()
}

/// One attach as it was started and answered.
struct Started {
    at: Instant,
    answered: Duration,
    address: IpAddr,
}

fn add(host: Node<'_>, name: &str) -> Result<Started, LabError> {
    let line = format!("petiole endpoint add {name} --network public --netns /run/netns/{name}");
    let at = Instant::now();
    let said = host.run(&line)?;
    let answered = at.elapsed();
    let address = said.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let address = address.ok_or_else(|| LabError::Missing(format!("no address in `{said}`")))?;
    Ok(Started { at, answered, address })
}

fn at_once(host: Node<'_>, names: &[String]) -> Result<Vec<Started>, LabError> {
    thread::scope(|scope| {
        let all: Vec<_> = names.iter().map(|name| scope.spawn(move || add(host, name))).collect();
        let panicked = || LabError::Missing("a thread has panicked".to_owned());
        all.into_iter().map(|one| one.join().map_err(|_| panicked())?).collect()
    })
}

/// Waits until the leaf has them all.
fn arrivals(log: &Monitor, started: &[Started]) -> Result<Vec<Attach>, LabError> {
    wait_until("all routes on the leaf", PATIENCE, || {
        let mut seen = HashMap::new();
        for line in log.0.lines() {
            if let Some(address) = line.text.split_whitespace().next().and_then(|w| w.parse::<IpAddr>().ok())
            {
                seen.entry(address).or_insert(line.at);
            }
        }
        let times = started.iter().map(|one| {
            let at = seen.get(&one.address)?;
            Some((one.answered, at.saturating_duration_since(one.at)))
        });
        let times: Vec<_> = times.flatten().collect();
        holds(times.len() == started.len(), format!("{} of {}", times.len(), started.len()))?;
        Ok::<_, String>(times)
    })
}

/// Detaches them, and waits until the leaf knows.
fn remove(host: Node<'_>, leaf: Node<'_>, names: &[String]) -> Result<(), LabError> {
    let before = leaf.routes(false)?.len();
    for name in names {
        host.petiole().endpoint_del(name)?;
    }
    wait_until("withdrawal", PATIENCE, || {
        let now = leaf.routes(false).map_err(|e| e.to_string())?.len();
        holds(now + names.len() == before, format!("{now} routes"))
    })?;
    namespaces(host, "delete", names)
}

fn namespaces(host: Node<'_>, verb: &str, names: &[String]) -> Result<(), LabError> {
    let batch = names.iter().fold(String::new(), |mut text, name| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "netns {verb} {name}");
        text
    });
    host.run_with_input("ip -batch -", &batch).map(drop)
}

fn report(what: &str, all: &[Attach]) {
    let (answered, there) = all.iter().copied().unzip();
    println!("{what:>28} {}  {}", columns(answered), columns(there));
}

/// Median, 99th percentile and maximum in milliseconds.
fn columns(mut all: Vec<Duration>) -> String {
    all.sort_unstable();
    let at = |percent: usize| {
        let index = (all.len() * percent).div_ceil(100).saturating_sub(1);
        all.get(index).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    };
    format!("{:>7.1} {:>7.1} {:>7.1}", at(50), at(99), at(100))
}
