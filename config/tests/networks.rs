//! Bridged networks, tenants, groups, published ports: what is taken, and what it becomes. The words of refusals are in
//! `bad/`.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::{net::IpAddr, path::Path};

use common::{HOST, taken, wrong};
use petiole_config::{
    HostConfig, Kind,
    model::{Advertise, Encap, IfName, Network},
};

/// A host with addresses of both families, and a neighbor.
const FABRIC: &str = "[host]\nasn = 65002\nloopback = [\"10.0.0.1\", \"2001:db8::1\"]\n\
     [[uplink]]\ninterface = \"eth1\"\naddress = [\"60.1.1.1/24\", \"50.1.1.1/24\", \"2001:db8:50::1/64\"]\n\
     [[neighbor]]\nname = \"leaf1\"\naddress = \"50.1.1.2\"\nasn = 500\nimport = \"all\"\n";

fn network(name: &str, lines: &str) -> String {
    format!("[[network]]\nname = \"{name}\"\n{lines}\n")
}

fn vlan(lines: &str) -> String {
    format!("{FABRIC}{}", network("n", &format!("encap = \"vlan\"\ntag = 112\nuplink = \"eth2\"\n{lines}")))
}

/// A network with a VXLAN to these hosts.
fn vxlan(vteps: &str, more: &str) -> String {
    let lines = format!("encap = \"vxlan\"\nvni = 5001\nsubnet = \"10.1.2.0/24\"\nvteps = [{vteps}]\n{more}");
    network("n", &lines)
}

fn kinds(text: &str) -> Vec<Kind> {
    wrong(text).into_iter().map(|(kind, _)| kind).collect()
}

fn only(config: &HostConfig) -> &Network {
    let [network] = config.networks.as_slice() else { panic!("{:?}", config.networks) };
    network
}

fn ips(of: &[&str]) -> Vec<IpAddr> {
    of.iter().map(|address| address.parse().unwrap()).collect()
}

#[track_caller]
fn tunnel(text: &str) -> (String, Vec<IpAddr>) {
    match &only(&taken(text)).encap {
        Encap::Vxlan { local, vteps, .. } => (local.to_string(), vteps.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_vlan_without_a_gateway_is_only_a_segment() {
    let config = taken(&vlan("subnet = \"10.1.3.0/24\"\nsubnet6 = \"2001:db8:3::/64\""));
    let n = only(&config);
    assert_eq!(n.encap, Encap::Vlan { tag: 112, uplink: IfName::new("eth2").unwrap() });
    assert!(n.encap.is_bridged() && !n.has_host_routes());
    let (v4, v6) = (n.v4.as_ref().unwrap(), n.v6.as_ref().unwrap());
    assert_eq!((v4.gateway, v6.gateway, n.advertise), (None, None, Advertise::None));
    assert_eq!(format!("{:?}", v4.pool), "[10.1.3.1-10.1.3.254]");
}

#[test]
fn a_bridged_network_with_a_gateway_is_advertised() {
    for (lines, gateways) in [
        ("gateway = \"10.1.3.1\"", (true, false)),
        ("gateway6 = \"fe80::1\"", (false, true)),
        ("gateway = \"169.254.1.1\"\ngateway6 = \"2001:db8:3::1\"", (true, true)),
    ] {
        let config = taken(&vlan(&format!(
            "subnet = \"10.1.3.0/24\"\nsubnet6 = \"2001:db8:3::/64\"\n{lines}\nmasquerade = true"
        )));
        let n = only(&config);
        let has = (n.v4.as_ref().unwrap().gateway.is_some(), n.v6.as_ref().unwrap().gateway.is_some());
        assert_eq!((has, n.advertise), (gateways, Advertise::Endpoints), "{lines}");
        assert!(n.has_host_routes() && n.masquerade);
    }
}

#[test]
fn one_list_of_vteps_serves_all_hosts() {
    let list = "\"50.1.1.3\", \"50.1.1.1\", \"50.1.1.2\"";
    let (local, vteps) = tunnel(&format!("{FABRIC}{}", vxlan(list, "")));
    assert_eq!((local.as_str(), vteps), ("50.1.1.1", ips(&["50.1.1.2", "50.1.1.3"])));
    // Own addresses are left out, whichever of them packets are sent from.
    let list = "\"50.1.1.1\", \"60.1.1.1\", \"50.1.1.2\"";
    let (local, vteps) = tunnel(&format!("{FABRIC}{}", vxlan(list, "local = \"60.1.1.1\"")));
    assert_eq!((local.as_str(), vteps), ("60.1.1.1", ips(&["50.1.1.2"])));
    let config = taken(&format!("{FABRIC}{}", vxlan(list, "")));
    assert!(matches!(only(&config).encap, Encap::Vxlan { vni: 5001, port: 4789, .. }));
}

#[test]
fn a_vxlan_is_sent_from_the_loopback_else_the_lowest_uplink_address_of_its_family() {
    let local = |text: &str| tunnel(text).0;
    assert_eq!(local(&format!("{FABRIC}{}", vxlan("\"50.1.1.2\"", ""))), "10.0.0.1");
    assert_eq!(local(&format!("{FABRIC}{}", vxlan("\"2001:db8:50::2\"", ""))), "2001:db8::1");
    assert_eq!(local(&format!("{FABRIC}{}", vxlan("", ""))), "10.0.0.1");
    let bare = FABRIC.replace("loopback = [\"10.0.0.1\", \"2001:db8::1\"]\n", "");
    assert_eq!(local(&format!("{bare}{}", vxlan("\"70.1.1.2\"", ""))), "50.1.1.1");
    assert_eq!(local(&format!("{bare}{}", vxlan("\"2001:db8:9::2\"", ""))), "2001:db8:50::1");
    assert_eq!(local(&format!("{HOST}{}", vxlan("\"70.1.1.2\"", "local = \"70.1.1.1\""))), "70.1.1.1");
    assert_eq!(kinds(&format!("{HOST}{}", vxlan("\"70.1.1.2\"", ""))), [Kind::MissingKey]);
    assert_eq!(kinds(&format!("{HOST}{}", vxlan("", ""))), [Kind::MissingKey]);
    // What is not known because it could not be read is not complained about again.
    let bad = FABRIC.replace("10.0.0.1\"", "10.0.0\"").replace("address = [\"60", "address = [\"6x");
    assert!(!kinds(&format!("{bad}{}", vxlan("\"2001:db8:9::2\"", ""))).contains(&Kind::MissingKey));
}

#[test]
fn the_order_of_vteps_means_nothing() {
    let with = |list: &str| taken(&format!("{FABRIC}{}", vxlan(list, "")));
    assert_eq!(
        with("\"50.1.1.2\", \"50.1.1.3\", \"50.1.1.1\""),
        with("\"50.1.1.1\", \"50.1.1.3\", \"50.1.1.2\"")
    );
}

#[test]
fn tags_and_vnis_are_unique_on_a_host() {
    let vlan = |name: &str, tag: u32, uplink: &str| {
        network(
            name,
            &format!(
                "encap = \"vlan\"\ntag = {tag}\nuplink = \"{uplink}\"\nsubnet = \"10.{}.0.0/24\"",
                tag % 100
            ),
        )
    };
    let two = |a: String, b: String| kinds(&format!("{FABRIC}{a}{b}"));
    assert_eq!(two(vlan("a", 1, "eth2"), vlan("b", 4094, "eth2")), []);
    let other = vlan("b", 1, "eth3").replace("10.1.", "10.2.");
    assert_eq!(two(vlan("a", 1, "eth2"), other), [Kind::Duplicate]);
    let same = vlan("b", 1, "eth2").replace("10.1.", "10.2.");
    assert_eq!(two(vlan("a", 1, "eth2"), same), [Kind::Duplicate]);
    let other_port = vxlan("", "port = 8472").replace("\"n\"", "\"m\"").replace("10.1.", "10.2.");
    assert_eq!(two(vxlan("", ""), other_port), [Kind::Duplicate]);
}

#[test]
fn an_uplink_of_a_vlan_may_be_an_uplink_of_the_fabric() {
    taken(&vlan("subnet = \"10.1.3.0/24\"").replace("eth2", "eth1"));
}

#[test]
fn excluded_addresses_are_not_in_the_pool() {
    let pool = |lines: &str| {
        let config = taken(&vlan(&format!("subnet = \"10.1.3.0/24\"\n{lines}")));
        format!("{:?}", only(&config).v4.as_ref().unwrap().pool)
    };
    assert_eq!(pool("exclude = [\"10.1.3.10\"]"), "[10.1.3.1-10.1.3.9, 10.1.3.11-10.1.3.254]");
    // They may overlap each other, and lie beside the pool.
    assert_eq!(
        pool("pool = [\"10.1.3.0/27\"]\nexclude = [\"10.1.3.4/30\", \"10.1.3.6-10.1.3.20\", \"10.1.3.99\"]"),
        "[10.1.3.1-10.1.3.3, 10.1.3.21-10.1.3.31]"
    );
    assert_eq!(pool("exclude = []"), "[10.1.3.1-10.1.3.254]");
    assert_eq!(kinds(&vlan("subnet = \"10.1.3.0/24\"\nexclude = [\"10.1.3.0/24\"]")), [Kind::BadValue]);
}

#[test]
fn an_mtu_carries_ip() {
    assert_eq!(only(&taken(&vlan("subnet = \"10.1.3.0/24\"\nmtu = 68"))).mtu, Some(68));
    assert_eq!(only(&taken(&vlan("subnet6 = \"2001:db8:3::/64\"\nmtu = 1280"))).mtu, Some(1280));
    assert_eq!(kinds(&vlan("subnet6 = \"2001:db8:3::/64\"\nmtu = 1279")), [Kind::BadValue]);
    assert_eq!(kinds(&vlan("subnet = \"10.1.3.0/24\"\nmtu = 65536")), [Kind::BadValue]);
}

#[test]
fn a_quarantine_is_thirty_seconds_or_what_is_said() {
    let quarantine =
        |lines: &str| only(&taken(&vlan(&format!("subnet = \"10.1.3.0/24\"\n{lines}")))).quarantine;
    assert_eq!(
        (quarantine(""), quarantine("quarantine = 0"), quarantine("quarantine = \"2m\"")),
        (30, 0, 120)
    );
}

/// Two networks of two tenants, with these lines.
fn tenants(a: &str, b: &str) -> String {
    format!(
        "{FABRIC}[[tenant]]\nname = \"blue\"\n{}{}",
        network("n", a),
        network("n", &format!("tenant = \"blue\"\n{b}"))
    )
}

const BRIDGED: &str = "encap = \"vlan\"\ntag = 1\nuplink = \"eth2\"\nsubnet = \"10.1.0.0/16\"\n";
const BRIDGED2: &str = "encap = \"vlan\"\ntag = 2\nuplink = \"eth2\"\nsubnet = \"10.1.2.0/24\"\n";

#[test]
fn names_and_subnets_are_of_their_tenant() {
    let config = taken(&tenants(BRIDGED, BRIDGED2));
    let names: Vec<_> = config.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    assert_eq!(names, ["default", "blue"]);
    for id in ["n", "blue/n"] {
        let id = id.parse().unwrap();
        assert_eq!(config.network(&id).map(|network| &network.id), Some(&id));
    }
    assert_eq!(taken(&format!("{HOST}[[tenant]]\nname = \"default\"\n")).tenants.len(), 1);
}

#[test]
fn subnets_of_two_tenants_overlap_unless_the_host_routes_to_both() {
    let routed = "subnet = \"10.1.2.0/24\"";
    let gateway = |lines: &str, gateway: &str| format!("{lines}gateway = \"{gateway}\"");
    let (open, open2) = (gateway(BRIDGED, "10.1.0.1"), gateway(BRIDGED2, "10.1.2.1"));
    for (a, b) in [(BRIDGED, BRIDGED2), (&*open, BRIDGED2), (BRIDGED, &*open2), (BRIDGED, routed)] {
        assert_eq!(kinds(&tenants(a, b)), [], "{a} {b}");
    }
    for (a, b) in [(&*open, &*open2), (routed, &*open), (&*open2, routed), (routed, routed)] {
        assert_eq!(kinds(&tenants(a, b)), [Kind::Overlap], "{a} {b}");
    }
    // A gateway of the other family says nothing about this one.
    let six = "subnet6 = \"2001:db8:3::/64\"\ngateway6 = \"2001:db8:3::1\"";
    assert_eq!(kinds(&tenants(&format!("{BRIDGED}{six}"), routed)), []);
    // Inside one tenant nothing overlaps, routes or not.
    let one = tenants(BRIDGED, BRIDGED2).replace("tenant = \"blue\"", "").replacen("\"n\"", "\"m\"", 1);
    assert_eq!(kinds(&one), [Kind::Overlap]);
}

#[test]
fn every_overlap_of_tenants_is_seen_behind_a_larger_subnet_of_the_same_one() {
    let nets =
        [("blue", "10.0.0.0/10"), ("red", "10.0.0.0/8"), ("blue", "11.0.0.0/8"), ("red", "10.1.0.0/16")];
    let text = nets.iter().enumerate().fold(
        format!("{FABRIC}[[tenant]]\nname = \"blue\"\n[[tenant]]\nname = \"red\"\n")
            .replace("10.0.0.1", "9.0.0.1"),
        |text, (i, (tenant, net))| {
            text + &network(&format!("n{i}"), &format!("tenant = \"{tenant}\"\nsubnet = \"{net}\""))
        },
    );
    // Both of red with the one of blue, and with each other.
    assert_eq!(kinds(&text), [Kind::Overlap; 3]);
}

#[test]
fn a_segment_without_gateway_may_have_the_uplinks_subnet() {
    assert_eq!(kinds(&vlan("subnet = \"50.1.1.0/24\"")), []);
    assert_eq!(kinds(&vlan("subnet = \"50.1.1.0/24\"\ngateway = \"50.1.1.9\"")), [Kind::Overlap]);
}

/// A network of 126 addresses with a group, and endpoints with these lines.
fn group(pool: &str, endpoints: &[&str]) -> String {
    let base =
        network("n", "subnet = \"192.168.1.0/24\"\ngateway = \"192.168.1.10\"\npool = [\"192.168.1.0/25\"]");
    let base = format!("{FABRIC}{base}[[group]]\nname = \"g\"\nnetwork = \"n\"\n{pool}\n");
    endpoints.iter().enumerate().fold(base, |text, (i, lines)| {
        format!("{text}[[endpoint]]\nname = \"e{i}\"\nnetns = \"/run/netns/e{i}\"\n{lines}\n")
    })
}

#[test]
fn a_group_has_what_the_network_gives_out_of_its_pool() {
    let config =
        taken(&group("pool = [\"192.168.1.8-192.168.1.11\", \"192.168.1.0\", \"192.168.1.12\"]", &[]));
    let [g] = config.groups.as_slice() else { panic!() };
    assert_eq!(
        format!("{} {} {:?} {:?}", g.id, g.network, g.v4, g.v6),
        "g n [192.168.1.8-192.168.1.9, 192.168.1.11-192.168.1.12] []"
    );
    assert_eq!(taken(&group("", &[])).groups[0].v4, []);
    for outside in ["192.168.1.128", "192.168.1.127-192.168.1.128", "10.0.0.1"] {
        assert_eq!(kinds(&group(&format!("pool = [\"{outside}\"]"), &[])), [Kind::Outside], "{outside}");
    }
}

#[test]
fn an_endpoint_of_a_group_is_in_its_network() {
    let config = taken(&group("pool = [\"192.168.1.20\"]", &["group = \"g\"\naddress = \"192.168.1.20\""]));
    let [e] = config.endpoints.as_slice() else { panic!() };
    assert_eq!((e.network.to_string(), e.group.as_ref().unwrap().to_string()), ("n".into(), "g".into()));
    assert_eq!(config.endpoint(&"e0".parse().unwrap()), Some(e));
    assert_eq!(config.group(&"g".parse().unwrap()), config.groups.first());
}

#[test]
fn the_same_name_and_address_in_two_tenants_are_two_endpoints() {
    let endpoint = |tenant: &str, netns: &str| {
        format!(
            "[[endpoint]]\nname = \"e\"\n{tenant}network = \"n\"\nnetns = \"{netns}\"\naddress = \"10.1.2.7\"\n"
        )
    };
    let both = |netns: &str| {
        let networks = tenants(BRIDGED, BRIDGED2);
        format!("{networks}{}{}", endpoint("", "/a"), endpoint("tenant = \"blue\"\n", netns))
    };
    let config = taken(&both("/b"));
    let ids: Vec<_> = config.endpoints.iter().map(|e| e.id.to_string()).collect();
    assert_eq!(ids, ["e", "blue/e"]);
    // An interface in a namespace is one thing, whosever it is.
    assert_eq!(kinds(&both("/a")), [Kind::Duplicate]);
    let twice = both("/b").replace("tenant = \"blue\"\nnetwork", "network").replacen("\"e\"", "\"f\"", 1);
    assert_eq!(kinds(&twice), [Kind::Duplicate], "the address");
}

#[test]
fn published_ports_are_kept_as_written() {
    let publish = "publish = [\"9099:80\", \"50.1.1.1:53:53/udp\", \"0.0.0.0:1-9:11-19/sctp\"]";
    let config = taken(&group(
        "",
        &[&format!("network = \"n\"\n{publish}"), "network = \"n\"\npublish = [\"9098:80\"]"],
    ));
    let texts: Vec<_> = config.endpoints[0].publish.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["9099:80/tcp", "50.1.1.1:53:53/udp", "0.0.0.0:1-9:11-19/sctp"]);
    let twice = format!("network = \"n\"\n{publish}");
    assert_eq!(kinds(&group("", &[&twice, &twice])), [Kind::Duplicate; 3]);
    assert_eq!(kinds(&group("", &["network = \"n\"\npublish = [\"1-9:1-9\", \"9:10\"]"])), [Kind::Duplicate]);
}

#[test]
fn endpoints_that_nobody_is_told_of_need_no_neighbor() {
    let text = |more: &str| {
        format!(
            "{HOST}{}[[endpoint]]\nname = \"e\"\nnetwork = \"n\"\nnetns = \"/e\"\n",
            network("n", &format!("{BRIDGED}{more}"))
        )
    };
    assert_eq!(kinds(&text("")), []);
    assert_eq!(kinds(&text("gateway = \"10.1.0.1\"")), [Kind::Suspicious]);
}

#[test]
fn state_is_kept_where_it_is_said() {
    assert_eq!(taken(HOST).state.dir, Path::new("/var/lib/petiole"));
    assert_eq!(taken(&format!("{HOST}[state]\ndir = \"/srv/p\"\n")).state.dir, Path::new("/srv/p"));
    assert_eq!(kinds(&format!("{HOST}[state]\ndir = \"srv\"\n")), [Kind::BadValue]);
}
