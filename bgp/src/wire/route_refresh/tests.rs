use super::*;
use crate::wire::{Message, Session};

fn received(body: [u8; 4]) -> Message<'static> {
    let mut out = Vec::new();
    let start = header::start(&mut out, message_type::ROUTE_REFRESH);
    out.extend_from_slice(&body);
    header::finish(&mut out, start);
    Message::decode(out.leak(), &Session::before_open()).unwrap()
}

#[test]
fn what_is_sent_is_received() {
    for family in [Family::Ipv4, Family::Ipv6] {
        for kind in [RouteRefreshKind::Request, RouteRefreshKind::Begin, RouteRefreshKind::End] {
            let sent = RouteRefresh { family, kind };
            let mut out = Vec::new();
            sent.encode(&mut out);
            let received = Message::decode(&out, &Session::before_open());
            assert!(matches!(received, Ok(Message::RouteRefresh(refresh)) if refresh == sent));
        }
    }
}

/// RFC 2918 section 4, RFC 7313 section 5.
#[test]
fn an_unknown_family_or_subtype_is_to_be_ignored() {
    for (body, unknown) in [
        ([0, 25, 0, 70], UnknownRouteRefresh { afi: 25, subtype: 0, safi: 70 }),
        ([0, 1, 3, 1], UnknownRouteRefresh { afi: 1, subtype: 3, safi: 1 }),
        ([0, 1, 255, 2], UnknownRouteRefresh { afi: 1, subtype: 255, safi: 2 }),
    ] {
        assert!(matches!(received(body), Message::UnknownRouteRefresh(u) if u == unknown));
    }
}
