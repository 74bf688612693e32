//! The policy topology: who is there, how its policies are replaced, and who may ask whom.

use std::{collections::BTreeMap, net::IpAddr, thread};

use super::{
    contiv::{PATIENCE, addresses_of, sessions_on_the_leafs},
    lone::settled,
    topology,
};
use petiole_netns_tests::{
    Container, Lab, LabError, Node, Place, Probe, Process, Question,
    Requirement::{self, Frr, Nft, Petiole, Root},
    Service, holds,
    speaker::petiole::CONFIG,
    wait_until,
};

pub(crate) const POLICY_LAB: &[Requirement] = &[Root, Frr, Petiole, Nft];

/// A kind of network, with two groups in it of which the second has a policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// What the containers' names begin with.
    pub(crate) prefix: &'static str,
    pub(crate) network: &'static str,
    pub(crate) a: &'static str,
    pub(crate) b: &'static str,
    pub(crate) policy: &'static str,
}

pub(crate) const ROUTED: Kind =
    Kind { prefix: "", network: "TestNet", a: "epgA", b: "epgB", policy: "policyAB" };
pub(crate) const SEGMENT: Kind =
    Kind { prefix: "s", network: "segment", a: "segA", b: "segB", policy: "policySeg" };
pub(crate) const GATEWAY: Kind =
    Kind { prefix: "g", network: "app-net", a: "appA", b: "appB", policy: "policyApp" };
pub(crate) const KINDS: [Kind; 3] = [ROUTED, SEGMENT, GATEWAY];

pub(crate) const HOSTS: [&str; 2] = ["host1", "host2"];

/// What responders answer.
pub(crate) const SERVICES: [Service; 3] = [Service::Tcp(8000), Service::Tcp(8001), Service::Udp(8000)];

/// A container, by its kind of network, its group's letter, and its host's number.
pub(crate) fn container(lab: &Lab, kind: Kind, group: char, host: usize) -> Container<'_> {
    lab.node(HOSTS[host - 1]).container(&format!("{}{group}{host}", kind.prefix))
}

/// The topology, when both hosts know of all containers.
pub(crate) fn up() -> Result<Lab, LabError> {
    let lab = Lab::up(&topology("policy"))?;
    sessions_on_the_leafs(&lab)?;
    for host in HOSTS.map(|host| lab.node(host)) {
        knows_all(host)?;
        settled(host)?;
    }
    Ok(lab)
}

/// Waits until a host knows the groups of the containers with addresses, of both hosts.
pub(crate) fn knows_all(host: Node<'_>) -> Result<(), LabError> {
    let wanted =
        ["20.1.1.1 ", "20.1.1.2 ", "20.1.1.3 ", "20.1.1.101 ", "20.1.1.102 ", "20.1.1.103 ", "10.1.4.1 "];
    wait_until(&format!("all members on {}", host.name()), PATIENCE, || {
        let map = members(host, 4).map_err(|e| e.to_string())?;
        let missing: Vec<_> = wanted.iter().filter(|address| !map.contains(*address)).collect();
        holds(missing.is_empty(), format!("{missing:?} are not in\n{map}"))
    })?;
    wait_until(&format!("all IPv6 members on {}", host.name()), PATIENCE, || {
        let map = members(host, 6).map_err(|e| e.to_string())?;
        holds(map.contains("2001:db8:14::2:3 ") && map.contains("2001:db8:14::1:3 "), map)
    })
}

/// What a host knows of members, as the kernel lists it.
pub(crate) fn members(host: Node<'_>, family: u8) -> Result<String, LabError> {
    host.run(&format!("nft list map inet petiole acl-members{family}"))
}

/// Replaces all policies of the topology on both hosts. Returns when the kernels have them.
pub(crate) fn reload(lab: &Lab, policies: &str) -> Result<(), LabError> {
    for host in HOSTS {
        reload_on(lab.node(host), policies)?;
    }
    for host in HOSTS {
        settled(lab.node(host))?;
    }
    Ok(())
}

/// The same on one of them, without waiting.
pub(crate) fn reload_on(host: Node<'_>, policies: &str) -> Result<(), LabError> {
    let config = host.read_file(CONFIG)?;
    let (before, rest) = config.split_once("[[policy]]").unwrap();
    let (_, endpoints) = rest.split_once("[[endpoint]]").unwrap();
    host.petiole().write_config(&format!("{before}{policies}\n[[endpoint]]{endpoints}"))?;
    host.petiole().reload()
}

/// The policies of all kinds of networks, each with the same rules, in which `A` is the kind's first group.
pub(crate) fn policies(rules: &str) -> String {
    let of = |kind: &Kind| {
        let rules = rules.replace("\"A\"", &format!("\"{}\"", kind.a));
        format!("[[policy]]\nname = \"{}\"\nrules = [{rules}]\n", kind.policy)
    };
    KINDS.iter().map(of).collect()
}

/// Somebody asks, and is answered or not.
pub(crate) struct Asker<'a> {
    pub(crate) from: Container<'a>,
    pub(crate) questions: BTreeMap<Question, bool>,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(from: Container<'a>) -> Self {
        Self { from, questions: BTreeMap::new() }
    }

    /// It asks for a service at both addresses of a container.
    pub(crate) fn expects(
        mut self,
        to: &Container<'_>,
        service: Service,
        answered: bool,
    ) -> Result<Self, LabError> {
        for to in addresses_of(to)? {
            self.questions.insert(Question { service, to }, answered);
        }
        Ok(self)
    }
}

/// All ask at once; whoever is answered is whoever is expected to be.
pub(crate) fn all_as_expected(when: &str, askers: &[Asker<'_>]) -> Result<(), LabError> {
    let seen: Vec<_> = thread::scope(|scope| {
        let ask = |asker: &Asker<'_>| asker.from.probe(&asker.questions);
        let running: Vec<_> = askers.iter().map(|asker| scope.spawn(move || ask(asker))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut wrong = Vec::new();
    for (asker, seen) in askers.iter().zip(seen) {
        for (question, answered) in seen? {
            if answered != asker.questions[&question] {
                let not = if answered { "" } else { "not " };
                wrong.push(format!("{} asks {question} and is {not}answered", asker.from.label()));
            }
        }
    }
    assert!(wrong.is_empty(), "{when}:\n{}", wrong.join("\n"));
    Ok(())
}

/// Starts responders in the second group of all kinds, on both hosts.
pub(crate) fn respond(lab: &Lab, services: &[Service]) -> Result<Vec<Process>, LabError> {
    let both = |kind: Kind| [1, 2].map(|host| container(lab, kind, 'b', host).respond(services));
    KINDS.into_iter().flat_map(both).collect()
}

/// A container's address of a family: 0 is IPv4.
pub(crate) fn address_of(container: &Container<'_>, family: usize) -> Result<IpAddr, LabError> {
    Ok(addresses_of(container)?[family])
}

/// The tracked connections of a host with these words in their line.
pub(crate) fn connections(host: Node<'_>, words: &[&str]) -> Result<Vec<String>, LabError> {
    let all = host.read_file("/proc/net/nf_conntrack")?;
    let meant = |line: &&str| words.iter().all(|word| format!("{line} ").contains(&format!("{word} ")));
    Ok(all.lines().filter(meant).map(str::to_owned).collect())
}
