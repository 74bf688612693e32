//! One host with petiole, and a machine outside that knows nothing of its containers.

use std::net::SocketAddr;

use super::{contiv::PATIENCE, parse};
use petiole_netns_tests::{Lab, LabError, Node, Place, holds, wait_until};

/// The machine outside.
pub(crate) const WORLD: [&str; 2] = ["203.0.113.1", "2001:db8:cafe::1"];
/// The host, as the machine outside sees it.
pub(crate) const HOST: [&str; 2] = ["203.0.113.10", "2001:db8:cafe::10"];

const TOPOLOGY: &str = r"
name: lone
topology:
  defaults:
    kind: linux
    sysctls: {net.ipv6.conf.default.accept_dad: 0}
  nodes:
    host: {image: 'petiole:latest'}
    world:
      image: 'alpine:3'
      exec:
        - ip address add 203.0.113.1/24 dev eth1
        - ip address add 2001:db8:cafe::1/64 dev eth1
  links:
    - endpoints: ['host:eth1', 'world:eth1']
      mtu: 1500
";

/// What the host's file begins with.
pub(crate) const BASE: &str = r#"
[host]
name = "host"
asn = 65010

[[uplink]]
interface = "eth1"
address = ["203.0.113.10/24", "2001:db8:cafe::10/64"]

[api]
metrics = "127.0.0.1:9179"
"#;

/// A routed network of both families.
pub(crate) const PUBLIC: &str = r#"
[[network]]
name = "public"
encap = "routed"
subnet = "192.168.1.0/24"
subnet6 = "2001:db8:1::/64"
"#;

/// Where the host's metrics are.
pub(crate) fn metrics() -> SocketAddr {
    ([127, 0, 0, 1], 9179).into()
}

/// The lab, before petiole is started: [`petiole_netns_tests::Node::boot`] does that.
pub(crate) fn prepared(config: &str) -> Result<Lab, LabError> {
    let lab = Lab::of(parse(TOPOLOGY, env!("CARGO_MANIFEST_DIR").as_ref())).defer("host").up()?;
    let host = lab.node("host");
    // A link comes up in steps, of which the last takes a second at times.
    wait_until("the uplink's link-local address", PATIENCE, || {
        let addresses = host.run("ip -6 address show dev eth1 scope link").map_err(|e| e.to_string())?;
        holds(addresses.contains("fe80:") && !addresses.contains("tentative"), addresses)
    })?;
    host.petiole().write_config(&format!("{BASE}{config}"))?;
    Ok(lab)
}

/// The lab, with a petiole that answers.
pub(crate) fn up(config: &str) -> Result<Lab, LabError> {
    let lab = prepared(config)?;
    lab.node("host").boot()?;
    lab.node("host").petiole().wait_ready()?;
    settled(lab.node("host"))?;
    Ok(lab)
}

/// Waits until nothing is left to do in the kernel.
pub(crate) fn settled(host: Node<'_>) -> Result<(), LabError> {
    wait_until("nothing left to do", PATIENCE, || {
        let gauge = |name| host.petiole().metric(metrics(), name).map_err(|e| e.to_string());
        let (objects, pending) = (gauge("petiole_fib_objects")?, gauge("petiole_fib_pending")?);
        holds(objects > 0 && pending == 0, format!("{pending} of {objects} are pending"))
    })
}
