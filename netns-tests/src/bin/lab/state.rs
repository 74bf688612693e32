//! Which labs are up: one file for each, believed only while the process that it names is alive.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use petiole_netns_tests::{Lab, LabError, Topology};
use serde::{Deserialize, Serialize};

/// Where the files are. Vanishes with a reboot, as labs do.
const FOLDER: &str = "/run/petiole-lab";

/// A lab that is up.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// Its name.
    pub(crate) name: String,
    /// Its topology file.
    pub(crate) file: PathBuf,
    /// Process id of its init.
    init: i32,
    /// When that started, in clock ticks since boot: a process id alone could be another process by now.
    started: u64,
}

/// A name that is ours until it is given up.
#[derive(Debug)]
pub(crate) struct Reserved {
    name: String,
}

/// Takes the name for a lab.
pub(crate) fn reserve(name: &str) -> Result<Reserved, LabError> {
    let path = path_of(name);
    let system = |source| LabError::System { what: path.display().to_string(), source };
    fs::create_dir_all(FOLDER).map_err(system)?;
    if find_alive(&path).is_none() {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(system(e)),
            _ => {}
        }
    }
    match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(_) => Ok(Reserved { name: name.to_owned() }),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            Err(LabError::Missing(format!("lab {name} is up already: `lab down --lab {name}` ends it")))
        }
        Err(e) => Err(system(e)),
    }
}

impl Reserved {
    /// Records the lab that now goes by the name.
    pub(crate) fn fill(self, lab: &Lab, file: &Path) -> Result<(), LabError> {
        let path = path_of(&self.name);
        let system = |source| LabError::System { what: path.display().to_string(), source };
        let state = State {
            name: self.name.clone(),
            file: file.canonicalize().map_err(system)?,
            init: lab.init(),
            started: started(lab.init()).ok_or_else(|| LabError::Build("it ended at once".to_owned()))?,
        };
        let text = serde_json::to_vec_pretty(&state).map_err(|e| LabError::Build(e.to_string()))?;
        let new = path.with_extension("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(system)?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // At worst a stale file, which `reserve` takes over.
        let _ = fs::remove_file(path_of(&self.name));
    }
}

impl State {
    /// The lab itself.
    pub(crate) fn attach(&self) -> Result<Lab, LabError> {
        Lab::attach(Topology::load(&self.file)?, self.init)
    }

    /// Forgets it.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(path_of(&self.name));
    }
}

/// The labs that are up, by name.
pub(crate) fn all() -> Vec<State> {
    let entries = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let mut states: Vec<_> = entries.filter_map(|entry| find_alive(&entry.path())).collect();
    states.sort_by(|a, b| a.name.cmp(&b.name));
    states
}

/// The lab of that name, or the only one.
pub(crate) fn find(name: Option<String>) -> Result<State, LabError> {
    let mut states = all();
    let names = states.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => states.into_iter().find(|s| s.name == name).ok_or_else(|| {
            LabError::Missing(format!(
                "no lab {name} is up{}{names}",
                if names.is_empty() { "" } else { "; there are " }
            ))
        }),
        None if states.len() == 1 => Ok(states.remove(0)),
        None if states.is_empty() => Err(LabError::Missing("no lab is up".to_owned())),
        None => Err(LabError::Missing(format!("several labs are up, choose with --lab: {names}"))),
    }
}

fn path_of(name: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{name}.json"))
}

fn find_alive(path: &Path) -> Option<State> {
    let state: State = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (started(state.init) == Some(state.started)).then_some(state)
}

/// Start time of a process: field 22 of its `stat`, counted after the command in parentheses.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}
