//! What is measured, in which order.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use petiole_netns_tests::{Place, Requirement};

use crate::{
    args::{Args, LeafKind, Network, State, name},
    daemon::Added,
    figures::{Figures, Row, headline},
    scene::Scene,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Attachments by the command line, for comparison.
const BY_COMMAND: usize = 20;
/// How long the idle daemon is watched.
const IDLE: Duration = Duration::from_secs(10);
/// After so long without an attachment, what they started has come to its end.
const REST: Duration = Duration::from_secs(3);

/// Measures all that is asked for, and prints a line for each.
pub(crate) fn measure(args: &Args) -> Result<(), String> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average {}\n", load.trim());
    println!("{}", headline());
    let mut idle = Vec::new();
    for (leaf, state, network) in args.stages() {
        let installed = match leaf {
            LeafKind::Bird => Requirement::Bird.check(),
            LeafKind::Frr => Requirement::Frr.check(),
        };
        match installed {
            Ok(()) => idle.extend(stage(args, leaf, state, network)?),
            Err(why) => println!("{:<8}{:<6}{:<8} skipped: {why}", name(&network), name(&leaf), name(&state)),
        }
    }
    println!("\nthe daemon, idle, watched for {} s", IDLE.as_secs());
    for line in idle {
        println!("{line}");
    }
    Ok(())
}

/// All rows of one network and one place for the journal. Returns the lines about the idle daemon.
fn stage(args: &Args, leaf: LeafKind, state: State, network: Network) -> Result<Vec<String>, String> {
    let (sequential, parallel) = args.attachments();
    let most = args.existing().last().copied().unwrap_or(0);
    let spare = sequential.max(parallel);
    let scene = Scene::up(args, leaf, state, spare + most)?;
    let trial = Trial { scene: &scene, network: &name(&network) };
    let mut there = 0;
    let mut idle = Vec::new();
    for existing in args.existing().into_iter().map(|n| n.min(network.room() - spare)) {
        for n in there..existing {
            let n = spare + n;
            scene.daemon.add(&format!("e{n}"), trial.network, &format!("n{n}"))?;
        }
        there = existing;
        thread::sleep(REST);
        let place = format!("{:<8}{:<6}{:<8}{existing:>8}", trial.network, name(&leaf), name(&state));
        let row =
            |what: String, row: Row| println!("{}", Row { what: format!("{place}  {what:<15}"), ..row });
        row(format!("{sequential} one by one"), trial.one_by_one(sequential)?);
        row(format!("{parallel} at once"), trial.at_once(parallel)?);
        row(format!("{BY_COMMAND} by command"), trial.by_command(BY_COMMAND.min(spare))?);
        idle.push(format!("{place}  {}", trial.idle()?));
    }
    scene.down()?;
    Ok(idle)
}

struct Trial<'a> {
    scene: &'a Scene,
    network: &'a str,
}

impl Trial<'_> {
    /// Each when the one before is on the leaf.
    fn one_by_one(&self, count: usize) -> Result<Row, String> {
        self.scene.leaf.clear();
        let mut row = Row::default();
        for n in 0..count {
            let added = self.add(n)?;
            row.leaf.0.push(self.on_the_leaf(&added)?);
            row.answer.0.push(added.took);
        }
        for n in 0..count {
            row.removal.0.push(self.scene.daemon.remove(&format!("e{n}"))?);
        }
        Ok(row)
    }

    /// All in the same moment.
    fn at_once(&self, count: usize) -> Result<Row, String> {
        self.scene.leaf.clear();
        let added = together(count, |n| self.add(n))?;
        let mut row = Row::default();
        for added in &added {
            row.leaf.0.push(self.on_the_leaf(added)?);
            row.answer.0.push(added.took);
        }
        row.removal = Figures(together(count, |n| self.scene.daemon.remove(&format!("e{n}")))?);
        Ok(row)
    }

    /// One by one, by the command line: the program's start is part of it.
    fn by_command(&self, count: usize) -> Result<Row, String> {
        let host = self.scene.lab.node("host");
        let timed = |line: &str| -> Result<Duration, String> {
            let start = Instant::now();
            host.run(line).map_err(|e| e.to_string())?;
            Ok(start.elapsed())
        };
        let mut row = Row::default();
        for n in 0..count {
            let network = self.network;
            let line = format!("petiole endpoint add e{n} --network {network} --netns /run/netns/n{n}");
            row.answer.0.push(timed(&line)?);
        }
        for n in 0..count {
            row.removal.0.push(timed(&format!("petiole endpoint del e{n}"))?);
        }
        Ok(row)
    }

    /// What the daemon uses while nothing happens.
    fn idle(&self) -> Result<String, String> {
        thread::sleep(REST);
        let before = self.scene.daemon.usage()?;
        thread::sleep(IDLE);
        let after = self.scene.daemon.usage()?;
        let (resident, private) = self.scene.daemon.memory()?;
        // Threads that have ended meanwhile were idle too.
        let woken = after
            .wakeups
            .iter()
            .map(|(id, (name, count))| (name, count - before.wakeups.get(id).map_or(0, |(_, count)| *count)));
        let woken: Vec<String> =
            woken.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}")).collect();
        Ok(format!(
            "wake-ups: {}; processor time {} ms; resident {:.1} MiB, private {:.1} MiB",
            if woken.is_empty() { "none".to_owned() } else { woken.join(", ") },
            after.processor.saturating_sub(before.processor).as_millis(),
            mib(resident),
            mib(private),
        ))
    }

    fn add(&self, n: usize) -> Result<Added, String> {
        self.scene.daemon.add(&format!("e{n}"), self.network, &format!("n{n}"))
    }

    /// From the request until the leaf's kernel has all its addresses.
    fn on_the_leaf(&self, added: &Added) -> Result<Duration, String> {
        let mut last = added.asked;
        for &address in &added.addresses {
            // The leaf's session carries IPv4 alone.
            if address.is_ipv4() {
                last = last.max(self.scene.leaf.wait(address, added.asked, PATIENCE)?);
            }
        }
        Ok(last - added.asked)
    }
}

/// Does the same in threads that start in the same moment; results in the order of the numbers.
fn together<T: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    let (work, barrier) = (&work, &Barrier::new(count));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|n| {
                scope.spawn(move || {
                    barrier.wait();
                    work(n)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().unwrap_or_else(|_| Err("a thread panicked".to_owned())))
            .collect()
    })
}

fn mib(kib: u64) -> f64 {
    // Far below the 52 bits that a float holds exactly.
    #[allow(clippy::cast_precision_loss)]
    let kib = kib as f64;
    kib / 1024.0
}
