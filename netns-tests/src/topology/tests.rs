use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<Topology, String> {
    Topology::parse(text, Path::new("x.clab.yml"), Path::new("/")).map_err(|e| e.to_string())
}

fn refused(text: &str, with: &[&str]) {
    let message = parse(text).expect_err("must be refused");
    for part in with {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

const TWO: &str = r"
name: two
topology:
  defaults:
    kind: linux
  kinds:
    linux:
      image: alpine:3
  nodes:
    a:
      image: frrouting/frr:v8.4.4
      sysctls:
        net.ipv4.ip_forward: 1
      exec:
        - ip link set eth1 up
        - sh -c 'ip address add 192.0.2.1/24 dev eth1'
    b:
  links:
    - endpoints: [a:eth1, b:eth1]
      mtu: 1500
";

#[test]
fn defaults_and_kinds_are_inherited_and_the_nearest_image_wins() {
    let topology = parse(TWO).unwrap();
    assert_eq!(topology.name, "two");
    assert_eq!((topology.nodes["a"].role, topology.nodes["b"].role), (Role::Frr, Role::Plain));
    assert_eq!(topology.nodes["b"].image, "alpine:3");
    assert_eq!(topology.nodes["a"].sysctls["net.ipv4.ip_forward"], "1");
    assert_eq!(topology.nodes["a"].exec[1], ["sh", "-c", "ip address add 192.0.2.1/24 dev eth1"]);
    let port = |s: &str| s.parse::<Port>().unwrap();
    assert_eq!(topology.peer(&port("b:eth1")), Some(&port("a:eth1")));
    assert_eq!(topology.peer(&port("b:eth2")), None);
    assert_eq!(topology.links[0].mtu, 1500);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_what_is_allowed() {
    refused(&TWO.replace("sysctls:", "syscalls:"), &["x.clab.yml", "line 12", "syscalls", "sysctls"]);
    refused(&TWO.replace("name: two", "name: two\nmgmt: {}"), &["mgmt"]);
    refused(&TWO.replace("mtu: 1500", "vars: {}"), &["vars"]);
}

#[test]
fn what_a_namespace_cannot_do_is_refused_with_its_line() {
    refused(
        &TWO.replace("kind: linux", "kind: nokia_srlinux"),
        &["x.clab.yml:5:11", "nokia_srlinux", "linux"],
    );
    refused(&TWO.replace("net.ipv4.ip_forward", "kernel.panic"), &["x.clab.yml:13:9", "net.*"]);
    refused(&TWO.replace("b:eth1", "b:eth0"), &["x.clab.yml:19:27", "management"]);
}

#[test]
fn a_link_joins_two_ports_that_exist_and_are_free() {
    refused(&TWO.replace("b:eth1", "c:eth1"), &["x.clab.yml:19:27", "no node `c`", "a, b"]);
    refused(&TWO.replace("b:eth1", "a:eth1"), &["two links"]);
    refused(&TWO.replace("b:eth1", "eth1"), &["node:interface"]);
    refused(&TWO.replace(", b:eth1", ""), &["exactly two endpoints"]);
    refused(&TWO.replace("b:eth1", "b:an-interface-name"), &["15 characters"]);
    refused(&TWO.replace("mtu: 1500", "mtu: 42"), &["68-65535"]);
}

#[test]
fn a_bind_names_an_existing_source_and_an_absolute_target() {
    let with = |bind: &str| TWO.replace("    b:\n", &format!("    b:\n      binds: ['{bind}']\n"));
    let topology = parse(&with("etc:/opt/etc:ro")).unwrap();
    let bind = Bind { source: "/etc".into(), target: "/opt/etc".into(), read_only: true };
    assert_eq!(topology.nodes["b"].binds, [bind]);
    refused(&with("no-such-file:/etc/x"), &["no-such-file"]);
    refused(&with("etc:x"), &["absolute"]);
    refused(&with("etc:/x:z"), &["`ro` or `rw`"]);
    refused(&with("etc"), &["source:target"]);
    refused(&with("~/x:/x"), &["who runs the lab"]);
}

#[test]
fn the_image_tells_the_role() {
    for (image, role) in [
        ("petiole:latest", Role::Petiole),
        ("registry.example/team/petiole@sha256:0", Role::Petiole),
        ("frrouting/frr:v8.4.4", Role::Frr),
        ("bird:2", Role::Bird),
        ("osrg/gobgp", Role::GoBgp),
        ("alpine", Role::Plain),
        ("frr-exporter", Role::Plain),
    ] {
        assert_eq!(Role::of_image(image), role, "{image}");
    }
}

#[test]
fn a_command_line_is_split_as_a_shell_would_without_expanding() {
    let words = |s| split(s).unwrap();
    assert_eq!(
        words(r#"vtysh -c 'show ip route' -c "a \"b\" \n $x" c\ d '' "#),
        ["vtysh", "-c", "show ip route", "-c", r#"a "b" \n $x"#, "c d", ""]
    );
    assert_eq!(split("a 'b"), Err(SplitError::Quote('\'')));
    assert_eq!(split("a \"b\\"), Err(SplitError::Quote('"')));
    assert_eq!(split("a \\"), Err(SplitError::Backslash));
    assert_eq!(split(" \t"), Err(SplitError::Empty));
}
