//! `petiole explain`: an explanation that is read from top to bottom, or as JSON.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::Path,
};

use clap::{Args, CommandFactory, error::ErrorKind};

use crate::control::{
    Request, VERSION, client,
    explain::{
        Decision, Explanation, ICMP_TYPES, PROTOCOLS, Part, Party, Question, Said, Service, Session, Verdict,
    },
    rows::Rows,
};

/// Services that are named one by one; of more it is said how many.
const NAMED: usize = 12;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// `A`, or `A to B`, or `A to B SERVICE`. A and B are addresses, or names of endpoints of this host. SERVICE is
    /// `port 80/tcp` (udp, sctp), `icmp`, `icmp echo-request`, `protocol 47`; without one, all services that rules tell
    /// apart are listed.
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self, socket: &Path) -> Result<(), String> {
        let question = match question(&self.words) {
            Ok(question) => question,
            // Exits with 2, as for every usage that is none.
            Err(text) => super::Cli::command().error(ErrorKind::InvalidValue, text).exit(),
        };
        let mut found = None;
        client::ask(socket, &Request::Explain(question.clone()), |rows| {
            if let Rows::Explained(explanation) = rows {
                found = Some(explanation);
            }
            Ok(())
        })
        .map_err(|e| e.to_string())?;
        let found = found.ok_or("the daemon did not explain anything")?;
        let text = if self.json {
            let json = serde_json::to_string(&*found).map_err(|e| e.to_string())?;
            format!("{{\"version\": {VERSION}, \"explanation\": {json}}}\n")
        } else {
            text(&question, &found)
        };
        match io::stdout().write_all(text.as_bytes()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e.to_string()),
            _ => Ok(()),
        }
    }
}

/// The words as a question.
fn question(words: &[String]) -> Result<Question, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (from, rest) = words.split_first().ok_or("who is it about?")?;
    let (to, service) = match rest {
        [] => (None, None),
        ["to", to, service @ ..] => (Some((*to).to_owned()), self::service(service)?),
        ["to"] => return Err("to whom? `explain A to B`".into()),
        [other, ..] => return Err(format!("`{other}`: after the first address comes `to`")),
    };
    Ok(Question { from: (*from).to_owned(), to, service })
}

fn service(words: &[&str]) -> Result<Option<Service>, String> {
    Ok(Some(match words {
        [] => return Ok(None),
        ["port", text] => {
            let wrong = || format!("`{text}` is not a port of a protocol: for example `80/tcp`");
            let (port, name) = text.split_once('/').ok_or_else(wrong)?;
            let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
            let (_, protocol) = PROTOCOLS.iter().find(|(known, _)| *known == name).ok_or_else(wrong)?;
            Service::Port { protocol: *protocol, port }
        }
        ["icmp"] => Service::Icmp(None),
        ["icmp", kind] => {
            let known = ICMP_TYPES.iter().any(|(name, ..)| name == kind);
            let names: Vec<&str> = ICMP_TYPES.iter().map(|(name, ..)| *name).collect();
            let wrong = || format!("`{kind}` is no type of ICMP; there are: {}", names.join(", "));
            Service::Icmp(Some(known.then(|| (*kind).to_owned()).ok_or_else(wrong)?))
        }
        ["protocol", number] => {
            let wrong = || format!("`{number}` is not the number of a protocol");
            Service::Protocol(number.parse().map_err(|_| wrong())?)
        }
        _ => {
            return Err(format!(
                "`{}` is not a service: `port 80/tcp`, `icmp`, `icmp echo-request`, `protocol 47`",
                words.join(" ")
            ));
        }
    }))
}

/// All of it for people.
fn text(question: &Question, explanation: &Explanation) -> String {
    let mut out = Lines(String::new());
    for (at, part) in explanation.parts.iter().enumerate() {
        if at > 0 {
            out.0.push('\n');
        }
        self::part(question, part, &mut out);
    }
    out.0
}

/// Text of which each line has a word in front that says what it is about.
struct Lines(String);

impl Lines {
    fn line(&mut self, word: &str, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{}", format!("{word:<13}{text}").trim_end());
    }
}

fn part(question: &Question, part: &Part, out: &mut Lines) {
    let Some((to, verdict)) = part.to.as_ref().zip(part.verdict.as_ref()) else {
        party("address", &part.from, out);
        return;
    };
    let to_word = question.to.as_deref().unwrap_or_default();
    out.line("question", &format!("{} to {to_word}: {}", question.from, verdict.service));
    party("from", &part.from, out);
    party("to", to, out);
    self::verdict(&part.from, to, verdict, out);
}

fn party(word: &str, party: &Party, out: &mut Lines) {
    let place = match (&*party.place, &party.endpoint) {
        (_, Some(e)) => format!("endpoint {} of this host", e.name),
        ("host", _) => "this host itself".into(),
        ("elsewhere", _) => "not on this host".into(),
        _ => "outside".into(),
    };
    out.line(word, &format!("{}, {place}", party.address));
    if let Some(e) = &party.endpoint {
        let error = e.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let links = format!("{} in {}, {} on the host", e.interface, e.netns, e.host_interface);
        out.line("  container", &format!("{}{error}; {links}", e.state));
    }
    if let (Some(network), Some(tenant)) = (&party.network, &party.tenant) {
        let encap = party.encap.as_ref().map(|encap| format!(" ({encap})")).unwrap_or_default();
        out.line("  network", &format!("{network}{encap}, tenant {tenant}"));
    }
    let group = match &party.group {
        None => "none".into(),
        Some(g) => {
            let policies = if g.policies.is_empty() {
                "no policies".into()
            } else {
                format!("policies {}", g.policies.join(" "))
            };
            let profile = g.profile.as_ref().map(|p| format!(", profile {p}")).unwrap_or_default();
            format!("{} (number {}), {policies}, default {}{profile}", g.name, g.number, g.default)
        }
    };
    out.line("  group", &group);
    out.line("    because", &party.known_from);
    if let Some(r) = &party.route {
        let host = r.host.map(|id| format!(", announced by host {id}")).unwrap_or_default();
        let kernel = if r.installed { "in the kernel" } else { "not in the kernel" };
        out.line(
            "  route",
            &format!("{} by {}, AS path {}, {kernel}{host}", r.prefix, r.next_hop, r.as_path),
        );
        out.line("  session", &format!("learned from {}", session(&r.session)));
    }
    if let Some(e) = party.endpoint.as_ref().filter(|_| party.place == "endpoint") {
        if !e.advertised {
            out.line("  route", "not announced");
        } else if party.sessions.is_empty() {
            out.line("  session", "none is up: nobody hears of the address");
        }
    }
    for s in &party.sessions {
        out.line("  session", &format!("announced over {}, if its export policy lets it", session(s)));
    }
}

fn session(s: &Session) -> String {
    let asn = s.asn.map(|asn| format!("AS {asn}, ")).unwrap_or_default();
    format!("{} ({}, {asn}{})", s.neighbor, s.address, s.state)
}

fn verdict(from: &Party, to: &Party, verdict: &Verdict, out: &mut Lines) {
    for note in &verdict.notes {
        out.line("note", note);
    }
    let several = verdict.decisions.len() > 1;
    for decision in &verdict.decisions {
        if several || decision.when.is_some() {
            let when = decision.when.as_ref().map(|when| format!("if {when}: ")).unwrap_or_default();
            out.line("services", &format!("{when}{}: {}", services(&decision.services), decision.verdict));
        } else {
            out.line("policies", &services(&decision.services));
        }
        self::decision(from, to, decision, out);
    }
    if !verdict.enforced.is_empty() {
        out.line("enforced", &verdict.enforced.join("; "));
    }
    let word = match &*verdict.result {
        "depends" => "depends on the service, or on what is not known beforehand: see above",
        word => word,
    };
    out.line("verdict", word);
}

fn decision(from: &Party, to: &Party, decision: &Decision, out: &mut Lines) {
    let (inward, outward) = (decision.inward.as_ref(), decision.outward.as_ref());
    out.line("  in", &said(inward, to));
    // Of somebody whose group the packets tell, the condition says it.
    match (outward, &decision.when) {
        (None, Some(_)) => out.line("  out", "no rule is about it"),
        _ => out.line("  out", &said(outward, from)),
    }
    let by = decision.by.as_ref().map(|by| format!("{by}: ")).unwrap_or_default();
    out.line("  decides", &format!("{by}{}", decision.why));
}

/// What one side's group says.
fn said(said: Option<&Said>, party: &Party) -> String {
    match (said, &party.group) {
        (Some(s), _) => {
            let rule = match &s.policy {
                Some(policy) => format!("policy {policy} rule {}", s.rule),
                None => "the default".into(),
            };
            let priority = s.priority.map(|p| format!(", priority {p}")).unwrap_or_default();
            let log = if s.log { ", logged" } else { "" };
            format!("{} by {rule} of group {}{priority}{log}", s.action, s.group)
        }
        (None, Some(g)) => format!("group {} has no rule about it", g.name),
        (None, None) => format!("{} is in no group that is known here", party.address),
    }
}

fn services(services: &[String]) -> String {
    let more = services.len().saturating_sub(NAMED);
    let named = services[..services.len() - more].join(", ");
    if more == 0 { named } else { format!("{named} and {more} more (see --json)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<Question, String> {
        let words: Vec<String> = text.split_whitespace().map(ToOwned::to_owned).collect();
        question(&words)
    }

    #[test]
    fn questions_are_asked_as_people_say_them() {
        let service = |text: &str| asked(&format!("a to b {text}")).map(|q| q.service);
        assert_eq!(asked("a"), Ok(Question { from: "a".into(), to: None, service: None }));
        assert_eq!(asked("a to 10.0.0.1").map(|q| q.to), Ok(Some("10.0.0.1".into())));
        assert_eq!(service("port 80/tcp"), Ok(Some(Service::Port { protocol: 6, port: 80 })));
        assert_eq!(service("icmp"), Ok(Some(Service::Icmp(None))));
        assert_eq!(service("icmp echo-reply"), Ok(Some(Service::Icmp(Some("echo-reply".into())))));
        assert_eq!(service("protocol 47"), Ok(Some(Service::Protocol(47))));
        for wrong in ["port 80", "port 0/tcp", "port 80/gre", "icmp ping", "protocol tcp", "http"] {
            assert!(service(wrong).is_err(), "{wrong}");
        }
        for wrong in ["a b", "a to", "a port 80/tcp"] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_explanation_is_read_from_top_to_bottom() {
        let party = |address: &str, group: &str, number| Party {
            address: address.parse().unwrap(),
            place: "elsewhere".into(),
            endpoint: None,
            network: Some("shop".into()),
            tenant: Some("default".into()),
            encap: Some("routed".into()),
            group: Some(crate::control::explain::Membership {
                name: group.into(),
                number,
                policies: vec![],
                default: "allow".into(),
                profile: None,
            }),
            known_from: "it is in a pool".into(),
            route: None,
            sessions: vec![],
        };
        let rule = Said {
            group: "db".into(),
            policy: Some("sql".into()),
            rule: "1".into(),
            action: "deny".into(),
            priority: Some(3),
            log: true,
        };
        let decision = Decision {
            when: None,
            services: vec!["tcp 80".into()],
            verdict: "deny".into(),
            inward: Some(rule),
            outward: None,
            by: Some("in".into()),
            why: "for a reason".into(),
        };
        let verdict = Verdict {
            result: "deny".into(),
            service: "tcp port 80".into(),
            notes: vec![],
            decisions: vec![decision],
            enforced: vec!["here".into(), "there".into()],
        };
        let (from, to) = (party("10.0.0.1", "web", 1), party("10.0.0.2", "db", 2));
        let explanation = Explanation { parts: vec![Part { from, to: Some(to), verdict: Some(verdict) }] };
        let question = asked("10.0.0.1 to 10.0.0.2 port 80/tcp").unwrap();
        let wanted = "\
question     10.0.0.1 to 10.0.0.2: tcp port 80
from         10.0.0.1, not on this host
  network    shop (routed), tenant default
  group      web (number 1), no policies, default allow
    because  it is in a pool
to           10.0.0.2, not on this host
  network    shop (routed), tenant default
  group      db (number 2), no policies, default allow
    because  it is in a pool
policies     tcp 80
  in         deny by policy sql rule 1 of group db, priority 3, logged
  out        group web has no rule about it
  decides    in: for a reason
enforced     here; there
verdict      deny
";
        assert_eq!(text(&question, &explanation), wanted);
    }
}
