//! Profiles: scenarios S12 and S13. How fast a container may be, each way, and the code point of what it sends.

// Helpers of tests may fail by a panic, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::{
    contiv::{PATIENCE, addresses_of, answers},
    lone::{self, HOST, settled},
};
use petiole_netns_tests::{
    Container, Lab, LabError, Node, Place, Process,
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

/// What iperf measured of datagrams, where they arrive.
#[derive(Debug)]
struct Measured {
    sent: u32,
    lost: u32,
    /// Payload, in kbit/s.
    rate: f64,
}

impl Measured {
    fn loss(&self) -> f64 {
        f64::from(self.lost) * 100.0 / f64::from(self.sent)
    }
}

/// A datagram of the seed's iperf.
const DATAGRAM: u32 = 1470;

/// Sends so many datagrams at this rate.
fn measure(
    from: &Container<'_>,
    to: &Container<'_>,
    family: usize,
    rate: &str,
    count: u32,
) -> Result<Measured, LabError> {
    let to = addresses_of(to)?[family];
    let line = format!("iperf3 -J -u -c {to} -b {rate} -l {DATAGRAM} -k {count}");
    let said = from.json(&line)?;
    let sum = &said["end"]["sum"];
    let [sent, lost] =
        ["packets", "lost_packets"].map(|what| u32::try_from(sum[what].as_u64().unwrap()).unwrap());
    let seconds = sum["seconds"].as_f64().unwrap();
    let rate = f64::from(sent - lost) * f64::from(DATAGRAM) * 8.0 / seconds / 1000.0;
    Ok(Measured { sent, lost, rate })
}

fn serve(at: &Container<'_>) -> Result<Process, LabError> {
    let server = at.spawn("iperf3 -s --forceflush")?;
    server.wait_for_line(PATIENCE, |line| line.contains("Server listening"))?;
    Ok(server)
}

/// Two containers of each group.
fn four(profile: &str) -> Result<Lab, LabError> {
    let lab = lone::up(&with(profile))?;
    let host = lab.node("host");
    for (name, group) in [("a1", "epgA"), ("a2", "epgA"), ("b1", "epgB"), ("b2", "epgB")] {
        host.netns_add(name)?;
        host.petiole().endpoint_add(&format!("{name} --group {group} --netns /run/netns/{name}"))?;
    }
    settled(host)?;
    Ok(lab)
}

/// With these lines in the profile.
fn with(profile: &str) -> String {
    networks(0).replace("dscp = 0", profile)
}

fn change(host: Node<'_>, profile: &str) -> Result<(), LabError> {
    host.petiole().write_config(&format!("{}{}", lone::BASE, with(profile)))
}

#[test]
fn s12_and_s13_half_of_a_megabit_passes_with_the_profile_and_all_without() -> Result<(), LabError> {
    if skip("s12_and_s13_half_of_a_megabit_passes_with_the_profile_and_all_without", LONE_LAB) {
        return Ok(());
    }
    let lab = four("bandwidth = \"500Kbps\"\nburst = \"80KiB\"\ndscp = 6")?;
    let host = lab.node("host");
    let [a1, a2, b1, b2] = ["a1", "a2", "b1", "b2"].map(|name| host.container(name));
    let servers = [&a1, &b1, &b2].map(serve);
    let (limited, free, towards) = std::thread::scope(|scope| {
        let limited = scope.spawn(|| measure(&a2, &b1, 0, "1.05M", 893));
        let free = scope.spawn(|| measure(&b1, &b2, 0, "1.05M", 893));
        let towards = scope.spawn(|| measure(&b2, &a1, 1, "1.05M", 893));
        (limited.join().unwrap(), free.join().unwrap(), towards.join().unwrap())
    });
    for free in [free?, towards?] {
        assert_eq!((free.sent, free.lost), (893, 0));
    }
    let limited = limited?;
    assert_eq!(limited.sent, 893);
    assert!((480.0..575.0).contains(&limited.rate), "{limited:?}");
    assert!((44.0..53.0).contains(&limited.loss()), "{limited:?}: {}", limited.loss());
    drop(servers);
    lab.down()
}

/// What passes of twice as much, sent from one group to the other, in kbit/s.
fn passes(host: Node<'_>, from: &str, to: &str, megabits: u32) -> Result<f64, LabError> {
    let count = megabits * 2 * 1_000_000 / 8 / DATAGRAM * 2;
    let rate = format!("{}M", megabits * 2);
    Ok(measure(&host.container(from), &host.container(to), 0, &rate, count)?.rate)
}

fn is_about(megabits: u32, rate: f64, when: &str) {
    let wanted = f64::from(megabits) * 1048.576;
    // A burst passes beyond, and headers count where payload is measured.
    assert!((wanted * 0.9..wanted * 1.1).contains(&rate), "{when}: {rate} kbit/s of {wanted}");
}

#[test]
fn a_profile_changes_live_and_while_the_daemon_is_down_in_both_directions() -> Result<(), LabError> {
    if skip("a_profile_changes_live_and_while_the_daemon_is_down_in_both_directions", LONE_LAB) {
        return Ok(());
    }
    let both = |out: u32, into: u32| format!("bandwidth = \"{out}Mbps\"\nbandwidth-in = \"{into}Mbps\"");
    let lab = four(&both(17, 9))?;
    let host = lab.node("host");
    let servers = ["a1", "b1"].map(|name| serve(&host.container(name)));
    let seen = |out, into, when: &str| {
        is_about(out, passes(host, "a1", "b1", out)?, &format!("{when}, from"));
        is_about(into, passes(host, "b1", "a1", into)?, &format!("{when}, to"));
        Ok::<_, LabError>(())
    };
    seen(17, 9, "at first")?;
    change(host, &both(9, 17))?;
    host.petiole().reload()?;
    settled(host)?;
    seen(9, 17, "after a reload")?;
    host.petiole().stop()?;
    seen(9, 17, "without the daemon")?;
    change(host, &both(6, 12))?;
    host.petiole().start()?;
    host.petiole().wait_ready()?;
    settled(host)?;
    seen(6, 12, "changed while it was down")?;
    change(host, "dscp = 6")?;
    host.petiole().reload()?;
    settled(host)?;
    let free = measure(&host.container("a1"), &host.container("b1"), 0, "40M", 5000)?;
    assert!(free.rate > 30_000.0, "{free:?}");
    drop(servers);
    lab.down()
}
