//! Bad input: a clear message, and no change.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{net::IpAddr, os::unix::net::UnixListener, time::Duration};

use common::{PETIOLE_LAB, address};
use ipnet::IpNet;
use petiole_netns_tests::{
    Builder, Kernel, Lab, LabError, Node, Place, holds, skip, speaker::petiole::CONFIG, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(30);
const PAIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/topologies/pair/pair.clab.yml");

/// The container's route on the leaf.
fn container() -> IpNet {
    IpNet::from(address("192.168.1.1"))
}

fn pair() -> Result<Builder, LabError> {
    Lab::load(PAIR.as_ref())
}

fn settled() -> Result<Lab, LabError> {
    let lab = pair()?.up()?;
    works(&lab)?;
    Ok(lab)
}

/// Session, container and learned route.
fn works(lab: &Lab) -> Result<(), LabError> {
    lab.node("host").petiole().wait_established("leaf")?;
    wait_until("the container on the leaf", PATIENCE, || lab.node("leaf").route_to(container()))?;
    wait_until("the leaf's route", PATIENCE, || {
        lab.node("host").route_to("203.0.113.0/24".parse().unwrap())
    })?;
    Ok(())
}

/// Which session with the host the leaf is in, by their number; the present one is up.
fn session_of(leaf: Node<'_>) -> Result<String, LabError> {
    let all = leaf.frr().show_json("show bgp neighbors")?;
    let row = &all["10.0.1.1"];
    assert_eq!(row["bgpState"], "Established");
    Ok(row["connectionsEstablished"].to_string())
}

/// One mistake in the file: what is written instead of what, and what the message must say.
struct Mistake {
    what: &'static str,
    from: &'static str,
    to: &'static str,
    says: &'static [&'static str],
}

const MISTAKES: &[Mistake] = &[
    Mistake {
        what: "unknown key",
        from: "hold-time = 3",
        to: "hold-tiem = 3",
        says: &[":14:", "hold-tiem", "hold-time"],
    },
    Mistake { what: "wrong type", from: "asn = 65001", to: "asn = true", says: &[":12:", "asn"] },
    Mistake {
        what: "duplicate name",
        from: "[[network]]",
        to: "[[neighbor]]\nname = \"leaf\"\naddress = \"10.0.1.3\"\nasn = 65001\nimport = \"all\"\n\n[[network]]",
        says: &["leaf", ":18:"],
    },
    Mistake {
        what: "overlapping subnets",
        from: "[[endpoint]]",
        to: "[[network]]\nname = \"other\"\nencap = \"routed\"\nsubnet = \"192.168.0.0/16\"\n\n[[endpoint]]",
        says: &["192.168.0.0/16", "192.168.1.0/24"],
    },
    Mistake {
        what: "address outside its pool",
        from: "netns = \"/run/netns/web1\"",
        to: "netns = \"/run/netns/web1\"\naddress = \"192.168.1.200\"",
        says: &["192.168.1.200", ":28:"],
    },
    Mistake { what: "missing import", from: "import = \"all\"\n", to: "", says: &["import", "neighbor"] },
    Mistake { what: "not TOML", from: "[host]", to: "[host", says: &[":1:"] },
];

#[test]
fn a_file_with_a_mistake_is_refused_whole_with_the_place_and_nothing_changes() -> Result<(), LabError> {
    if skip("a_file_with_a_mistake_is_refused_whole_with_the_place_and_nothing_changes", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = settled()?;
    let (host, leaf) = (lab.node("host"), lab.node("leaf"));
    let good = host.read_file(CONFIG)?;
    let session = session_of(leaf)?;
    for mistake in MISTAKES {
        let bad = good.replace(mistake.from, mistake.to);
        assert_ne!(bad, good, "{}", mistake.what);
        // Beside the mistake there is a change that is right: it must not come through either.
        let bad = bad.replace("192.168.1.1-192.168.1.100", "192.168.1.2-192.168.1.100");
        host.petiole().write_config(&bad)?;
        let check = host.petiole().check()?;
        let reload = host.output("petiole reload")?;
        for (by, output) in [("check", &check), ("reload", &reload)] {
            assert_eq!(output.status.code(), Some(1), "{} by {by}: {output:?}", mistake.what);
            for part in mistake.says {
                assert!(
                    output.stderr.contains(part),
                    "{} by {by}: `{part}` is not in\n{}",
                    mistake.what,
                    output.stderr
                );
            }
        }
        // SIGHUP has nobody to tell but the log.
        host.petiole().hang_up()?;
        assert_eq!(session_of(leaf)?, session, "{}", mistake.what);
        leaf.route_to(container())?;
    }
    host.petiole().write_config(&good)?;
    host.petiole().reload()?;
    assert_eq!(session_of(leaf)?, session);
    lab.down()
}

#[test]
fn a_daemon_does_not_start_with_a_bad_file() -> Result<(), LabError> {
    if skip("a_daemon_does_not_start_with_a_bad_file", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = pair()?.defer("host").up()?;
    let host = lab.node("host");
    host.petiole().edit_config(&[("hold-time = 3", "hold-time = 2")])?;
    let run = host.output(&format!("petiole run --config {CONFIG}"))?;
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(run.stderr.contains("hold-time") && run.stderr.contains(":14:"), "{}", run.stderr);
    let run = host.output("petiole run --config /etc/petiole/no-such-file.toml")?;
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(run.stderr.contains("/etc/petiole/no-such-file.toml"), "{}", run.stderr);
    assert!(host.routes(false)?.is_empty(), "and has touched nothing");
    lab.down()
}

#[test]
fn a_file_that_vanished_at_reload_changes_nothing() -> Result<(), LabError> {
    if skip("a_file_that_vanished_at_reload_changes_nothing", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = settled()?;
    let (host, leaf) = (lab.node("host"), lab.node("leaf"));
    let session = session_of(leaf)?;
    host.run(&format!("mv {CONFIG} /etc/petiole/elsewhere"))?;
    let reload = host.output("petiole reload")?;
    assert_eq!(reload.status.code(), Some(1), "{reload:?}");
    assert!(reload.stderr.contains(CONFIG), "{}", reload.stderr);
    assert_eq!(session_of(leaf)?, session);
    leaf.route_to(container())?;
    host.run(&format!("mv /etc/petiole/elsewhere {CONFIG}"))?;
    host.petiole().reload()?;
    assert_eq!(session_of(leaf)?, session);
    lab.down()
}

#[test]
fn a_password_file_that_cannot_be_read_is_refused_at_reload() -> Result<(), LabError> {
    if skip("a_password_file_that_cannot_be_read_is_refused_at_reload", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = settled()?;
    let (host, leaf) = (lab.node("host"), lab.node("leaf"));
    let session = session_of(leaf)?;
    host.petiole()
        .edit_config(&[("hold-time = 3", "hold-time = 3\npassword-file = \"/etc/petiole/leaf.key\"")])?;
    let reload = host.output("petiole reload")?;
    assert_eq!(reload.status.code(), Some(1), "{reload:?}");
    assert!(reload.stderr.contains("/etc/petiole/leaf.key"), "{}", reload.stderr);
    assert_eq!(session_of(leaf)?, session);
    // A folder can be opened and not read, whoever asks.
    host.run("mkdir /etc/petiole/leaf.key")?;
    let reload = host.output("petiole reload")?;
    assert_eq!(reload.status.code(), Some(1), "{reload:?}");
    assert_eq!(session_of(leaf)?, session);
    lab.down()
}

#[test]
fn an_interface_that_does_not_exist_yet_is_waited_for() -> Result<(), LabError> {
    if skip("an_interface_that_does_not_exist_yet_is_waited_for", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = pair()?.defer("host").up()?;
    let (host, leaf) = (lab.node("host"), lab.node("leaf"));
    host.run("ip link set eth1 down")?;
    host.run("ip link set eth1 name later0")?;
    host.boot()?;
    host.petiole().wait_ready()?;
    assert_ne!(host.petiole().session("leaf")?, "established");
    host.run("ip link set later0 name eth1")?;
    works(&lab)?;
    leaf.route_to(container())?;
    lab.down()
}

#[test]
fn a_second_daemon_on_the_same_host_is_refused() -> Result<(), LabError> {
    if skip("a_second_daemon_on_the_same_host_is_refused", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = settled()?;
    let (host, leaf) = (lab.node("host"), lab.node("leaf"));
    let session = session_of(leaf)?;
    let second = host.output(&format!("petiole run --config {CONFIG}"))?;
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(!second.stderr.trim().is_empty());
    // Another socket does not make it another host.
    let config = host.read_file(CONFIG)?;
    host.write_file(
        "/etc/petiole/second.toml",
        &format!("{config}\n[api]\nsocket = \"/run/petiole/second.sock\"\n"),
    )?;
    let second = host.output("petiole run --config /etc/petiole/second.toml")?;
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert_eq!(host.petiole().processes().len(), 1);
    host.petiole().wait_ready()?;
    assert_eq!(session_of(leaf)?, session);
    leaf.route_to(container())?;
    lab.down()
}

#[test]
fn a_socket_that_is_in_use_is_not_taken_over() -> Result<(), LabError> {
    if skip("a_socket_that_is_in_use_is_not_taken_over", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = pair()?.defer("host").up()?;
    let host = lab.node("host");
    host.run("mkdir -p /run/petiole")?;
    let other = UnixListener::bind(host.seen_from_outside("/run/petiole/petiole.sock")).unwrap();
    let run = host.output(&format!("petiole run --config {CONFIG}"))?;
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(run.stderr.contains("/run/petiole/petiole.sock"), "{}", run.stderr);
    assert!(host.routes(false)?.is_empty(), "and has touched nothing");
    // A socket that nobody listens on any more is a leftover of a daemon that was killed.
    drop(other);
    host.boot()?;
    works(&lab)?;
    lab.down()
}

#[test]
fn without_cap_net_admin_the_daemon_says_so() -> Result<(), LabError> {
    if skip("without_cap_net_admin_the_daemon_says_so", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = pair()?.defer("host").up()?;
    let host = lab.node("host");
    let run = host.output(&format!(
        "setpriv --bounding-set -net_admin --inh-caps -net_admin petiole run --config {CONFIG}"
    ))?;
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert!(run.stderr.contains("CAP_NET_ADMIN"), "{}", run.stderr);
    lab.down()
}

#[test]
fn a_question_without_a_daemon_is_answered_by_its_absence() -> Result<(), LabError> {
    if skip("a_question_without_a_daemon_is_answered_by_its_absence", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = pair()?.defer("host").up()?;
    let host = lab.node("host");
    for line in ["petiole show neighbors", "petiole show routes --json", "petiole reload"] {
        let output = host.output(line)?;
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        assert!(output.stderr.contains("/run/petiole/petiole.sock"), "{line}: {}", output.stderr);
    }
    assert_eq!(host.output("petiole show nonsense")?.status.code(), Some(2));
    lab.down()
}

#[test]
fn a_daemon_that_is_asked_to_end_does_so_and_can_be_started_again() -> Result<(), LabError> {
    if skip("a_daemon_that_is_asked_to_end_does_so_and_can_be_started_again", PETIOLE_LAB) {
        return Ok(());
    }
    let lab = settled()?;
    let host = lab.node("host");
    let before: Vec<IpAddr> = host.container("web1").addresses("eth0")?;
    host.petiole().stop()?;
    wait_until("end of the session", PATIENCE, || {
        let state = lab.node("leaf").frr().session("10.0.1.1").map_err(|e| e.to_string())?;
        holds(state != "Established", state)
    })?;
    host.petiole().start()?;
    works(&lab)?;
    assert_eq!(host.container("web1").addresses("eth0")?, before);
    lab.down()
}
