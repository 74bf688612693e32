//! Our nftables table as text, and what a container adds to it.

use std::fmt::Write as _;

use petiole_fib::model::{Chain, Condition, Expr, Key, Object, Operand, SetKind};

use super::{super::objects, *};

/// The table that a configuration asks for, in the words of the nft program as far as that is possible.
fn table(config: &HostConfig, publishing: bool) -> String {
    let mut chains = String::new();
    let mut sets = String::new();
    let mut elements = String::new();
    for object in objects::netfilter(config, publishing, false) {
        match object {
            Object::Table(_) => {}
            Object::Chain(item, chain) => chains += &chain_text(&item.name, &chain),
            Object::Set(item, set) => {
                let fields: Vec<String> = set.key.iter().map(|f| format!("{f:?}")).collect();
                let kind = if set.kind == SetKind::Set { "set" } else { "map" };
                let _ = writeln!(
                    sets,
                    "{kind} {} {}{}",
                    item.name,
                    fields.join("."),
                    if set.elements.have_last() { " interval" } else { "" }
                );
            }
            Object::Element(item, key, data) => {
                let data = data.map(|d| format!(" : {d}")).unwrap_or_default();
                let _ = writeln!(elements, "{} {key}{data}", item.name);
            }
            other => panic!("{other}"),
        }
    }
    format!("{chains}{sets}{elements}")
}

fn chain_text(name: &str, chain: &Chain) -> String {
    let mut text = format!("chain {name}");
    if let Some(hook) = chain.hook {
        let _ = write!(text, " {:?} {:?} {}", hook.kind, hook.point, hook.priority);
    }
    for rule in &chain.rules {
        let words: Vec<String> = rule.0.iter().map(expr_text).collect();
        let _ = write!(text, "\n  {}", words.join(", "));
    }
    text + "\n"
}

fn expr_text(expr: &Expr) -> String {
    let hex = |value: &[u8]| value.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat();
    let name = |operand: &Operand| match operand {
        Operand::Field(field) => format!("{field:?}"),
        Operand::Word(word) => format!("#{}", word.get()),
        Operand::Value(_, value) => hex(value),
    };
    let names = |key: &[Operand]| key.iter().map(name).collect::<Vec<_>>().join(".");
    match expr {
        Expr::Match(Condition::Equal(field, value)) => format!("{field:?} = {}", hex(value)),
        Expr::Match(Condition::NotEqual(field, value)) => format!("{field:?} != {}", hex(value)),
        Expr::Match(Condition::AnyBit(field, bits)) => format!("{field:?} & {bits}"),
        Expr::Match(Condition::In(fields, set)) => format!("{} @{set}", names(fields)),
        Expr::Match(Condition::NotIn(fields, set)) => format!("{} not @{set}", names(fields)),
        Expr::VerdictMap { key, map } => format!("{} vmap @{map}", names(key)),
        Expr::DestinationMap { key, map, .. } => format!("dnat to {} map @{map}", names(key)),
        Expr::Lookup { key, map, into } => format!("#{} = {} map @{map}", into.get(), names(key)),
        Expr::Masquerade => "masquerade".into(),
        Expr::SetMark(word) => format!("mark = #{}", word.get()),
        Expr::ClearMark => "mark = 0".into(),
        Expr::KeepMark => "connection = mark".into(),
        Expr::SetZone(word) => format!("zone = #{}", word.get()),
        Expr::SetDscp(dscp) => format!("dscp = {dscp}"),
        Expr::Log { prefix, per_second } => format!("log {prefix:?} {per_second}/s"),
        Expr::Counter => "counter".into(),
        Expr::Verdict(verdict) => verdict.to_string(),
    }
}

/// The same without indentation.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect()
}

fn v4(name: &str, tenant: &str, net: &str, more: &str) -> String {
    format!(
        "[[network]]\nname = \"{name}\"\ntenant = \"{tenant}\"\nencap = \"routed\"\nsubnet = \"{net}.0/24\"\ngateway = \"{net}.254\"\n{more}\n"
    )
}

fn tenants() -> String {
    let tenant = "[[tenant]]\nname = \"blue\"\n";
    format!("{tenant}{}{}", v4("public", "default", "192.168.1", ""), v4("public", "blue", "192.168.2", ""))
}

/// The elements in the kernel, one per line.
fn elements(host: &Host) -> Vec<String> {
    let keys = host.kernel.keys_of(&Owner::default()).into_iter();
    keys.filter(|key| matches!(key, Key::Element(..))).map(|key| key.to_string()).collect()
}

const WAY_BACK: &str = "
    chain forward Filter Forward 0
      NfProto = 0a, IifGroup = 65700000, ReversePath = 00000000, drop
";

const TWO_TENANTS: &str = "
    chain tenant-blue
      Ip4Destination @subnets4, Ip4Destination not @tenant-blue-4, counter, drop
      Ip6Destination @subnets6, Ip6Destination not @tenant-blue-6, counter, drop
    chain tenant-default
      Ip4Destination @subnets4, Ip4Destination not @tenant-default-4, counter, drop
      Ip6Destination @subnets6, Ip6Destination not @tenant-default-6, counter, drop
    chain forward Filter Forward 0
      Ip4Source vmap @tenants4
      Ip6Source vmap @tenants6
    chain input Filter Input 0
      Ip4Source vmap @tenants4
      Ip6Source vmap @tenants6
    map tenants4 Ip4Source interval
    set subnets4 Ip4Destination interval
    map tenants6 Ip6Source interval
    set subnets6 Ip6Destination interval
    set tenant-blue-4 Ip4Destination interval
    set tenant-blue-6 Ip6Destination interval
    set tenant-default-4 Ip4Destination interval
    set tenant-default-6 Ip6Destination interval
    tenants4 c0a80100-c0a801ff : jump tenant-default
    subnets4 c0a80100-c0a801ff
    tenant-default-4 c0a80100-c0a801ff
    tenants4 c0a80200-c0a802ff : jump tenant-blue
    subnets4 c0a80200-c0a802ff
    tenant-blue-4 c0a80200-c0a802ff
";

const MASQUERADED: &str = "
    chain postrouting Nat Postrouting 100
      OifGroup != 65700000, Ip4Source @masquerade4, Ip4Destination not @networks4, masquerade
      OifGroup != 65700000, Ip6Source @masquerade6, Ip6Destination not @networks6, masquerade
    set masquerade4 Ip4Source interval
    set networks4 Ip4Destination interval
    set masquerade6 Ip6Source interval
    set networks6 Ip6Destination interval
    networks4 c0a80100-c0a801ff
    masquerade4 c0a80100-c0a801ff
    networks4 c0a80200-c0a802ff
";

const PUBLISHED: &str = "
    chain postrouting Nat Postrouting 100
      CtStatus & 32, Ip4Source.Ip4Destination @hairpin4, masquerade
      CtStatus & 32, Ip6Source.Ip6Destination @hairpin6, masquerade
    chain prerouting Nat Prerouting -100
      dnat to Ip4Destination.L4Proto.DestinationPort map @publish-at4
      Ip4Destination not @loopback4, DestinationType = 02000000, dnat to L4Proto.DestinationPort map @publish4
      dnat to Ip6Destination.L4Proto.DestinationPort map @publish-at6
      Ip6Destination not @loopback6, DestinationType = 02000000, dnat to L4Proto.DestinationPort map @publish6
    chain output Nat Output -100
      dnat to Ip4Destination.L4Proto.DestinationPort map @publish-at4
      Ip4Destination not @loopback4, DestinationType = 02000000, dnat to L4Proto.DestinationPort map @publish4
      dnat to Ip6Destination.L4Proto.DestinationPort map @publish-at6
      Ip6Destination not @loopback6, DestinationType = 02000000, dnat to L4Proto.DestinationPort map @publish6
    set hairpin4 Ip4Source.Ip4Destination interval
    set hairpin6 Ip6Source.Ip6Destination interval
    map publish4 L4Proto.DestinationPort
    map publish-at4 Ip4Destination.L4Proto.DestinationPort
    set loopback4 Ip4Destination interval
    map publish6 L4Proto.DestinationPort
    map publish-at6 Ip6Destination.L4Proto.DestinationPort
    set loopback6 Ip6Destination interval
    loopback4 7f000000-7fffffff
    loopback6 00000000000000000000000000000001-00000000000000000000000000000001
";

const ELEMENTS: &str = "
    element inet petiole hairpin4 c0a80101c0a80101-c0a80101c0a80101
    element inet petiole hairpin6 20010db800010000000000000000000120010db8000100000000000000000001-20010db800010000000000000000000120010db8000100000000000000000001
    element inet petiole loopback4 7f000000-7fffffff
    element inet petiole loopback6 00000000000000000000000000000001-00000000000000000000000000000001
    element inet petiole publish-at4 32010101841b9e
    element inet petiole publish4 06238b
    element inet petiole publish4 111388
    element inet petiole publish4 111389
    element inet petiole publish6 06238b
    element inet petiole publish6 111388
    element inet petiole publish6 111389
";

#[test]
fn one_tenant_needs_no_chains_and_without_ipv6_no_table() {
    assert_eq!(table(&config(&v4("public", "default", "192.168.1", "")), false), "");
}

#[test]
fn ipv6_needs_the_check_of_the_way_back() {
    assert_eq!(lines(&table(&config(BARE), false)), lines(WAY_BACK));
}

#[test]
fn two_tenants_are_kept_apart_by_source_and_destination() {
    assert_eq!(lines(&table(&config(&tenants()), false)), lines(TWO_TENANTS));
}

#[test]
fn bridges_are_left_alone_where_packets_on_them_are_shown_to_us() {
    let text = format!(
        "[[uplink]]\ninterface = \"eth1\"\n{}{}",
        tenants(),
        "[[network]]\nname = \"vl\"\nencap = \"vlan\"\ntag = 112\nuplink = \"eth1\"\nsubnet = \"192.168.2.0/24\"\n"
    );
    let table = table(&config(&text), false);
    let forward: Vec<String> =
        lines(&table).into_iter().skip_while(|l| !l.starts_with("chain forward")).take(2).collect();
    assert_eq!(forward[1], "IifName.OifName @bridged, return", "{table}");
    // A network without a gateway may have a subnet that another tenant has: it is in nobody's set.
    assert_eq!(table.matches("c0a80200-").count(), 3, "{table}");
}

#[test]
fn masqueraded_is_what_leaves_our_networks() {
    let masqueraded = v4("public", "default", "192.168.1", "masquerade = true");
    let other = v4("other", "default", "192.168.2", "");
    assert_eq!(lines(&table(&config(&format!("{masqueraded}{other}")), false)), lines(MASQUERADED));
}

#[test]
fn published_ports_are_translated_on_the_way_in_from_the_host_and_back_to_the_own_network() {
    assert_eq!(lines(&table(&config(&v4("public", "default", "192.168.1", "")), true)), lines(PUBLISHED));
}

#[test]
fn what_a_container_publishes_is_elements_that_come_and_go_with_it_and_the_chains_with_the_last_one() {
    let mut host = Host::start(&config(BARE));
    for name in ["a", "b"] {
        host.appear(name);
    }
    let nothing = host.whole();
    let publish = |name: &str, ports: &[&str]| EndpointRequest {
        publish: ports.iter().map(|p| (*p).to_owned()).collect(),
        ..request(name, "public")
    };
    host.add(&publish("a", &["9099:80/tcp", "5000-5001:6000-6001/udp", "50.1.1.1:7070:70/sctp"])).unwrap();
    let one = host.whole();
    assert_eq!(elements(&host), lines(ELEMENTS));

    host.add(&publish("b", &["9098:80/tcp"])).unwrap();
    let operations = host.kernel.operations();
    host.remove("b").unwrap();
    assert_eq!(host.whole(), one);
    assert!(host.kernel.operations() - operations < 40, "nothing but its own elements");
    host.remove("a").unwrap();
    assert_eq!(host.whole(), nothing);
}

#[test]
fn the_tenants_chains_go_with_the_second_tenant() {
    let one = config(&v4("public", "default", "192.168.1", ""));
    let mut host = Host::start(&one);
    let before = host.text();
    host.reload(&config(&tenants())).unwrap();
    assert!(host.text().contains("tenant-blue"));
    host.reload(&one).unwrap();
    assert_eq!(host.text(), before);
    assert!(!before.contains("petiole"), "{before}");
}

#[test]
fn families_without_a_gateway_may_be_the_same_in_two_tenants_and_are_in_no_set() {
    let network = |tenant: &str, vni: u32, third: u8| {
        format!(
            "[[network]]\nname = \"n\"\ntenant = \"{tenant}\"\nencap = \"vxlan\"\nvni = {vni}\nmasquerade = true\n\
             vteps = [\"50.1.1.1\", \"60.1.1.3\"]\nlocal = \"50.1.1.1\"\n\
             subnet = \"10.1.{third}.0/24\"\ngateway = \"10.1.{third}.254\"\nsubnet6 = \"2001:db8:2::/64\"\n"
        )
    };
    let text = format!("[[tenant]]\nname = \"blue\"\n{}{}", network("default", 1, 1), network("blue", 2, 2));
    let table = table(&config(&text), false);
    assert!(table.contains("subnets4 0a010100-0a0101ff"), "{table}");
    assert!(!table.contains("20010db8"), "two equal ranges cannot be in one set:\n{table}");
}
