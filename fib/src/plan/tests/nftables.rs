//! nftables: one transaction, in an order that the kernel accepts.

use std::{sync::Arc, time::Duration};

use super::{
    bridged_world::{chain, hook, item, keys, published, ruleset, set, source, table},
    world::{WEB, World, address, assert_done, container, failures, uplinks},
};
use crate::{
    fake::Fault,
    model::{Expr, Field, HookPoint, Key, NftFamily, Ns, Object, Op, Rule, SetKind, TableRef, Verdict},
    owner::Owner,
    plan::{Scope, plan},
};

const BLUE: (&str, &str) = ("blue", "10.1.2.0/24");
const RED: (&str, &str) = ("red", "10.1.3.0/24");

fn with_ruleset() -> World {
    let mut world = World::new();
    world.want_all(ruleset(&[BLUE, RED], false));
    world.want_all([published(80, "10.1.2.3", false), published(81, "10.1.2.4", false)]);
    world.settle();
    world.assert_settled();
    world.done();
    world
}

fn drop_all() -> Vec<Expr> {
    vec![Expr::Verdict(Verdict::Drop)]
}

/// That it was all given to the kernel thread at once.
#[track_caller]
fn assert_one_transaction(world: &World) {
    let all: Vec<bool> = world.batches.iter().flatten().map(|op| op.key().is_nft()).collect();
    let first = all.iter().position(|nft| *nft).expect("nftables");
    let count = all.iter().filter(|nft| **nft).count();
    assert!(all[first..first + count].iter().all(|nft| *nft), "in one piece: {:?}", world.batches);
    let with_nft = world.batches.iter().filter(|batch| batch.iter().any(|op| op.key().is_nft()));
    assert_eq!(with_nft.count(), 1, "{:?}", world.batches);
}

#[test]
fn what_is_used_comes_before_what_uses_it() {
    let mut world = World::new();
    // One operation at a time, were it not for the transaction.
    world.slice = 1;
    // And told the wrong way round.
    world.want_all(ruleset(&[BLUE], false).into_iter().rev());
    world.want(published(80, "10.1.2.3", false));
    world.settle();
    assert_one_transaction(&world);
    assert_done(
        &mut world,
        "create table inet petiole
         create chain inet petiole blue with 2 rules
         create set inet petiole sources
         create chain inet petiole forward with 1 rules
         create set inet petiole published
         create chain inet petiole dnat with 1 rules
         create element inet petiole sources 0a010200-0a0102ff : jump blue
         create element inet petiole published 060050 : 10.1.2.3:80",
    );
    world.assert_settled();
}

#[test]
fn what_uses_goes_before_what_is_used() {
    let mut world = with_ruleset();
    let mut gone = keys(&ruleset(&[RED], false));
    gone.retain(|key| !keys(&ruleset(&[], false)).contains(key));
    gone.extend(keys(&[
        published(80, "10.1.2.3", false),
        published(81, "10.1.2.3", false),
        set("published", &[], false, SetKind::Set),
        chain("dnat", None, vec![]),
    ]));
    for key in &gone {
        world.unwant(key);
    }
    world.settle();
    assert_one_transaction(&world);
    assert_done(
        &mut world,
        "delete element inet petiole sources 0a010300-0a0103ff
         delete element inet petiole published 060050
         delete element inet petiole published 060051
         delete chain inet petiole red
         delete chain inet petiole dnat
         delete set inet petiole published",
    );
    world.assert_settled();
}

#[test]
fn a_published_port_is_one_operation() {
    let mut world = with_ruleset();
    world.want(published(82, "10.1.2.5", false));
    world.settle();
    assert_done(&mut world, "create element inet petiole published 060052 : 10.1.2.5:80");
    world.want(published(82, "10.1.2.6", false));
    world.settle();
    assert_done(&mut world, "change element inet petiole published 060052 : 10.1.2.6:80");
    world.unwant(&published(82, "10.1.2.6", false).key());
    world.settle();
    assert_done(&mut world, "delete element inet petiole published 060052");
    world.assert_settled();
}

#[test]
fn a_chain_whose_rules_change_is_changed_in_place() {
    let mut world = with_ruleset();
    world.want(chain("red", None, vec![drop_all()]));
    world.settle();
    assert_done(&mut world, "change chain inet petiole red with 1 rules");
    world.assert_settled();
}

#[test]
fn a_set_of_another_shape_is_made_anew_while_its_chain_is_empty_in_one_transaction() {
    let mut world = with_ruleset();
    let old = [published(80, "10.1.2.3", false), published(81, "10.1.2.4", false)];
    for key in keys(&old) {
        world.unwant(&key);
    }
    world.want_all(ruleset(&[BLUE, RED], true));
    world.want_all([published(80, "10.1.2.3", true), published(81, "10.1.2.4", true)]);
    world.settle();
    assert_one_transaction(&world);
    assert_done(
        &mut world,
        "delete element inet petiole published 060050
         delete element inet petiole published 060051
         change chain inet petiole dnat with 0 rules
         delete set inet petiole published
         create set inet petiole published
         change chain inet petiole dnat with 1 rules
         create element inet petiole published 32010101060050 : 10.1.2.3:80
         create element inet petiole published 32010101060051 : 10.1.2.4:80",
    );
    world.assert_settled();
}

#[test]
fn elements_that_stay_follow_their_set_and_come_back_with_it() {
    let mut world = with_ruleset();
    // The same keys, but what they lead to is another kind of thing for the kernel.
    world.want(set("sources", &[Field::Ip4Destination], true, SetKind::Verdicts));
    let by = Expr::VerdictMap { key: vec![Field::Ip4Destination.into()], map: Arc::from("sources") };
    world.want(chain("forward", Some(hook(HookPoint::Forward, 0)), vec![vec![by]]));
    world.settle();
    assert_one_transaction(&world);
    assert_done(
        &mut world,
        "change chain inet petiole forward with 0 rules
         delete set inet petiole sources
         create set inet petiole sources
         change chain inet petiole forward with 1 rules
         create element inet petiole sources 0a010200-0a0102ff : jump blue
         create element inet petiole sources 0a010300-0a0103ff : jump red",
    );
    world.assert_settled();
}

#[test]
fn a_chain_at_another_hook_is_another_one() {
    let mut world = with_ruleset();
    let Object::Chain(_, mut forward) = ruleset(&[], false).swap_remove(1) else { panic!() };
    forward.hook = Some(hook(HookPoint::Forward, -10));
    world.want(Object::Chain(item("forward"), forward));
    world.settle();
    assert_one_transaction(&world);
    assert_done(
        &mut world,
        "delete chain inet petiole forward
         create chain inet petiole forward with 1 rules",
    );
    world.assert_settled();
}

#[test]
fn the_same_ruleset_after_a_restart_causes_no_operation() {
    let mut world = with_ruleset();
    world.crash();
    world.settle();
    world.sweep();
    world.settle();
    assert_done(&mut world, "");
    world.assert_settled();
}

#[test]
fn chains_are_recognised_when_they_are_wanted_only_after_the_dump() {
    let mut world = with_ruleset();
    let wishes = std::mem::take(&mut world.wishes);
    world.crash();
    world.fib.watch_ns(WEB);
    world.settle();
    world.want_all(wishes.objects);
    world.settle();
    assert_done(&mut world, "");
    world.sweep();
    world.settle();
    assert_done(&mut world, "");
    world.assert_settled();
}

#[test]
fn what_an_earlier_run_left_goes_with_the_sweep_whatever_its_rules_use() {
    let mut world = with_ruleset();
    world.want_all([
        chain("left1", None, vec![vec![Expr::Verdict(Verdict::Jump(Arc::from("left2")))]]),
        chain("left2", None, vec![drop_all()]),
    ]);
    world.settle();
    world.done();
    world.wishes.objects = vec![Object::Table(table())];
    world.crash();
    world.settle();
    assert_done(&mut world, "");
    world.fib.sweep(Scope::Local);
    world.settle();
    assert_one_transaction(&world);
    world.assert_settled();
    assert_eq!(world.kernel.keys_of(&Owner::default()), [Key::Table(table())]);
}

#[test]
fn a_table_that_nobody_wants_takes_all_with_it() {
    let mut world = with_ruleset();
    world.want_all(uplinks());
    world.settle();
    world.done();
    let objects = world.wishes.objects.clone();
    let nft = objects.iter().filter(|object| object.key().is_nft());
    nft.for_each(|object| world.unwant(&object.key()));
    world.settle();
    assert_done(&mut world, "delete table inet petiole");
    world.assert_settled();
    assert_eq!(world.fib.counters().waiting, 0);
}

#[test]
fn a_foreign_flush_is_repaired_in_one_transaction() {
    let mut world = with_ruleset();
    let expected = world.kernel.text_of(&Owner::default());
    world.kernel.flush_ruleset();
    world.settle();
    world.assert_settled();
    assert_one_transaction(&world);
    assert_eq!(world.kernel.text_of(&Owner::default()), expected);
}

#[test]
fn a_flush_between_operation_and_answer_is_repaired_too() {
    let mut world = with_ruleset();
    world.want(published(82, "10.1.2.5", false));
    world.drive();
    world.kernel.flush_ruleset();
    world.settle();
    world.assert_settled();
    let fresh = with_ruleset();
    let lines = |world: &World| world.kernel.text_of(&Owner::default()).lines().count();
    assert_eq!(lines(&world), lines(&fresh) + 1);
}

#[test]
fn rules_and_sets_of_others_in_our_table_are_removed() {
    let mut world = with_ruleset();
    let expected = world.kernel.text_of(&Owner::default());
    world.kernel.add_rule(&item("red"), Rule(drop_all()));
    world.kernel.add_nft(&set("theirs", &[Field::Ip4Source], false, SetKind::Set));
    world.kernel.add_nft(&chain("theirs", None, vec![drop_all()]));
    world.sweep();
    world.settle();
    world.assert_settled();
    assert_eq!(world.kernel.text_of(&Owner::default()), expected);
}

#[test]
fn tables_of_others_are_none_of_our_business() {
    let mut world = with_ruleset();
    let theirs = TableRef { family: NftFamily::Inet, name: Arc::from("firewalld") };
    world.kernel.add_table(theirs);
    let others = world.kernel.text_of_others(&Owner::default());
    world.sweep();
    world.settle();
    assert_done(&mut world, "");
    assert_eq!(world.kernel.text_of_others(&Owner::default()), others);
}

#[test]
fn one_that_the_kernel_refuses_does_not_fail_the_rest_of_its_transaction() {
    let mut world = World::new();
    world.want_all(ruleset(&[BLUE], false));
    world.want(published(80, "10.1.2.3", false));
    // Of another type than the map.
    let odd = set("odd", &[Field::Ip4Source], false, SetKind::Set);
    let Object::Element(_, key, data) = published(81, "10.1.2.4", false) else { panic!() };
    world.want_all([odd, Object::Element(item("odd"), key, data)]);
    world.run_for(Duration::from_secs(2));
    let told = failures(&mut world);
    assert!(told.iter().all(|f| f.starts_with("element inet petiole odd")), "{told:?}");
    assert_eq!(world.fib.counters().failing, 1);
    for object in ruleset(&[BLUE], false) {
        assert!(world.fib.settled(&object.key()), "{object}");
    }
    assert!(world.fib.settled(&published(80, "10.1.2.3", false).key()));
}

#[test]
fn elements_of_a_set_that_cannot_be_made_wait_and_nothing_else_does() {
    let mut world = World::new();
    // Table, two chains' sets …: the third operation is the first set.
    world.want_all(ruleset(&[BLUE], false));
    world.kernel.fail_at(2, Fault::Refuse(libc::EOPNOTSUPP));
    world.settle();
    world.assert_settled();
}

#[test]
fn rules_come_before_addresses_and_go_after_them() {
    let mut world = World::new();
    world.want_all(container(WEB, "web1", 3));
    world.settle();
    world.done();
    world.want_all(ruleset(&[BLUE], false));
    world.want(address(Ns::HOST, "vweb1", "192.168.1.253/32"));
    world.settle();
    let last = world.log.last().unwrap();
    assert!(matches!(last, Op::Create(Object::Address(..))), "{last}");
    world.done();
    world.unwant(&address(Ns::HOST, "vweb1", "192.168.1.253/32").key());
    world.unwant(&source(BLUE.1, BLUE.0).key());
    world.settle();
    assert_done(
        &mut world,
        "delete address 192.168.1.253/32 on vweb1
         delete element inet petiole sources 0a010200-0a0102ff",
    );
}

#[test]
fn a_crash_between_any_two_operations_of_a_change_of_shape_heals() {
    let whole = with_ruleset();
    // All of the first transaction, and more than the second one has.
    let total = whole.kernel.operations() + 20;
    for at in 0..total {
        let mut world = World::new();
        world.kernel.fail_at(at, Fault::Refuse(libc::ENOMEM));
        world.want_all(ruleset(&[BLUE, RED], false));
        world.want_all([published(80, "10.1.2.3", false), published(81, "10.1.2.4", false)]);
        world.settle();
        for old in [published(80, "10.1.2.3", false), published(81, "10.1.2.3", false), source(RED.1, RED.0)]
        {
            world.unwant(&old.key());
        }
        world.unwant(&Key::Chain(item("red")));
        world.want_all(ruleset(&[BLUE], true));
        world.drive();
        world.crash();
        world.settle();
        world.sweep();
        world.settle();
        world.assert_settled();
        let mut fresh = World::new();
        fresh.want_all(ruleset(&[BLUE], true));
        fresh.settle();
        let owner = Owner::default();
        assert_eq!(world.kernel.text_of(&owner), fresh.kernel.text_of(&owner), "failure at {at}");
    }
}

#[test]
fn a_plan_of_a_ruleset_needs_no_tracker() {
    let mut world = with_ruleset();
    let now = world.now;
    let wishes = world.wishes.objects.clone();
    let seen = world.kernel.observed();
    assert_eq!(plan(wishes.clone(), seen.clone(), &Owner::default(), now), []);
    let without = wishes.into_iter().filter(|object| *object != published(80, "10.1.2.3", false));
    let ops = plan(without, seen, &Owner::default(), now);
    assert_eq!(ops, [Op::Delete(published(80, "10.1.2.3", false).key())]);
    world.settle();
}
