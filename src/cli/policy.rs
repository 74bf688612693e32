//! Groups, rules and profiles as lines of tables.

use petiole_config::model::Bandwidth;

use crate::control::rows::{Group, PolicyRule, Profile};

use super::table::or_dash;

pub(super) const GROUPS: &[&str] =
    &["group", "number", "network", "default", "policies", "profile", "known by", "local", "remote"];

pub(super) const POLICIES: &[&str] = &[
    "policy",
    "rule",
    "direction",
    "peer",
    "service",
    "action",
    "priority",
    "log",
    "groups",
    "packets",
    "octets",
];

pub(super) const PROFILES: &[&str] =
    &["profile", "bandwidth", "burst", "bandwidth-in", "burst-in", "dscp", "groups", "endpoints"];

pub(super) fn group(g: &Group) -> Vec<String> {
    vec![
        g.name.clone(),
        g.number.to_string(),
        g.network.clone(),
        g.default.clone(),
        list(&g.policies),
        or_dash(g.profile.clone()),
        g.identity.clone(),
        g.local.to_string(),
        g.remote.to_string(),
    ]
}

pub(super) fn rule(r: &PolicyRule) -> Vec<String> {
    vec![
        or_dash(r.policy.clone()),
        r.rule.clone(),
        r.direction.clone(),
        r.peer.clone(),
        r.service.clone(),
        r.action.clone(),
        or_dash(r.priority),
        if r.log { "yes" } else { "no" }.into(),
        list(&r.groups),
        or_dash(r.packets),
        or_dash(r.octets),
    ]
}

pub(super) fn profile(p: &Profile) -> Vec<String> {
    let rate = |bits: Option<u64>| or_dash(bits.and_then(Bandwidth::new));
    vec![
        p.name.clone(),
        rate(p.bandwidth),
        or_dash(p.burst.map(size)),
        rate(p.bandwidth_in),
        or_dash(p.burst_in.map(size)),
        or_dash(p.dscp),
        list(&p.groups),
        p.endpoints.to_string(),
    ]
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "-".into() } else { names.join(" ") }
}

/// Octets as the file writes them.
fn size(octets: u32) -> String {
    if octets.is_multiple_of(1024) { format!("{}KiB", octets / 1024) } else { format!("{octets}B") }
}

#[cfg(test)]
mod tests {
    use super::{super::table::Table, *};

    fn table(header: &[&str], row: Vec<String>) -> String {
        let mut out = Vec::new();
        Table::new(header).write(&mut out, &[row]).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_cell_stands_under_its_header() {
        let profile = Profile {
            name: "slow".into(),
            bandwidth: Some(512_000),
            burst: Some(81_920),
            bandwidth_in: None,
            burst_in: None,
            dscp: Some(6),
            groups: vec!["web".into(), "db".into()],
            endpoints: 3,
        };
        assert_eq!(
            table(PROFILES, super::profile(&profile)),
            "profile  bandwidth  burst  bandwidth-in  burst-in  dscp  groups  endpoints\n\
             slow     500Kbps    80KiB  -             -         6     web db  3\n"
        );
        let rule = PolicyRule {
            policy: Some("db".into()),
            rule: "sql".into(),
            direction: "in".into(),
            peer: "group web".into(),
            service: "tcp 5432".into(),
            action: "allow".into(),
            priority: Some(10),
            log: false,
            groups: vec!["db".into()],
            packets: Some(3),
            octets: Some(180),
        };
        assert_eq!(
            table(POLICIES, super::rule(&rule)),
            "policy  rule  direction  peer       service   action  priority  log  groups  packets  octets\n\
             db      sql   in         group web  tcp 5432  allow   10        no   db      3        180\n"
        );
        let group = Group {
            name: "db".into(),
            number: 200,
            network: "shop".into(),
            default: "deny".into(),
            policies: vec!["db".into()],
            profile: None,
            identity: "routes".into(),
            local: 1,
            remote: 2,
            members: Vec::new(),
            warnings: Vec::new(),
        };
        assert_eq!(
            table(GROUPS, super::group(&group)),
            "group  number  network  default  policies  profile  known by  local  remote\n\
             db     200     shop     deny     db        -        routes    1      2\n"
        );
    }
}
