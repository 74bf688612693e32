//! The demonstration: the contiv-l3 topology does what it is for, shown on the leafs and in the containers.

use std::{
    net::IpAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use petiole_netns_tests::{Container, Kernel, Lab, LabError, Node, Place, Topology, dump, holds, wait_until};

use crate::{Up, commands::builder};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// An address that only the other leaf has, at the far side of the OSPF link.
const FAR_SIDE: &str = "80.1.1.2";

/// Runs it; the exit code tells whether everything was as it should be.
pub(crate) fn demo(up: &Up) -> Result<ExitCode, LabError> {
    let start = Instant::now();
    let lab = builder(Topology::load(&up.file)?, up).up()?;
    let shown = show(&lab);
    if let Err(error) = &shown {
        eprintln!("{}\nlab: {error}", dump(&lab));
    }
    lab.down()?;
    shown?;
    println!("\nall as expected, in {:.1?}; nothing is left behind", start.elapsed());
    Ok(ExitCode::SUCCESS)
}

fn show(lab: &Lab) -> Result<(), LabError> {
    let hosts = ["host1", "host2"].map(|name| lab.node(name));
    let leafs = ["leaf1", "leaf2"].map(|name| lab.node(name));

    for (host, leaf) in hosts.iter().zip(["leaf1", "leaf2"]) {
        host.petiole().wait_established(leaf)?;
        host.petiole().wait_established(&format!("{leaf}-v6"))?;
    }
    for leaf in leafs {
        for neighbor in sessions_of(leaf) {
            leaf.frr().wait_established(neighbor)?;
        }
    }
    let containers = [hosts[0].container("web1"), hosts[1].container("web2")];
    let addresses = [addresses_of(&containers[0])?, addresses_of(&containers[1])?];
    // Where each leaf must send a container's traffic, and how it must know.
    for (leaf, container, next_hop, distance) in [
        ("leaf1", 0, "50.1.1.1", 20),
        ("leaf1", 1, "60.1.1.3", 200),
        ("leaf2", 1, "60.1.1.3", 20),
        ("leaf2", 0, "50.1.1.1", 200),
    ] {
        let [v4, v6] = addresses[container].map(IpNet::from);
        expect_on_leaf(lab.node(leaf), v4, Some(next_hop), distance)?;
        expect_on_leaf(lab.node(leaf), v6, None, distance)?;
    }

    title("The hosts peer with their leafs");
    for host in &hosts {
        command(host, "petiole show neighbors", |_| true)?;
    }
    let rows = |line: &str| line.starts_with("Neighbor") || line.contains("host1") || line.contains("leaf2");
    command(&leafs[0], "vtysh -c 'show bgp ipv4 unicast summary'", rows)?;

    title("Each container is a /32 and a /128 on the leafs");
    for (host, container) in hosts.iter().zip(&containers) {
        command(host, &format!("ip netns exec {} ip -br address show eth0", container.name()), |_| true)?;
    }
    // Without FRR's legend.
    let routes = |line: &str| line.contains(" via ");
    command(&leafs[0], "vtysh -c 'show ip route 192.168.1.0/24 longer-prefixes'", routes)?;
    command(&leafs[0], "ip route show root 192.168.1.0/24", |_| true)?;
    command(&leafs[0], "ip -6 route show root 2001:db8:1::/64", |_| true)?;

    title("Containers reach each other, and the fabric");
    for to in [addresses[1][0], addresses[1][1], FAR_SIDE.parse().unwrap_or(addresses[1][0])] {
        wait_until(&format!("path from web1 to {to}"), PATIENCE, || {
            let ping = containers[0].ping(to, 1).map_err(|e| e.to_string())?;
            holds(ping.is_complete(), "no answer")
        })?;
        let ping = containers[0].ping(to, 20)?;
        println!(
            "web1$ ping {to}: {} sent, {} received, {:.0} % loss, ttl {}, {:.3} ms",
            ping.sent,
            ping.received,
            ping.loss(),
            ping.ttl.unwrap_or(0),
            ping.mean.unwrap_or_default().as_secs_f64() * 1e3
        );
        holds(ping.is_complete(), format!("{} % of the pings to {to} are lost", ping.loss()))
            .map_err(LabError::Missing)?;
    }
    Ok(())
}

/// The BGP neighbours of a leaf in its configuration.
fn sessions_of(leaf: Node<'_>) -> [&'static str; 4] {
    if leaf.name() == "leaf1" {
        ["50.1.1.1", "2001:db8:50::1", "60.1.1.4", "2001:db8:60::4"]
    } else {
        ["60.1.1.3", "2001:db8:60::3", "50.1.1.2", "2001:db8:50::2"]
    }
}

/// Waits until the leaf has the route, selected, with this distance, and its kernel has it too.
fn expect_on_leaf(
    leaf: Node<'_>,
    prefix: IpNet,
    next_hop: Option<&str>,
    distance: u64,
) -> Result<(), LabError> {
    wait_until(&format!("route to {prefix} on {}", leaf.name()), PATIENCE, || {
        let routes = leaf.frr().routes_to(prefix).map_err(|e| e.to_string())?;
        let route = routes.iter().find(|r| r["selected"] == true).ok_or("no route in FRR's table")?;
        holds(route["distance"] == distance, format!("distance {}", route["distance"]))?;
        if let Some(next_hop) = next_hop {
            holds(
                route["nexthops"][0]["ip"] == next_hop,
                format!("next hop {}", route["nexthops"][0]["ip"]),
            )?;
        }
        leaf.route_to(prefix).map_err(|e| e.to_string())
    })?;
    Ok(())
}

fn title(text: &str) {
    println!("\n== {text}");
}

/// The container's addresses, IPv4 and IPv6, when it has both.
fn addresses_of(container: &Container<'_>) -> Result<[IpAddr; 2], LabError> {
    wait_until(&format!("addresses of {}", container.name()), PATIENCE, || {
        let all = container.addresses("eth0").map_err(|e| e.to_string())?;
        let v4 = all.iter().copied().find(IpAddr::is_ipv4).ok_or("no IPv4 address")?;
        let v6 = all.iter().copied().find(IpAddr::is_ipv6).ok_or("no IPv6 address")?;
        Ok::<_, String>([v4, v6])
    })
}

/// Shows a command, and those lines of what it prints that are to the point.
fn command(node: &Node<'_>, line: &str, to_the_point: impl Fn(&str) -> bool) -> Result<(), LabError> {
    println!("\n{}$ {line}", node.name());
    let output = node.run(line)?;
    output.lines().filter(|l| !l.trim().is_empty() && to_the_point(l)).for_each(|line| println!("  {line}"));
    Ok(())
}
