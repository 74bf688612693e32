//! Octets of a few requests, and the decoders against garbage.

use std::net::IpAddr;

use proptest::prelude::*;

use super::{
    super::codec::{Message, Writer, messages},
    chain,
    element::{self, Gather, Place, Unfit, Verb},
    rule, set,
    uapi::{NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWTABLE},
};
use crate::model::{
    ChainType, Condition, Data, ElementKey, Elements, Expr, Field, Hook, HookPoint, NftFamily, Rule, Set,
    SetKind, TableItem, TableRef, Verdict,
};

fn table() -> TableRef {
    TableRef { family: NftFamily::Inet, name: "t".into() }
}

fn item(name: &str) -> TableItem {
    TableItem { table: table(), name: name.into() }
}

fn ranges() -> Set {
    Set { key: vec![Field::Ip4Source], elements: Elements::Ranges, kind: SetKind::Verdicts, counted: false }
}

fn range(first: [u8; 4], last: [u8; 4]) -> ElementKey {
    ElementKey { first: first.into(), last: Some(last.into()) }
}

/// The messages as hexadecimal words, on a little-endian machine.
fn words(w: &Writer) -> String {
    let octets = w.as_slice().chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap()));
    octets.map(|word| format!("{word:08x}")).collect::<Vec<_>>().join(" ")
}

#[test]
#[cfg(target_endian = "little")]
fn a_range_of_one_field_is_two_elements_of_one_request() {
    let mut w = Writer::default();
    let place = element::place(&ranges(), &range([10, 0, 0, 0], [10, 0, 0, 255])).unwrap();
    assert_eq!(place, Place::Pair(vec![10, 0, 0, 0], Some(vec![10, 0, 1, 0])));
    element::write(&mut w, 7, Verb::Create, &item("s"), &place, Some(&Data::Verdict(Verdict::Drop)));
    assert_eq!(
        words(&w),
        [
            "60000000 0c0a0106 07000000 00000000 01000000", // nlmsghdr, nfgenmsg: inet
            "06000100 74000000 06000200 73000000",          // table, set
            "3c000380",                                     // elements
            "20000180 0c000180 08000100 0a000000",          // an element, its key
            "10000280 0c000280 08000100 00000000",          // its data: verdict, code 0
            "18000180 0c000180 08000100 0a000100",          // the other
            "08000300 00000001",                            // is an end
        ]
        .join(" ")
    );
}

#[test]
#[cfg(target_endian = "little")]
fn ranges_of_several_fields_are_one_element_with_two_keys_filled_up_to_registers() {
    let set = Set {
        key: vec![Field::L4Proto, Field::DestinationPort],
        elements: Elements::Ranges,
        kind: SetKind::Set,
        counted: false,
    };
    let key = ElementKey { first: [6, 0, 80].into(), last: Some([17, 0, 90].into()) };
    let mut w = Writer::default();
    element::write(&mut w, 7, Verb::Delete, &item("s"), &element::place(&set, &key).unwrap(), None);
    assert_eq!(
        words(&w),
        [
            "4c000000 0e0a0100 07000000 00000000 01000000",
            "06000100 74000000 06000200 73000000",
            "28000380 24000180",
            "10000180 0c000100 06000000 00500000",
            "10000a80 0c000100 11000000 005a0000",
        ]
        .join(" ")
    );
}

#[test]
#[cfg(target_endian = "little")]
fn an_ipv4_field_is_met_by_ipv4_packets_alone() {
    let mut w = Writer::default();
    let matched = Condition::Equal(Field::Ip4Source, vec![10, 0, 0, 1]);
    let rule = Rule(vec![Expr::Match(matched), Expr::Verdict(Verdict::Drop)]);
    rule::append(&mut w, 7, &item("c"), &rule).unwrap();
    let all = words(&w);
    let expressions = [
        "09000100 6d657461 00000000 14000280 08000200 0000000f 08000100 00000008", // meta: nfproto
        "08000100 636d7000 20000280 08000100 00000008 08000200 00000000 0c000380 05000100 02000000", // cmp
        "0c000100 7061796c 6f616400 24000280 08000100 00000008 08000200 00000001 08000300 0000000c 08000400 00000004",
        "08000100 636d7000 20000280 08000100 00000008 08000200 00000000 0c000380 08000100 0a000001",
    ];
    let mut rest = &all[..];
    for expression in expressions {
        let (_, tail) = rest.split_once(expression).unwrap_or_else(|| panic!("{expression}\nin {rest}"));
        rest = tail;
    }
}

/// One message of each kind, well formed.
fn samples() -> Vec<u8> {
    let mut w = Writer::default();
    chain::create_table(&mut w, 1, &table());
    let hook = Hook { kind: ChainType::Nat, point: HookPoint::Postrouting, priority: -1 };
    chain::put(&mut w, 2, 0, &item("c"), Some(&hook));
    let matched = Condition::In(
        vec![Field::Ip6Source.into(), Field::L4Proto.into(), Field::SourcePort.into()],
        "s".into(),
    );
    let rule = Rule(vec![Expr::Match(matched), Expr::Counter, Expr::Masquerade]);
    rule::append(&mut w, 3, &item("c"), &rule).unwrap();
    set::create(&mut w, 4, &item("s"), &ranges(), 1);
    let several = Set {
        key: vec![Field::Ip4Destination, Field::DestinationPort],
        elements: Elements::Ranges,
        kind: SetKind::Destinations6,
        counted: false,
    };
    set::create(&mut w, 5, &item("m"), &several, 2);
    let place = element::place(&ranges(), &range([10, 0, 0, 0], [10, 0, 0, 255])).unwrap();
    let data = Data::Verdict(Verdict::Jump("c".into()));
    element::write(&mut w, 6, Verb::Create, &item("s"), &place, Some(&data));
    let key = ElementKey { first: [9, 0, 0, 1, 0, 80].into(), last: Some([9, 0, 0, 9, 0, 99].into()) };
    let data = Data::Destination(IpAddr::from([7; 16]), 8080);
    element::write(
        &mut w,
        7,
        Verb::Create,
        &item("m"),
        &element::place(&several, &key).unwrap(),
        Some(&data),
    );
    w.as_slice().to_vec()
}

/// Everything that reads a message reads this one.
fn decode_all(bytes: &[u8]) {
    for message in messages(bytes) {
        let of = |kind: u8| Message { kind: u16::from_be_bytes([10, kind]), ..message };
        chain::decode_table(of(NFT_MSG_NEWTABLE));
        chain::decode(of(NFT_MSG_NEWCHAIN));
        rule::decode(of(NFT_MSG_NEWRULE));
        set::decode(of(NFT_MSG_NEWSET));
        for (key, kind) in [
            (vec![Field::Ip4Source], SetKind::Verdicts),
            (vec![Field::Ip4Destination, Field::DestinationPort], SetKind::Destinations6),
            (vec![Field::L4Proto], SetKind::Destinations4),
        ] {
            for elements in [Elements::Values, Elements::Ranges] {
                let shape = Set { key: key.clone(), elements, kind, counted: false };
                let mut gather = Gather::new(&shape);
                gather.read(of(NFT_MSG_NEWSETELEM));
                for (key, _) in gather.finish().unwrap_or_default() {
                    assert_eq!(key.last.is_some(), elements.have_last());
                }
            }
        }
    }
}

#[test]
fn what_is_asked_for_reads_as_what_was_meant() {
    let bytes = samples();
    let all: Vec<_> = messages(&bytes).collect();
    assert_eq!(chain::decode_table(all[0]), Some(table()));
    let seen = chain::decode(all[1]).unwrap();
    let hook = Hook { kind: ChainType::Nat, point: HookPoint::Postrouting, priority: -1 };
    assert_eq!((seen.item, seen.hook, seen.strange), (item("c"), Some(hook), false));
    assert!(matches!(rule::decode(all[2]), Some((chain, Some(_))) if chain == item("c")));
    assert_eq!(set::decode(all[3]).and_then(|seen| seen.shape), Some(ranges()));
    let several = set::decode(all[4]).and_then(|seen| seen.shape).unwrap();
    assert_eq!(several.key, [Field::Ip4Destination, Field::DestinationPort]);
    let shape = ranges();
    let mut gather = Gather::new(&shape);
    gather.read(all[5]);
    let to = Data::Verdict(Verdict::Jump("c".into()));
    assert_eq!(gather.finish(), Ok(vec![(range([10, 0, 0, 0], [10, 0, 0, 255]), Some(to))]));
    let mut gather = Gather::new(&several);
    gather.read(all[6]);
    let found = gather.finish().unwrap();
    assert_eq!(found[0].0.first[..], [9, 0, 0, 1, 0, 80]);
    assert_eq!(found[0].1, Some(Data::Destination(IpAddr::from([7; 16]), 8080)));
}

#[test]
fn an_element_told_twice_makes_a_dump_unfit() {
    let set =
        Set { key: vec![Field::Ip4Source], elements: Elements::Values, kind: SetKind::Set, counted: false };
    let mut w = Writer::default();
    for last in [1, 2, 1] {
        let place = Place::Value(vec![10, 0, 0, last]);
        element::write(&mut w, 7, Verb::Create, &item("s"), &place, None);
    }
    let mut gather = Gather::new(&set);
    messages(w.as_slice()).for_each(|message| gather.read(message));
    assert_eq!(gather.finish(), Err(Unfit::Twice));
}

#[test]
fn every_truncation_of_every_message_is_survived() {
    let bytes = samples();
    for message in messages(&bytes) {
        for end in 0..message.body.len() {
            let mut cut = vec![0; 16];
            cut[..4].copy_from_slice(&(16 + end as u32).to_ne_bytes());
            cut.extend_from_slice(&message.body[..end]);
            decode_all(&cut);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn octets_changed_anywhere_are_survived(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = samples();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        decode_all(&bytes);
    }

    #[test]
    fn ranges_side_by_side_read_as_they_were_written(mut bounds in proptest::collection::vec(any::<u32>(), 1..20), gaps in any::<u32>()) {
        bounds.sort_unstable();
        bounds.dedup();
        let shape = Set { kind: SetKind::Set, ..ranges() };
        let (mut w, mut meant) = (Writer::default(), Vec::new());
        for (n, pair) in bounds.windows(2).enumerate() {
            // each begins where the one before ends, but for those left out
            if gaps >> n & 1 == 0 {
                let key = range(pair[0].to_be_bytes(), (pair[1] - 1).to_be_bytes());
                element::write(&mut w, 7, Verb::Create, &item("s"), &element::place(&shape, &key).unwrap(), None);
                meant.push((key, None));
            }
        }
        let last = range(bounds[bounds.len() - 1].to_be_bytes(), [255; 4]);
        element::write(&mut w, 7, Verb::Create, &item("s"), &element::place(&shape, &last).unwrap(), None);
        meant.push((last, None));
        let mut gather = Gather::new(&shape);
        messages(w.as_slice()).for_each(|message| gather.read(message));
        prop_assert_eq!(gather.finish(), Ok(meant));
    }
}
