//! VLAN networks: scenario S8, and two hosts that are the gateway under one address.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    address,
    contiv::{PATIENCE, addresses_of, answers},
    topology,
};
use petiole_netns_tests::{
    Fit, Kernel, Lab, LabError, Place,
    Requirement::{self, Petiole, Root, Tcpdump, Vlan},
    holds, skip, wait_until,
};

const VLAN_LAB: &[Requirement] = &[Root, Petiole, Tcpdump, Vlan];

#[test]
fn s8_frames_on_the_trunk_have_tag_112_and_the_containers_hardware_addresses() -> Result<(), LabError> {
    if skip("s8_frames_on_the_trunk_have_tag_112_and_the_containers_hardware_addresses", VLAN_LAB) {
        return Ok(());
    }
    let lab = Lab::up(&topology("vlan-trunk"))?;
    let (host1, host2) = (lab.node("host1"), lab.node("host2"));
    let (c1, c2) = (host1.container("c1"), host2.container("c2"));
    assert_eq!(addresses_of(&c1)?, [address("10.1.3.1"), address("2001:db8:3::1")]);
    let [v4, v6] = addresses_of(&c2)?;
    assert_eq!([v4, v6], [address("10.1.3.2"), address("2001:db8:3::2")]);

    let trunk = host2.capture("eth2", "vlan")?;
    for to in [v4, v6] {
        answers(&c1, to)?;
        let ping = c1.ping(to, 5)?;
        assert!(ping.is_complete() && ping.ttl == Some(64), "to {to}: {ping:?}");
    }
    // 56 bytes of data: 8 of ICMP, 20 of IP, 14 of Ethernet, 4 of 802.1Q.
    let there =
        "02:02:0a:01:03:01 > 02:02:0a:01:03:02, ethertype 802.1Q (0x8100), length 102: vlan 112, p 0,";
    let back = "02:02:0a:01:03:02 > 02:02:0a:01:03:01, ethertype 802.1Q (0x8100), length 102: vlan 112, p 0,";
    for wanted in [there, back] {
        trunk.wait_for_line(PATIENCE, |line| line.contains(wanted) && line.contains("ethertype IPv4"))?;
    }
    for wanted in [there, back].map(|w| w.replace("length 102", "length 122")) {
        trunk.wait_for_line(PATIENCE, |line| line.contains(&wanted) && line.contains("ethertype IPv6"))?;
    }
    let lines = trunk.stop()?;
    let of_these = |line: &str| line.contains("02:02:0a:01:03:01 >") || line.contains("02:02:0a:01:03:02 >");
    let other: Vec<_> =
        lines.iter().filter(|l| of_these(&l.text) && !l.text.contains(": vlan 112, p 0,")).collect();
    assert!(other.is_empty(), "{other:#?}");

    // The tag is beside the payload of an Ethernet frame: it takes nothing from the MTU.
    let link = c1.json("ip -j link show dev eth0")?;
    assert_eq!((&link[0]["mtu"], &link[0]["address"]), (&1500.into(), &"02:02:0a:01:03:01".into()));
    for to in [v4, v6] {
        assert_eq!(c1.fits(to, 1500)?, Fit::Passed);
        assert_eq!(c1.fits(to, 1501)?, Fit::TooBig { mtu: 1500, by: None });
    }
    // The trunk has no address, and gets none.
    assert!(host1.addresses("eth2")?.is_empty());
    lab.down()
}

#[test]
fn two_hosts_are_the_gateway_of_a_vlan_without_a_fight() -> Result<(), LabError> {
    if skip("two_hosts_are_the_gateway_of_a_vlan_without_a_fight", VLAN_LAB) {
        return Ok(());
    }
    let lab = Lab::up(&topology("vlan-trunk"))?;
    let hosts = ["host1", "host2"].map(|host| lab.node(host));
    let apps = [hosts[0].container("app1"), hosts[1].container("app2")];
    let addresses = [addresses_of(&apps[0])?, addresses_of(&apps[1])?];
    let trunk = hosts[1].capture("eth2", "vlan 113")?;
    for (i, app) in apps.iter().enumerate() {
        for (gateway, own) in [("10.1.5.254", addresses[i][0]), ("2001:db8:5::fffe", addresses[i][1])] {
            answers(app, address(gateway))?;
            assert_eq!(app.ping(address(gateway), 5)?.ttl, Some(64));
            answers(&hosts[i], own)?;
        }
        let default = app.route_to("0.0.0.0/0".parse().unwrap())?;
        assert_eq!(default.gateways(), [address("10.1.5.254")]);
    }
    for to in addresses[1] {
        answers(&apps[0], to)?;
    }
    trunk.wait_for_line(PATIENCE, |line| line.contains("vlan 113,") && line.contains("ethertype IPv6"))?;
    let lines = trunk.stop()?;
    let gateway: Vec<_> = lines
        .iter()
        .filter(|l| l.text.contains("10.1.5.254") || l.text.contains("2001:db8:5::fffe"))
        .collect();
    assert!(gateway.is_empty(), "the gateway's affairs are the host's: {gateway:#?}");
    lab.down()
}

#[test]
fn a_vlan_comes_and_goes_with_its_uplink_and_its_network() -> Result<(), LabError> {
    if skip("a_vlan_comes_and_goes_with_its_uplink_and_its_network", VLAN_LAB) {
        return Ok(());
    }
    let lab = Lab::up(&topology("vlan-trunk"))?;
    let (host1, host2) = (lab.node("host1"), lab.node("host2"));
    let c1 = host1.container("c1");
    addresses_of(&c1)?;
    let c2 = addresses_of(&host2.container("c2"))?;
    answers(&c1, c2[0])?;
    // With the uplink the kernel deletes its VLANs. A cable has two ends: both hosts lose theirs.
    host1.run("ip link delete eth2")?;
    wait_until("loss of the VLANs", PATIENCE, || {
        let links = host1.run("ip -br link show type vlan").map_err(|e| e.to_string())?;
        holds(links.is_empty(), links)
    })?;
    host1.run("ip link add eth2 type veth peer name other")?;
    host1.run("ip link set eth2 up")?;
    wait_until("the VLANs are back", PATIENCE, || {
        let links = host1.run("ip -br link show type vlan").map_err(|e| e.to_string())?;
        holds(links.lines().count() == 2, links)
    })?;

    // The other network goes by reload: its VLAN, its bridge, and nothing else.
    let config = host1.read_file("/etc/petiole/petiole.toml")?;
    let (before, rest) = config.split_once("# Each host is the gateway").unwrap();
    let endpoint = rest.split_once("[[endpoint]]\nname    = \"c1\"").unwrap().1;
    let endpoint = endpoint.split_once("[[endpoint]]").unwrap().0;
    let smaller = format!("{before}\n[[endpoint]]\nname    = \"c1\"{endpoint}");
    host1.petiole().write_config(&smaller)?;
    host1.petiole().reload()?;
    wait_until("one VLAN", PATIENCE, || {
        let links = host1.run("ip -br link").map_err(|e| e.to_string())?;
        let ours: Vec<_> = links.lines().filter(|l| l.starts_with("pv-") || l.starts_with("pb-")).collect();
        let right = ours.len() == 2 && !links.contains("pv-113") && !links.contains("pb-app-vlan");
        holds(right, format!("{ours:?}"))
    })?;
    lab.down()
}
