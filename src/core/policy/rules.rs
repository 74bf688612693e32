//! The rules of a group, in the order in which they decide, and what they say about each service.

use petiole_config::model::{AclAction, AclRule, IcmpType, Service as Wanted};
use petiole_fib::acl::{Outcome, Service};

/// ICMP in IPv4 and IPv6.
pub(super) const ICMP: [u8; 2] = [1, 58];

/// How urgent a rule is. Of two with the same priority one that denies decides.
pub(super) fn urgency(rule: &AclRule) -> u32 {
    2 * u32::from(rule.priority.get()) + u32::from(rule.action == AclAction::Deny)
}

/// What a group says that denies by default, where no rule decides: more than one that does not say anything, less than
/// any rule.
pub(super) const DENY_BY_DEFAULT: u32 = 1;

/// The services that a rule is about, as spans, ascending.
pub(super) fn spans(wanted: &Wanted) -> Vec<(Service, Service)> {
    let types = |kind: &IcmpType| {
        let numbers = [kind.v4.map(|k| (ICMP[0], k)), kind.v6.map(|k| (ICMP[1], k))];
        numbers.map(|number| number.map(|(p, kind)| (Service::icmp(p, kind, 0), Service::icmp(p, kind, 255))))
    };
    let whole = |protocol| (Service::port(protocol, 0), Service::port(protocol, u16::MAX));
    let mut spans: Vec<_> = match wanted {
        Wanted::Any => vec![(Service::FIRST, Service::LAST)],
        Wanted::Protocol(protocol) => vec![whole(*protocol)],
        Wanted::Ports(protocol, ports) => {
            let port = |port| Service::port(*protocol, port);
            ports.iter().map(|range| (port(range.first()), port(range.last()))).collect()
        }
        Wanted::Icmp(None) => ICMP.map(whole).to_vec(),
        Wanted::Icmp(Some(kinds)) => kinds.iter().flat_map(types).flatten().collect(),
    };
    spans.sort_unstable();
    spans
}

/// Lays spans over each other, those that decide first on top. The result ascends, does not overlap, and joins what
/// is the same.
pub(super) fn lay(layers: &[(Vec<(Service, Service)>, Outcome)]) -> Vec<(Service, Service, Outcome)> {
    // What begins or ends, and where. A layer counts by its place: the lowest that is open is on top.
    let mut edges: Vec<(u32, bool, usize)> = Vec::new();
    for (place, (spans, _)) in layers.iter().enumerate() {
        for (first, last) in spans {
            edges.push((first.0, true, place));
            edges.push((last.0 + 1, false, place));
        }
    }
    edges.sort_unstable();
    let mut open = vec![0_u32; layers.len()];
    let mut on_top = std::collections::BTreeSet::new();
    let mut result: Vec<(Service, Service, Outcome)> = Vec::new();
    let mut at = 0;
    while at < edges.len() {
        let here = edges[at].0;
        while let Some((_, begins, place)) = edges.get(at).filter(|edge| edge.0 == here) {
            if *begins {
                open[*place] += 1;
                on_top.insert(*place);
            } else {
                open[*place] -= 1;
                if open[*place] == 0 {
                    on_top.remove(place);
                }
            }
            at += 1;
        }
        let (Some(top), Some((next, ..))) = (on_top.first(), edges.get(at)) else { continue };
        let outcome = layers[*top].1;
        match result.last_mut() {
            Some((_, last, before)) if *before == outcome && last.0 + 1 == here => last.0 = next - 1,
            _ => result.push((Service(here), Service(next - 1), outcome)),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Of every service the topmost layer says what becomes of it.
        #[test]
        fn what_is_on_top_decides(
            layers in prop::collection::vec(prop::collection::vec((0_u32..40, 0_u32..12), 0..4), 0..6),
        ) {
            let layers: Vec<_> = layers
                .into_iter()
                .enumerate()
                .map(|(n, spans)| {
                    let spans = spans.into_iter().map(|(a, l)| (Service(a), Service(a + l))).collect::<Vec<_>>();
                    (spans, Outcome { urgency: 9, rule: n as u32 / 2 })
                })
                .collect();
            let laid = lay(&layers);
            for pair in laid.windows(2) {
                prop_assert!(pair[0].1 < pair[1].0, "{laid:?}");
                let joined = pair[0].1.0 + 1 == pair[1].0.0 && pair[0].2 == pair[1].2;
                prop_assert!(!joined, "{laid:?}");
            }
            for service in 0..60 {
                let on_top = layers.iter().find(|(spans, _)| {
                    spans.iter().any(|(a, b)| (a.0..=b.0).contains(&service))
                });
                let found = laid.iter().find(|(a, b, _)| (a.0..=b.0).contains(&service));
                prop_assert_eq!(found.map(|f| f.2), on_top.map(|layer| layer.1));
            }
        }
    }
}
