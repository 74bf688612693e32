//! What is measured: a program, its configuration, its command line.

mod bird;
mod frr;
mod gobgp;
mod petiole;

use std::{
    env,
    ffi::OsString,
    fmt::Debug,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{load::Load, scene::Peer};

/// A BGP speaker that can be put between feeders and sink.
///
/// Each is told the same: peers dial in; what feeders announce is taken, and all of it told to the sink; feeders hear
/// nothing; the kernel's tables are left alone.
pub(crate) trait Speaker: Debug + Sync {
    /// As `--speaker` finds it.
    fn name(&self) -> &'static str;

    /// As tables call it.
    fn title(&self) -> &'static str;

    /// Its program, or why there is none.
    fn program(&self) -> Result<PathBuf, String>;

    /// What its configuration file says.
    fn config(&self, peers: &[Peer]) -> String;

    /// What stands behind the program's name, for it to stay in the foreground and log to its outputs.
    fn arguments(&self, config: &Path) -> Vec<OsString>;

    /// What has to be there before it starts.
    fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether it is put under this load.
    fn bears(&self, _load: &Load) -> bool {
        true
    }
}

/// A speaker that is there.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) kind: &'static dyn Speaker,
    pub(crate) program: PathBuf,
    version: String,
}

impl Installed {
    /// Name and version.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.kind.title(), self.version).trim_end().to_owned()
    }
}

/// petiole first: what the others are compared with.
static SPEAKERS: [&dyn Speaker; 4] = [&petiole::Petiole, &bird::Bird, &frr::Frr, &gobgp::GoBgp];

/// Those of the `wanted` speakers (all, if none is named) that are installed; says which are not, and why.
pub(crate) fn installed(wanted: &[String]) -> Result<Vec<Installed>, String> {
    if let Some(unknown) = wanted.iter().find(|name| SPEAKERS.iter().all(|s| s.name() != name.as_str())) {
        return Err(format!("no speaker {unknown:?}: petiole, bird, frr, gobgp"));
    }
    let mut found = Vec::new();
    for kind in SPEAKERS {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == kind.name()) {
            continue;
        }
        match kind.program() {
            Ok(program) => found.push(Installed { kind, version: version(&program), program }),
            Err(reason) => println!("{} is skipped: {reason}", kind.title()),
        }
    }
    if found.is_empty() { Err("no speaker to measure".into()) } else { Ok(found) }
}

/// The first word that looks like a version in what `--version` prints.
fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map_or(String::new(), |o| {
        String::from_utf8_lossy(&o.stdout).into_owned() + &String::from_utf8_lossy(&o.stderr)
    });
    let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    word.unwrap_or_default().to_owned()
}

/// A program of a package, in the directories that daemons are installed in.
fn packaged(name: &str, package: &str) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let fixed = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(fixed)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| format!("no {name}; Debian's package is {package}"))
}
