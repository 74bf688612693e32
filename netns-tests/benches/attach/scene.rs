//! The stage: a host with petiole, a leaf with FRR, and namespaces of containers that nobody has attached yet.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use petiole_netns_tests::{Lab, LabError, Place, Topology};

use crate::{
    args::{Args, LeafKind, State},
    daemon::Daemon,
    leaf::Watch,
};

const SOCKET: &str = "/run/petiole/petiole.sock";

/// `IMAGE` stands for the leaf's.
const TOPOLOGY: &str = r#"
name: attach
topology:
  defaults: {kind: linux, sysctls: {net.ipv6.conf.default.accept_dad: 0}}
  nodes:
    host: {image: "petiole:latest"}
    leaf: {image: "IMAGE"}
  links: [{endpoints: ["host:eth1", "leaf:eth1"], mtu: 9000}]
"#;

/// The leaf as FRR. Its profile for data centres has no delays that could be switched off.
const FRR: [(&str, &str); 2] = [
    ("/etc/frr/daemons", "bgpd=yes\nfrr_profile=\"datacenter\"\n"),
    (
        "/etc/frr/frr.conf",
        "frr defaults datacenter
interface eth1
 ip address 10.0.1.2/24
router bgp 65001
 bgp router-id 10.0.1.2
 no bgp ebgp-requires-policy
 neighbor 10.0.1.1 remote-as 65010
 neighbor 10.0.1.1 timers 30 90
 neighbor 10.0.1.1 timers connect 1
",
    ),
];

/// The leaf as BIRD.
const BIRD: [(&str, &str); 1] = [(
    "/etc/bird/bird.conf",
    "router id 10.0.1.2;
protocol device {}
protocol kernel { ipv4 { import none; export all; }; }
protocol bgp host {
  local 10.0.1.2 as 65001;
  neighbor 10.0.1.1 as 65010;
  connect retry time 1;
  connect delay time 1;
  ipv4 { import all; export none; };
}
",
)];

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
    pub(crate) fn up(args: &Args, leaf: LeafKind, state: State, containers: usize) -> Result<Self, String> {
        let state = StateDir::make(state)?;
        let (lab, daemon) = start(args, leaf, &state.0, containers).map_err(|e| e.to_string())?;
        let program = match leaf {
            LeafKind::Bird => "bird",
            LeafKind::Frr => "bgpd",
        };
        let processes = lab.node("leaf").processes_of(program);
        let process = processes.first().ok_or_else(|| format!("no {program} on the leaf"))?;
        let leaf = Watch::start(&PathBuf::from(format!("/proc/{}/ns/net", process.as_raw_nonzero())))?;
        Ok(Self { lab, daemon, leaf, _state: state })
    }

    /// Ends it.
    pub(crate) fn down(self) -> Result<(), String> {
        drop(self.leaf);
        self.lab.down().map_err(|e| e.to_string())
    }
}

fn start(
    args: &Args,
    leaf_kind: LeafKind,
    state: &Path,
    containers: usize,
) -> Result<(Lab, Daemon), LabError> {
    let (image, files): (_, &[_]) = match leaf_kind {
        LeafKind::Bird => ("bird:latest", &BIRD),
        LeafKind::Frr => ("frrouting/frr:v8.4.4", &FRR),
    };
    let topology = Topology::parse(&TOPOLOGY.replace("IMAGE", image), Path::new("attach"), Path::new("/"))?;
    let mut builder = Lab::of(topology).defer("host").defer("leaf");
    if let Some(program) = &args.petiole {
        builder = builder.petiole(program);
    }
    let lab = builder.up()?;
    let (host, leaf) = (lab.node("host"), lab.node("leaf"));
    for (path, text) in files {
        leaf.write_file(path, text)?;
    }
    if leaf_kind == LeafKind::Bird {
        leaf.run("ip address add 10.0.1.2/24 dev eth1")?;
    }
    leaf.boot()?;
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
