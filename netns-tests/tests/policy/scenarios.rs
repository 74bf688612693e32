//! S10 and S11: on one host and across hosts, in IPv4 and IPv6, in the three kinds of networks.

use petiole_netns_tests::{Lab, LabError, Place, Service, skip};

use crate::common::policy::{
    Asker, KINDS, POLICY_LAB, ROUTED, SERVICES, all_as_expected, container, policies, reload, respond, up,
};

/// `A` stands for the first group of each kind of network.
const ICMP_DENY: &str =
    r#"{ id = "1", direction = "in", protocol = "icmp", from-group = "A", action = "deny" },"#;
const TCP: &str = r#"
    { id = "2", direction = "in", protocol = "tcp", from-group = "A", action = "deny", priority = 1 },
    { id = "3", direction = "in", protocol = "tcp", port = "8001", from-group = "A", action = "allow", priority = 10 },"#;

/// Everybody of the first groups asks everybody of the second ones; the answers to both are expected as told.
fn askers<'a>(lab: &'a Lab, expected: &[(Service, bool)]) -> Result<Vec<Asker<'a>>, LabError> {
    let mut askers = Vec::new();
    for kind in KINDS {
        for from in [1, 2] {
            let mut asker = Asker::new(container(lab, kind, 'a', from));
            for to in [1, 2].map(|host| container(lab, kind, 'b', host)) {
                for (service, answered) in expected {
                    asker = asker.expects(&to, *service, *answered)?;
                }
            }
            askers.push(asker);
        }
    }
    Ok(askers)
}

/// Whom the rules do not mean: a group that none of them names, and the second groups when it is they who ask.
fn unconcerned(lab: &Lab, service: Service) -> Result<Vec<Asker<'_>>, LabError> {
    let mut askers = Vec::new();
    for host in [1, 2] {
        let mut asker = Asker::new(container(lab, ROUTED, 'c', host));
        for to in [1, 2].map(|host| container(lab, ROUTED, 'b', host)) {
            asker = asker.expects(&to, service, true)?;
        }
        askers.push(asker);
        for kind in KINDS {
            let mut asker = Asker::new(container(lab, kind, 'b', host));
            for to in [1, 2].map(|host| container(lab, kind, 'a', host)) {
                asker = asker.expects(&to, Service::Icmp, true)?;
            }
            askers.push(asker);
        }
    }
    Ok(askers)
}

#[test]
fn s10_an_icmp_deny_comes_and_goes_and_the_containers_do_not_notice() -> Result<(), LabError> {
    if skip("scenarios::s10_an_icmp_deny_comes_and_goes_and_the_containers_do_not_notice", POLICY_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let inside = || -> Result<Vec<String>, LabError> {
        let all = KINDS.iter().flat_map(|kind| {
            ['a', 'b'].into_iter().flat_map(|group| [1, 2].map(|host| container(&lab, *kind, group, host)))
        });
        all.map(|container| container.run("ip -o address show dev eth0")).collect()
    };
    let before = inside()?;
    for (when, rules, answered) in [
        ("without rules", "", true),
        ("with the rule", ICMP_DENY, false),
        ("without it again", "", true),
        ("with it again", ICMP_DENY, false),
    ] {
        reload(&lab, &policies(rules))?;
        let mut all = askers(&lab, &[(Service::Icmp, answered)])?;
        all.extend(unconcerned(&lab, Service::Icmp)?);
        all_as_expected(when, &all)?;
    }
    assert_eq!(inside()?, before, "the same interfaces with the same addresses");
    lab.down()
}

#[test]
fn s11_of_two_ports_that_listen_the_allowed_one_connects() -> Result<(), LabError> {
    if skip("scenarios::s11_of_two_ports_that_listen_the_allowed_one_connects", POLICY_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let _responders = respond(&lab, &SERVICES)?;
    let [tcp8000, tcp8001, udp] = SERVICES;
    for (when, rules, [open8000, open8001, ping]) in [
        ("without rules", String::new(), [true, true, true]),
        ("S11", TCP.to_owned(), [false, true, true]),
        ("the seed's policy as a whole", format!("{ICMP_DENY}{TCP}"), [false, true, false]),
        (
            "without the port's rule",
            TCP.split("{ id = \"3\"").next().unwrap().to_owned(),
            [false, false, true],
        ),
    ] {
        reload(&lab, &policies(&rules))?;
        let expected = [(tcp8000, open8000), (tcp8001, open8001), (Service::Icmp, ping), (udp, true)];
        let mut all = askers(&lab, &expected)?;
        all.extend(unconcerned(&lab, tcp8000)?);
        all_as_expected(when, &all)?;
    }
    lab.down()
}
