//! Profiles: what leaves a container carries its code point (half of scenario S13).

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    contiv::{PATIENCE, addresses_of, answers},
    lone::{self, HOST, settled},
};
use petiole_netns_tests::{
    LabError, Place,
    Requirement::{self, Nft, Petiole, Root, Tcpdump},
    skip,
};

const LONE_LAB: &[Requirement] = &[Root, Petiole, Nft, Tcpdump];

fn networks(dscp: u8) -> String {
    format!(
        r#"
[[network]]
name = "BandwidthTestNet"
encap = "routed"
subnet = "50.1.1.0/24"
subnet6 = "2001:db8:32::/64"

[[group]]
name = "epgA"
network = "BandwidthTestNet"
profile = "marked"

[[group]]
name = "epgB"
network = "BandwidthTestNet"

[[profile]]
name = "marked"
dscp = {dscp}
"#
    )
}

#[test]
fn s13_what_leaves_a_container_carries_its_code_point_and_what_comes_does_not() -> Result<(), LabError> {
    if skip("s13_what_leaves_a_container_carries_its_code_point_and_what_comes_does_not", LONE_LAB) {
        return Ok(());
    }
    let lab = lone::up(&networks(6))?;
    let (host, world) = (lab.node("host"), lab.node("world"));
    for (to, by) in [("50.1.1.0/24", HOST[0]), ("2001:db8:32::/64", HOST[1])] {
        world.run(&format!("ip route add {to} via {by}"))?;
    }
    let [marked, plain] = ["epgA", "epgB"].map(|group| -> Result<_, LabError> {
        let container = host.netns_add(group)?;
        host.petiole().endpoint_add(&format!("{group} --group {group} --netns /run/netns/{group}"))?;
        Ok(container)
    });
    let (marked, plain) = (marked?, plain?);
    settled(host)?;
    for dscp in [6_u8, 46, 6] {
        host.petiole().write_config(&format!("{}{}", lone::BASE, networks(dscp)))?;
        host.petiole().reload()?;
        settled(host)?;
        // In tcpdump's words the whole octet: the code point, and two bits of congestion notification.
        let octet = dscp << 2;
        for (container, octet) in [(&marked, octet), (&plain, 0)] {
            for to in addresses_of(container)? {
                let (seen, inside) =
                    (world.capture("eth1", "icmp or icmp6")?, container.capture("eth0", "icmp or icmp6")?);
                answers(&world, to)?;
                let (reply, request) = ("echo reply", "echo request");
                let lines = [(&seen, reply), (&inside, request)].map(|(capture, kind)| {
                    // IPv4's header and what is in it are two lines.
                    capture.wait_for_line(PATIENCE, |line| line.contains(kind))?;
                    let lines = capture.lines();
                    let at = lines.iter().position(|line| line.text.contains(kind)).unwrap();
                    let from = if to.is_ipv4() { at - 1 } else { at };
                    Ok::<_, LabError>(
                        lines[from..=at].iter().map(|line| line.text.clone()).collect::<String>(),
                    )
                });
                let [reply, request] = lines;
                let (reply, request) = (reply?, request?);
                let word = |octet: u8| {
                    if to.is_ipv4() { format!("tos 0x{octet:x},") } else { format!("class 0x{octet:02x},") }
                };
                if octet == 0 && to.is_ipv6() {
                    assert!(!reply.contains("class"), "{reply}");
                } else {
                    assert!(reply.contains(&word(octet)), "{reply}");
                }
                let unmarked =
                    if to.is_ipv4() { request.contains("tos 0x0,") } else { !request.contains("class") };
                assert!(unmarked, "{request}");
            }
        }
    }
    lab.down()
}
