//! Nothing that can be written panics, loops, or is refused without a reason.
//!
//! `PROPTEST_CASES=1000000` in the environment looks longer.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::{collections::BTreeSet, fs, path::Path, sync::LazyLock};

use petiole_config::{
    Diagnostics, EndpointRequest, HostConfig,
    model::{
        AddrRange, Address, Advertise, Encap, Endpoint, Group, Network, Peer, ScopedName, Service, Subnet,
    },
    parse_bytes, request,
};
use proptest::prelude::*;

/// The good file and all bad ones.
static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bad = fs::read_dir(here.join("tests/bad")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = bad.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files.push(here.join("../dist/petiole.toml"));
    files.iter().map(|path| fs::read(path).unwrap()).collect()
});

/// Values at the edges of everything, to put where another was.
const VALUES: &[&str] = &[
    "0",
    "-1",
    "65536",
    "4294967296",
    "99999999999999999999999",
    "0x7f",
    "1e9",
    "nan",
    "true",
    "\"\"",
    "\"x\"",
    "[]",
    "[[]]",
    "{}",
    "{ a = 1 }",
    "[{}]",
    "[\"\"]",
    "\"0.0.0.0/0\"",
    "\"::/0\"",
    "\"255.255.255.255/32\"",
    "\"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127\"",
    "\"0.0.0.0-255.255.255.255\"",
    "[\"::-ffff::\"]",
    "[\"192.168.1.0/24\", \"192.168.1.9\"]",
    "\"192.168.1.254\"",
    "\"fe80::1\"",
    "[\"* ? 1..2 *\"]",
    "\"10.0.0.0/8 ge 9 le 8\"",
    "\"\\u0000\\n\\u202E\"",
    "'''\nä\n'''",
    "\"😀\"",
    "1979-05-27T07:32:00Z",
    "\"9s\"",
    "\"all\"",
    "\"fabric\"",
    "\"public\"",
    "\"blue\"",
    "\"vlan\"",
    "\"vxlan\"",
    "\"routed\"",
    "\"web\"",
    "[\"80:80\", \"[::]:1-4096:61440-65535/sctp\"]",
    "[\"0.0.0.0:65535:1/udp\", \":\", \"[]:1:1\", \"/\"]",
    "[\"50.1.1.1\", \"::1\"]",
    "\"none\"",
    "\"endpoints\"",
    "112",
    "4094",
    "\"in\"",
    "\"out\"",
    "\"deny\"",
    "\"tcp\"",
    "\"icmp\"",
    "[\"echo-request\", \"redirect\"]",
    "\"1-65535,0\"",
    "\"65535,1-65535,9-8\"",
    "[\"0.0.0.0/0\", \"::/0\", \"192.168.1.9-192.168.1.10\"]",
    "[\"web-clients\", \"web-clients\"]",
    "\"slow\"",
    "\"1.5Mbps\"",
    "\"99999999999999999999.0000000000000000000000001Gbps\"",
    "\"256MiB\"",
    "65536",
];

/// What holds of every answer.
fn answer(bytes: &[u8]) {
    match parse_bytes("petiole.toml", bytes, &common::Keys) {
        Ok(loaded) => {
            assert_eq!(loaded.warnings.errors(), 0);
            shown(&loaded.warnings);
            consistent(&loaded.config);
            serde_json::to_string(&loaded.config).unwrap();
            // What was taken once is taken again, and is the same.
            let again = parse_bytes("petiole.toml", bytes, &common::Keys).unwrap();
            assert_eq!(again.config, loaded.config);
        }
        Err(diagnostics) => {
            assert!(diagnostics.errors() > 0, "refused without a reason");
            shown(&diagnostics);
        }
    }
}

/// What the model promises of every configuration.
fn consistent(config: &HostConfig) {
    assert_eq!(config.tenants[0].name.as_str(), ScopedName::DEFAULT_TENANT);
    assert!(unique(config.tenants.iter().map(|tenant| &tenant.name)));
    assert!(unique(config.networks.iter().map(|network| &network.id)));
    assert!(unique(config.groups.iter().map(|group| &group.id)));
    assert!(unique(config.endpoints.iter().map(|endpoint| &endpoint.id)));
    let tenant = |id: &ScopedName| config.tenants.iter().any(|tenant| tenant.name == id.tenant);
    for network in &config.networks {
        assert!(tenant(&network.id) && (network.v4.is_some() || network.v6.is_some()));
        network.v4.as_ref().inspect(|subnet| pool(subnet, &network.encap));
        network.v6.as_ref().inspect(|subnet| pool(subnet, &network.encap));
        assert!(network.has_host_routes() || (network.advertise == Advertise::None && !network.masquerade));
        if let Encap::Vxlan { local, vteps, .. } = &network.encap {
            assert!(vteps.is_sorted_by(|a, b| a < b) && !vteps.contains(local));
            assert!(vteps.iter().all(|vtep| vtep.is_ipv4() == local.is_ipv4()));
        }
    }
    for (i, a) in config.networks.iter().enumerate() {
        for b in &config.networks[i + 1..] {
            apart(a, b);
        }
    }
    for group in &config.groups {
        let network = config.network(&group.network).unwrap();
        assert_eq!(group.id.tenant, network.id.tenant);
        let v4 = |address| network.v4.as_ref().is_some_and(|subnet| subnet.may_assign(address));
        let v6 = |address| network.v6.as_ref().is_some_and(|subnet| subnet.may_assign(address));
        assert!(group.v4.iter().all(|range| v4(range.first()) && v4(range.last())));
        assert!(group.v6.iter().all(|range| v6(range.first()) && v6(range.last())));
        let others =
            config.groups.iter().filter(|other| other.network == group.network && other.id != group.id);
        let ranges = || others.clone().flat_map(|other| &other.v4);
        assert!(!ranges().any(|range| group.v4.iter().any(|own| own.contains(range.first()))));
    }
    numbers(config);
    policies(config);
    for endpoint in &config.endpoints {
        let network = config.network(&endpoint.network).unwrap();
        assert_eq!(endpoint.id.tenant, network.id.tenant);
        assert!(endpoint.group.as_ref().is_none_or(|id| config.group(id).unwrap().network == network.id));
        let v4 = endpoint.address.is_none_or(|a| network.v4.as_ref().is_some_and(|s| s.may_assign(a)));
        let v6 = endpoint.address6.is_none_or(|a| network.v6.as_ref().is_some_and(|s| s.may_assign(a)));
        assert!(v4 && v6);
        assert!(endpoint.publish.is_empty() || network.has_host_routes());
        // What the file may have, may be asked for at run time, and is the same.
        assert_eq!(request::endpoint(config, &asked(endpoint)).as_ref(), Ok(endpoint));
    }
    let published: Vec<_> = config.endpoints.iter().flat_map(|endpoint| &endpoint.publish).collect();
    for (i, a) in published.iter().enumerate() {
        assert!(!published[i + 1..].iter().any(|b| a.clashes(b)));
    }
}

/// Groups have numbers of their own, also of what of them travels in packets.
fn numbers(config: &HostConfig) {
    assert!(unique(config.groups.iter().map(|group| group.number)));
    let travels = |group: &&Group| {
        let network = config.network(&group.network).unwrap();
        matches!(network.encap, Encap::Vxlan { .. }) && network.advertise != Advertise::Endpoints
    };
    let in_packets = || config.groups.iter().filter(travels).map(|group| group.number.in_packets());
    assert!(unique(in_packets()) && in_packets().all(|number| number != 0));
}

fn policies(config: &HostConfig) {
    assert!(unique(config.policies.iter().map(|policy| &policy.id)));
    assert!(unique(config.profiles.iter().map(|profile| &profile.id)));
    for group in &config.groups {
        assert!(unique(group.policies.iter()));
        assert!(group.policies.iter().all(|id| config.policy(id).unwrap().id.tenant == group.id.tenant));
        let profile = group.profile.as_ref().map(|id| config.profile(id).unwrap());
        assert!(profile.is_none_or(|profile| profile.id.tenant == group.id.tenant));
    }
    for policy in &config.policies {
        assert!(unique(policy.rules.iter().map(|rule| &rule.id)));
        for rule in &policy.rules {
            match &rule.peer {
                Peer::Any => {}
                Peer::Network(id) => assert_eq!(config.network(id).unwrap().id.tenant, policy.id.tenant),
                Peer::Of { group, v4, v6 } => {
                    assert!(group.is_some() || !v4.is_empty() || !v6.is_empty());
                    let tenant = |id| &config.group(id).unwrap().id.tenant;
                    assert!(group.as_ref().is_none_or(|id| *tenant(id) == policy.id.tenant));
                    gaps(v4);
                    gaps(v6);
                }
            }
            match &rule.service {
                Service::Any | Service::Protocol(_) | Service::Icmp(None) => {}
                Service::Ports(protocol, ports) => {
                    assert!(matches!(protocol, 6 | 17 | 132) && !ports.is_empty());
                    assert!(
                        ports
                            .windows(2)
                            .all(|pair| { u32::from(pair[0].last()) + 1 < u32::from(pair[1].first()) })
                    );
                }
                Service::Icmp(Some(types)) => {
                    assert!(!types.is_empty() && types.is_sorted_by(|a, b| a < b));
                    assert!(types.iter().all(|t| t.v4.is_some() || t.v6.is_some()));
                }
            }
        }
    }
    for limit in config.profiles.iter().flat_map(|profile| [profile.out, profile.inward]).flatten() {
        assert!(limit.burst > 0 && limit.rate.bits() > 0);
    }
}

fn gaps<A: Address>(ranges: &[AddrRange<A>]) {
    let apart = |pair: &[AddrRange<A>]| pair[0].last().to_bits() + 1 < pair[1].first().to_bits();
    assert!(ranges.windows(2).all(apart), "{ranges:?}");
}

fn unique<T: Ord>(items: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    items.into_iter().all(|item| seen.insert(item))
}

/// Two networks share neither addresses that must be one's alone, nor a tag or VNI.
fn apart(a: &Network, b: &Network) {
    let overlap4 =
        a.v4.as_ref()
            .zip(b.v4.as_ref())
            .is_some_and(|(a, b)| a.net.contains(&b.net.network()) || b.net.contains(&a.net.network()));
    let overlap6 =
        a.v6.as_ref()
            .zip(b.v6.as_ref())
            .is_some_and(|(a, b)| a.net.contains(&b.net.network()) || b.net.contains(&a.net.network()));
    let routes4 = [a, b].iter().all(|n| n.v4.as_ref().is_some_and(|subnet| subnet.gateway.is_some()));
    let routes6 = [a, b].iter().all(|n| n.v6.as_ref().is_some_and(|subnet| subnet.gateway.is_some()));
    let one_tenant = a.id.tenant == b.id.tenant;
    assert!(!overlap4 || !(one_tenant || routes4), "{} {}", a.id, b.id);
    assert!(!overlap6 || !(one_tenant || routes6), "{} {}", a.id, b.id);
    match (&a.encap, &b.encap) {
        (Encap::Vlan { tag: a, uplink: x }, Encap::Vlan { tag: b, uplink: y }) => assert!((a, x) != (b, y)),
        (Encap::Vxlan { vni: a, .. }, Encap::Vxlan { vni: b, .. }) => assert_ne!(a, b),
        _ => {}
    }
}

/// The endpoint as somebody would type it.
fn asked(endpoint: &Endpoint) -> EndpointRequest {
    EndpointRequest {
        name: endpoint.id.name.to_string(),
        tenant: Some(endpoint.id.tenant.to_string()),
        network: endpoint.group.is_none().then(|| endpoint.network.name.to_string()),
        group: endpoint.group.as_ref().map(|group| group.name.to_string()),
        netns: endpoint.netns.to_str().unwrap().to_owned(),
        interface: Some(endpoint.interface.to_string()),
        address: endpoint.address.map(|address| address.to_string()),
        address6: endpoint.address6.map(|address| address.to_string()),
        publish: endpoint.publish.iter().map(ToString::to_string).collect(),
    }
}

/// Pools ascend, have gaps between their parts, and spare the gateway.
fn pool<A: Address>(subnet: &Subnet<A>, encap: &Encap) {
    assert!(subnet.gateway.is_some() || encap.is_bridged());
    assert!(!subnet.pool.is_empty() && !subnet.gateway.is_some_and(|gateway| subnet.may_assign(gateway)));
    gaps(&subnet.pool);
}

fn shown(diagnostics: &Diagnostics) {
    for d in diagnostics {
        for span in d.secondary.iter().map(|label| &label.span).chain([&d.primary.span]) {
            assert!(diagnostics.text().get(span.clone()).is_some(), "{span:?} of {}", d.message);
        }
        assert!(!d.message.is_empty());
    }
    let plain = diagnostics.render(false);
    assert!(!plain.contains('\u{1b}'));
    assert_eq!(plain.is_empty(), diagnostics.is_empty());
    diagnostics.render(true);
    assert_eq!(diagnostics.to_json()["diagnostics"].as_array().unwrap().len(), diagnostics.len());
}

/// One of the files; every other time the good one, of which the most is left to go wrong.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let index = prop_oneof![Just(CORPUS.len() - 1), 0..CORPUS.len()];
    index.prop_map(|index| CORPUS[index].clone())
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        answer(&bytes);
    }

    #[test]
    fn arbitrary_toml_like_text(text in "([\\[\\]{}=\",.#'\n a-c0-9:/-]|host|asn|neighbor|tenant|network|group|policy|profile|rules|encap|subnet|= \"){0,80}") {
        answer(text.as_bytes());
    }

    #[test]
    fn files_with_pieces_cut_out_doubled_or_overwritten(
        mut bytes in file(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, 0..3_u8, any::<u8>()), 1..6),
    ) {
        for (at, length, what, byte) in cuts {
            if bytes.is_empty() {
                break;
            }
            let start = at.index(bytes.len());
            let end = (start + length).min(bytes.len());
            match what {
                0 => drop(bytes.drain(start..end)),
                1 => {
                    let piece = bytes[start..end].to_vec();
                    bytes.splice(start..start, piece);
                }
                _ => bytes[start] = byte,
            }
        }
        answer(&bytes);
    }

    #[test]
    fn files_with_other_values(
        bytes in file(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(VALUES)), 1..5),
    ) {
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let keys: Vec<_> = (0..lines.len()).filter(|i| lines[*i].contains('=')).collect();
        for (at, value) in changes {
            if let Some(line) = (!keys.is_empty()).then(|| &mut lines[keys[at.index(keys.len())]]) {
                // The first `=` or the last: of a line, or of the last value in an inline table.
                let cut = if value.len() % 2 == 0 { line.find('=') } else { line.rfind('=') };
                let tail = if line.trim_end().ends_with("},") { " }," } else { "" };
                line.truncate(cut.unwrap_or(0) + 1);
                line.push_str(value);
                line.push_str(tail);
            }
        }
        answer(lines.join("\n").as_bytes());
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    for open in ["[", "{a=", "[{a=["] {
        answer(format!("a = {}", open.repeat(100_000)).as_bytes());
    }
    answer(format!("{} = 1", "a.".repeat(100_000) + "a").as_bytes());
    answer(format!("[{}a]", "a.".repeat(100_000)).as_bytes());
}

#[test]
fn ends_of_lines_of_other_systems_are_taken() {
    let text = String::from_utf8(CORPUS.last().unwrap().clone()).unwrap();
    let config = |text: &str| parse_bytes("x", text.as_bytes(), &common::Keys).unwrap().config;
    assert_eq!(config(&text.replace('\n', "\r\n")), config(&text));
    assert_eq!(config(&format!("\u{feff}{text}")), config(&text));
    for file in CORPUS.iter() {
        answer(
            &file
                .iter()
                .flat_map(|b| if *b == b'\n' { vec![b'\r', b'\n'] } else { vec![*b] })
                .collect::<Vec<_>>(),
        );
    }
}
