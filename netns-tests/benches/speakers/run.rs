//! The measurement: every speaker under every load, in turns.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    args::Args,
    feeder::Feeder,
    host::{Host, peers},
    load::Load,
    report::{self, Phase, Sample, Table},
    scene::Peer,
    session::Session,
    sink::Sink,
    speaker::Installed,
};

/// How long a speaker may take to start and bring its sessions up.
const START: Duration = Duration::from_mins(1);
/// A speaker is through when for so long nothing came out of it and it used no more than `IDLE` of it.
const QUIET: Duration = Duration::from_millis(200);
const IDLE: Duration = Duration::from_millis(10);
/// Longer than this is not waited for that.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the rows asked for, and prints a table for each. Whether every run succeeded.
pub(crate) fn measure(args: &Args, speakers: &[Installed]) -> Result<bool, String> {
    let loads = args.loads();
    if loads.is_empty() {
        return Err("no row has such a name".into());
    }
    report::machine();
    let mut tables: Vec<_> = loads.iter().map(|load| Table::new(load, speakers)).collect();
    for run in 0..args.runs() {
        for (load, table) in loads.iter().copied().zip(&mut tables) {
            let bytes = Bytes::of(load);
            // Neighbouring runs are of different speakers, and nobody always comes first.
            let turn = (0..speakers.len()).map(|i| (i + run as usize) % speakers.len());
            for number in turn {
                let Some(speaker) = speakers.get(number).filter(|s| s.kind.bears(load)) else { continue };
                let result = once(speaker, load, &bytes, args);
                report::progress(load, speaker, run + 1, &result);
                table.add(number, result.ok());
            }
        }
    }
    for table in &tables {
        table.print();
    }
    Ok(tables.iter().all(Table::is_complete))
}

/// What the feeders of a load send.
struct Bytes {
    announcements: Vec<Vec<u8>>,
    withdrawals: Vec<u8>,
    /// For each prefix, the hops of the best path among all of the announcements.
    shortest: Vec<u8>,
}

impl Bytes {
    fn of(load: &Load) -> Self {
        let mut shortest = vec![0; load.prefixes as usize];
        let feeders = peers(load.feeders).into_iter().filter(|peer| !peer.is_sink);
        let announcements = feeders.map(|feeder| load.announcements(&feeder, &mut shortest)).collect();
        Self { announcements, withdrawals: load.withdrawals(), shortest }
    }
}

/// One speaker under one load.
fn once(speaker: &Installed, load: &'static Load, bytes: &Bytes, args: &Args) -> Result<Sample, String> {
    let peers = peers(load.feeders);
    let mut host = Host::start(speaker, &peers)?;
    let sample = Scene::set(&mut host, &peers, load, args).and_then(|mut scene| scene.play(bytes));
    sample.map_err(|problem| format!("{problem}\n{}", host.log_tail()))
}

/// A running speaker with its sessions.
struct Scene<'a> {
    host: &'a Host,
    feeders: Vec<Feeder>,
    sink: Sink,
    timeout: Duration,
}

impl<'a> Scene<'a> {
    /// Brings the sessions up.
    fn set(host: &'a mut Host, peers: &[Peer], load: &'static Load, args: &Args) -> Result<Self, String> {
        let deadline = Instant::now() + START;
        let (mut feeders, mut sink) = (Vec::new(), None);
        for peer in peers {
            let session = Session::establish(peer, deadline, &mut || host.alive())?;
            if peer.is_sink {
                sink = Some(Sink::new(session, load, args.delayed_ack));
            } else {
                feeders.push(Feeder::new(session)?);
            }
        }
        let sink = sink.ok_or("a scene without a sink")?;
        Ok(Self { host, feeders, sink, timeout: args.timeout() })
    }

    /// Announces and withdraws everything.
    fn play(&mut self, bytes: &Bytes) -> Result<Sample, String> {
        self.settle(&[])?;
        let announcements: Vec<_> = bytes.announcements.iter().map(Vec::as_slice).collect();
        let announced = self.phase(&announcements, &bytes.shortest)?;
        let withdrawals = vec![bytes.withdrawals.as_slice(); self.feeders.len()];
        let withdrawn = self.phase(&withdrawals, &[])?;
        let (peak, traffic) = (self.host.memory("VmHWM")?, self.sink.traffic());
        Ok(Sample { announced, withdrawn, peak, traffic })
    }

    /// Lets every feeder send, and receives until that has come out of the speaker. In the end, the prefixes at the
    /// sink are as many as there are in `shortest`, and their paths are those.
    fn phase(&mut self, bytes: &[&[u8]], shortest: &[u8]) -> Result<Phase, String> {
        let before = self.host.cpu()?;
        let start = Instant::now();
        let deadline = start + self.timeout;
        let failed = AtomicBool::new(false);
        let end = thread::scope(|scope| {
            let mut sending = Vec::new();
            for (feeder, bytes) in self.feeders.iter_mut().zip(bytes) {
                sending.push(scope.spawn(|| {
                    feeder.send(bytes, deadline).inspect_err(|_| failed.store(true, Ordering::Relaxed))
                }));
            }
            let end = self.sink.until(shortest.len(), deadline, &failed);
            // A feeder that failed is the cause of a sink that starved.
            for feeder in sending {
                feeder.join().unwrap_or_else(|_| Err("a feeder panicked".into()))?;
            }
            end
        })?;
        self.settle(shortest)?;
        let settled = self.sink.last().unwrap_or(end).max(end) - start;
        Ok(Phase { time: end - start, settled, cpu: self.host.cpu()?.saturating_sub(before) })
    }

    /// Waits until the speaker is through with what it has got, and makes sure that it has done right by it.
    fn settle(&mut self, shortest: &[u8]) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let before = self.host.cpu()?;
            let silent = self.sink.silent(QUIET)?;
            let idle = self.host.cpu()?.saturating_sub(before) <= IDLE;
            let patient = start.elapsed() < PATIENCE;
            if silent && idle || !patient {
                // Silence may be that before a timer's end, with better routes behind it.
                match self.sink.compare(shortest) {
                    Err(_) if patient => {}
                    done => return done,
                }
            }
        }
    }
}
