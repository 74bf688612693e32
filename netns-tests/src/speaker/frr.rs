//! FRRouting, as its package's own start script runs it: the daemons of `/etc/frr/daemons`, one configuration file.

use std::{fmt::Write as _, time::Duration};

use ipnet::IpNet;
use rustix::process::Signal;
use serde_json::Value;

use crate::{LabError, Node, Place, holds, wait_until};

/// The user-visible switchboard of the daemons.
const DAEMONS: &str = "/etc/frr/daemons";

/// FRRouting in a node.
#[derive(Clone, Copy, Debug)]
pub struct Frr<'a>(Node<'a>);

/// What `/etc/frr/daemons` says, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Daemons {
    /// Name and options, in starting order.
    enabled: Vec<(String, String)>,
    profile: Option<String>,
}

impl<'a> Node<'a> {
    /// This node's FRRouting.
    pub fn frr(self) -> Frr<'a> {
        Frr(self)
    }
}

impl Frr<'_> {
    /// Starts all daemons and loads the configuration.
    pub fn start(self) -> Result<(), LabError> {
        let daemons = self.daemons()?;
        self.start_daemons(&daemons, &daemons.enabled)
    }

    /// Starts one daemon that was stopped or killed, and loads its part of the configuration.
    pub fn start_daemon(self, name: &str) -> Result<(), LabError> {
        let daemons = self.daemons()?;
        let one: Vec<_> = daemons.enabled.iter().filter(|(n, _)| n == name).cloned().collect();
        if one.is_empty() {
            return Err(LabError::Missing(format!("{}: {DAEMONS} does not enable {name}", self.0.label())));
        }
        self.start_daemons(&daemons, &one)
    }

    /// Kills all daemons, as a power cut does.
    pub fn kill(self) -> Result<(), LabError> {
        for (name, _) in self.daemons()?.enabled.iter().rev() {
            self.kill_daemon(name)?;
        }
        Ok(())
    }

    /// Kills one daemon.
    pub fn kill_daemon(self, name: &str) -> Result<(), LabError> {
        self.0.end(&self.0.processes_of(name), Signal::KILL)
    }

    /// Runs a command of the shell, and returns what it prints.
    pub fn show(self, command: &str) -> Result<String, LabError> {
        self.0.run(&format!("vtysh -c '{command}'"))
    }

    /// Runs a command of the shell that answers in JSON.
    pub fn show_json(self, command: &str) -> Result<Value, LabError> {
        self.0.json(&format!("vtysh -c '{command} json'"))
    }

    /// Enters lines into the running configuration.
    pub fn configure(self, lines: &[&str]) -> Result<(), LabError> {
        let mut line = "vtysh -c 'configure terminal'".to_owned();
        for text in lines {
            let _ = write!(line, " -c '{text}'");
        }
        let said = self.0.run(&line)?;
        // vtysh reports an unknown command and goes on, with exit code 0.
        if said.contains('%') {
            return Err(LabError::Output {
                place: self.0.label(),
                command: line,
                problem: "a command was refused".to_owned(),
                output: said,
            });
        }
        Ok(())
    }

    /// State of the session with a neighbour (by address or interface): `Established`, `Active` …
    pub fn session(self, neighbor: &str) -> Result<String, LabError> {
        let all = self.show_json("show bgp neighbors")?;
        let state = all[neighbor]["bgpState"].as_str().map(str::to_owned);
        state.ok_or_else(|| LabError::Missing(format!("{}: FRR has no neighbour {neighbor}", self.0.label())))
    }

    /// Waits until the session with a neighbour is Established.
    pub fn wait_established(self, neighbor: &str) -> Result<(), LabError> {
        let what = format!("session of {} with {neighbor}", self.0.label());
        wait_until(&what, Duration::from_secs(30), || {
            let state = self.session(neighbor).map_err(|e| e.to_string())?;
            holds(state == "Established", state)
        })
    }

    /// The routes to a prefix in FRR's routing table, of all protocols, the selected one among them.
    pub fn routes_to(self, prefix: IpNet) -> Result<Vec<Value>, LabError> {
        let family = if prefix.addr().is_ipv6() { "ipv6" } else { "ip" };
        let answer = self.show_json(&format!("show {family} route {prefix}"))?;
        Ok(answer[prefix.to_string()].as_array().cloned().unwrap_or_default())
    }

    /// The paths to a prefix in BGP's table.
    pub fn paths_to(self, prefix: IpNet) -> Result<Vec<Value>, LabError> {
        let family = if prefix.addr().is_ipv6() { "ipv6" } else { "ipv4" };
        let answer = self.show_json(&format!("show bgp {family} unicast {prefix}"))?;
        Ok(answer["paths"].as_array().cloned().unwrap_or_default())
    }

    fn daemons(self) -> Result<Daemons, LabError> {
        self.0.read_file(DAEMONS).map(|text| Daemons::parse(&text))
    }

    fn start_daemons(self, daemons: &Daemons, which: &[(String, String)]) -> Result<(), LabError> {
        let mut script = "set -e\n".to_owned();
        let profile = daemons.profile.as_ref().map_or(String::new(), |p| format!("-F {p}"));
        for (name, options) in which {
            // It goes to the background when it is ready. zebra is first: the others talk to it.
            let log = format!("--log file:/run/lab/log/{name}.log");
            let _ = writeln!(script, "/usr/lib/frr/{name} -d {profile} {options} {log}");
        }
        self.0.run_with_input("sh -s", &script)?;
        // The whole file, to all daemons, even if only one is new: so does the package's script.
        let line = "vtysh -b";
        let output = self.0.output(line)?;
        let said = format!("{}{}", output.stderr, output.stdout);
        if output.status.success() && !said.contains("% ") {
            return Ok(());
        }
        Err(LabError::Output {
            place: self.0.label(),
            command: line.to_owned(),
            problem: "/etc/frr/frr.conf is refused".to_owned(),
            output: said,
        })
    }
}

impl Daemons {
    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let found = text.lines().rev().find_map(|l| l.trim().strip_prefix(key)?.strip_prefix('='));
            found.map(|v| v.trim().trim_matches('"').trim().to_owned())
        };
        // These two run unasked.
        let mut names = vec!["zebra", "staticd"];
        let listed = text.lines().filter_map(|line| line.trim().strip_suffix("=yes"));
        names.extend(listed.filter(|n| n.ends_with('d') && *n != "zebra" && *n != "staticd"));
        let enabled =
            names.iter().map(|n| ((*n).to_owned(), value(&format!("{n}_options")).unwrap_or_default()));
        Self { enabled: enabled.collect(), profile: value("frr_profile") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_file_decides_what_runs_and_how() {
        let text = "# comment\nbgpd=yes\nospfd=no\nbfdd=yes\nvtysh_enable=yes\nfrr_profile=\"datacenter\"\n\
            bgpd_options=\"  -A 127.0.0.1 -M bmp\"\n";
        let daemons = Daemons::parse(text);
        let names: Vec<_> = daemons.enabled.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["zebra", "staticd", "bgpd", "bfdd"]);
        assert_eq!(daemons.enabled.last().unwrap().1, "");
        assert!(daemons.enabled.contains(&("bgpd".to_owned(), "-A 127.0.0.1 -M bmp".to_owned())));
        assert_eq!(daemons.profile.as_deref(), Some("datacenter"));
    }
}
