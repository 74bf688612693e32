//! What an operator would look at when something is wrong: printed when a test fails.

use std::{fmt::Write, fs};

use crate::{Lab, Node, Place, topology::Role};

/// Lines of each log that are shown.
const TAIL: usize = 60;

/// Questions for every node.
const KERNEL: &[&str] =
    &["ip -br link", "ip -br address", "ip route", "ip -6 route", "ip nexthop", "ip neigh", "ip netns"];

/// Questions by role.
fn questions(role: Role) -> &'static [&'static str] {
    match role {
        Role::Petiole => &[
            "petiole show neighbors",
            "petiole show endpoints",
            "petiole show routes",
            "petiole show fib",
            "nft list map inet petiole acl-members4",
            "nft list map inet petiole acl-members6",
            "nft list map inet petiole acl-verdicts",
        ],
        Role::Frr => &[
            "vtysh -c 'show bgp summary'",
            "vtysh -c 'show bgp ipv4 unicast'",
            "vtysh -c 'show bgp ipv6 unicast'",
            "vtysh -c 'show ip route'",
            "vtysh -c 'show ipv6 route'",
            "vtysh -c 'show bfd peers brief'",
        ],
        Role::Bird => {
            &["birdc -s /run/bird/bird.ctl show protocols all", "birdc -s /run/bird/bird.ctl show route all"]
        }
        Role::GoBgp => &["gobgp neighbor", "gobgp global rib", "gobgp global rib -a ipv6"],
        Role::Plain => &[],
    }
}

/// The state of every node: kernel tables, sessions, ends of logs.
pub fn dump(lab: &Lab) -> String {
    let mut text = format!("\n======== lab {}: what an operator would look at\n", lab.topology().name);
    for node in lab.nodes() {
        dump_node(&mut text, node);
    }
    let _ = writeln!(text, "======== end of lab {}", lab.topology().name);
    text
}

fn dump_node(text: &mut String, node: Node<'_>) {
    for question in questions(node.spec().role).iter().chain(KERNEL) {
        show(text, &node, question);
    }
    if node.spec().role == Role::Petiole {
        for name in node.petiole().neighbor_names() {
            show(text, &node, &format!("petiole show advertised {name}"));
        }
    }
    let containers = node.run("ls /run/netns").unwrap_or_default();
    for name in containers.split_whitespace() {
        for question in ["ip -br address", "ip route", "ip -6 route"] {
            show(text, &node.container(name), question);
        }
    }
    let Ok(logs) = fs::read_dir(node.logs()) else { return };
    for log in logs.flatten() {
        let content = fs::read(log.path()).unwrap_or_default();
        let content = String::from_utf8_lossy(&content);
        let lines: Vec<_> = content.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
        let _ = writeln!(text, "\n---- {}: {}", node.name(), log.file_name().display());
        for line in tail {
            let _ = writeln!(text, "{line}");
        }
    }
}

fn show(text: &mut String, place: &impl Place, question: &str) {
    let _ = writeln!(text, "\n---- {}: {question}", place.label());
    let _ = match place.output(question) {
        Ok(output) => write!(text, "{}{}", output.stdout, output.stderr),
        Err(error) => writeln!(text, "{error}"),
    };
}
