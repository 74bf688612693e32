//! OPEN, NOTIFICATION and ROUTE-REFRESH that one codec writes and the other reads.

use bytes::Bytes;
use petiole_bgp::wire::{
    Capability, Family, GracefulRestart, Message, Notification, Open, RouteRefresh, RouteRefreshKind, Session,
};
use proptest::prelude::*;
use rustbgpd_wire as oracle;

fn oracle_decode(message: &[u8]) -> oracle::Message {
    oracle::decode_message(&mut Bytes::copy_from_slice(message), 4096).unwrap()
}

fn any_family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

fn any_capability() -> impl Strategy<Value = Capability> {
    let restart =
        (any::<[bool; 2]>(), 0..4096u16, prop::collection::vec((any_family(), any::<bool>()), 0..3));
    prop_oneof![
        any_family().prop_map(Capability::Multiprotocol),
        Just(Capability::RouteRefresh),
        Just(Capability::EnhancedRouteRefresh),
        Just(Capability::ExtendedMessage),
        prop::collection::vec(any_family(), 1..3).prop_map(Capability::ExtendedNextHop),
        (1..=u32::MAX).prop_map(Capability::FourOctetAs),
        restart.prop_map(|([restarting, notification], restart_time, families)| {
            Capability::GracefulRestart(GracefulRestart { restarting, notification, restart_time, families })
        }),
        ("[a-z]{0,20}", "[a-z.]{0,20}").prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        (100..=200u8, prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(code, value)| Capability::Unknown { code, value }),
    ]
}

prop_compose! {
    fn any_open()(
        capabilities in prop::collection::vec(any_capability(), 0..10),
        my_as in 1..=u32::from(u16::MAX),
        hold_time in prop_oneof![Just(0), 3..=u16::MAX],
        id in 1..=u32::MAX,
    ) -> Open {
        let four_octet = capabilities.iter().rev().find_map(|c| match c {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        });
        Open { asn: four_octet.unwrap_or(my_as), hold_time, router_id: id.into(), capabilities }
    }
}

proptest! {
    #[test]
    fn the_oracle_reads_our_open(open in any_open()) {
        let mut out = Vec::new();
        open.encode(&mut out);
        let oracle::Message::Open(read) = oracle_decode(&out) else { panic!("not an OPEN") };
        prop_assert_eq!((read.hold_time, read.bgp_identifier), (open.hold_time, open.router_id));
        prop_assert_eq!(read.capabilities.len(), open.capabilities.len());
        let once = open.capabilities.iter().filter(|c| matches!(c, Capability::FourOctetAs(_))).count() < 2;
        if once {
            prop_assert_eq!(read.four_byte_as(), open.asn);
        }
    }

    #[test]
    fn our_open_comes_back_through_the_oracle(open in any_open()) {
        let mut out = Vec::new();
        open.encode(&mut out);
        let again = oracle::encode_message(&oracle_decode(&out)).unwrap();
        match Message::decode(&again, &Session::before_open()) {
            Ok(Message::Open(read)) => {
                prop_assert_eq!((read.hold_time, read.router_id), (open.hold_time, open.router_id));
                prop_assert_eq!(read.families(), open.families());
                prop_assert_eq!(read.graceful_restart(), open.graceful_restart());
                prop_assert_eq!(read.host_name(), open.host_name());
                prop_assert_eq!(read.capabilities.len(), open.capabilities.len());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_oracle_reads_our_notification(code in 1..=8u8, subcode: u8, data in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut out = Vec::new();
        Notification::new(code, subcode, &data).encode(&mut out);
        let oracle::Message::Notification(read) = oracle_decode(&out) else { panic!("not a NOTIFICATION") };
        prop_assert_eq!((read.code.as_u8(), read.subcode, &read.data[..]), (code, subcode, &data[..]));
        let again = oracle::encode_message(&oracle::Message::Notification(read)).unwrap();
        prop_assert_eq!(&again[..], &out[..]);
    }

    #[test]
    fn the_oracle_reads_our_route_refresh(family in any_family(), kind in 0..3usize) {
        let kind = [RouteRefreshKind::Request, RouteRefreshKind::Begin, RouteRefreshKind::End][kind];
        let mut out = Vec::new();
        RouteRefresh { family, kind }.encode(&mut out);
        let oracle::Message::RouteRefresh(read) = oracle_decode(&out) else { panic!("not a ROUTE-REFRESH") };
        prop_assert_eq!((read.afi_raw, read.subtype_raw, read.safi_raw), (family.afi(), kind as u8, family.safi()));
    }
}
