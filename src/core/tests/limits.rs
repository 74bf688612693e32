//! Limits of a group's members: with the container, and under it while it runs.

use petiole_config::model::{Bandwidth, Limit, Profile};
use petiole_fib::{fake::Fault, model::Key};

use super::*;

const WEB1: &str = "192.168.1.1/32";

/// web1 in a group whose profile has these limits, bits per second; without any, the group has none.
fn limited(out: Option<u64>, inward: Option<u64>) -> HostConfig {
    let group = "[[group]]\nname = \"slow\"\nnetwork = \"public\"\n";
    let endpoint = "[[endpoint]]\nname = \"web1\"\ngroup = \"slow\"\nnetns = \"/run/netns/web1\"\n";
    let mut config = config(&format!("{BARE}{group}{endpoint}"));
    if out.or(inward).is_some() {
        let limit = |bits: Option<u64>| Some(Limit { rate: Bandwidth::new(bits?).unwrap(), burst: 80 << 10 });
        let id: ScopedName = "profile".parse().unwrap();
        config.groups[0].profile = Some(id.clone());
        config.profiles = vec![Profile { id, out: limit(out), inward: limit(inward), dscp: None }];
    }
    config
}

const SLOW: Option<u64> = Some(500 << 10);
const FAST: Option<u64> = Some(9 << 20);

fn attached(config: &HostConfig) -> Host {
    let mut host = Host::start(config);
    host.appear("web1");
    host.settle();
    assert_eq!(host.state("web1"), "attached");
    host
}

/// Takes a configuration in, during which web1 must stay announced and reachable; how many operations that took.
fn reload_live(host: &mut Host, config: &HostConfig) -> u64 {
    let before = host.kernel.operations();
    host.core.reconfigure(config.clone(), host.now).unwrap();
    loop {
        assert!(host.originated(WEB1));
        assert_eq!(host.kernel.cut_off(), []);
        if !host.step() {
            break;
        }
    }
    host.settle();
    assert_eq!(host.state("web1"), "attached");
    host.kernel.operations() - before
}

#[test]
fn a_container_comes_and_goes_with_its_limits() {
    let mut host = Host::start(&limited(SLOW, FAST));
    let empty = host.text();
    host.appear("web1");
    while host.step() {
        if host.originated(WEB1) {
            let text = host.text();
            for what in
                ["qdisc of pt-web1 rate 1179648", "qdisc of pi-web1 rate 64000", "redirect of pt-web1"]
            {
                assert!(text.contains(what), "announced without {what}");
            }
        }
    }
    assert!(host.originated(WEB1));
    host.vanish("web1");
    host.settle();
    assert_eq!(host.text(), empty);

    let mut host = attached(&limited(SLOW, FAST));
    host.reload(&config(BARE)).unwrap();
    assert_eq!(host.text(), empty);
}

#[test]
fn limits_change_come_and_go_under_a_container_that_stays_announced() {
    let steps =
        [(None, None), (SLOW, SLOW), (FAST, SLOW), (FAST, FAST), (None, FAST), (SLOW, None), (None, None)];
    let mut host = attached(&limited(None, None));
    for (out, inward) in steps {
        let wanted = limited(out, inward);
        reload_live(&mut host, &wanted);
        assert_eq!(host.text(), attached(&wanted).text(), "{out:?} {inward:?}");
        assert_eq!(reload_live(&mut host, &wanted), 0, "the same once more");
    }
    // Another rate both ways: in place.
    reload_live(&mut host, &limited(SLOW, SLOW));
    assert_eq!(reload_live(&mut host, &limited(FAST, FAST)), 2);
    // And nothing of it is in the way of the end.
    host.vanish("web1");
    host.settle();
    assert_eq!(host.text(), Host::start(&limited(None, None)).text());
}

#[test]
fn limits_that_came_later_are_as_much_part_of_the_container() {
    let wanted = limited(SLOW, SLOW);
    let whole = attached(&wanted).text();
    for operation in 0..40 {
        let mut host = attached(&limited(None, None));
        reload_live(&mut host, &wanted);
        host.kernel.fail_at(host.kernel.operations() + operation, Fault::Refuse(libc::ENOMEM));
        host.kernel.take_away(&Key::Link(Ns::HOST, IfName::new("pt-web1").unwrap()));
        // What was refused is not tried again before time has passed.
        host.run();
        assert_eq!(host.originated(WEB1), host.text() == whole, "operation {operation}");
        host.settle();
        assert!(host.originated(WEB1) && host.text() == whole);
    }
}

#[test]
fn an_endpoint_added_at_run_time_has_its_groups_limits_too() {
    let mut config = limited(SLOW, SLOW);
    config.endpoints.clear();
    let mut host = Host::start(&config);
    let empty = host.text();
    host.appear("web7");
    host.add(&EndpointRequest { network: None, group: Some("slow".into()), ..request("web7", "public") })
        .unwrap();
    assert!(host.text().contains("redirect of pt-web7 to pi-web7"));
    let mut unlimited = limited(None, None);
    unlimited.endpoints.clear();
    host.reload(&unlimited).unwrap();
    assert!(!host.text().contains("pi-web7"));
    host.reload(&config).unwrap();
    assert!(host.text().contains("redirect of pt-web7 to pi-web7"));
    host.remove("web7").unwrap();
    assert_eq!(host.text(), empty);
}

#[test]
fn a_restart_adopts_limits_and_carries_out_what_changed_meanwhile() {
    let host = attached(&limited(SLOW, SLOW));
    let (text, before) = (host.text(), host.kernel.operations());
    let host = host.again(&limited(SLOW, SLOW));
    assert_eq!((host.text(), host.kernel.operations()), (text, before));
    let host = host.again(&limited(None, SLOW));
    assert_eq!(host.text(), attached(&limited(None, SLOW)).text());
    let host = host.again(&limited(None, None));
    assert_eq!(host.text(), attached(&limited(None, None)).text());
}

#[test]
fn a_limit_that_somebody_takes_away_is_repaired_without_a_word_to_the_fabric() {
    let mut host = attached(&limited(SLOW, SLOW));
    let text = host.text();
    let link = |name: &str| IfName::new(name).unwrap();
    let keys = [
        Key::Qdisc(link("pt-web1")),
        Key::Qdisc(link("pi-web1")),
        Key::Redirect(link("pt-web1")),
        Key::Link(Ns::HOST, link("pi-web1")),
    ];
    for key in keys {
        host.kernel.take_away(&key);
        while host.step() {
            assert!(host.originated(WEB1), "{key}");
        }
        host.settle();
        assert_eq!(host.text(), text, "{key}");
    }
}

#[test]
fn a_kernel_that_cannot_limit_is_not_told_the_fabric_of_and_says_why() {
    let config = limited(SLOW, None);
    let mut host = Host::start(&config);
    host.appear("web1");
    for operation in 0..200 {
        host.kernel.fail_at(operation, Fault::Refuse(libc::EOPNOTSUPP));
    }
    host.run();
    let row = host.row("web1");
    assert_eq!((row.state.as_str(), row.advertised), ("failed", false));
    host.kernel.forget_faults();
    host.settle();
    assert_eq!(host.state("web1"), "attached");

    // Under a container that stands, it stays what it is.
    let mut host = attached(&limited(None, None));
    for operation in 0..200 {
        host.kernel.fail_at(operation, Fault::Refuse(libc::EOPNOTSUPP));
    }
    host.core.reconfigure(config, host.now).unwrap();
    host.run();
    let row = host.row("web1");
    assert_eq!((row.state.as_str(), row.advertised), ("attached", true));
    assert!(row.error.is_some_and(|error| error.contains("pi-web1")));
}

#[test]
fn the_uplinks_mtu_is_the_buckets_too() {
    let mut host = attached(&limited(SLOW, SLOW));
    let eth1 = IfName::new("eth1").unwrap();
    host.kernel.meddle_with_link(Ns::HOST, &eth1, 9000, petiole_fib::model::Mac([2, 9, 9, 9, 9, 9]));
    host.settle();
    assert_eq!(host.text().matches("queue 45090").count(), 2, "{}", host.text());
    assert!(host.originated(WEB1));
}
