//! What each command does.

use std::{
    ffi::OsString,
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
};

use petiole_netns_tests::{
    Lab, LabError, Place, Topology, dump as dump_lab, interrupts_are_the_childs, topology::Role,
};

use crate::{Up, state};

type Done = Result<ExitCode, LabError>;

pub(crate) fn check(file: &Path) -> Done {
    let topology = Topology::load(file)?;
    println!("{}: {} nodes, {} links", topology.name, topology.nodes.len(), topology.links.len());
    for node in topology.nodes.values() {
        let peers = topology
            .ports(&node.name)
            .filter_map(|(port, _)| topology.peer(port).map(|peer| format!("{} to {peer}", port.interface)));
        println!("  {:10} {:8} {}", node.name, runs(node.role), peers.collect::<Vec<_>>().join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn up(up: &Up) -> Done {
    let topology = Topology::load(&up.file)?;
    let name = topology.name.clone();
    let reserved = state::reserve(&name)?;
    let lab = builder(topology, up).detached().up()?;
    reserved.fill(&lab, &up.file)?;
    println!("{name} is up:");
    for node in lab.nodes() {
        println!("  {:10} {}", node.name(), runs(node.spec().role));
    }
    println!("look:  lab exec NODE -- COMMAND      (NODE/CONTAINER for a container)");
    for node in lab.nodes() {
        if let Some(example) = example(node.spec().role) {
            println!("       lab exec {} -- {example}", node.name());
        }
    }
    println!("       lab logs NODE, lab dump");
    println!("end:   lab down");
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn down(name: Option<String>) -> Done {
    let state = state::find(name)?;
    state.attach()?.down()?;
    state.remove();
    println!("{} is down", state.name);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn list() -> ExitCode {
    for state in state::all() {
        println!("{:16} {}", state.name, state.file.display());
    }
    ExitCode::SUCCESS
}

pub(crate) fn exec(name: Option<String>, place: &str, words: &[String]) -> Done {
    let lab = state::find(name)?.attach()?;
    let (node, container) = match place.split_once('/') {
        Some((node, container)) => (node, Some(container)),
        None => (place, None),
    };
    let node = find(&lab, node)?;
    let place: Box<dyn Place> = match container {
        None => Box::new(node),
        Some(name) => {
            let container = node.container(name);
            if !container.exists() {
                return Err(LabError::Missing(format!("node {} has no container {name}", node.name())));
            }
            Box::new(container)
        }
    };
    interrupts_are_the_childs();
    let mut child = place.start(&mut place.command(words))?;
    let status = child.wait().map_err(|source| LabError::System { what: words.join(" "), source })?;
    Ok(exit_code(status))
}

pub(crate) fn logs(name: Option<String>, node: &str) -> Done {
    let lab = state::find(name)?.attach()?;
    let folder = find(&lab, node)?.logs();
    let system = |source| LabError::System { what: folder.display().to_string(), source };
    let mut files: Vec<_> = fs::read_dir(&folder).map_err(system)?.flatten().map(|e| e.path()).collect();
    files.sort();
    for file in files {
        println!("==> {} <==", file.file_name().unwrap_or_default().display());
        print!("{}", String::from_utf8_lossy(&fs::read(&file).map_err(system)?));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn dump(name: Option<String>) -> Done {
    print!("{}", dump_lab(&state::find(name)?.attach()?));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn run(up: &Up, command: &[OsString]) -> Done {
    let topology = Topology::load(&up.file)?;
    // Of its own name, so that it meets neither a lab of the same topology nor another run.
    let name = format!("{}-{}", topology.name, std::process::id());
    let reserved = state::reserve(&name)?;
    let lab = builder(topology, up).up()?;
    reserved.fill(&lab, &up.file)?;
    interrupts_are_the_childs();
    let state = state::find(Some(name.clone()));
    // The command line has it required.
    let program = command.first().map_or("true".as_ref(), OsString::as_os_str);
    let arguments = command.get(1..).unwrap_or_default();
    let status = Command::new(program).args(arguments).env("LAB", &name).status();
    lab.down()?;
    state?.remove();
    let what = program.display().to_string();
    Ok(exit_code(status.map_err(|source| LabError::System { what, source })?))
}

/// The builder that the options ask for.
pub(crate) fn builder(topology: Topology, up: &Up) -> petiole_netns_tests::Builder {
    let mut builder = Lab::of(topology);
    if let Some(program) = &up.petiole {
        builder = builder.petiole(program);
    }
    for node in &up.deferred {
        builder = builder.defer(node);
    }
    builder
}

fn find<'a>(lab: &'a Lab, node: &str) -> Result<petiole_netns_tests::Node<'a>, LabError> {
    lab.find(node).ok_or_else(|| {
        let names = lab.nodes().map(|n| n.name().to_owned()).collect::<Vec<_>>().join(", ");
        LabError::Missing(format!("no node {node}; there are {names}"))
    })
}

fn runs(role: Role) -> &'static str {
    match role {
        Role::Petiole => "petiole",
        Role::Frr => "FRR",
        Role::Bird => "BIRD",
        Role::GoBgp => "GoBGP",
        Role::Plain => "plain",
    }
}

fn example(role: Role) -> Option<&'static str> {
    match role {
        Role::Petiole => Some("petiole show neighbors"),
        Role::Frr => Some("vtysh -c 'show bgp summary'"),
        Role::Bird => Some("birdc -s /run/bird/bird.ctl show route"),
        Role::GoBgp => Some("gobgp neighbor"),
        Role::Plain => None,
    }
}

/// As a shell reports it: the code, or 128 and the signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
