//! Containers that come and go by `petiole endpoint add` and `del`: what is answered, what is refused, what a crash leaves.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fmt::Write as _, thread, time::Duration};

use common::{
    PETIOLE_LAB, address,
    contiv::{PATIENCE, addresses_of},
    lone,
};
use ipnet::IpNet;
use petiole_netns_tests::{
    Kernel, Lab, LabError, Node, Output, Place,
    Requirement::{self, Nft, Petiole, Root},
    Snapshot, holds, skip,
    speaker::petiole::CONFIG,
    wait_until,
};

const LONE_LAB: &[Requirement] = &[Root, Petiole, Nft];

/// A routed network and a VXLAN with a gateway, large enough for everything, whose addresses need no rest.
const NETWORKS: &str = r#"
[[network]]
name = "public"
encap = "routed"
subnet = "10.64.0.0/16"
subnet6 = "2001:db8:1::/64"
quarantine = 0

[[network]]
name = "app"
encap = "vxlan"
vni = 5001
vteps = ["203.0.113.10", "203.0.113.11"]
subnet = "10.65.0.0/16"
gateway = "10.65.255.254"
quarantine = 0

[[network]]
name = "segment"
encap = "vxlan"
vni = 5002
vteps = ["203.0.113.10", "203.0.113.11"]
subnet = "10.64.0.0/16"
tenant = "blue"
quarantine = 0

[[tenant]]
name = "blue"
"#;

fn up() -> Result<Lab, LabError> {
    lone::up(NETWORKS)
}

fn line(name: &str, network: &str) -> String {
    format!("petiole endpoint add {name} --network {network} --netns /run/netns/{name}")
}

/// What is not there when no container is.
fn no_trace(host: Node<'_>, name: &str) -> Result<(), String> {
    let links = host.run("ip -br link").map_err(|e| e.to_string())?;
    holds(!links.contains("pt-"), links)?;
    let inside = host.container(name).run("ip -br link").map_err(|e| e.to_string())?;
    holds(!inside.contains("eth0"), inside)?;
    let rows = host.petiole().rows("endpoints").map_err(|e| e.to_string())?;
    holds(rows.is_empty(), format!("{rows:?}"))
}

#[test]
fn an_endpoint_added_is_on_the_leaf_by_the_time_of_the_answer_or_soon_after() -> Result<(), LabError> {
    if skip("an_endpoint_added_is_on_the_leaf_by_the_time_of_the_answer_or_soon_after", PETIOLE_LAB) {
        return Ok(());
    }
    let pair = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/topologies/pair/pair.clab.yml");
    let lab = Lab::up(pair.as_ref())?;
    let (host, leaf) = (lab.node("host"), lab.node("leaf"));
    host.petiole().wait_established("leaf")?;
    let web2 = host.netns_add("web2")?;
    let words = "petiole endpoint add web2 --network public --netns /run/netns/web2 --address 192.168.1.33 --interface net1";
    let said = host.run(words)?;
    assert_eq!(said, "web2 192.168.1.33 02:02:c0:a8:01:21\n");
    assert_eq!(web2.addresses("net1")?, [address("192.168.1.33")], "it is there when the answer is");
    wait_until("the container on the leaf", PATIENCE, || {
        leaf.route_to(IpNet::from(address("192.168.1.33")))
    })?;
    assert!(leaf.ping(address("192.168.1.33"), 1)?.is_complete());
    // Whoever did not hear the answer asks again.
    assert_eq!(host.run(words)?, said);

    let listed = host.run("petiole endpoint list")?;
    assert_eq!(listed, host.petiole().show_text("endpoints")?);
    assert!(
        listed.contains("web1") && listed.contains("web2") && listed.contains("192.168.1.33"),
        "{listed}"
    );

    let log = leaf.monitor("route")?;
    host.petiole().endpoint_del("web2")?;
    assert!(!web2.run("ip -br link")?.contains("net1"), "it is gone when the answer is there");
    log.0.wait_for_line(PATIENCE, |line| line.starts_with("Deleted 192.168.1.33 "))?;
    // web1 is the file's.
    let refused = host.output("petiole endpoint del web1")?;
    assert!(refused.status.code() == Some(1) && refused.stderr.contains("web1"), "{refused:?}");
    lab.down()
}

#[test]
fn equal_names_in_two_tenants_are_two_endpoints() -> Result<(), LabError> {
    if skip("equal_names_in_two_tenants_are_two_endpoints", LONE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let host = lab.node("host");
    host.netns_add("one")?;
    host.netns_add("two")?;
    host.run("petiole endpoint add web --network public --netns /run/netns/one")?;
    host.run("petiole endpoint add web --tenant blue --network segment --netns /run/netns/two")?;
    assert_eq!(host.container("one").addresses("eth0")?[0], host.container("two").addresses("eth0")?[0]);
    assert_eq!(host.petiole().rows("endpoints")?.len(), 2);
    host.petiole().endpoint_del("web --tenant blue")?;
    assert_eq!(host.petiole().rows("endpoints")?.len(), 1);
    assert!(host.container("one").run("ip -br link")?.contains("eth0"));
    lab.down()
}

/// One request that must be refused, and what the reason must name.
struct Refusal {
    what: &'static str,
    words: &'static str,
    says: &'static [&'static str],
}

const REFUSALS: &[Refusal] = &[
    Refusal {
        what: "no such file",
        words: "bad --network public --netns /run/netns/nowhere",
        says: &["/run/netns/nowhere"],
    },
    Refusal {
        what: "a path that is no namespace",
        words: "bad --network public --netns /etc/passwd",
        says: &["/etc/passwd", "namespace"],
    },
    Refusal {
        what: "a namespace of another kind",
        words: "bad --network public --netns /proc/self/ns/uts",
        says: &["/proc/self/ns/uts", "namespace"],
    },
    Refusal {
        what: "the host's own namespace",
        words: "bad --network public --netns /proc/1/ns/net",
        says: &["/proc/1/ns/net"],
    },
    Refusal {
        what: "an interface that the container has",
        words: "bad --network public --netns /run/netns/taken",
        says: &["eth0", "/run/netns/taken"],
    },
    Refusal {
        what: "an interface that petiole made",
        words: "bad --network app --netns /run/netns/good",
        says: &["eth0", "good"],
    },
    Refusal {
        what: "no such network",
        words: "bad --network nonsense --netns /run/netns/free",
        says: &["nonsense"],
    },
    Refusal {
        what: "another tenant's network",
        words: "bad --network segment --netns /run/netns/free",
        says: &["segment"],
    },
    Refusal {
        what: "no such tenant",
        words: "bad --tenant red --network public --netns /run/netns/free",
        says: &["red"],
    },
    Refusal {
        what: "no such group",
        words: "bad --group nonsense --netns /run/netns/free",
        says: &["nonsense"],
    },
    Refusal {
        what: "a name that is in use otherwise",
        words: "good --network app --netns /run/netns/free",
        says: &["good"],
    },
    Refusal {
        what: "not a name",
        words: "b/a/d --network public --netns /run/netns/free",
        says: &["name", "`/`"],
    },
    Refusal {
        what: "an interface name that is too long",
        words: "bad --network public --netns /run/netns/free --interface abcdefghijklmnop",
        says: &["interface", "15 bytes"],
    },
    Refusal {
        what: "a port in a network that the host has no way into",
        words: "bad --tenant blue --network segment --netns /run/netns/free --publish 80:80",
        says: &["segment"],
    },
];

#[test]
fn a_request_that_cannot_be_is_refused_with_the_reason_and_leaves_nothing() -> Result<(), LabError> {
    if skip("a_request_that_cannot_be_is_refused_with_the_reason_and_leaves_nothing", LONE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let host = lab.node("host");
    for name in ["good", "taken", "free"] {
        host.netns_add(name)?;
    }
    host.container("taken").run("ip link add name eth0 type veth peer name other")?;
    host.run(&line("good", "public"))?;
    let everything = || -> Result<(Snapshot, Vec<serde_json::Value>, String), LabError> {
        let inside =
            host.container("taken").run("ip -br link")? + &host.container("free").run("ip -br link")?;
        Ok((Snapshot::of(&host)?, host.petiole().rows("endpoints")?, inside))
    };
    let before = everything()?;
    for refusal in REFUSALS {
        let output = host.output(&format!("petiole endpoint add {}", refusal.words))?;
        assert_eq!(output.status.code(), Some(1), "{}: {output:?}", refusal.what);
        for part in refusal.says {
            assert!(output.stderr.contains(part), "{}: `{part}` is not in {}", refusal.what, output.stderr);
        }
        let after = everything()?;
        assert_eq!(before.0.changes(&after.0), "", "{}", refusal.what);
        assert_eq!((&before.1, &before.2), (&after.1, &after.2), "{}", refusal.what);
    }
    // What is refused keeps no address.
    let networks = host.petiole().rows("networks")?;
    let used: u64 = networks.iter().filter_map(|row| row["pool_used"].as_u64()).sum();
    assert_eq!(used, 1, "{networks:?}");
    lab.down()
}

#[test]
fn a_network_that_has_endpoints_cannot_be_removed_by_reload() -> Result<(), LabError> {
    if skip("a_network_that_has_endpoints_cannot_be_removed_by_reload", LONE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let host = lab.node("host");
    for name in ["web1", "web2"] {
        host.netns_add(name)?;
        host.run(&line(name, "app"))?;
    }
    let good = host.read_file(CONFIG)?;
    let (before, rest) = good.split_once("[[network]]\nname = \"app\"").unwrap();
    let without = format!("{before}[[network]]{}", rest.split_once("[[network]]").unwrap().1);
    let snapshot = Snapshot::of(&host)?;
    host.petiole().write_config(&without)?;
    let reload = host.output("petiole reload")?;
    assert_eq!(reload.status.code(), Some(1), "{reload:?}");
    for part in ["app", "web1", "web2"] {
        assert!(reload.stderr.contains(part), "`{part}` is not in {}", reload.stderr);
    }
    assert_eq!(snapshot.changes(&Snapshot::of(&host)?), "");

    for name in ["web1", "web2"] {
        host.petiole().endpoint_del(name)?;
    }
    host.petiole().reload()?;
    wait_until("end of the network", PATIENCE, || {
        let links = host.run("ip -br link").map_err(|e| e.to_string())?;
        holds(!links.contains("pb-app") && !links.contains("px-5001"), links)
    })?;
    lab.down()
}

#[test]
fn an_mtu_that_cannot_fit_is_refused() -> Result<(), LabError> {
    if skip("an_mtu_that_cannot_fit_is_refused", LONE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let host = lab.node("host");
    host.netns_add("web1")?;
    host.run(&line("web1", "app"))?;
    assert_eq!(host.container("web1").json("ip -j link show dev eth0")?[0]["mtu"], 1450);
    let snapshot = Snapshot::of(&host)?;
    host.petiole().edit_config(&[("vni = 5001", "vni = 5001\nmtu = 1451")])?;
    let reload = host.output("petiole reload")?;
    assert_eq!(reload.status.code(), Some(1), "{reload:?}");
    for part in ["1451", "1450"] {
        assert!(reload.stderr.contains(part), "`{part}` is not in {}", reload.stderr);
    }
    assert_eq!(snapshot.changes(&Snapshot::of(&host)?), "");
    lab.down()
}

#[test]
fn an_endpoint_whose_namespace_is_gone_is_reaped() -> Result<(), LabError> {
    if skip("an_endpoint_whose_namespace_is_gone_is_reaped", LONE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let host = lab.node("host");
    let before = Snapshot::of(&host)?;
    let reaped = || {
        wait_until("reaping", PATIENCE, || {
            let rows = host.petiole().rows("endpoints").map_err(|e| e.to_string())?;
            holds(rows.is_empty(), format!("{rows:?}"))?;
            let changes = before.changes(&Snapshot::of(&host).map_err(|e| e.to_string())?);
            holds(changes.is_empty(), changes)
        })
    };
    for network in ["public", "app"] {
        host.netns_add("web1")?;
        host.run(&line("web1", network))?;
        host.netns_del("web1")?;
        reaped()?;
    }
    // While nobody looked.
    host.netns_add("web1")?;
    host.run(&line("web1", "public"))?;
    host.petiole().kill()?;
    host.netns_del("web1")?;
    // Another container of the same name is another container.
    host.netns_add("web1")?;
    host.petiole().start()?;
    host.petiole().wait_ready()?;
    reaped()?;
    assert!(!host.container("web1").run("ip -br link")?.contains("eth0"));
    lab.down()
}

/// How many endpoints come and go, and how many at a time.
const MANY: usize = 1000;
const AT_A_TIME: usize = 30;

/// Runs a command line for each of the names, several at a time.
fn in_parallel(
    host: Node<'_>,
    names: &[String],
    command: impl Fn(usize, &str) -> String + Sync,
) -> Result<(), LabError> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        let worker = || -> Result<(), LabError> {
            loop {
                let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(name) = names.get(i) else { return Ok(()) };
                host.run(&command(i, name))?;
            }
        };
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap())
    })
}

#[test]
fn a_thousand_endpoints_come_and_go_and_leave_the_host_as_it_was() -> Result<(), LabError> {
    if skip("a_thousand_endpoints_come_and_go_and_leave_the_host_as_it_was", LONE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let host = lab.node("host");
    let names: Vec<_> = (0..MANY).map(|i| format!("c{i}")).collect();
    let batch = |verb: &str| {
        names.iter().fold(String::new(), |mut text, name| {
            let _ = writeln!(text, "netns {verb} {name}");
            text
        })
    };
    host.run_with_input("ip -batch -", &batch("add"))?;
    // The first container brings the tables along that the last one leaves behind, empty.
    host.run(&format!("{} --publish 7:7", line("c0", "public")))?;
    host.petiole().endpoint_del("c0")?;
    let state = || Ok::<_, LabError>((Snapshot::of(&host)?, host.run("petiole endpoint list")?));
    let before = state()?;

    in_parallel(host, &names, |i, name| match i % 4 {
        0 => line(name, "app"),
        1 => format!("{} --tenant blue", line(name, "segment")),
        2 => format!("{} --publish {}:80", line(name, "public"), 20_000 + i),
        _ => line(name, "public"),
    })?;
    assert_eq!(host.petiole().rows("endpoints")?.len(), MANY);
    let routes = host.routes(false)?.iter().filter(|r| r.prefix.prefix_len() == 32).count();
    assert_eq!(routes, MANY / 4 * 3, "a /32 for each that the host has a way to");
    let elements = host.run("nft list table inet petiole")?.matches(" . ").count();
    assert!(elements >= MANY / 4, "{elements}");

    in_parallel(host, &names, |i, name| {
        format!("petiole endpoint del {name}{}", if i % 4 == 1 { " --tenant blue" } else { "" })
    })?;
    let after = state()?;
    assert_eq!(before.0.changes(&after.0), "");
    assert_eq!(before.1, after.1);
    for name in names.iter().step_by(97) {
        assert!(!host.container(name).run("ip -br link")?.contains("eth0"));
    }
    // The journal has forgotten them too.
    host.petiole().kill()?;
    host.petiole().start()?;
    host.petiole().wait_ready()?;
    assert_eq!(host.petiole().rows("endpoints")?.len(), 0);
    lab.down()
}

/// Starts the command, kills the daemon `delay` later, starts it again, and returns how the command ended.
fn interrupted(host: Node<'_>, command: &str, delay: Duration) -> Result<Output, LabError> {
    let output = thread::scope(|scope| {
        let command = scope.spawn(|| host.output(command));
        // The one thing that is not to be waited for: it must hit at any step.
        thread::sleep(delay);
        let killed = host.petiole().kill();
        killed.and(command.join().unwrap())
    })?;
    host.petiole().start()?;
    host.petiole().wait_ready()?;
    Ok(output)
}

/// Waits until the endpoint is either there, whole, or not at all; which, is returned.
fn whole_or_nothing(host: Node<'_>) -> Result<bool, LabError> {
    wait_until("the endpoint whole, or not at all", PATIENCE, || {
        let rows = host.petiole().rows("endpoints").map_err(|e| e.to_string())?;
        let Some(row) = rows.first() else { return no_trace(host, "web1").map(|()| false) };
        holds(row["state"] == "attached", row)?;
        let inside = host.container("web1").addresses("eth0").map_err(|e| e.to_string())?;
        let address = row["addresses"][0].as_str().unwrap_or_default().to_owned();
        holds(inside.iter().any(|a| a.to_string() == address), format!("{inside:?} and not {address}"))?;
        holds(host.ping(inside[0], 1).is_ok_and(|p| p.is_complete()), "no answer")?;
        Ok(true)
    })
}

#[test]
fn a_kill_at_any_step_of_add_and_del_loses_nothing_and_leaks_nothing() -> Result<(), LabError> {
    if skip("a_kill_at_any_step_of_add_and_del_loses_nothing_and_leaks_nothing", LONE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let host = lab.node("host");
    host.netns_add("web1")?;
    let add = format!("{} --publish 9099:80", line("web1", "app"));
    host.run(&add)?;
    host.petiole().endpoint_del("web1")?;
    let before = Snapshot::of(&host)?;
    let (mut answered, mut made) = (0, 0);
    for step in 0..60 {
        let delay = Duration::from_micros(300 * step);
        let output = interrupted(host, &add, delay)?;
        let exists = whole_or_nothing(host)?;
        answered += usize::from(output.status.success());
        made += usize::from(exists);
        assert!(exists || !output.status.success(), "lost after {delay:?}: {output:?}");
        // Whoever got no answer asks again.
        let said = host.run(&add)?;
        assert!(said.starts_with("web1 10.65."), "{said}");
        assert!(whole_or_nothing(host)?);

        let output = interrupted(host, "petiole endpoint del web1", delay)?;
        let exists = whole_or_nothing(host)?;
        assert!(!exists || !output.status.success(), "still there after {delay:?}: {output:?}");
        if exists {
            host.run("petiole endpoint del web1")?;
        }
        wait_until("nothing of it", PATIENCE, || no_trace(host, "web1"))?;
        let changes = before.changes(&Snapshot::of(&host)?);
        assert_eq!(changes, "", "after {delay:?}");
    }
    println!("of 60 kills after an add, {answered} came after the answer, {made} after the commit");
    addresses_of_nothing(host)?;
    lab.down()
}

/// No address is left behind as used: the pool is whole again.
fn addresses_of_nothing(host: Node<'_>) -> Result<(), LabError> {
    let networks = host.petiole().rows("networks")?;
    let used: Vec<_> = networks.iter().map(|row| row["pool_used"].as_u64()).collect();
    assert!(used.iter().all(|used| *used == Some(0)), "{networks:?}");
    Ok(())
}

#[test]
fn an_endpoint_of_the_file_and_one_by_hand_do_not_meet() -> Result<(), LabError> {
    if skip("an_endpoint_of_the_file_and_one_by_hand_do_not_meet", LONE_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let host = lab.node("host");
    for name in ["web1", "web2"] {
        host.netns_add(name)?;
    }
    host.run(&line("web1", "public"))?;
    let config = host.read_file(CONFIG)?;
    let more = "[[endpoint]]\nname = \"web2\"\nnetwork = \"public\"\nnetns = \"/run/netns/web2\"\n";
    host.petiole().write_config(&format!("{config}{more}"))?;
    host.petiole().reload()?;
    addresses_of(&host.container("web2"))?;
    let taken = host.output(&line("web2", "app"))?;
    assert!(taken.status.code() == Some(1) && taken.stderr.contains("web2"), "{taken:?}");
    // The file cannot take what somebody else has, by name.
    host.petiole().write_config(&format!("{config}{}", more.replace("web2", "web1")))?;
    let reload = host.output("petiole reload")?;
    assert!(reload.status.code() == Some(1) && reload.stderr.contains("web1"), "{reload:?}");
    lab.down()
}
