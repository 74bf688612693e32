//! petiole itself, as its users see it: a configuration file, signals, and a command line with `--json`.

use std::{net::SocketAddr, time::Duration};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::{LabError, Node, Output, Place, Protocol, Talk, holds, wait_until};

/// Where a petiole node has its configuration.
pub const CONFIG: &str = "/etc/petiole/petiole.toml";

/// petiole in a node.
#[derive(Clone, Copy, Debug)]
pub struct Petiole<'a>(Node<'a>);

impl<'a> Node<'a> {
    /// This node's petiole.
    pub fn petiole(self) -> Petiole<'a> {
        Petiole(self)
    }
}

impl Petiole<'_> {
    /// Starts the daemon; its log is the node's `petiole.log`.
    pub fn start(self) -> Result<(), LabError> {
        self.0.start_daemon("petiole", &format!("petiole run --config {CONFIG}"))
    }

    /// The processes of the daemon: one, or none.
    pub fn processes(self) -> Vec<Pid> {
        self.0.processes(|words| match words {
            [program, command, ..] => program.rsplit('/').next() == Some("petiole") && command == "run",
            _ => false,
        })
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(self) -> Result<(), LabError> {
        self.0.end(&self.processes(), Signal::TERM)
    }

    /// Kills it, as an out-of-memory killer does.
    pub fn kill(self) -> Result<(), LabError> {
        self.0.end(&self.processes(), Signal::KILL)
    }

    /// Sends SIGHUP. What comes of it is in the log; [`Petiole::reload`] tells.
    pub fn hang_up(self) -> Result<(), LabError> {
        self.0.signal(&self.processes(), Signal::HUP)
    }

    /// `petiole reload`: the file is applied, or the error says why not.
    pub fn reload(self) -> Result<(), LabError> {
        self.0.run("petiole reload").map(drop)
    }

    /// Rewrites parts of the configuration file, without a reload.
    pub fn edit_config(self, changes: &[(&str, &str)]) -> Result<(), LabError> {
        self.0.edit_file(CONFIG, changes)
    }

    /// Replaces the configuration file, without a reload.
    pub fn write_config(self, text: &str) -> Result<(), LabError> {
        self.0.write_file(CONFIG, text)
    }

    /// `petiole check`.
    pub fn check(self) -> Result<Output, LabError> {
        self.0.output(&format!("petiole check {CONFIG}"))
    }

    /// `petiole show … --json`.
    pub fn show(self, what: &str) -> Result<Value, LabError> {
        self.0.json(&format!("petiole show {what} --json"))
    }

    /// `petiole show …` as people see it.
    pub fn show_text(self, what: &str) -> Result<String, LabError> {
        self.0.run(&format!("petiole show {what}"))
    }

    /// `petiole endpoint add … --json`: the words after `add`.
    pub fn endpoint_add(self, words: &str) -> Result<Value, LabError> {
        self.0.json(&format!("petiole endpoint add {words} --json"))
    }

    /// `petiole endpoint del …`: the words after `del`.
    pub fn endpoint_del(self, words: &str) -> Result<(), LabError> {
        self.0.run(&format!("petiole endpoint del {words}")).map(drop)
    }

    /// The rows of `petiole show … --json`.
    pub fn rows(self, what: &str) -> Result<Vec<Value>, LabError> {
        self.show(what).map(|answer| rows(&answer).to_vec())
    }

    /// `petiole stop`, with `--flush` if nothing shall be left of what the daemon did; returns when it has ended.
    pub fn stop_by_command(self, flush: bool) -> Result<(), LabError> {
        let processes = self.processes();
        self.0.run(if flush { "petiole stop --flush" } else { "petiole stop" })?;
        self.0.ended(&processes)
    }

    /// The value of a metric that counts, in all its samples together. Where they are is the caller's to know: `[api] metrics`.
    pub fn metric(self, at: SocketAddr, name: &str) -> Result<u64, LabError> {
        let request = "GET /metrics HTTP/1.1\r\nHost: petiole\r\nConnection: close\r\n\r\n";
        let text = self.0.say(Protocol::Tcp, at, request)?;
        let samples = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next()?.parse::<u64>().ok())?
        });
        let samples: Vec<_> = samples.collect();
        if samples.is_empty() {
            return Err(LabError::Output {
                place: self.0.label(),
                command: format!("GET http://{at}/metrics"),
                problem: format!("no metric {name}"),
                output: text,
            });
        }
        Ok(samples.iter().sum())
    }

    /// One row of `petiole show neighbors --json`.
    pub fn neighbor(self, name: &str) -> Result<Value, LabError> {
        let answer = self.show("neighbors")?;
        rows(&answer).iter().find(|row| row["name"] == name).cloned().ok_or_else(|| {
            LabError::Missing(format!("{}: petiole shows no neighbour {name}: {answer}", self.0.label()))
        })
    }

    /// The neighbours' names; none when the daemon does not answer.
    pub fn neighbor_names(self) -> Vec<String> {
        let answer = self.show("neighbors").unwrap_or_default();
        let names = rows(&answer).iter().filter_map(|row| row["name"].as_str());
        names.map(str::to_owned).collect()
    }

    /// State of the session with the neighbour called `name`, in lower case: `established`, `idle` …
    pub fn session(self, name: &str) -> Result<String, LabError> {
        let row = self.neighbor(name)?;
        let state = row["state"].as_str().map(str::to_ascii_lowercase);
        state
            .ok_or_else(|| LabError::Missing(format!("{}: a neighbour without state: {row}", self.0.label())))
    }

    /// Waits until the daemon answers its command line.
    pub fn wait_ready(self) -> Result<(), LabError> {
        let what = format!("answer of petiole on {}", self.0.label());
        wait_until(&what, Duration::from_secs(15), || self.show("neighbors"))?;
        Ok(())
    }

    /// Waits until the session with the neighbour called `name` is Established.
    pub fn wait_established(self, name: &str) -> Result<(), LabError> {
        let what = format!("session of {} with {name}", self.0.label());
        wait_until(&what, Duration::from_secs(30), || {
            let state = self.session(name).map_err(|e| e.to_string())?;
            holds(state == "established", state)
        })
    }
}

/// The rows of a table that is an array, or an object with one array beside its version.
fn rows(answer: &Value) -> &[Value] {
    let rows = match answer {
        Value::Object(fields) => fields.values().find_map(Value::as_array),
        other => other.as_array(),
    };
    rows.map_or(&[], Vec::as_slice)
}
