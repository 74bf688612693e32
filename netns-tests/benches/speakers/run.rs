//! The measurement: every speaker under every load, in turns.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    args::Args,
    feeder::Feeder,
    host::{Host, peers},
    load::Load,
    report::{self, Phase, Sample, Table},
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
}

impl Bytes {
    fn of(load: &Load) -> Self {
        let feeders = peers(load.feeders).into_iter().filter(|peer| !peer.is_sink);
        Self {
            announcements: feeders.map(|feeder| load.announcements(&feeder)).collect(),
            withdrawals: load.withdrawals(),
        }
    }
}

/// One speaker under one load.
fn once(speaker: &Installed, load: &'static Load, bytes: &Bytes, args: &Args) -> Result<Sample, String> {
    let peers = peers(load.feeders);
    let mut host = Host::start(speaker, &peers)?;
    let mut scene = || {
        let deadline = Instant::now() + START;
        let (mut feeders, mut sink) = (Vec::new(), None);
        for peer in &peers {
            let session = Session::establish(peer, deadline, &mut || host.alive())?;
            if peer.is_sink {
                sink = Some(Sink::new(session, load, args.delayed_ack));
            } else {
                feeders.push(Feeder::new(session)?);
            }
        }
        let sink = sink.as_mut().ok_or("no sink")?;
        settle(sink, &host)?;

        let announcements: Vec<_> = bytes.announcements.iter().map(Vec::as_slice).collect();
        let withdrawals = vec![bytes.withdrawals.as_slice(); feeders.len()];
        let mut phase =
            |bytes: &[&[u8]], count| phase(&mut feeders, bytes, sink, count, &host, args.timeout());
        let announced = phase(&announcements, load.prefixes)?;
        let withdrawn = phase(&withdrawals, 0)?;
        let traffic = sink.traffic();
        Ok(Sample { announced, withdrawn, peak: host.memory("VmHWM")?, traffic })
    };
    scene().map_err(|problem: String| format!("{problem}\n{}", host.log_tail()))
}

/// Lets every feeder send, and receives until `count` prefixes stand announced and the speaker is through.
fn phase(
    feeders: &mut [Feeder],
    bytes: &[&[u8]],
    sink: &mut Sink,
    count: u32,
    host: &Host,
    timeout: Duration,
) -> Result<Phase, String> {
    let before = host.cpu()?;
    let start = Instant::now();
    let deadline = start + timeout;
    let end = thread::scope(|scope| {
        let sending: Vec<_> = feeders
            .iter_mut()
            .zip(bytes)
            .map(|(feeder, bytes)| scope.spawn(|| feeder.send(bytes, deadline)))
            .collect();
        let end = sink.until(count, deadline);
        // A feeder that failed is the cause of a sink that starved.
        for feeder in sending {
            feeder.join().unwrap_or_else(|_| Err("a feeder panicked".into()))?;
        }
        end
    })?;
    settle(sink, host)?;
    let left = sink.count();
    if left != count {
        return Err(format!("{left} prefixes at the sink in the end, where {count} were due"));
    }
    let settled = sink.last().unwrap_or(end).max(end) - start;
    Ok(Phase { time: end - start, settled, cpu: host.cpu()?.saturating_sub(before) })
}

/// Waits until the speaker is through with what it has got.
fn settle(sink: &mut Sink, host: &Host) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let before = host.cpu()?;
        if sink.silent(QUIET)? && host.cpu()?.saturating_sub(before) <= IDLE {
            break;
        }
    }
    Ok(())
}
