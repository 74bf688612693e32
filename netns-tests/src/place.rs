//! Where a command runs: a node, or a container in a node.

use std::{
    io::{Read, Write},
    net::IpAddr,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde_json::Value;

use crate::{
    LabError, Process,
    ping::{Fit, Ping},
    sys::Namespaces,
    topology::split,
    wait::scaled,
};

/// How long a command may take before it is killed.
const PATIENCE: Duration = Duration::from_mins(1);

/// The search path inside of a node: the lab's own programs first, FRR's daemons last.
const PATH: &str = "/run/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/frr";

/// What a command printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A place in the lab that commands can be run in.
///
/// Command lines are split into words like containerlab's `exec` lines; there is no shell behind them.
pub trait Place {
    /// How messages call the place.
    fn label(&self) -> String;

    /// The words that stand before each command there.
    #[doc(hidden)]
    fn prefix(&self) -> Vec<String>;

    /// The namespaces of the node.
    #[doc(hidden)]
    fn namespaces(&self) -> Inside<'_>;

    /// Runs a command to its end and returns its standard output. Ending with another exit code than 0 is an error.
    fn run(&self, line: &str) -> Result<String, LabError> {
        self.run_with_input(line, "")
    }

    /// The same, with `input` on the command's standard input.
    fn run_with_input(&self, line: &str, input: &str) -> Result<String, LabError> {
        let output = self.output_with_input(line, input)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(LabError::Command {
            place: self.label(),
            command: line.to_owned(),
            status: output.status.to_string(),
            output: format!("{}{}", output.stderr, output.stdout),
        })
    }

    /// Runs a command to its end, whatever that is.
    fn output(&self, line: &str) -> Result<Output, LabError> {
        self.output_with_input(line, "")
    }

    /// The same, with `input` on the command's standard input.
    fn output_with_input(&self, line: &str, input: &str) -> Result<Output, LabError> {
        let what = format!("{}: `{line}`", self.label());
        let mut command = self.command(&words(line)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.namespaces().0.spawn(&mut command).map_err(LabError::system(&what))?;
        finish(child, input.as_bytes(), &what)
    }

    /// Runs a command and reads its standard output as JSON.
    fn json(&self, line: &str) -> Result<Value, LabError> {
        let output = self.run(line)?;
        // `ip -j` prints nothing at all for an empty table.
        let text = if output.trim().is_empty() { "null" } else { &*output };
        serde_json::from_str(text).map_err(|e| LabError::Output {
            place: self.label(),
            command: line.to_owned(),
            problem: e.to_string(),
            output: output.clone(),
        })
    }

    /// Starts a command that runs until the returned value is dropped.
    fn spawn(&self, line: &str) -> Result<Process, LabError> {
        let what = format!("{}: `{line}`", self.label());
        let mut command = self.command(&words(line)?);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.namespaces().0.spawn(&mut command).map_err(LabError::system(&what))?;
        Process::new(child, what.clone()).map_err(LabError::system(what))
    }

    /// A command of the caller's own making, with standard input and outputs inherited. Start it with
    /// [`Place::start`].
    fn command(&self, words: &[String]) -> Command {
        let mut all = self.prefix();
        all.extend_from_slice(words);
        let mut command = Command::new(all.first().map_or("", String::as_str));
        command.args(all.get(1..).unwrap_or_default()).env("PATH", PATH).env_remove("NOTIFY_SOCKET");
        command
    }

    /// Starts a command that [`Place::command`] made.
    fn start(&self, command: &mut Command) -> Result<Child, LabError> {
        let what = format!("{}: `{}`", self.label(), command.get_program().display());
        self.namespaces().0.spawn(command).map_err(LabError::system(what))
    }

    /// Sends `count` echo requests, 10 ms apart, and waits a second for the answers.
    fn ping(&self, to: IpAddr, count: u32) -> Result<Ping, LabError> {
        let line = format!("ping -n -i 0.01 -W 1 -c {count} {to}");
        let output = self.output(&line)?;
        Ping::parse(&output.stdout).ok_or_else(|| LabError::Output {
            place: self.label(),
            command: line,
            problem: "no statistics".to_owned(),
            output: format!("{}{}", output.stdout, output.stderr),
        })
    }

    /// Sends one echo request of `size` bytes of IP that nobody may fragment.
    fn fits(&self, to: IpAddr, size: u32) -> Result<Fit, LabError> {
        let headers = if to.is_ipv4() { 20 + 8 } else { 40 + 8 };
        let payload = size.saturating_sub(headers);
        let output = self.output(&format!("ping -n -M do -W 1 -c 1 -s {payload} {to}"))?;
        Ok(Fit::parse(&format!("{}{}", output.stderr, output.stdout)))
    }

    /// Starts `tcpdump` on an interface, and returns when it captures. One line per packet.
    fn capture(&self, interface: &str, filter: &str) -> Result<Process, LabError> {
        let process = self.spawn(&format!("tcpdump -n -e -v -l --immediate-mode -i {interface} {filter}"))?;
        process.wait_for_line(Duration::from_secs(10), |line| line.contains("listening on"))?;
        Ok(process)
    }
}

/// A handle for [`Place`]'s own use.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Inside<'a>(pub(crate) &'a Namespaces);

fn words(line: &str) -> Result<Vec<String>, LabError> {
    split(line).map_err(|source| LabError::Words { line: line.to_owned(), source })
}

/// Feeds and drains a child until it ends.
fn finish(mut child: Child, input: &[u8], what: &str) -> Result<Output, LabError> {
    let mut stdin = child.stdin.take();
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let drained = thread::scope(|scope| {
        let stdout = scope.spawn(|| drain(stdout.as_mut()));
        let stderr = scope.spawn(|| drain(stderr.as_mut()));
        if let Some(mut stdin) = stdin.take() {
            // A command that does not read its input is not wrong.
            let _ = stdin.write_all(input);
        }
        let in_time = ended(&child, scaled(PATIENCE));
        if !in_time {
            let _ = child.kill();
        }
        let texts = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
        in_time.then_some(texts)
    });
    let status = child.wait().map_err(LabError::system(what))?;
    match drained {
        Some((stdout, stderr)) => Ok(Output { status, stdout, stderr }),
        None => Err(LabError::Timeout {
            what: format!("end of {what}"),
            waited: scaled(PATIENCE),
            last: "killed".to_owned(),
        }),
    }
}

fn drain(from: Option<&mut impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What came before an error is still of use.
        let _ = from.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the child ends within `timeout`.
fn ended(child: &Child, timeout: Duration) -> bool {
    let Ok(pidfd) = pidfd_open(Pid::from_child(child), PidfdFlags::empty()) else { return true };
    let timeout = Timespec::try_from(timeout).ok();
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], timeout.as_ref()).is_ok_and(|ready| ready > 0)
}
