//! What others do to nftables, and that ours is found again and repaired.

use petiole_fib::{
    model::{Concern, Data, Event, Expr, Field, Key, Ns, Object, Op, SetKind},
    plan::Scope,
};

use crate::{
    lab::{Lab, addr, lab, text},
    nft::{
        ACCEPT, DROP, Told, at, chain, create, element, everything, forward, leads, nft, set, table, told,
        wanted,
    },
    tracker::Driver,
};

fn wait_overrun(lab: &Lab) {
    lab.wait(|event| matches!(event, Event::Overrun(Concern::Nft)).then_some(()));
}

#[test]
fn a_foreign_change_of_our_table_is_an_overrun_and_what_it_left_is_told() {
    lab(|lab| {
        let all = [
            Object::Table(table()),
            set("addresses", &[Field::Ip4Source], false, SetKind::Set),
            element("addresses", at(&[10, 0, 0, 1])),
            chain("a", &[&[DROP]]),
            forward(&[&[Expr::Counter, ACCEPT]]),
        ];
        let again = |lab: &Lab| {
            lab.apply(vec![Op::Delete(Key::Table(table()))]);
            lab.must(create(&all));
            assert_eq!(told(lab), wanted(&all));
            let overruns = lab.settle();
            assert!(!overruns.iter().any(|e| matches!(e, Event::Overrun(_))), "our own doing: {overruns:?}");
        };
        for (foreign, left) in [
            ("flush ruleset", Some(0)),
            ("delete table inet petiole", Some(0)),
            ("flush set inet petiole addresses", Some(4)),
            ("delete chain inet petiole a", Some(4)),
            ("add rule inet petiole a accept", None),
            ("insert rule inet petiole forward counter", None),
            ("flush chain inet petiole forward", None),
            ("add chain inet petiole forward { policy drop; }", None),
            ("add element inet petiole addresses { 10.0.0.2 }", Some(6)),
            ("add set inet petiole other { type ipv4_addr; timeout 1h; }", Some(6)),
            (
                "add set inet petiole other { type ether_addr . mark; elements = { 02:00:00:00:00:01 . 1 } }",
                Some(6),
            ),
            ("add map inet petiole other { type ipv4_addr : mark; elements = { 10.0.0.1 : 1 } }", Some(6)),
        ] {
            again(lab);
            nft(foreign);
            wait_overrun(lab);
            let now = told(lab);
            assert_ne!(now, wanted(&all), "{foreign}");
            if let Some(left) = left {
                assert_eq!(now.len(), left, "{foreign}: {now:#?}");
            } else {
                assert!(now.iter().any(|told| matches!(told, Told::Chain(_, _, rules) if rules.contains(&None) || rules.is_empty())));
            }
        }
    });
}

#[test]
fn a_policy_that_somebody_set_to_drop_is_accept_again_after_a_change() {
    lab(|lab| {
        let all = [Object::Table(table()), forward(&[&[Expr::Counter, ACCEPT]])];
        lab.must(create(&all));
        nft("add chain inet petiole forward { policy drop; }");
        assert_ne!(told(lab), wanted(&all));
        lab.must(vec![Op::Change(all[1].clone())]);
        assert_eq!(told(lab), wanted(&all));
        assert!(nft("list ruleset").contains("policy accept"));
    });
}

#[test]
fn what_happens_to_tables_of_others_is_not_our_affair() {
    lab(|lab| {
        lab.must(create(&[Object::Table(table())]));
        nft(
            "add table inet petioles; add table ip petiole; add chain ip petiole x; delete table ip petiole; add set inet petioles s { type ipv4_addr; }",
        );
        let before = nft("list table inet petioles");
        assert_eq!(told(lab), wanted(&[Object::Table(table())]));
        lab.must(vec![Op::Delete(Key::Table(table()))]);
        assert!(!lab.settle().iter().any(|event| matches!(event, Event::Overrun(_))));
        assert_eq!(nft("list table inet petioles"), before);
    });
}

#[test]
fn an_engine_that_comes_later_finds_the_sets_it_has_not_made() {
    lab(|lab| {
        lab.must(create(&everything()));
        let second = Lab::start(petiole_fib::kernel::Options::default());
        // without a dump before
        let late = leads("publish4", at(&[6, 1, 187]), Data::Destination(addr("10.1.0.4"), 443));
        second.must(vec![Op::Create(late.clone())]);
        wait_overrun(lab);
        assert_eq!(told(&second), wanted(&[&everything()[..], &[late]].concat()));
    });
}

#[test]
fn a_set_that_somebody_replaced_by_one_of_another_shape_is_told_as_it_is() {
    lab(|lab| {
        lab.must(create(&[
            Object::Table(table()),
            set("ports", &[Field::L4Proto, Field::DestinationPort], false, SetKind::Set),
        ]));
        nft("delete set inet petiole ports; add set inet petiole ports { type ipv4_addr; }");
        wait_overrun(lab);
        // What the kernel has is asked for, and does not fit.
        let result = lab.try_one(Op::Create(element("ports", at(&[6, 0, 80]))));
        assert!(text(&result).contains("a key of this set has 4 octets"), "{result:?}");
        let seen = told(lab);
        assert_eq!(seen[1], Told::Object(set("ports", &[Field::Ip4Source], false, SetKind::Set)));
    });
}

#[test]
fn the_tracker_brings_all_of_it_up_repairs_what_others_do_and_sweeps_it() {
    lab(|lab| {
        let all = everything();
        let driver = Driver::new(lab);
        {
            let mut fib = driver.fib.borrow_mut();
            fib.watch_ns(Ns::HOST);
            all.iter().cloned().for_each(|object| fib.want(object));
        }
        driver.settle();
        driver.fib.borrow_mut().sweep(Scope::Local);
        driver.settle();
        assert_eq!(told(lab), wanted(&all));
        let before = driver.fib.borrow().counters();
        assert_eq!(before.failures, 0, "{before:?}");
        driver.settle();
        assert_eq!(driver.fib.borrow().counters().operations, before.operations, "at rest nothing is done");

        for foreign in [
            "flush ruleset",
            "flush chain inet petiole forward",
            "insert rule inet petiole forward drop",
            "flush set inet petiole ranges",
            "add set inet petiole other { type ether_addr; }",
            "add chain inet petiole forward { policy drop; }",
        ] {
            nft(foreign);
            driver.settle();
            assert_eq!(told(lab), wanted(&all), "{foreign}");
        }

        let second = Driver::new(lab);
        second.fib.borrow_mut().watch_ns(Ns::HOST);
        second.settle();
        assert_eq!(second.fib.borrow().counters().operations, 0);
        second.fib.borrow_mut().sweep(Scope::Local);
        second.settle();
        assert_eq!(nft("list ruleset"), "");
    });
}
