//! S10 and S11 in a VLAN: nothing says who is in which group but the group's own addresses, the same on every host.

use std::fmt::Write as _;

use petiole_netns_tests::{
    Container, Lab, LabError, Node, Place, Probe,
    Requirement::{self, Nft, Petiole, Root, Tcpdump, Vlan},
    Service, skip,
    speaker::petiole::CONFIG,
};

use crate::common::{
    address,
    contiv::{PATIENCE, addresses_of},
    lone::settled,
    policy::{Asker, all_as_expected},
    topology,
};

const VLAN_LAB: &[Requirement] = &[Root, Petiole, Nft, Tcpdump, Vlan];

/// Both groups' addresses are the same on both hosts; each host gives out its own half.
fn config(before: &str, host: u8, rules: &str) -> String {
    let others = if host == 1 { [24, 40] } else { [16, 32] };
    let exclude = others.map(|first| format!("\"10.1.3.{first}/29\"")).join(", ");
    let exclude6 = others.map(|first| format!("\"2001:db8:3::{first:x}/125\"")).join(", ");
    let mut text = before.replace("[host]", "[api]\nmetrics = \"127.0.0.1:9179\"\n\n[host]");
    let _ = writeln!(
        text,
        r#"
[[network]]
name     = "contiv-vlan"
encap    = "vlan"
tag      = 112
uplink   = "eth2"
subnet   = "10.1.3.0/24"
exclude  = [{exclude}]
subnet6  = "2001:db8:3::/64"
exclude6 = [{exclude6}]

[[group]]
name    = "vlanA"
network = "contiv-vlan"
pool    = ["10.1.3.16/28"]
pool6   = ["2001:db8:3::10/124"]

[[group]]
name     = "vlanB"
network  = "contiv-vlan"
pool     = ["10.1.3.32/28"]
pool6    = ["2001:db8:3::20/124"]
policies = ["policyAB"]

[[policy]]
name  = "policyAB"
rules = [{rules}]"#
    );
    for (name, group) in [("a", "vlanA"), ("b", "vlanB")] {
        let name = format!("{name}{host}");
        let _ = writeln!(
            text,
            "[[endpoint]]\nname = \"{name}\"\ngroup = \"{group}\"\nnetns = \"/run/netns/{name}\""
        );
    }
    text
}

const ICMP: &str = r#"{ id = "1", protocol = "icmp", from-group = "vlanA", action = "deny" },"#;
const TCP: &str = r#"
    { id = "2", protocol = "tcp", from-group = "vlanA", action = "deny" },
    { id = "3", protocol = "tcp", port = "8001", from-group = "vlanA", priority = 10 },"#;

#[test]
fn s10_and_s11_hold_in_a_vlan_across_hosts() -> Result<(), LabError> {
    if skip("vlan::s10_and_s11_hold_in_a_vlan_across_hosts", VLAN_LAB) {
        return Ok(());
    }
    let lab = Lab::load(&topology("vlan-trunk"))?.defer("host1").defer("host2").up()?;
    let hosts: [Node<'_>; 2] = ["host1", "host2"].map(|host| lab.node(host));
    let base = hosts.map(|host| -> Result<String, LabError> {
        Ok(host.read_file(CONFIG)?.split_once("# Layer 2 alone").unwrap().0.to_owned())
    });
    let [first, second] = base;
    let base = [first?, second?];
    let container =
        |group: char, host: usize| -> Container<'_> { hosts[host - 1].container(&format!("{group}{host}")) };
    let write = |rules: &str| {
        (0..2)
            .try_for_each(|i| hosts[i].petiole().write_config(&config(&base[i], u8::from(i == 1) + 1, rules)))
    };
    write("")?;
    // Nothing loads it by itself; where it is built in there is nothing to load.
    hosts[0].output("modprobe br_netfilter")?;
    for (host, names) in hosts.iter().zip([["a1", "b1"], ["a2", "b2"]]) {
        for name in names {
            host.netns_add(name)?;
        }
        host.boot()?;
        host.petiole().wait_ready()?;
    }
    for (who, v4, v6) in [
        (container('a', 1), "10.1.3.16", "2001:db8:3::10"),
        (container('a', 2), "10.1.3.24", "2001:db8:3::18"),
        (container('b', 1), "10.1.3.32", "2001:db8:3::20"),
        (container('b', 2), "10.1.3.40", "2001:db8:3::28"),
    ] {
        assert_eq!(addresses_of(&who)?, [address(v4), address(v6)]);
    }
    let _responders =
        [1, 2].map(|host| container('b', host).respond(&[Service::Tcp(8000), Service::Tcp(8001)]));
    let trunk = hosts[1].capture("eth2", "vlan")?;
    for (when, rules, [ping, open8000, open8001]) in [
        ("without rules", String::new(), [true, true, true]),
        ("S10", ICMP.to_owned(), [false, true, true]),
        ("S11", TCP.to_owned(), [true, false, true]),
        ("both", format!("{ICMP}{TCP}"), [false, false, true]),
        ("without rules again", String::new(), [true, true, true]),
    ] {
        write(&rules)?;
        for host in hosts {
            host.petiole().reload()?;
            settled(host)?;
        }
        let mut askers = Vec::new();
        for (from, to) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let asker = Asker::new(container('a', from));
            let b = container('b', to);
            askers.push(
                asker.expects(&b, Service::Icmp, ping)?.expects(&b, Service::Tcp(8000), open8000)?.expects(
                    &b,
                    Service::Tcp(8001),
                    open8001,
                )?,
            );
            askers.push(Asker::new(container('b', from)).expects(
                &container('a', to),
                Service::Icmp,
                true,
            )?);
        }
        all_as_expected(when, &askers)?;
    }
    let seen = "02:02:0a:01:03:10 > 02:02:0a:01:03:28, ethertype 802.1Q (0x8100)";
    trunk.wait_for_line(PATIENCE, |line| line.contains(seen) && line.contains(": vlan 112, p 0,"))?;
    let lines = trunk.stop()?;
    let other: Vec<_> = lines
        .iter()
        .filter(|line| {
            line.text.contains("02:02:0a:01:03:")
                && line.text.contains(" > ")
                && !line.text.contains(": vlan 112, p 0,")
        })
        .collect();
    assert!(other.is_empty(), "{other:#?}");
    lab.down()
}
