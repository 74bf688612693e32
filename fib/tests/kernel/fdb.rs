//! Forwarding entries of VXLAN devices and of bridges' ports.

use petiole_fib::model::{Command, Concern, Event, FdbKey, FdbTarget, Key, Mac, Ns, Object, Observed, Op};

use crate::{
    bridges::{as_port, bridge, port, veth, vxlan},
    lab::{Lab, addr, errno, ip, lab, name, run, run_until_done, shown, text},
};

const FLOOD: Mac = Mac([0; 6]);
const WEB: Mac = Mac([2, 0, 0, 0, 0, 9]);

fn vtep(link: &str, mac: Mac, to: &str) -> Object {
    Object::Fdb(FdbKey { link: name(link), mac, target: FdbTarget::Vtep(addr(to)) })
}

fn out_of(link: &str, mac: Mac) -> Object {
    Object::Fdb(FdbKey { link: name(link), mac, target: FdbTarget::Port })
}

fn shown_fdb(link: &str) -> String {
    let output = std::process::Command::new("bridge").args(["fdb", "show", "dev", link]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What `bridge fdb` shows of a link, without what the kernel put there by itself.
fn table(link: &str) -> Vec<String> {
    let text = shown_fdb(link);
    let by_hand = |line: &&str| line.contains(" dst ") || line.contains("static");
    let mut lines: Vec<String> = text.lines().filter(by_hand).map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

fn dumped(lab: &Lab) -> Vec<Object> {
    let all = lab.dump(Ns::HOST, Concern::Fdb).into_iter().map(|seen| match seen {
        Observed::Object { object, protocol: 0 } => object,
        other => panic!("{other:?}"),
    });
    let mut all: Vec<Object> = all.collect();
    all.sort_by_key(Object::key);
    all
}

/// What has been told of forwarding entries so far, and not been waited for.
fn news(lab: &Lab) -> Vec<String> {
    let about = |event: &Event| {
        matches!(
            event,
            Event::Object(Observed::Object { object: Object::Fdb(_), .. })
                | Event::Gone(Key::Fdb(_))
                | Event::Overrun(_)
        )
    };
    lab.settle().iter().filter(|event| about(event)).map(|event| format!("{event:?}")).collect()
}

fn vxlan_lab(body: impl FnOnce(&Lab) + Send + 'static) {
    lab(|lab| {
        ip("addr add 50.1.1.1/32 dev lo");
        ip("addr add 2001:db8::1/128 dev lo nodad");
        lab.must(vec![
            Op::Create(bridge("pb-red")),
            Op::Create(as_port(&vxlan("px-5", 5, "50.1.1.1"), Some(port("pb-red")))),
            Op::Create(vxlan("px-6", 6, "2001:db8::1")),
        ]);
        lab.settle();
        body(lab);
    });
}

/// A bridge with a container's veth as its port, and the container's namespace.
fn bridge_lab(body: impl FnOnce(&Lab, Ns) + Send + 'static) {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        let (inside, outside) = veth(web, "eth0", "pt-web");
        lab.must(vec![
            Op::Create(bridge("pb-red")),
            Op::Create(inside),
            Op::Create(as_port(&outside, Some(port("pb-red")))),
        ]);
        lab.settle();
        body(lab, web);
    });
}

#[test]
fn vteps_are_added_and_removed_one_by_one() {
    vxlan_lab(|lab| {
        let mut wanted = [
            vtep("px-5", FLOOD, "60.1.1.1"),
            vtep("px-5", FLOOD, "60.1.1.3"),
            vtep("px-5", WEB, "60.1.1.3"),
            vtep("px-6", FLOOD, "2001:db8::3"),
            vtep("px-6", FLOOD, "2001:db8::4"),
        ];
        lab.must(wanted.iter().cloned().map(Op::Create).collect());
        assert_eq!(
            table("px-5"),
            [
                "00:00:00:00:00:00 dst 60.1.1.1 self permanent",
                "00:00:00:00:00:00 dst 60.1.1.3 self permanent",
                "02:00:00:00:00:09 dst 60.1.1.3 self permanent",
            ]
        );
        wanted.sort_by_key(Object::key);
        assert_eq!(dumped(lab), wanted);
        lab.must(vec![
            Op::Change(vtep("px-5", FLOOD, "60.1.1.3")),
            Op::Delete(vtep("px-5", FLOOD, "60.1.1.1").key()),
            Op::Delete(vtep("px-6", FLOOD, "2001:db8::4").key()),
        ]);
        assert_eq!(table("px-5").len(), 2);
        assert_eq!(table("px-6"), ["00:00:00:00:00:00 dst 2001:db8::3 self permanent"]);
        let unknown = Op::Delete(vtep("px-5", Mac([2; 6]), "60.1.1.1").key());
        assert_eq!(errno(&lab.try_one(unknown)), libc::ENOENT);
        // of an address that leads elsewhere the kernel takes it as done
        lab.must(vec![Op::Delete(vtep("px-5", FLOOD, "60.1.1.1").key())]);
        assert_eq!(table("px-5").len(), 2);
        assert_eq!(errno(&lab.try_one(Op::Create(vtep("px-5", WEB, "60.1.1.7")))), libc::EEXIST);
        assert_eq!(news(lab), [""; 0], "what we do ourselves is no news");
    });
}

#[test]
fn a_ports_entry_is_static_and_its_address_cannot_be_drawn_away() {
    bridge_lab(|lab, _| {
        lab.must(vec![Op::Create(out_of("pt-web", WEB))]);
        assert_eq!(table("pt-web"), ["02:00:00:00:00:09 sticky master pb-red static"]);
        assert_eq!(dumped(lab), [out_of("pt-web", WEB)]);
        assert_eq!(errno(&lab.try_one(Op::Create(out_of("pt-web", WEB)))), libc::EEXIST);
        lab.must(vec![Op::Change(out_of("pt-web", WEB))]);
        // somebody on another port sends with that address, and then with one that is free
        ip("link add evil type veth peer name evilp");
        ip("link set evil up master pb-red");
        ip("netns add evil");
        ip("link set evilp netns evil");
        for address in ["02:00:00:00:00:09", "02:00:00:00:00:66"] {
            ip(&format!("-n evil link set evilp address {address}"));
            ip("-n evil link set evilp up");
            ip("-n evil addr add 10.9.9.9/24 dev evilp");
            // nobody answers
            let ping = "netns exec evil ping -q -b -c 1 -W 0.01 10.9.9.255".split(' ');
            std::process::Command::new("ip").args(ping).output().unwrap();
            ip("-n evil addr flush dev evilp");
        }
        assert!(shown_fdb("evil").contains("02:00:00:00:00:66"), "sent, and learned");
        assert_eq!(table("pt-web").len(), 1);
        assert_eq!(table("evil").len(), 0);
        lab.must(vec![Op::Delete(out_of("pt-web", WEB).key())]);
        assert_eq!(table("pt-web").len(), 0);
        assert_eq!(errno(&lab.try_one(Op::Delete(out_of("pt-web", WEB).key()))), libc::ENOENT);
        assert_eq!(news(lab), [""; 0]);
    });
}

#[test]
fn a_learned_entry_gives_way_and_nothing_else_does() {
    bridge_lab(|lab, _| {
        // not before the port forwards
        run_until_done("bridge fdb add 02:00:00:00:00:09 dev pt-web master dynamic");
        lab.must(vec![Op::Create(out_of("pt-web", WEB))]);
        assert_eq!(table("pt-web"), ["02:00:00:00:00:09 sticky master pb-red static"]);

        ip("link add other type veth peer name otherp");
        ip("link set other master pb-red");
        run("bridge fdb add 02:00:00:00:00:0a dev other master static");
        let taken = out_of("pt-web", Mac([2, 0, 0, 0, 0, 10]));
        let result = lab.try_one(Op::Create(taken.clone()));
        assert_eq!(
            (errno(&result), text(&result)),
            (libc::EEXIST, "a static entry of 02:00:00:00:00:0a leads out of other")
        );
        assert_eq!(errno(&lab.try_one(Op::Delete(taken.key()))), libc::ENOENT);
        assert_eq!(errno(&lab.try_one(Op::Change(taken))), libc::ENOENT);
        let own = out_of("pt-web", Mac([2, 2, 0xff, 0xff, 0xff, 0xff]));
        let result = lab.try_one(Op::Create(own.clone()));
        assert_eq!(
            (errno(&result), text(&result)),
            (libc::EEXIST, "02:02:ff:ff:ff:ff is the address of pb-red itself")
        );
        assert_eq!(errno(&lab.try_one(Op::Delete(own.key()))), libc::ENOENT);
    });
}

#[test]
fn entries_that_others_make_and_take_are_told_learned_ones_are_not() {
    vxlan_lab(|lab| {
        let mine = vtep("px-5", FLOOD, "60.1.1.1");
        lab.must(vec![Op::Create(mine.clone())]);
        run("bridge fdb del 00:00:00:00:00:00 dev px-5 dst 60.1.1.1");
        lab.wait_gone(&mine.key());
        run("bridge fdb append 00:00:00:00:00:00 dev px-5 dst 60.1.1.9");
        lab.wait_object(&vtep("px-5", FLOOD, "60.1.1.9"), 0);

        ip("link add other type veth peer name otherp");
        ip("link set other up master pb-red");
        ip("link set otherp up");
        // not before the port forwards
        run_until_done("bridge fdb replace 02:00:00:00:00:0a dev other master dynamic");
        lab.settle();
        for line in [
            "bridge fdb replace 02:00:00:00:00:0a dev other master dynamic",
            "bridge fdb del 02:00:00:00:00:0a dev other master",
            "bridge fdb add 02:00:00:00:00:0b dev px-5 dst 60.1.1.9 dynamic",
            "bridge fdb del 02:00:00:00:00:0b dev px-5 dst 60.1.1.9",
            "bridge fdb add 02:00:00:00:00:0c dev px-5 dst 60.1.1.9 extern_learn",
            "bridge fdb add 33:33:00:00:00:99 dev other self permanent",
        ] {
            run(line);
        }
        run("bridge fdb add 02:00:00:00:00:0d dev other master static");
        lab.wait_object(&out_of("other", Mac([2, 0, 0, 0, 0, 13])), 0);
        // ... and what another port of our bridge had of that address may be gone
        lab.wait(|event| matches!(event, Event::Overrun(Concern::Fdb)).then_some(()));
        assert_eq!(news(lab), [""; 0]);
        ip("link set other nomaster");
        lab.wait_gone(&out_of("other", Mac([2, 0, 0, 0, 0, 13])).key());
        ip("link del px-5");
        lab.wait_gone(&vtep("px-5", FLOOD, "60.1.1.9").key());
    });
}

#[test]
fn a_dump_shows_lasting_entries_and_no_learned_ones() {
    vxlan_lab(|lab| {
        ip("link add other type veth peer name otherp");
        ip("link set other up master pb-red");
        ip("link set otherp up");
        // not before the port forwards
        run_until_done("bridge fdb replace 02:00:00:00:00:0a dev other master dynamic");
        for line in [
            "bridge fdb replace 02:00:00:00:00:0a dev other master dynamic",
            "bridge fdb add 02:00:00:00:00:0b dev px-5 dst 60.1.1.9 dynamic",
            "bridge fdb add 02:00:00:00:00:0c dev px-5 dst 60.1.1.9 extern_learn",
            "bridge fdb add 02:00:00:00:00:0d dev other master static",
            "bridge fdb add 02:00:00:00:00:0e dev px-5 dst 60.1.1.9 port 1234",
        ] {
            run(line);
        }
        assert_eq!(dumped(lab), [out_of("other", Mac([2, 0, 0, 0, 0, 13]))]);
    });
}

#[test]
fn tables_of_foreign_devices_are_not_touched() {
    vxlan_lab(|lab| {
        ip("link add flannel.1 type vxlan id 77 local 50.1.1.1 dstport 4789 nolearning");
        ip("link add br0 type bridge");
        ip("link add other type veth peer name otherp");
        ip("link set other master br0");
        run("bridge fdb append 00:00:00:00:00:00 dev flannel.1 dst 60.1.1.9");
        run("bridge fdb add 02:00:00:00:00:0d dev other master static");
        let looks = || [table("flannel.1"), table("other"), table("br0")];
        let links = || [shown("link show flannel.1"), shown("link show br0"), shown("link show other")];
        let before = (looks(), links());
        lab.settle();
        let on_foreign = [
            vtep("flannel.1", FLOOD, "60.1.1.1"),
            vtep("flannel.1", FLOOD, "60.1.1.9"),
            out_of("other", Mac([2, 0, 0, 0, 0, 13])),
            out_of("other", WEB),
        ];
        for object in on_foreign {
            for op in [Op::Create(object.clone()), Op::Change(object.clone()), Op::Delete(object.key())] {
                assert_eq!(errno(&lab.try_one(op.clone())), libc::EPERM, "{op:?}");
            }
        }
        // a link of ours that somebody has put into a bridge of his
        ip("link set px-6 master br0");
        lab.settle();
        assert_eq!(errno(&lab.try_one(Op::Create(out_of("px-6", WEB)))), libc::EPERM);
        ip("link set px-6 nomaster");
        lab.settle();
        let result = lab.try_one(Op::Create(out_of("px-6", WEB)));
        assert_eq!((errno(&result), text(&result)), (libc::EOPNOTSUPP, "px-6 is no port of a bridge"));
        let result = lab.try_one(Op::Create(vtep("pb-red", FLOOD, "60.1.1.1")));
        assert_eq!((errno(&result), text(&result)), (libc::EOPNOTSUPP, "pb-red is no VXLAN device"));
        lab.must(vec![Op::Create(vtep("px-5", FLOOD, "60.1.1.1"))]);
        lab.must(vec![Op::Delete(vtep("px-5", FLOOD, "60.1.1.1").key())]);
        assert_eq!((looks(), links()), before);
    });
}

#[test]
fn of_many_entries_in_one_go_each_has_its_own_outcome() {
    vxlan_lab(|lab| {
        let to = |n: u16| {
            let [a, b] = n.to_be_bytes();
            vtep("px-5", Mac([2, 0, 0, 0, a, b]), &format!("60.1.{a}.{b}"))
        };
        lab.must((0..1000).map(|n| Op::Create(to(n))).collect());
        assert_eq!(dumped(lab).len(), 1000);
        let results = lab.apply((995..1005).map(|n| Op::Delete(to(n).key())).collect());
        let errors: Vec<i32> = results.iter().map(|(_, result)| errno(result)).collect();
        assert_eq!(errors, [[0; 5], [libc::ENOENT; 5]].concat());
        assert_eq!(dumped(lab).len(), 995);
        assert_eq!(news(lab), [""; 0]);
    });
}

#[test]
fn a_containers_table_is_nobodys_business() {
    bridge_lab(|lab, web| {
        lab.send(Command::Dump(web, Concern::Fdb));
        assert_eq!(lab.dump(web, Concern::Fdb).len(), 0);
    });
}
