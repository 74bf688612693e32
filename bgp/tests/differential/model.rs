//! What an UPDATE says, in a form that both codecs' results can be brought into, and random instances of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use ipnet::{Ipv4Net, Ipv6Net};
use petiole_bgp::wire::{
    Aggregator, AsPath, Attributes, Community, ExtendedCommunity, LargeCommunity, NextHop, Origin,
    SegmentKind, UnknownAttribute, Update,
};
use proptest::prelude::*;
use rustbgpd_wire as oracle;

/// Attributes that both codecs know, and unknown ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Model {
    pub(crate) origin: u8,
    /// Segment types and AS numbers.
    pub(crate) path: Vec<(u8, Vec<u32>)>,
    pub(crate) next_hop: NextHop,
    pub(crate) med: Option<u32>,
    pub(crate) local_pref: Option<u32>,
    pub(crate) atomic_aggregate: bool,
    pub(crate) aggregator: Option<(u32, Ipv4Addr)>,
    pub(crate) communities: Vec<u32>,
    pub(crate) extended: Vec<u64>,
    pub(crate) large: Vec<(u32, u32, u32)>,
    pub(crate) originator_id: Option<Ipv4Addr>,
    pub(crate) cluster_list: Vec<Ipv4Addr>,
    pub(crate) unknown: BTreeMap<u8, Vec<u8>>,
}

/// Prefixes of an UPDATE.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Prefixes {
    pub(crate) withdrawn_v4: Vec<Ipv4Net>,
    pub(crate) withdrawn_v6: Vec<Ipv6Net>,
    pub(crate) announced_v4: Vec<Ipv4Net>,
    pub(crate) announced_v6: Vec<Ipv6Net>,
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}

impl Model {
    pub(crate) fn of_ours(attributes: &Attributes) -> Self {
        Self {
            origin: attributes.origin() as u8,
            path: attributes.as_path().segments().map(|s| (s.kind as u8, s.asns().collect())).collect(),
            next_hop: attributes.next_hop(),
            med: attributes.med(),
            local_pref: attributes.local_pref(),
            atomic_aggregate: attributes.atomic_aggregate(),
            aggregator: attributes.aggregator().map(|a| (a.asn, a.router_id)),
            communities: attributes.communities().iter().map(|c| c.0).collect(),
            extended: attributes.extended_communities().iter().map(|c| u64::from_be_bytes(c.0)).collect(),
            large: attributes.large_communities().iter().map(|c| (c.global, c.local1, c.local2)).collect(),
            originator_id: attributes.originator_id(),
            cluster_list: attributes.cluster_list().to_vec(),
            unknown: attributes.unknown().iter().map(|u| (u.code, u.value.to_vec())).collect(),
        }
    }

    pub(crate) fn to_ours(&self) -> Attributes {
        let origin = [Origin::Igp, Origin::Egp, Origin::Incomplete][usize::from(self.origin)];
        let segments = self.path.iter().map(|(kind, asns)| {
            (if *kind == 1 { SegmentKind::Set } else { SegmentKind::Sequence }, &asns[..])
        });
        let mut attributes = Attributes::new(origin, AsPath::from_segments(segments), self.next_hop);
        attributes.set_med(self.med);
        attributes.set_local_pref(self.local_pref);
        attributes.set_atomic_aggregate(self.atomic_aggregate);
        attributes.set_aggregator(self.aggregator.map(|(asn, router_id)| Aggregator { asn, router_id }));
        attributes.set_communities(self.communities.iter().map(|c| Community(*c)).collect());
        attributes.set_extended_communities(
            self.extended.iter().map(|c| ExtendedCommunity(c.to_be_bytes())).collect(),
        );
        attributes.set_large_communities(
            self.large
                .iter()
                .map(|&(global, local1, local2)| LargeCommunity { global, local1, local2 })
                .collect(),
        );
        attributes.set_originator_id(self.originator_id);
        attributes.set_cluster_list(self.cluster_list.clone());
        attributes.set_unknown(
            self.unknown
                .iter()
                .map(|(code, value)| UnknownAttribute { code: *code, value: value.clone().into() })
                .collect(),
        );
        attributes
    }

    /// None where a mandatory attribute is missing.
    pub(crate) fn of_oracle(attributes: &[oracle::PathAttribute]) -> Option<Self> {
        use oracle::PathAttribute as A;
        let (mut origin, mut path, mut classic, mut mp) = (None, None, None, None);
        let mut model = Self {
            origin: 0,
            path: Vec::new(),
            next_hop: NextHop::V4(Ipv4Addr::UNSPECIFIED),
            med: None,
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: Vec::new(),
            extended: Vec::new(),
            large: Vec::new(),
            originator_id: None,
            cluster_list: Vec::new(),
            unknown: BTreeMap::new(),
        };
        for attribute in attributes {
            match attribute {
                A::Origin(o) => origin = Some(*o as u8),
                A::AsPath(p) => path = Some(p.segments.iter().map(segment_of_oracle).collect()),
                A::Aggregator(a) => model.aggregator = Some((a.asn, a.router_id)),
                A::AtomicAggregate => model.atomic_aggregate = true,
                A::NextHop(a) => classic = Some(NextHop::V4(*a)),
                A::LocalPref(v) => model.local_pref = Some(*v),
                A::Med(v) => model.med = Some(*v),
                A::Communities(c) | A::CommunitiesPartial(c) => model.communities = sorted(c.clone()),
                A::ExtendedCommunities(c) | A::ExtendedCommunitiesPartial(c) => {
                    model.extended = sorted(c.iter().map(|c| c.as_u64()).collect());
                }
                A::LargeCommunities(c) | A::LargeCommunitiesPartial(c) => {
                    let tuple = |c: &oracle::LargeCommunity| (c.global_admin, c.local_data1, c.local_data2);
                    model.large = sorted(c.iter().map(tuple).collect());
                }
                A::OriginatorId(id) => model.originator_id = Some(*id),
                A::ClusterList(list) => model.cluster_list.clone_from(list),
                A::MpReachNlri(reach) => {
                    mp = Some(match reach.next_hop {
                        IpAddr::V4(a) => NextHop::V4(a),
                        IpAddr::V6(a) => NextHop::v6(a, reach.link_local_next_hop),
                    });
                }
                A::Unknown(raw) if raw.flags & 0xC0 == 0xC0 => {
                    model.unknown.insert(raw.type_code, raw.data.to_vec());
                }
                _ => {}
            }
        }
        model.next_hop = classic.or(mp)?;
        (model.origin, model.path) = (origin?, path?);
        Some(model)
    }

    /// The attributes that stand in a message whose NLRI is in its NLRI field.
    pub(crate) fn to_oracle(&self) -> Vec<oracle::PathAttribute> {
        use oracle::PathAttribute as A;
        let origin = [oracle::Origin::Igp, oracle::Origin::Egp, oracle::Origin::Incomplete];
        let segments = self.path.iter().map(|(_, asns)| oracle::AsPathSegment::AsSequence(asns.clone()));
        let mut list = vec![
            A::Origin(origin[usize::from(self.origin)]),
            A::AsPath(oracle::AsPath { segments: segments.collect() }),
        ];
        if let NextHop::V4(a) = self.next_hop {
            list.push(A::NextHop(a));
        }
        list.extend(self.med.map(A::Med));
        list.extend(self.local_pref.map(A::LocalPref));
        list.extend(self.atomic_aggregate.then_some(A::AtomicAggregate));
        list.extend(
            self.aggregator
                .map(|(asn, router_id)| A::Aggregator(oracle::Aggregator { asn, router_id, partial: false })),
        );
        list.extend((!self.communities.is_empty()).then(|| A::Communities(self.communities.clone())));
        list.extend(self.originator_id.map(A::OriginatorId));
        list.extend((!self.cluster_list.is_empty()).then(|| A::ClusterList(self.cluster_list.clone())));
        list.extend((!self.extended.is_empty()).then(|| {
            A::ExtendedCommunities(self.extended.iter().map(|c| oracle::ExtendedCommunity::new(*c)).collect())
        }));
        list.extend((!self.large.is_empty()).then(|| {
            let large = |&(a, b, c): &(u32, u32, u32)| oracle::LargeCommunity {
                global_admin: a,
                local_data1: b,
                local_data2: c,
            };
            A::LargeCommunities(self.large.iter().map(large).collect())
        }));
        list.extend(self.unknown.iter().map(|(code, value)| {
            let data = Bytes::from(value.clone());
            A::Unknown(oracle::RawAttribute { flags: 0xE0, type_code: *code, data })
        }));
        list
    }
}

fn segment_of_oracle(segment: &oracle::AsPathSegment) -> (u8, Vec<u32>) {
    match segment {
        oracle::AsPathSegment::AsSet(asns) => (1, asns.clone()),
        oracle::AsPathSegment::AsSequence(asns) => (2, asns.clone()),
    }
}

impl Prefixes {
    pub(crate) fn of_ours(update: &Update<'_>) -> Self {
        Self {
            withdrawn_v4: update.withdrawn_v4().collect(),
            withdrawn_v6: update.withdrawn_v6().collect(),
            announced_v4: update.announced_v4().collect(),
            announced_v6: update.announced_v6().collect(),
        }
    }

    pub(crate) fn of_oracle(update: &oracle::ParsedUpdate) -> Self {
        let v4 = |e: &oracle::Ipv4NlriEntry| Ipv4Net::new_assert(e.prefix.addr, e.prefix.len).trunc();
        let mut prefixes = Self {
            withdrawn_v4: update.withdrawn.iter().map(v4).collect(),
            announced_v4: update.announced.iter().map(v4).collect(),
            ..Self::default()
        };
        for attribute in &update.attributes {
            match attribute {
                oracle::PathAttribute::MpReachNlri(reach) => {
                    add(&reach.announced, &mut prefixes.announced_v4, &mut prefixes.announced_v6);
                }
                oracle::PathAttribute::MpUnreachNlri(unreach) => {
                    add(&unreach.withdrawn, &mut prefixes.withdrawn_v4, &mut prefixes.withdrawn_v6);
                }
                _ => {}
            }
        }
        prefixes
    }
}

fn add(entries: &[oracle::NlriEntry], v4: &mut Vec<Ipv4Net>, v6: &mut Vec<Ipv6Net>) {
    for entry in entries {
        match entry.prefix {
            oracle::Prefix::V4(p) => v4.push(Ipv4Net::new_assert(p.addr, p.len).trunc()),
            oracle::Prefix::V6(p) => v6.push(Ipv6Net::new_assert(p.addr, p.len).trunc()),
        }
    }
}

pub(crate) fn any_v4() -> impl Strategy<Value = Ipv4Net> {
    (any::<u32>(), 0..=32u8).prop_map(|(bits, len)| Ipv4Net::new_assert(bits.into(), len).trunc())
}

pub(crate) fn any_v6() -> impl Strategy<Value = Ipv6Net> {
    (any::<u128>(), 0..=128u8).prop_map(|(bits, len)| Ipv6Net::new_assert(bits.into(), len).trunc())
}

pub(crate) fn v4_next_hop() -> impl Strategy<Value = NextHop> {
    (1..=126u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| NextHop::V4([a, b, c, d].into()))
}

/// Global, with or without a link-local address.
pub(crate) fn v6_next_hop() -> impl Strategy<Value = NextHop> {
    (any::<u64>(), prop::option::of(any::<u64>())).prop_map(|(global, link_local)| {
        let address = |prefix: u128, id| Ipv6Addr::from_bits(prefix << 96 | u128::from(id));
        NextHop::v6(address(0x2001_0db8, global), link_local.map(|id| address(0xfe80_0000, id)))
    })
}

/// Type codes that neither codec knows.
fn unknown() -> impl Strategy<Value = BTreeMap<u8, Vec<u8>>> {
    prop::collection::btree_map(200..=250u8, prop::collection::vec(any::<u8>(), 0..300), 0..3)
}

prop_compose! {
    /// AS_SETs are left out: the oracle takes them as errors (RFC 9774).
    pub(crate) fn any_model(next_hop: BoxedStrategy<NextHop>)(
        origin in 0..=2u8,
        path in prop::collection::vec(prop::collection::vec(1..=u32::MAX, 1..8), 0..3),
        next_hop in next_hop,
        (med, local_pref) in (any::<Option<u32>>(), any::<u32>()),
        atomic_aggregate in any::<bool>(),
        aggregator in prop::option::of((1..=u32::MAX, any::<u32>())),
        communities in prop::collection::btree_set(any::<u32>(), 0..80),
        extended in prop::collection::btree_set(any::<u64>(), 0..6),
        large in prop::collection::btree_set(any::<(u32, u32, u32)>(), 0..6),
        originator_id in prop::option::of(any::<u32>()),
        cluster_list in prop::collection::vec(any::<u32>(), 0..4),
        unknown in unknown(),
    ) -> Model {
        Model {
            origin,
            path: path.into_iter().map(|asns| (2, asns)).collect(),
            next_hop,
            med,
            local_pref: Some(local_pref),
            atomic_aggregate,
            aggregator: aggregator.map(|(asn, id)| (asn, id.into())),
            communities: communities.into_iter().collect(),
            extended: extended.into_iter().collect(),
            large: large.into_iter().collect(),
            originator_id: originator_id.map(Into::into),
            cluster_list: cluster_list.into_iter().map(Into::into).collect(),
            unknown,
        }
    }
}
