//! The tables by themselves; against the kernel they are in `tests/kernel/acl.rs`.

use std::collections::HashSet;

use super::*;
use crate::{
    fake::FakeKernel,
    model::{NftFamily, Object, Op, TableRef},
    owner::Owner,
};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// One group of which anybody may have port 80, and a group's rule about identity 9.
fn table() -> AclTable {
    let mut table = AclTable::default();
    let whole = |group, class| Case { group, class, first: Service::FIRST, last: Service::LAST };
    let http = Service::port(6, 80);
    let cases = &mut table.cases[Side::In.index()];
    cases.insert(whole(0, 0), Outcome::default());
    let deny = Outcome { urgency: 1, rule: 5 };
    cases.insert(Case { last: Service(http.0 - 1), ..whole(3, 0) }, deny);
    cases.insert(Case { first: http, last: http, ..whole(3, 0) }, Outcome { urgency: 2, rule: 6 });
    cases.insert(Case { first: Service(http.0 + 1), ..whole(3, 0) }, deny);
    cases.insert(whole(3, 1), Outcome { urgency: 4, rule: 6 });
    table.classes[Side::In.index()].insert((3, 9), 1);
    table.sentences.insert(5, Sentence { drop: true, log: None });
    table.sentences.insert(6, Sentence { drop: false, log: Some("seen: ".into()) });
    for (scope, at) in [(Scope::ROUTED, "10.0.0.1"), (Scope(7), "10.0.0.1"), (Scope::ROUTED, "2001:db8::1")] {
        table.members.insert((scope, address(at)), Known { group: 3, identity: 4 });
    }
    let area = Area { scope: Scope::ROUTED, first: address("10.9.0.0"), last: address("10.9.0.255") };
    table.areas.insert(area, Known { group: 0, identity: 9 });
    table.scopes.insert(IfName::new("pb-apart").unwrap(), Scope(7));
    table
}

#[test]
fn what_is_known_of_an_address_ends_with_its_area_family_and_scope() {
    let table = table();
    let known = |scope, at| table.area(scope, address(at)).identity;
    assert_eq!(known(Scope::ROUTED, "10.9.0.0"), 9);
    assert_eq!(known(Scope::ROUTED, "10.9.0.255"), 9);
    assert_eq!(known(Scope::ROUTED, "10.9.1.0"), 0);
    assert_eq!(known(Scope::ROUTED, "10.8.255.255"), 0);
    assert_eq!(known(Scope(7), "10.9.0.7"), 0);
    assert_eq!(known(Scope::ROUTED, "::ffff:10.9.0.7"), 0);
}

#[test]
fn nobody_judges_between_strangers_nor_what_keeps_a_link_working() {
    let flow = |from: &str, to: &str, service| Flow {
        scope: Scope::ROUTED,
        source: address(from),
        destination: address(to),
        service,
        mark: 0,
    };
    let table = table();
    let drops = |flow: &Flow| table.judge(flow).map(|decision| decision.drop);
    assert_eq!(drops(&flow("10.5.0.1", "10.5.0.2", Service::port(6, 22))), None);
    assert_eq!(drops(&flow("10.5.0.1", "10.0.0.1", Service::port(6, 22))), Some(true));
    assert_eq!(drops(&flow("10.5.0.1", "10.0.0.1", Service::port(6, 80))), Some(false));
    assert_eq!(
        drops(&flow("10.9.0.1", "10.0.0.1", Service::port(6, 22))),
        Some(false),
        "known by where it is"
    );
    // Neighbour solicitation, and an echo.
    assert_eq!(drops(&flow("2001:db8::9", "2001:db8::1", Service::icmp(58, 135, 0))), None);
    assert_eq!(drops(&flow("2001:db8::9", "2001:db8::1", Service::icmp(58, 128, 0))), Some(true));
}

#[test]
fn what_two_tables_do_not_know_together_is_dropped() {
    let mut table = table();
    // The class is there, and what is said of it not yet.
    table.cases[Side::In.index()].retain(|case, _| case.class == 0);
    let from_known = Flow {
        scope: Scope::ROUTED,
        source: address("10.9.0.1"),
        destination: address("10.0.0.1"),
        service: Service::port(6, 80),
        mark: 0,
    };
    assert!(table.judge(&from_known).unwrap().drop);
}

#[test]
fn a_member_is_read_back_from_its_element() {
    for ((scope, at), known) in &table().members {
        let object = member(*scope, *at, *known);
        assert_eq!(member_of(&object), Some((*scope, *at, *known)));
    }
    assert_eq!(member_of(&marking(Scope::ROUTED, address("10.0.0.1"), 6)), None);
}

/// Names, shapes and references fit together: a kernel takes all of it, each once.
#[test]
fn a_kernel_takes_the_program_and_its_elements() {
    let table = table();
    let mut objects =
        vec![Object::Table(TableRef { family: NftFamily::Inet, name: Owner::NFT_TABLE.into() })];
    objects.extend(program(&table, [6, 46]));
    objects.extend(elements(&table));
    objects.extend(table.members.iter().map(|((scope, at), known)| member(*scope, *at, *known)));
    objects.push(marking(Scope::ROUTED, address("10.0.0.1"), 46));
    let keys: HashSet<_> = objects.iter().map(Object::key).collect();
    assert_eq!(keys.len(), objects.len());
    // Sets first, then chains by what they lead to, then the rest.
    let rank = |object: &Object| match object {
        Object::Table(_) => 0,
        Object::Set(..) => 1,
        Object::Chain(..) => 2,
        _ => 3,
    };
    objects.sort_by_key(rank);
    let mut left: Vec<Object> = objects;
    let mut kernel = FakeKernel::new(Owner::default());
    while !left.is_empty() {
        let before = left.len();
        left.retain(|object| {
            let results = kernel.apply(&[Op::Create(object.clone())]);
            results.iter().any(|(_, result)| result.is_err())
        });
        assert!(left.len() < before, "refused: {:?}", left.iter().map(Object::key).collect::<Vec<_>>());
    }
}
