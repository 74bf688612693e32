//! The daemon as a client of its control socket sees it, and as `/proc` does.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::IpAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Ticks per second in /proc (proc(5)); the same on every architecture that matters.
const USER_HZ: u64 = 100;

/// The way to a daemon.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    /// Its folder in /proc.
    pub(crate) process: PathBuf,
}

/// An endpoint that was added.
#[derive(Clone, Debug)]
pub(crate) struct Added {
    /// Before the connection to the control socket.
    pub(crate) asked: Instant,
    /// From then until the answer.
    pub(crate) took: Duration,
    pub(crate) addresses: Vec<IpAddr>,
}

/// What the daemon has used up since its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// How often each thread began to run, by its id, with its name.
    pub(crate) wakeups: BTreeMap<String, (String, u64)>,
    /// Processor time of all threads.
    pub(crate) processor: Duration,
}

impl Daemon {
    /// Adds endpoint `name` with the namespace `netns` of the node.
    pub(crate) fn add(&self, name: &str, network: &str, netns: &str) -> Result<Added, String> {
        let netns = format!("/run/netns/{netns}");
        let request = json!({ "endpoint-add": { "name": name, "network": network, "netns": netns } });
        let (asked, took, answer) = self.ask(&request)?;
        let rows = answer.iter().find_map(|line| line["rows"]["endpoints"].as_array());
        let listed = rows.and_then(|r| r.first()).and_then(|row| row["addresses"].as_array());
        let addresses: Vec<IpAddr> =
            listed.into_iter().flatten().filter_map(|a| a.as_str()?.parse().ok()).collect();
        if addresses.is_empty() {
            Err(format!("add {name}: {answer:?}"))
        } else {
            Ok(Added { asked, took, addresses })
        }
    }

    /// Removes endpoint `name`; how long that took.
    pub(crate) fn remove(&self, name: &str) -> Result<Duration, String> {
        self.ask(&json!({ "endpoint-del": { "name": name } })).map(|(_, took, _)| took)
    }

    /// Until the first line of the answer: what comes after it says only that it is whole.
    fn ask(&self, request: &Value) -> Result<(Instant, Duration, Vec<Value>), String> {
        let broken = |e: std::io::Error| format!("{}: {e}", self.socket.display());
        let asked = Instant::now();
        let mut stream = UnixStream::connect(&self.socket).map_err(broken)?;
        stream.write_all(format!("{request}\n").as_bytes()).map_err(broken)?;
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next().ok_or_else(|| format!("{request}: no answer"))?.map_err(broken)?;
        let took = asked.elapsed();
        let mut answer = Vec::new();
        for line in std::iter::once(Ok(first)).chain(lines) {
            let line = line.map_err(broken)?;
            let reply: Value = serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))?;
            if let Some(error) = reply["error"].as_str() {
                return Err(format!("{request}: {error}"));
            }
            answer.push(reply);
        }
        Ok((asked, took, answer))
    }

    /// Resident memory in KiB: all of it, and the part that is no file's.
    pub(crate) fn memory(&self) -> Result<(u64, u64), String> {
        let status = read(&self.process.join("status"))?;
        Ok((field(&status, "VmRSS"), field(&status, "RssAnon")))
    }

    /// What it has used up.
    pub(crate) fn usage(&self) -> Result<Usage, String> {
        let tasks = self.process.join("task");
        let mut usage = Usage::default();
        let entries = fs::read_dir(&tasks).map_err(|e| format!("{}: {e}", tasks.display()))?;
        for task in entries.flatten() {
            let status = read(&task.path().join("status"))?;
            let switches =
                field(&status, "voluntary_ctxt_switches") + field(&status, "nonvoluntary_ctxt_switches");
            let name = status
                .lines()
                .next()
                .and_then(|l| l.split_whitespace().nth(1))
                .unwrap_or_default()
                .to_owned();
            usage.wakeups.insert(task.file_name().to_string_lossy().into_owned(), (name, switches));
        }
        let stat = read(&self.process.join("stat"))?;
        // The second field is the program's name in parentheses; user and system time are the 14th and the 15th.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
        usage.processor = Duration::from_millis(ticks * 1000 / USER_HZ);
        Ok(usage)
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// A number of /proc/PID/status.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
