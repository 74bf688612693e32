//! What is somebody else's stays as it is, whatever petiole does.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::{contiv::PATIENCE, lone};
use petiole_netns_tests::{
    Lab, LabError, Node, Place, Protocol,
    Requirement::{self, Nft, Petiole, Root},
    Snapshot, Talk, holds, skip, wait_until,
};

const LONE_LAB: &[Requirement] = &[Root, Petiole, Nft];

/// A machine that was a router before: an installer's addresses, and what Docker switches on for all links.
const BEFORE: &[&str] = &[
    "ip address add 203.0.113.10/24 dev eth1",
    "ip address add 2001:db8:cafe::10/64 dev eth1 nodad",
    "sysctl -q -w net.ipv4.ip_forward=1",
    "sysctl -q -w net.ipv6.conf.all.forwarding=1",
];

/// An operator's, Docker's, another VXLAN user's: one of every kind that petiole makes too.
const FOREIGN: &[&str] = &[
    "ip link add name docker0 address 02:42:00:00:00:01 type bridge forward_delay 200",
    "ip address add 172.17.0.1/16 dev docker0",
    "ip -6 address add fd00:17::1/64 dev docker0 nodad",
    "ip link set docker0 up",
    "ip link add name veth77 type veth peer name veth78",
    "ip link set veth77 master docker0 up",
    "ip link set veth78 up",
    "bridge fdb add 02:42:00:00:00:77 dev veth77 master static",
    // A name like ours, without our mark.
    "ip link add name pb-mine type bridge",
    "ip link add name vxlan9 type vxlan id 9 dstport 8472 local 203.0.113.10 dev eth1 nolearning",
    "ip link set vxlan9 master docker0 up",
    "bridge fdb append 00:00:00:00:00:00 dev vxlan9 dst 203.0.113.99",
    "bridge fdb append 02:42:00:00:00:99 dev vxlan9 dst 203.0.113.98 self permanent",
    "ip route add 198.51.100.0/24 via 203.0.113.1 proto static",
    "ip route add 198.51.101.0/24 via 203.0.113.1 proto bird metric 32",
    "ip route add 198.51.102.0/24 via 203.0.113.1 proto bgp metric 20",
    "ip -6 route add 2001:db8:ffff::/48 via 2001:db8:cafe::1 proto static",
    "ip route add 192.168.1.200/32 via 203.0.113.1 proto static metric 7",
    "ip route add blackhole 192.168.7.0/24 table 77",
    "ip rule add from 192.168.7.0/24 table 77 priority 777",
    "ip nexthop add id 4711 via 203.0.113.1 dev eth1 proto static",
    "ip neigh add 203.0.113.55 lladdr 02:00:00:00:00:55 dev eth1 nud permanent",
];

/// Other people's tables, one with the name of ours in another family.
const FOREIGN_RULES: &str = r"
table inet filter {
  set blocked {
    type ipv4_addr
    flags interval
    elements = { 192.0.2.0/24, 198.18.0.1 }
  }
  chain forward {
    type filter hook forward priority 0; policy accept;
    ip saddr @blocked counter packets 0 bytes 0 drop
  }
}
table ip nat {
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ip saddr 172.17.0.0/16 oifname != docker0 masquerade
  }
}
table ip petiole {
  chain mine {
    tcp dport 22 accept
  }
}
";

/// The foreign objects, and nothing else.
const QUESTIONS: &[&str] = &[
    "ip -d link show dev docker0",
    "ip -d link show dev veth77",
    "ip -d link show dev pb-mine",
    "ip -d link show dev vxlan9",
    "ip address show dev docker0",
    "bridge fdb show br docker0",
    "bridge fdb show dev vxlan9",
    "bridge -d link show dev veth77",
    "ip route show proto static",
    "ip route show proto bird",
    "ip route show 198.51.102.0/24",
    "ip -6 route show 2001:db8:ffff::/48",
    "ip route show table 77",
    "ip rule show",
    "ip nexthop show id 4711",
    "ip neigh show 203.0.113.55",
    "nft list table inet filter",
    "nft list table ip nat",
    "nft list table ip petiole",
    "sh -c 'grep -r . /proc/sys/net/ipv4/conf/docker0 /proc/sys/net/ipv4/conf/veth77 /proc/sys/net/ipv6/conf/docker0'",
];

/// Something of every kind.
const OURS: &str = r#"
[[tenant]]
name = "blue"

[[network]]
name = "public"
encap = "routed"
subnet = "192.168.1.0/24"
subnet6 = "2001:db8:1::/64"
masquerade = true
quarantine = 0

[[group]]
name = "web"
network = "public"
default = "deny"
policies = ["web-clients"]

[[policy]]
name = "web-clients"
rules = [{ id = "1", protocol = "tcp", port = 80 }]

[[network]]
name = "contiv-net"
encap = "vxlan"
vni = 5001
vteps = ["203.0.113.10", "203.0.113.11"]
subnet = "10.1.2.0/24"
gateway = "10.1.2.254"

[[network]]
name = "segment"
encap = "vxlan"
vni = 5002
vteps = ["203.0.113.10", "203.0.113.11"]
subnet = "10.1.3.0/24"

[[group]]
name = "inside"
network = "segment"
default = "deny"

[[network]]
name = "public"
tenant = "blue"
encap = "routed"
subnet = "192.168.2.0/24"
"#;

fn prepared() -> Result<(Lab, Snapshot), LabError> {
    let lab = lone::prepared(OURS)?;
    let host = lab.node("host");
    for line in BEFORE.iter().chain(FOREIGN) {
        host.run(line)?;
    }
    host.run_with_input("nft -f -", FOREIGN_RULES)?;
    let before = foreign(host)?;
    Ok((lab, before))
}

fn foreign(host: Node<'_>) -> Result<Snapshot, LabError> {
    Snapshot::with(&host, QUESTIONS)
}

/// Containers of every kind of network, one with a published port, two in groups that deny.
fn populate(host: Node<'_>) -> Result<(), LabError> {
    for (name, words) in [
        ("a", "--group web --publish 9099:80/tcp"),
        ("b", "--network contiv-net"),
        ("c", "--network public --tenant blue"),
        ("d", "--group inside"),
    ] {
        if !host.container(name).exists() {
            host.netns_add(name)?;
        }
        host.petiole().endpoint_add(&format!("{name} {words} --netns /run/netns/{name}"))?;
    }
    Ok(())
}

#[test]
fn foreign_objects_are_the_same_after_start_reload_stop_and_kill() -> Result<(), LabError> {
    if skip("foreign_objects_are_the_same_after_start_reload_stop_and_kill", LONE_LAB) {
        return Ok(());
    }
    let (lab, before) = prepared()?;
    let host = lab.node("host");
    let unchanged = |when: &str| -> Result<(), LabError> {
        let changes = before.changes(&foreign(host)?);
        assert!(changes.is_empty(), "after {when}:\n{changes}");
        Ok(())
    };
    let start = || -> Result<(), LabError> {
        host.petiole().start()?;
        host.petiole().wait_ready()
    };

    start()?;
    unchanged("start")?;
    populate(host)?;
    unchanged("endpoints of every kind")?;
    host.petiole().edit_config(&[("\"203.0.113.11\"]", "\"203.0.113.11\", \"203.0.113.12\"]")])?;
    host.petiole().reload()?;
    unchanged("a reload with one more VTEP")?;
    host.petiole().edit_config(&[("masquerade = true", "masquerade = false")])?;
    host.petiole().reload()?;
    unchanged("a reload without masquerade")?;
    host.petiole().edit_config(&[("default = \"deny\"", "default = \"allow\"")])?;
    host.petiole().reload()?;
    unchanged("a reload with other policies")?;
    host.petiole().kill()?;
    unchanged("a kill")?;
    start()?;
    unchanged("the start after it")?;
    host.petiole().endpoint_del("b")?;
    host.petiole().stop()?;
    unchanged("a stop")?;
    start()?;
    populate(host)?;
    host.petiole().stop_by_command(true)?;
    unchanged("a stop that leaves nothing of ours")?;
    let left = host.run("ip -br link")?;
    assert!(!left.contains("pt-") && !left.contains("px-") && !left.contains("pb-contiv"), "{left}");
    assert!(!host.run("nft list tables")?.contains("table inet petiole"));
    lab.down()
}

#[test]
fn what_is_in_the_way_is_reported_and_not_removed() -> Result<(), LabError> {
    if skip("what_is_in_the_way_is_reported_and_not_removed", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::prepared(OURS)?;
    let host = lab.node("host");
    // A bridge of the name that ours would have, and a VXLAN of our VNI.
    host.run("ip link add name pb-contiv-net type bridge")?;
    let bridge = || Snapshot::with(&host, &["ip -d link show dev pb-contiv-net"]);
    let before = bridge()?;
    host.boot()?;
    host.petiole().wait_ready()?;
    wait_until("a complaint", PATIENCE, || {
        let fib = host.petiole().show_text("fib").map_err(|e| e.to_string())?;
        holds(fib.lines().any(|l| l.contains("pb-contiv-net") && l.contains("failed")), fib)
    })?;
    assert_eq!(before.changes(&bridge()?), "");
    // Everything else works meanwhile.
    host.netns_add("a")?;
    host.petiole().endpoint_add("a --network public --netns /run/netns/a")?;
    // Gone, ours takes its place without being told.
    host.run("ip link delete pb-contiv-net")?;
    wait_until("our bridge", PATIENCE, || {
        let link = host.run("ip -d link show dev pb-contiv-net").map_err(|e| e.to_string())?;
        holds(link.contains("petiole"), link)
    })?;
    lab.down()
}

#[test]
fn a_vxlan_port_that_somebody_has_is_reported_with_who_has_it() -> Result<(), LabError> {
    if skip("a_vxlan_port_that_somebody_has_is_reported_with_who_has_it", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::prepared(OURS)?;
    let host = lab.node("host");
    let holder = host.answer(Protocol::Udp, ([0, 0, 0, 0], 4789))?;
    host.boot()?;
    host.petiole().wait_ready()?;
    let why = wait_until("a complaint", PATIENCE, || {
        let networks = host.petiole().show_text("networks").map_err(|e| e.to_string())?;
        let fib = host.petiole().show_text("fib").map_err(|e| e.to_string())?;
        let log = host.read_file("/run/lab/log/petiole.log").map_err(|e| e.to_string())?;
        let all = format!("{networks}{fib}{log}");
        if all.contains("4789") && all.contains("lab") { Ok(all) } else { Err(all) }
    })?;
    assert!(why.contains("px-5001"), "{why}");
    // Free again, it is taken without being told.
    drop(holder);
    wait_until("our VXLAN", PATIENCE, || {
        let link = host.run("ip -br link show dev px-5001").map_err(|e| e.to_string())?;
        holds(link.contains("UP"), link)
    })?;
    lab.down()
}
