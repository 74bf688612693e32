//! What goes on when a rule becomes stricter: what it forbids ends, what it does not goes on without a gap.

use std::time::Duration;

use petiole_netns_tests::{
    Container, Conversation, Lab, LabError, Place, Probe, Process, Question, Service, holds, skip, wait_until,
};

use crate::common::{
    contiv::PATIENCE,
    policy::{
        HOSTS, KINDS, Kind, POLICY_LAB, SERVICES, address_of, connections, container, policies, reload,
        respond, up,
    },
};

/// The longest pause between two words of a conversation that nobody forbids. TCP's first retransmission takes 200 ms: so
/// one lost packet would show.
const NO_GAP: Duration = Duration::from_millis(180);

/// The same, of pings that go on all the time.
struct Pings(Process);

impl Pings {
    fn start(from: &Container<'_>, question: Question) -> Result<Self, LabError> {
        let pings = Self(from.spawn(&format!("ping -n -O -i 0.02 -W 1 {}", question.to))?);
        pings.0.wait_for_line(PATIENCE, |line| line.contains("time="))?;
        Ok(pings)
    }

    fn heard(&self) -> usize {
        self.0.lines().iter().filter(|line| line.text.contains("time=")).count()
    }
}

enum Flow {
    Talk(Conversation),
    Pings(Pings),
}

impl Flow {
    fn start(from: &Container<'_>, question: Question) -> Result<Self, LabError> {
        match question.service {
            Service::Icmp => Pings::start(from, question).map(Self::Pings),
            _ => from.talk(question).map(Self::Talk),
        }
    }

    fn heard(&self) -> u64 {
        match self {
            Self::Talk(talk) => talk.heard(),
            Self::Pings(pings) => pings.heard() as u64,
        }
    }
}

/// A flow, and how its entry in the table of the destination's host begins. The source's host has one, too, but need not
/// know whom it leads to.
struct Watched {
    what: String,
    host: usize,
    flow: Flow,
    entry: [String; 3],
    forbidden: bool,
}

/// From the first group to the second, over every service, on one host and across hosts.
fn watched(lab: &Lab, kind: Kind) -> Result<Vec<Watched>, LabError> {
    let [tcp8000, tcp8001, udp] = SERVICES;
    let mut all = Vec::new();
    for (from, to_host) in [(1, 1), (1, 2)] {
        let (a, b) = (container(lab, kind, 'a', from), container(lab, kind, 'b', to_host));
        for family in 0..2 {
            let (source, to) = (address_of(&a, family)?, address_of(&b, family)?);
            for (service, forbidden) in
                [(tcp8000, true), (tcp8001, false), (udp, true), (Service::Icmp, true)]
            {
                let question = Question { service, to };
                let port = match service {
                    Service::Tcp(port) | Service::Udp(port) => format!("dport={port}"),
                    _ => if family == 0 { "type=8" } else { "type=128" }.to_owned(),
                };
                all.push(Watched {
                    what: format!("{} from {}", question, a.label()),
                    host: to_host - 1,
                    flow: Flow::start(&a, question)?,
                    entry: [format!("src={}", long(source)), format!("dst={}", long(to)), port],
                    forbidden,
                });
            }
        }
    }
    Ok(all)
}

/// An address as the kernel's list of connections has it.
fn long(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => address.segments().map(|segment| format!("{segment:04x}")).join(":"),
    }
}

const RULES: &str = r#"
    { id = "1", protocol = "icmp", from-group = "A", action = "deny" },
    { id = "2", protocol = "udp", from-group = "A", action = "deny" },
    { id = "3", protocol = "tcp", from-group = "A", action = "deny" },
    { id = "4", protocol = "tcp", port = "8001", from-group = "A", priority = 10 },"#;

#[test]
fn connections_that_a_new_rule_forbids_end_and_others_go_on() -> Result<(), LabError> {
    if skip("established::connections_that_a_new_rule_forbids_end_and_others_go_on", POLICY_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let _responders = respond(&lab, &SERVICES)?;
    reload(&lab, &policies(""))?;
    let flows: Vec<_> = KINDS.iter().map(|kind| watched(&lab, *kind)).collect::<Result<_, _>>()?;
    let flows: Vec<_> = flows.into_iter().flatten().collect();
    let hosts = HOSTS.map(|host| lab.node(host));
    let entries = |flow: &Watched| -> Result<Vec<String>, LabError> {
        let words: Vec<_> = flow.entry.iter().map(String::as_str).collect();
        connections(hosts[flow.host], &words)
    };
    for flow in &flows {
        assert!(!entries(flow)?.is_empty(), "{} is not tracked as {:?}", flow.what, flow.entry);
    }

    reload(&lab, &policies(RULES))?;
    let allowed = flows.iter().find_map(|flow| match &flow.flow {
        Flow::Talk(talk) if !flow.forbidden => Some(talk),
        _ => None,
    });
    // What is forbidden ends at once, and nothing of it is heard again, as often as TCP may say it.
    let all = || flows.iter().map(|flow| flow.flow.heard()).collect::<Vec<_>>();
    let before = wait_until("silence of what is forbidden", PATIENCE, || {
        let before = all();
        allowed.unwrap().goes_on(20).map_err(|e| e.to_string())?;
        let spoke =
            flows.iter().zip(&before).find(|(flow, before)| flow.forbidden && flow.flow.heard() != **before);
        holds(spoke.is_none(), spoke.map_or("", |(flow, _)| &*flow.what))?;
        Ok::<_, String>(before)
    })?;
    allowed.unwrap().goes_on(600)?;
    for flow in &flows {
        if let Flow::Talk(talk) = &flow.flow
            && !flow.forbidden
        {
            talk.goes_on(30)?;
            assert_eq!(talk.error(), None, "{}", flow.what);
            let (pause, lost) = talk.gaps();
            assert!(pause < NO_GAP && lost == 0, "{}: {pause:?} without a word, {lost} lost", flow.what);
        }
    }
    for (flow, before) in flows.iter().zip(before) {
        if flow.forbidden {
            assert_eq!(flow.flow.heard(), before, "{} goes on", flow.what);
        }
    }

    // Forgiven, pings and datagrams go on where they were.
    reload(&lab, &policies(""))?;
    for flow in flows.iter().filter(|flow| !flow.what.starts_with("tcp/8000")) {
        let before = flow.flow.heard();
        wait_until(&format!("{} goes on", flow.what), PATIENCE, || {
            holds(flow.flow.heard() > before, before)
        })?;
    }
    lab.down()
}
