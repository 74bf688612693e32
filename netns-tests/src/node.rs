//! A node of a running lab: its programs, files and containers.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::{
    Lab, LabError,
    place::{Inside, Place},
    sys::Namespaces,
    topology::{self, Port},
    wait::scaled,
};

/// A node of a [`Lab`].
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) spec: &'a topology::Node,
    pub(crate) inside: &'a Namespaces,
}

/// A network namespace in a node, as a container runtime leaves it: `/run/netns/<name>`.
#[derive(Clone, Debug)]
pub struct Container<'a> {
    node: Node<'a>,
    name: String,
}

impl<'a> Node<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.spec.name
    }

    /// What the topology says about it.
    pub fn spec(&self) -> &'a topology::Node {
        self.spec
    }

    /// A cable's end in this node.
    pub fn port(&self, interface: &str) -> Port {
        Port { node: self.spec.name.clone(), interface: interface.to_owned() }
    }

    /// Writes a file in the node, by a rename: readers see the old or the new one. The folder is made if need be.
    pub fn write_file(&self, path: &str, text: &str) -> Result<(), LabError> {
        let script = "mkdir -p \"$(dirname \"$0\")\" && cat > \"$0.new\" && mv \"$0.new\" \"$0\"";
        self.run_with_input(&format!("sh -c '{script}' {path}"), text).map(drop)
    }

    /// Reads a file in the node.
    pub fn read_file(&self, path: &str) -> Result<String, LabError> {
        self.run(&format!("cat {path}"))
    }

    /// Rewrites a file in the node: each `from` must occur, and becomes `to`.
    pub fn edit_file(&self, path: &str, changes: &[(&str, &str)]) -> Result<(), LabError> {
        let mut text = self.read_file(path)?;
        for (from, to) in changes {
            if !text.contains(from) {
                return Err(LabError::Output {
                    place: self.label(),
                    command: path.to_owned(),
                    problem: format!("no `{from}` in the file"),
                    output: text,
                });
            }
            text = text.replace(from, to);
        }
        self.write_file(path, &text)
    }

    /// A path in the node as this process can use it while the lab is up. An absolute symbolic link on the way would
    /// lead out of the node: [`Node::read_file`] and [`Node::write_file`] have no such trap.
    pub fn seen_from_outside(&self, path: &str) -> PathBuf {
        self.lab.root_of(self.spec).join(path.trim_start_matches('/'))
    }

    /// The folder of the logs of the node's programs, readable from outside while the lab is up.
    pub fn logs(&self) -> PathBuf {
        self.lab.folder_of(self.spec).join("log")
    }

    /// Makes a container's network namespace.
    pub fn netns_add(&self, name: &str) -> Result<Container<'a>, LabError> {
        self.run(&format!("ip netns add {name}"))?;
        Ok(self.container(name))
    }

    /// Deletes a container's network namespace.
    pub fn netns_del(&self, name: &str) -> Result<(), LabError> {
        self.run(&format!("ip netns delete {name}")).map(drop)
    }

    /// A container by its name; it need not exist yet.
    pub fn container(&self, name: &str) -> Container<'a> {
        Container { node: *self, name: name.to_owned() }
    }

    /// Starts a program that stays, its output in the node's logs as `<log>.log`. It is nobody's child and lives until
    /// it ends or the lab does.
    pub fn start_daemon(&self, log: &str, line: &str) -> Result<(), LabError> {
        self.run(&format!(
            "setsid --fork sh -c 'exec \"$@\" >>/run/lab/log/{log}.log 2>&1 </dev/null' sh {line}"
        ))
        .map(drop)
    }

    /// The processes of the node, in the process ids of the caller, whose command line satisfies `wanted`. Processes
    /// that have ended are not among them.
    pub fn processes(&self, mut wanted: impl FnMut(&[String]) -> bool) -> Vec<Pid> {
        let Some(namespace) = self.inside.pid.as_ref().and_then(|fd| rustix::fs::fstat(fd).ok()) else {
            return Vec::new();
        };
        let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
        let mut found = Vec::new();
        for entry in all.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()).and_then(Pid::from_raw)
            else {
                continue;
            };
            let ours = fs::metadata(entry.path().join("ns/pid")).is_ok_and(|m| m.ino() == namespace.st_ino);
            if ours && wanted(&command_line(&entry.path())) {
                found.push(pid);
            }
        }
        found
    }

    /// The processes of the program called `name`, wherever it is installed.
    pub fn processes_of(&self, name: &str) -> Vec<Pid> {
        self.processes(|words| {
            words.first().is_some_and(|w| Path::new(w).file_name().is_some_and(|f| f == name))
        })
    }

    /// Sends `signal` to the processes.
    pub fn signal(&self, processes: &[Pid], signal: Signal) -> Result<(), LabError> {
        for &pid in processes {
            let sent = pidfd_open(pid, PidfdFlags::empty()).and_then(|fd| pidfd_send_signal(fd, signal));
            sent.map_err(|e| LabError::system(format!("{}: signal to {pid:?}", self.label()))(e.into()))?;
        }
        Ok(())
    }

    /// Sends `signal` to the processes and waits until they have ended.
    pub fn end(&self, processes: &[Pid], signal: Signal) -> Result<(), LabError> {
        for &pid in processes {
            let sent = pidfd_open(pid, PidfdFlags::empty()).and_then(|fd| pidfd_send_signal(fd, signal));
            match sent {
                // It has ended by itself.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(e) => {
                    return Err(LabError::system(format!("{}: signal to {pid:?}", self.label()))(e.into()));
                }
            }
            self.ended(&[pid])?;
        }
        Ok(())
    }

    /// Waits until the processes have ended.
    pub fn ended(&self, processes: &[Pid]) -> Result<(), LabError> {
        let patience = scaled(Duration::from_secs(20));
        for &pid in processes {
            let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            let timeout = Timespec::try_from(patience).ok();
            let ready = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], timeout.as_ref());
            if ready.map_err(|e| LabError::system(format!("{}: {pid:?}", self.label()))(e.into()))? == 0 {
                return Err(LabError::Timeout {
                    what: format!("end of process {pid:?} in {}", self.label()),
                    waited: patience,
                    last: "it still runs".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The addresses of an interface, without link-local ones.
    pub fn addresses(&self, interface: &str) -> Result<Vec<IpAddr>, LabError> {
        interface_addresses(self, interface)
    }
}

impl Place for Node<'_> {
    fn label(&self) -> String {
        self.spec.name.clone()
    }

    fn prefix(&self) -> Vec<String> {
        if self.spec.env.is_empty() {
            return Vec::new();
        }
        let mut words = vec!["env".to_owned()];
        words.extend(self.spec.env.iter().map(|(key, value)| format!("{key}={value}")));
        words
    }

    fn namespaces(&self) -> Inside<'_> {
        Inside(self.inside)
    }
}

impl Container<'_> {
    /// Its name in `/run/netns` of the node.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the namespace exists.
    pub fn exists(&self) -> bool {
        self.node.run(&format!("test -e /run/netns/{}", self.name)).is_ok()
    }

    /// The addresses of an interface, without link-local ones.
    pub fn addresses(&self, interface: &str) -> Result<Vec<IpAddr>, LabError> {
        interface_addresses(self, interface)
    }
}

impl Place for Container<'_> {
    fn label(&self) -> String {
        format!("{} in {}", self.name, self.node.name())
    }

    fn prefix(&self) -> Vec<String> {
        let mut words = self.node.prefix();
        words.extend(["nsenter".to_owned(), format!("--net=/run/netns/{}", self.name), "--".to_owned()]);
        words
    }

    fn namespaces(&self) -> Inside<'_> {
        Inside(self.node.inside)
    }
}

fn interface_addresses(place: &impl Place, interface: &str) -> Result<Vec<IpAddr>, LabError> {
    let links = place.json(&format!("ip -j address show dev {interface} scope global"))?;
    let infos =
        links.as_array().into_iter().flatten().flat_map(|l| l["addr_info"].as_array().into_iter().flatten());
    Ok(infos.filter_map(|info| info["local"].as_str()?.parse().ok()).collect())
}

/// The words of a process' command line; empty for a process that has ended.
fn command_line(process: &Path) -> Vec<String> {
    let bytes = fs::read(process.join("cmdline")).unwrap_or_default();
    let words = bytes.split(|&b| b == 0).filter(|w| !w.is_empty());
    words.map(|w| String::from_utf8_lossy(w).into_owned()).collect()
}
