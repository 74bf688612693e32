//! What a lab needs of the machine, and how a test says that it is not there.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    guest,
    topology::{Role, Topology},
};

/// Something that a test cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// To be root, with the right to make namespaces.
    Root,
    /// FRRouting's daemons and vtysh.
    Frr,
    /// BIRD 2.
    Bird,
    /// GoBGP's daemon and client.
    GoBgp,
    /// nftables' `nft`.
    Nft,
    /// tcpdump.
    Tcpdump,
    /// The daemon of this project, built.
    Petiole,
    /// A kernel with 802.1Q.
    Vlan,
}

impl Requirement {
    /// Whether it is there; if not, why.
    pub fn check(self) -> Result<(), String> {
        match self {
            Self::Root => root(),
            Self::Frr => program("vtysh").and(program("/usr/lib/frr/bgpd")),
            Self::Bird => program("bird"),
            Self::GoBgp => program("gobgpd").and(program("gobgp")),
            Self::Nft => program("nft"),
            Self::Tcpdump => program("tcpdump"),
            Self::Petiole => petiole().map(drop),
            Self::Vlan => kernel(
                "802.1Q",
                "ip link add port0 type veth peer name port1 && ip link add link port0 name port0.2 type vlan id 2",
            ),
        }
    }

    /// Whether another kernel on the same machine can have it.
    fn is_of_the_kernel(self) -> bool {
        matches!(self, Self::Vlan)
    }
}

/// Whether there is nothing left to do for the test called `test`, because one of `requirements` is missing: it has been
/// skipped, or, where only the running kernel lacks something, it has been run from its beginning to its end under
/// another kernel. Either is said on standard error, past the harness that hides the output of tests that pass. With
/// `LAB_REQUIRE_ALL` in the environment, a missing requirement is a failure: for machines that are meant to have
/// everything.
///
/// # Panics
/// As said, and when the test failed under the other kernel.
pub fn skip(test: &str, requirements: &[Requirement]) -> bool {
    let missing = |of_the_kernel: bool| {
        let these = requirements.iter().filter(move |r| r.is_of_the_kernel() == of_the_kernel);
        these.filter_map(|r| r.check().err()).collect::<Vec<_>>()
    };
    let mut why = missing(false);
    if why.is_empty() {
        let lacking = missing(true).join("; ");
        if lacking.is_empty() {
            return false;
        }
        if guest::inside() {
            why.push(lacking);
        } else {
            match guest::run(test, &lacking) {
                Ok(()) => return true,
                Err(error) => why.push(format!("{lacking}; {error}")),
            }
        }
    }
    let why = why.join("; ");
    assert!(env::var_os("LAB_REQUIRE_ALL").is_none(), "{test} cannot run: {why}");
    let mut line = String::new();
    let _ = writeln!(line, "{test}: skipped: {why}");
    let _ = std::io::stderr().write_all(line.as_bytes());
    true
}

/// The daemon: `PETIOLE_BIN`, or what cargo built beside this program.
pub fn petiole() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("PETIOLE_BIN") {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("PETIOLE_BIN={} is not a file", path.display()))
        };
    }
    let this = env::current_exe().map_err(|e| e.to_string())?;
    let beside = this.ancestors().skip(1).take(2).map(|folder| folder.join("petiole"));
    beside
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| "petiole is not built (cargo build, or PETIOLE_BIN=…)".to_owned())
}

/// Whether this process may make namespaces.
pub(crate) fn root() -> Result<(), String> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err("not root".to_owned()) }
}

/// Whether the programs that a topology's nodes run are installed.
pub(crate) fn programs_of(topology: &Topology) -> Result<(), String> {
    program("ip")?;
    for node in topology.nodes.values() {
        let requirement = match node.role {
            Role::Frr => Requirement::Frr,
            Role::Bird => Requirement::Bird,
            Role::GoBgp => Requirement::GoBgp,
            // Which one is the builder's to say.
            Role::Petiole | Role::Plain => continue,
        };
        requirement.check().map_err(|why| format!("node {}: {why}", node.name))?;
    }
    Ok(())
}

/// Whether the kernel does what `script` asks of it in a network namespace of its own.
fn kernel(feature: &str, script: &str) -> Result<(), String> {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("this kernel has no {feature}")),
        Err(error) => Err(format!("unshare: {error}")),
    }
}

fn program(name: &str) -> Result<(), String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = if name.starts_with('/') {
        Path::new(name).is_file()
    } else {
        folders.map(|f| f.join(OsStr::new(name))).any(|p| p.is_file())
    };
    if found { Ok(()) } else { Err(format!("no program {name} (netns-tests/install-deps installs it)")) }
}
