//! Containers that come and go at run time: what is answered when, and what is refused.

use petiole_fib::fake::Fault;

use super::*;

const A: &str = "192.168.1.1/32";

fn bare() -> Host {
    let mut host = Host::start(&config(BARE));
    for name in ["a", "b", "c"] {
        host.appear(name);
    }
    host.settle();
    host
}

fn error<T: std::fmt::Debug>(result: Result<T, String>) -> String {
    result.unwrap_err()
}

#[test]
fn an_addition_is_answered_when_the_kernel_has_every_object_and_the_journal_the_record() {
    let mut whole = bare();
    whole.add(&request("a", "public")).unwrap();
    for disk in [Disk::Fast, Disk::Slow] {
        let mut host = bare();
        host.disk = disk;
        let ticket = host.ask(&request("a", "public"));
        loop {
            if let Some(answer) = host.added(ticket) {
                let row = answer.unwrap();
                assert_eq!((row.state.as_str(), row.origin.as_str()), ("attached", "request"));
                assert_eq!(row.addresses[0].to_string(), "192.168.1.1");
                assert_eq!(host.text(), whole.text());
                assert_eq!(host.stored.endpoints.len(), 1);
                assert!(host.originated(A));
                break;
            }
            assert!(host.step(), "no answer");
        }
    }
}

#[test]
fn an_addition_is_not_answered_while_the_journal_is_not_done() {
    let mut host = bare();
    host.disk = Disk::Stuck;
    let ticket = host.ask(&request("a", "public"));
    host.settle();
    assert_eq!(host.state("a"), "attached");
    assert_eq!(host.added(ticket), None);
    host.disk = Disk::Slow;
    host.settle();
    assert!(host.added(ticket).unwrap().is_ok());
}

#[test]
fn the_same_question_gets_the_same_answer_and_changes_nothing() {
    let mut host = bare();
    let first = host.add(&request("a", "public")).unwrap();
    let (whole, operations) = (host.whole(), host.kernel.operations());
    assert_eq!(host.add(&request("a", "public")).unwrap(), first);
    assert_eq!(host.whole(), whole);
    assert_eq!(host.kernel.operations(), operations);
    // Also while the first one is under way.
    let tickets = [host.ask(&request("b", "public")), host.ask(&request("b", "public"))];
    host.settle();
    assert_eq!(host.added(tickets[0]).unwrap().unwrap(), host.added(tickets[1]).unwrap().unwrap());
}

#[test]
fn an_addition_that_clashes_is_refused_says_with_what_and_changes_nothing() {
    let mut host = Host::start(&config(ONE));
    for name in ["a", "b", "web1"] {
        host.appear(name);
    }
    host.settle();
    let published = EndpointRequest { publish: vec!["8080:80/tcp".into()], ..request("a", "public") };
    host.add(&published).unwrap();
    let whole = host.whole();
    let inside = |interface: &str| EndpointRequest {
        netns: "/run/netns/a".into(),
        interface: Some(interface.into()),
        ..request("b", "public")
    };
    let with_port = |port: &str| EndpointRequest { publish: vec![port.into()], ..request("b", "public") };
    let with_address =
        |address: &str| EndpointRequest { address: Some(address.into()), ..request("b", "public") };
    for (request, words) in [
        (request("a", "public"), vec!["endpoint a", "other settings", "petiole endpoint del"]),
        (
            EndpointRequest { netns: "/run/netns/b".into(), ..request("web1", "public") },
            vec!["web1", "config file"],
        ),
        (inside("eth0"), vec!["eth0", "/run/netns/a", "endpoint a"]),
        (with_port("8080:81/tcp"), vec!["8080", "endpoint a"]),
        (with_port("8000-8100:8000-8100/tcp"), vec!["8080", "endpoint a"]),
        (with_address("192.168.1.2"), vec!["192.168.1.2", "endpoint a"]),
        (with_address("192.168.1.254"), vec!["192.168.1.254"]),
        (with_address("10.0.0.1"), vec!["10.0.0.1"]),
        (request("b", "private"), vec!["private"]),
    ] {
        let text = error(host.add(&request));
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
        assert_eq!(host.whole(), whole, "{text}");
        assert!(host.rows().iter().all(|row| row.name != "b"), "{text}");
    }
    // The same port of another protocol is another port.
    assert_eq!(host.add(&with_port("8080:80/udp")).map(|row| row.publish.len()), Ok(1));
}

#[test]
fn two_containers_of_one_namespace_have_their_own_interfaces() {
    let mut host = bare();
    host.add(&request("a", "public")).unwrap();
    let one = host.whole();
    let second = EndpointRequest {
        netns: "/run/netns/a".into(),
        interface: Some("eth1".into()),
        ..request("b", "public")
    };
    let ticket = host.ask(&second);
    while host.step() {
        assert_eq!(host.state("a"), "attached", "nobody lays hands on the first one");
    }
    host.added(ticket).unwrap().unwrap();
    let two = host.whole();
    assert_eq!(two.attached, ["a", "b"]);
    let operations = host.kernel.operations();
    let mut host = host.again(&config(BARE));
    assert_eq!(host.whole(), two, "after a restart");
    assert_eq!(host.kernel.operations(), operations, "which did nothing");
    host.ask_to_remove("b");
    while host.step() {
        assert_eq!(host.state("a"), "attached");
    }
    assert_eq!(host.whole(), one);
    assert!(host.originated(A), "the other one is not touched");
}

#[test]
fn ten_additions_at_once_in_a_fresh_pool_give_ten_addresses_from_below() {
    let mut host = Host::start(&config(BARE));
    let names: Vec<String> = (1..=10).map(|n| format!("c{n}")).collect();
    let mut tickets = Vec::new();
    for name in &names {
        host.appear(name);
        tickets.push(host.ask(&request(name, "public")));
    }
    host.settle();
    for (n, ticket) in (1..).zip(tickets) {
        let row = host.added(ticket).unwrap().unwrap();
        assert_eq!(row.addresses[0], IpAddr::from([192, 168, 1, n]));
    }
}

#[test]
fn an_endpoint_of_a_group_has_its_address_from_the_groups_pool() {
    let groups = r#"
        [[group]]
        name = "front"
        network = "public"
        pool = ["192.168.1.10-192.168.1.11"]
    "#;
    let mut host = Host::start(&config(&format!("{BARE}{groups}")));
    let of_group = |name: &str| EndpointRequest {
        network: None,
        group: Some("front".into()),
        ..request(name, "public")
    };
    let v4 = |row: rows::Endpoint| row.addresses[0].to_string();
    for (name, address) in [("a", "192.168.1.10"), ("b", "192.168.1.11")] {
        host.appear(name);
        assert_eq!(host.add(&of_group(name)).map(v4).as_deref(), Ok(address));
    }
    host.appear("c");
    let whole = host.whole();
    let text = error(host.add(&of_group("c")));
    assert!(text.contains("front"), "{text}");
    assert_eq!(host.whole(), whole);
    assert_eq!(host.add(&request("c", "public")).map(v4).as_deref(), Ok("192.168.1.1"));
}

#[test]
fn a_removal_is_answered_when_nothing_is_left_in_kernel_and_journal() {
    let empty = bare().whole();
    for disk in [Disk::Fast, Disk::Slow] {
        let mut host = bare();
        host.add(&request("a", "public")).unwrap();
        host.disk = disk;
        let ticket = host.ask_to_remove("a");
        assert!(!host.originated(A), "withdrawn at once");
        loop {
            if let Some(answer) = host.removed(ticket) {
                answer.unwrap();
                assert_eq!(host.whole(), empty);
                assert_eq!(host.owner("public", "192.168.1.1"), None);
                assert_eq!(
                    host.stored.releases.len(),
                    2,
                    "its addresses are in quarantine: {:?}",
                    host.stored
                );
                break;
            }
            assert!(host.step(), "no answer");
        }
    }
}

#[test]
fn a_removal_is_not_answered_while_the_journal_is_not_done() {
    let mut host = bare();
    host.add(&request("a", "public")).unwrap();
    host.disk = Disk::Stuck;
    let tickets = [host.ask_to_remove("a"), host.ask_to_remove("a")];
    host.settle();
    assert_eq!(tickets.map(|t| host.removed(t)), [None, None], "the second waits for the first");
    host.disk = Disk::Slow;
    host.settle();
    assert_eq!(tickets.map(|t| host.removed(t)), [Some(Ok(())), Some(Ok(()))]);
}

#[test]
fn what_is_not_there_is_removed_already_and_what_the_file_has_is_not_removed() {
    let mut host = Host::start(&config(ONE));
    let ticket = host.ask_to_remove("nobody");
    assert!(host.step());
    assert_eq!(host.removed(ticket), Some(Ok(())), "at once");
    let text = error(host.remove("web1"));
    assert!(text.contains("config file"), "{text}");
}

#[test]
fn added_removed_and_added_again_before_the_kernel_has_answered() {
    let mut plain = bare();
    plain.add(&request("a", "public")).unwrap();
    for disk in [Disk::Fast, Disk::Slow] {
        // Between any two of the three, the host has done that many steps.
        for steps in 0..60 {
            let mut host = bare();
            host.disk = disk;
            let first = host.ask(&request("a", "public"));
            host.steps(steps);
            let removal = host.ask_to_remove("a");
            host.steps(steps);
            let second = host.ask(&request("a", "public"));
            host.settle();
            assert!(host.added(first).is_some(), "{steps}");
            assert_eq!(host.removed(removal), Some(Ok(())), "{steps}");
            let row = host.added(second).unwrap().unwrap();
            assert_eq!(row.state, "attached");
            let address = format!("{}/32", row.addresses[0]);
            assert!(host.originated(&address), "{steps}");
            assert_eq!(host.stored.endpoints.len(), 1, "{steps}");
            host.remove("a").unwrap();
            assert_eq!(host.whole(), bare().whole(), "{steps}");
        }
    }
}

#[test]
fn a_journal_that_cannot_be_written_undoes_the_addition_and_says_so() {
    let mut host = bare();
    let before = host.whole();
    host.disk = Disk::Full;
    let text = error(host.add(&request("a", "public")));
    assert!(text.contains("journal") && text.contains("no space left"), "{text}");
    assert_eq!(host.whole(), before);
    assert_eq!(host.owner("public", "192.168.1.1"), None);
    assert!(!host.originated(A));
}

#[test]
fn a_removal_that_the_journal_did_not_take_says_so() {
    let mut host = bare();
    host.add(&request("a", "public")).unwrap();
    host.disk = Disk::Full;
    let text = error(host.remove("a"));
    assert!(text.contains("journal"), "{text}");
    assert!(!host.text().contains("pt-a"));
    // The retry tries that again, too.
    host.disk = Disk::Fast;
    host.remove("a").unwrap();
    assert!(host.stored.endpoints.is_empty());
}

#[test]
fn what_the_journal_could_not_forget_goes_with_its_next_commit() {
    let mut host = bare();
    host.add(&request("a", "public")).unwrap();
    host.disk = Disk::Full;
    error(host.remove("a"));
    host.disk = Disk::Fast;
    host.add(&request("b", "public")).unwrap();
    let left: Vec<String> = host.stored.endpoints.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["b"], "or a restart would bring the other one back");
    // But not one of the same name that was added since.
    host.disk = Disk::Full;
    error(host.remove("b"));
    host.disk = Disk::Fast;
    host.add(&request("b", "public")).unwrap();
    host.add(&request("c", "public")).unwrap();
    assert_eq!(host.stored.endpoints.len(), 2);
}

#[test]
fn a_kernel_that_refuses_delays_a_removal_until_nothing_is_left() {
    let empty = bare().whole();
    let mut whole = bare();
    whole.add(&request("a", "public")).unwrap();
    let first = whole.kernel.operations();
    for operation in first.. {
        let mut host = bare();
        host.add(&request("a", "public")).unwrap();
        host.kernel.fail_at(operation, Fault::Refuse(libc::EBUSY));
        host.remove("a").unwrap();
        assert_eq!(host.whole(), empty, "operation {operation}");
        if host.kernel.operations() <= operation {
            assert!(operation > first + 5, "the refusals were tried");
            return;
        }
    }
}

#[test]
fn an_addition_that_takes_more_than_ten_seconds_is_undone() {
    let mut host = bare();
    let before = host.whole();
    host.disk = Disk::Stuck;
    let ticket = host.ask(&request("a", "public"));
    host.pass(9);
    assert_eq!(host.added(ticket), None);
    host.pass(2);
    host.disk = Disk::Fast;
    host.settle();
    let text = error(host.added(ticket).unwrap());
    assert!(text.contains("10 s"), "{text}");
    assert_eq!(host.whole(), before);
}

#[test]
fn a_kernel_that_refuses_delays_the_answer_or_makes_it_an_error_and_then_nothing_is_left() {
    let mut whole = bare();
    let (before, first) = (whole.whole(), whole.kernel.operations());
    whole.add(&request("a", "public")).unwrap();
    let whole = whole.whole();
    for fault in [Fault::Refuse(libc::ENOMEM), Fault::Refuse(libc::EEXIST), Fault::DoneBut(libc::EINTR)] {
        for operation in first.. {
            let mut host = bare();
            host.kernel.fail_at(operation, fault);
            let result = host.add(&request("a", "public"));
            if host.kernel.operations() <= operation {
                assert!(operation > first + 10, "the refusals were tried");
                break;
            }
            match result {
                Ok(_) => assert_eq!(host.whole(), whole, "{fault:?} {operation}"),
                Err(text) => assert_eq!(host.whole(), before, "{fault:?} {operation}: {text}"),
            }
        }
    }
}

#[test]
fn a_kernel_that_goes_on_refusing_makes_it_an_error_that_says_what_and_nothing_is_left() {
    let before = bare().whole();
    let mut host = bare();
    let first = host.kernel.operations();
    for operation in first..first + 200 {
        host.kernel.fail_at(operation, Fault::Refuse(libc::EPERM));
    }
    let ticket = host.ask(&request("a", "public"));
    for _ in 0..40 {
        host.pass(1);
    }
    let text = error(host.added(ticket).unwrap());
    assert!(text.contains("refused") || text.contains("10 s"), "{text}");
    host.kernel.forget_faults();
    host.settle();
    assert_eq!(host.whole(), before);
}

#[test]
fn an_interface_that_is_taken_inside_the_container_is_named() {
    let mut host = bare();
    let before = host.whole();
    let ns = Ns(host.present[Path::new("/run/netns/a")].inode as u32);
    host.kernel.add_link(ns, &IfName::new("eth0").unwrap());
    let text = error(host.add(&request("a", "public")));
    assert!(text.contains("eth0") && text.contains("/run/netns/a"), "{text}");
    assert_eq!(host.whole(), before);
}

#[test]
fn a_container_whose_namespace_goes_is_reaped_whenever_that_happens() {
    for disk in [Disk::Fast, Disk::Slow] {
        for steps in 0.. {
            let mut host = bare();
            host.vanish("b");
            let before = host.whole();
            host.appear("b");
            host.disk = disk;
            let ticket = host.ask(&request("b", "public"));
            let finished = !host.steps(steps);
            host.vanish("b");
            host.settle();
            assert!(host.added(ticket).is_some(), "{steps}");
            assert_eq!(host.whole(), before, "gone after step {steps}");
            assert_eq!(host.owner("public", "192.168.1.1"), None, "{steps}");
            assert!(!host.originated(A), "{steps}");
            if finished {
                break;
            }
        }
    }
}

#[test]
fn another_namespace_at_the_path_is_another_container() {
    let mut host = bare();
    let before = host.whole();
    host.add(&request("a", "public")).unwrap();
    host.vanish("a");
    host.make_namespace("a");
    host.present.insert("/run/netns/other".into(), NamespaceId { device: 4, inode: 1 });
    host.appear("a");
    host.settle();
    assert_eq!(host.whole(), before, "the former one is reaped");
    // The runtime asks for the new one before the watcher has seen it.
    host.add(&request("a", "public")).unwrap();
    let path = PathBuf::from("/run/netns/a");
    let former = host.present.remove(&path).unwrap();
    host.kernel.remove_ns(Ns(former.inode as u32));
    host.present.insert("/run/netns/another".into(), former);
    let id = host.make_namespace("a");
    assert_ne!(id, former);
    host.present.insert(path, id);
    let row = host.add(&request("a", "public")).unwrap();
    assert_eq!(row.state, "attached");
    assert_eq!(host.whole().attached, ["a"]);
    assert_eq!(host.stored.endpoints.values().next().unwrap().namespace, id);
}
