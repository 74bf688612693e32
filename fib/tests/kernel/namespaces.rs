//! Containers' namespaces: checked, never held, lost without harm.

use petiole_fib::model::{Command, Concern, Event, Link, LinkKind, Ns, Object, Op};

use crate::lab::{Lab, errno, foreign, ip, lab, name, net, shown, text};

fn lost(lab: &Lab, wanted: Ns) -> String {
    lab.wait(|event| match event {
        Event::NamespaceLost(ns, why) if *ns == wanted => Some(why.clone()),
        _ => None,
    })
}

fn veth(ns: Ns, outside: &str) -> Op {
    let kind = LinkKind::Veth { peer_ns: Ns::HOST, peer: name(outside) };
    Op::Create(Object::Link(ns, name("eth0"), Link { kind, ..foreign(true) }))
}

fn address(ns: Ns) -> Op {
    Op::Create(Object::Address(ns, name("eth0"), net("192.168.1.1/32")))
}

#[test]
fn a_namespace_is_not_kept_alive() {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        lab.must(vec![veth(web, "vweb"), address(web)]);
        lab.dump(web, Concern::Links);
        lab.send(Command::ReadSysctls(web, vec!["net/ipv4/ip_forward".into()]));
        lab.settle();
        ip("netns del web");
        // The other end of its veth goes only when the last holder of the namespace is gone.
        lab.wait_gone(&petiole_fib::model::Key::Link(Ns::HOST, name("vweb")));
    });
}

#[test]
fn a_namespace_deleted_meanwhile_fails_its_operations_and_only_those() {
    lab(|lab| {
        let (web, other) = (lab.namespace(1, "web"), lab.namespace(2, "other"));
        lab.settle();
        ip("netns del web");
        let results = lab.apply(vec![veth(web, "vweb"), veth(other, "vother"), address(web), address(other)]);
        let errors: Vec<_> = results.iter().map(|(_, result)| errno(result)).collect();
        assert_eq!(errors, [libc::ENOENT, 0, libc::ENOENT, 0]);
        let why = lost(lab, web);
        assert!(why.contains("/run/netns/web: No such file or directory"), "{why}");
        // once is enough
        lab.apply(vec![address(web)]);
        lab.send(Command::Dump(web, Concern::Links));
        assert!(!lab.settle().iter().any(|event| matches!(event, Event::NamespaceLost(..))));
    });
}

#[test]
fn a_namespace_that_has_been_replaced_is_lost_until_it_is_declared_anew() {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        lab.must(vec![veth(web, "vweb")]);
        ip("netns del web");
        ip("netns add web");
        let result = lab.try_one(veth(web, "vnew"));
        assert_eq!(errno(&result), libc::ENOENT);
        assert_eq!(text(&result), "/run/netns/web is another namespace than before");
        lost(lab, web);
        assert_eq!(shown("-n web link show").len(), 1);
        lab.send(Command::Namespace { ns: web, path: "/run/netns/web".into() });
        lab.must(vec![veth(web, "vnew"), address(web)]);
    });
}

#[test]
fn what_is_no_network_namespace_of_a_container_is_refused_with_the_reason() {
    lab(|lab| {
        std::fs::write("/run/netns/file", "").unwrap();
        let bad = [
            ("/run/netns/none", "/run/netns/none: No such file or directory"),
            ("/run/netns/file", "/run/netns/file is no namespace"),
            ("/proc/self/ns/mnt", "/proc/self/ns/mnt is a namespace of another kind"),
            ("/proc/thread-self/ns/net", "/proc/thread-self/ns/net is the host's own namespace"),
        ];
        for (n, (path, reason)) in bad.into_iter().enumerate() {
            let ns = Ns(n as u32 + 1);
            lab.send(Command::Namespace { ns, path: path.into() });
            assert_eq!(lost(lab, ns), reason);
            assert_eq!(errno(&lab.try_one(address(ns))), libc::ENOENT);
        }
        assert_eq!(errno(&lab.try_one(address(Ns(99)))), libc::ENOENT);
    });
}

#[test]
fn the_thread_is_back_in_the_hosts_namespace_after_each_container() {
    lab(|lab| {
        let web = lab.namespace(1, "web");
        ip("link add here type bridge");
        for _ in 0..3 {
            lab.dump(web, Concern::Routes);
            lab.send(Command::ReadSysctls(Ns::HOST, vec!["net/ipv4/conf/here/rp_filter".into()]));
            lab.wait(|event| match event {
                Event::Object(petiole_fib::model::Observed::Object {
                    object: Object::Sysctl(..), ..
                }) => Some(()),
                Event::Gone(key) => panic!("{key:?}"),
                _ => None,
            });
        }
    });
}
