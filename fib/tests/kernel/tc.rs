//! Traffic control: token buckets, and redirections of what comes in, with `tc` as oracle.

use petiole_fib::{
    model::{Concern, Event, IfName, LinkKind, Ns, Object, Observed, Op, Qdisc, TokenBucket},
    owner::Owner,
    plan::Scope,
};
use serde_json::Value;

use crate::{
    bridges::{ours, veth},
    lab::{Lab, errno, ip, lab, name, run, shown, text},
    tracker::Driver,
};

/// Octets per second of 500Kbps and of 9Mbps.
pub(crate) const SLOW: u64 = 64_000;
const FAST: u64 = 1_179_648;
pub(crate) const BURST: u32 = 80 << 10;

fn bucket(on: &str, rate: u64) -> Object {
    Object::Qdisc(name(on), Qdisc::Bucket(TokenBucket::new(rate, BURST, 1450)))
}

fn ifb(on: &str) -> Object {
    ours(on, LinkKind::Ifb).0
}

fn redirect(from: &str, to: &str) -> Object {
    Object::Redirect(name(from), Some(name(to)))
}

/// The limits of a container behind `pt-web`, in both directions.
pub(crate) fn limits(rate: u64) -> Vec<Object> {
    vec![bucket("pt-web", rate), ifb("pi-web"), bucket("pi-web", rate), redirect("pt-web", "pi-web")]
}

/// What `tc -j` shows.
pub(crate) fn tc(arguments: &str) -> Vec<Value> {
    let words = ["-j", "-d"].into_iter().chain(arguments.split_whitespace());
    let output = std::process::Command::new("tc").args(words).output().unwrap();
    assert!(output.status.success(), "tc {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).unwrap() }
}

/// Kind and handle of a link's root qdisc, without the kernel's own; how fast it sends if that is a bucket.
pub(crate) fn root(link: &str) -> Option<(String, String, Option<u64>)> {
    let all = tc(&format!("qdisc show dev {link}"));
    let seen = all.iter().find(|seen| seen["root"] == true && seen["handle"] != "0:")?;
    let word = |key: &str| seen[key].as_str().unwrap().to_owned();
    Some((word("kind"), word("handle"), seen["options"]["rate"].as_u64()))
}

fn ours_at(link: &str) -> Option<u64> {
    root(link).filter(|(kind, handle, _)| kind == "tbf" && handle == "7065:").and_then(|(_, _, rate)| rate)
}

/// Where what comes in by a link is redirected to.
fn redirected(link: &str) -> Vec<String> {
    let filters = tc(&format!("filter show dev {link} ingress"));
    let to = |f: &Value| Some(f["options"]["actions"][0]["to_dev"].as_str()?.to_owned());
    filters.iter().filter_map(to).collect()
}

fn before_the_stack(link: &str) -> Vec<Value> {
    let all = tc(&format!("qdisc show dev {link}"));
    all.into_iter().filter(|seen| seen["parent"] == "ffff:fff1").map(|seen| seen["kind"].clone()).collect()
}

pub(crate) fn dumped(lab: &Lab) -> Vec<Object> {
    let all = lab.dump(Ns::HOST, Concern::Tc).into_iter().map(|seen| match seen {
        Observed::Object { object, protocol: 0 } => object,
        other => panic!("{other:?}"),
    });
    let mut all: Vec<Object> = all.collect();
    all.sort_by_key(Object::key);
    all
}

/// How often it has been told that something happened, and has not been waited for.
fn news(lab: &Lab) -> usize {
    lab.settle().iter().filter(|event| matches!(event, Event::Overrun(Concern::Tc))).count()
}

fn wait_for_news(lab: &Lab) {
    lab.wait(|event| matches!(event, Event::Overrun(Concern::Tc)).then_some(()));
    lab.settle();
}

/// A container's veth, without limits, and its namespace.
fn container_lab(body: impl FnOnce(&Lab, Ns) + Send + 'static) {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        let (inside, outside) = veth(web, "eth0", "pt-web");
        lab.must(vec![Op::Create(inside), Op::Change(outside)]);
        lab.settle();
        body(lab, web);
    });
}

fn create(objects: &[Object]) -> Vec<Op> {
    objects.iter().cloned().map(Op::Create).collect()
}

#[test]
fn limits_are_made_changed_in_place_and_removed_without_a_trace() {
    container_lab(|lab, _| {
        let look =
            || (tc("qdisc show dev pt-web"), tc("filter show dev pt-web ingress"), shown("link show").len());
        let before = look();
        let mut wanted = limits(SLOW);
        lab.must(create(&wanted));
        let seen = &tc("qdisc show dev pt-web")[0];
        assert_eq!((&seen["kind"], &seen["handle"]), (&"tbf".into(), &"7065:".into()));
        let options = &seen["options"];
        // iproute2 writes the burst as a text
        assert_eq!((&options["rate"], &options["burst"]), (&SLOW.into(), &"80Kb/1".into()));
        assert_eq!(ours_at("pi-web"), Some(SLOW));
        assert_eq!(redirected("pt-web"), ["pi-web"]);
        assert_eq!(before_the_stack("pt-web"), ["clsact"]);
        wanted.retain(|object| !matches!(object, Object::Link(..)));
        wanted.sort_by_key(Object::key);
        assert_eq!(dumped(lab), wanted);

        lab.must(vec![Op::Change(bucket("pt-web", FAST)), Op::Change(bucket("pi-web", FAST))]);
        assert_eq!((ours_at("pt-web"), ours_at("pi-web")), (Some(FAST), Some(FAST)));
        lab.must(vec![Op::Change(redirect("pt-web", "pi-web"))]);
        assert_eq!(redirected("pt-web"), ["pi-web"]);
        for object in [bucket("pt-web", FAST), redirect("pt-web", "pi-web"), ifb("pi-web")] {
            assert_eq!(errno(&lab.try_one(Op::Create(object))), libc::EEXIST);
        }

        let gone = [redirect("pt-web", "pi-web"), bucket("pi-web", 1), ifb("pi-web"), bucket("pt-web", 1)];
        lab.must(gone.iter().map(|object| Op::Delete(object.key())).collect());
        assert_eq!(look(), before);
        for object in [bucket("pt-web", SLOW), redirect("pt-web", "pi-web")] {
            assert_eq!(errno(&lab.try_one(Op::Delete(object.key()))), libc::ENOENT);
        }
        assert_eq!(errno(&lab.try_one(Op::Change(bucket("pt-web", SLOW)))), libc::ENOENT);
        assert_eq!(news(lab), 0, "what we do ourselves is no news");
    });
}

#[test]
fn every_figure_is_shown_as_it_was_asked_for() {
    container_lab(|lab, _| {
        let rates = [1, 1000, SLOW, FAST, 13_107_200, 134_217_728, u64::from(u32::MAX), 1 << 36];
        let mut verb: fn(Object) -> Op = Op::Create;
        for (rate, burst, mtu) in
            rates.into_iter().flat_map(|rate| [(rate, 0, 1450), (rate, BURST, 9000), (rate, u32::MAX, 68)])
        {
            let wanted = Object::Qdisc(name("pt-web"), Qdisc::Bucket(TokenBucket::new(rate, burst, mtu)));
            lab.must(vec![verb(wanted.clone())]);
            verb = Op::Change;
            assert_eq!(dumped(lab), [wanted]);
        }
    });
}

#[test]
fn nothing_is_redirected_to_what_would_swallow_it() {
    container_lab(|lab, _| {
        let Object::Link(ns, ifb_name, link) = ifb("pi-web") else { unreachable!() };
        let down = Object::Link(ns, ifb_name, petiole_fib::model::Link { up: false, ..link });
        lab.must(vec![Op::Create(down)]);
        let results = lab.try_one(Op::Create(redirect("pt-web", "pi-web")));
        assert_eq!((errno(&results), text(&results)), (libc::ENETDOWN, "pi-web is down"));
        ip("link add dummy-ifb type ifb");
        ip("link set dummy-ifb up");
        lab.settle();
        for (to, expected) in [("dummy-ifb", libc::EPERM), ("pt-web", libc::EINVAL), ("nobody", libc::ENODEV)]
        {
            assert_eq!(errno(&lab.try_one(Op::Create(redirect("pt-web", to)))), expected, "{to}");
        }
        assert_eq!(before_the_stack("pt-web").len(), 0);
    });
}

#[test]
fn others_doings_are_told_on_links_of_ours_and_on_no_others() {
    container_lab(|lab, _| {
        lab.must(create(&limits(SLOW)));
        ip("link add other type veth peer name otherp");
        run("tc qdisc add dev other root handle 7065: tbf rate 1mbit burst 10k limit 10k");
        run("tc qdisc add dev other clsact");
        assert_eq!(news(lab), 0);
        for done in [
            "tc qdisc change dev pt-web handle 7065: root tbf rate 1mbit burst 10k limit 10k",
            "tc qdisc replace dev pt-web root pfifo",
            "tc qdisc del dev pt-web root",
            "tc filter del dev pt-web ingress pref 28773",
            "tc filter add dev pt-web ingress pref 7 u32 match u32 0 0 flowid 1:1",
            "tc qdisc del dev pt-web clsact",
        ] {
            run(done);
            wait_for_news(lab);
        }
        assert_eq!(dumped(lab), [bucket("pi-web", SLOW)]);
        // nothing is told of what goes with a link
        ip("link del pi-web");
        assert_eq!(news(lab), 0);
        assert_eq!(dumped(lab), []);
    });
}

#[test]
fn a_redirection_outlives_its_aim_and_then_leads_nowhere() {
    container_lab(|lab, _| {
        lab.must(create(&limits(SLOW)));
        lab.settle();
        ip("link del pi-web");
        assert_eq!(news(lab), 0, "nothing is said");
        let nowhere = Object::Redirect(name("pt-web"), None::<IfName>);
        assert_eq!(dumped(lab), [bucket("pt-web", SLOW), nowhere]);
        lab.must(vec![Op::Create(ifb("pi-web")), Op::Change(redirect("pt-web", "pi-web"))]);
        assert_eq!(redirected("pt-web"), ["pi-web"]);
    });
}

#[test]
fn foreign_qdiscs_and_filters_stay_on_foreign_links_and_beside_ours() {
    container_lab(|lab, _| {
        ip("link add eth1 type veth peer name eth1p");
        ip("link add ifb9 type ifb");
        for line in [
            "tc qdisc add dev eth1 root handle 7065: tbf rate 1mbit burst 10k limit 10k",
            "tc qdisc add dev eth1 clsact",
            "tc filter add dev eth1 ingress pref 28773 u32 match u32 0 0 action mirred egress redirect dev ifb9",
        ] {
            run(line);
        }
        let look = || (tc("qdisc show dev eth1"), tc("filter show dev eth1 ingress"));
        let before = look();
        lab.settle();
        lab.must(vec![Op::Create(ifb("pi-web"))]);
        for object in [bucket("eth1", SLOW), redirect("eth1", "pi-web")] {
            for op in [Op::Create(object.clone()), Op::Change(object.clone()), Op::Delete(object.key())] {
                assert_eq!(errno(&lab.try_one(op.clone())), libc::EPERM, "{op:?}");
            }
        }
        assert_eq!(look(), before);
        assert_eq!(dumped(lab), []);

        // On a link of ours, somebody else's root qdisc is not ours to delete, but gives way.
        run("tc qdisc add dev pt-web root handle 1: pfifo");
        let foreign = Object::Qdisc(name("pt-web"), Qdisc::Foreign("pfifo".into()));
        assert_eq!(dumped(lab), std::slice::from_ref(&foreign));
        assert_eq!(errno(&lab.try_one(Op::Delete(foreign.key()))), libc::EPERM);
        assert_eq!(errno(&lab.try_one(Op::Create(bucket("pt-web", SLOW)))), libc::EEXIST);
        lab.must(vec![Op::Change(bucket("pt-web", SLOW))]);
        assert_eq!(ours_at("pt-web"), Some(SLOW));
        // Another kind under our handle: the kernel knows no way from one to the other.
        run("tc qdisc del dev pt-web root");
        run("tc qdisc add dev pt-web root handle 7065: pfifo");
        lab.must(vec![Op::Change(bucket("pt-web", SLOW))]);
        assert_eq!(ours_at("pt-web"), Some(SLOW));

        // Filters of others stay where they are, and so does what they hang on.
        run("tc qdisc add dev pt-web clsact");
        run("tc filter add dev pt-web egress pref 7 u32 match u32 0 0 flowid 1:1");
        lab.must(vec![Op::Create(bucket("pi-web", SLOW)), Op::Create(redirect("pt-web", "pi-web"))]);
        lab.must(vec![Op::Delete(redirect("pt-web", "pi-web").key())]);
        assert_eq!(before_the_stack("pt-web"), ["clsact"]);
        run("tc qdisc del dev pt-web clsact");
        run("tc qdisc add dev pt-web ingress");
        run("tc filter add dev pt-web ingress pref 7 u32 match u32 0 0 flowid 1:1");
        lab.must(vec![Op::Create(redirect("pt-web", "pi-web"))]);
        assert_eq!(redirected("pt-web"), ["pi-web"]);
        lab.must(vec![Op::Delete(redirect("pt-web", "pi-web").key())]);
        assert_eq!(before_the_stack("pt-web"), ["ingress"]);
        assert!(!tc("filter show dev pt-web ingress").is_empty());
    });
}

/// What of the limits is not there.
fn missing(rate: u64) -> Vec<&'static str> {
    let up = |link: &str| {
        shown("link show")
            .iter()
            .any(|seen| seen["ifname"] == link && seen["flags"].to_string().contains("\"UP\""))
    };
    let there = |link: &str| shown("link show").iter().any(|seen| seen["ifname"] == link);
    let all = [
        ("bucket of the container's link", there("pt-web") && ours_at("pt-web") == Some(rate)),
        ("link to redirect to", up("pi-web")),
        ("bucket of that link", there("pi-web") && ours_at("pi-web") == Some(rate)),
        ("redirection", there("pt-web") && redirected("pt-web") == ["pi-web"]),
    ];
    all.into_iter().filter(|(_, is_there)| !is_there).map(|(what, _)| what).collect()
}

fn want(driver: &Driver<'_>, objects: Vec<Object>) {
    for object in objects {
        driver.fib.borrow_mut().want(object);
    }
}

#[test]
fn limits_come_survive_what_is_done_to_them_are_adopted_and_go() {
    lab(|lab| {
        ip("link add ifb9 type ifb");
        ip("link add eth1 type veth peer name eth1p");
        run("tc qdisc add dev eth1 root handle 7065: tbf rate 1mbit burst 10k limit 10k");
        let web = lab.namespace(1, "web");
        let driver = Driver::new(lab);
        let (inside, outside) = veth(web, "eth0", "pt-web");
        driver.fib.borrow_mut().watch_ns(web);
        want(&driver, limits(SLOW));
        want(&driver, vec![outside, inside]);
        driver.settle();
        assert_eq!(missing(SLOW), [""; 0]);
        let operations = || driver.fib.borrow().counters().operations;
        let before = operations();
        driver.settle();
        assert_eq!(operations(), before, "at rest nothing is done");
        want(&driver, limits(FAST));
        driver.settle();
        assert_eq!((operations(), missing(FAST)), (before + 2, vec![]));
        assert_eq!(driver.fib.borrow().counters().failures, 0);

        for done in [
            "tc qdisc del dev pt-web root",
            "tc qdisc del dev pi-web root",
            "tc qdisc replace dev pt-web root handle 1: pfifo",
            "tc qdisc change dev pt-web handle 7065: root tbf rate 1mbit burst 10k limit 10k",
            "tc filter del dev pt-web ingress",
            "tc qdisc del dev pt-web clsact",
            "ip link set pi-web down",
            "ip link del pi-web",
            "ip link del pt-web",
            "ip -n web link del eth0",
        ] {
            run(done);
            driver.until(|_| missing(FAST).is_empty());
            driver.settle();
        }
        assert_eq!(driver.fib.borrow().counters().failures, 0);

        let second = Driver::new(lab);
        second.fib.borrow_mut().watch_ns(web);
        want(&second, limits(FAST));
        second.settle();
        assert_eq!(second.fib.borrow().counters().operations, 0);
        for object in limits(FAST) {
            second.fib.borrow_mut().unwant(&object.key());
        }
        second.settle();
        assert_eq!(missing(FAST).len(), 4);
        assert_eq!(tc("qdisc show dev pt-web")[0]["kind"], "noqueue");

        let third = Driver::new(lab);
        third.fib.borrow_mut().watch_ns(web);
        want(&third, limits(FAST));
        third.settle();
        let last = Driver::new(lab);
        last.fib.borrow_mut().watch_ns(web);
        last.settle();
        assert_eq!((last.fib.borrow().counters().operations, missing(FAST)), (0, vec![]));
        last.fib.borrow_mut().sweep(Scope::Local);
        last.settle();
        assert_eq!(last.fib.borrow().counters().failures, 0);
        let links: Vec<_> = shown("link show").iter().map(|link| link["ifname"].clone()).collect();
        assert_eq!(links, ["lo", "ifb9", "eth1p", "eth1"]);
        assert_eq!(root("eth1").unwrap().1, "7065:");
        assert_eq!(Owner::QDISC, 0x7065);
    });
}
