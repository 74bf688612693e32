//! What is taken, what it becomes, and where the line to what is refused runs. The words of refusals are in `bad/`.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::{net::Ipv4Addr, path::Path};

use common::{HOST, check, taken, wrong};
use petiole_config::{
    Kind, LoadError, load,
    model::{
        Action, Advertise, AsPathToken, Community, Distance, Encap, Export, Families, Import, LargeCommunity,
        RemoteAs, Secret, Set, Source,
    },
    parse_bytes,
};

/// A file whose only neighbor has these lines; they begin at line 7.
fn neighbor(lines: &str) -> String {
    format!("{HOST}[[neighbor]]\nname = \"leaf1\"\naddress = \"50.1.1.2\"\nasn = 500\n{lines}\n")
}

/// A neighbor that imports everything, with these lines from line 8.
fn peer(lines: &str) -> String {
    neighbor(&format!("import = \"all\"\n{lines}"))
}

/// A file whose only network is called `n`, with these lines from line 5.
fn network(lines: &str) -> String {
    format!("{HOST}[[network]]\nname = \"n\"\n{lines}\n")
}

/// A file with one rule, in use, at line 10.
fn rule(rule: &str) -> String {
    format!("{}[[route-policy]]\nname = \"p\"\nrules = [{rule}]\n", neighbor("import = \"p\""))
}

/// A network that this host has the lower half of, and an endpoint in it with these lines.
fn endpoint(lines: &str) -> String {
    format!(
        "neighbor = [{{ name = \"l\", address = \"10.0.0.9\", asn = 1, import = \"all\" }}]\n{}\
         [[endpoint]]\nname = \"e\"\nnetwork = \"n\"\nnetns = \"/run/netns/e\"\n{lines}\n",
        network(
            "subnet = \"192.168.1.0/24\"\ngateway = \"192.168.1.50\"\npool = [\"192.168.1.0/25\"]\n\
             subnet6 = \"2001:db8::/64\""
        )
    )
}

#[test]
fn a_neighbor_has_the_documented_defaults() {
    let config = taken(&neighbor("import = \"default-route\""));
    let [n] = config.neighbors.as_slice() else { panic!() };
    assert_eq!((n.name.as_str(), n.remote_as, n.local_asn), ("leaf1", RemoteAs::Exact(500), 65002));
    assert_eq!((&n.import, &n.export), (&Import::DefaultRoute, &Export::Local));
    assert_eq!((n.hold_time, n.keepalive, n.connect_retry, n.port), (9, 3, 5, 179));
    assert_eq!((n.distance, n.passive, n.install, n.allow_own_as), (Distance::Connected, false, true, 0));
    assert_eq!(n.families, Families::BOTH);
    assert_eq!((n.max_prefixes, n.max_prefixes_out, &n.password, &n.shutdown), (None, None, &None, &None));
}

#[test]
fn everything_of_a_neighbor_can_be_said() {
    let config = taken(&neighbor(
        "import = \"none\"\nexport = \"local\"\nhold-time = \"1m\"\nkeepalive = 7\nconnect-retry = \"2s\"\npassive = true\n\
         multihop = 3\npassword-file = \"/keys/good\"\nport = 1179\nlocal-address = \"50.1.1.1\"\nlocal-asn = 65003\n\
         allow-own-as = 10\nfamilies = [\"ipv6\"]\nmax-prefixes = 4294967295\nmax-prefixes-out = 1\ninstall = false\n\
         description = \"\"\nshutdown = \"\"",
    ));
    let [n] = config.neighbors.as_slice() else { panic!() };
    assert_eq!((n.hold_time, n.keepalive, n.connect_retry, n.port), (60, 7, 2, 1179));
    assert_eq!((n.distance, n.passive, n.install, n.allow_own_as), (Distance::Multihop(3), true, false, 10));
    assert_eq!(n.password.as_ref().map(Secret::expose), Some(b"s3cret".as_slice()));
    assert_eq!((n.local_asn, n.max_prefixes, n.max_prefixes_out), (65003, Some(u32::MAX), Some(1)));
    assert_eq!(n.families, Families::new(false, true).unwrap());
    assert_eq!(n.shutdown.as_deref(), Some(""));
}

#[test]
fn an_import_has_to_be_named_and_an_export_is_local() {
    assert_eq!(wrong(&neighbor("")), [(Kind::MissingKey, 3)]);
    assert_eq!(wrong(&neighbor("import = \"local\"")), [(Kind::UnknownName, 7)]);
    assert_eq!(wrong(&peer("export = \"all\"")), [(Kind::BadValue, 8)]);
    assert_eq!(wrong(&peer("export = \"none\"")), [(Kind::BadValue, 8)]);
    assert_eq!(wrong(&peer("export = \"default-route\"")), [(Kind::UnknownName, 8)]);
}

#[test]
fn a_hold_time_is_zero_or_three_and_more() {
    for (text, hold, keepalive) in
        [("0", 0, 0), ("3", 3, 1), ("5", 5, 1), ("\"90\"", 90, 30), ("65535", 65535, 21845)]
    {
        let config = taken(&peer(&format!("hold-time = {text}")));
        assert_eq!((config.neighbors[0].hold_time, config.neighbors[0].keepalive), (hold, keepalive));
    }
    for text in ["1", "2", "-1", "65536", "\"19h\"", "\"\""] {
        assert_eq!(wrong(&peer(&format!("hold-time = {text}"))), [(Kind::BadValue, 8)], "{text}");
    }
}

#[test]
fn the_longest_hold_time_may_have_a_unit() {
    assert_eq!(taken(&peer("hold-time = \"65535s\"")).neighbors[0].hold_time, 65535);
    assert_eq!(wrong(&peer("hold-time = \"65536s\"")), [(Kind::BadValue, 8)]);
}

#[test]
fn keepalives_come_before_the_hold_time_ends() {
    assert_eq!(taken(&peer("keepalive = 8")).neighbors[0].keepalive, 8);
    for lines in ["keepalive = 9", "keepalive = 3\nhold-time = 3", "keepalive = 1\nhold-time = 0"] {
        assert_eq!(wrong(&peer(lines)), [(Kind::Conflict, 8)], "{lines}");
    }
}

#[test]
fn a_bad_hold_time_says_nothing_about_the_keepalive() {
    assert_eq!(wrong(&peer("hold-time = 2\nkeepalive = 5")), [(Kind::BadValue, 8)]);
}

#[test]
fn ttl_security_and_multihop_exclude_each_other() {
    assert_eq!(taken(&peer("ttl-security = true")).neighbors[0].distance, Distance::TtlSecurity);
    let both = taken(&peer("ttl-security = false\nmultihop = 255"));
    assert_eq!(both.neighbors[0].distance, Distance::Multihop(255));
    assert_eq!(wrong(&peer("ttl-security = true\nmultihop = 2")), [(Kind::Conflict, 9)]);
}

#[test]
fn as_numbers_that_nobody_can_be_are_refused() {
    for asn in ["0", "23456", "65535", "4294967295", "4294967296", "-1"] {
        assert_eq!(wrong(&format!("[host]\nasn = {asn}")), [(Kind::BadValue, 2)], "{asn}");
        assert_eq!(wrong(&peer(&format!("local-asn = {asn}"))), [(Kind::BadValue, 8)], "{asn}");
    }
    for asn in [1, 23455, 65534, 65536, 4_294_967_294_u32] {
        assert_eq!(taken(&format!("[host]\nasn = {asn}")).host.asn, asn);
    }
    assert_eq!(taken("[host]\nasn = 0xFDEA").host.asn, 65002);
}

#[test]
fn an_external_neighbor_may_be_any_as() {
    let text = peer("").replace("asn = 500", "asn = \"external\"");
    assert_eq!(taken(&text).neighbors[0].remote_as, RemoteAs::External);
}

#[test]
fn a_link_local_neighbor_needs_its_interface_and_no_other_has_one() {
    let link_local = |lines: &str| peer(lines).replace("50.1.1.2", "fe80::2");
    let config = taken(&link_local("interface = \"eth1\""));
    assert_eq!(config.neighbors[0].interface.as_ref().map(ToString::to_string).as_deref(), Some("eth1"));
    assert_eq!(wrong(&link_local("")), [(Kind::MissingKey, 5)]);
    assert_eq!(wrong(&link_local("interface = \"eth1\"\nmultihop = 2")), [(Kind::Conflict, 9)]);
    assert_eq!(wrong(&peer("interface = \"eth1\"")), [(Kind::Conflict, 8)]);
}

#[test]
fn the_same_link_local_address_on_two_links_is_two_neighbors() {
    let text = |second: &str| {
        format!(
            "{HOST}[[neighbor]]\nname = \"a\"\naddress = \"fe80::1\"\ninterface = \"eth1\"\nasn = 1\nimport = \"all\"\n\
             [[neighbor]]\nname = \"b\"\naddress = \"fe80::1\"\ninterface = \"{second}\"\nasn = 1\nimport = \"all\"\n"
        )
    };
    assert_eq!(taken(&text("eth2")).neighbors.len(), 2);
    assert_eq!(wrong(&text("eth1")), [(Kind::Duplicate, 11)]);
}

#[test]
fn a_neighbor_is_never_this_host() {
    let uplink = "[[uplink]]\ninterface = \"eth1\"\naddress = [\"50.1.1.2/24\"]\n";
    assert_eq!(wrong(&(peer("") + uplink)), [(Kind::Conflict, 5)]);
    let loopback = peer("").replace("asn = 65002", "asn = 65002\nloopback = [\"50.1.1.2\"]");
    assert_eq!(wrong(&loopback), [(Kind::Conflict, 6)]);
}

#[test]
fn local_and_peer_address_are_of_one_family() {
    assert_eq!(wrong(&peer("local-address = \"::1\"")), [(Kind::Conflict, 8)]);
    assert_eq!(wrong(&peer("local-address = \"50.1.1.2\"")), [(Kind::Conflict, 8)]);
    assert_eq!(wrong(&peer("local-address = \"0.0.0.0\"")), [(Kind::BadValue, 8)]);
}

#[test]
fn a_peer_on_no_uplink_is_warned_of_where_all_addresses_are_known() {
    let uplink = |address: &str| format!("[[uplink]]\ninterface = \"eth1\"\n{address}\n");
    assert_eq!(wrong(&(peer("") + &uplink("address = [\"60.1.1.1/24\"]"))), [(Kind::Suspicious, 5)]);
    assert_eq!(wrong(&(peer("multihop = 2") + &uplink("address = [\"60.1.1.1/24\"]"))), []);
    assert_eq!(wrong(&(peer("") + &uplink("address = [\"50.1.1.1/24\"]"))), []);
    assert_eq!(wrong(&(peer("") + &uplink(""))), []);
    assert_eq!(wrong(&(peer("") + &uplink("address = [\"2001:db8::1/64\"]"))), []);
}

#[test]
fn a_key_is_one_line_of_one_to_eighty_bytes() {
    let file = |name: &str| peer(&format!("password-file = \"/keys/{name}\""));
    assert_eq!(taken(&file("longest")).neighbors[0].password.as_ref().unwrap().expose().len(), 80);
    assert_eq!(taken(&file("crlf")), taken(&file("good")));
    assert_ne!(taken(&file("other")), taken(&file("good")));
    for bad in ["too-long", "empty", "two-lines", "forbidden", "missing"] {
        assert_eq!(wrong(&file(bad)), [(Kind::KeyFile, 8)], "{bad}");
    }
    assert_eq!(wrong(&file("open")), [(Kind::Suspicious, 8)]);
}

#[test]
fn a_key_is_shown_nowhere() {
    let loaded = check(&peer("password-file = \"/keys/open\"")).unwrap();
    let shown = format!("{:?} {}", loaded, serde_json::to_string(&loaded.config).unwrap());
    let shown = shown + &loaded.warnings.render(true) + &loaded.warnings.to_json().to_string();
    assert!(shown.contains("(secret)") && !shown.contains("s3cret"), "{shown}");
    let refused = check(&peer("password-file = \"/keys/two-lines\"")).unwrap_err();
    assert!(!format!("{refused:?}").contains("two\\n"));
}

#[test]
fn a_shutdown_reason_has_at_most_255_bytes() {
    let reason = |text: &str| peer(&format!("shutdown = \"{text}\""));
    assert_eq!(taken(&reason(&"x".repeat(255))).neighbors[0].shutdown.as_ref().unwrap().len(), 255);
    assert_eq!(wrong(&reason(&"x".repeat(256))), [(Kind::BadValue, 8)]);
    assert_eq!(wrong(&reason(&"ä".repeat(128))), [(Kind::BadValue, 8)]);
}

#[test]
fn the_router_id_is_the_loopback_else_the_lowest_uplink_address() {
    let id = |host: &str, addresses: &str| {
        let text = format!("{HOST}{host}\n[[uplink]]\ninterface = \"eth1\"\naddress = [{addresses}]\n");
        taken(&text).host.router_id.map(|id| id.to_string())
    };
    let addresses = "\"2001:db8::1/64\", \"50.1.1.1/24\", \"10.9.9.9/24\"";
    assert_eq!(
        id("router-id = \"1.2.3.4\"\nloopback = [\"10.0.0.1\"]", addresses).as_deref(),
        Some("1.2.3.4")
    );
    assert_eq!(id("loopback = [\"::5\", \"10.99.0.1\"]", addresses).as_deref(), Some("10.99.0.1"));
    assert_eq!(id("", addresses).as_deref(), Some("10.9.9.9"));
    assert_eq!(id("", "\"2001:db8::1/64\""), None);
    assert_eq!(wrong("[host]\nasn = 1\nrouter-id = \"0.0.0.0\""), [(Kind::BadValue, 3)]);
}

#[test]
fn a_host_says_who_it_is() {
    assert_eq!(wrong(""), [(Kind::MissingKey, 1)]);
    assert_eq!(wrong("[host]"), [(Kind::MissingKey, 1)]);
    assert_eq!(taken(HOST).host.name, None);
    assert_eq!(
        taken("[host]\nname = \"h-1.example_x\"\nasn = 1").host.name.unwrap().as_str(),
        "h-1.example_x"
    );
}

#[test]
fn a_policy_becomes_typed_rules() {
    let config = taken(&rule(
        "{ prefix = [\"10.0.0.0/8 ge 24\"], community = [\"65000:100\"], large-community = [\"1:2:3\"], \
         as-path = [\"* 64512..65534 ?\"], source = \"any\", action = \"accept\", set = { local-pref = 0, med = 7, \
         prepend = 16, community = [\"no-export\"], community-remove = [\"1:1\"], large-community = [\"4:5:6\"], \
         large-community-remove = [\"7:8:9\"] } }, { action = \"reject\" }",
    ));
    let policy = config.route_policy("p").unwrap();
    assert_eq!(config.neighbors[0].import, Import::Policy(policy.name.clone()));
    assert_eq!(policy.default, Action::Reject);
    let [first, second] = policy.rules.as_slice() else { panic!() };
    assert_eq!(first.matches.prefixes[0].to_string(), "10.0.0.0/8 ge 24");
    assert_eq!(first.matches.communities, [Community::new(65000, 100)]);
    assert_eq!(first.matches.large_communities, [LargeCommunity(1, 2, 3)]);
    assert_eq!(
        first.matches.as_paths[0].0,
        [AsPathToken::Many, AsPathToken::Range(64512, 65534), AsPathToken::Any]
    );
    assert_eq!(first.matches.source, Source::Any);
    assert_eq!(
        first.action,
        Action::Accept(Set {
            local_pref: Some(0),
            med: Some(7),
            prepend: 16,
            communities_add: vec![Community(0xffff_ff01)],
            communities_remove: vec![Community::new(1, 1)],
            large_communities_add: vec![LargeCommunity(4, 5, 6)],
            large_communities_remove: vec![LargeCommunity(7, 8, 9)],
        })
    );
    assert_eq!((second.matches.source, &second.action), (Source::Local, &Action::Reject));
}

#[test]
fn a_rejected_route_is_not_changed() {
    assert_eq!(wrong(&rule("{ action = \"reject\", set = {} }")), [(Kind::Conflict, 10)]);
}

#[test]
fn a_rule_behind_one_that_takes_everything_is_warned_of() {
    let all = "{ source = \"any\", action = \"accept\" }";
    let local = "{ action = \"accept\" }";
    assert_eq!(wrong(&rule(&format!("{all}, {local}"))), [(Kind::Suspicious, 10)]);
    assert_eq!(wrong(&rule(&format!("{local}, {all}"))), []);
}

#[test]
fn a_network_has_link_local_gateways_and_all_of_its_subnet() {
    let config = taken(&network("subnet = \"192.168.1.0/24\"\nsubnet6 = \"2001:db8::/64\""));
    let n = config.network(&"n".parse().unwrap()).unwrap();
    assert_eq!((&n.encap, n.advertise), (&Encap::Routed, Advertise::Endpoints));
    assert_eq!((n.masquerade, n.mtu, n.quarantine), (false, None, 30));
    let (v4, v6) = (n.v4.as_ref().unwrap(), n.v6.as_ref().unwrap());
    assert_eq!(format!("{} {:?}", v4.gateway.unwrap(), v4.pool), "169.254.1.1 [192.168.1.1-192.168.1.254]");
    assert_eq!(
        format!("{} {:?}", v6.gateway.unwrap(), v6.pool),
        "fe80::1 [2001:db8::1-2001:db8::ffff:ffff:ffff:ffff]"
    );
}

#[test]
fn a_network_may_be_of_one_family() {
    let config = taken(&network("subnet6 = \"2001:db8::/64\""));
    assert!(config.networks[0].v4.is_none());
    assert_eq!(wrong(&network("")), [(Kind::MissingKey, 3)]);
    assert_eq!(wrong(&network("subnet6 = \"2001:db8::/64\"\ngateway = \"10.0.0.1\"")), [(Kind::Conflict, 6)]);
}

#[test]
fn pools_never_hold_what_is_not_given_out() {
    let pool = |lines: &str| format!("{:?}", taken(&network(lines)).networks[0].v4.as_ref().unwrap().pool);
    let subnet = "subnet = \"192.168.1.0/24\"\n";
    assert_eq!(
        pool(&format!("{subnet}gateway = \"192.168.1.10\"\npool = [\"192.168.1.0-192.168.1.20\"]")),
        "[192.168.1.1-192.168.1.9, 192.168.1.11-192.168.1.20]"
    );
    assert_eq!(pool(&format!("{subnet}pool = [\"192.168.1.255\", \"192.168.1.7\"]")), "[192.168.1.7]");
    assert_eq!(pool("subnet = \"192.168.1.0/31\""), "[192.168.1.0-192.168.1.1]");
    assert_eq!(pool("subnet = \"192.168.1.7/32\""), "[192.168.1.7]");
    assert_eq!(pool("subnet = \"192.168.1.0/31\"\ngateway = \"192.168.1.0\""), "[192.168.1.1]");
    assert_eq!(pool("subnet = \"10.0.0.0/8\""), "[10.0.0.1-10.255.255.254]");
    assert_eq!(wrong(&network(&format!("{subnet}pool = [\"192.168.1.255\"]"))), [(Kind::BadValue, 6)]);

    let pool6 = |lines: &str| format!("{:?}", taken(&network(lines)).networks[0].v6.as_ref().unwrap().pool);
    assert_eq!(pool6("subnet6 = \"2001:db8::/127\""), "[2001:db8::-2001:db8::1]");
    assert_eq!(pool6("subnet6 = \"2001:db8::7/128\""), "[2001:db8::7]");
    assert_eq!(
        pool6("subnet6 = \"2001:db8::/126\"\ngateway6 = \"2001:db8::2\""),
        "[2001:db8::1, 2001:db8::3]"
    );
}

#[test]
fn pools_stay_inside_their_subnet_with_both_ends() {
    for pool in ["192.168.0.9-192.168.1.9", "192.168.1.9-192.168.2.9", "192.168.0.0/16", "192.168.2.1"] {
        let text = network(&format!("subnet = \"192.168.1.0/24\"\npool = [\"{pool}\"]"));
        assert_eq!(wrong(&text), [(Kind::Outside, 6)], "{pool}");
    }
}

#[test]
fn the_same_addresses_are_the_same_pool_however_they_are_written() {
    let with = |pool: &str| taken(&network(&format!("subnet = \"192.168.1.0/24\"\npool = [{pool}]")));
    let one = with("\"192.168.1.8-192.168.1.15\"");
    for same in [
        "\"192.168.1.8/29\"",
        "\"192.168.1.12/30\", \"192.168.1.8 - 192.168.1.11\"",
        "\"192.168.1.9-192.168.1.15\", \"192.168.1.8\"",
    ] {
        assert_eq!(with(same), one, "{same}");
    }
}

#[test]
fn subnets_have_sensible_lengths_and_no_host_bits() {
    for good in ["10.0.0.0/8", "192.168.1.2/31", "192.168.1.3/32"] {
        taken(&network(&format!("subnet = \"{good}\"")));
    }
    for good in ["2001:db8::/32", "2001:db8::2/127", "2001:db8::1/128"] {
        taken(&network(&format!("subnet6 = \"{good}\"")));
    }
    for bad in ["10.0.0.0/7", "10.0.0.1/24", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/8", "0.0.0.0/8"] {
        assert_eq!(wrong(&network(&format!("subnet = \"{bad}\""))), [(Kind::BadValue, 5)], "{bad}");
    }
    for bad in ["2001::/31", "2001:db8::1/64", "fe80::/64", "ff02::/32", "::/96", "::ffff:0:0/96"] {
        assert_eq!(wrong(&network(&format!("subnet6 = \"{bad}\""))), [(Kind::BadValue, 5)], "{bad}");
    }
}

#[test]
fn neighbouring_subnets_do_not_overlap_and_nested_ones_do() {
    let two = |a: &str, b: &str| {
        format!(
            "{HOST}[[network]]\nname = \"a\"\nsubnet = \"{a}\"\n[[network]]\nname = \"b\"\nsubnet = \"{b}\"\n"
        )
    };
    assert_eq!(wrong(&two("10.0.0.0/24", "10.0.1.0/24")), []);
    assert_eq!(wrong(&two("10.0.0.0/16", "10.0.1.0/24")), [(Kind::Overlap, 8)]);
    assert_eq!(wrong(&two("10.0.1.0/24", "10.0.0.0/16")), [(Kind::Overlap, 8)]);
    assert_eq!(wrong(&two("10.0.1.0/24", "10.0.1.0/24")), [(Kind::Overlap, 8)]);
}

#[test]
fn every_overlap_inside_a_large_subnet_is_seen() {
    let nets = ["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "10.2.1.0/24", "11.0.0.0/8"];
    let text = nets.iter().enumerate().fold(HOST.to_owned(), |text, (i, net)| {
        format!("{text}[[network]]\nname = \"n{i}\"\nsubnet = \"{net}\"\n")
    });
    assert_eq!(wrong(&text), [(Kind::Overlap, 8), (Kind::Overlap, 11), (Kind::Overlap, 14)]);
}

#[test]
fn an_endpoint_has_defaults_and_fixed_addresses() {
    let config = taken(&endpoint("address = \"192.168.1.3\"\naddress6 = \"2001:db8::3\""));
    let [e] = config.endpoints.as_slice() else { panic!() };
    assert_eq!(
        (e.id.to_string(), e.network.to_string(), e.interface.as_str()),
        ("e".into(), "n".into(), "eth0")
    );
    assert_eq!(
        (e.netns.as_path(), e.address),
        (Path::new("/run/netns/e"), Some(Ipv4Addr::new(192, 168, 1, 3)))
    );
    let config = taken(&endpoint(""));
    assert_eq!((config.endpoints[0].address, config.endpoints[0].address6), (None, None));
}

#[test]
fn a_fixed_address_is_one_that_this_host_may_give_out() {
    for address in ["192.168.1.1", "192.168.1.127"] {
        taken(&endpoint(&format!("address = \"{address}\"")));
    }
    // Outside, network address, gateway, outside the pool, broadcast.
    for address in ["192.168.2.1", "192.168.1.0", "192.168.1.50", "192.168.1.128", "192.168.1.255"] {
        let kinds: Vec<_> =
            wrong(&endpoint(&format!("address = \"{address}\""))).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [Kind::Outside], "{address}");
    }
    assert_eq!(wrong(&endpoint("address6 = \"2001:db8::\""))[0].0, Kind::Outside);
    assert_eq!(wrong(&endpoint("address6 = \"2001:db8:1::1\""))[0].0, Kind::Outside);
}

#[test]
fn one_mistake_is_one_error() {
    // What hangs on a bad part is not complained about.
    let bad_subnet = endpoint("address = \"192.168.1.3\"").replace("192.168.1.0/24", "192.168.1.9/24");
    assert_eq!(wrong(&bad_subnet).len(), 1);
    let bad_network_name = endpoint("").replace("name = \"n\"", "name = \"n n\"");
    assert_eq!(wrong(&bad_network_name).len(), 1);
    let bad_policy_name = rule("").replace("name = \"p\"", "name = \"p p\"");
    assert_eq!(wrong(&bad_policy_name).len(), 1);
    let bad_rule = rule("{ action = \"acccept\" }");
    assert_eq!(wrong(&bad_rule).len(), 1);
}

#[test]
fn no_mistake_hides_another() {
    let text = "[host]\nasn = 0\nloopback = [\"x\", \"127.0.0.1\"]\nnope = 1\n[[neighbor]]\nname = \"a b\"\naddress = 7\n\
                import = \"missing\"\nkeepalive = 99\n[api]\nsocket = \"relative\"\n";
    let lines: Vec<_> = wrong(text).into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, [2, 3, 3, 4, 5, 6, 7, 8, 9, 11]);
}

#[test]
fn the_socket_fits_into_an_address_of_a_socket() {
    let api = |path: &str| format!("{HOST}[api]\nsocket = \"{path}\"\n");
    let path = format!("/{}", "x".repeat(106));
    assert_eq!(taken(&api(&path)).api.socket, Path::new(&path));
    assert_eq!(wrong(&api(&format!("{path}x"))), [(Kind::BadValue, 4)]);
    assert_eq!(wrong(&api("run/x")), [(Kind::BadValue, 4)]);
}

#[test]
fn metrics_are_an_address_with_a_port() {
    let api = |address: &str| format!("{HOST}[api]\nmetrics = \"{address}\"\n");
    assert_eq!(taken(&api("[::1]:9179")).api.metrics, Some("[::1]:9179".parse().unwrap()));
    for bad in ["127.0.0.1", ":9179", "9179", "localhost:9179", "127.0.0.1:0", "::1"] {
        assert_eq!(wrong(&api(bad)), [(Kind::BadValue, 4)], "{bad}");
    }
}

#[test]
fn places_in_json_count_characters_from_one() {
    let json = check("[host]\nasn = 1\nname = \"ä\"\nx = 1").unwrap_err().to_json();
    assert_eq!(json["version"], 1);
    assert_eq!(json["errors"], 2);
    let d = &json["diagnostics"][0];
    assert_eq!(
        (&d["line"], &d["column"], &d["end-line"], &d["end-column"]),
        (&3.into(), &8.into(), &3.into(), &11.into())
    );
    assert_eq!((&d["severity"], &d["kind"]), (&"error".into(), &"bad-value".into()));
}

#[test]
fn two_places_of_one_mistake_may_be_far_apart() {
    let far = "\n".repeat(1000);
    let text = format!(
        "{HOST}[[network]]\nname = \"n\"\nsubnet = \"10.0.0.0/8\"\n{far}[[network]]\nname = \"n\"\nsubnet = \"11.0.0.0/8\"\n"
    );
    let rendered = check(&text).unwrap_err().render(false);
    assert!(
        rendered.contains("--> petiole.toml:1007:8") && rendered.contains("petiole.toml:4:8"),
        "{rendered}"
    );
}

#[test]
fn many_mistakes_are_counted_and_not_all_shown() {
    let text = (0..1000).fold(HOST.to_owned(), |text, i| format!("{text}k{i} = 1\n"));
    let diagnostics = check(&text).unwrap_err();
    assert_eq!(diagnostics.errors(), 1000);
    let rendered = diagnostics.render(false);
    assert_eq!(rendered.matches("error[").count(), 200);
    assert!(rendered.ends_with("and 800 more\n\npetiole.toml: 1000 errors\n"));
}

#[test]
fn what_is_no_text_is_refused() {
    for bytes in [b"\xff".as_slice(), b"[host]\nasn = 1 # \xc3", b"\x00\xff\xfe"] {
        let refused = parse_bytes("petiole.toml", bytes, &common::Keys).unwrap_err();
        assert_eq!(refused.iter().map(|d| d.kind).collect::<Vec<_>>(), [Kind::File]);
        assert!(refused.render(false).contains("UTF-8"));
    }
    let large = vec![b'#'; petiole_config::MAX_FILE + 1];
    let refused = parse_bytes("petiole.toml", &large, &common::Keys).unwrap_err();
    assert!(refused.render(false).contains("larger than 16 MiB"));
}

#[test]
fn a_file_that_is_not_there_is_no_configuration() {
    let error = load(Path::new("/nonexistent/petiole.toml")).unwrap_err();
    assert!(matches!(error, LoadError::Read { .. }));
    assert!(error.render(true).starts_with("error: cannot read /nonexistent/petiole.toml: "));
    assert_eq!(error.to_json()["errors"], 1);
    assert_eq!(error.to_json()["diagnostics"][0]["kind"], "file");
}

#[test]
fn files_are_read_from_the_disk() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = std::env::temp_dir().join(format!("petiole-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (file, key) = (directory.join("petiole.toml"), directory.join("key"));
    std::fs::write(&file, peer(&format!("password-file = \"{}\"", key.display()))).unwrap();

    assert!(matches!(load(&file), Err(LoadError::Invalid(_))), "the key is not there yet");
    std::fs::write(&key, "s3cret\n").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let loaded = load(&file).unwrap();
    assert_eq!(loaded.config.neighbors[0].password.as_ref().unwrap().expose(), b"s3cret");
    assert!(loaded.warnings.is_empty());

    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(load(&file).unwrap().warnings.warnings(), 1);
    std::fs::remove_file(&key).unwrap();
    std::fs::create_dir(&key).unwrap();
    assert!(matches!(load(&file), Err(LoadError::Invalid(_))), "a directory is no key");
    std::fs::remove_dir_all(&directory).unwrap();
}
