//! Every direction, peer, protocol, action and priority, added and deleted live: what really passes is what the model says.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Instant,
};

use petiole_netns_tests::{
    Container, Lab, LabError, Probe, Process, Question, Service, holds, skip, speaker::petiole::CONFIG,
    wait_until,
};

use super::model::{Direction, Packet, Party, Peer, Rule, Wanted};
use crate::common::{
    contiv::{PATIENCE, addresses_of, sessions_on_the_leafs},
    lone::settled,
    policy::{HOSTS, Kind, POLICY_LAB, ROUTED, SEGMENT},
    topology,
};

/// How many groups have rules of each direction at the same time. Their members are on host1.
const AT_ONCE: u8 = 16;
/// The last part of the first one's address.
const SUBJECTS: u8 = 30;

/// Some of the peers' addresses, on both hosts.
const NAMED: [&[&str]; 2] = [
    &["20.1.1.16/30", "20.1.1.112/30", "2001:db8:14::1:10/126", "2001:db8:14::2:70/126"],
    &["10.1.2.16/30", "10.1.2.112/30", "2001:db8:2::1:10/126", "2001:db8:2::2:70/126"],
];

const SERVICES: [Service; 7] = [
    Service::Tcp(8000),
    Service::Tcp(8001),
    Service::Udp(8000),
    Service::Sctp(8000),
    Service::Icmp,
    Service::Protocol(47),
    Service::Protocol(253),
];
/// Of these one in the other direction can be told from an answer.
const WITH_PORTS: [Service; 2] = [Service::Tcp(8000), Service::Icmp];

const WANTED: [Wanted; 9] = [
    Wanted::Any,
    Wanted::Tcp,
    Wanted::TcpPort(8001),
    Wanted::Udp,
    Wanted::UdpPort(8000),
    Wanted::SctpPort(8000),
    Wanted::Icmp,
    Wanted::Number(47),
    Wanted::Number(132),
];

/// What the rules that decide otherwise have.
const COUNTER: u8 = 5;

/// Somebody who asks and answers.
struct Member<'a> {
    container: Container<'a>,
    addresses: [IpAddr; 2],
    party: Party,
}

/// One that all others are asked by and ask.
struct Spec {
    name: &'static str,
    host: usize,
    last: u8,
    group: Option<&'static str>,
}

const PEERS: [Spec; 5] = [
    Spec { name: "p0", host: 1, last: 17, group: Some("epgA") },
    Spec { name: "p1", host: 1, last: 21, group: Some("epgA") },
    Spec { name: "p2", host: 2, last: 113, group: Some("epgA") },
    Spec { name: "p3", host: 2, last: 114, group: Some("epgX") },
    Spec { name: "p4", host: 1, last: 22, group: None },
];

/// The rules of one group.
#[derive(Clone)]
struct Case {
    rules: Vec<Rule>,
    denies: bool,
}

/// All of a direction: each rule with one that says the opposite of everything, less urgent or more.
fn cases(kind: Kind, direction: Direction) -> Vec<Case> {
    let named = NAMED[usize::from(kind.network == SEGMENT.network)];
    let peers = [
        Peer::Anybody,
        Peer::Group("epgA"),
        Peer::Network(kind.network),
        Peer::Addresses(named),
        Peer::GroupAt("epgA", named),
    ];
    let mut all = Vec::new();
    for peer in peers {
        for wanted in WANTED {
            for (allow, priority) in [(true, 1), (true, 10), (false, 1), (false, 10)] {
                let rule = Rule { direction, peer, wanted, allow, priority };
                let counter = Rule {
                    direction,
                    peer: Peer::Anybody,
                    wanted: Wanted::Any,
                    allow: !allow,
                    priority: COUNTER,
                };
                all.push(Case { rules: vec![counter, rule], denies: false });
            }
        }
        // Of the same priority the one that denies decides; of a group that denies, any rule.
        let rule = |allow| Rule { direction, peer, wanted: Wanted::Tcp, allow, priority: COUNTER };
        all.push(Case { rules: vec![rule(true), rule(false)], denies: false });
        all.push(Case { rules: vec![rule(true)], denies: true });
    }
    all
}

/// Pools of groups would be another way to be known: the addresses are fixed.
fn addresses(kind: Kind, host: usize, last: u8) -> [IpAddr; 2] {
    let (v4, v6) = if kind.network == SEGMENT.network {
        ("10.1.2", "2001:db8:2::")
    } else {
        ("20.1.1", "2001:db8:14::")
    };
    let v4: Ipv4Addr = format!("{v4}.{last}").parse().unwrap();
    [v4.into(), format!("{v6}{host}:{last:x}").parse().unwrap()]
}

/// The configuration behind the networks.
fn config(kind: Kind, cases: &[Case], host: usize) -> String {
    let mut text = String::new();
    for group in ["epgA", "epgX"] {
        let _ = writeln!(text, "[[group]]\nname = \"{group}\"\nnetwork = \"{}\"", kind.network);
    }
    text += "[[group]]\nname = \"epgO\"\nnetwork = \"app-net\"\n";
    for (i, case) in cases.iter().enumerate() {
        let rules: Vec<_> = case.rules.iter().enumerate().map(|(id, rule)| rule.write(id + 1)).collect();
        let default = if case.denies { "deny" } else { "allow" };
        let _ = writeln!(
            text,
            "[[group]]\nname = \"sub{i}\"\nnetwork = \"{}\"\npolicies = [\"pol{i}\"]\ndefault = \"{default}\"\n\
             [[policy]]\nname = \"pol{i}\"\nrules = [{}]",
            kind.network,
            rules.join(", ")
        );
    }
    let mut endpoint = |name: &str, of: &str, [v4, v6]: [IpAddr; 2]| {
        let _ = writeln!(
            text,
            "[[endpoint]]\nname = \"{name}\"\n{of}\nnetns = \"/run/netns/{name}\"\naddress = \"{v4}\"\naddress6 = \"{v6}\""
        );
    };
    for peer in PEERS.iter().filter(|peer| peer.host == host) {
        let of = match peer.group {
            Some(group) => format!("group = \"{group}\""),
            None => format!("network = \"{}\"", kind.network),
        };
        endpoint(peer.name, &of, addresses(kind, host, peer.last));
    }
    if host == 1 {
        for i in 0..2 * AT_ONCE {
            endpoint(&format!("s{i}"), &format!("group = \"sub{i}\""), addresses(kind, 1, SUBJECTS + i));
        }
    } else {
        endpoint("p5", "group = \"epgO\"", ["10.1.4.150", "2001:db8:4::2:96"].map(|a| a.parse().unwrap()));
    }
    text
}

struct Matrix {
    lab: Lab,
    kind: Kind,
    /// Of each host's file, what stands before the groups.
    networks: [String; 2],
}

impl Matrix {
    fn up(kind: Kind) -> Result<Self, LabError> {
        let lab = Lab::load(&topology("policy"))?.defer("host1").defer("host2").up()?;
        let networks = HOSTS.map(|host| -> Result<String, LabError> {
            let text = lab.node(host).read_file(CONFIG)?;
            Ok(text.split_once("# The groups and the policies").unwrap().0.to_owned())
        });
        let [first, second] = networks;
        let matrix = Self { lab, kind, networks: [first?, second?] };
        let nothing = vec![Case { rules: Vec::new(), denies: false }; usize::from(2 * AT_ONCE)];
        for (host, name) in [(1, "host1"), (2, "host2")] {
            let node = matrix.lab.node(name);
            matrix.write(host, &nothing)?;
            let mut names: Vec<_> =
                PEERS.iter().filter(|p| p.host == host).map(|p| p.name.to_owned()).collect();
            if host == 1 {
                names.extend((0..2 * AT_ONCE).map(|i| format!("s{i}")));
            } else {
                names.push("p5".to_owned());
            }
            for name in names {
                node.netns_add(&name)?;
            }
            node.boot()?;
            node.petiole().wait_ready()?;
        }
        sessions_on_the_leafs(&matrix.lab)?;
        Ok(matrix)
    }

    fn write(&self, host: usize, cases: &[Case]) -> Result<(), LabError> {
        let config = format!("{}{}", self.networks[host - 1], config(self.kind, cases, host));
        self.lab.node(HOSTS[host - 1]).petiole().write_config(&config)
    }

    fn reload(&self, cases: &[Case]) -> Result<(), LabError> {
        thread::scope(|scope| {
            let reload = |host: usize| {
                let node = self.lab.node(HOSTS[host - 1]);
                self.write(host, cases)?;
                node.petiole().reload()?;
                settled(node)
            };
            let running = [1, 2].map(|host| scope.spawn(move || reload(host)));
            running.into_iter().try_for_each(|thread| thread.join().unwrap())
        })
    }

    fn peers(&self) -> Vec<Member<'_>> {
        let party = |network, group: Option<&str>| Party {
            network: Some(network),
            group: group.map(str::to_owned),
            rules: Vec::new(),
            denies: false,
        };
        let mut all: Vec<_> = PEERS
            .iter()
            .map(|peer| Member {
                container: self.lab.node(HOSTS[peer.host - 1]).container(peer.name),
                addresses: addresses(self.kind, peer.host, peer.last),
                party: party(self.kind.network, peer.group),
            })
            .collect();
        // Nobody outside gets into a segment without gateway.
        if self.kind.network != SEGMENT.network {
            all.push(Member {
                container: self.lab.node("host2").container("p5"),
                addresses: ["10.1.4.150", "2001:db8:4::2:96"].map(|a| a.parse().unwrap()),
                party: party("app-net", Some("epgO")),
            });
        }
        all
    }

    fn subjects(&self, cases: &[Case]) -> Vec<Member<'_>> {
        let host = self.lab.node("host1");
        let member = |(i, case): (u8, &Case)| Member {
            container: host.container(&format!("s{i}")),
            addresses: addresses(self.kind, 1, SUBJECTS + i),
            party: Party {
                network: Some(self.kind.network),
                group: Some(format!("sub{i}")),
                rules: case.rules.clone(),
                denies: case.denies,
            },
        };
        (0..).zip(cases).map(member).collect()
    }
}

/// What everybody asks, with what the model says: by the place of who asks.
fn questions(members: &[Member<'_>], pairs: &[(usize, usize, &[Service])]) -> Vec<BTreeMap<Question, bool>> {
    let mut all = vec![BTreeMap::new(); members.len()];
    for &(from, to, services) in pairs {
        let (asker, asked) = (&members[from], &members[to]);
        for family in 0..2 {
            for &service in services {
                let packet = Packet {
                    from: (&asker.party, asker.addresses[family]),
                    to: (&asked.party, asked.addresses[family]),
                    service,
                };
                let question = Question { service, to: asked.addresses[family] };
                all[from].insert(question, packet.passes());
            }
        }
    }
    all
}

/// Asks all, and returns what is not as the model says.
fn wrong(
    members: &[Member<'_>],
    all: &[BTreeMap<Question, bool>],
) -> Result<Vec<(Service, String)>, LabError> {
    let seen: Vec<_> = thread::scope(|scope| {
        let asking = members.iter().zip(all);
        let running: Vec<_> = asking
            .map(|(member, questions)| {
                scope.spawn(move || {
                    if questions.is_empty() { Ok(BTreeMap::new()) } else { member.container.probe(questions) }
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut wrong = Vec::new();
    for ((member, expected), seen) in members.iter().zip(all).zip(seen) {
        for (question, answered) in seen? {
            if answered != expected[&question] {
                let said = if answered { "passes" } else { "does not pass" };
                let (who, rules) = (member.container.name(), &member.party.rules);
                let asked = members.iter().find(|m| m.addresses.contains(&question.to));
                let theirs = asked.map(|m| (m.container.name(), &m.party.rules));
                let why = format!("{question} from {who} {said}; its rules {rules:?}; asked {theirs:?}");
                wrong.push((question.service, why));
            }
        }
    }
    Ok(wrong)
}

fn run(kind: Kind) -> Result<(), LabError> {
    let matrix = Matrix::up(kind)?;
    let peers = matrix.peers();
    for peer in &peers {
        assert_eq!(addresses_of(&peer.container)?, peer.addresses);
    }
    let mut responders: Vec<Process> = Vec::new();
    for container in peers.iter().map(|peer| &peer.container) {
        responders.push(container.respond(&SERVICES)?);
    }
    for i in 0..2 * AT_ONCE {
        let container = matrix.lab.node("host1").container(&format!("s{i}"));
        addresses_of(&container)?;
        responders.push(container.respond(&SERVICES)?);
    }
    let (all_in, all_out) = (cases(kind, Direction::In), cases(kind, Direction::Out));
    let at_once = usize::from(AT_ONCE);
    let (start, mut asked) = (Instant::now(), 0);
    for round in 0..all_in.len().div_ceil(at_once) {
        // The last round begins again.
        let of = |all: &[Case]| {
            all.iter().cycle().skip(round * at_once).take(at_once).cloned().collect::<Vec<_>>()
        };
        let cases = [of(&all_in), of(&all_out)].concat();
        matrix.reload(&cases)?;
        let members: Vec<_> = matrix.peers().into_iter().chain(matrix.subjects(&cases)).collect();
        let (to, from) = (peers.len()..peers.len() + at_once, peers.len() + at_once..members.len());
        let mut pairs: Vec<(usize, usize, &[Service])> = Vec::new();
        for peer in 0..peers.len() {
            pairs.extend(to.clone().flat_map(|to| [(peer, to, &SERVICES[..]), (to, peer, &WITH_PORTS)]));
            pairs.extend(
                from.clone().flat_map(|from| [(from, peer, &SERVICES[..]), (peer, from, &WITH_PORTS)]),
            );
        }
        // Where both sides have something to say.
        pairs.extend(from.flat_map(|from| to.clone().map(move |to| (from, to, &WITH_PORTS[..]))));
        let all = questions(&members, &pairs);
        asked += all.iter().map(BTreeMap::len).sum::<usize>();
        let mut first = true;
        wait_until("the model's answers", PATIENCE, || {
            let wrong = wrong(&members, &all).map_err(|e| e.to_string())?;
            // A packet without ports is part of what another one has begun before the reload, until that has been ended.
            let soon = |service: Service| matches!(service, Service::Protocol(_));
            let text = wrong.iter().map(|(_, why)| why.as_str()).collect::<Vec<_>>().join("\n");
            assert!(
                wrong.iter().all(|(service, _)| soon(*service)),
                "round {round}, at first {first}:\n{text}"
            );
            first = false;
            holds(wrong.is_empty(), text)
        })?;
    }
    println!("{asked} questions in {:.1?}, {} cases", start.elapsed(), all_in.len() + all_out.len());
    drop(responders);
    matrix.lab.down()
}

#[test]
fn in_a_routed_network_what_passes_is_what_the_rules_say() -> Result<(), LabError> {
    if skip("matrix::in_a_routed_network_what_passes_is_what_the_rules_say", POLICY_LAB) {
        return Ok(());
    }
    run(ROUTED)
}

#[test]
fn in_a_vxlan_without_gateway_what_passes_is_what_the_rules_say() -> Result<(), LabError> {
    if skip("matrix::in_a_vxlan_without_gateway_what_passes_is_what_the_rules_say", POLICY_LAB) {
        return Ok(());
    }
    run(SEGMENT)
}
