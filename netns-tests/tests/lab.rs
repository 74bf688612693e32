//! The lab itself: what it brings up works, and what it takes down is gone.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use common::{CONTIV_FRR, FRR_LAB, ROOT, lab_program, parse, topology};
use petiole_netns_tests::{
    Container, Kernel, Lab, LabError, Place,
    Requirement::{Nft, Root, Tcpdump, Vlan},
    Topology, holds, skip, wait_until,
};

const SHORT: Duration = Duration::from_secs(10);

/// Two plain machines and a cable; needs nothing but root.
const PLAIN: &str = r"
name: plain
topology:
  defaults: {kind: linux, image: 'alpine:3'}
  nodes:
    a:
      env: {COLOUR: blue}
      sysctls: {net.ipv4.ip_default_ttl: 99}
      exec: [ip address add 192.0.2.1/24 dev eth1]
    b:
      binds: ['Cargo.toml:/etc/deep/down/copy.toml', 'src:/opt/src:ro']
      exec: [ip address add 192.0.2.2/24 dev eth1]
  links:
    - endpoints: [a:eth1, b:eth1]
      mtu: 1400
";

fn plain() -> Topology {
    parse(PLAIN, Path::new(env!("CARGO_MANIFEST_DIR")))
}

#[test]
fn every_topology_of_the_repository_is_accepted() {
    for name in ["contiv-l3", "two-leaf-ecmp", "vxlan-two-hosts", "vlan-trunk", "tenants"] {
        let topology = Topology::load(&topology(name)).unwrap();
        assert_eq!(topology.name, name);
        assert!(!topology.links.is_empty());
    }
    Topology::load(Path::new(CONTIV_FRR)).unwrap();
}

#[test]
fn nodes_are_machines_of_their_own() -> Result<(), LabError> {
    if skip("nodes_are_machines_of_their_own", ROOT) {
        return Ok(());
    }
    let lab = Lab::of(plain()).up()?;
    let (a, b) = (lab.node("a"), lab.node("b"));
    assert_eq!(a.run("hostname")?, "a\n");
    assert!(a.ping("192.0.2.2".parse().unwrap(), 3)?.is_complete());
    assert_eq!(b.ping("192.0.2.1".parse().unwrap(), 1)?.ttl, Some(99), "the sysctl is the node's own");
    assert_eq!(a.run("sh -c 'echo $COLOUR'")?, "blue\n");
    assert_eq!(a.run("cat /sys/class/net/eth1/mtu")?, "1400\n", "/sys shows the node's interfaces");
    assert_eq!(a.run("sh -c 'echo /proc/[0-9]*'")?.split_whitespace().count(), 2, "init and the shell");

    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert_eq!(b.read_file("/etc/deep/down/copy.toml")?, fs::read_to_string(manifest).unwrap());
    b.write_file("/etc/deep/down/copy.toml", "changed")?;
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert_eq!(b.read_file("/etc/deep/down/copy.toml")?, "changed");
    assert_ne!(fs::read_to_string(manifest).unwrap(), "changed", "a bound file is the node's copy");
    assert!(b.run("touch /opt/src/x").is_err(), "bound read-only");
    b.write_file("/etc/only-here", "")?;
    assert!(a.run("test -e /etc/only-here").is_err() && !Path::new("/etc/only-here").exists());
    lab.down()
}

#[test]
fn containers_of_two_hosts_have_the_same_name_without_meeting() -> Result<(), LabError> {
    if skip("containers_of_two_hosts_have_the_same_name_without_meeting", ROOT) {
        return Ok(());
    }
    let lab = Lab::of(plain()).up()?;
    let containers = [lab.node("a").netns_add("web1")?, lab.node("b").netns_add("web1")?];
    assert!(containers.iter().all(Container::exists));
    assert!(!Path::new("/run/netns/web1").exists(), "and not with the machine's");
    let inodes: Vec<_> =
        containers.iter().map(|c| c.run("stat -L -c %i /proc/self/ns/net")).collect::<Result<_, _>>()?;
    assert_ne!(inodes[0], inodes[1]);
    lab.node("a").netns_del("web1")?;
    assert_eq!((containers[0].exists(), containers[1].exists()), (false, true));
    lab.down()
}

#[test]
fn cables_can_be_pulled_switched_off_and_silenced() -> Result<(), LabError> {
    if skip("cables_can_be_pulled_switched_off_and_silenced", &[Root, Nft, Tcpdump]) {
        return Ok(());
    }
    let lab = Lab::of(plain()).up()?;
    let (a, port) = (lab.node("a"), lab.node("a").port("eth1"));
    let to_b = "192.0.2.2".parse().unwrap();
    let carrier = || a.run("cat /sys/class/net/eth1/carrier").unwrap_or_default().trim().to_owned();

    lab.pull(&port)?;
    wait_until("loss of carrier", SHORT, || holds(carrier() == "0", carrier()))?;
    lab.put_back(&port)?;
    wait_until("carrier", SHORT, || holds(carrier() == "1", carrier()))?;

    lab.silence(&port)?;
    assert_eq!(a.ping(to_b, 1)?.received, 0);
    assert_eq!(carrier(), "1");
    lab.unsilence(&port)?;
    // The kernel may still be giving up on the neighbour that it asked for in silence.
    wait_until("answer", SHORT, || holds(a.ping(to_b, 1).is_ok_and(|p| p.is_complete()), "none"))?;

    lab.switch_off(&port)?;
    assert!(a.routes_to("192.0.2.0/24".parse().unwrap())?.is_empty());
    lab.switch_on(&port)?;

    let capture = lab.node("b").capture("eth1", "icmp")?;
    wait_until("answer", SHORT, || holds(a.ping(to_b, 1).is_ok_and(|p| p.is_complete()), "none"))?;
    capture.wait_for_line(SHORT, |line| line.contains("192.0.2.1 > 192.0.2.2: ICMP echo request"))?;
    capture.wait_for_line(SHORT, |line| line.contains("192.0.2.2 > 192.0.2.1: ICMP echo reply"))?;
    assert!(capture.stop()?.len() >= 2);

    let monitor = a.monitor("route")?;
    a.run("ip route add 198.51.100.0/24 via 192.0.2.2")?;
    monitor.0.wait_for_line(SHORT, |line| line.contains("198.51.100.0/24 via 192.0.2.2"))?;
    lab.down()
}

#[test]
fn nothing_is_left_when_a_lab_ends() -> Result<(), LabError> {
    if skip("nothing_is_left_when_a_lab_ends", ROOT) {
        return Ok(());
    }
    let before = traces_on_the_machine();
    let lab = Lab::of(plain()).up()?;
    lab.node("a").start_daemon("sleep", "sleep 1000")?;
    wait_until("daemon", SHORT, || holds(lab.node("a").processes_of("sleep").len() == 1, "none"))?;
    let namespace = namespace_of(lab.init());
    lab.down()?;
    assert_eq!(processes_in(namespace), 0);
    assert_eq!(traces_on_the_machine(), before);
    Ok(())
}

#[test]
fn nothing_is_left_when_the_user_of_a_lab_is_killed() -> Result<(), LabError> {
    if skip("nothing_is_left_when_the_user_of_a_lab_is_killed", ROOT) {
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("killed");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("killed.clab.yml");
    fs::write(&file, PLAIN.replace("Cargo.toml:", "/etc/passwd:").replace("'src:", "'/usr/share:")).unwrap();
    let before = traces_on_the_machine();
    // `cat` ends with this test, which has the other end of its input.
    let mut user = Command::new(lab_program());
    let mut user = user.arg("run").arg(&file).args(["--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    let state = format!("/run/petiole-lab/plain-{}.json", user.id());
    let init = wait_until("lab", SHORT, || {
        let text = fs::read(&state).map_err(|e| e.to_string())?;
        let state: serde_json::Value = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        state["init"].as_i64().and_then(|i| i32::try_from(i).ok()).ok_or("no init".to_owned())
    });
    let namespace = init.as_ref().map(|&init| namespace_of(init));
    user.kill().unwrap();
    user.wait().unwrap();
    let namespace = namespace.unwrap_or_else(|e| panic!("{e}"));
    wait_until("end of the lab", SHORT, || holds(processes_in(namespace) == 0, "it still runs"))?;
    assert_eq!(traces_on_the_machine(), before);
    fs::remove_file(state).unwrap();
    Ok(())
}

#[test]
fn a_command_that_fails_says_what_it_said() -> Result<(), LabError> {
    if skip("a_command_that_fails_says_what_it_said", ROOT) {
        return Ok(());
    }
    let mut broken = plain();
    let lab = Lab::of(plain()).up()?;
    let error = lab.node("a").run("ls /no-such-thing").unwrap_err().to_string();
    lab.down()?;
    assert!(error.contains("a: `ls /no-such-thing`") && error.contains("No such file"), "{error}");
    if let Some(node) = broken.nodes.get_mut("b") {
        node.exec.push(vec!["false".to_owned()]);
    }
    let error = Lab::of(broken).up().unwrap_err().to_string();
    assert!(error.contains("b: `false` ended with exit status: 1"), "{error}");
    Ok(())
}

#[test]
fn by_hand_a_lab_stays_until_it_is_taken_down() {
    if skip("by_hand_a_lab_stays_until_it_is_taken_down", ROOT) {
        return;
    }
    let name = format!("hand{}", std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.clab.yml"));
    let text =
        PLAIN.replace("plain", &name).replace("Cargo.toml:", "/etc/passwd:").replace("'src:", "'/usr/share:");
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let lab = |args: &[&str]| Command::new(lab_program()).args(args).env_remove("LAB").output().unwrap();
    let said = |output: &std::process::Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let up = lab(&["up", file]);
    assert!(up.status.success() && said(&up).contains("is up"), "{}", said(&up));
    assert!(said(&lab(&["up", file])).contains("up already"));
    assert!(said(&lab(&["list"])).contains(&name));
    let exec = lab(&["exec", "--lab", &name, "a", "--", "sh", "-c", "hostname; exit 7"]);
    assert_eq!((exec.status.code(), said(&exec).as_str()), (Some(7), "a\n"));
    assert!(said(&lab(&["exec", "--lab", &name, "z", "--", "true"])).contains("there are a, b"));
    let down = lab(&["down", "--lab", &name]);
    assert!(down.status.success(), "{}", said(&down));
    assert!(!said(&lab(&["list"])).contains(&name));
    let run =
        lab(&["run", file, "--", "sh", "-c", &format!("'{}' exec b -- hostname", lab_program().display())]);
    assert_eq!(said(&run), "b\n");
}

#[test]
fn the_fabric_of_contiv_l3_converges_with_frr_in_the_place_of_petiole() -> Result<(), LabError> {
    if skip("the_fabric_of_contiv_l3_converges_with_frr_in_the_place_of_petiole", FRR_LAB) {
        return Ok(());
    }
    let lab = Lab::up(Path::new(CONTIV_FRR))?;
    common::contiv::sessions_on_the_leafs(&lab)?;
    let web = common::contiv::Addresses {
        web1: ["192.168.1.1".parse().unwrap(), "2001:db8:1::1:1".parse().unwrap()],
        web2: ["192.168.1.101".parse().unwrap(), "2001:db8:1::2:1".parse().unwrap()],
    };
    common::contiv::tables_of_the_leafs(&lab, &web)?;
    common::contiv::everything_is_reachable(&lab, &web)?;

    lab.node("leaf1").frr().kill_daemon("bgpd")?;
    lab.node("leaf1").frr().start_daemon("bgpd")?;
    common::contiv::tables_of_the_leafs(&lab, &web)?;
    lab.down()
}

#[test]
fn two_labs_of_the_same_topology_run_side_by_side() -> Result<(), LabError> {
    if skip("two_labs_of_the_same_topology_run_side_by_side", ROOT) {
        return Ok(());
    }
    let labs = [Lab::of(plain()).up()?, Lab::of(plain()).up()?];
    for lab in &labs {
        assert!(lab.node("a").ping("192.0.2.2".parse().unwrap(), 3)?.is_complete());
    }
    let [first, second] = labs;
    first.down()?;
    assert!(second.node("b").ping("192.0.2.1".parse().unwrap(), 3)?.is_complete());
    second.down()
}

#[test]
fn a_kernel_with_vlans_is_there_for_a_test_that_needs_one() -> Result<(), LabError> {
    if skip("a_kernel_with_vlans_is_there_for_a_test_that_needs_one", &[Root, Tcpdump, Vlan]) {
        return Ok(());
    }
    let lab = Lab::of(plain()).up()?;
    let (a, b) = (lab.node("a"), lab.node("b"));
    for (node, address) in [(a, "198.51.100.1/24"), (b, "198.51.100.2/24")] {
        node.run("ip link add link eth1 name eth1.112 type vlan id 112")?;
        node.run(&format!("ip address add {address} dev eth1.112"))?;
        node.run("ip link set eth1.112 up")?;
    }
    let capture = b.capture("eth1", "vlan 112 and icmp")?;
    assert!(a.ping("198.51.100.2".parse().unwrap(), 3)?.is_complete());
    capture.wait_for_line(SHORT, |line| line.contains("vlan 112, p 0"))?;
    lab.down()
}

#[test]
fn the_dump_shows_sessions_tables_and_logs() -> Result<(), LabError> {
    if skip("the_dump_shows_sessions_tables_and_logs", FRR_LAB) {
        return Ok(());
    }
    let lab = Lab::up(Path::new(CONTIV_FRR))?;
    let dump = petiole_netns_tests::dump(&lab);
    for part in [
        "leaf1: vtysh -c 'show bgp summary'",
        "web1 in host1: ip route",
        "leaf2: bgpd.log",
        "bgpd 8",
        "50.1.1.1/24",
    ] {
        assert!(dump.contains(part), "`{part}` is not in the dump:\n{dump}");
    }
    lab.down()
}

/// What a lab could leave behind: interfaces, mounts, named namespaces.
fn traces_on_the_machine() -> [String; 3] {
    let names = |folder: &str| {
        let mut names: Vec<_> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.file_name()).collect();
        names.sort();
        format!("{names:?}")
    };
    [names("/sys/class/net"), fs::read_to_string("/proc/self/mountinfo").unwrap(), names("/run/netns")]
}

/// The PID namespace of a process, by inode.
fn namespace_of(pid: i32) -> u64 {
    fs::metadata(format!("/proc/{pid}/ns/pid")).unwrap().ino()
}

fn processes_in(namespace: u64) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.filter(|p| fs::metadata(p.path().join("ns/pid")).is_ok_and(|m| m.ino() == namespace)).count()
}
