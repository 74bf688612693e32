//! A network namespace with one speaker in it, wired to the feeders and the sink out here.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{
    inside::{WORK, command},
    scene::{self, DRAIN, FEED, Peer},
    speaker::Installed,
};

/// The namespace's name.
const NAMESPACE: &str = "speaker";
/// Our ends of the links.
const FEEDERS: &str = "feeders";
const SINK: &str = "sink";
/// Ticks per second in /proc; the same on every architecture that matters (proc(5), sysconf(3)).
const USER_HZ: u64 = 100;
/// How much of a log is shown when something fails.
const TAIL: usize = 20;

/// The running speaker. Gone, with its namespace, when dropped.
#[derive(Debug)]
pub(crate) struct Host {
    child: Child,
    log: PathBuf,
    // After the child in the order of dropping: a namespace lives as long as its processes.
    _links: Links,
}

impl Host {
    /// Makes the namespace and starts the speaker in it. What it does with connections is for the caller to see.
    pub(crate) fn start(speaker: &Installed, peers: &[Peer]) -> Result<Self, String> {
        let links = Links::make(peers)?;
        let work = Path::new(WORK);
        let name = speaker.kind.name();
        let (config, log) = (work.join(format!("{name}.conf")), work.join(format!("{name}.log")));
        fs::write(&config, speaker.kind.config(peers)).map_err(|e| format!("{}: {e}", config.display()))?;
        let output = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let errors = output.try_clone().map_err(|e| format!("{}: {e}", log.display()))?;
        speaker.kind.prepare()?;
        // `ip` replaces itself by the speaker, so the child's id is the speaker's.
        let child = Command::new("ip")
            .args(["netns", "exec", NAMESPACE])
            .arg(&speaker.program)
            .args(speaker.kind.arguments(&config))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("{name}: {e}"))?;
        Ok(Self { child, log, _links: links })
    }

    /// An error when the speaker has ended.
    pub(crate) fn alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("the speaker ended: {status}")),
            Err(e) => Err(format!("the speaker's state: {e}")),
        }
    }

    /// User and system time of all of its threads so far, in steps of 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration, String> {
        let stat = self.proc("stat")?;
        // Behind the name, which may hold anything, stand the fields from the third on; 14 and 15 are wanted.
        let ticks = stat.rsplit_once(')').and_then(|(_, fields)| {
            let mut fields = fields.split_ascii_whitespace().skip(11);
            Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
        });
        ticks
            .map(|ticks| Duration::from_millis(ticks * 1000 / USER_HZ))
            .ok_or_else(|| format!("/proc/…/stat: {stat}"))
    }

    /// A size of /proc/PID/status, in KiB: `VmHWM` is the peak of the resident memory, `VmRSS` what it is now.
    pub(crate) fn memory(&self, field: &str) -> Result<u32, String> {
        let status = self.proc("status")?;
        let size = status.lines().find_map(|line| {
            let value = line.strip_prefix(field)?.strip_prefix(':')?;
            value.trim().strip_suffix(" kB")?.parse().ok()
        });
        size.ok_or_else(|| format!("/proc/…/status has no {field}"))
    }

    /// The end of what the speaker has logged.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
        tail.iter().flat_map(|line| ["    | ", line, "\n"]).collect()
    }

    fn proc(&self, file: &str) -> Result<String, String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).map_err(|e| format!("the speaker is gone: {path}: {e}"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself. Nothing of it is used again, so it need not tidy up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The namespace and its two links.
#[derive(Debug)]
struct Links;

impl Links {
    fn make(peers: &[Peer]) -> Result<Self, String> {
        ip(&format!("netns add {NAMESPACE}"))?;
        let links = Self;
        ip(&format!("-n {NAMESPACE} link set lo up"))?;
        for (ours, (theirs, address)) in [(FEEDERS, FEED), (SINK, DRAIN)] {
            ip(&format!("link add {ours} type veth peer name {theirs} netns {NAMESPACE}"))?;
            ip(&format!("-n {NAMESPACE} address add {address}/24 dev {theirs}"))?;
            ip(&format!("-n {NAMESPACE} link set {theirs} up"))?;
            ip(&format!("link set {ours} up"))?;
        }
        for peer in peers {
            let link = if peer.is_sink { SINK } else { FEEDERS };
            ip(&format!("address add {}/24 dev {link}", peer.address))?;
        }
        Ok(links)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        // The namespace alone would take its links along, but only some time later. They may be missing if making
        // them failed.
        for link in [FEEDERS, SINK] {
            let _ = ip(&format!("link delete {link}"));
        }
        if let Err(problem) = ip(&format!("netns delete {NAMESPACE}")) {
            eprintln!("speakers: {problem}");
        }
    }
}

/// Runs `ip`; addresses of [`scene`] and constants need no quoting.
fn ip(line: &str) -> Result<(), String> {
    command("ip", &line.split(' ').collect::<Vec<_>>())
}

/// The peers of a load, the sink last.
pub(crate) fn peers(feeders: u8) -> Vec<Peer> {
    (0..feeders).map(scene::feeder).chain([scene::sink()]).collect()
}
