//! A running lab: a topology brought up in namespaces of its own.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    io::{self, BufRead, BufReader, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::{
    LabError, Node, cable,
    dump::dump,
    holder::{DETACH, HOLDER_ARGUMENT, NODE_INIT, NODES, NodeRequest, Reply, Request},
    place::Place,
    requirement, speaker,
    sys::Namespaces,
    topology::{Role, Topology},
};

/// A topology that runs. [`Lab::down`] ends everything in it. So does dropping it, unless it is
/// [detached](Builder::detached); but a lab that is dropped is taken for one whose user failed, by a panic or by an
/// error, and what an operator would look at is printed on standard error.
#[derive(Debug)]
pub struct Lab {
    topology: Topology,
    inside: BTreeMap<String, Inside>,
    init: Init,
    holder: Option<Holder>,
    /// It came up, and its user has not said that all is well.
    in_use: bool,
}

/// A running node.
#[derive(Debug)]
struct Inside {
    namespaces: Namespaces,
    /// Process id of its init, in the lab's PID namespace.
    init: i32,
}

/// The first process of a lab, as seen from outside.
#[derive(Debug)]
struct Init {
    pid: Pid,
    /// The process itself: a process id alone could mean another one by now.
    handle: OwnedFd,
}

/// The process that keeps the lab; the lab ends when `lifeline` is closed, unless it has been detached.
#[derive(Debug)]
struct Holder {
    child: Child,
    lifeline: ChildStdin,
}

/// How to bring a lab up.
#[derive(Clone, Debug)]
pub struct Builder {
    topology: Topology,
    petiole: Option<PathBuf>,
    deferred: Vec<String>,
    detached: bool,
}

impl Builder {
    /// Uses this `petiole`; otherwise the one that [`requirement::petiole`] finds.
    #[must_use]
    pub fn petiole(mut self, program: impl Into<PathBuf>) -> Self {
        self.petiole = Some(program.into());
        self
    }

    /// Neither programs nor `exec` lines are started in this node: [`Node::boot`] does that later.
    #[must_use]
    pub fn defer(mut self, node: &str) -> Self {
        self.deferred.push(node.to_owned());
        self
    }

    /// The lab outlives this process; [`Lab::attach`] finds it again by the process id of its init.
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Brings the lab up: namespaces, cables, programs, `exec` lines. Programs are started, not awaited.
    pub fn up(self) -> Result<Lab, LabError> {
        requirement::root().map_err(LabError::Missing)?;
        requirement::programs_of(&self.topology).map_err(LabError::Missing)?;
        let petiole = self.find_petiole()?;
        let nodes = self.topology.nodes.values().map(|node| NodeRequest {
            name: node.name.clone(),
            binds: node.binds.clone(),
            sysctls: node.sysctls.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            programs: match (&petiole, node.role) {
                (Some(program), Role::Petiole) => vec![("petiole".to_owned(), program.clone())],
                _ => Vec::new(),
            },
        });
        let request = Request { nodes: nodes.collect() };
        let (holder, pid) = Holder::start(&request)?;
        let mut lab = Lab::open(self.topology, pid, Some(holder))?;
        lab.plug()?;
        let deferred = &self.deferred;
        lab.in_each_node(|node| if deferred.contains(&node.spec.name) { Ok(()) } else { node.boot() })?;
        if self.detached {
            lab.detach()?;
        } else {
            lab.in_use = true;
        }
        Ok(lab)
    }

    fn find_petiole(&self) -> Result<Option<PathBuf>, LabError> {
        if !self.topology.nodes.values().any(|n| n.role == Role::Petiole) {
            return Ok(None);
        }
        let program = match &self.petiole {
            Some(program) => program.clone(),
            None => requirement::petiole().map_err(LabError::Missing)?,
        };
        let what = format!("petiole program {}", program.display());
        program.canonicalize().map(Some).map_err(LabError::system(what))
    }
}

impl Lab {
    /// How to bring up the topology of a file, with every default.
    pub fn load(path: &Path) -> Result<Builder, LabError> {
        Ok(Self::of(Topology::load(path)?))
    }

    /// How to bring up a topology, with every default.
    pub fn of(topology: Topology) -> Builder {
        Builder { topology, petiole: None, deferred: Vec::new(), detached: false }
    }

    /// Brings up the topology of a file.
    pub fn up(path: &Path) -> Result<Self, LabError> {
        Self::load(path)?.up()
    }

    /// Finds a detached lab again. `init` is what [`Lab::init`] said.
    pub fn attach(topology: Topology, init: i32) -> Result<Self, LabError> {
        Self::open(topology, init, None)
    }

    /// The topology.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Process id of the lab's first process; everything in the lab ends with it.
    pub fn init(&self) -> i32 {
        self.init.pid.as_raw_nonzero().get()
    }

    /// A node by its name.
    ///
    /// # Panics
    /// If the topology has no such node; [`Lab::find`] does not.
    pub fn node(&self, name: &str) -> Node<'_> {
        self.find(name)
            .unwrap_or_else(|| panic!("the topology `{}` has no node `{name}`", self.topology.name))
    }

    /// A node by its name, if the topology has it.
    pub fn find(&self, name: &str) -> Option<Node<'_>> {
        let (spec, inside) = (self.topology.nodes.get(name)?, self.inside.get(name)?);
        Some(Node { lab: self, spec, inside: &inside.namespaces })
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.topology.nodes.keys().filter_map(|name| self.find(name))
    }

    /// Ends everything in the lab, and returns when it has ended.
    pub fn down(mut self) -> Result<(), LabError> {
        self.in_use = false;
        self.end()
    }

    /// Does the same in all nodes at once; the first error, by node name.
    pub(crate) fn in_each_node<'a>(
        &'a self,
        work: impl Fn(Node<'a>) -> Result<(), LabError> + Sync,
    ) -> Result<(), LabError> {
        let work = &work;
        thread::scope(|scope| {
            let running: Vec<_> = self.nodes().map(|node| scope.spawn(move || work(node))).collect();
            running.into_iter().try_for_each(|t| {
                t.join().unwrap_or_else(|_| Err(LabError::Build("a thread of the lab panicked".to_owned())))
            })
        })
    }

    /// The root folder of a node, as a path of this process.
    pub(crate) fn root_of(&self, node: &crate::topology::Node) -> PathBuf {
        let init = self.inside.get(&node.name).map_or(0, |inside| inside.init);
        self.init.path(&format!("/proc/{init}/root"))
    }

    /// The folder that init keeps for a node, as a path of this process.
    pub(crate) fn folder_of(&self, node: &crate::topology::Node) -> PathBuf {
        self.init.path(NODES).join(&node.name)
    }

    /// Lets the lab live without this process.
    fn detach(&mut self) -> Result<(), LabError> {
        if let Some(mut holder) = self.holder.take() {
            holder.lifeline.write_all(DETACH.as_bytes()).map_err(LabError::system("detaching the lab"))?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), LabError> {
        // Namespaces live as long as somebody has them open.
        self.inside.clear();
        self.init.end().map_err(LabError::system("end of the lab"))?;
        if let Some(mut holder) = self.holder.take() {
            drop(holder.lifeline);
            holder.child.wait().map_err(LabError::system("end of the lab's holder"))?;
        }
        Ok(())
    }

    fn open(topology: Topology, init: i32, holder: Option<Holder>) -> Result<Self, LabError> {
        let init = Init::open(init).map_err(LabError::system(format!("the lab's process {init}")))?;
        let mut lab = Self { topology, inside: BTreeMap::new(), init, holder, in_use: false };
        for node in lab.topology.nodes.values() {
            let file = lab.folder_of(node).join(NODE_INIT);
            let text = fs::read_to_string(&file).map_err(LabError::system(file.display().to_string()))?;
            let init = text.parse().map_err(|_| LabError::Build(format!("{}: {text}", file.display())))?;
            let folder = lab.init.path(&format!("/proc/{init}/ns"));
            let file = |name: &str| open(&folder.join(name)).map(Some);
            let namespaces =
                Namespaces { pid: file("pid")?, net: file("net")?, uts: file("uts")?, mount: file("mnt")? };
            lab.inside.insert(node.name.clone(), Inside { namespaces, init });
        }
        Ok(lab)
    }

    /// Plugs the cables in, and switches on all interfaces.
    fn plug(&self) -> Result<(), LabError> {
        let around = Namespaces {
            net: Some(open(&self.init.link("ns/net"))?),
            mount: Some(open(&self.init.link("ns/mnt"))?),
            ..Namespaces::default()
        };
        cable::plug(&self.topology, &around, |node| {
            let init = self.inside.get(node).map_or(0, |inside| inside.init);
            format!("/proc/{init}/ns/net")
        })?;
        self.in_each_node(|node| {
            let mut batch = "link set lo up\n".to_owned();
            for (port, _) in self.topology.ports(node.name()) {
                // Writing to a String cannot fail.
                let _ = writeln!(batch, "link set {} up", port.interface);
            }
            node.run_with_input("ip -batch -", &batch).map(drop)
        })
    }
}

impl Node<'_> {
    /// Starts the node's programs and runs its `exec` lines, as when the lab comes up.
    pub fn boot(&self) -> Result<(), LabError> {
        speaker::start(*self)?;
        for words in &self.spec.exec {
            let mut command = self.command(words);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = self.start(&mut command)?;
            let line = words.join(" ");
            let output = child.wait_with_output().map_err(LabError::system(&line))?;
            if !output.status.success() {
                return Err(LabError::Command {
                    place: self.label(),
                    command: line,
                    status: output.status.to_string(),
                    output: String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned(),
                });
            }
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.in_use {
            // Straight to the file descriptor: the test harness shows what it captured in another order.
            let _ = io::stderr().write_all(dump(self).as_bytes());
        }
        if self.holder.is_some() {
            // Nobody is left to hear of an error.
            let _ = self.end();
        }
    }
}

impl Init {
    fn open(pid: i32) -> io::Result<Self> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid, handle: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// Kills it; the kernel kills all others of its PID namespace before it is gone.
    fn end(&self) -> io::Result<()> {
        match pidfd_send_signal(&self.handle, Signal::KILL) {
            Ok(()) => {}
            Err(Errno::SRCH) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], None)?;
        Ok(())
    }

    /// A file of `/proc/<init>`.
    fn link(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.pid.as_raw_nonzero().to_string()).join(name)
    }

    /// What is at `path` in the lab's own mount namespace.
    fn path(&self, path: &str) -> PathBuf {
        self.link("root").join(path.trim_start_matches('/'))
    }
}

impl Holder {
    fn start(request: &Request) -> Result<(Self, i32), LabError> {
        let program = program()?;
        let mut child = Command::new(&program)
            .arg(HOLDER_ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(LabError::system(format!("starting {}", program.display())))?;
        let (Some(mut lifeline), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(LabError::Build("its holder has no pipes".to_owned()));
        };
        let mut text = serde_json::to_vec(request).map_err(|e| LabError::Build(e.to_string()))?;
        text.push(b'\n');
        lifeline.write_all(&text).map_err(LabError::system("asking for a lab"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(LabError::system("waiting for the lab"))?;
        match serde_json::from_str(&line) {
            Ok(Reply::Ready { init }) => Ok((Self { child, lifeline }, init)),
            Ok(Reply::Failed(why)) => {
                // It has said what it had to say, and ends.
                let _ = child.wait();
                Err(LabError::Build(why))
            }
            Err(_) => Err(LabError::Build(format!("its holder ended without a word {line}"))),
        }
    }
}

/// The `lab` program: this one, or the one beside this test.
pub(crate) fn program() -> Result<PathBuf, LabError> {
    if let Some(program) = env::var_os("LAB_BIN") {
        return Ok(program.into());
    }
    let this = env::current_exe().map_err(LabError::system("the path of this program"))?;
    let beside = this.ancestors().skip(1).take(2).map(|folder| folder.join("lab"));
    beside
        .chain([this.clone()])
        .find(|path| path.file_name().is_some_and(|n| n == "lab") && path.is_file())
        .ok_or_else(|| {
            LabError::Missing(format!("no `lab` program beside {}; LAB_BIN can name it", this.display()))
        })
}

fn open(path: &Path) -> Result<OwnedFd, LabError> {
    fs::File::open(path).map(OwnedFd::from).map_err(LabError::system(path.display().to_string()))
}
