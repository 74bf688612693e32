//! UPDATEs that one codec writes and the other reads.

use bytes::Bytes;
use petiole_bgp::wire::{EncodeContext, Message, UpdateWriter};
use proptest::prelude::*;
use rustbgpd_wire as oracle;

use crate::SESSION;
use crate::model::{Model, Prefixes, any_model, any_v4, any_v6, v4_next_hop, v6_next_hop};

const CONTEXT: EncodeContext =
    EncodeContext { four_octet_as: true, external: false, prepend: None, send_med: true };

/// What the oracle makes of a complete message, which it must accept without reservation.
fn oracle_parse(message: &[u8], four_octet_as: bool) -> oracle::ParsedUpdate {
    let mut bytes = Bytes::copy_from_slice(message);
    let oracle::Message::Update(update) = oracle::decode_message(&mut bytes, 65535).unwrap() else {
        panic!("not an UPDATE")
    };
    let parsed = update.parse_revised(four_octet_as, true, false, &[]).unwrap();
    assert_eq!(parsed.malformed, []);
    parsed.update
}

/// What we make of a message, which must be accepted without reservation.
fn our_parse(message: &[u8]) -> (Option<Model>, Prefixes) {
    let Ok(Message::Update(update)) = Message::decode(message, &SESSION) else { panic!("not an UPDATE") };
    assert_eq!(update.treat_as_withdraw(), None);
    assert_eq!(update.discarded().first(), []);
    (update.attributes().map(Model::of_ours), Prefixes::of_ours(&update))
}

proptest! {
    #[test]
    fn the_oracle_reads_our_ipv4(
        model in any_model(v4_next_hop().boxed()),
        prefixes in prop::collection::vec(any_v4(), 1..300),
    ) {
        let (mut out, mut left) = (Vec::new(), prefixes.iter().copied());
        let block = model.to_ours().encode(&CONTEXT);
        let count = UpdateWriter::new(&SESSION).announce_v4(&mut out, &block, model.next_hop, &mut left);
        prop_assert_eq!(count, Ok(prefixes.len()));
        let parsed = oracle_parse(&out, true);
        prop_assert_eq!(Prefixes::of_oracle(&parsed).announced_v4, prefixes);
        prop_assert_eq!(Model::of_oracle(&parsed.attributes), Some(model));
    }

    #[test]
    fn the_oracle_reads_our_ipv4_with_ipv6_next_hop(
        model in any_model(v6_next_hop().boxed()),
        prefixes in prop::collection::vec(any_v4(), 1..100),
    ) {
        let (mut out, mut left) = (Vec::new(), prefixes.iter().copied());
        let block = model.to_ours().encode(&CONTEXT);
        let count = UpdateWriter::new(&SESSION).announce_v4(&mut out, &block, model.next_hop, &mut left);
        prop_assert_eq!(count, Ok(prefixes.len()));
        let parsed = oracle_parse(&out, true);
        prop_assert_eq!(Prefixes::of_oracle(&parsed).announced_v4, prefixes);
        prop_assert_eq!(Model::of_oracle(&parsed.attributes), Some(model));
    }

    #[test]
    fn the_oracle_reads_our_ipv6(
        model in any_model(v6_next_hop().boxed()),
        prefixes in prop::collection::vec(any_v6(), 1..100),
    ) {
        let (mut out, mut left) = (Vec::new(), prefixes.iter().copied());
        let block = model.to_ours().encode(&CONTEXT);
        let count = UpdateWriter::new(&SESSION).announce_v6(&mut out, &block, model.next_hop, &mut left);
        prop_assert_eq!(count, Ok(prefixes.len()));
        let parsed = oracle_parse(&out, true);
        prop_assert_eq!(Prefixes::of_oracle(&parsed).announced_v6, prefixes);
        prop_assert_eq!(Model::of_oracle(&parsed.attributes), Some(model));
    }

    #[test]
    fn the_oracle_reads_our_withdrawals(
        v4 in prop::collection::vec(any_v4(), 1..300),
        v6 in prop::collection::vec(any_v6(), 1..100),
    ) {
        let (mut out, writer) = (Vec::new(), UpdateWriter::new(&SESSION));
        prop_assert_eq!(writer.withdraw_v4(&mut out, &mut v4.iter().copied()), v4.len());
        prop_assert_eq!(Prefixes::of_oracle(&oracle_parse(&out, true)).withdrawn_v4, v4);
        out.clear();
        prop_assert_eq!(writer.withdraw_v6(&mut out, &mut v6.iter().copied()), v6.len());
        prop_assert_eq!(Prefixes::of_oracle(&oracle_parse(&out, true)).withdrawn_v6, v6);
    }

    #[test]
    fn we_read_what_the_oracle_writes(
        model in any_model(v4_next_hop().boxed()),
        announced in prop::collection::vec(any_v4(), 1..300),
        withdrawn in prop::collection::vec(any_v4(), 0..300),
    ) {
        let entry = |p: &ipnet::Ipv4Net| oracle::Ipv4NlriEntry {
            path_id: 0,
            prefix: oracle::Ipv4Prefix::new(p.addr(), p.prefix_len()),
        };
        let (entries, gone): (Vec<_>, Vec<_>) =
            (announced.iter().map(entry).collect(), withdrawn.iter().map(entry).collect());
        let mode = oracle::Ipv4UnicastMode::Body;
        let update =
            oracle::UpdateMessage::try_build(&entries, &gone, &model.to_oracle(), true, false, mode).unwrap();
        let message = oracle::encode_message_with_limit(&oracle::Message::Update(update), 65535).unwrap();
        let (read, prefixes) = our_parse(&message);
        prop_assert_eq!(prefixes.announced_v4, announced);
        prop_assert_eq!(prefixes.withdrawn_v4, withdrawn);
        prop_assert_eq!(read, Some(model));
    }

    /// Both merge AS4_PATH and AS4_AGGREGATOR by themselves or not at all: so what comes back is what was sent.
    #[test]
    fn a_two_octet_session_loses_nothing(model in any_model(v4_next_hop().boxed()), prefix in any_v4()) {
        let session = petiole_bgp::wire::Session { four_octet_as: false, ..SESSION };
        let context = EncodeContext { four_octet_as: false, ..CONTEXT };
        let mut out = Vec::new();
        let block = model.to_ours().encode(&context);
        UpdateWriter::new(&session)
            .announce_v4(&mut out, &block, model.next_hop, &mut std::iter::once(prefix))
            .unwrap();
        let Ok(Message::Update(update)) = Message::decode(&out, &session) else { panic!("not an UPDATE") };
        prop_assert_eq!(update.treat_as_withdraw(), None);
        let read = Model::of_ours(update.attributes().unwrap());
        let flat = |model: &Model| model.path.iter().flat_map(|(_, asns)| asns.clone()).collect::<Vec<_>>();
        prop_assert_eq!(flat(&read), flat(&model));
        prop_assert_eq!(&read.aggregator, &model.aggregator);
        prop_assert_eq!(Model { path: vec![], ..read }, Model { path: vec![], ..model.clone() });
        prop_assert_eq!(Prefixes::of_oracle(&oracle_parse(&out, false)).announced_v4, vec![prefix]);
    }
}
