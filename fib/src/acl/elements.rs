//! The tables as elements of the program's maps.

use std::{net::IpAddr, sync::Arc};

use super::{
    AclTable, Known, Scope, Sentence, Service,
    program::{
        AREAS, CARRIERS, CASES, CLASSES, DSCP, MARKED, MARKS, MEMBERS, SCOPES, VERDICTS, ZONES, dscp_chain,
        element, item, octets,
    },
};
use crate::model::{Chain, Data, ElementKey, Expr, IfName, Object, Rule, Verdict};

/// How many lines a second a rule may write to the log.
const LOG_LIMIT: u32 = 10;

/// All elements but those of members, and the chains that some of them lead to.
pub fn elements(table: &AclTable) -> Vec<Object> {
    let mut objects = Vec::new();
    for (link, scope) in &table.scopes {
        objects.push(element(SCOPES, value(link_octets(link)), Some(numbers(&[scope.0]))));
    }
    for (link, zone) in &table.zones {
        // The kernel reads a zone in host order from the first two octets.
        let [a, b] = zone.to_ne_bytes();
        let data = Data::Numbers(Arc::from([[a, b, 0, 0]]));
        objects.push(element(ZONES, value(link_octets(link)), Some(data)));
    }
    for (link, scope) in &table.carriers {
        objects.push(element(CARRIERS, value(link_octets(link)), Some(numbers(&[scope.0]))));
    }
    for (group, mark) in &table.marks {
        // As the kernel keeps marks: in host order.
        let data = Data::Numbers(Arc::from([mark.to_ne_bytes()]));
        objects.push(element(MARKS, value(octets(&[*group])), Some(data)));
    }
    for ((mark, identity), known) in &table.marked {
        let key = [mark.to_ne_bytes(), identity.to_be_bytes()].concat();
        objects.push(element(MARKED, value(key), Some(known_data(*known))));
    }
    for (area, known) in &table.areas {
        let family = usize::from(area.first.is_ipv6());
        let key = span(&located(area.scope, area.first), &located(area.scope, area.last));
        objects.push(element(AREAS[family], key, Some(known_data(*known))));
    }
    for (side, classes) in table.classes.iter().enumerate() {
        for ((group, identity), class) in classes {
            let key = value(octets(&[*group, *identity]));
            objects.push(element(CLASSES[side], key, Some(numbers(&[*class]))));
        }
    }
    for (side, cases) in table.cases.iter().enumerate() {
        for (case, outcome) in cases {
            let end = |service: Service| {
                let mut key = octets(&[case.group, case.class]).to_vec();
                key.push(service.protocol());
                key.extend(service.number().to_be_bytes());
                key
            };
            let data = numbers(&[outcome.urgency, outcome.rule]);
            objects.push(element(CASES[side], span(&end(case.first), &end(case.last)), Some(data)));
        }
    }
    for (rule, sentence) in &table.sentences {
        sentenced(*rule, sentence, &mut objects);
    }
    objects
}

/// What is known of one member.
pub fn member(scope: Scope, address: IpAddr, known: Known) -> Object {
    let family = usize::from(address.is_ipv6());
    element(MEMBERS[family], value(located(scope, address)), Some(known_data(known)))
}

/// The reverse of [`member`]; `None` for other objects.
pub fn member_of(object: &Object) -> Option<(Scope, IpAddr, Known)> {
    let Object::Element(set, key, Some(Data::Numbers(known))) = object else { return None };
    if !MEMBERS.contains(&&*set.name) {
        return None;
    }
    let (scope, address) = key.first.split_first_chunk()?;
    let address = match address.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
    };
    let [group, identity] = <[[u8; 4]; 2]>::try_from(&**known).ok()?.map(u32::from_be_bytes);
    Some((Scope(u32::from_be_bytes(*scope)), address, Known { group, identity }))
}

/// The code point of what a member sends. The program must have been made with it.
pub fn marking(scope: Scope, address: IpAddr, dscp: u8) -> Object {
    let family = usize::from(address.is_ipv6());
    let verdict = Verdict::Goto(dscp_chain(dscp).into());
    element(DSCP[family], value(located(scope, address)), Some(Data::Verdict(verdict)))
}

fn sentenced(rule: u32, sentence: &Sentence, objects: &mut Vec<Object>) {
    let verdict = if sentence.drop { Verdict::Drop } else { Verdict::Accept };
    let verdict = match &sentence.log {
        None => verdict,
        Some(prefix) => {
            let name = format!("acl-log-{rule:08x}");
            let line = Expr::Log { prefix: prefix.clone(), per_second: LOG_LIMIT };
            // When the limit has been reached the kernel goes on with the second one.
            let rules = vec![Rule(vec![line]), Rule(vec![Expr::Verdict(verdict)])];
            objects.push(Object::Chain(item(&name), Chain { hook: None, rules }));
            Verdict::Goto(name.into())
        }
    };
    objects.push(element(VERDICTS, value(octets(&[rule])), Some(Data::Verdict(verdict))));
}

fn value(key: impl Into<Arc<[u8]>>) -> ElementKey {
    ElementKey { first: key.into(), last: None }
}

fn span(first: &[u8], last: &[u8]) -> ElementKey {
    ElementKey { first: Arc::from(first), last: Some(Arc::from(last)) }
}

fn numbers(numbers: &[u32]) -> Data {
    Data::Numbers(numbers.iter().map(|number| number.to_be_bytes()).collect())
}

fn known_data(known: Known) -> Data {
    numbers(&[known.group, known.identity])
}

/// An address among others, as octets of a key.
fn located(scope: Scope, address: IpAddr) -> Vec<u8> {
    let mut key = scope.0.to_be_bytes().to_vec();
    match address {
        IpAddr::V4(a) => key.extend(a.octets()),
        IpAddr::V6(a) => key.extend(a.octets()),
    }
    key
}

/// A link's name as it stands beside a packet.
fn link_octets(name: &IfName) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[..name.as_str().len()].copy_from_slice(name.as_str().as_bytes());
    octets
}
