//! The inside of a lab: the processes that hold its namespaces.
//!
//! ```text
//!  lab's user ── holder ── init (1 in a PID namespace; mount and network namespace; tmpfs over /run)
//!                            ├─ node init (1 in a nested PID namespace; own mount, network and host name)
//!                            └─ node init …
//! ```
//!
//! Everything hangs on init: when it dies, and it dies with the holder, the kernel kills all that runs in its PID
//! namespace, and with the last process go mounts and interfaces. So a crash leaves nothing behind. The process ids of
//! the node inits, as init's own /proc has them, are in `/run/lab/<node>/init`: there [`crate::Lab`] finds the nodes.
//!
//! Knows how a node is furnished: `/run`, `/etc`, `/var`, binds, sysctls. Must not know what runs in it.

mod furnish;

use std::{
    fs,
    io::{self, BufRead, PipeReader, PipeWriter, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process,
};

use rustix::{
    fs::Mode,
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, setsid, umask, waitpid},
    thread::UnshareFlags,
};
use serde::{Deserialize, Serialize};

use crate::{sys, topology::Bind};

/// The argument that makes the `lab` program a holder.
pub const HOLDER_ARGUMENT: &str = "__holder";

/// Where init keeps a folder for each node, in its own mount namespace.
pub(crate) const NODES: &str = "/run/lab";

/// The line on standard input that lets the lab outlive the process that wanted it.
pub(crate) const DETACH: &str = "detach\n";

/// The file of a node's folder with the process id of the node's init.
pub(crate) const NODE_INIT: &str = "init";

/// What the holder is told, one line of JSON on its standard input. The lab ends when standard input does, unless
/// [`DETACH`] follows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) nodes: Vec<NodeRequest>,
}

/// One node to furnish.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NodeRequest {
    pub(crate) name: String,
    pub(crate) binds: Vec<Bind>,
    pub(crate) sysctls: Vec<(String, String)>,
    /// Programs that are not in the system's own folders, and the names that they have in `/run/lab/bin` of the node.
    pub(crate) programs: Vec<(String, PathBuf)>,
}

/// What the holder answers, one line of JSON on its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The lab's init, as a process id where the holder was started.
    Ready { init: i32 },
    /// Why there is no lab.
    Failed(String),
}

/// A step that failed, and why.
type Step = Result<(), String>;

fn step<T, E: std::fmt::Display>(what: impl std::fmt::Display, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|e| format!("{what}: {e}"))
}

/// The holder: builds the lab that standard input asks for, and stays until it ends. Returns the exit code.
pub fn run() -> i32 {
    let answer = |reply: &Reply| {
        let mut line = serde_json::to_string(reply).unwrap_or_default();
        line.push('\n');
        // A caller that is gone needs no answer.
        let _ = io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush());
    };
    match start() {
        Ok(init) => {
            answer(&Reply::Ready { init: init.as_raw_nonzero().get() });
            // Standard input is init's to read.
            let _ = forget_terminal();
            let _ = waitpid(Some(init), WaitOptions::empty());
            0
        }
        Err(why) => {
            answer(&Reply::Failed(why));
            1
        }
    }
}

fn start() -> Result<Pid, String> {
    let mut line = String::new();
    step("reading the request", io::stdin().lock().read_line(&mut line))?;
    let request: Request = step("the request", serde_json::from_str(&line))?;
    // The terminal's interrupt is for the lab's user, who ends the lab in an orderly way.
    step("setsid", setsid())?;
    umask(Mode::WGRP | Mode::WOTH);
    step("chdir", std::env::set_current_dir("/"))?;
    let own = UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWPID;
    step("new namespaces (the lab needs root)", sys::unshare(own))?;
    let (report, reporter) = step("pipe", io::pipe())?;
    let Some(pid) = step("fork", sys::fork())? else {
        drop(report);
        init(&request, reporter);
    };
    drop(reporter);
    read_report(report)?;
    Ok(pid)
}

/// Process 1 of the lab.
fn init(request: &Request, reporter: PipeWriter) -> ! {
    let built = build(request);
    let failed = built.is_err();
    report(reporter, built);
    if failed {
        process::exit(1);
    }
    let lifeline = io::stdin().lines().next();
    let _ = forget_terminal();
    match lifeline {
        Some(Ok(line)) if line == DETACH.trim_end() => sys::park(),
        // The end of standard input is the end of the process that wanted this lab, however it ended.
        _ => process::exit(0),
    }
}

fn build(request: &Request) -> Step {
    step("prctl", set_parent_process_death_signal(Some(Signal::KILL)))?;
    step("SIGCHLD", sys::ignore_children())?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    step("private mounts", mount_change("/", private))?;
    step("mounting /proc", mount("proc", "/proc", "proc", MountFlags::empty(), None))?;
    step("mounting /run", mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), Some(c"mode=0755")))?;
    let mut reports = Vec::new();
    for node in &request.nodes {
        reports.push((&node.name, step(&node.name, start_node(node))?));
    }
    for (name, report) in reports {
        read_report(report).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

/// Starts a node's init through a process that lives only to be its parent, because a process can make one PID
/// namespace for its children and no second.
fn start_node(node: &NodeRequest) -> io::Result<PipeReader> {
    let folder = Path::new(NODES).join(&node.name);
    fs::create_dir_all(folder.join("log"))?;
    // Daemons that drop privileges write here too.
    fs::set_permissions(folder.join("log"), fs::Permissions::from_mode(0o1777))?;
    let (report, reporter) = io::pipe()?;
    if sys::fork()?.is_some() {
        return Ok(report);
    }
    drop(report);
    self::report(reporter, parent_of_node_init(node, &folder));
    process::exit(0);
}

fn parent_of_node_init(node: &NodeRequest, folder: &Path) -> Step {
    step("new PID namespace", sys::unshare(UnshareFlags::NEWPID))?;
    let (report, reporter) = step("pipe", io::pipe())?;
    let Some(pid) = step("fork", sys::fork())? else {
        drop(report);
        node_init(node, folder, reporter);
    };
    drop(reporter);
    read_report(report)?;
    step("its process id", fs::write(folder.join(NODE_INIT), pid.as_raw_nonzero().to_string()))
}

/// Process 1 of a node: furnishes it and stays. What is left behind by its daemons is reaped by the kernel.
fn node_init(node: &NodeRequest, folder: &Path, reporter: PipeWriter) -> ! {
    let furnished = furnish::furnish(node, folder).and_then(|()| step("/dev/null", forget_terminal()));
    let failed = furnished.is_err();
    report(reporter, furnished);
    if failed {
        process::exit(1);
    }
    sys::park();
}

/// A terminal or a pipe of the caller must not stay open because the lab does.
fn forget_terminal() -> io::Result<()> {
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// A child's way to say that it is ready: an empty pipe is a child that died without a word.
fn report(mut to: PipeWriter, result: Step) {
    let word = result.map_or_else(|why| why, |()| "ready".to_owned());
    let _ = to.write_all(word.as_bytes());
}

fn read_report(mut from: PipeReader) -> Step {
    let mut word = String::new();
    step("pipe", from.read_to_string(&mut word))?;
    match word.as_str() {
        "ready" => Ok(()),
        "" => Err("its init died".to_owned()),
        why => Err(why.to_owned()),
    }
}
