//! Bridged networks under reloads: what is done, what is refused.

use petiole_fib::model::{FdbTarget, LinkKind, Mac};

use super::*;

/// A VXLAN network, which has a gateway, and a VLAN, which has none.
pub(super) const BRIDGED: &str = r#"
    [[network]]
    name = "vx"
    encap = "vxlan"
    vni = 5001
    subnet = "10.1.2.0/24"
    gateway = "10.1.2.254"
    local = "50.1.1.1"
    vteps = ["60.1.1.3", "60.1.1.4"]

    [[network]]
    name = "vl"
    encap = "vlan"
    tag = 112
    uplink = "eth1"
    subnet = "10.1.3.0/24"
"#;

fn bridged() -> String {
    format!("{BARE}{BRIDGED}")
}

fn hundred(vteps: usize, networks: usize) -> HostConfig {
    let list: Vec<String> = (0..vteps).map(|n| format!("\"60.1.{}.{}\"", n / 250, n % 250 + 1)).collect();
    let networks = (0..networks).map(|n| {
        format!(
            "[[network]]\nname = \"n{n}\"\nencap = \"vxlan\"\nvni = {}\nsubnet = \"10.{n}.0.0/16\"\nlocal = \"50.1.1.1\"\nvteps = [{}]\n",
            n + 1,
            list.join(",")
        )
    });
    config(&format!("{BARE}{}", networks.collect::<String>()))
}

#[test]
fn one_more_vtep_is_one_operation_for_each_network_and_the_same_file_none() {
    for networks in [1, 100] {
        let mut host = Host::start(&hundred(20, networks));
        let mut operations = host.kernel.operations();
        let mut cost = |host: &mut Host, config: &HostConfig| {
            host.reload(config).unwrap();
            let cost = host.kernel.operations() - operations;
            operations = host.kernel.operations();
            cost
        };
        assert_eq!(cost(&mut host, &hundred(20, networks)), 0);
        assert_eq!(cost(&mut host, &hundred(21, networks)), networks as u64);
        assert_eq!(cost(&mut host, &hundred(20, networks)), networks as u64);
    }
}

#[test]
fn one_more_vtep_beside_a_hundred_is_one_operation() {
    let mut host = Host::start(&hundred(100, 1));
    let operations = host.kernel.operations();
    host.reload(&hundred(101, 1)).unwrap();
    assert_eq!(host.kernel.operations() - operations, 1);
}

#[test]
fn a_network_with_endpoints_added_at_run_time_is_not_removed_and_they_are_named() {
    let mut host = Host::start(&config(&bridged()));
    for name in ["a", "b"] {
        host.appear(name);
        host.add(&request(name, "vl")).unwrap();
    }
    let whole = host.whole();
    let without = bridged().split("[[network]]\n    name = \"vl\"").next().unwrap().to_owned();
    let text = host.reload(&config(&without)).unwrap_err();
    assert!(text.contains("vl") && text.contains("a, b"), "{text}");
    assert_eq!(host.whole(), whole);
    host.remove("a").unwrap();
    host.remove("b").unwrap();
    host.reload(&config(&without)).unwrap();
    assert_eq!(host.text(), Host::start(&config(&without)).text());
}

#[test]
fn a_network_that_goes_with_containers_of_the_file_is_withdrawn_first_and_leaves_nothing() {
    let endpoint = "[[endpoint]]\nname = \"web1\"\nnetwork = \"vx\"\nnetns = \"/run/netns/web1\"\n";
    let mut host = Host::start(&config(&format!("{}{endpoint}", bridged())));
    host.appear("web1");
    host.settle();
    assert!(host.originated("10.1.2.1/32"));
    let text = host.text();
    host.core.reconfigure(config(BARE), host.now).unwrap();
    assert!(!host.originated("10.1.2.1/32"));
    assert_eq!(host.text(), text, "nothing is torn down before that");
    host.settle();
    assert_eq!(host.text(), Host::start(&config(BARE)).text());
}

#[test]
fn another_vni_is_another_device_with_the_same_containers() {
    let mut host = Host::start(&config(&bridged()));
    host.appear("a");
    host.add(&request("a", "vx")).unwrap();
    let other = config(&bridged().replace("vni = 5001", "vni = 5002"));
    host.reload(&other).unwrap();
    assert_eq!(host.state("a"), "attached");
    assert!(!host.text().contains("px-5001"), "{}", host.text());
    let mut fresh = Host::start(&other);
    fresh.appear("a");
    fresh.add(&request("a", "vx")).unwrap();
    assert_eq!(host.text(), fresh.text());
}

#[test]
fn a_gateway_comes_and_goes_live() {
    let with = config(&bridged());
    let without = config(&bridged().replace("gateway = \"10.1.2.254\"", ""));
    let mut plain = Host::start(&without);
    plain.appear("a");
    plain.add(&request("a", "vx")).unwrap();
    assert!(!plain.originated("10.1.2.1/32"), "no way through the host, so nothing to announce");
    let mut gated = Host::start(&with);
    gated.appear("a");
    gated.add(&request("a", "vx")).unwrap();
    assert!(gated.originated("10.1.2.1/32"));
    let (plain_text, gated_text) = (plain.text(), gated.text());
    plain.reload(&with).unwrap();
    assert_eq!(without_macs(&plain.text()), without_macs(&gated_text));
    assert!(plain.originated("10.1.2.1/32"));
    assert_eq!(plain.state("a"), "attached");
    gated.reload(&without).unwrap();
    assert_eq!(without_macs(&gated.text()), without_macs(&plain_text));
    assert!(!gated.originated("10.1.2.1/32"));
    assert_eq!(gated.state("a"), "attached");
}

/// A bridge that had an address of its own keeps it.
fn without_macs(text: &str) -> String {
    text.lines().filter(|line| !line.contains("Bridge ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn without_a_gateway_the_host_has_no_address_and_no_route_there() {
    let mut host = Host::start(&config(&bridged()));
    let before = host.text();
    host.appear("a");
    host.add(&request("a", "vl")).unwrap();
    let new: Vec<String> =
        host.text().lines().filter(|line| !before.contains(line)).map(ToOwned::to_owned).collect();
    assert!(new.iter().any(|line| line.contains("pt-a")), "{new:?}");
    for line in new.iter().chain(before.lines().map(str::to_owned).collect::<Vec<_>>().iter()) {
        let in_host = line.contains("Ns(0)")
            && (line.starts_with("Address") || line.starts_with("Route") || line.starts_with("Neighbour"));
        assert!(!(in_host && (line.contains("pb-vl") || line.contains("10.1.3."))), "{line}");
    }
}

#[test]
fn the_containers_packets_follow_what_the_uplink_carries() {
    let mut host = Host::start(&config(&bridged()));
    let eth1 = IfName::new("eth1").unwrap();
    for (name, network) in [("a", "vx"), ("b", "vl")] {
        host.appear(name);
        host.add(&request(name, network)).unwrap();
    }
    let mtu = |host: &Host, name: &str| host.row(name).mtu.unwrap();
    assert_eq!((mtu(&host, "a"), mtu(&host, "b")), (1450, 1500));
    host.kernel.meddle_with_link(Ns::HOST, &eth1, 9000, Mac([2, 0, 0, 0, 0, 1]));
    host.settle();
    assert_eq!((mtu(&host, "a"), mtu(&host, "b")), (8950, 9000));
    for link in ["px-5001", "pb-vx", "pt-a"] {
        let line = host
            .text()
            .lines()
            .find(|l| l.starts_with(&format!("Link(Ns(0), \"{link}\")")))
            .unwrap()
            .to_owned();
        assert!(line.contains("mtu 8950"), "{line}");
    }
    assert_eq!(host.state("a"), "attached");
}

#[test]
fn a_packet_size_that_does_not_fit_is_refused_with_the_figures() {
    let mut host = Host::start(&config(&bridged()));
    let whole = host.whole();
    let with_mtu = |mtu: u32| config(&bridged().replace("vni = 5001", &format!("vni = 5001\nmtu = {mtu}")));
    let text = host.reload(&with_mtu(1451)).unwrap_err();
    for word in ["vx", "1451", "1500", "50", "1450"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    assert_eq!(host.whole(), whole);
    host.reload(&with_mtu(1450)).unwrap();
    host.reload(&with_mtu(1400)).unwrap();
    assert_eq!(host.core.network_mtu(&with_mtu(1400).networks[1]), Some(1400));
}

#[test]
fn ipv6_where_the_uplink_carries_too_little_for_it_is_refused() {
    let mut host = Host::start(&config(&bridged()));
    let eth1 = IfName::new("eth1").unwrap();
    host.kernel.meddle_with_link(Ns::HOST, &eth1, 1300, Mac([2, 0, 0, 0, 0, 1]));
    host.settle();
    let whole = host.whole();
    let v6 = bridged()
        .replace("subnet = \"10.1.2.0/24\"", "subnet = \"10.1.2.0/24\"\nsubnet6 = \"2001:db8:2::/64\"");
    let text = host.reload(&config(&v6)).unwrap_err();
    for word in ["vx", "1250", "1280"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    assert_eq!(host.whole(), whole);
}

#[test]
fn a_vni_that_somebody_elses_device_has_is_refused_with_the_devices_name() {
    let mut host = Host::start(&config(BARE));
    let theirs = IfName::new("flannel.1").unwrap();
    let link = petiole_fib::model::LinkState {
        ns: Ns::HOST,
        index: 99,
        name: theirs,
        kind: LinkKind::Vxlan { vni: 5001, local: [50, 1, 1, 1].into(), port: 8472 },
        mac: None,
        mtu: 1450,
        up: true,
        carrier: true,
        alias: None,
        port: None,
        group: 0,
    };
    host.core.kernel(Event::Object(petiole_fib::model::Observed::Link(link)), host.now);
    let whole = host.whole();
    let text = host.reload(&config(&bridged())).unwrap_err();
    assert!(text.contains("5001") && text.contains("flannel.1"), "{text}");
    assert_eq!(host.whole(), whole);
    assert_eq!(host.reload(&config(&bridged().replace("5001", "5002"))).err(), None);
}

#[test]
fn an_announced_subnet_is_announced_without_containers_and_its_containers_are_not() {
    let subnet = bridged().replace("vni = 5001", "vni = 5001\nadvertise = \"subnet\"");
    let mut host = Host::start(&config(&subnet));
    assert!(host.originated("10.1.2.0/24"));
    assert!(
        host.text().contains("prefix: 10.1.2.0/24"),
        "what no container takes ends here: {}",
        host.text()
    );
    host.appear("a");
    host.add(&request("a", "vx")).unwrap();
    assert!(!host.originated("10.1.2.1/32"));
    host.reload(&config(&bridged())).unwrap();
    assert!(!host.originated("10.1.2.0/24") && host.originated("10.1.2.1/32"));
    assert!(!host.text().contains("prefix: 10.1.2.0/24"));
}

#[test]
fn equal_names_and_subnets_of_two_tenants_are_two_networks() {
    let two = format!(
        "{BARE}
        [[tenant]]
        name = \"blue\"
        [[network]]
        name = \"vl\"
        encap = \"vlan\"
        tag = 1
        uplink = \"eth1\"
        subnet = \"10.1.3.0/24\"
        [[network]]
        name = \"vl\"
        tenant = \"blue\"
        encap = \"vlan\"
        tag = 2
        uplink = \"eth1\"
        subnet = \"10.1.3.0/24\""
    );
    let mut host = Host::start(&config(&two));
    let before = host.whole();
    host.appear("a");
    host.appear("b");
    let blue = EndpointRequest { name: "a".into(), tenant: Some("blue".into()), ..request("b", "vl") };
    let first = host.add(&request("a", "vl")).unwrap();
    let second = host.add(&blue).unwrap();
    assert_eq!(first.addresses, second.addresses);
    assert_eq!((first.name.as_str(), second.name.as_str()), ("a", "blue/a"));
    assert_eq!((first.state.as_str(), second.state.as_str()), ("attached", "attached"));
    let mut host = host.again(&config(&two));
    assert_eq!((host.state("a"), host.state("blue/a")), ("attached".into(), "attached".into()));
    host.remove("a").unwrap();
    assert_eq!(host.row("blue/a"), second);
    host.remove("blue/a").unwrap();
    assert_eq!(host.whole(), before);
}

#[test]
fn every_vtep_of_a_network_stands_in_the_kernel() {
    let host = Host::start(&config(&bridged()));
    let vteps: Vec<IpAddr> = host
        .kernel
        .keys_of(&Owner::default())
        .into_iter()
        .filter_map(|key| match key {
            petiole_fib::model::Key::Fdb(fdb) => match fdb.target {
                FdbTarget::Vtep(address) => Some(address),
                FdbTarget::Port => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(vteps, [IpAddr::from([60, 1, 1, 3]), IpAddr::from([60, 1, 1, 4])]);
}
