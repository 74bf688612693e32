//! Containers of the file: from the namespace that appears to the prefix that is announced, and back.

use petiole_fib::{
    fake::Fault,
    model::{IfName, Key, Ns},
};

use super::*;

const WEB1: &str = "192.168.1.1/32";
const WEB1_V6: &str = "2001:db8:1::1/128";

#[test]
fn a_container_is_announced_when_its_namespace_is_there_and_withdrawn_when_it_goes() {
    let mut host = Host::start(&config(ONE));
    let empty = host.text();
    assert_eq!(host.state("web1"), "waiting");
    assert!(!host.originated(WEB1));

    host.appear("web1");
    host.settle();
    assert_eq!(host.state("web1"), "attached");
    assert!(host.originated(WEB1) && host.originated(WEB1_V6));

    host.vanish("web1");
    assert!(!host.originated(WEB1) && !host.originated(WEB1_V6), "withdrawn before anything else happens");
    host.settle();
    assert_eq!(host.text(), empty, "nothing is left behind");

    host.appear("web1");
    host.settle();
    assert!(host.originated(WEB1), "it comes back with the same address");
}

#[test]
fn a_container_is_not_announced_before_the_last_of_its_objects_stands() {
    let complete = complete();
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    while host.step() {
        if host.originated(WEB1) {
            assert_eq!(host.text(), complete);
        }
    }
    assert!(host.originated(WEB1));
}

#[test]
fn a_refused_operation_keeps_the_container_unannounced_until_a_retry_succeeds() {
    let complete = complete();
    let first = Host::start(&config(ONE)).kernel.operations();
    for operation in first.. {
        let mut host = Host::start(&config(ONE));
        host.kernel.fail_at(operation, Fault::Refuse(libc::ENOMEM));
        host.appear("web1");
        while host.step() {}
        if host.kernel.operations() <= operation {
            assert!(operation > first + 10, "the refusals were tried");
            return;
        }
        // A refused sysctl does not hold it up.
        assert_eq!(host.originated(WEB1), host.text() == complete, "operation {operation}");
        host.settle();
        assert_eq!(host.state("web1"), "attached", "operation {operation}");
        assert!(host.originated(WEB1));
    }
}

#[test]
fn a_restart_at_any_moment_ends_in_the_same_state_and_one_after_all_is_done_changes_nothing() {
    let config = config(ONE);
    let mut whole = Host::start(&config);
    whole.appear("web1");
    whole.settle();
    let operations = whole.kernel.operations();
    for cut in 0.. {
        let mut host = Host::start(&config);
        host.appear("web1");
        let finished = !(0..cut).all(|_| host.step());
        let before = host.kernel.operations();
        let mut again = host.again(&config);
        again.settle();
        assert_eq!(again.text(), whole.text(), "killed after step {cut}");
        assert!(again.originated(WEB1));
        if finished {
            assert_eq!(again.kernel.operations(), before, "nothing was to be done");
            assert_eq!(before, operations);
            return;
        }
    }
}

#[test]
fn containers_keep_their_addresses_over_a_restart_with_another_file() {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    // web0 would be given the first address if web1's were not remembered.
    let mut again = host.again(&config(&format!("{BARE}{TWO}{}", &ONE[BARE.len()..])));
    again.appear("web0");
    again.settle();
    assert_eq!(
        again.core.endpoints.all[&"web1".parse().unwrap()].assigned.as_ref().unwrap().v4,
        Some([192, 168, 1, 1].into())
    );
    assert_eq!(
        again.core.endpoints.all[&"web0".parse().unwrap()].assigned.as_ref().unwrap().v4,
        Some([192, 168, 1, 2].into())
    );
}

#[test]
fn containers_of_bridged_networks_keep_theirs_too() {
    for network in ["vx", "vl"] {
        let file = |text: &str| {
            let networks =
                networks::BRIDGED.replace("vni = 5001", "vni = 5001\nsubnet6 = \"2001:db8:2::/64\"");
            let networks =
                networks.replace("\n    gateway", "\n    gateway6 = \"2001:db8:2::ffff\"\n    gateway");
            let (bare, endpoints) = text.split_at(BARE.len());
            let endpoints = endpoints.replace("\"public\"", &format!("\"{network}\""));
            config(&format!("{bare}{networks}{endpoints}"))
        };
        // Two, of which the first goes: a later one is not to be given its address by its place in the file.
        let mut host = Host::start(&file(&format!("{ONE}{TWO}")));
        host.appear("web0");
        host.appear("web1");
        host.settle();
        let rows = host.rows();
        assert!(rows.iter().all(|row| row.state == "attached"), "{rows:?}");
        let other = format!("{ONE}{}{TWO}", TWO.replace("web0", "web"));
        let again = host.again(&file(&other));
        for row in rows {
            assert_eq!(again.row(&row.name), row);
        }
    }
}

#[test]
fn what_an_earlier_run_left_for_a_container_that_is_in_no_file_any_more_goes() {
    let without = ONE.split("[[endpoint]]").next().unwrap();
    let clean = Host::start(&config(without)).text();
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    let again = host.again(&config(without));
    assert_eq!(again.text(), clean);
}

#[test]
fn a_reload_of_the_same_file_does_nothing() {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    let before = host.kernel.operations();
    host.core.reconfigure(config(ONE), host.now).unwrap();
    host.settle();
    assert_eq!(host.kernel.operations(), before);
    assert!(host.originated(WEB1));
}

#[test]
fn a_container_that_a_reload_removes_leaves_nothing_and_others_are_not_touched() {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    let one = host.text();
    host.core.reconfigure(config(&format!("{ONE}{TWO}")), host.now).unwrap();
    host.appear("web0");
    host.settle();
    assert!(host.originated("192.168.1.2/32"));
    host.core.reconfigure(config(ONE), host.now).unwrap();
    assert!(!host.originated("192.168.1.2/32"));
    host.settle();
    assert_eq!(host.text(), one);
    assert_eq!(
        host.core.endpoints.ipam.owner(&"public".parse().unwrap(), [192, 168, 1, 2].into()),
        None,
        "its address is free again"
    );
}

#[test]
fn a_container_whose_address_a_reload_changes_is_made_anew() {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    let moved = ONE.replace("netns =", "address = \"192.168.1.7\"\n netns =");
    host.core.reconfigure(config(&moved), host.now).unwrap();
    assert!(!host.originated(WEB1));
    host.settle();
    assert!(host.originated("192.168.1.7/32"));
    assert!(!host.text().contains("192.168.1.1/32"), "{}", host.text());
}

#[test]
fn somebody_elses_deletion_is_repaired_and_the_container_withdrawn_meanwhile() {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    let whole = host.text();
    let key = Key::Address(Ns::HOST, IfName::new("pt-web1").unwrap(), "192.168.1.254/32".parse().unwrap());
    host.kernel.take_away(&key);
    let event = host.kernel.event().unwrap();
    host.core.kernel(event, host.now);
    assert!(!host.originated(WEB1));
    host.settle();
    assert!(host.originated(WEB1));
    assert_eq!(host.text(), whole);
}

#[test]
fn a_loopback_is_announced_while_it_stands() {
    let with = |rest: &str| {
        let text =
            "[host]\nasn = 65002\nrouter-id = \"50.1.1.1\"\nloopback = [\"10.0.0.1/32\"]\n".to_owned() + rest;
        petiole_config::parse("test.toml", &text, &NoFiles)
            .map(|l| l.config)
            .map_err(|d| d.render(false))
            .unwrap()
    };
    let mut host = Host::start(&with(ONE));
    assert!(host.originated("10.0.0.1/32"));
    host.core.reconfigure(config(ONE), host.now).unwrap();
    assert!(!host.originated("10.0.0.1/32"));
    host.settle();
    assert!(!host.text().contains("10.0.0.1"), "{}", host.text());
}

#[test]
fn what_cannot_change_live_is_refused_and_nothing_changes() {
    let mut host = Host::start(&config(ONE));
    let socket = format!("{}\n[api]\nsocket = \"/run/other.sock\"", ONE.replace("web1", "web2"));
    let refused = host.core.reconfigure(config(&socket), host.now).unwrap_err();
    assert!(refused.contains("[api]"), "{refused}");
    assert!(host.core.endpoints.all.contains_key(&"web1".parse().unwrap()));
}
