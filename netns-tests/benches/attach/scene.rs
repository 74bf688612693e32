//! The stage: a host with petiole, a leaf with FRR, and namespaces of containers that nobody has attached yet.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use petiole_netns_tests::{Lab, LabError, Place};

use crate::{
    args::{Args, State},
    daemon::Daemon,
    leaf::Watch,
};

const TOPOLOGY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/topologies/pair/pair.clab.yml");
const SOCKET: &str = "/run/petiole/petiole.sock";

/// Everything that is not about the state's place.
const CONFIG: &str = r#"
[host]
name = "host"
asn = 65010

[[uplink]]
interface = "eth1"
address = ["10.0.1.1/24"]

[[neighbor]]
name = "leaf"
address = "10.0.1.2"
asn = 65001
import = "all"

[[network]]
name = "routed"
encap = "routed"
subnet = "10.100.0.0/16"
gateway = "10.100.255.254"

[[network]]
name = "dual"
encap = "routed"
subnet = "10.101.0.0/16"
gateway = "10.101.255.254"
subnet6 = "2001:db8:101::/64"
gateway6 = "2001:db8:101::ffff"

[[network]]
name = "vxlan"
encap = "vxlan"
vni = 5001
subnet = "10.102.0.0/16"
gateway = "10.102.255.254"
vteps = ["10.0.1.2"]
advertise = "endpoints"
"#;

/// A running stage.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) daemon: Daemon,
    pub(crate) leaf: Watch,
    _state: StateDir,
}

impl Scene {
    /// Brings it up, with `containers` namespaces `n0`, `n1` …
    pub(crate) fn up(args: &Args, state: State, containers: usize) -> Result<Self, String> {
        let state = StateDir::make(state)?;
        let (lab, daemon) = start(args, &state.0, containers).map_err(|e| e.to_string())?;
        let leaf = lab.node("leaf").processes_of("bgpd");
        let leaf = leaf.first().ok_or("no bgpd on the leaf")?;
        let leaf = Watch::start(&PathBuf::from(format!("/proc/{}/ns/net", leaf.as_raw_nonzero())))?;
        Ok(Self { lab, daemon, leaf, _state: state })
    }

    /// Ends it.
    pub(crate) fn down(self) -> Result<(), String> {
        drop(self.leaf);
        self.lab.down().map_err(|e| e.to_string())
    }
}

fn start(args: &Args, state: &Path, containers: usize) -> Result<(Lab, Daemon), LabError> {
    let mut builder = Lab::load(Path::new(TOPOLOGY))?.defer("host");
    if let Some(program) = &args.petiole {
        builder = builder.petiole(program);
    }
    let lab = builder.up()?;
    let (host, leaf) = (lab.node("host"), lab.node("leaf"));
    // The test's timers would wake an idle daemon every second.
    leaf.frr().configure(&["router bgp 65001", "neighbor 10.0.1.1 timers 30 90"])?;
    let mut batch = String::new();
    for n in 0..containers {
        // Writing to a String cannot fail.
        let _ = writeln!(batch, "netns add n{n}");
    }
    host.run_with_input("ip -batch -", &batch)?;
    host.petiole().write_config(&format!("{CONFIG}\n[state]\ndir = \"{}\"\n", state.display()))?;
    host.petiole().start()?;
    host.petiole().wait_established("leaf")?;
    let process = host.petiole().processes();
    let process = process.first().ok_or_else(|| LabError::Missing("petiole does not run".to_owned()))?;
    let daemon = Daemon {
        socket: host.seen_from_outside(SOCKET),
        process: format!("/proc/{}", process.as_raw_nonzero()).into(),
    };
    Ok((lab, daemon))
}

/// A folder for the journal, removed when dropped.
#[derive(Debug)]
struct StateDir(PathBuf);

impl StateDir {
    fn make(state: State) -> Result<Self, String> {
        let parent = match state {
            State::Memory => Path::new("/dev/shm"),
            State::Disk => Path::new(env!("CARGO_TARGET_TMPDIR")),
        };
        let path = parent.join(format!("petiole-bench-attach-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
