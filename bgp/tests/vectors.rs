//! What FRR, BIRD and GoBGP really say: see `vectors/README.md`.
//!
//! Every captured message is decoded, compared with what the same-named `.txt` says about it, encoded again and decoded
//! again. `PETIOLE_BLESS=1` writes the `.txt` files anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use petiole_bgp::wire::{
    Attributes, EncodeContext, Message, NextHop, Nlri, Open, RouteRefresh, Session, Update, UpdateWriter,
    frame,
};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Who said it, and the message.
fn messages(capture: &str) -> Vec<(char, Vec<u8>)> {
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let line = |line: &str| {
        let (who, hex) = line.split_once(' ').unwrap();
        (who.chars().next().unwrap(), hex.as_bytes().chunks(2).map(octet).collect())
    };
    capture.lines().map(line).collect()
}

fn open(message: &[u8]) -> Open {
    match Message::decode(message, &Session::before_open()) {
        Ok(Message::Open(open)) => open,
        other => panic!("{other:?}"),
    }
}

/// The first OPEN of either side decides what the session is.
fn session(messages: &[(char, Vec<u8>)]) -> Session {
    let of = |who| open(&messages.iter().find(|(w, _)| *w == who).unwrap().1);
    Session::negotiate(&of('>'), &of('<'))
}

fn describe(message: &[u8], session: Session) -> String {
    assert_eq!(frame(message, session.max_message_len()), Ok(Some(message.len())));
    match Message::decode(message, &session).unwrap() {
        Message::Open(open) => describe_open(&open),
        Message::Keepalive => "KEEPALIVE".into(),
        Message::Notification(notification) => {
            let mut again = Vec::new();
            notification.encode(&mut again);
            assert_eq!(again, message);
            format!("NOTIFICATION {notification}")
        }
        Message::RouteRefresh(refresh) => {
            let RouteRefresh { family, kind } = refresh;
            let mut again = Vec::new();
            refresh.encode(&mut again);
            assert_eq!(again, message);
            format!("ROUTE-REFRESH {family} {kind:?}")
        }
        Message::UnknownRouteRefresh(unknown) => format!("ROUTE-REFRESH {unknown:?}"),
        Message::Update(update) => {
            assert_eq!(update.treat_as_withdraw(), None);
            assert_eq!(update.discarded().first(), []);
            written_again(&update, session);
            describe_update(update)
        }
    }
}

fn describe_open(open: &Open) -> String {
    let mut again = Vec::new();
    open.encode(&mut again);
    assert_eq!(self::open(&again), *open);
    let mut text = format!("OPEN AS {} hold {} id {}", open.asn, open.hold_time, open.router_id);
    for capability in &open.capabilities {
        write!(text, "\n    {capability:?}").unwrap();
    }
    text
}

fn describe_update(update: Update<'_>) -> String {
    let mut text = String::from("UPDATE");
    if let Some(family) = update.end_of_rib() {
        write!(text, " end of {family}").unwrap();
    }
    for prefix in update.withdrawn_v4() {
        write!(text, "\n    withdraw {prefix}").unwrap();
    }
    for prefix in update.withdrawn_v6() {
        write!(text, "\n    withdraw {prefix}").unwrap();
    }
    for announcement in update.into_announcements() {
        let prefixes: Vec<String> = match announcement.prefixes {
            Nlri::V4(prefixes) => prefixes.map(|p| p.to_string()).collect(),
            Nlri::V6(prefixes) => prefixes.map(|p| p.to_string()).collect(),
        };
        write!(text, "\n    announce {}", prefixes.join(" ")).unwrap();
        describe_attributes(&mut text, &announcement.attributes);
    }
    text
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn describe_attributes(text: &mut String, attributes: &Attributes) {
    write!(text, "\n      via {} origin {}", attributes.next_hop(), attributes.origin()).unwrap();
    write!(text, "\n      path {}", attributes.as_path()).unwrap();
    let mut optional = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            write!(text, "\n      {name} {value}").unwrap();
        }
    };
    optional("med", attributes.med().map(|v| v.to_string()));
    optional("local-pref", attributes.local_pref().map(|v| v.to_string()));
    optional("atomic-aggregate", attributes.atomic_aggregate().then(|| "yes".into()));
    optional("aggregator", attributes.aggregator().map(|a| format!("{} {}", a.asn, a.router_id)));
    optional("communities", Some(joined(attributes.communities())));
    optional("extended-communities", Some(joined(attributes.extended_communities())));
    optional("large-communities", Some(joined(attributes.large_communities())));
    optional("originator-id", attributes.originator_id().map(|v| v.to_string()));
    optional("cluster-list", Some(joined(attributes.cluster_list())));
    for unknown in attributes.unknown() {
        optional("unknown", Some(format!("{} {}", unknown.code, unknown.value.escape_ascii())));
    }
}

/// Encodes what an UPDATE says and checks that it says the same again.
fn written_again(update: &Update<'_>, session: Session) {
    let context = EncodeContext {
        four_octet_as: session.four_octet_as,
        external: session.external,
        prepend: None,
        send_med: true,
    };
    let writer = UpdateWriter::new(&session);
    for announcement in update.clone().into_announcements() {
        let block = announcement.attributes.encode(&context);
        let next_hop: NextHop = announcement.attributes.next_hop();
        let mut out = Vec::new();
        match &announcement.prefixes {
            Nlri::V4(prefixes) => writer.announce_v4(&mut out, &block, next_hop, &mut prefixes.clone()),
            Nlri::V6(prefixes) => writer.announce_v6(&mut out, &block, next_hop, &mut prefixes.clone()),
        }
        .unwrap();
        let Ok(Message::Update(again)) = Message::decode(&out, &session) else { panic!("not an UPDATE") };
        let mut expected = announcement.attributes.clone();
        if !session.external && expected.local_pref().is_none() {
            expected.set_local_pref(Some(100));
        }
        assert_eq!(again.attributes(), Some(&expected));
        match announcement.prefixes {
            Nlri::V4(prefixes) => assert!(again.announced_v4().eq(prefixes)),
            Nlri::V6(prefixes) => assert!(again.announced_v6().eq(prefixes)),
        }
    }
    let mut out = Vec::new();
    if writer.withdraw_v4(&mut out, &mut update.withdrawn_v4()) > 0 {
        let Ok(Message::Update(again)) = Message::decode(&out, &session) else { panic!("not an UPDATE") };
        assert!(again.withdrawn_v4().eq(update.withdrawn_v4()));
    }
    out.clear();
    if writer.withdraw_v6(&mut out, &mut update.withdrawn_v6()) > 0 {
        let Ok(Message::Update(again)) = Message::decode(&out, &session) else { panic!("not an UPDATE") };
        assert!(again.withdrawn_v6().eq(update.withdrawn_v6()));
    }
}

fn check(name: &str) {
    let file = |extension| directory().join(format!("{name}.{extension}"));
    let messages = messages(&std::fs::read_to_string(file("hex")).unwrap());
    let session = session(&messages);
    let mut text = format!("{session:?}\n");
    for (who, message) in &messages {
        writeln!(text, "{who} {}", describe(message, session)).unwrap();
    }
    if std::env::var_os("PETIOLE_BLESS").is_some() {
        std::fs::write(file("txt"), &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(file("txt")).unwrap(), "{name}");
}

#[test]
fn frr() {
    ["frr.four", "frr.two", "frr.internal", "frr.v6"].into_iter().for_each(check);
}

#[test]
fn bird() {
    ["bird.four", "bird.two", "bird.internal", "bird.v6"].into_iter().for_each(check);
}

#[test]
fn gobgp() {
    ["gobgp.four", "gobgp.two", "gobgp.internal", "gobgp.v6"].into_iter().for_each(check);
}
