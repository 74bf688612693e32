//! The memory of a speaker that has started and has nothing to do.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{host::Host, speaker::Installed};

/// A speaker has started when it used no processor time for so long.
const QUIET: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures each speaker without a single peer, and prints a table. Whether each could be.
pub(crate) fn measure(speakers: &[Installed]) -> bool {
    println!("\n{:<26}{:>15}{:>15}", "idle, no peers", "RSS MiB", "private MiB");
    let mut complete = true;
    for speaker in speakers {
        match once(speaker) {
            Ok((resident, private)) => {
                println!("  {:<24}{resident:>15.1}{private:>15.1}", speaker.title());
            }
            Err(problem) => {
                complete = false;
                println!("  {:<24}  FAILED", speaker.title());
                eprintln!("{}: {problem}", speaker.title());
            }
        }
    }
    complete
}

/// Resident memory, and the part of it that is no file's, in MiB.
fn once(speaker: &Installed) -> Result<(f64, f64), String> {
    let mut host = Host::start(speaker, &[])?;
    let measured = started(&mut host).and_then(|()| {
        let mib = |field| host.memory(field).map(|kib| f64::from(kib) / 1024.0);
        Ok((mib("VmRSS")?, mib("RssAnon")?))
    });
    measured.map_err(|problem| format!("{problem}\n{}", host.log_tail()))
}

fn started(host: &mut Host) -> Result<(), String> {
    let start = Instant::now();
    let mut before = None;
    while start.elapsed() < PATIENCE {
        host.alive()?;
        let now = host.cpu()?;
        if before == Some(now) {
            return Ok(());
        }
        before = Some(now);
        thread::sleep(QUIET);
    }
    Err("it did not come to rest".into())
}
