//! The daemon killed after every step and every kernel operation of what somebody asks for: either all of it is there
//! afterwards, or nothing. And what a stop, an orderly one, leaves.

use petiole_fib::model::Key;

use super::*;

const A: &str = "192.168.1.1/32";

fn published() -> EndpointRequest {
    EndpointRequest { publish: vec!["8080:80/tcp".into()], ..request("a", "public") }
}

fn bare() -> Host {
    let mut host = Host::start(&config(BARE));
    host.appear("a");
    host.settle();
    host
}

/// Where the power fails: after so many steps, or so many kernel operations.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Step(usize),
    Operation(usize),
}

/// Does what `act` asks for up to the cut; whether it was cut short.
fn until(host: &mut Host, cut: Cut, act: impl FnOnce(&mut Host) -> Ticket) -> (Ticket, bool) {
    match cut {
        Cut::Step(n) => {
            let ticket = act(host);
            (ticket, host.steps(n))
        }
        Cut::Operation(n) => {
            host.operations_left = Some(n);
            let ticket = act(host);
            host.run();
            (ticket, host.dead)
        }
    }
}

/// Every cut there is, with a disk that is fast and one that is slow.
fn every_cut(mut try_one: impl FnMut(Disk, Cut) -> bool) {
    for disk in [Disk::Fast, Disk::Slow] {
        let cuts: [fn(usize) -> Cut; 2] = [Cut::Step, Cut::Operation];
        for cut in cuts {
            let mut tried = 0;
            while try_one(disk, cut(tried)) {
                tried += 1;
            }
            assert!(tried > 10, "there was something to cut");
        }
    }
}

#[test]
fn an_addition_cut_short_is_whole_or_not_there_and_one_that_was_answered_is_never_lost() {
    let before = bare().whole();
    let mut host = bare();
    host.add(&published()).unwrap();
    let whole = host.whole();
    every_cut(|disk, cut| {
        let mut host = bare();
        host.disk = disk;
        let (ticket, short) = until(&mut host, cut, |host| host.ask(&published()));
        let answered = host.added(ticket).is_some();
        let again = host.again(&config(BARE));
        if again.stored.endpoints.is_empty() {
            assert!(!answered, "an answered endpoint is lost: {disk:?} {cut:?}");
            assert_eq!(again.whole(), before, "{disk:?} {cut:?}");
            assert_eq!(again.owner("public", "192.168.1.1"), None);
            assert!(!again.originated(A));
        } else {
            assert_eq!(again.whole(), whole, "{disk:?} {cut:?}");
            assert_eq!(again.owner("public", "192.168.1.1").as_deref(), Some("a"));
            assert!(again.originated(A));
        }
        short
    });
}

#[test]
fn a_removal_cut_short_is_done_or_was_never_asked_for_and_one_that_was_answered_stays_done() {
    let before = bare().whole();
    let mut host = bare();
    host.add(&published()).unwrap();
    let whole = host.whole();
    every_cut(|disk, cut| {
        let mut host = bare();
        host.add(&published()).unwrap();
        host.disk = disk;
        let (ticket, short) = until(&mut host, cut, |host| host.ask_to_remove("a"));
        let answered = host.removed(ticket).is_some();
        let mut again = host.again(&config(BARE));
        if again.stored.endpoints.is_empty() {
            assert_eq!(again.whole(), before, "{disk:?} {cut:?}");
            assert!(!again.originated(A));
            again.appear("b");
            let next = again.add(&request("b", "public")).unwrap();
            assert_ne!(next.addresses[0].to_string(), "192.168.1.1", "the address rests: {disk:?} {cut:?}");
        } else {
            assert!(!answered, "a removed endpoint is back: {disk:?} {cut:?}");
            assert_eq!(again.whole(), whole, "{disk:?} {cut:?}");
            assert!(again.originated(A));
        }
        short
    });
}

#[test]
fn a_restart_keeps_endpoints_as_they_are_and_touches_nothing() {
    let mut host = bare();
    let row = host.add(&published()).unwrap();
    let (whole, operations) = (host.whole(), host.kernel.operations());
    let mut again = host.again(&config(BARE));
    assert_eq!(again.whole(), whole);
    assert_eq!(again.kernel.operations(), operations);
    assert_eq!(again.row("a"), row);
    assert_eq!(again.add(&published()), Ok(row), "the retry of a runtime that was not told");
    assert_eq!(again.kernel.operations(), operations);
}

#[test]
fn what_went_while_the_daemon_was_away_is_reaped() {
    let mut host = bare();
    host.vanish("a");
    let before = host.whole();
    host.appear("a");
    host.add(&published()).unwrap();
    // Nobody watches.
    let path = PathBuf::from("/run/netns/a");
    let id = host.present.remove(&path).unwrap();
    host.kernel.remove_ns(Ns(id.inode as u32));
    let again = host.again(&config(BARE));
    assert_eq!(again.whole(), before);
    assert_eq!(again.owner("public", "192.168.1.1"), None);
}

#[test]
fn another_namespace_that_came_while_the_daemon_was_away_is_not_mistaken_for_the_container() {
    let before = bare().whole();
    let mut host = bare();
    host.add(&published()).unwrap();
    let former = host.present.remove(Path::new("/run/netns/a")).unwrap();
    host.kernel.remove_ns(Ns(former.inode as u32));
    host.present.insert("/run/netns/elsewhere".into(), former);
    let other = host.make_namespace("a");
    host.present.insert("/run/netns/a".into(), other);
    let again = host.again(&config(BARE));
    assert_eq!(again.whole(), before);
}

#[test]
fn a_reboot_reaps_everything_that_was_added_at_run_time() {
    let mut host = bare();
    host.add(&published()).unwrap();
    let fresh = Host::start(&config(BARE)).whole();
    assert_eq!(host.rebooted(&config(BARE)).whole(), fresh);
}

#[test]
fn an_endpoint_that_the_file_has_no_place_for_any_more_waits_in_the_journal_for_one_that_has() {
    let mut host = bare();
    host.add(&published()).unwrap();
    let whole = host.whole();
    let renamed = BARE.replace("\"public\"", "\"private\"");
    let mut again = host.again(&config(&renamed));
    assert!(!again.originated(A));
    assert!(!again.text().contains("pt-a"));
    assert_eq!(again.stored.endpoints, whole.endpoints);
    again.reload(&config(BARE)).unwrap();
    assert_eq!(again.whole(), whole, "it is back");
    // Also by hand it can go.
    let mut again = again.again(&config(&renamed));
    again.remove("a").unwrap();
    assert!(again.stored.endpoints.is_empty());
}

#[test]
fn a_container_whose_port_a_process_has_taken_meanwhile_waits_with_its_address_until_it_is_free() {
    let mut host = bare();
    host.appear("b");
    host.add(&published()).unwrap();
    let whole = host.whole();
    let blocked = || BTreeMap::from([("a".parse().unwrap(), "port 8080/tcp is in use".to_owned())]);
    let mut again = host.again_but(&config(BARE), |core| core.block(blocked()));
    let row = again.row("a");
    assert_eq!(row.state, "failed");
    assert!(row.error.unwrap().contains("8080"));
    assert!(!again.originated(A));
    assert!(!again.text().contains("pt-a"));
    // Nobody else is given what it has.
    assert_eq!(again.add(&request("b", "public")).unwrap().addresses[0].to_string(), "192.168.1.2");
    again.remove("b").unwrap();
    assert_eq!(again.core.unattached_ports().len(), 1, "it is asked for at each reload");
    again.core.block(blocked());
    again.settle();
    assert_eq!(again.state("a"), "failed");
    again.core.block(BTreeMap::new());
    again.settle();
    assert_eq!(again.whole(), whole);
    assert!(again.originated(A));
}

#[test]
fn a_stop_that_flushes_leaves_nothing_of_ours_all_of_others_and_the_journal() {
    let mut kernel = machine();
    let (docker, mine) = (IfName::new("docker0").unwrap(), IfName::new("eth7").unwrap());
    kernel.add_link(Ns::HOST, &docker);
    kernel.add_address(Ns::HOST, &docker, "172.17.0.1/16".parse().unwrap(), 0);
    kernel.add_link(Ns::HOST, &mine);
    let file = format!("{ONE}{}", networks::BRIDGED);
    let now = Instant::now();
    let others = kernel.text_of_others(&Owner::default());
    let nothing = (BTreeMap::new(), Stored::default());
    let mut host = Host::on(kernel, nothing.0, nothing.1, &config(&file), "one boot".into(), (now, now));
    host.settle();
    for name in ["web1", "a", "b"] {
        host.appear(name);
    }
    host.add(&published()).unwrap();
    host.add(&request("b", "vx")).unwrap();
    let whole = host.whole();

    host.core.stop(host.now);
    host.run();
    host.core.clear(host.now);
    host.run();
    assert!(host.core.is_cleared(host.now));
    assert_eq!(host.text(), "");
    let left: Vec<Key> = host.kernel.keys_of(&Owner::default());
    assert_eq!(left, []);
    assert_eq!(host.stored.endpoints, whole.endpoints);
    for line in others.lines().filter(|line| !line.contains("\"eth1\"")) {
        assert!(host.kernel.text_of_others(&Owner::default()).contains(line), "{line}");
    }

    let again = host.again(&config(&file));
    assert_eq!(again.whole(), whole, "everything is back");
}

#[test]
fn a_thousand_containers_come_and_go_each_as_cheaply_as_the_first_and_leave_nothing() {
    let mut host =
        Host::start(&config(&BARE.replace("subnet = \"192.168.1.0/24\"", "subnet = \"192.168.0.0/21\"")));
    let before = host.whole();
    let mut costs = BTreeSet::new();
    for n in 0..1000 {
        let name = format!("c{n}");
        host.appear(&name);
        let operations = host.kernel.operations();
        host.add(&request(&name, "public")).unwrap();
        costs.insert(host.kernel.operations() - operations);
    }
    assert_eq!(costs.len(), 1, "operations for each addition: {costs:?}");
    costs.clear();
    for n in 0..1000 {
        let operations = host.kernel.operations();
        host.remove(&format!("c{n}")).unwrap();
        costs.insert(host.kernel.operations() - operations);
    }
    assert_eq!(costs.len(), 1, "operations for each removal: {costs:?}");
    assert_eq!(host.whole(), before);
    assert!((1..=255).all(|n| host.owner("public", &format!("192.168.1.{n}")).is_none()));
    assert_eq!(host.stored.releases.len(), 2000);
}
