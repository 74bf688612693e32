//! A protected container is never open: the kernel knows its group before it has its address, and until that is gone,
//! wherever a crash stops things.

use ipnet::IpNet;
use petiole_fib::acl::{self, Known, Scope};

use super::*;

/// Two groups, one of which lets nobody in by default; a routed network and a bridge that the host does not route to.
const GROUPS: &str = r#"
    [[network]]
    name = "apart"
    encap = "vxlan"
    vni = 7
    local = "50.1.1.1"
    vteps = ["50.1.1.2"]
    subnet = "10.7.0.0/24"

    [[group]]
    name = "safe"
    network = "public"
    default = "deny"

    [[group]]
    name = "far"
    network = "apart"
    default = "deny"
"#;

fn file() -> HostConfig {
    config(&format!("{BARE}{GROUPS}"))
}

fn in_group(name: &str, group: &str) -> EndpointRequest {
    EndpointRequest { network: None, group: Some(group.into()), ..request(name, "") }
}

/// Containers' addresses in the kernel whose groups it does not know.
fn open(host: &Host) -> Vec<IpNet> {
    let keys = host.kernel.keys_of(&Owner::default());
    let known = |address: IpAddr| {
        let scopes = host.core.members.compiled_scopes().chain([Scope::ROUTED]);
        scopes.map(|s| acl::member(s, address, Known::default()).key()).any(|key| keys.contains(&key))
    };
    let inside = keys.iter().filter_map(|key| match key {
        petiole_fib::model::Key::Address(ns, _, address) if *ns != Ns::HOST => Some(*address),
        _ => None,
    });
    inside.filter(|address| !known(address.addr())).collect()
}

/// Whether there is anything to be open.
fn has_address(host: &Host) -> bool {
    let keys = host.kernel.keys_of(&Owner::default());
    keys.iter().any(|key| matches!(key, petiole_fib::model::Key::Address(ns, ..) if *ns != Ns::HOST))
}

#[test]
fn wherever_it_stops_a_container_with_an_address_is_known_to_be_protected() {
    for group in ["safe", "far"] {
        let mut with_address = 0;
        for operations in 0.. {
            // On the way in.
            let mut host = Host::start(&file());
            host.appear("web1");
            host.run();
            host.operations_left = Some(operations);
            host.ask(&in_group("web1", group));
            host.run();
            assert_eq!(open(&host), [], "{group}: on the way in, after {operations}");
            with_address += usize::from(host.dead && has_address(&host));
            let stopped = host.dead;
            // Whatever was left, the next daemon keeps it so.
            let mut host = host.again(&file());
            assert_eq!(open(&host), [], "{group}: started again after {operations}");
            // On the way out.
            if !host.rows().is_empty() {
                host.operations_left = Some(operations);
                host.ask_to_remove("web1");
                host.run();
                host.now += Duration::from_secs(2);
                host.core.handle_timeout(host.now);
                host.run();
                assert_eq!(open(&host), [], "{group}: on the way out, after {operations}");
                with_address += usize::from(host.dead && has_address(&host));
            }
            if !stopped && !host.dead {
                assert!(!has_address(&host));
                break;
            }
        }
        assert!(with_address > 3, "{group}: {with_address}");
    }
}

#[test]
fn a_group_that_the_kernel_does_not_take_keeps_the_container_out() {
    let mut host = Host::start(&file());
    host.appear("web1");
    host.run();
    let next = host.kernel.operations();
    // Every attempt to enter the member, and nothing else.
    for at in next..next + 40 {
        host.kernel.fail_at(at, petiole_fib::fake::Fault::Refuse(libc::ENOMEM));
    }
    let answer = host.add(&in_group("web1", "safe"));
    let text = answer.unwrap_err();
    assert!(text.contains("acl-members4") || text.contains("acl-members6"), "{text}");
    assert!(!has_address(&host));
    host.kernel.forget_faults();
    host.settle();
    assert!(host.text() == Host::start(&file()).text(), "nothing is left");
}

#[test]
fn a_flushed_ruleset_is_made_again_in_one_transaction() {
    let mut host = Host::start(&file());
    host.appear("web1");
    host.add(&in_group("web1", "safe")).unwrap();
    let before = host.text();
    host.kernel.flush_ruleset();
    host.settle();
    assert!(host.text() == before);
}

#[test]
fn connections_are_not_looked_through_before_it_is_known_who_is_there() {
    let mut host = Host::start(&file());
    for (name, group) in [("web1", "safe"), ("web2", "far"), ("web3", "far")] {
        host.appear(name);
        host.add(&in_group(name, group)).unwrap();
    }
    let config = file();
    let Host { kernel, present, stored, boot, born, now, .. } = host;
    let mut host = Host::on(kernel, present, stored, &config, boot, (born, now));
    host.late_watcher = true;
    // The first three have one IPv4 address each, and the first an IPv6 one too.
    while host.step() {
        assert!(host.reviewed.iter().all(|members| *members == 4), "{:?}", host.reviewed);
        let due = host.core.next_timeout().is_some_and(|at| at <= host.now);
        assert!(!due || host.core.unread.is_empty(), "nothing to do but to wait");
    }
    assert_eq!(
        host.reviewed.len(),
        1,
        "and once they are looked through: the rules may be others than before"
    );
}

#[test]
fn while_connections_are_looked_through_the_next_time_is_not_due() {
    let mut host = Host::start(&file());
    host.run();
    host.core.members.review = Some(host.now);
    while let Some(effect) = host.core.poll_effect(host.now) {
        // The kernel thread takes its time.
        assert!(matches!(effect, Effect::Kernel(Command::EndConnections(_))), "{effect:?}");
    }
    host.core.members.review = Some(host.now);
    assert_eq!(host.core.next_review(), None);
    assert!(host.core.next_timeout().is_none_or(|at| at > host.now));
    host.core.kernel(Event::ConnectionsEnded(0), host.now);
    assert_eq!(host.core.next_review(), Some(host.now));
}
