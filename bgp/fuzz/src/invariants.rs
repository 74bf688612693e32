//! What holds of everything that was decoded, whatever the octets were.

use petiole_bgp::wire::{
    Announcement, AsPath, Attributes, EncodeContext, MAX_MESSAGE_LEN, Message, Nlri, Notification, Open,
    Session, Update, UpdateWriter, frame,
};

/// A NOTIFICATION has words and makes a message that is understood.
pub fn can_be_sent(notification: &Notification) {
    assert!(!notification.to_string().is_empty());
    let mut out = Vec::new();
    notification.encode(&mut out);
    assert_eq!(frame(&out, MAX_MESSAGE_LEN), Ok(Some(out.len())));
    let Ok(Message::Notification(again)) = Message::decode(&out, &Session::before_open()) else {
        panic!("not understood")
    };
    assert_eq!((again.code, again.subcode), (notification.code, notification.subcode));
    assert!(notification.data.starts_with(&again.data));
}

/// What an OPEN says survives being written, as far as it is not too long.
pub fn open(open: &Open) {
    assert!(open.asn != 0 && !open.router_id.is_unspecified() && !matches!(open.hold_time, 1 | 2));
    let mut out = Vec::new();
    open.encode(&mut out);
    let Ok(Message::Open(again)) = Message::decode(&out, &Session::before_open()) else {
        panic!("not understood")
    };
    assert_eq!((again.hold_time, again.router_id), (open.hold_time, open.router_id));
    if again.capabilities.len() == open.capabilities.len() {
        assert_eq!(again.families(), open.families());
        assert_eq!(again.graceful_restart(), open.graceful_restart());
        assert_eq!(again.asn, open.asn);
    }
    let _ = Session::negotiate(open, &again);
}

/// What an UPDATE says is consistent, and survives being written for the same session and for others.
pub fn update(update: &Update<'_>, session: Session) {
    let announced = update.announced_v4().count() + update.announced_v6().count();
    assert_eq!(update.attributes().is_some(), announced > 0);
    if let Some(error) = update.treat_as_withdraw() {
        assert_eq!(announced, 0);
        assert!(!error.to_string().is_empty());
    }
    if !session.families.ipv4 {
        assert_eq!(update.announced_v4().count() + update.withdrawn_v4().count(), 0);
    }
    if !session.families.ipv6 {
        assert_eq!(update.announced_v6().count() + update.withdrawn_v6().count(), 0);
    }
    if let Some(family) = update.end_of_rib() {
        assert!(session.families.contains(family));
        assert_eq!(announced + update.withdrawn_v4().count() + update.withdrawn_v6().count(), 0);
    }
    assert!(update.discarded().first().len() <= usize::from(update.discarded().count()));
    assert!(update.withdrawn_v4().chain(update.announced_v4()).all(|p| p == p.trunc()));
    assert!(update.withdrawn_v6().chain(update.announced_v6()).all(|p| p == p.trunc()));
    withdrawals(update, session);
    let mut total = 0;
    for announcement in update.clone().into_announcements() {
        total += match &announcement.prefixes {
            Nlri::V4(prefixes) => prefixes.clone().count(),
            Nlri::V6(prefixes) => prefixes.clone().count(),
        };
        assert!(announcement.attributes.next_hop().is_host());
        path(announcement.attributes.as_path());
        rewritten(&announcement, session);
        for bits in 0..8u8 {
            let bit = |n: u32| bits & 1 << n != 0;
            exported(
                &announcement,
                Session { four_octet_as: bit(0), external: bit(1), extended_message: bit(2), ..session },
            );
        }
    }
    assert_eq!(total, announced);
}

fn withdrawals(update: &Update<'_>, session: Session) {
    let writer = UpdateWriter::new(&session);
    let (mut v4, mut v6) = (update.withdrawn_v4(), update.withdrawn_v6());
    let mut out = Vec::new();
    while writer.withdraw_v4(&mut out, &mut v4) + writer.withdraw_v6(&mut out, &mut v6) > 0 {}
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    let mut stream = &out[..];
    while let Some(len) = frame(stream, session.max_message_len()).expect("our own message") {
        let Ok(Message::Update(again)) = Message::decode(&stream[..len], &session) else {
            panic!("not understood")
        };
        v4.extend(again.withdrawn_v4());
        v6.extend(again.withdrawn_v6());
        stream = &stream[len..];
    }
    assert!(update.withdrawn_v4().eq(v4));
    assert!(update.withdrawn_v6().eq(v6));
}

/// A path is well-formed whatever is done to it.
fn path(path: &AsPath) {
    assert_eq!(path.to_string().parse::<AsPath>().map(|p| p.to_string()), Ok(path.to_string()));
    assert!(!path.contains(0));
    let mut longer = path.clone();
    longer.prepend(64512, 3);
    assert_eq!(longer.len(), path.len() + 3);
    assert_eq!(longer.neighbor_as(), Some(64512));
    assert_eq!(longer.asns().count(), path.asns().count() + 3);
}

/// Writes one UPDATE and reads it. None where the attributes are too long.
fn written(
    announcement: &Announcement<'_>,
    context: &EncodeContext,
    session: Session,
) -> Option<(Option<Attributes>, usize)> {
    let block = announcement.attributes.encode(context);
    let writer = UpdateWriter::new(&session);
    let next_hop = announcement.attributes.next_hop();
    let mut out = Vec::new();
    let (count, same) = match &announcement.prefixes {
        Nlri::V4(prefixes) => {
            let count = writer.announce_v4(&mut out, &block, next_hop, &mut prefixes.clone()).ok()?;
            let Ok(Message::Update(again)) = Message::decode(&out, &session) else {
                panic!("not understood")
            };
            (count, again.announced_v4().eq(prefixes.clone().take(count)))
        }
        Nlri::V6(prefixes) => {
            let count = writer.announce_v6(&mut out, &block, next_hop, &mut prefixes.clone()).ok()?;
            let Ok(Message::Update(again)) = Message::decode(&out, &session) else {
                panic!("not understood")
            };
            (count, again.announced_v6().eq(prefixes.clone().take(count)))
        }
    };
    assert!(count > 0 && same);
    assert_eq!(frame(&out, session.max_message_len()), Ok(Some(out.len())));
    let Ok(Message::Update(again)) = Message::decode(&out, &session) else { panic!("not understood") };
    assert_eq!(again.treat_as_withdraw(), None);
    assert!(again.discarded().is_empty());
    Some((again.attributes().cloned(), count))
}

/// On the session that it came from, a route is the same when it is sent back.
fn rewritten(announcement: &Announcement<'_>, session: Session) {
    let context = EncodeContext {
        four_octet_as: session.four_octet_as,
        external: session.external,
        prepend: None,
        send_med: true,
    };
    // An IPv4 next hop of MP_REACH_NLRI may come back as NEXT_HOP; an IPv6 one for IPv4 needs to be negotiated, as it was.
    let Some((again, _)) = written(announcement, &context, session) else { return };
    let mut again = again.expect("attributes");
    let mut expected = announcement.attributes.clone();
    if session.external {
        let crosses = expected.extended_communities().iter().copied().filter(|c| c.is_transitive()).collect();
        expected.set_extended_communities(crosses);
    } else if expected.local_pref().is_none() {
        expected.set_local_pref(Some(100));
    }
    if !session.four_octet_as {
        // Segment boundaries, and confederation segments in the middle of a path, do not survive AS4_PATH.
        assert_eq!(again.as_path().len(), expected.as_path().len());
        *again.as_path_mut() = expected.as_path().clone();
    }
    assert_eq!(again, expected);
}

/// Sent to another peer, with the own AS in front where it is external, a route is accepted without reservation.
fn exported(announcement: &Announcement<'_>, session: Session) {
    let context = EncodeContext {
        four_octet_as: session.four_octet_as,
        external: session.external,
        prepend: session.external.then_some(4_200_000_000),
        send_med: false,
    };
    let Some((again, _)) = written(announcement, &context, session) else { return };
    let again = again.expect("attributes");
    if session.external {
        assert_eq!(again.as_path().neighbor_as(), Some(4_200_000_000));
        assert_eq!(again.as_path().len(), announcement.attributes.as_path().len() + 1);
        assert_eq!((again.local_pref(), again.med()), (None, None));
    }
}
