//! "Is it ours?", answered from what the kernel shows alone, so that the answer survives a crash.
//!
//! Knows the marks that petiole leaves on kernel objects. Must not know what is wanted.

use std::ops::Range;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{LinkState, NextHopId, Ns, Object, Qdisc, RouteKey, TableRef};

/// The marks by which a daemon finds its own objects again. Two daemons on a host need different ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `rtm_protocol`, `nh_protocol`, `IFA_PROTO` and `NDA_PROTOCOL` of what we make.
    pub protocol: u8,
    /// Metric (`RTA_PRIORITY`) of learned IPv4 routes.
    pub metric: u32,
    /// The same for IPv6.
    pub metric6: u32,
    /// Table of learned routes.
    pub table: u32,
    /// Ids of our nexthop objects.
    pub next_hop_ids: Range<u32>,
    /// Start of the alias (`IFLA_IFALIAS`) of links that we make.
    pub alias_prefix: &'static str,
    /// `IFLA_GROUP` of links that we make: the kernel takes it at creation, an alias only afterwards.
    pub link_group: u32,
    /// Major number of the handle of our qdiscs: on a link of ours, another one is somebody else's.
    pub qdisc: u16,
    /// Priority of our filters on what comes in by a link of ours.
    pub filter: u16,
    /// Name of our nftables tables, in every family: what is in them is ours.
    pub nft_table: &'static str,
}

impl Owner {
    /// 112, ASCII `p`. Neither the kernel's `rtnetlink.h` nor iproute2's `rt_protos` names it (they end their low
    /// numbers at 18 keepalived, then 42 babel, 84 ovn, 99 openr, 186-192 FRR), FRR's further ones start at 191,
    /// Calico uses 80, kube-router 17. A number that another daemon takes for its own would get our routes purged.
    pub const PROTOCOL: u8 = 112;

    /// IPv4 routes are replaced by (table, prefix, TOS, metric) whoever made them, so the metric must be one that
    /// no other writer of the main table uses: 0 connected, 20 FRR, 32 BIRD, 100 NetworkManager and cloud-init,
    /// 1024 networkd and IPv6's default. It is below 100 so that a default route learned from the fabric wins over
    /// one that DHCP left on a management port.
    pub const METRIC: u32 = 52;

    /// In IPv6 the kernel's own connected routes have 256 (`IP6_RT_PRIO_ADDRCONF`), and must win over what the fabric
    /// says about the same prefix; 1024 is what router advertisements and most programs use.
    pub const METRIC6: u32 = 552;

    /// `RT_TABLE_MAIN`.
    pub const TABLE: u32 = 254;

    /// `0x7065` is ASCII `pe`. Others count from 1 (ip, systemd-networkd, zebra) or from 250 000 000 (FRR's protocol
    /// daemons, `ZEBRA_NHG_PROTO_LOWER`).
    pub const NEXT_HOP_IDS: Range<u32> = 0x7065_0000..0x7066_0000;

    /// `0x7065`, ASCII `pe`: iproute2 and networkd use 0 unless told otherwise.
    pub const LINK_GROUP: u32 = 0x7065;

    /// `0x7065`, ASCII `pe`, shown as `7065:`. What somebody puts on a link without naming a handle gets one from
    /// `0x8000` (`qdisc_alloc_handle` in the kernel); people who name one count from 1.
    pub const QDISC: u16 = 0x7065;

    /// The same number as priority (`pref 28773`): behind others' filters, who so get to see what we redirect. People
    /// count from 1, and the kernel downwards from `0xc000`.
    pub const FILTER: u16 = 0x7065;

    /// Name of our nftables tables.
    pub const NFT_TABLE: &'static str = "petiole";

    /// Start of every alias of ours.
    pub const ALIAS_PREFIX: &'static str = "petiole:";

    /// Whether a route is ours: by protocol, wherever it is.
    pub fn owns_route(&self, protocol: u8) -> bool {
        protocol == self.protocol
    }

    /// Whether a nexthop object is ours: by protocol and id, as ids outside our range are somebody else's to give.
    pub fn owns_next_hop(&self, id: NextHopId, protocol: u8) -> bool {
        protocol == self.protocol && self.next_hop_ids.contains(&id.0)
    }

    /// Whether a link is ours: by its alias, or by its group where a crash came before the alias.
    pub fn owns_link(&self, link: &LinkState) -> bool {
        link.group == self.link_group
            || link.alias.as_deref().is_some_and(|a| a.starts_with(self.alias_prefix))
    }

    /// Whether an address, a neighbour entry, a forwarding entry, a qdisc or a redirection is ours: by protocol where the kernel keeps one
    /// (`IFA_PROTO` since 5.18, `NDA_PROTOCOL` since 5.2; none of the others). Where it says 0, what is on a link of ours is ours, except addresses that the
    /// kernel itself gives (IPv6 link-local) and qdiscs with another handle than ours, and what is on a foreign link is
    /// not.
    pub fn owns_on_link(&self, object: &Object, protocol: u8, link_is_ours: bool) -> bool {
        if protocol != 0 {
            return protocol == self.protocol;
        }
        let by_others = match object {
            Object::Address(_, _, address) => is_link_local(address.addr()),
            Object::Qdisc(_, Qdisc::Foreign(_)) => true,
            _ => false,
        };
        link_is_ours && !by_others
    }

    /// Whether an nftables table is ours: by its name.
    pub fn owns_table(&self, table: &TableRef) -> bool {
        *table.name == *self.nft_table
    }

    /// Whether routes of this key are learned ones: in the host's namespace, our table and our metric.
    pub fn is_learned(&self, key: &RouteKey) -> bool {
        key.ns == Ns::HOST && key.table == self.table && key.metric == self.learned_metric(&key.prefix)
    }

    fn learned_metric(&self, prefix: &IpNet) -> u32 {
        match prefix {
            IpNet::V4(_) => self.metric,
            IpNet::V6(_) => self.metric6,
        }
    }

    /// The key of a learned route.
    pub fn route_key(&self, prefix: IpNet) -> RouteKey {
        RouteKey { ns: Ns::HOST, table: self.table, prefix, metric: self.learned_metric(&prefix) }
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self {
            protocol: Self::PROTOCOL,
            metric: Self::METRIC,
            metric6: Self::METRIC6,
            table: Self::TABLE,
            next_hop_ids: Self::NEXT_HOP_IDS,
            alias_prefix: Self::ALIAS_PREFIX,
            link_group: Self::LINK_GROUP,
            qdisc: Self::QDISC,
            filter: Self::FILTER,
            nft_table: Self::NFT_TABLE,
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.is_unicast_link_local())
}
