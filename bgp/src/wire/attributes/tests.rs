use super::*;

fn plain() -> Attributes {
    Attributes::new(Origin::Igp, AsPath::from_sequence(&[500]), NextHop::V4(Ipv4Addr::new(10, 0, 0, 1)))
}

#[test]
fn equal_routes_are_equal_however_they_were_made() {
    let mut a = plain();
    a.set_med(Some(7));
    a.set_local_pref(Some(200));
    a.set_aggregator(Some(Aggregator { asn: 1, router_id: Ipv4Addr::LOCALHOST }));
    a.set_communities(vec![Community(2), Community(1), Community(2)]);
    a.set_large_communities(vec![LargeCommunity { global: 1, local1: 2, local2: 3 }]);
    a.set_extended_communities(vec![ExtendedCommunity([0; 8])]);
    a.set_originator_id(Some(Ipv4Addr::LOCALHOST));
    a.set_cluster_list(vec![Ipv4Addr::LOCALHOST]);
    a.set_unknown(vec![UnknownAttribute { code: 99, value: [1].into() }]);
    a.set_atomic_aggregate(true);
    for bit in [PartialBit::Aggregator, PartialBit::Communities, PartialBit::LargeCommunities] {
        a.set_partial(bit);
    }
    assert_eq!(a.communities(), [Community(1), Community(2)]);

    a.set_med(None);
    a.set_local_pref(None);
    a.set_aggregator(None);
    a.set_communities(vec![]);
    a.set_large_communities(vec![]);
    a.set_extended_communities(vec![]);
    a.set_originator_id(None);
    a.set_cluster_list(vec![]);
    a.set_unknown(vec![]);
    a.set_atomic_aggregate(false);
    assert_eq!(a, plain());
    assert!(a.rare.is_none());
}

#[test]
fn the_link_local_half_of_a_next_hop_goes_with_it() {
    let v6 = NextHop::v6("2001:db8::1".parse().unwrap(), Some("fe80::1".parse().unwrap()));
    let mut a = Attributes::new(Origin::Igp, AsPath::from_sequence(&[500]), v6);
    assert_eq!(a.next_hop(), v6);
    a.set_next_hop(NextHop::V4(Ipv4Addr::new(10, 0, 0, 1)));
    assert_eq!(a, plain());
}

#[test]
fn zero_and_absent_differ() {
    let mut a = plain();
    a.set_med(Some(0));
    assert_eq!(a.med(), Some(0));
    assert_ne!(a, plain());
}

#[test]
fn of_unknown_attributes_with_one_code_the_first_stays() {
    let mut a = plain();
    let unknown = |code, value| UnknownAttribute { code, value: [value].into() };
    a.set_unknown(vec![unknown(99, 1), unknown(50, 2), unknown(99, 3)]);
    assert_eq!(a.unknown(), [unknown(50, 2), unknown(99, 1)]);
}
