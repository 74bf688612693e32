//! The private namespaces that everything happens in: mounts, network, processes.
//!
//! Nothing of the machine itself is configured, and all that was started is gone with the first process of the inside,
//! however this one ends.

use std::{convert::Infallible, env, fs, os::unix::process::CommandExt, path::Path, process::Command};

/// Where speakers have their configuration, log and sockets: a file system of the inside.
pub(crate) const WORK: &str = "/run/speakers";

/// Replaces this process by itself, inside. Returns only when that failed.
pub(crate) fn enter() -> Result<Infallible, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("needs root: namespaces are made, and FRR and petiole insist on it".into());
    }
    let exe = env::current_exe().map_err(|e| format!("own executable: {e}"))?;
    // The shell is the inside's init: it reaps, and leaves Ctrl-C to its child, for an init would ignore it.
    let problem = Command::new("unshare")
        .args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "private",
        ])
        .args(["sh", "-c", "\"$@\"; exit $?", "sh"])
        .arg(exe)
        .arg("--inside")
        .arg(namespaces()?)
        .args(env::args_os().skip(1))
        .exec();
    Err(format!("unshare: {problem}"))
}

/// Sets the inside up, after making sure that this is one: `outside` names the namespaces left.
pub(crate) fn prepare(outside: &str) -> Result<(), String> {
    let here = namespaces()?;
    let shared = outside.split(',').find(|namespace| here.split(',').any(|own| own == *namespace));
    if let Some(shared) = shared {
        return Err(format!("not inside: {shared} is the caller's own"));
    }
    // Everything that speakers keep at fixed places is under /run; they shall not meet those of the machine.
    command("mount", &["-t", "tmpfs", "-o", "mode=0755", "speakers", "/run"])?;
    fs::create_dir_all(WORK).map_err(|e| format!("{WORK}: {e}"))?;
    command("ip", &["link", "set", "lo", "up"])
}

/// Runs a program of the system to its end.
pub(crate) fn command(program: &str, args: &[&str]) -> Result<(), String> {
    let line = || format!("`{program} {}`", args.join(" "));
    let output = Command::new(program).args(args).output().map_err(|e| format!("{}: {e}", line()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}: {}", line(), output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

/// The namespaces that have to be others: `net:[4026531840],mnt:[4026531841]`.
fn namespaces() -> Result<String, String> {
    let name = |kind| {
        let link = Path::new("/proc/self/ns").join(kind);
        let target = fs::read_link(&link).map_err(|e| format!("{}: {e}", link.display()))?;
        Ok::<_, String>(target.display().to_string())
    };
    Ok([name("net")?, name("mnt")?].join(","))
}
