//! What becomes of traffic between two addresses, and why: from container to route to group to rule.
//!
//! Whatever is said of policies comes out of the table that the kernel has, by [`AclTable::judge`]. Changes nothing and
//! asks nobody: what other hosts think is theirs.
//!
//! [`AclTable::judge`]: petiole_fib::acl::AclTable::judge

use petiole_config::model::{Advertise, Encap, Network, Publish};
use petiole_fib::acl::{Flow, Scope, Service};

use super::{compile::rides_in_packets, party::Who, rules::ICMP};
use crate::{
    control::explain::{self, Decision, Explanation, ICMP_TYPES, PROTOCOLS, Part, Question, Verdict},
    core::{Core, endpoints::State, objects},
};

/// Services from the first to the last.
type Span = (Service, Service);

/// The way between two, as far as this host knows it.
struct Way {
    notes: Vec<String>,
    /// Nothing gets there, whatever the policies say.
    blocked: Option<&'static str>,
}

impl Core {
    /// Answers a question.
    pub(crate) fn explain(&self, question: &Question) -> Result<Explanation, String> {
        let from = self.find(&question.from)?;
        let Some(to) = &question.to else {
            let known = |who: &&Who<'_>| from.len() == 1 || who.network.is_some() || who.own;
            let part = |who: &Who<'_>| Part { from: self.party(who), to: None, verdict: None };
            return Ok(Explanation { parts: from.iter().filter(known).map(part).collect() });
        };
        let to = self.find(to)?;
        let mut parts = Vec::new();
        for v6 in [false, true] {
            let Some(span) = asked(question.service.as_ref(), v6) else { continue };
            if let Some((from, to)) = pair(&from, &to, v6)? {
                parts.push(self.part(&from, &to, question.service.as_ref(), span));
            }
        }
        if parts.is_empty() {
            return Err(format!(
                "{} and {} have no addresses of one family{}",
                question.from,
                question.to.as_deref().unwrap_or_default(),
                if question.service.is_some() { " in which there is such a service" } else { "" }
            ));
        }
        Ok(Explanation { parts })
    }

    fn part(&self, from: &Who<'_>, to: &Who<'_>, service: Option<&explain::Service>, span: Span) -> Part {
        let mut notes = Vec::new();
        let mut meant = (*to, span);
        if let Some((behind, port, publish)) = self.published(to, service) {
            let name = behind.endpoint.map(|e| e.spec.id.to_string()).unwrap_or_default();
            notes.push(format!("port {publish} of this host leads to endpoint {name}, {}", behind.address));
            meant = (behind, (port, port));
        }
        let (to, span) = meant;
        let mut verdict = self.verdict(from, &to, span);
        verdict.service = service.map_or_else(|| "anything".into(), name);
        verdict.notes.splice(0..0, notes);
        Part { from: self.party(from), to: Some(self.party(&to)), verdict: Some(verdict) }
    }

    /// The container that a port of the host is published for, and its port.
    fn published(
        &self,
        to: &Who<'_>,
        service: Option<&explain::Service>,
    ) -> Option<(Who<'_>, Service, &Publish)> {
        let Some(explain::Service::Port { protocol, port }) = service.filter(|_| to.own) else { return None };
        let matches = |p: &&Publish| {
            let here = p.address.is_none_or(|a| a == to.address || a.is_unspecified());
            here && p.protocol.number() == *protocol && (p.host.first()..=p.host.last()).contains(port)
        };
        self.endpoints.all.values().find_map(|e| {
            let publish = e.spec.publish.iter().find(matches)?;
            let address = e.attachment()?.wiring.routed().find(|a| a.is_ipv4() == to.address.is_ipv4())?;
            let network = self.config.network(&e.spec.network);
            let port = port - publish.host.first() + publish.container.first();
            let who = Who { address, endpoint: Some(e), network, own: false };
            Some((who, Service::port(*protocol, port), publish))
        })
    }

    fn verdict(&self, from: &Who<'_>, to: &Who<'_>, span: Span) -> Verdict {
        let Way { mut notes, blocked } = self.way(from, to);
        let mut verdict = Verdict {
            result: blocked.unwrap_or("allow").into(),
            service: String::new(),
            notes: Vec::new(),
            decisions: Vec::new(),
            enforced: Vec::new(),
        };
        if blocked.is_none() {
            match self.judged(from, to, span) {
                Some(decisions) => {
                    verdict.enforced = self.enforced(from, to);
                    let says = |word: &str| decisions.iter().any(|d| d.verdict == word);
                    verdict.result = match (says("allow"), says("deny")) {
                        (true, true) => "depends",
                        (false, true) => "deny",
                        _ => "allow",
                    }
                    .into();
                    verdict.decisions = decisions;
                }
                None if self.members.compiled.needed => notes.push(
                    "neither side is in a network with groups: no policy of this host is about them".into(),
                ),
                None => notes.push("no group of this host's file has a policy".into()),
            }
        }
        if matches!(&*verdict.result, "allow" | "depends") {
            notes.push(
                "answers belong to a connection that has been allowed and pass; a connection the other way is another \
                 question"
                    .into(),
            );
        }
        verdict.notes = notes;
        verdict
    }

    /// Whether packets get there at all, and how.
    fn way(&self, from: &Who<'_>, to: &Who<'_>) -> Way {
        let mut notes = Vec::new();
        for e in [from.endpoint, to.endpoint].into_iter().flatten() {
            if matches!(e.state, State::Waiting) {
                let row = self.endpoint_row(&e.spec.id);
                let (state, error) = row.map(|row| (row.state, row.error)).unwrap_or_default();
                let error = error.map(|text| format!(": {text}")).unwrap_or_default();
                notes.push(format!("endpoint {} is not attached ({state}{error})", e.spec.id));
                return Way { notes, blocked: Some("unreachable") };
            }
        }
        if let Some(network) = on_one_bridge(from, to) {
            let by = match &network.encap {
                Encap::Vxlan { vni, .. } => format!(", between hosts by VXLAN {vni}"),
                Encap::Vlan { tag, uplink } => format!(", between hosts by VLAN {tag} of {uplink}"),
                Encap::Routed => String::new(),
            };
            let bridge = objects::bridge(&network.id);
            notes.push(format!(
                "both are in network {}: over its bridge {bridge}{by}, not routed",
                network.id
            ));
            return Way { notes, blocked: None };
        }
        for who in [from, to] {
            if let Some(network) = who.network.filter(|_| !who.is_routed()) {
                let family = if who.address.is_ipv4() { "IPv4" } else { "IPv6" };
                notes.push(format!(
                    "network {} has no gateway for {family}: nothing is routed into it or out of it",
                    network.id
                ));
                return Way { notes, blocked: Some("unreachable") };
            }
        }
        if let (Some(a), Some(b)) = (from.network, to.network)
            && a.id.tenant != b.id.tenant
        {
            notes.push(format!(
                "tenants {} and {} never meet, whatever policies say: dropped in `inet petiole` on the host of the source \
                 and on that of the destination",
                a.id.tenant, b.id.tenant
            ));
            return Way { notes, blocked: Some("deny") };
        }
        let mut blocked = None;
        for (who, word) in [(to, "to"), (from, "back to")] {
            if who.is_here() {
                continue;
            }
            let route = self.way_to(who.address);
            match (&route, who.network) {
                (None, Some(_)) => {
                    notes.push(format!("no route {word} {}: no neighbor announces one", who.address));
                    blocked = Some("unreachable");
                }
                (None, None) => notes.push(format!(
                    "no neighbor announces a route {word} {0}: the kernel's other routes decide (`ip route get {0}`)",
                    who.address
                )),
                (Some(route), Some(network))
                    if network.advertise == Advertise::Endpoints
                        && route.prefix.prefix_len() < route.prefix.max_prefix_len() =>
                {
                    notes.push(format!(
                        "no host announces {} as a container; packets follow {}",
                        who.address, route.prefix
                    ));
                }
                _ => {}
            }
        }
        if !from.is_here() && !to.is_here() {
            notes.push("neither is on this host: their own hosts decide, each by its own file".into());
        }
        Way { notes, blocked }
    }

    /// What the policies say.
    fn judged(&self, from: &Who<'_>, to: &Who<'_>, span: Span) -> Option<Vec<Decision>> {
        let scope = on_one_bridge(from, to).map_or(Scope::ROUTED, |n| self.members.compiled.scope(&n.id));
        let flow = Flow { scope, source: from.address, destination: to.address, service: span.0, mark: 0 };
        let plain = self.decisions(&flow, span, None)?;
        let Some(network) = from.network.filter(|n| !from.is_here() && rides_in_packets(n)) else {
            return Some(plain);
        };
        // Its packets say which group it is in.
        let mut all = Vec::new();
        for group in self.config.groups.iter().filter(|g| g.network == network.id) {
            let mark = u32::from(group.number.in_packets());
            let when = format!("its packets name group {}", group.id);
            all.extend(self.decisions(&Flow { mark, ..flow }, span, Some(&when))?);
        }
        all.extend(self.decisions(&flow, span, Some("its packets name no group"))?);
        let same = |d: &Decision| Decision { when: None, ..d.clone() };
        let varies = plain.len() > 1 || all.iter().any(|d| same(d) != plain[0]);
        Some(if varies { all } else { plain })
    }

    /// Where the policies are enforced: on the hosts of both.
    fn enforced(&self, from: &Who<'_>, to: &Who<'_>) -> Vec<String> {
        let mut places = Vec::new();
        if from.is_here() && to.is_here() {
            return vec!["on this host, which has both".into()];
        }
        for (who, end) in [(from, "source"), (to, "destination")] {
            if who.is_here() {
                places.push(format!("on this host, as the {end}'s"));
            } else if let Some(network) = who.network
                && self.config.groups.iter().any(|g| g.network == network.id)
            {
                let host = self.way_to(who.address).and_then(|route| route.host);
                let host = host.map(|id| format!(" ({id})")).unwrap_or_default();
                places.push(format!("on the {end}'s host{host}, by its own file"));
            }
        }
        places
    }
}

/// The bridged network that both are in.
fn on_one_bridge<'a>(from: &Who<'a>, to: &Who<'a>) -> Option<&'a Network> {
    let (a, b) = (from.network?, to.network?);
    (a.id == b.id && a.encap.is_bridged()).then_some(a)
}

/// The most likely ones of those who may be meant: in one network, else such as can meet. `None`: none of this family.
fn pair<'a>(from: &[Who<'a>], to: &[Who<'a>], v6: bool) -> Result<Option<(Who<'a>, Who<'a>)>, String> {
    let of_family = |who: &&Who<'a>| who.address.is_ipv6() == v6;
    let id = |who: &Who<'a>| who.network.map(|n| n.id.clone());
    let likely = |(a, b): &(Who<'a>, Who<'a>)| {
        let together = a.network.is_some() && id(a) == id(b);
        let there = u8::from(a.endpoint.is_some()) + u8::from(b.endpoint.is_some());
        (together, a.is_routed() && b.is_routed(), there)
    };
    let to: Vec<Who<'a>> = to.iter().filter(of_family).copied().collect();
    let pairs = from.iter().filter(of_family).flat_map(|a| to.iter().map(|b| (*a, *b)));
    let mut pairs: Vec<(Who<'a>, Who<'a>)> = pairs.collect();
    pairs.sort_by_key(|pair| std::cmp::Reverse(likely(pair)));
    if let [first, second, ..] = &*pairs
        && likely(first) == likely(second)
    {
        let name = |who: &Who<'a>| id(who).map_or_else(|| "no network".to_owned(), |n| n.to_string());
        return Err(format!(
            "{} and {} may be in {} and {}, or in {} and {}: name an endpoint instead",
            first.0.address,
            first.1.address,
            name(&first.0),
            name(&first.1),
            name(&second.0),
            name(&second.1)
        ));
    }
    Ok(pairs.first().copied())
}

/// The services that are asked about, in one family; `None`: there is no such type of ICMP in it.
fn asked(service: Option<&explain::Service>, v6: bool) -> Option<Span> {
    let whole = |protocol| (Service::port(protocol, 0), Service::port(protocol, u16::MAX));
    let icmp = ICMP[usize::from(v6)];
    Some(match service {
        None => (Service::FIRST, Service::LAST),
        Some(explain::Service::Port { protocol, port }) => {
            (Service::port(*protocol, *port), Service::port(*protocol, *port))
        }
        Some(explain::Service::Icmp(None)) => whole(icmp),
        Some(explain::Service::Icmp(Some(wanted))) => {
            let (_, v4, v6_type) = ICMP_TYPES.iter().find(|(name, ..)| name == wanted)?;
            let kind = if v6 { *v6_type } else { *v4 }?;
            (Service::icmp(icmp, kind, 0), Service::icmp(icmp, kind, u8::MAX))
        }
        Some(explain::Service::Protocol(protocol)) => whole(*protocol),
    })
}

/// What is asked about in words.
fn name(service: &explain::Service) -> String {
    match service {
        explain::Service::Port { protocol, port } => {
            let name = PROTOCOLS.iter().find(|(_, number)| number == protocol).map(|(name, _)| *name);
            name.map_or_else(
                || format!("protocol {protocol} port {port}"),
                |name| format!("{name} port {port}"),
            )
        }
        explain::Service::Icmp(None) => "icmp".into(),
        explain::Service::Icmp(Some(kind)) => format!("icmp {kind}"),
        explain::Service::Protocol(protocol) => format!("protocol {protocol}"),
    }
}
