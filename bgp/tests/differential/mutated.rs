//! Messages with a few octets changed: nobody panics, and where both codecs accept, they agree.

use bytes::Bytes;
use petiole_bgp::wire::{EncodeContext, Message, Session, UpdateWriter, frame};
use proptest::prelude::*;
use rustbgpd_wire as oracle;

use crate::SESSION;
use crate::model::{Model, Prefixes, any_model, any_v4, any_v6, v4_next_hop, v6_next_hop};

const CONTEXT: EncodeContext =
    EncodeContext { four_octet_as: true, external: false, prepend: None, send_med: true };

/// A change to one octet; positions are taken modulo the length.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Flip(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Copy(usize, usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Change::Set(at, value)),
        (any::<usize>(), 0..8u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Change::Insert(at, value)),
        any::<usize>().prop_map(Change::Remove),
        (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Change::Copy(from, to)),
    ]
}

/// Changes the body and corrects the message's length, so that the change is not lost to the header's check.
fn change(message: &mut Vec<u8>, changes: &[Change]) {
    let body = 19..message.len();
    let mut octets = message.split_off(body.start);
    for change in changes {
        let len = octets.len().max(1);
        match *change {
            Change::Set(at, value) => octets.get_mut(at % len).into_iter().for_each(|o| *o = value),
            Change::Flip(at, bit) => octets.get_mut(at % len).into_iter().for_each(|o| *o ^= 1 << bit),
            Change::Insert(at, value) => octets.insert(at % len, value),
            Change::Remove(at) if !octets.is_empty() => drop(octets.remove(at % len)),
            Change::Remove(_) => {}
            Change::Copy(from, to) => {
                if let Some(value) = octets.get(from % len).copied() {
                    octets[to % len] = value;
                }
            }
        }
    }
    message.append(&mut octets);
    let len = u16::try_from(message.len()).unwrap();
    message[16..18].copy_from_slice(&len.to_be_bytes());
}

/// What the oracle says where it accepts all of the message: by its RFC 7606 decoder and its validation.
fn oracle_accepts(message: &[u8]) -> Option<oracle::ParsedUpdate> {
    let oracle::Message::Update(update) =
        oracle::decode_message(&mut Bytes::copy_from_slice(message), 65535).ok()?
    else {
        return None;
    };
    let parsed = update.parse_revised(true, true, false, &[]).ok()?;
    let update = parsed.update;
    let announces = |a: &oracle::PathAttribute| matches!(a, oracle::PathAttribute::MpReachNlri(_));
    let has_body = !update.announced.is_empty();
    let has_nlri = has_body || update.attributes.iter().any(announces);
    let valid =
        oracle::validate::validate_update_attributes(&update.attributes, has_nlri, has_body, false).is_ok();
    (valid && parsed.malformed.is_empty()).then_some(update)
}

/// Whether both accept; asserts that they agree if so.
fn agree(message: &[u8]) -> bool {
    for external in [false, true] {
        for four_octet_as in [false, true] {
            let _ = Message::decode(message, &Session { external, four_octet_as, ..SESSION });
        }
    }
    let Some(theirs) = oracle_accepts(message) else { return false };
    let Ok(Message::Update(ours)) = Message::decode(message, &SESSION) else { return false };
    if ours.treat_as_withdraw().is_some() || !ours.discarded().is_empty() {
        return false;
    }
    assert_eq!(Prefixes::of_ours(&ours), Prefixes::of_oracle(&theirs));
    if let (Some(attributes), Some(mut model)) = (ours.attributes(), Model::of_oracle(&theirs.attributes)) {
        // The oracle knows attributes that are unknown to us, and keeps NEXT_HOP where MP_REACH_NLRI alone announces.
        let mut our_model = Model::of_ours(attributes);
        our_model.unknown.retain(|code, _| model.unknown.contains_key(code));
        if theirs.announced.is_empty() {
            model.next_hop = our_model.next_hop;
        }
        assert_eq!(our_model, model);
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_ipv4_update(
        model in any_model(v4_next_hop().boxed()),
        announced in prop::collection::vec(any_v4(), 1..6),
        changes in prop::collection::vec(any_change(), 0..4),
    ) {
        let mut out = Vec::new();
        let block = model.to_ours().encode(&CONTEXT);
        UpdateWriter::new(&SESSION)
            .announce_v4(&mut out, &block, model.next_hop, &mut announced.iter().copied())
            .unwrap();
        change(&mut out, &changes);
        let both = agree(&out);
        prop_assert!(both || !changes.is_empty(), "an unchanged message is accepted by both");
    }

    #[test]
    fn a_mutated_ipv6_update(
        model in any_model(v6_next_hop().boxed()),
        announced in prop::collection::vec(any_v6(), 1..6),
        changes in prop::collection::vec(any_change(), 0..4),
    ) {
        let mut out = Vec::new();
        let block = model.to_ours().encode(&CONTEXT);
        UpdateWriter::new(&SESSION)
            .announce_v6(&mut out, &block, model.next_hop, &mut announced.iter().copied())
            .unwrap();
        change(&mut out, &changes);
        let both = agree(&out);
        prop_assert!(both || !changes.is_empty(), "an unchanged message is accepted by both");
    }

    /// Any octets at all, behind a correct header.
    #[test]
    fn a_body_of_noise(kind in 1..=5u8, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut message = vec![0xFF; 16];
        message.extend_from_slice(&u16::try_from(19 + body.len()).unwrap().to_be_bytes());
        message.push(kind);
        message.extend_from_slice(&body);
        let framed = frame(&message, 4096);
        let decoded = Message::decode(&message, &Session::before_open());
        prop_assert!(framed.is_ok() || decoded.is_err(), "what has no frame is no message");
        agree(&message);
    }
}

/// OPENs: where both accept, they agree on who speaks.
#[test]
fn a_mutated_open() {
    use petiole_bgp::wire::{Capability, Family, Open};
    let open = Open {
        asn: 4_200_000_000,
        hold_time: 90,
        router_id: [10, 0, 0, 1].into(),
        capabilities: vec![
            Capability::Multiprotocol(Family::Ipv4),
            Capability::ExtendedNextHop(vec![Family::Ipv4]),
            Capability::FourOctetAs(4_200_000_000),
            Capability::Fqdn { host: "host1".into(), domain: String::new() },
        ],
    };
    let mut original = Vec::new();
    open.encode(&mut original);
    let strategy = prop::collection::vec(any_change(), 0..3);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 4000,
        failure_persistence: None,
        ..Default::default()
    });
    runner
        .run(&strategy, |changes| {
            let mut message = original.clone();
            change(&mut message, &changes);
            let ours = Message::decode(&message, &Session::before_open());
            let theirs = oracle::decode_message(&mut Bytes::copy_from_slice(&message), 4096);
            if let (Ok(Message::Open(ours)), Ok(oracle::Message::Open(theirs))) = (ours, theirs) {
                prop_assert_eq!((ours.hold_time, ours.router_id), (theirs.hold_time, theirs.bgp_identifier));
                // Of two such capabilities that differ, which one counts is nowhere written.
                let is_as = |c: &&Capability| matches!(c, Capability::FourOctetAs(_));
                if ours.capabilities.iter().filter(is_as).count() < 2 {
                    prop_assert_eq!(ours.asn, theirs.four_byte_as());
                }
            }
            Ok(())
        })
        .unwrap();
}
